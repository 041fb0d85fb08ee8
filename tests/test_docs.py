"""Every Python snippet of the README and the docs runs, on both backends where it is async.

The snippets of a page share their names, as a reader carries them on. What is defined as
``test_...`` is collected as a test; a snippet that awaits at its top level becomes one. A page may
set up what it does not show, in a comment that begins with ``<!-- python``. A snippet after a
comment ``<!-- not run: why -->`` is compiled only.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest

ROOT = Path(__file__).parent.parent
PAGES = [page for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))) if page.is_file()]

BLOCK = re.compile(
    r"(?P<off><!-- not run: [^>]+ -->\s*\n)?"
    r"^(?P<open>```python|<!-- python)\n(?P<source>.*?)^(?:```|-->)$",
    re.MULTILINE | re.DOTALL,
)


class Snippet(NamedTuple):
    page: Path
    line: int
    source: str
    shown: bool
    runs: bool

    def compile(self) -> Any:
        # Padded, so that a traceback names the line of the page.
        padded = "\n" * (self.line - 1) + self.source
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        return compile(padded, str(self.page), "exec", flags=flags, dont_inherit=True)


def snippets(page: Path) -> Iterator[Snippet]:
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("source")) + 1
        shown = match["open"].startswith("```")
        yield Snippet(page, line, match["source"], shown, runs=match["off"] is None)


def load(page: Path) -> dict[str, Callable[..., Any]]:
    """Run the page's snippets and return its tests by name."""
    names: dict[str, Any] = {"__name__": f"docs_{page.stem}", "__file__": str(page)}
    tests = {}
    for snippet in snippets(page):
        code = snippet.compile()
        if not snippet.runs:
            continue
        if code.co_flags & inspect.CO_COROUTINE:
            tests[f"test_{page.stem}_line_{snippet.line}"] = awaiting(code, names)
        else:
            exec(code, names)
    for name, value in names.items():
        if name.startswith("test_") and callable(value):
            tests[f"test_{page.stem}_{name.removeprefix('test_')}"] = value
    return tests


def awaiting(code: Any, names: dict[str, Any]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        with anyio.fail_after(24 * 3600):
            await eval(code, names)

    return run


for _page in PAGES:
    globals().update(load(_page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_snippet_is_overlooked(page: Path) -> None:
    written = re.findall(r"^\s*```py", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(written) == sum(snippet.shown for snippet in snippets(page))
