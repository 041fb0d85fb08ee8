"""The window: what counts is what happened within it, to a tenth."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor._core.window import BUCKETS, Window

GAPS = st.one_of(
    st.sampled_from([0.0, 0.1, 0.5, 1.0, 9.0, 9.5, 10.0, 11.0, 1e9]),
    st.floats(0, 12),
    st.floats(-3, 0),
)
KINDS = st.sampled_from(["calls", "failures", "slow", "cut"])


class Naive:
    """Every outcome ever, with the number of its bucket."""

    def __init__(self, seconds: float, now: float) -> None:
        self.seconds = seconds
        self.start, self.bucket = now, 0
        self.outcomes: list[tuple[str, int]] = []

    def go_on(self, now: float) -> None:
        width = self.seconds / BUCKETS
        if now >= self.start + (self.bucket + BUCKETS) * width:
            self.start, self.bucket, self.outcomes = now, 0, []
        while now >= self.start + (self.bucket + 1) * width:
            self.bucket += 1

    def count(self, kind: str) -> int:
        return sum(
            what == kind and bucket > self.bucket - BUCKETS for what, bucket in self.outcomes
        )


def add(window: Window, kind: str, now: float) -> None:
    window.roll(now)
    setattr(window, kind, getattr(window, kind) + 1)


@given(
    seconds=st.sampled_from([0.7, 1.0, 10.0, 60.0]),
    start=st.sampled_from([0.0, 0.1, 1e5]),
    steps=st.lists(st.tuples(GAPS, KINDS), max_size=60),
)
def test_it_counts_what_a_list_of_all_outcomes_counts(
    seconds: float, start: float, steps: list[tuple[float, str]]
) -> None:
    window, naive, now = Window(seconds, start), Naive(seconds, start), start
    for gap, kind in steps:
        now += gap
        naive.go_on(now)
        expected = [naive.count(kind) for kind in ("calls", "failures", "slow", "cut")]
        assert list(window.counted(now)) == expected
        add(window, kind, now)
        naive.outcomes.append((kind, naive.bucket))
        assert getattr(window, kind) == naive.count(kind)
        assert len(window.past) < BUCKETS


@pytest.mark.parametrize(("after", "left"), [(0, 1), (8.9, 1), (9.0, 1), (9.99, 1), (10.0, 0)])
def test_what_has_just_begun_to_be_counted_leaves_it_after_the_whole_window(
    after: float, left: int
) -> None:
    window = Window(10, 0)
    add(window, "calls", 0)
    window.roll(after)
    assert window.calls == left


@pytest.mark.parametrize(("after", "left"), [(9.0, 1), (9.99, 1), (10.0, 0)])
def test_what_came_at_the_end_of_a_bucket_leaves_it_with_the_bucket(
    after: float, left: int
) -> None:
    window = Window(10, 0)
    add(window, "failures", 0.99)
    window.roll(after)
    assert window.failures == left


def test_of_a_steady_stream_it_holds_what_has_come_in_its_time() -> None:
    window = Window(10, 0)
    for second in range(35):
        for kind in ("calls", "failures", "slow", "cut"):
            add(window, kind, second)
        counts = (window.calls, window.failures, window.slow, window.cut)
        assert counts == (min(second + 1, 10),) * 4


def test_a_long_pause_empties_it_at_once() -> None:
    window = Window(60, 0)
    for second in range(60):
        add(window, "calls", second)
    add(window, "calls", 1e9)
    assert window.calls == 1
    assert window.counted(2e9) == (0, 0, 0, 0)


def test_looking_at_it_changes_nothing() -> None:
    looked_at, left_alone = Window(10, 0), Window(10, 0)
    for now in [0.5, 3.7, 9.1, 22.3, 23.9, 33.2]:
        for later in [0, 0.9, 5, 30]:
            looked_at.counted(now + later)
        for window in (looked_at, left_alone):
            add(window, "calls", now)
        assert looked_at.counted(now) == left_alone.counted(now)
    assert looked_at.edge == left_alone.edge


def test_time_that_does_not_move_or_goes_back_counts_where_it_was() -> None:
    window = Window(10, 100)
    for now in [105, 105, 3, -1e9, 105]:
        add(window, "calls", now)
    assert window.calls == 5
    window.roll(115)
    assert window.calls == 0


@pytest.mark.parametrize("seconds", [5e-324, 1e-300, 1e-13])
def test_a_window_too_short_for_the_clock_holds_what_came_last(seconds: float) -> None:
    window = Window(seconds, 1e5)
    for _ in range(3):
        add(window, "calls", 1e5)
    assert window.calls == 1


def test_a_window_without_end_keeps_everything() -> None:
    window = Window(1.7e308, 0)
    for now in [0, 1e10, 1e300]:
        add(window, "calls", now)
    assert window.calls == 3
    assert math.isfinite(window.edge)
