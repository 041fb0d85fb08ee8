"""How many calls there were in the last so many seconds, and how they went, at the price of an
addition.

A window consists of ten buckets of equal length, of which the last has just begun: it covers between
nine and ten tenths of its time. Sums are kept, not added up, and going on to the next bucket takes
what leaves the window off them.
"""

from __future__ import annotations

from collections import deque
from typing import Final, TypeAlias

BUCKETS: Final = 10

Counts: TypeAlias = tuple[int, int, int, int]


class Window:
    """Counts over the last ``seconds``. Add to them, after :meth:`roll`.

    ``calls`` have ended, of which ``failures``; ``slow`` ones took too long, whatever came of them.
    ``cut`` ones had taken too long when their caller gave up: they are slow, but no ``calls``.
    """

    __slots__ = ("calls", "cut", "edge", "failures", "index", "past", "slow", "start", "width")

    def __init__(self, seconds: float, now: float) -> None:
        self.width = seconds / BUCKETS
        self.past: deque[Counts] = deque(maxlen=BUCKETS - 1)  # the buckets before the present one
        self.clear(now)

    def clear(self, now: float) -> None:
        """Forget everything; the first bucket begins now."""
        self.past.clear()
        self.calls = self.failures = self.slow = self.cut = 0
        self.start = now
        self.index = 0  # of the present bucket
        self.edge = now + self.width  # where it ends

    def roll(self, now: float) -> None:
        """Go on to the bucket of ``now``. Needed only where ``now >= edge``, harmless elsewhere:
        time that goes back is taken to stand still."""
        if now < self.edge:
            return
        if now >= self._begin(BUCKETS):
            self.clear(now)
            return
        self._push(self._present())
        self.index += 1
        while now >= self._begin(1):
            self._push((0, 0, 0, 0))
            self.index += 1
        self.edge = self._begin(1)

    def counted(self, now: float) -> Counts:
        """The calls, failures, slow and cut ones as :meth:`roll` would leave them."""
        gone = 0
        while gone < BUCKETS and now >= self._begin(gone + 1):
            gone += 1
        if gone == BUCKETS:
            return (0, 0, 0, 0)
        kept = [*self.past, self._present()][-(BUCKETS - gone) :]
        calls, failures, slow, cut = map(sum, zip(*kept, strict=True))
        return (calls, failures, slow, cut)

    def _begin(self, ahead: int) -> float:
        """When the bucket begins that comes so many after the present one."""
        return self.start + (self.index + ahead) * self.width

    def _present(self) -> Counts:
        """What the buckets before it do not hold is the present one's."""
        past = self.past
        return (
            self.calls - sum(counts[0] for counts in past),
            self.failures - sum(counts[1] for counts in past),
            self.slow - sum(counts[2] for counts in past),
            self.cut - sum(counts[3] for counts in past),
        )

    def _push(self, counts: Counts) -> None:
        past = self.past
        if len(past) == BUCKETS - 1:
            calls, failures, slow, cut = past[0]
            self.calls -= calls
            self.failures -= failures
            self.slow -= slow
            self.cut -= cut
        past.append(counts)
