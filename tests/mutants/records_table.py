"""Faults in error records: what is kept, what errors have in common, what resolves them, the sums."""

from __future__ import annotations

from functools import partial

from tests.mutants.fault import Mutant

SECTION = "Error records"

records = partial(Mutant, module="supervisor._core.records")
fingerprint = partial(Mutant, module="supervisor._core.fingerprint")
summary = partial(Mutant, module="supervisor._core.summary")
recorder = partial(Mutant, module="supervisor._runtime.recorder")
life = partial(Mutant, module="supervisor._runtime.life")

KEPT = "tests/core/test_records.py::"
SUMS = "tests/core/test_summary.py::"
RUNNING = "tests/runtime/test_errors.py::"

RECORDS = (
    records(
        fault="one record too many is kept",
        law=15,
        function="Errors._keep",
        old="if len(ring) >= self._capacity:",
        new="if len(ring) > self._capacity:",
        killed_by=(f"{KEPT}test_the_last_thousand_are_kept_and_those_forgotten_are_counted",),
    ),
    records(
        fault="the records of a case are not counted",
        law=SECTION,
        function="Errors._keep",
        old="record.case.count += 1  #",
        new="pass  #",
        killed_by=(f"{KEPT}test_what_is_looked_for_is_what_is_kept_and_open",),
    ),
    records(
        fault="forgotten records are not counted",
        law=15,
        function="Errors._forget",
        old="self.forgotten += 1",
        new="pass",
        killed_by=(f"{KEPT}test_the_last_thousand_are_kept_and_those_forgotten_are_counted",),
    ),
    records(
        fault="a forgotten record is still looked for",
        law=15,
        function="Errors._forget",
        old="del self._open[case.key]",
        new="pass",
        killed_by=(f"{KEPT}test_what_is_forgotten_is_not_looked_for_any_more",),
    ),
    records(
        fault="a place outlives its code",
        law=SECTION,
        function="Errors._place_of",
        old="_Place(type_name(kind), where(at), code)",
        new="_Place(type_name(kind), where(at))",
        killed_by=(
            f"{KEPT}test_places_are_not_mixed_up_when_code_goes_away_and_other_code_takes_its_memory",
        ),
    ),
    records(
        fault="a record has the first fingerprint of its place",
        law=SECTION,
        function="Errors._told",
        old="if message != place.message:",
        new="if place.message is None:",
        killed_by=(f"{KEPT}test_errors_of_another_type_place_or_text_are_another_kind",),
    ),
    records(
        fault="an error is as severe as the last of its place",
        law=SECTION,
        function="_Place.severity_of",
        old='self.plain = is_plain(type(error)) and getattr(error, "severity", None) is None',
        new="self.plain = True",
        killed_by=(f"{KEPT}test_an_error_that_carries_a_status_sometimes_is_judged_each_time",),
    ),
    records(
        fault="the leaves of a group are told in the order of the scheduler",
        law=SECTION,
        function="Errors._told_of_group",
        old="told = sorted(",
        new="told = list(",
        killed_by=(f"{KEPT}test_a_group_has_the_types_of_its_leaves_in_an_order_of_its_own",),
    ),
    fingerprint(
        fault="a message is kept as it is",
        law=15,
        function="text_of",
        old="return plain(text, LONGEST)",
        new="return text",
        killed_by=(f"{KEPT}test_a_huge_message_is_cut",),
    ),
    fingerprint(
        fault="the place is the innermost frame whoever wrote it",
        law=SECTION,
        function="innermost",
        old="return own or last",
        new="return last",
        killed_by=(f"{KEPT}test_the_place_is_the_innermost_frame_of_the_users_own_code",),
    ),
    records(
        fault="what is resolved is dated when it is found",
        law=13,
        function="Errors._stayed",
        old='self._resolve(case, "restarted", since)',
        new='self._resolve(case, "restarted", now)',
        killed_by=(
            f"{KEPT}test_resolved_at_is_when_it_became_true_not_when_it_was_found",
            f"{RUNNING}test_what_nobody_asked_about_in_time_is_dated_when_it_became_true",
        ),
    ),
    records(
        fault="a life that has ended goes on to be ready",
        law=SECTION,
        function="Errors._left_ready",
        old="case.ready_at = math.inf",
        new="pass",
        killed_by=(f"{KEPT}test_the_ready_time_of_a_life_that_ended_is_not_the_next_ones",),
    ),
    records(
        fault="a life that is starting is taken for ready",
        law=SECTION,
        function="Errors._started",
        old="and event.ready",
        new="and True",
        killed_by=(f"{KEPT}test_a_life_is_up_from_when_it_is_ready",),
    ),
    records(
        fault="a return that is held against the child resolves its crashes",
        law=SECTION,
        function="Errors._returned",
        old='not in ("quarantine", "escalate")',
        new="not in ()",
        killed_by=(f"{KEPT}test_a_life_that_ends_too_early_has_proved_nothing",),
    ),
    records(
        fault="somebody else of its name resolves the crashes of a deleted child",
        law=SECTION,
        function="Errors._deleted",
        old="del self._open[event.path]",
        new="pass",
        killed_by=(f"{KEPT}test_somebody_else_of_the_same_name_resolves_nothing",),
    ),
    records(
        fault="a breaker that closes resolves what other guards have open",
        law=SECTION,
        function="Errors._breaker_closed",
        old="if record.guard == event.guard and",
        new="if",
        killed_by=(
            f"{KEPT}test_a_breaker_that_closes_resolves_what_is_open_of_its_guard",
            f"{RUNNING}test_a_breaker_that_closes_resolves_what_is_open_of_its_service",
        ),
    ),
    records(
        fault="what is resolved is still looked for",
        law=15,
        function="Errors._resolve",
        old="del self._open[case.key]",
        new="pass",
        killed_by=(f"{KEPT}test_what_is_looked_for_is_what_is_kept_and_open",),
    ),
    recorder(
        fault="a crash makes no record",
        law=7,
        function="Recorder.__init__",
        old="Crashed: self._crashed, ",
        new="",
        killed_by=(f"{RUNNING}test_an_hour_of_troubles_is_in_the_records_once_each_and_adds_up",),
    ),
    recorder(
        fault="a child proves itself when it is no more than up",
        law=SECTION,
        function="Recorder._reset_after",
        old="return after",
        new="return 0.0",
        killed_by=(f"{RUNNING}test_each_child_has_to_stay_up_for_as_long_as_its_own_backoff_says",),
    ),
    life(
        fault="what a life says of itself resolves nothing",
        law=SECTION,
        function="CurrentChild.mark_healthy",
        old="self._node.tree.recorder.healthy(self.path)",
        new="pass",
        killed_by=(f"{RUNNING}test_a_life_that_says_that_it_works_resolves_at_once",),
    ),
    summary(
        fault="a window is as long as it is and half a bucket",
        law=SECTION,
        function="Tally.within",
        old="if middle > now - window",
        new="if middle >= now - window",
        killed_by=(f"{SUMS}test_an_error_leaves_each_window_to_the_nearest_bucket",),
    ),
    summary(
        fault="a bucket tells everything apart",
        law=15,
        function="_told_apart",
        old="if len(counts) < KINDS:",
        new="if True:",
        killed_by=(f"{SUMS}test_kinds_beyond_the_bound_are_counted_as_others_beside_them",),
    ),
    summary(
        fault="what leaves the last hour is not counted any more",
        law=SECTION,
        function="Tally._forget",
        old="self._add(component, number)",
        new="pass",
        killed_by=(f"{SUMS}test_what_is_too_long_ago_is_counted_once",),
    ),
    summary(
        fault="what was quiet for longest is lost from the sums above it",
        law=15,
        function="Tally._add",
        old="earlier.pop(above, 0) + number",
        new="earlier.pop(above, 0)",
        killed_by=(
            f"{SUMS}test_components_that_were_quiet_for_longest_stay_in_the_sums_above_them",
        ),
    ),
    summary(
        fault="a summary does not let time pass",
        law=13,
        function="summary",
        old="errors.settle(now)",
        new="pass",
        killed_by=(f"{SUMS}test_the_summary_lets_time_pass_for_the_lives_that_stayed_up",),
    ),
)
