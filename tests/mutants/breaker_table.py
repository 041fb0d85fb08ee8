"""Faults in breakers: what they let through, what opens them, and what closes them."""

from __future__ import annotations

from functools import partial

from tests.mutants.fault import Mutant

breaker = partial(Mutant, module="supervisor._core.breaker")
circuit = partial(Mutant, module="supervisor._core.circuit")
window = partial(Mutant, module="supervisor._core.window")

BREAKER = "tests/core/test_breaker.py::"
WINDOW = "tests/core/test_window.py::"
CIRCUIT = "tests/core/test_circuit.py::"

BREAKERS = (
    breaker(
        fault="an open breaker lets a call through",
        law=6,
        function="BreakerMachine.admit",
        old="if now < self.until:",
        new="if False:",
        killed_by=(
            f"{BREAKER}TestHalfOpen::test_of_a_hundred_callers_one_is_let_through_and_the_others_are_refused_at_once",
        ),
    ),
    breaker(
        fault="half-open lets one call too many through",
        law=6,
        function="BreakerMachine._has_room",
        old="< self.half_open",
        new="<= self.half_open",
        killed_by=(
            f"{BREAKER}TestHalfOpen::test_exactly_as_many_probes_as_allowed_are_let_through",
        ),
    ),
    breaker(
        fault="only the probes under way are limited",
        law=6,
        function="BreakerMachine._has_room",
        old="self.flight + self.good + self.bad",
        new="self.flight",
        killed_by=(
            f"{BREAKER}TestHalfOpen::test_no_more_probes_are_let_through_than_the_verdict_needs",
        ),
    ),
    breaker(
        fault="a late success closes a breaker that is half-open",
        law=6,
        function="BreakerMachine._holds",
        old="return False",
        new='return self.state == "half-open"',
        killed_by=(
            f"{BREAKER}TestLate::test_a_late_probe_moves_nothing_in_the_next_round_of_probes",
        ),
    ),
    breaker(
        fault="a change of state begins no generation",
        law=6,
        function="BreakerMachine._enter",
        old="self.generation += 1",
        new="self.generation = 1",
        killed_by=(
            f"{BREAKER}TestLate::test_a_late_probe_moves_nothing_in_the_next_round_of_probes",
        ),
    ),
    breaker(
        fault="a probe that comes back after its deadline counts",
        law=6,
        function="BreakerMachine._holds",
        old="self.look(now)",
        new="pass",
        killed_by=(
            f"{BREAKER}TestHalfOpen::test_a_probe_that_comes_back_when_its_verdict_is_overdue_is_late",
        ),
    ),
    breaker(
        fault="a cancelled probe keeps its place",
        law=6,
        function="BreakerMachine.ignored",
        old='and self.state == "half-open"',
        new='and self.state == "open"',
        killed_by=(
            f"{BREAKER}TestCancelled::test_a_cancelled_probe_gives_its_place_back_and_decides_nothing",
        ),
    ),
    breaker(
        fault="a cancelled call is a call that did not fail",
        law=6,
        function="BreakerMachine.cancelled",
        old="window.cut += 1",
        new="window.calls += 1",
        killed_by=(
            f"{BREAKER}TestCancelled::test_a_slow_cancelled_call_does_not_dilute_the_share_of_failures",
        ),
    ),
    breaker(
        fault="a call that was slow when it was cancelled is forgotten",
        law=6,
        function="BreakerMachine.cancelled",
        old="window.slow += 1",
        new="pass",
        killed_by=(
            f"{BREAKER}TestCancelled::test_a_call_that_was_slow_already_when_it_was_cancelled_is_one_slow_call",
        ),
    ),
    breaker(
        fault="a success does not end a row",
        law=6,
        function="BreakerMachine.succeeded",
        old="self.log.clear()",
        new="pass",
        killed_by=(f"{BREAKER}TestInARow::test_a_success_begins_a_new_row",),
    ),
    breaker(
        fault="one failure more before it opens",
        law=6,
        function="BreakerMachine.failed",
        old=">= policy.failures",
        new=">  policy.failures",
        killed_by=(f"{BREAKER}TestInARow::test_so_many_failures_in_a_row_open_it",),
    ),
    breaker(
        fault="a share that is reached does not open it",
        law=6,
        function="BreakerMachine._weigh",
        old=">= self.rate",
        new=">  self.rate",
        killed_by=(f"{BREAKER}TestShares::test_a_share_of_failures_opens_it",),
    ),
    breaker(
        fault="too few calls make a share",
        law=6,
        function="BreakerMachine._weigh",
        old="if calls >= policy.calls and window.failures",
        new="if calls and window.failures",
        killed_by=(f"{BREAKER}TestShares::test_fewer_calls_than_the_minimum_make_no_share",),
    ),
    breaker(
        fault="a success never opens it",
        law=6,
        function="BreakerMachine.succeeded",
        old="if window.failures or window.slow:",
        new="if took > self.slow:",
        killed_by=(f"{BREAKER}TestShares::test_the_call_that_makes_the_minimum_may_be_a_success",),
    ),
    breaker(
        fault="slow failures are not slow",
        law=6,
        function="BreakerMachine.failed",
        old="window.slow += took > self.slow",
        new="pass",
        killed_by=(f"{BREAKER}TestShares::test_slow_calls_open_it_whatever_comes_of_them",),
    ),
    breaker(
        fault="a slow probe is a success",
        law=6,
        function="BreakerMachine.succeeded",
        old="good=took <= self.slow",
        new="good=True",
        killed_by=(f"{BREAKER}TestHalfOpen::test_a_slow_probe_is_no_success",),
    ),
    breaker(
        fault="one good probe of several closes it",
        law=6,
        function="BreakerMachine._probed",
        old="self.good >= self.needed",
        new="self.good",
        killed_by=(f"{BREAKER}TestHalfOpen::test_by_default_all_probes_have_to_succeed",),
    ),
    breaker(
        fault="it waits for probes that can change nothing",
        law=6,
        function="BreakerMachine._probed",
        old="self.bad > self.half_open - self.needed",
        new="self.bad >= self.half_open",
        killed_by=(
            f"{BREAKER}TestHalfOpen::test_it_opens_as_soon_as_enough_probes_cannot_succeed",
        ),
    ),
    breaker(
        fault="a hung probe keeps it half-open for ever",
        law=6,
        function="BreakerMachine.look",
        old="now >= self.deadline",
        new="False",
        killed_by=(
            f"{BREAKER}TestHalfOpen::test_a_probe_that_hangs_opens_it_again_for_as_long_as_before",
        ),
    ),
    breaker(
        fault="a hung probe lets the time open grow",
        law=6,
        function="BreakerMachine._open",
        old="if again else",
        new="if False else",
        killed_by=(
            f"{BREAKER}TestHalfOpen::test_a_probe_that_hangs_opens_it_again_for_as_long_as_before",
        ),
    ),
    breaker(
        fault="a verdict is due although no probe is under way",
        law=6,
        function="BreakerMachine._give_back",
        old="self.deadline = math.inf",
        new="pass",
        killed_by=(
            f"{BREAKER}TestHalfOpen::test_while_no_probe_is_under_way_nobody_waits_for_a_verdict",
        ),
    ),
    breaker(
        fault="a rest that the service asked for is cut short",
        law=6,
        function="BreakerMachine._open",
        old="max(seconds, rest)",
        new="seconds",
        killed_by=(f"{BREAKER}TestTimeOpen::test_the_rest_that_the_service_asks_for_is_the_least",),
    ),
    breaker(
        fault="a service may ask for a rest without end",
        law=6,
        function="BreakerMachine._open",
        old="min(self.rest_until - now, policy.cap)",
        new="self.rest_until - now",
        killed_by=(f"{BREAKER}TestTimeOpen::test_a_rest_is_kept_up_to_the_cap",),
    ),
    breaker(
        fault="chance takes off the time open",
        law=6,
        function="BreakerMachine._open",
        old="1 + LATER",
        new="1 - LATER",
        killed_by=(
            f"{BREAKER}TestTimeOpen::test_chance_is_added_to_the_rest_so_that_it_is_never_cut_short",
        ),
    ),
    breaker(
        fault="a long time closed does not end the row of openings",
        law=6,
        function="BreakerMachine._open",
        old="circuit.times = 0",
        new="pass",
        killed_by=(
            f"{BREAKER}TestTimeOpen::test_a_breaker_that_stays_closed_for_the_cap_begins_anew",
        ),
    ),
    breaker(
        fault="the ramp begins with everything",
        law=6,
        function="BreakerMachine._ramp_lets_through",
        old="LOWEST + (1 - LOWEST) *",
        new="1.0 +",
        killed_by=(f"{BREAKER}TestRamp::test_more_and_more_is_let_through_from_a_tenth_on",),
    ),
    breaker(
        fault="the ramp has no end",
        law=6,
        function="BreakerMachine._ramp_lets_through",
        old="part >= 1",
        new="False",
        killed_by=(f"{BREAKER}TestRamp::test_after_the_ramp_no_clock_is_needed_any_more",),
    ),
    breaker(
        fault="what is forced has no end",
        law=6,
        function="BreakerMachine.look",
        old="if now >= self.until:",
        new="if False:",
        killed_by=(f"{BREAKER}TestForced::test_forced_open_it_refuses_until_then",),
    ),
    breaker(
        fault="forced open lets calls through",
        law=6,
        function="BreakerMachine._admit_forced",
        old='self.forced == "open"',
        new='self.forced == "closed"',
        killed_by=(f"{BREAKER}TestForced::test_forced_open_it_refuses_until_then",),
    ),
    breaker(
        fault="a disabled breaker counts",
        law=6,
        function="BreakerMachine._admit_forced",
        old='self.forced == "metrics only"',
        new="self.forced",
        killed_by=(
            f"{BREAKER}TestForced::test_disabled_it_lets_everything_through_and_counts_nothing",
        ),
    ),
    breaker(
        fault="metrics only opens",
        law=6,
        function="BreakerMachine._open",
        old="shadow = self.forced is not None",
        new="shadow = False",
        killed_by=(
            f"{BREAKER}TestForced::test_metrics_only_it_tells_when_it_would_have_opened_and_lets_all_through",
        ),
    ),
    breaker(
        fault="metrics only tells of each failure",
        law=15,
        function="BreakerMachine._admit_forced",
        old="and now >= self.quiet_until",
        new="",
        killed_by=(
            f"{BREAKER}TestForced::test_metrics_only_it_tells_when_it_would_have_opened_and_lets_all_through",
        ),
    ),
    window(
        fault="nothing leaves the window of a breaker",
        law=15,
        function="Window._push",
        old="self.calls -= calls",
        new="pass",
        killed_by=(f"{WINDOW}test_of_a_steady_stream_it_holds_what_has_come_in_its_time",),
    ),
    window(
        fault="a window is a bucket too long",
        law=6,
        function="Window._push",
        old="BUCKETS - 1",
        new="BUCKETS + 1",
        killed_by=(f"{WINDOW}test_of_a_steady_stream_it_holds_what_has_come_in_its_time",),
    ),
    window(
        fault="a look at a window moves it",
        law=6,
        function="Window.counted",
        old="gone += 1",
        new="gone += 1; self.roll(now)",
        killed_by=(f"{WINDOW}test_looking_at_it_changes_nothing",),
    ),
    circuit(
        fault="the log of failures has no bound",
        law=15,
        function="Circuit.__init__",
        old="maxlen=most",
        new="maxlen=None",
        killed_by=(f"{CIRCUIT}test_it_counts_the_failures_of_the_window_up_to_so_many",),
    ),
)
