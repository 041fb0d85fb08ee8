"""All short sequences of calls, outcomes, words of an operator and time, through the breaker's machine,
with law 6 held against every state: ``python -m tests.explorer.breaker --depth 7``.

As in the walk through trees, states are told apart by all that decides anything, with times relative to
now, and a walk goes breadth first: from a new breaker, from one that is half-open while a call of long
ago is still under way, and from one that has closed again. The draw is 0, but where a ramp asks it; all
times are whole seconds.
"""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from copy import copy
from operator import attrgetter
from typing import Any, Final, NoReturn, TypeAlias

from supervisor._core.breaker import REFUSED, UNCOUNTED, BreakerMachine
from supervisor._core.circuit import Circuit
from supervisor._core.window import Window
from supervisor._happenings import BreakerClosed, BreakerForced, BreakerHalfOpened, BreakerOpened
from supervisor._spec.guards import Breaker
from tests.explorer.putter import putter

CHECKS: Final[dict[str, str]] = {
    "through": "an open breaker lets nothing through",
    "again": "an open breaker whose time is over lets the next call through",
    "probes": "half-open lets exactly the allowed number through",
    "lets through": "a closed breaker lets everything through, once its ramp is over",
    "late": "a late outcome of an old generation moves nothing",
    "neutral": "a cancelled or ignored call is neither success nor failure",
    "opens": "it opens when its policy says so, and at no other time",
    "verdict": "the probes decide as soon as they can, and nothing else does",
    "no verdict": "without a verdict in time it opens again",
    "open time": "it is open for as long as its policy and the service say",
    "forced": "an operator's word holds until its time is over",
    "told": "every change of state is told, once",
    "going on": "who was let through may go on as long as the state lasts, and no longer",
    "sums": "what is counted as one goes is what is there",
    "stuck": "from every state there is a way to closed",
}

REST: Final = 6.0
"""Seconds without calls that a service asks for."""

MOST: Final = 3
"""Calls under way at a time."""

SLOW: Final = 2.0
"""Seconds: a call that took so long is slow."""

POLICIES: Final[dict[str, Breaker]] = {
    "in a row": Breaker(failures=2, open=4, cap=8, window=10, factor=2),
    "two of three": Breaker(failures=1, open=4, cap=8, window=10, half_open=3, successes=2),
    "rate": Breaker(failures=0, rate=0.5, calls=2, open=4, cap=4, window=10),
    "slow": Breaker(failures=3, slow=1, slow_rate=0.5, calls=2, open=4, cap=8, window=10),
    "ramp": Breaker(failures=1, open=2, cap=4, window=10, ramp=4, half_open=2, successes=1),
}
PROBE: Final = 3.0

RELATIVE = ("until", "since", "deadline", "quiet_until", "rest_until")
PLAIN = ("state", "forced", "free", "timed", "flight", "good", "bad")
WORKED = ("generation", "counting", "circuit", "log", "window", "opened_at")
TOLD = ("cause", "reason", "trips", "rejected", "refused", "happened")
FIXED = (
    "policy",
    "draw",
    "probe",
    "path",
    "guard",
    "half_open",
    "needed",
    "rate",
    "slow",
    "clocked",
)
"""All slots of the machine: those in the key, relative to now, as they are, or as far as they decide
something; and those that are not, since they are told only, or never change."""

SLOTS = tuple(BreakerMachine.__slots__)
slots_of, put_slots, plain_of = attrgetter(*SLOTS), putter(SLOTS), attrgetter(*PLAIN)


class Broken(AssertionError):
    """A law does not hold; ``moves`` lead there from a new breaker."""

    def __init__(self, check: str, what: str) -> None:
        self.check = check
        self.moves: tuple[str, ...] = ()
        self.what = what
        super().__init__(check)

    def __str__(self) -> str:
        return (
            f"{self.check!r} ({CHECKS[self.check]}): {self.what}\n  moves: {', '.join(self.moves)}"
        )


def broken(check: str, *what: object) -> NoReturn:
    raise Broken(check, " ".join(map(str, what)))


class Account:
    """What one knows of a breaker who has seen all calls, and heard all that was told."""

    def __init__(self, policy: Breaker) -> None:
        self.policy = policy
        self.needed = policy.half_open if policy.successes is None else policy.successes
        self.state = "closed"
        self.since = 0.0
        self.until = math.inf
        self.forced: str | None = None
        self.ramp_until = -math.inf
        self.quiet_until = -math.inf
        self.period = 0
        self.under_way: tuple[tuple[int, int], ...] = ()  # ticket and period, the latest first
        self.good = self.bad = 0
        self.waits_since = math.inf  # so long there have been probes under way
        self.times = 0
        self.last = 0.0  # seconds that it was last to be open, at least
        self.asked = -math.inf  # until when the service wants a rest
        self.row: tuple[float, ...] = ()
        self.endings: tuple[tuple[float, str, bool], ...] = ()

    def key(self, now: float) -> tuple[Any, ...]:
        begin = now - self.policy.window
        return (
            self.state,
            self.forced,
            self.tickets(),
            [now - at for at in self.row if at > begin],
            [(now - at, what, slow) for at, what, slow in self.endings if at > begin],
            self.last,
            min(now - self.waits_since, PROBE),
            max(self.ramp_until - now, 0),
        )

    def tickets(self) -> list[tuple[bool, bool]]:
        """All that tells the calls under way apart."""
        return [(ticket == UNCOUNTED, period == self.period) for ticket, period in self.under_way]

    def begin(self, state: str, now: float) -> None:
        self.period += 1
        self.state, self.since, self.until = state, now, math.inf
        self.good = self.bad = 0
        self.waits_since = math.inf
        if state == "closed":
            self.row, self.endings, self.asked = (), (), -math.inf

    def expired(self, now: float) -> bool:
        """Whether the state would have ended, had somebody looked."""
        if self.forced is not None:
            return now >= self.until
        return self.state == "half-open" and now >= self.waits_since + PROBE

    def holds(self, ticket: int, period: int, now: float) -> bool:
        return ticket != UNCOUNTED and period == self.period and not self.expired(now)

    def probes(self) -> int:
        return sum(period == self.period for _, period in self.under_way)

    def rule(self, now: float, what: str) -> str | None:
        """By which rule it should open now that a call has ended so."""
        policy, begin = self.policy, now - self.policy.window
        failures = [at for at in self.row if at > begin]
        if what == "fail" and policy.failures and len(failures) >= policy.failures:
            return "failures in a row"
        counted = [(what, slow) for at, what, slow in self.endings if at > begin]
        calls = [what for what, _ in counted if what != "cut"]
        rate = math.inf if policy.rate is None else policy.rate
        if len(calls) >= policy.calls and calls.count("fail") / len(calls) >= rate:
            return "failure rate"
        slow = [slow for _, slow in counted]
        rate = math.inf if policy.slow is None else policy.slow_rate
        if len(slow) >= policy.calls and sum(slow) / len(slow) >= rate:
            return "slow calls"
        return None

    # --- what is told ----------------------------------------------------------------------------

    def hear(self, event: Any, now: float, rule: str | None) -> None:
        """``rule`` is the one that it should open by."""
        match event:
            case BreakerOpened():
                self._opened(event, now, rule)
            case BreakerHalfOpened():
                if self.state != "open" or self.forced is not None or now < self.until:
                    broken("told", "half-opened from", self.state)
                self.begin("half-open", now)
            case BreakerClosed():
                if self.state != "half-open" or self.good < self.needed or self.expired(now):
                    broken("verdict", "closed by", self.good, "of", self.needed)
                self._closed(now, ramp=True)
            case BreakerForced(state=None):
                at = self.until if self.forced is not None and now >= self.until else now
                self.forced, self.times = None, 0
                self._closed(at, ramp=self.state != "closed")
            case BreakerForced():
                self.forced, self.times = event.state, 0
                self.begin("open" if event.state == "open" else "closed", now)
                self.until = math.inf if event.until is None else event.until
                self.quiet_until = -math.inf

    def _closed(self, at: float, *, ramp: bool) -> None:
        self.quiet_until = -math.inf
        self.begin("closed", at)
        self.ramp_until = at + self.policy.ramp if ramp and self.policy.ramp else -math.inf

    def _opened(self, event: BreakerOpened, now: float, rule: str | None) -> None:
        at, policy = now, self.policy
        if self.state == "half-open":
            if event.rule == "no verdict in time":
                if not self.expired(now):
                    broken("no verdict", "told too early")
                at = self.waits_since + PROBE
            elif event.rule != "probes failed" or policy.half_open - self.bad >= self.needed:
                broken("verdict", event.rule, "with", self.bad, "bad")
        elif event.rule != rule:
            broken("opens", event.rule, "and not", rule)
        if self.state == "closed" and at - max(self.since, self.quiet_until) >= policy.cap:
            self.times = 0
        if event.rule != "no verdict in time":
            self.times += 1
            self.last = min(policy.cap, policy.open * policy.factor ** (self.times - 1))
        least = max(self.last, min(self.asked - at, policy.cap))
        if event.until != at + least or event.times != self.times:
            broken("open time", event.until - at, "and not", least, "times", event.times)
        if event.metrics_only != (self.forced == "metrics only"):
            broken("forced", "opened")
        if event.metrics_only:
            end, since = self.until, self.since
            self.begin("closed", since)
            self.until, self.quiet_until = end, event.until
        else:
            self.begin("open", at)
            self.until = event.until


class World:
    """A breaker, an account of it, and a clock."""

    def __init__(self, policy: Breaker) -> None:
        self.policy = policy
        self.now = 0.0
        self.lucky = True
        self.machine = BreakerMachine(policy, self.draw, 0.0, probe=PROBE)
        self.account = Account(policy)

    def draw(self) -> float:
        return 0.0 if self.lucky else 0.999

    def another(self) -> World:
        """The same, apart from this one."""
        other = copy(self)
        other.account = copy(self.account)
        machine = other.machine = object.__new__(BreakerMachine)
        put_slots(machine, slots_of(self.machine))
        machine.draw = other.draw
        machine.circuit = Circuit(self.policy.failures)
        machine.circuit.log.extend(self.machine.log)
        machine.circuit.times = self.machine.circuit.times
        machine.log = machine.circuit.log
        machine.happened = []
        if self.machine.window is not None:
            machine.window = copy(self.machine.window)
            machine.window.past = self.machine.window.past.copy()
        return other

    def key(self) -> Any:
        machine, now = self.machine, self.now
        policy, window = self.policy, machine.window
        return repr(
            (
                plain_of(machine),
                machine.counting == machine.generation,
                machine.until - now,
                min(now - machine.since, policy.cap),
                machine.deadline - now if machine.state == "half-open" else None,
                max(machine.quiet_until - now, -policy.cap),
                max(machine.rest_until - now, 0),
                machine.opened_at is None,
                min(machine.circuit.times, 3),
                [now - at for at in machine.log],
                window and self._window_key(window),
                self.account.key(now),
            )
        )

    def _window_key(self, window: Window) -> tuple[Any, ...]:
        sums = window.calls, window.failures, window.slow, window.cut
        return (*sums, list(window.past), window.edge - self.now)

    # --- moves -----------------------------------------------------------------------------------

    def moves(self) -> Iterator[str]:
        if len(self.account.under_way) < MOST:
            yield "admit"
            if self.account.state == "closed" and self.now < self.account.ramp_until:
                yield "admit unlucky"
        ends = ["ok", "fail", "ignore", "cancel"]
        ends += ["rest"] * (self.policy.failures == 2)
        ends += ["slow", "slow fail", "cut"] * (self.policy.slow is not None)
        seen = set()
        for place, like in enumerate(self.account.tickets()):
            if like not in seen:
                seen.add(like)
                yield from (f"{end} {place}" for end in ends)
        yield from ("tick", "pause")
        if self.now < self.machine.due() < math.inf:
            yield "due"
        for state in ("open", "disabled", "metrics only"):
            if self.account.forced is None:
                yield from (f"force {state}", f"force {state} 3")
        if self.account.forced is not None or self.account.state != "closed":
            yield "release"

    def make(self, move: str) -> None:
        """Make a move, and see that it breaks no law."""
        first, _, rest = move.rpartition(" ")
        if move in ("tick", "pause", "due"):
            self.now = {"tick": self.now + 1, "pause": self.now + 10, "due": self.machine.due()}[
                move
            ]
        elif move in ("admit", "admit unlucky"):
            self.lucky = move == "admit"
            self.admit()
            self.lucky = True
        elif move.startswith("force"):
            state = first[6:] if rest == "3" else move[6:]
            until = self.now + 3 if rest == "3" else None
            self.machine.force(state, "a word", until, self.now)  # type: ignore[arg-type]
            self.hear()
            if self.account.forced != state:
                broken("forced", state, "is not")
        elif move == "release":
            self.machine.release(self.now, "a word")
            self.hear()
            if self.machine.state != "closed" or self.machine.forced is not None:
                broken("forced", "is not released")
        else:
            self.end(first, self.account.under_way[int(rest)])
        self.check()

    def hear(self, rule: str | None = None) -> list[Any]:
        events, self.machine.happened = self.machine.happened, []
        for event in events:
            self.account.hear(event, self.now, rule)
        return events

    def admit(self) -> None:
        account, now = self.account, self.now
        expired = account.expired(now)
        ticket = self.machine.admit(now)
        through = ticket != REFUSED
        was, until, forced, period = account.state, account.until, account.forced, account.period
        self.hear()
        if expired and account.period == period:
            broken("no verdict" if was == "half-open" else "forced", "nobody has told of it")
        if forced is not None and not expired:
            if through != (forced != "open"):
                broken("forced", forced, "but", ticket)
        elif was == "open" and not expired and now < until:
            if through:
                broken("through", ticket, "before", until)
        elif was == "open" and not expired and not through:
            broken("again", now, "is not before", until)
        elif account.state == "half-open":
            there = account.probes() + account.good + account.bad
            if through != (there < self.policy.half_open):
                broken("probes", there, "there, and then", ticket)
            if through and not account.probes():
                account.waits_since = now
        elif account.state == "closed" and not through:
            if self.lucky or now >= account.ramp_until:
                broken("lets through", "refused")
        elif account.state == "closed" and not self.lucky and now < account.ramp_until and through:
            broken("lets through", "an unlucky one in the ramp")
        if through:
            quiet = account.forced == "disabled" or now < account.quiet_until
            if (ticket == UNCOUNTED) != quiet:
                broken("forced", "it counts" if quiet else "it does not count")
            account.under_way = ((ticket, account.period), *account.under_way)

    def end(self, how: str, call: tuple[int, int]) -> None:
        account, machine, now = self.account, self.machine, self.now
        ticket, period = call
        left = list(account.under_way)
        left.remove(call)
        account.under_way = tuple(left)
        counts = account.holds(ticket, period, now)
        before = self.picture()
        if counts and not account.probes():
            account.waits_since = math.inf
        rule = self.account_for(how) if counts else None
        was = account.state
        took = SLOW if how in ("slow", "slow fail", "cut") else 0.0
        if how in ("ok", "slow"):
            machine.succeeded(ticket, now, took)
        elif how in ("fail", "slow fail", "rest"):
            machine.failed(ticket, now, took, "it broke", REST if how == "rest" else None)
        elif how == "ignore":
            machine.ignored(ticket, now)
        else:
            machine.cancelled(ticket, now, took)
        if not counts:
            if not account.expired(now) and self.picture() != before:
                broken("late", before, "became", self.picture())
            self.hear()
            return
        neutral = how in ("ignore", "cancel") or (how == "cut" and was == "half-open")
        if neutral and self.picture()[1:] != before[1:]:
            broken("neutral", before, "became", self.picture())
        events = self.hear(rule)
        if rule is not None and not any(isinstance(event, BreakerOpened) for event in events):
            broken("opens", "it does not, although", rule)
        if was == "half-open" and account.state == "half-open":
            if account.good >= account.needed:
                broken("verdict", account.good, "are good")
            if self.policy.half_open - account.bad < account.needed:
                broken("verdict", account.bad, "are bad")

    def account_for(self, how: str) -> str | None:
        """Write down the outcome of a call that counts; the rule by which it should open."""
        account, now = self.account, self.now
        what = {"slow": "ok", "slow fail": "fail", "rest": "fail"}.get(how, how)
        slow = how in ("slow", "slow fail", "cut")
        if how == "rest":
            account.asked = max(account.asked, now + REST)
        if account.state == "half-open":
            account.good += what == "ok" and not slow
            account.bad += what == "fail" or how == "slow"
            return None
        if what in ("ignore", "cancel"):
            return None
        if what != "cut":
            account.row = (*account.row, now) if what == "fail" else ()
        account.endings = (*account.endings, (now, what, slow))
        return account.rule(now, what)

    def picture(self) -> tuple[Any, ...]:
        """What outcomes may move: the place of a probe first, which is given back."""
        machine, window = self.machine, self.machine.window
        sums = window and (window.calls, window.failures, window.slow, window.cut)
        times = machine.circuit.times, machine.rest_until, machine.until, machine.cause
        state = machine.generation, machine.state, machine.forced, machine.good, machine.bad
        return (machine.flight, *state, *times, tuple(machine.log), sums)

    # --- what always holds -----------------------------------------------------------------------

    def check(self) -> None:
        machine, account, now = self.machine, self.account, self.now
        if not account.expired(now):
            machine.look(now)  # there is nothing to be found
            self.hear()
        if (machine.state, machine.forced) != (account.state, account.forced):
            broken("told", machine.state, machine.forced, "but", account.state, account.forced)
        here = sum(period == account.period for _, period in account.under_way)
        if account.state == "half-open":
            found = machine.flight, machine.good, machine.bad
            if found != (here, account.good, account.bad):
                broken("sums", found, "and not", here, account.good, account.bad)
        if len(machine.log) > self.policy.failures:
            broken("sums", machine.log)
        window = machine.window
        if window is not None:
            held = window.counted(now)
            begin = now - self.policy.window
            there = [(what, slow) for at, what, slow in account.endings if at > begin]
            calls = [what for what, _ in there if what != "cut"]
            slow = sum(slow for _, slow in there)
            if held != (len(calls), calls.count("fail"), slow, len(there) - len(calls)):
                broken("sums", held, "and not", there)
        looked_at = self.another() if account.expired(now) else self
        for ticket, period in account.under_way:
            may = account.holds(ticket, period, now)
            if ticket == UNCOUNTED and not account.expired(now):
                may = account.forced in ("disabled", "metrics only")
            if looked_at.machine.still_admits(ticket, now) != may:
                broken("going on", ticket, "of", period)

    def check_way_out(self) -> None:
        """What was let through hangs for ever; the next ones succeed, whenever they are let through."""
        other = self.another()
        if other.account.forced is not None and other.account.until == math.inf:
            other.machine.release(other.now, "a word")
        for _ in range(4 + 2 * self.policy.half_open):
            ticket = other.machine.admit(other.now)
            if ticket != REFUSED:
                other.machine.succeeded(ticket, other.now, 0.0)
            if other.machine.state == "closed" and other.machine.forced is None:
                return
            due = other.machine.due()
            if other.now < due < math.inf:
                other.now = due
        broken("stuck", other.machine.status(other.now))


Start: TypeAlias = tuple[World, tuple[str, ...]]


def starts(policy: Breaker) -> list[Start]:
    """Breakers to begin with, and the moves that have led to them."""
    world, found = World(policy), []
    path: list[str] = []

    def make(*moves: str) -> None:
        for move in moves:
            world.make(move)
            path.append(move)

    def found_one() -> None:
        found.append((world.another(), tuple(path)))

    found_one()
    make("admit")
    while world.machine.state == "closed":
        make("admit", "fail 0")
    make("due", "admit")
    found_one()
    while world.machine.state == "half-open":
        make("ok 0")
        if world.machine.state == "half-open":
            make("admit")
    found_one()
    return found


def walk(policy: Breaker, depth: int) -> tuple[int, int]:
    """Visit every state within so many moves; how many there were, and how many moves were made.

    Raises:
        Broken: a law does not hold somewhere; the shortest sequence to it.
    """
    level = starts(policy)
    seen, steps = {world.key() for world, _ in level}, 0
    for _ in range(depth):
        found = []
        for world, path in level:
            for move in world.moves():
                after = world.another()
                steps += 1
                try:
                    after.make(move)
                    key = after.key()
                    if key in seen:
                        continue
                    after.check_way_out()
                except Broken as why:
                    why.moves = (*path, move)
                    raise
                seen.add(key)
                found.append((after, (*path, move)))
        level = found
    return len(seen), steps


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.explorer.breaker", description=__doc__)
    parser.add_argument("--depth", type=int, default=5, help="moves from each start, at most")
    parser.add_argument("--policy", default="", help="only policies whose name contains this")
    options = parser.parse_args()
    for name, policy in POLICIES.items():
        if options.policy in name:
            began = time.perf_counter()
            try:
                states, steps = walk(policy, options.depth)
            except Broken as why:
                print(f"{name}: {why}")
                return 1
            took = time.perf_counter() - began
            print(f"{name}: {states} states, {steps} steps, {took:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
