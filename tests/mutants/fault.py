"""What a mutant is, and how it is put into a source."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

ROOT = Path(__file__).parents[2]

Law: TypeAlias = int | str
"""The number of a law in docs/guarantees.md, or the heading of a section there or in
docs/semantics.md."""

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Misplaced(AssertionError):
    """The source has changed, so that the mutant no longer says what is to be replaced."""


class Mutant(Struct, frozen=True):
    """A fault: within ``function`` of ``module``, the fragment ``old`` becomes ``new``.

    The fragment has to occur there exactly once. A mutant is killed when one of the tests ``killed_by``
    fails. One that makes it hang says so with ``hangs``.
    """

    fault: str
    law: Law
    module: str
    function: str
    old: str
    new: str
    killed_by: tuple[str, ...]
    hangs: bool = False

    @property
    def name(self) -> str:
        return self.fault.replace(" ", "-")

    @property
    def path(self) -> Path:
        return ROOT.joinpath(*self.module.split(".")).with_suffix(".py")


def mutated(mutant: Mutant, source: str) -> str:
    """The source with the fault in it.

    Raises:
        Misplaced: the function or the fragment is not there, or the fragment is there twice.
    """
    lines = source.splitlines(keepends=True)
    first, last = _span(mutant, ast.parse(source))
    within = "".join(lines[first:last])
    if (count := within.count(mutant.old)) != 1:
        found = f"{mutant.old!r} occurs {count} times in {mutant.function} of {mutant.module}"
        raise Misplaced(f"{found}, not once. Adapt the mutant {mutant.fault!r} to the source")
    changed = within.replace(mutant.old, mutant.new)
    return "".join([*lines[:first], changed, *lines[last:]])


def _span(mutant: Mutant, tree: ast.Module) -> tuple[int, int]:
    """The lines of the function: from this one on, up to before that one."""
    at: ast.AST = tree
    for name in mutant.function.split("."):
        inner = [n for n in ast.walk(at) if isinstance(n, DEFINITIONS) and n.name == name]
        if not inner:
            missing = f"there is no {mutant.function} in {mutant.module}"
            raise Misplaced(f"{missing}. Adapt the mutant {mutant.fault!r} to the source")
        at = inner[0]
    assert isinstance(at, DEFINITIONS)
    assert at.end_lineno is not None
    return at.lineno - 1, at.end_lineno
