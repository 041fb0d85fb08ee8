"""Blocks under a guard: those that can be run again, and those that cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import anyio.lowlevel
import pytest
from anyio import (
    CancelScope,
    create_task_group,
    current_time,
    fail_after,
    move_on_after,
    sleep,
    sleep_forever,
)

from supervisor import (
    Attempt,
    AttemptFailed,
    Breaker,
    BreakerOpen,
    Broker,
    CallRecovered,
    Guard,
    GuardFigures,
    Limit,
    PermitRefused,
    Retry,
    Supervisor,
    UnknownBudget,
    open_supervisor,
    try_acquire,
)
from tests.runtime.conftest import Service, Told

pytestmark = pytest.mark.usefixtures("leak_check")

STEADY = Retry(retries=2, base=1, jitter="none")
ONE_A_SECOND = Supervisor("root", [Broker({"api": Limit.smooth(1, burst=1)})])


def declared(**options: Any) -> Guard:
    return Guard("guard", **{"budget": None, "retry": STEADY, "breaker": None, **options})


def total(guard: Guard) -> GuardFigures:
    return guard.status().figures[-1]


# --- again -----------------------------------------------------------------------------------------


async def test_a_block_is_run_again_until_it_is_left_without_an_error(told: Told) -> None:
    guard, service = declared(), Service(ConnectionError, ConnectionError, "here")
    numbers: list[int] = []
    async with open_supervisor():
        async for attempt in guard:
            async with attempt as entered:
                assert entered is attempt
                numbers.append(attempt.number)
                answer = await service.ask()

        assert (answer, numbers, service.asked) == ("here", [1, 2, 3], [0, 1, 3])
        assert (total(guard).recovered, total(guard).retries, total(guard).attempts) == (1, 2, 3)
    assert [event.attempt for event in told.of(AttemptFailed)] == [1, 2]
    assert [event.attempt for event in told.of(CallRecovered)] == [3]


async def test_the_last_error_comes_out_with_a_note() -> None:
    guard = declared()
    async with open_supervisor():
        with pytest.raises(ConnectionError) as caught:
            async for attempt in guard:
                async with attempt:
                    raise ConnectionError(f"attempt {attempt.number}")
        assert str(caught.value) == "attempt 3"
        assert "gave up after 3 calls in 3.0 s: retries used up" in caught.value.__notes__[0]
        assert caught.value.__context__ is None
        assert total(guard).failed == 1


async def test_a_return_out_of_the_block_is_a_success() -> None:
    guard = declared()

    async def ask() -> int:
        async for attempt in guard:
            async with attempt:
                return attempt.number
        raise AssertionError

    async with open_supervisor():
        assert await ask() == 1
        assert (total(guard).succeeded, total(guard).calls) == (1, 1)


@pytest.mark.parametrize("way", ["break", "continue"])
async def test_so_is_a_break_and_a_continue(way: str) -> None:
    guard = declared()
    runs = 0
    async with open_supervisor():
        async for attempt in guard:
            async with attempt:
                runs += 1
                if way == "break":
                    break
                continue
        assert runs == 1
        assert (total(guard).succeeded, total(guard).calls) == (1, 1)
        assert guard.status().under_way == 0


async def test_a_break_before_the_block_is_entered_is_no_call() -> None:
    guard = declared(breaker=Breaker(failures=1, half_open=1))
    async with open_supervisor():
        async for _attempt in guard:
            break
        assert total(guard).calls == 0
        assert guard.status().under_way == 0


async def test_an_attempt_that_is_not_entered_is_a_mistake() -> None:
    async with open_supervisor():
        with pytest.raises(RuntimeError, match="was not entered"):
            async for _attempt in declared():
                pass


async def test_an_attempt_is_entered_once() -> None:
    guard = declared()
    async with open_supervisor():
        async for attempt in guard:
            async with attempt:
                pass
            with pytest.raises(RuntimeError, match="entered before"):
                async with attempt:
                    pass
        once = guard.permit()
        async with once:
            pass
        with pytest.raises(RuntimeError, match="entered before"):
            await once.__aenter__()
        assert guard.status().under_way == 0
        assert total(guard).calls == 2


def test_attempts_are_not_made_by_hand() -> None:
    with pytest.raises(TypeError, match="not made by hand"):
        Attempt()


async def test_each_loop_begins_anew() -> None:
    guard = declared()
    async with open_supervisor():
        for _ in range(2):
            numbers = []
            async for attempt in guard:
                async with attempt:
                    numbers.append(attempt.number)
                    if len(numbers) < 3:
                        raise ConnectionError
            assert numbers == [1, 2, 3]


async def test_an_error_between_the_blocks_is_not_retried() -> None:
    async with open_supervisor():
        runs = 0
        with pytest.raises(ConnectionError):
            async for attempt in declared():
                runs += 1
                async with attempt:
                    pass
                raise ConnectionError
        assert runs == 1


# --- cancelled -------------------------------------------------------------------------------------


async def test_a_block_that_is_cancelled_is_neither_success_nor_failure() -> None:
    guard = declared(breaker=Breaker(failures=1))
    async with open_supervisor():
        with move_on_after(1) as scope:
            async for attempt in guard:
                async with attempt:
                    await sleep_forever()
        assert scope.cancelled_caught
        assert (total(guard).cancelled, total(guard).calls) == (1, 1)
        status = guard.status()
        assert status.breaker is not None
        assert (status.breaker.state, status.breaker.in_a_row, status.under_way) == ("closed", 0, 0)


async def test_a_block_that_is_cancelled_before_its_next_attempt_is_cancelled() -> None:
    guard = declared(retry=Retry(base=10, cap=10, jitter="none"))
    async with open_supervisor(), create_task_group() as group:

        async def run() -> None:
            async for attempt in guard:
                async with attempt:
                    raise ConnectionError

        group.start_soon(run)
        await sleep(1)
        assert (guard.status().retrying, guard.status().under_way) == (1, 1)
        group.cancel_scope.cancel()
        await anyio.lowlevel.checkpoint()
    assert group.cancel_scope.cancelled_caught


async def test_what_was_cancelled_before_its_next_attempt_is_counted_so() -> None:
    guard = declared(retry=Retry(base=10, cap=10, jitter="none"))
    async with open_supervisor():
        scope = CancelScope()

        async def run() -> None:
            with scope:
                async for attempt in guard:
                    async with attempt:
                        raise ConnectionError

        async with create_task_group() as group:
            group.start_soon(run)
            await sleep(1)
            scope.cancel()
        status, figures = guard.status(), total(guard)
        assert (figures.cancelled, figures.failed, figures.calls) == (1, 0, 1)
        assert (status.retrying, status.under_way) == (0, 0)


async def test_a_block_that_is_cancelled_while_it_waits_for_its_permit_is_counted() -> None:
    guard = declared(budget="api", breaker=Breaker(failures=1))
    async with open_supervisor(ONE_A_SECOND):
        scope = CancelScope()

        async def wait() -> None:
            with scope:
                async with guard.permit():
                    raise AssertionError("it is not granted")

        async with guard.permit():
            async with create_task_group() as group:
                group.start_soon(wait)
                await sleep(0.5)
                assert guard.status().under_way == 2
                scope.cancel()
        await sleep(0.5)
        assert (total(guard).cancelled, total(guard).succeeded) == (1, 1)
        assert guard.status().under_way == 0
        assert try_acquire("api") is not None


async def test_who_catches_the_cancellation_of_a_block_is_not_run_again() -> None:
    guard = declared()
    runs = 0
    async with open_supervisor():
        async for attempt in guard:
            with move_on_after(1):
                async with attempt:
                    runs += 1
                    await sleep_forever()
        assert runs == 1
        assert total(guard).cancelled == 1


async def test_a_generator_that_is_closed_within_a_block_is_neither(told: Told) -> None:
    guard = declared(breaker=Breaker(failures=1))

    async def lines() -> AsyncIterator[int]:
        async for attempt in guard:
            async with attempt:
                for number in range(10):
                    yield number

    async with open_supervisor():
        async with aclosing(lines()) as reading:  # type: ignore[type-var]
            async for number in reading:
                if number == 3:
                    break
        status = guard.status()
        assert status.breaker is not None
        assert (status.breaker.state, status.breaker.in_a_row, status.under_way) == ("closed", 0, 0)
        assert total(guard).cancelled == 1
    assert not told.of(AttemptFailed)


# --- once ------------------------------------------------------------------------------------------


async def test_a_block_that_cannot_be_run_again_is_not() -> None:
    guard = declared(fallback="instead")
    async with open_supervisor():
        with pytest.raises(ConnectionError) as caught:
            async with guard.permit():
                raise ConnectionError
        assert not hasattr(caught.value, "__notes__")
        assert (total(guard).failed, total(guard).attempts) == (1, 1)


async def test_it_has_the_permit_the_timeout_and_the_breaker() -> None:
    guard = declared(budget="api", timeout=2, breaker=Breaker(failures=1, open=10))
    async with open_supervisor(ONE_A_SECOND):
        async with guard.permit() as attempt:
            assert (attempt.waited, attempt.number) == (0, 1)
        async with guard.permit() as attempt:
            assert attempt.waited == 1
            assert current_time() == 1
        with pytest.raises(TimeoutError, match="within 2 s"):
            async with guard.permit():
                await sleep_forever()
        assert current_time() == 4  # from the permit on
        with pytest.raises(BreakerOpen):
            async with guard.permit():
                raise AssertionError("not entered")
        figures = total(guard)
        assert (figures.succeeded, figures.failed, figures.timed_out, figures.rejected) == (
            2,
            2,
            1,
            1,
        )


async def test_an_error_that_is_raised_as_the_timeout_ends_is_the_error() -> None:
    guard = declared(timeout=1)
    async with open_supervisor():
        with pytest.raises(ValueError, match="mine"):
            async with guard.permit():
                try:
                    await sleep_forever()
                finally:
                    raise ValueError("mine")
        assert total(guard).timed_out == 0


async def test_who_does_not_let_the_timeout_out_is_in_time() -> None:
    guard = declared(timeout=1)
    async with open_supervisor():
        async with guard.permit():
            with CancelScope(shield=True):
                await sleep(5)
        assert total(guard).succeeded == 1


async def test_a_task_group_within_the_block_ends_with_it() -> None:
    guard = declared(timeout=1, retry=None)
    async with open_supervisor():
        with pytest.raises(TimeoutError):
            async with guard.permit(), create_task_group() as group:
                group.start_soon(sleep_forever)
                group.start_soon(sleep_forever)
        assert current_time() == 1


async def test_a_permit_that_is_not_to_be_had_is_told_on_entering() -> None:
    guard = declared(budget="api", retry=None)
    async with open_supervisor(ONE_A_SECOND):
        async with guard.permit():
            pass
        with pytest.raises(PermitRefused), fail_after(0.5):
            async with guard.permit():
                raise AssertionError("not entered")
        with pytest.raises(UnknownBudget):
            async with Guard("other", budget="nowhere").permit():
                raise AssertionError("not entered")
        assert total(guard).refused == 1
        assert guard.status().under_way == 0


# --- "too many", said by hand ----------------------------------------------------------------------


async def test_too_many_shuts_the_gate_for_all_callers_and_is_counted() -> None:
    guard = declared(budget="api")
    async with open_supervisor(ONE_A_SECOND):
        async with guard.permit() as attempt:
            attempt.throttled(10)
        async with guard.permit():
            assert current_time() >= 10
        assert total(guard).throttled == 1


async def test_too_many_is_counted_without_a_budget_too() -> None:
    guard = declared()
    async with open_supervisor():
        async with guard.permit() as attempt:
            attempt.throttled(10)
        assert total(guard).throttled == 1


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
@pytest.mark.parametrize("budget", [None, "api"])
async def test_a_rest_that_is_none_is_refused_and_nothing_counted(
    budget: str | None, seconds: float
) -> None:
    guard = declared(budget=budget)
    async with open_supervisor(ONE_A_SECOND):
        async with guard.permit() as attempt:
            with pytest.raises(ValueError, match="retry_after is a number of seconds"):
                attempt.throttled(seconds)
        assert total(guard).throttled == 0


async def test_what_was_said_by_hand_is_not_said_again_by_the_error() -> None:
    guard = declared(budget="api")

    class TooMany(Exception):
        status_code = 429

    async with open_supervisor(ONE_A_SECOND):
        with pytest.raises(TooMany):
            async with guard.permit() as attempt:
                attempt.throttled(5)
                raise TooMany
        assert total(guard).throttled == 1
        async with guard.permit():
            assert 5 <= current_time() < 10
