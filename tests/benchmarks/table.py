"""What came out: as a table for people, as JSON for programs, with the machine that it is true of."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from tests.benchmarks.peers import APART, PEERS
from tests.benchmarks.runner import ROOT, Result
from tests.benchmarks.stopwatch import Figure

HEAD = ("row", "backend", "ours", "floor", "ratio", "in cpu", "bar", "met")
HEAD_OF_PEERS = ("row", "backend", "peer", "figure", "to floor", "in cpu", "to ours", "in cpu", "")
LIBRARIES = ("anyio", "trio", "uvloop", "msgspec")


def table(results: Sequence[Result]) -> str:
    """The medians, one line for each row and backend, and beneath them why some are missing."""
    lines = _lines([HEAD, *map(_cells, results)], names=2)
    for result in results:
        if reason := result.missing.get("ours"):
            lines.append(f"{result.row.name} on {result.backend} is skipped: {reason}")
    return "\n".join(lines)


def table_of_peers(results: Sequence[Result]) -> str:
    """What each peer makes of the rows, or why there is no figure of it."""
    rows = [_cells_of_peer(result, peer) for result in results for peer in _peers(result)]
    lines = _lines([HEAD_OF_PEERS, *rows], names=3)
    lines += [f"{peer} is not measured: {reason}" for peer, reason in APART.items()]
    return "\n".join(lines)


def _peers(result: Result) -> list[str]:
    return [peer for peer in PEERS if peer in result.rounds or peer in result.missing]


def _cells_of_peer(result: Result, peer: str) -> tuple[str, ...]:
    return (
        result.row.name,
        result.backend,
        peer,
        _figure(result.figure(peer), result.row.unit),
        *_ratios(result.ratio(peer)),
        *_ratios(result.ratio(peer, "ours")),
        result.missing.get(peer, ""),
    )


def _lines(rows: Sequence[Sequence[str]], names: int) -> list[str]:
    """In columns, of which the first ones are names and the others figures."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_line(cells, widths, names) for cells in rows]


def _line(cells: Sequence[str], widths: Sequence[int], names: int) -> str:
    words = [
        cell.ljust(width) if i < names or i == len(HEAD_OF_PEERS) - 1 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(words).rstrip()


def _cells(result: Result) -> tuple[str, ...]:
    bar, unit = result.row.bar, result.row.unit
    ratio = None if bar is not None and bar.of == "ours" else result.ratio()
    return (
        result.row.name,
        result.backend,
        _figure(result.figure("ours"), unit),
        _figure(result.figure("floor"), unit),
        *_ratios(ratio),
        "-" if bar is None else bar.text(result.backend),
        {True: "yes", False: "NO", None: "-"}[result.met],
    )


def _figure(figure: Figure | None, unit: str) -> str:
    if figure is None:
        return "-"
    value = figure.value
    number = f"{value:,.0f}" if value >= 1000 or value.is_integer() else f"{value:.3g}"
    return f"{number} {unit}".rstrip()


def _ratios(ratio: Figure | None) -> tuple[str, str]:
    if ratio is None:
        return "-", "-"
    return f"{ratio.value:.2f}", "-" if ratio.cpu is None else f"{ratio.cpu:.2f}"


def as_json(results: Sequence[Result]) -> dict[str, object]:
    """All figures by backend and row, and beside them the machine."""
    by_backend: dict[str, dict[str, object]] = {}
    for result in results:
        by_backend.setdefault(result.backend, {})[result.row.name] = _facts(result)
    return {**by_backend, "machine": machine(), "commit": commit(), "not_measured": APART}


def _facts(result: Result) -> dict[str, object]:
    bar = result.row.bar
    sides = [*result.rounds, *(side for side in result.missing if side not in result.rounds)]
    return {
        "unit": result.row.unit,
        "sides": {side: _side(result, side) for side in sides},
        "ratio": _plain(result.ratio()),
        "bar": None if bar is None else bar.text(result.backend),
        "bar_of": None if bar is None else bar.of,
        "met": result.met,
    }


def _side(result: Result, side: str) -> dict[str, object]:
    """The median, then every round; or why there is none."""
    if reason := result.missing.get(side):
        return {"missing": reason}
    return {
        "median": _plain(result.figure(side)),
        "rounds": [_plain(figure) for figure in result.rounds[side]],
    }


def _plain(figure: Figure | None) -> dict[str, float | None] | None:
    return None if figure is None else {"value": figure.value, "cpu": figure.cpu}


def machine() -> dict[str, object]:
    """What the figures depend on."""
    return {
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **{library: _version(library) for library in (*LIBRARIES, *PEERS)},
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
