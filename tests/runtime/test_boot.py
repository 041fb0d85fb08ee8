"""Boot: the order, readiness, and what happens when a first start does not work out."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import current_time, sleep, sleep_forever
from anyio.abc import TaskStatus

from supervisor import (
    Booted,
    Component,
    Intensity,
    Quarantine,
    Ready,
    Started,
    StartTimedOut,
    Stop,
    Stopped,
    Supervisor,
    TreeFailed,
    current_child,
    open_supervisor,
)
from supervisor.testing import (
    Boom,
    Crashing,
    Declining,
    Gated,
    Hanging,
    Returning,
    SlowStarting,
    SlowStopping,
    settle,
)

pytestmark = pytest.mark.usefixtures("leak_check")


def three(*runs: Any, **options: Any) -> Supervisor:
    return Supervisor(
        "root",
        [Component(run, name=name) for run, name in zip(runs, "abc", strict=True)],
        **options,
    )


async def test_a_tree_without_children_starts_and_stops() -> None:
    async with open_supervisor(Supervisor("root", [])) as tree:
        assert tree.condition.status == "healthy"
        assert tree.snapshot().root.state == "ready"
    assert tree.snapshot().root.state == "down"
    assert str(tree.snapshot().root.outcome) == "cancelled"


async def test_children_start_in_order_each_when_the_one_before_is_ready() -> None:
    """Law 3: children start in order and only when what they wait for is ready."""
    first, second, third = SlowStarting(3), Hanging(), SlowStarting(4)
    async with open_supervisor(three(first, second, third)):
        assert current_time() == 7.0
    assert [fault.starts for fault in (first, second, third)] == [[0.0], [3.0], [3.0]]


async def test_entering_waits_until_the_last_child_is_ready(told: Any) -> None:
    async with open_supervisor(three(Hanging(), Hanging(), SlowStarting(5))):
        assert told.of(Booted)[0].took == 5.0
        assert [e.took for e in told.of(Ready)] == [5.0]
    assert told.names(Started) == ["a", "b", "c"]
    assert [e.ready for e in told.of(Started)] == [True, True, False]


async def test_a_child_that_never_reports_holds_the_boot_until_its_start_timeout() -> None:
    never = Gated()
    tree = Supervisor(
        "root",
        [Component(never, name="a", start_timeout=10), Component(Hanging(), name="b")],
    )
    async with open_supervisor(tree) as running:
        # One failed start lets the others pass under one_for_one; it goes on trying by itself.
        assert current_time() == 10.0
        assert isinstance(running["a"]._last.error, StartTimedOut)
        never.open()
        await running["a"].wait_ready()
        assert running["a"].life == 2


async def test_a_child_that_crashes_at_its_first_start_is_passed_and_retried() -> None:
    crashing = Gated()
    crashing.fail()
    crashing.open("value")
    async with open_supervisor(three(crashing, Hanging(), Hanging())) as tree:
        assert await tree["a"].wait_ready() == "value"
        assert tree["a"].life == 2


async def test_under_a_group_strategy_the_boot_waits_for_the_retry() -> None:
    gated, after = Gated(), Hanging()
    gated.fail()
    gated.open()
    async with open_supervisor(three(gated, after, Hanging(), strategy="one_for_all")) as tree:
        assert tree["a"].life == 2
        assert len(after.lives) == 1


async def test_a_declined_start_is_passed() -> None:
    async with open_supervisor(three(Hanging(), Declining("closed"), Hanging())) as tree:
        declined = tree["b"]
        assert (declined.state, str(declined.outcome)) == ("down", "declined: closed")
        assert [hold.owner for hold in declined.holds] == ["declined"]
        assert tree["c"].state == "ready"
        assert tree.condition.status == "healthy"


async def test_a_declined_temporary_child_is_forgotten() -> None:
    tree = Supervisor(
        "root",
        [Component(Declining(), name="a", restart="temporary"), Component(Hanging(), name="b")],
    )
    async with open_supervisor(tree) as running:
        assert "a" not in running
        assert "b" in running


async def test_a_child_that_dies_while_younger_ones_boot_is_restarted() -> None:
    elder, younger = Crashing(1, after=1), SlowStarting(5)
    async with open_supervisor(three(elder, younger, Hanging())):
        assert elder.starts == [0.0, 1.0]
        assert younger.starts == [0.0]


async def test_a_strict_boot_is_unwound_in_reverse(told: Any) -> None:
    """Law 4: a failed start ends a strict boot as OTP does; nothing is restarted."""
    crashing, last = Gated(), Hanging()
    error = Boom("cannot start")
    crashing.fail(error)
    spec = Supervisor(
        "root",
        [
            Component(Hanging(), name="a"),
            Component(Hanging(), name="b"),
            Component(crashing, name="c"),
            Component(last, name="d"),
        ],
        boot="strict",
    )
    with pytest.raises(TreeFailed) as caught:
        async with open_supervisor(spec):
            pytest.fail("the block must not run")
    assert caught.value.exceptions == (error,)
    assert "root/c, life 1: its first start failed, and the boot is strict" in error.__notes__
    assert told.names(Stopped) == ["b", "a"]
    assert len(crashing.lives) == 1
    assert not last.lives


async def test_a_strict_boot_spends_no_budget_on_declined_children() -> None:
    spec = three(
        Declining(), Hanging(), Hanging(), boot="strict", intensity=Intensity(0, within=10)
    )
    async with open_supervisor(spec) as tree:
        assert tree["b"].state == "ready"


async def test_stop_during_the_boot_starts_nothing_more(told: Any) -> None:
    """Law 3: nothing is started after a stop was asked for."""
    last = Hanging()
    async with anyio.create_task_group() as tg:

        async def host() -> None:
            async with open_supervisor(three(Hanging(), SlowStarting(60), last)):
                pass

        handle = tg.start_soon(host)
        await sleep(5)
        handle.cancel()
    assert current_time() == 5.0
    assert told.names(Stopped) == ["b", "a"]
    assert not last.lives


async def test_the_control_plane_answers_while_a_child_starts() -> None:
    async def starting(task_status: TaskStatus[None]) -> None:
        await sleep(100)
        task_status.started()
        await sleep_forever()

    async with open_supervisor() as tree:
        child = tree.start_soon(starting)
        await settle()
        assert child.state == "starting"
        other = tree.start_soon(Hanging(), name="other")
        assert other.state == "ready"
        assert tree.snapshot().root.children[0].state == "starting"
        await child.stop()
        assert current_time() == 0.0
        await tree.stop()


async def test_a_listed_child_waits_only_for_those_before_it_when_added_during_the_boot() -> None:
    gated = Gated()

    async def adding(task_status: TaskStatus[None]) -> None:
        task_status.started()
        from supervisor import current_child

        await current_child().tree.add(Component(Hanging(), name="late"))
        await sleep_forever()

    spec = Supervisor("root", [Component(adding), Component(gated, name="gated")])
    async with anyio.create_task_group() as tg:

        async def open_later() -> None:
            await sleep(9)
            gated.open()

        tg.start_soon(open_later)
        async with open_supervisor(spec) as tree:
            assert tree["late"].state == "ready"
            assert tree["late"]._last.since == 9.0


async def test_a_boot_of_failing_children_ends_and_the_tree_is_degraded_later() -> None:
    crashing = Crashing()
    spec = Supervisor(
        "root",
        [Component(crashing, name="a", quarantine=Quarantine(crashes=2, within=60, open=60))],
        stop=Stop(),
    )
    async with open_supervisor(spec) as tree:
        await tree.wait_condition("degraded")
        assert [str(r.what) for r in tree.condition.reasons] == ["quarantined"]


async def test_a_slow_stop_of_a_strict_boot_is_waited_for() -> None:
    slow, failing = SlowStopping(2), Gated()
    failing.fail()
    spec = Supervisor(
        "root", [Component(slow, name="a"), Component(failing, name="b")], boot="strict"
    )
    with pytest.raises(TreeFailed):
        async with open_supervisor(spec):
            pytest.fail("the block must not run")
    assert current_time() == 2.0
    assert not slow.alive


async def test_a_child_that_returns_during_a_strict_boot_is_no_failed_start() -> None:
    spec = Supervisor(
        "root",
        [Component(Returning(), name="a", restart="transient"), Component(Hanging(), name="b")],
        boot="strict",
    )
    async with open_supervisor(spec) as tree:
        assert str(tree["a"].outcome) == "returned"


async def test_a_tree_that_is_stopped_while_it_boots_keeps_nobody_waiting() -> None:
    async def stops() -> None:
        await sleep(1)
        await current_child().tree.stop()

    async with open_supervisor(three(stops, Gated(), Hanging())):
        assert current_time() == 1.0
