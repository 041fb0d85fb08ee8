"""Counters over the last 1, 5 and 15 minutes, at the price of an addition.

Totals only ever grow. Every ten seconds, when something is about to be counted, a picture of them
is put aside; what happened within a window is the difference to the picture at its beginning.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

EVERY: Final = 10.0
"""Seconds between two pictures, and so how exact the beginning of a window is."""

WINDOWS: Final = (60.0, 300.0, 900.0)
"""Seconds."""

KEPT: Final = int(WINDOWS[-1] / EVERY) + 2


class Meter:
    """Totals and their windows. Add to ``totals``, after :meth:`roll`.

    ``peak`` is the largest value since the last picture.
    """

    __slots__ = ("next_at", "peak", "pictures", "since", "totals")

    def __init__(self, count: int, now: float) -> None:
        self.totals = [0.0] * count
        self.peak = 0.0
        self.since = self.next_at = now
        self.pictures: deque[tuple[float, list[float], float]] = deque(maxlen=KEPT)

    def roll(self, now: float) -> None:
        """Put a picture aside. Needed only where ``now >= next_at``; harmless elsewhere.

        It is dated when it was due: nothing has been counted since.
        """
        if now >= self.next_at:
            self.pictures.append((self.next_at, self.totals.copy(), self.peak))
            self.peak = 0.0
            self.next_at = now + EVERY

    def spread(self, kinds: Sequence[int], count: float, since: float, now: float) -> None:
        """Count so many of each kind as if they had come evenly from ``since`` to ``now``."""
        rate, left = count / max(now - since, EVERY), count
        self.next_at = max(self.next_at, now - KEPT * EVERY)  # older pictures would not be kept
        while now >= self.next_at:
            part = max(0.0, left - rate * (now - self.next_at))
            self._add(kinds, part)
            left -= part
            self.pictures.append((self.next_at, self.totals.copy(), self.peak))
            self.peak = 0.0
            self.next_at += EVERY
        self._add(kinds, left)

    def _add(self, kinds: Sequence[int], count: float) -> None:
        for kind in kinds:
            self.totals[kind] += count

    def within(self, window: float, now: float) -> tuple[list[float], float]:
        """What each total has grown by in the last ``window`` seconds, to the nearest picture, and
        the peak."""
        self.roll(now)
        base: list[float] = [0.0] * len(self.totals)
        peak = self.peak
        for at, totals, before in reversed(self.pictures):
            base = totals
            if at <= now - window:
                break
            peak = max(peak, before)
        return [total - then for total, then in zip(self.totals, base, strict=True)], peak
