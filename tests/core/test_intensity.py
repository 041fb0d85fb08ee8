"""The budget of restarts within a sliding window."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor._errors import TreeFailed, UnexpectedReturn
from supervisor._happenings import Crashed, Escalated
from supervisor._spec.policy import Intensity, Quarantine
from tests.core.drive import AT_ONCE, Drive, child, slow

GAPS = st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.5, 5.0, 7.0]), min_size=1, max_size=40)


@given(gaps=GAPS, restarts=st.integers(0, 4), within=st.sampled_from([1.0, 5.0]))
def test_the_first_restart_beyond_the_budget_of_any_window_ends_it(
    gaps: list[float], restarts: int, within: float
) -> None:
    drive = Drive(child("a"), child("b"), intensity=Intensity(restarts, within))
    crashes: list[float] = []
    for i, gap in enumerate(gaps):
        drive.advance(gap)
        drive.crash("ab"[i % 2])
        crashes.append(drive.now)

        naive = sum(drive.now - within < at <= drive.now for at in crashes)
        assert drive.node.closing == (naive > restarts)
        assert len(drive.node.log) <= restarts + 1
        if drive.node.closing:
            break


def test_no_restarts_allowed_means_that_the_first_failure_ends_it() -> None:
    drive = Drive(child("a"), child("b"), intensity=Intensity(0, 5))

    error = drive.crash("b")

    assert drive.outcome is not None
    assert isinstance(drive.outcome.error, TreeFailed)
    assert drive.outcome.error.exceptions == (error,)
    assert error.__notes__ == ["t/b, life 1: more than 0 restarts within 5 s"]
    (verdict,) = drive.verdicts()
    assert (verdict.action, verdict.rule, verdict.crashes) == ("escalate", "intensity", 1)
    assert [e.offenders for e in drive.events(Escalated)] == [("t/b",)]


@pytest.mark.parametrize("within", [5e-324, 1e-12])
def test_a_restart_counts_however_short_the_period_is(within: float) -> None:
    drive = Drive(child("a"), intensity=Intensity(0, within))
    drive.advance(1e5)

    drive.crash("a")

    assert drive.node.closing


def test_the_note_of_an_error_that_is_raised_again_and_again_stays_one() -> None:
    error = ValueError("the same object")
    for _ in range(3):
        drive = Drive(child("a"), intensity=Intensity(0, 5))
        drive.crash("a", error)

    assert len(error.__notes__) == 1


def test_a_group_restart_is_one_restart() -> None:
    drive = Drive(
        *(child(name) for name in "abcd"), strategy="one_for_all", intensity=Intensity(2, 5)
    )

    drive.crash("a")
    drive.crash("d")

    assert drive.states() == "a:ready b:ready c:ready d:ready"
    drive.crash("b")
    assert drive.node.finished


def test_a_failed_start_counts() -> None:
    drive = Drive(slow("a"), intensity=Intensity(1, 5))

    drive.crash("a")
    assert not drive.node.closing
    drive.crash("a")

    assert drive.node.finished


@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_clean_ends_and_deaths_of_temporary_children_do_not_count(restart: str) -> None:
    drive = Drive(child("a", restart=restart), child("b"), intensity=Intensity(0, 5))

    if restart == "transient":
        drive.returns("a")
    else:
        drive.crash("a")

    assert not drive.node.closing


def test_a_temporary_child_that_misses_its_deadline_does_not_count() -> None:
    drive = Drive(child("a", restart="temporary", heartbeat=1), intensity=Intensity(0, 5))

    drive.advance(1)

    assert not drive.node.closing


def test_an_operators_restarts_do_not_count() -> None:
    drive = Drive(child("a"), intensity=Intensity(0, 5))

    for _ in range(5):
        drive.restart("a")

    assert not drive.node.closing
    assert drive["a"].life == 6


def test_a_permanent_child_that_returns_too_often_fails_the_supervisor_for_that() -> None:
    drive = Drive(child("a", backoff=AT_ONCE), intensity=Intensity(1, 5))

    drive.crash("a")
    drive.returns("a")

    assert drive.outcome is not None
    assert isinstance(drive.outcome.error, TreeFailed)
    (leaf,) = drive.outcome.error.exceptions
    assert isinstance(leaf, UnexpectedReturn)


def test_restarts_at_the_edge_of_the_window_have_left_it() -> None:
    drive = Drive(child("a"), intensity=Intensity(1, 5))
    drive.crash("a")
    drive.advance(5)

    drive.crash("a")

    assert not drive.node.closing
    assert len(drive.events(Crashed)) == 2


def test_a_decline_does_not_count() -> None:
    drive = Drive(slow("a"), child("b"), intensity=Intensity(1, 5))
    drive.decline("a")

    drive.crash("b")

    assert not drive.node.closing


def test_restarts_of_a_fallback_do_not_count() -> None:
    aside = Quarantine(crashes=1, within=10, open=60, probe=5)
    a = child("a", quarantine=aside, fallback=child("spare"))
    drive = Drive(a, child("b"), intensity=Intensity(1, 100))
    drive.crash("a")

    drive.crash("a/fallback")

    assert not drive.node.closing
    assert drive["a/fallback"].life == 2
