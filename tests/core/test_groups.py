"""Group restarts: one_for_all and rest_for_one."""

from __future__ import annotations

import math

import pytest

from supervisor._happenings import Crashed, GroupRestarted, Quarantined
from supervisor._spec.policy import Backoff, Quarantine
from tests.core.drive import SECOND, Drive, child, slow

GROUPS = ("one_for_all", "rest_for_one")
NEVER = Quarantine(crashes=2, within=10, open=60, factor=1, cap=60, probe=5)


def test_members_stop_in_reverse_and_start_in_order() -> None:
    drive = Drive(*(child(n) for n in "abcd"), strategy="rest_for_one")
    drive.ran.clear()

    drive.crash("b")

    assert drive.cancelled == ["d", "c"]
    assert drive.ran == ["b", "c", "d"]
    (event,) = drive.events(GroupRestarted)
    assert (event.cause, event.members, event.delay) == ("t/b", ("t/b", "t/c", "t/d"), 0)


def test_they_stop_one_at_a_time() -> None:
    drive = Drive(*(child(n) for n in "abc"), strategy="one_for_all", obedient=False)

    drive.crash("a")

    assert drive.states() == "a:down b:ready c:stopping"
    drive.end("c")
    assert drive.states() == "a:down b:stopping c:down"
    drive.end("b")
    assert drive.states() == "a:ready b:ready c:ready"


def test_the_group_waits_for_the_delay_of_its_cause() -> None:
    drive = Drive(child("a", backoff=SECOND), child("b"), strategy="one_for_all")

    drive.crash("a")
    drive.advance(0.5)
    assert drive.states() == "a:down b:down"

    drive.advance(0.5)
    assert drive.states() == "a:ready b:ready"


def test_a_second_crash_during_the_delay_merges() -> None:
    late = Backoff(first=3, base=3, jitter="none")
    drive = Drive(child("a", backoff=SECOND), child("b", backoff=late), strategy="rest_for_one")
    drive.crash("b")
    drive.advance(1)

    drive.crash("a")

    drive.advance(1.5)
    assert drive.states() == "a:down b:down"
    drive.advance(0.5)
    assert drive.states() == "a:ready b:ready"


@pytest.mark.parametrize("strategy", GROUPS)
def test_a_crash_on_the_way_down_is_told_and_not_judged(strategy: str) -> None:
    drive = Drive(*(child(n) for n in "abc"), strategy=strategy, obedient=False)
    drive.crash("a")

    drive.crash("b")

    assert [e.verdict.rule for e in drive.events(Crashed)] == ["restart type", "group under way"]
    assert drive["b"].attempt == 0
    drive.end("c")
    assert drive.states() == "a:ready b:ready c:ready"


def test_a_member_that_fails_to_start_again_restarts_all_or_the_rest() -> None:
    for strategy, expected in (("one_for_all", ["a", "b"]), ("rest_for_one", ["b"])):
        drive = Drive(child("a"), slow("b"), child("c"), strategy=strategy)
        drive.ready("b")
        drive.crash("a")
        assert drive.states() == "a:ready b:starting c:down"
        drive.ran.clear()

        drive.crash("b")

        assert drive.ran == expected
        drive.ready("b")
        assert drive.states() == "a:ready b:ready c:ready"


def test_finished_and_declined_members_are_revived_and_stopped_ones_are_not() -> None:
    drive = Drive(
        child("a"),
        child("finished", restart="transient"),
        slow("declined"),
        child("stopped"),
        strategy="one_for_all",
    )
    drive.decline("declined")
    drive.returns("finished")
    drive.stop("stopped")

    drive.crash("a")

    assert drive.states() == "a:ready finished:ready declined:starting stopped:down"
    assert drive.holds("stopped") == ["operator"]


def test_who_is_stopped_during_the_restart_stays_down_and_who_is_started_comes_in_his_place() -> (
    None
):
    drive = Drive(child("a", backoff=SECOND), child("b"), child("c"), strategy="one_for_all")
    drive.stop("c")
    drive.crash("a")

    drive.stop("b")
    drive.start("c")
    assert drive.states() == "a:down b:down c:down"
    drive.advance(1)

    assert drive.states() == "a:ready b:down c:ready"


def test_an_operator_may_cut_the_groups_delay_short() -> None:
    for how in ("start", "release", "restart"):
        drive = Drive(child("a", backoff=SECOND), child("b"), strategy="one_for_all")
        drive.crash("a")

        getattr(drive, how)("a")

        assert drive.states() == "a:ready b:ready", how


def test_stopping_the_cause_lets_the_others_go_on() -> None:
    drive = Drive(child("a", backoff=SECOND), child("b"), strategy="one_for_all")
    drive.crash("a")

    drive.stop("a")

    assert drive.states() == "a:down b:ready"


def test_a_quarantined_member_holds_its_group_down_and_its_probe_is_the_groups_start() -> None:
    a = child("a", quarantine=NEVER)
    for strategy, elder in (("one_for_all", "down"), ("rest_for_one", "ready")):
        drive = Drive(child("x"), a, child("b"), strategy=strategy)
        drive.crash("a")
        drive.crash("a")
        assert drive.states() == f"x:{elder} a:down b:down"
        assert len(drive.events(Quarantined)) == 1

        drive.advance(60)

        assert drive.states() == "x:ready a:ready b:ready"
        assert drive["a"].probing


def test_a_stuck_member_loses_its_place() -> None:
    drive = Drive(*(child(n) for n in "abc"), strategy="one_for_all", obedient=False)
    drive.crash("a")

    drive.advance(5)
    drive.end("b")

    assert drive.states() == "a:ready b:ready c:stuck"
    drive.end("c")
    assert drive.holds("c") == ["stuck"]


def test_dynamic_members_go_first_and_together() -> None:
    drive = Drive(child("a"), child("b"), strategy="one_for_all", obedient=False)
    for _ in range(2):
        drive.add(child("p", restart="transient"), dynamic=True)
    drive.cancelled.clear()

    drive.crash("a")

    assert sorted(drive.cancelled) == ["p", "p-2"]
    drive.end("p")
    assert sorted(drive.cancelled) == ["p", "p-2"]
    drive.end("p-2")
    assert drive.cancelled[2:] == ["b"]


def test_a_missed_heartbeat_restarts_the_group_with_the_life_in_its_place() -> None:
    drive = Drive(child("a"), child("b", heartbeat=3), child("c"), strategy="one_for_all")
    drive.ran.clear()

    drive.advance(3)

    assert drive.cancelled == ["c", "b", "a"]
    assert drive.ran == ["a", "b", "c"]


def test_a_child_added_while_its_group_is_down_is_started() -> None:
    drive = Drive(child("a", backoff=SECOND), child("b"), strategy="one_for_all")
    drive.crash("a")

    drive.add(child("c"))
    drive.advance(1)

    assert drive.states() == "a:ready b:ready c:ready"
    assert drive.deadline == math.inf


def test_who_was_added_while_the_group_was_down_has_no_place_in_it() -> None:
    drive = Drive(slow("a", backoff=SECOND), strategy="one_for_all")
    drive.ready("a")
    drive.crash("a")
    drive.add(child("b"), dynamic=True)
    drive.advance(1)
    assert drive.states() == "a:starting b:ready"

    drive.restart("b")

    assert drive.states() == "a:starting b:ready"


def test_an_elder_that_crashes_does_not_wait_for_a_younger_one_in_quarantine() -> None:
    """Under rest_for_one a quarantine holds only those after it."""
    drive = Drive(child("a"), child("b", quarantine=NEVER), child("c"), strategy="rest_for_one")
    drive.crash("b")
    drive.crash("b")
    assert drive.states() == "a:ready b:down c:down"

    drive.crash("a")

    assert drive.states() == "a:ready b:down c:down"
    drive.advance(60)
    assert drive.states() == "a:ready b:ready c:ready"


def test_an_elder_waits_with_its_group_for_a_younger_ones_backoff() -> None:
    drive = Drive(child("a"), child("b", backoff=SECOND), child("c"), strategy="rest_for_one")
    drive.crash("b")

    drive.crash("a")

    assert drive.states() == "a:down b:down c:down"
    drive.advance(1)
    assert drive.states() == "a:ready b:ready c:ready"
