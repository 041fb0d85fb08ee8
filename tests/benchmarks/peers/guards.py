"""Peers that break circuits or retry: around a function that answers at once.

Each is used in the way that costs it least and still guards: pybreaker's ``call`` of an async function
does not, it counts the coroutine as a success.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from tests.benchmarks.guards import answer
from tests.benchmarks.peers.services import EITHER
from tests.benchmarks.permits import nanoseconds
from tests.benchmarks.stopwatch import Figure, Stopwatch

Case: TypeAlias = Callable[[int], Awaitable[Figure]]

CALLS: Final = 4
"""One, and three retries."""


@dataclass(frozen=True)
class GuardPeer:
    """The cases of a library, by the name of the row, and where they run."""

    backends: tuple[str, ...]
    cases: Mapping[str, Case]


async def called(call: Callable[[int], Awaitable[object]], count: int) -> Figure:
    watch = Stopwatch()
    for _ in range(count):
        await call(1)
    return nanoseconds(watch, count)


async def entered(guard: AbstractAsyncContextManager[object], count: int) -> Figure:
    watch = Stopwatch()
    for _ in range(count):
        async with guard:
            await answer(1)
    return nanoseconds(watch, count)


# --- breakers --------------------------------------------------------------------------------------


async def purgatory_breaker(count: int) -> Figure:
    from purgatory import AsyncCircuitBreakerFactory

    # Its decorator looks the breaker up at each call; this does so once.
    return await entered(await AsyncCircuitBreakerFactory().get_breaker("b"), count)


async def pybreaker_breaker(count: int) -> Figure:
    from pybreaker import CircuitBreaker

    breaker: Any = CircuitBreaker()
    watch = Stopwatch()
    for _ in range(count):
        with breaker.calling():
            await answer(1)
    return nanoseconds(watch, count)


async def hyx_breaker(count: int) -> Figure:
    from hyx.circuitbreaker import consecutive_breaker

    return await entered(consecutive_breaker(), count)


# --- retries -----------------------------------------------------------------------------------------


async def hyx_retry(count: int) -> Figure:
    from hyx.retry import retry

    return await called(retry(attempts=CALLS)(answer), count)


async def tenacity_retry(count: int) -> Figure:
    from tenacity import retry, stop_after_attempt, wait_random_exponential

    guarded = retry(stop=stop_after_attempt(CALLS), wait=wait_random_exponential(max=30))
    return await called(guarded(answer), count)


async def stamina_retry(count: int) -> Figure:
    from stamina import retry

    return await called(retry(on=Exception, attempts=CALLS)(answer), count)


async def backoff_retry(count: int) -> Figure:
    from backoff import expo, on_exception

    return await called(on_exception(expo, Exception, max_tries=CALLS, max_value=30)(answer), count)


GUARDS: Final[dict[str, GuardPeer]] = {
    "purgatory": GuardPeer(EITHER, {"guard_breaker": purgatory_breaker}),
    "pybreaker": GuardPeer(EITHER, {"guard_breaker": pybreaker_breaker}),
    "hyx": GuardPeer(EITHER, {"guard_breaker": hyx_breaker, "guard_retry": hyx_retry}),
    "tenacity": GuardPeer(EITHER, {"guard_retry": tenacity_retry}),
    "stamina": GuardPeer(EITHER, {"guard_retry": stamina_retry}),
    "backoff": GuardPeer(EITHER, {"guard_retry": backoff_retry}),
}
"""By the name of their distribution."""
