"""Restarts: the types, the delays, and how soon the next life begins."""

from __future__ import annotations

import itertools
import random
from typing import Any

import anyio
import pytest
from anyio import sleep, sleep_forever
from anyio.abc import TaskStatus

from supervisor import (
    Backoff,
    Component,
    Crashed,
    Quarantine,
    Returned,
    Started,
    Supervisor,
    current_child,
    open_supervisor,
)
from supervisor._runtime.clock import draws
from supervisor.testing import Boom, Crashing, Cued, Declining, Gated, Hanging, Returning, settle

pytestmark = pytest.mark.usefixtures("leak_check")

AT_ONCE = Backoff(first=0, base=0.001, cap=0.001, jitter="none")
RESTARTS = {
    ("permanent", "returned"): True,
    ("permanent", "crashed"): True,
    ("permanent", "declined"): False,
    ("transient", "returned"): False,
    ("transient", "crashed"): True,
    ("transient", "declined"): False,
    ("temporary", "returned"): False,
    ("temporary", "crashed"): False,
    ("temporary", "declined"): False,
}


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one", "dynamic"])
@pytest.mark.parametrize(("restart", "how"), RESTARTS)
async def test_restart_types(restart: Any, how: str, strategy: Any) -> None:
    """Law 4, the trap of otpylib: 3 types x 3 kinds of end x 4 strategies."""
    gated = Gated()
    spec = Supervisor("root", [], strategy="one_for_one" if strategy == "dynamic" else strategy)
    if how == "declined":
        gated.decline()
    else:
        gated.open()
    for _ in range(2):
        gated.open()
    if strategy != "dynamic":
        spec = Supervisor("root", [Component(gated, name="a", restart=restart)], strategy=strategy)
    async with open_supervisor(spec) as tree:
        if strategy == "dynamic":
            tree.start_soon(gated, name="a", restart=restart)
        await settle()
        if how == "returned":
            gated.finish()
        elif how == "crashed":
            gated.crash()
        await sleep(1000)
        assert len(gated.lives) == 1 + RESTARTS[restart, how]
        gone = restart == "temporary" or (strategy == "dynamic" and not RESTARTS[restart, how])
        assert ("a" in tree) is not gone
        await tree.stop()


async def test_the_next_life_begins_only_after_the_last_has_ended() -> None:
    """Law 2, at every kind of end."""
    alive: set[int] = set()

    async def component() -> None:
        life = current_child().life
        assert not alive
        alive.add(life)
        try:
            await sleep(1)
            if life % 2:
                raise Boom
        finally:
            with anyio.CancelScope(shield=True):
                await sleep(2)
            alive.discard(life)

    spec = Supervisor("root", [Component(component, name="a", backoff=AT_ONCE, quarantine=None)])
    async with open_supervisor(spec) as tree:
        for _ in range(20):
            await sleep(1.5)
            await tree["a"].restart()
    assert tree["a"].life >= 20


async def test_no_restart_before_its_backoff_and_none_later() -> None:
    """Law 5: no restart before its backoff; at once when the last hold is gone."""
    backoff = Backoff(first=0.5, base=1, factor=3, cap=20, jitter="none")
    crashing = Crashing()
    spec = Supervisor("root", [Component(crashing, backoff=backoff, quarantine=None)])
    async with open_supervisor(spec):
        await sleep(60)
    gaps = [b - a for a, b in itertools.pairwise(crashing.starts)]
    assert gaps[:6] == [0.5, 1.0, 3.0, 9.0, 20.0, 20.0]


async def test_jittered_delays_are_spread_below_the_cap() -> None:

    draws.set(random.Random(7))
    crashing = Crashing()
    backoff = Backoff(first=0, base=10, factor=1, cap=10)
    spec = Supervisor("root", [Component(crashing, backoff=backoff, quarantine=None)])
    async with open_supervisor(spec):
        await sleep(1000)
    gaps = [b - a for a, b in itertools.pairwise(crashing.starts)][1:]
    assert all(0 <= gap < 10 for gap in gaps)
    assert len({round(gap, 3) for gap in gaps}) > 100


async def test_a_healthy_period_begins_a_new_series(told: Any) -> None:
    """The trap of chrono-daemon: one crash a day never adds up."""
    crashing = Crashing(after=86_400)
    async with open_supervisor(Supervisor("root", [Component(crashing, name="a")])) as tree:
        await sleep(10 * 86_400 + 60)
        assert tree["a"].state == "ready"
    assert [e.verdict.attempt for e in told.of(Crashed)] == [1] * 10
    assert {e.verdict.action for e in told.of(Crashed)} == {"restart"}


async def test_just_past_healthy_flapping_still_trips_the_window(told: Any) -> None:
    crashing = Crashing(after=11)
    spec = Component(
        crashing,
        backoff=Backoff(reset_after=10),
        quarantine=Quarantine(crashes=5, within=60, open=600, probe=1),
    )
    async with open_supervisor(Supervisor("root", [spec])):
        await sleep(60)
    assert [e.verdict.attempt for e in told.of(Crashed)] == [1] * 5
    assert told.of(Crashed)[-1].verdict.action == "quarantine"


async def test_mark_healthy_begins_a_new_series(told: Any) -> None:
    async def component() -> None:
        await sleep(1)
        current_child().mark_healthy()
        raise Boom

    async with open_supervisor(Supervisor("root", [Component(component, quarantine=None)])):
        await sleep(9.5)
    assert {e.verdict.attempt for e in told.of(Crashed)} == {1}


async def test_a_permanent_child_that_returns_is_restarted_with_backoff(told: Any) -> None:
    returning = Returning()
    spec = Component(returning, backoff=Backoff(first=1, base=4, cap=4, jitter="none"))
    async with open_supervisor(Supervisor("root", [spec])):
        await sleep(10)
    assert returning.starts == [0.0, 1.0, 5.0, 9.0]
    assert {e.verdict.action for e in told.of(Returned)} == {"restart"}


async def test_a_child_that_never_awaits_between_crashes_does_not_starve_its_siblings() -> None:
    """The trap of engin and tapio: a checkpoint per life, whatever the child does."""
    crashing = Crashing(300)
    ticks = 0

    async def ticking() -> None:
        nonlocal ticks
        while len(crashing.lives) < 300:
            await anyio.lowlevel.checkpoint()
            ticks += 1
        await sleep_forever()

    spec = Supervisor(
        "root",
        [
            Component(ticking),
            Component(crashing, backoff=Backoff(first=0, reset_after=0), quarantine=None),
        ],
    )
    async with open_supervisor(spec):
        await crashing.wait_began(300)
        assert ticks > 150


async def test_a_child_that_dies_at_its_first_step_is_not_missed(told: Any) -> None:
    """The trap of otpylib: no window between the start and the watch."""
    crashing = Crashing(1)
    async with open_supervisor(Supervisor("root", [Component(crashing, name="a")])) as tree:
        await crashing.wait_began(2)
        assert tree["a"].life == 2
    assert len(told.of(Crashed)) == 1


async def test_the_last_hold_that_goes_lets_the_child_start_in_the_same_instant() -> None:
    """Law 5, for a child that waits for another one's backoff."""
    base, top = Cued(), Hanging()
    backoff = Backoff(first=5)
    spec = Supervisor(
        "root",
        [
            Component(base, name="base", backoff=backoff),
            Component(top, name="top", needs={"base": "each"}),
        ],
    )
    async with open_supervisor(spec):
        await settle()
        base.crash()
        await sleep(10)
    assert top.starts == [0.0, 5.0]


async def test_declining_for_a_while_is_up_to_an_operator() -> None:
    declining = Declining(times=2)
    async with open_supervisor(Supervisor("root", [Component(declining, name="a")])):
        await sleep(1000)
        assert len(declining.lives) == 1


async def test_the_life_number_and_started_events_agree(told: Any) -> None:
    lives = []

    async def component(task_status: TaskStatus[int]) -> None:
        lives.append(current_child().life)
        task_status.started(current_child().life)
        if current_child().life < 4:
            raise Boom
        await sleep_forever()

    async with open_supervisor() as tree:
        child = tree.start_soon(component, backoff=AT_ONCE)
        await sleep(1)
        assert child.value == 4
        await tree.stop()
    assert lives == [e.life for e in told.of(Started)] == [1, 2, 3, 4]


async def test_an_old_life_cannot_say_that_the_next_one_is_healthy(told: Any) -> None:
    views: list[Any] = []

    async def component() -> None:
        views.append(current_child())
        await sleep(1)
        views[0].mark_healthy()
        raise Boom

    async with open_supervisor(Supervisor("root", [Component(component, quarantine=None)])):
        await sleep(9.5)
    assert [e.verdict.attempt for e in told.of(Crashed)] == [1, 2, 3, 4]
