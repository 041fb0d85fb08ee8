"""What is counted, counted anew each time from the lives that a child has had.

The documents say each of these as a sentence about the past; so they are written as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tests.model.plan import Delay


@dataclass(eq=False)
class Life:
    """One life of a child, as it is remembered."""

    number: int
    began: float
    ready: float | None = None  # since when
    judged: float | None = None  # when it was judged; the end of one that was asked to end is not
    ended: float | None = None
    crashed: bool = False  # judged as a crash, failed starts and missed deadlines among them
    verdict: Literal["", "restart", "quarantine", "finish", "forget", "escalate", "none"] = ""
    healthy: bool = False  # it said so itself

    def up(self, now: float) -> float:
        """How long it was ready, or has been."""
        if self.ready is None:
            return 0.0
        until = [moment for moment in (self.judged, self.ended) if moment is not None]
        return min([*until, now]) - self.ready


def attempt(lives: Sequence[Life], reset_after: float, now: float) -> int:
    """The number, in its series, of the automatic restart that follows the last life.

    A life that was ready for ``reset_after``, or that said that it is healthy, begins a new series.
    """
    count = 0
    for life in reversed(lives):
        count += life.verdict in {"restart", "quarantine"}
        if life.healthy or life.up(now) >= reset_after:
            break
    return count


def crashes(lives: Sequence[Life], within: float, now: float) -> int:
    """How many crashes there were within so many seconds."""
    return sum(life.crashed and now - within < (life.judged or 0.0) for life in lives)


def quarantines(lives: Sequence[Life], within: float, now: float) -> int:
    """How many times in a row it was set aside: since a life was ready for the whole window."""
    count = 0
    for life in reversed(lives):
        count += life.verdict == "quarantine"
        if life.up(now) >= within:
            break
    return count


def grown(first: float, factor: float, times: int, cap: float) -> float:
    """``first``, grown so many times by a factor, but no further than to its cap."""
    return min(cap, first * factor**times)


def delay(policy: Delay, number: int) -> float:
    """The longest that the ``number``-th restart of a series may wait; without jitter, exactly."""
    return (
        policy.first if number == 1 else grown(policy.base, policy.factor, number - 2, policy.cap)
    )
