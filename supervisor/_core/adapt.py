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

BRIEF: Final = 1.0
"""Seconds: after so short a rest there is no ramp."""

STEPS: Final = 50
"""In so many steps the ramp climbs for permits that are taken inline."""


class Gate:
    """Nothing is granted before ``not_before``; after it the rate comes back in a ramp.

    The ramp takes half as long as the gate was shut, less a second, up to ``ramp``. It keeps a crowd
    that has gathered from rushing in; after a second, the least that HTTP can ask for, there is no
    crowd yet, and a ramp would cost more than it saves.
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
        self.end = until + min(self.ramp, max(0.0, until - self.opened - BRIEF) / 2)
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

BLIND: Final = 0.6
"""What is left of the level where the next refusal comes before anything can be measured."""

HASTE: Final = 1.2
"""What the rate grows by in a second until the first answer that says "too many"."""

DEAR: Final = 15
"""For so many times the rest that the last refusal has cost, the plateau is held before the rate
goes beyond it and so to the next refusal."""

SHORT: Final = 3
"""The same while the limit may change back."""

SURE: Final = 4
"""So many answers, at least, make a measurement."""


class AdaptiveRate:
    """The scaled cubic with one cut per flight.

    After a cut the rate climbs for a ``period`` to the ``level`` that was accepted, stays there for
    a ``hold``, and then seeks more, slowly at first. A service that asks for a rest of a second at
    each refusal would take a quarter of the time away if it were provoked each four seconds; hence
    the hold. It is short for a while after the limit was found to have changed, as it may change
    back.
    """

    __slots__ = (
        "accepted", "adapt", "begun", "ceiling", "changed", "count", "delay", "epoch", "hold",
        "level", "period", "rate", "seen", "since",
    )  # fmt: skip

    def __init__(self, adapt: Adapt, ceiling: float, now: float) -> None:
        self.adapt = adapt
        self.ceiling = min(adapt.most, ceiling)
        self.rate = self.ceiling if ceiling < math.inf else min(adapt.start, self.ceiling)
        self.level = 0.0  # 0 until there was a cut
        self.epoch = -math.inf  # what was granted before the last cut tells nothing new
        self.begun = now  # the climb after it
        self.since = now  # when the rate was last looked at
        self.changed = now  # when the limit was last found to be another
        self.delay = 0.0  # of an answer, smoothed
        self.accepted = 0.0  # answers a second, smoothed
        self.count = 0  # of the answers since then
        self.seen = now
        self.period = 2.0
        self.hold = 0.0

    def at(self, now: float) -> float:
        """The rate now."""
        passed = max(0.0, now - self.since)
        self.since = max(now, self.since)
        self._decay(now)
        if 4 * self.accepted < self.rate:
            self.begun += passed  # who does not use the rate does not learn that there is more
            return self.rate
        grown = self._cubic(now) if self.level else self.rate * HASTE**passed
        if grown > self.rate:
            grown = max(self.rate, min(grown, 2 * self.accepted))
        self.rate = max(self.adapt.least, min(grown, self.ceiling))
        return self.rate

    def _cubic(self, now: float) -> float:
        passed = max(0.0, now - self.begun)
        if passed > self.period:
            passed = max(self.period, passed - self.hold)
        return self.level * (1 + (1 - BETA) * (passed / self.period - 1) ** 3)

    def answered(self, granted_at: float, now: float) -> None:
        """The service let a call through."""
        self._timed(granted_at, now)
        self.accepted += 1 / self._window()
        self.count += 1

    def throttled(self, granted_at: float, rest: float, now: float) -> bool:
        """The service refused a call, and wants a rest of so many seconds: take the rate back, once
        for all that was under way."""
        self._timed(granted_at, now)
        if granted_at <= self.epoch:
            return False
        rate, passed, span = self.at(now), granted_at - self.begun, now - self.begun
        mean = (self.count + 0.5) / span if span > 0 and self.count >= SURE else 0.0
        # The refusal stands where the next answer would: half of one was accepted since the last.
        accepted = self.accepted + 0.5 / self._window()
        if passed >= self.period + self.hold or not self.level:
            found = self._sought(rate, mean, accepted)
        else:
            found = self._surprised(rate, mean, accepted)
        self.level = max(found, self.adapt.least)
        self.rate = max(BETA * self.level, self.adapt.least)
        # What is granted now arrives together with the last of what was granted at the old rate.
        self.epoch, self.count = now + self.delay / 2, 0
        self.begun = self.since = now + rest
        self.period = max(min(max(20 / self.level, 2.0), 30.0), 3 * self.delay)
        self.hold = min(DEAR * rest, max(SHORT * rest, (now - self.changed) / 3))
        return True

    def _sought(self, rate: float, mean: float, accepted: float) -> float:
        """The level, when a refusal came where it was sought.

        The limit is not below what was accepted on average since the last refusal, and hardly above:
        the service had nothing left at both ends. What was accepted in the last second may have
        come out of what it had saved up, and is believed only where it is clearly more.
        """
        steady = min(rate, max(self.level, mean))
        if accepted < 1.15 * steady:
            return steady + max(0.0, min(rate, accepted) - steady) / 4
        self.changed = self.since
        return min(rate, 1.05 * accepted)

    def _surprised(self, rate: float, mean: float, accepted: float) -> float:
        """The level, when a refusal came at a rate that was accepted before: it is too high, or the
        limit has fallen."""
        found = min(rate, 1.05 * accepted)
        if rate < 0.97 * self.level:
            self.changed = self.since
            return (1 + BETA) / 2 * min(found, mean) if mean else BLIND * found
        found = (found + min(found, mean)) / 2 if mean else 0.97 * found
        if found < 0.9 * self.level:
            self.changed = self.since
        return found

    def rest(self, until: float) -> None:
        """Nothing is granted before then: that time measures nothing."""
        self.seen = max(self.seen, until)

    def next_step(self, now: float) -> float:
        """When :meth:`at` is worth asking again."""
        return now + max(0.05, self.period / 100) if self.rate < self.ceiling else math.inf

    def _window(self) -> float:
        return max(1.0, 2 * self.delay, SURE / self.rate)

    def _decay(self, now: float) -> None:
        passed = now - self.seen
        if passed > 0:
            self.accepted *= math.exp(-passed / self._window())
            self.seen = now

    def _timed(self, granted_at: float, now: float) -> None:
        self._decay(now)
        delay = max(0.0, now - granted_at)
        self.delay += (delay - self.delay) / 8 if self.delay else delay
