"""The built book in Chromium, with every host but this machine's out of reach."""

import functools
import gzip
import http.server
import io
import os
import threading

import pytest
from PIL import Image, ImageStat
from playwright.sync_api import Page, sync_playwright

from tests.book_samples import book_pages, built_book
from ubc_lib.book.pdf import find_chromium

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EXPLORER = "studies/first/05_explorer.html"
VOLUME = "volume.html"
# WebGL without a graphics card.
DRAWING = ["--enable-unsafe-swiftshader", "--use-angle=swiftshader"]
MEGABYTE = 1_000_000


class Silent(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line per request."""

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="module")
def address():
    """Where the book is served."""
    handler = functools.partial(Silent, directory=built_book())
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    """Chromium; on a machine that checks changes (CI=true) it must be there."""
    path = find_chromium()
    if path is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("Chromium is not installed, so the pages cannot be opened.")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *DRAWING])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, address):
    """Opens pages by name; what they complained about or asked of others is in `.complaints`."""
    pages = {}

    def open_page(name: str, **options) -> Page:
        page = pages.get(repr(options))
        if page is None:
            page = pages[repr(options)] = browser.new_context(**options).new_page()
            page.complaints = []
            page.route("**/*", lambda route: _only(address, route, page.complaints))
            page.on("pageerror", lambda error: page.complaints.append(str(error)))
            page.on("requestfailed", lambda request: _fail(request, page.complaints))
            page.on("console", lambda message: _complain(message, page.complaints))
        page.goto(address + name, wait_until="networkidle")
        # The theme turns titles into tooltips once its scripts have run.
        page.wait_for_function("!document.querySelector('[data-bs-toggle=tooltip][title]')")
        return page

    yield open_page
    for page in pages.values():
        page.context.close()


def _only(address, route, complaints):
    if route.request.url.startswith((address, "data:", "blob:")):
        route.continue_()
    else:
        complaints.append(f"asked {route.request.url}")
        route.abort()


def _fail(request, complaints):
    # Going on to the next page ends what is still under way, such as the icon of the window.
    if request.failure != "net::ERR_ABORTED":
        complaints.append(f"failed {request.url}")


def _complain(message, complaints):
    if message.type == "error":
        complaints.append(message.text)


def test_no_page_asks_another_host_fails_a_request_or_logs_an_error(open_page):
    for name in book_pages():
        assert open_page(name).complaints == [], name


def test_no_page_scrolls_sideways_on_a_telephone(open_page):
    for name in book_pages():
        page = open_page(name, viewport={"width": 390, "height": 844})
        excess = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert excess == 0, name


def test_no_page_has_a_serious_accessibility_violation_in_light_or_dark(open_page):
    for name in book_pages():
        # Colours that fade from one scheme to the other would be measured on their way.
        page = open_page(name, reduced_motion="reduce")
        for scheme in ("light", "dark"):
            page.evaluate("scheme => { document.documentElement.dataset.theme = scheme }", scheme)
            assert violations(page) == [], f"{name}, {scheme}"


def violations(page: Page) -> list[str]:
    """What axe-core calls serious or critical, with the first element of each."""
    scripts = built_book().parents[1] / "book" / "node_modules"
    page.add_script_tag(path=scripts / "axe-core" / "axe.min.js")
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html']}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def test_a_first_visit_loads_at_most_2_megabytes_and_of_a_plain_pages_own_400_kilobytes(
    browser, address
):
    for name in book_pages():
        page = browser.new_page()
        loaded = []
        page.on("requestfinished", lambda request, loaded=loaded: loaded.append(request))
        page.goto(address + name, wait_until="networkidle")
        files = [request.url.removeprefix(address) for request in loaded]
        page.close()
        assert sum(map(weight_of, files)) < 2 * MEGABYTE, name
        own = [file for file in files if not file.startswith("_static/")]
        assert "explorer" in name or sum(map(weight_of, own)) < 0.4 * MEGABYTE, name


@functools.cache
def weight_of(address: str) -> int:
    """Bytes of a file of the book, compressed as a server would."""
    path = built_book() / address.partition("?")[0].partition("#")[0]
    return len(gzip.compress(path.read_bytes())) if path.is_file() else 0


def test_the_whole_book_is_light():
    weight = sum(path.stat().st_size for path in built_book().rglob("*") if path.is_file())
    assert weight < 60 * MEGABYTE


def test_the_volume_viewer_draws_and_its_controls_change_the_picture(open_page):
    page = open_page(VOLUME)
    page.locator("#fig-volume img").wait_for(state="hidden")
    canvas = page.locator("#volume canvas")
    shown = [canvas.screenshot()]
    assert ImageStat.Stat(Image.open(io.BytesIO(shown[0])).convert("L")).stddev[0] > 20
    page.get_by_label("Colour map").select_option("viridis")
    shown.append(canvas.screenshot())
    page.get_by_label("Opacity of the lesion").fill("0")
    shown.append(canvas.screenshot())
    page.get_by_label("View").select_option("3-D")
    shown.append(canvas.screenshot())
    assert len(set(shown)) == 4
    assert page.complaints == []


def test_without_webgl_the_volume_page_shows_a_still_picture(open_page):
    page = open_page("index.html", locale="en-GB")
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    open_page(VOLUME, locale="en-GB")
    page.locator("#fig-volume img").wait_for()
    assert page.locator("#volume canvas").is_hidden()
    assert page.complaints == []


def test_the_slider_of_the_explorer_changes_the_slice(open_page):
    page = open_page(EXPLORER)
    page.get_by_alt_text("Slice 70 of patient one, HGG").wait_for()
    page.locator(".noUi-handle:visible").press("ArrowRight")
    page.get_by_alt_text("Slice 71 of patient one, HGG").wait_for()
    assert shown_slices(page) == ["Slice 71 of patient one, HGG"]


def test_the_play_button_moves_on_by_itself(open_page):
    page = open_page(EXPLORER)
    page.locator(".jupyter-widgets-play button:visible, .widget-play button:visible").first.click()
    page.get_by_alt_text("Slice 71 of patient one, HGG").wait_for()


def test_the_explorer_changes_patients_and_hides_the_lesion(open_page):
    page = open_page(EXPLORER)
    page.get_by_label("patient").select_option("two (LGG)")
    page.get_by_alt_text("Slice 80 of patient two, LGG").wait_for()
    outline = page.locator("img[alt='Outline of the lesion']:visible")
    outline.wait_for()
    page.get_by_role("button", name="lesion off").click()
    outline.wait_for(state="hidden")


def test_the_training_explorer_changes_its_picture_with_size_and_seed(open_page):
    page = open_page(EXPLORER)
    picture = page.locator("img[alt^='Training loss']:visible")
    assert picture.get_attribute("alt").endswith("2 images per class, seed 0")
    page.get_by_label("images per class").select_option("1")
    page.get_by_label("seed").filter(visible=True).select_option("1")
    page.get_by_alt_text("1 images per class, seed 1").wait_for()


def shown_slices(page: Page) -> list[str]:
    pictures = page.locator(".widget-html img[alt^='Slice']:visible")
    return [pictures.nth(place).get_attribute("alt") for place in range(pictures.count())]


def test_equations_are_rendered_and_numbered_1_to_4(open_page):
    page = open_page("training.html")
    page.locator("div.math mjx-container").nth(4).wait_for()
    assert page.locator("div.math mjx-container").count() == 5
    assert page.locator(".eqno").all_inner_texts() == ["(1)", "(2)", "(3)", "(4)"]
    assert "\\frac" not in page.locator("article").inner_text()


def test_the_russian_page_says_that_it_is_russian(open_page):
    assert open_page("russian.html").locator("html").get_attribute("lang") == "ru"
    assert open_page("index.html").locator("html").get_attribute("lang") == "en"


def test_search_finds_a_word(open_page):
    page = open_page("search.html?q=plateau")
    page.wait_for_selector("#search-results li")
    assert "Training protocol" in page.locator("#search-results").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_widget_labels_and_captions_can_be_read_in_light_and_dark(open_page, scheme):
    for name, selector in ((EXPLORER, ".widget-label"), ("index.html", "figcaption")):
        page = open_page(name, color_scheme=scheme)
        page.locator(selector).first.wait_for()
        # Styles come with scripts, after what they belong to.
        page.wait_for_function(f"selector => ({CONTRAST})(selector) >= 4.5", arg=selector)


# The contrast ratio of WCAG 2 between a text and the ground behind it.
CONTRAST = """selector => {
  const rgb = colour => colour.match(/[\\d.]+/g).map(Number);
  const element = document.querySelector(selector);
  let ground = element;
  while (ground && rgb(getComputedStyle(ground).backgroundColor)[3] === 0)
    ground = ground.parentElement;
  const luminance = colour => rgb(colour).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const pair = [getComputedStyle(element).color,
    ground ? getComputedStyle(ground).backgroundColor : "rgb(255, 255, 255)"].map(luminance);
  return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
}"""


def test_a_printed_page_runs_on_to_its_end(open_page):
    page = open_page("api.html")
    page.emulate_media(media="print")
    boxes = page.evaluate(
        "[...document.querySelectorAll('.bd-container, .bd-main, .bd-content')]"
        ".map(box => getComputedStyle(box).display + ' ' + getComputedStyle(box).overflow)"
    )
    assert set(boxes) == {"block visible"}
