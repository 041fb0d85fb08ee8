"""Every place in the runtime at which it can be suspended, and which of them a task is at."""

from __future__ import annotations

import ast
import dis
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Literal, NamedTuple, TypeAlias

import supervisor._runtime
from supervisor._runtime.life import suspended_frames

FOLDER = Path(supervisor._runtime.__file__).parent

Kind: TypeAlias = Literal["await", "enter", "exit", "for"]

# What the compiler notes beside each await of an ``async with``.
_KINDS: dict[int, Kind] = {0: "await", 1: "enter", 2: "exit"}


class Site(NamedTuple):
    """One await. It is named by its text, as lines move; the line is for the reader."""

    file: str
    text: str
    kind: Kind
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.text} ({self.kind})"


def all_sites() -> list[Site]:
    """As the syntax has them: ``await``, and each ``async with`` twice, and ``async for``."""
    return [site for file in sorted(FOLDER.glob("*.py")) for site in _in_file(file)]


def _in_file(file: Path) -> Iterator[Site]:
    source = file.read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Await):
            text = ast.get_source_segment(source, node) or ""
            yield Site(file.name, " ".join(text.split()), "await", node.lineno)
        elif isinstance(node, ast.AsyncWith):
            text = "async with " + ", ".join(map(ast.unparse, node.items))
            for kind in ("enter", "exit"):
                yield Site(file.name, text, kind, node.lineno)
        elif isinstance(node, ast.AsyncFor):
            yield Site(file.name, f"async for {ast.unparse(node.target)}", "for", node.lineno)


def sites_of(coro: Any) -> tuple[Site, ...]:
    """The awaits of the runtime that this suspended coroutine is in, outermost first."""
    return tuple(filter(None, (_site(frame) for frame in suspended_frames(coro))))


def _site(frame: FrameType) -> Site | None:
    if not frame.f_code.co_filename.startswith(str(FOLDER)):
        return None
    return _site_at(frame.f_code, frame.f_lasti)


@cache
def _site_at(code: CodeType, at: int) -> Site | None:
    awaits = [i for i in dis.get_instructions(code) if i.offset <= at and _begins_to_wait(i)]
    if not awaits:
        return None
    last = awaits[-1]
    kind: Kind = "for" if last.opname == "GET_ANEXT" else _KINDS[last.arg or 0]
    positions = last.positions
    line = positions.lineno if positions is not None else None
    here = [s for s in _by_file()[Path(code.co_filename).name] if (s.line, s.kind) == (line, kind)]
    assert len(here) == 1, f"{code.co_filename}:{line} has {len(here)} awaits of kind {kind}"
    return here[0]


def _begins_to_wait(instruction: dis.Instruction) -> bool:
    return instruction.opname in {"GET_AWAITABLE", "GET_ANEXT"}


@cache
def _by_file() -> dict[str, list[Site]]:
    return {file.name: list(_in_file(file)) for file in FOLDER.glob("*.py")}
