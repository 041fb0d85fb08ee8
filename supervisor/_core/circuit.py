"""What refusing the calls of a service and setting a child aside have in common.

Failures are counted within a window of time, and the time open grows from one opening to the next.
A breaker and a quarantine differ in what they call a failure, and in who is let through.
"""

from __future__ import annotations

from collections import deque
from itertools import dropwhile
from typing import Protocol

from supervisor._core import backoff


class Opens(Protocol):
    """The policy of what opens: seconds, how they grow, and how far."""

    @property
    def open(self) -> float: ...
    @property
    def factor(self) -> float: ...
    @property
    def cap(self) -> float: ...


class Circuit:
    """The times of the last failures, at most ``most`` of them, and how often in a row it opened."""

    __slots__ = ("log", "times")

    def __init__(self, most: int) -> None:
        self.log: deque[float] = deque(maxlen=most)
        self.times = 0

    def failed(self, now: float, within: float) -> int:
        """Count a failure; how many there were in the last ``within`` seconds, up to ``most``."""
        log = self.log
        log.append(now)
        begin = now - within
        while log[0] <= begin and len(log) > 1:  # the last one counts, however short the window
            log.popleft()
        return len(log)

    def within(self, seconds: float, now: float) -> int:
        """How many of the failures that count are not older than that."""
        begin = now - seconds
        return sum(1 for _ in dropwhile(lambda at: at <= begin, self.log))

    def opened(self, policy: Opens) -> float:
        """Count an opening; how many seconds it lasts, before jitter."""
        self.times += 1
        return self.again(policy)

    def again(self, policy: Opens) -> float:
        """As many seconds as the last opening, before jitter."""
        return backoff.grown(policy.open, policy.factor, self.times - 1, policy.cap)
