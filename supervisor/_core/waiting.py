"""Who waits for a permit: four classes, FIFO within each, and whose turn it is between them.

The turn goes by start-time fair queueing (Goyal, Vin, Chen, SIGCOMM 1996): a class that becomes
busy starts at the virtual time; its head finishes at its start plus cost by weight; the smallest
finish is served, and of equal ones that of the higher class. A class back from rest brings no
credit along.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias

RANKS: Final = ("low", "medium", "high", "critical")

RequestState: TypeAlias = Literal["asked", "queued", "granted", "shed", "closed", "abandoned"]

WAITING: Final = frozenset({"asked", "queued"})

SWEPT: Final = 64
"""Fewer dead requests than this are left where they are."""

FAR: Final = 1e9
"""Where the virtual time begins anew, so that its fractions are not rounded away."""


class Request:
    """One request for a permit that has to wait. ``signal`` belongs to the floor above.

    It is ``asked`` until the broker has taken note of it, then ``queued``; both wait.
    """

    __slots__ = (
        "rank", "cost", "asked_at", "deadline", "state", "signal",
        "granted_at", "grant_no",
    )  # fmt: skip

    def __init__(
        self,
        rank: int,
        cost: int,
        asked_at: float,
        deadline: float = math.inf,
        signal: Any = None,
    ) -> None:
        self.rank = rank
        self.cost = cost
        self.asked_at = asked_at
        self.deadline = deadline
        self.signal = signal
        self.state: RequestState = "asked"
        self.granted_at = -math.inf
        self.grant_no = 0

    def __repr__(self) -> str:
        return f"<Request {RANKS[self.rank]} cost={self.cost} {self.state}>"


class Line:
    """The requests of one class, oldest first; the dead among them are skipped when they come up.

    ``start`` is the virtual time at which its head starts, ``live`` how many wait, ``cost`` what
    they ask for in all.
    """

    __slots__ = ("cost", "items", "live", "rank", "start", "weight")

    def __init__(self, rank: int, weight: float) -> None:
        self.rank = rank
        self.weight = weight
        self.items: deque[Request] = deque()
        self.start = 0.0
        self.live = 0
        self.cost = 0

    def head(self) -> Request:
        """The oldest that waits. There must be one."""
        items = self.items
        while items[0].state not in WAITING:
            items.popleft()
        return items[0]

    def finish(self) -> float:
        return self.start + self.head().cost / self.weight

    def left(self, request: Request) -> None:
        """Account for one that waits no more."""
        self.live -= 1
        self.cost -= request.cost
        if not self.live:
            self.items.clear()
        elif len(self.items) - self.live > max(SWEPT, self.live):
            self.items = deque(item for item in self.items if item.state in WAITING)


class Waiting:
    """All who wait for one budget."""

    __slots__ = ("dearest", "lines", "live", "time")

    def __init__(self, weights: tuple[float, ...]) -> None:
        self.lines = tuple(Line(rank, weight) for rank, weight in enumerate(weights))
        self.time = 0.0
        self.live = 0
        self.dearest = 1  # the highest cost since somebody waits

    def push(self, request: Request) -> None:
        line = self.lines[request.rank]
        if not line.live:
            line.start = max(line.start, self.time)
        line.items.append(request)
        line.live += 1
        line.cost += request.cost
        self.live += 1
        self.dearest = max(self.dearest, request.cost)

    def next(self) -> Line | None:
        """The class whose turn it is: its head owns the next permits, whatever they cost."""
        chosen, least = None, math.inf
        for line in reversed(self.lines):
            if line.live:
                finish = line.finish()
                if finish < least:
                    chosen, least = line, finish
        return chosen

    def serve(self, line: Line) -> None:
        """The head of the class has been served: its state says so already."""
        request = line.items.popleft()
        self.time = max(self.time, line.start)
        line.start += request.cost / line.weight
        self._gone(line, request)
        if self.time > FAR:
            for one in self.lines:
                one.start = max(0.0, one.start - self.time)
            self.time = 0.0

    def leave(self, request: Request) -> None:
        """It waits no more, without having been served: its state says so already."""
        self._gone(self.lines[request.rank], request)

    def newest_below(self, rank: int) -> Request | None:
        """The newest of the lowest class below ``rank``."""
        for line in self.lines[:rank]:
            if line.live:
                items = line.items
                while items[-1].state not in WAITING:
                    items.pop()
                return items[-1]
        return None

    def before(self, rank: int, cost: int) -> float:
        """How much is granted before and with a request that comes now, at most, as long as no
        class becomes busy that is not.

        What other classes are served by then has finished, in virtual time, no later than it.
        """
        line = self.lines[rank]
        start = line.start if line.live else max(line.start, self.time)
        finish = start + (line.cost + cost) / line.weight
        amount = float(line.cost + cost)
        for other in self.lines:
            if other.live and other is not line:
                amount += max(0.0, (finish - other.start) * other.weight)
        return amount

    def weigh(self, weights: tuple[float, ...]) -> None:
        for line, weight in zip(self.lines, weights, strict=True):
            line.weight = weight

    def everybody(self) -> Iterator[Request]:
        """Who waits, the highest class first, each class in order."""
        for line in reversed(self.lines):
            for request in line.items:
                if request.state in WAITING:
                    yield request

    def mend(self) -> list[str]:
        """Count again, and say what was wrong."""
        wrong = []
        for line in self.lines:
            there = [request for request in line.items if request.state in WAITING]
            cost = sum(request.cost for request in there)
            if (line.live, line.cost) != (len(there), cost):
                wrong.append(
                    f"{RANKS[line.rank]}: counted {line.live} waiting for {line.cost}, "
                    f"found {len(there)} for {cost}"
                )
                line.items, line.live, line.cost = deque(there), len(there), cost
            if not math.isfinite(line.start):
                wrong.append(f"{RANKS[line.rank]}: its turn was at {line.start}")
                line.start = 0.0
        if not math.isfinite(self.time):
            wrong.append(f"the virtual time was {self.time}")
            self.time = 0.0
        self.live = sum(line.live for line in self.lines)
        return wrong

    def _gone(self, line: Line, request: Request) -> None:
        line.left(request)
        self.live -= 1
        if not self.live:
            self.time = 0.0
            self.dearest = 1
            for one in self.lines:
                one.start = 0.0
