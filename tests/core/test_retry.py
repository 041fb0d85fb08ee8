"""Retries: how many, after what delays, until when, and what all of them may do together."""

from __future__ import annotations

import copy
import math
import pickle
import random
import traceback
from collections import Counter
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from supervisor._core.classify import Judged
from supervisor._core.retry import (
    BURST,
    KEPT,
    LOOKED_AT,
    Attempts,
    RetryBudget,
    Tried,
    was_retried,
)
from supervisor._happenings import AttemptRule
from supervisor._spec.guards import Retry, Spread

JITTERS = get_args(Spread)
DRAWS = st.floats(0, 1, exclude_max=True)
PASSING = Judged("failure", retry=True)
LASTING = Judged("ignored", retry=False)


def unlimited() -> RetryBudget:
    return RetryBudget(Retry(reserve=math.inf), 0)


def resting(seconds: float) -> Judged:
    return Judged("throttled", retry=True, rest=seconds)


class Call:
    """A call whose attempts fail as they are told, one at once after each delay."""

    def __init__(
        self,
        policy: Retry,
        *,
        now: float = 0.0,
        deadline: float = math.inf,
        budget: RetryBudget | None = None,
    ) -> None:
        self.attempts = Attempts(policy, now, deadline)
        self.budget = budget or unlimited()
        self.now = now
        self.delays: list[float] = []
        self.rule: AttemptRule | None = None

    def fail(
        self,
        judged: Judged = PASSING,
        *,
        error: str = "Boom",
        draw: float = 0.5,
        took: float = 0.0,
        nested: bool = False,
    ) -> float | None:
        self.now += took
        delay, self.rule = self.attempts.failed(judged, error, self.now, draw, self.budget, nested)
        if delay is not None:
            self.delays.append(delay)
            self.now += delay
        return delay

    def fail_until_given_up(self, judged: Judged = PASSING, *, draw: float = 0.5) -> int:
        while self.fail(judged, draw=draw) is not None:
            assert self.attempts.calls < 10_000
        return self.attempts.calls


# --- how many ------------------------------------------------------------------------------------


@pytest.mark.parametrize("retries", [1, 3, 10])
def test_retries_are_those_after_the_first_call(retries: int) -> None:
    call = Call(Retry(retries=retries))

    assert call.fail_until_given_up() == retries + 1
    assert call.rule == "retries used up"


def test_no_retries_is_a_number_of_retries() -> None:
    call = Call(Retry(retries=0))

    assert call.fail_until_given_up() == 1
    assert call.rule == "no retries"


def test_retries_without_end_end_with_the_deadline() -> None:
    call = Call(Retry(retries=None, base=1, jitter="none", factor=1, deadline=100), now=7)

    assert call.fail_until_given_up() == 100
    assert call.rule == "deadline"


def test_what_does_not_go_away_by_itself_is_not_retried() -> None:
    call = Call(Retry())

    assert call.fail(LASTING) is None
    assert call.rule == "not retried"


def test_what_begins_to_last_is_not_retried_any_more() -> None:
    call = Call(Retry())

    assert call.fail() is not None
    assert call.fail(LASTING) is None
    assert call.attempts.calls == 2


def test_each_call_counts_its_own_attempts() -> None:
    """One policy and one budget, and twenty calls whose attempts alternate."""
    policy, budget = Retry(retries=3), unlimited()
    calls = [Call(policy, budget=budget) for _ in range(20)]

    for _ in range(4):
        for call in calls:
            call.fail()

    assert [call.attempts.calls for call in calls] == [4] * 20
    assert [len(call.delays) for call in calls] == [3] * 20


# --- after what delays -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jitter", "delays"),
    [
        ("none", [1, 2, 4, 8, 8]),
        ("full", [0.5, 1, 2, 4, 4]),
        ("equal", [0.75, 1.5, 3, 6, 6]),
        ("decorrelated", [2, 3.5, 4.5, 4.5, 4.5]),
    ],
)
def test_delays_grow_to_their_cap(jitter: Spread, delays: list[float]) -> None:
    call = Call(Retry(retries=5, base=1, factor=2, cap=8, jitter=jitter))

    call.fail_until_given_up()

    assert call.delays == delays


def test_decorrelated_delays_start_at_the_base_and_go_up_to_three_times_the_last() -> None:
    policy = Retry(base=1, factor=2, cap=100)
    lowest, highest = Call(policy), Call(policy)

    lowest.fail_until_given_up(draw=0.0)
    highest.fail_until_given_up(draw=math.nextafter(1, 0))

    assert lowest.delays == [1, 1, 1]
    assert highest.delays == pytest.approx([3, 9, 27])


@pytest.mark.parametrize("jitter", JITTERS)
@pytest.mark.parametrize("base", [30.0, 500.0, 1.0])
def test_delays_at_the_cap_stay_spread(jitter: Spread, base: float) -> None:
    """Cap and then draw: the other way round all clients at the cap come back together."""
    chance = random.Random(7)
    policy = Retry(retries=20, base=base, cap=30, jitter=jitter)
    seen = set()
    for _ in range(1000):
        call = Call(policy)
        while call.fail(draw=chance.random()) is not None:
            pass
        seen.add(call.delays[-1])

    assert max(seen) <= 30
    assert len(seen) == 1 if jitter == "none" else len(seen) > 900


@pytest.mark.parametrize("jitter", JITTERS)
def test_no_delay_is_a_delay(jitter: Spread) -> None:
    call = Call(Retry(base=0, jitter=jitter))

    assert call.fail_until_given_up() == 4
    assert call.delays == [0, 0, 0]


@pytest.mark.parametrize("jitter", JITTERS)
def test_no_number_of_attempts_overflows(jitter: Spread) -> None:
    policy = Retry(retries=None, factor=1e300, cap=30, jitter=jitter)
    call = Call(policy)

    for _ in range(5000):
        delay = call.fail(draw=0.999)
        assert delay is not None
        assert 0 <= delay <= 30


@pytest.mark.parametrize(("jitter", "most"), [("decorrelated", 40), ("full", 60), ("none", 1000)])
def test_a_thousand_calls_that_fail_together_do_not_come_back_together(
    jitter: Spread, most: int
) -> None:
    """The most of their second retries in any twentieth of a second."""
    chance = random.Random(7)
    calls = [Call(Retry(base=0.5, cap=8, jitter=jitter)) for _ in range(1000)]
    for call in calls:
        call.fail(draw=chance.random())
        call.fail(draw=chance.random())

    moments = Counter(int(call.now / 0.05) for call in calls)

    assert most / 4 <= max(moments.values()) <= most


# --- what the service asks for ---------------------------------------------------------------------


def test_a_rest_that_the_service_asks_for_is_a_lower_bound_and_only_lengthened() -> None:
    for draw in (0.0, 0.3, 0.999):
        call = Call(Retry(base=0))

        delay = call.fail(resting(20), draw=draw)

        assert delay == pytest.approx(20 * (1 + 0.25 * draw))


def test_a_rest_shorter_than_the_delay_does_not_shorten_it() -> None:
    call = Call(Retry(base=8, jitter="none"))

    assert call.fail(resting(2)) == 8


def test_a_rest_of_nothing_is_no_reason_to_come_back_at_once() -> None:
    call = Call(Retry(base=8, jitter="none"))

    assert call.fail(resting(0)) == 8


def test_a_rest_may_be_longer_than_the_cap() -> None:
    call = Call(Retry(cap=5))

    assert call.fail(resting(50), draw=0) == 50


def test_a_rest_that_is_too_long_is_not_waited_for() -> None:
    call = Call(Retry(max_retry_after=60))

    assert call.fail(resting(60)) is not None
    assert call.fail(resting(60.1)) is None
    assert call.rule == "asked for too long"


def test_an_open_breaker_is_asked_again_when_it_says_not_before() -> None:
    call = Call(Retry(), now=100.0)
    refused = Judged("ignored", retry=True, retry_at=130.0)

    delay = call.fail(refused, draw=0.0)

    assert delay == 30


def test_a_refusal_that_is_over_is_no_rest() -> None:
    call = Call(Retry(base=2, jitter="none"), now=100.0)

    assert call.fail(Judged("ignored", retry=True, retry_at=90.0)) == 2


def test_a_refusal_without_an_end_is_not_waited_for() -> None:
    call = Call(Retry())

    assert call.fail(Judged("ignored", retry=True, retry_at=math.inf)) is None
    assert call.rule == "asked for too long"


def test_a_rest_does_not_make_the_next_delays_longer() -> None:
    call = Call(Retry(base=1, factor=2, cap=100))

    call.fail(resting(50), draw=0.5)

    assert call.fail(draw=0.5) == 1 + 0.5 * (3 * 2 - 1)


# --- the deadline ----------------------------------------------------------------------------------


def test_a_delay_that_would_end_past_the_deadline_is_not_begun() -> None:
    call = Call(Retry(base=1, jitter="none"), now=50, deadline=53.5)

    assert call.fail() == 1
    assert call.fail() == 2
    assert call.fail() is None
    assert (call.now, call.rule) == (53, "deadline")


def test_nor_one_that_would_leave_the_next_attempt_no_time() -> None:
    call = Call(Retry(base=1, jitter="none"), deadline=1)

    assert call.fail() is None


def test_nor_one_after_the_deadline() -> None:
    call = Call(Retry(base=0), deadline=5)

    assert call.fail(took=6) is None
    assert call.rule == "deadline"


@pytest.mark.parametrize(("own", "callers"), [(3.5, math.inf), (3.5, 60), (60, 53.5), (None, 53.5)])
def test_the_nearer_of_the_policys_and_the_callers_deadline_counts(
    own: float | None, callers: float
) -> None:
    call = Call(Retry(base=1, jitter="none", deadline=own), now=50, deadline=callers)

    assert call.fail_until_given_up() == 3
    assert (call.now, call.rule) == (53, "deadline")


def test_a_rest_past_the_deadline_is_not_begun() -> None:
    call = Call(Retry(), deadline=10)

    assert call.fail(resting(10), draw=0) is None
    assert call.rule == "deadline"


# --- nested retries --------------------------------------------------------------------------------


def test_what_was_retried_further_in_is_left_as_it_is() -> None:
    call = Call(Retry())

    assert call.fail(nested=True) is None
    assert call.rule == "retried further in"


def test_nested_retries_can_be_asked_for() -> None:
    call = Call(Retry(nested="on"))

    assert call.fail(nested=True) is not None


def asked_of_the_service(layers: int, policy: Retry, budget: RetryBudget) -> int:
    """How often a service that is down is called through so many guards, one within the other."""
    asked = failed = 0

    def call(layer: int, now: float) -> float:
        nonlocal asked, failed
        if not layer:
            asked += 1
            raise ConnectionError(now)
        attempts, since, number = Attempts(policy, now), failed, 0
        while True:
            try:
                return call(layer - 1, now)
            except ConnectionError as exc:
                now = exc.args[0]
                failed += not number
                number = number or failed
                nested = was_retried(exc, since=since)
                delay, _ = attempts.failed(PASSING, "Down", now, 0.5, budget, nested)
                if delay is None:
                    if note := attempts.note(now, str(layer), number):
                        note.put_on(exc)
                    raise
                now += delay

    for moment in (0.0, 1000.0):
        with pytest.raises(ConnectionError):
            call(layers, moment)
    return asked // 2


@pytest.mark.parametrize("base", [1, 0], ids=["with delays", "in one instant"])
def test_three_layers_make_four_calls_and_not_sixty_four(base: int) -> None:
    assert asked_of_the_service(3, Retry(base=base), unlimited()) == 4
    assert asked_of_the_service(3, Retry(base=base, nested="on"), unlimited()) == 64


# --- the budget ------------------------------------------------------------------------------------


def test_a_budget_starts_with_ten_seconds_of_its_reserve() -> None:
    budget = RetryBudget(Retry(share=0, reserve=3), 0)

    assert [budget.take(0) for _ in range(31)] == [True] * 30 + [False]


def test_time_puts_the_reserve_back() -> None:
    budget = RetryBudget(Retry(share=0, reserve=2), 0)
    while budget.take(0):
        pass

    assert not budget.take(0.49)
    assert budget.take(0.5)
    assert not budget.take(0.5)
    assert [budget.take(1e6) for _ in range(21)] == [True] * 20 + [False]


def test_five_calls_that_succeed_at_once_make_a_retry() -> None:
    budget = RetryBudget(Retry(share=0.2, reserve=0), 0)
    assert not budget.take(0)

    for _ in range(4):
        budget.put_back()
        assert not budget.take(0)
    budget.put_back()

    assert budget.take(0)
    assert not budget.take(0)


def test_without_a_reserve_at_most_ten_retries_are_saved_up() -> None:
    budget = RetryBudget(Retry(share=1, reserve=0), 0)

    for _ in range(1000):
        budget.put_back()

    assert [budget.take(0) for _ in range(11)] == [True] * 10 + [False]


def test_neither_a_share_nor_a_reserve_is_no_retry() -> None:
    budget = RetryBudget(Retry(share=0, reserve=0), 0)
    call = Call(Retry(), budget=budget)

    assert call.fail() is None
    assert call.rule == "retry budget"
    assert not budget.take(1e9)


def test_an_infinite_reserve_is_no_budget() -> None:
    budget = RetryBudget(Retry(reserve=math.inf), 0)

    assert all(budget.take(0) for _ in range(100_000))
    assert budget.left(5) == math.inf


def test_a_service_that_is_down_is_asked_little_more_often_than_without_retries() -> None:
    """A thousand calls a second for a minute, all failing: 1.01 times as many, not 4 times."""
    policy = Retry(base=0)
    budget, asked = RetryBudget(policy, 0), 0
    for i in range(60_000):
        asked += Call(policy, now=i / 1000, budget=budget).fail_until_given_up()

    assert asked <= 60_000 + 100 + 60 * 10


def test_a_full_budget_has_nothing_to_put_back() -> None:
    budget = RetryBudget(Retry(share=0.25, reserve=1), 0)
    budget.take(0)

    budget.put_back(3)
    assert budget.left(0) == 9.75
    budget.put_back(100)
    assert budget.left(0) == 10


def test_without_a_share_there_is_never_anything_to_put_back() -> None:
    budget = RetryBudget(Retry(share=0, reserve=1), 0)
    while budget.take(0):
        pass

    budget.put_back(100)
    assert budget.left(0) == 0


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    budget = RetryBudget(Retry(share=0, reserve=1), 100)

    assert [budget.take(50) for _ in range(11)] == [True] * 10 + [False]


def test_a_clock_that_stands_or_goes_back_puts_nothing_back() -> None:
    budget = RetryBudget(Retry(share=0, reserve=1), 100)
    while budget.take(100):
        pass

    assert not budget.take(100)
    assert not budget.take(50)
    assert not budget.take(100.5)
    assert budget.take(101)


def test_a_retry_that_is_not_made_costs_nothing() -> None:
    budget = RetryBudget(Retry(share=0, reserve=1), 0)
    Call(Retry(retries=0), budget=budget).fail()
    Call(Retry(), budget=budget).fail(LASTING)
    Call(Retry(), budget=budget).fail(nested=True)
    Call(Retry(), budget=budget).fail(resting(1000))
    Call(Retry(), budget=budget, deadline=0.1).fail()

    assert budget.left(0) == 10


# --- the note --------------------------------------------------------------------------------------


def note_of(call: Call, guard: str = "") -> Tried:
    note = call.attempts.note(call.now, guard, 17)
    assert note is not None
    return note


def test_the_note_says_what_was_tried() -> None:
    call = Call(Retry(retries=2, base=1, jitter="none"), now=1000)
    call.fail(error="ConnectionError", took=0.25)
    call.fail(error="TimeoutError")
    call.fail(error="ConnectionError: refused")

    note = note_of(call, "exchange")

    assert note == (
        "guard 'exchange' gave up after 3 calls in 3.2 s: retries used up; "
        "ConnectionError 0.2 s, TimeoutError 1.2 s, ConnectionError: refused 3.2 s"
    )
    assert (note.guard, note.calls, note.rule) == ("exchange", 3, "retries used up")
    assert (note.took, note.at) == (3.25, 17)


def test_the_note_of_many_attempts_has_the_last_of_them() -> None:
    call = Call(Retry(retries=100, base=0))
    call.fail_until_given_up()

    text = note_of(call)

    assert text.startswith("gave up after 101 calls in 0.0 s: retries used up; 91 before, Boom")
    assert text.count("Boom") == KEPT


def test_the_note_has_no_long_texts() -> None:
    call = Call(Retry(retries=1, base=0))
    call.fail(error="x" * 10_000)
    call.fail(error="y" * 10_000)

    assert len(note_of(call)) < 300


@pytest.mark.parametrize(
    ("policy", "judged", "nested"),
    [(Retry(retries=0), PASSING, False), (Retry(), LASTING, False), (Retry(), PASSING, True)],
    ids=["no retries", "not retried", "retried further in"],
)
def test_where_nothing_was_tried_there_is_nothing_to_note(
    policy: Retry, judged: Judged, nested: bool
) -> None:
    call = Call(policy)
    call.fail(judged, nested=nested)

    assert call.attempts.note(call.now) is None


def test_an_error_tells_in_its_traceback_what_was_tried() -> None:
    error = ConnectionError("refused")

    Tried("gave up after 4 calls").put_on(error)

    assert traceback.format_exception(error)[-1].strip() == "gave up after 4 calls"


def test_one_object_raised_again_and_again_has_one_note() -> None:
    error = ConnectionError()
    error.add_note("from somebody else")

    for i in range(2000):
        Tried(f"the {i}th", "exchange", 4).put_on(error)

    assert error.__notes__ == ["from somebody else", "the 1999th"]


def test_notes_of_several_guards_stand_beside_each_other() -> None:
    error = ConnectionError()

    for _ in range(3):
        Tried("inner", "a", 4).put_on(error)
        Tried("outer", "b", 2).put_on(error)

    assert error.__notes__ == ["inner", "outer"]


def test_an_error_that_takes_no_notes_stays_as_it_is() -> None:
    class Sealed(Exception):
        def add_note(self, note: str) -> None:
            raise TypeError("no notes")

        @property
        def __notes__(self) -> Any:
            raise RuntimeError

    error = Sealed()

    Tried("gave up", calls=4).put_on(error)

    assert not was_retried(error, since=0)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_note_that_goes_to_another_process_still_says_so(copied: Any) -> None:
    note = Tried("gave up", "a", 4, "deadline", 3.5, 17)

    other = copied(note)

    assert other == note
    assert (other.guard, other.calls, other.rule, other.took, other.at) == (
        "a", 4, "deadline", 3.5, 17,
    )  # fmt: skip


# --- whether it was retried --------------------------------------------------------------------------


def retried(error: BaseException, **changed: Any) -> BaseException:
    Tried("gave up", **{"guard": "inner", "calls": 4, "at": 10, **changed}).put_on(error)
    return error


def raised(make: Any) -> BaseException:
    try:
        make()
    except Exception as exc:
        return exc
    raise AssertionError("it raises")


def test_a_plain_error_was_not_retried() -> None:
    error = ConnectionError()
    error.add_note("gave up after 4 calls")

    assert not was_retried(error, since=0)


def test_a_marked_error_was() -> None:
    assert was_retried(retried(ConnectionError()), since=0)


def test_it_is_found_in_a_group_however_deep() -> None:
    inner = ExceptionGroup("", [ValueError(), ExceptionGroup("", [retried(OSError())])])  # type: ignore[list-item]

    assert was_retried(ExceptionGroup("", [inner]), since=0)


def test_it_is_found_in_what_caused_the_error() -> None:
    def wrapped() -> None:
        raise RuntimeError from retried(OSError())

    def translated() -> None:
        try:
            raise retried(OSError())
        except OSError:
            raise RuntimeError from None

    assert was_retried(raised(wrapped), since=0)
    assert was_retried(raised(translated), since=0)


def test_what_the_caller_was_handling_before_has_nothing_to_do_with_the_call() -> None:
    """``except`` asks another service: the failure of the first is the context of the second's."""
    first = retried(ConnectionError("the first service"), at=10)

    def ask_another() -> None:
        try:
            raise first
        except ConnectionError:
            raise TimeoutError("the second") from None

    second = raised(ask_another)

    assert second.__context__ is first
    assert was_retried(second, since=9)
    assert not was_retried(second, since=10)


def test_a_note_of_an_earlier_call_that_raised_the_same_object_is_old() -> None:
    error = retried(ConnectionError(), at=10)

    assert was_retried(error, since=9)
    assert not was_retried(error, since=10)
    assert not was_retried(error, since=11)


def test_a_guard_that_made_one_call_has_retried_nothing() -> None:
    for rule in ("deadline", "asked for too long"):
        assert not was_retried(retried(OSError(), calls=1, rule=rule), since=0)


def test_what_the_retry_budget_refused_is_not_retried_further_out() -> None:
    assert was_retried(retried(OSError(), calls=1, rule="retry budget"), since=0)


def test_errors_that_cause_each_other_are_looked_at_once() -> None:
    a, b = OSError(), OSError()
    a.__cause__, b.__cause__ = b, a
    a.__context__, b.__context__ = a, a

    assert not was_retried(a, since=0)
    retried(b)
    assert was_retried(a, since=0)


def test_a_long_chain_is_looked_at_for_a_while_only() -> None:
    errors = [OSError() for _ in range(100_000)]
    for outer, inner in pairwise(errors):
        outer.__context__ = inner
    retried(errors[-1])
    retried(errors[LOOKED_AT // 2])

    assert was_retried(errors[0], since=0)
    assert not was_retried(errors[LOOKED_AT], since=0)


# --- what always holds -------------------------------------------------------------------------------

POLICIES = st.builds(
    Retry,
    retries=st.one_of(st.integers(0, 30), st.none()),
    base=st.one_of(st.just(0), st.floats(0, 100), st.integers(0, 10)),
    factor=st.one_of(st.just(1), st.floats(1, 10), st.floats(1, 1e300)),
    cap=st.floats(0.001, 1000),
    jitter=st.sampled_from(JITTERS),
    max_retry_after=st.floats(0.1, 1000),
)
TIMES = st.floats(-1e6, 1e9)
ERRORS = st.one_of(
    st.just(PASSING),
    st.builds(resting, st.floats(0, 2000)),
    st.builds(
        lambda at: Judged("ignored", retry=True, retry_at=at),
        st.one_of(st.floats(-1e6, 1e9), st.floats(0, 0.001), st.just(math.inf)),
    ),
)


@given(
    policy=POLICIES,
    now=TIMES,
    within=st.one_of(st.just(math.inf), st.floats(0, 1e4)),
    errors=st.lists(st.tuples(ERRORS, DRAWS, st.floats(0, 10))),
)
def test_whatever_happens_no_delay_is_too_short_or_too_long_and_there_are_not_too_many(
    policy: Retry, now: float, within: float, errors: list[tuple[Judged, float, float]]
) -> None:
    deadline = now + within
    call = Call(policy, now=now, deadline=deadline)
    for judged, draw, took in errors:
        failed_at = call.now + took

        delay = call.fail(judged, draw=draw, took=took)

        if delay is None:
            break
        assert call.rule == "retried"
        assert delay >= (judged.rest or 0)
        assert judged.retry_at is None or failed_at + delay >= judged.retry_at
        if judged.rest is None and (judged.retry_at is None or judged.retry_at <= failed_at):
            assert 0 <= delay <= policy.cap
        assert delay <= max(policy.cap, policy.max_retry_after * 1.25)
        assert failed_at + delay < deadline
    if policy.retries is not None:
        assert len(call.delays) <= policy.retries


@given(
    share=st.one_of(st.just(0), st.floats(0, 1)),
    reserve=st.one_of(st.just(0), st.floats(0, 100)),
    steps=st.lists(st.one_of(st.none(), st.integers(0, 30), st.floats(0, 5)), max_size=200),
)
def test_the_budget_lets_no_more_through_than_it_is_given(
    share: float, reserve: float, steps: list[float | None]
) -> None:
    """A step is a retry asked for, so many calls that succeed, or so much time."""
    start = 1000.0
    budget, now, successes, taken = (
        RetryBudget(Retry(share=share, reserve=reserve), start),
        start,
        0,
        0,
    )
    for step in steps:
        if step is None:
            taken += budget.take(now)
        elif isinstance(step, int):
            successes += step
            budget.put_back(step)
        else:
            now += step
        given_to_it = share * successes + reserve * (now - start) + BURST * reserve

        assert taken <= given_to_it + 1e-6
        assert 0 <= budget.left(now) <= max(BURST, BURST * reserve)


@given(share=st.floats(0, 1), reserve=st.floats(0, 100), successes=st.integers(0, 100))
def test_nor_any_less(share: float, reserve: float, successes: int) -> None:
    """From empty, and below what it saves up at most."""
    budget = RetryBudget(Retry(share=share, reserve=reserve), 0)
    while budget.take(0):
        pass
    left = budget.left(0)
    promised = left + share * successes
    assume(promised <= BURST)
    for _ in range(successes):
        budget.put_back()

    assert sum(budget.take(0) for _ in range(int(BURST) + 1)) == int(promised + 1e-6)
