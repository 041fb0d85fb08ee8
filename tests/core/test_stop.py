"""Stops: order, grace, deadlines, and what does not end."""

from __future__ import annotations

import math

from supervisor._core.effects import StartNoMore
from supervisor._errors import Stuck, TreeFailed
from supervisor._happenings import Ended, StopAsked, StopBegun
from supervisor._spec.policy import Stop
from supervisor._spec.tree import Supervisor
from tests.core.drive import Drive, child, slow


def test_listed_children_stop_one_at_a_time_in_reverse() -> None:
    drive = Drive(*(child(n) for n in "abc"), obedient=False)

    drive.shut_down()

    for name in "cba":
        assert drive.cancelled[-1] == name
        drive.end(name)
    assert drive.cancelled == ["c", "b", "a"]
    assert drive.outcome is not None
    assert drive.outcome.kind == "cancelled"


def test_peers_stop_first_and_together() -> None:
    drive = Drive(child("a"), obedient=False)
    for _ in range(3):
        drive.add(child("p"), dynamic=True)

    drive.shut_down()

    assert sorted(drive.cancelled) == ["p", "p-2", "p-3"]
    for name in ("p-2", "p", "p-3"):
        drive.end(name)
    assert drive.cancelled[-1] == "a"


def test_a_supervisor_without_children_ends_at_once() -> None:
    drive = Drive()
    assert drive.node.booted

    drive.shut_down()

    assert drive.node.finished


def test_a_stop_while_everything_is_still_starting() -> None:
    drive = Drive(slow("a"), child("b"))

    drive.shut_down()

    assert drive.ran == ["a"]
    assert drive.node.finished


def test_who_dies_by_himself_during_the_stop_changes_nothing() -> None:
    drive = Drive(child("a"), child("b"), obedient=False)
    drive.shut_down()

    drive.crash("a")
    drive.crash("b")

    assert drive.ran == ["a", "b"]
    assert drive.outcome is not None
    assert drive.outcome.kind == "cancelled"
    assert [v.action for v in drive.verdicts()] == ["none", "none"]


def test_who_has_stopped_stays_down_while_what_it_needs_still_serves() -> None:
    drive = Drive(child("a"), child("b", needs=("a",)), obedient=False)
    drive.shut_down()

    drive.end("b")

    assert drive.states() == "a:stopping b:down"
    drive.end("a")
    assert drive.ran == ["a", "b"]
    assert drive.node.finished


def test_grace_is_notice_first_and_cancellation_then() -> None:
    drive = Drive(child("a", stop=Stop(grace=3, deadline=5)), obedient=False)
    drive.stop("a")
    assert (drive.noticed, drive.cancelled) == ([("a", 3)], [])

    drive.advance(3)
    assert drive.cancelled == ["a"]
    drive.advance(4.9)
    assert drive["a"].state == "stopping"
    drive.advance(0.1)

    assert drive["a"].state == "stuck"
    assert drive.holds("a") == ["operator", "stuck"]


def test_who_ends_within_his_grace_is_not_cancelled() -> None:
    drive = Drive(child("a", stop=Stop(grace=3)), obedient=False)
    drive.stop("a")
    drive.returns("a")

    drive.advance(10)

    assert drive.cancelled == []
    assert drive.holds("a") == ["operator"]


def test_a_life_that_missed_its_heartbeat_gets_no_grace() -> None:
    drive = Drive(child("a", heartbeat=2, stop=Stop(grace=30)), obedient=False)

    drive.advance(2)

    assert drive.cancelled == ["a"]


def test_deadlines_are_clipped_to_the_whole_stop_and_grace_gives_way_first() -> None:
    drive = Drive(child("a", stop=Stop(grace=30, deadline=5)), obedient=False)

    drive.shut_down(within=8)

    (asked,) = drive.events(StopAsked)
    assert (asked.grace, asked.deadline) == (3, 5)
    assert drive.noticed == [("a", 3)]
    drive.advance(3)
    assert drive.cancelled == ["a"]
    drive.advance(5)
    assert drive.stuck_remain


def test_a_deadline_is_clipped_to_the_whole_stop() -> None:
    drive = Drive(child("a", stop=Stop(deadline=50)), obedient=False)

    drive.shut_down(within=8)
    drive.advance(8)

    assert drive["a"].state == "stuck"


def test_a_grace_under_way_gives_way_to_a_stop_of_the_whole() -> None:
    drive = Drive(child("a", stop=Stop(grace=100, deadline=5)), obedient=False)
    drive.stop("a")

    drive.shut_down(within=10)
    drive.advance(5)

    assert drive.cancelled == ["a"]


def test_those_who_wait_behind_a_slow_one_get_a_last_call() -> None:
    stop = Stop(deadline=100)
    drive = Drive(*(child(n, stop=stop) for n in "abc"), obedient=False)
    drive.shut_down(within=20)
    assert drive.cancelled == ["c"]

    drive.advance(19)
    assert sorted(drive.cancelled) == ["a", "b", "c"]
    drive.end("a")
    drive.end("b")
    drive.advance(1)

    assert drive.stuck_remain
    assert [e.stuck for e in drive.events(Ended)] == [("t/c",)]
    drive.end("c")
    assert drive.node.finished


def test_a_second_call_for_a_stop_may_only_shorten_it() -> None:
    drive = Drive(child("a", stop=Stop(deadline=100)), obedient=False)
    drive.shut_down(within=20)
    drive.shut_down(within=50)
    assert drive.node.by == 20

    drive.shut_down(within=2)
    drive.advance(2)

    assert drive["a"].state == "stuck"
    assert len(drive.events(StopBegun)) == 1


def test_hurry_cancels_everything_at_once() -> None:
    drive = Drive(*(child(n, stop=Stop(grace=9)) for n in "abc"), obedient=False)
    drive.shut_down(within=20)
    assert drive.cancelled == []

    drive.hurry(within=1)

    assert sorted(drive.cancelled) == ["a", "b", "c"]
    drive.advance(1)
    assert drive.stuck_remain


def test_a_stop_at_once_gives_no_notice() -> None:
    drive = Drive(child("a", stop=Stop(grace=9, deadline=0.5)), obedient=False)

    drive.hurry(within=1)

    assert (drive.noticed, drive.cancelled) == ([], ["a"])


def test_who_is_stuck_loses_his_place_and_gets_no_further_life() -> None:
    drive = Drive(child("a"), child("b"), obedient=False)
    drive.restart("b")

    drive.advance(5)

    assert drive.states() == "a:ready b:stuck"
    drive.shut_down()
    assert drive.cancelled == ["b", "a"]
    drive.end("a")
    assert drive.stuck_remain
    assert not drive.node.finished
    drive.end("b")
    assert drive.node.finished


def test_the_late_end_of_a_stuck_life_lets_an_operator_start_it_again() -> None:
    drive = Drive(child("a"), obedient=False)
    drive.restart("a")
    drive.advance(5)
    drive.end("a")
    assert drive.holds("a") == ["stuck"]

    drive.start("a")

    assert drive["a"].state == "ready"


def test_a_critical_child_that_is_stuck_ends_the_tree() -> None:
    drive = Drive(child("a"), child("b", priority="critical"), obedient=False)
    drive.restart("b")

    drive.advance(5)

    assert drive.cancelled == ["b", "a"]
    drive.end("a")
    drive.end("b")
    assert drive.outcome is not None
    assert isinstance(drive.outcome.error, TreeFailed)
    assert isinstance(drive.outcome.error.exceptions[0], Stuck)


def test_a_stop_without_bound_waits_for_ever_if_that_is_declared() -> None:
    drive = Drive(child("a", stop=Stop(deadline=math.inf)), obedient=False)

    drive.shut_down()

    assert drive.deadline == math.inf
    assert drive["a"].state == "stopping"


# --- supervisors as children -------------------------------------------------------------------------


def test_a_supervisor_gets_notice_with_the_time_it_has() -> None:
    drive = Drive(Supervisor("s", [child("x")]), child("b"))
    drive.ready("s")

    drive.shut_down(within=20)

    assert drive.noticed == [("s", 20)]
    assert drive.cancelled == ["b"]
    drive.end("s")
    assert drive.node.finished


def test_a_supervisor_with_only_stuck_children_left_is_stuck_itself() -> None:
    drive = Drive(child("a"), Supervisor("s", [child("x")]), obedient=False)
    drive.ready("s")
    drive.shut_down()

    drive.only_stuck_left("s")

    assert drive.cancelled == ["a"]
    drive.end("a")
    assert drive.stuck_remain


def test_a_supervisor_that_gave_up_with_a_stuck_child_no_longer_serves() -> None:
    drive = Drive(Supervisor("s", [child("x")]), child("b", needs=("s",)))
    drive.ready("s")

    drive.only_stuck_left("s")

    assert drive.states() == "s:stuck b:down"
    drive.crash("s", TreeFailed("failed", [ValueError("x")]))
    assert drive.holds("s") == ["stuck"]


def test_a_supervisor_that_fails_is_restarted_like_any_child() -> None:
    drive = Drive(Supervisor("s", [child("x")]), child("b", needs=("s",)))
    drive.ready("s")

    drive.crash("s", TreeFailed("failed", [ValueError("x")]))

    assert drive["s"].state == "starting"
    assert drive["s"].life == 2


def test_the_leaves_of_nested_failures_are_flat() -> None:
    leaf = ValueError("x")
    drive = Drive(Supervisor("s", [child("x", priority="critical")]), boot="strict")

    drive.crash("s", TreeFailed("t/s failed", [leaf]))

    assert drive.outcome is not None
    assert isinstance(drive.outcome.error, TreeFailed)
    assert drive.outcome.error.exceptions == (leaf,)


def test_a_life_that_was_to_end_before_the_stop_keeps_its_deadline_while_others_have_their_turn() -> (
    None
):
    drive = Drive(
        child("a", stop=Stop(deadline=5)), child("b", stop=Stop(deadline=60)), obedient=False
    )
    drive.stop("a")

    drive.shut_down()
    drive.advance(5)

    assert drive.states() == "a:stuck b:stopping"


def test_a_life_that_was_to_end_keeps_its_deadline_while_its_supervisor_waits_in_line() -> None:
    drive = Drive(child("a", stop=Stop(deadline=5)), obedient=False)
    drive.stop("a")

    drive.feed(StartNoMore())
    drive.advance(5)

    assert drive.states() == "a:stuck"


def test_a_supervisor_is_rushed_too_when_everything_is_cancelled_at_once() -> None:
    drive = Drive(Supervisor("inner"), child("b"), obedient=False)
    drive.ready("inner")

    drive.hurry(1)

    assert drive.rushed == [("inner", 1.0)]
    assert drive.cancelled == ["b"]


def test_who_has_ended_leaves_no_deadline_to_a_stop() -> None:
    drive = Drive(child("a", stop=Stop(deadline=60)), child("b"), obedient=False)
    drive.shut_down()
    assert drive.deadline == 5
    drive.end("b")
    assert drive.deadline == 60

    drive.end("a")

    assert drive.outcome is not None
    assert drive.deadline == math.inf
