"""The token bucket with an exact window: how many permits may be granted, and when the next.

A bucket is a few numbers and is refilled when it is looked at. Beside it, where the limit is a
window, a ring of the times of the last permits keeps the promise that a bucket alone cannot: a full
one and its refill together pass nearly twice the limit in one window.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from itertools import repeat
from typing import Final

from supervisor._spec.calls import Limit

LATE: Final = 0.05
"""Seconds of refill above the burst that are kept while somebody waits: a late timer is not
idleness."""

EXACT: Final = 10_000
"""A ring remembers each permit of a window up to this many, and of larger ones so many of them."""

MOMENT: Final = 0.001
"""Seconds by which a permit may have been granted before it is put to account, see ``spend``."""

ROUNDING: Final = 1e-9
"""Of a permit: what adding up refills may have lost."""


class Grains:
    """The ring of a large window: it remembers the time of the last of each ``grain`` permits.

    They leave the window together, with the last of them, so none is forgotten too early.
    """

    __slots__ = ("grain", "last", "part", "times")

    def __init__(self, grain: int) -> None:
        self.grain = grain
        self.times: deque[float] = deque()
        self.part = 0
        self.last = -math.inf

    def append(self, now: float) -> None:
        self.last = now
        self.part += 1
        if self.part >= self.grain:
            self.times.append(now)
            self.part -= self.grain

    def add(self, count: int, now: float) -> None:
        whole, self.part = divmod(self.part + count, self.grain)
        self.times.extend(repeat(now, whole))
        self.last = now

    def expire(self, per: float, now: float) -> int:
        times, gone = self.times, 0
        while times and times[0] + per <= now:
            times.popleft()
            gone += self.grain
        if self.part and self.last + per <= now:
            gone += self.part
            self.part = 0
        return gone

    def left(self, missing: int) -> float:
        """When so many of them were granted, or a little later."""
        place = (missing - 1) // self.grain
        return self.times[place] if place < len(self.times) else self.last

    def undo(self, count: int, granted_at: float) -> int:
        """Take permits out of the ring if it is known in which grain they are, the last one."""
        times, found = self.times, 0
        while found < count:
            if self.part == 0:
                if not times or times[-1] > granted_at + MOMENT:
                    break
                self.last, self.part = times.pop(), self.grain
            if times and granted_at <= times[-1] < self.last:
                break
            gone = min(count - found, self.part)
            self.part -= gone
            found += gone
        return found


class Moments:
    """The ring of a window: the time of each permit, in order."""

    __slots__ = ("append", "times")

    def __init__(self) -> None:
        self.times: deque[float] = deque()
        self.append = self.times.append

    def add(self, count: int, now: float) -> None:
        self.times.extend(repeat(now, count))

    def expire(self, per: float, now: float) -> int:
        times, gone = self.times, 0
        while times and times[0] + per <= now:
            times.popleft()
            gone += 1
        return gone

    def left(self, missing: int) -> float:
        return self.times[missing - 1]

    def undo(self, count: int, granted_at: float) -> int:
        """Take permits out of the ring, which were put there then or a moment later."""
        times = self.times
        place, found = bisect_left(times, granted_at), 0
        while found < count and place < len(times) and times[place] <= granted_at + MOMENT:
            del times[place]
            found += 1
        return found


class Bucket:
    """The balance of one budget. Where the time steps back, nothing is refilled."""

    __slots__ = (
        "tokens", "stamp", "rate", "cap", "burst",
        "taken", "room", "ring", "append", "n", "per", "limit", "late",
    )  # fmt: skip

    def __init__(
        self, limit: Limit, now: float, *, full: bool = True, late: float | None = None
    ) -> None:
        self.stamp = now
        self.taken = 0  # permits that were ever taken; the window is full when it reaches the room
        self.ring: Moments | Grains | None = None
        self.late = late
        self._adopt(limit)
        self.tokens = self.burst if full else 0.0

    def _adopt(self, limit: Limit) -> None:
        self.limit = limit
        self.rate = limit.rate
        self.burst = self.cap = float(limit.burst)
        self.n, self.per = limit.n, limit.per
        self.ring = self._ring(limit, self.ring)
        held = 0 if self.ring is None else self._held()
        self.room = math.inf if self.ring is None else self.taken - held + self.n
        self.append = None if self.ring is None else self.ring.append

    def _ring(self, limit: Limit, old: Moments | Grains | None) -> Moments | Grains | None:
        if limit.kind == "smooth":
            return None
        ring = Moments() if limit.n <= EXACT else Grains(math.ceil(limit.n / EXACT))
        if isinstance(old, Moments):
            for moment in old.times:
                ring.append(moment)
        elif old is not None:
            for moment in old.times:
                ring.add(old.grain, moment)
            if old.part:
                ring.add(old.part, old.last)
        return ring

    def _held(self) -> int:
        ring = self.ring
        if isinstance(ring, Grains):
            return len(ring.times) * ring.grain + ring.part
        return 0 if ring is None else len(ring.times)

    def take(self, cost: int, now: float) -> bool:
        """Take so many permits if they are there."""
        elapsed = now - self.stamp
        if elapsed > 0.0:
            tokens = self.tokens + elapsed * self.rate
            cap = self.cap
            if tokens > cap:  # noqa: PLR1730 - min() costs as much as all the rest
                tokens = cap
            self.tokens = tokens
            self.stamp = now
        else:
            tokens = self.tokens
        if tokens + ROUNDING < cost:
            return False
        taken = self.taken + cost
        if taken > self.room and not self._has_room(cost, now):
            return False
        append = self.append
        if append is not None:
            if cost == 1:
                append(now)
            else:
                self.ring.add(cost, now)  # type: ignore[union-attr]
        self.taken = taken
        self.tokens = tokens - cost
        return True

    def at_hand(self, most: int) -> int:
        """How many could be taken right after a permit was, as far as is known without looking."""
        return max(0, min(most, int(self.tokens), int(min(self.room - self.taken, most))))

    def spend(self, count: int, at: float) -> None:
        """Take so many that were found to be there and handed out since, the last of them then."""
        self._settle(at)
        self.tokens -= count
        self.taken += count
        if self.ring is not None:
            self.ring.add(count, at)

    def _has_room(self, cost: int, now: float) -> bool:
        """Whether the window has room, once what has left it is taken out."""
        if self.ring is None:
            return True
        self.room += self.ring.expire(self.per, now)
        return self.taken + cost <= self.room

    def when(self, cost: int, now: float, slope: float = 0.0) -> float:
        """When so many could be taken if nobody else takes any; infinity for never.

        ``slope`` is what the rate gains in a second meanwhile.
        """
        if cost > self.burst:
            return math.inf
        rate = self.rate
        self._settle(now)
        lacking = cost - self.tokens
        if slope > 0 and lacking > 0:
            rate = (rate + math.sqrt(rate * rate + 2 * slope * lacking)) / 2  # its mean until then
        return self.due(cost, now, rate)

    def due(self, amount: float, now: float, rate: float | None = None) -> float:
        """When so many will have been taken if somebody always waits and each costs one; at another
        rate, if it is given."""
        if rate is None:
            rate = self.rate
        self._settle(now)
        start = max(now, self.stamp)
        at = start
        lacking = amount - ROUNDING - self.tokens
        if lacking > 0:
            if rate <= 0.0:
                return math.inf
            at = start + (amount - self.tokens) / rate
            while self.tokens + (at - self.stamp) * rate + ROUNDING < amount or at <= now:
                at = math.nextafter(at, math.inf)
        return at if self.ring is None else max(at, self._ring_due(amount, now, rate))

    def _ring_due(self, amount: float, now: float, rate: float) -> float:
        ring = self.ring
        assert ring is not None
        self._has_room(0, now)
        missing = math.ceil(self.taken + amount - self.room)
        if missing <= 0:
            return now
        held = self._held()
        if missing <= held:
            return ring.left(missing) + self.per
        # It waits for some that are still to be granted; they are one window or more before it.
        windows = math.ceil((missing - held) / self.n)
        return self.due(amount - windows * self.n, now, rate) + windows * self.per

    def give_back(self, cost: int, granted_at: float, now: float) -> None:
        """Undo a grant: the balance becomes at most what it would be without it.

        The refill that the bucket has had room for since, because of that grant, is not given
        twice: otherwise a permit that comes back late would let more than the burst through at
        once.
        """
        self._settle(now)
        refilled = max(0.0, now - granted_at) * self.limit.rate
        if cost > refilled:
            self.tokens = min(self.cap, self.tokens + cost - refilled)
        if self.ring is not None and granted_at + self.per > now:
            self.room += self.ring.undo(cost, granted_at)

    def set_rate(self, rate: float, now: float) -> None:
        """Go on at another rate (permits a second); the window binds as before."""
        if rate != self.rate:
            self._settle(now)
            lenient = self.cap > self.burst
            self.rate = rate
            self.lenient(lenient, now)

    def glide(self, rate: float, now: float) -> None:
        """Go on at a rate that was reached evenly, since the balance was last brought up to date."""
        if rate != self.rate:
            self.rate = (self.rate + rate) / 2
            self.set_rate(rate, now)

    def set_limit(self, limit: Limit, now: float) -> None:
        """Go on by another limit. The grants in the window keep counting."""
        self._settle(now)
        lenient = self.cap > self.burst
        self._adopt(limit)
        self.lenient(lenient, now)

    def lenient(self, on: bool, now: float) -> None:
        """Whether somebody waits, so that what a late timer owes is kept above the burst."""
        self._settle(now)
        late = self.late
        if late is None:
            late = 0.0 if self.ring is None else LATE
        self.cap = self.burst + self.rate * late if on else self.burst
        self.tokens = min(self.tokens, self.cap)

    def empty(self, until: float, now: float) -> None:
        """Have nothing, and no refill until then."""
        self._settle(now)
        self.tokens, self.stamp = min(self.tokens, 0.0), max(self.stamp, until)

    def owe(self, cost: int, most: float, now: float) -> None:
        """Let through what is not there, as a debt of at most ``most``."""
        self._settle(now)
        self.tokens = max(self.tokens - cost, -most)

    def available(self, now: float) -> float:
        """What could be taken at once."""
        self._settle(now)
        self._has_room(0, now)
        return max(0.0, min(self.tokens, self.room - self.taken))

    def in_window(self, now: float) -> int:
        """How many the window holds; 0 where the limit has none."""
        self._has_room(0, now)
        return self._held()

    def _settle(self, now: float) -> None:
        elapsed = now - self.stamp
        if elapsed > 0.0:
            self.tokens = min(self.cap, self.tokens + elapsed * self.rate)
            self.stamp = now
