"""An account of one supervisor, kept from its inputs and effects, and the laws about these.

It takes as little as it can from the machine: what went in, what came out, and the declaration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any, TypeVar

from supervisor._core.child import ChildState
from supervisor._core.effects import (
    AddChild,
    AskPermit,
    Begin,
    Cancel,
    Effect,
    Exited,
    Finish,
    GiveUpPermit,
    Hurry,
    Input,
    MarkedHealthy,
    Notify,
    OnlyStuckLeft,
    Permitted,
    PermitUnavailable,
    ReasonChanged,
    ReleaseChild,
    ReportedReady,
    RestartChild,
    Run,
    StartChild,
    StartNoMore,
    StopChild,
    StuckRemain,
    TellStuck,
    TimePassed,
)
from supervisor._core.node import Node
from supervisor._happenings import (
    Crashed,
    Declined,
    GroupRestarted,
    Recovered,
    Returned,
    StopAsked,
    StopBegun,
)
from supervisor._spec.tree import Broker
from tests.explorer.checks import broken
from tests.explorer.putter import putter

K, V = TypeVar("K"), TypeVar("V")

POSITION = {"backoff", "quarantine", "permit", "group"}
"""Holds that end without anybody's help: in a group strategy the younger ones wait for that."""

STOPPED = "stopped by an operator"


def everyone(node: Node) -> Iterator[ChildState]:
    """All children of the table, with their fallbacks."""
    for child in node.children.values():
        at: ChildState | None = child
        while at is not None:
            yield at
            at = at.fallback


class Account:
    """Who lives, since when, who may not run before when or ever, and what has been counted."""

    KEPT = ("running", "lives", "since", "not_before", "over", "reasons", "attempts", "times")
    KEPT += ("crashes", "aside_until", "ready", "asked", "stuck", "probing")
    KEPT += ("owes", "requests", "given_up")
    KEPT += (
        "group_until",
        "group_from",
        "closing",
        "still",
        "last_call",
        "finished",
        "pending",
        "log",
    )
    """None of these is changed in place: a saved account is a tuple of them."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.unmetered = {child for child in everyone(node) if serves_a_broker(child)}
        self.running: dict[ChildState, int] = {}
        self.lives: dict[ChildState, int] = {}
        self.ready: frozenset[ChildState] = frozenset()
        self.since: dict[ChildState, float] = {}  # when it became ready
        self.asked: frozenset[ChildState] = frozenset()
        self.stuck: frozenset[ChildState] = frozenset()
        self.not_before: dict[ChildState, float] = {}
        self.pending: tuple[ChildState, ...] = ()  # who waits for his place in the start order
        self.over: dict[ChildState, str] = {}  # who is not to run again by himself, and why
        self.group_until = -math.inf
        self.group_from = 0  # the first member
        self.aside_until: dict[int, float] = {}  # rest_for_one: a quarantine holds those after it
        self.closing = False
        self.still = False  # nothing is to start, though it is not its turn to stop
        self.last_call = False
        self.finished = False
        self.reasons: dict[str, str] = {}
        self.attempts: dict[ChildState, int] = {}  # restarts in a row
        self.crashes: dict[ChildState, tuple[float, ...]] = {}  # those that count
        self.times: dict[ChildState, int] = {}  # quarantines in a row
        self.probing: frozenset[ChildState] = frozenset()
        self.owes: frozenset[ChildState] = frozenset()  # who may not restart without a permit
        self.requests: dict[ChildState, int] = {}  # for permits, under way
        self.given_up: dict[ChildState, int] = {}  # whose permit may still come
        self.log: tuple[float, ...] = ()  # restarts within the period of the intensity

    def save(self) -> tuple[Any, ...]:
        return kept_of(self)

    def restore(self, saved: tuple[Any, ...]) -> None:
        put_kept(self, saved)

    def key(self) -> tuple[Any, ...]:
        """What the laws go by and the machine does not show."""
        now = self.node.now
        return (
            [child.index for child in self.pending],
            (self.group_until - now, self.group_from) if self.group_until > now else None,
            [(index, due - now) for index, due in self.aside_until.items() if due > now],
            [(c.index, due - now) for c, due in self.not_before.items() if due > now],
            [(c.index, why) for c, why in self.over.items()],
            sorted(c.index for c in self.owes),
            sorted(c.index for c in self.requests),
            sorted(c.index for c in self.given_up),
            self.last_call,
        )

    # --- inputs ---------------------------------------------------------------------------------

    def take_in(self, input: Input) -> None:
        take = _INPUTS.get(type(input))
        if take is not None:
            take(self, input)

    def _begin(self, input: Begin) -> None:
        self.pending = tuple(self.node.children.values())

    def _added(self, input: AddChild) -> None:
        if self.pending and self.node.group is None and not input.child.dynamic:
            self.pending = (*self.pending, input.child)

    def _reported_ready(self, input: ReportedReady) -> None:
        if self.running.get(input.child) == input.life and input.child not in self.asked:
            self._is_ready(input.child)

    def _marked_healthy(self, input: MarkedHealthy) -> None:
        self.attempts = without(self.attempts, input.child)

    def _exited(self, input: Exited) -> None:
        child = input.child
        if self.running.get(child) == input.life:
            self._note_stretch(child)
            self.running = without(self.running, child)
            self.ready -= {child}
            self.asked -= {child}
            self.stuck -= {child}

    def _note_stretch(self, child: ChildState) -> None:
        """A life that was ready for long enough begins a new series, however it ended."""
        up = self.up(child)
        if up >= child.spec.backoff.reset_after:
            self.attempts = without(self.attempts, child)
        if child in self.times and up >= child.spec.quarantine.within:
            self.times = without(self.times, child)

    def _only_stuck_left(self, input: OnlyStuckLeft) -> None:
        self.stuck |= {input.child}

    def _starts_no_more(self, input: StartNoMore) -> None:
        self.still = True

    def _hurried(self, input: Hurry) -> None:
        self.last_call = True

    def _time_passed(self, input: TimePassed) -> None:
        if self.closing and self.node.last_call == math.inf:
            self.last_call = self.node.by != math.inf

    def _commanded(self, input: StartChild | RestartChild | ReleaseChild | StopChild) -> None:
        child = input.child
        self.not_before = without(self.not_before, child)
        self.owes -= {child}
        self.group_until = -math.inf  # whoever delays the group may be let go, too
        self.aside_until = {}
        if isinstance(input, StopChild):
            self.over = {**self.over, child: STOPPED}
        elif not isinstance(input, ReleaseChild):
            self.over = without(self.over, child)

    def _permitted(self, input: Permitted | PermitUnavailable) -> None:
        child = input.child
        if self.requests.get(child) == input.number:
            self.requests = without(self.requests, child)
            self.owes -= {child}
        elif self.given_up.get(child) == input.number:
            self.given_up = without(self.given_up, child)

    def _is_ready(self, child: ChildState) -> None:
        self.ready |= {child}
        self.since = {**self.since, child: self.node.now}

    # --- effects --------------------------------------------------------------------------------

    def perform(self, effect: Effect) -> None:
        look = _EFFECTS.get(type(effect))
        if look is not None:
            look(self, effect)

    def _ends_a_life(self, effect: Cancel | Notify) -> None:
        if effect.child not in self.running:
            broken("no life", effect.child)

    def _asks(self, effect: AskPermit) -> None:
        if effect.child in self.requests:
            broken("asked for", effect.child, "twice")
        self.requests = {**self.requests, effect.child: effect.number}

    def _gives_up(self, effect: GiveUpPermit) -> None:
        if effect.permit is not None:
            return
        if self.requests.get(effect.child) != effect.number:
            broken("asked for", effect.child, "gives up what it had not asked for")
        self.requests = without(self.requests, effect.child)
        self.given_up = {**self.given_up, effect.child: effect.number}

    def _stop_begun(self, event: StopBegun) -> None:
        if self.closing:
            broken("stop told", "twice")
        self.closing = True

    def _finish(self, effect: Finish) -> None:
        if self.running or self.finished:
            broken("finish", self.node)
        self.finished = True

    def _reason_changed(self, effect: ReasonChanged) -> None:
        if effect.reason is None:
            self.reasons = without(self.reasons, effect.path)
        else:
            self.reasons = {**self.reasons, effect.path: effect.reason.what}

    def _no_longer_probing(self, event: Recovered | Declined) -> None:
        self.probing = frozenset(c for c in self.probing if c.path != event.path)

    def _run(self, effect: Run) -> None:
        child = effect.child
        if child in self.running:
            broken("one life", child)
        life = self.lives.get(child, 0) + 1
        if child.life != life:
            broken("next life", child, "and not", life)
        if child.removed:
            broken("forgotten runs", child)
        if self.closing or self.still:
            broken("start in stop", child)
        if child in self.over:
            broken("over", child, self.over[child])
        for target, _ in child.needs:
            if not self.serves(target):
                broken("needs", child, "without", target)
        self._expect_nobody_below(child)
        if child.primary is not None and child.primary in self.running:
            broken("beside", child, child.primary)
        if child.fallback in self.running and child.fallback not in self.stuck:
            broken("beside", child, child.fallback)
        due = self.not_before.get(child, -math.inf)
        self.not_before = without(self.not_before, child)
        if self.node.now < due:
            broken("backoff", child, "is due at", due)
        if child in self.owes:
            broken("permit", child, "has none")
        if child in self.pending:
            self._expect_its_place(child)
        self.running = {**self.running, child: life}
        self.lives = {**self.lives, child: life}
        self.since = without(self.since, child)
        if not child.reports:
            self._is_ready(child)

    def _expect_nobody_below(self, child: ChildState) -> None:
        for at in provided_for(child):
            for dependent, binding in (at.dependents or {}).items():
                lives = dependent in self.running and dependent not in self.stuck
                if lives and (dependent in self.asked or binding == "each"):
                    broken("overlap", child, "under", dependent)

    def _expect_its_place(self, child: ChildState) -> None:
        aside = [until for index, until in self.aside_until.items() if index <= child.index]
        due = max([self.group_until if child.index >= self.group_from else -math.inf, *aside])
        if self.node.now < due:
            broken("group delay", child, "is due at", due)
        for elder in self.pending:
            if elder.index >= child.index:
                break
            if not self.out_of_the_way(elder):
                broken("start order", child, "before", elder)

    def _stop_asked(self, event: StopAsked) -> None:
        child = next((c for c in self.running if c.path == event.path), None)
        if child is None:
            broken("no life", event.path)
        if child in self.asked:
            broken("asked once", child)
        self.asked |= {child}
        lost = any(not self.serves(target) or target.lost for target, _ in child.needs)
        if not (self.node.closing or child.holds or child.condemned or lost):
            broken("unasked", child)
        if self._time_is_up():
            return
        bound = self.node.closing or (
            child.holds is not None and held_for_long(child) and child.primary is None
        )
        for at in provided_for(child):
            for dependent, binding in (at.dependents or {}).items():
                if dependent not in self.running or dependent in self.stuck:
                    continue
                if at is child:
                    # While it is stood in for, those that see only the final loss stay.
                    ok = (not bound or child.fallback is not None) and binding == "final"
                else:
                    ok = binding == "final"
                if not ok:
                    broken("stop under", child, "under", dependent)
        if self.closing and not child.dynamic and child.primary is None:
            for other in self.running:
                gone = other in self.stuck or other.state == "stuck"
                if other.primary is None and other.index > child.index and not gone:
                    broken("stop order", child, "before", other)

    def _time_is_up(self) -> bool:
        return self.last_call or (self.closing and self.node.last_call == math.inf != self.node.by)

    def _tell_stuck(self, effect: TellStuck) -> None:
        child = effect.child
        if child not in self.asked or child in self.stuck:
            broken("stuck", child)
        self.stuck |= {child}

    def _stuck_remain(self, effect: StuckRemain) -> None:
        for child in self.running:
            if child.is_supervisor and child.state == "stuck":
                self.stuck |= {child}
        if self.stuck != self.running.keys():
            broken("only stuck", self.running)

    def _group_restarted(self, event: GroupRestarted) -> None:
        members = [c for c in self.node.children.values() if c.path in event.members]
        until = event.at + event.delay
        cause = next(c for c in members if c.path == event.cause)
        if self.node.spec.strategy == "rest_for_one" and "quarantine" in (cause.holds or ()):
            self.aside_until = {**self.aside_until, cause.index: until}
        else:
            start = min(child.index for child in members)
            merges = self.group_until > self.node.now
            self.group_from = min(self.group_from, start) if merges else start
            self.group_until = max(self.group_until, until)
        waiting = {*self.pending, *members}
        self.pending = tuple(sorted(waiting, key=lambda child: child.index))
        if any(isinstance(child.spec, Broker) for child in members):
            self.owes -= {*members}  # nobody is there to grant a permit
        for child in members:
            if self.over.get(child) != STOPPED:
                self.over = without(self.over, child)

    def _judged(self, event: Crashed | Returned) -> None:
        verdict, error = event.verdict, isinstance(event, Crashed)
        child = next((c for c in self.lives if c.path == event.path and not c.removed), None)
        if child is None or verdict.action == "none":
            return
        self._note_stretch(child)
        self.since = without(self.since, child)  # one that was declared failed is not done with yet
        now, policy = self.node.now, child.spec.quarantine
        if verdict.action in ("restart", "quarantine"):
            assert verdict.until is not None
            self.not_before = {**self.not_before, child: verdict.until}
            free = child in self.unmetered or serves_a_broker(child)
            if self.node.spec.restarts is not None and not free:
                self.owes |= {child}
        elif verdict.action == "finish":
            self.over = {**self.over, child: "finished"}
            self.probing -= {child}
        if verdict.rule in ("process-level", "first start") or verdict.action in (
            "finish",
            "forget",
        ):
            return
        self.attempts = {**self.attempts, child: self.attempts.get(child, 0) + 1}
        if self.node.spec.intensity is not None and child.primary is None:
            self.log = (*self.recent(self.log, self.node.spec.intensity.within), now)
        if error and policy is not None and verdict.rule not in ("strict boot", "intensity"):
            before = self.recent(self.crashes.get(child, ()), policy.within)
            self.crashes = {**self.crashes, child: (*before, now)[-policy.crashes :]}
        if verdict.action == "quarantine":
            self.times = {**self.times, child: self.times.get(child, 0) + 1}
            self.probing |= {child}

    # --- what follows from it -------------------------------------------------------------------

    def up(self, child: ChildState) -> float:
        """For how long the life that ends had been ready."""
        return self.node.now - self.since.get(child, self.node.now)

    def recent(self, times: tuple[float, ...], within: float) -> tuple[float, ...]:
        since = self.node.now - within
        return tuple(at for at in times if at > since)

    def serves(self, child: ChildState) -> bool:
        gone = child in self.asked or child in self.stuck or child.leaving or child.ending
        if child in self.ready and not gone:
            return True
        return child.fallback is not None and self.serves(child.fallback)

    def passed(self, child: ChildState) -> bool:
        """Whether the younger ones need not wait for it any longer."""
        in_group = self.node.spec.strategy != "one_for_one"
        if child.removed:
            return True
        holds = set(child.holds or ())
        if "group" in holds:
            # Its group has yet to go down and come back, which revives those that had ended.
            return not POSITION.issuperset(holds - {"finished", "declined"})
        if child.state in ("ready", "stuck"):
            return True
        if holds and not (in_group and POSITION.issuperset(holds)):
            return True
        if child.attempt > 0 and not in_group:
            return True
        return child not in self.running and any(
            not self.serves(target) and self.passed(target) for target, _ in child.needs
        )

    def out_of_the_way(self, child: ChildState) -> bool:
        return child.dynamic or self.passed(child)

    def settle(self) -> None:
        """Take those off the start order whose turn is over."""
        if self.closing or self.still:
            self.pending = ()
        start = math.inf if self.node.group is None else self.node.group.start
        while self.pending and self.pending[0].index < start:
            if not self.out_of_the_way(self.pending[0]):
                break
            self.pending = self.pending[1:]
        if self.probing:
            self.probing = frozenset(c for c in self.probing if not c.removed)
        for child in everyone(self.node):
            if child.primary is not None and "standby" in (child.holds or ()):
                self.attempts = without(self.attempts, child)
                self.owes -= {child}


def held_for_long(child: ChildState) -> bool:
    """Whether it is held by more than a backoff, or than the permit that its restart then takes."""
    after = child.request and child.request.after
    short = {"backoff", "permit"} if after == "backoff" else {"backoff"}
    return bool(set(child.holds or ()) - short)


def serves_a_broker(child: ChildState) -> bool:
    """Whether it is a broker, or one needs it."""
    if isinstance(child.spec, Broker):
        return True
    return any(serves_a_broker(dependent) for dependent in child.dependents or ())


def without(table: dict[K, V], key: K) -> dict[K, V]:
    return {k: v for k, v in table.items() if k != key} if key in table else table


def provided_for(child: ChildState) -> Iterator[ChildState]:
    """The children in whose place this one serves, itself among them."""
    at: ChildState | None = child
    while at is not None:
        yield at
        at = at.primary


kept_of: Callable[[Account], tuple[Any, ...]] = attrgetter(*Account.KEPT)
put_kept = putter(Account.KEPT)

_INPUTS: dict[type, Callable[[Account, Any], None]] = {
    Begin: Account._begin,
    AddChild: Account._added,
    ReportedReady: Account._reported_ready,
    MarkedHealthy: Account._marked_healthy,
    Exited: Account._exited,
    OnlyStuckLeft: Account._only_stuck_left,
    Hurry: Account._hurried,
    Permitted: Account._permitted,
    PermitUnavailable: Account._permitted,
    StartNoMore: Account._starts_no_more,
    TimePassed: Account._time_passed,
    StartChild: Account._commanded,
    RestartChild: Account._commanded,
    ReleaseChild: Account._commanded,
    StopChild: Account._commanded,
}
_EFFECTS: dict[type, Callable[[Account, Any], None]] = {
    Run: Account._run,
    AskPermit: Account._asks,
    GiveUpPermit: Account._gives_up,
    Cancel: Account._ends_a_life,
    Notify: Account._ends_a_life,
    StopAsked: Account._stop_asked,
    TellStuck: Account._tell_stuck,
    StopBegun: Account._stop_begun,
    GroupRestarted: Account._group_restarted,
    Finish: Account._finish,
    StuckRemain: Account._stuck_remain,
    ReasonChanged: Account._reason_changed,
    Crashed: Account._judged,
    Returned: Account._judged,
    Recovered: Account._no_longer_probing,
    Declined: Account._no_longer_probing,
}
