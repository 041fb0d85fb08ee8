"""A child that crashes too often is set aside, and one probe decides."""

from __future__ import annotations

import math
from typing import Any

import pytest

from supervisor._errors import TreeFailed
from supervisor._happenings import Crashed, Quarantined, Recovered, Released, Started
from supervisor._spec.policy import Backoff, Quarantine
from supervisor._spec.tree import Component, Supervisor
from tests.core.drive import AT_ONCE, Drive, child, slow

POLICY = Quarantine(crashes=3, within=10, open=60, factor=2, cap=200, probe=5)


def shaky(name: str, **fields: Any) -> Component:
    return child(name, **{"quarantine": POLICY, **fields})


def trip(drive: Drive, name: str) -> None:
    for _ in range(POLICY.crashes):
        if "quarantine" not in drive.holds(name):
            drive.advance(0.01)
            drive.crash(name)
    assert "quarantine" in drive.holds(name)


def test_so_many_crashes_within_the_window_set_it_aside() -> None:
    drive = Drive(shaky("a"), shaky("b"), draws=[0, 0, 0.5])
    drive.crash("a")
    drive.advance(1)
    drive.crash("a")
    drive.advance(1)

    drive.crash("a")

    assert drive.holds("a") == ["quarantine"]
    (event,) = drive.events(Quarantined)
    assert (event.open, event.until, event.crashes, event.within, event.times) == (54, 56, 3, 10, 1)
    assert drive.verdicts()[-1].action == "quarantine"
    assert drive.since(drive.advance, 53.9) == []
    assert drive.since(drive.advance, 0.1) == ["a"]
    assert drive.events(Started)[-1].probe


def test_crashes_that_have_left_the_window_do_not_count() -> None:
    drive = Drive(shaky("a"), shaky("b"))
    for _ in range(10):
        drive.crash("a")
        drive.advance(5)

    assert drive.events(Quarantined) == []


def test_crashes_just_past_healthy_still_trip() -> None:
    policy = Backoff(first=0, base=1, cap=1, jitter="none", reset_after=2)
    drive = Drive(shaky("a", backoff=policy), shaky("b"))
    for _ in range(3):
        drive.advance(2.1)
        drive.crash("a")

    assert drive.holds("a") == ["quarantine"]


def test_failed_starts_count_and_clean_returns_do_not() -> None:
    drive = Drive(slow("a", quarantine=POLICY), child("b"))
    for _ in range(2):
        drive.crash("a")
        drive.advance(0.01)
    for _ in range(4):
        drive.returns("a")
        drive.advance(0.01)
    assert drive.holds("a") == []

    drive.crash("a")

    assert drive.holds("a") == ["quarantine"]


def test_a_probe_is_good_once_it_is_ready_and_has_stayed_up() -> None:
    drive = Drive(slow("a", quarantine=POLICY), child("b"))
    trip(drive, "a")
    drive.advance(60)
    drive.advance(20)
    assert drive["a"].probing
    drive.ready("a")
    drive.advance(4.9)
    assert drive.events(Recovered) == []

    drive.advance(0.1)

    assert [e.up for e in drive.events(Recovered)] == [5]
    assert not drive["a"].probing
    assert drive.node.set_aside == 0


def test_a_probe_that_says_it_is_healthy_is_good() -> None:
    drive = Drive(shaky("a"), child("b"))
    trip(drive, "a")
    drive.advance(60)

    drive.healthy("a")

    assert len(drive.events(Recovered)) == 1


def test_a_probe_that_fails_renews_the_quarantine_for_longer_up_to_the_cap() -> None:
    drive = Drive(shaky("a"), child("b"), draws=[0, 0, 0.5, 0.5, 0.5, 0.5])
    trip(drive, "a")
    for opened in (54, 108, 180, 180):
        assert drive.events(Quarantined)[-1].open == opened
        drive.advance(opened)
        drive.crash("a")

    assert drive.verdicts()[-1].rule == "probe failed"
    assert drive.events(Quarantined)[-1].times == 5


def test_a_long_healthy_life_ends_the_row_of_quarantines() -> None:
    drive = Drive(shaky("a"), child("b"))
    trip(drive, "a")
    drive.advance(60)
    drive.advance(11)
    trip(drive, "a")

    assert drive.events(Quarantined)[-1].times == 1


def test_after_a_short_recovery_the_row_goes_on() -> None:
    drive = Drive(shaky("a"), child("b"))
    trip(drive, "a")
    drive.advance(60)
    drive.healthy("a")
    trip(drive, "a")

    assert drive.events(Quarantined)[-1].times == 2


def test_at_most_half_of_the_siblings_are_aside() -> None:
    drive = Drive(*(shaky(name) for name in "abcd"))
    trip(drive, "a")
    trip(drive, "b")
    for _ in range(4):
        drive.advance(0.01)
        if drive["c"].state == "ready":
            drive.crash("c")

    assert drive.verdicts()[-1].rule == "half are quarantined"
    assert drive.verdicts()[-1].action == "restart"
    assert [e.path for e in drive.events(Quarantined)] == ["t/a", "t/b"]


def test_a_child_kept_out_of_quarantine_goes_on_at_the_cap() -> None:
    policy = Backoff(first=0, base=1, factor=2, cap=30, jitter="none")
    drive = Drive(shaky("a", backoff=policy), shaky("b", backoff=AT_ONCE))
    trip(drive, "b")
    for _ in range(3):
        drive.crash("a")
        drive.advance(3)

    assert drive.verdicts()[-1].delay == 30


def test_an_only_child_may_be_set_aside() -> None:
    drive = Drive(shaky("a"))

    trip(drive, "a")

    assert drive.holds("a") == ["quarantine"]


def test_who_is_forgotten_makes_room() -> None:
    drive = Drive(child("b"), child("c"))
    dropped = drive.add(shaky("d", restart="transient"), dynamic=True)
    trip(drive, "d")
    assert drive.node.set_aside == 1

    drive.stop("d")

    assert dropped.removed
    assert drive.node.set_aside == 0


def test_a_probe_that_finishes_as_it_is_to_go_down_makes_room_too() -> None:
    probe = shaky("a", restart="transient", needs=("x",))
    drive = Drive(child("x"), probe, child("b", needs=("a",)), obedient=False)
    trip(drive, "a")
    drive.end("b")
    drive.advance(60)
    drive.stop("x")
    assert drive.states() == "x:ready a:ready b:stopping"

    drive.returns("a")

    assert drive.holds("a") == ["finished"]
    assert drive.node.set_aside == 0


def test_a_critical_child_escalates_instead() -> None:
    drive = Drive(child("a"), shaky("b", priority="critical"))
    drive.crash("b")
    drive.advance(0.01)
    drive.crash("b")
    drive.advance(0.01)

    error = drive.crash("b")

    assert drive.outcome is not None
    assert isinstance(drive.outcome.error, TreeFailed)
    assert drive.outcome.error.exceptions == (error,)
    assert error.__notes__ == ["t/b, life 3: 3 crashes within 10 s, and it is critical"]
    assert drive.verdicts()[-1].rule == "critical"


def test_what_a_critical_child_needs_is_critical() -> None:
    drive = Drive(
        shaky("a"), child("b", needs=("a",)), child("c", needs=("b",), priority="critical")
    )

    assert drive["a"].critical
    assert drive["b"].critical


@pytest.mark.parametrize("how", ["start", "restart", "release"])
def test_what_an_operator_starts_early_is_the_probe(how: str) -> None:
    drive = Drive(shaky("a"), child("b"))
    trip(drive, "a")
    drive.advance(1)

    ran = drive.since(getattr(drive, how), "a")

    assert ran == ["a"]
    assert drive.events(Started)[-1].probe
    assert drive.events(Released)[-1].owner == "quarantine"
    drive.crash("a")
    assert drive.events(Quarantined)[-1].times == 2


def test_without_a_policy_nothing_is_set_aside() -> None:
    drive = Drive(child("a", quarantine=None))
    for _ in range(100):
        drive.crash("a")
        drive.advance(0.01)

    assert len(drive.events(Crashed)) == 100
    assert drive.deadline == math.inf


def test_a_probe_that_is_not_ready_proves_nothing() -> None:
    drive = Drive(slow("a", quarantine=POLICY), child("b"))
    trip(drive, "a")
    drive.advance(60)

    drive.healthy("a")

    assert drive["a"].probing
    assert drive.events(Recovered) == []


def test_who_finishes_on_probation_makes_room() -> None:
    drive = Drive(shaky("a", restart="transient"), child("b"))
    trip(drive, "a")
    drive.advance(60)

    drive.returns("a")

    assert drive.holds("a") == ["finished"]
    assert not drive["a"].probing
    assert drive.node.set_aside == 0


def test_what_a_critical_child_needs_escalates_too() -> None:
    drive = Drive(shaky("a"), child("b", needs=("a",), priority="critical"))
    for _ in range(POLICY.crashes):
        drive.crash("a")

    assert drive.verdicts()[-1].rule == "critical"
    assert drive.node.finished


def test_a_supervisor_of_a_critical_child_escalates_too() -> None:
    inner = Supervisor("inner", [child("x", priority="critical")])
    middle = Supervisor("middle", [inner], backoff=AT_ONCE, quarantine=POLICY)
    drive = Drive(child("a"), middle)
    for _ in range(POLICY.crashes):
        drive.crash("middle", TreeFailed("failed", [ValueError("x")]))

    assert drive.verdicts()[-1].rule == "critical"
    assert drive.node.finished


def test_a_heartbeat_missed_after_a_whole_window_is_the_first_of_a_row() -> None:
    policy = Quarantine(crashes=1, within=10, open=60, factor=2, cap=200, probe=5)
    drive = Drive(child("a", quarantine=policy, heartbeat=20))
    drive.advance(20)
    assert drive.events(Quarantined)[-1].times == 1
    drive.advance(60)

    drive.crash("a")

    assert drive.events(Quarantined)[-1].times == 2
