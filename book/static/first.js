// Icons are swapped once, at the start: a later swap would break the buttons of the Play widget.
window.FontAwesomeConfig = { observeMutations: false };
// Widget modules are looked for beside the pages' own scripts, never at a page's address.
window.requirejs = { baseUrl: new URL("vendor/", document.currentScript.src).href };
