"""Faults in deciding."""

from __future__ import annotations

from functools import partial

from tests.mutants.fault import Mutant

backoff = partial(Mutant, module="supervisor._core.backoff")
circuit = partial(Mutant, module="supervisor._core.circuit")
close = partial(Mutant, module="supervisor._core.close")
command = partial(Mutant, module="supervisor._core.command")
condition = partial(Mutant, module="supervisor._core.condition")
group = partial(Mutant, module="supervisor._core.group")
move = partial(Mutant, module="supervisor._core.move")
node = partial(Mutant, module="supervisor._core.node")
order = partial(Mutant, module="supervisor._core.order")
resume = partial(Mutant, module="supervisor._core.resume")
step = partial(Mutant, module="supervisor._core.step")
table = partial(Mutant, module="supervisor._core.table")
timers = partial(Mutant, module="supervisor._core.timers")
verdict = partial(Mutant, module="supervisor._core.verdict")

LIVES = (
    step(
        fault="the late end of an old life is accepted",
        law=2,
        function="_exited",
        old="input.life == child.life and child.alive",
        new="child.alive",
        killed_by=(
            "tests/core/test_restart_types.py::test_the_late_end_of_an_old_life_moves_nothing",
        ),
    ),
    step(
        fault="the late readiness of an old life is accepted",
        law=2,
        function="_reported_ready",
        old="if input.life != child.life:",
        new="if input.life > child.life:",
        killed_by=(
            "tests/core/test_restart_types.py::test_readiness_of_an_old_life_moves_nothing",
        ),
    ),
    verdict(
        fault="the end of a life that was asked to end is judged as a crash",
        law=8,
        function="exited",
        old="child.asked or child.leaving or ",
        new="",
        killed_by=(
            "tests/core/test_restart_types.py::test_the_end_of_a_life_that_was_asked_to_end_is_told_but_not_judged",
        ),
    ),
    verdict(
        fault="a cancellation that nobody asked for is taken for a return",
        law=8,
        function="_judge",
        old='if outcome.kind == "cancelled":',
        new='if outcome.kind == "stopped":',
        killed_by=(
            "tests/core/test_restart_types.py::test_a_cancellation_that_nobody_asked_for_is_a_failure",
        ),
    ),
    verdict(
        fault="a transient child that crashes is finished",
        law=4,
        function="_judge",
        old='if error is None and child.spec.restart == "transient"',
        new='if child.spec.restart == "transient"',
        killed_by=(
            "tests/core/test_restart_types.py::test_the_end_of_a_life_is_judged_by_type_outcome_and_strategy",
        ),
    ),
    verdict(
        fault="a temporary child that crashes is restarted",
        law=4,
        function="_failed",
        old='child.spec.restart == "temporary" and child.primary is None',
        new="False",
        killed_by=(
            "tests/core/test_restart_types.py::test_a_missed_deadline_is_judged_by_restart_type_too",
        ),
    ),
    verdict(
        fault="a temporary member is brought back by its group",
        law=4,
        function="_is_over",
        old="return not child.again",
        new="return False",
        killed_by=("tests/runtime/test_groups.py::test_temporary_members_are_not_brought_back",),
    ),
    move(
        fault="an operator's restart outlasts the life that it made",
        law="Commands",
        function="start",
        old="child.asked = child.judged = child.again = False",
        new="child.asked = child.judged = False",
        killed_by=(
            "tests/core/test_commands.py::test_a_restarted_temporary_child_is_replaced_once",
        ),
    ),
    verdict(
        fault="a decline is counted against the intensity",
        law=4,
        function="_decline",
        old='reason = outcome.reason or ""',
        new='reason = outcome.reason or ""; _over_intensity(node)',
        killed_by=("tests/core/test_intensity.py::test_a_decline_does_not_count",),
    ),
    verdict(
        fault="a decline is a failed first start",
        law=4,
        function="_decline",
        old="child.trial = False",
        new="pass",
        killed_by=(
            "tests/core/test_commands.py::test_an_added_listed_child_that_declines_stays_listed",
        ),
    ),
    verdict(
        fault="a crash is told after what follows from it",
        law=7,
        function="_tell_crash",
        old="node.effects.insert(mark, crashed)",
        new="node.effects.append(crashed)",
        killed_by=(
            "tests/core/test_restart_types.py::test_a_crash_is_told_before_what_follows_from_it",
        ),
    ),
    verdict(
        fault="a failure while a failed life is brought down is lost",
        law=7,
        function="_tell_unjudged",
        old='outcome.kind == "crashed" and not known',
        new='outcome.kind == "crashed" and not child.judged',
        killed_by=(
            "tests/core/test_restart_types.py::test_a_failure_while_a_failed_life_is_brought_down_is_told_as_well",
        ),
    ),
    verdict(
        fault="the failure of a life that was declared failed is told twice",
        law=7,
        function="_tell_unjudged",
        old='outcome.kind == "crashed" and not known',
        new='outcome.kind == "crashed"',
        killed_by=(
            "tests/core/test_restart_types.py::test_a_life_that_ends_with_what_it_was_declared_failed_for_is_told_once",
        ),
    ),
)

DELAYS = (
    backoff(
        fault="the cap is applied after the draw",
        law="Backoff",
        function="delay",
        old="return _jittered(policy, grown(policy.base, policy.factor, attempt - 2, policy.cap), draw)",
        new='return min(policy.cap, _jittered(policy, grown(policy.base, policy.factor, attempt - 2, float("inf")), draw))',
        killed_by=("tests/core/test_backoff.py::test_the_cap_is_applied_before_the_draw",),
    ),
    backoff(
        fault="the second restart waits twice the base",
        law="Backoff",
        function="delay",
        old="attempt - 2",
        new="attempt - 1",
        killed_by=("tests/core/test_backoff.py::test_delays_of_a_series",),
    ),
    backoff(
        fault="equal jitter draws from nothing on",
        law="Backoff",
        function="_jittered",
        old="(0.5 + 0.5 * draw)",
        new="(0.5 * draw)",
        killed_by=("tests/core/test_backoff.py::test_delays_of_a_series",),
    ),
    verdict(
        fault="a healthy stretch does not begin a new series",
        law="Backoff",
        function="_note_stretch",
        old="if up >= child.spec.backoff.reset_after:",
        new="if up > math.inf:",
        killed_by=("tests/core/test_backoff.py::test_a_healthy_stretch_begins_a_new_series",),
    ),
    move(
        fault="a healthy stretch is counted from the start, not from readiness",
        law="Backoff",
        function="start",
        old="child.ready_at = None if child.reports else now",
        new="child.ready_at = now",
        killed_by=(
            "tests/core/test_backoff.py::test_a_long_start_that_fails_is_no_healthy_stretch",
        ),
    ),
    command(
        fault="a child that says that it is healthy goes on in its series",
        law="Backoff",
        function="mark_healthy",
        old="child.attempt = 0",
        new="pass",
        killed_by=("tests/core/test_backoff.py::test_a_child_may_say_that_it_is_healthy",),
    ),
    node(
        fault="a hold that is over is not released",
        law=5,
        function="Node.drop",
        old="child.holds.pop(owner)",
        new="child.holds[owner]",
        killed_by=("tests/core/test_commands.py::test_stop_is_idempotent_and_start_ends_it",),
    ),
    node(
        fault="nobody looks at a child whose hold is over",
        law=5,
        function="Node.drop",
        old="self.changed(child)",
        new="pass",
        killed_by=("tests/core/test_commands.py::test_stop_is_idempotent_and_start_ends_it",),
    ),
    timers(
        fault="timers that are no longer valid are kept",
        law=15,
        function="arm",
        old="if len(node.timers) > 64 + 4 * node.size:",
        new="if len(node.timers) > math.inf:",
        killed_by=(
            "tests/core/test_backoff.py::test_crash_loops_under_a_long_heartbeat_leave_no_timers",
        ),
    ),
    timers(
        fault="a start timeout is awaited although the child is ready",
        law=13,
        function="_next",
        old='elif state == "starting" and child.spec.start_timeout',
        new="elif child.spec.start_timeout",
        killed_by=("tests/runtime/test_idle.py::test_idle_children_set_no_timer",),
    ),
    step(
        fault="a heartbeat is waited for from the start, not from the last beat",
        law="The verdict",
        function="_deadline_while_ready",
        old="now >= child.beat + beat",
        new="now >= child.since + beat",
        killed_by=("tests/core/test_order.py::test_a_heartbeat_is_waited_for_from_the_last_beat",),
    ),
)

BUDGETS = (
    verdict(
        fault="one restart less than the intensity allows",
        law=4,
        function="_over_intensity",
        old="len(log) > limit.restarts",
        new="len(log) >= limit.restarts",
        killed_by=("tests/core/test_intensity.py::test_a_failed_start_counts",),
    ),
    verdict(
        fault="one restart more than the intensity allows",
        law=4,
        function="_over_intensity",
        old="len(log) > limit.restarts",
        new="len(log) > limit.restarts + 1",
        killed_by=(
            "tests/core/test_intensity.py::test_no_restarts_allowed_means_that_the_first_failure_ends_it",
        ),
    ),
    verdict(
        fault="the log of restarts is not pruned",
        law=15,
        function="_over_intensity",
        old="log.popleft()",
        new="break",
        killed_by=(
            "tests/core/test_intensity.py::test_restarts_at_the_edge_of_the_window_have_left_it",
        ),
    ),
    verdict(
        fault="a restart at the edge of the window still counts",
        law=4,
        function="_over_intensity",
        old="log[0] <= node.now",
        new="log[0] < node.now",
        killed_by=(
            "tests/core/test_intensity.py::test_restarts_at_the_edge_of_the_window_have_left_it",
        ),
    ),
    verdict(
        fault="restarts of a fallback count against the intensity",
        law=4,
        function="_restart",
        old="if child.primary is None and _over_intensity(node):",
        new="if _over_intensity(node):",
        killed_by=("tests/core/test_intensity.py::test_restarts_of_a_fallback_do_not_count",),
    ),
    group(
        fault="a group restart counts once for each member",
        law=4,
        function="begin",
        old="members = list(members_from(node, node.group.start))",
        new="members = list(members_from(node, node.group.start)); node.log.extend([node.now] * (len(members) - 1))",
        killed_by=("tests/core/test_intensity.py::test_a_group_restart_is_one_restart",),
    ),
    table(
        fault="one child more than max_children is taken in",
        law=15,
        function="refuse",
        old="node.size >= limit",
        new="node.size > limit",
        killed_by=("tests/core/test_commands.py::test_new_names_are_refused_by_what_is_there",),
    ),
    node(
        fault="a child that is gone is still bound to what it needed",
        law=15,
        function="Node.forget",
        old="target.dependents.pop(child, None)",
        new="pass",
        killed_by=(
            "tests/core/test_commands.py::test_a_dynamic_child_that_is_stopped_while_it_waits_leaves_nothing_behind",
        ),
    ),
    node(
        fault="a child that is gone is still waiting",
        law=15,
        function="Node.forget",
        old="child.blocker.waiting.pop(child, None)",
        new="pass",
        killed_by=(
            "tests/core/test_commands.py::test_a_dynamic_child_that_is_stopped_while_it_waits_leaves_nothing_behind",
        ),
    ),
    node(
        fault="numbers of names are never forgotten",
        law=15,
        function="Node._release_number",
        old="del self.copies[base]",
        new="pass",
        killed_by=(
            "tests/core/test_commands.py::test_names_of_peers_are_numbered_and_the_count_is_forgotten_with_the_last",
        ),
    ),
    close(
        fault="an error that is raised again and again gathers notes",
        law=15,
        function="note_once",
        old='note not in getattr(error, "__notes__", ())',
        new="True",
        killed_by=(
            "tests/core/test_intensity.py::test_the_note_of_an_error_that_is_raised_again_and_again_stays_one",
        ),
    ),
)

QUARANTINE = (
    verdict(
        fault="one crash more before a quarantine",
        law="Quarantine",
        function="_consider_quarantine",
        old="crashes < policy.crashes",
        new="crashes <= policy.crashes",
        killed_by=(
            "tests/core/test_quarantine.py::test_so_many_crashes_within_the_window_set_it_aside",
        ),
    ),
    circuit(
        fault="a crash at the edge of the window still counts",
        law="Quarantine",
        function="Circuit.failed",
        old="log[0] <= begin",
        new="log[0] < begin",
        killed_by=(
            "tests/core/test_quarantine.py::test_crashes_that_have_left_the_window_do_not_count",
        ),
    ),
    verdict(
        fault="a return counts as a crash",
        law="Quarantine",
        function="_restart",
        old="if error is not None and quarantine is not None:",
        new="if quarantine is not None:",
        killed_by=(
            "tests/core/test_quarantine.py::test_failed_starts_count_and_clean_returns_do_not",
        ),
    ),
    step(
        fault="a probe is good as soon as it is ready",
        law="Quarantine",
        function="_reported_ready",
        old="became_ready(node, child)",
        new="became_ready(node, child); child.probing and trusted_again(node, child)",
        killed_by=(
            "tests/core/test_quarantine.py::test_a_probe_is_good_once_it_is_ready_and_has_stayed_up",
        ),
    ),
    move(
        fault="a probe's time is counted from its start",
        law="Quarantine",
        function="became_ready",
        old="child.since = child.ready_at = child.beat = node.now",
        new="child.ready_at = child.beat = node.now",
        killed_by=(
            "tests/core/test_quarantine.py::test_a_probe_is_good_once_it_is_ready_and_has_stayed_up",
        ),
    ),
    command(
        fault="a probe may say that it is healthy before it is ready",
        law="Quarantine",
        function="mark_healthy",
        old='child.probing and child.state == "ready"',
        new="child.probing",
        killed_by=("tests/core/test_quarantine.py::test_a_probe_that_is_not_ready_proves_nothing",),
    ),
    circuit(
        fault="the row of quarantines does not grow",
        law="Quarantine",
        function="Circuit.opened",
        old="self.times += 1",
        new="self.times = 1",
        killed_by=(
            "tests/core/test_quarantine.py::test_a_probe_that_fails_renews_the_quarantine_for_longer_up_to_the_cap",
        ),
    ),
    verdict(
        fault="a long healthy life does not end the row of quarantines",
        law="Quarantine",
        function="_note_stretch",
        old="circuit.times = 0",
        new="pass",
        killed_by=(
            "tests/core/test_quarantine.py::test_a_long_healthy_life_ends_the_row_of_quarantines",
        ),
    ),
    circuit(
        fault="the first quarantine lasts as long as the second",
        law="Quarantine",
        function="Circuit.again",
        old="self.times - 1",
        new="self.times",
        killed_by=(
            "tests/core/test_quarantine.py::test_so_many_crashes_within_the_window_set_it_aside",
        ),
    ),
    verdict(
        fault="one child more than half is set aside",
        law="Quarantine",
        function="_half_are_aside",
        old="node.set_aside + 1 >",
        new="node.set_aside >",
        killed_by=("tests/core/test_quarantine.py::test_at_most_half_of_the_siblings_are_aside",),
    ),
    verdict(
        fault="an only child is not set aside",
        law="Quarantine",
        function="_half_are_aside",
        old="max(1, node.size // 2)",
        new="node.size // 2",
        killed_by=("tests/core/test_quarantine.py::test_an_only_child_may_be_set_aside",),
    ),
    verdict(
        fault="a probe that fails is let out because half are aside",
        law="Quarantine",
        function="_consider_quarantine",
        old="if not child.probing and _half_are_aside(node)",
        new="if _half_are_aside(node)",
        killed_by=(
            "tests/core/test_quarantine.py::test_a_probe_that_fails_renews_the_quarantine_for_longer_up_to_the_cap",
        ),
    ),
    backoff(
        fault="a child kept out of quarantine goes on at the base",
        law="Quarantine",
        function="at_cap",
        old="policy.cap",
        new="policy.base",
        killed_by=(
            "tests/core/test_quarantine.py::test_a_child_kept_out_of_quarantine_goes_on_at_the_cap",
        ),
    ),
    node(
        fault="a child that is trusted again still counts as set aside",
        law="Quarantine",
        function="Node.leave_quarantine",
        old="self.set_aside -= child.primary is None",
        new="pass",
        killed_by=(
            "tests/core/test_quarantine.py::test_a_probe_is_good_once_it_is_ready_and_has_stayed_up",
        ),
    ),
    verdict(
        fault="a child that finished on probation still counts as set aside",
        law="Quarantine",
        function="_conclude",
        old="node.leave_quarantine(child)",
        new="pass",
        killed_by=("tests/core/test_quarantine.py::test_who_finishes_on_probation_makes_room",),
    ),
    verdict(
        fault="what a critical child needs is set aside",
        law="Critical",
        function="_consider_quarantine",
        old="if child.critical:",
        new='if child.spec.priority == "critical":',
        killed_by=(
            "tests/core/test_quarantine.py::test_what_a_critical_child_needs_escalates_too",
        ),
    ),
    table(
        fault="only what a critical child needs itself is critical",
        law="Critical",
        function="make_critical",
        old="concerned.extend(target for target, _ in at.needs if not target.critical)",
        new="pass",
        killed_by=("tests/core/test_quarantine.py::test_what_a_critical_child_needs_is_critical",),
    ),
    table(
        fault="a supervisor with a critical child is set aside",
        law="Critical",
        function="_record",
        old="child.critical = _has_critical(spec.children)",
        new="pass",
        killed_by=(
            "tests/core/test_quarantine.py::test_a_supervisor_of_a_critical_child_escalates_too",
        ),
    ),
)

PLACES = (
    move(
        fault="a child starts before what it needs is ready",
        law=3,
        function="blocked_by",
        old="if not target.serving:",
        new="if not target.alive:",
        killed_by=("tests/core/test_needs.py::test_a_need_is_waited_for_outside_of_the_boot_too",),
    ),
    order(
        fault="a boot does not wait for its elder",
        law=3,
        function="_next_start",
        old="elif child.dynamic or passed(node, child):",
        new="elif True:",
        killed_by=("tests/core/test_order.py::test_a_reporting_child_holds_the_younger_ones_up",),
    ),
    move(
        fault="a group does not wait until the elder is ready",
        law=3,
        function="_let_by",
        old="return child.attempt > 0 and not node.in_order",
        new="return child.attempt > 0",
        killed_by=(
            "tests/core/test_order.py::test_in_a_group_the_younger_ones_wait_until_the_elder_is_ready",
        ),
    ),
    move(
        fault="one that cannot come up holds up the boot",
        law="Start order",
        function="_let_by",
        old="return child.attempt > 0 and not node.in_order",
        new="return False",
        killed_by=(
            "tests/core/test_order.py::test_who_fails_again_and_again_at_once_holds_nobody_up",
        ),
    ),
    step(
        fault="a child of start_soon waits for the boot",
        law="Start order",
        function="_add",
        old="if child.dynamic or not node.queue:",
        new="if not node.queue:",
        killed_by=(
            "tests/core/test_order.py::test_a_child_added_during_the_boot_takes_its_place_behind_the_others",
        ),
    ),
    verdict(
        fault="a strict boot is not unwound",
        law="Start order",
        function="_restart",
        old='return escalate(node, child, "strict boot")',
        new="pass",
        killed_by=("tests/core/test_order.py::test_a_strict_boot_is_unwound_in_reverse",),
    ),
    verdict(
        fault="after a strict boot a failed start still ends the supervisor",
        law="Start order",
        function="_fails_strict_boot",
        old="node.booting and ",
        new="",
        killed_by=(
            "tests/core/test_order.py::test_after_a_strict_boot_a_failed_start_is_a_crash_like_any_other",
        ),
    ),
    move(
        fault="something is started after a stop was asked for",
        law=3,
        function="wanted",
        old="or node.closing",
        new="",
        killed_by=(
            "tests/core/test_stop.py::test_who_has_stopped_stays_down_while_what_it_needs_still_serves",
        ),
    ),
    order(
        fault="listed children stop in the order in which they were started",
        law=3,
        function="stop_in_order",
        old="key=lambda c: c.index",
        new="key=lambda c: -c.index",
        killed_by=("tests/core/test_stop.py::test_listed_children_stop_one_at_a_time_in_reverse",),
    ),
    order(
        fault="listed children stop all at once",
        law=3,
        function="_next_stops",
        old="node.stopping or ",
        new="",
        killed_by=("tests/core/test_stop.py::test_listed_children_stop_one_at_a_time_in_reverse",),
    ),
    order(
        fault="peers stop after the listed ones",
        law="All of them",
        function="stop_in_order",
        old="node.stops.append(peers)",
        new="node.stops.insert(0, peers)",
        killed_by=("tests/core/test_stop.py::test_peers_stop_first_and_together",),
    ),
)

NEEDS = (
    move(
        fault="dependents are not brought down",
        law="needs and after",
        function="unbound",
        old="return True",
        new="return False",
        killed_by=("tests/core/test_needs.py::test_final_needs_see_the_final_loss",),
    ),
    move(
        fault="who waits for another is not told when that need not be waited for",
        law=5,
        function="move",
        old="_register(blocker, child)",
        new="pass",
        killed_by=(
            "tests/core/test_needs.py::test_who_comes_after_one_that_waits_is_told_when_that_wait_is_over",
        ),
    ),
    move(
        fault="dependents are not brought back",
        law="needs and after",
        function="wanted",
        old="return not (",
        new='return not (child.outcome and child.outcome.kind == "cancelled") and not (',
        killed_by=(
            "tests/core/test_needs.py::test_the_closure_goes_down_youngest_first_and_comes_back_eldest_first",
        ),
    ),
    move(
        fault="who needs each life does not see a crash",
        law="needs and after",
        function="unbound",
        old='(binding == "each" and child.alive and not target.serving)',
        new="False",
        killed_by=(
            "tests/core/test_needs.py::test_final_needs_do_not_see_a_crash_and_each_needs_see_every_one",
        ),
    ),
    move(
        fault="who sees only the final loss sees every crash",
        law="needs and after",
        function="_gone",
        old="child.holds is not None and not RESTARTING.issuperset(child.holds)",
        new="child.holds is not None",
        killed_by=(
            "tests/core/test_needs.py::test_final_needs_do_not_see_a_crash_and_each_needs_see_every_one",
        ),
    ),
    move(
        fault="a group restart is a final loss for who is not of the group",
        law="needs and after",
        function="_gone",
        old="not RESTARTING.issuperset(child.holds)",
        new='not {"backoff", "permit"}.issuperset(child.holds)',
        killed_by=(
            "tests/core/test_needs.py::test_who_came_while_a_fallback_served_stays_up_when_the_primary_returns_with_its_group",
        ),
    ),
    move(
        fault="after binds as needs does",
        law="needs and after",
        function="blocked_by",
        old="if not passed(node, target):",
        new="if not target.serving:",
        killed_by=(
            "tests/core/test_needs.py::test_after_is_passed_by_what_somebody_decided_not_to_run",
        ),
    ),
    move(
        fault="a child stops before what depends on it is down",
        law="needs and after",
        function="move",
        old="child.up and child.stop_turn and _pulled(child) is None",
        new="child.up and child.stop_turn",
        killed_by=(
            "tests/core/test_needs.py::test_the_closure_goes_down_youngest_first_and_comes_back_eldest_first",
        ),
    ),
    move(
        fault="a child starts again before what depends on it is down",
        law=3,
        function="blocked_by",
        old="return _pulled(child)",
        new="return None",
        killed_by=(
            "tests/core/test_needs.py::test_nothing_starts_again_before_the_last_dependent_is_down",
        ),
    ),
    node(
        fault="who waits at a child is not woken when it changes",
        law=5,
        function="Node",
        old="self.wake(child)",
        new="pass",
        killed_by=(
            "tests/core/test_needs.py::test_who_comes_after_one_that_starts_is_started_when_that_is_ready",
        ),
    ),
    table(
        fault="a need that is added to a child on its way down is not counted",
        law="needs and after",
        function="bind",
        old="target.pulling += 1",
        new="pass",
        killed_by=("tests/core/test_needs.py::test_a_need_that_is_added_later_binds_too",),
    ),
    move(
        fault="a probe starts beside its fallback",
        law="Fallbacks",
        function="blocked_by",
        old="child.fallback is not None and child.fallback.alive and",
        new="False and",
        killed_by=("tests/core/test_needs.py::test_the_primary_waits_for_the_end_of_its_fallback",),
    ),
    move(
        fault="a fallback starts beside its primary",
        law="Fallbacks",
        function="_switch_fallback",
        old="_wants_fallback(child) and not child.alive",
        new="_wants_fallback(child)",
        killed_by=("tests/core/test_needs.py::test_a_fallback_waits_for_the_end_of_its_primary",),
    ),
    verdict(
        fault="a temporary fallback is given up when it ends",
        law="Fallbacks",
        function="_failed",
        old=" and child.primary is None",
        new="",
        killed_by=(
            "tests/core/test_needs.py::test_a_fallback_is_restarted_whatever_its_type_and_only_while_it_is_needed",
        ),
    ),
    verdict(
        fault="a delay that was over before the end of the life still delays",
        law=5,
        function="exited",
        old="end_delays(node, child)",
        new="pass",
        killed_by=(
            "tests/core/test_needs.py::test_a_primary_that_ends_after_its_quarantine_is_the_probe_and_needs_no_fallback",
        ),
    ),
)

PERMITS = (
    resume(
        fault="a restart takes no permit",
        law=5,
        function="delay_is_over",
        old="if _takes_permit(node, child):",
        new="if False:",
        killed_by=(
            "tests/core/test_restart_permits.py::test_a_restart_waits_for_its_permit_once_its_backoff_is_over",
        ),
    ),
    verdict(
        fault="a restart at once takes no permit",
        law=5,
        function="_back_off",
        old='delay_is_over(node, child, "backoff")',
        new="pass",
        killed_by=(
            "tests/core/test_restart_permits.py::test_a_restart_at_once_waits_for_its_permit_too",
        ),
    ),
    resume(
        fault="the permit of an older request is taken for the present one's",
        law="Restarts by permit",
        function="permitted",
        old="child.request is None or child.request.number != number",
        new="child.request is None",
        killed_by=(
            "tests/core/test_restart_permits.py::test_a_late_permit_of_an_older_request_moves_nothing_and_goes_back",
        ),
    ),
    resume(
        fault="a late permit is kept",
        law=11,
        function="permitted",
        old="node.effects.append(GiveUpPermit(child, number, permit))",
        new="pass",
        killed_by=(
            "tests/core/test_restart_permits.py::test_a_late_permit_of_an_older_request_moves_nothing_and_goes_back",
        ),
    ),
    resume(
        fault="a permit that comes is given up again",
        law="Restarts by permit",
        function="permitted",
        old="child.request = None",
        new="pass",
        killed_by=(
            "tests/core/test_restart_permits.py::test_a_restart_waits_for_its_permit_once_its_backoff_is_over",
        ),
    ),
    resume(
        fault="a restart without a permit is not told",
        law="Restarts by permit",
        function="unavailable",
        old="node.effects.append(PermitMissed(node.now, child.path, node.restarts, why))",
        new="pass",
        killed_by=(
            "tests/core/test_restart_permits.py::test_where_there_is_none_to_be_had_the_restart_goes_ahead_and_it_is_told",
        ),
    ),
    resume(
        fault="a broker takes a permit of its own for its restart",
        law="Restarts by permit",
        function="_takes_permit",
        old=" or child.unmetered",
        new="",
        killed_by=(
            "tests/core/test_restart_permits.py::test_a_broker_takes_none_itself_nor_does_what_it_needs[one_for_one]",
        ),
    ),
    table(
        fault="what a broker needs far below waits for its permit",
        law="Restarts by permit",
        function="make_unmetered",
        old="for target, _ in at.needs]",
        new="for target, _ in at.needs if at is child]",
        killed_by=(
            "tests/core/test_restart_permits.py::test_a_broker_takes_none_itself_nor_does_what_it_needs[one_for_one]",
        ),
    ),
    resume(
        fault="a group waits for the permit of a broker that is down with it",
        law="Restarts by permit",
        function="_takes_permit",
        old="node.in_order and broker_among(node, _group_from(node, child))",
        new="False",
        killed_by=(
            "tests/core/test_restart_permits.py::test_a_group_with_a_broker_in_it_takes_none",
        ),
    ),
    group(
        fault="a group that a broker joins waits on for its permit",
        law="Restarts by permit",
        function="begin",
        old='node.tell_drop(child, "permit", "its group restarts, and a broker with it")',
        new="pass",
        killed_by=(
            "tests/core/test_restart_permits.py::test_a_broker_that_goes_down_with_a_group_takes_the_requests_of_its_members_with_it",
        ),
    ),
    node(
        fault="a request is not given up when its hold is taken off",
        law=11,
        function="Node.drop",
        old="self._give_up(child)",
        new="pass",
        killed_by=("tests/core/test_restart_permits.py::test_an_operator_cuts_the_wait_short",),
    ),
    node(
        fault="a child that is stopped goes on waiting for its permit",
        law="Restarts by permit",
        function="Node.hold",
        old="child.request is not None and",
        new="False and",
        killed_by=(
            "tests/core/test_restart_permits.py::test_a_stop_gives_the_request_up_and_a_later_start_takes_none",
        ),
    ),
    close(
        fault="a tree that stops goes on waiting for permits",
        law="Restarts by permit",
        function="start_no_more",
        old='node.drop(child, "permit")',
        new="pass",
        killed_by=(
            "tests/core/test_restart_permits.py::test_the_end_of_the_supervisor_gives_every_request_up",
        ),
    ),
    move(
        fault="the fallback ends while the probe waits for its permit",
        law="Restarts by permit",
        function="_wants_fallback",
        old='child.sits_out("quarantine")',
        new='child.holds is not None and "quarantine" in child.holds',
        killed_by=(
            "tests/core/test_restart_permits.py::test_a_probe_takes_a_permit_and_what_stands_in_runs_until_then",
        ),
    ),
    move(
        fault="a wait for a permit counts as the final loss",
        law="Restarts by permit",
        function="_gone",
        old="RESTARTING.issuperset(child.holds)",
        new="(RESTARTING - {'permit'}).issuperset(child.holds)",
        killed_by=(
            "tests/core/test_restart_permits.py::test_what_sees_only_the_final_loss_stays_while_a_permit_is_waited_for",
        ),
    ),
    order(
        fault="an elder waits for the permit of a younger one's probe",
        law="Restarts by permit",
        function="_backs_off",
        old='cause.sits_out("backoff")',
        new='cause.sits_out("backoff") or cause.request is not None',
        killed_by=(
            "tests/core/test_restart_permits.py::test_an_elder_is_not_kept_down_until_a_probe_has_its_permit",
        ),
    ),
)

GROUPS = (
    group(
        fault="the rest of a group is all of it",
        law=4,
        function="begin",
        old="else cause.index",
        new="else 0",
        killed_by=("tests/core/test_groups.py::test_members_stop_in_reverse_and_start_in_order",),
    ),
    group(
        fault="the group waits for the delay of the last cause only",
        law=4,
        function="begin",
        old="node.group.causes.append(cause)",
        new="node.group.causes = [cause]",
        killed_by=("tests/core/test_groups.py::test_a_second_crash_during_the_delay_merges",),
    ),
    group(
        fault="a crash of an elder does not widen the group under way",
        law=4,
        function="begin",
        old="node.group.start = min(node.group.start, start)",
        new="node.group.start = max(node.group.start, start)",
        killed_by=("tests/core/test_groups.py::test_a_second_crash_during_the_delay_merges",),
    ),
    order(
        fault="a group starts again while members are still ending",
        law=4,
        function="_release_group",
        old="if node.stopping or node.stops:",
        new="if False:",
        killed_by=("tests/core/test_groups.py::test_they_stop_one_at_a_time",),
    ),
    order(
        fault="an operator's hold is lost in a group restart",
        law=4,
        function="_release_group",
        old="for owner in ENDED:",
        new="for owner in (*ENDED, 'operator'):",
        killed_by=(
            "tests/core/test_groups.py::test_finished_and_declined_members_are_revived_and_stopped_ones_are_not",
        ),
    ),
    order(
        fault="a member that had finished stays down in a group restart",
        law=4,
        function="_release_group",
        old="node.drop(child, owner)",
        new="pass",
        killed_by=(
            "tests/core/test_groups.py::test_finished_and_declined_members_are_revived_and_stopped_ones_are_not",
        ),
    ),
    order(
        fault="an elder does not wait with its group for a younger one's backoff",
        law=4,
        function="_still_held",
        old="or any(_backs_off(cause) for cause in delayed)",
        new="",
        killed_by=(
            "tests/core/test_groups.py::test_an_elder_waits_with_its_group_for_a_younger_ones_backoff",
        ),
    ),
    verdict(
        fault="a crash on the way down restarts the group again",
        law=4,
        function="exited",
        old="child.leaving or ",
        new="",
        killed_by=(
            "tests/core/test_groups.py::test_a_crash_on_the_way_down_is_told_and_not_judged",
        ),
    ),
)

STOPS = (
    move(
        fault="grace does not give way when time is short",
        law=9,
        function="ask",
        old="min(stop.grace, left - deadline)",
        new="min(stop.grace, left)",
        killed_by=(
            "tests/core/test_stop.py::test_deadlines_are_clipped_to_the_whole_stop_and_grace_gives_way_first",
        ),
    ),
    move(
        fault="a deadline is not clipped to the whole stop",
        law=9,
        function="cancel",
        old="min(node.now + child.spec.stop.deadline, max(node.by, node.now))",
        new="node.now + child.spec.stop.deadline",
        killed_by=("tests/core/test_stop.py::test_a_deadline_is_clipped_to_the_whole_stop",),
    ),
    move(
        fault="a life that was declared failed gets its grace",
        law=9,
        function="ask",
        old="if now or child.judged:",
        new="if now:",
        killed_by=("tests/core/test_stop.py::test_a_life_that_missed_its_heartbeat_gets_no_grace",),
    ),
    close(
        fault="a grace under way outlasts the stop of the whole",
        law=9,
        function="_hurry",
        old="child.cancel_at = min(child.cancel_at, latest)",
        new="pass",
        killed_by=(
            "tests/core/test_stop.py::test_a_grace_under_way_gives_way_to_a_stop_of_the_whole",
        ),
    ),
    close(
        fault="a second call for a stop gives it more time",
        law=9,
        function="bound",
        old="if by < node.by:",
        new="if by != node.by:",
        killed_by=("tests/core/test_stop.py::test_a_second_call_for_a_stop_may_only_shorten_it",),
    ),
    close(
        fault="those who wait behind a slow one get no time of their own",
        law="All of them",
        function="bound",
        old="node.last_call = by - min(1.0, LAST_CALL * (by - node.now))",
        new="node.last_call = by",
        killed_by=(
            "tests/core/test_stop.py::test_those_who_wait_behind_a_slow_one_get_a_last_call",
        ),
    ),
    close(
        fault="a stop at once gives notice first",
        law=9,
        function="call_last",
        old="ask(node, child, now=True)",
        new="ask(node, child)",
        killed_by=("tests/core/test_stop.py::test_a_stop_at_once_gives_no_notice",),
    ),
    verdict(
        fault="a stuck child is given another life",
        law=9,
        function="became_stuck",
        old='node.hold(child, Hold("stuck", "it did not end by its stop deadline"))',
        new="pass",
        killed_by=(
            "tests/core/test_stop.py::test_the_late_end_of_a_stuck_life_lets_an_operator_start_it_again",
        ),
    ),
    verdict(
        fault="a stuck child keeps the others from going on",
        law=9,
        function="became_stuck",
        old="left_the_round(node, child)",
        new="pass",
        killed_by=("tests/core/test_groups.py::test_a_stuck_member_loses_its_place",),
    ),
    verdict(
        fault="a critical child that is stuck ends nothing",
        law="Stuck",
        function="became_stuck",
        old="if child.critical and not node.closing:",
        new="if False:",
        killed_by=("tests/core/test_stop.py::test_a_critical_child_that_is_stuck_ends_the_tree",),
    ),
    order(
        fault="a supervisor has ended although a child of it is stuck",
        law=1,
        function="_tell_end",
        old="if node.alive == 0:",
        new="if node.alive == node.stuck:",
        killed_by=(
            "tests/core/test_stop.py::test_who_is_stuck_loses_his_place_and_gets_no_further_life",
        ),
    ),
)

ENDS = (
    verdict(
        fault="a KeyboardInterrupt is supervised away",
        law=16,
        function="is_process_level",
        old="not isinstance(error, Exception)",
        new="isinstance(error, SystemExit)",
        killed_by=("tests/core/test_ends.py::test_process_level_exceptions_end_the_tree_in_order",),
    ),
    verdict(
        fault="a MemoryError is supervised away",
        law=16,
        function="is_process_level",
        old="isinstance(error, MemoryError) or",
        new="False or",
        killed_by=("tests/core/test_ends.py::test_process_level_exceptions_end_the_tree_in_order",),
    ),
    verdict(
        fault="a MemoryError in a group is supervised away",
        law=16,
        function="is_process_level",
        old="return any(",
        new="return len(error.exceptions) > 9 and any(",
        killed_by=("tests/core/test_ends.py::test_process_level_exceptions_end_the_tree_in_order",),
    ),
    verdict(
        fault="a KeyboardInterrupt during the stop is lost",
        law=16,
        function="_end_the_tree",
        old='node.outcome = Outcome("crashed", error)',
        new="pass",
        killed_by=(
            "tests/core/test_ends.py::test_a_process_level_exception_during_the_stop_is_the_outcome_as_well",
        ),
    ),
    verdict(
        fault="the end of any child ends its supervisor",
        law="Significant children",
        function="_significant_ended",
        old="not child.spec.significant or node.closing",
        new="node.closing",
        killed_by=("tests/core/test_ends.py::test_the_clean_end_of_a_significant_child",),
    ),
    verdict(
        fault="the end of a significant child is ignored",
        law="Significant children",
        function="_conclude",
        old="_significant_ended(node, child, clean=clean)",
        new="pass",
        killed_by=("tests/core/test_ends.py::test_the_clean_end_of_a_significant_child",),
    ),
    verdict(
        fault="the crash of a temporary significant child is ignored",
        law="Significant children",
        function="_significant_ended",
        old='counts = clean or child.spec.restart == "temporary"',
        new="counts = clean",
        killed_by=("tests/core/test_ends.py::test_a_crash_ends_it_only_for_a_temporary_child",),
    ),
    verdict(
        fault="a supervisor ends because an operator stopped a significant child",
        law="Significant children",
        function="_lost_as_bystander",
        old=" and not child.holds_any(AT_REST)",
        new="",
        killed_by=(
            "tests/core/test_ends.py::test_an_operators_end_of_a_temporary_child_does_not_end_it_either",
        ),
    ),
    verdict(
        fault="a significant child that waits for its restart counts as ended",
        law="Significant children",
        function="_is_last",
        old="(other.alive or not other.holds_any(AT_REST))",
        new="other.alive",
        killed_by=(
            "tests/core/test_ends.py::test_a_significant_child_that_waits_for_its_restart_has_not_ended",
        ),
    ),
    close(
        fault="a failure of a nested supervisor is raised as a group within the group",
        law=7,
        function="failure",
        old="leaves.extend(error.exceptions)",
        new="leaves.append(error)",
        killed_by=("tests/core/test_stop.py::test_the_leaves_of_nested_failures_are_flat",),
    ),
    step(
        fault="a supervisor that stops of itself goes on serving",
        law="needs and after",
        function="_began_to_end",
        old="input.child.ending = True",
        new="pass",
        killed_by=(
            "tests/runtime/test_nested.py::test_a_supervisor_that_gives_up_serves_nobody_while_its_children_stop",
        ),
    ),
)

COMMANDS = (
    command(
        fault="a restart leaves the old life as it is",
        law="Commands",
        function="restart",
        old="child.condemned = True",
        new="pass",
        killed_by=("tests/core/test_intensity.py::test_an_operators_restarts_do_not_count",),
    ),
    command(
        fault="a child that is on its way down cannot be started",
        law="Commands",
        function="start",
        old="child.up and not child.leaving",
        new="child.up",
        killed_by=("tests/core/test_commands.py::test_commands_are_followed_or_refused_by_state",),
    ),
    command(
        fault="a child that waits for its restart is deleted",
        law="Commands",
        function="delete",
        old="if not child.holds_any(AT_REST):",
        new="if False:",
        killed_by=("tests/core/test_commands.py::test_commands_are_followed_or_refused_by_state",),
    ),
    command(
        fault="a stop of one child is lost when it waits for its restart",
        law="Commands",
        function="stop",
        old='if child.holds is None or "operator" not in child.holds:',
        new="if child.holds is None:",
        killed_by=("tests/core/test_commands.py::test_commands_are_followed_or_refused_by_state",),
    ),
    condition(
        fault="a child that an operator stopped degrades the tree",
        law="The condition",
        function="judge",
        old="child.removed or child.holds_any(AT_REST)",
        new="child.removed",
        killed_by=(
            "tests/runtime/test_condition.py::test_what_an_operator_stopped_and_what_is_done_degrades_nothing",
        ),
    ),
)

CORE = (
    *LIVES,
    *DELAYS,
    *BUDGETS,
    *QUARANTINE,
    *PLACES,
    *NEEDS,
    *PERMITS,
    *GROUPS,
    *STOPS,
    *ENDS,
    *COMMANDS,
)
