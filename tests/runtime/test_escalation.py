"""Intensity, critical children, quarantine, significance: how a tree gives up, or does not."""

from __future__ import annotations

import traceback
from typing import Any

import anyio
import pytest
from anyio import current_time, sleep

from supervisor import (
    Backoff,
    Component,
    Crashed,
    Escalated,
    ForeignCancellation,
    Intensity,
    Quarantine,
    Quarantined,
    Recovered,
    Started,
    Stopped,
    Supervisor,
    TreeFailed,
    UnexpectedReturn,
    open_supervisor,
)
from supervisor.testing import Boom, Crashing, Cued, Hanging, Returning, SlowStopping, settle

pytestmark = pytest.mark.usefixtures("leak_check")

QUICK = Backoff(first=0, base=0.001, cap=0.001, jitter="none")


@pytest.mark.parametrize("restarts", [0, 1, 3])
async def test_one_crash_more_than_the_intensity_ends_the_tree(told: Any, restarts: int) -> None:
    """Law 4, the traps of mode: exactly so many restarts, then it escalates, and is raised."""
    crashing, sibling = Crashing(after=1), SlowStopping(2)
    spec = Supervisor(
        "root",
        [Component(sibling, name="a"), Component(crashing, name="b", backoff=QUICK)],
        intensity=Intensity(restarts, within=60),
    )
    with pytest.raises(TreeFailed) as caught:
        async with open_supervisor(spec):
            await sleep(1000)
    assert len(crashing.lives) == restarts + 1
    assert caught.value.exceptions == (crashing.lives[-1].error,)
    assert not sibling.alive
    assert told.of(Escalated)[0].rule == "intensity"
    assert told.names(Stopped) == ["a"]


async def test_the_intensity_looks_at_a_sliding_window() -> None:
    crashing = Crashing(after=31)
    spec = Supervisor("root", [Component(crashing)], intensity=Intensity(2, within=60))
    async with open_supervisor(spec):
        await sleep(1000)
    assert len(crashing.lives) > 15


async def test_one_child_over_its_limit_is_set_aside_and_the_group_goes_on() -> None:
    """The trap of chrono-daemon: the whole group does not fall."""
    sibling = Hanging()
    spec = Supervisor("root", [Component(sibling), Component(Crashing(), backoff=QUICK)])
    async with open_supervisor(spec) as tree:
        await sleep(3600)
        assert len(sibling.lives) == 1
        assert tree["Crashing"].holds[0].owner == "quarantine"
        assert tree.condition.status == "degraded"


async def test_a_quarantine_ends_with_one_probe_that_stays_up(told: Any) -> None:
    policy = Quarantine(crashes=3, within=60, open=100, factor=2, cap=1000, probe=10)
    crashing = Crashing(4)
    spec = Supervisor("root", [Component(crashing, name="a", backoff=QUICK, quarantine=policy)])
    async with open_supervisor(spec) as tree:
        await sleep(1000)
        assert tree["a"].holds == ()
    opened = told.of(Quarantined)
    assert [e.times for e in opened] == [1, 2]
    assert 80 <= opened[0].open <= 100
    assert 160 <= opened[1].open <= 200
    assert [e.life for e in told.of(Started) if e.probe] == [4, 5]
    assert [e.up for e in told.of(Recovered)] == pytest.approx([10.0])


async def test_a_critical_child_is_never_quarantined_but_escalates(told: Any) -> None:
    crashing = Crashing()
    spec = Supervisor("root", [Component(crashing, name="a", backoff=QUICK, priority="critical")])
    with pytest.raises(TreeFailed, match="root failed: root/a cannot be kept up"):
        async with open_supervisor(spec):
            await sleep(1000)
    assert len(crashing.lives) == 5
    assert not told.of(Quarantined)


async def test_what_a_critical_child_needs_is_critical_too() -> None:
    spec = Supervisor(
        "root",
        [
            Component(Crashing(after=1), name="base", backoff=QUICK),
            Component(Hanging(), name="top", needs=["base"], priority="critical"),
        ],
    )
    with pytest.raises(TreeFailed):
        async with open_supervisor(spec):
            await sleep(1000)


async def test_the_failure_is_flat_and_has_notes_for_a_person() -> None:
    """Law 7: escalation raises the last failure of each offender."""
    crashing = Crashing(after=1)
    spec = Supervisor(
        "root",
        [
            Supervisor(
                "middle",
                [
                    Supervisor(
                        "inner",
                        [Component(crashing, name="a", backoff=QUICK, restart="permanent")],
                        intensity=Intensity(1, within=60),
                    )
                ],
                intensity=Intensity(0, within=60),
            )
        ],
        intensity=Intensity(0, within=60),
    )
    with pytest.raises(TreeFailed) as caught:
        async with open_supervisor(spec):
            await sleep(1000)
    failure = caught.value
    assert len(failure.exceptions) == 1
    assert failure.exceptions[0] is crashing.lives[-1].error
    text = "".join(traceback.format_exception(failure))
    assert "root/middle/inner/a, life 2: more than 1 restarts within 60 s" in text
    assert text.count("TreeFailed") == 1


async def test_the_same_exception_object_raised_again_and_again_gathers_no_notes() -> None:
    """Law 15: nothing grows without a bound."""
    error = Boom("always the same")
    spec = Supervisor(
        "root",
        [
            Supervisor(
                "inner",
                [Component(Crashing(error=error, after=1), name="a", backoff=QUICK)],
                intensity=Intensity(0, within=60),
                backoff=QUICK,
                quarantine=None,
            )
        ],
    )
    async with open_supervisor(spec):
        await sleep(20)
    assert len(error.__notes__) < 3
    frames = traceback.extract_tb(error.__traceback__)
    assert len(frames) < 1000


async def test_a_permanent_child_that_always_returns_is_named_when_it_escalates() -> None:
    spec = Supervisor(
        "root", [Component(Returning(after=1), name="a")], intensity=Intensity(1, within=60)
    )
    with pytest.raises(TreeFailed) as caught:
        async with open_supervisor(spec):
            await sleep(1000)
    assert isinstance(caught.value.exceptions[0], UnexpectedReturn)


async def test_dynamic_children_share_the_budget_and_all_end_with_it() -> None:
    peers = [Hanging(), Hanging(), Crashing(after=1), Crashing(after=1)]
    with pytest.raises(TreeFailed):
        async with open_supervisor(intensity=Intensity(2, within=60)) as tree:
            for peer in peers:
                tree.start_soon(peer, backoff=QUICK)
            await sleep(1000)
    assert not any(peer.alive for peer in peers)


@pytest.mark.parametrize(
    ("mode", "kind", "restart", "ends"),
    [
        ("any_significant", "finish", "transient", True),
        ("any_significant", "crash", "transient", False),
        ("any_significant", "finish", "temporary", True),
        ("any_significant", "crash", "temporary", True),
        ("all_significant", "finish", "transient", False),
    ],
)
async def test_significant_children(mode: Any, kind: str, restart: Any, ends: bool) -> None:
    cued, other = Cued(), Cued()
    spec = Supervisor(
        "root",
        [
            Component(Hanging(), name="x"),
            Component(other, name="b", significant=True, restart="transient"),
            Component(cued, name="a", significant=True, restart=restart),
        ],
        auto_shutdown=mode,
    )
    async with open_supervisor(spec) as tree:
        await settle()
        getattr(cued, kind)()
        await settle()
        assert (tree.snapshot().root.state == "down") is ends
        if not ends:
            await settle()
            other.finish()
            if kind == "finish":
                await tree.wait_stopped()
        await tree.stop()
    if kind == "finish":
        assert str(tree.snapshot().root.outcome) == "returned"


async def test_insignificant_children_never_end_their_supervisor() -> None:
    cued = Cued()
    spec = Supervisor(
        "root",
        [
            Component(cued, name="a", restart="temporary"),
            Component(Hanging(), name="b", significant=True, restart="transient"),
        ],
        auto_shutdown="any_significant",
    )
    async with open_supervisor(spec) as tree:
        await settle()
        cued.finish()
        await sleep(10)
        assert tree["b"].state == "ready"
        await tree.stop()


async def test_a_significant_child_that_an_operator_stops_does_not_end_its_supervisor() -> None:
    spec = Supervisor(
        "root",
        [
            Component(Hanging(), name="a", significant=True, restart="transient"),
            Component(Hanging(), name="b"),
        ],
        auto_shutdown="any_significant",
    )
    async with open_supervisor(spec) as tree:
        await tree["a"].stop()
        await sleep(10)
        assert tree["b"].state == "ready"


async def test_the_block_is_cancelled_when_the_tree_fails_and_may_clean_up() -> None:
    spec = Supervisor("root", [Component(Crashing(after=1))], intensity=Intensity(0, within=60))
    cleaned = False
    with pytest.raises(TreeFailed):
        async with open_supervisor(spec):
            try:
                await sleep(1000)
            finally:
                cleaned = True
    assert cleaned
    assert current_time() == 1.0


async def test_an_error_of_the_block_and_of_the_tree_are_both_told() -> None:
    """Law 7: no failure is lost."""
    crashing = Crashing(after=1)
    spec = Supervisor("root", [Component(crashing)], intensity=Intensity(0, within=60))
    with pytest.raises(BaseExceptionGroup) as caught:
        async with open_supervisor(spec):
            try:
                await sleep(1000)
            finally:
                raise ValueError("clean-up failed")
    failed, tree_failed = caught.value.exceptions
    assert isinstance(failed, ValueError)
    assert isinstance(tree_failed, TreeFailed)


async def test_a_group_with_our_cancellation_in_it_does_not_leak_from_the_block() -> None:
    crashing = Crashing(after=1)
    spec = Supervisor("root", [Component(crashing)], intensity=Intensity(0, within=60))
    with pytest.raises(BaseExceptionGroup) as caught:
        async with open_supervisor(spec):

            async def failing() -> None:
                try:
                    await sleep(1000)
                finally:
                    raise ValueError("clean-up failed")

            async with anyio.create_task_group() as tg:
                tg.start_soon(failing)
                await sleep(1000)
    cancels, rest = caught.value.split(anyio.get_cancelled_exc_class())
    assert cancels is None
    assert rest is not None
    assert rest.subgroup(ValueError) is not None
    assert rest.subgroup(Boom) is not None


async def test_the_last_of_many_crashes_is_the_one_that_is_raised(told: Any) -> None:
    crashing = Crashing(after=1)
    spec = Supervisor(
        "root",
        [Component(crashing, name="a", backoff=QUICK, priority="critical")],
    )
    with pytest.raises(TreeFailed) as caught:
        async with open_supervisor(spec):
            await sleep(1000)
    assert caught.value.exceptions[0] is told.of(Crashed)[-1].error
    assert not isinstance(caught.value.exceptions[0], ForeignCancellation)
