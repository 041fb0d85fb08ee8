"""Faults in what is retried, when, and how often by all calls together."""

from __future__ import annotations

from functools import partial

from tests.mutants.fault import Mutant

retry = partial(Mutant, module="supervisor._core.retry", law="Retries")
classify = partial(Mutant, module="supervisor._core.classify", law="Retries")

course = partial(Mutant, module="supervisor._runtime.course", law="Retries")

TRIED = "tests/core/test_retry.py::"
JUDGED = "tests/core/test_classify.py::"
RUNNING = "tests/runtime/test_guard_retries.py::"

RETRIES = (
    retry(
        fault="the first call is a retry",
        function="Attempts._decided",
        old="self.calls > policy.retries:",
        new="self.calls >= policy.retries:",
        killed_by=(f"{TRIED}test_retries_are_those_after_the_first_call",),
    ),
    retry(
        fault="the cap of retries is applied after the draw",
        function="Attempts._drawn",
        old="return most * draw",
        new="return min(policy.cap, 1e9 * draw)",
        killed_by=(f"{TRIED}test_delays_at_the_cap_stay_spread",),
    ),
    retry(
        fault="where the base is the cap there is nothing to draw",
        function="Attempts._drawn",
        old="low = min(policy.base, policy.cap / 2)",
        new="low = min(policy.base, policy.cap)",
        killed_by=(f"{TRIED}test_delays_at_the_cap_stay_spread",),
    ),
    retry(
        fault="chance makes a rest shorter",
        function="Attempts._decided",
        old="rest * (1 + LONGER * draw)",
        new="rest * (1 - LONGER * draw)",
        killed_by=(
            f"{TRIED}test_a_rest_that_the_service_asks_for_is_a_lower_bound_and_only_lengthened",
        ),
    ),
    retry(
        fault="a short rest takes the place of the delay",
        function="Attempts._decided",
        old="max(self._drawn(draw), rest * (1 + LONGER * draw))",
        new="rest * (1 + LONGER * draw) or self._drawn(draw)",
        killed_by=(f"{TRIED}test_a_rest_shorter_than_the_delay_does_not_shorten_it",),
    ),
    retry(
        fault="whatever rest a service asks for is waited for",
        function="Attempts._decided",
        old="if rest > policy.max_retry_after:",
        new="if False:",
        killed_by=(f"{TRIED}test_a_rest_that_is_too_long_is_not_waited_for",),
    ),
    retry(
        fault="a deadline is overslept",
        function="Attempts._decided",
        old="if now + delay >= self._deadline:",
        new="if now >= self._deadline:",
        killed_by=(f"{TRIED}test_a_delay_that_would_end_past_the_deadline_is_not_begun",),
    ),
    retry(
        fault="an open breaker is asked again at once",
        function="_rest",
        old="return max(rest, until)",
        new="return rest",
        killed_by=(f"{TRIED}test_an_open_breaker_is_asked_again_when_it_says_not_before",),
    ),
    retry(
        fault="each layer retries",
        function="Attempts._decided",
        old='if nested and policy.nested == "off":',
        new="if False:",
        killed_by=(f"{TRIED}test_what_was_retried_further_in_is_left_as_it_is",),
    ),
    retry(
        fault="the retry budget is bottomless",
        function="RetryBudget.take",
        old="self._tokens = max(0.0, self._tokens - 1)",
        new="pass",
        killed_by=(
            f"{TRIED}test_a_service_that_is_down_is_asked_little_more_often_than_without_retries",
        ),
    ),
    retry(
        fault="a retry that the budget refuses is made",
        function="Attempts.failed",
        old="if delay is not None and not budget.take(now):",
        new="if False:",
        killed_by=(f"{TRIED}test_neither_a_share_nor_a_reserve_is_no_retry",),
    ),
    retry(
        fault="retries are saved up without end",
        law=15,
        function="RetryBudget.put_back",
        old="min(self._most, self._tokens + self._share * calls)",
        new="self._tokens + self._share * calls",
        killed_by=(f"{TRIED}test_without_a_reserve_at_most_ten_retries_are_saved_up",),
    ),
    retry(
        fault="a clock that goes back takes retries away",
        function="RetryBudget._refill",
        old="if elapsed > 0 and",
        new="if",
        killed_by=(f"{TRIED}test_a_clock_that_goes_back_takes_nothing_away",),
    ),
    retry(
        fault="an error gets a note each time it is raised",
        law=15,
        function="Tried._replaces",
        old="return isinstance(note, Tried) and note.guard == self.guard",
        new="return False",
        killed_by=(f"{TRIED}test_one_object_raised_again_and_again_has_one_note",),
    ),
    retry(
        fault="an old note of the same object counts",
        function="was_retried",
        old="note.at > since",
        new="True",
        killed_by=(f"{TRIED}test_a_note_of_an_earlier_call_that_raised_the_same_object_is_old",),
    ),
    course(
        fault="a call that was only refused has no number",
        function="Course._noted",
        old="self._be_numbered()",
        new="pass",
        killed_by=(
            f"{RUNNING}test_a_refusal_that_the_inner_guard_has_waited_for_is_not_waited_for_again",
        ),
    ),
    course(
        fault="a call does not know which failures were before it",
        function="Course.__init__",
        old="self._before = before",
        new="self._before = -1",
        killed_by=(
            f"{RUNNING}test_one_error_object_that_is_raised_by_each_call_is_retried_by_each",
            f"{RUNNING}test_who_asks_another_service_when_one_has_failed_has_its_retries_too",
        ),
    ),
    course(
        fault="the callers deadline is not looked at",
        function="Course._decide",
        old="current_effective_deadline()",
        new="math.inf",
        killed_by=(f"{RUNNING}test_a_delay_that_would_end_past_the_callers_deadline_is_not_begun",),
    ),
    classify(
        fault="too many requests are a failure",
        function="_by_status",
        old="if status == 429 or (status == 503 and rest is not None):",
        new="if status == 503 and rest is not None:",
        killed_by=(f"{JUDGED}test_too_many_is_too_many_without_a_time_as_well",),
    ),
    classify(
        fault="a status that blames the caller is retried",
        function="_by_status",
        old="status not in _PASSING_4XX",
        new="status == 418",
        killed_by=(f"{JUDGED}test_a_status_that_blames_the_caller_is_ignored_and_not_retried",),
    ),
    classify(
        fault="a cancellation can be retried",
        law=8,
        function="Rules._judge",
        old="if not isinstance(error, Exception):",
        new="if False:",
        killed_by=(
            f"{JUDGED}test_what_is_no_plain_error_is_never_retried_and_never_counted",
            f"{JUDGED}test_a_group_with_a_cancellation_is_never_retried",
        ),
    ),
    classify(
        fault="a group is retried if one of its leaves is",
        function="Rules.judge",
        old="all(leaf.retry for leaf in leaves)",
        new="any(leaf.retry for leaf in leaves)",
        killed_by=(f"{JUDGED}test_a_group_is_retried_if_all_its_leaves_are",),
    ),
    classify(
        fault="on comes before never",
        function="Rules._again",
        old="if marked is False or self._never.any(around):",
        new="if marked is False or (self._never.any(around) and not self._on.any(around)):",
        killed_by=(f"{JUDGED}test_never_comes_before_on_and_on_before_the_defaults",),
    ),
    classify(
        fault="an answer that cannot be read is a mistake of the caller",
        function="_is_for_good",
        old="return not _is_garbage(error)",
        new="return True",
        killed_by=(f"{JUDGED}test_an_answer_that_cannot_be_read_is_the_services_failure",),
    ),
    classify(
        fault="a date in the past is less than no rest",
        function="_of_text",
        old="max(0.0, moment - wall)",
        new="moment - wall",
        killed_by=(f"{JUDGED}test_seconds_and_dates_are_read",),
    ),
    classify(
        fault="a predicate that fails takes the place of the error",
        law=7,
        function="_says_so",
        old="except Exception as exc:",
        new="except ZeroDivisionError as exc:",
        killed_by=(f"{JUDGED}test_a_predicate_that_fails_says_no_and_the_error_tells_once",),
    ),
    classify(
        fault="an attribute that fails takes the place of the error",
        law=7,
        function="_attribute",
        old="except Exception:",
        new="except AttributeError:",
        killed_by=(f"{JUDGED}test_attributes_that_raise_are_not_there",),
    ),
)
