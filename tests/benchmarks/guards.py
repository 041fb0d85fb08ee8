"""Guarded calls of a function that answers at once, from a child of a tree.

The floor of the breaker alone and of the retries alone is awaiting that function. That of the whole is
what one would write for it by hand: a deadline, a permit, and the call.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from supervisor import Breaker, Broker, Guard, Retry, Supervisor, open_supervisor
from tests.benchmarks.permits import PLENTY, nanoseconds, running
from tests.benchmarks.stopwatch import Figure, Stopwatch

TIMEOUT: Final = 10.0

WINDOWED: Final = Breaker(failures=5, rate=0.5)
"""It counts failures in a row, and their share in its window."""


async def answer(question: int) -> int:
    return question


async def answered(count: int) -> Figure:
    watch = Stopwatch()
    for _ in range(count):
        await answer(1)
    return nanoseconds(watch, count)


async def _in_a_child(measure: Callable[[int], Awaitable[Figure]], count: int) -> Figure:
    figure = Figure(math.nan)

    async def child() -> None:
        nonlocal figure
        figure = await measure(count)

    async with open_supervisor(Supervisor("tree", [Broker({"b": PLENTY})])) as tree:
        await tree["broker"].wait_ready()
        await tree.start_soon(child, restart="temporary").wait()
        await tree.stop()
    return figure


async def _decorated(guard: Guard, count: int) -> Figure:
    guarded = guard(answer)

    async def measure(count: int) -> Figure:
        await guarded(1)  # what the first call finds and keeps is not in the figure
        watch = Stopwatch()
        for _ in range(count):
            await guarded(1)
        return nanoseconds(watch, count)

    return await _in_a_child(measure, count)


async def _called(guard: Guard, count: int) -> Figure:
    async def measure(count: int) -> Figure:
        await guard(answer, 1)
        watch = Stopwatch()
        for _ in range(count):
            await guard(answer, 1)
        return nanoseconds(watch, count)

    return await _in_a_child(measure, count)


# --- the cases of the rows -------------------------------------------------------------------------


async def breaker(count: int) -> Figure:
    return await _decorated(Guard("guard", budget=None, retry=None, breaker=WINDOWED), count)


async def retry(count: int) -> Figure:
    return await _decorated(Guard("guard", budget=None, retry=Retry(), breaker=None), count)


async def call(count: int) -> Figure:
    return await _called(Guard("guard", budget=None, retry=Retry(), breaker=WINDOWED), count)


async def whole(count: int) -> Figure:
    guard = Guard("guard", budget="b", retry=Retry(), breaker=WINDOWED, timeout=TIMEOUT)
    return await _called(guard, count)


async def by_hand(count: int) -> Figure:
    async with running(PLENTY) as broker:
        acquire = broker.acquire
        watch = Stopwatch()
        for _ in range(count):
            with anyio.fail_after(TIMEOUT):
                async with acquire("b"):
                    await answer(1)
        return nanoseconds(watch, count)
