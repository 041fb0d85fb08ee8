"""The injector finds what it is there for: each planted fault breaks the law that it ought to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Literal, TypeAlias

import anyio
import pytest

import tests.injection.guards  # noqa: F401  # its scenarios
from supervisor import Child, Crashed, Event, ForeignCancellation
from supervisor._core.breaker import BreakerMachine
from supervisor._core.effects import StopChild, TellStuck
from supervisor._core.permits import BudgetState
from supervisor._errors import NotFound
from supervisor._runtime import host, life, runtime
from supervisor._runtime.attempt import Attempt
from supervisor._runtime.bus import Bus
from supervisor._runtime.handle import _raise
from supervisor._runtime.runtime import LiveNode, Runtime
from supervisor._words import Outcome
from tests.injection.inject import Variant, run_scenario
from tests.injection.laws import broken
from tests.injection.scenarios import SCENARIOS

Backend: TypeAlias = Literal["asyncio", "trio"]
Plant: TypeAlias = Callable[[pytest.MonkeyPatch], None]


def findings(scenario: str, backend: Backend, variant: Variant) -> Iterator[str]:
    play = SCENARIOS[scenario]
    undisturbed = run_scenario(play, backend, None, variant)
    yield from broken(undisturbed)
    for at, point in enumerate(undisturbed.points):
        if point.offers(variant):
            yield from broken(run_scenario(play, backend, at, variant))


def wait_ready_that_swallows(patch: pytest.MonkeyPatch) -> None:
    waits = Child.wait_ready

    async def wait_ready(self: Child) -> Any:
        try:
            return await waits(self)
        except anyio.get_cancelled_exc_class():
            return None

    patch.setattr(Child, "wait_ready", wait_ready)


def waiters_that_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LiveNode, "unwatch", lambda *_: None)


def subscriptions_that_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Bus, "unsubscribe", lambda *_: None)


def starts_that_are_left_over(patch: pytest.MonkeyPatch) -> None:
    async def first_start(self: Child) -> None:
        try:
            await self._until(lambda state: not state.trial)
        except NotFound:
            _raise(self._last)

    patch.setattr(Child, "_first_start", first_start)


def stops_taken_for_crashes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(life, "_outcome", lambda *_: Outcome("crashed", ForeignCancellation()))


def blocks_that_swallow(patch: pytest.MonkeyPatch) -> None:
    leaves = host.open_supervisor.__aexit__

    async def leave(self: host.open_supervisor, *error: Any) -> bool | None:
        try:
            return await leaves(self, *error)
        except anyio.get_cancelled_exc_class():
            return True

    patch.setattr(host.open_supervisor, "__aexit__", leave)


def crashes_told_twice(patch: pytest.MonkeyPatch) -> None:
    publish = Bus.publish

    def twice(self: Bus, event: Event) -> None:
        publish(self, event)
        if isinstance(event, Crashed):
            publish(self, event)

    patch.setattr(Bus, "publish", twice)


def trees_known_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(host, "closed", lambda tree: None)


def stuck_lives_not_told(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(runtime._PERFORM, TellStuck, lambda *_: None)


def trees_that_fall_with_their_own_task(patch: pytest.MonkeyPatch) -> None:
    async def until_finished(self: Runtime) -> None:
        await self.finished.wait()

    patch.setattr(Runtime, "_until_finished", until_finished)
    patch.setattr(Runtime, "stop_if_loop_closes", lambda self: None)


def timers_that_end(patch: pytest.MonkeyPatch) -> None:
    sleeps = Runtime._sleep_until_deadlines

    async def sleep_until_deadlines(self: Runtime) -> None:
        with suppress(anyio.get_cancelled_exc_class()):
            await sleeps(self)

    patch.setattr(Runtime, "stop", lambda self, reason: None)
    patch.setattr(Runtime, "_sleep_until_deadlines", sleep_until_deadlines)


def tasks_left_behind(patch: pytest.MonkeyPatch) -> None:
    stops = Child.stop

    async def stop(self: Child) -> None:
        try:
            await stops(self)
        except asyncio.CancelledError:
            kept.append(asyncio.get_running_loop().create_task(anyio.sleep_forever()))
            raise

    patch.setattr(Child, "stop", stop)


def calls_that_stop_the_tree(patch: pytest.MonkeyPatch) -> None:
    restarts = Child.restart

    async def restart(self: Child) -> None:
        try:
            await restarts(self)
        except anyio.get_cancelled_exc_class():
            bystander = self._runtime.root.node.children["bystander"]
            self._runtime.feed(self._runtime.root, StopChild(bystander))
            raise

    patch.setattr(Child, "restart", restart)


def cancelled_calls_taken_for_failures(patch: pytest.MonkeyPatch) -> None:
    def cancelled(self: BreakerMachine, ticket: int, now: float, took: float) -> None:
        self.failed(ticket, now, took, "cancelled")

    patch.setattr(BreakerMachine, "cancelled", cancelled)


def probes_that_are_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BreakerMachine, "cancelled", lambda *_: None)


def blocks_that_stay_under_way(patch: pytest.MonkeyPatch) -> None:
    async def enter(self: Attempt) -> Attempt:
        self._entered = True
        self._course.live.under_way += 1
        await self._enter()
        return self

    patch.setattr(Attempt, "__aenter__", enter)


def permits_that_are_taken_along(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BudgetState, "give_back", lambda *_: None)


kept: list[Any] = []

BOTH: tuple[Backend, ...] = ("asyncio", "trio")
ASYNCIO: tuple[Backend, ...] = ("asyncio",)

PLANTED: list[tuple[Plant, str, tuple[Backend, ...], Variant, str]] = [
    (wait_ready_that_swallows, "boot_and_leave", BOTH, "call", "a cancelled call returned"),
    (waiters_that_stay, "several_wait_for_one", BOTH, "call", "still waits"),
    (subscriptions_that_stay, "subscribes", BOTH, "call", "a subscription was left"),
    (starts_that_are_left_over, "starts_and_adds", BOTH, "call", "was left over by a cancelled"),
    (stops_taken_for_crashes, "commands_to_a_child", BOTH, "call", "was taken for a crash"),
    (blocks_that_swallow, "commands_to_a_child", BOTH, "block", "as if it had not been"),
    (
        blocks_that_swallow,
        "those_that_end_are_waited_for",
        ASYNCIO,
        "native",
        "cancellation was swallowed",
    ),
    (crashes_told_twice, "starts_that_fail", BOTH, "call", "was told 2 times"),
    (trees_known_for_ever, "serves", BOTH, "block", "is still known"),
    (stuck_lives_not_told, "something_is_stuck", BOTH, "block", "after its deadline"),
    (trees_that_fall_with_their_own_task, "boot_and_leave", ASYNCIO, "native", "for a crash"),
    (timers_that_end, "quarantine_and_fallback", ASYNCIO, "native", "has not ended"),
    (tasks_left_behind, "commands_to_a_child", ASYNCIO, "call", "left: task"),
    (calls_that_stop_the_tree, "commands_to_a_child", BOTH, "call", "bystander"),
    (
        cancelled_calls_taken_for_failures,
        "guarded_calls_wait_for_permits",
        BOTH,
        "call",
        "it was counted",
    ),
    (
        probes_that_are_kept,
        "guarded_calls_are_retried_past_a_probe",
        BOTH,
        "call",
        "a probe is left",
    ),
    (blocks_that_stay_under_way, "guarded_blocks_are_run_again", BOTH, "call", "a call is left"),
    (
        permits_that_are_taken_along,
        "guarded_calls_wait_for_permits",
        BOTH,
        "call late",
        "asked with",
    ),
]


@pytest.mark.parametrize(
    ("plant", "scenario", "backend", "variant", "finding"),
    [
        pytest.param(
            plant, scenario, backend, variant, finding, id=f"{plant.__name__}-{variant}-{backend}"
        )
        for plant, scenario, backends, variant, finding in PLANTED
        for backend in backends
    ],
)
def test_a_planted_fault_is_found(
    monkeypatch: pytest.MonkeyPatch,
    plant: Plant,
    scenario: str,
    backend: Backend,
    variant: Variant,
    finding: str,
) -> None:
    assert not any(finding in found for found in findings(scenario, backend, variant))
    plant(monkeypatch)
    found = list(findings(scenario, backend, variant))
    assert any(finding in each for each in found), found
