"""Scenarios of guarded calls: cancelled anywhere, they leave no permit, probe or count behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from math import inf
from types import SimpleNamespace
from typing import Any

import anyio
from anyio import create_task_group, sleep

from supervisor import (
    Breaker,
    BreakerOpen,
    Broker,
    Guard,
    Limit,
    NoTree,
    PermitRefused,
    Retry,
    Tree,
    current_broker,
    handle_with_retry,
)
from supervisor._runtime import guarded
from tests.injection.scenarios import scenario
from tests.injection.stage import Stage

STEADY = Retry(retries=9, base=1, cap=1, jitter="none", reserve=inf)
QUICK = Breaker(failures=1, open=2, factor=1, cap=2)
SCARCE = Broker({"api": Limit.smooth(1, burst=1)})


class Service:
    """Fails so many times, and then answers; each time after a while."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.asked = 0

    async def ask(self, *_: object) -> str:
        self.asked += 1
        number = self.asked
        await sleep(0.5)
        if number <= self.failures:
            raise ConnectionError(str(number))
        return "here"

    def ask_later(self, *_: object) -> Awaitable[str]:
        return self.ask()


async def make(stage: Stage, *calls: Callable[[], Awaitable[Any]]) -> None:
    """Make these calls beside each other; once something was cancelled they may be refused."""

    async def call(fn: Callable[[], Awaitable[Any]]) -> None:
        try:
            await fn()
        except (ConnectionError, BreakerOpen, PermitRefused, NoTree):
            if not stage.disturbed:
                raise

    async with create_task_group() as group:
        for each in calls:
            group.start_soon(stage.call, partial(call, each))


def prove_settled(tree: Tree, *guards: Guard, calm: bool = False) -> None:
    """Nothing of any call is left in the guards; a service that never fails is not held for one
    that does, however often its calls were cancelled."""
    if tree._runtime.root.node.closing:
        return
    for guard in guards:
        status = guard.status()
        assert (status.under_way, status.retrying) == (0, 0), f"a call is left in {status}"
        if status.breaker is not None:
            assert status.breaker.probes == 0, f"a probe is left in {status.breaker}"
            if calm:
                assert (status.breaker.in_a_row, status.breaker.trips) == (0, 0), "it was counted"


def prove_accounted(tree: Tree, *services: Service) -> None:
    """There was a permit for each time that the service was asked, and for nothing else."""
    if tree._runtime.root.node.closing:
        return
    figures = current_broker().statistics().budgets["api"][-1]
    asked = sum(service.asked for service in services)
    assert figures.cost - figures.given_back == asked, f"{asked} asked with {figures}"


@scenario
async def guarded_calls_wait_for_permits(stage: Stage) -> None:
    """One after the other, to a service that answers."""
    guard = Guard("calm", budget="api", timeout=5, retry=STEADY, breaker=QUICK)
    hasty = Guard("hasty", budget="api", retry=Retry(deadline=60), breaker=None)
    service = Service()
    async with stage.open(SCARCE) as tree:
        decorated = guard(service.ask)

        @guard
        async def ask_too(service: Service) -> str:
            return await service.ask()

        await make(
            stage,
            lambda: guard(service.ask, 1),
            lambda: guard.using(priority="high")(service.ask, 1),
            lambda: guard.served(service.ask),
            lambda: decorated(1),
            lambda: ask_too(service),
            lambda: hasty(service.ask, 1),
        )
        prove_settled(tree, guard, hasty, calm=True)
        prove_accounted(tree, service)
        await stage.prove(tree)
        await tree.stop()


@scenario
async def guarded_calls_are_retried_past_a_probe(stage: Stage) -> None:
    """The first fails and opens the breaker; each retry is a probe, the first of which fails."""
    guard = Guard("guard", budget="api", timeout=5, retry=STEADY, breaker=QUICK)
    service = Service(failures=2)
    async with stage.open(SCARCE) as tree:
        await make(stage, lambda: guard(service.ask, 1))
        prove_settled(tree, guard)
        await stage.call(guard.wait_closed)
        await stage.call(guard.wait_closed)
        prove_settled(tree, guard)
        prove_accounted(tree, service)
        await stage.prove(tree)
        await tree.stop()


@scenario
async def an_open_breaker_is_waited_for(stage: Stage) -> None:
    """Until its time is over, and once until it is released."""
    guard = Guard("guard", budget=None, retry=None, breaker=QUICK)
    service = Service(failures=1)

    async def ask() -> None:
        with suppress(ConnectionError):
            await guard(service.ask, 1)

    async with stage.open() as tree:
        await make(stage, ask)
        await stage.call(guard.wait_closed)
        guard.force("open", "for a while", seconds=2)
        await stage.call(guard.wait_closed)
        prove_settled(tree, guard)
        await stage.prove(tree)
        await tree.stop()


@scenario
async def guarded_functions_are_retried(stage: Stage) -> None:
    """Those whose first attempt is made by the function itself."""
    plain = Guard("plain", budget=None, retry=STEADY, breaker=None)
    refusing = Guard("refusing", budget=None, retry=STEADY, breaker=QUICK)
    services = Service(1), Service(1), Service()

    @plain
    async def ask(service: Service) -> str:
        return await service.ask()

    @refusing
    async def ask_too(service: Service) -> str:
        return await service.ask()

    async with stage.open() as tree:
        await make(stage, lambda: ask(services[0]))
        await make(stage, lambda: ask_too(services[1]))
        await make(stage, lambda: ask_too(services[2]))
        await make(stage, lambda: handle_with_retry(services[2].ask, "line"))
        refusing.force("metrics only", "to pass by the quick way")
        await make(stage, lambda: ask_too(services[2]))
        prove_settled(tree, plain, refusing)
        await stage.prove(tree)
        await tree.stop()


@scenario
async def guarded_blocks_are_run_again(stage: Stage) -> None:
    """With a permit, a refusal by the breaker that is waited for, and a block that is run once."""
    guard = Guard("guard", budget="api", timeout=5, retry=STEADY, breaker=QUICK)
    service = Service(failures=1)

    async def again() -> None:
        async for attempt in guard:
            async with attempt:
                await service.ask()

    async def once() -> None:
        async with guard.permit():
            await service.ask()

    async with stage.open(SCARCE) as tree:
        await make(stage, again, again)
        await make(stage, again)
        await make(stage, once)
        prove_settled(tree, guard)
        prove_accounted(tree, service)
        await stage.prove(tree)
        await tree.stop()


@asynccontextmanager
async def threads_take(seconds: float) -> AsyncIterator[None]:
    """A real one would lose against any timer of the virtual clock."""

    async def run_sync(fn: Callable[..., Any], *args: Any) -> Any:
        await sleep(seconds)
        return fn(*args)

    before: Any = guarded.to_thread
    guarded.to_thread = SimpleNamespace(run_sync=run_sync)  # type: ignore[assignment]
    try:
        yield
    finally:
        guarded.to_thread = before


@scenario
async def guarded_calls_are_made_good(stage: Stage) -> None:
    """By a fallback that takes its time; and calls of what is no async function."""
    instead = Service()
    guard = Guard("guard", budget=None, retry=None, breaker=QUICK, fallback=instead.ask)
    other = Guard("other", budget=None, retry=None, breaker=None)
    failing, threaded = Service(failures=9), Service()
    async with threads_take(0.5), stage.open() as tree:
        await make(stage, lambda: guard(failing.ask, 1))
        await make(stage, lambda: other(threaded.ask_later, 1))
        prove_settled(tree, guard, other)
        await stage.prove(tree)
        await tree.stop()


@scenario
async def guarded_calls_time_out(stage: Stage) -> None:
    guard = Guard("guard", budget="api", timeout=0.2, retry=STEADY, breaker=None)
    service = Service()

    async def late() -> None:
        with suppress(TimeoutError):
            await guard(service.ask, 1)

    async def late_block() -> None:
        with suppress(TimeoutError), anyio.move_on_after(30):
            async with guard.permit():
                await service.ask()

    async with stage.open(SCARCE) as tree:
        await make(stage, late)
        await make(stage, late_block)
        prove_settled(tree, guard)
        prove_accounted(tree, service)
        await stage.prove(tree)
        await tree.stop()
