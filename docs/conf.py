"""How the documentation is built; a reference that leads nowhere is an error."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sphinx.addnodes import pending_xref

if TYPE_CHECKING:
    from docutils.nodes import document
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1]))  # `bench` is not installed

import generate

import trio_dask

project = "trio_dask"
author = "the trio_dask contributors"
copyright = "2026, the trio_dask contributors"
version = release = trio_dask.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "Thumbs.db"]
html_theme = "furo"
html_title = f"trio_dask {release}"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"

nitpicky = True
# What is ours must be found. Others' documentation is linked where it can be reached: a build
# must not depend on it.
# A type variable, one capital letter, has no page.
nitpick_ignore_regex = [("py:.*", r"(?!trio_dask).*"), ("py:.*", r"trio_dask\..*\.[A-Z]")]
if os.environ.get("READTHEDOCS"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "trio": ("https://trio.readthedocs.io/en/stable", None),
        "anyio": ("https://anyio.readthedocs.io/en/stable", None),
        "dask": ("https://docs.dask.org/en/stable", None),
    }

generate.write_pages(Path(__file__).parent / "reference" / "generated")


def leave_type_alone(_: Sphinx, doctree: document) -> None:
    """Python's own `type` is no link: it would lead to those of futures, which are called so, too."""
    for node in list(doctree.findall(pending_xref)):
        if node["refdomain"] == "py" and node["reftarget"] == "type":
            node.replace_self(node.children)


def setup(app: Sphinx) -> None:
    """What is done while pages are made."""
    app.connect("doctree-read", leave_type_alone)
