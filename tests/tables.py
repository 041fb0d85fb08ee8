"""Tables of what is asked, what is here, and which test shows it, as the pages that people read.

``python -m tests.tables --write`` makes ``docs/otp.md`` from ``semantics_table.toml``,
``docs/present.md`` from ``present_table.toml`` and ``docs/defects.md`` from ``defects_table.toml``;
``test_tables.py`` holds the pages, the tables and the tests together.
"""

from __future__ import annotations

import ast
import functools
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"
MADE = "<!-- made by `python -m tests.tables --write`; change tests/{} instead -->\n"


class Table(NamedTuple):
    """A page and what it is made from."""

    source: Path
    page: Path
    head: str


SEMANTICS = Table(
    TESTS / "semantics_table.toml",
    DOCS / "otp.md",
    """\
# The table of semantics

What the test suites of other supervision systems ask, case by case, and what ours does: each row in our
words, with the tests that show it, or with the reason why it does not apply. A row names tests of the
folder `tests`, and `tests/test_tables.py` fails when one of them is gone. The rules behind the rows are in
[Semantics](semantics.md).
""",
)
PRESENT = Table(
    TESTS / "present_table.toml",
    DOCS / "present.md",
    """\
# In the place of a hand-made error handler

Many services have a module of their own that retries, counts errors and trips a breaker. This is what one of
them does for its users, where it falls short, and what is here in its place: with the tests of the folder
`tests` that show it, or the reason why it is not there. `tests/test_tables.py` fails when one of them is gone.
How it is used is in the [how-to guides](howto.md#see-what-went-wrong-and-what-became-of-it), the rules are in
[Semantics](semantics.md#error-records).
""",
)
DEFECTS = Table(
    TESTS / "defects_table.toml",
    DOCS / "defects.md",
    """\
# Defects of hand-made resilience

What breakers, retries, limiters and error handlers get wrong when everybody writes their own, and how it is
here: with the tests of the folder `tests` that show it. `tests/test_tables.py` fails when one of them is gone.
How to use what there is instead is in [Guarded calls](guards.md) and [Permits](permits.md).
""",
)
TABLES = (SEMANTICS, PRESENT, DEFECTS)

WITHOUT = {"not": "do not apply", "later": "are not built yet"}
"""What is said of rows without a test."""


def suites(table: Table = SEMANTICS) -> list[dict[str, Any]]:
    """The table, as it is written: suites with rows."""
    return tomllib.loads(table.source.read_text(encoding="utf-8"))["suite"]


def named_in(module: Path) -> Iterator[str]:
    """The tests that a module defines, by name; ``Class.name`` is told as ``Class::name``."""
    body = ast.parse(module.read_text(encoding="utf-8")).body
    yield from _names(body)
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from (f"{node.name}::{name}" for name in _names(node.body))


def _names(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name[:5] == "test_":
            yield node.name


@functools.cache
def every_test() -> set[str]:
    """All tests of the suite, as ``core/test_x.py::test_y``."""
    return {
        f"{module.relative_to(TESTS).as_posix()}::{name}"
        for module in TESTS.rglob("test_*.py")
        for name in named_in(module)
    }


def page(table: Table) -> str:
    """The page as it has to be."""
    lines = [MADE.format(table.source.name) + table.head]
    found = suites(table)
    rows = [row for suite in found for row in suite["row"]]
    shown = sum("by" in row for row in rows)
    counts = [
        f"{count} {what}"
        for key, what in WITHOUT.items()
        if (count := sum(key in row for row in rows))
    ]
    lines.append(f"Of {len(rows)} rows {'; '.join([f'{shown} are shown by tests', *counts])}.\n")
    for suite in found:
        lines += [f"## {suite['name']}\n", f"{suite['about']}\n"]
        lines += ["| case | here | shown by |", "|---|---|---|"]
        lines += map(_line, suite["row"])
        lines.append("")
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    if "by" in row:
        by = "<br>".join(f"`{test}`" for test in row["by"])
        return f"| {_cell(row['case'])} | {_cell(row['here'])} | {by} |"
    if "later" in row:
        return f"| {_cell(row['case'])} | *Not built yet:* {_cell(row['later'])} | |"
    return f"| {_cell(row['case'])} | *Does not apply:* {_cell(row['not'])} | |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.tables --write")
    for made in TABLES:
        made.page.write_text(page(made), encoding="utf-8")
