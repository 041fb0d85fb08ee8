"""When the machines of a tree next want to be stepped, and the alarm of the one task that waits.

An entry of the heap is valid while it equals its machine's ``deadline``; others are skipped, and
swept out when they become many.
"""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

import anyio

from supervisor._runtime.clock import now

if TYPE_CHECKING:
    from supervisor._runtime.runtime import LiveNode

FEW: Final = 64
"""Deadlines that are not worth sweeping."""


class Deadlines:
    """The next deadline of each machine that has one."""

    __slots__ = ("_alarm", "_alarm_at", "_crowded", "_heap", "_seq")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, LiveNode]] = []
        self._crowded = FEW
        self._seq = 0
        self._alarm = anyio.CancelScope()
        self._alarm_at = math.inf

    def __len__(self) -> int:
        """How many are kept, those that no longer hold among them."""
        return len(self._heap)

    def move(self, at: LiveNode, deadline: float) -> None:
        """Give a machine another deadline; infinity is none."""
        at.deadline = deadline
        if deadline != math.inf:
            self._seq += 1
            heappush(self._heap, (deadline, self._seq, at))
            if len(self._heap) > self._crowded:
                self._sweep()

    def due(self) -> list[LiveNode]:
        """The machines whose deadline has come, which have none from now on."""
        due: list[LiveNode] = []
        at = now()
        while self._next() <= at:
            live_node = heappop(self._heap)[2]
            live_node.deadline = math.inf
            due.append(live_node)
        # The deepest first: where a deadline of the whole stop comes for all at once, it is the
        # child that is stuck, and its supervisors are so only because of it.
        due.sort(key=_depth, reverse=True)
        return due

    def alarm(self) -> anyio.CancelScope:
        """A scope to sleep in: it ends at the next deadline, also if that moves meanwhile."""
        self._alarm_at = self._next()
        self._alarm = anyio.CancelScope(deadline=self._alarm_at)
        return self._alarm

    def set_alarm(self) -> None:
        """Let the alarm follow the deadlines that have moved."""
        deadline = self._next()
        if deadline != self._alarm_at:
            self._alarm.deadline = self._alarm_at = deadline

    def _next(self) -> float:
        heap = self._heap
        while heap and heap[0][0] != heap[0][2].deadline:
            heappop(heap)
        return heap[0][0] if heap else math.inf

    def _sweep(self) -> None:
        """Take out those that no longer hold: behind one that does they would wait for its time."""
        self._heap = [entry for entry in self._heap if entry[0] == entry[2].deadline]
        heapify(self._heap)
        self._crowded = max(FEW, 2 * len(self._heap))


def _depth(at: LiveNode) -> int:
    return at.node.path.count("/")
