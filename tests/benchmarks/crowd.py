"""A hundred thousand children: whether one more, or one crash among them, costs what it does among
few.

Both sides of these rows are the same case, at two sizes. What is left of a ratio when the same is done
with bare tasks is the machine's and the interpreter's: caches, and a garbage collector that goes
through all that is alive.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from itertools import cycle, islice

import anyio
from anyio.lowlevel import checkpoint

from supervisor import Component, Supervisor, open_supervisor
from tests.benchmarks import idle
from tests.benchmarks.restarts import AT_ONCE, restart_for_ever
from tests.benchmarks.stopwatch import Figure, Stopwatch

CRASHES = 400
"""So many crashes are timed one by one, of as many different children as there are."""
UNHURRIED = 600
"""Seconds that a tree of this size may take to stop."""


# --- starting ------------------------------------------------------------------------------------


async def start(count: int) -> Figure:
    """Microseconds a child."""
    return (await idle.start(count, stop_within=UNHURRIED)).times(1e6 / count)


async def start_tasks(count: int) -> Figure:
    return (await idle.start_tasks(count)).times(1e6 / count)


# --- one crash -----------------------------------------------------------------------------------


class Crowd:
    """Children that wait, of which some crash on cue and note when their next life begins."""

    def __init__(self, count: int) -> None:
        step = max(count // CRASHES, 1)
        self.victims = [Victim() for _ in range(0, count, step)]
        self.lives: list[Callable[[], Awaitable[None]]] = [self._wait] * count
        self.lives[::step] = [victim.live for victim in self.victims]
        self.begun = 0

    async def _wait(self) -> None:
        self.begun += 1
        await anyio.sleep_forever()

    async def crash(self) -> Figure:
        """Microseconds from a crash to the next life: the median."""
        waiting = len(self.lives) - len(self.victims)
        while self.begun < waiting or not all(victim.cue for victim in self.victims):
            await checkpoint()
        each = islice(cycle(self.victims), CRASHES)
        return Figure.median([await victim.crash() for victim in each]).times(1e6)


class Victim:
    """One child; ``cue`` is what its present life waits for."""

    def __init__(self) -> None:
        self.cue: anyio.Event | None = None
        self._crashed: Stopwatch | None = None
        self._took = Figure(math.inf)
        self._back = anyio.Event()

    async def live(self) -> None:
        if self._crashed is not None:
            self._took = self._crashed.seconds()
            self._back.set()
        self.cue = anyio.Event()
        await self.cue.wait()
        self._crashed = Stopwatch()
        raise RuntimeError("on cue")

    async def crash(self) -> Figure:
        assert self.cue is not None
        self._back = anyio.Event()
        self.cue.set()
        await self._back.wait()
        return self._took


async def crash(count: int) -> Figure:
    crowd = Crowd(count)
    children = [
        Component(live, name=f"child-{i}", backoff=AT_ONCE, quarantine=None)
        for i, live in enumerate(crowd.lives)
    ]
    async with open_supervisor(Supervisor("tree", children), stop_within=UNHURRIED) as tree:
        figure = await crowd.crash()
        await tree.stop()
    return figure


async def crash_tasks(count: int) -> Figure:
    """The same with bare tasks, of which those that crash are started again."""
    crowd = Crowd(count)
    async with anyio.create_task_group() as group:
        for live in crowd.lives:
            if live == crowd._wait:
                group.start_soon(live)
            else:
                group.start_soon(restart_for_ever, live, group)
        figure = await crowd.crash()
        group.cancel_scope.cancel()
    return figure
