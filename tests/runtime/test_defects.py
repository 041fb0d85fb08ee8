"""Defects that hand-made resilience has, each shown not to be here: what no other test shows.

The whole table of them is ``docs/defects.md``.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

import anyio.lowlevel
import pytest
from anyio import current_time, sleep

from supervisor import (
    Attempt,
    Breaker,
    BreakerOpen,
    Broker,
    Guard,
    Limit,
    Retry,
    Supervisor,
    TreeInvalid,
    acquire,
    open_supervisor,
)
from tests.runtime.conftest import Told

pytestmark = pytest.mark.usefixtures("leak_check")


def plain(name: str = "plain", **options: Any) -> Guard:
    return Guard(name, **{"budget": None, "retry": None, **options})


async def answer(value: object = "here") -> object:
    return value


async def refuse() -> None:
    raise ConnectionError("no route")


async def answer_after(seconds: float, error: Exception | None = None) -> str:
    await sleep(seconds)
    if error is not None:
        raise error
    return "here"


async def lose(guard: Guard, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError):
            await guard(refuse)


# --- what is called ---------------------------------------------------------------------------------


class Asked:
    """A function that is none by the looks of it."""

    async def __call__(self) -> object:
        raise ConnectionError("no route")


def undecorated() -> Awaitable[object]:
    """Answers with something to be awaited, as a wrapper without ``async`` does."""
    return refuse()


@functools.wraps(refuse)
def wrapped(*args: object) -> Awaitable[object]:
    return refuse()


@pytest.mark.parametrize(
    "fn",
    [Asked(), functools.partial(refuse), functools.partial(Asked()), undecorated, wrapped],
    ids=["object", "partial", "partial of an object", "returns an awaitable", "wrapper"],
)
@pytest.mark.realtime
async def test_whatever_is_to_be_awaited_is_awaited_and_its_failure_counts(
    fn: Callable[[], Any],
) -> None:
    guard = plain()
    async with open_supervisor():
        with pytest.raises(ConnectionError):
            await guard(fn)
        breaker = guard.status().breaker
        assert breaker is not None
        assert breaker.in_a_row == 1


ZEROS: list[tuple[str, Callable[[], object]]] = [
    ("retries", lambda: Guard("g", retry=Retry(retries=0))),
    ("base", lambda: Guard("g", retry=Retry(base=0))),
    ("share", lambda: Guard("g", retry=Retry(share=0))),
    ("reserve", lambda: Guard("g", retry=Retry(reserve=0))),
    ("failures", lambda: Guard("g", breaker=Breaker(failures=0, rate=0.5))),
    ("ramp", lambda: Guard("g", breaker=Breaker(ramp=0))),
]
SENSELESS: list[tuple[str, Callable[[], object]]] = [
    ("timeout", lambda: Guard("g", timeout=0)),
    ("cost", lambda: Guard("g", cost=0)),
    ("cap", lambda: Guard("g", retry=Retry(cap=0))),
    ("deadline", lambda: Guard("g", retry=Retry(deadline=0))),
    ("max_retry_after", lambda: Guard("g", retry=Retry(max_retry_after=0))),
    ("open", lambda: Guard("g", breaker=Breaker(open=0))),
    ("window", lambda: Guard("g", breaker=Breaker(window=0))),
    ("rate", lambda: Guard("g", breaker=Breaker(rate=0))),
    ("half_open", lambda: Guard("g", breaker=Breaker(half_open=0))),
    ("failures", lambda: Guard("g", breaker=Breaker(failures=0))),
]


@pytest.mark.parametrize(("field", "declare"), ZEROS, ids=[field for field, _ in ZEROS])
def test_zero_is_a_value(field: str, declare: Callable[[], Guard]) -> None:
    guard = declare()
    assert 0 in (getattr(guard.retry, field, None), getattr(guard.breaker, field, None))


@pytest.mark.parametrize(("field", "declare"), SENSELESS, ids=[field for field, _ in SENSELESS])
def test_zero_where_it_has_no_sense_is_refused_and_not_taken_for_a_default(
    field: str, declare: Callable[[], Guard]
) -> None:
    with pytest.raises(TreeInvalid) as caught:
        declare()
    assert field in str(caught.value)


async def test_zeros_do_what_they_say() -> None:
    at_once = Guard("at once", budget=None, retry=Retry(retries=2, base=0))
    none_saved = Guard("none saved", budget=None, retry=Retry(share=0, reserve=0))
    async with open_supervisor():
        began = current_time()
        await lose(at_once, 1)
        assert current_time() == began
        assert at_once.status().figures[-1].retries == 2
        await lose(none_saved, 1)
        assert none_saved.status().figures[-1].retries == 0


@pytest.mark.parametrize("fields", [{"brust": 5}, {"priority_boost": 2}])
def test_a_setting_that_nobody_reads_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Limit(5, per=1, **fields)
    with pytest.raises(TypeError):
        Guard("g", **fields)
    with pytest.raises(TypeError):
        Retry(**fields)
    with pytest.raises(TypeError):
        Breaker(**fields)


# --- who is called, and when -------------------------------------------------------------------------


async def test_calls_of_one_guard_do_not_wait_for_each_other() -> None:
    guard = Guard("guard", budget=None, timeout=10)
    async with open_supervisor():
        began = current_time()
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(guard, answer_after, 1)
        assert current_time() - began == 1


async def test_nor_for_those_who_listen() -> None:
    guard = plain()
    async with open_supervisor() as tree:
        with tree.events(capacity=1):  # and nobody reads it
            began = current_time()
            for _ in range(50):
                await lose(guard, 1)
                guard.release()
            assert current_time() == began


async def test_two_tasks_cannot_take_the_same_permit() -> None:
    taken: list[float] = []

    async def take() -> None:
        async with acquire("api"):
            await anyio.lowlevel.checkpoint()  # where another task could look at the same window
            taken.append(current_time())

    tree = Supervisor("t", [Broker({"api": Limit(3, per=10)})])
    async with open_supervisor(tree) as running:
        await running["broker"].wait_ready()
        began = current_time()
        async with anyio.create_task_group() as group:
            for _ in range(7):
                group.start_soon(take)
        assert [round(at - began) for at in taken] == [0, 0, 0, 10, 10, 10, 20]
        await running.stop()


async def test_too_many_requests_leave_the_breaker_closed() -> None:
    class Busy(Exception):
        status_code = 429

    guard = plain(breaker=Breaker(failures=2, rate=0.1, calls=1))

    async def busy() -> None:
        raise Busy

    async with open_supervisor():
        for _ in range(20):
            with pytest.raises(Busy):
                await guard(busy)
        status = guard.status()
        assert status.breaker is not None
        assert (status.breaker.state, status.breaker.failures) == ("closed", 0)
        assert status.figures[-1].throttled == 20


# --- breakers ----------------------------------------------------------------------------------------


Way = Callable[[Guard, float, Exception | None], Awaitable[object]]


async def by_call(guard: Guard, seconds: float, error: Exception | None) -> object:
    return await guard(answer_after, seconds, error)


async def by_decorator(guard: Guard, seconds: float, error: Exception | None) -> object:
    return await guard(answer_after)(seconds, error)


async def by_block(guard: Guard, seconds: float, error: Exception | None) -> object:
    async with guard.permit() as attempt:
        assert isinstance(attempt, Attempt)
        return await answer_after(seconds, error)


ways = pytest.mark.parametrize("way", [by_call, by_decorator, by_block])


@ways
@pytest.mark.parametrize("error", [None, ConnectionError("late")], ids=["success", "failure"])
@pytest.mark.parametrize("moment", ["open", "half-open", "closed again"])
async def test_what_comes_back_late_moves_nothing(
    way: Way, error: Exception | None, moment: str
) -> None:
    guard = plain(breaker=Breaker(failures=1, open=10, cap=10, probe=500, half_open=2))

    async def ignore_late() -> None:
        if error is None:
            await way(guard, 100, error)
            return
        with pytest.raises(ConnectionError):
            await way(guard, 100, error)

    def state() -> tuple[object, ...]:
        breaker = guard.status().breaker
        assert breaker is not None
        return breaker.state, breaker.probes, breaker.good, breaker.bad, breaker.trips

    async with open_supervisor(), anyio.create_task_group() as group:
        group.start_soon(ignore_late)
        await sleep(0.5)
        if moment == "open":
            await sleep(95)
            await lose(guard, 1)
        else:
            await lose(guard, 1)
            await guard.wait_closed()
            if moment == "half-open":
                group.start_soon(way, guard, 200, None)
            else:
                await guard(answer)
                await guard(answer)
        await sleep(0.5)
        before = state()
        assert before[0] == moment.removesuffix(" again")
        await sleep(100.5 - current_time())
        assert state() == before


@ways
async def test_a_cancelled_call_is_neither_success_nor_failure(way: Way) -> None:
    guard = plain(breaker=Breaker(failures=2, rate=0.5, calls=1, slow=5))
    async with open_supervisor():
        for _ in range(5):
            with anyio.move_on_after(3) as scope:
                await way(guard, 10, None)
            assert scope.cancelled_caught
        breaker = guard.status().breaker
        assert breaker is not None
        assert (breaker.state, breaker.calls, breaker.in_a_row) == ("closed", 0, 0)
        assert guard.status().figures[-1].cancelled == 5


@ways
async def test_a_cancelled_probe_gives_its_place_to_the_next(way: Way) -> None:
    guard = plain(breaker=Breaker(failures=1, open=10, probe=500))
    async with open_supervisor():
        await lose(guard, 1)
        await guard.wait_closed()
        with anyio.move_on_after(3):
            await way(guard, 10, None)
        await way(guard, 0, None)
        breaker = guard.status().breaker
        assert breaker is not None
        assert breaker.state == "closed"


@pytest.mark.parametrize("seconds", [0, 3], ids=["at once", "in the call"])
async def test_a_cancelled_call_is_served_by_no_fallback(seconds: float) -> None:
    served: list[object] = []

    async def serve(*_: object) -> str:
        served.append(1)
        return "old"

    guard = plain(fallback=(serve, "older"), retry=Retry())
    async with open_supervisor():
        with anyio.move_on_after(seconds) as scope:
            await guard(answer_after, 10)
        assert scope.cancelled_caught
        assert served == []
        assert guard.status().figures[-1].served == 0


async def test_the_last_real_error_is_raised_though_the_breaker_has_opened_since() -> None:
    guard = Guard(
        "guard",
        budget=None,
        retry=Retry(retries=3, base=0.1, cap=0.2),
        breaker=Breaker(failures=2, open=70),
    )
    async with open_supervisor():
        with pytest.raises(ConnectionError, match="no route") as caught:
            await guard(refuse)
        [note] = caught.value.__notes__
        assert "BreakerOpen" in note
        assert guard.status().figures[-1].attempts == 2


async def test_five_failures_in_a_month_do_not_open_it() -> None:
    guard = plain()
    async with open_supervisor():
        for _ in range(20):
            await lose(guard, 1)
            await sleep(6 * 24 * 3600)
        breaker = guard.status().breaker
        assert breaker is not None
        assert breaker.trips == 0


# --- what is told ------------------------------------------------------------------------------------


async def test_what_served_is_told_apart_from_what_was_asked_for(told: Told) -> None:
    guard = plain(fallback=(lambda: 1 / 0, "old"))
    async with open_supervisor():
        own = await guard.served(answer)
        stood_in = await guard.served(refuse)
    assert (own.value, own.level, own.why) == ("here", 0, "")
    assert (stood_in.value, stood_in.level) == ("old", 2)
    assert "no route" in stood_in.why
    assert [type(event).__name__ for event in told if "Served" in type(event).__name__] == [
        "FallbackServed"
    ]


async def test_a_bad_minute_is_seen_after_a_good_day() -> None:
    guard = plain(breaker=None)
    async with open_supervisor():
        for _ in range(24 * 60):
            await guard(answer)
            await sleep(60)
        await lose(guard, 9)
        figures = {figure.window: figure.success_rate for figure in guard.status().figures}
    assert figures[60] is not None
    assert figures[60] <= 0.1
    assert figures[None] is not None
    assert figures[None] > 0.99


async def test_a_call_that_succeeds_is_no_event_no_record_and_no_line(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    guard = Guard("guard", budget=None, timeout=5)
    decorated = plain("decorated")(answer)
    async with open_supervisor() as tree:
        before, lines = len(told), len(caplog.records)
        for _ in range(20):
            await guard(answer)
            await decorated("x")
        assert (len(told), len(caplog.records)) == (before, lines)
        assert tree.errors() == ()
        assert guard.status().figures[-1].succeeded == 20


async def test_a_rejection_names_the_cause_and_when_to_ask_again() -> None:
    guard = plain(breaker=Breaker(failures=1, open=10))
    async with open_supervisor():
        await lose(guard, 1)
        with pytest.raises(BreakerOpen, match="no route") as caught:
            await guard(answer)
        assert 10 <= caught.value.retry_at - current_time() <= 12
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        assert not math.isinf(caught.value.retry_at)


# --- whose state it is -------------------------------------------------------------------------------


async def test_two_trees_share_no_breaker() -> None:
    guard = plain(breaker=Breaker(failures=1))
    async with open_supervisor():
        await lose(guard, 1)
        with pytest.raises(BreakerOpen):
            await guard(answer)
    async with open_supervisor() as tree:
        assert await guard(answer) == "here"
        assert tree.errors() == ()


async def test_guards_of_hosts_that_come_and_go_are_forgotten() -> None:
    async with open_supervisor() as tree:
        held = [plain(f"kept {number}") for number in range(50)]
        for guard in held:
            await lose(guard, 1)
        for number in range(3000):
            await plain(f"host {number}")(answer)
        known = {guard.name for guard in tree.snapshot().guards}
        assert len(known) <= 1000
        assert known >= {guard.name for guard in held}
        assert "host 2999" in known
