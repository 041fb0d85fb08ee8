"""One name is one guard of a tree: what it knows is found by every declaration of it, and by no other
tree, for as long as anybody can tell."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import anyio
import pytest
from anyio import create_task_group, sleep

from supervisor import (
    Breaker,
    BreakerOpen,
    Component,
    Guard,
    GuardDiffers,
    NoTree,
    Retry,
    Supervisor,
    handle_with_retry,
    open_supervisor,
)
from supervisor._runtime.guarded import MOST, Guards
from supervisor.testing import virtual_backend
from tests.runtime.conftest import Service


@pytest.fixture
def often_switching() -> Iterator[None]:
    """Threads take turns after nearly each instruction."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


FAILING = Service(ConnectionError)


def declared(name: str = "guard", **options: Any) -> Guard:
    return Guard(name, **{"budget": None, "retry": None, "breaker": Breaker(failures=1), **options})


async def trip(guard: Guard) -> None:
    with pytest.raises(ConnectionError):
        await guard(FAILING.ask, 1)


def calls_of(guard: Guard) -> int:
    return guard.status().figures[-1].calls


# --- declared twice --------------------------------------------------------------------------------


async def test_equal_declarations_are_one_guard() -> None:
    async with open_supervisor():
        await trip(declared())

        with pytest.raises(BreakerOpen):
            await declared()(FAILING.ask, 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("budget", "api"),
        ("timeout", 5),
        ("retry", Retry(retries=1)),
        ("breaker", None),
        ("fallback", "instead"),
        ("bad_result", callable),
        ("throttled", (OSError,)),
        ("severities", {OSError: "low"}),
        ("priority", "high"),
        ("cost", 2),
    ],
)
async def test_declarations_that_differ_are_refused_with_the_field(field: str, value: Any) -> None:
    first, other = declared(), declared(**{field: value})
    async with open_supervisor():
        assert first.status().name == "guard"

        with pytest.raises(GuardDiffers, match=f"with {field}="):
            other.status()
        with pytest.raises(GuardDiffers):
            await other(FAILING.ask, 1)


async def test_a_declaration_that_is_gone_still_says_what_the_guard_is() -> None:
    """Or what a call gets would depend on when the first declaration is collected."""
    async with open_supervisor():
        assert await declared(fallback="first")(FAILING.ask, 1) == "first"
        gc.collect()

        with pytest.raises(GuardDiffers, match="fallback='first' and fallback='second'"):
            await declared(fallback="second")(FAILING.ask, 1)


async def test_a_guard_outlives_its_declarations_in_the_tree() -> None:
    async with open_supervisor():
        await trip(declared())
        gc.collect()

        with pytest.raises(BreakerOpen):
            await declared()(FAILING.ask, 1)


async def test_a_second_declaration_that_is_gone_does_not_take_the_first_with_it() -> None:
    first = declared("first")
    async with open_supervisor():
        await trip(first)
        assert calls_of(declared("first")) == 1
        gc.collect()
        for number in range(MOST + 10):
            declared(f"host-{number}").status()

        with pytest.raises(BreakerOpen):
            await declared("first")(FAILING.ask, 1)
        assert calls_of(first) == 2


# --- many ------------------------------------------------------------------------------------------


async def test_ten_thousand_guards_of_hosts_that_come_and_go_are_forgotten() -> None:
    async with open_supervisor() as tree:
        for number in range(10_000):
            declared(f"host-{number}").status()

        assert len(tree._runtime.guards.statuses()) <= MOST


async def test_ten_thousand_guards_that_are_held_are_all_there() -> None:
    guards = [declared(f"host-{number}") for number in range(10_000)]
    began = time.process_time()
    async with open_supervisor() as tree:
        for guard in guards:
            guard.status()
        assert (
            time.process_time() - began < 5
        )  # a second or so; in the square of them, many minutes

        assert len(tree._runtime.guards.statuses()) == 10_000
        await trip(guards[0])
        with pytest.raises(BreakerOpen):
            await declared("host-0")(FAILING.ask, 1)


async def test_a_guard_with_a_call_under_way_is_not_forgotten() -> None:
    slow = Service(ConnectionError, took=10)

    async def call() -> None:
        with pytest.raises(ConnectionError):
            await declared("call")(slow.ask, 1)

    async def block() -> None:
        with pytest.raises(ConnectionError):
            async with declared("block").permit():
                await slow.ask()

    async with open_supervisor(), create_task_group() as group:
        group.start_soon(call)
        group.start_soon(block)
        await sleep(1)
        gc.collect()
        for number in range(MOST + 10):
            declared(f"host-{number}").status()
        await sleep(10)

        for name in ("call", "block"):
            with pytest.raises(BreakerOpen):
                await declared(name)(FAILING.ask, 1)


# --- one line --------------------------------------------------------------------------------------


async def test_one_line_uses_the_guard_of_that_name() -> None:
    guard = declared("api", fallback="instead")
    async with open_supervisor():
        guard.status()

        assert await handle_with_retry(FAILING.ask, "api", max_retries=0) == "instead"


async def test_one_line_uses_a_guard_whose_declaration_is_gone() -> None:
    async with open_supervisor():
        declared("api", fallback="instead").status()
        gc.collect()

        assert await handle_with_retry(FAILING.ask, "api", max_retries=0) == "instead"


async def test_a_declaration_takes_the_place_of_what_one_line_has_made() -> None:
    async with open_supervisor():
        assert await handle_with_retry(Service().ask, "api") == "here"

        assert await declared("api", fallback="instead")(FAILING.ask, 1) == "instead"
        assert await handle_with_retry(FAILING.ask, "api", max_retries=0) == "instead"


async def test_names_in_one_line_are_forgotten_one_after_the_other() -> None:
    async with open_supervisor() as tree:
        for number in range(3 * MOST):
            await handle_with_retry(Service().ask, f"host-{number}")

        assert len(tree._runtime.guards.statuses()) <= MOST
        assert len(tree._runtime.guards._made) <= MOST
        assert await declared("host-0", fallback="instead")(FAILING.ask, 1) == "instead"


# --- trees -----------------------------------------------------------------------------------------


async def test_two_trees_share_no_state() -> None:
    guard = declared()
    seen: list[bool] = []

    async def fails() -> None:
        await trip(guard)
        await sleep(5)

    async def succeeds() -> None:
        await sleep(1)
        seen.append(await guard(Service().ask, 1) == "here")
        await sleep(5)

    async with (
        open_supervisor(Supervisor("one", [Component(fails, restart="transient")])),
        open_supervisor(Supervisor("two", [Component(succeeds, restart="transient")])),
    ):
        await sleep(2)
        with pytest.raises(NoTree, match="2 trees are open"):
            guard.status()
    assert seen == [True]


@pytest.mark.parametrize("equal", [False, True], ids=["one declaration", "two that are equal"])
async def test_a_function_that_was_used_in_one_tree_knows_nothing_of_it_in_the_next(
    equal: bool,
) -> None:
    guard, other = declared(), declared()

    @guard
    async def ask(service: Service) -> Any:
        return await service.ask()

    @other
    async def ask_too(service: Service) -> Any:
        return await service.ask()

    async def count() -> int:
        await ask(Service())
        await (ask_too if equal else ask)(Service())
        await ask(Service())
        return calls_of(guard)

    async with open_supervisor():
        assert await count() == 3
    async with open_supervisor():
        assert await count() == 3


@pytest.mark.parametrize("equal", [False, True], ids=["one declaration", "two that are equal"])
async def test_a_function_that_was_used_in_one_tree_asks_which_one_once_there_are_two(
    equal: bool,
) -> None:
    guard, other = declared(), declared()

    @guard
    async def ask(service: Service) -> Any:
        return await service.ask()

    async with open_supervisor():
        await ask(Service())
        if equal:
            await other(Service().ask, 1)
        async with open_supervisor():
            with pytest.raises(NoTree, match="2 trees are open"):
                await ask(Service())
        await ask(Service())
        assert calls_of(guard) == 2 + equal


@pytest.mark.parametrize("equal", [False, True], ids=["one declaration", "two that are equal"])
async def test_after_the_end_of_the_tree_there_is_none(equal: bool) -> None:
    guard, other = declared(), declared()

    @guard
    async def ask(service: Service) -> Any:
        return await service.ask()

    async with open_supervisor():
        await ask(Service())
        if equal:
            await other(Service().ask, 1)
    with pytest.raises(NoTree):
        await ask(Service())
    for use in (guard.status, guard.permit, partial(guard.force, "open", "why")):
        with pytest.raises(NoTree):
            use()
    with pytest.raises(NoTree):
        await guard(Service().ask, 1)
    with pytest.raises(NoTree):
        async for _ in guard:
            pass
    with pytest.raises(NoTree):
        await handle_with_retry(Service().ask, "guard")


async def test_a_call_that_outlasts_its_tree_ends_as_it_would_have() -> None:
    guard = declared(breaker=None, retry=Retry(retries=1, base=1, jitter="none"))
    service = Service(ConnectionError, "here", took=10)
    answers: list[Any] = []

    async def call() -> None:
        answers.append(await guard(service.ask, 1))

    async with create_task_group() as group:
        async with open_supervisor():
            group.start_soon(call)
            await sleep(1)
    assert answers == ["here"]
    assert len(service.asked) == 2


def test_guards_of_trees_in_two_threads_know_nothing_of_each_other(
    often_switching: None,
) -> None:
    guard = declared()
    together = threading.Barrier(2)

    @guard
    async def ask(service: Service) -> Any:
        return await service.ask()

    async def main() -> int:
        async with open_supervisor():
            together.wait(10)
            for _ in range(1000):
                await ask(Service())
            together.wait(10)
            return calls_of(guard)

    def run() -> int:
        backend, options = virtual_backend("asyncio")
        return anyio.run(main, backend=backend, backend_options=options)

    with ThreadPoolExecutor(2) as pool:
        assert [each.result() for each in [pool.submit(run), pool.submit(run)]] == [1000, 1000]


async def test_a_tree_that_opens_in_another_thread_just_now_is_not_overlooked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Just between the look whether there is another and what follows from it."""
    guard = declared()
    async with open_supervisor() as tree:
        other = Guards(tree._runtime)
        looks = Guards.are_alone

        def are_alone(self: Guards) -> bool:
            was = looks(self)
            if other not in Guards._open:
                other.open()
            return was

        monkeypatch.setattr(Guards, "are_alone", are_alone)
        guard.status()
        monkeypatch.undo()

        assert other in Guards._open
        other.close()
        assert guard._sole is None
