"""Delays before automatic restarts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor._core import backoff
from supervisor._happenings import Crashed
from supervisor._spec.policy import Backoff, Quarantine
from supervisor._words import Jitter
from tests.core.drive import Drive, child, slow

DRAWS = st.floats(0, 1, exclude_max=True)
JITTERS = st.sampled_from(["full", "equal", "none"])


@given(
    base=st.floats(0.001, 1e6),
    factor=st.floats(1, 1e6),
    cap=st.floats(0.001, 1e6),
    attempt=st.integers(2, 10**9),
    draw=DRAWS,
    jitter=JITTERS,
)
def test_the_cap_is_applied_before_the_draw(
    base: float, factor: float, cap: float, attempt: int, draw: float, jitter: Jitter
) -> None:
    policy = Backoff(base=base, factor=factor, cap=cap, jitter=jitter)
    try:
        whole = min(cap, base * factor ** (attempt - 2))
    except OverflowError:
        whole = cap
    low = {"full": 0.0, "equal": whole / 2, "none": whole}[jitter]

    seconds = backoff.delay(policy, attempt, draw)

    assert low <= seconds <= whole <= cap
    spread = {"full": whole * draw, "equal": whole * (0.5 + draw / 2), "none": whole}
    assert math.isclose(seconds, spread[jitter])


@given(attempt=st.integers(1, 10**12), draw=DRAWS)
def test_no_number_of_attempts_overflows(attempt: int, draw: float) -> None:
    assert 0 <= backoff.delay(Backoff(factor=10), attempt, draw) <= 30


def test_the_first_restart_has_its_own_delay() -> None:
    assert backoff.delay(Backoff(first=0.25), 1, 0.9) == 0.25


@pytest.mark.parametrize(
    ("jitter", "delays"),
    [
        ("none", [0, 1, 2, 4, 8, 8]),
        ("full", [0, 0.5, 1, 2, 4, 4]),
        ("equal", [0, 0.75, 1.5, 3, 6, 6]),
    ],
)
def test_delays_of_a_series(jitter: Jitter, delays: list[float]) -> None:
    policy = Backoff(first=0, base=1, factor=2, cap=8, jitter=jitter)
    drive = Drive(child("a", backoff=policy), draws=[0.5] * 20)
    for delay in delays:
        drive.crash("a")

        assert drive.events(Crashed)[-1].verdict.delay == delay
        lives = len(drive.ran)
        if delay:
            drive.advance(delay - 0.25)
            assert len(drive.ran) == lives
        drive.advance(0.25)
        assert drive["a"].state == "ready"


def test_a_healthy_stretch_begins_a_new_series() -> None:
    policy = Backoff(first=1, base=4, factor=2, cap=60, jitter="none", reset_after=10)
    drive = Drive(child("a", backoff=policy))
    for up, delay in ((0, 1), (9.5, 4), (10, 1), (0, 4)):
        drive.advance(up)
        drive.crash("a")

        assert drive.events(Crashed)[-1].verdict.delay == delay
        drive.advance(delay)


def test_a_healthy_stretch_begins_a_new_series_however_it_ended() -> None:
    policy = Backoff(first=1, base=4, cap=60, jitter="none", reset_after=10)
    drive = Drive(child("a", backoff=policy))
    drive.crash("a")
    drive.advance(1)
    drive.advance(10)
    drive.restart("a")

    drive.crash("a")

    assert drive.events(Crashed)[-1].verdict.delay == 1


def test_a_heartbeat_missed_after_a_healthy_stretch_is_the_first_of_the_new_series() -> None:
    policy = Backoff(first=1, base=4, cap=60, jitter="none", reset_after=10)
    drive = Drive(child("a", backoff=policy, heartbeat=20))
    drive.advance(20)
    assert drive.events(Crashed)[-1].verdict.delay == 1
    drive.advance(1)

    drive.crash("a")

    assert drive.events(Crashed)[-1].verdict.delay == 4


def test_the_stretch_is_counted_from_readiness_not_from_the_start() -> None:
    policy = Backoff(first=1, base=4, cap=60, jitter="none", reset_after=10)
    drive = Drive(slow("a", backoff=policy))
    drive.crash("a")
    drive.advance(1)
    drive.advance(100)
    drive.ready("a")
    drive.advance(9)

    drive.crash("a")

    assert drive.events(Crashed)[-1].verdict.delay == 4


def test_a_child_may_say_that_it_is_healthy() -> None:
    policy = Backoff(first=1, base=4, cap=60, jitter="none")
    drive = Drive(child("a", backoff=policy))
    drive.crash("a")
    drive.advance(1)

    drive.healthy("a")
    drive.crash("a")

    assert drive.events(Crashed)[-1].verdict.delay == 1


def test_a_restart_that_fails_to_start_waits_longer_each_time() -> None:
    policy = Backoff(first=0, base=1, factor=2, cap=30, jitter="none")
    drive = Drive(slow("a", backoff=policy))
    for delay in (0, 1, 2, 4):
        drive.crash("a")
        assert drive.events(Crashed)[-1].verdict.delay == delay
        drive.advance(delay)


def test_an_hour_of_crash_loops_leaves_no_timers() -> None:
    policy = Backoff(first=0, base=0.1, factor=2, cap=1, jitter="full", reset_after=5)
    drive = Drive(
        *(child(name, backoff=policy, quarantine=Quarantine(crashes=20)) for name in "abcd"),
        draws=[0.7, 0.3, 0.9, 0.1] * 20_000,
        watched=False,
    )
    worst = 0
    while drive.now < 3600:
        for name in "abcd":
            if drive[name].state == "ready":
                drive.crash(name)
        worst = max(worst, len(drive.node.timers))
        drive.told.clear()
        drive.ran.clear()
        drive.advance(0.5)

    assert worst <= 64 + 4 * 4 + 1
    assert all(len(drive[name].circuit.log) <= 20 for name in "abcd")


def test_when_everybody_is_ready_there_is_no_deadline() -> None:
    drive = Drive(child("a"), slow("b"), child("c", needs=("b",)))
    drive.ready("b")

    assert drive.deadline == math.inf


def test_no_delay_stays_none_however_long_the_series() -> None:
    assert backoff.grown(0, 2, 5000, 30) == 0


def test_a_long_start_that_fails_is_no_healthy_stretch() -> None:
    policy = Backoff(first=1, base=4, cap=60, jitter="none", reset_after=10)
    drive = Drive(slow("a", backoff=policy))
    for delay in (1, 4, 8):
        drive.advance(100)

        drive.crash("a")

        assert drive.events(Crashed)[-1].verdict.delay == delay
        drive.advance(delay)


def test_crash_loops_under_a_long_heartbeat_leave_no_timers() -> None:
    drive = Drive(child("a", heartbeat=1000), child("b", heartbeat=900), watched=False)
    for _ in range(1000):
        drive.crash("a")
        drive.advance(0.5)

    assert len(drive.node.timers) <= 64 + 4 * 2 + 1
