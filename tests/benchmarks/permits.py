"""Permits that nobody waits for, and many tasks that share a rate for as long as they are let.

The floor of the first is awaiting a function that does nothing. That of the second is the least that
can share a rate: one queue, one timer, an event for each who waits; no classes, no cancellation, no
count of anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

import anyio

from supervisor import Broker, Limit, Priority, Supervisor, open_supervisor
from tests.benchmarks.stopwatch import Figure, Stopwatch

PLENTY: Final = Limit(1_000_000, per=0.1)
"""More than anybody can ask for."""

RATE: Final = 20_000
BURST: Final = 20
TASKS: Final = 1000
LONGEST: Final = 10.0
"""Seconds after which a limiter that has not granted all by then is judged by what it has."""

CLASSES: Final[tuple[Priority, ...]] = ("low", "medium", "high", "critical")


class Limiter(Protocol):
    """Grants at a rate: it returns when the caller may go on."""

    async def wait(self, priority: Priority) -> None: ...


Opened: TypeAlias = Callable[[float, int], "Any"]
"""Rate and burst to an async context manager of a limiter."""


@asynccontextmanager
async def running(limit: Limit) -> AsyncIterator[Any]:
    """A broker in a tree, with one budget "b"."""
    async with open_supervisor(Supervisor("tree", [Broker({"b": limit})])) as tree:
        await tree["broker"].wait_ready()
        yield tree["broker"].value
        await tree.stop()


# --- nobody waits --------------------------------------------------------------------------------


def nanoseconds(watch: Stopwatch, count: int) -> Figure:
    return watch.seconds().times(1e9 / count)


async def plain() -> None:
    pass


async def awaited(count: int) -> Figure:
    watch = Stopwatch()
    for _ in range(count):
        await plain()
    return nanoseconds(watch, count)


async def tried(count: int) -> Figure:
    async with running(PLENTY) as broker:
        try_acquire = broker.try_acquire
        watch = Stopwatch()
        for _ in range(count):
            try_acquire("b")
        return nanoseconds(watch, count)


async def acquired(count: int) -> Figure:
    async with running(PLENTY) as broker:
        acquire = broker.acquire
        watch = Stopwatch()
        for _ in range(count):
            await acquire("b")
        return nanoseconds(watch, count)


async def entered(count: int) -> Figure:
    async with running(PLENTY) as broker:
        acquire = broker.acquire
        watch = Stopwatch()
        for _ in range(count):
            async with acquire("b"):
                pass
        return nanoseconds(watch, count)


# --- everybody waits -----------------------------------------------------------------------------


class Ours:
    """One budget of a broker, whose classes all wait."""

    def __init__(self, broker: Any) -> None:
        self._acquire = broker.acquire

    async def wait(self, priority: Priority) -> None:
        await self._acquire("b", priority=priority)

    @staticmethod
    @asynccontextmanager
    async def smooth(rate: float, burst: int) -> AsyncIterator[Ours]:
        async with running(Limit.smooth(rate, burst=burst)) as broker:
            yield Ours(broker)

    @staticmethod
    @asynccontextmanager
    async def window(rate: float, burst: int) -> AsyncIterator[Ours]:
        async with running(Limit(int(rate), per=1, burst=burst)) as broker:
            yield Ours(broker)


class Paced:
    """The floor: whoever comes first is served first, at the rate."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._left = float(burst)
        self._stamp = anyio.current_time()
        self._waiting: deque[anyio.Event] = deque()
        self._some = anyio.Event()

    @classmethod
    @asynccontextmanager
    async def open(cls, rate: float, burst: int) -> AsyncIterator[Paced]:
        paced = cls(rate, burst)
        async with anyio.create_task_group() as group:
            group.start_soon(paced._serve)
            yield paced
            group.cancel_scope.cancel()

    async def wait(self, priority: Priority) -> None:
        if not self._waiting:
            self._settle(self._burst)
            if self._left >= 1:
                self._left -= 1
                return
            self._some.set()
        event = anyio.Event()
        self._waiting.append(event)
        await event.wait()

    async def _serve(self) -> None:
        while True:
            if not self._waiting:
                self._some = anyio.Event()
                await self._some.wait()
            # A timer that is late costs no permits, while somebody waits.
            self._settle(self._burst + self._rate * 0.05)
            while self._waiting and self._left >= 1:
                self._left -= 1
                self._waiting.popleft().set()
            await anyio.sleep(max(0.0, (1 - self._left) / self._rate))

    def _settle(self, most: float) -> None:
        now = anyio.current_time()
        self._left = min(most, self._left + (now - self._stamp) * self._rate)
        self._stamp = now


class Crowd:
    """Many tasks that take so many permits each, from the first one's asking to the last grant."""

    def __init__(self, limiter: Limiter, count: int) -> None:
        self.granted = 0
        self._limiter = limiter
        self._each = max(1, count // TASKS)
        self._watch: Stopwatch | None = None
        self._took: Figure | None = None

    async def run(self) -> Figure:
        await together(self._take, TASKS)
        assert self._watch is not None
        return self._took or self._watch.seconds()

    async def _take(self, priority: Priority) -> None:
        self._watch = self._watch or Stopwatch()
        for _ in range(self._each):
            await self._limiter.wait(priority)
            self.granted += 1
        if self.granted == self._each * TASKS:
            self._took = self._watch.seconds()


async def sustained(limiter: Limiter, count: int) -> Figure:
    """What share of the rate many tasks get through together; and the CPU time of a grant in us."""
    crowd = Crowd(limiter, count)
    took = await crowd.run()
    assert took.cpu is not None
    # The burst was there before, and makes the rest no faster.
    got = max(0, crowd.granted - BURST) / RATE / took.value
    return Figure(got, took.cpu / max(1, crowd.granted) * 1e6)


async def together(take: Callable[[Priority], Awaitable[None]], count: int) -> None:
    """So many tasks of all classes, for a while at most.

    They have no deadline: who has one is refused where it may not be met.
    """
    async with anyio.create_task_group() as watch:

        async def end() -> None:
            await anyio.sleep(LONGEST)
            group.cancel_scope.cancel()

        watch.start_soon(end)
        async with anyio.create_task_group() as group:
            for i in range(count):
                group.start_soon(take, CLASSES[i % len(CLASSES)])
        watch.cancel_scope.cancel()


async def share(opened: Opened, count: int) -> Figure:
    async with opened(RATE, BURST) as limiter:
        return Figure((await sustained(limiter, count)).value)


async def cost(opened: Opened, count: int) -> Figure:
    """In processor time alone: on the wall it is the rate."""
    async with opened(RATE, BURST) as limiter:
        spent = (await sustained(limiter, count)).cpu
    assert spent is not None
    return Figure(spent)


Case: TypeAlias = Callable[[int], Awaitable[Figure]]

shared: Case = partial(share, Ours.window)
shared_floor: Case = partial(share, Paced.open)
paid: Case = partial(cost, Ours.window)
paid_floor: Case = partial(cost, Paced.open)
