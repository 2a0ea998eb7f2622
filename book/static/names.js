// Gives a name to the controls that the theme and the widgets leave without one, once they appear.
const NAMES = {
  ".widget-play .fa-play, .widget-play .fa-pause": "Play or pause",
  ".widget-play .fa-stop": "Stop",
  ".widget-play .fa-retweet": "Repeat",
  ".noUi-handle": "Slice",
};

function nameControls() {
  for (const [selector, name] of Object.entries(NAMES))
    for (const found of document.querySelectorAll(selector))
      (found.closest("button") ?? found).setAttribute("aria-label", name);
  // Its visible text, with the key that opens it, says more.
  document.querySelector(".search-button-field")?.removeAttribute("aria-label");
}

document.addEventListener("DOMContentLoaded", () => {
  nameControls();
  new MutationObserver(nameControls).observe(document.body, { childList: true, subtree: true });
});
