// A full stop or comma stays in the line of the formula before it.
for (const formula of document.querySelectorAll("span.math")) {
  const after = formula.nextSibling, mark = after?.nodeType === Node.TEXT_NODE && after.data.match(/^[.,;:!?)]+/);
  if (mark) {
    after.splitText(mark[0].length);
    const kept = document.createElement("span");
    kept.className = "kept";
    formula.before(kept);
    kept.append(formula, after);
  }
}

// An inline formula that is wider than its paragraph, on a phone, scrolls by itself.
window.addEventListener("load", () => {
  window.MathJax?.startup.promise.then(() => {
    for (const formula of document.querySelectorAll("span.math")) {
      const paragraph = formula.closest("p, li, dd, td, figcaption") ?? formula.parentElement;
      formula.classList.toggle("wide-math", formula.getBoundingClientRect().width > paragraph.clientWidth);
    }
    for (const part of document.querySelectorAll('.wide-math, div.math, mjx-container[display="true"]'))
      if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;  // what scrolls can be scrolled by keys; the others are no stop
  });
});

// Copying leaves the reader where they are.
document.addEventListener("click", (event) => {
  const button = event.target.closest(".copybtn");
  if (button) setTimeout(() => button.focus(), 50);
});

// What the theme and the notebooks leave without a name.
for (const part of document.querySelectorAll(".bd-sidebar-primary summary:not([aria-label])"))
  part.setAttribute("aria-label", `pages of ${part.closest("li")?.querySelector("a")?.textContent.trim() ?? "this part"}`);
for (const player of document.querySelectorAll("audio:not([aria-label])")) player.setAttribute("aria-label", "the music of this cell");

// Paper is white.
const root = document.documentElement;
let theme = null;
addEventListener("beforeprint", () => { theme = root.dataset.theme; root.dataset.theme = "light"; });
addEventListener("afterprint", () => { root.dataset.theme = theme; });
