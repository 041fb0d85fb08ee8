"""Events to their subscribers. Nobody who listens can block, slow down or break the tree."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final, final

from anyio import Event as Signal
from anyio.lowlevel import checkpoint

from supervisor._happenings import Dropped, Event

FAIRNESS: Final = 64
"""A reader of a full subscription yields to the event loop after so many events."""

log = logging.getLogger("supervisor")


class Bus:
    """Sinks are called at once and must be quick; subscriptions are bounded queues."""

    def __init__(self) -> None:
        self.sinks: list[Callable[[Event], object]] = []
        # Replaced and never changed: one that is collected takes itself off in the middle of a loop.
        self.subscriptions: tuple[_Queue, ...] = ()
        self.closed = False
        self.make_signal = type(Signal())  # of this event loop, which anyio would look up each time

    def publish(self, event: Event) -> None:
        for sink in self.sinks:
            try:
                sink(event)
            except Exception:
                # A broken log handler is the user's to mend; supervision goes on without it. It
                # may well be the one that this line goes to, too.
                with suppress(Exception):
                    log.exception("an event sink failed on %r", type(event).__name__)
        for queue in self.subscriptions:
            queue.put(event)

    def subscribe(self, queue: _Queue) -> None:
        if self.closed:
            queue.end()
        else:
            self.subscriptions += (queue,)

    def unsubscribe(self, queue: _Queue) -> None:
        self.subscriptions = tuple(each for each in self.subscriptions if each is not queue)

    def close(self) -> None:
        self.closed = True
        for queue in self.subscriptions:
            queue.end()


class _Queue:
    """What the bus holds of a subscription; the reader's end may be dropped at any time."""

    __slots__ = ("capacity", "dropped", "ended", "items", "kinds", "last", "path", "signal")

    def __init__(self, kinds: tuple[type[Event], ...], path: str, capacity: int) -> None:
        self.kinds = kinds
        self.path = path
        self.capacity = capacity
        self.items: deque[Event] = deque()
        self.dropped = 0
        self.last: Event | None = None
        self.ended = False
        self.signal: Signal | None = None

    def put(self, event: Event) -> None:
        if self.kinds and not isinstance(event, self.kinds):
            return
        if self.path and not _below(event.path, self.path):
            return
        if len(self.items) >= self.capacity:
            self.dropped += 1
            self.last = event
            return
        if self.dropped:
            self.items.append(self.take_dropped())
        self.items.append(event)
        if self.signal is not None:
            self.signal.set()

    def take_dropped(self) -> Dropped:
        """How many events were dropped since this was last told, with time and path of the last."""
        count, self.dropped = self.dropped, 0
        assert self.last is not None
        return Dropped(self.last.at, self.last.path, count)

    def end(self) -> None:
        self.ended = True
        if self.signal is not None:
            self.signal.set()


def _below(path: str, ancestor: str) -> bool:
    return path == ancestor or path.startswith(ancestor + "/")


@final
class Subscription(AsyncIterator[Event]):
    """An async iterator over a tree's events, from when it was made until the tree is over.

    It holds at most ``capacity`` events. When the reader falls further behind, the newest are
    dropped, and a :class:`~supervisor.Dropped` event tells how many as soon as there is room.
    One task reads it. ``close()``, leaving it as a context manager, or dropping it ends it.
    """

    _bus: Bus
    _queue: _Queue
    _run: int

    def __init__(self) -> None:
        raise TypeError("a subscription is not made by hand; use tree.events()")

    @classmethod
    def _of(
        cls, bus: Bus, kinds: tuple[type[Event], ...], path: str, capacity: int
    ) -> Subscription:
        self = cls.__new__(cls)
        self._bus = bus
        self._queue = _Queue(kinds, path, capacity)
        self._run = 0
        bus.subscribe(self._queue)
        return self

    def close(self) -> None:
        """End the subscription; what was not read is discarded."""
        self._queue.items.clear()
        self._queue.dropped = 0
        self._queue.end()
        self._bus.unsubscribe(self._queue)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_queue"):
            self.close()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        queue = self._queue
        self._run += 1
        if self._run % FAIRNESS == 0:
            await checkpoint()
        while not queue.items:
            if queue.dropped:
                return queue.take_dropped()
            if queue.ended:
                raise StopAsyncIteration
            if queue.signal is not None:
                raise RuntimeError("two tasks read one subscription; make one for each")
            queue.signal = self._bus.make_signal()
            try:
                await queue.signal.wait()
            finally:
                queue.signal = None
        return queue.items.popleft()
