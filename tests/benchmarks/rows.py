"""The rows: which case is measured beside which floor, in what unit, against what bar."""

from __future__ import annotations

import operator
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tests.benchmarks import crowd, guards, idle, imports, letters, permits, restarts
from tests.benchmarks.peers import case_of
from tests.benchmarks.stopwatch import Figure

Backend: TypeAlias = Literal["asyncio", "uvloop", "trio"]
Case: TypeAlias = Callable[[int], Awaitable[Figure]]

BACKENDS: Final[tuple[Backend, ...]] = ("asyncio", "uvloop", "trio")
SIDES: Final = ("ours", "floor")
"""What every row has; a peer's name is a side too."""

_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Bar:
    """What a row has to reach: as a ratio to its floor, or as the figure itself."""

    sign: Literal["<", "<=", ">="]
    limit: float
    of: Literal["ratio", "ours"] = "ratio"
    trio: float | None = None  # where trio's limit is another

    def limit_on(self, backend: Backend) -> float:
        return self.trio if backend == "trio" and self.trio is not None else self.limit

    def met(self, backend: Backend, value: float) -> bool:
        return _COMPARE[self.sign](value, self.limit_on(backend))

    def text(self, backend: Backend) -> str:
        return f"{self.sign} {self.limit_on(backend):g}"


@dataclass(frozen=True)
class Row:
    """One line of the table. ``size`` is what its cases are called with."""

    name: str
    unit: str
    size: int
    ours: Case
    floor: Case
    bar: Bar | None = None
    gc: bool = True  # whether the garbage collector is on
    repeat: int = 1  # so many times the rounds that were asked for
    has_backend: bool = True  # whether the backend makes a difference
    floor_size: int | None = None  # where the floor is the same thing, smaller
    kib: int = 0  # resident memory to be found for each child, where there are many

    def case(self, side: str) -> Case:
        return {"ours": self.ours, "floor": self.floor}.get(side) or _of_peer(side, self.name)

    def size_of(self, side: str, size: int) -> int:
        """What to call the side's case with when the row is called with ``size``."""
        if side == "floor" and self.floor_size is not None:
            return min(self.floor_size, max(size // 10, 1))
        return size


def _of_peer(peer: str, row: str) -> Case:
    case = case_of(peer, row)
    assert case is not None
    return case


ALL: Final[tuple[Row, ...]] = (
    Row("idle_start", "s", 10_000, idle.start, idle.start_tasks, Bar("<=", 1.25)),
    Row("idle_memory", "KiB", 10_000, idle.memory, idle.memory_of_tasks, Bar("<=", 1.3)),
    Row(
        "idle_stop_dynamic",
        "s",
        10_000,
        idle.stop_dynamic,
        idle.stop_tasks,
        Bar("<=", 1.3),
        gc=False,
    ),
    Row("idle_stop_dynamic_gc", "s", 10_000, idle.stop_dynamic, idle.stop_tasks),
    Row(
        "idle_stop_listed",
        "s",
        10_000,
        idle.stop_listed,
        idle.stop_tasks,
        Bar("<=", 3, trio=5),
        gc=False,
    ),
    Row("idle_stop_listed_gc", "s", 10_000, idle.stop_listed, idle.stop_tasks),
    Row("restart", "/s", 20_000, restarts.rate, restarts.rate_of_tasks, Bar(">=", 0.75, trio=1.0)),
    Row(
        "first_restart_ms",
        "ms",
        300,
        restarts.first,
        restarts.first_of_tasks,
        Bar("<", 0.3, of="ours"),
    ),
    Row(
        "scale_100k_start",
        "us",
        100_000,
        crowd.start,
        crowd.start,
        Bar("<=", 1.2),
        floor_size=10_000,
        kib=12,
    ),
    Row(
        "scale_100k_start_tasks",
        "us",
        100_000,
        crowd.start_tasks,
        crowd.start_tasks,
        floor_size=10_000,
        kib=12,
    ),
    Row(
        "crash_100k", "us", 100_000, crowd.crash, crowd.crash, Bar("<=", 1.5), floor_size=10, kib=12
    ),
    Row(
        "crash_100k_tasks",
        "us",
        100_000,
        crowd.crash_tasks,
        crowd.crash_tasks,
        floor_size=10,
        kib=12,
    ),
    Row("idle_wakeups", "", 10_000, idle.wakeups, idle.wakeups_of_tasks, Bar("<=", 0, of="ours")),
    Row("permit_try", "ns", 200_000, permits.tried, permits.awaited, Bar("<=", 3)),
    Row("permit_acquire", "ns", 200_000, permits.acquired, permits.awaited, Bar("<=", 7)),
    Row("permit_with", "ns", 200_000, permits.entered, permits.awaited, Bar("<=", 10)),
    Row(
        "permit_share",
        "",
        20_000,
        permits.shared,
        permits.shared_floor,
        Bar(">=", 0.98, of="ours"),
    ),
    Row("permit_cost", "us", 20_000, permits.paid, permits.paid_floor),
    Row("guard_breaker", "ns", 200_000, guards.breaker, guards.answered, Bar("<=", 6)),
    Row("guard_retry", "ns", 200_000, guards.retry, guards.answered, Bar("<=", 3)),
    Row("guard_call", "ns", 50_000, guards.call, guards.answered),
    Row("guard_whole", "ns", 50_000, guards.whole, guards.by_hand, Bar("<=", 1.3)),
    Row("cast", "/s", 200_000, letters.cast, letters.send, Bar(">=", 10)),
    Row("call", "us", 20_000, letters.call, letters.round_trip, Bar("<=", 0.5)),
    Row(
        "call_timeout",
        "us",
        20_000,
        letters.call_with_timeout,
        letters.round_trip,
        Bar("<=", 0.65),
    ),
    Row(
        "import_ms",
        "ms",
        1,
        imports.ours,
        imports.beneath,
        Bar("<=", 20, of="ours"),
        repeat=3,
        has_backend=False,
    ),
)
