// Widget modules are looked for beside the pages' own scripts, never at a page's address.
window.requirejs = { baseUrl: new URL("vendor/", document.currentScript.src).href };
