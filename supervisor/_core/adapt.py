"""What the answers teach: the gate that "retry after" shuts, and the rate that is learned.

The rate is a cubic, as TCP's congestion window is in RFC 9438, but scaled: all its constants are in
units of the rate that was last accepted and of its own period, so that it behaves alike at one
permit a second and at a thousand.
"""

from __future__ import annotations

import math
from typing import Final

from supervisor._spec.calls import Adapt

LONGEST: Final = 3600.0
"""Seconds that a gate stays shut at most, whatever a service asks for."""

LOWEST: Final = 0.1
"""Of the rate: where the ramp begins after a gate."""

STEPS: Final = 50
"""In so many steps the ramp climbs for permits that are taken inline."""


class Gate:
    """Nothing is granted before ``not_before``; after it the rate comes back in a ramp.

    The ramp takes half as long as the gate was shut, up to ``ramp``: what keeps a crowd that has
    gathered for a minute from rushing in would cost more than it saves after a tenth of a second.
    """

    __slots__ = ("end", "not_before", "opened", "ramp", "shut_at")

    def __init__(self, ramp: float) -> None:
        self.ramp = ramp
        self.not_before = self.end = -math.inf  # the ramp lies between them
        self.shut_at = -math.inf
        self.opened = -math.inf  # since when it was shut without a pause

    def shut(self, until: float, now: float) -> bool:
        """Shut it until then, if that is later than so far."""
        if until <= max(now, self.not_before):
            return False
        if now >= self.not_before:
            self.opened = now
        self.shut_at = now
        self.not_before = until
        self.end = until + min(self.ramp, (until - self.opened) / 2)
        return True

    def share(self, now: float) -> float:
        """Of the rate: how much is let through. While it is shut, what it will open with."""
        start, end = self.not_before, self.end
        if now >= end or end <= start:
            return 1.0
        return LOWEST + (1 - LOWEST) * max(0.0, now - start) / (end - start)

    def slope(self, now: float) -> float:
        """What the share gains in a second now."""
        start, end = self.not_before, self.end
        return (1 - LOWEST) / (end - start) if start <= now < end else 0.0

    def next_step(self, now: float) -> float:
        """When :meth:`share` is worth asking again; infinity when it has come to rest."""
        start, end = self.not_before, self.end
        if now < start:
            return start
        return min(now + (end - start) / STEPS, end) if now < end else math.inf


BETA: Final = 0.8
"""What a cut leaves of the rate."""

HASTE: Final = 1.2
"""What the rate grows by in a second until the first answer that says "too many"."""


class AdaptiveRate:
    """The scaled cubic with one cut per flight."""

    __slots__ = (
        "accepted", "adapt", "ceiling", "cut", "delay", "epoch", "level", "period", "rate", "seen",
        "since",
    )  # fmt: skip

    def __init__(self, adapt: Adapt, ceiling: float, now: float) -> None:
        self.adapt = adapt
        self.ceiling = min(adapt.most, ceiling)
        self.rate = self.ceiling if ceiling < math.inf else min(adapt.start, self.ceiling)
        self.level = 0.0  # the rate of the plateau; 0 until there was a cut
        self.epoch = -math.inf  # what was granted before the last cut tells nothing new
        self.cut = now
        self.since = now
        self.delay = 0.0
        self.accepted = 0.0
        self.seen = now
        self.period = 2.0

    def at(self, now: float) -> float:
        """The rate now."""
        if not self.level:
            grown = self.rate * HASTE ** max(0.0, now - self.since)
        else:
            grown = self._cubic(now)
        self.since = max(now, self.since)
        ceiling = self.ceiling
        if self._measured(now) and grown > self.rate:
            ceiling = max(self.rate, min(ceiling, 2 * self.accepted))
        self.rate = max(self.adapt.least, min(grown, ceiling))
        return self.rate

    def _cubic(self, now: float) -> float:
        passed = max(0.0, now - self.cut) / self.period - 1
        return self.level * (1 + (1 - BETA) * passed**3)

    def _measured(self, now: float) -> bool:
        return True

    def answered(self, granted_at: float, now: float) -> None:
        self._decay(now)
        self.accepted += 1 / self._window()
        self._timed(granted_at, now)

    def throttled(self, granted_at: float, now: float) -> bool:
        """Take the rate back, once for all that was under way."""
        self._decay(now)
        self._timed(granted_at, now)
        if granted_at <= self.epoch:
            return False
        rate = min(self.at(now), 1.05 * self.accepted) or self.adapt.least
        self.level = rate * (1 + BETA) / 2 if rate < 0.98 * self.level else rate
        self.rate = max(self.adapt.least, BETA * rate)
        self.epoch = self.cut = now
        self.period = max(min(max(20 / self.level, 2.0), 30.0), 4 * self.delay)
        return True

    def rest(self, until: float) -> None:
        """Nothing is granted before then: that time measures nothing."""
        self.seen = max(self.seen, until)

    def next_step(self, now: float) -> float:
        """When :meth:`at` is worth asking again."""
        return now + max(0.05, self.period / 100) if self.rate < self.ceiling else math.inf

    def _window(self) -> float:
        return max(1.0, 2 * self.delay)

    def _decay(self, now: float) -> None:
        passed = now - self.seen
        if passed > 0:
            self.accepted *= math.exp(-passed / self._window())
            self.seen = now

    def _timed(self, granted_at: float, now: float) -> None:
        delay = max(0.0, now - granted_at)
        self.delay += (delay - self.delay) / 8 if self.delay else delay
