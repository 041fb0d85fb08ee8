"""Faults in permits: what is granted, to whom, and what is lost."""

from __future__ import annotations

from functools import partial

from tests.mutants.fault import Mutant

bucket = partial(Mutant, module="supervisor._core.bucket")
permits = partial(Mutant, module="supervisor._core.permits")
budgets = partial(Mutant, module="supervisor._runtime.budgets")
broker = partial(Mutant, module="supervisor._runtime.broker")
permit = partial(Mutant, module="supervisor._runtime.permit")

BROKER = "tests/runtime/test_broker.py::"

PERMITS = (
    bucket(
        fault="a window has always room",
        law=10,
        function="Bucket._has_room",
        old="return self.taken + cost <= self.room",
        new="return True",
        killed_by=(f"{BROKER}test_a_full_window_grants_nothing_although_the_bucket_was_refilled",),
    ),
    bucket(
        fault="a bucket is refilled above its burst",
        law=10,
        function="Bucket.take",
        old="tokens = cap",
        new="pass",
        killed_by=(f"{BROKER}test_after_a_rest_no_more_than_the_burst_is_granted_at_once",),
    ),
    broker(
        fault="a broker that stops hands out what it had drawn",
        law=10,
        function="RunningBroker._when_asked_to_stop",
        old="state.recall()",
        new="pass",
        killed_by=(
            f"{BROKER}test_nothing_is_handed_out_any_more_once_the_broker_is_asked_to_stop",
        ),
    ),
    permits(
        fault="what was drawn from the stock is not put to the account",
        law=10,
        function="BudgetState._account",
        old="self.bucket.spend(used, self.last)",
        new="pass",
        killed_by=(f"{BROKER}test_what_the_burst_allows_is_granted_at_once",),
    ),
    permits(
        fault="a paused budget grants to those who wait",
        law=10,
        function="BudgetState.grants",
        old="if not self.waiting.live or self.paused or self.closed:",
        new="if not self.waiting.live or self.closed:",
        killed_by=(f"{BROKER}test_a_paused_budget_grants_nothing_until_it_is_resumed",),
    ),
    permits(
        fault="who is cancelled after the grant keeps the permit",
        law=11,
        function="BudgetState.abandon",
        old="self.give_back(request.cost, request.granted_at, now)",
        new="pass",
        killed_by=(f"{BROKER}test_cancelled_at_any_turn_around_the_grant_nothing_is_lost",),
    ),
    broker(
        fault="who is cancelled while he waits still waits for the broker",
        law=11,
        function="RunningBroker._wait",
        old="state.abandon(request, self._clock())",
        new="pass",
        killed_by=(f"{BROKER}test_who_is_cancelled_while_he_waits_takes_nothing_with_him",),
    ),
    broker(
        fault="nobody wakes the broker for what comes back",
        law=11,
        function="RunningBroker._given_back",
        old="self._look_again(state)",
        new="pass",
        killed_by=(f"{BROKER}test_a_permit_given_back_reaches_who_waits_at_once",),
    ),
    broker(
        fault="nobody wakes the broker for another limit",
        law=11,
        function="RunningBroker.configure",
        old="self._look_again(state)",
        new="pass",
        killed_by=(f"{BROKER}test_another_limit_reaches_those_who_wait_at_once",),
    ),
    budgets(
        fault="each life of a broker has a state of its own",
        law=12,
        function="Brokers.of",
        old="broker = self._by_path.get(child.path)",
        new="broker = None",
        killed_by=(f"{BROKER}test_who_waits_while_the_broker_has_no_life_is_granted_by_the_next",),
    ),
    broker(
        fault="a broker that stops for good leaves waiting who waits",
        law=12,
        function="RunningBroker._close",
        old="request.signal.set()",
        new="pass",
        killed_by=(f"{BROKER}test_who_still_waits_when_the_drain_is_over_is_told",),
    ),
    permit(
        fault="a permit serves twice",
        law=10,
        function="Permit._use",
        old="self._stage = USED",
        new="pass",
        killed_by=(f"{BROKER}test_a_permit_is_used_once",),
    ),
    broker(
        fault="a loop of permits holds the event loop",
        law=11,
        function="RunningBroker._ask",
        old="if self._in_a_row % YIELDING:",
        new="if True:",
        killed_by=(f"{BROKER}test_a_loop_of_permits_that_are_there_leaves_others_their_turn",),
    ),
)
