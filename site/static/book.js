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
  });
});
