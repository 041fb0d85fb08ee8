"""A child that crashes: how often a second it comes back, and how soon the first time.

The floor is the least that a supervisor on a task group can do: a new task for each life, whose end
is reported through a memory channel to the task that starts the next.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
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
from tests.benchmarks.stopwatch import Figure, Stopwatch

AT_ONCE = Backoff(first=0, base=0, factor=1)
PLENTY = Intensity(1_000_000, within=60)
"""A budget that is kept, and never used up."""

Life: TypeAlias = Callable[[], Awaitable[None]]


async def crash() -> None:
    raise RuntimeError("on cue")


# --- again and again -----------------------------------------------------------------------------


async def rate(count: int) -> Figure:
    """Restarts a second, with a subscriber that gets every event."""
    child = Component(crash, backoff=AT_ONCE, quarantine=None)
    async with open_supervisor(Supervisor("tree", [child], intensity=PLENTY)) as tree:
        with tree.events() as events:
            await _read_crashes(events, 1)
            watch = Stopwatch()
            await _read_crashes(events, count)
            took = watch.seconds()
        await tree.stop()
    return Figure.rate(count, took)


async def _read_crashes(events: Subscription, count: int) -> None:
    async for event in events:
        if isinstance(event, Dropped):
            raise RuntimeError(f"the subscriber missed {event.count} events")
        count -= isinstance(event, Crashed)
        if not count:
            return


async def rate_of_tasks(count: int) -> Figure:
    send, receive = anyio.create_memory_object_stream[Exception](math.inf)

    async def life() -> None:
        try:
            await crash()
        except Exception as exc:
            send.send_nowait(exc)

    async with anyio.create_task_group() as group, send, receive:
        group.start_soon(life)
        await receive.receive()
        watch = Stopwatch()
        for _ in range(count):
            group.start_soon(life)
            await receive.receive()
        took = watch.seconds()
    return Figure.rate(count, took)


# --- the first time ------------------------------------------------------------------------------


class CrashesOnce:
    """A child that crashes in its first life when told to, and notes when the second one begins."""

    def __init__(self) -> None:
        self.go = anyio.Event()
        self.back = anyio.Event()
        self._crashed: Stopwatch | None = None
        self._took = Figure(math.inf)

    async def run(self) -> None:
        if self._crashed is not None:
            self._took = self._crashed.seconds()
            self.back.set()
            await anyio.sleep_forever()
        await self.go.wait()
        self._crashed = Stopwatch()
        raise RuntimeError("on cue")

    async def wait_back(self) -> Figure:
        self.go.set()
        await self.back.wait()
        return self._took.times(1000)


async def first(count: int) -> Figure:
    """Milliseconds from the crash to the next life: the median of so many fresh trees."""
    return Figure.median([await _first_in_tree() for _ in range(count)])


async def _first_in_tree() -> Figure:
    child = CrashesOnce()
    spec = Supervisor("tree", [Component(child.run, backoff=AT_ONCE)])
    async with open_supervisor(spec) as tree:
        took = await child.wait_back()
        await tree.stop()
    return took


async def first_of_tasks(count: int) -> Figure:
    return Figure.median([await _first_in_group() for _ in range(count)])


async def _first_in_group() -> Figure:
    child = CrashesOnce()
    async with anyio.create_task_group() as group:
        group.start_soon(restart_for_ever, child.run, group)
        took = await child.wait_back()
        group.cancel_scope.cancel()
    return took


async def restart_for_ever(run: Life, group: anyio.abc.TaskGroup) -> None:
    send, receive = anyio.create_memory_object_stream[Exception](math.inf)

    async def life() -> None:
        try:
            await run()
        except Exception as exc:
            send.send_nowait(exc)

    with send, receive:
        while True:
            group.start_soon(life)
            await receive.receive()
