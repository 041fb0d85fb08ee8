"""How dynamic children and declared deadlines go through a stop: OTP's shutdown cases."""

from __future__ import annotations

import math
from typing import Any

import pytest
from anyio import current_time, sleep, sleep_forever

from supervisor import (
    Backoff,
    Component,
    Crashed,
    Returned,
    Stop,
    StopAsked,
    Stopped,
    StopTimedOut,
    Supervisor,
    current_child,
    open_supervisor,
)
from supervisor.testing import Boom, Crashing, Cued, Hanging, SlowStopping, settle

pytestmark = pytest.mark.usefixtures("leak_check")

ENDLESS = Stop(deadline=math.inf)


async def polite() -> None:
    """Ends by itself when it is asked to."""
    await current_child().stopping.wait()


async def test_an_endless_deadline_is_waited_out(told: Any) -> None:
    inner = Supervisor("s", [Component(SlowStopping(1000), name="x", stop=ENDLESS)], stop=ENDLESS)
    spec = Supervisor("root", [Component(SlowStopping(2000), name="a", stop=ENDLESS), inner])
    async with open_supervisor(spec, stop_within=math.inf) as tree:
        await settle()
        await tree.stop()
        assert current_time() == 3000.0
        assert [str(tree[name].outcome) for name in "as"] == ["cancelled", "cancelled"]
    assert told.names(Stopped) == ["x", "s", "a"]
    assert not told.of(StopTimedOut)


async def test_a_dynamic_child_beyond_its_deadline_is_stuck_and_the_others_end(told: Any) -> None:
    async with open_supervisor() as tree:
        for seconds in (1, 2, 60):
            tree.start_soon(SlowStopping(seconds), name=f"slow{seconds}", stop=Stop(deadline=5))
        await settle()
        await tree.stop()
    assert {e.path: e.took for e in told.of(Stopped)} == {
        "supervisor/slow1": 1.0,
        "supervisor/slow2": 2.0,
        "supervisor/slow60": 60.0,
    }
    assert [(e.path, e.at) for e in told.of(StopTimedOut)] == [("supervisor/slow60", 5.0)]


async def test_many_without_grace_are_cancelled_in_one_instant(told: Any) -> None:
    async with open_supervisor() as tree:
        for _ in range(10):
            tree.start_soon(Hanging(), name="a", stop=Stop(grace=0))
        await settle()
        await tree.stop()
        assert str(tree.snapshot().root.outcome) == "cancelled"
    assert [(e.at, e.took) for e in told.of(Stopped)] == [(0.0, 0.0)] * 10


async def test_without_grace_it_is_cancelled_while_its_sibling_may_end_by_itself(told: Any) -> None:
    async def unasked() -> None:
        try:
            await current_child().stopping.wait()
        finally:
            seen.append(current_child().stopping.is_set())

    seen: list[bool] = []
    async with open_supervisor() as tree:
        tree.start_soon(unasked, name="a", stop=Stop(grace=0))
        tree.start_soon(polite, name="b", stop=Stop(grace=9))
        await settle()
        await tree.stop()
    asked = {e.path[-1]: e.grace for e in told.of(StopAsked)}
    assert asked == {"a": 0.0, "b": 9.0}
    assert seen == [False]


async def test_an_endless_deadline_beside_none_at_all_takes_as_long_as_the_slowest() -> None:
    async with open_supervisor(stop_within=math.inf) as tree:
        tree.start_soon(SlowStopping(300), stop=ENDLESS)
        tree.start_soon(Hanging(), stop=Stop(deadline=0.001))
        tree.start_soon(SlowStopping(7), stop=Stop(deadline=20))
        await settle()
        await tree.stop()
    assert current_time() == 300.0


async def test_a_deadline_of_next_to_nothing_is_kept_by_who_ends_at_once(told: Any) -> None:
    spec = Supervisor("root", [Component(Hanging(), name="a", stop=Stop(deadline=0.001))])
    async with open_supervisor(spec) as tree:
        await settle()
        await tree["a"].stop()
    assert told.names(Stopped) == ["a"]
    assert not told.of(StopTimedOut)


@pytest.mark.parametrize("ends", ["returns", "raises", "crashes late"])
@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
@pytest.mark.parametrize("grace", [0, 3])
async def test_however_a_dynamic_child_ends_while_it_is_stopped_nothing_comes_of_it(
    ends: str, restart: Any, grace: float, told: Any
) -> None:
    lives = 0

    async def component() -> None:
        nonlocal lives
        lives += 1
        if ends == "returns":
            await (polite() if grace else sleep_forever())
        elif ends == "raises":
            try:
                await (polite() if grace else sleep_forever())
            finally:
                raise Boom
        else:
            await SlowStopping(2, error=Boom("late"))()

    async with open_supervisor() as tree:
        for _ in range(3):
            tree.start_soon(component, restart=restart, stop=Stop(grace=grace))
        await settle()
        await tree.stop()
        assert str(tree.snapshot().root.outcome) == "cancelled"
    assert lives == 3
    assert {e.verdict.action for e in told.of(Crashed)} <= {"none"}
    assert len(told.of(Stopped)) + len(told.of(Crashed)) == 3
    assert not told.of(Returned)


async def test_supervisors_of_crashing_children_stop_without_a_race(told: Any) -> None:
    crashing = Cued()
    inner = [
        Supervisor(f"s{number}", [Component(crashing, name="c", copies=30)], strategy=strategy)
        for number, strategy in enumerate(["one_for_one", "one_for_all", "rest_for_one"] * 10)
    ]
    async with open_supervisor(Supervisor("root", inner)) as tree:
        await settle()
        assert sum(view.state == "ready" for view in tree.snapshot().root.walk()) == 931
        for cue in list(crashing._cues.values())[::7]:
            cue.give(error=Boom())
        await tree.stop()
    assert not crashing.alive
    assert not told.of(StopTimedOut)


async def test_a_supervisor_that_is_temporary_fails_alone() -> None:
    """Neither its parent nor its sibling hears more of it than one crash."""
    inner = Supervisor(
        "inner", [Component(Crashing(after=1), priority="critical")], restart="temporary"
    )
    elder, younger = Hanging(), Hanging()
    spec = Supervisor(
        "root", [Component(elder, name="elder"), inner, Component(younger, name="younger")]
    )
    async with open_supervisor(spec) as tree:
        await sleep(100)
        assert "inner" not in tree
        assert (len(elder.lives), len(younger.lives)) == (1, 1)
        assert tree.condition.status == "healthy"


async def test_a_quiet_time_ends_the_series_of_a_supervisor_and_of_its_child_each(
    told: Any,
) -> None:
    steps = Backoff(first=1, base=4, factor=2, cap=60, jitter="none", reset_after=50)
    cued = Cued()
    inner = Supervisor(
        "inner", [Component(cued, name="a", backoff=steps)], restart="transient", backoff=steps
    )
    async with open_supervisor(Supervisor("root", [inner])) as tree:
        delays = []
        for quiet in (1, 1, 50, 1):
            await tree["inner/a"].wait_ready()
            await sleep(quiet)
            cued.crash()
            await settle()
            delays.append(told.of(Crashed)[-1].verdict.delay)
        assert delays == [1, 4, 1, 4]
        assert tree["inner"].life == 1
        await tree.stop()
