"""The fault components: each does what it says, when told, and records it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import anyio
import pytest
from anyio import current_time, sleep
from anyio.abc import TaskGroup

from supervisor import open_supervisor
from supervisor._errors import Decline
from supervisor.testing import (
    Blocking,
    Boom,
    Crashing,
    Cued,
    Declining,
    FailingDuring,
    Gated,
    Hanging,
    Outage,
    Returning,
    SlowStarting,
    SlowStopping,
    Swallowing,
    seeded,
    settle,
)


async def cancelled_after(seconds: float, component: Callable[..., object]) -> None:
    with anyio.move_on_after(seconds):
        await component()


async def test_hanging_ends_when_cancelled() -> None:
    hanging = Hanging()
    await cancelled_after(3, hanging)
    (life,) = hanging.lives
    assert (life.began, life.asked, life.ended, life.how) == (0.0, 3.0, 3.0, "cancelled")
    assert not hanging.alive


async def test_arguments_are_recorded() -> None:
    returning = Returning("value")
    assert await returning("BTC", 1) == "value"
    assert returning.lives[0].args == ("BTC", 1)


async def test_returning_takes_its_time() -> None:
    assert await Returning(1, after=10)() == 1
    assert current_time() == 10.0


def test_at_once_means_without_awaiting() -> None:
    async def main() -> None:
        with pytest.raises(StopIteration):
            Returning()().send(None)
        with pytest.raises(Boom):
            Crashing()().send(None)

    anyio.run(main)


async def test_crashing_some_times() -> None:
    crashing = Crashing(2, after=1)
    for _ in range(2):
        with pytest.raises(Boom):
            await crashing()
    await cancelled_after(5, crashing)
    assert crashing.starts == [0.0, 1.0, 2.0]
    assert [life.how for life in crashing.lives] == ["raised", "raised", "cancelled"]
    assert crashing.lives[2].ended == 7.0


@pytest.mark.parametrize(
    "error", [SystemExit(3), ExceptionGroup("two", [Boom(), Boom()])], ids=repr
)
async def test_crashing_with_a_given_error(error: BaseException) -> None:
    crashing = Crashing(error=error)
    with pytest.raises(type(error)) as caught:
        await crashing()
    assert caught.value is error
    assert crashing.lives[0].error is error


async def test_declining() -> None:
    declining = Declining("closed on Sundays", times=1)
    with pytest.raises(Decline, match="closed on Sundays"):
        await declining()
    assert declining.lives[0].how == "declined"
    async with anyio.create_task_group() as tg:
        await tg.start(declining)
        assert declining.lives[1].ready == current_time()
        tg.cancel_scope.cancel()


async def test_cued_crashes_and_finishes() -> None:
    cued = Cued()
    results = []

    async def run() -> None:
        try:
            results.append(await cued())
        except Boom as error:
            results.append(error)

    async with anyio.create_task_group() as tg:
        for number in (1, 2):
            tg.start_soon(run)
            await cued.wait_began(number)
            await sleep(1)
        error = Boom("on cue")
        cued.crash(error)
        with pytest.raises(RuntimeError, match="has had its cue"):
            cued.crash()
        assert (await cued.wait_ended(2)).error is error
        cued.finish(5)
    assert results == [error, 5]
    with pytest.raises(RuntimeError, match="waits for no cue"):
        cued.finish()


async def test_gated_asks_at_every_start() -> None:
    gated = Gated()
    gated.decline()
    gated.fail(ValueError("no"))
    async with anyio.create_task_group() as tg:
        with pytest.raises(Decline):
            await tg.start(gated)
        with pytest.raises(ValueError, match="no"):
            await tg.start(gated)

        async def open_later() -> None:
            await sleep(7)
            gated.open("value")

        tg.start_soon(open_later)
        assert await tg.start(gated) == "value"
        assert gated.lives[-1].ready == current_time() == 7.0
        gated.finish()
    assert [life.how for life in gated.lives] == ["declined", "raised", "returned"]


async def test_gated_starts_wait_side_by_side() -> None:
    gated = Gated()
    async with anyio.create_task_group() as tg:
        for _ in range(3):
            tg.start_soon(gated)
        await settle()
        for ready in range(3):
            assert sum(life.ready is not None for life in gated.lives) == ready
            gated.open()
            await settle()
        tg.cancel_scope.cancel()


async def test_failing_during_an_outage() -> None:
    outage = Outage(on=True)
    first, second = FailingDuring(outage), FailingDuring(outage, value=2)
    async with anyio.create_task_group() as tg:
        for failing in (first, second):
            with pytest.raises(Boom, match="outage"):
                await tg.start(failing)
        outage.end()
        assert await tg.start(second) == 2
        outage.begin()
        await sleep(1)
        assert second.alive
        tg.cancel_scope.cancel()


async def test_slow_starting() -> None:
    async with anyio.create_task_group() as tg:
        slow = SlowStarting(4, value="up")
        assert await tg.start(slow) == "up"
        assert slow.lives[0].ready == current_time() == 4.0
        tg.cancel_scope.cancel()


@pytest.mark.parametrize(("error", "how"), [(None, "cancelled"), (Boom(), "raised")], ids=repr)
async def test_slow_stopping(error: BaseException | None, how: str) -> None:
    slow = SlowStopping(10, error=error)
    with suppress(Boom):
        await cancelled_after(1, slow)
    (life,) = slow.lives
    assert (life.asked, life.ended, life.how) == (1.0, 11.0, how)
    if error is not None:
        assert life.error is error


@pytest.mark.virtual_clock(spin=200)
async def test_swallowing_goes_on_until_let_go() -> None:
    swallowing = Swallowing()

    async def let_go_later(tg: TaskGroup) -> None:
        with anyio.CancelScope(shield=True):
            await sleep(1)
            tg.cancel_scope.cancel()
            await sleep(5)
            assert swallowing.alive
            swallowing.let_go()

    async with anyio.create_task_group() as outer:
        async with anyio.create_task_group() as tg:
            tg.start_soon(swallowing)
            outer.start_soon(let_go_later, tg)
    (life,) = swallowing.lives
    assert (life.asked, life.ended, life.how) == (1.0, 6.0, "cancelled")
    assert swallowing.swallowed > 1


async def test_swallowing_gives_in() -> None:
    swallowing = Swallowing(limit=50)
    await cancelled_after(1, swallowing)
    assert swallowing.swallowed == 50
    assert swallowing.lives[0].how == "cancelled"


@pytest.mark.virtual_clock(threshold=0.05)
async def test_blocking_outlasts_its_cancellation() -> None:
    blocking = Blocking()

    async def let_go_later() -> None:
        with anyio.CancelScope(shield=True):
            await sleep(60)
            assert blocking.alive
            blocking.let_go()

    async with anyio.create_task_group() as tg:
        tg.start_soon(let_go_later)
        await cancelled_after(1, blocking)
        assert current_time() >= 60.0
    assert not blocking.alive


async def test_waiting_for_a_life() -> None:
    crashing = Crashing(1, after=2)

    async def twice() -> None:
        with pytest.raises(Boom):
            await crashing()
        await sleep(1)
        await crashing()

    async with anyio.create_task_group() as tg:
        tg.start_soon(twice)
        assert (await crashing.wait_ended(1)).how == "raised"
        assert current_time() == 2.0
        assert (await crashing.wait_began(2)).began == 3.0
        tg.cancel_scope.cancel()


async def test_repr_shows_the_state() -> None:
    hanging = Hanging()
    assert repr(hanging) == "<Hanging lives=0 alive=0>"
    async with anyio.create_task_group() as tg:
        tg.start_soon(hanging)
        await hanging.wait_began()
        assert repr(hanging) == "<Hanging lives=1 alive=1>"
        tg.cancel_scope.cancel()


@pytest.mark.realtime
async def test_ends_when_cancelled_for_real() -> None:
    for fault in (Hanging(), Cued(), SlowStarting(60), Gated(), SlowStopping(0.01)):
        await cancelled_after(0.01, fault)
        assert [life.how for life in fault.lives] == ["cancelled"]


async def test_seeded_fixes_the_jitter_of_trees_opened_inside() -> None:
    async def delays(seed: int) -> list[float]:
        began, crashing = current_time(), Crashing(times=5)
        with seeded(seed):
            async with open_supervisor() as sup:
                sup.start_soon(crashing)
                await crashing.wait_began(6)
                await sup.stop()
        return [start - began for start in crashing.starts]

    first, again, other = await delays(7), await delays(7), await delays(8)
    assert again == pytest.approx(first)
    assert other != pytest.approx(first)
