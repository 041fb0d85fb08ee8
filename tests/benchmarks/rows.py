"""The rows: which case is measured beside which floor, in what unit, against what bar."""

from __future__ import annotations

import operator
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tests.benchmarks import idle, imports, restarts

Backend: TypeAlias = Literal["asyncio", "uvloop", "trio"]
Side: TypeAlias = Literal["ours", "floor"]
Case: TypeAlias = Callable[[int], Awaitable[float]]

BACKENDS: Final[tuple[Backend, ...]] = ("asyncio", "uvloop", "trio")
SIDES: Final[tuple[Side, ...]] = ("ours", "floor")

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

    def case(self, side: Side) -> Case:
        return self.ours if side == "ours" else self.floor


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
    Row("idle_wakeups", "", 10_000, idle.wakeups, idle.wakeups_of_tasks, Bar("<=", 0, of="ours")),
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
