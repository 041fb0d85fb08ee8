"""How a life ended, as its grip and its starters are told."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import get_cancelled_exc_class, sleep, sleep_forever
from anyio.abc import TaskStatus

from supervisor import (
    Backoff,
    Component,
    Crashed,
    Decline,
    ForeignCancellation,
    HeartbeatMissed,
    Refused,
    StartTimedOut,
    Supervisor,
    open_supervisor,
)
from supervisor.testing import Boom, Crashing, Cued, Gated, Hanging, settle

pytestmark = pytest.mark.usefixtures("leak_check")

SLOW = Backoff(first=100)


def one(run: Any, **options: Any) -> Supervisor:
    return Supervisor("root", [Component(run, name="a", backoff=SLOW, **options)])


async def foreign(task_status: TaskStatus[None]) -> None:
    await sleep(1)
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await sleep_forever()
        except get_cancelled_exc_class() as error:
            leaked = error
    raise leaked


async def test_of_a_life_that_let_a_foreign_cancellation_out() -> None:
    async with open_supervisor(one(foreign)) as tree:
        await sleep(2)
        outcome = tree["a"].outcome
        assert outcome is not None
        assert isinstance(outcome.error, ForeignCancellation)


async def test_start_of_one_that_lets_a_foreign_cancellation_out() -> None:
    async with open_supervisor() as tree:
        with pytest.raises(ForeignCancellation):
            await tree.start(foreign)


class Inseparable(ExceptionGroup[Exception]):
    def derive(self, errors: Any) -> Any:
        raise TypeError("not without a message of its own")


async def test_of_a_life_that_raised_a_group_whose_own_code_fails() -> None:
    """It is that life's failure, and not the end of the tree."""
    error = Inseparable("two", [Boom(), Boom()])
    async with open_supervisor(one(Crashing(error=error, after=1))) as tree:
        await sleep(2)
        outcome = tree["a"].outcome
        assert outcome is not None
        assert outcome.error is error
        await tree.stop()


async def test_of_a_life_that_missed_its_start_deadline() -> None:
    async with open_supervisor(one(Gated(), start_timeout=3)) as tree:
        await sleep(1)
        outcome = tree["a"].outcome
        assert outcome is not None
        assert isinstance(outcome.error, StartTimedOut)


async def test_start_of_one_that_misses_its_deadline() -> None:
    async with open_supervisor() as tree:
        with pytest.raises(StartTimedOut):
            await tree.start(Gated(), start_timeout=3)
        with pytest.raises(StartTimedOut):
            await tree.add(Component(Gated(), name="a", start_timeout=3))
        assert "a" not in tree


async def test_restart_of_one_that_misses_its_deadline() -> None:
    gated = Gated()
    gated.open()
    async with open_supervisor(one(gated, start_timeout=3)) as tree:
        with pytest.raises(StartTimedOut):
            await tree["a"].restart()


async def test_of_a_life_without_heartbeat() -> None:
    async with open_supervisor(one(Hanging(), heartbeat=3)) as tree:
        await sleep(4)
        outcome = tree["a"].outcome
        assert outcome is not None
        assert isinstance(outcome.error, HeartbeatMissed)


async def test_of_a_life_that_was_stopped_after_earlier_ones_crashed() -> None:
    crashing = Crashing(1)
    async with open_supervisor(one(crashing)) as tree:
        await settle()
        assert str(tree["a"].outcome) == "crashed: Boom"
        await tree["a"].start()
        await tree["a"].stop()
        assert str(tree["a"].outcome) == "cancelled"


async def test_a_start_that_somebody_else_stops_is_refused_not_failed() -> None:
    gated = Gated()
    gated.fail(Boom("old"))
    async with open_supervisor(one(gated)) as tree:
        child = tree["a"]
        async with anyio.create_task_group() as tg:

            async def start() -> None:
                with pytest.raises(Refused, match="stopped before it was ready"):
                    await child.start()

            tg.start_soon(start)
            await settle()
            assert child.state == "starting"
            await child.stop()


async def test_an_exception_is_raised_to_its_starter_and_told_as_the_same_object(told: Any) -> None:
    error = ExceptionGroup("two", [Boom(), ValueError()])
    gated = Gated()
    gated.fail(error)
    async with open_supervisor() as tree:
        with pytest.raises(ExceptionGroup) as caught:
            await tree.start(gated)
    assert caught.value is error
    assert told.of(Crashed)[0].error is error


async def test_wait_returns_the_last_outcome_of_a_child_that_is_forgotten() -> None:
    cued = Cued()
    async with open_supervisor() as tree:
        child = tree.start_soon(cued, restart="temporary")
        await settle()
        cued.crash(Boom("once"))
        outcome = await child.wait()
        assert str(outcome) == "crashed: Boom: once"
        assert await child.wait() is outcome


async def test_to_decline_after_it_was_ready_is_a_crash() -> None:
    async def gives_up(task_status: TaskStatus[None]) -> None:
        task_status.started()
        await sleep(1)
        raise Decline("too late")

    async with open_supervisor(one(gives_up)) as tree:
        await sleep(2)
        outcome = tree["a"].outcome
        assert outcome is not None
        assert isinstance(outcome.error, Decline)
