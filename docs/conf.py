"""Sphinx reads this; the docs build without a network."""

from __future__ import annotations

from importlib.metadata import version as installed
from typing import Any

project = "anyio-supervisor"
author = "the authors of anyio-supervisor"
version = release = installed(project)

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = project

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = False

nitpicky = True
# There is no inventory to look these up in: the docs build offline.
nitpick_ignore_regex = [
    ("py:.*", r"(anyio|asyncio|collections|contextlib|logging|msgspec|os|pytest|trio|typing)\..*"),
    ("py:.*", r"(Any|Awaitable|Callable|Iterator|Mapping|Sequence|TaskStatus|TracebackType)"),
    ("py:class", r"supervisor\._(core|runtime)\.\w+\.(BudgetState|Unlimited|Waiting|M|R)"),
    ("py:class", r"[0-9.]+"),  # of a bound in an annotation
    ("py:exc", r"[A-Z]\w*(Error|Exception|Exit)"),
]

MADE_BY_THE_LIBRARY = {
    "Attempt",
    "Child",
    "CurrentChild",
    "Letter",
    "Permit",
    "RunningBroker",
    "Subscription",
    "Tree",
    "Using",
}


def hide_constructors(_app: Any, what: str, name: str, *_: Any) -> tuple[str, str] | None:
    """Show no arguments for classes that only the library makes."""
    hidden = what == "class" and name.removeprefix("supervisor.") in MADE_BY_THE_LIBRARY
    return ("", "") if hidden else None


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("autodoc-process-signature", hide_constructors)
