"""Makes every page self-contained: its scripts come along, and it asks no other host."""

import re
import shutil
from pathlib import Path

from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.util import logging

# Files of the npm packages, and the folder below _static/vendor/ in which pages look for each.
# Two modules of the widget script ask for its fonts, each beside the place of its own name.
WIDGETS = "@jupyter-widgets/html-manager/dist"
FONTS = "output/chtml/fonts/woff-v2"
VENDORED = (
    ("requirejs/require.js", ""),
    (f"{WIDGETS}/embed-amd.js", ""),
    (f"{WIDGETS}/*.woff2", "@jupyter-widgets"),
    (f"{WIDGETS}/*.woff2", WIDGETS),
    ("mathjax/es5/tex-chtml.js", "mathjax"),
    (f"mathjax/es5/{FONTS}/*.woff", f"mathjax/{FONTS}"),
    ("@niivue/niivue/dist/niivue.umd.js", ""),
)
VOLUME_PAGE = "volume"
# What Sphinx writes against the rules of HTML, and what stands for it: names that hide the visible
# text, a list whose children are no items, and terms of a signature that define nothing.
MENDED = (
    (r' aria-label="Toggle hidden content"', ""),
    (r'<div role="list" class="citation-list">', '<div class="citation-list">'),
    (r"<dl>\n(<dd><em class=\"sig-param\">.*?)</dl>", r'<div class="parameters">\1</div>'),
    (r'<dd>(<em class="sig-param">.*?)</dd>', r"<div>\1</div>"),
)
NOTICE = (
    "Built without npm: equations show as TeX and the explorers stand still. "
    "Install Node.js and build the book again."
)
logger = logging.getLogger(__name__)


def prepare(app, config):
    """Load our settings script first, and fall back to plain pages where npm was missing."""
    app.add_js_file("first.js", priority=1)
    app.add_js_file("names.js")
    config.node_modules = Path(app.srcdir, "node_modules")
    config.has_scripts = (config.node_modules / "mathjax").is_dir()
    if not config.has_scripts:
        logger.info(NOTICE)
        config.nb_ipywidgets_js = {}
        config.html_theme_options["announcement"] = NOTICE


def bring_scripts(app, exception):
    """Copy what the pages load from the npm packages next to them."""
    if exception or app.builder.format != "html":
        return
    # The theme's style sheet has the same icons as a font, at a third of this script's weight; and
    # the script would swap the elements of the widgets' buttons, which breaks their links.
    Path(app.outdir, "_static", "scripts", "fontawesome.js").write_text("", encoding="utf-8")
    for pattern, folder in VENDORED:
        target = Path(app.outdir, "_static", "vendor", folder)
        target.mkdir(parents=True, exist_ok=True)
        for source in app.config.node_modules.glob(pattern):
            shutil.copy(source, target)


def tidy_page(app, pagename, templatename, context, doctree):
    """Drop scripts that call a CDN, add those of one page, and tell the browser the language."""
    if pagename == VOLUME_PAGE and app.config.has_scripts:
        app.add_js_file("vendor/niivue.umd.js", loading_method="defer")
        app.add_js_file("volume.js", loading_method="defer")
    # Sphinx gives MathJax to a page where one below it in the menu has an equation, too.
    equations = app.env.get_domain("math").data["has_equations"]
    shows_equations = equations.get(pagename, False) or app.builder.name == "singlehtml"
    shows_equations = shows_equations and app.config.has_scripts
    unwanted = ["thebe"] if shows_equations else ["thebe", "mathjax"]
    context["script_files"] = [
        script
        for script in context["script_files"]
        if not any(word in str(getattr(script, "filename", "")) for word in unwanted)
        and "thebe" not in getattr(script, "attributes", {}).get("body", "")
    ]
    for pattern, replacement in MENDED:
        context["body"] = re.sub(pattern, replacement, context.get("body", ""), flags=re.DOTALL)
    context["language"] = (context.get("meta") or {}).get("language", "en")


def gather_widgets(app, pagename, templatename, context, doctree):
    """Give the one page of the whole book the widgets of all its notebooks."""
    if app.builder.name != "singlehtml":
        return
    scripts = {
        path or options["body"]: (path, options)
        for docname in sorted(app.env.found_docs)
        for path, options in NbMetadataCollector.get_js_files(app.env, docname).values()
    }
    for path, options in scripts.values():
        app.add_js_file(path, **options)


def setup(app):
    """Register with Sphinx."""
    app.connect("config-inited", prepare)
    app.connect("html-page-context", gather_widgets)
    app.connect("html-page-context", tidy_page, priority=900)
    app.connect("build-finished", bring_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
