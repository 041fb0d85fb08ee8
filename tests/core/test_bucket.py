"""The bucket: never more than its limit in any window, and no less than it promises."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor._core.bucket import EXACT, LATE, Bucket
from supervisor._spec.calls import Limit

GAPS = st.one_of(st.just(0.0), st.floats(0, 0.01), st.floats(0, 3))


def most_in_a_window(grants: list[tuple[float, int]], per: float) -> int:
    """The largest sum of costs of one half-open window of so many seconds."""
    moments = [at for at, _ in grants]
    sums = list(accumulate((cost for _, cost in grants), initial=0))
    ends = [bisect_left(moments, at + per) for at in moments]
    return max((sums[end] - sums[start] for start, end in enumerate(ends)), default=0)


@st.composite
def limits(draw: st.DrawFn) -> Limit:
    n = draw(st.integers(1, 40))
    per = draw(st.sampled_from([0.2, 1.0, 7.0, 60.0]))
    return Limit(n, per=per, burst=draw(st.integers(1, n)))


class TestWindow:
    @given(limit=limits(), steps=st.lists(st.tuples(GAPS, st.integers(1, 40), st.booleans())))
    def test_no_window_holds_more_than_its_limit(
        self, limit: Limit, steps: list[tuple[float, int, bool]]
    ) -> None:
        now, bucket = 1e5, Bucket(limit, 1e5)
        grants: list[tuple[float, int]] = []
        for gap, cost, lenient in steps:
            now += gap
            bucket.lenient(lenient, now)
            while bucket.take(min(cost, limit.burst), now):
                grants.append((now, min(cost, limit.burst)))
        assert most_in_a_window(grants, limit.per) <= limit.n

    @given(limit=limits(), steps=st.lists(st.tuples(GAPS, st.integers(1, 9), st.floats(0, 1))))
    def test_permits_given_back_are_granted_again_and_no_more(
        self, limit: Limit, steps: list[tuple[float, int, float]]
    ) -> None:
        now, bucket = 0.0, Bucket(limit, 0.0)
        grants: list[tuple[float, int]] = []
        for gap, cost, place in steps:
            now += gap
            if bucket.take(min(cost, limit.burst), now):
                grants.append((now, min(cost, limit.burst)))
            elif grants:
                granted_at, back = grants.pop(int(place * (len(grants) - 1)))
                before = bucket.available(now)
                bucket.give_back(back, granted_at, now)
                assert bucket.available(now) <= min(before + back, limit.burst)
            assert most_in_a_window(grants, limit.per) <= limit.n

    @given(limit=limits(), costs=st.lists(st.integers(1, 9), min_size=1))
    def test_the_moment_that_it_names_is_the_first_at_which_it_grants(
        self, limit: Limit, costs: list[int]
    ) -> None:
        now, bucket = 12345.6, Bucket(limit, 12345.6)
        for cost in (min(cost, limit.burst) for cost in costs):
            at = bucket.when(cost, now)
            assert at >= now
            if at - 1e-6 > now:
                assert not bucket.take(cost, at - 1e-6)
            assert bucket.take(cost, at)
            now = at

    @given(limit=limits(), after=st.integers(0, 200), amount=st.integers(1, 200))
    def test_the_moment_of_the_last_of_many_is_exact_where_each_costs_one(
        self, limit: Limit, after: int, amount: int
    ) -> None:
        now, bucket = 0.0, Bucket(limit, 0.0)
        for _ in range(after):
            now = bucket.when(1, now)
            assert bucket.take(1, now)
        named = bucket.due(amount, now)
        for _ in range(amount):
            now = bucket.when(1, now)
            assert bucket.take(1, now)
        assert now == pytest.approx(named)

    def test_the_whole_rate_is_used_while_somebody_always_takes(self) -> None:
        limit = Limit(50, per=1, burst=5)
        now, bucket = 0.0, Bucket(limit, 0.0)
        for _ in range(1000):
            now = bucket.when(1, now)
            assert bucket.take(1, now)
        assert now == pytest.approx(1000 / 50, rel=0.06)

    def test_a_late_timer_is_made_good_while_somebody_waits(self) -> None:
        limit = Limit(1000, per=1, burst=1)
        now, bucket = 0.0, Bucket(limit, 0.0)
        bucket.lenient(True, now)
        granted = 0
        while now < 10:
            now += 0.0017
            while bucket.take(1, now):
                granted += 1
        assert granted >= 0.99 * 10 * 1000

    def test_what_was_made_good_is_gone_once_nobody_waits(self) -> None:
        bucket = Bucket(Limit(1000, per=1, burst=1), 0.0)
        bucket.lenient(True, 0.0)
        assert bucket.available(10.0) == 1 + 1000 * LATE
        bucket.lenient(False, 10.0)
        assert bucket.available(10.0) == 1

    def test_a_large_window_is_kept_in_few_entries_and_lets_nothing_more_through(self) -> None:
        n = 250 * EXACT
        limit = Limit(n, per=100, burst=n // 10)
        now, bucket = 0.0, Bucket(limit, 0.0)
        grants: list[tuple[float, int]] = []
        while now < 250:
            now += 0.083
            for cost in (n // 100, 997, 1):
                while bucket.take(cost, now):
                    grants.append((now, cost))
        assert most_in_a_window(grants, limit.per) <= n
        assert sum(cost for _, cost in grants) >= 2.45 * n
        assert bucket.ring is not None
        assert len(bucket.ring.times) <= EXACT + 1

    def test_permits_of_a_large_window_that_come_back_at_once_are_there_again(self) -> None:
        bucket = Bucket(Limit(10 * EXACT, per=1000), 0.0)
        assert bucket.take(10 * EXACT - 3, 0.0)
        for now in range(1, 20):
            assert bucket.take(3, float(now))
            bucket.give_back(3, float(now), float(now))
        assert bucket.in_window(20.0) == 10 * EXACT - 3

    def test_all_of_a_large_window_can_be_had_at_once_after_a_rest(self) -> None:
        limit = Limit(EXACT + 1, per=1)
        bucket = Bucket(limit, 0.0)
        assert bucket.take(1, 0.0)
        assert bucket.take(EXACT + 1, 50.0)


class TestSmooth:
    @given(
        rate=st.floats(0.02, 1000),
        burst=st.integers(1, 20),
        steps=st.lists(st.tuples(GAPS, st.integers(1, 20), st.floats(0, 1))),
    )
    def test_every_window_holds_at_most_the_burst_and_its_refill(
        self, rate: float, burst: int, steps: list[tuple[float, int, float]]
    ) -> None:
        now, bucket = 0.0, Bucket(Limit.smooth(rate, burst=burst), 0.0)
        grants: list[tuple[float, int]] = []
        for gap, cost, place in steps:
            now += gap
            bucket.lenient(place > 0.5, now)
            if bucket.take(min(cost, burst), now):
                grants.append((now, min(cost, burst)))
            elif grants:
                granted_at, back = grants.pop(int(place * (len(grants) - 1)))
                bucket.give_back(back, granted_at, now)
        for first, (start, _) in enumerate(grants):
            total = 0
            for end, taken in grants[first:]:
                total += taken
                assert total <= burst + rate * (end - start) + 1e-6

    def test_a_permit_given_back_late_does_not_bring_its_refill_twice(self) -> None:
        bucket = Bucket(Limit.smooth(10, burst=10), 0.0)
        assert bucket.take(1, 0.0)
        assert bucket.take(10, 0.1)
        bucket.give_back(1, 0.0, 0.1)
        assert not bucket.take(1, 0.1)

    def test_nor_a_part_of_it(self) -> None:
        bucket = Bucket(Limit.smooth(10, burst=10), 0.0)
        assert bucket.take(2, 0.0)
        assert bucket.take(9, 0.1)
        bucket.give_back(2, 0.0, 0.1)
        assert bucket.available(0.1) == pytest.approx(1)


class TestChanges:
    def test_what_was_refilled_before_a_change_was_refilled_at_the_old_rate(self) -> None:
        bucket = Bucket(Limit.smooth(10, burst=100), 0.0, full=False)
        bucket.set_rate(1, 2.0)
        assert bucket.available(2.0) == 20
        assert bucket.available(5.0) == 23

    def test_a_rate_of_nothing_is_a_pause(self) -> None:
        bucket = Bucket(Limit(10, per=1), 0.0, full=False)
        bucket.set_rate(0.0, 0.0)
        assert bucket.when(1, 1.0) == math.inf
        assert not bucket.take(1, 1e9)
        bucket.set_rate(5.0, 1e9)
        assert bucket.when(1, 1e9) == pytest.approx(1e9 + 0.2)

    @given(
        limits=st.lists(limits(), min_size=2, max_size=4),
        steps=st.lists(st.tuples(GAPS, st.integers(0, 3)), max_size=60),
    )
    def test_grants_count_on_after_a_change_of_the_limit(
        self, limits: list[Limit], steps: list[tuple[float, int]]
    ) -> None:
        now, limit = 0.0, limits[0]
        bucket = Bucket(limit, now)
        shortest = limit.per
        grants: list[tuple[float, int]] = []
        for gap, which in steps:
            now += gap
            if which < len(limits):
                limit = limits[which]
                bucket.set_limit(limit, now)
                shortest = min(shortest, limit.per)
            while bucket.take(1, now):
                grants.append((now, 1))
                held = sum(cost for at, cost in grants if at + shortest > now)
                assert held <= limit.n

    def test_the_time_that_steps_back_refills_nothing(self) -> None:
        bucket = Bucket(Limit.smooth(1, burst=1), 100.0)
        assert bucket.take(1, 100.0)
        assert not bucket.take(1, 50.0)
        assert not bucket.take(1, 100.9)
        assert bucket.take(1, 101.0)

    @given(start=st.floats(0, 1e9), rate=st.floats(0.01, 1e6), burst=st.integers(1, 5))
    def test_the_moment_that_it_names_is_never_too_early_whatever_the_clock_shows(
        self, start: float, rate: float, burst: int
    ) -> None:
        now, bucket = start, Bucket(Limit.smooth(rate, burst=burst), start)
        for _ in range(20):
            now = bucket.when(burst, now)
            assert bucket.take(burst, now)
