"""The half of the virtual clock that needs trio, imported when it is asked for."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, MutableSequence
from typing import Any
from weakref import WeakKeyDictionary

import trio._core._run as trio_run
from trio.abc import Clock, Instrument
from trio.lowlevel import Task, current_clock, current_statistics
from trio.testing import MockClock

from supervisor.testing._census import CERTAINTY, busy_threads


def trio_options(threshold: float, spin: int) -> dict[str, Any]:
    """What ``trio.run`` needs for a virtual clock and a run order that can be repeated."""
    clock = MockClock(autojump_threshold=threshold)
    run = _runs[clock] = _Run(clock, threshold, spin)
    return {"clock": clock, "instruments": [run]}


def current_watchers() -> list[Callable[[], None]]:
    """Who is told of a deadlock of the present run; nobody will be on a real clock."""
    run = _runs.get(current_clock())
    return [] if run is None else run.watchers


class _Run(Instrument):
    """Makes one trio run like the next: it begins at 0.0 and runs the oldest task first.

    It also sees when tasks spin, or when none can ever run again.
    """

    def __init__(self, clock: MockClock, threshold: float, spin: int) -> None:
        self.watchers: list[Callable[[], None]] = []
        self._clock = clock
        clock.__dict__["_autojump"] = self._jump
        self._threshold = threshold
        self._spin = spin
        self._instant = 0.0
        self._turns = 0
        self._ran = False
        self._suspected = False

    def before_run(self) -> None:
        # Hypothesis makes many runs of one fixture value; each is to begin at 0.0 as on asyncio.
        MockClock.__init__(self._clock, autojump_threshold=self._threshold)
        self._before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r
        # trio sorts a batch of tasks by age only under this flag, and then shuffles it.
        trio_run.__dict__.update(_ALLOW_DETERMINISTIC_SCHEDULING=True, _r=_OldestFirst())

    def after_run(self) -> None:
        flag, chance = self._before
        trio_run.__dict__.update(_ALLOW_DETERMINISTIC_SCHEDULING=flag, _r=chance)

    def before_task_step(self, task: Task) -> None:
        self._ran = True

    def before_io_wait(self, timeout: float) -> None:
        if self._ran:
            self._ran = self._suspected = False
            self._count_turn()
        elif self.watchers and _nothing_can_come():
            self._suspect()

    def _count_turn(self) -> None:
        now = self._clock.current_time()
        if now != self._instant:
            self._instant, self._turns = now, 0
        self._turns += 1
        if self._turns >= self._spin:
            self._turns = 0
            self._jump()

    def _jump(self) -> None:
        # The clock's own jump adds the difference to its time, which can miss the deadline by one
        # unit in the last place. Here the clock is set to what asyncio's is set to.
        deadline = trio_run.GLOBAL_RUN_CONTEXT.runner.deadlines.next_deadline()
        if self._clock.current_time() < deadline < math.inf:
            self._clock._virtual_base = deadline

    def _suspect(self) -> None:
        if self._suspected:
            self.watchers.pop()()
        self._suspected = not self._suspected
        time.sleep(CERTAINTY)


def _nothing_can_come() -> bool:
    now = current_statistics()
    sockets = sum(
        getattr(now.io_statistics, kind, 0)
        for kind in ("tasks_waiting_read", "tasks_waiting_write")
    )
    return (
        math.isinf(now.seconds_to_next_deadline)
        and not now.tasks_runnable
        and not now.run_sync_soon_queue_size
        and sockets <= 1  # trio's own wake-up pipe
        and not busy_threads()
    )


class _OldestFirst(random.Random):
    """What trio shuffles a batch with: trio takes from its end, so reversing runs it in order."""

    def shuffle(self, x: MutableSequence[Any]) -> None:
        x.reverse()


_runs: WeakKeyDictionary[Clock, _Run] = WeakKeyDictionary()
