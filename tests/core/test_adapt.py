"""The learned rate against a service whose limit it is not told, in virtual time."""

from __future__ import annotations

import math
import random
from heapq import heappop, heappush
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor._core.adapt import BETA, AdaptiveRate, Gate
from supervisor._core.permits import BudgetState
from supervisor._core.waiting import Request
from supervisor._spec.calls import Adapt, Budget, Limit

Retry = Literal["none", "fraction", "whole"]


class Service:
    """A token bucket that answers "too many", and when to come again."""

    def __init__(self, rate: float, burst: float, retry: Retry) -> None:
        self.rate, self.burst, self.retry = rate, burst, retry
        self.tokens, self.stamp = burst, 0.0

    def change(self, rate: float, now: float) -> None:
        self._settle(now)
        self.rate = rate

    def call(self, now: float) -> tuple[bool, float | None]:
        self._settle(now)
        if self.tokens >= 1:
            self.tokens -= 1
            return True, None
        wait = (1 - self.tokens) / self.rate
        return False, {"none": None, "fraction": wait, "whole": math.ceil(wait)}[self.retry]

    def _settle(self, now: float) -> None:
        self.tokens = min(self.burst, self.tokens + (now - self.stamp) * self.rate)
        self.stamp = now


class Play:
    """Somebody always waits for a permit, calls the service with it and reports the answer."""

    def __init__(
        self,
        budget: Budget,
        service: Service,
        delay: float,
        *,
        jitter: float = 0.0,
        late: float = 0.0,
    ) -> None:
        self.now = 0.0
        self.state = BudgetState("api", budget, 0.0)
        self.service, self.delay, self.jitter, self.late = service, delay, jitter, late
        self.chance = random.Random(7)
        self.under_way: list[tuple[float, int, float, Any]] = []
        self.calls: list[tuple[float, bool]] = []
        self.number = 0
        self.idle = False
        for _ in range(500):
            self.ask()

    def ask(self) -> None:
        self.state.ask(Request(1, 1, self.now), self.now)

    def until(self, end: float) -> None:
        state = self.state
        while True:
            look = state.next_at(self.now)
            look = (
                max(look, self.now + self.late * self.chance.random()) if look > self.now else look
            )
            at = min(look, self.under_way[0][0] if self.under_way else math.inf)
            if at > end:
                break
            self.now = max(self.now, at)
            while self.under_way and self.under_way[0][0] <= self.now:
                _, _, granted_at, answer = heappop(self.under_way)
                self.arrives(granted_at) if answer is None else self.returns(granted_at, *answer)
            for _ in state.grants(self.now):
                self.sends(self.now, None, 1 + self.jitter * self.chance.uniform(-1, 1))
                if not self.idle:
                    self.ask()
        self.now = end

    def sends(self, granted_at: float, answer: Any, share: float = 1.0) -> None:
        self.number += 1
        when = self.now + self.delay / 2 * share
        heappush(self.under_way, (when, self.number, granted_at, answer))

    def arrives(self, granted_at: float) -> None:
        answer = self.service.call(self.now)
        self.calls.append((self.now, answer[0]))
        self.sends(granted_at, answer)

    def returns(self, granted_at: float, accepted: bool, retry_after: float | None) -> None:
        if accepted:
            self.state.answered(granted_at, self.now)
        else:
            self.state.throttled(granted_at, retry_after, self.now)

    def used(self, start: float, end: float, limit: float) -> float:
        return sum(ok for at, ok in self.calls if start <= at < end) / ((end - start) * limit)

    def refused(self, start: float, end: float) -> float:
        answers = [ok for at, ok in self.calls if start <= at < end]
        return 1 - sum(answers) / len(answers)


def learning(**adapt: Any) -> Budget:
    return Budget(adapt=Adapt(**adapt), max_waiting=1_000_000)


class TestHiddenLimit:
    @pytest.mark.parametrize(
        ("limit", "delay", "used", "refused"),
        [
            (100, 0.3, 0.93, 0.04),
            (1000, 0.3, 0.93, 0.04),
            (100, 2.0, 0.8, 0.08),
            (1, 0.3, 0.45, 0.08),
        ],
    )
    def test_it_falls_to_a_fifth_and_comes_back(
        self, limit: float, delay: float, used: float, refused: float
    ) -> None:
        service = Service(limit, max(1, limit / 10), "none")
        play = Play(learning(start=limit / 2), service, delay)
        for end, rate in [(60, limit), (120, limit / 5), (180, limit)]:
            service.change(rate, play.now)
            play.until(end)
        accepted = sum(ok for _, ok in play.calls)
        assert accepted / (60 * (limit + limit / 5 + limit)) >= used
        assert play.refused(0, 180) <= refused

    @pytest.mark.parametrize("retry", ["none", "fraction"])
    @pytest.mark.parametrize("delay", [0.005, 0.05, 0.1])
    def test_nine_tenths_are_used_and_hardly_any_refused_also_soon_after_it_was_halved_and_doubled(
        self, retry: Retry, delay: float
    ) -> None:
        service = Service(100, 10, retry)
        play = Play(learning(start=10), service, delay, jitter=0.5, late=0.002)
        play.until(60)
        assert play.used(20, 60, 100) >= (0.985 if delay <= 0.05 else 0.93)
        assert play.refused(20, 60) <= 0.02
        service.change(50, 60)
        play.until(80)
        assert play.used(70, 80, 50) >= 0.9
        assert play.refused(70, 80) <= 0.03
        service.change(100, 80)
        play.until(120)
        for start in (90, 100, 110):
            assert play.used(start, start + 10, 100) >= 0.9
            assert play.refused(start, start + 10) <= 0.03

    def test_a_service_that_asks_for_whole_seconds_is_seldom_provoked(self) -> None:
        play = Play(learning(start=10), Service(100, 10, "whole"), 0.05, jitter=0.5)
        play.until(180)
        assert play.used(60, 180, 100) >= 0.9
        assert play.refused(60, 180) <= 0.002

    def test_it_comes_back_from_a_fall_although_refusals_are_dear(self) -> None:
        service = Service(100, 10, "whole")
        play = Play(learning(start=10), service, 0.05, jitter=0.5)
        play.until(80)
        service.change(50, 80)
        play.until(100)
        service.change(100, 100)
        play.until(130)
        assert play.used(90, 100, 50) >= 0.75
        assert play.used(110, 130, 100) >= 0.75

    @pytest.mark.parametrize("limit", [5, 20, 100, 1000])
    def test_it_behaves_alike_at_any_rate(self, limit: float) -> None:
        play = Play(learning(start=limit / 4), Service(limit, max(3, limit / 10), "none"), 0.05)
        play.until(120)
        assert play.used(40, 120, limit) >= 0.9
        assert play.refused(40, 120) <= 0.045


class TestAnswers:
    def rate(self, **adapt: Any) -> AdaptiveRate:
        rate = AdaptiveRate(Adapt(**adapt), math.inf, 0.0)
        self.now = 0.0
        return rate

    def accept(self, rate: AdaptiveRate, seconds: float, each: float = 0.01) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += each
            rate.answered(self.now - 0.2, self.now)
            rate.at(self.now)

    def test_the_refusals_of_one_flight_are_one_cut(self) -> None:
        rate = self.rate(start=100)
        self.accept(rate, 2)
        before = rate.at(self.now)
        assert rate.throttled(self.now - 0.2, 0.0, self.now)
        after = rate.rate
        assert after < before
        for late in range(20):
            assert not rate.throttled(self.now - 0.2 + late / 100, 0.0, self.now + late / 100)
        assert rate.rate == after
        self.accept(rate, 0.5)
        assert rate.throttled(self.now - 0.01, 0.0, self.now)

    def test_no_run_of_refusals_brings_it_below_the_least(self) -> None:
        rate = self.rate(start=100, least=0.5)
        for second in range(1, 100):
            rate.throttled(second - 0.01, 0.0, float(second))
            assert rate.at(float(second)) >= 0.5
        assert rate.rate == 0.5

    def test_nothing_brings_it_above_the_most(self) -> None:
        rate = self.rate(start=10, most=40)
        self.accept(rate, 60)
        assert rate.at(self.now) == 40

    def test_who_does_not_use_the_rate_does_not_learn_that_there_is_more(self) -> None:
        rate = self.rate(start=100)
        self.accept(rate, 60, each=0.1)
        assert rate.at(self.now) == 100

    def test_after_an_idle_hour_nobody_rushes_in(self) -> None:
        play = Play(learning(start=50), Service(100, 10, "none"), 0.05, jitter=0.3)
        play.until(30)
        play.idle = True
        play.until(60)
        before = play.state.adaptive.rate if play.state.adaptive else 0
        play.until(3660)
        play.idle = False
        for _ in range(500):
            play.ask()
        play.until(3670)
        assert before == pytest.approx(100, rel=0.35)
        assert play.refused(3660, 3662) <= 0.01
        assert play.used(3660, 3670, 100) >= 0.95

    def test_a_cut_leaves_four_fifths_of_what_was_accepted(self) -> None:
        rate = self.rate(start=100, most=100)
        self.accept(rate, 10)
        rate.throttled(self.now - 0.01, 0.0, self.now)
        assert rate.rate == pytest.approx(BETA * 100, rel=0.05)

    @settings(deadline=None)
    @given(
        steps=st.lists(
            st.tuples(
                st.floats(0, 100),
                st.sampled_from(["answered", "throttled", "look"]),
                st.floats(0, 50),
                st.floats(0, 100),
            )
        ),
        start=st.floats(0.01, 1e5),
        most=st.floats(0.1, 1e6),
    )
    def test_whatever_is_answered_the_rate_is_between_the_least_and_the_most(
        self, steps: list[tuple[float, str, float, float]], start: float, most: float
    ) -> None:
        adapt = Adapt(start=start, most=most, least=0.05)
        rate, now = AdaptiveRate(adapt, math.inf, 0.0), 0.0
        for gap, what, ago, rest in steps:
            now += gap
            if what == "answered":
                rate.answered(now - ago, now)
            elif what == "throttled":
                rate.throttled(now - ago, rest, now)
                rate.rest(now + rest)
            assert 0.01 <= rate.at(now) <= max(most, 0.05)
            assert rate.next_step(now) > now


class TestUnderALimit:
    def test_it_starts_at_the_limit_and_never_passes_it(self) -> None:
        budget = Budget(Limit(50, per=1, burst=5), adapt=Adapt(), max_waiting=1000)
        play = Play(budget, Service(1000, 100, "none"), 0.05)
        play.until(20)
        assert play.used(1, 20, 50) == pytest.approx(1, abs=0.02)

    def test_it_learns_that_the_service_allows_less(self) -> None:
        budget = Budget(Limit(50, per=1, burst=5), adapt=Adapt(), max_waiting=1000)
        play = Play(budget, Service(20, 5, "none"), 0.05)
        play.until(60)
        assert play.used(20, 60, 20) >= 0.9
        assert play.refused(20, 60) <= 0.04


class TestDeclared:
    @pytest.mark.parametrize("retry", ["none", "fraction", "whole"])
    def test_who_knows_the_limit_is_hardly_ever_refused(self, retry: Retry) -> None:
        budget = Budget(Limit(10, per=1, burst=2), max_waiting=1000)
        play = Play(budget, Service(10, 10, retry), 0.05, jitter=0.5, late=0.002)
        play.until(60)
        assert play.used(5, 60, 10) >= 0.9
        assert play.refused(0, 60) <= 0.01


class TestGate:
    @pytest.mark.parametrize(
        ("rests", "ramp"), [([0.1], 0), ([1], 0), ([3], 1), ([60], 5), ([1, 2, 3], 1)]
    )
    def test_the_ramp_is_half_as_long_as_the_rest_less_a_second(
        self, rests: list[float], ramp: float
    ) -> None:
        gate = Gate(5.0)
        for rest in rests:
            gate.shut(10 + rest, 10.0)
        assert gate.end - gate.not_before == ramp

    @given(shuts=st.lists(st.tuples(st.floats(0, 5), st.floats(-5, 90)), max_size=10))
    def test_it_never_opens_earlier_and_comes_to_rest(
        self, shuts: list[tuple[float, float]]
    ) -> None:
        gate, now, latest = Gate(5.0), 0.0, -math.inf
        for gap, seconds in shuts:
            now += gap
            gate.shut(now + seconds, now)
            latest = max(latest, now + seconds if now + seconds > now else -math.inf)
            assert gate.not_before == latest
            assert latest <= gate.end <= latest + 5
            assert 0.1 <= gate.share(now) <= 1
        while (step := gate.next_step(now)) < math.inf:
            assert step > now
            assert gate.share(step) >= gate.share(now)
            now = step
        assert gate.share(now) == 1
