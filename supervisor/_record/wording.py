"""TELL: how times, errors, numbers and lists are said, everywhere in the same words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, TypeAlias

from supervisor._errors import TreeFailed
from supervisor._words import one_line

Wall: TypeAlias = Callable[[float], datetime]
"""Turns seconds of the tree's clock into a date of the place."""

LONGEST_TEXT: Final = 300
MOST_LISTED: Final = 5


def duration(seconds: float) -> str:
    """The time as people say it: ``210 ms``, ``90 s``, ``4 min 10 s``, ``1 h 3 min``, ``2 d``."""
    if not math.isfinite(seconds):
        return "ever"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.0005 else "<1 ms"
    if seconds < 99.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for unit, size, smaller, part in (
        ("d", 86_400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    raise AssertionError(seconds)


def clock_time(at: float, wall: Wall) -> str:
    """The time of day."""
    return f"{wall(at):%H:%M:%S}" if math.isfinite(at) else "no set time"


def until(now: float, end: float | None, wall: Wall | None) -> str:
    """``for 90 s until 12:05:31``; empty where there is no end."""
    if end is None or not math.isfinite(end):
        return ""
    left = f"for {duration(max(end - now, 0))}"
    return f"{left} until {clock_time(end, wall)}" if wall else left


def soon(delay: float) -> str:
    """``in 90 s``, or ``at once``."""
    return f"in {duration(delay)}" if delay > 0 else "at once"


def count(number: int, noun: str) -> str:
    """``1 crash``, ``2 crashes``, ``3 children``."""
    if number == 1:
        return f"1 {noun}"
    plural = "children" if noun == "child" else noun + ("es" if noun.endswith("sh") else "s")
    return f"{number} {plural}"


def ordinal(number: int) -> str:
    """``1st``, ``2nd``, ``3rd``, ``11th``."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}" + {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def listed(texts: Iterable[str]) -> str:
    """The first few of them, and how many more there are."""
    all_of_them = list(texts)
    more = len(all_of_them) - MOST_LISTED
    shown = ", ".join(all_of_them[:MOST_LISTED])
    return f"{shown} and {more} more" if more > 0 else shown


def printable(text: str) -> str:
    """Without line ends and terminal codes, which texts of users may contain."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text)


def sole(error: BaseException) -> BaseException:
    """What is within a group of one, however deep; a group that says more than that is kept."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        if isinstance(error, TreeFailed) or getattr(error, "__notes__", None):
            break
        error = error.exceptions[0]
    return error


def error_line(error: BaseException) -> str:
    """The error in one line of a bearable length."""
    text = one_line(sole(error))
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."


_FRAME = re.compile(
    r'File "(?P<folder>.*[/\\])?(?P<file>[^"]+)", line (?P<line>\d+), in (?P<name>.+)'
)
_LIBRARIES = re.compile(r"[/\\](asyncio|anyio|trio|uvloop)[/\\]")


def innermost(stack: str) -> str:
    """The last frame of a printed stack, in short: that of the child's own code, if there is one,
    for a library's says only that it waits. Empty where none is found."""
    frames = list(_FRAME.finditer(stack))
    if not frames:
        return ""
    own = [frame for frame in frames if not _LIBRARIES.search(frame["folder"] or "")]
    last = (own or frames)[-1]
    return f"{last['name'].strip()} ({last['file']}:{last['line']})"
