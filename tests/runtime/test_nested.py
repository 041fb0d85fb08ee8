"""Supervisors inside supervisors: a child like any other."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import current_time, sleep

from supervisor import (
    Backoff,
    Booted,
    Closing,
    Component,
    Crashed,
    Ended,
    Intensity,
    Quarantine,
    Started,
    Stop,
    StopBegun,
    Stopped,
    StopTimedOut,
    Supervisor,
    TreeFailed,
    open_supervisor,
)
from supervisor.testing import (
    Boom,
    Crashing,
    Cued,
    Gated,
    Hanging,
    Returning,
    SlowStarting,
    SlowStopping,
    settle,
)

pytestmark = pytest.mark.usefixtures("leak_check")

QUICK = Backoff(first=0, base=0.001, cap=0.001, jitter="none")


async def test_it_is_ready_when_its_children_are() -> None:
    last = Hanging()
    spec = Supervisor(
        "root",
        [
            Supervisor("inner", [Component(SlowStarting(3)), Component(SlowStarting(2), name="b")]),
            Component(last),
        ],
    )
    async with open_supervisor(spec) as tree:
        assert tree["inner"].state == "ready"
        assert current_time() == 5.0
        await settle()
    assert last.starts == [5.0]


async def test_its_failure_is_a_crash_like_any_other_and_restarts_the_whole_subtree(
    told: Any,
) -> None:
    cued, other = Cued(), Hanging()
    outside = Hanging()
    spec = Supervisor(
        "root",
        [
            Component(outside, name="outside"),
            Supervisor(
                "inner",
                [Component(other, name="a"), Component(cued, name="b", backoff=QUICK)],
                intensity=Intensity(0, within=60),
            ),
        ],
    )
    async with open_supervisor(spec) as tree:
        await settle()
        cued.crash()
        await settle()
        assert tree["inner"].life == 2
        assert (len(other.lives), len(cued.lives), len(outside.lives)) == (2, 2, 1)
        # The cause is told once as a crash of its child, and once as that of its supervisor.
        assert [e.path for e in told.of(Crashed)] == ["root/inner/b", "root/inner"]
        assert isinstance(told.of(Crashed)[1].error, TreeFailed)
        assert [(e.path, e.life) for e in told.of(Booted)][-1] == ("root/inner", 2)


async def test_stopping_goes_down_into_it_in_order(told: Any) -> None:
    spec = Supervisor(
        "root",
        [
            Component(Hanging(), name="a"),
            Supervisor("s", [Component(SlowStopping(1), name=name) for name in "bc"]),
            Component(Hanging(), name="d"),
        ],
    )
    async with open_supervisor(spec):
        await settle()
    assert told.names(Stopped) == ["d", "c", "b", "s", "a"]
    assert told.names(Ended) == ["s", "root"]
    assert current_time() == 2.0


async def test_the_total_deadline_reaches_the_depths(told: Any) -> None:
    inner = Supervisor("inner", [Component(SlowStopping(100), name="a", stop=Stop(deadline=50))])
    spec = Supervisor("root", [Supervisor("middle", [inner])])
    async with open_supervisor(spec, stop_within=3):
        await settle()
    assert [(e.at, e.path) for e in told.of(StopTimedOut)] == [(3.0, "root/middle/inner/a")]
    assert current_time() == 100.0


async def test_a_deadline_of_its_own_clips_those_of_its_children(told: Any) -> None:
    inner = Supervisor(
        "inner",
        [Component(SlowStopping(100), name="a", stop=Stop(deadline=50))],
        stop=Stop(deadline=4),
    )
    async with open_supervisor(Supervisor("root", [inner]), stop_within=60):
        await settle()
    first = told.of(StopTimedOut)[0]
    assert (first.at, first.path) == (4.0, "root/inner/a")


async def test_a_stuck_child_makes_its_supervisor_stuck_and_the_others_go_on(told: Any) -> None:
    inner = Supervisor("inner", [Component(SlowStopping(100), name="a", stop=Stop(deadline=2))])
    spec = Supervisor("root", [inner, Component(Hanging(), name="b")])
    async with open_supervisor(spec) as tree:
        await settle()
        with pytest.raises(TimeoutError):
            await tree["inner"].stop()
        assert current_time() == 2.0
        assert tree["inner"].state == "stuck"
        assert tree["b"].state == "ready"
        await sleep(200)
        assert tree["inner"].state == "down"


async def test_escalation_over_three_levels_is_flat() -> None:
    error = Boom("the cause")
    crashing = Crashing(error=error, after=1)
    spec: Any = Component(crashing, name="leaf", backoff=QUICK)
    for name in ("three", "two", "one", "root"):
        spec = Supervisor(
            name, [Component(Hanging(), name="x"), spec], intensity=Intensity(0, within=60)
        )
    with pytest.raises(TreeFailed) as caught:
        async with open_supervisor(spec):
            await sleep(1000)
    assert caught.value.exceptions == (error,)
    assert any("root/one/two/three/leaf, life 1" in note for note in error.__notes__)


async def test_ninety_nine_nested_supervisors_stopped_right_after_the_start(told: Any) -> None:
    """The trap of suture's issue 35."""
    hanging = Hanging()
    spec: Any = Component(hanging, name="leaf")
    for number in range(99):
        spec = Supervisor(f"s{number}", [spec])
    async with open_supervisor(Supervisor("root", [spec])) as tree:
        await tree.stop()
    assert len(told.of(Started)) == 100
    assert len(told.of(Ended)) == 100
    assert not hanging.alive


async def test_an_empty_supervisor_in_the_middle() -> None:
    spec = Supervisor("root", [Supervisor("empty", []), Component(Hanging(), name="a")])
    async with open_supervisor(spec) as tree:
        assert tree["empty"].state == "ready"
        assert tree["a"].state == "ready"
        await tree["empty"].restart()
        assert tree["empty"].life == 2


async def test_a_strict_boot_inside_is_a_failed_start_of_the_supervisor(told: Any) -> None:
    gated = Gated()
    gated.fail()
    gated.open()
    spec = Supervisor("root", [Supervisor("inner", [Component(gated, name="a")], boot="strict")])
    async with open_supervisor(spec) as tree:
        await tree["inner"].wait_ready()
        assert tree["inner"].life == 2
    assert [(e.path, e.phase) for e in told.of(Crashed)] == [
        ("root/inner/a", "starting"),
        ("root/inner", "starting"),
    ]


async def test_one_that_ends_by_a_significant_child_has_returned() -> None:
    cued = Cued()
    inner = Supervisor(
        "inner",
        [
            Component(Hanging(), name="a"),
            Component(cued, name="b", restart="transient", significant=True),
        ],
        auto_shutdown="any_significant",
        restart="transient",
    )
    async with open_supervisor(Supervisor("root", [inner])) as tree:
        await settle()
        cued.finish()
        assert str(await tree["inner"].wait()) == "returned"
        await tree["inner"].start()
        assert tree["inner/a"].life == 1
        await tree.stop()


async def test_significance_cascades_only_through_significant_supervisors() -> None:
    inner = Supervisor(
        "inner",
        [Component(Returning(after=1), name="b", restart="transient", significant=True)],
        auto_shutdown="any_significant",
        restart="transient",
        significant=True,
    )
    spec = Supervisor(
        "root", [Component(Hanging(), name="a"), inner], auto_shutdown="any_significant"
    )
    async with open_supervisor(spec) as tree:
        await tree.wait_stopped()
        assert current_time() == 1.0


async def test_a_supervisor_can_be_added_and_deleted() -> None:
    async with open_supervisor() as tree:
        inner = Supervisor("inner", [Component(SlowStarting(2), name="a")])
        child = await tree.add(inner)
        assert (child.state, current_time()) == ("ready", 2.0)
        await child.stop()
        await child.delete()
        assert "inner" not in tree
        assert (await tree.add(inner)).life == 1


async def test_a_group_restart_takes_a_supervisor_with_it() -> None:
    cued, inside = Cued(), Hanging()
    spec = Supervisor(
        "root",
        [Supervisor("inner", [Component(inside, name="a")]), Component(cued, name="b")],
        strategy="one_for_all",
    )
    async with open_supervisor(spec) as tree:
        await settle()
        cued.crash()
        await settle()
        assert tree["inner"].life == 2
        assert len(inside.lives) == 2


async def test_a_start_timeout_bounds_the_boot_of_a_supervisor(told: Any) -> None:
    gated = Gated()
    inner = Supervisor("inner", [Component(gated, name="a")], start_timeout=3)
    async with anyio.create_task_group() as tg:

        async def open_later() -> None:
            await sleep(4)
            gated.open()

        tg.start_soon(open_later)
        async with open_supervisor(Supervisor("root", [inner])) as tree:
            await tree["inner"].wait_ready()
            assert tree["inner"].life == 2


async def test_a_supervisor_that_gives_up_serves_nobody_while_its_children_stop() -> None:
    """What is bound to each of its lives goes down at once, and nothing new starts on it."""
    slow, crashing = SlowStopping(3), Crashing(1, after=1)
    inner = Supervisor(
        "inner",
        [
            Component(slow),
            Component(crashing, priority="critical", quarantine=Quarantine(crashes=1)),
        ],
        backoff=Backoff(first=0),
    )
    user = Hanging()
    spec = Supervisor("root", [inner, Component(user, needs={"inner": "each"})])
    async with open_supervisor(spec) as tree:
        late = tree.start_soon(Hanging(), needs=["inner"], name="late")
        await sleep(2)
        assert tree["inner"].state == "ready"
        assert user.lives[0].ended == 1
        other = tree.start_soon(Hanging(), needs=["inner"], name="other")
        assert (other.state, late.state) == ("down", "ready")
        await other.wait_ready()
        assert (await user.wait_began(2)).began == 4
        await tree.stop()


async def test_nothing_is_started_below_a_supervisor_that_waits_for_its_turn_to_stop(
    told: Any,
) -> None:
    """Law 3: from the moment the stop of the tree was asked for, not of its own supervisor."""
    crashing, member, late = Cued(), Hanging(), Crashing(1)
    innermost = Supervisor("innermost", [Component(crashing, name="crashing", backoff=QUICK)])
    spec = Supervisor(
        "root",
        [
            Supervisor(
                "group",
                [innermost, Component(member, name="member", backoff=QUICK)],
                strategy="one_for_all",
            ),
            # Its backoff is over while it waits.
            Supervisor("other", [Component(late, backoff=Backoff(first=2, jitter="none"))]),
            Supervisor("empty"),
            Component(SlowStopping(3), name="z"),
        ],
    )
    async with anyio.create_task_group() as tg, open_supervisor(spec) as tree:
        await sleep(1)
        before = len(told.of(Started))
        tg.start_soon(tree.stop)
        await sleep(0.5)
        crashing.crash()
        await sleep(1)
        with pytest.raises(Closing):
            tree.start_soon(Hanging(), under="empty")
        with pytest.raises(Closing):
            await tree["group/member"].restart()
        assert member.alive
        await tree.wait_stopped()
    assert len(told.of(Started)) == before
    (crash,) = told.of(Crashed, "root/group/innermost/crashing")
    assert crash.verdict.rule == "was to stop"
    assert told.names(StopBegun) == ["root", "empty", "other", "group", "innermost"]
    assert told.names(Stopped) == ["z", "empty", "other", "member", "innermost", "group"]


async def test_a_supervisor_that_waits_for_its_turn_ends_by_the_total_deadline(told: Any) -> None:
    stubborn = SlowStopping(6)
    spec = Supervisor(
        "root",
        [
            Supervisor("inner", [Component(Hanging(), name="a")]),
            Component(stubborn, name="z", stop=Stop(deadline=10)),
        ],
    )
    async with open_supervisor(spec, stop_within=4) as tree:
        await sleep(1)
        await tree.stop()
    (inner,) = told.of(Stopped, "root/inner")
    assert inner.at == 1 + 4 - 0.4
    assert told.names(Stopped) == ["a", "inner", "z"]
