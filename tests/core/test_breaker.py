"""The breaker: what lets it open, what it lets through, and what closes it."""

from __future__ import annotations

import gc
import math
import sys
from collections.abc import Callable
from itertools import cycle

import pytest

from supervisor._core.breaker import REFUSED, UNCOUNTED, BreakerMachine
from supervisor._happenings import (
    BreakerClosed,
    BreakerForced,
    BreakerHalfOpened,
    BreakerOpened,
)
from supervisor._spec.guards import Breaker


class Calls:
    """A breaker with a clock, whose calls are made and ended by hand."""

    def __init__(
        self, *, draw: Callable[[], float] = lambda: 0.0, probe: float = 20, **policy: object
    ) -> None:
        self.now = 0.0
        self.machine = BreakerMachine(
            Breaker(**policy),  # type: ignore[arg-type]
            draw,
            0.0,
            probe=probe,
            path="app",
            guard="exchange",
        )

    @property
    def state(self) -> str:
        return self.machine.status(self.now).state

    def admit(self) -> int:
        return self.machine.admit(self.now)

    def begin(self) -> int:
        """A call that is let through."""
        ticket = self.admit()
        assert ticket != REFUSED
        return ticket

    def succeed(self, ticket: int | None = None, took: float = 0.0) -> None:
        self.machine.succeeded(self.begin() if ticket is None else ticket, self.now, took)

    def fail(
        self,
        ticket: int | None = None,
        took: float = 0.0,
        cause: str = "it broke",
        rest: float | None = None,
    ) -> None:
        ticket = self.begin() if ticket is None else ticket
        self.machine.failed(ticket, self.now, took, cause, rest)

    def ignore(self, ticket: int | None = None) -> None:
        self.machine.ignored(self.begin() if ticket is None else ticket, self.now)

    def cancel(self, ticket: int | None = None, took: float = 0.0) -> None:
        self.machine.cancelled(self.begin() if ticket is None else ticket, self.now, took)

    def open(self) -> None:
        """Fail until it opens."""
        while self.state == "closed":
            self.fail()

    def wait(self) -> None:
        """Until the breaker is no longer open."""
        self.now = self.machine.retry_at(self.now)

    def half_open(self) -> int:
        """Open it, wait, and let the first probe through."""
        self.open()
        self.wait()
        return self.begin()

    def told(self) -> list[object]:
        events, self.machine.happened = self.machine.happened, []
        return list(events)


class TestInARow:
    def test_so_many_failures_in_a_row_open_it(self) -> None:
        calls = Calls(failures=3)
        calls.fail()
        calls.fail()
        assert calls.state == "closed"
        calls.fail(cause="ConnectionError: refused")
        assert calls.state == "open"
        assert calls.admit() == REFUSED
        assert calls.told() == [
            BreakerOpened(
                0, "app", "exchange", "failures in a row", 60, 60, 1, "ConnectionError: refused"
            )
        ]

    def test_a_success_begins_a_new_row(self) -> None:
        calls = Calls(failures=2)
        calls.fail()
        calls.succeed()
        calls.fail()
        assert calls.state == "closed"

    @pytest.mark.parametrize(("after", "state"), [(9.99, "open"), (10, "closed")])
    def test_the_first_of_the_row_is_less_than_the_window_ago(
        self, after: float, state: str
    ) -> None:
        calls = Calls(failures=2, window=10)
        calls.fail()
        calls.now = after
        calls.fail()
        assert calls.state == state

    def test_failures_of_calls_that_were_under_way_together_are_a_row(self) -> None:
        calls = Calls(failures=3)
        tickets = [calls.begin() for _ in range(3)]
        for ticket in tickets:
            calls.fail(ticket)
        assert calls.state == "open"

    def test_one_failure_may_be_enough(self) -> None:
        calls = Calls(failures=1)
        calls.fail()
        assert calls.state == "open"

    def test_zero_failures_never_open_it(self) -> None:
        """Zero is a value: it does not stand for the default."""
        calls = Calls(failures=0, rate=1.0, calls=1_000)
        for _ in range(999):
            calls.fail()
        assert calls.state == "closed"
        calls.fail()
        assert calls.state == "open"

    def test_a_successful_call_needs_no_clock(self) -> None:
        calls = Calls(failures=2)
        assert not calls.machine.timed
        calls.now = math.nan
        for _ in range(3):
            calls.succeed(took=math.nan)
        assert calls.machine.status(0).state == "closed"
        assert Calls(rate=0.5).machine.timed
        assert Calls(slow=1).machine.timed


class TestShares:
    @pytest.mark.parametrize("rate", [0.5, 0.07, 0.35, 1.0])
    def test_a_share_of_failures_opens_it(self, rate: float) -> None:
        calls = Calls(failures=0, rate=rate, calls=100)
        for _ in range(round(100 * (1 - rate))):
            calls.succeed()
        for _ in range(round(100 * rate)):
            assert calls.state == "closed"
            calls.fail(cause="ConnectionError: reset")
        (opened,) = calls.told()
        assert isinstance(opened, BreakerOpened)
        assert (opened.rule, opened.cause) == ("failure rate", "ConnectionError: reset")

    def test_fewer_calls_than_the_minimum_make_no_share(self) -> None:
        calls = Calls(failures=0, rate=0.5, calls=10)
        for _ in range(9):
            calls.fail()
        assert calls.state == "closed"

    def test_the_call_that_makes_the_minimum_may_be_a_success(self) -> None:
        calls = Calls(failures=0, rate=0.5, calls=10)
        for _ in range(9):
            calls.fail()
        calls.succeed()
        assert calls.state == "open"

    def test_calls_that_have_left_the_window_do_not_count(self) -> None:
        calls = Calls(failures=0, rate=0.5, calls=10, window=60)
        for _ in range(9):
            calls.fail()
        calls.now = 60
        calls.fail()
        assert calls.state == "closed"
        assert calls.machine.status(calls.now).calls == 1

    def test_what_leaves_the_window_may_raise_the_share(self) -> None:
        calls = Calls(failures=0, rate=0.5, calls=10, window=60)
        for _ in range(50):
            calls.succeed()
        calls.now = 30
        for _ in range(10):
            calls.fail()
        assert calls.state == "closed"
        calls.now = 60
        calls.succeed()
        assert calls.state == "open"

    def test_after_a_long_pause_it_counts_anew(self) -> None:
        calls = Calls(failures=0, rate=0.5, calls=10, window=60)
        for second in range(600):
            calls.now = second * 1.0
            calls.succeed()
        calls.now = 1e9
        for _ in range(9):
            calls.fail()
        status = calls.machine.status(calls.now)
        assert (status.state, status.calls, status.failures) == ("closed", 9, 9)

    def test_slow_calls_open_it_whatever_comes_of_them(self) -> None:
        calls = Calls(failures=0, slow=2, slow_rate=0.5, calls=4)
        calls.succeed(took=2)
        calls.succeed(took=2.1)
        calls.succeed(took=0.1)
        assert calls.state == "closed"
        calls.fail(took=30)
        (opened,) = calls.told()
        assert isinstance(opened, BreakerOpened)
        assert opened.rule == "slow calls"

    def test_where_nothing_failed_the_slow_calls_are_the_cause(self) -> None:
        calls = Calls(failures=0, slow=2, slow_rate=0.5, calls=4)
        for took in (0, 3, 0, 3):
            calls.succeed(took=took)
        assert calls.machine.cause == "2 of 4 calls took longer than 2 s"

    def test_the_failures_in_a_row_are_told_first_where_several_rules_open_it(self) -> None:
        calls = Calls(failures=4, rate=0.5, slow=1, calls=4)
        for _ in range(4):
            calls.fail(took=2)
        (opened,) = calls.told()
        assert isinstance(opened, BreakerOpened)
        assert opened.rule == "failures in a row"


class TestIgnored:
    def test_an_ignored_error_touches_no_counter(self) -> None:
        calls = Calls(failures=2, rate=0.5, calls=3)
        calls.fail()
        before = calls.machine.status(0)
        for _ in range(20):
            calls.ignore()
        assert calls.machine.status(0) == before
        calls.fail()
        assert calls.state == "open", "it did not begin a new row"

    def test_an_ignored_probe_gives_its_place_back_and_decides_nothing(self) -> None:
        calls = Calls(failures=1)
        probe = calls.half_open()
        assert calls.admit() == REFUSED
        calls.ignore(probe)
        assert calls.state == "half-open"
        calls.succeed()
        assert calls.state == "closed"

    def test_places_that_are_given_back_are_never_more_than_were_taken(self) -> None:
        calls = Calls(failures=1, half_open=2)
        probe, old = calls.half_open(), None
        for _ in range(3):
            calls.ignore(probe)
            probe = calls.begin()
        old = calls.begin()
        calls.now += 20  # the verdict is overdue
        assert calls.state == "open"
        calls.wait()
        calls.begin()
        calls.ignore(old)
        calls.ignore(probe)
        calls.begin()
        assert calls.admit() == REFUSED


class TestCancelled:
    def test_cancelled_calls_do_not_open_a_healthy_breaker(self) -> None:
        calls = Calls(failures=3, rate=0.1, slow=5, calls=1)
        for _ in range(50):
            calls.cancel(took=5)
        status = calls.machine.status(0)
        assert (status.state, status.calls, status.in_a_row) == ("closed", 0, 0)

    def test_a_cancelled_call_does_not_end_a_row(self) -> None:
        calls = Calls(failures=2)
        calls.fail()
        calls.cancel()
        calls.fail()
        assert calls.state == "open"

    def test_a_call_that_was_slow_already_when_it_was_cancelled_is_one_slow_call(self) -> None:
        calls = Calls(failures=1, slow=5, slow_rate=0.5, calls=4)
        calls.cancel(took=5.1)
        status = calls.machine.status(0)
        assert (status.calls, status.slow, status.failures) == (1, 1, 0)
        calls.cancel(took=0.1)
        for _ in range(2):
            calls.cancel(took=6)
        assert calls.state == "closed"
        calls.cancel(took=6)
        (opened,) = calls.told()
        assert isinstance(opened, BreakerOpened)
        assert opened.rule == "slow calls"

    def test_a_slow_cancelled_call_does_not_dilute_the_share_of_failures(self) -> None:
        calls = Calls(failures=0, rate=1.0, slow=5, slow_rate=1.0, calls=2)
        calls.fail()
        for _ in range(10):
            calls.cancel(took=6)
        calls.fail()
        assert calls.state == "open"

    @pytest.mark.parametrize("took", [0.0, 30.0])
    def test_a_cancelled_probe_gives_its_place_back_and_decides_nothing(self, took: float) -> None:
        calls = Calls(failures=1, slow=5)
        probe = calls.half_open()
        calls.cancel(probe, took=took)
        assert calls.state == "half-open"
        calls.succeed()
        assert calls.state == "closed"


class TestLate:
    """What comes back with the ticket of an old generation."""

    @pytest.mark.parametrize("how", ["succeed", "fail", "ignore", "cancel"])
    @pytest.mark.parametrize("state", ["open", "half-open", "closed", "open again", "forced"])
    def test_a_late_outcome_moves_nothing(self, how: str, state: str) -> None:
        calls = Calls(failures=1, half_open=2, slow=1, rate=0.1, calls=2)
        late = calls.begin()
        calls.open()
        if state != "open":
            calls.wait()
            probe = calls.begin()
            if state == "closed":
                calls.succeed(probe)
                calls.succeed()
            elif state == "open again":
                calls.fail(probe)
            elif state == "forced":
                calls.machine.force("metrics only", "a trial", None, calls.now)
        before, told = calls.machine.status(calls.now), calls.told()
        if how == "fail":
            calls.fail(late, took=9, cause="of long ago", rest=1000)
        elif how == "ignore":
            calls.ignore(late)
        else:
            getattr(calls, how)(late, took=9)
        assert calls.machine.status(calls.now) == before
        assert told
        assert not calls.told()

    @pytest.mark.parametrize("how", ["succeed", "fail", "ignore", "cancel"])
    def test_a_late_probe_moves_nothing_in_the_next_round_of_probes(self, how: str) -> None:
        calls = Calls(failures=1, half_open=2)
        bad, late = calls.half_open(), calls.begin()
        calls.fail(bad)
        assert calls.state == "open"
        calls.wait()
        calls.begin()
        before = calls.machine.status(calls.now)
        getattr(calls, how)(late)
        assert calls.machine.status(calls.now) == before

    def test_a_late_outcome_of_a_whole_cycle_ago_moves_nothing(self) -> None:
        calls = Calls(failures=2)
        late = calls.begin()
        calls.succeed(calls.half_open())
        calls.fail()
        calls.succeed(late)
        calls.fail()
        assert calls.state == "open"

    def test_who_has_waited_for_long_may_go_on_as_long_as_the_state_lasts(self) -> None:
        calls = Calls(failures=2)
        ticket = calls.begin()
        calls.fail()
        assert calls.machine.still_admits(ticket, calls.now)
        calls.fail()
        assert not calls.machine.still_admits(ticket, calls.now)
        calls.wait()
        probe = calls.begin()
        assert calls.machine.still_admits(probe, calls.now)
        assert not calls.machine.still_admits(ticket, calls.now)
        calls.succeed(probe)
        assert not calls.machine.still_admits(ticket, calls.now), "it is to be counted anew"

    def test_a_probe_that_has_waited_for_too_long_may_not_go_on(self) -> None:
        calls = Calls(failures=1, probe=20)
        probe = calls.half_open()
        calls.now += 20
        assert not calls.machine.still_admits(probe, calls.now)

    def test_a_call_that_does_not_count_may_go_on_while_that_is_so(self) -> None:
        calls = Calls()
        calls.machine.force("disabled", "a test", 10, 0)
        ticket = calls.begin()
        assert calls.machine.still_admits(ticket, 9.9)
        assert not calls.machine.still_admits(ticket, 10)
        assert not calls.machine.still_admits(REFUSED, 0)


class TestHalfOpen:
    def test_of_a_hundred_callers_one_is_let_through_and_the_others_are_refused_at_once(
        self,
    ) -> None:
        calls = Calls(failures=1, open=60)
        calls.open()
        calls.now = 59.9
        assert calls.admit() == REFUSED
        calls.now = 60
        tickets = [calls.admit() for _ in range(100)]
        assert tickets[0] != REFUSED
        assert tickets[1:] == [REFUSED] * 99
        assert calls.told()[-1] == BreakerHalfOpened(60, "app", "exchange", 1)

    def test_exactly_as_many_probes_as_allowed_are_let_through(self) -> None:
        calls = Calls(failures=1, half_open=3)
        calls.half_open()
        assert sum(calls.admit() != REFUSED for _ in range(100)) == 2

    def test_no_more_probes_are_let_through_than_the_verdict_needs(self) -> None:
        calls = Calls(failures=1, half_open=3, successes=2)
        calls.fail(calls.half_open())
        assert sum(calls.admit() != REFUSED for _ in range(100)) == 2

    def test_a_probe_that_succeeds_closes_it(self) -> None:
        calls = Calls(failures=1, open=60)
        probe = calls.half_open()
        calls.told()
        calls.now = 61
        calls.succeed(probe)
        assert calls.state == "closed"
        assert calls.told() == [BreakerClosed(61, "app", "exchange", 61)]

    def test_it_closes_as_soon_as_enough_probes_have_succeeded(self) -> None:
        calls = Calls(failures=1, half_open=5, successes=2)
        first, *others = calls.half_open(), *(calls.begin() for _ in range(4))
        calls.fail(others[0])
        calls.succeed(first)
        assert calls.state == "half-open"
        calls.succeed(others[1])
        assert calls.state == "closed"
        calls.fail(others[2])
        assert calls.machine.status(calls.now).in_a_row == 0

    def test_it_opens_as_soon_as_enough_probes_cannot_succeed(self) -> None:
        calls = Calls(failures=1, half_open=5, successes=4)
        first, *others = calls.half_open(), *(calls.begin() for _ in range(4))
        calls.fail(first)
        assert calls.state == "half-open"
        calls.fail(others[0])
        assert calls.state == "open"
        assert calls.told()[-1].rule == "probes failed"  # type: ignore[attr-defined]

    def test_by_default_all_probes_have_to_succeed(self) -> None:
        calls = Calls(failures=1, half_open=3)
        first, second, third = calls.half_open(), calls.begin(), calls.begin()
        calls.succeed(first)
        calls.succeed(second)
        assert calls.state == "half-open"
        calls.fail(third)
        assert calls.state == "open"

    def test_the_minimum_of_calls_and_the_shares_do_not_matter_to_probes(self) -> None:
        calls = Calls(failures=5, rate=0.9, calls=1_000)
        for _ in range(5):
            calls.fail()
        calls.wait()
        calls.fail()
        assert calls.state == "open"

    def test_a_slow_probe_is_no_success(self) -> None:
        calls = Calls(failures=1, slow=5)
        calls.succeed(calls.half_open(), took=5.1)
        assert calls.state == "open"
        assert calls.machine.cause == "a probe took longer than 5 s"
        calls.wait()
        calls.succeed(took=5)
        assert calls.state == "closed"

    def test_a_probe_that_hangs_opens_it_again_for_as_long_as_before(self) -> None:
        calls = Calls(failures=1, open=60, probe=20)
        probe = calls.half_open()
        calls.told()
        calls.now = 79.9
        assert calls.state == "half-open"
        assert calls.machine.due() == 80
        calls.now = 80
        assert calls.admit() == REFUSED
        calls.succeed(probe)
        assert calls.state == "open"
        assert calls.told() == [
            BreakerOpened(80, "app", "exchange", "no verdict in time", 140, 60, 1, "it broke")
        ]

    def test_a_probe_that_comes_back_when_its_verdict_is_overdue_is_late(self) -> None:
        calls = Calls(failures=1, open=60, probe=20)
        probe = calls.half_open()
        calls.now = 80
        calls.succeed(probe)
        assert calls.state == "open"

    def test_a_hung_probe_that_nobody_has_looked_for_does_not_make_the_next_caller_wait(
        self,
    ) -> None:
        calls = Calls(failures=1, open=60, probe=20)
        calls.half_open()
        calls.now = 140
        calls.succeed()
        assert calls.state == "closed"
        assert [type(event) for event in calls.told()[-3:]] == [
            BreakerOpened,
            BreakerHalfOpened,
            BreakerClosed,
        ]

    def test_while_no_probe_is_under_way_nobody_waits_for_a_verdict(self) -> None:
        """With a call an hour, it does close."""
        calls = Calls(failures=1, half_open=3, probe=20)
        calls.succeed(calls.half_open())
        for _ in range(2):
            assert calls.machine.due() == math.inf
            calls.now += 3600
            calls.succeed()
        assert calls.state == "closed"

    def test_who_is_refused_meanwhile_may_ask_again_soon_and_not_all_at_once(self) -> None:
        draws = iter([0.0, 0.0, 0.5, 0.999])
        calls = Calls(failures=1, probe=20, draw=lambda: next(draws))
        calls.half_open()
        assert draws.__length_hint__() == 3
        assert [calls.machine.retry_at(100) for _ in range(3)] == [
            102,
            103,
            pytest.approx(104, 1e-3),
        ]

    def test_its_status_says_how_the_probes_are(self) -> None:
        calls = Calls(failures=1, half_open=3, successes=2)
        first, second = calls.half_open(), calls.begin()
        calls.succeed(first)
        status = calls.machine.status(calls.now)
        assert (status.state, status.probes, status.good, status.bad) == ("half-open", 1, 1, 0)
        assert status.retry_at is None, "there is room"
        calls.begin()
        assert calls.machine.status(calls.now).retry_at == 80
        calls.fail(second)
        assert calls.machine.status(calls.now).bad == 1


class TestTimeOpen:
    def test_it_grows_each_time_in_a_row_up_to_the_cap(self) -> None:
        calls = Calls(failures=1, open=60, factor=2, cap=200)
        calls.open()
        times = []
        for _ in range(4):
            calls.wait()
            calls.fail()
            times.append(calls.machine.retry_at(calls.now) - calls.now)
        assert times == [120, 200, 200, 200]

    def test_no_number_of_openings_overflows(self) -> None:
        calls = Calls(failures=1, open=1e-3, factor=1e300, cap=1e9)
        calls.open()
        for _ in range(2_000):
            calls.wait()
            calls.fail()
        assert calls.machine.retry_at(calls.now) - calls.now == pytest.approx(1e9)

    @pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
    def test_up_to_a_fifth_is_added_by_chance_also_at_the_cap(self, draw: float) -> None:
        calls = Calls(failures=1, open=500, factor=10, cap=1000, draw=lambda: draw)
        calls.open()
        first = calls.machine.retry_at(0)
        assert first == pytest.approx(500 * (1 + draw / 5))
        calls.wait()
        calls.fail()
        assert calls.machine.retry_at(0) - first == pytest.approx(1000 * (1 + draw / 5))

    def test_a_breaker_that_stays_closed_for_the_cap_begins_anew(self) -> None:
        calls = Calls(failures=1, open=10, factor=2, cap=100)

        def opened_after(pause: float) -> float:
            calls.now += pause
            calls.open()
            seconds = calls.machine.retry_at(calls.now) - calls.now
            calls.wait()
            calls.succeed()
            return seconds

        assert [opened_after(pause) for pause in (0, 0, 99, 100, 99)] == [10, 20, 40, 10, 20]

    def test_the_rest_that_the_service_asks_for_is_the_least(self) -> None:
        calls = Calls(failures=2, open=60, cap=900)
        calls.fail()
        calls.fail(rest=300)
        assert calls.machine.retry_at(0) == 300

    def test_a_short_rest_does_not_shorten_it(self) -> None:
        calls = Calls(failures=2, open=60)
        calls.fail(rest=0)
        calls.fail(rest=10)
        assert calls.machine.retry_at(0) == 60

    def test_chance_is_added_to_the_rest_so_that_it_is_never_cut_short(self) -> None:
        calls = Calls(failures=1, open=60, draw=lambda: 0.5)
        calls.fail(rest=300)
        assert calls.machine.retry_at(0) == pytest.approx(330)

    @pytest.mark.parametrize("rest", [1e9, math.inf])
    def test_a_rest_is_kept_up_to_the_cap(self, rest: float) -> None:
        calls = Calls(failures=1, open=60, cap=900)
        calls.fail(rest=rest)
        assert calls.machine.retry_at(0) == 900

    def test_a_rest_that_an_earlier_failure_asked_for_still_counts(self) -> None:
        calls = Calls(failures=2, open=10)
        calls.fail(rest=100)
        calls.now = 30
        calls.fail()
        assert calls.machine.retry_at(30) == 100

    def test_a_probe_that_fails_may_ask_for_a_rest(self) -> None:
        calls = Calls(failures=1, open=10, cap=900)
        calls.fail(calls.half_open(), rest=500)
        assert calls.machine.retry_at(10) == 510

    def test_once_it_has_closed_a_rest_of_before_is_forgotten(self) -> None:
        calls = Calls(failures=1, open=10, cap=20)
        calls.fail(rest=1e6)
        calls.wait()
        calls.succeed()
        calls.now += 20
        calls.fail()
        assert calls.machine.retry_at(0) - calls.now == 10


class TestRamp:
    def ramp(self, *draws: float) -> Calls:
        """A breaker that has just closed, with a ramp of ten seconds."""
        given = cycle(draws)
        calls = Calls(failures=1, ramp=10, draw=lambda: next(given) if calls.now >= 60 else 0.0)
        calls.succeed(calls.half_open())
        return calls

    @pytest.mark.parametrize(("after", "share"), [(0, 0.1), (5, 0.55), (9.99, 0.9991), (10, 1.0)])
    def test_more_and_more_is_let_through_from_a_tenth_on(self, after: float, share: float) -> None:
        calls = self.ramp(*(n / 1000 for n in range(1000)))
        calls.now += after
        through = sum(calls.admit() != REFUSED for _ in range(1000))
        assert through == pytest.approx(1000 * share, abs=1)

    def test_who_is_refused_in_the_ramp_may_ask_again_soon(self) -> None:
        calls = self.ramp(0.999)
        assert calls.admit() == REFUSED
        assert calls.machine.status(calls.now).state == "closed"
        assert calls.now < calls.machine.retry_at(calls.now) <= calls.now + 4

    def test_after_the_ramp_no_clock_is_needed_any_more(self) -> None:
        calls = self.ramp(0.0)
        assert calls.machine.timed
        calls.now += 10
        calls.begin()
        assert not calls.machine.timed

    def test_what_fails_in_the_ramp_opens_it_again(self) -> None:
        calls = self.ramp(0.0)
        calls.fail()
        assert calls.state == "open"

    def test_a_new_breaker_has_no_ramp(self) -> None:
        calls = Calls(ramp=10, draw=lambda: 0.999)
        assert calls.machine.free

    def test_without_a_ramp_everything_is_let_through_at_once(self) -> None:
        calls = Calls(failures=1, draw=lambda: 0.999)
        calls.succeed(calls.half_open())
        assert sum(calls.admit() != REFUSED for _ in range(100)) == 100


class TestForced:
    def test_forced_open_it_refuses_until_then(self) -> None:
        calls = Calls()
        calls.machine.force("open", "maintenance", 100, 0)
        assert calls.admit() == REFUSED
        assert calls.machine.retry_at(0) == 100
        status = calls.machine.status(0)
        assert (status.forced, status.reason, status.until) == ("open", "maintenance", 100)
        assert (status.state, status.retry_at, status.cause) == ("open", 100, "maintenance")
        calls.now = 100
        calls.succeed()
        assert calls.told() == [
            BreakerForced(0, "app", "exchange", "open", "maintenance", 100),
            BreakerForced(100, "app", "exchange", None, "its time is over"),
        ]

    def test_forced_open_without_an_end_it_refuses_until_it_is_released(self) -> None:
        calls = Calls()
        calls.machine.force("open", "maintenance", None, 0)
        calls.now = 1e9
        assert calls.admit() == REFUSED
        assert calls.machine.retry_at(calls.now) == calls.machine.due() == math.inf
        assert calls.machine.status(calls.now).until is None
        calls.machine.release(calls.now, "done")
        calls.succeed()
        assert calls.told()[-1] == BreakerForced(1e9, "app", "exchange", None, "done")

    def test_disabled_it_lets_everything_through_and_counts_nothing(self) -> None:
        calls = Calls(failures=1, rate=0.1, calls=1, slow=1)
        calls.machine.force("disabled", "a test", None, 0)
        for _ in range(20):
            calls.fail(took=9)
            calls.cancel(took=9)
        status = calls.machine.status(0)
        assert (status.state, status.calls, status.in_a_row) == ("closed", 0, 0)
        assert calls.told() == [BreakerForced(0, "app", "exchange", "disabled", "a test")]

    def test_an_open_breaker_can_be_disabled(self) -> None:
        calls = Calls(failures=1)
        calls.open()
        calls.machine.force("disabled", "it is wrong", None, 0)
        assert calls.begin() == UNCOUNTED

    def test_metrics_only_it_tells_when_it_would_have_opened_and_lets_all_through(self) -> None:
        calls = Calls(failures=2, open=60)
        calls.machine.force("metrics only", "a trial", None, 0)
        calls.told()
        for _ in range(20):
            calls.fail(cause="ConnectionError")
        assert calls.told() == [
            BreakerOpened(
                0, "app", "exchange", "failures in a row", 60, 60, 1, "ConnectionError", True
            )
        ]
        status = calls.machine.status(0)
        assert (status.state, status.trips, status.rejected) == ("closed", 0, 0)

    def test_metrics_only_it_counts_anew_when_it_would_have_been_open(self) -> None:
        calls = Calls(failures=2, open=60, rate=0.5, calls=4)
        calls.machine.force("metrics only", "a trial", None, 0)
        late = calls.begin()
        calls.fail()
        calls.fail()
        calls.now = 59.9
        calls.fail()
        calls.now = 60
        calls.fail(late)
        calls.fail()
        status = calls.machine.status(60)
        assert (status.in_a_row, status.calls) == (1, 1)
        calls.fail()
        opened = calls.told()[-1]
        assert isinstance(opened, BreakerOpened)
        assert (opened.times, opened.open) == (2, 120)

    @pytest.mark.parametrize("state", ["open", "disabled", "metrics only"])
    def test_it_begins_anew_when_that_is_over(self, state: str) -> None:
        calls = Calls(failures=2, open=60)
        calls.succeed(calls.half_open())
        calls.fail()
        calls.machine.force(state, "a word", calls.now + 10, calls.now)  # type: ignore[arg-type]
        calls.now += 10
        calls.fail()
        status = calls.machine.status(calls.now)
        assert (status.state, status.forced, status.reason) == ("closed", None, "")
        assert (status.in_a_row, status.times) == (1, 0)

    def test_an_outcome_after_its_time_is_over_counts_no_more(self) -> None:
        calls = Calls(failures=1)
        calls.machine.force("metrics only", "a trial", 10, 0)
        late = calls.begin()
        calls.now = 10
        calls.fail(late)
        assert [type(event) for event in calls.told()] == [BreakerForced, BreakerForced]

    def test_an_open_breaker_can_be_released(self) -> None:
        calls = Calls(failures=1)
        calls.open()
        calls.told()
        calls.machine.release(0, "it is well")
        calls.succeed()
        assert calls.told() == [BreakerForced(0, "app", "exchange", None, "it is well")]

    def test_to_release_a_closed_breaker_changes_nothing(self) -> None:
        calls = Calls(failures=2)
        calls.fail()
        calls.machine.release(0, "why not")
        calls.fail()
        assert calls.state == "open"

    def test_one_word_takes_the_place_of_another(self) -> None:
        calls = Calls()
        calls.machine.force("open", "maintenance", 10, 0)
        calls.machine.force("disabled", "in a hurry", None, 5)
        calls.now = 10
        assert calls.begin() == UNCOUNTED
        assert calls.machine.status(10).reason == "in a hurry"

    def test_it_comes_back_from_forced_open_by_the_ramp_and_from_disabled_at_once(self) -> None:
        calls = Calls(ramp=10, draw=lambda: 0.999)
        calls.machine.force("open", "maintenance", 10, 0)
        calls.now = 10
        assert calls.admit() == REFUSED
        calls.machine.force("disabled", "in a hurry", 20, 10)
        calls.now = 20
        calls.begin()


class TestTime:
    def test_time_that_does_not_move_is_no_trouble(self) -> None:
        calls = Calls(failures=3, rate=0.5, calls=10)
        for _ in range(3):
            calls.fail()
        assert calls.state == "open"
        calls.wait()
        for _ in range(10):
            calls.ignore()
        calls.succeed()
        assert calls.state == "closed"

    def test_time_that_goes_back_does_not_freeze_it(self) -> None:
        calls = Calls(failures=2, rate=0.9, calls=10, window=60, open=60)
        calls.now = 5000
        calls.fail()
        calls.now -= 3600
        calls.fail()
        assert calls.state == "open"
        assert calls.machine.retry_at(calls.now) == calls.now + 60, "and not an hour later"
        calls.wait()
        calls.succeed()
        assert calls.state == "closed"

    def test_time_that_goes_back_lets_nothing_through_too_early(self) -> None:
        calls = Calls(failures=1, open=60)
        calls.now = 5000
        calls.open()
        calls.now = 0
        assert calls.admit() == REFUSED
        assert calls.machine.retry_at(0) == 5060

    def test_to_look_at_a_breaker_whose_time_is_over_does_not_move_it(self) -> None:
        calls = Calls(failures=1)
        calls.open()
        calls.now = 1e6
        for _ in range(3):
            status = calls.machine.status(calls.now)
            assert (status.state, status.retry_at) == ("open", None)


class TestBounds:
    def test_nothing_grows_over_a_long_outage(self) -> None:
        calls = Calls(failures=3, rate=0.5, slow=1, calls=10, open=1, cap=2)
        for step in range(20_000):
            calls.now += 0.05
            ticket = calls.admit()
            if ticket != REFUSED:
                calls.fail(ticket, took=2)
            if step % 100 == 0:
                calls.told()
        machine = calls.machine
        assert len(machine.log) <= 3
        assert machine.window is not None
        assert len(machine.window.past) < 10
        assert len(machine.happened) < 20

    def test_refusals_leave_nothing_behind(self) -> None:
        calls = Calls(failures=1)
        calls.open()
        calls.told()
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(2_000):
            calls.admit()
        assert sys.getallocatedblocks() - before < 50
        assert calls.machine.status(0).rejected == 2_000

    def test_it_keeps_the_cause_as_text(self) -> None:
        calls = Calls(failures=1)
        calls.fail(cause="ConnectionError: refused")
        assert calls.machine.status(0).cause == "ConnectionError: refused"
        calls.wait()
        calls.fail(cause="TimeoutError")
        assert calls.machine.cause == "TimeoutError"

    def test_its_status_counts_what_happened(self) -> None:
        calls = Calls(failures=3, rate=1.0, slow=1, calls=100, window=60)
        calls.succeed(took=2)
        calls.fail()
        calls.fail()
        status = calls.machine.status(30)
        assert (status.calls, status.failures, status.slow, status.in_a_row) == (3, 2, 1, 2)
        assert (status.times, status.trips, status.rejected, status.since) == (0, 0, 0, 0)
        calls.fail()
        calls.admit()
        status = calls.machine.status(0)
        assert (status.times, status.trips, status.rejected) == (1, 1, 1)
        assert calls.machine.status(70).calls == 0

    def test_a_half_opened_breaker_tells_how_many_it_has_refused(self) -> None:
        calls = Calls(failures=1)
        calls.open()
        for _ in range(7):
            calls.admit()
        calls.wait()
        calls.begin()
        assert calls.told()[-1] == BreakerHalfOpened(60, "app", "exchange", 7)
