"""one_for_all and rest_for_one: who goes down, who comes back, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import sleep

from supervisor import (
    Backoff,
    Component,
    Crashed,
    GroupRestarted,
    Intensity,
    Quarantine,
    Recovered,
    Started,
    StopAsked,
    Stopped,
    Supervisor,
    TreeFailed,
    open_supervisor,
)
from supervisor.testing import (
    Boom,
    Crashing,
    Cued,
    Declining,
    Gated,
    Hanging,
    Returning,
    SlowStarting,
    SlowStopping,
    settle,
)

pytestmark = pytest.mark.usefixtures("leak_check")


def group(strategy: Any, *specs: Component, **options: Any) -> Supervisor:
    return Supervisor("root", specs, strategy=strategy, **options)


async def test_one_for_all_restarts_everybody_in_order(told: Any) -> None:
    cued = Cued()
    spec = group(
        "one_for_all",
        Component(Hanging(), name="a"),
        Component(cued, name="b"),
        Component(Hanging(), name="c"),
    )
    async with open_supervisor(spec) as tree:
        await settle()
        told.clear()
        cued.crash()
        await settle()
        assert told.names(Stopped) == ["c", "a"]
        assert told.names(Started) == ["a", "b", "c"]
        assert [tree[name].life for name in "abc"] == [2, 2, 2]
    (restart,) = told.of(GroupRestarted)
    assert restart.members == ("root/a", "root/b", "root/c")


async def test_rest_for_one_restarts_the_younger_ones(told: Any) -> None:
    cued = Cued()
    spec = group(
        "rest_for_one",
        Component(Hanging(), name="a"),
        Component(cued, name="b"),
        Component(Hanging(), name="c"),
    )
    async with open_supervisor(spec) as tree:
        await settle()
        told.clear()
        cued.crash()
        await settle()
        assert told.names(Stopped) == ["c"]
        assert told.names(Started) == ["b", "c"]
        assert [tree[name].life for name in "abc"] == [1, 2, 2]


async def test_no_member_starts_before_all_are_down(told: Any) -> None:
    """Law 2 and 3 in a group: stops one at a time in reverse, then starts."""
    cued = Cued()
    spec = group(
        "one_for_all",
        Component(cued, name="a"),
        Component(SlowStopping(2), name="b"),
        Component(SlowStopping(3), name="c"),
    )
    async with open_supervisor(spec):
        await settle()
        told.clear()
        cued.crash()
        await sleep(10)
        assert [(e.at, e.path) for e in told.of(StopAsked)] == [(0.0, "root/c"), (3.0, "root/b")]
        assert {e.at for e in told.of(Started)} == {5.0}


async def test_members_wait_for_the_readiness_of_the_elder(told: Any) -> None:
    cued, last = Cued(), Hanging()
    spec = group(
        "rest_for_one",
        Component(cued, name="a"),
        Component(SlowStarting(4), name="b"),
        Component(last, name="c"),
    )
    async with open_supervisor(spec):
        await settle()
        cued.crash()
        await sleep(10)
    assert last.starts == [4.0, 8.0]


async def test_temporary_members_are_not_brought_back() -> None:
    cued = Cued()
    spec = group(
        "one_for_all",
        Component(cued, name="a"),
        Component(Hanging(), name="b", restart="temporary"),
        Component(Hanging(), name="c"),
    )
    async with open_supervisor(spec) as tree:
        await settle()
        cued.crash()
        await settle()
        assert "b" not in tree
        assert tree["c"].life == 2


async def test_a_group_restart_revives_the_finished_and_the_declined_but_not_the_stopped() -> None:
    cued = Cued()
    spec = group(
        "one_for_all",
        Component(Returning(), name="done", restart="transient"),
        Component(Declining(times=1), name="declined"),
        Component(Hanging(), name="stopped"),
        Component(cued, name="a"),
    )
    async with open_supervisor(spec) as tree:
        await tree["stopped"].stop()
        assert tree["declined"].state == "down"
        cued.crash()
        await settle()
        assert tree["done"].life == 2
        assert (tree["declined"].state, tree["declined"].life) == ("ready", 2)
        assert (tree["stopped"].state, tree["stopped"].life) == ("down", 1)
        await tree["stopped"].start()


async def test_a_group_restart_is_one_budget_event_and_has_one_delay(told: Any) -> None:
    crashing = Crashing(3, after=1)
    spec = group(
        "one_for_all",
        Component(Hanging(), name="a"),
        Component(crashing, name="b", backoff=Backoff(first=7, base=7, jitter="none")),
        Component(Hanging(), name="c"),
        intensity=Intensity(3, within=60),
    )
    async with open_supervisor(spec) as tree:
        await sleep(60)
        assert [tree[name].life for name in "abc"] == [4, 4, 4]
    assert [e.delay for e in told.of(GroupRestarted)] == [7.0, 7.0, 14.0]


async def test_a_crash_during_a_group_restart_merges_with_it(told: Any) -> None:
    first, second = Cued(), SlowStopping(2, error=Boom("while stopping"))
    spec = group(
        "one_for_all",
        Component(Hanging(), name="a"),
        Component(second, name="b"),
        Component(first, name="c"),
    )
    async with open_supervisor(spec) as tree:
        await settle()
        first.crash()
        await sleep(5)
        assert [tree[name].life for name in "abc"] == [2, 2, 2]
    assert len(told.of(GroupRestarted)) == 1
    assert [e.verdict.action for e in told.of(Crashed)[:2]] == ["restart", "none"]


async def test_a_member_that_cannot_restart_ends_the_group_by_intensity() -> None:
    gated = Gated()
    gated.open()
    for _ in range(3):
        gated.fail(Boom("still no"))
    elder = Hanging()
    spec = group(
        "one_for_all",
        Component(elder, name="a"),
        Component(gated, name="b"),
        intensity=Intensity(2, within=60),
    )
    with pytest.raises(TreeFailed) as caught:
        async with open_supervisor(spec):
            gated.crash()
            await sleep(100)
    assert str(caught.value.exceptions[0]) == "still no"
    assert not elder.alive


async def test_rest_for_one_resumes_from_the_one_that_failed() -> None:
    first, gated = Cued(), Gated()
    middle = Hanging()
    gated.open()
    gated.fail()
    gated.open()
    spec = group(
        "rest_for_one",
        Component(first, name="a"),
        Component(middle, name="b"),
        Component(gated, name="c", backoff=Backoff(first=3)),
    )
    async with open_supervisor(spec) as tree:
        await settle()
        first.crash()
        await sleep(5)
        assert (tree["b"].life, tree["c"].life) == (2, 3)


async def test_a_quarantined_member_takes_its_group_down_until_its_probe(told: Any) -> None:
    crashing = Crashing(2, after=1)
    other = Hanging()
    policy = Quarantine(crashes=2, within=60, open=100, probe=5)
    spec = group(
        "one_for_all",
        Component(other, name="a"),
        Component(crashing, name="b", quarantine=policy),
    )
    async with open_supervisor(spec) as tree:
        await sleep(50)
        assert [tree[name].state for name in "ab"] == ["down", "down"]
        assert tree.condition.status == "degraded"
        await sleep(100)
        assert [tree[name].state for name in "ab"] == ["ready", "ready"]
        assert tree.condition.status == "healthy"
    assert told.names(Recovered) == ["b"]


async def test_a_stop_during_a_group_restart_is_followed_at_once() -> None:
    """Law 3 in the middle of a group restart: nothing is started after the stop was asked for."""
    cued, other = Cued(), Hanging()
    spec = group(
        "one_for_all",
        Component(other, name="a"),
        Component(SlowStopping(5), name="b"),
        Component(cued, name="c"),
    )
    async with open_supervisor(spec) as tree:
        await settle()
        cued.crash()
        await sleep(1)
        await tree.stop()
    assert len(other.lives) == len(cued.lives) == 1
    assert not other.alive


async def test_an_operators_restart_of_a_member_concerns_only_that_member() -> None:
    spec = group("one_for_all", Component(Hanging(), name="a"), Component(Hanging(), name="b"))
    async with open_supervisor(spec) as tree:
        await tree["a"].restart()
        assert (tree["a"].life, tree["b"].life) == (2, 1)
