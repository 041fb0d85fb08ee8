"""One budget of a broker: who is granted a permit, and when.

A permit is taken inline while nobody waits; otherwise a request is accounted for, waits its turn and
is granted when the bucket has what it costs. Nothing here awaits, so each call is one step.
"""

from __future__ import annotations

import math
from typing import Any, Final

from supervisor._core.adapt import LONGEST, AdaptiveRate, Gate
from supervisor._core.bucket import LATE, MOMENT, Bucket
from supervisor._core.meter import Meter
from supervisor._core.waiting import Request, Waiting
from supervisor._errors import BrokerClosed, CostTooHigh, PermitRefused
from supervisor._spec.calls import Budget, Limit, Weights

# Where the meter counts what; the first five by class, so each has four places.
WAITED, WAIT_TIME, REFUSED, SHED, ABANDONED = range(0, 20, 4)
AT_ONCE, COST, GIVEN_BACK, THROTTLED, ANSWERED, WOULD_WAIT, PLACES = range(20, 27)

DRAWN: Final = 128
"""So many permits are handed out on one look at the bucket."""


class BudgetState:
    """The state of one budget. It outlives the lives of its broker."""

    __slots__ = (
        "stock", "fresh_until", "last", "drawn", "inline", "look_at", "bucket", "totals",
        "name", "owner", "budget", "configured_at", "grants_made", "waiting", "gate", "adaptive", "meter",
        "paused", "closed",
    )  # fmt: skip

    def __init__(self, name: str, budget: Budget, now: float) -> None:
        self.name = name
        self.budget = budget
        self.owner: Any = None  # belongs to the floor above
        self.configured_at = -math.inf
        self.grants_made = 0
        self.waiting = Waiting(_weights(budget.weights))
        self.gate = Gate(budget.ramp)
        self.meter = Meter(PLACES, now)
        self.totals = self.meter.totals
        self.paused = self.closed = False
        self.adaptive = _adaptive(budget, now)
        self.bucket = Bucket(_limit(budget), now, late=_late(budget))
        self.stock = self.drawn = 0  # permits handed out without a look at the bucket, see take()
        self.fresh_until = self.last = -math.inf
        self.inline = False  # whether a permit may be taken past the queue, which is empty then
        self.look_at = now  # when the rate, the gate or the meter wants to be looked at
        self._set_rate(now)
        self._look_now(now)

    # -- permits ------------------------------------------------------------------------------

    def take(self, cost: int, now: float) -> bool:
        """Take a permit at once, if nobody waits for one and it is there.

        What the bucket has can be handed out without it, as it only gets more. So those who take
        many within a moment draw on a small stock, which is put to the bucket's account when
        anything else is asked of it: as taken when the last of them was, which is never too early.
        """
        if cost == 1 and self.stock > 0 and now < self.fresh_until:
            self.stock -= 1
            self.last = now
            return True
        self._account()
        if now >= self.look_at:
            self._look_now(now)
        if not self.inline:
            return self.budget.mode == "shadow" and self._shadow(cost, now)
        if not self.bucket.take(cost, now):
            return False
        self.totals[AT_ONCE] += 1
        self.totals[COST] += cost
        if now < self.fresh_until:  # the second within a moment: there may be more
            self.stock = self.drawn = self.bucket.at_hand(DRAWN)
        self.fresh_until = min(now + MOMENT, self.look_at)
        return True

    def _account(self) -> None:
        """Put to the bucket's account what was handed out from the stock."""
        used = self.drawn - self.stock
        if used:
            self.bucket.spend(used, self.last)
            self.totals[AT_ONCE] += used
            self.totals[COST] += used
        self.stock = self.drawn = 0

    def check(self, cost: object) -> None:
        """Raise :class:`CostTooHigh` for what can never be granted."""
        burst = self.bucket.burst
        if type(cost) is not int or not 1 <= cost <= burst:
            raise CostTooHigh(self.name, cost, burst)

    def ask(self, request: Request, now: float) -> Request | None:
        """Account for one who has to wait, before anybody is told of it.

        Returns who was shed in its place, if anybody: the newest of the lowest class below its own.

        Raises:
            PermitRefused: it cannot be served in time, or the queue is full of its own and higher
                classes. It is not accounted for.
            BrokerClosed: nothing is granted any more.
        """
        if self.closed:
            raise BrokerClosed(self.name)
        self._look(now)
        allowed = request.deadline - now
        if self.budget.max_wait is not None:
            allowed = min(allowed, self.budget.max_wait)
        if allowed < math.inf and not self.paused:  # nobody knows for how long
            self._in_time(request, allowed, now)
        shed = None
        if self.waiting.live >= self.budget.max_waiting:
            shed = self._make_room(request, now)
        if not self.waiting.live:
            self.bucket.lenient(True, now)
        self.waiting.push(request)
        self.inline = False
        return shed

    def arrive(self, request: Request, now: float) -> None:
        """Note that the broker has heard of it."""
        if request.state == "asked":
            request.state = "queued"

    def grants(self, now: float, most: int = 128) -> list[Request]:
        """Those whose permits are there, in the order of their turns, marked as granted."""
        granted: list[Request] = []
        if not self.waiting.live or self.paused or self.closed:
            return granted
        self._look(now)
        shadow = self.budget.mode == "shadow"
        if now < self.gate.not_before and not shadow:
            return granted
        waiting, bucket = self.waiting, self.bucket
        while len(granted) < most:
            line = waiting.next()
            if line is None:
                break
            request = line.head()
            if not bucket.take(request.cost, now):
                if not shadow:
                    break
                bucket.owe(request.cost, self.budget.max_waiting, now)
            self._grant(request, now)
            waiting.serve(line)
            granted.append(request)
        if not waiting.live:
            self._emptied(now)
        return granted

    def next_at(self, now: float) -> float:
        """When to look again; infinity while nothing can come of it."""
        line = self.waiting.next()
        if line is None or self.paused or self.closed:
            return math.inf
        self._look(now)
        if self.budget.mode == "shadow":
            return now
        if now < self.gate.not_before:
            return self.gate.not_before
        slope = self.bucket.rate / self.gate.share(now) * self.gate.slope(now)
        at = self.bucket.when(line.head().cost, now, slope)
        if slope:
            return min(at, self.gate.end)
        step = self._next_step(now)
        # What is learned rises meanwhile, hardly by more than twice.
        return at if at <= step else max(step, now + (at - now) / 2)

    def abandon(self, request: Request, now: float) -> bool:
        """Who asked does not wait any more. True if it had been granted: the permit is back."""
        state = request.state
        if state == "granted":
            request.state = "abandoned"
            self.give_back(request.cost, request.granted_at, now)
            return True
        if state in {"asked", "queued"}:
            request.state = "abandoned"
            self._look(now)
            self.totals[ABANDONED + request.rank] += 1
            self.waiting.leave(request)
            if not self.waiting.live:
                self._emptied(now)
        return False

    def give_back(self, cost: int, granted_at: float, now: float) -> None:
        """Take a permit back that was not used. One that was granted before the budget was last
        configured is lost, as nobody knows what it would be worth now."""
        self._look(now)
        self.totals[GIVEN_BACK] += cost
        if granted_at >= self.configured_at:  # in the same moment nothing was refilled
            self.bucket.give_back(cost, granted_at, now)

    # -- what the service says ----------------------------------------------------------------

    def answered(self, granted_at: float, now: float) -> None:
        """A call was let through by the service, whatever else it answered."""
        if now >= self.look_at:
            self._look(now)
        self.totals[ANSWERED] += 1
        if self.adaptive is not None:
            self.adaptive.answered(granted_at, now)

    def throttled(self, granted_at: float, retry_after: float | None, now: float) -> None:
        """A call was answered by "too many"; with ``retry_after`` seconds, nothing goes out so long.

        What was granted before the gate was shut the last time does not move it.
        """
        self._look(now)
        self.totals[THROTTLED] += 1
        rest = 0.0
        if retry_after is not None and retry_after > 0 and granted_at > self.gate.shut_at:
            rest = min(retry_after, LONGEST)
        if self.adaptive is not None:
            self._look_now(now)
            self.adaptive.throttled(granted_at, rest, now)
            self._set_rate(now)
        if rest:
            self.shut(now + rest, now)
        self._look_now(now)

    def shut(self, until: float, now: float) -> None:
        """Grant nothing before then."""
        self._account()
        if self.gate.shut(until, now):
            self.bucket.empty(until, now)
            if self.adaptive is not None:
                self.adaptive.rest(until)
            self._set_rate(now)
            self._look_now(now)

    # -- the operator -------------------------------------------------------------------------

    def configure(self, budget: Budget, now: float) -> list[Request]:
        """Go on by another budget: what waits is served by the new one, at once.

        Returns those who are shed because they ask for more than its burst.
        """
        self._account()
        old, self.budget = self.budget, budget
        self.configured_at = now
        self.bucket.late = _late(budget)
        self.bucket.set_limit(_limit(budget), now)
        if budget.adapt != old.adapt or budget.limit != old.limit:
            self.adaptive = _adaptive(budget, now)
        self._set_rate(now)
        self.gate.ramp = budget.ramp
        self.waiting.weigh(_weights(budget.weights))
        self._look_now(now)
        return [
            self._shed(request)
            for request in list(self.waiting.everybody())
            if request.cost > self.bucket.burst
        ]

    def recall(self) -> None:
        """Hand nothing out from the stock any more."""
        self._account()
        self.fresh_until = -math.inf

    def pause(self) -> None:
        """Grant nothing until :meth:`resume`."""
        self._account()
        self.paused = True
        self.inline = False

    def resume(self, now: float) -> None:
        self.paused = False
        self._look_now(now)

    def close(self, now: float) -> list[Request]:
        """Grant nothing any more. Returns who waits; they are marked as closed."""
        self.closed = True
        self._look(now)
        left = list(self.waiting.everybody())
        for request in left:
            request.state = "closed"
            self.waiting.leave(request)
        self._look_now(now)
        return left

    def adopt(self, now: float) -> list[str]:
        """See, for a new life of the broker, that all is as it must be; mend it and say what."""
        self._account()
        self.closed = False
        wrong = self.waiting.mend()
        bucket = self.bucket
        if not math.isfinite(bucket.tokens) or bucket.tokens > bucket.cap + 1:
            wrong.append(f"the balance was {bucket.tokens} of {bucket.cap:g}")
            bucket.tokens = 0.0
        if bucket.stamp > max(now, self.gate.not_before):
            wrong.append(f"the balance was of {bucket.stamp - now:g} s ahead")
            bucket.tokens, bucket.stamp = 0.0, now
        if wrong:
            bucket.tokens = min(bucket.tokens, 0.0)
        for request in self.waiting.everybody():
            request.state = "queued"  # what was on its way to the last life is here
        bucket.lenient(self.waiting.live > 0, now)
        self._look_now(now)
        return wrong

    # -- what one may know --------------------------------------------------------------------

    def share(self, rank: int) -> float:
        """Of the permits, how much the class gets at least while it is busy."""
        lines = self.waiting.lines
        return lines[rank].weight / sum(line.weight for line in lines)

    def why_refused(self, request: Request, now: float) -> Exception:
        """The error for one who waited and is not granted: it was shed, or made too dear."""
        if request.cost > self.bucket.burst:  # it was lowered meanwhile
            return CostTooHigh(self.name, request.cost, self.bucket.burst)
        retry_at = now + self.estimate(request.rank, request.cost, now)
        return PermitRefused(self.name, "too many wait, and others are more important", retry_at)

    def look(self, now: float) -> None:
        """Bring everything up to date, so that it can be read."""
        self._look_now(now)

    # -- inside -------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        self._account()
        if now >= self.look_at:
            self._look_now(now)

    def _rate(self, now: float) -> float:
        rate = self.bucket.limit.rate if self.adaptive is None else self.adaptive.at(now)
        return rate * self.gate.share(now)

    def _set_rate(self, now: float) -> None:
        self.bucket.set_rate(self._rate(now), now)

    def _look_now(self, now: float) -> None:
        """Bring the rate and the gate up to date, and note when to do so next."""
        self._account()
        self.meter.roll(now)
        self.bucket.glide(self._rate(now), now)
        self.inline = not (
            self.waiting.live
            or self.paused
            or self.closed
            or now < self.gate.not_before
            or self.budget.mode == "shadow"
        )
        self.look_at = min(self.meter.next_at, self._next_step(now))

    def _next_step(self, now: float) -> float:
        step = self.gate.next_step(now)
        return step if self.adaptive is None else min(step, self.adaptive.next_step(now))

    def _emptied(self, now: float) -> None:
        self.bucket.lenient(False, now)
        self._look_now(now)

    def _grant(self, request: Request, now: float) -> None:
        rank, waited = request.rank, now - request.asked_at
        self.grants_made += 1
        request.state = "granted"
        request.granted_at = now
        request.grant_no = self.grants_made
        totals = self.totals
        totals[COST] += request.cost
        totals[WAITED + rank] += 1
        totals[WAIT_TIME + rank] += waited
        self.meter.peak = max(self.meter.peak, waited)

    def _shadow(self, cost: int, now: float) -> bool:
        if self.closed:
            return False
        if not self.bucket.take(cost, now):
            self.bucket.owe(cost, self.budget.max_waiting, now)
            self.totals[WOULD_WAIT] += 1
        self.totals[AT_ONCE] += 1
        self.totals[COST] += cost
        return True

    def _in_time(self, request: Request, allowed: float, now: float) -> None:
        wait = self.estimate(request.rank, request.cost, now)
        if wait > allowed:
            self.totals[REFUSED + request.rank] += 1
            retry_at = now + wait - allowed if allowed > 0 else now + wait
            why = f"it may take {wait:.3g} s, and there are {max(0.0, allowed):.3g} s"
            raise PermitRefused(self.name, why if wait < math.inf else "it grants none", retry_at)

    def estimate(self, rank: int, cost: int, now: float) -> float:
        """Seconds that a request which comes now waits at most, as long as no class becomes busy
        that is not, and the rate is not lowered."""
        self._account()
        if self.paused or self.closed:
            return math.inf
        if self.budget.mode == "shadow":
            return 0.0
        amount = self.waiting.before(rank, cost)
        dearest = max(self.waiting.dearest, cost)
        if dearest > 1:
            # What a window has room for may be too little for a dear one, and is then left unused.
            amount += dearest + amount * (dearest - 1) / max(1.0, self.bucket.burst - dearest + 1)
        gate, share = self.gate, self.gate.share(now)
        if share == 1.0:
            return self.bucket.due(amount, now) - now
        rate = self.bucket.rate / share
        return self.bucket.due(amount, now, rate) - now + (gate.end - gate.not_before) / 2

    def _make_room(self, request: Request, now: float) -> Request:
        newest = self.waiting.newest_below(request.rank)
        if newest is None:
            self.totals[REFUSED + request.rank] += 1
            line = self.waiting.next()
            retry_at = math.inf if line is None else self.next_at(now)
            raise PermitRefused(self.name, f"{self.waiting.live:,} wait already", retry_at)
        return self._shed(newest)

    def _shed(self, request: Request) -> Request:
        request.state = "shed"
        self.totals[SHED + request.rank] += 1
        self.waiting.leave(request)
        return request


def _weights(weights: Weights) -> tuple[float, ...]:
    return (weights.low, weights.medium, weights.high, weights.critical)


def _limit(budget: Budget) -> Limit:
    """The limit that the bucket keeps; where there is none, as much as is learned."""
    if budget.limit is not None:
        return budget.limit
    assert budget.adapt is not None
    return Limit.smooth(min(budget.adapt.start, budget.adapt.most), burst=budget.adapt.burst)


def _late(budget: Budget) -> float | None:
    """A rate that is learned promises nothing to the permit, so a late timer is made good."""
    return LATE if budget.limit is None else None


def _adaptive(budget: Budget, now: float) -> AdaptiveRate | None:
    if budget.adapt is None:
        return None
    return AdaptiveRate(budget.adapt, math.inf if budget.limit is None else budget.limit.rate, now)
