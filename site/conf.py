"""Settings of the book as pages: Sphinx reads them; `build.py` prepares what it reads and calls it."""

import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for `links` and `notebooks`, beside this file
os.environ.setdefault("COMPANION_BACKEND", "numpy")

from docutils import nodes
from sphinx import addnodes

import companion
import links
import notebooks

project, author = "Deep Beliefs", "the authors of Deep Beliefs"
copyright = "2026, the authors of Deep Beliefs. Code: BSD-3-Clause. Text and figures: CC BY 4.0"
release = version = companion.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
]
exclude_patterns = ["static/**"]

# Chapters: their committed outputs are shown, nothing is executed.
nb_execution_mode = "off"
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]  # a panel's still instead
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
mathjax3_config = {"options": {"menuOptions": {"settings": {"inTabOrder": False}}}}  # a hundred stops on a page
mathjax_path = "mathjax/tex-svg.js"  # from the installed package, see build.py: no page asks another host

# The companion: pages out of its docstrings, and links to them from every name in a chapter's code.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True  # as they are written: else folders of the machine that builds stand on the pages
add_module_names = False
napoleon_google_docstring = False
napoleon_use_param = False  # else names that end in an underscore lose it, and several of one line are torn
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style"), ("Yields", "returns_style")]

html_theme = "sphinx_book_theme"
html_title = "Deep Beliefs"
html_favicon = "static/favicon.svg"
html_context = {"default_mode": "auto"}  # light or dark, as the reader's machine is
html_static_path = [os.environ["BOOK_STATIC"]]
html_css_files = ["book.css"]
html_js_files = [("book.js", {"defer": "defer"})]
html_copy_source = False
html_show_sphinx = False
html_permalinks_icon = "#"
html_theme_options = {
    "home_page_in_toc": True,
    "navbar_persistent": [],  # else there are two search bars
    "show_toc_level": 2,
    "max_navbar_depth": 2,
    "toc_title": "On this page",
    "use_download_button": False,
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def setup(app):
    """Connect what is done to chapters and to docstrings as they are read."""
    app.connect("source-read", notebooks.as_page)
    app.connect("html-page-context", links.link_names)
    app.connect("html-page-context", _say_languages)
    app.connect("autodoc-skip-member", _skip)
    app.connect("object-description-transform", _without_value)
    app.connect("doctree-read", _keep_percent)


def _say_languages(app, name, template, context, doctree):
    """Say which words are Korean or Chinese: for voices that read pages aloud, and for fonts."""
    if name == "korean":
        context["body"] = f'<div lang="ko">{context["body"]}</div>'
    if name == "glossary":
        cells = re.compile(r"(<tr[^>]*>\s*<td>(?:(?!</td>).)*</td>\s*)<td>((?:(?!</td>).)*</td>\s*)<td>", re.DOTALL)
        context["body"] = cells.sub(r'\1<td lang="ko">\2<td lang="zh-Hans">', context["body"])


def _keep_percent(app, doctree):
    """Keep a per-cent sign in the line of its number; what is code or mathematics stays as it is."""
    for text in list(doctree.findall(nodes.Text)):
        kept = re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", text)
        if kept != text and not isinstance(text.parent, nodes.literal | nodes.FixedTextElement | nodes.math):
            text.parent.replace(text, nodes.Text(kept))


def _skip(app, kind, name, member, skip, options):
    """Leave out what scikit-learn adds to every estimator for its own metadata routing."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def _without_value(app, domain, kind, content):
    """Leave out what a constant holds: folders of the machine that builds, and long tables."""
    if kind == "data":
        for value in list(content.parent[0].findall(addnodes.desc_annotation)):
            value.parent.remove(value)
