"""One budget: laws 10 and 11, and what becomes of every request, whatever happens meanwhile."""

from __future__ import annotations

import gc
import math
import time
import tracemalloc
from bisect import bisect_left
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from supervisor._core.figures import figures, status
from supervisor._core.permits import BudgetState
from supervisor._core.waiting import RANKS, WAITING, Request
from supervisor._errors import BrokerClosed, CostTooHigh, PermitRefused
from supervisor._spec.calls import Adapt, Budget, Limit, Weights

LOW, MEDIUM, HIGH, CRITICAL = range(4)
RANK = st.integers(LOW, CRITICAL)
START = 1000.0


def most_in_a_window(grants: list[tuple[float, int]], per: float) -> int:
    """The largest sum of costs of one half-open window of so many seconds."""
    grants = sorted(grants)
    moments = [at for at, _ in grants]
    sums = list(accumulate((cost for _, cost in grants), initial=0))
    ends = [bisect_left(moments, at + per) for at in moments]
    return max((sums[end] - sums[start] for start, end in enumerate(ends)), default=0)


class Stage:
    """A budget, its clock, and a note of everybody who asked."""

    def __init__(self, budget: Budget | Limit) -> None:
        if isinstance(budget, Limit):
            budget = Budget(budget)
        self.now = START
        self.state = BudgetState("api", budget, self.now)
        self.asked: list[Request] = []
        self.granted: list[Request] = []
        self.inline: list[tuple[float, int]] = []

    def take(self, cost: int = 1) -> bool:
        taken = self.state.take(cost, self.now)
        if taken:
            self.inline.append((self.now, cost))
        return taken

    def ask(self, rank: int = MEDIUM, cost: int = 1, within: float = math.inf) -> Request:
        request = Request(rank, cost, self.now, self.now + within)
        self.state.ask(request, self.now)
        self.state.arrive(request, self.now)
        self.asked.append(request)
        return request

    def grants(self) -> list[Request]:
        granted = self.state.grants(self.now)
        self.granted += granted
        return granted

    def run(self, seconds: float = math.inf, late: float = 0.0, most: int = 10**9) -> None:
        """Play the broker for so long, or until nobody waits."""
        end = self.now + seconds
        for _ in range(most):
            at = self.state.next_at(self.now)
            if at > end or at == math.inf:
                break
            self.now = max(self.now, at) + late
            self.grants()
        if end < math.inf:
            self.now = max(self.now, end)

    def used(self) -> list[tuple[float, int]]:
        """What was granted and not given back."""
        waited = [(one.granted_at, one.cost) for one in self.granted if one.state == "granted"]
        return sorted(self.inline + waited)


class Budgets(RuleBasedStateMachine):
    """Arrivals, abandonments, give-backs, changes, pauses, crashes and late timers, in any order."""

    @initialize(
        n=st.integers(2, 20), per=st.sampled_from([0.5, 1.0, 10.0]), burst=st.integers(1, 20)
    )
    def begin(self, n: int, per: float, burst: int) -> None:
        self.limit = Limit(n, per=per, burst=min(n, burst))
        self.stage = Stage(Budget(self.limit, max_waiting=12))
        self.state = self.stage.state
        self.on_their_way: list[Request] = []
        self.waiting: list[Request] = []
        self.ended: dict[int, str] = {}
        self.numbers: set[int] = set()
        self.taken: list[tuple[float, int]] = []
        self.changed_at = -math.inf

    @rule(seconds=st.one_of(st.just(0.0), st.floats(0, 0.001), st.floats(0, 0.2), st.floats(0, 20)))
    def time_passes(self, seconds: float) -> None:
        self.stage.now += seconds

    @rule(cost=st.one_of(st.just(1), st.integers(1, 20)))
    def somebody_wants_it_now(self, cost: int) -> None:
        cost = min(cost, self.limit.burst)
        busy = bool(self.waiting)
        if self.stage.take(cost):
            assert not busy, "it passed those who wait"
            assert not self.state.paused
            self.taken.append((self.stage.now, cost))
            self.the_window_that_ends_now_is_within_the_limit()

    @rule(rank=RANK, cost=st.integers(1, 20))
    def somebody_asks(self, rank: int, cost: int) -> None:
        stage = self.stage
        request = Request(rank, min(cost, self.limit.burst), stage.now)
        try:
            shed = self.state.ask(request, stage.now)
        except PermitRefused:
            assert len(self.waiting) >= 12
            assert all(other.rank >= rank for other in self.waiting)
            return
        if shed is not None:
            assert shed.rank == min(other.rank for other in self.waiting) < rank
            same = [other for other in self.waiting if other.rank == shed.rank]
            assert shed is same[-1]
            self.end(shed, "shed")
        self.waiting.append(request)
        self.on_their_way.append(request)

    @rule()
    def the_broker_hears_of_them(self) -> None:
        for request in self.on_their_way:
            self.state.arrive(request, self.stage.now)
        self.on_their_way.clear()

    @rule(most=st.integers(1, 128))
    def the_broker_looks(self, most: int) -> None:
        stage = self.stage
        before = [
            list(filter(lambda one, r=rank: one.rank == r, self.waiting)) for rank in range(4)
        ]  # type: ignore[misc]
        granted = stage.state.grants(stage.now, most)
        stage.granted += granted
        assert len(granted) <= most
        assert not (granted and self.state.paused)
        for request in granted:
            assert request is before[request.rank].pop(0), "not the oldest of its class"
            assert request.grant_no not in self.numbers, "granted twice"
            assert request.granted_at == stage.now
            self.numbers.add(request.grant_no)
            self.end(request, "granted")
        if granted:
            self.the_window_that_ends_now_is_within_the_limit()

    @precondition(lambda self: self.waiting and not self.state.paused)
    @rule(late=st.sampled_from([0.0, 0.0, 0.001, 0.049, 3.0]))
    def the_broker_wakes_when_it_said(self, late: float) -> None:
        at = self.state.next_at(self.stage.now)
        assert at < math.inf, "nobody would ever be granted"
        self.stage.now = max(self.stage.now, at) + late
        before = len(self.stage.granted)
        self.the_broker_looks(128)
        assert len(self.stage.granted) > before

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def who_waits_is_cancelled(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.waiting))
        assert not self.state.abandon(request, self.stage.now)
        self.end(request, "abandoned")

    @precondition(lambda self: self.stage.granted)
    @rule(data=st.data())
    def who_was_granted_is_cancelled(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.stage.granted))
        was = request.state
        before = self.state.bucket.available(self.stage.now)
        assert self.state.abandon(request, self.stage.now) == (was == "granted")
        if was != "granted":
            assert self.state.bucket.available(self.stage.now) == before, "given back twice"

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def a_permit_comes_back(self, data: st.DataObject) -> None:
        permit = data.draw(st.sampled_from(self.taken))
        self.taken.remove(permit)
        at, cost = permit
        before, held = self.available(), self.held()
        self.state.give_back(cost, at, self.stage.now)
        if at >= self.changed_at:
            self.stage.inline.remove(permit)
            assert self.available() <= min(before + cost, self.state.bucket.cap)
            assert self.held() <= held
            if at == self.stage.now:
                assert self.held() == held - cost
                room = max(0, self.limit.n - self.held())  # it was lowered in this moment, perhaps
                there = min(before + cost, self.state.bucket.cap, room)
                assert self.available() == pytest.approx(there)

    @rule(n=st.integers(2, 20), burst=st.integers(1, 20))
    def the_limit_changes(self, n: int, burst: int) -> None:
        self.limit = Limit(n, per=self.limit.per, burst=min(n, burst))
        stage = self.stage
        self.changed_at = stage.now
        for request in self.state.configure(Budget(self.limit, max_waiting=12), stage.now):
            assert request.cost > self.limit.burst
            self.end(request, "shed")

    @rule()
    def the_operator_pauses(self) -> None:
        self.state.pause()

    @rule()
    def the_operator_resumes(self) -> None:
        self.state.resume(self.stage.now)

    @rule()
    def the_broker_crashes_with_what_it_had_read(self) -> None:
        self.on_their_way.clear()
        assert self.state.adopt(self.stage.now) == []

    def available(self) -> float:
        self.state._account()
        return self.state.bucket.available(self.stage.now)

    def held(self) -> int:
        self.state._account()
        return self.state.bucket.in_window(self.stage.now)

    def end(self, request: Request, how: str) -> None:
        assert request.state == how
        self.waiting.remove(request)

    def the_window_that_ends_now_is_within_the_limit(self) -> None:
        """Called at each grant, so that each window is judged by the limit at its last grant."""
        per, now = self.limit.per, self.stage.now
        assert sum(cost for at, cost in self.stage.used() if at + per > now) <= self.limit.n

    @invariant()
    def who_waits_waits(self) -> None:
        if not hasattr(self, "stage"):
            return
        assert self.state.waiting.live == len(self.waiting)
        assert all(request.state in WAITING for request in self.waiting)
        assert [one.cost for one in self.state.waiting.lines] == [
            sum(request.cost for request in self.waiting if request.rank == rank)
            for rank in range(4)
        ]

    def teardown(self) -> None:
        if not hasattr(self, "stage"):
            return
        self.state.resume(self.stage.now)
        for _ in range(300):
            if not self.waiting:
                break
            self.the_broker_wakes_when_it_said(0.0)
        assert not self.waiting, "somebody waits for ever"


TestAnyOrder = Budgets.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


class TestAtOnce:
    @settings(deadline=None)
    @given(
        n=st.integers(1, 40),
        burst=st.integers(1, 40),
        gaps=st.lists(st.one_of(st.floats(0, 0.0004), st.floats(0, 0.05)), max_size=200),
    )
    def test_those_who_take_many_within_a_moment_get_no_more_than_the_limit(
        self, n: int, burst: int, gaps: list[float]
    ) -> None:
        stage = Stage(Limit(n, per=0.5, burst=min(n, burst)))
        for gap in gaps:
            stage.now += gap
            stage.take()
        assert most_in_a_window(stage.inline, 0.5) <= n
        stage.now += 1
        assert figures(stage.state, stage.now)[0].granted == len(stage.inline)
        assert all(stage.take() for _ in range(min(n, burst)))
        assert not stage.take()

    def test_one_of_them_that_comes_back_is_there_again(self) -> None:
        stage = Stage(Limit(5, per=1000))
        for _ in range(5):
            stage.now += 0.0001
            assert stage.take()
        stage.state.give_back(1, START + 0.0002, stage.now)
        assert stage.take()
        assert not stage.take()


class TestShares:
    @settings(deadline=None)
    @given(
        weights=st.lists(st.floats(0.5, 30), min_size=4, max_size=4),
        busy=st.sets(RANK, min_size=1),
        dearest=st.integers(1, 6),
        seed=st.randoms(use_true_random=False),
        cancelled=st.booleans(),
    )
    def test_each_busy_class_gets_its_stated_share_at_any_moment(
        self, weights: list[float], busy: set[int], dearest: int, seed: Any, cancelled: bool
    ) -> None:
        low, medium, high, critical = weights
        budget = Budget(
            Limit(1000, per=1, burst=dearest),
            weights=Weights(low=low, medium=medium, high=high, critical=critical),
        )
        stage = Stage(budget)
        stage.take(cost=dearest)
        stage.ask(next(iter(busy)))
        for rank in busy:
            for _ in range(3):
                stage.ask(rank, seed.randint(1, dearest))
        stage.run(most=1)
        served = dict.fromkeys(range(4), 0)
        for _ in range(300):
            stage.now = stage.state.next_at(stage.now)
            for request in stage.grants():
                served[request.rank] += request.cost
                stage.ask(request.rank, seed.randint(1, dearest))
                if cancelled and seed.random() < 0.3:
                    stage.state.abandon(stage.ask(request.rank, dearest), stage.now)
            total = sum(served.values())
            for rank in busy:
                owed = total * stage.state.share(rank)
                assert served[rank] >= owed - dearest * (
                    2 + len(busy) * weights[rank] / min(weights)
                )
        for rank in set(range(4)) - busy:
            assert served[rank] == 0

    def test_the_stated_shares_are_the_weights_by_their_sum(self) -> None:
        state = Stage(Limit(1, per=1)).state
        assert [state.share(rank) for rank in range(4)] == [0.025, 0.075, 0.225, 0.675]

    def test_shares_with_each_class_always_asking(self) -> None:
        stage = Stage(Limit(100, per=1, burst=1))
        for rank in range(4):
            for _ in range(1400):
                stage.ask(rank)
        stage.run(20)
        counts = [sum(one.rank == rank for one in stage.granted) for rank in range(4)]
        assert counts == pytest.approx([50, 150, 450, 1350], abs=3)

    def test_idleness_brings_no_credit(self) -> None:
        stage = Stage(Limit(100, per=1, burst=1))
        for _ in range(5000):
            stage.ask(LOW)
        stage.run(30)
        for _ in range(500):
            stage.ask(MEDIUM)
        before = len(stage.granted)
        stage.run(4)
        newest = stage.granted[before:]
        assert sum(one.rank == LOW for one in newest) == pytest.approx(100, abs=3)

    def test_once_nobody_waits_all_begin_anew(self) -> None:
        stage = Stage(Limit(10, per=1, burst=1))
        stage.take()
        for _ in range(20):
            stage.ask(CRITICAL)
        stage.run()
        stage.now += 1
        stage.take()
        assert stage.state.waiting.before(CRITICAL, 1) == 1
        assert [(line.start, stage.state.waiting.time) for line in stage.state.waiting.lines] == [
            (0.0, 0.0)
        ] * 4

    def test_a_dear_request_is_not_passed_by_cheap_ones_for_ever(self) -> None:
        stage = Stage(Limit(100, per=1))
        stage.take(cost=100)
        dear = stage.ask(MEDIUM, 100)
        for _ in range(1000):
            stage.ask(MEDIUM)
        stage.run(1.01)
        assert dear.state == "granted"
        assert dear.granted_at == START + 1

    def test_who_comes_later_and_is_first_is_served_before_the_dear_one_at_the_head(self) -> None:
        stage = Stage(Limit(100, per=1, burst=100))
        stage.take(cost=99)
        dear = stage.ask(LOW, 100)
        first = stage.ask(CRITICAL)
        stage.run(10)
        assert first.granted_at == START
        assert dear.granted_at > START

    def test_of_equal_turns_the_higher_class_is_first(self) -> None:
        weights = Weights(low=1, medium=1, high=1, critical=1)
        stage = Stage(Budget(Limit(10, per=1, burst=1), weights=weights))
        stage.take()
        for rank in range(4):
            stage.ask(rank)
        stage.run()
        assert [one.rank for one in stage.granted] == [CRITICAL, HIGH, MEDIUM, LOW]


class TestDeadlines:
    @settings(deadline=None)
    @given(
        n=st.integers(1, 30),
        burst=st.integers(1, 30),
        queue=st.lists(st.tuples(RANK, st.integers(1, 5)), max_size=30),
        asker=st.tuples(RANK, st.integers(1, 5)),
        before=st.integers(0, 60),
        dear=st.booleans(),
        smooth=st.booleans(),
        gate=st.floats(0, 4),
    )
    def test_the_estimate_is_an_upper_bound_while_no_other_class_becomes_busy(
        self,
        n: int,
        burst: int,
        queue: list[tuple[int, int]],
        asker: tuple[int, int],
        before: int,
        dear: bool,
        smooth: bool,
        gate: float,
    ) -> None:
        burst = min(n, burst)
        limit = Limit.smooth(n, burst=burst) if smooth else Limit(n, per=1, burst=burst)
        stage = Stage(Budget(limit, ramp=1.0))
        for _ in range(before):
            stage.now = stage.state.bucket.when(1, stage.now)
            stage.take()
        if gate > 1:
            stage.state.shut(stage.now + gate, stage.now)
        for rank, cost in queue:
            stage.ask(rank, min(cost, burst) if dear else 1)
        stage.grants()
        rank, cost = asker[0], min(asker[1], burst) if dear else 1
        most = stage.state.estimate(rank, cost, stage.now)
        busy = [line.rank for line in stage.state.waiting.lines if line.live]
        start, request = stage.now, stage.ask(rank, cost)
        for _ in range(20_000):
            stage.now = stage.state.next_at(stage.now)
            stage.grants()
            if request.state == "granted" or stage.now - start > most:
                break
            for other in busy:  # they go on asking
                stage.ask(other, stage.state.waiting.dearest if dear else 1)
        assert request.state == "granted"
        assert request.granted_at - start <= most + 1e-6

    def test_who_cannot_be_served_in_time_is_refused_and_told_when_to_ask_again(self) -> None:
        stage = Stage(Limit(10, per=1, burst=1))
        stage.take()
        for _ in range(20):
            stage.ask()
        with pytest.raises(PermitRefused, match=r"no permit of 'api': it may take 2.1 s") as caught:
            stage.ask(within=1)
        assert caught.value.retry_at == pytest.approx(START + 1.1)
        assert len(stage.asked) == stage.state.waiting.live == 20
        stage.run(caught.value.retry_at - stage.now + 0.001)
        assert stage.ask(within=1).state == "queued"

    def test_max_wait_is_a_deadline_for_all(self) -> None:
        stage = Stage(Budget(Limit(10, per=1, burst=1), max_wait=0.15))
        stage.take()
        stage.ask()
        with pytest.raises(PermitRefused):
            stage.ask()

    def test_a_pause_is_waited_for_as_nobody_knows_how_long_it_takes(self) -> None:
        stage = Stage(Limit(10, per=1))
        stage.state.pause()
        waiting = stage.ask(within=100)
        stage.run(99)
        assert waiting.state == "queued"
        stage.state.resume(stage.now)
        stage.run(0.001)
        assert waiting.state == "granted"


class TestCrowds:
    def test_the_lowest_class_is_shed_newest_first_and_never_for_its_own_or_a_lower_one(
        self,
    ) -> None:
        stage = Stage(Budget(Limit(1, per=60), max_waiting=4))
        stage.take()
        low = [stage.ask(LOW), stage.ask(LOW)]
        high = [stage.ask(HIGH), stage.ask(HIGH)]
        with pytest.raises(PermitRefused, match="4 wait already"):
            stage.ask(LOW)
        newer = [stage.ask(CRITICAL), stage.ask(MEDIUM)]
        assert [one.state for one in low] == ["shed", "shed"]
        assert {one.state for one in high + newer} == {"queued"}
        assert stage.ask(CRITICAL).state == "queued"
        assert newer[1].state == "shed"
        with pytest.raises(PermitRefused):
            stage.ask(HIGH)
        assert stage.state.waiting.live == 4

    @pytest.mark.parametrize("newest_first", [False, True])
    def test_a_hundred_thousand_waiters_half_of_them_cancelled(self, newest_first: bool) -> None:
        def play(count: int) -> float:
            stage = Stage(Budget(Limit(10_000, per=1), max_waiting=10**6))
            stage.take(cost=10_000)
            begin = time.process_time()
            for index in range(count):
                stage.ask(index % 4)
            half = stage.asked[::2]
            for request in reversed(half) if newest_first else half:
                stage.state.abandon(request, stage.now)
            stage.run()
            took = time.process_time() - begin
            assert [one.state for one in stage.asked] == ["abandoned", "granted"] * (count // 2)
            assert stage.state.waiting.live == 0
            assert not any(line.items for line in stage.state.waiting.lines)
            return took

        small, large = min(play(10_000) for _ in range(3)), play(100_000)
        assert large < 30 * small

    def test_the_memory_of_a_crowd_is_given_back(self) -> None:
        stage = Stage(Budget(Limit(10_000, per=1), max_waiting=10**6))
        tracemalloc.start()
        stage.take(cost=10_000)
        stage.now += 1.5
        stage.take(cost=10_000)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for index in range(100_000):
            request = stage.ask(index % 4)
            if index % 2:
                stage.state.abandon(request, stage.now)
        stage.run()
        del request
        stage.asked.clear()
        stage.granted.clear()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert after - before < 1_000_000

    def test_who_leaves_is_not_kept_until_the_queue_is_empty(self) -> None:
        stage = Stage(Budget(Limit(1, per=60), max_waiting=10**6))
        stage.take()
        stage.ask(HIGH)
        for _ in range(10_000):
            stage.state.abandon(stage.ask(HIGH), stage.now)
        assert len(stage.state.waiting.lines[HIGH].items) < 200


class TestCancelled:
    def test_a_granted_request_gives_its_permit_back_once(self) -> None:
        stage = Stage(Limit(10, per=1))
        stage.take(cost=10)
        request = stage.ask(cost=10)
        stage.run()
        assert request.state == "granted"
        assert stage.state.abandon(request, stage.now)
        assert not stage.state.abandon(request, stage.now)
        assert stage.take(cost=10)
        assert not stage.take()

    def test_it_takes_nothing_with_it_while_it_waits(self) -> None:
        stage = Stage(Limit(10, per=1, burst=1))
        stage.take()
        gone, stays = stage.ask(), stage.ask()
        assert not stage.state.abandon(gone, stage.now)
        stage.run()
        assert stays.granted_at == pytest.approx(START + 0.1)

    def test_a_permit_of_an_earlier_configuration_is_not_given_back(self) -> None:
        stage = Stage(Limit(10, per=1))
        stage.take(cost=10)
        stage.now += 0.001
        stage.state.configure(Budget(Limit(10, per=1)), stage.now)
        stage.state.give_back(10, START, stage.now)
        assert not stage.take()


class TestChanges:
    def test_a_higher_limit_reaches_who_waits_at_once(self) -> None:
        stage = Stage(Limit(1, per=60))
        stage.take()
        request = stage.ask()
        stage.now += 1
        stage.state.configure(Budget(Limit(100, per=1)), stage.now)
        stage.run(0.1)
        assert request.state == "granted"

    def test_who_asks_for_more_than_the_new_burst_is_shed(self) -> None:
        stage = Stage(Limit(10, per=1))
        stage.take(cost=10)
        dear, cheap = stage.ask(cost=10), stage.ask(cost=2)
        assert stage.state.configure(Budget(Limit(5, per=1)), stage.now) == [dear]
        assert dear.state == "shed"
        stage.run(5)
        assert cheap.state == "granted"

    def test_a_pause_grants_nothing_and_ends(self) -> None:
        stage = Stage(Limit(10, per=1))
        stage.state.pause()
        assert not stage.take()
        request = stage.ask()
        assert stage.grants() == []
        assert stage.state.next_at(stage.now) == math.inf
        stage.state.resume(stage.now)
        assert stage.grants() == [request]
        assert stage.take()

    def test_closing_names_all_who_wait_the_highest_class_first(self) -> None:
        stage = Stage(Limit(1, per=60))
        stage.take()
        requests = [stage.ask(rank) for rank in (LOW, CRITICAL, HIGH)]
        left = stage.state.close(stage.now)
        assert left == [requests[1], requests[2], requests[0]]
        assert {one.state for one in left} == {"closed"}
        assert not stage.take()
        with pytest.raises(BrokerClosed):
            stage.ask()
        assert stage.state.next_at(stage.now) == math.inf

    def test_shadow_grants_everything_and_counts_what_would_have_waited(self) -> None:
        stage = Stage(Budget(Limit.smooth(10, burst=10), mode="shadow"))
        assert all(stage.take() for _ in range(25))
        assert figures(stage.state, stage.now)[0].would_wait == 15
        stage.now += 0.5
        assert stage.take()
        assert figures(stage.state, stage.now)[0].would_wait == 16
        stage.now += 1.7  # what would have waited is served before it counts anew
        assert stage.take()
        assert figures(stage.state, stage.now)[0].would_wait == 16

    def test_changing_to_shadow_lets_all_go_who_wait(self) -> None:
        stage = Stage(Limit(1, per=60))
        stage.take()
        requests = [stage.ask() for _ in range(5)]
        stage.state.configure(Budget(Limit(1, per=60), mode="shadow"), stage.now)
        stage.run(0)
        assert {one.state for one in requests} == {"granted"}

    def test_a_new_life_finds_what_was_on_its_way_to_the_last(self) -> None:
        stage = Stage(Limit(10, per=1, burst=1))
        stage.take()
        request = Request(HIGH, 1, stage.now)
        stage.state.ask(request, stage.now)
        assert stage.state.adopt(stage.now) == []
        assert request.state == "queued"
        stage.run()
        assert request.state == "granted"

    def test_a_new_life_mends_what_is_wrong_and_says_it(self) -> None:
        stage = Stage(Limit(10, per=1, burst=5))
        stage.take(cost=5)
        requests = [stage.ask(HIGH), stage.ask(LOW)]
        state = stage.state
        state.waiting.lines[HIGH].cost = 77
        state.waiting.lines[LOW].live = 0
        state.waiting.lines[LOW].start = math.nan
        state.waiting.time = math.inf
        state.bucket.tokens = math.nan
        state.bucket.stamp = START + 50
        wrong = state.adopt(stage.now)
        assert len(wrong) == 6
        assert any("high: counted 1 waiting for 77, found 1 for 1" in line for line in wrong)
        assert state.adopt(stage.now) == []
        stage.run(10)
        assert {one.state for one in requests} == {"granted"}
        assert most_in_a_window(stage.used(), 1) <= 10


class TestRefused:
    @pytest.mark.parametrize("cost", [0, -1, 11, 1.0, math.nan, math.inf, True, "1"])
    def test_a_cost_that_can_never_be_granted(self, cost: object) -> None:
        with pytest.raises(CostTooHigh, match="costs from 1 to its burst of 10"):
            Stage(Limit(10, per=1)).state.check(cost)

    def test_a_cost_up_to_the_burst_is_fine(self) -> None:
        Stage(Limit(10, per=1)).state.check(10)


class TestFigures:
    def test_status(self) -> None:
        stage = Stage(Limit(10, per=1, burst=4))
        stage.take(cost=3)
        seen = status(stage.state, stage.now)
        assert (seen.limit, seen.per, seen.burst, seen.rate) == (10, 1, 4, 10)
        assert (seen.used, seen.remaining, seen.usage) == (3, 1, 0.3)
        assert seen.reset_at == pytest.approx(START + 0.3)
        assert (seen.state, seen.not_before, seen.learned) == ("open", None, None)
        stage.take()
        stage.ask(HIGH)
        stage.now += 0.05
        seen = status(stage.state, stage.now)
        assert seen.waiting == {"low": 0, "medium": 0, "high": 1, "critical": 0}
        assert seen.longest_waiting == pytest.approx(0.05)
        assert seen.shares["critical"] == 0.675
        stage.state.shut(stage.now + 5, stage.now)
        assert status(stage.state, stage.now).state == "shut"
        stage.state.pause()
        assert status(stage.state, stage.now).state == "paused"
        stage.state.close(stage.now)
        assert status(stage.state, stage.now).state == "closed"

    def test_status_of_a_smooth_limit(self) -> None:
        stage = Stage(Limit.smooth(2.5, burst=4))
        stage.take()
        seen = status(stage.state, stage.now)
        assert (seen.limit, seen.used, seen.remaining, seen.usage) == (2.5, 1, 3, 0.25)

    def test_what_happened_is_counted_by_class_and_window(self) -> None:
        stage = Stage(Budget(Limit(10, per=1, burst=1), max_waiting=2))
        stage.take()
        stage.ask(LOW)
        stage.ask(LOW)
        stage.ask(MEDIUM)  # sheds one
        with pytest.raises(PermitRefused):
            stage.ask(LOW)
        stage.run(1)
        stage.state.abandon(stage.ask(CRITICAL), stage.now)
        stage.state.throttled(START, None, stage.now)
        minute, *_, always = figures(stage.state, stage.now)
        assert minute.granted == 3
        assert minute.waited == {"low": 1, "medium": 1, "high": 0, "critical": 0}
        assert minute.shed["low"] == minute.refused["low"] == minute.abandoned["critical"] == 1
        assert minute.throttled == 1
        assert minute.average_wait == pytest.approx(0.1)
        assert minute.average_wait_of_waiting == pytest.approx(0.15)
        assert minute.longest_wait == pytest.approx(0.2)
        assert (always.window, minute.window) == (None, 60)
        stage.now += 100
        minute, five, _, always = figures(stage.state, stage.now)
        assert minute.granted == 0
        assert minute.longest_wait == 0
        assert five.granted == always.granted == 3

    @settings(deadline=None)
    @given(gaps=st.lists(st.floats(0, 40), min_size=1, max_size=200))
    def test_a_window_counts_what_was_in_it_to_ten_seconds(self, gaps: list[float]) -> None:
        stage = Stage(Limit(1000, per=1))
        for gap in gaps:
            stage.now += gap
            assert stage.take()
        for seen in figures(stage.state, stage.now)[:3]:
            assert seen.window is not None
            counted = seen.granted
            ages = [stage.now - at for at, _ in stage.inline]
            assert counted >= sum(age < seen.window - 1e-6 for age in ages)
            assert counted <= sum(age <= seen.window + 10 + 1e-6 for age in ages)

    def test_the_counters_do_not_grow(self) -> None:
        stage = Stage(Limit(1, per=1))
        for _ in range(10_000):
            stage.now += 7
            stage.take()
        assert len(stage.state.meter.pictures) < 100
        assert RANKS[CRITICAL] == "critical"


class TestGate:
    def test_nothing_is_granted_before_the_service_wants_it(self) -> None:
        stage = Stage(Limit(10, per=1))
        stage.state.throttled(START - 1, 3.0, stage.now)
        assert not stage.take()
        request = stage.ask()
        stage.run()
        assert request.granted_at >= START + 3

    def test_it_opens_by_itself_for_who_does_not_wait(self) -> None:
        stage = Stage(Budget(Limit(10, per=1), ramp=0))
        stage.state.shut(START + 3, stage.now)
        stage.now += 2.9
        assert not stage.take()
        stage.now += 0.3
        assert stage.take()

    def test_the_rate_comes_back_in_a_ramp(self) -> None:
        stage = Stage(Budget(Limit(100, per=1), ramp=4))
        stage.state.shut(START + 60, stage.now)
        for _ in range(1000):
            stage.ask()
        stage.run(70)
        seconds = [
            sum(60 + second <= one.granted_at - START < 61 + second for one in stage.granted)
            for second in range(6)
        ]
        assert seconds == pytest.approx([21, 43, 66, 88, 100, 100], abs=3)

    def test_after_a_moments_rest_the_ramp_is_a_moment_long(self) -> None:
        stage = Stage(Budget(Limit(100, per=1, burst=1), ramp=5))
        for _ in range(1000):
            stage.ask()
        stage.state.shut(START + 0.1, stage.now)
        stage.run(1)
        assert len(stage.granted) >= 85

    def test_permits_granted_before_it_was_shut_do_not_move_it(self) -> None:
        stage = Stage(Limit(10, per=1))
        stage.now += 1
        stage.state.throttled(START + 1, 2.0, stage.now)
        stage.now += 0.5
        stage.state.throttled(START + 1, 60.0, stage.now)
        assert stage.state.gate.not_before == START + 3
        stage.now += 2
        stage.state.throttled(stage.now - 0.1, 1.0, stage.now)
        assert stage.state.gate.not_before == START + 4.5

    def test_what_was_saved_up_is_gone(self) -> None:
        stage = Stage(Budget(Limit(100, per=1), ramp=0))
        stage.state.shut(START + 5, stage.now)
        stage.now += 5
        assert not stage.take()

    @pytest.mark.parametrize("wrong", [0.0, -5.0, math.nan, math.inf])
    def test_a_senseless_rest_does_no_harm(self, wrong: float) -> None:
        stage = Stage(Limit(10, per=1))
        stage.state.throttled(START + 1, wrong, stage.now)
        assert stage.state.gate.not_before <= START + 3600

    def test_a_learned_rate_alone_is_a_budget(self) -> None:
        stage = Stage(Budget(adapt=Adapt(start=10, burst=1)))
        for _ in range(100):
            stage.ask()
        stage.run(1)
        assert len(stage.granted) == pytest.approx(11, abs=2)
