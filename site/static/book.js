// An inline formula that is wider than its paragraph, on a phone, scrolls by itself.
window.addEventListener("load", () => {
  window.MathJax?.startup.promise.then(() => {
    for (const formula of document.querySelectorAll("span.math")) {
      const paragraph = formula.closest("p, li, dd, td, figcaption") ?? formula.parentElement;
      formula.classList.toggle("wide-math", formula.getBoundingClientRect().width > paragraph.clientWidth);
    }
  });
});
