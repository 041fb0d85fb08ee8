"""A guarded call that is over leaves nothing behind: no cycles, no frames, no errors."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from anyio import move_on_after, sleep

from supervisor import Breaker, BreakerOpen, Guard, Retry, handle_with_retry, open_supervisor

pytestmark = pytest.mark.usefixtures("leak_check")

TIMES = 3
ONCE = {"budget": None, "breaker": None, "retry": None}


class Local:
    """Something in a frame, which is gone as soon as the frame is."""


frames: list[weakref.ref[Local]] = []


def mark() -> Local:
    local = Local()
    frames.append(weakref.ref(local))
    return local


@pytest.fixture(autouse=True)
def no_collector(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Only counting references frees anything."""
    caplog.set_level(logging.CRITICAL + 1, "supervisor")  # its records would keep each error
    frames.clear()
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def fails(_: object = None) -> None:
    _local = mark()
    raise ConnectionError("on cue")


async def hangs(_: object = None) -> None:
    _local = mark()
    await sleep(10)


async def a_call() -> None:
    await Guard("a", **ONCE)(fails, 1)


async def a_call_that_is_retried() -> None:
    await Guard("b", budget=None, retry=Retry(retries=2, base=0))(fails, 1)


async def a_function_with_retries() -> None:
    _local = mark()
    await Guard("c", budget=None, breaker=None, retry=Retry(retries=1, base=0))(fails)()


async def a_function_with_a_breaker() -> None:
    _local = mark()
    guarded: Any = Guard("d", budget=None, retry=None)(fails)
    await guarded(1)


async def fallbacks_that_fail() -> None:
    _local = mark()
    await Guard("e", **ONCE, fallback=(fails, fails))(fails, 1)


async def a_block() -> None:
    _local = mark()
    async with Guard("f", **ONCE).permit() as attempt:
        assert attempt.number == 1
        await fails()


async def a_block_that_is_retried() -> None:
    _local = mark()
    async for attempt in Guard("g", budget=None, retry=Retry(retries=1, base=0)):
        async with attempt:
            await fails()


async def one_line() -> None:
    _local = mark()
    await handle_with_retry(fails, "h", max_retries=0)


async def a_call_within_an_error() -> None:
    _local = mark()
    try:
        await fails()
    except ConnectionError:
        async with Guard("i", **ONCE).permit() as attempt:
            assert attempt.waited == 0


FAILING: list[Callable[[], Awaitable[None]]] = [
    a_call,
    a_call_that_is_retried,
    a_function_with_retries,
    a_function_with_a_breaker,
    fallbacks_that_fail,
    a_block,
    a_block_that_is_retried,
    one_line,
    a_call_within_an_error,
]


async def repeated(call: Callable[[], Awaitable[None]]) -> int:
    """How many of the frames of the calls are still there."""
    for _ in range(TIMES):
        with suppress(Exception):
            await call()
    assert len(frames) >= TIMES
    return sum(local() is not None for local in frames)


@pytest.mark.parametrize("call", FAILING)
async def test_a_call_that_fails_leaves_no_frame(call: Callable[[], Awaitable[None]]) -> None:
    async with open_supervisor():
        assert await repeated(call) == 0


async def test_a_call_that_is_refused_leaves_no_frame() -> None:
    guard = Guard("guard", budget=None, retry=None, breaker=Breaker(failures=1))

    async def call() -> None:
        _local = mark()
        await guard(fails, 1)

    async def block() -> None:
        _local = mark()
        async with guard.permit() as attempt:
            assert attempt.number == 1

    async def blocks() -> None:
        _local = mark()
        async for attempt in guard:
            async with attempt:
                pass

    async with open_supervisor():
        with pytest.raises(ConnectionError):
            await guard(fails, 1)
        for refused in (call, block, blocks):
            assert await repeated(refused) == 0


@pytest.mark.parametrize("way", ["call", "block"])
async def test_a_timeout_leaves_no_more_than_that_of_a_scope(way: str) -> None:
    """The cancelled frames of both are in a cycle of the backend's own."""
    guard = Guard("guard", timeout=1, **ONCE)

    async def scope() -> None:
        _local = mark()
        with move_on_after(1):
            await hangs()

    async def call() -> None:
        _local = mark()
        await guard(hangs, 1)

    async def block() -> None:
        _local = mark()
        async with guard.permit() as attempt:
            assert attempt.number == 1
            await hangs()

    async with open_supervisor():
        least = await repeated(scope)
        frames.clear()
        assert await repeated(call if way == "call" else block) <= least


async def test_two_thousand_rejections_share_neither_an_error_nor_a_traceback() -> None:
    guard = Guard("guard", budget=None, retry=None, breaker=Breaker(failures=1))

    async def refused() -> BreakerOpen:
        with pytest.raises(BreakerOpen) as caught:
            await guard(fails, 1)
        return caught.value

    def depth(error: BaseException) -> int:
        at, frames = error.__traceback__, 0
        while at is not None:
            at, frames = at.tb_next, frames + 1
        return frames

    async with open_supervisor():
        with pytest.raises(ConnectionError):
            await guard(fails, 1)
        first = depth(await refused())
        seen: set[int] = set()
        for _ in range(2000):
            error = await refused()
            assert depth(error) == first
            assert error.__context__ is None
            assert error.__cause__ is None
            seen.add(id(error))
        status = guard.status()
        assert status.breaker is not None
        assert status.breaker.rejected == 2001
        assert status.figures[-1].rejected == 2001
