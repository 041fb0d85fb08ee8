"""Peers that limit a rate: on asyncio only, with neither classes nor permits that are given back."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

from supervisor import Priority
from tests.benchmarks import permits
from tests.benchmarks.permits import Limiter, nanoseconds
from tests.benchmarks.stopwatch import Figure, Stopwatch

PLENTY: Final = 10_000_000.0


class LimiterPeer(Protocol):
    """An adapter: a limiter of ``rate`` a second, which lets ``burst`` through after a rest."""

    backends: tuple[str, ...]
    enters: bool

    def make(self, rate: float, burst: int) -> Any:
        """The library's own object; where it ``enters``, an async context manager for one permit,
        again and again."""

    def acquire(self, made: Any) -> Callable[[], Awaitable[object]]:
        """What is awaited for one permit."""


class Aiolimiter:
    backends = ("asyncio", "uvloop")
    enters = True

    def make(self, rate: float, burst: int) -> Any:
        from aiolimiter import AsyncLimiter

        return AsyncLimiter(burst, burst / rate)

    def acquire(self, made: Any) -> Callable[[], Awaitable[object]]:
        acquire: Callable[[], Awaitable[object]] = made.acquire
        return acquire


class Asynciolimiter:
    """Its leaky bucket, which is the one that keeps to the rate best."""

    backends = ("asyncio", "uvloop")
    enters = False

    def make(self, rate: float, burst: int) -> Any:
        from asynciolimiter import LeakyBucketLimiter

        return LeakyBucketLimiter(rate, capacity=burst)

    def acquire(self, made: Any) -> Callable[[], Awaitable[object]]:
        wait: Callable[[], Awaitable[object]] = made.wait
        return wait


class PyrateLimiter:
    """So many in each interval; it counts in whole milliseconds."""

    backends = ("asyncio", "uvloop")
    enters = False

    def make(self, rate: float, burst: int) -> Any:
        from pyrate_limiter import Limiter, Rate

        return Limiter(Rate(burst, max(1, math.ceil(burst * 1000 / rate))), buffer_ms=0)

    def acquire(self, made: Any) -> Callable[[], Awaitable[object]]:
        async def acquire() -> object:
            return await made.try_acquire_async("b")

        return acquire


class ThrottledPy:
    """Its GCRA, which does best of what it has."""

    backends = ("asyncio", "uvloop")
    enters = True

    def make(self, rate: float, burst: int) -> Any:
        from throttled.asyncio import MemoryStore, RateLimiterType, Throttled, per_sec

        return Throttled(
            key="b",
            timeout=60,
            using=RateLimiterType.GCRA.value,
            quota=per_sec(int(rate), burst=burst),
            store=MemoryStore(),
        )

    def acquire(self, made: Any) -> Callable[[], Awaitable[object]]:
        limit: Callable[[], Awaitable[object]] = made.limit
        return limit


class Waiting:
    """A peer as a limiter that many tasks share."""

    def __init__(self, acquire: Callable[[], Awaitable[object]]) -> None:
        self._acquire = acquire

    async def wait(self, priority: Priority) -> None:
        await self._acquire()


@asynccontextmanager
async def opened(peer: LimiterPeer, rate: float, burst: int) -> AsyncIterator[Limiter]:
    yield Waiting(peer.acquire(peer.make(rate, burst)))


# --- the cases of the rows -----------------------------------------------------------------------


async def acquired(peer: LimiterPeer, count: int) -> Figure:
    acquire = peer.acquire(peer.make(PLENTY, int(PLENTY)))
    watch = Stopwatch()
    for _ in range(count):
        await acquire()
    return nanoseconds(watch, count)


async def entered(peer: LimiterPeer, count: int) -> Figure:
    context = peer.make(PLENTY, int(PLENTY))
    watch = Stopwatch()
    for _ in range(count):
        async with context:
            pass
    return nanoseconds(watch, count)


async def shared(peer: LimiterPeer, count: int) -> Figure:
    return await permits.share(lambda rate, burst: opened(peer, rate, burst), count)


async def paid(peer: LimiterPeer, count: int) -> Figure:
    return await permits.cost(lambda rate, burst: opened(peer, rate, burst), count)


class LimiterCase(Protocol):
    async def __call__(self, peer: LimiterPeer, count: int) -> Figure: ...


CASES: Final[dict[str, LimiterCase]] = {
    "permit_acquire": acquired,
    "permit_with": entered,
    "permit_share": shared,
    "permit_cost": paid,
}
"""By the name of the row."""


def why_not(peer: LimiterPeer, row: str) -> str:
    """Why there can be no figure of this peer's on any backend, if so."""
    if row == "permit_with" and not peer.enters:
        return "has no context manager"
    return ""
