"""The one door for time and chance, so that tests can replace both."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import datetime

import anyio

draws: ContextVar[random.Random | None] = ContextVar("supervisor draws", default=None)
"""The source of jitter for trees opened in this context; a ``Random`` of their own by default."""


def now() -> float:
    """Seconds of the event loop's clock, which is virtual under ``supervisor.testing``."""
    return anyio.current_time()


def clock() -> Callable[[], float]:
    """:func:`now` of the event loop that runs, for those who ask all the time: anyio finds out
    anew at each call which loop it is."""
    if anyio.get_cancelled_exc_class().__module__.startswith("trio"):
        import trio

        return trio.lowlevel.current_clock().current_time
    import asyncio

    return asyncio.get_running_loop().time


def bounded_wait() -> Callable[[anyio.Event, float], Awaitable[None]]:
    """What waits for an event until a moment, at most, in the event loop that runs: for calls, of
    which there may be many, a scope of anyio's costs as much as all the rest. Whether the event was
    set for what it is about, or because the time is over, is to be seen elsewhere."""
    if anyio.get_cancelled_exc_class().__module__.startswith("trio"):
        import trio

        async def wait_in_scope(bounded: anyio.Event, until: float) -> None:
            with trio.CancelScope(deadline=until):
                await bounded.wait()

        return wait_in_scope
    import asyncio

    loop = asyncio.get_running_loop()

    async def wait_with_alarm(alarmed: anyio.Event, until: float) -> None:
        alarm = loop.call_at(until, alarmed.set)
        try:
            await alarmed.wait()
        finally:
            alarm.cancel()

    return wait_with_alarm


def machine() -> float:
    """Seconds of the machine's clock, which goes on while the event loop is blocked."""
    return time.monotonic()


def stamp() -> float:
    """The wall clock's time, in seconds since 1970 (UTC): for records, and for what others date."""
    return time.time()


def wall(at: float) -> datetime:
    """The wall-clock time of a moment of the event loop's clock, in the local time zone."""
    return datetime.fromtimestamp(time.time() + at - now()).astimezone()


def source_of_chance() -> random.Random:
    """Where a tree's random draws come from."""
    return draws.get() or random.Random()
