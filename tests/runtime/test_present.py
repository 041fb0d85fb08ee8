"""What a hand-made module of error handling did for its users is there, and does what it said."""

from __future__ import annotations

import json
import threading
from collections import Counter
from typing import Any

import anyio
import pytest
from anyio import current_time, sleep

from supervisor import (
    Breaker,
    BreakerOpen,
    Guard,
    Tree,
    handle_with_retry,
    json_line,
    open_supervisor,
)
from supervisor._runtime import clock

pytestmark = pytest.mark.usefixtures("leak_check")


class Service:
    """It fails by these errors, one after the other, and then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls: list[float] = []

    async def ask(self) -> str:
        self.calls.append(current_time())
        if self.errors:
            raise self.errors.pop(0)
        return "here"


def lost(number: int) -> list[Exception]:
    return [ConnectionError(f"refused {n}") for n in range(number)]


# --- handle_with_retry -----------------------------------------------------------------------------


async def test_a_call_is_made_up_to_three_times_more_and_the_last_error_is_raised() -> None:
    good, bad = Service(*lost(3)), Service(*lost(9))
    async with open_supervisor():
        assert await handle_with_retry(good.ask, "prices") == "here"
        with pytest.raises(ConnectionError, match="refused 3"):
            await handle_with_retry(bad.ask, "chat")
    assert (len(good.calls), len(bad.calls)) == (4, 4)


async def test_the_delays_grow_from_a_second_and_differ_from_call_to_call() -> None:
    services = [Service(*lost(3)) for _ in range(20)]
    async with open_supervisor():
        for n, service in enumerate(services):
            await handle_with_retry(service.ask, f"api-{n}")
    delays = [[b - a for a, b in zip(s.calls, s.calls[1:], strict=False)] for s in services]
    assert all(1 <= delay <= 30 for each in delays for delay in each)
    assert len({delay for each in delays for delay in each}) == 60
    averages = [sum(each[n] for each in delays) / 20 for n in range(3)]
    assert averages == sorted(averages)


async def test_no_retries_is_a_number_of_retries_as_well() -> None:
    service = Service(*lost(1))
    async with open_supervisor():
        with pytest.raises(ConnectionError):
            await handle_with_retry(service.ask, max_retries=0)
    assert len(service.calls) == 1


class Expired(PermissionError):
    """A subclass, which a list of names would not know."""


@pytest.mark.parametrize(
    "error", [PermissionError("key"), Expired("token"), ValueError("bad"), TypeError("no")]
)
async def test_what_would_fail_again_is_not_retried(error: Exception) -> None:
    service = Service(error)
    async with open_supervisor():
        with pytest.raises(type(error)):
            await handle_with_retry(service.ask)
    assert len(service.calls) == 1


async def test_a_plain_function_is_called_in_a_thread_and_an_async_one_is_awaited() -> None:
    threads: list[int] = []

    def plain() -> str:
        threads.append(threading.get_ident())
        return "plain"

    async with open_supervisor():
        assert await handle_with_retry(plain, "files") == "plain"
        assert await handle_with_retry(Service().ask, "files") == "here"
    assert threads != [threading.get_ident()]


# --- records ---------------------------------------------------------------------------------------


async def test_a_record_has_time_component_type_severity_message_context_and_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock.time, "time", lambda: 1_714_564_800.25)
    async with open_supervisor() as tree:
        await handle_with_retry(Service(*lost(1)).ask, "prices", {"symbol": "BTC"})
        (record,) = tree.errors()
    line = json.loads(json_line(record))
    assert line["time"] == "2024-05-01T12:00:00.250Z"
    assert (line["guard"], line["type"], line["severity"]) == ("prices", "ConnectionError", "high")
    assert (line["message"], line["context"]) == ("refused 0", "{'symbol': 'BTC'}")
    assert (line["attempt"], line["resolved"], line["resolution"]) == (1, True, "retried")


@pytest.mark.parametrize(
    ("error", "severity"),
    [
        (MemoryError(), "critical"),
        (ConnectionError("refused"), "high"),
        (TimeoutError("late"), "high"),
        (ValueError("bad"), "medium"),
        (TypeError("no"), "medium"),
        (AttributeError("none"), "medium"),
        (KeyError("k"), "low"),
    ],
)
async def test_the_severity_of_a_record_follows_from_its_type(
    error: Exception, severity: str
) -> None:
    async with open_supervisor() as tree:
        with pytest.raises(type(error)):
            await handle_with_retry(Service(error).ask, max_retries=0)
        (record,) = tree.errors()
    assert record.severity == severity


async def test_the_statistics_count_by_component_severity_and_type_and_what_was_recovered() -> None:
    async def child(*errors: Exception) -> None:
        await handle_with_retry(Service(*errors).ask)

    async with open_supervisor() as tree:
        tree.start_soon(child, *lost(3), name="prices")
        tree.start_soon(child, *lost(1), name="chat")
        failing = tree.start_soon(child, ValueError("bad"), name="mail", restart="temporary")
        await failing.wait()
    found = tree.summary()
    assert (found.total, found.resolved, found.recovery_rate) == (6, 4, 4 / 6)
    assert found.within[3600.0] == 6
    mail = "supervisor/mail"
    assert found.by_component == {"supervisor/prices": 3, mail: 2, "supervisor/chat": 1}
    assert found.by_severity == {"high": 4, "medium": 2}
    assert dict(found.most_common) == {
        "supervisor/prices:ConnectionError": 3,
        f"{mail}:ValueError": 2,
        "supervisor/chat:ConnectionError": 1,
    }
    assert tree.summary("mail").recovery_rate == 0


# --- the breaker -----------------------------------------------------------------------------------


async def fail_five_times(guard: Guard) -> None:
    for _ in range(5):
        with pytest.raises(ConnectionError):
            await guard(Service(*lost(1)).ask)


def default_guard(name: str = "prices") -> Guard:
    return Guard(name, budget=None, retry=None, breaker=Breaker())


def state(tree: Tree, name: str = "prices") -> str:
    return tree.summary().breakers[name]


async def test_after_five_failures_a_breaker_refuses_for_a_minute_and_then_lets_one_try() -> None:
    guard, service = default_guard(), Service()
    async with open_supervisor() as tree:
        await fail_five_times(guard)
        opened = current_time()
        assert state(tree) == "open"
        with pytest.raises(BreakerOpen):
            await guard(service.ask)

        await guard.wait_closed()
        assert 60 <= current_time() - opened <= 72  # up to a fifth more, by chance
        assert await guard(service.ask) == "here"
        assert state(tree) == "closed"
    assert len(service.calls) == 1
    assert tree.summary().trips == 1


async def test_of_a_hundred_callers_at_half_open_one_gets_through() -> None:
    guard, outcomes = default_guard(), Counter[str]()

    async def slow() -> str:
        await sleep(1)
        return "here"

    async def call() -> None:
        try:
            outcomes[await guard(slow)] += 1
        except BreakerOpen:
            outcomes["refused"] += 1

    async with open_supervisor():
        await fail_five_times(guard)
        await guard.wait_closed()
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(call)
    assert outcomes == {"here": 1, "refused": 99}


async def test_a_wall_clock_that_is_set_back_an_hour_does_not_keep_a_breaker_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guard = default_guard()
    async with open_supervisor():
        await fail_five_times(guard)
        earlier = clock.time.time() - 3600
        monkeypatch.setattr(clock.time, "time", lambda: earlier)
        with anyio.fail_after(73):
            await guard.wait_closed()
            assert await guard(Service().ask) == "here"


async def test_each_component_has_a_breaker_of_its_own() -> None:
    first, second = default_guard("prices"), default_guard("chat")
    async with open_supervisor() as tree:
        await fail_five_times(first)
        assert await second(Service().ask) == "here"
        assert (state(tree, "prices"), state(tree, "chat")) == ("open", "closed")


async def test_an_async_function_that_a_breaker_guards_is_awaited() -> None:
    async with open_supervisor():
        result: Any = await default_guard()(Service().ask)
    assert result == "here"
