"""What ends leaves nothing behind that only the garbage collector could clear away."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from anyio import sleep, sleep_forever, wait_all_tasks_blocked

from supervisor import (
    Backoff,
    Broker,
    Component,
    Crashed,
    Limit,
    Returned,
    Supervisor,
    Tree,
    acquire,
    current_child,
    open_supervisor,
)
from supervisor._runtime.life import CurrentChild
from supervisor._words import Outcome

AT_ONCE = Backoff(first=0, base=0, factor=1)
LIVES = 20


@pytest.fixture
def garbage(caplog: pytest.LogCaptureFixture) -> Iterator[list[Any]]:
    """What a collection finds, in place of its being freed."""
    caplog.set_level(logging.CRITICAL + 1, "supervisor")  # its records would keep each crash
    gc.collect()
    gc.disable()
    before = gc.get_debug()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(before)
    gc.garbage.clear()
    gc.enable()


async def crashes() -> None:
    raise ValueError("on cue")


async def returns() -> None:
    return


@pytest.mark.parametrize("run", [crashes, returns])
async def test_a_life_that_ends_leaves_no_cycle(run: Any, garbage: list[Any]) -> None:
    """A crash whose traceback holds the frame that holds the outcome that holds the crash is one."""
    child = Component(run, name="a", backoff=AT_ONCE, quarantine=None)
    async with open_supervisor(Supervisor("root", [child])) as tree:
        events = tree.events(Crashed, Returned, capacity=2 * LIVES)
        for _ in range(LIVES):
            await anext(events)
        gc.collect()
        found = [each for each in garbage if isinstance(each, CurrentChild | Outcome)]
        assert len(found) < 2, found
        await tree.stop()


async def test_an_error_that_somebody_keeps_does_not_keep_the_tree() -> None:
    kept: list[BaseException] = []
    seen: list[weakref.ref[Any]] = []

    async def crashes() -> None:
        seen.append(weakref.ref(current_child().tree))
        raise ValueError("on cue")

    async def open_and_leave() -> None:
        async with open_supervisor() as tree:
            crashed = tree.events(Crashed)
            tree.start_soon(crashes, restart="temporary")
            kept.append((await anext(crashed)).error)  # type: ignore[attr-defined]

    await open_and_leave()
    gc.collect()
    assert kept[0].__traceback__ is not None
    assert seen[0]() is None


async def test_an_error_out_of_a_stop_does_not_keep_the_tree() -> None:
    """Behind it is our own cancellation, and trio's names the task, which leads to everything."""
    kept: list[BaseException] = []
    seen: list[weakref.ref[Any]] = []

    async def fails_to_clean_up() -> None:
        seen.append(weakref.ref(current_child().tree))
        try:
            await sleep_forever()
        finally:
            raise ValueError("on cue")

    async def open_and_leave() -> None:
        async with open_supervisor() as tree:
            crashed = tree.events(Crashed)
            child = tree.start_soon(fails_to_clean_up)
            await wait_all_tasks_blocked()
            await child.stop()
            kept.append((await anext(crashed)).error)  # type: ignore[attr-defined]

    await open_and_leave()
    gc.collect()
    assert kept[0].__traceback__ is not None
    assert seen[0]() is None


async def test_what_stood_behind_the_cancellation_is_still_told() -> None:
    """Only the cancellation is left out of the story, also in a group."""

    async def fails_twice() -> None:
        try:
            raise KeyError("first")
        except KeyError:
            try:
                await sleep_forever()
            finally:
                try:
                    raise ValueError("second")
                except ValueError as error:
                    raise ExceptionGroup("both", [error]) from None

    async with open_supervisor() as tree:
        crashed = tree.events(Crashed)
        child = tree.start_soon(fails_twice)
        await wait_all_tasks_blocked()
        await child.stop()
        group = (await anext(crashed)).error  # type: ignore[attr-defined]
        (second,) = group.exceptions
        assert group.__context__ is second
        assert repr(second.__context__) == "KeyError('first')"
        await tree.stop()


async def test_a_crash_with_a_permit_in_hand_does_not_keep_the_tree(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A permit is no work for the collector, which therefore does not see what it leads to."""
    caplog.set_level(logging.CRITICAL + 1, "supervisor")  # its records would keep the crash

    async def with_permit() -> None:
        permit = await acquire("api")
        raise ValueError(permit.budget)

    async def run_and_forget() -> weakref.ref[Tree]:
        spec = Supervisor(
            "root", [Broker({"api": Limit(5, per=1)}), Component(with_permit, restart="temporary")]
        )
        async with open_supervisor(spec) as tree:
            await sleep(1)
            await tree.stop()
        return weakref.ref(tree)

    tree = await run_and_forget()
    gc.collect()
    assert tree() is None
