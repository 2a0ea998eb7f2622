"""Prints a page to PDF with the browser that is there."""

import shutil
from pathlib import Path

from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MARGIN = "16mm"
# Scripts draw widgets and equations after a page has loaded, in books that have scripts.
DRAWN = """async () => {
  await window.MathJax?.startup?.promise;
  const views = document.querySelectorAll("script[type$='widget-view+json']");
  const drawn = view => view.parentElement.querySelector(".jupyter-widgets");
  return typeof requirejs === "undefined" || [...views].every(drawn);
}"""
OPEN_BOXES = "document.querySelectorAll('details.sd-dropdown').forEach(box => box.open = true)"


def find_chromium() -> str | None:
    """The path of Chromium or a browser made of it; None where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def print_page(page: Path, target: Path) -> None:
    """Print a page on A4, with its widgets as they first appear and its boxes open.

    Raises InputError where playwright or Chromium is missing.
    """
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415
    except ImportError as error:
        raise InputError("A PDF needs playwright. Run: pip install playwright") from error
    chromium = find_chromium()
    if chromium is None:
        raise InputError("A PDF needs Chromium, for instance: apt-get install chromium")
    with sync_playwright() as playwright, atomic_path(target) as temporary:
        # A book holds scripts that it brought along itself, so no sandbox is needed to open it.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_page(color_scheme="light")
        opened.goto(page.as_uri(), wait_until="networkidle")
        opened.wait_for_function(DRAWN)
        opened.evaluate(OPEN_BOXES)
        opened.pdf(
            path=temporary,
            format="A4",
            print_background=True,
            margin=dict.fromkeys(("top", "right", "bottom", "left"), MARGIN),
        )
        browser.close()
