"""Faults in doing."""

from __future__ import annotations

from functools import partial

from tests.mutants.fault import Mutant

bus = partial(Mutant, module="supervisor._runtime.bus")
context = partial(Mutant, module="supervisor._runtime.context")
deadlines = partial(Mutant, module="supervisor._runtime.deadlines")
every = partial(Mutant, module="supervisor._runtime.every")
handle = partial(Mutant, module="supervisor._runtime.handle")
host = partial(Mutant, module="supervisor._runtime.host")
life = partial(Mutant, module="supervisor._runtime.life")
restarts = partial(Mutant, module="supervisor._runtime.restarts")
runtime = partial(Mutant, module="supervisor._runtime.runtime")
tree = partial(Mutant, module="supervisor._runtime.tree")

LIVES = (
    runtime(
        fault="our own cancellation is taken for somebody else's",
        law=8,
        function="Runtime._cancel",
        old="life._cancelled = True",
        new="pass",
        killed_by=(
            "tests/runtime/test_cancellation.py::test_a_child_that_turns_its_cancellation_into_a_return_is_stopped",
        ),
    ),
    life(
        fault="a cancellation that a life turned into a return is a return",
        law=8,
        function="live",
        old="outcome = CANCELLED if life._cancelled else RETURNED",
        new="outcome = RETURNED",
        killed_by=(
            "tests/runtime/test_cancellation.py::test_a_child_that_turns_its_cancellation_into_a_return_is_stopped",
        ),
    ),
    life(
        fault="the cancellations of a group are told as its failures",
        law=7,
        function="_outcome",
        old="exc = rest",
        new="pass",
        killed_by=(
            "tests/runtime/test_cancellation.py::test_an_error_that_a_stop_brings_out_beside_cancellations_is_a_crash",
        ),
    ),
    life(
        fault="a child may decline after it was ready",
        law="States and outcomes",
        function="_outcome",
        old='_declines(exc) and not (life._state.reports and life._state.state != "starting")',
        new="_declines(exc)",
        killed_by=("tests/runtime/test_outcome.py::test_to_decline_after_it_was_ready_is_a_crash",),
    ),
    life(
        fault="an exception that is raised life after life grows",
        law=15,
        function="_outcome",
        old="_trim(exc)",
        new="pass",
        killed_by=(
            "tests/runtime/test_events.py::test_one_exception_raised_by_life_after_life_does_not_grow",
        ),
    ),
    life(
        fault="an error out of a stop keeps the tree by the cancellation behind it",
        law=15,
        function="_outcome",
        old="_forget_cancellations(exc, cancelled)",
        new="pass",
        killed_by=(
            "tests/runtime/test_garbage.py::test_an_error_out_of_a_stop_does_not_keep_the_tree",
        ),
    ),
    life(
        fault="what stood behind a cancellation is forgotten with it",
        law=7,
        function="_forget_cancellations",
        old="behind = behind.__context__",
        new="behind = None",
        killed_by=(
            "tests/runtime/test_garbage.py::test_what_stood_behind_the_cancellation_is_still_told",
        ),
    ),
    life(
        fault="a life begins with the start value of the one before",
        law=2,
        function="CurrentChild._begin",
        old="self.value = None",
        new='self.value = getattr(state.runtime, "value", None)',
        killed_by=(
            "tests/runtime/test_ready.py::test_a_life_that_has_yet_to_be_ready_has_no_start_value",
        ),
    ),
    runtime(
        fault="a dependent is not given the start value of a fallback",
        law="Fallbacks",
        function="_value",
        old="at = at.fallback",
        new="at = None",
        killed_by=(
            "tests/runtime/test_arguments.py::test_a_fallbacks_value_is_used_while_it_stands_in",
        ),
    ),
    life(
        fault="a life may say twice that it is ready",
        law="States and outcomes",
        function="CurrentChild.started",
        old="if self._is_current and state.ready_at is not None:",
        new="if False:",
        killed_by=("tests/runtime/test_ready.py::test_calling_started_twice_crashes_the_child",),
    ),
    life(
        fault="a heartbeat of an old life counts for the new one",
        law=2,
        function="CurrentChild.heartbeat",
        old="if self._is_current:",
        new="if True:",
        killed_by=(
            "tests/runtime/test_every.py::test_a_heartbeat_of_an_old_life_does_not_count_for_the_new_one",
        ),
    ),
    life(
        fault="an old life says that the new one is healthy",
        law=2,
        function="CurrentChild.mark_healthy",
        old="self._is_current and self._state.up",
        new="self._state.up",
        killed_by=(
            "tests/runtime/test_restart.py::test_an_old_life_cannot_say_that_the_next_one_is_healthy",
        ),
    ),
    life(
        fault="notice of a stop is not given",
        law="One child",
        function="CurrentChild._notify",
        old="if self._stopping is not None:",
        new="if False:",
        killed_by=("tests/runtime/test_stop.py::test_with_grace_the_child_is_asked_first",),
    ),
    life(
        fault="notice of a stop is lost on who looks later",
        law="One child",
        function="CurrentChild.stopping",
        old="if self._state.asked and self._is_current:",
        new="if False:",
        killed_by=(
            "tests/runtime/test_stop.py::test_stopping_that_is_first_looked_at_after_the_notice_is_set",
        ),
    ),
    life(
        fault="the stack of a stuck child is empty",
        law=9,
        function="CurrentChild._stack",
        old='"" if self._handle is None else',
        new='"" if self._handle is not None else',
        killed_by=(
            "tests/runtime/test_stop.py::test_a_stuck_child_is_told_with_its_stack_and_place",
        ),
    ),
    runtime(
        fault="StopTimedOut comes without a stack",
        law=9,
        function="Runtime._tell_stuck",
        old='"" if child.is_supervisor else child.runtime._stack()',
        new='""',
        killed_by=(
            "tests/runtime/test_stop.py::test_a_stuck_child_is_told_with_its_stack_and_place",
        ),
    ),
    life(
        fault="what a life leaves open tears down its siblings",
        law="Cancellation",
        function="live",
        old="if handle is not None and scopes.left_open(handle):",
        new="if False:",
        killed_by=(
            "tests/runtime/test_scopes.py::test_what_a_life_leaves_open_concerns_that_life_only",
        ),
    ),
    every(
        fault="a turn is no heartbeat",
        law="The verdict",
        function="every.__anext__",
        old="life.heartbeat()",
        new="pass",
        killed_by=("tests/runtime/test_every.py::test_a_turn_is_a_heartbeat",),
    ),
    every(
        fault="turns that were missed are made up for",
        law=5,
        function="every.__anext__",
        old="self._due += missed * self._seconds",
        new="pass",
        killed_by=("tests/runtime/test_every.py::test_missed_turns_are_left_out_and_counted",),
    ),
)

TREE = (
    runtime(
        fault="lives do not get the context of whoever opened the tree",
        law="What is not promised",
        function="Runtime._run",
        old="context=self._context",
        new="context=None",
        killed_by=(
            "tests/runtime/test_context.py::test_the_context_of_the_opener_reaches_every_child_and_no_child_changes_it",
        ),
    ),
    runtime(
        fault="a step sees another one half done",
        law=4,
        function="Runtime.feed",
        old="if not self._draining:",
        new="if True:",
        killed_by=(
            "tests/runtime/test_events.py::test_what_a_sink_asks_for_is_done_when_the_step_under_way_is",
        ),
    ),
    deadlines(
        fault="the alarm is not rewritten when an earlier deadline arrives",
        law=5,
        function="Deadlines.set_alarm",
        old="deadline != self._alarm_at",
        new="deadline > self._alarm_at",
        killed_by=(
            "tests/runtime/test_restart.py::test_no_restart_before_its_backoff_and_none_later",
        ),
    ),
    deadlines(
        fault="the alarm stays set when its deadline is gone",
        law=13,
        function="Deadlines.set_alarm",
        old="deadline != self._alarm_at",
        new="deadline < self._alarm_at",
        killed_by=(
            "tests/runtime/test_idle.py::test_a_timer_goes_as_soon_as_what_it_was_for_is_called_off",
        ),
    ),
    deadlines(
        fault="a machine whose deadline has come is not asked for its next one",
        law=5,
        function="Deadlines.due",
        old="live_node.deadline = math.inf",
        new="pass",
        killed_by=(
            "tests/runtime/test_stop.py::test_a_deadline_that_begins_another_one_at_the_same_moment",
        ),
    ),
    deadlines(
        fault="a supervisor is stuck before the child that makes it so",
        law=9,
        function="Deadlines.due",
        old="reverse=True",
        new="reverse=False",
        killed_by=("tests/runtime/test_nested.py::test_the_total_deadline_reaches_the_depths",),
    ),
    runtime(
        fault="cancelling the block cancels the lives, in no order",
        law=8,
        function="Runtime.keep",
        old="shield=True",
        new="shield=False",
        killed_by=(
            "tests/runtime/test_cancellation.py::test_cancelling_the_block_stops_in_order_and_is_raised_again[trio]",
        ),
    ),
    runtime(
        fault="who waits for a child is not woken when its supervisor has ended",
        law=5,
        function="Runtime._finish",
        old="at.wake_all()",
        new="pass",
        killed_by=(
            "tests/runtime/test_commands.py::test_who_waits_for_a_stopped_child_goes_on_waiting_in_the_supervisors_next_life",
        ),
    ),
    runtime(
        fault="who waits for a child is not woken when it changes",
        law=5,
        function="Runtime._moved",
        old="at.wake(effect.child)",
        new="pass",
        killed_by=(
            "tests/runtime/test_commands.py::test_restart_waits_for_the_old_life_to_end_completely",
        ),
    ),
    runtime(
        fault="who enters a tree that is stopped while it boots waits for ever",
        law=3,
        function="Runtime.keep",
        old="self.booted.set()",
        new="pass",
        killed_by=(
            "tests/runtime/test_boot.py::test_a_tree_that_is_stopped_while_it_boots_keeps_nobody_waiting",
        ),
    ),
    runtime(
        fault="who waits for a condition of a tree that is over waits for ever",
        law=5,
        function="Runtime.keep",
        old="self.condition.changed.set()",
        new="pass",
        killed_by=(
            "tests/runtime/test_condition.py::test_waiting_for_a_condition_that_does_not_come",
        ),
    ),
    runtime(
        fault="a subscription outlasts its tree",
        law=15,
        function="Runtime.keep",
        old="self.bus.close()",
        new="pass",
        killed_by=(
            "tests/runtime/test_events.py::test_a_subscription_from_now_until_the_tree_is_over",
        ),
    ),
    runtime(
        fault="a supervisor that restarts leaves the reasons of its last life behind",
        law="The condition",
        function="Runtime._finish",
        old="self.condition.forget_below(at.node.path)",
        new="pass",
        killed_by=(
            "tests/runtime/test_condition.py::test_reasons_of_a_supervisor_that_restarts_are_forgotten",
        ),
    ),
    runtime(
        fault="a nested supervisor does not hear of its deadline",
        law=9,
        function="Runtime._notify",
        old="ShutDown(effect.by,",
        new="ShutDown(math.inf,",
        killed_by=(
            "tests/runtime/test_nested.py::test_a_deadline_of_its_own_clips_those_of_its_children",
        ),
    ),
    host(
        fault="leaving the block does not wait for the children that can end",
        law="All of them",
        function="open_supervisor.__aexit__",
        old="await self._wait_for_those_that_end()",
        new="pass",
        killed_by=(
            "tests/runtime/test_dynamic.py::test_leaving_waits_for_the_children_that_can_end",
        ),
    ),
    host(
        fault="leaving the block does not wait for a child that waits for its restart",
        law="All of them",
        function="_can_end",
        old="(state.alive or not state.holds_any(AT_REST))",
        new="state.alive",
        killed_by=(
            "tests/runtime/test_dynamic.py::test_leaving_waits_for_a_child_that_waits_for_its_restart",
        ),
    ),
    host(
        fault="the block goes on when its tree has failed",
        law=4,
        function="open_supervisor._keep",
        old="if self._failure is not None:",
        new="if False:",
        killed_by=(
            "tests/runtime/test_escalation.py::test_the_block_is_cancelled_when_the_tree_fails_and_may_clean_up",
        ),
    ),
    host(
        fault="the failure of a tree hides that of its block",
        law=7,
        function="open_supervisor._raise_failure",
        old="if own is None:",
        new="if True:",
        killed_by=(
            "tests/runtime/test_escalation.py::test_an_error_of_the_block_and_of_the_tree_are_both_told",
        ),
    ),
    context(
        fault="a tree that is over is still found",
        law=15,
        function="closed",
        old="if other is not tree",
        new="if True",
        killed_by=("tests/runtime/test_context.py::test_a_tree_that_failed_to_start_is_not_found",),
    ),
    tree(
        fault="children of start_soon are restarted when they return",
        law=4,
        function="Tree._spawn",
        old='options.setdefault("restart", "transient")',
        new='options.setdefault("restart", "permanent")',
        killed_by=(
            "tests/runtime/test_dynamic.py::test_leaving_waits_for_the_children_that_can_end",
        ),
    ),
    tree(
        fault="a child of start_soon is started by a tree that stops",
        law=3,
        function="Tree._spawn",
        old="refuse(at.node, name)",
        new="pass",
        killed_by=("tests/runtime/test_dynamic.py::test_nothing_is_started_once_the_tree_stops",),
    ),
)

PERMITS = (
    runtime(
        fault="a nested supervisor knows nothing of the budget above",
        law="Restarts by permit",
        function="Runtime._run_supervisor",
        old="now=now(), restarts=restarts)",
        new="now=now())",
        killed_by=(
            "tests/runtime/test_restart_permits.py::test_each_takes_the_budget_of_the_nearest_supervisor_that_names_one",
        ),
    ),
    runtime(
        fault="what lives below what a broker needs waits for its permit",
        law="Restarts by permit",
        function="Runtime._run_supervisor",
        old="None if child.unmetered else at.node.restarts",
        new="at.node.restarts",
        killed_by=(
            "tests/runtime/test_restart_permits.py::test_what_lives_below_what_a_broker_needs_takes_none",
        ),
    ),
    restarts(
        fault="a request that is given up goes on",
        law="Restarts by permit",
        function="Restarts.give_up",
        old="handle.cancel()",
        new="pass",
        killed_by=(
            "tests/runtime/test_restart_permits.py::test_what_is_stopped_while_it_waits_gives_its_request_up",
        ),
    ),
    restarts(
        fault="a permit that is not wanted any more is kept",
        law=11,
        function="Restarts.give_up",
        old="effect.permit is not None",
        new="False",
        killed_by=(
            "tests/runtime/test_restart_permits.py::test_a_permit_that_is_fed_after_the_request_was_given_up_goes_back",
        ),
    ),
    restarts(
        fault="a wait that is cancelled natively takes the tree down",
        law=8,
        function="Restarts._wait",
        old="except tree.cancelled:",
        new="except ZeroDivisionError:",
        killed_by=(
            "tests/runtime/test_restart_permits.py::test_a_wait_that_is_cancelled_natively_takes_nobody_down",
        ),
    ),
    restarts(
        fault="a broker that is down for long is waited for",
        law="Restarts by permit",
        function="_Lookout.set",
        old="broker.lost or ",
        new="",
        killed_by=(
            "tests/runtime/test_restart_permits.py::test_a_broker_that_is_set_aside_holds_nobody_up",
        ),
    ),
    restarts(
        fault="a broker that has not been started is waited for",
        law="Restarts by permit",
        function="_Lookout.set",
        old=" or not broker.life",
        new="",
        killed_by=(
            "tests/runtime/test_restart_permits.py::test_a_broker_that_has_yet_to_start_holds_nobody_up",
        ),
    ),
    restarts(
        fault="all restarts take permits of one priority",
        law="Restarts by permit",
        function="acquire_of_nearest",
        old="return await broker.acquire(budget, priority=priority)",
        new="return await broker.acquire(budget)",
        killed_by=(
            "tests/runtime/test_restart_permits.py::test_the_most_important_comes_back_first",
        ),
    ),
)

GRIPS = (
    handle(
        fault="a start that is cancelled leaves its child behind",
        law=1,
        function="Child._first_start",
        old="self._runtime.feed(self._node, StopChild(state))",
        new="pass",
        killed_by=(
            "tests/runtime/test_cancel_api.py::test_a_child_whose_starter_is_cancelled_is_not_left_over",
        ),
    ),
    handle(
        fault="who no longer waits for a child is still on its list",
        law=15,
        function="Child._until",
        old="at.unwatch(state, signal)",
        new="pass",
        killed_by=("tests/runtime/test_cancel_api.py::test_cancelled_after_so_many_turns",),
    ),
    handle(
        fault="a restart is told of the end of the old life",
        law="Commands",
        function="Child._next_ready",
        old="else state.life + 1",
        new="else state.life",
        killed_by=(
            "tests/runtime/test_commands.py::test_restart_waits_for_the_old_life_to_end_completely",
        ),
    ),
    handle(
        fault="a stop waits for the end of a life that somebody started meanwhile",
        law="Commands",
        function="Child._until_down",
        old=" or child.life != life",
        new="",
        killed_by=(
            "tests/runtime/test_commands.py::test_a_stop_is_over_although_somebody_starts_the_child_again_at_once",
        ),
    ),
)

EVENTS = (
    bus(
        fault="a subscription that is not read grows",
        law=15,
        function="_Queue.put",
        old="if len(self.items) >= self.capacity:",
        new="if False:",
        killed_by=(
            "tests/runtime/test_events.py::test_a_slow_reader_blocks_nobody_and_learns_what_it_missed",
        ),
    ),
    bus(
        fault="events that were dropped are not counted",
        law=15,
        function="_Queue.put",
        old="self.dropped += 1",
        new="self.dropped = 1",
        killed_by=(
            "tests/runtime/test_events.py::test_a_slow_reader_blocks_nobody_and_learns_what_it_missed",
        ),
    ),
    bus(
        fault="what was dropped last is not told",
        law=15,
        function="Subscription.__anext__",
        old="if queue.dropped:",
        new="if False:",
        killed_by=("tests/runtime/test_events.py::test_what_was_dropped_last_is_told_too",),
    ),
    bus(
        fault="a subscription to one child hears of others whose names begin alike",
        law=7,
        function="_below",
        old='path.startswith(ancestor + "/")',
        new="path.startswith(ancestor)",
        killed_by=("tests/runtime/test_events.py::test_filters_by_kind_and_path",),
    ),
    bus(
        fault="a reader of a full subscription keeps the event loop to itself",
        law=15,
        function="Subscription.__anext__",
        old="if self._run % FAIRNESS == 0:",
        new="if False:",
        killed_by=(
            "tests/runtime/test_events.py::test_a_reader_of_a_full_subscription_lets_others_run",
        ),
    ),
)

RUNTIME = (*LIVES, *TREE, *PERMITS, *GRIPS, *EVENTS)
