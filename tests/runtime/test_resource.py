"""Resources: an async context manager as a child, entered and left in one task."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio import CancelScope, sleep

from supervisor import (
    Component,
    Crashed,
    Resource,
    Started,
    Stop,
    Stopped,
    Supervisor,
    current_child,
    open_supervisor,
)
from supervisor.testing import Boom, Crashing, Hanging, settle

pytestmark = pytest.mark.usefixtures("leak_check")


class Door:
    """A context manager whose every opening is numbered."""

    def __init__(self) -> None:
        self.tasks: list[tuple[int, int | None]] = []
        self.opened = 0
        self.closed = 0
        self.fail_opening = 0
        self.fail_closing: BaseException | None = None
        self.broken = anyio.Event()

    @asynccontextmanager
    async def open(self, *args: object, **kwargs: object) -> AsyncIterator[str]:
        self.opened += 1
        if self.opened <= self.fail_opening:
            raise Boom("cannot open")
        entered = anyio.get_current_task().id
        async with anyio.create_task_group() as tg:
            tg.start_soon(self._pump)
            try:
                yield f"connection {self.opened}"
            finally:
                self.tasks.append((entered, anyio.get_current_task().id))
                self.closed += 1
                tg.cancel_scope.cancel()
                if self.fail_closing is not None:
                    raise self.fail_closing

    async def _pump(self) -> None:
        await self.broken.wait()
        self.broken = anyio.Event()
        raise Boom("connection lost")


@pytest.fixture
def door() -> Door:
    return Door()


async def test_its_value_is_the_start_value(door: Door) -> None:
    async with open_supervisor(Supervisor("root", [Resource(door.open, name="http")])) as tree:
        assert tree["http"].value == "connection 1"
        assert tree.explain("http").view.kind == "resource"
    assert (door.opened, door.closed) == (1, 1)


async def test_it_is_entered_and_left_in_one_task(door: Door) -> None:
    async with open_supervisor(Supervisor("root", [Resource(door.open, name="http")])) as tree:
        for _ in range(3):
            await tree["http"].restart()
    assert len(door.tasks) == 4
    assert all(entered == left for entered, left in door.tasks)


async def test_a_failed_entry_is_a_failed_start(door: Door, told: Any) -> None:
    door.fail_opening = 2
    async with open_supervisor(Supervisor("root", [Resource(door.open, name="http")])) as tree:
        assert await tree["http"].wait_ready() == "connection 3"
    assert [e.phase for e in told.of(Crashed)] == ["starting", "starting"]


async def test_a_failing_exit_is_told(door: Door, told: Any) -> None:
    door.fail_closing = Boom("cannot close")
    async with open_supervisor(Supervisor("root", [Resource(door.open, name="http")])):
        pass
    (crash,) = told.of(Crashed)
    assert crash.phase == "stopping"
    assert isinstance(crash.error, ExceptionGroup)
    assert crash.error.exceptions == (door.fail_closing,)


async def test_what_breaks_within_brings_it_down_and_dependents_come_back(
    door: Door, told: Any
) -> None:
    http = Resource(door.open, name="http")
    user = Hanging()
    spec = Supervisor("root", [http, Component(user, name="user", args=(http,))])
    async with open_supervisor(spec) as tree:
        await settle()
        door.broken.set()
        await settle()
        assert tree["user"].life == 2
        assert [life.args for life in user.lives] == [("connection 1",), ("connection 2",)]
    (crash,) = told.of(Crashed)
    assert crash.error.subgroup(Boom) is not None
    assert crash.path == "root/http"


async def test_an_operators_stop_takes_dependents_down_first(door: Door, told: Any) -> None:
    http = Resource(door.open, name="http")
    user = Hanging()
    spec = Supervisor("root", [http, Component(user, name="user", args=(http,))])
    async with open_supervisor(spec) as tree:
        await settle()
        await tree["http"].stop()
        assert told.names(Stopped) == ["user", "http"]
        await tree["http"].start()
        await tree["user"].wait_ready()
        await settle()
        assert user.lives[-1].args == ("connection 2",)


async def test_a_user_that_crashes_leaves_its_resource_open(door: Door) -> None:
    http = Resource(door.open, name="http")
    user = Crashing(2)
    async with open_supervisor(Supervisor("root", [http, Component(user, args=(http,))])):
        await sleep(10)
        assert door.opened == 1
    assert [life.args for life in user.lives] == [("connection 1",)] * 3


async def test_a_slow_exit_is_bounded_by_its_deadline(told: Any) -> None:
    @asynccontextmanager
    async def slow() -> AsyncIterator[None]:
        yield
        pytest.fail("left by cancellation, so this is not reached")

    @asynccontextmanager
    async def slower() -> AsyncIterator[None]:
        try:
            yield
        finally:
            with CancelScope(shield=True):
                await sleep(7)

    spec = Supervisor("root", [Resource(slow), Resource(slower, stop=Stop(deadline=10))])
    async with open_supervisor(spec):
        await settle()
    assert [e.took for e in told.of(Stopped)] == [7.0, 0.0]


async def test_it_is_a_child_like_any_other(door: Door, told: Any) -> None:
    seen = []

    @asynccontextmanager
    async def resource(host: str, *, port: int) -> AsyncIterator[str]:
        seen.append((current_child().path, current_child().life))
        yield f"{host}:{port}"

    spec = Supervisor("root", [Resource(resource, args=("localhost",), kwargs={"port": 80})])
    async with open_supervisor(spec) as tree:
        assert tree["resource"].value == "localhost:80"
        child = await tree.add(Resource(door.open, name="late"))
        assert child.value == "connection 1"
    assert seen == [("root/resource", 1)]
    assert [e.ready for e in told.of(Started)] == [False, False]


async def test_one_that_swallows_the_cancellation_and_returns_is_stopped(told: Any) -> None:
    @asynccontextmanager
    async def quiet() -> AsyncIterator[None]:
        try:
            yield
        except anyio.get_cancelled_exc_class():
            pass

    async with open_supervisor(Supervisor("root", [Resource(quiet)])):
        await settle()
    assert len(told.of(Stopped)) == 1
    assert not told.of(Crashed)


async def test_one_that_swallows_an_error_of_its_own_group_has_returned(told: Any) -> None:
    broken = anyio.Event()

    @asynccontextmanager
    async def quiet() -> AsyncIterator[int]:
        async def pump() -> None:
            await broken.wait()
            raise Boom

        try:
            async with anyio.create_task_group() as tg:
                tg.start_soon(pump)
                yield current_child().life
        except* Boom:
            pass

    async with open_supervisor(Supervisor("root", [Resource(quiet)])) as tree:
        await settle()
        broken.set()
        await settle()
        assert tree["quiet"].life >= 2
        await tree["quiet"].stop()
    assert not told.of(Crashed)
