"""The breaker of guarded calls in a running tree: what counts, who is let through, and when."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import anyio
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
    AttemptFailed,
    Breaker,
    BreakerClosed,
    BreakerForced,
    BreakerHalfOpened,
    BreakerOpen,
    BreakerOpened,
    BreakerStatus,
    Broker,
    Guard,
    Limit,
    PermitRefused,
    Retry,
    Supervisor,
    current_tree,
    open_supervisor,
    try_acquire,
)
from supervisor.testing import Boom, settle
from tests.runtime.conftest import Service, Told

pytestmark = pytest.mark.usefixtures("leak_check")

QUICK = Breaker(failures=1, open=10, factor=1)
ONE_A_SECOND = Supervisor("root", [Broker({"api": Limit.smooth(1, burst=1)})])


def declared(**options: Any) -> Guard:
    return Guard("guard", **{"budget": None, "retry": None, "breaker": QUICK, **options})


def breaker(guard: Guard) -> BreakerStatus:
    status = guard.status().breaker
    assert status is not None
    return status


async def trip(guard: Guard, error: Any = ConnectionError) -> None:
    with pytest.raises(ConnectionError):
        await guard(Service(error).ask, 1)


async def until_half_open(guard: Guard) -> None:
    at = breaker(guard).retry_at
    assert at is not None
    await sleep(at - current_time())


async def direct(guard: Guard, service: Service) -> Any:
    return await guard(service.ask, 1)


async def decorated(guard: Guard, service: Service) -> Any:
    @guard
    async def ask(_: int) -> Any:
        return await service.ask()

    return await ask(1)


async def block(guard: Guard, service: Service) -> Any:
    async with guard.permit():
        return await service.ask()


async def loop(guard: Guard, service: Service) -> Any:
    async for attempt in guard:
        async with attempt:
            return await service.ask()
    raise AssertionError


ways = pytest.mark.parametrize("way", [direct, decorated, block, loop])
Way = Callable[[Guard, Service], Any]


# --- three outcomes --------------------------------------------------------------------------------


@ways
async def test_failures_in_a_row_open_it_and_it_refuses_until_its_time_is_over(
    way: Way, told: Told
) -> None:
    guard = declared(breaker=Breaker(failures=3, open=10))
    service = Service(ConnectionError("down"), ConnectionError("down"), ConnectionError("down"), 1)
    async with open_supervisor():
        for _ in range(3):
            with pytest.raises(ConnectionError):
                await way(guard, service)
        with pytest.raises(BreakerOpen, match="ConnectionError: down") as caught:
            await way(guard, service)
        assert 10 <= caught.value.retry_at <= 12
        assert len(service.asked) == 3

        await sleep(caught.value.retry_at - 0.01)
        with pytest.raises(BreakerOpen):
            await way(guard, service)
        await sleep(0.01)
        assert await way(guard, service) == 1
        assert breaker(guard).state == "closed"
    assert [event.rule for event in told.of(BreakerOpened)] == ["failures in a row"]
    assert [event.rejected for event in told.of(BreakerHalfOpened)] == [2]
    assert len(told.of(BreakerClosed)) == 1


@ways
async def test_a_success_ends_the_row(way: Way) -> None:
    guard = declared(breaker=Breaker(failures=2))
    service = Service(ConnectionError, 0, ConnectionError, 0, ConnectionError)
    async with open_supervisor():
        for _ in range(5):
            with anyio.CancelScope():
                try:
                    await way(guard, service)
                except ConnectionError:
                    pass
        assert breaker(guard).state == "closed"


@ways
async def test_what_is_ignored_neither_counts_nor_ends_the_row(way: Way) -> None:
    guard = declared(breaker=Breaker(failures=2, ignore=(OSError,), counts=(ValueError,)))
    service = Service(ValueError, FileNotFoundError, TypeError, ValueError)
    async with open_supervisor():
        for kind in (ValueError, FileNotFoundError, TypeError):
            with pytest.raises(kind):
                await way(guard, service)
            assert (breaker(guard).state, breaker(guard).in_a_row) == ("closed", 1)
        with pytest.raises(ValueError):  # noqa: PT011
            await way(guard, service)
        assert breaker(guard).state == "open"


@ways
async def test_a_probe_that_is_ignored_gives_its_place_back(way: Way) -> None:
    guard = declared()
    async with open_supervisor():
        await trip(guard)
        await until_half_open(guard)
        for _ in range(3):
            with pytest.raises(TypeError):
                await way(guard, Service(TypeError))
            assert (breaker(guard).state, breaker(guard).probes) == ("half-open", 0)
        assert await way(guard, Service()) == "here"
        assert breaker(guard).state == "closed"


@ways
async def test_a_cancelled_call_is_neutral(way: Way) -> None:
    guard = declared(breaker=Breaker(failures=2, rate=0.5, calls=2))
    async with open_supervisor():
        with pytest.raises(ConnectionError):
            await way(guard, Service(ConnectionError))
        for _ in range(5):
            with move_on_after(1):
                await way(guard, Service(took=10))
        status = breaker(guard)
        assert (status.state, status.in_a_row, status.calls) == ("closed", 1, 1)


@ways
async def test_a_cancelled_probe_gives_its_place_back(way: Way) -> None:
    guard = declared()
    async with open_supervisor():
        await trip(guard)
        await until_half_open(guard)
        with move_on_after(1):
            await way(guard, Service(took=10))
        assert (breaker(guard).state, breaker(guard).probes) == ("half-open", 0)
        assert await way(guard, Service()) == "here"
        assert breaker(guard).state == "closed"


@ways
@pytest.mark.parametrize(("took", "slow"), [(4, 0), (6, 1)])
async def test_a_cancelled_call_that_was_slow_is_one_slow_call_and_no_more(
    way: Way, took: float, slow: int
) -> None:
    guard = declared(breaker=Breaker(failures=2, slow=5, calls=10))
    async with open_supervisor():
        with pytest.raises(ConnectionError):
            await way(guard, Service(ConnectionError))
        with move_on_after(took):
            await way(guard, Service(took=100))
        status = breaker(guard)
        assert (status.slow, status.failures, status.in_a_row) == (slow, 1, 1)


@ways
async def test_calls_that_are_slow_from_the_first_moment_of_the_clock_on_are_slow(way: Way) -> None:
    """Zero is a time like others."""
    guard = declared(breaker=Breaker(slow=5, calls=10))
    async with open_supervisor():
        assert current_time() == 0
        with pytest.raises(ConnectionError):
            await way(guard, Service(ConnectionError, took=6))
        assert breaker(guard).slow == 1


@ways
async def test_slow_answers_open_it(way: Way, told: Told) -> None:
    guard = declared(breaker=Breaker(slow=5, calls=2))
    async with open_supervisor():
        for _ in range(2):
            assert await way(guard, Service(took=6)) == "here"
        assert breaker(guard).state == "open"
    assert [event.rule for event in told.of(BreakerOpened)] == ["slow calls"]


@ways
async def test_the_time_for_a_permit_is_not_the_services(way: Way) -> None:
    guard = declared(budget="api", breaker=Breaker(slow=1, calls=2))
    async with open_supervisor(ONE_A_SECOND), create_task_group() as group:
        for _ in range(5):
            group.start_soon(way, guard, Service(took=0.5))
        await sleep(10)
        status = breaker(guard)
        assert (status.calls, status.slow, status.state) == (5, 0, "closed")


@pytest.mark.parametrize("way", [direct, block, loop])
async def test_its_own_timeout_is_one_failure_and_one_outside_none(way: Way) -> None:
    guard = declared(timeout=5, breaker=Breaker(failures=3))
    async with open_supervisor():
        with pytest.raises(TimeoutError):
            await way(guard, Service(took=10))
        assert breaker(guard).in_a_row == 1
        with pytest.raises(TimeoutError), fail_after(3):
            await way(guard, Service(took=10))
        assert breaker(guard).in_a_row == 1
        assert guard.status().figures[-1].timed_out == 1


@pytest.mark.parametrize("way", [direct, block, loop])
async def test_a_timeout_in_the_same_instant_as_one_outside_is_the_callers(way: Way) -> None:
    guard = declared(timeout=5)
    async with open_supervisor():
        with pytest.raises(TimeoutError), fail_after(5):
            await way(guard, Service(took=10))
        assert current_time() == 5
        status = guard.status()
        assert status.under_way == 0
        assert status.figures[-1].calls == 1
        assert status.figures[-1].cancelled + status.figures[-1].failed == 1


@ways
async def test_a_deadline_within_the_call_is_its_failure(way: Way) -> None:
    guard = declared(breaker=Breaker(failures=3))

    class Slow(Service):
        async def ask(self, *_: object) -> Any:
            with fail_after(1):
                await sleep_forever()

    async with open_supervisor():
        with pytest.raises(TimeoutError):
            await way(guard, Slow())
        assert breaker(guard).in_a_row == 1


@ways
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_what_concerns_the_process_is_not_counted_and_leaves_its_place(
    way: Way, kind: type[BaseException]
) -> None:
    guard = declared()
    async with open_supervisor():
        await trip(guard)
        await until_half_open(guard)
        caught: list[BaseException] = []
        try:
            await way(guard, Service(kind))
        except kind as exc:
            caught.append(exc)
        assert len(caught) == 1
        assert (breaker(guard).state, breaker(guard).probes) == ("half-open", 0)
        assert guard.status().under_way == 0
        assert await way(guard, Service()) == "here"


# --- groups ----------------------------------------------------------------------------------------


@ways
@pytest.mark.parametrize(
    ("errors", "counted"),
    [
        ([ConnectionError()], 1),
        ([TypeError(), ConnectionError()], 1),
        ([TypeError(), ValueError()], 0),
        ([ExceptionGroup("", [TypeError(), OSError()])], 1),
    ],
)
async def test_a_group_is_a_failure_if_one_of_it_is(
    way: Way, errors: list[Exception], counted: int
) -> None:
    guard = declared(breaker=Breaker(failures=3))
    async with open_supervisor():
        with pytest.raises(ExceptionGroup):
            await way(guard, Service(ExceptionGroup("group", errors)))
        assert breaker(guard).in_a_row == counted


@ways
@pytest.mark.parametrize(("error", "counted"), [(ConnectionError(), 1), (TypeError(), 0)])
async def test_of_a_group_with_a_cancellation_the_rest_counts(
    way: Way, error: Exception, counted: int
) -> None:
    """It comes out as it is, and is not retried."""
    guard = declared(breaker=Breaker(failures=3), retry=Retry(retries=3, base=1))

    class Cancelled(Service):
        async def ask(self, *_: object) -> Any:
            self.asked.append(current_time())
            try:
                await sleep_forever()
            except anyio.get_cancelled_exc_class() as cancelled:
                raise BaseExceptionGroup("both", [cancelled, error]) from None

    service = Cancelled()
    async with open_supervisor():
        with CancelScope() as scope:
            scope.deadline = current_time() + 1
            with pytest.raises(BaseExceptionGroup) as caught:
                await way(guard, service)
            cancelled, other = caught.value.exceptions
            assert other is error
            raise cancelled
        assert scope.cancelled_caught
        assert len(service.asked) == 1
        assert breaker(guard).in_a_row == counted


# --- generations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("late", ["here", ConnectionError, TypeError])
async def test_what_comes_back_after_it_has_opened_moves_nothing(late: Any) -> None:
    guard = declared()

    async def old() -> None:
        try:
            await guard(Service(late, took=5).ask, 1)
        except (ConnectionError, TypeError):
            pass

    async with open_supervisor(), create_task_group() as group:
        group.start_soon(old)
        await sleep(1)
        await trip(guard)
        before = breaker(guard)
        await sleep(5)
        assert breaker(guard) == before


@pytest.mark.parametrize("late", ["here", ConnectionError, TypeError])
async def test_nor_does_it_while_half_open_or_closed_again(late: Any) -> None:
    guard = declared(breaker=Breaker(failures=1, open=10, half_open=2, probe=100))

    async def old(took: float) -> None:
        try:
            await guard(Service(late, took=took).ask, 1)
        except (ConnectionError, TypeError):
            pass

    async with open_supervisor(), create_task_group() as group:
        group.start_soon(old, 20)
        group.start_soon(old, 40)
        await sleep(1)
        await trip(guard)
        await until_half_open(guard)
        group.start_soon(direct, guard, Service(took=15))  # a probe, until after 20
        await anyio.lowlevel.checkpoint()
        await settle()
        assert (breaker(guard).state, breaker(guard).probes) == ("half-open", 1)
        await sleep(20.5 - current_time())
        assert (breaker(guard).probes, breaker(guard).good, breaker(guard).bad) == (1, 0, 0)
        await sleep(30 - current_time())
        assert (breaker(guard).probes, breaker(guard).good) == (0, 1)
        assert await direct(guard, Service()) == "here"
        assert breaker(guard).state == "closed"
        await sleep(41 - current_time())
        assert (breaker(guard).state, breaker(guard).in_a_row) == ("closed", 0)


async def test_who_waited_for_a_permit_while_it_opened_makes_no_call_and_gives_it_back() -> None:
    guard, service = declared(budget="api"), Service()
    refused: list[BreakerOpen] = []

    async def wait() -> None:
        try:
            await guard(service.ask, 1)
        except BreakerOpen as error:
            refused.append(error)

    async with open_supervisor(ONE_A_SECOND), create_task_group() as group:
        failing = Service(ConnectionError, took=0.5)
        group.start_soon(_fails, guard, failing)
        await settle()
        group.start_soon(wait)
        await sleep(1.5)
        assert service.asked == []
        assert refused[0].retry_at == breaker(guard).retry_at
        assert try_acquire("api") is not None
        assert guard.status().figures[-1].rejected == 1
        assert breaker(guard).rejected == 1


async def test_who_waited_for_a_permit_while_it_opened_and_closed_again_makes_his_call() -> None:
    guard = declared(budget="api", breaker=Breaker(failures=1, open=10, cap=10))
    relaxed = Supervisor("root", [Broker({"api": Limit.smooth(1 / 20, burst=2)})])
    service = Service()
    async with open_supervisor(relaxed), create_task_group() as group:
        group.start_soon(_fails, guard, Service(ConnectionError, took=1))
        await settle()
        async with guard.permit():
            group.start_soon(direct, guard, service)
            await sleep(2)
            assert breaker(guard).state == "open"
            guard.release()
            assert breaker(guard).state == "closed"
        await sleep(30)
        assert service.asked == [20]
        assert guard.status().figures[-1].rejected == 0


async def test_who_waited_for_a_permit_until_its_time_was_over_is_the_probe() -> None:
    guard = declared(budget="api")
    slow = Supervisor("root", [Broker({"api": Limit.smooth(1 / 20, burst=1)})])
    service = Service(took=1)
    async with open_supervisor(slow), create_task_group() as group:
        group.start_soon(_fails, guard, Service(ConnectionError, took=1))
        await settle()
        group.start_soon(direct, guard, service)
        await sleep(20.5)
        assert service.asked == [20]
        assert (breaker(guard).state, breaker(guard).probes) == ("half-open", 1)
        await sleep(1)
        assert breaker(guard).state == "closed"


async def _fails(guard: Guard, service: Service) -> None:
    with pytest.raises(ConnectionError):
        await guard(service.ask, 1)


# --- half-open -------------------------------------------------------------------------------------


@ways
async def test_of_a_hundred_callers_at_half_open_one_reaches_the_service(way: Way) -> None:
    guard, service = declared(), Service(took=1)
    refused: list[float] = []

    async def call() -> None:
        try:
            await way(guard, service)
        except BreakerOpen as error:
            refused.append(error.retry_at - current_time())

    async with open_supervisor():
        await trip(guard)
        await until_half_open(guard)
        began = current_time()
        async with create_task_group() as group:
            for _ in range(100):
                group.start_soon(call)
            await settle()
            assert current_time() == began
            assert (len(service.asked), len(refused)) == (1, 99)  # at once, and not one by one
        assert breaker(guard).state == "closed"
        assert min(refused) > 0
        assert len(set(refused)) > 90  # they do not come back together


async def test_as_many_probes_as_declared_are_let_through_and_no_more() -> None:
    guard = declared(breaker=Breaker(failures=1, open=10, half_open=3, successes=2))
    service = Service(took=1)

    async def call() -> None:
        try:
            await guard(service.ask, 1)
        except BreakerOpen:
            pass

    async with open_supervisor():
        await trip(guard)
        await until_half_open(guard)
        async with create_task_group() as group:
            for _ in range(100):
                group.start_soon(call)
        assert len(service.asked) == 3
        assert breaker(guard).state == "closed"


@ways
async def test_a_probe_that_hangs_is_given_up_and_its_late_answer_moves_nothing(
    way: Way, told: Told
) -> None:
    guard = declared(breaker=Breaker(failures=1, open=10, factor=2, cap=100, probe=5))
    service = Service(took=100)
    async with open_supervisor(), create_task_group() as group:
        await trip(guard)
        await until_half_open(guard)
        group.start_soon(way, guard, service)
        await sleep(4.9)
        with pytest.raises(BreakerOpen):
            await way(guard, Service())
        await sleep(0.2)
        assert breaker(guard).state == "open"
        assert [event.times for event in told.of(BreakerOpened)] == [1, 1]  # for no longer
        await until_half_open(guard)
        assert await way(guard, Service()) == "here"
        assert breaker(guard).state == "closed"
        with pytest.raises(ConnectionError):
            await way(guard, Service(ConnectionError))
        before = breaker(guard)
        await sleep(100)
        assert breaker(guard).trips == before.trips


async def test_the_time_for_a_verdict_is_twice_the_timeout() -> None:
    guard = declared(timeout=3, breaker=Breaker(failures=1, open=100))
    async with open_supervisor(), create_task_group() as group:
        await trip(guard)
        await until_half_open(guard)
        async with guard.permit() as attempt:
            with CancelScope(shield=True):
                await sleep(5.9)
                assert breaker(guard).state == "half-open"
                await sleep(0.2)
                assert breaker(guard).state == "open"
        assert attempt.number == 1
        group.cancel_scope.cancel()


@ways
async def test_a_probe_without_a_permit_gives_its_place_back(way: Way) -> None:
    guard = declared(budget="api")
    scarce = Supervisor("root", [Broker({"api": Limit(1, per=60)})])
    async with open_supervisor(scarce):
        await trip(guard)
        await until_half_open(guard)
        with pytest.raises(PermitRefused), fail_after(1):
            await way(guard, Service())
        assert (breaker(guard).state, breaker(guard).probes) == ("half-open", 0)
        assert (breaker(guard).good, breaker(guard).bad) == (0, 0)
        await sleep(60)
        assert await way(guard, Service()) == "here"
        assert breaker(guard).state == "closed"


async def test_a_probe_that_is_cancelled_while_it_waits_for_its_permit_gives_its_place_back() -> (
    None
):
    guard = declared(budget="api")
    scarce = Supervisor("root", [Broker({"api": Limit(1, per=60)})])
    async with open_supervisor(scarce), create_task_group() as group:
        await trip(guard)
        await until_half_open(guard)
        group.start_soon(direct, guard, Service())
        await sleep(1)
        assert breaker(guard).probes == 1
        group.cancel_scope.cancel()
        await settle()
    async with open_supervisor(scarce):
        pass


async def test_after_such_a_cancellation_the_next_is_the_probe() -> None:
    guard = declared(budget="api")
    scarce = Supervisor("root", [Broker({"api": Limit(1, per=60)})])
    async with open_supervisor(scarce):
        await trip(guard)
        await until_half_open(guard)
        scope = CancelScope()

        async def wait() -> None:
            with scope:
                await guard(Service().ask, 1)

        async with create_task_group() as group:
            group.start_soon(wait)
            await sleep(1)
            assert breaker(guard).probes == 1
            scope.cancel()
        assert breaker(guard).probes == 0
        await sleep(60)
        assert await direct(guard, Service()) == "here"


@ways
async def test_too_many_requests_does_not_open_it(way: Way) -> None:
    class TooMany(Exception):
        status_code = 429

    guard = declared()
    async with open_supervisor():
        for _ in range(5):
            with pytest.raises(TooMany):
                await way(guard, Service(TooMany))
        assert (breaker(guard).state, breaker(guard).in_a_row) == ("closed", 0)
        assert guard.status().figures[-1].throttled == 5


async def test_the_open_breaker_of_a_guard_further_in_does_not_open_the_one_around_it() -> None:
    inner = Guard("inner", budget=None, retry=None, breaker=Breaker(failures=1))
    outer = Guard("outer", budget=None, retry=None, breaker=Breaker(failures=2))
    async with open_supervisor():
        for kind in (ConnectionError, BreakerOpen, BreakerOpen, BreakerOpen):
            with pytest.raises(kind):
                await outer(direct, inner, Service(ConnectionError))
        assert (breaker(outer).state, breaker(outer).in_a_row) == ("closed", 1)


# --- time ------------------------------------------------------------------------------------------


@ways
async def test_the_wall_clock_may_go_back_an_hour(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = declared()
    wall = time.time
    async with open_supervisor():
        await trip(guard)
        monkeypatch.setattr(time, "time", lambda: wall() - 3600)
        await until_half_open(guard)
        assert current_time() <= 12
        assert await way(guard, Service()) == "here"
        assert breaker(guard).state == "closed"


async def test_what_the_service_asks_for_is_the_least_time_open() -> None:
    class Down(ConnectionError):
        status_code = 500
        retry_after = 40

    guard = declared(breaker=Breaker(failures=1, open=10, cap=100))
    async with open_supervisor():
        await trip(guard, Down)
        at = breaker(guard).retry_at
        assert at is not None
        assert 40 <= at <= 48


# --- in hand, and waiting --------------------------------------------------------------------------


@ways
async def test_who_holds_it_open_refuses_all_calls_for_his_reason(way: Way, told: Told) -> None:
    guard = declared()
    async with open_supervisor():
        guard.force("open", "maintenance", seconds=100)
        with pytest.raises(BreakerOpen, match="maintenance") as caught:
            await way(guard, Service())
        assert caught.value.retry_at == 100
        await sleep(100)
        assert await way(guard, Service()) == "here"

        guard.force("open", "for good")
        await sleep(1000)
        with pytest.raises(BreakerOpen, match="until it is released") as caught:
            await way(guard, Service())
        assert caught.value.retry_at == math.inf
        guard.release()
        assert await way(guard, Service()) == "here"
    assert [event.state for event in told.of(BreakerForced)] == ["open", None, "open", None]


@ways
async def test_one_that_is_disabled_lets_everything_through(way: Way) -> None:
    guard = declared()
    async with open_supervisor():
        guard.force("disabled", "it is wrong")
        for _ in range(5):
            with pytest.raises(ConnectionError):
                await way(guard, Service(ConnectionError))
        guard.release()
        with pytest.raises(ConnectionError):
            await way(guard, Service(ConnectionError))
        assert breaker(guard).state == "open"


@ways
async def test_one_for_metrics_only_tells_and_lets_through(way: Way, told: Told) -> None:
    guard = declared()
    async with open_supervisor():
        guard.force("metrics only", "to see")
        for _ in range(5):
            with pytest.raises(ConnectionError):
                await way(guard, Service(ConnectionError))
    assert [event.metrics_only for event in told.of(BreakerOpened)] == [True]


@pytest.mark.parametrize(
    ("state", "seconds"),
    [("shut", None), ("open", 0), ("open", -1), ("open", math.nan), ("open", math.inf)],
)
async def test_a_wrong_hand_moves_nothing(state: Any, seconds: Any) -> None:
    guard = declared()
    async with open_supervisor():
        with pytest.raises(ValueError, match=r"state is|seconds is"):
            guard.force(state, "why", seconds=seconds)
        assert breaker(guard).forced is None


async def test_without_a_breaker_there_is_none_to_hold() -> None:
    guard = declared(breaker=None)
    async with open_supervisor():
        for act in (lambda: guard.force("open", "why"), guard.release):
            with pytest.raises(ValueError, match="without a breaker"):
                act()
        await guard.wait_closed()
        assert guard.status().breaker is None


async def test_who_waits_for_it_is_woken_when_its_time_is_over() -> None:
    guard = declared()
    async with open_supervisor():
        await guard.wait_closed()
        assert current_time() == 0
        await trip(guard)
        at = breaker(guard).retry_at
        await guard.wait_closed()
        assert current_time() == at
        assert await direct(guard, Service()) == "here"


async def test_who_waits_for_it_is_woken_when_it_is_released() -> None:
    guard = declared()
    async with open_supervisor(), create_task_group() as group:
        guard.force("open", "for good")
        group.start_soon(guard.wait_closed)
        await sleep(1000)
        guard.release()


@pytest.mark.parametrize("answer", ["here", TypeError, "cancelled", "hangs"])
async def test_who_waits_while_the_probe_is_under_way_is_woken_when_there_is_room(
    answer: Any,
) -> None:
    guard = declared(breaker=Breaker(failures=1, open=10, factor=1, cap=10, probe=30))
    scope = CancelScope()

    async def probe() -> None:
        with scope:
            try:
                await guard(Service(answer, took=1000 if answer == "hangs" else 5).ask, 1)
            except TypeError:
                pass

    async with open_supervisor(), create_task_group() as group:
        await trip(guard)
        await until_half_open(guard)
        began = current_time()
        group.start_soon(probe)
        await settle()
        if answer == "cancelled":
            scope.deadline = began + 5
        with fail_after(100):
            await guard.wait_closed()
        if answer == "hangs":
            assert 40 <= current_time() - began <= 42
        else:
            assert current_time() - began == 5
        assert await direct(guard, Service()) == "here"
        group.cancel_scope.cancel()


async def test_those_who_wait_for_it_do_not_wake_each_other() -> None:
    guard = declared(breaker=Breaker(failures=1, open=10, probe=100))
    async with open_supervisor():
        await trip(guard)
        await until_half_open(guard)
        began = current_time()
        async with create_task_group() as group:
            group.start_soon(direct, guard, Service(took=5))
            await settle()
            for _ in range(3):
                group.start_soon(guard.wait_closed)
        assert current_time() - began == 5


# --- what is told ----------------------------------------------------------------------------------


async def test_an_attempt_that_failed_is_told_before_what_it_did_to_the_breaker(
    told: Told,
) -> None:
    guard = declared()
    async with open_supervisor():
        await trip(guard)
    kinds = [type(event) for event in told if isinstance(event, AttemptFailed | BreakerOpened)]
    assert kinds == [AttemptFailed, BreakerOpened]


async def test_who_listens_cannot_break_a_call_nor_see_it_half_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guard = declared()
    states: list[str] = []

    def listen(event: Any) -> None:
        if isinstance(event, BreakerOpened):
            states.append(breaker(guard).state)
            raise Boom("in a listener")

    async with open_supervisor():
        current_tree()._runtime.bus.sinks.append(listen)
        await trip(guard)
        assert states == ["open"]
        assert breaker(guard).state == "open"


@ways
@pytest.mark.parametrize("policy", [Breaker(slow=5, calls=2), Breaker(rate=0.5, calls=2)])
async def test_that_a_success_has_opened_it_is_told_at_once(
    way: Way, policy: Breaker, told: Told
) -> None:
    """The share of failures may be reached by a call that succeeds, as there have to be enough."""
    guard = declared(breaker=policy)
    async with open_supervisor():
        with pytest.raises(ConnectionError):
            await way(guard, Service(ConnectionError, took=6))
        assert not told.of(BreakerOpened)
        assert await way(guard, Service(took=6)) == "here"
        assert len(told.of(BreakerOpened)) == 1
