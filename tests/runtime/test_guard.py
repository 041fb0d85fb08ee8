"""Guarded calls: ways to make one, functions of every kind, and what is said anew for a call."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial, wraps
from typing import Any

import anyio
import pytest
from anyio import create_task_group, current_time, fail_after, from_thread, sleep

from supervisor import (
    AttemptFailed,
    Breaker,
    Broker,
    Component,
    CostTooHigh,
    Guard,
    Limit,
    NoTree,
    PermitUsed,
    Retry,
    Served,
    Supervisor,
    TreeInvalid,
    acquire,
    current_broker,
    current_child,
    handle_with_retry,
    open_supervisor,
    try_acquire,
)
from tests.runtime.conftest import Service, Told

pytestmark = pytest.mark.usefixtures("leak_check")

STEADY = Retry(retries=2, base=1, jitter="none")


def declared(name: str = "guard", **options: Any) -> Guard:
    return Guard(name, **{"budget": None, "retry": None, "breaker": None, **options})


def calls_of(guard: Guard) -> int:
    return guard.status().figures[-1].calls


# --- ways ------------------------------------------------------------------------------------------


async def test_a_call_passes_its_arguments_and_answers_with_the_result() -> None:
    async def ask(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    guard = declared()
    async with open_supervisor():
        assert await guard(ask, 1, fn=2, self=3, guard=4) == (
            (1,),
            {"fn": 2, "self": 3, "guard": 4},
        )
        assert await guard(ask) == ((), {})
        assert await guard(ask)(1, x=2) == ((1,), {"x": 2})
        assert await guard.using(cost=1)(ask, 1, fn=2) == ((1,), {"fn": 2})
        assert await guard.served(ask, 1) == Served(((1,), {}), 0, 1)
        assert calls_of(guard) == 5


async def test_a_guarded_function_keeps_its_name_and_its_signature() -> None:
    @declared()
    async def ask(question: str, *, loudly: bool = False) -> str:
        """Ask it."""
        return f"{question}{'!' * loudly}"

    async with open_supervisor():
        assert (ask.__name__, ask.__doc__) == ("ask", "Ask it.")
        assert await ask("why") == "why"
        assert await ask("why", loudly=True) == "why!"


async def test_a_guarded_method_is_one() -> None:
    guard = declared()

    class Client:
        def __init__(self, name: str) -> None:
            self.name = name

        @guard
        async def ask(self) -> str:
            return self.name

        @guard
        def wait(self, extra: int) -> tuple[str, int]:
            return self.name, extra

    async with open_supervisor():
        assert await Client("a").ask() == "a"
        assert await Client("b").wait(1) == ("b", 1)
        assert await guard(Client("c").ask) == "c"


async def test_a_call_that_waits_can_be_made_again() -> None:
    """What a function without arguments makes is no coroutine: each await is a call."""
    service, guard = Service(), declared()
    pending = guard(service.ask)
    async with open_supervisor():
        assert [await pending, await pending, await pending()] == ["here"] * 3
        assert (len(service.asked), calls_of(guard)) == (3, 3)


async def test_a_guarded_function_without_arguments_is_a_component() -> None:
    guard, service = declared(), Service()

    @guard
    async def poll() -> None:
        await service.ask()

    async with open_supervisor() as tree:
        tree.start_soon(poll, restart="temporary")
        await sleep(1)
        assert len(service.asked) == 1
        assert calls_of(guard) == 1


async def test_twenty_tasks_share_a_guard_and_no_state_of_their_calls() -> None:
    guard = declared(retry=Retry(retries=3, base=1, jitter="none"))
    services = [Service(ConnectionError, ConnectionError, number) for number in range(20)]
    answers: list[Any] = []

    async def call(service: Service) -> None:
        answers.append((await guard.served(service.ask, 1)).attempts)

    async with open_supervisor(), create_task_group() as group:
        for service in services:
            group.start_soon(call, service)
        await sleep(4)
        assert [service.asked for service in services] == [[0, 1, 3]] * 20
        assert answers == [3] * 20


# --- functions of every kind -----------------------------------------------------------------------


async def plain(question: int) -> tuple[int, bool]:
    return question, threading.current_thread() is threading.main_thread()


def blocking(question: int) -> tuple[int, bool]:
    return question, threading.current_thread() is threading.main_thread()


def coroutine(question: int) -> Any:
    return plain(question)


@wraps(plain)
def wrapper(question: int) -> Any:
    return plain(question)


class Callee:
    async def __call__(self, question: int) -> tuple[int, bool]:
        return await plain(question)

    async def method(self, question: int) -> tuple[int, bool]:
        return await plain(question)

    @classmethod
    async def of_the_class(cls, question: int) -> tuple[int, bool]:
        return await plain(question)

    @staticmethod
    async def static(question: int) -> tuple[int, bool]:
        return await plain(question)


class BlockingCallee:
    def __call__(self, question: int) -> tuple[int, bool]:
        return blocking(question)


ASYNC: dict[str, Callable[..., Any]] = {
    "a function": plain,
    "a partial": partial(plain),
    "a partial of a partial": partial(partial(plain), 1),
    "a wrapper": wrapper,
    "an object": Callee(),
    "a partial of an object": partial(Callee()),
    "a method": Callee().method,
    "a method of the class": Callee.of_the_class,
    "a static method": Callee.static,
    "a plain function": coroutine,
    "a partial of a plain function": partial(coroutine),
    "a lambda": lambda question: plain(question + 0),
}


@pytest.mark.parametrize("fn", ASYNC.values(), ids=ASYNC)
async def test_what_makes_a_coroutine_is_awaited_in_the_event_loop(fn: Any) -> None:
    guard = declared()
    args = () if isinstance(fn, partial) and fn.args else (1,)
    async with open_supervisor():
        assert await guard(fn, *args) == (1, True)
        if args:
            assert await guard(fn)(1) == (1, True)
        assert calls_of(guard) == 1 + len(args)


@pytest.mark.parametrize("fn", [blocking, partial(blocking), BlockingCallee()])
async def test_other_functions_are_called_in_a_thread(fn: Any) -> None:
    guard = declared()
    async with open_supervisor():
        assert await guard(fn, 1) == (1, False)
        assert await guard(fn)(1) == (1, False)
        assert calls_of(guard) == 2


async def test_a_failure_of_what_a_plain_function_answers_with_is_seen() -> None:
    guard, service = declared(breaker=Breaker(failures=1)), Service(ConnectionError)
    async with open_supervisor():
        with pytest.raises(ConnectionError):
            await guard(lambda: service.ask())  # noqa: PLW0108
        status = guard.status().breaker
        assert status is not None
        assert status.state == "open"


@pytest.mark.parametrize("way", ["call", "decorated"])
async def test_a_wrapper_that_may_have_the_answer_already_is_called_as_it_is(way: str) -> None:
    """A cache, say: it looks like what it wraps, and answers with a coroutine or with the value."""
    kept: dict[int, Any] = {}

    @wraps(plain)
    def cached(question: int) -> Any:
        async def ask() -> Any:
            kept[question] = await plain(question)
            return kept[question]

        return kept[question] if question in kept else ask()

    guard = declared()
    async with open_supervisor():
        call = partial(guard, cached) if way == "call" else guard(cached)
        assert await call(1) == (1, True)
        assert await call(1) == (1, True)


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


async def async_numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


@pytest.mark.parametrize(
    "make", [lambda: Service().ask(), lambda: "fetch"], ids=["a coroutine", "a name"]
)
async def test_who_gives_a_result_in_the_place_of_a_function_is_told_what_to_write(
    make: Callable[[], Any],
) -> None:
    async with open_supervisor():
        with pytest.raises(TypeError, match=r"is no function; write guard\(fetch, url\)"):
            await declared()(make())


@pytest.mark.parametrize("fn", [numbers, async_numbers, partial(numbers), partial(async_numbers)])
@pytest.mark.parametrize("way", ["call", "decorated", "served", "one line"])
async def test_a_generator_function_is_refused_as_its_call_does_nothing_yet(
    fn: Any, way: str
) -> None:
    guard = declared(retry=Retry(retries=3), breaker=Breaker(failures=1))
    async with open_supervisor():
        with pytest.raises(TypeError, match="a generator function"):
            if way == "call":
                await guard(fn, 3)
            elif way == "decorated":
                await guard(fn)(3)
            elif way == "served":
                await guard.served(fn, 3)
            else:
                await handle_with_retry(partial(fn, 3), "guard")
        status = guard.status()
        assert status.breaker is not None
        assert (status.breaker.state, status.under_way) == ("closed", 0)


async def test_the_context_goes_with_a_call_into_its_thread() -> None:
    paths: list[str] = []

    def ask(_: int) -> None:
        paths.append(current_child().path)

    async def run() -> None:
        await declared()(ask, 1)

    async with open_supervisor(Supervisor("root", [Component(run, restart="temporary")])):
        await sleep(1)
    assert paths == ["root/run"]


async def test_a_thread_calls_a_guard_through_the_event_loop() -> None:
    inner, outer, service = declared("inner"), declared("outer", retry=STEADY), Service()

    def ask(_: int) -> Any:
        with pytest.raises(NoTree):
            inner.status()
        return from_thread.run(inner(service.ask)), from_thread.run(inner, service.ask, 1)

    async with open_supervisor():
        assert await outer(ask, 1) == ("here", "here")
        assert calls_of(inner) == 2


async def test_of_guards_in_threads_one_layer_retries() -> None:
    inner = declared("inner", retry=Retry(retries=2, base=0))
    outer = declared("outer", retry=Retry(retries=2, base=0))
    service = Service(ConnectionError)

    def ask(_: int) -> Any:
        return from_thread.run(inner, service.ask, 1)

    async with open_supervisor():
        with pytest.raises(ConnectionError):
            await outer(ask, 1)
        assert len(service.asked) == 3


async def test_of_guards_around_a_task_group_one_layer_retries() -> None:
    inner = declared("inner", retry=Retry(retries=2, base=1, jitter="none"))
    outer = declared("outer", retry=Retry(retries=2, base=0))
    services = [Service(ConnectionError), Service(ConnectionError)]

    async def ask(_: int) -> None:
        async with create_task_group() as group:
            for service in services:
                group.start_soon(inner, service.ask, 1)

    async with open_supervisor():
        with pytest.raises(ExceptionGroup):
            await outer(ask, 1)
        assert [len(service.asked) for service in services] == [3, 3]


# --- where -----------------------------------------------------------------------------------------


async def test_without_a_tree_there_is_no_call() -> None:
    service = Service()
    with pytest.raises(NoTree):
        await declared()(service.ask, 1)
    with pytest.raises(NoTree):
        await declared()(service.ask)()
    with pytest.raises(NoTree):
        await handle_with_retry(service.ask)
    assert service.asked == []


async def test_a_call_is_told_with_the_child_that_makes_it(told: Told) -> None:
    guard = declared()

    async def run() -> None:
        with contextlib.suppress(ConnectionError):
            await guard.using(context="of the day")(Service(ConnectionError).ask, 1)

    async with open_supervisor(Supervisor("root", [Component(run, restart="temporary")])):
        await sleep(1)
        with pytest.raises(ConnectionError):
            await guard(Service(ConnectionError).ask, 1)
    events = told.of(AttemptFailed)
    assert [(event.path, event.life, event.context) for event in events] == [
        ("root/run", 1, "of the day"),
        ("root", 0, ""),
    ]
    assert [event.call for event in events] == [1, 2]


async def test_a_call_has_the_priority_of_its_child() -> None:
    order: list[str] = []
    guard = declared(budget="api")

    def asking(name: str) -> Callable[[], Any]:
        async def run() -> None:
            await sleep(0.1)
            await guard(note, name)

        return run

    async def note(name: str) -> None:
        order.append(name)

    children = [
        Component(asking("low"), name="low", priority="low", restart="temporary"),
        Component(asking("critical"), name="critical", priority="critical", restart="temporary"),
    ]
    spec = Supervisor("root", [Broker({"api": Limit.smooth(1, burst=1)}), *children])
    async with open_supervisor(spec):
        await acquire("api")
        await sleep(5)
    assert order == ["critical", "low"]


# --- said anew -------------------------------------------------------------------------------------


async def test_what_is_said_anew_holds_for_these_calls_alone() -> None:
    guard = declared(timeout=10, retry=STEADY)
    async with open_supervisor():
        once = guard.using(timeout=1, retry=Retry(retries=0))
        with pytest.raises(TimeoutError, match="within 1 s"):
            await once(Service(took=5).ask, 1)
        assert await guard(Service(took=5).ask, 1) == "here"
        assert calls_of(guard) == 2


async def test_which_errors_are_retried_is_said_anew_as_well() -> None:
    guard = declared(retry=Retry(retries=2, base=0))
    never = guard.using(retry=Retry(retries=2, base=0, never=(ConnectionError,)))
    more = guard.using(retry=Retry(retries=2, base=0, on=(ValueError,)))
    async with open_supervisor():
        for calls, kind, asked in (
            (guard, ConnectionError, 3),
            (never, ConnectionError, 1),
            (guard, ValueError, 1),
            (more, ValueError, 3),
            (guard, ConnectionError, 3),
        ):
            service = Service(kind)
            with pytest.raises(kind):
                await calls(service.ask, 1)
            assert len(service.asked) == asked
        service = Service(ValueError)
        with pytest.raises(ValueError):  # noqa: PT011
            async for attempt in more:
                async with attempt:
                    await service.ask()
        assert len(service.asked) == 3


async def test_what_the_breaker_counts_stays_what_the_guard_says() -> None:
    guard = declared(breaker=Breaker(failures=2, counts=(ValueError,)), severities={OSError: "low"})
    async with open_supervisor():
        for _ in range(2):
            with pytest.raises(ValueError):  # noqa: PT011
                await guard.using(retry=Retry(retries=1, base=0))(Service(ValueError).ask, 1)
        status = guard.status().breaker
        assert status is not None
        assert status.state == "open"


async def test_the_cost_of_a_call_is_said_anew() -> None:
    guard = declared(budget="api")
    spec = Supervisor("root", [Broker({"api": Limit.smooth(1, burst=5)})])
    async with open_supervisor(spec):
        await guard.using(cost=5)(Service().ask, 1)
        await guard(Service().ask, 1)
        assert current_time() == 1
        with pytest.raises(CostTooHigh):
            await guard.using(cost=6)(Service().ask, 1)
        async with guard.using(cost=2).permit() as attempt:
            assert attempt.waited == 2


# --- one line --------------------------------------------------------------------------------------


async def test_one_line_guards_any_call(told: Told) -> None:
    service = Service(ConnectionError, "here")
    async with open_supervisor() as tree:
        assert await handle_with_retry(service.ask, "api", {"of": 1}, max_retries=1) == "here"
        (record,) = tree.errors()
        assert (record.guard, record.context, record.resolution) == ("api", "{'of': 1}", "retried")
        assert await handle_with_retry(lambda: 5, "api") == 5
        assert len(told.of(AttemptFailed)) == 1


async def test_one_line_without_a_name_has_that_of_the_child() -> None:
    async def run() -> None:
        await handle_with_retry(Service().ask)

    async with open_supervisor(Supervisor("root", [Component(run, restart="temporary")])) as tree:
        await sleep(1)
        (status,) = tree.snapshot().guards
        assert (status.name, status.figures[-1].calls) == ("root/run", 1)


@pytest.mark.parametrize("retries", [0, 1, 3])
async def test_one_line_makes_so_many_retries(retries: int) -> None:
    service = Service(ConnectionError)
    async with open_supervisor():
        with pytest.raises(ConnectionError):
            await handle_with_retry(service.ask, "api", max_retries=retries)
        assert len(service.asked) == retries + 1


@pytest.mark.parametrize("retries", [-1, 1.5, "3", None])
async def test_one_line_refuses_what_is_no_number_of_retries(retries: Any) -> None:
    service = Service()
    async with open_supervisor():
        with pytest.raises(TreeInvalid, match="max_retries"):
            await handle_with_retry(service.ask, "api", max_retries=retries)
        assert service.asked == []


# --- wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"cost": 0},
        {"cost": 1.5},
        {"priority": "urgent"},
        {"retry": 3},
        {"retry": Retry(retries=-1)},
        {"retry": Retry(retries=None)},
        {"breaker": True},
        {"breaker": Breaker(failures=0)},
        {"breaker": Breaker(half_open=1, successes=2)},
        {"budget": 5},
        {"bad_result": 5},
        {"throttled": OSError},
        {"throttled": (KeyboardInterrupt,)},
        {"severities": {OSError: "grave"}},
        {"fallback": ()},
    ],
)
def test_a_wrong_declaration_is_refused(options: Any) -> None:
    with pytest.raises(TreeInvalid, match="guard 'guard'"):
        Guard("guard", **options)


@pytest.mark.parametrize("name", ["", 5, None, "two\nlines", "\x00"])
def test_a_name_is_a_text_in_one_line(name: Any) -> None:
    with pytest.raises(TreeInvalid, match="as its name"):
        Guard(name)


@pytest.mark.parametrize("options", [{"timeout": 0}, {"cost": 0}, {"priority": "x"}, {"retry": 1}])
def test_what_is_said_anew_is_looked_at_as_well(options: Any) -> None:
    with pytest.raises(TreeInvalid, match="guard 'guard'"):
        declared().using(**options)


def test_a_declaration_does_not_change_and_compares_by_value() -> None:
    guard = declared(timeout=5)
    with pytest.raises(AttributeError, match="does not change"):
        guard.timeout = 10
    assert guard == declared(timeout=5)
    assert guard != declared(timeout=6)
    assert guard != declared("other", timeout=5)
    assert guard != "guard"
    assert hash(guard) == hash(declared(timeout=5))
    assert repr(guard) == "Guard('guard', budget=None, timeout=5)"


async def test_zero_is_a_value_everywhere() -> None:
    guard = declared(
        retry=Retry(retries=2, base=0, share=0, reserve=2, on=(ValueError,)),
        breaker=Breaker(failures=0, rate=1, calls=100, ramp=0),
        fallback=(0,),
    )
    service = Service(ValueError)
    async with open_supervisor():
        assert await guard(service.ask, 1) == 0
        assert service.asked == [0, 0, 0]
        assert await guard(Service(0).ask, 1) == 0
        assert await guard(Service(None).ask, 1) is None
        nothing = guard.using(retry=Retry(retries=0))
        assert await nothing.served(Service(ValueError).ask, 1) == Served(0, 1, 1, "ValueError")


# --- a permit --------------------------------------------------------------------------------------


async def test_a_permit_for_each_attempt_and_none_while_it_waits() -> None:
    guard, service = declared(budget="api", retry=STEADY), Service(OSError, OSError, "here")
    spec = Supervisor("root", [Broker({"api": Limit(3, per=100)})])
    async with open_supervisor(spec):
        assert await guard(service.ask, 1) == "here"
        assert service.asked == [0, 1, 3]
        assert try_acquire("api") is None
        assert current_broker().statistics().budgets["api"][-1].granted == 3


async def test_an_attempt_that_fails_has_used_its_permit() -> None:
    guard = declared(budget="api")
    spec = Supervisor("root", [Broker({"api": Limit(1, per=100)})])
    async with open_supervisor(spec):
        with pytest.raises(ConnectionError):
            await guard(Service(ConnectionError).ask, 1)
        with pytest.raises(Exception, match="no permit"), fail_after(1):
            await guard(Service().ask, 1)


# --- bad results -----------------------------------------------------------------------------------


def is_none(result: Any) -> bool:
    return result is None


async def test_a_bad_result_is_a_failure_that_is_retried() -> None:
    guard = declared(bad_result=is_none, retry=STEADY, breaker=Breaker(failures=5))
    service = Service(None, None, "here")
    async with open_supervisor():
        assert await guard(service.ask, 1) == "here"
        assert service.asked == [0, 1, 3]
        assert guard.status().figures[-1].recovered == 1


async def test_a_result_that_is_bad_to_the_end_is_the_answer() -> None:
    guard = declared(bad_result=is_none, retry=STEADY, breaker=Breaker(failures=3))
    async with open_supervisor():
        served = await guard.served(Service(None).ask, 1)
        assert (served.value, served.level, served.attempts) == (None, 0, 3)
        assert "bad result" in served.why
        status = guard.status()
        assert status.breaker is not None
        assert status.breaker.state == "open"
        assert status.figures[-1].failed == 1


async def test_a_look_at_the_result_that_fails_is_the_calls_error() -> None:
    guard = declared(bad_result=lambda result: result.missing)
    async with open_supervisor():
        with pytest.raises(AttributeError):
            await guard(Service().ask, 1)


async def test_the_native_cancellation_of_asyncio_goes_through(anyio_backend_name: str) -> None:
    if anyio_backend_name != "asyncio":
        pytest.skip("a cancellation of asyncio's own")
    guard = declared(retry=STEADY, breaker=Breaker(failures=1), timeout=100)
    async with open_supervisor():
        task = asyncio.get_running_loop().create_task(guard(Service(took=10).ask, 1))
        await sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert guard.status().figures[-1].cancelled == 1


async def test_a_timeout_that_is_none_of_its_own_is_not_taken_for_it() -> None:
    """A deadline outside of the call ends the caller, in the same instant or before."""
    guard = declared(timeout=5, retry=STEADY)
    service = Service(took=10)
    async with open_supervisor():
        with anyio.CancelScope() as scope:
            scope.deadline = 3
            await guard(service.ask, 1)
        assert scope.cancelled_caught
        assert len(service.asked) == 1


async def test_permits_serve_once_whatever_a_block_does() -> None:
    guard = declared(budget="api")
    spec = Supervisor("root", [Broker({"api": Limit(5, per=100)})])
    async with open_supervisor(spec):
        async with guard.permit() as attempt:
            attempt.throttled(0)
            with pytest.raises(PermitUsed):
                attempt.throttled(0)
