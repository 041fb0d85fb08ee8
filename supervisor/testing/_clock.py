"""One deterministic clock that moves by itself, for asyncio and trio alike.

Time stands still while any task can run. When none can, it jumps to the next timer. So an hour of
sleeps takes as long as the code between them, and every time that a test sees is exact.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, TypeAlias

import anyio
from anyio.lowlevel import current_token

from supervisor.testing._census import CERTAINTY, busy_threads

Backend: TypeAlias = tuple[str, dict[str, Any]]
"""What anyio's ``anyio_backend`` fixture and ``anyio.run`` take: a name, and its options."""


def virtual_backend(
    name: Literal["asyncio", "trio"], *, threshold: float = 0.0, spin: int = 10_000
) -> Backend:
    """Make a backend whose clock starts at 0.0 and moves by itself.

    Return it from an ``anyio_backend`` fixture of function scope, or hand it to ``anyio.run``::

        backend, options = virtual_backend("trio")
        anyio.run(main, backend=backend, backend_options=options)

    On trio the tasks that can run in one instant run oldest first rather than shuffled, so a run
    can be repeated; across backends only the *times* of events are alike, not the order within one
    instant. uvloop cannot have such a clock: its timers are not within reach.

    Args:
        name: ``asyncio`` or ``trio``.
        threshold: for how many real seconds all tasks must have been blocked before the clock
            jumps. At 0 a worker thread or a socket loses against any timer; some hundredths give
            them time to answer.
        spin: after so many turns of the event loop within one instant the clock jumps although
            there is something to run, as real time would have passed. Without it a child that
            swallows its cancellation, which makes both backends spin, would stop the time.

    Raises:
        ValueError: the name is neither ``asyncio`` nor ``trio``.
        ImportError: trio is asked for and not installed.
    """
    if name == "asyncio":
        return name, {"loop_factory": partial(_VirtualLoop, threshold, spin)}
    if name == "trio":
        from supervisor.testing._trio_clock import trio_options

        return name, trio_options(threshold, spin)
    raise ValueError(f"no virtual clock for {name!r}; write 'asyncio' or 'trio'")


async def settle() -> None:
    """Wait until every other task is blocked, without moving the virtual clock.

    ``anyio.wait_all_tasks_blocked()`` does the same on trio, but polls by sleeping on asyncio,
    which moves the clock by a tenth of a second. Worker threads are not waited for. On a real
    clock this is anyio's function.
    """
    loop = current_token().native_token
    if isinstance(loop, _VirtualLoop):
        await loop.wait_idle()
    else:
        await anyio.wait_all_tasks_blocked()


@contextmanager
def watch(deadlocked: Callable[[], None]) -> Iterator[None]:
    """Have it called, once, when nothing is left that could wake a task; never on a real clock."""
    loop = current_token().native_token
    watchers: list[Callable[[], None]] = []
    if isinstance(loop, _VirtualLoop):
        watchers = loop.watchers
    elif not isinstance(loop, asyncio.AbstractEventLoop):
        from supervisor.testing._trio_clock import current_watchers

        watchers = current_watchers()
    watchers.append(deadlocked)
    try:
        yield
    finally:
        if deadlocked in watchers:
            watchers.remove(deadlocked)


class _VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is moved by its selector, which is where a loop would wait."""

    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, threshold: float, spin: int) -> None:
        self._now = 0.0
        self._idle: list[asyncio.Future[None]] = []
        self.watchers: list[Callable[[], None]] = []
        self.is_closing = False
        super().__init__(_VirtualSelector(self, threshold, spin))
        self._move(0.0)

    def time(self) -> float:
        return self._now

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        # The last thing a loop does. It waits for real threads, from Python 3.12 on with a timeout
        # of minutes, which would be over at once: here time is real.
        self.is_closing = True
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self.is_closing = False

    def next_timer(self) -> float:
        return self._scheduled[0].when() if self._scheduled else math.inf

    def jump(self) -> bool:
        """Move the clock to the next timer, if there is one, and say whether it moved."""
        when = self.next_timer()
        if not self._now < when < math.inf:
            return False
        self._move(when)
        return True

    def _move(self, when: float) -> None:
        self._now = when
        # The loop runs the timers before now + resolution. One ulp makes that "up to now" at any
        # age; no constant would: 0 never runs any, and 1e-9 is lost in the sum after some months.
        self._clock_resolution = math.ulp(when)

    async def wait_idle(self) -> None:
        future = self.create_future()
        self._idle.append(future)
        await future

    def wake_idle(self) -> bool:
        """Wake those who wait for the others to be blocked, and say whether there were any."""
        waiting = [future for future in self._idle if not future.done()]
        self._idle.clear()
        for future in waiting:
            future.set_result(None)
        return bool(waiting)


class _VirtualSelector(selectors.DefaultSelector):
    """Polls for input, and where the real one would wait for a timer, moves the clock instead."""

    def __init__(self, loop: _VirtualLoop, threshold: float, spin: int) -> None:
        super().__init__()
        self._loop = loop
        self._threshold = threshold
        self._spin = spin
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:
            self._turns += 1
            if self._turns >= self._spin and self._loop.jump():
                self._turns = 0
            return super().select(0)
        self._turns = 0
        events = super().select(0)
        if events or self._loop.wake_idle():
            return events
        if math.isinf(self._loop.next_timer()):
            return self._wait_for_outside()
        patience = timeout if self._loop.is_closing else self._threshold
        events = super().select(patience) if patience else events
        if not events:
            self._loop.jump()
        return events

    def _wait_for_outside(self) -> list[tuple[selectors.SelectorKey, int]]:
        # With only the loop's own wake-up pipe left, it takes a thread to write to that.
        while self._loop.watchers and len(self.get_map()) <= 1:
            quiet = not busy_threads()
            events = super().select(CERTAINTY)
            if events:
                return events
            if quiet and not busy_threads():
                self._loop.watchers.pop()()
                return []
        return super().select(None)
