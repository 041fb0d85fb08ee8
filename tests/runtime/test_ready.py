"""Readiness and start values: what a child tells through anyio's ``task_status``."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import TASK_STATUS_IGNORED, current_time, sleep, sleep_forever
from anyio.abc import TaskStatus

from supervisor import (
    Closing,
    Component,
    Crashed,
    Returned,
    StartTimedOut,
    Supervisor,
    open_supervisor,
)
from supervisor.testing import Boom, Crashing, Gated, Hanging, Returning, SlowStopping, settle

pytestmark = pytest.mark.usefixtures("leak_check")


async def test_the_value_given_to_started_reaches_the_starter() -> None:
    async def component(host: str, *, task_status: TaskStatus[str]) -> None:
        await sleep(2)
        task_status.started(f"{host}:8080")
        await sleep_forever()

    async with open_supervisor() as tree:
        assert await tree.start(component, "localhost") == "localhost:8080"
        assert current_time() == 2.0
        assert tree["component"].value == "localhost:8080"
        assert await tree["component"].wait_ready() == "localhost:8080"
        await tree.stop()


async def test_a_component_without_task_status_is_ready_when_it_runs() -> None:
    async with open_supervisor() as tree:
        assert await tree.start(Hanging()) is None
        assert tree["Hanging"].state == "ready"
        await tree.stop()


async def test_an_anyio_service_with_a_default_task_status_is_taken_as_it_is() -> None:
    async def service(task_status: TaskStatus[int] = TASK_STATUS_IGNORED) -> None:
        task_status.started(7)
        await sleep_forever()

    async with open_supervisor() as tree:
        assert await tree.start(service) == 7
        await tree.stop()


async def test_each_life_has_its_own_start_value() -> None:
    gated = Gated()
    for value in ("first", "second"):
        gated.open(value)
    async with open_supervisor() as tree:
        assert await tree.start(gated, name="a") == "first"
        gated.crash()
        await settle()
        assert await tree["a"].wait_ready() == "second"
        await tree.stop()


async def test_calling_started_twice_crashes_the_child(told: Any) -> None:
    async def twice(*, task_status: TaskStatus[None]) -> None:
        task_status.started()
        await anyio.lowlevel.checkpoint()
        task_status.started()

    async with open_supervisor() as tree:
        child = tree.start_soon(twice, restart="temporary")
        await child.wait()
    (crash,) = told.of(Crashed)
    assert "supervisor/twice called started() twice in one life" in str(crash.error)


async def test_never_calling_started_and_returning_is_a_return_while_starting(told: Any) -> None:
    async def forgetful(*, task_status: TaskStatus[None]) -> None:
        await sleep(1)

    async with open_supervisor() as tree:
        child = tree.start_soon(forgetful)
        assert str(await child.wait()) == "returned"
    assert len(told.of(Returned)) == 1


async def test_start_of_a_child_that_returns_without_being_ready_is_an_error() -> None:
    async def forgetful(*, task_status: TaskStatus[None]) -> None:
        await sleep(1)

    async with open_supervisor() as tree:
        with pytest.raises(RuntimeError, match=r"forgetful returned without calling"):
            await tree.start(forgetful)


async def test_calling_started_late_changes_nothing() -> None:
    late: list[TaskStatus[str]] = []

    async def component(*, task_status: TaskStatus[str]) -> None:
        late.append(task_status)
        await sleep_forever()

    async with open_supervisor() as tree:
        tree.start_soon(component, start_timeout=5)
        await sleep(6)
        # The first life missed its deadline; the second one starts.
        assert len(late) == 2
        late[0].started("too late")
        assert tree["component"].state == "starting"
        assert tree["component"].value is None
        late[1].started("in time")
        assert (tree["component"].state, tree["component"].value) == ("ready", "in time")
        await tree.stop()
        late[1].started("after the end")
        assert tree.snapshot().root.state == "down"


async def test_started_after_it_was_asked_to_stop_is_ignored() -> None:
    async def component(*, task_status: TaskStatus[str]) -> None:
        try:
            await sleep_forever()
        finally:
            task_status.started("too late")

    async with open_supervisor() as tree:
        child = tree.start_soon(component)
        await settle()
        await child.stop()
        assert child.state == "down"
        assert "component" not in tree


async def test_a_start_beyond_its_timeout_is_cancelled_and_told_once(told: Any) -> None:
    gated = Gated()
    async with open_supervisor() as tree:
        tree.start_soon(gated, name="a", start_timeout=4)
        await sleep(4.5)
        (crash,) = told.of(Crashed)
        assert (crash.at, crash.phase, crash.life) == (4.0, "starting", 1)
        assert isinstance(crash.error, StartTimedOut)
        assert gated.lives[0].how == "cancelled"
        gated.open()
        await tree["a"].wait_ready()
        await tree.stop()


async def test_a_failed_first_start_is_raised_and_nothing_is_kept(told: Any) -> None:
    gated = Gated()
    error = Boom("no")
    gated.fail(error)
    async with open_supervisor(Supervisor("root", [Component(Hanging(), name="elder")])) as tree:
        with pytest.raises(Boom) as caught:
            await tree.start(gated, name="a")
        assert caught.value is error
        assert "a" not in tree
        assert tree["elder"].life == 1
        await sleep(100)
    assert len(gated.lives) == 1
    assert [e.verdict.action for e in told.of(Crashed)] == ["forget"]


async def test_a_child_that_was_ready_is_restarted_although_its_starter_waited() -> None:
    crashing = Gated()
    crashing.open()
    crashing.open()
    async with open_supervisor() as tree:
        await tree.start(crashing, name="a")
        crashing.crash()
        await settle()
        assert len(crashing.lives) == 2
        await tree.stop()


async def test_a_child_that_reports_no_readiness_is_restarted_although_its_starter_waited() -> None:
    crashing = Crashing(1, after=1)
    async with open_supervisor() as tree:
        await tree.start(crashing, name="a")
        await sleep(2)
        assert crashing.starts == [0.0, 1.0]
        await tree.stop()


async def test_start_of_a_child_that_returns_at_once_gives_its_start_value() -> None:
    async with open_supervisor() as tree:
        assert await tree.start(Returning(5)) is None


async def test_a_life_that_has_yet_to_be_ready_has_no_start_value() -> None:
    gated = Gated()
    gated.open("first")
    async with open_supervisor() as tree:
        await tree.start(gated, name="a")
        gated.crash()
        await settle()
        assert (tree["a"].state, tree["a"].value) == ("starting", None)
        await tree.stop()


async def test_who_is_ready_in_a_tree_that_stops_is_not_waited_for() -> None:
    """It is only not its turn yet; what its start value is good for would be over at once."""
    tree_of_two = Supervisor("root", [Component(Hanging(), name="a"), Component(SlowStopping(5))])
    async with open_supervisor(tree_of_two) as tree:
        tree._runtime.stop("the test says so")
        with pytest.raises(Closing):
            await tree["a"].wait_ready()
