"""Stopping: the order, grace, deadlines, and children that will not go."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import CancelScope, current_time, sleep, sleep_forever

from supervisor import (
    Component,
    Crashed,
    Ended,
    Stop,
    StopAsked,
    StopBegun,
    Stopped,
    StopTimedOut,
    Stuck,
    Supervisor,
    TreeFailed,
    current_child,
    open_supervisor,
)
from supervisor.testing import Blocking, Boom, Hanging, SlowStopping, Swallowing, settle

pytestmark = pytest.mark.usefixtures("leak_check")


def one(run: Any, **options: Any) -> Supervisor:
    return Supervisor("root", [Component(run, name="a", **options)])


async def polite() -> None:
    await current_child().stopping.wait()
    await sleep(1)


async def test_listed_children_stop_one_at_a_time_in_reverse(told: Any) -> None:
    """Law 3."""
    spec = Supervisor("root", [Component(SlowStopping(2), name=name) for name in "abc"])
    async with open_supervisor(spec):
        await settle()
    assert [(e.at, e.path[-1]) for e in told.of(StopAsked)] == [(0, "c"), (2, "b"), (4, "a")]
    assert [e.took for e in told.of(Stopped)] == [2.0, 2.0, 2.0]


async def test_with_grace_the_child_is_asked_first() -> None:
    async with open_supervisor(one(polite, stop=Stop(grace=5))) as tree:
        await settle()
        await tree["a"].stop()
        assert current_time() == 1.0
        assert str(tree["a"].outcome) == "returned"


async def test_without_grace_stopping_is_not_set_before_the_cancellation() -> None:
    seen = []

    async def component() -> None:
        stopping = current_child().stopping
        try:
            await sleep_forever()
        finally:
            seen.append(stopping.is_set())

    async with open_supervisor(one(component)):
        await settle()
    assert seen == [False]


async def test_stopping_that_is_first_looked_at_after_the_notice_is_set() -> None:
    async def component() -> None:
        await sleep(2)
        await current_child().stopping.wait()

    async with open_supervisor(one(component, stop=Stop(grace=5))) as tree:
        await sleep(1)
        await tree["a"].stop()
        assert current_time() == 2.0


async def test_grace_is_followed_by_cancellation_and_then_by_the_deadline(told: Any) -> None:
    slow = SlowStopping(60)
    async with open_supervisor(one(slow, stop=Stop(grace=3, deadline=4))) as tree:
        await settle()
        with pytest.raises(Stuck):
            await tree["a"].stop()
        assert slow.lives[0].asked == 3.0
        assert current_time() == 7.0
    (told_off,) = told.of(StopTimedOut)
    assert (told_off.at, told_off.waited) == (7.0, 7.0)


async def test_a_stuck_child_is_told_with_its_stack_and_place(told: Any) -> None:
    """Law 9: what does not stop by its deadline is told with its stack and path."""

    async def deep_down() -> None:
        with CancelScope(shield=True):
            await sleep(60)

    async def component() -> None:
        await deep_down()

    async with open_supervisor(one(component, stop=Stop(deadline=2))):
        await settle()
    (told_off,) = told.of(StopTimedOut)
    assert told_off.path == "root/a"
    assert told_off.stack.index("in component") < told_off.stack.index("in deep_down")
    assert "test_stop.py" in told_off.stack
    assert "life.py" not in told_off.stack


async def test_the_scope_stays_open_until_the_stuck_child_ends(told: Any) -> None:
    """Laws 1 and 9: no orphan, however long it takes."""
    slow, others = SlowStopping(1000), [Hanging(), Hanging()]
    spec = Supervisor(
        "root",
        [
            Component(others[0], name="a"),
            Component(slow, name="b", stop=Stop(deadline=2)),
            Component(others[1], name="c"),
        ],
    )
    async with open_supervisor(spec):
        await settle()
    assert current_time() == 1000.0
    assert [other.lives[0].ended for other in others] == [2.0, 0.0]
    assert [e.stuck for e in told.of(Ended)] == [("root/b",), ()]


async def test_a_stuck_child_gets_no_further_life_and_the_others_go_on(told: Any) -> None:
    slow = SlowStopping(1000)
    spec = Supervisor(
        "root",
        [
            Component(slow, name="a", stop=Stop(deadline=2), heartbeat=5),
            Component(Hanging(), name="b"),
        ],
    )
    async with open_supervisor(spec) as tree:
        await sleep(100)
        assert (tree["a"].state, tree["b"].state) == ("stuck", "ready")
        assert [r.what for r in tree.condition.reasons] == ["stuck"]
        assert "stuck" in [hold.owner for hold in tree["a"].holds]
        await sleep(1000)
        assert (tree["a"].state, len(slow.lives)) == ("down", 1)
        assert len(told.of(Crashed)) == 1


async def test_a_critical_child_that_is_stuck_ends_the_tree() -> None:
    slow = SlowStopping(100)
    spec = one(slow, stop=Stop(deadline=2), heartbeat=5, priority="critical")
    with pytest.raises(TreeFailed) as caught:
        async with open_supervisor(spec):
            await sleep(1000)
    assert isinstance(caught.value.exceptions[0], Stuck)
    assert current_time() == 105.0


async def test_stop_within_bounds_the_whole_stop(told: Any) -> None:
    """Law 9: every deadline is clipped to what is left of the total."""
    slow = [SlowStopping(100) for _ in range(5)]
    spec = Supervisor(
        "root",
        [Component(s, name=f"s{i}", stop=Stop(deadline=10)) for i, s in enumerate(slow)],
    )
    async with open_supervisor(spec, stop_within=12):
        await settle()
    asked = {e.path: e for e in told.of(StopAsked)}
    assert (asked["root/s4"].at, asked["root/s4"].deadline) == (0.0, 10.0)
    assert all(e.at <= 12.0 for e in told.of(StopTimedOut))
    assert len(told.of(StopTimedOut)) == 5
    assert all(s.lives[0].asked is not None and s.lives[0].asked < 12 for s in slow)


async def test_grace_gives_way_when_time_is_short(told: Any) -> None:
    spec = one(Hanging(), stop=Stop(grace=20, deadline=5))
    async with open_supervisor(spec, stop_within=6) as tree:
        await settle()
        await tree.stop()
    assert current_time() <= 6.0
    assert told.of(StopAsked)[0].grace <= 1.0


async def test_the_first_stop_sets_the_time_limit(told: Any) -> None:
    async with open_supervisor(one(SlowStopping(3)), stop_within=20) as tree:
        await settle()
        async with anyio.create_task_group() as tg:
            for _ in range(3):
                tg.start_soon(tree.stop)
        assert current_time() == 3.0
    assert [e.by for e in told.of(StopBegun)] == [20.0]


@pytest.mark.virtual_clock(spin=500)
async def test_a_child_that_swallows_cancellation_does_not_hold_up_the_others(told: Any) -> None:
    """The trap of mode and papyra: the stop returns at its deadline, the child is named."""
    swallowing, elder = Swallowing(), Hanging()
    spec = Supervisor(
        "root",
        [Component(elder, name="a"), Component(swallowing, name="b", stop=Stop(deadline=2))],
    )
    async with anyio.create_task_group() as tg:

        async def let_go() -> None:
            await sleep(30)
            swallowing.let_go()

        tg.start_soon(let_go)
        async with open_supervisor(spec) as tree:
            await settle()
            with pytest.raises(Stuck):
                await tree["b"].stop()
    assert elder.lives[0].ended is not None
    assert told.of(StopTimedOut)[0].path == "root/b"
    assert "_faults.py" in told.of(StopTimedOut)[0].stack
    assert not swallowing.alive


@pytest.mark.virtual_clock(threshold=0.02)
async def test_a_child_that_sits_in_a_thread(told: Any) -> None:
    blocking = Blocking()
    async with anyio.create_task_group() as tg:

        async def let_go() -> None:
            await sleep(30)
            blocking.let_go()

        tg.start_soon(let_go)
        async with open_supervisor(one(blocking, stop=Stop(deadline=2))) as tree:
            await sleep(1)
            with pytest.raises(Stuck):
                await tree["a"].stop()
            assert 3.0 <= current_time() < 10.0
    assert told.of(StopTimedOut)[0].path == "root/a"
    assert not blocking.alive


async def test_errors_while_stopping_are_told_and_do_not_disturb_the_stop(told: Any) -> None:
    """Law 4 at shutdown: how a child ends while it is being stopped starts nothing."""
    spec = Supervisor(
        "root",
        [Component(SlowStopping(1, error=Boom(name)), name=name) for name in "ab"],
        strategy="one_for_all",
    )
    async with open_supervisor(spec):
        await settle()
    crashes = told.of(Crashed)
    assert [(e.path, e.phase, e.verdict.action) for e in crashes] == [
        ("root/b", "stopping", "none"),
        ("root/a", "stopping", "none"),
    ]


async def test_a_stop_right_after_a_start_runs_nothing() -> None:
    hanging = Hanging()
    async with open_supervisor() as tree:
        child = tree.start_soon(hanging)
        await child.stop()
        assert child.state == "down"
        assert not hanging.alive
        assert [life.how for life in hanging.lives] in ([], ["cancelled"])
        assert child.life == 1


async def test_a_tree_of_many_stopped_at_once() -> None:
    hanging = Hanging()
    async with open_supervisor() as tree:
        for _ in range(200):
            tree.start_soon(hanging)
        await settle()
        assert len(hanging.lives) == 200
        await tree.stop()
    assert not hanging.alive


async def test_a_child_can_stop_its_own_tree(told: Any) -> None:
    async def component() -> None:
        await current_child().tree.stop()

    async with open_supervisor(one(component)) as tree:
        await tree.wait_stopped()
    assert told.names(Stopped) == ["a"]


async def test_a_stop_that_takes_long_does_not_block_the_event_loop() -> None:
    ticks = 0
    async with anyio.create_task_group() as tg:

        async def ticking() -> None:
            nonlocal ticks
            while ticks < 10:
                await sleep(1)
                ticks += 1

        tg.start_soon(ticking)
        async with open_supervisor(one(SlowStopping(4.5))) as tree:
            await settle()
            await tree.stop()
            assert ticks == 4


# --- peers, which may be ended by one cancellation ----------------------------------------------------


async def test_one_of_many_peers_keeps_its_grace(told: Any) -> None:
    async with open_supervisor() as tree:
        for _ in range(5):
            tree.start_soon(Hanging())
        tree.start_soon(leaves_when_asked, stop=Stop(grace=3))
        await settle()
        began = current_time()
        await tree.stop()
    assert current_time() - began == 2
    assert "leaves_when_asked" in told.names(Stopped)
    assert not told.of(Crashed)


async def leaves_when_asked() -> None:
    await current_child().stopping.wait()
    await sleep(2)


async def test_the_end_of_all_peers_does_not_reach_a_listed_child(told: Any) -> None:
    cut_short: list[float] = []

    async def listed() -> None:
        try:
            await sleep_forever()
        finally:
            cut_short.append(current_time())

    async with open_supervisor(Supervisor("root", [Component(listed)])) as tree:
        for _ in range(5):
            tree.start_soon(SlowStopping(1))
        await settle()
        began = current_time()
        await tree.stop()
    assert cut_short == [began + 1]
    assert told.names(Stopped)[-1] == "listed"


async def test_a_peer_that_is_stuck_does_not_keep_the_others(told: Any) -> None:
    swallowing = Swallowing()
    async with open_supervisor(stop_within=10) as tree:
        for _ in range(3):
            tree.start_soon(Hanging())
        tree.start_soon(swallowing, stop=Stop(deadline=1))
        await settle()
        tree._runtime.stop("the test says so")
        await sleep(2)
        assert told.names(StopTimedOut) == ["Swallowing"]
        assert len(told.of(Stopped)) == 3
        swallowing.let_go()


async def test_a_deadline_that_begins_another_one_at_the_same_moment(told: Any) -> None:
    """Grace ends, and a deadline that is too short for the clock has come as well."""
    slow = SlowStopping(5)
    async with open_supervisor() as tree:
        child = tree.start_soon(slow, stop=Stop(grace=3, deadline=1e-300))
        await slow.wait_began()
        with pytest.raises(Stuck):
            await child.stop()
    assert [e.at for e in told.of(StopTimedOut)] == [3.0]
