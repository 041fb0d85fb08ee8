"""Where the time of one case goes, ours beside the floor: ``--profile ROW``.

A profiler makes calls dear: a case that it looks at takes three to four times as long. So the case runs
plain first, and its processor time is what the table adds up to. What the profiler has added is the
difference of the two runs; it is spread evenly over all calls, half to the caller and half to the
function that is called, and taken off. What is left is scaled to the plain run. That is an estimate:
trust the groups and the order of the functions, not the last digit.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.benchmarks.rows import SIDES, Backend, Row
from tests.benchmarks.runner import PATIENCE, ROOT, CaseFailed

UNTIMED: Final = {"idle_memory", "idle_wakeups", "import_ms"}
"""Rows with no section of which one could ask where its time goes."""
ROUNDS: Final = 3

COLLECTOR: Final = "garbage collector"
UNSEEN: Final = "not in Python functions"
GROUPS: Final = (
    ("supervisor/_core/", "supervisor._core"),
    ("supervisor/_runtime/", "supervisor._runtime"),
    ("supervisor/", "supervisor, the rest"),
    ("tests/benchmarks/", "the children and the case"),
    ("/site-packages/anyio/", "anyio"),
    ("/site-packages/sniffio/", "anyio"),
    ("/site-packages/trio/", "event loop"),
    ("/site-packages/outcome/", "event loop"),
    ("/asyncio/", "event loop"),
    ("/selectors.py", "event loop"),
    ("<attrs generated methods ", "event loop"),  # trio's classes, and outcome's
)
REST: Final = "other libraries"
ORDER: Final = (*dict.fromkeys(name for _, name in GROUPS), REST, UNSEEN, COLLECTOR)

HEAD: Final = ("", "ours us", "calls", "floor us", "calls")
LEAST: Final = 0.01
"""A function with less than this share of the whole is among the others of its group."""


@dataclass(frozen=True)
class Cost:
    """Of one function, for each child, restart or crash."""

    us: float
    calls: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.us + other.us, self.calls + other.calls)


Costs = dict[tuple[str, str], Cost]
"""By group and function."""
NOTHING: Final = Cost(0, 0)


def profile(row: Row, backend: Backend, size: int) -> dict[str, Costs]:
    """What each side spends on what.

    Raises:
        CaseFailed: a case did not come to its end.
    """
    return {side: _profile(row, side, backend, row.size_of(side, size)) for side in SIDES}


def _profile(row: Row, side: str, backend: Backend, size: int) -> Costs:
    plain = [_observe(row, side, backend, size, "plain") for _ in range(ROUNDS)]
    collecting = median(each["gc"] for each in plain)
    working = max(median(each["cpu"] - each["gc"] for each in plain), 0.0)
    profiled = _observe(row, side, backend, size, "profiled")
    # A case that reads its stopwatch many times times one crash each; the others, all their children.
    units = profiled["laps"] if profiled["laps"] > 1 else size
    costs = correct(profiled, working, units)
    costs[COLLECTOR, ""] = Cost(collecting / units * 1e6, 0)
    return costs


def _observe(row: Row, side: str, backend: Backend, size: int, way: str) -> dict[str, Any]:
    args = [row.name, side, backend, str(size), way]
    command = [sys.executable, "-m", "tests.benchmarks.observed", *args]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise CaseFailed(f"{' '.join(args)} took more than {PATIENCE} s") from None
    if done.returncode:
        raise CaseFailed(f"{' '.join(args)} exited with {done.returncode}\n{done.stderr}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def correct(profiled: dict[str, Any], working: float, units: int) -> Costs:
    """The profile without what profiling has cost, scaled to the seconds of the plain run."""
    functions = profiled["functions"]
    calls = sum(count for _, _, count, _, _ in functions)
    excess = max(profiled["cpu"] - working, 0.0) / max(calls, 1)
    seconds: list[tuple[tuple[str, str], int, float]] = [
        (_whose(file, name), count, max(own - excess * (count + made) / 2, 0.0))
        for file, name, count, made, own in functions
    ]
    unseen = max(profiled["wall"] - sum(own for *_, own in functions), 0.0)
    seconds.append(((UNSEEN, ""), 0, unseen))
    scale = working / (sum(each for *_, each in seconds) or 1.0)
    costs: Costs = defaultdict(lambda: NOTHING)
    for whose, count, each in seconds:
        costs[whose] += Cost(each * scale / units * 1e6, count / units)
    return dict(costs)


def _whose(file: str, name: str) -> tuple[str, str]:
    path = file.removeprefix(f"{ROOT}/")
    group = next((name for part, name in GROUPS if part in path), REST)
    short = name.replace(".<locals>", "")
    return group, f"{Path(file).stem}.{short}"


# --- telling -------------------------------------------------------------------------------------


def table_of_profile(row: Row, backend: Backend, costs: dict[str, Costs]) -> str:
    """Groups and functions, by what they cost us."""
    ours, floor = (costs[side] for side in SIDES)
    whole = [_total(each.values()) for each in (ours, floor)]
    lines: list[Sequence[str]] = [HEAD, _cells(f"{row.name} on {backend}", *whole)]
    for group in ORDER:
        both = [
            {name: cost for (of, name), cost in side.items() if of == group}
            for side in costs.values()
        ]
        if any(both):
            lines.append(_cells(f"  {group}", *(_total(each.values()) for each in both)))
            lines += _functions(*both, least=LEAST * max(each.us for each in whole))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]).rstrip()
        for cells in lines
    )


def _functions(ours: dict[str, Cost], floor: dict[str, Cost], least: float) -> list[Sequence[str]]:
    def either(name: str) -> tuple[float, float]:
        return ours.get(name, NOTHING).us, floor.get(name, NOTHING).us

    names = [name for name in {**ours, **floor} if name]
    told = sorted((name for name in names if max(either(name)) >= least), key=either, reverse=True)
    lines = [
        _cells(f"    {name}", ours.get(name, NOTHING), floor.get(name, NOTHING)) for name in told
    ]
    if told and (others := set(names) - set(told)):
        sums = [_total(side.get(name, NOTHING) for name in others) for side in (ours, floor)]
        lines.append(_cells(f"    {len(others)} others", *sums))
    return lines


def _total(costs: Iterable[Cost]) -> Cost:
    return sum(costs, NOTHING)


def _cells(name: str, ours: Cost, floor: Cost) -> Sequence[str]:
    figures = [
        f"{each:.2f}" if each else "-" for side in (ours, floor) for each in (side.us, side.calls)
    ]
    return (name, *figures)


def profile_as_json(row: Row, backend: Backend, costs: dict[str, Costs]) -> dict[str, object]:
    """All functions, in the order of what they cost."""
    return {
        "row": row.name,
        "backend": backend,
        "unit": "us for each child, restart or crash",
        "sides": {side: [_plain(*each) for each in _dearest(costs[side])] for side in SIDES},
    }


def _dearest(costs: Costs) -> list[tuple[tuple[str, str], Cost]]:
    return sorted(costs.items(), key=lambda each: -each[1].us)


def _plain(whose: tuple[str, str], cost: Cost) -> dict[str, object]:
    return {"group": whose[0], "function": whose[1], "us": cost.us, "calls": cost.calls}
