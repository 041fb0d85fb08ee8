"""A child that crashes: how often a second it comes back, and how soon the first time.

The floor is the least that a supervisor on a task group can do: a new task for each life, whose end
is reported through a memory channel to the task that starts the next.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import TypeAlias

import anyio

from supervisor import (
    Backoff,
    Component,
    Crashed,
    Dropped,
    Intensity,
    Subscription,
    Supervisor,
    open_supervisor,
)

AT_ONCE = Backoff(first=0, base=0, factor=1)
PLENTY = Intensity(1_000_000, within=60)
"""A budget that is kept, and never used up."""

Life: TypeAlias = Callable[[], Awaitable[None]]


async def crash() -> None:
    raise RuntimeError("on cue")


# --- again and again -----------------------------------------------------------------------------


async def rate(count: int) -> float:
    """Restarts a second, with a subscriber that gets every event."""
    child = Component(crash, backoff=AT_ONCE, quarantine=None)
    async with open_supervisor(Supervisor("tree", [child], intensity=PLENTY)) as tree:
        with tree.events() as events:
            await _read_crashes(events, 1)
            began = time.perf_counter()
            await _read_crashes(events, count)
            took = time.perf_counter() - began
        await tree.stop()
    return count / took


async def _read_crashes(events: Subscription, count: int) -> None:
    async for event in events:
        if isinstance(event, Dropped):
            raise RuntimeError(f"the subscriber missed {event.count} events")
        count -= isinstance(event, Crashed)
        if not count:
            return


async def rate_of_tasks(count: int) -> float:
    send, receive = anyio.create_memory_object_stream[Exception](math.inf)

    async def life() -> None:
        try:
            await crash()
        except Exception as exc:
            send.send_nowait(exc)

    async with anyio.create_task_group() as group, send, receive:
        group.start_soon(life)
        await receive.receive()
        began = time.perf_counter()
        for _ in range(count):
            group.start_soon(life)
            await receive.receive()
        took = time.perf_counter() - began
    return count / took


# --- the first time ------------------------------------------------------------------------------


class CrashesOnce:
    """A child that crashes in its first life when told to, and notes when the second one begins."""

    def __init__(self) -> None:
        self.go = anyio.Event()
        self.back = anyio.Event()
        self.crashed_at = 0.0
        self.back_at = 0.0

    async def run(self) -> None:
        if self.crashed_at:
            self.back_at = time.perf_counter()
            self.back.set()
            await anyio.sleep_forever()
        await self.go.wait()
        self.crashed_at = time.perf_counter()
        raise RuntimeError("on cue")

    async def wait_back(self) -> float:
        self.go.set()
        await self.back.wait()
        return (self.back_at - self.crashed_at) * 1000


async def first(count: int) -> float:
    """Milliseconds from the crash to the next life: the median of so many fresh trees."""
    return median([await _first_in_tree() for _ in range(count)])


async def _first_in_tree() -> float:
    child = CrashesOnce()
    spec = Supervisor("tree", [Component(child.run, backoff=AT_ONCE)])
    async with open_supervisor(spec) as tree:
        took = await child.wait_back()
        await tree.stop()
    return took


async def first_of_tasks(count: int) -> float:
    return median([await _first_in_group() for _ in range(count)])


async def _first_in_group() -> float:
    child = CrashesOnce()
    async with anyio.create_task_group() as group:
        group.start_soon(_restart_once, child.run, group)
        took = await child.wait_back()
        group.cancel_scope.cancel()
    return took


async def _restart_once(run: Life, group: anyio.abc.TaskGroup) -> None:
    send, receive = anyio.create_memory_object_stream[Exception](math.inf)

    async def life() -> None:
        try:
            await run()
        except Exception as exc:
            send.send_nowait(exc)

    with send, receive:
        group.start_soon(life)
        await receive.receive()
        group.start_soon(life)
        await anyio.sleep_forever()
