"""``every``: a loop without drift that is a heartbeat; and heartbeats by hand."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import current_time, sleep, sleep_forever, to_thread

from supervisor import (
    Component,
    Crashed,
    HeartbeatMissed,
    Supervisor,
    current_child,
    every,
    open_supervisor,
)
from supervisor.testing import Hanging

pytestmark = pytest.mark.usefixtures("leak_check")


async def turns(period: float, work: list[float], clock: list[float], missed: list[int]) -> None:
    async for skipped in every(period):
        clock.append(current_time())
        missed.append(skipped)
        if not work:
            return
        await sleep(work.pop(0))


async def test_the_first_turn_is_at_once_and_the_others_do_not_drift() -> None:
    clock: list[float] = []
    await turns(5, [1, 4.9, 0, 2.5], clock, [])
    assert clock == [0.0, 5.0, 10.0, 15.0, 20.0]


async def test_a_late_turn_follows_at_once_and_the_next_is_on_the_grid() -> None:
    clock: list[float] = []
    missed: list[int] = []
    await turns(5, [7, 1, 1], clock, missed)
    assert clock == [0.0, 7.0, 10.0, 15.0]
    assert missed == [0, 0, 0, 0]


async def test_missed_turns_are_left_out_and_counted() -> None:
    clock: list[float] = []
    missed: list[int] = []
    await turns(5, [23, 1], clock, missed)
    assert clock == [0.0, 23.0, 25.0]
    assert missed == [0, 3, 0]


async def test_a_thousand_turns_do_not_drift() -> None:
    count = 0
    async for _ in every(0.1):
        count += 1
        if count == 1_001:
            break
    assert current_time() == pytest.approx(100.0, abs=1e-9)


async def test_it_can_be_cancelled_and_lets_others_run() -> None:
    with anyio.move_on_after(12) as scope:
        async for _ in every(5):
            pass
    assert scope.cancelled_caught
    assert current_time() == 12.0


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
async def test_a_period_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="positive number of seconds"):
        every(seconds)


async def test_a_turn_is_a_heartbeat(told: Any) -> None:
    async def component() -> None:
        async for _ in every(3):
            pass

    spec = Supervisor("root", [Component(component, name="a", heartbeat=4)])
    async with open_supervisor(spec) as tree:
        await sleep(100)
        assert tree["a"].life == 1
    assert not told.of(Crashed)


async def test_a_life_without_a_heartbeat_is_replaced(told: Any) -> None:
    async def component() -> None:
        for _ in range(3):
            await sleep(2)
            current_child().heartbeat()
        await sleep_forever()

    spec = Supervisor("root", [Component(component, name="a", heartbeat=4)])
    async with open_supervisor(spec) as tree:
        await sleep(11)
        assert tree["a"].life == 2
    (crash,) = told.of(Crashed)
    assert (crash.at, crash.phase, crash.up) == (10.0, "ready", 10.0)
    assert isinstance(crash.error, HeartbeatMissed)


async def test_the_heartbeat_counts_from_readiness(told: Any) -> None:
    async def component(task_status: Any) -> None:
        await sleep(60)
        task_status.started()
        await sleep_forever()

    spec = Supervisor("root", [Component(component, name="a", heartbeat=4)])
    async with open_supervisor(spec):
        await sleep(5)
    assert told.of(Crashed)[0].at == 64.0


@pytest.mark.virtual_clock(threshold=0.02)
async def test_a_worker_thread_can_give_the_heartbeat(told: Any) -> None:
    """The trap of runsmith: a heartbeat is a plain write."""

    async def component() -> None:
        for _ in range(20):
            await sleep(1)
            await to_thread.run_sync(lambda: None)
            current_child().heartbeat()
        await sleep_forever()

    spec = Supervisor("root", [Component(component, name="a", heartbeat=5)])
    async with open_supervisor(spec):
        await sleep(15)
    assert not told.of(Crashed)


async def test_a_heartbeat_of_an_old_life_does_not_count_for_the_new_one(told: Any) -> None:
    old: list[Any] = []

    async def component() -> None:
        old.append(current_child())
        await sleep_forever()

    spec = Supervisor("root", [Component(component, name="a", heartbeat=4)])
    async with open_supervisor(spec) as tree:
        await sleep(1)
        await tree["a"].restart()
        for _ in range(5):
            old[0].heartbeat()
            await sleep(0.9)
        assert [e.life for e in told.of(Crashed)] == [2]


async def test_many_children_with_heartbeats_need_no_task_of_their_own() -> None:
    async def component() -> None:
        async for _ in every(1):
            pass

    async with open_supervisor() as tree:
        for _ in range(50):
            tree.start_soon(component, heartbeat=2)
        tree.start_soon(Hanging())
        await sleep(10)
        assert {child.life for child in tree.snapshot().root.children} == {1}
        await tree.stop()
