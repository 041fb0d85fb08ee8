"""Children that leave cancel scopes and task groups open: their own failure, and nobody else's."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from anyio import current_time, sleep, sleep_forever

from supervisor import (
    Backoff,
    Component,
    Crashed,
    ScopesLeftOpen,
    Supervisor,
    current_child,
    open_supervisor,
)
from supervisor.testing import Hanging, SlowStopping

# A generator that was abandoned inside a group complains when it is collected, in a task of its own.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

kept: list[Any] = []


@pytest.fixture(autouse=True)
def keep() -> Any:
    yield
    kept.clear()
    gc.collect()


async def ticks() -> AsyncIterator[int]:
    async with anyio.create_task_group() as group:
        group.start_soon(sleep_forever)
        while True:
            yield 1
            await sleep(0.01)


async def abandons_a_generator() -> None:
    generator = ticks()
    kept.append(generator)
    async for _ in generator:
        await sleep(1)
        raise ValueError("an ordinary crash")


async def enters_a_scope() -> None:
    anyio.CancelScope().__enter__()
    await sleep(1)


async def enters_a_cancelled_scope() -> None:
    await sleep(1)
    scope = anyio.CancelScope()
    scope.__enter__()
    scope.cancel()


async def enters_a_group() -> None:
    group = anyio.create_task_group()
    await group.__aenter__()
    kept.append(group)
    group.start_soon(sleep_forever)
    await sleep(1)
    raise ValueError("an ordinary crash")


@pytest.mark.parametrize(
    ("leaves", "error"),
    [
        (abandons_a_generator, ValueError),
        (enters_a_scope, ScopesLeftOpen),
        (enters_a_cancelled_scope, ScopesLeftOpen),
        (enters_a_group, ValueError),
    ],
)
async def test_what_a_life_leaves_open_concerns_that_life_only(leaves: Any, error: type) -> None:
    good, slow = Hanging(), Backoff(first=5)
    spec = Supervisor("root", [Component(good), Component(leaves, name="bad", backoff=slow)])
    async with open_supervisor(spec) as tree:
        told = tree.events(Crashed)
        for life in (1, 2):
            crash = await anext(told)
            assert (crash.path, crash.life, type(crash.error)) == ("root/bad", life, error)
            assert "left" in str(crash.error) + str(getattr(crash.error, "__notes__", ""))
        assert len(good.lives) == 1
    assert good.lives[0].how == "cancelled"


async def test_an_error_that_is_raised_life_after_life_gathers_no_notes() -> None:
    always = ValueError("from a cached failure")

    async def leaves() -> None:
        anyio.CancelScope().__enter__()
        await sleep(1)
        raise always

    spec = Component(leaves, name="bad", backoff=Backoff(first=1, base=1, cap=1), quarantine=None)
    async with open_supervisor(Supervisor("root", [spec])) as tree:
        told = tree.events(Crashed)
        for _ in range(5):
            assert (await anext(told)).error is always
        assert always.__notes__ == [str(ScopesLeftOpen(1))]


async def test_the_tasks_of_a_group_left_open_end_before_the_next_life_begins() -> None:
    lives: list[str] = []

    async def helper() -> None:
        lives.append("helper")
        try:
            await sleep_forever()
        finally:
            lives.append("end of helper")

    async def leaves() -> None:
        lives.append("life")
        group = anyio.create_task_group()
        await group.__aenter__()
        kept.append(group)
        group.start_soon(helper)
        await sleep(1)
        raise ValueError

    async with open_supervisor(Supervisor("root", [Component(leaves)])) as tree:
        await sleep(1.5)
        await tree.stop()
    assert lives == ["life", "helper", "end of helper"] * 2


@pytest.mark.parametrize("shield", [False, True])
async def test_tasks_of_a_group_left_open_that_are_in_scopes_of_their_own_are_waited_for(
    shield: bool,
) -> None:
    """Law 2; asyncio counts such a task to its own scope only."""
    ended: list[float] = []

    async def helper() -> None:
        try:
            with anyio.CancelScope():
                await sleep_forever()
        finally:
            with anyio.CancelScope(shield=shield):
                try:
                    await sleep(2)
                finally:
                    ended.append(current_time())

    async def leaves() -> None:
        if current_child().life == 1:
            group = anyio.create_task_group()
            await group.__aenter__()
            kept.append(group)
            group.start_soon(helper)
            await sleep(1)
        else:
            assert ended
            await sleep_forever()

    async with open_supervisor(Supervisor("root", [Component(leaves, name="a")])) as tree:
        told = tree.events(Crashed)
        assert (await anext(told)).at == ended[0] == (3.0 if shield else 1.0)
        await sleep(5)
        assert tree["a"].life == 2


async def test_a_life_that_is_cancelled_while_its_scopes_are_closed_ends_all_the_same(
    anyio_backend_name: str,
) -> None:
    """Natively, as asyncio cancels tasks one by one: a life must not end without being told of."""
    if anyio_backend_name != "asyncio":
        pytest.skip("asyncio only")
    slow, tasks = SlowStopping(2), []

    async def leaves() -> None:
        tasks.append(asyncio.current_task())
        if current_child().life > 1:
            await sleep_forever()
        group = anyio.create_task_group()
        await group.__aenter__()
        kept.append(group)
        group.start_soon(slow)
        await sleep(1)

    async with open_supervisor(Supervisor("root", [Component(leaves, name="a")])) as tree:
        told = tree.events(Crashed)
        await sleep(2)
        tasks[0].cancel()
        crash = await anext(told)
        assert (crash.at, type(crash.error)) == (3.0, ScopesLeftOpen)
        await sleep(5)
        assert tree["a"].life == 2
