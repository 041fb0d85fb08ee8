"""What came out: as a table for people, as JSON for programs, with the machine that it is true of."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from tests.benchmarks.runner import ROOT, Result

HEAD = ("row", "backend", "ours", "floor", "ratio", "bar", "met")
LIBRARIES = ("anyio", "trio", "uvloop", "msgspec")


def table(results: Sequence[Result]) -> str:
    """The medians, one line for each row and backend."""
    lines = [HEAD, *map(_cells, results)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_line(cells, widths) for cells in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    words = [
        cell.ljust(width) if i < 2 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(words).rstrip()


def _cells(result: Result) -> tuple[str, ...]:
    bar, ratio, unit = result.row.bar, result.ratio, result.row.unit
    return (
        result.row.name,
        result.backend,
        _figure(result.ours, unit),
        _figure(result.floor, unit),
        "-" if ratio is None else f"{ratio:.2f}",
        "-" if bar is None else bar.text(result.backend),
        {True: "yes", False: "NO", None: "-"}[result.met],
    )


def _figure(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if value >= 1000 or value.is_integer() else f"{value:.3g}"
    return f"{number} {unit}".rstrip()


def as_json(results: Sequence[Result]) -> dict[str, object]:
    """All figures by backend and row, and beside them the machine."""
    by_backend: dict[str, dict[str, object]] = {}
    for result in results:
        by_backend.setdefault(result.backend, {})[result.row.name] = _facts(result)
    return {**by_backend, "machine": machine(), "commit": commit()}


def _facts(result: Result) -> dict[str, object]:
    bar = result.row.bar
    return {
        "ours": result.ours,
        "floor": result.floor,
        "ratio": result.ratio,
        "unit": result.row.unit,
        "bar": None if bar is None else bar.text(result.backend),
        "bar_of": None if bar is None else bar.of,
        "met": result.met,
        "rounds": result.rounds,
    }


def machine() -> dict[str, object]:
    """What the figures depend on."""
    return {
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **{library: _version(library) for library in LIBRARIES},
    }


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit of the checkout, with ``+`` where its files differ from it; None outside one."""
    try:
        head = _git("rev-parse", "HEAD")
        return head + (
            "+" if _git("status", "--porcelain", "supervisor", "tests/benchmarks") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*args: str) -> str:
    done = subprocess.run(["git", *args], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()
