"""The cases of the rows, over any peer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, TypeAlias

import anyio
from anyio.lowlevel import checkpoint

from tests.benchmarks.idle import resident
from tests.benchmarks.stopwatch import Figure, Stopwatch

Begin: TypeAlias = Callable[[], None]
Life: TypeAlias = Callable[[], Awaitable[None]]
Running: TypeAlias = AbstractAsyncContextManager[object]
"""Entering starts the children, leaving stops them."""

LONGEST = 10.0
"""Seconds for which restarts are counted, where there are not enough of them before."""


class Peer(Protocol):
    """An adapter. What it is given to run is called in tasks of the peer's."""

    backends: tuple[str, ...]
    restarts: bool

    def idle(self, begin: Begin, count: int) -> Running:
        """So many supervised children that call ``begin`` when they start, and then only wait."""

    def crashing(self, life: Life) -> Running:
        """One supervised child that runs ``life``, and again at once when that raises."""


class Case(Protocol):
    async def __call__(self, peer: Peer, count: int) -> Figure: ...


# --- children that wait --------------------------------------------------------------------------


class Roll:
    def __init__(self) -> None:
        self.begun = 0

    def begin(self) -> None:
        self.begun += 1

    async def wait_begun(self, count: int) -> None:
        while self.begun < count:
            await checkpoint()


async def start(peer: Peer, count: int) -> Figure:
    roll = Roll()
    running = peer.idle(roll.begin, count)
    watch = Stopwatch()
    async with running:
        await roll.wait_begun(count)
        return watch.seconds()


async def memory(peer: Peer, count: int) -> Figure:
    roll = Roll()
    peer.idle(roll.begin, 1)  # whatever it imports is not its children's
    before = resident()
    async with peer.idle(roll.begin, count):
        await roll.wait_begun(count)
        return Figure((resident() - before) / count / 1024)


async def stop(peer: Peer, count: int) -> Figure:
    roll = Roll()
    async with peer.idle(roll.begin, count):
        await roll.wait_begun(count)
        watch = Stopwatch()
    return watch.seconds()


# --- a child that crashes ------------------------------------------------------------------------


class Crashes:
    """Crashes so many times from the moment when it is told to, and returns in the life after."""

    def __init__(self, count: int) -> None:
        self.restarts = -1
        self._count = count
        self._up = anyio.Event()
        self._go = anyio.Event()
        self._over = anyio.Event()
        self._watch = Stopwatch()
        self._took: Figure | None = None

    async def live(self) -> None:
        if self._over.is_set():
            return
        self.restarts += 1
        if self.restarts == self._count:
            self._took = self._watch.seconds()
            self._over.set()
            return
        if not self.restarts:
            self._up.set()
            await self._go.wait()
            self._watch = Stopwatch()
        raise RuntimeError("on cue")

    async def run(self, peer: Peer) -> Figure:
        """Seconds from the first crash to the first line of the life after the last."""
        async with peer.crashing(self.live):
            await self._up.wait()
            self._go.set()
            with anyio.move_on_after(LONGEST):
                await self._over.wait()
            return self._took or self._watch.seconds()


async def rate(peer: Peer, count: int) -> Figure:
    """Restarts a second."""
    crashes = Crashes(count)
    took = await crashes.run(peer)
    return Figure.rate(crashes.restarts, took)


async def first(peer: Peer, count: int) -> Figure:
    """Milliseconds from the crash to the next life: the median of as many trees as there was time
    for."""
    figures: list[Figure] = []
    began = time.perf_counter()
    while len(figures) < count and time.perf_counter() - began < LONGEST:
        figures.append((await Crashes(1).run(peer)).times(1000))
    return Figure.median(figures)


CASES: Final[dict[str, Case]] = {
    "idle_start": start,
    "idle_memory": memory,
    "idle_stop_dynamic": stop,
    "restart": rate,
    "first_restart_ms": first,
}
"""By the name of the row."""

NEEDS_RESTARTS: Final = {"restart", "first_restart_ms"}


def why_not(peer: Peer, row: str) -> str:
    """Why there can be no figure of this peer's on any backend, if so."""
    if row in NEEDS_RESTARTS and not peer.restarts:
        return "restarts nothing"
    return ""
