"""What serves in the place of a guarded call that has failed for good, and what does not."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from anyio import CancelScope, create_task_group, current_time, fail_after, sleep

from supervisor import (
    Breaker,
    BreakerOpen,
    Broker,
    FallbackFailed,
    FallbackServed,
    Guard,
    GuardFigures,
    Limit,
    Retry,
    Served,
    Supervisor,
    handle_with_retry,
    open_supervisor,
)
from tests.runtime.conftest import Service, Told

pytestmark = pytest.mark.usefixtures("leak_check")

STEADY = Retry(retries=2, base=1, jitter="none")


def declared(name: str = "guard", **options: Any) -> Guard:
    return Guard(name, **{"budget": None, "retry": None, "breaker": None, **options})


def total(guard: Guard) -> GuardFigures:
    return guard.status().figures[-1]


async def decorated(guard: Guard, service: Service) -> Any:
    @guard
    async def ask(_: int) -> Any:
        return await service.ask()

    return await ask(1)


async def direct(guard: Guard, service: Service) -> Any:
    return await guard(service.ask, 1)


ways = pytest.mark.parametrize("way", [direct, decorated])


@ways
async def test_a_fallback_serves_when_the_last_attempt_has_failed(way: Any, told: Told) -> None:
    guard, service = declared(retry=STEADY, fallback="instead"), Service(ConnectionError("down"))
    async with open_supervisor() as tree:
        assert await way(guard, service) == "instead"
        assert service.asked == [0, 1, 3]
        assert (total(guard).served, total(guard).failed, total(guard).calls) == (1, 0, 1)
        assert {record.resolution for record in tree.errors()} == {"fallback"}
    (event,) = told.of(FallbackServed)
    assert (event.level, event.call, event.why) == (1, 1, "ConnectionError: down")


@ways
async def test_a_call_that_succeeds_has_no_need_of_one(way: Any) -> None:
    instead = Service()
    guard = declared(fallback=instead.ask)
    async with open_supervisor():
        assert await way(guard, Service(5)) == 5
        assert instead.asked == []


@pytest.mark.parametrize("value", [0, "", False, [], 0.0])
async def test_a_value_that_is_not_much_serves_as_well(value: Any) -> None:
    guard = declared(fallback=value)
    async with open_supervisor():
        assert await guard.served(Service(OSError).ask, 1) == Served(value, 1, 1, "OSError")


async def test_none_serves_as_a_link_of_a_chain() -> None:
    guard = declared(fallback=(None,))
    async with open_supervisor():
        assert await guard(Service(OSError).ask, 1) is None
        assert total(guard).served == 1


async def test_links_are_tried_in_their_order_and_the_answer_says_which_served() -> None:
    first, second = Service(OSError), Service("second")
    guard = declared(fallback=(first.ask, second.ask, "third"))
    async with open_supervisor():
        served = await guard.served(Service(ConnectionError).ask, 1)
        assert (served.value, served.level) == ("second", 2)
        assert len(first.asked) == len(second.asked) == 1


async def test_a_link_gets_the_arguments_and_may_be_any_function() -> None:
    def blocking(question: int, *, twice: bool) -> int:
        return question * (1 + twice)

    async def fails(_question: int, *, twice: bool) -> int:
        assert twice
        raise ConnectionError

    inner = declared("inner", fallback=blocking)
    async with open_supervisor():
        for link in (blocking, partial(blocking), inner(fails)):
            guard = declared(f"guard {link}", fallback=link)
            assert await guard(fails, 4, twice=True) == 8


async def test_when_all_links_fail_the_call_does_with_its_own_error_behind() -> None:
    guard = declared(fallback=(Service(OSError("one")).ask, Service(KeyError("two")).ask))
    error = ConnectionError("down")
    async with open_supervisor():
        with pytest.raises(FallbackFailed) as caught:
            await guard(Service(error).ask, 1)
        assert caught.value.__cause__ is error
        assert caught.value.guard == "guard"
        assert caught.value.__notes__ == ["fallback 1: OSError: one", "fallback 2: KeyError: 'two'"]
        assert (total(guard).failed, total(guard).served) == (1, 0)


@ways
@pytest.mark.parametrize(
    "mistake", [TypeError, AttributeError, NameError, AssertionError, NotImplementedError]
)
async def test_no_fallback_hides_a_mistake(way: Any, mistake: type[Exception]) -> None:
    instead = Service()
    guard = declared(fallback=instead.ask)
    async with open_supervisor():
        with pytest.raises(mistake):
            await way(guard, Service(mistake))
        assert instead.asked == []
        assert total(guard).failed == 1


async def test_it_hides_no_mistake_in_the_name_of_a_budget_nor_in_a_cost() -> None:
    unknown = declared(budget="nowhere", fallback="instead")
    dear = declared("dear", budget="api", cost=2, fallback="instead")
    async with open_supervisor(Supervisor("root", [Broker({"api": Limit.smooth(1, burst=1)})])):
        for guard, text in ((unknown, "no budget 'nowhere'"), (dear, "costs from 1 to")):
            with pytest.raises((LookupError, ValueError), match=text):
                await guard(Service().ask, 1)


@ways
@pytest.mark.parametrize("service", [Service(took=5), Service(OSError)])
async def test_a_call_that_is_cancelled_in_an_attempt_or_before_the_next_has_no_fallback(
    way: Any, service: Service
) -> None:
    instead = Service()
    guard = declared(retry=Retry(base=10, cap=10, jitter="none"), fallback=instead.ask)
    scope = CancelScope()

    async def call() -> None:
        with scope:
            await way(guard, service)

    async with open_supervisor(), create_task_group() as group:
        group.start_soon(call)
        await sleep(1)
        scope.cancel()
        await sleep(1)
        assert scope.cancelled_caught
        assert instead.asked == []
        assert (total(guard).cancelled, total(guard).calls) == (1, 1)


@ways
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_nor_has_what_concerns_the_process(way: Any, kind: type[BaseException]) -> None:
    instead = Service()
    guard = declared(fallback=instead.ask)
    async with open_supervisor():
        try:
            await way(guard, Service(kind))
        except kind:
            ended = True
        assert ended
        assert instead.asked == []


async def test_a_fallback_that_is_cancelled_is_a_cancelled_call() -> None:
    guard = declared(fallback=(Service(took=10).ask, "instead"))
    async with open_supervisor():
        scope = CancelScope()

        async def call() -> None:
            with scope:
                await guard(Service(ConnectionError).ask, 1)

        async with create_task_group() as group:
            group.start_soon(call)
            await sleep(1)
            scope.cancel()
        assert scope.cancelled_caught
        assert (total(guard).cancelled, total(guard).calls) == (1, 1)
        assert guard.status().under_way == 0


async def test_the_callers_deadline_holds_for_the_fallbacks_too() -> None:
    guard = declared(fallback=(Service(took=10).ask, "instead"))
    async with open_supervisor():
        with pytest.raises(TimeoutError), fail_after(1):
            await guard(Service(ConnectionError).ask, 1)
        assert current_time() == 1


async def test_the_guards_timeout_does_not() -> None:
    guard = declared(timeout=1, fallback=Service("late", took=5).ask)
    async with open_supervisor():
        assert await guard(Service(took=10).ask, 1) == "late"
        assert current_time() == 6


@ways
async def test_while_the_breaker_is_open_the_fallback_serves_at_once(way: Any) -> None:
    guard = declared(breaker=Breaker(failures=1, open=10), retry=STEADY, fallback="instead")
    service = Service(ConnectionError)
    async with open_supervisor():
        assert await way(guard, service) == "instead"
        began, asked = current_time(), len(service.asked)
        for _ in range(3):
            assert await way(guard, service) == "instead"
        assert (current_time(), len(service.asked)) == (began, asked)
        assert total(guard).served == 4


async def test_a_permit_that_is_refused_is_made_good_by_a_fallback() -> None:
    guard = declared(budget="api", fallback="instead")
    async with open_supervisor(Supervisor("root", [Broker({"api": Limit(1, per=60)})])):
        assert await guard(Service().ask, 1) == "here"
        with fail_after(1):
            assert await guard(Service().ask, 1) == "instead"


async def test_a_bad_result_is_made_good_by_a_fallback() -> None:
    guard = declared(bad_result=lambda result: result < 0, fallback=0)
    async with open_supervisor():
        served = await guard.served(Service(-1).ask, 1)
        assert (served.value, served.level) == (0, 1)


async def test_a_bad_result_is_the_answer_when_no_fallback_serves() -> None:
    guard = declared(bad_result=lambda result: result < 0, fallback=Service(OSError).ask)
    async with open_supervisor():
        served = await guard.served(Service(-1).ask, 1)
        assert (served.value, served.level) == (-1, 0)
        assert total(guard).failed == 1


async def test_links_with_breakers_of_their_own_are_a_chain_of_services() -> None:
    second = declared("second", breaker=Breaker(failures=1, open=100))
    mirror = Service(ConnectionError)

    async def of_the_mirror(_: int) -> Any:
        return await second(mirror.ask, 1)

    guard = declared(breaker=Breaker(failures=1, open=100), fallback=(of_the_mirror, "kept"))
    async with open_supervisor():
        for _ in range(3):
            served = await guard.served(Service(ConnectionError).ask, 1)
            assert (served.value, served.level) == ("kept", 2)
        assert len(mirror.asked) == 1
        with pytest.raises(BreakerOpen):
            await second(mirror.ask, 1)


async def test_one_line_has_the_fallback_of_its_guard() -> None:
    guard = declared(fallback="instead")
    async with open_supervisor():
        guard.status()
        assert await handle_with_retry(Service(OSError).ask, "guard", max_retries=0) == "instead"
        assert total(guard).served == 1


@ways
async def test_the_error_that_a_fallback_stands_in_for_is_the_services_and_not_the_refusal(
    way: Any, told: Told
) -> None:
    guard = declared(
        breaker=Breaker(failures=2, open=10),
        retry=Retry(retries=3, base=0),
        fallback="instead",
    )
    async with open_supervisor():
        assert await way(guard, Service(ConnectionError("down"))) == "instead"
    assert [event.why for event in told.of(FallbackServed)] == ["ConnectionError: down"]
