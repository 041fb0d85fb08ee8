"""A loop that keeps time, and tells the supervisor that it is alive."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio

from supervisor._runtime.clock import now
from supervisor._runtime.context import current_life


class every(AsyncIterator[int]):  # noqa: N801 - reads as a keyword: ``async for _ in every(5)``
    """Iterate once every so many seconds, the first time at once, without drift.

    Turns are due at multiples of the period after the first. A turn that took longer than a period
    is followed by the next one at once, and those that were missed meanwhile are left out, not made
    up for. Each turn is a heartbeat of the child that takes it. Yields how many turns were missed.

    Args:
        seconds: the period, greater than 0.

    Raises:
        ValueError: the period is not a positive, finite number.
    """

    def __init__(self, seconds: float) -> None:
        if not 0 < seconds < float("inf"):
            raise ValueError(f"every() takes a positive number of seconds, not {seconds!r}")
        self._seconds = seconds
        self._due: float | None = None

    def __aiter__(self) -> every:
        return self

    async def __anext__(self) -> int:
        missed = 0
        if self._due is None:
            self._due = now()
        else:
            self._due += self._seconds
            late = now() - self._due
            if late >= self._seconds:
                missed = int(late // self._seconds)
                self._due += missed * self._seconds
        await anyio.sleep_until(self._due)
        life = current_life.get()
        if life is not None:
            life.heartbeat()
        return missed
