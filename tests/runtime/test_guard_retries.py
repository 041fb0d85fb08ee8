"""Retries of guarded calls in a running tree: how many, when, and which are left alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from anyio import CancelScope, create_task_group, current_time, fail_after, sleep

from supervisor import (
    AttemptFailed,
    Breaker,
    BreakerOpen,
    Broker,
    Guard,
    Limit,
    NonRetryable,
    Retry,
    Supervisor,
    open_supervisor,
)
from tests.runtime.conftest import Told

pytestmark = pytest.mark.usefixtures("leak_check")

STEADY = Retry(retries=3, base=1, jitter="none")


def guard(name: str = "guard", **options: Any) -> Guard:
    return Guard(name, **{"budget": None, "breaker": None, "retry": STEADY, **options})


class Service:
    """Fails in the given ways, one for each call, and the last of them from then on; then answers."""

    def __init__(self, *errors: Any, takes: float = 0.0, then: bool = False) -> None:
        self.asked: list[float] = []
        self._errors = errors
        self._takes = takes
        self._then = then

    async def __call__(self, question: int = 1) -> int:
        self.asked.append(current_time())
        if self._takes:
            await sleep(self._takes)
        number = len(self.asked) - 1
        if number >= len(self._errors) and self._then:
            return question
        error = self._errors[min(number, len(self._errors) - 1)]
        raise error() if callable(error) else error


def throttled(seconds: float) -> Callable[[], Exception]:
    def error() -> Exception:
        error = RuntimeError("too many")
        error.retry_after = seconds  # type: ignore[attr-defined]
        return error

    return error


def decorated(guard: Guard, service: Service) -> Awaitable[int]:
    async def ask(question: int) -> int:
        return await service(question)

    return guard(ask)(1)  # type: ignore[no-any-return]


def called(guard: Guard, service: Service) -> Awaitable[int]:
    return guard(service, 1)  # type: ignore[no-any-return]


async def block(guard: Guard, service: Service) -> int:
    async for attempt in guard:
        async with attempt:
            return await service(1)
    raise AssertionError("the last attempt raises")


each_way = pytest.mark.parametrize("way", [called, decorated, block])


# --- how many, and when ----------------------------------------------------------------------------


@each_way
async def test_a_call_is_made_again_until_it_succeeds(way: Any) -> None:
    service = Service(ConnectionError, TimeoutError, then=True)
    async with open_supervisor():
        assert await way(guard(), service) == 1

    assert service.asked == [0, 1, 3]


@each_way
async def test_the_last_error_is_raised_with_a_note_of_what_was_tried(way: Any) -> None:
    service = Service(ConnectionError, OSError, TimeoutError, EOFError)
    async with open_supervisor():
        with pytest.raises(EOFError) as raised:
            await way(guard(), service)

    assert service.asked == [0, 1, 3, 7]
    assert raised.value.__notes__ == [
        "guard 'guard' gave up after 4 calls in 7.0 s: retries used up; "
        "ConnectionError 0.0 s, OSError 1.0 s, TimeoutError 3.0 s, EOFError 7.0 s"
    ]
    assert raised.value.__context__ is None


@each_way
async def test_no_retries_is_one_call(way: Any) -> None:
    service = Service(ConnectionError)
    async with open_supervisor():
        for retry in (None, Retry(retries=0)):
            with pytest.raises(ConnectionError) as raised:
                await way(guard(f"guard {retry is None}", retry=retry), service)
            assert not hasattr(raised.value, "__notes__")

    assert service.asked == [0, 0]


@each_way
@pytest.mark.parametrize(
    "error", [TypeError, PermissionError, NonRetryable], ids=lambda e: e.__name__
)
async def test_what_does_not_go_away_is_not_asked_for_again(way: Any, error: Any) -> None:
    service = Service(error)
    async with open_supervisor():
        with pytest.raises(error):
            await way(guard(), service)

    assert service.asked == [0]


@each_way
async def test_twenty_tasks_that_share_a_guard_have_their_retries_each(way: Any) -> None:
    services = [Service(ConnectionError) for _ in range(20)]
    shared, failed = guard(), []

    async def ask(service: Service) -> None:
        try:
            await way(shared, service)
        except ConnectionError as exc:
            failed.append(exc)

    async with open_supervisor(), create_task_group() as group:
        for service in services:
            group.start_soon(ask, service)

    assert [service.asked for service in services] == [[0, 1, 3, 7]] * 20
    assert len(failed) == 20


@each_way
async def test_one_error_object_that_is_raised_by_each_call_is_retried_by_each(way: Any) -> None:
    """A note of what an earlier call has tried says nothing of the next, and they do not add up."""
    error = ConnectionError()
    async with open_supervisor():
        for number in range(3):
            service = Service(error)
            with pytest.raises(ConnectionError):
                await way(guard(), service)

            assert service.asked == [10 * number + at for at in (0, 1, 3, 7)]
            assert len(error.__notes__) == 1
            await sleep(3)


# --- what the service asks for -----------------------------------------------------------------------


@each_way
async def test_the_rest_that_a_service_asks_for_is_a_lower_bound(way: Any) -> None:
    service = Service(throttled(20), then=True)
    async with open_supervisor():
        await way(guard(), service)

    assert 20 <= service.asked[1] <= 25


@each_way
async def test_a_rest_that_is_too_long_is_not_waited_for(way: Any) -> None:
    service = Service(throttled(61))
    async with open_supervisor():
        with pytest.raises(RuntimeError, match="too many") as raised:
            await way(guard(), service)

        assert current_time() == 0
    assert "asked for too long" in raised.value.__notes__[0]


async def test_the_rest_that_one_caller_was_told_holds_all_callers_of_the_budget() -> None:
    service = Service(throttled(20), then=True)
    limits = Broker({"api": Limit.smooth(1000, burst=1000)})
    async with open_supervisor(Supervisor("root", [limits])) as tree:
        await tree["broker"].wait_ready()
        shared = guard(budget="api")

        async def ask() -> None:
            await shared(service, 1)

        async with create_task_group() as group:
            group.start_soon(ask)
            await sleep(1)
            for _ in range(9):
                group.start_soon(ask)
        await tree.stop()

    assert len(service.asked) == 11
    assert min(service.asked[1:]) >= 20


async def test_a_retry_waits_without_a_permit_and_takes_one_of_its_own() -> None:
    service = Service(ConnectionError, then=True)
    limits = Broker({"api": Limit(2, per=60)})
    async with open_supervisor(Supervisor("root", [limits])) as tree:
        await tree["broker"].wait_ready()
        await guard(budget="api")(service, 1)
        assert service.asked == [0, 1]

        other = Service(ConnectionError, then=True)
        await guard(budget="api")(other, 1)
        await tree.stop()

    assert other.asked == [60, 61]


# --- deadlines -----------------------------------------------------------------------------------------


@each_way
async def test_a_delay_that_would_end_past_the_callers_deadline_is_not_begun(way: Any) -> None:
    service = Service(ConnectionError)
    async with open_supervisor():
        with fail_after(6.5):
            with pytest.raises(ConnectionError) as raised:
                await way(guard(), service)

        assert current_time() == 3
    assert service.asked == [0, 1, 3]
    assert "deadline" in raised.value.__notes__[0]


@each_way
async def test_nor_one_that_would_end_past_the_calls_own(way: Any) -> None:
    service = Service(ConnectionError)
    retry = Retry(retries=None, base=1, factor=1, jitter="none", deadline=9.5)
    async with open_supervisor():
        with pytest.raises(ConnectionError):
            await way(guard(retry=retry), service)

    assert service.asked == [*range(10)]


@each_way
async def test_the_last_attempt_is_cut_short_by_the_deadline_of_the_call(way: Any) -> None:
    service = Service(ConnectionError, takes=3)
    retry = Retry(retries=None, base=1, factor=1, jitter="none", deadline=9)
    async with open_supervisor():
        with pytest.raises(TimeoutError):
            await way(guard(retry=retry), service)

        assert current_time() == 9
    assert service.asked == [0, 4, 8]


@each_way
async def test_a_timeout_of_the_guards_is_a_failure_that_is_retried(way: Any) -> None:
    service = Service(ConnectionError, takes=100)
    async with open_supervisor():
        with pytest.raises(TimeoutError, match="no answer within 5 s"):
            await way(guard(timeout=5), service)

    assert service.asked == [0, 6, 13, 22]


# --- cancellation ----------------------------------------------------------------------------------------


@each_way
@pytest.mark.parametrize("seconds", [0.5, 1.5], ids=["in the call", "in the delay"])
async def test_a_cancellation_is_not_retried(way: Any, seconds: float) -> None:
    service = Service(ConnectionError, takes=1)
    everything = Retry(retries=5, base=1, jitter="none", on=(Exception, lambda error: True))
    async with open_supervisor(), create_task_group() as group:
        with CancelScope() as scope:
            group.start_soon(cancel_after, seconds, scope)
            await way(guard(retry=everything), service)

        assert scope.cancelled_caught
        assert current_time() == seconds
        await sleep(100)
    assert len(service.asked) == 1


async def cancel_after(seconds: float, scope: CancelScope) -> None:
    """Unlike a deadline it cannot be foreseen."""
    await sleep(seconds)
    scope.cancel()


@each_way
async def test_a_group_with_a_cancellation_in_it_is_not_retried(way: Any) -> None:
    asked = []
    with CancelScope() as scope:

        async def service(question: int = 1) -> None:
            asked.append(current_time())
            async with create_task_group() as group:
                group.start_soon(sleep, 5)
                scope.cancel()
                try:
                    await sleep(5)
                finally:
                    raise ConnectionError

        async with open_supervisor():
            with pytest.raises(BaseException):  # noqa: B017, PT011 - what it is differs by backend
                await way(guard(), service)
    assert asked == [0]


@each_way
async def test_a_group_is_retried_if_all_of_it_may_be(way: Any) -> None:
    passing = Service(lambda: ExceptionGroup("", [ConnectionError(), TimeoutError()]))
    lasting = Service(lambda: ExceptionGroup("", [ConnectionError(), TypeError()]))
    async with open_supervisor():
        for service in (passing, lasting):
            with pytest.raises(ExceptionGroup):
                await way(guard(), service)

    assert (len(passing.asked), len(lasting.asked)) == (4, 1)


# --- layers ------------------------------------------------------------------------------------------------


@each_way
@pytest.mark.parametrize(("nested", "calls"), [("off", 4), ("on", 64)])
async def test_of_three_layers_the_innermost_retries(way: Any, nested: Any, calls: int) -> None:
    service = Service(ConnectionError)
    retry = Retry(retries=3, base=0, nested=nested)
    inner, middle, outer = (guard(name, retry=retry) for name in ("inner", "middle", "outer"))

    async def through_inner(question: int = 1) -> int:
        return await way(inner, service)  # type: ignore[no-any-return]

    async def through_middle(question: int = 1) -> int:
        async with create_task_group() as group:
            group.start_soon(way, middle, through_inner)
        return 1

    async with open_supervisor():
        with pytest.raises(ExceptionGroup):
            await way(outer, through_middle)

    assert len(service.asked) == calls


@each_way
async def test_a_refusal_that_the_inner_guard_has_waited_for_is_not_waited_for_again(
    way: Any,
) -> None:
    """One hung probe: all other calls are refused, each for a moment."""
    retry = Retry(retries=3, base=0, reserve=float("inf"))
    inner = guard("inner", retry=retry, breaker=Breaker(failures=1, open=10, probe=200))
    outer = guard("outer", retry=retry)
    never = Service(ConnectionError, takes=900)

    async def through_inner(question: int = 1) -> int:
        return await way(inner, never)  # type: ignore[no-any-return]

    async def probe() -> None:
        with pytest.raises(ConnectionError):
            await inner.using(retry=Retry(retries=0))(never, 1)

    async with open_supervisor(), create_task_group() as group:
        with pytest.raises(ConnectionError):
            await inner.using(retry=Retry(retries=0))(Service(ConnectionError), 1)
        await sleep(15)
        group.start_soon(probe)
        await sleep(1)
        before = inner.status().figures[-1].rejected
        with pytest.raises(BreakerOpen):
            await way(outer, through_inner)

        assert inner.status().figures[-1].rejected - before == 4
        assert len(never.asked) == 1


@each_way
async def test_who_asks_another_service_when_one_has_failed_has_its_retries_too(way: Any) -> None:
    first, second = Service(ConnectionError), Service(TimeoutError, then=True)
    async with open_supervisor():
        try:
            await way(guard("first"), first)
        except ConnectionError:
            assert await way(guard("second"), second) == 1

    assert (len(first.asked), len(second.asked)) == (4, 2)


# --- all calls together ---------------------------------------------------------------------------------


async def test_when_the_budget_is_spent_calls_fail_without_retries(told: Told) -> None:
    service = Service(ConnectionError)
    shared = guard(retry=Retry(base=0, reserve=0.1, share=0.2))
    async with open_supervisor():
        for _ in range(50):
            with pytest.raises(ConnectionError):
                await shared(service, 1)

        assert len(service.asked) == 51
        assert shared.status().retry_tokens == 0
    assert {event.rule for event in told.of(AttemptFailed)[-40:]} == {"retry budget"}


async def test_calls_that_succeed_at_once_make_room_for_retries() -> None:
    failing, well = Service(ConnectionError), Service(None, then=True)
    well._errors = ()
    shared = guard(retry=Retry(base=0, reserve=0, share=0.2))
    async with open_supervisor():
        for _ in range(10):
            await shared(well, 1)
        with pytest.raises(ConnectionError):
            await shared(failing, 1)

    assert len(failing.asked) == 3


async def test_an_open_breaker_is_asked_again_when_its_time_is_over() -> None:
    service = Service(*[ConnectionError] * 2, then=True)
    breaking = Breaker(failures=2, open=10, half_open=1)
    async with open_supervisor():
        assert await guard(breaker=breaking)(service, 1) == 1

    assert service.asked[:2] == [0, 1]
    assert 11 <= service.asked[2] <= 1 + 12 * 1.25


async def test_or_not_where_it_says_no_time() -> None:
    service = Service(ConnectionError)
    forced = guard(breaker=Breaker())
    async with open_supervisor():
        forced.force("open", "the service moves")
        with pytest.raises(BreakerOpen):
            await forced(service, 1)

        assert current_time() == 0
    assert service.asked == []
