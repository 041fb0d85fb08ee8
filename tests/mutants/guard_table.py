"""Faults in guarded calls as they run: permits, probes, timeouts, blocks, fallbacks and declarations."""

from __future__ import annotations

from functools import partial

from tests.mutants.fault import Mutant

attempt = partial(Mutant, module="supervisor._runtime.attempt")
course = partial(Mutant, module="supervisor._runtime.course")
guard = partial(Mutant, module="supervisor._runtime.guard")
guarded = partial(Mutant, module="supervisor._runtime.guarded")

CALLS = "tests/runtime/test_guard.py::"
BREAKER = "tests/runtime/test_guard_breaker.py::"
BLOCKS = "tests/runtime/test_guard_blocks.py::"
FALLBACK = "tests/runtime/test_guard_fallback.py::"
GARBAGE = "tests/runtime/test_guard_garbage.py::"
NAMES = "tests/runtime/test_guard_names.py::"
TRIED = "tests/runtime/test_guard_retries.py::"

GUARDS = (
    attempt(
        fault="a retry is made without a permit of its own",
        law=10,
        function="Attempt._begin",
        old="if live.budget is not None:",
        new="if live.budget is not None and self._course.number == 1:",
        killed_by=(f"{CALLS}test_a_permit_for_each_attempt_and_none_while_it_waits",),
    ),
    attempt(
        fault="who is refused after the wait for his permit keeps it",
        law=10,
        function="Attempt._ask_again",
        old="self._permit.give_back()",
        new="pass",
        killed_by=(
            f"{BREAKER}test_who_waited_for_a_permit_while_it_opened_makes_no_call_and_gives_it_back",
        ),
    ),
    attempt(
        fault="the breaker is not asked again after the wait for a permit",
        law="Retries",
        function="Attempt._begin",
        old="if breaker is not None and self._permit.waited:",
        new="if False:",
        killed_by=(
            f"{BREAKER}test_who_waited_for_a_permit_while_it_opened_makes_no_call_and_gives_it_back",
        ),
    ),
    attempt(
        fault="whose ticket is old is refused by a closed breaker",
        law="Retries",
        function="Attempt._ask_again",
        old="self._be_admitted(breaker, now)",
        new="raise self._course.live.rejection(now)",
        killed_by=(
            f"{BREAKER}"
            "test_who_waited_for_a_permit_while_it_opened_and_closed_again_makes_his_call",
        ),
    ),
    attempt(
        fault="the time for a permit is the service's",
        law="Retries",
        function="Attempt._end",
        old="took = 0.0 if self._at is None else now - self._at",
        new="took = now - self._course.began",
        killed_by=(f"{BREAKER}test_the_time_for_a_permit_is_not_the_services",),
    ),
    attempt(
        fault="the guard's timeout is no failure",
        law="Retries",
        function="Attempt._leave",
        old='return TimeoutError(f"no answer within {scope.deadline - self._at:.3g} s")',
        new="return None",
        killed_by=(f"{BREAKER}test_its_own_timeout_is_one_failure_and_one_outside_none",),
    ),
    attempt(
        fault="a timeout outside counts as a failure",
        law=8,
        function="Attempt._cut_short",
        old="breaker.cancelled(ticket, now, took)",
        new='breaker.failed(ticket, now, took, "cancelled")',
        killed_by=(
            f"{BREAKER}test_its_own_timeout_is_one_failure_and_one_outside_none",
            f"{BREAKER}test_a_cancelled_call_is_neutral",
        ),
    ),
    attempt(
        fault="a guarded call that is cancelled as a probe keeps its place",
        law=8,
        function="Attempt._cut_short",
        old="breaker.cancelled(ticket, now, took)",
        new="pass",
        killed_by=(f"{BREAKER}test_a_cancelled_probe_gives_its_place_back",),
    ),
    attempt(
        fault="a probe that is cancelled before its permit keeps its place",
        law=8,
        function="Attempt._cut_short",
        old="breaker.ignored(ticket, now)",
        new="pass",
        killed_by=(f"{BREAKER}test_after_such_a_cancellation_the_next_is_the_probe",),
    ),
    attempt(
        fault="what is ignored keeps its place",
        law="Retries",
        function="Attempt._tell_breaker",
        old="breaker.ignored(self._ticket, now)",
        new="pass",
        killed_by=(
            f"{BREAKER}test_a_probe_that_is_ignored_gives_its_place_back",
            f"{BREAKER}test_a_probe_without_a_permit_gives_its_place_back",
        ),
    ),
    attempt(
        fault="a permit that is refused is the service's failure",
        law="Retries",
        function="Attempt._tell_breaker",
        old='if self._at is None or judged.what != "failure":',
        new='if judged.what == "throttled":',
        killed_by=(f"{BREAKER}test_a_probe_without_a_permit_gives_its_place_back",),
    ),
    attempt(
        fault="a failure beside a cancellation is lost",
        law=8,
        function="Attempt._cut_short",
        old="elif isinstance(rest, Exception):",
        new="elif rest is exc:",
        killed_by=(f"{BREAKER}test_of_a_group_with_a_cancellation_the_rest_counts",),
    ),
    attempt(
        fault="the broker is not told of too many requests",
        law=10,
        function="Attempt._failed",
        old="self.throttled(judged.rest)",
        new="pass",
        killed_by=(
            f"{TRIED}test_the_rest_that_one_caller_was_told_holds_all_callers_of_the_budget",
        ),
    ),
    attempt(
        fault="too many, said by hand, is said again by the error",
        law=10,
        function="Attempt.throttled",
        old="self._told = True",
        new="pass",
        killed_by=(f"{BLOCKS}test_what_was_said_by_hand_is_not_said_again_by_the_error",),
    ),
    attempt(
        fault="an attempt is entered twice",
        law="Retries",
        function="Attempt.__aenter__",
        old="self._entered = True",
        new="pass",
        killed_by=(f"{BLOCKS}test_an_attempt_is_entered_once",),
    ),
    attempt(
        fault="a block is not under way",
        law=15,
        function="Attempt.__aenter__",
        old="live.under_way += 1",
        new="live.under_way += 0",
        killed_by=(
            f"{BLOCKS}test_a_block_that_is_cancelled_before_its_next_attempt_is_cancelled",
            f"{NAMES}test_a_guard_with_a_call_under_way_is_not_forgotten",
        ),
    ),
    attempt(
        fault="an attempt keeps its error",
        law=15,
        function="Attempt._goes_on",
        old="self._error = None",
        new="pass",
        killed_by=(f"{GARBAGE}test_a_call_that_fails_leaves_no_frame",),
    ),
    course(
        fault="the frame that raises an error keeps it",
        law=15,
        function="Course.give_up",
        old="del error, inflight",
        new="pass",
        killed_by=(f"{GARBAGE}test_a_call_that_fails_leaves_no_frame",),
    ),
    course(
        fault="a refusal takes the place of the last real error",
        law=7,
        function="Course._decide",
        old="if self.error is None or not refused:",
        new="if True:",
        killed_by=(
            f"{FALLBACK}"
            "test_the_error_that_a_fallback_stands_in_for_is_the_services_and_not_the_refusal",
        ),
    ),
    course(
        fault="who is cancelled before his next attempt is not counted",
        law=8,
        function="Course.goes_on",
        old="self.cut_short()",
        new="pass",
        killed_by=(f"{BLOCKS}test_what_was_cancelled_before_its_next_attempt_is_counted_so",),
    ),
    course(
        fault="who is cancelled before his next attempt waits for ever",
        law=15,
        function="Course.goes_on",
        old="live.retrying -= 1",
        new="pass",
        killed_by=(f"{BLOCKS}test_what_was_cancelled_before_its_next_attempt_is_counted_so",),
    ),
    course(
        fault="which errors are retried is not said anew",
        law="Retries",
        function="Course.judge",
        old="rules = live.rules if retry is live.how.retry else live.rules.retrying(retry)",
        new="rules = live.rules if retry else live.rules",
        killed_by=(f"{CALLS}test_which_errors_are_retried_is_said_anew_as_well",),
    ),
    course(
        fault="the timeout runs from the call's beginning",
        law="Retries",
        function="Course.until",
        old="return at + timeout if within is None",
        new="return self.began + timeout if within is None",
        killed_by=(f"{BLOCKS}test_it_has_the_permit_the_timeout_and_the_breaker",),
    ),
    course(
        fault="who has a fallback waits for an open breaker",
        law="Fallbacks",
        function="Course._decide",
        old="judged = replace(judged, retry=False)",
        new="pass",
        killed_by=(f"{FALLBACK}test_while_the_breaker_is_open_the_fallback_serves_at_once",),
    ),
    course(
        fault="a bad result is lost when a fallback fails",
        law="Fallbacks",
        function="Course.give_up",
        old="if isinstance(error, BadResult):",
        new="if isinstance(error, BadResult) and not failures:",
        killed_by=(f"{FALLBACK}test_a_bad_result_is_the_answer_when_no_fallback_serves",),
    ),
    guarded(
        fault="a fallback hides a mistake",
        law="Fallbacks",
        function="LiveGuard._stand_in",
        old="links = () if isinstance(course.error, UNHIDDEN) else self.fallbacks",
        new="links = self.fallbacks",
        killed_by=(f"{FALLBACK}test_no_fallback_hides_a_mistake",),
    ),
    guarded(
        fault="a fallback that is cancelled makes room for the next",
        law=8,
        function="LiveGuard._stand_in",
        old="except Exception as exc:",
        new="except BaseException as exc:",
        killed_by=(f"{FALLBACK}test_a_fallback_that_is_cancelled_is_a_cancelled_call",),
    ),
    guarded(
        fault="a declaration that is gone no longer counts",
        law=14,
        function="LiveGuard.declare",
        old="if here is not there and here != there:",
        new="if self.declarations() and here is not there and here != there:",
        killed_by=(f"{NAMES}test_a_declaration_that_is_gone_still_says_what_the_guard_is",),
    ),
    guarded(
        fault="only the last declaration is remembered",
        law=15,
        function="LiveGuard.declare",
        old="(*self.declarations(), again)",
        new="(again,)",
        killed_by=(
            f"{NAMES}test_after_the_end_of_the_tree_there_is_none",
            f"{NAMES}test_a_second_declaration_that_is_gone_does_not_take_the_first_with_it",
        ),
    ),
    guarded(
        fault="guards are never forgotten",
        law=15,
        function="Guards._make_room",
        old="del self._live[live.name]",
        new="pass",
        killed_by=(f"{NAMES}test_ten_thousand_guards_of_hosts_that_come_and_go_are_forgotten",),
    ),
    guarded(
        fault="a guard with a call under way is forgotten",
        law=15,
        function="Guards._nobody_else_holds",
        old="return not live.under_way and (",
        new="return (",
        killed_by=(f"{NAMES}test_a_guard_with_a_call_under_way_is_not_forgotten",),
    ),
    guarded(
        fault="functions remember the tree that is over",
        law="Retries",
        function="Guards._be_forgotten",
        old="guard._remember(None)",
        new="pass",
        killed_by=(f"{NAMES}test_after_the_end_of_the_tree_there_is_none",),
    ),
    guarded(
        fault="who waits for the breaker is not woken by a probe that is ignored",
        law="Retries",
        function="LiveGuard.tell",
        old='elif breaker.state == "half-open":',
        new="elif False:",
        killed_by=(
            f"{BREAKER}test_who_waits_while_the_probe_is_under_way_is_woken_when_there_is_room",
        ),
    ),
    guarded(
        fault="a generator function is called",
        law="Retries",
        function="_refuse_generators",
        old="if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):",
        new="if inspect.isgeneratorfunction(type(fn)):",
        killed_by=(f"{CALLS}test_a_generator_function_is_refused_as_its_call_does_nothing_yet",),
    ),
    guarded(
        fault="what a plain function answers with is taken for the result",
        law="Retries",
        function="made",
        old="return await result if inspect.isawaitable(result) else result",
        new="return result",
        killed_by=(
            f"{CALLS}test_what_makes_a_coroutine_is_awaited_in_the_event_loop",
            f"{CALLS}test_a_failure_of_what_a_plain_function_answers_with_is_seen",
        ),
    ),
    guard(
        fault="a guarded function that is cancelled tells nobody",
        law=8,
        function="_refusable",
        old="live.cut_directly(ticket, at, exc)",
        new="pass",
        killed_by=(f"{BREAKER}test_a_cancelled_call_that_was_slow_is_one_slow_call_and_no_more",),
    ),
    guard(
        fault="that a success has opened the breaker is told by the next call",
        law=7,
        function="_refusable",
        old="if breaker.happened:",
        new="if False:",
        killed_by=(f"{BREAKER}test_that_a_success_has_opened_it_is_told_at_once",),
    ),
    guard(
        fault="an attempt need not be entered",
        law="Retries",
        function="Attempts.__anext__",
        old="if self._last is not None and not self._last._entered:",
        new="if False:",
        killed_by=(f"{BLOCKS}test_an_attempt_that_is_not_entered_is_a_mistake",),
        hangs=True,
    ),
)
