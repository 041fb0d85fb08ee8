"""The breaker again, told plainly: from lists of all calls that ever were. It is slow, and easy to
check by reading; the property tests hold the machine to it. It imports nothing from the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from supervisor._spec.guards import Breaker

INFINITY = float("inf")


@dataclass(eq=False)
class Period:
    """The time in which a breaker is in one state. ``forced`` if an operator wanted it so."""

    state: str
    since: float
    forced: str | None = None
    until: float = INFINITY
    ramp: bool = False
    quiet_until: float = -INFINITY  # metrics only, and it would be open until then
    waits_since: float | None = None  # half-open, and so long there have been probes under way


@dataclass(eq=False)
class Call:
    """A call that was let through. ``period`` is ``None`` if it does not count."""

    period: Period | None
    ended: str | None = None  # "ok", "failure", "ignored", "cut"
    at: float = 0.0
    slow: bool = False


@dataclass
class Model:
    policy: Breaker
    draw: Callable[[], float]
    now: float
    probe: float
    periods: list[Period] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    endings: list[Call] = field(default_factory=list)  # those that counted, in the order they ended
    openings: list[str] = field(default_factory=list)  # the rules, of those in a row
    asked: list[float] = field(default_factory=list)  # until when the service wants a rest
    events: list[tuple[Any, ...]] = field(default_factory=list)
    opened_at: float | None = None
    cause: str = ""
    reason: str = ""
    trips: int = 0
    rejected: int = 0
    meanwhile: int = 0

    def __post_init__(self) -> None:
        self.begin(Period("closed", self.now))

    @property
    def period(self) -> Period:
        return self.periods[-1]

    def begin(self, period: Period) -> None:
        self.periods.append(period)
        if period.state == "closed":
            self.asked = []

    # --- what happens ----------------------------------------------------------------------------

    def look(self, now: float) -> None:
        period = self.period
        if period.forced is not None and now >= period.until:
            self.let_go(period.until, now, "its time is over")
        elif period.waits_since is not None and now >= period.waits_since + self.probe:
            self.open("no verdict in time", period.waits_since + self.probe, now)

    def admit(self, now: float) -> Call | None:
        self.look(now)
        period = self.period
        if period.forced == "open" or (period.state == "open" and now < period.until):
            return self.refuse()
        if period.forced == "disabled" or now < period.quiet_until:
            return self.let_through(None)
        if period.state == "open":
            period = Period("half-open", now)
            self.begin(period)
            self.events.append(("half-opened", now, self.meanwhile))
            self.meanwhile = 0
        if period.state == "half-open":
            probes = [call for call in self.calls if call.period is period]
            if (
                sum(call.ended in (None, "ok", "failure") for call in probes)
                >= self.policy.half_open
            ):
                return self.refuse()
            if period.waits_since is None:
                period.waits_since = now
        if period.ramp:
            part = max(0.0, (now - period.since) / self.policy.ramp)
            if part >= 1:
                period.ramp = False
            elif self.draw() >= 0.1 + (1 - 0.1) * part:
                return self.refuse()
        return self.let_through(period)

    def let_through(self, period: Period | None) -> Call:
        self.calls.append(Call(period))
        return self.calls[-1]

    def refuse(self) -> None:
        self.rejected += 1
        self.meanwhile += 1

    def still_admits(self, call: Call, now: float) -> bool:
        self.look(now)
        if call.period is None:
            return self.period.forced in ("disabled", "metrics only")
        return call.period is self.period

    def end(
        self, call: Call, what: str, now: float, took: float = 0, cause: str = "", rest: Any = None
    ) -> None:
        """``what`` is "ok", "failure", "ignored" or "cancelled"."""
        self.look(now)
        call.at = now
        call.slow = self.policy.slow is not None and took > self.policy.slow
        call.ended = what
        if what == "cancelled":
            call.ended = "cut" if call.slow else "ignored"
        if call.period is not self.period:
            return
        if what == "failure":
            self.cause = cause
            if rest is not None:
                self.asked.append(now + rest)
        if self.period.state == "half-open":
            if not self.probes(None):
                self.period.waits_since = None
            if call.ended == "ok" and call.slow:
                call.ended = "failure"
                self.cause = f"a probe took longer than {self.policy.slow:g} s"
            if call.ended in ("ok", "failure"):
                self.judge_probes(now)
        elif call.ended != "ignored":
            self.endings.append(call)
            self.judge(now, new=call.ended)

    def force(self, state: str, reason: str, until: float | None, now: float) -> None:
        self.look(now)
        self.openings, self.opened_at, self.reason = [], None, reason
        end = INFINITY if until is None else until
        self.begin(Period("open" if state == "open" else "closed", now, state, end))
        if state == "open":
            self.cause = reason
        self.events.append(("forced", now, state, reason, until))

    def release(self, now: float, reason: str) -> None:
        self.look(now)
        if self.period.forced is not None or self.period.state != "closed":
            self.let_go(now, now, reason)

    def let_go(self, at: float, now: float, reason: str) -> None:
        ramp = self.period.state != "closed" and self.policy.ramp > 0
        self.openings, self.opened_at, self.reason = [], None, ""
        self.begin(Period("closed", at, ramp=ramp))
        self.events.append(("forced", now, None, reason, None))

    # --- judging ---------------------------------------------------------------------------------

    def judge(self, now: float, new: str) -> None:
        policy = self.policy
        if new == "failure" and policy.failures and self.in_a_row() >= policy.failures:
            self.open("failures in a row", now, now)
            return
        if policy.rate is None and policy.slow is None:
            return
        counted = self.within_window(now)
        calls = [call for call in counted if call.ended != "cut"]
        failures = [call for call in calls if call.ended == "failure"]
        slow = [call for call in counted if call.slow]
        rate = INFINITY if policy.rate is None else policy.rate
        if len(calls) >= policy.calls and len(failures) / len(calls) >= rate:
            self.open("failure rate", now, now)
            return
        if len(counted) >= policy.calls and slow and len(slow) / len(counted) >= policy.slow_rate:
            if not failures:
                took = f"took longer than {policy.slow:g} s"
                self.cause = f"{len(slow)} of {len(counted)} calls {took}"
            self.open("slow calls", now, now)

    def in_a_row(self, now: float | None = None) -> int:
        """How many of the last failures without a success between them are in the window."""
        row: list[float] = []
        latest = -INFINITY
        for call in self.of_this_period():
            if call.ended == "ok":
                row = []
                latest = -INFINITY
            elif call.ended == "failure":
                latest = max(latest, call.at)  # time that goes back stands still
                row.append(latest)
        begin = (latest if now is None else max(now, latest)) - self.policy.window
        return min(sum(at > begin for at in row), self.policy.failures)

    def of_this_period(self) -> list[Call]:
        """What has counted since it was last closed, or last would have been."""
        closed = [period for period in self.periods if period.state == "closed"][-1]
        return [call for call in self.endings if call.period is closed]

    def within_window(self, now: float) -> list[Call]:
        """What has counted and is in the ten buckets up to that of ``now``."""
        if self.policy.rate is None and self.policy.slow is None:
            return []
        closed = [period for period in self.periods if period.state == "closed"][-1]
        width = self.policy.window / 10
        start, present = max(closed.since, closed.quiet_until), 0
        placed: list[tuple[int, Call]] = []
        for call in [*self.of_this_period(), None]:
            at = now if call is None else call.at
            if at >= start + (present + 10) * width:
                start, present, placed = at, 0, []
            while at >= start + (present + 1) * width:
                present += 1
            if call is not None:
                placed.append((present, call))
        return [call for bucket, call in placed if bucket > present - 10]

    def judge_probes(self, now: float) -> None:
        policy = self.policy
        good, bad = self.probes("ok"), self.probes("failure")
        needed = policy.half_open if policy.successes is None else policy.successes
        if good >= needed:
            assert self.opened_at is not None
            self.events.append(("closed", now, now - self.opened_at))
            self.opened_at = None
            self.begin(Period("closed", now, ramp=policy.ramp > 0))
        elif policy.half_open - bad < needed:
            self.open("probes failed", now, now)

    def probes(self, ended: str | None) -> int:
        if self.period.state != "half-open":
            return 0
        return sum(call.period is self.period and call.ended == ended for call in self.calls)

    def open(self, rule: str, at: float, now: float) -> None:
        policy, before = self.policy, self.period
        if before.state == "closed" and at - max(before.since, before.quiet_until) >= policy.cap:
            self.openings = []
        self.openings.append(rule)
        try:
            seconds = min(policy.cap, policy.open * float(policy.factor) ** (self.times - 1))
        except OverflowError:
            seconds = policy.cap
        rest = min(policy.cap, max(self.asked, default=-INFINITY) - at)
        seconds = max(seconds, rest) * (1 + 0.2 * self.draw())
        metrics = before.forced is not None
        if metrics:
            again = Period("closed", before.since, before.forced, before.until)
            again.quiet_until = at + seconds
            self.begin(again)
        else:
            self.trips += 1
            if self.opened_at is None:
                self.opened_at = at
            self.begin(Period("open", at, until=at + seconds))
        opened = (rule, at + seconds, seconds, self.times, self.cause, metrics)
        self.events.append(("opened", now, *opened))

    @property
    def times(self) -> int:
        """How often in a row: to open again for want of a verdict is no new time."""
        return sum(rule != "no verdict in time" for rule in self.openings)

    def picture(self, now: float) -> dict[str, Any]:
        """What one may ask of it."""
        self.look(now)
        period, counted = self.period, self.within_window(now)
        again = period.until if period.state == "open" and now < period.until else None
        probes = self.probes(None) + self.probes("ok") + self.probes("failure")
        if period.state == "half-open" and probes >= self.policy.half_open:
            assert period.waits_since is not None
            again = period.waits_since + self.probe
        return {
            "state": period.state,
            "since": period.since,
            "forced": period.forced,
            "reason": self.reason,
            "until": period.until if period.forced and period.until < INFINITY else None,
            "retry_at": again,
            "cause": self.cause,
            "probes": self.probes(None),
            "good": self.probes("ok"),
            "bad": self.probes("failure"),
            "calls": len(counted),
            "failures": sum(call.ended == "failure" for call in counted),
            "slow": sum(call.slow for call in counted),
            "in_a_row": self.in_a_row(now),
            "times": self.times,
            "trips": self.trips,
            "rejected": self.rejected,
        }
