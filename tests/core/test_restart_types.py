"""Who comes back: restart types, outcomes and strategies, as OTP's supervisor decides."""

from __future__ import annotations

from itertools import product

import pytest

from supervisor._happenings import (
    Crashed,
    Declined,
    GroupRestarted,
    Quarantined,
    Returned,
    Stopped,
)
from supervisor._spec.policy import Quarantine
from supervisor._words import Outcome
from tests.core.drive import Drive, child, slow

CRASHED = Outcome("crashed", ValueError("on cue"))
RETURNED = Outcome("returned")
FOREIGN = Outcome("cancelled")
DECLINED = Outcome("declined", reason="not today")

# Erlang/OTP, supervisor: permanent always; transient unless the end was normal; temporary never.
# A child that answers "ignore" stays listed without a process, but a temporary one is forgotten.
VERDICTS = {
    ("permanent", "crashed"): "restart",
    ("permanent", "returned"): "restart",
    ("permanent", "cancelled"): "restart",
    ("permanent", "declined"): "declined",
    ("transient", "crashed"): "restart",
    ("transient", "returned"): "finish",
    ("transient", "cancelled"): "restart",
    ("transient", "declined"): "declined",
    ("temporary", "crashed"): "forget",
    ("temporary", "returned"): "forget",
    ("temporary", "cancelled"): "forget",
    ("temporary", "declined"): "forget",
}
BROUGHT_DOWN = {"one_for_one": [], "one_for_all": ["d", "c", "a"], "rest_for_one": ["d", "c"]}
TEMPORARY_SIBLING = "d"


@pytest.mark.parametrize(
    ("strategy", "restart", "outcome"),
    [
        (s, r, o)
        for s, r, o in product(
            BROUGHT_DOWN,
            ("permanent", "transient", "temporary"),
            (CRASHED, RETURNED, FOREIGN, DECLINED),
        )
    ],
)
def test_the_end_of_a_life_is_judged_by_type_outcome_and_strategy(
    strategy: str, restart: str, outcome: Outcome
) -> None:
    made = child("b", restart=restart)
    drive = Drive(
        child("a"),
        made,
        child("c", restart="transient"),
        child("d", restart="temporary"),
        strategy=strategy,
    )
    drive.ran.clear()

    drive.exit("b", outcome)

    expected = VERDICTS[restart, outcome.kind]
    down = BROUGHT_DOWN[strategy] if expected == "restart" else []
    assert drive.cancelled == down
    back = sorted({"b", *down} - {TEMPORARY_SIBLING}) if expected == "restart" else []
    assert drive.ran == back
    assert ("d" in drive) == ("d" not in down)
    forgotten = restart == "temporary"
    assert ("b" in drive) == (not forgotten)
    if expected in ("finish", "declined") and not forgotten:
        assert drive.holds("b") == ["finished" if expected == "finish" else "declined"]
    told = {"returned": Returned, "declined": Declined}.get(outcome.kind, Crashed)
    assert [e.path for e in drive.events(told)] == ["t/b"]
    if outcome.kind != "declined":
        assert [v.action for v in drive.verdicts()] == [expected]


def test_a_cancellation_that_nobody_asked_for_is_a_failure() -> None:
    drive = Drive(child("a"))

    drive.end("a")

    (crash,) = drive.events(Crashed)
    assert "cancelled from outside" in str(crash.error)


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
@pytest.mark.parametrize("cause", ["start deadline", "heartbeat"])
def test_a_missed_deadline_is_judged_by_restart_type_too(restart: str, cause: str) -> None:
    if cause == "heartbeat":
        drive = Drive(child("a", restart=restart, heartbeat=3))
    else:
        drive = Drive(slow("a", restart=restart, start_timeout=3))

    drive.advance(3)

    (crash,) = drive.events(Crashed)
    assert crash.verdict.action == ("forget" if restart == "temporary" else "restart")
    assert drive.ran == (["a"] if restart == "temporary" else ["a", "a"])
    assert ("a" in drive) == (restart != "temporary")


def test_the_end_of_a_life_that_was_asked_to_end_is_told_but_not_judged() -> None:
    drive = Drive(child("a"), obedient=False)
    drive.stop("a")

    error = drive.crash("a")

    (crash,) = drive.events(Crashed)
    assert (crash.error, crash.verdict.action, crash.verdict.rule) == (error, "none", "was to stop")
    assert drive["a"].attempt == 0


def test_a_failure_while_a_failed_life_is_brought_down_is_told_as_well() -> None:
    drive = Drive(child("a", heartbeat=3), obedient=False)
    drive.advance(3)

    error = drive.crash("a")

    missed, other = drive.events(Crashed)
    assert "no heartbeat" in str(missed.error)
    assert (other.error, other.verdict.action) == (error, "none")
    assert drive["a"].attempt == 1


def test_the_late_end_of_an_old_life_moves_nothing() -> None:
    drive = Drive(child("a"), watched=False)
    drive.crash("a")
    before = list(drive.told)

    drive.exit("a", CRASHED, life=1)

    assert drive.told == before
    assert (drive["a"].state, drive["a"].life) == ("ready", 2)


def test_readiness_of_an_old_life_moves_nothing() -> None:
    drive = Drive(slow("a"))
    drive.crash("a")

    from supervisor._core.effects import ReportedReady

    drive.feed(ReportedReady(drive["a"], 1))

    assert drive["a"].state == "starting"


def test_every_crash_is_one_event_with_its_whole_group() -> None:
    drive = Drive(child("a"))
    group = ExceptionGroup("both", [ValueError("one"), OSError("two")])

    drive.crash("a", group)

    assert [e.error for e in drive.events(Crashed)] == [group]


def test_a_life_that_returns_while_it_waits_to_be_replaced_is_replaced() -> None:
    drive = Drive(child("a", restart="transient"), child("b", needs={"a": "each"}), obedient=False)
    drive.restart("a")
    assert drive["a"].leaving

    drive.returns("a")
    drive.end("b")

    assert drive.states() == "a:ready b:ready"
    assert drive["a"].life == 2


def test_stopped_is_told_with_how_long_it_took() -> None:
    drive = Drive(child("a"), obedient=False)
    drive.stop("a")
    drive.advance(2)

    drive.end("a")

    assert [e.took for e in drive.events(Stopped)] == [2]


def test_a_crash_is_told_before_what_follows_from_it() -> None:
    aside = Quarantine(crashes=2, within=10, open=60, probe=5)
    drive = Drive(child("a", quarantine=aside), child("b"), strategy="one_for_all")
    drive.told.clear()

    drive.crash("a")

    assert [type(e) for e in drive.told[:2]] == [Crashed, GroupRestarted]
    drive.told.clear()
    drive.crash("a")
    assert [type(e) for e in drive.told[:3]] == [Crashed, Quarantined, GroupRestarted]


def test_a_life_that_ends_with_what_it_was_declared_failed_for_is_told_once() -> None:
    # The watch takes an error for a new one, whoever has raised it before.
    drive = Drive(child("a", heartbeat=3), obedient=False, watched=False)
    drive.advance(3)

    drive.crash("a", drive["a"].error)

    assert len(drive.events(Crashed)) == 1
    assert drive["a"].life == 2
