"""The breaker: whether a call may be made, given how those before it went.

Each state that a breaker enters begins a generation, and the ticket of a call is the number of the
generation that let it through. What comes back with an older one is told too late and moves nothing.
Nothing happens at a moment of its own: whoever comes next finds what time has done meanwhile, as it
would have been if somebody had looked all the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from supervisor._core.circuit import Circuit
from supervisor._core.window import Window
from supervisor._happenings import (
    BreakerClosed,
    BreakerForced,
    BreakerHalfOpened,
    BreakerOpened,
    BreakerRule,
)
from supervisor._spec.guards import Breaker
from supervisor._views import BreakerStatus
from supervisor._words import BreakerState, Forced

REFUSED: Final = -1
"""In the place of a ticket."""

UNCOUNTED: Final = 0
"""The ticket of a call that is let through and counts for nothing."""

NOBODY: Final = -2
"""No ticket has this number."""

LATER: Final = 0.2
"""Of the time open: so much is added by chance at most. What the service asks for is the least."""

LOWEST: Final = 0.1
"""Of the calls: what is let through where the ramp begins."""

SOON: Final = 0.1
"""Of the time for a verdict: after it, and up to twice that, one may ask again while probes run."""

Transition = BreakerOpened | BreakerHalfOpened | BreakerClosed | BreakerForced


class BreakerMachine:
    """The breaker of one guard.

    ``draw`` supplies the numbers in [0, 1) for jitter; so many seconds after the first of the probes
    under way, ``probe``, there has to be a verdict. Whatever is admitted is to be told of once: as ``succeeded``, ``failed``, ``ignored`` or
    ``cancelled``. While ``timed`` is false, ``admit`` and ``succeeded`` do not look at ``now``.
    ``happened`` gathers what is to be told; take it away.
    """

    __slots__ = (
        "bad", "cause", "circuit", "clocked", "counting", "deadline", "draw", "flight", "forced",
        "free", "generation", "good", "guard", "half_open", "happened", "log", "needed", "opened_at",
        "path", "policy", "probe", "quiet_until", "rate", "reason", "refused", "rejected",
        "rest_until", "since", "slow", "state", "timed", "trips", "until", "window",
    )  # fmt: skip

    def __init__(
        self,
        policy: Breaker,
        draw: Callable[[], float],
        now: float,
        *,
        probe: float,
        path: str = "",
        guard: str = "",
    ) -> None:
        self.policy = policy
        self.draw = draw
        self.probe = probe
        self.path = path
        self.guard = guard
        self.half_open = policy.half_open
        self.needed = policy.half_open if policy.successes is None else policy.successes
        self.rate = math.inf if policy.rate is None else policy.rate
        self.slow = math.inf if policy.slow is None else policy.slow
        self.circuit = Circuit(policy.failures)
        self.log = self.circuit.log  # the failures in a row
        shares = policy.rate is not None or policy.slow is not None
        self.window = Window(policy.window, now) if shares else None
        self.clocked = shares

        self.generation = 0
        self.forced: Forced | None = None
        self.reason = ""  # of an operator
        self.until = math.inf  # while open, or forced: when that ends
        self.deadline = math.inf  # of the verdict, while probes are under way
        self.opened_at: float | None = None  # since when it has not been closed
        self.quiet_until = -math.inf  # metrics only: until then it would be open
        self.rest_until = -math.inf  # what the service has asked for
        self.cause = ""
        self.flight = self.good = self.bad = 0  # probes
        self.trips = 0
        self.rejected = 0
        self.refused = 0  # of those, since it opened
        self.happened: list[Transition] = []
        self._enter("closed", now)

    # --- calls -----------------------------------------------------------------------------------

    def admit(self, now: float) -> int:
        """The ticket of a call that may be made, or ``REFUSED``, which is below zero."""
        if self.free:
            return self.generation
        self.look(now)
        if self.forced is not None:
            return self._admit_forced(now)
        if self.state == "closed":
            return self.generation if self._ramp_lets_through(now) else self._refuse()
        if self.state == "open":
            if now < self.until:
                return self._refuse()
            self._half_open(now)
        if not self._has_room():
            return self._refuse()
        if not self.flight:
            self.deadline = now + self.probe
        self.flight += 1
        return self.generation

    def still_admits(self, ticket: int, now: float) -> bool:
        """Whether a call that was let through some time ago may still be made. If not, tell that it
        was ignored, and ask for a new ticket."""
        if ticket == self.counting:
            return True
        self.look(now)
        if ticket == UNCOUNTED:
            return self.forced is not None and self.forced != "open"
        return ticket == self.generation

    def succeeded(self, ticket: int, now: float, took: float) -> None:
        """It returned, ``took`` seconds after it had begun."""
        if ticket != self.counting:
            if not self._holds(ticket, now):
                return
            if self.state == "half-open":
                if took > self.slow:
                    self.cause = f"a probe took longer than {self.slow:g} s"
                self._probed(now, good=took <= self.slow)
                return
        if self.log:
            self.log.clear()
        window = self.window
        if window is None:
            return
        if now >= window.edge:
            window.roll(now)
        window.calls += 1
        if took > self.slow:
            window.slow += 1
        if window.failures or window.slow:
            self._weigh(window, now)

    def failed(
        self, ticket: int, now: float, took: float, cause: str, rest: float | None = None
    ) -> None:
        """It failed, for that ``cause``; the service asks for ``rest`` seconds without calls."""
        if ticket != self.counting and not self._holds(ticket, now):
            return
        self.cause = cause
        if rest is not None:
            self.rest_until = max(self.rest_until, now + rest)
        if self.state == "half-open":
            self._probed(now, good=False)
            return
        policy, window = self.policy, self.window
        if window is not None:
            window.roll(now)
            window.calls += 1
            window.failures += 1
            window.slow += took > self.slow
        if policy.failures and self.circuit.failed(now, policy.window) >= policy.failures:
            self._open(now, "failures in a row")
        elif window is not None:
            self._weigh(window, now)

    def ignored(self, ticket: int, now: float) -> None:
        """It says nothing of the service: neither a success nor a failure."""
        if ticket != self.counting and self._holds(ticket, now) and self.state == "half-open":
            self._give_back()

    def cancelled(self, ticket: int, now: float, took: float) -> None:
        """Its caller gave up. If it was slow already that counts as a slow call, and as no more."""
        if took <= self.slow:
            self.ignored(ticket, now)
        elif ticket == self.counting or self._holds(ticket, now):
            window = self.window
            if self.state == "half-open":
                self._give_back()
            elif window is not None:
                window.roll(now)
                window.slow += 1
                window.cut += 1
                self._weigh(window, now)

    def retry_at(self, now: float) -> float:
        """When who was refused may ask again."""
        if self.state == "open":
            return max(self.until, now)
        return now + SOON * self.probe * (1 + self.draw())

    # --- operators, and time ---------------------------------------------------------------------

    def force(self, state: Forced, reason: str, until: float | None, now: float) -> None:
        """Hold it in a state, whatever the calls do."""
        self.look(now)
        self.forced, self.reason = state, reason
        self.opened_at = None
        self.quiet_until = -math.inf
        self.circuit.times = 0
        self._enter("open" if state == "open" else "closed", now)
        self.until = math.inf if until is None else until
        if state == "open":
            self.cause = reason
        self.happened.append(BreakerForced(now, self.path, self.guard, state, reason, until))

    def release(self, now: float, reason: str) -> None:
        """Close it, and let the calls decide again. An open breaker is released, too."""
        self.look(now)
        if self.forced is not None or self.state != "closed":
            self._release(now, now, reason)

    def look(self, now: float) -> None:
        """See what time has done: a forced state may be over, a verdict may not have come."""
        if self.forced is not None:
            if now >= self.until:
                self._release(self.until, now, "its time is over")
        elif self.state == "half-open" and now >= self.deadline:
            self._open(self.deadline, "no verdict in time", told_at=now)

    def due(self) -> float:
        """When time will do something: what is forced or open ends, or a verdict is due. Infinity
        for never."""
        if self.state == "half-open":
            return self.deadline
        return self.until if self.state == "open" or self.forced is not None else math.inf

    def refuses_until(self, now: float) -> float:
        """Until when it refuses every call, if nothing happens before; ``now`` if it does not."""
        self.look(now)
        if self.state == "open":
            return max(self.until, now)
        return self.deadline if self.state == "half-open" and not self._has_room() else now

    def status(self, now: float) -> BreakerStatus:
        """What it is like now."""
        self.look(now)
        window = self.window
        calls, failures, slow, cut = window.counted(now) if window is not None else (0, 0, 0, 0)
        again = self.until if self.state == "open" and now < self.until else None
        if self.state == "half-open" and not self._has_room():
            again = self.deadline  # at the latest
        return BreakerStatus(
            state=self.state,
            since=self.since,
            forced=self.forced,
            reason=self.reason,
            until=self.until if self.forced is not None and self.until < math.inf else None,
            retry_at=again,
            cause=self.cause,
            probes=self.flight,
            good=self.good,
            bad=self.bad,
            calls=calls + cut,
            failures=failures,
            slow=slow,
            in_a_row=self.circuit.within(self.policy.window, now),
            times=self.circuit.times,
            trips=self.trips,
            rejected=self.rejected,
        )

    # --- what follows ----------------------------------------------------------------------------

    def _enter(self, state: BreakerState, now: float) -> None:
        """Begin a generation."""
        self.generation += 1
        self.state: BreakerState = state
        self.since = now
        self.flight = self.good = self.bad = 0
        self.deadline = math.inf
        if state == "closed":
            self.log.clear()
            self.rest_until = -math.inf
            if self.window is not None:
                self.window.clear(now)
        self._settle(free=state == "closed" and self.forced is None)

    def _settle(self, *, free: bool) -> None:
        """Say what the usual call needs to know."""
        self.free = free
        self.counting = self.generation if self.state == "closed" and not self.forced else NOBODY
        self.timed = self.clocked or not free

    def _refuse(self) -> int:
        self.rejected += 1
        self.refused += 1
        return REFUSED

    def _admit_forced(self, now: float) -> int:
        if self.forced == "open":
            return self._refuse()
        counts = self.forced == "metrics only" and now >= self.quiet_until
        return self.generation if counts else UNCOUNTED

    def _holds(self, ticket: int, now: float) -> bool:
        """Whether the generation of a ticket has not ended."""
        if ticket != self.generation:
            return False
        self.look(now)
        return ticket == self.generation

    def _ramp_lets_through(self, now: float) -> bool:
        if self.free:  # what was forced is just over
            return True
        part = (now - self.since) / self.policy.ramp
        if part >= 1:
            self._settle(free=True)
            return True
        return self.draw() < LOWEST + (1 - LOWEST) * max(0.0, part)

    def _weigh(self, window: Window, now: float) -> None:
        """Open if the shares of failures or slow calls are too high."""
        policy, calls = self.policy, window.calls
        if calls >= policy.calls and window.failures / calls >= self.rate:
            self._open(now, "failure rate")
            return
        calls += window.cut
        if window.slow and calls >= policy.calls and window.slow / calls >= policy.slow_rate:
            if not window.failures:
                self.cause = f"{window.slow} of {calls} calls took longer than {policy.slow:g} s"
            self._open(now, "slow calls")

    def _probed(self, now: float, *, good: bool) -> None:
        """A probe has ended, as a slow one badly. The verdict falls as soon as it is certain."""
        self._give_back()
        if good:
            self.good += 1
        else:
            self.bad += 1
        if self.good >= self.needed:
            began = self.since if self.opened_at is None else self.opened_at
            self.happened.append(BreakerClosed(now, self.path, self.guard, now - began))
            self._close(now)
        elif self.bad > self.half_open - self.needed:
            self._open(now, "probes failed")

    def _has_room(self) -> bool:
        """Whether half-open, one more probe may matter to the verdict."""
        return self.flight + self.good + self.bad < self.half_open

    def _give_back(self) -> None:
        """A probe is no longer under way. While none is, nobody waits for a verdict."""
        self.flight -= 1
        if not self.flight:
            self.deadline = math.inf

    def _half_open(self, now: float) -> None:
        self._enter("half-open", now)
        self.happened.append(BreakerHalfOpened(now, self.path, self.guard, self.refused))
        self.refused = 0

    def _open(self, now: float, rule: BreakerRule, *, told_at: float | None = None) -> None:
        circuit, policy = self.circuit, self.policy
        if self.state == "closed" and now - max(self.since, self.quiet_until) >= policy.cap:
            circuit.times = 0  # it has been well for long
        again = rule == "no verdict in time"
        seconds = circuit.again(policy) if again else circuit.opened(policy)
        rest = min(self.rest_until - now, policy.cap)
        seconds = max(seconds, rest) * (1 + LATER * self.draw())
        shadow = self.forced is not None
        if shadow:
            self._enter("closed", self.since)
            self.quiet_until = now + seconds
            if self.window is not None:
                self.window.clear(self.quiet_until)
        else:
            if self.opened_at is None:
                self.opened_at = now
            self.trips += 1
            self._enter("open", now)
            self.until = now + seconds
        self.happened.append(
            BreakerOpened(
                now if told_at is None else told_at,
                self.path,
                self.guard,
                rule,
                now + seconds,
                seconds,
                circuit.times,
                self.cause,
                shadow,
            )
        )

    def _close(self, now: float) -> None:
        """Close after it has refused calls: by the ramp, if there is one."""
        self.opened_at = None
        self._enter("closed", now)
        if self.policy.ramp:
            self._settle(free=False)

    def _release(self, at: float, now: float, reason: str) -> None:
        refused = self.state != "closed"
        self.forced, self.reason = None, ""
        self.circuit.times = 0
        self.quiet_until = -math.inf
        if refused:
            self._close(at)
        else:
            self._enter("closed", at)
        self.happened.append(BreakerForced(now, self.path, self.guard, None, reason))
