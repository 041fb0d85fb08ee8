"""Children that only wait: what it costs to start, keep, leave alone and stop them.

The floor is anyio's own task group with as many tasks. A case is called in a fresh process with the
number of children, and returns its figure.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import psutil
from anyio import to_thread
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from supervisor import Component, Supervisor, Tree, open_supervisor
from tests.benchmarks.stopwatch import Figure, Stopwatch

SETTLING = 0.2
WINDOW = 2.0
"""Seconds that a case without work is left alone, and then watched."""


class Roll:
    """The code of all children of a case, and how many of them have begun to wait."""

    def __init__(self) -> None:
        self.begun = 0

        async def idle() -> None:  # a plain function, as most components are
            self.begun += 1
            await anyio.sleep_forever()

        self.idle = idle

    async def wait_begun(self, count: int) -> None:
        while self.begun < count:
            await checkpoint()

    def declare(self, count: int) -> Supervisor:
        idle = self.idle
        return Supervisor("tree", [Component(idle, name=f"child-{i}") for i in range(count)])


# --- starting ------------------------------------------------------------------------------------


async def start(count: int, *, stop_within: float = 25) -> Figure:
    """Seconds from entering with a built spec until every child has begun."""
    roll = Roll()
    spec = roll.declare(count)
    watch = Stopwatch()
    async with open_supervisor(spec, stop_within=stop_within) as tree:
        await roll.wait_begun(count)
        took = watch.seconds()
        await tree.stop()
    return took


async def start_tasks(count: int) -> Figure:
    roll = Roll()
    watch = Stopwatch()
    async with anyio.create_task_group() as group:
        _start_all(group, roll, count)
        await roll.wait_begun(count)
        took = watch.seconds()
        group.cancel_scope.cancel()
    return took


def _start_all(group: TaskGroup, roll: Roll, count: int) -> None:
    idle = roll.idle
    for _ in range(count):
        group.start_soon(idle)


# --- memory --------------------------------------------------------------------------------------


async def memory(count: int) -> Figure:
    """KiB a child by which the process has grown, the spec included."""
    before = resident()
    async with _listed(count) as tree:
        grown = resident() - before
        await tree.stop()
    return Figure(grown / count / 1024)


async def memory_of_tasks(count: int) -> Figure:
    before = resident()
    async with _tasks(count) as group:
        grown = resident() - before
        group.cancel_scope.cancel()
    return Figure(grown / count / 1024)


def resident() -> int:
    resident: int = psutil.Process().memory_info().rss
    return resident


# --- stopping ------------------------------------------------------------------------------------


async def stop_dynamic(count: int) -> Figure:
    """Seconds to stop children of ``start_soon``, and to leave the tree."""
    roll = Roll()
    idle = roll.idle
    async with open_supervisor() as tree:
        for _ in range(count):
            tree.start_soon(idle)
        await roll.wait_begun(count)
        watch = Stopwatch()
        await tree.stop()
    return watch.seconds()


async def stop_listed(count: int) -> Figure:
    """Seconds to stop declared children, one at a time in reverse, and to leave the tree."""
    async with _listed(count) as tree:
        watch = Stopwatch()
        await tree.stop()
    return watch.seconds()


async def stop_tasks(count: int) -> Figure:
    async with _tasks(count) as group:
        watch = Stopwatch()
        group.cancel_scope.cancel()
    return watch.seconds()


# --- waking --------------------------------------------------------------------------------------


async def wakeups(count: int) -> Figure:
    """How often the event loop woke while nothing happened."""
    async with _listed(count) as tree:
        woken = await _woken_while_idle()
        await tree.stop()
    return Figure(woken)


async def wakeups_of_tasks(count: int) -> Figure:
    async with _tasks(count) as group:
        woken = await _woken_while_idle()
        group.cancel_scope.cancel()
    return Figure(woken)


async def _woken_while_idle() -> int:
    """Counted from a thread, so that what is watched has no timer of the watcher's."""
    woken = _counter_of_wakeups()

    def watch() -> int:
        time.sleep(SETTLING)
        before = woken()
        time.sleep(WINDOW)
        return woken() - before

    return await to_thread.run_sync(watch)


def _counter_of_wakeups() -> Callable[[], int]:
    """How often the loop of the calling thread has returned from waiting so far."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return _count_io_waits()
    selector = getattr(loop, "_selector", None)
    return _count_context_switches() if selector is None else _count_selects(selector)


def _count_selects(selector: object) -> Callable[[], int]:
    select: Callable[[float | None], object] = selector.select  # type: ignore[attr-defined]
    count = 0

    def counted(timeout: float | None = None) -> object:
        nonlocal count
        ready = select(timeout)
        count += 1
        return ready

    selector.select = counted  # type: ignore[attr-defined]
    return lambda: count


def _count_io_waits() -> Callable[[], int]:
    import trio

    class Waits(trio.abc.Instrument):
        count = 0

        def after_io_wait(self, timeout: float) -> None:
            self.count += 1

    waits = Waits()
    trio.lowlevel.add_instrument(waits)
    return lambda: waits.count


def _count_context_switches() -> Callable[[], int]:
    """uvloop waits in C, out of our sight: but a thread that wakes and waits again has given up its
    processor once more, and Linux counts that."""
    status = Path(f"/proc/self/task/{threading.get_native_id()}/status")

    def switches() -> int:
        lines = status.read_text("ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))

    return switches


# --- what is there, all of it waiting --------------------------------------------------------------


@asynccontextmanager
async def _listed(count: int) -> AsyncIterator[Tree]:
    roll = Roll()
    async with open_supervisor(roll.declare(count)) as tree:
        await roll.wait_begun(count)
        yield tree


@asynccontextmanager
async def _tasks(count: int) -> AsyncIterator[TaskGroup]:
    roll = Roll()
    async with anyio.create_task_group() as group:
        _start_all(group, roll, count)
        await roll.wait_begun(count)
        yield group
