"""The laws, as what must hold after every step of one supervisor's machine.

A :class:`Watch` sees each input and all effects, keeps its own account of who lives, and compares.
It takes as little as it can from the machine: what was effected, what is held, and the declaration.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from supervisor._core.child import ChildState
from supervisor._core.effects import (
    AddChild,
    Begin,
    Cancel,
    Effect,
    Exited,
    Finish,
    Hurry,
    Input,
    Notify,
    OnlyStuckLeft,
    ReasonChanged,
    ReleaseChild,
    ReportedReady,
    RestartChild,
    Run,
    StartChild,
    StopChild,
    StuckRemain,
    TellStuck,
    TimePassed,
)
from supervisor._core.node import Node
from supervisor._core.timers import _next, next_deadline
from supervisor._core.verdict import is_process_level
from supervisor._happenings import (
    Crashed,
    Declined,
    GroupRestarted,
    Returned,
    StopAsked,
    StopBegun,
)

POSITION = {"backoff", "quarantine", "group"}
"""Holds that end without anybody's help: in a group strategy the younger ones wait for that."""


class Violation(AssertionError):
    """A law was broken."""


def everyone(node: Node) -> Iterator[ChildState]:
    """All children of the table, with their fallbacks."""
    for child in node.children.values():
        at: ChildState | None = child
        while at is not None:
            yield at
            at = at.fallback


class Watch:
    """The account of one node."""

    KEPT = (
        "running",
        "lives",
        "ready",
        "asked",
        "stuck",
        "not_before",
        "pending",
        "over",
        "group_until",
        "aside_until",
        "closing",
        "last_call",
        "finished",
        "reasons",
    )

    def __init__(self, node: Node) -> None:
        self.node = node
        self.running: dict[ChildState, int] = {}
        self.lives: dict[ChildState, int] = {}
        self.ready: set[ChildState] = set()
        self.asked: set[ChildState] = set()
        self.stuck: set[ChildState] = set()
        self.not_before: dict[ChildState, float] = {}
        self.pending: list[ChildState] = []  # who waits for his place in the start order
        self.over: dict[ChildState, str] = {}  # who is not to run again by himself, and why
        self.group_until = -math.inf
        self.aside_until: dict[int, float] = {}  # rest_for_one: a quarantine holds those after it
        self.closing = False
        self.last_call = False
        self.finished = False
        self.reasons: dict[str, str] = {}
        self._leaving = False

    def save(self) -> tuple[Any, ...]:
        return tuple(_copy(getattr(self, name)) for name in self.KEPT)

    def restore(self, saved: tuple[Any, ...]) -> None:
        for name, value in zip(self.KEPT, saved, strict=True):
            setattr(self, name, _copy(value))

    # --- one step -------------------------------------------------------------------------------

    def before(self, input: Input) -> None:
        """Note what the step is going to change."""
        child = getattr(input, "child", None)
        self._leaving = child is not None and (child.leaving or self.node.closing)
        self._alive = isinstance(input, Exited) and self.running.get(child) == input.life

    def after(self, input: Input, effects: list[Effect]) -> None:
        """Check everything.

        Raises:
            Violation: a law was broken.
        """
        unasked = self._take_in(input)
        for effect in effects:
            self._perform(effect, effects)
        self._check_verdict(input, effects, unasked)
        while self.node.group is None and self.pending and self._out_of_the_way(self.pending[0]):
            del self.pending[0]
        if self.closing:
            self.pending.clear()
        self._check_account()
        self._check_nobody_in_between()
        self._check_time(input, effects)

    def _take_in(self, input: Input) -> bool:
        """Account for the input; whether a life ended that nobody had asked to end."""
        if isinstance(input, Begin):
            self.pending = list(self.node.children.values())
        elif isinstance(input, AddChild) and not input.child.dynamic:
            if self.pending and self.node.group is None:
                self.pending.append(input.child)
        elif isinstance(input, ReportedReady):
            child = input.child
            if self.running.get(child) == input.life and child not in self.asked:
                self.ready.add(child)
        elif isinstance(input, Exited) and self._alive:
            return self._ended(input.child)
        elif isinstance(input, StartChild | RestartChild | ReleaseChild | StopChild):
            self._commanded(input.child, type(input))
        elif isinstance(input, OnlyStuckLeft):
            self.stuck.add(input.child)
        elif isinstance(input, Hurry):
            self.last_call = True
        elif isinstance(input, TimePassed) and self.node.last_call == math.inf and self.closing:
            self.last_call = self.node.by != math.inf
        return False

    def _ended(self, child: ChildState) -> bool:
        unasked = not (child in self.asked or child in self.stuck or self._leaving)
        del self.running[child]
        for account in (self.ready, self.asked, self.stuck):
            account.discard(child)
        return unasked

    def _commanded(self, child: ChildState, command: type) -> None:
        self.not_before.pop(child, None)
        self.group_until = -math.inf  # whoever delays the group may be let go, too
        self.aside_until = {}
        if command is StopChild:
            self.over[child] = "stopped by an operator"
        elif command is not ReleaseChild:
            self.over.pop(child, None)

    # --- effects --------------------------------------------------------------------------------

    def _perform(self, effect: Effect, effects: list[Effect]) -> None:
        if isinstance(effect, Run):
            self._run(effect.child)
        elif isinstance(effect, Cancel | Notify):
            self._expect(effect.child in self.running, 2, f"{effect.child} has no life to end")
        elif isinstance(effect, StopAsked):
            self._stop_asked(effect)
        elif isinstance(effect, TellStuck):
            self._tell_stuck(effect.child)
        elif isinstance(effect, StopBegun):
            self._expect(not self.closing, 3, "the stop began twice")
            self.closing = True
        elif isinstance(effect, GroupRestarted):
            self._group_restarted(effect)
        elif isinstance(effect, Finish):
            self._expect(not self.running and not self.finished, 1, "finished with lives left")
            self.finished = True
        elif isinstance(effect, StuckRemain):
            for child in self.running:
                if child.is_supervisor and child.state == "stuck":
                    self.stuck.add(child)
            self._expect(self.stuck == self.running.keys(), 9, "others than stuck ones remain")
        elif isinstance(effect, ReasonChanged):
            if effect.reason is None:
                self.reasons.pop(effect.path, None)
            else:
                self.reasons[effect.path] = effect.reason.what
        elif isinstance(effect, Crashed | Returned):
            self._judged(effect)

    def _run(self, child: ChildState) -> None:
        self._expect(child not in self.running, 2, f"{child} has two lives")
        life = self.lives.get(child, 0) + 1
        self._expect(child.life == life, 2, f"life {child.life} of {child} is not {life}")
        self._expect(not child.removed, 2, f"{child} was forgotten")
        self._expect(not self.closing, 3, f"{child} started after the stop began")
        self._expect(child not in self.over, 4, f"{child} runs again: {self.over.get(child)}")
        for target, _ in child.needs:
            self._expect(self.serves(target), 3, f"{child} needs {target}")
        for at in self._provided_for(child):
            for dependent, binding in (at.dependents or {}).items():
                held_up = dependent in self.asked or binding == "each"
                held_up = held_up and dependent in self.running and dependent not in self.stuck
                self._expect(not held_up, 3, f"{child} starts under {dependent}, still to go down")
        stand_in = child.fallback
        taken = stand_in in self.running and stand_in not in self.stuck
        self._expect(not taken, 3, f"{child} starts beside its fallback")
        if child.primary is not None:
            self._expect(child.primary not in self.running, 3, f"{child} starts beside its primary")
        due = self.not_before.pop(child, -math.inf)
        self._expect(self.node.now >= due, 5, f"{child} starts before its backoff is over at {due}")
        if child in self.pending:
            self._in_its_place(child)
        self.running[child] = self.lives[child] = child.life
        if not child.reports:
            self.ready.add(child)

    def _provided_for(self, child: ChildState) -> Iterator[ChildState]:
        """The children in whose place this one serves, itself among them."""
        at: ChildState | None = child
        while at is not None:
            yield at
            at = at.primary

    def _in_its_place(self, child: ChildState) -> None:
        aside = [until for index, until in self.aside_until.items() if index <= child.index]
        due = max([self.group_until, *aside])
        self._expect(self.node.now >= due, 5, f"{child} starts before its group may")
        for elder in self.pending:
            if elder.index >= child.index:
                break
            ok = self._out_of_the_way(elder)
            self._expect(ok, 3, f"{child} starts before its elder {elder}")

    def _stop_asked(self, event: StopAsked) -> None:
        child = next((c for c in self.running if c.path == event.path), None)
        self._expect(child is not None, 2, f"{event.path} has no life to end")
        assert child is not None
        self._expect(child not in self.asked, 9, f"{child} was asked to end twice")
        self.asked.add(child)
        if self._time_is_up():
            return
        bound = self.node.closing or (
            child.holds is not None and set(child.holds) - {"backoff"} and child.primary is None
        )
        for at in self._provided_for(child):
            self._expect(
                at is child
                or not any(
                    binding == "each" and d in self.running and d not in self.stuck
                    for d, binding in (at.dependents or {}).items()
                ),
                3,
                f"{child} is stopped under a dependent of {at}",
            )
        for dependent, binding in (child.dependents or {}).items():
            if dependent in self.running and dependent not in self.stuck:
                ok = not bound and binding == "final"
                # While it is stood in for, those that see only the final loss stay.
                ok = ok or (binding == "final" and child.fallback is not None)
                self._expect(ok, 3, f"{child} is stopped under {dependent}")
        if self.closing and not child.dynamic and child.primary is None:
            for other in self.running:
                if other.primary is None and other.index > child.index:
                    ok = other in self.stuck or other.state == "stuck"
                    self._expect(ok, 3, f"{child} is stopped before its younger {other}")

    def _time_is_up(self) -> bool:
        return self.last_call or (self.closing and self.node.last_call == math.inf != self.node.by)

    def _tell_stuck(self, child: ChildState) -> None:
        self._expect(child in self.asked, 9, f"{child} is stuck but was not asked to end")
        self._expect(child not in self.stuck, 9, f"{child} is told to be stuck twice")
        self.stuck.add(child)

    def _group_restarted(self, event: GroupRestarted) -> None:
        members = [c for c in self.node.children.values() if c.path in event.members]
        until = event.at + event.delay
        cause = next(c for c in members if c.path == event.cause)
        if self.node.spec.strategy == "rest_for_one" and "quarantine" in (cause.holds or ()):
            self.aside_until = {**self.aside_until, cause.index: until}
        else:
            self.group_until = max(self.group_until, until)
        waiting = {*self.pending, *members}
        self.pending = sorted(waiting, key=lambda child: child.index)
        for child in members:
            if self.over.get(child) != "stopped by an operator":
                self.over.pop(child, None)

    def _judged(self, event: Crashed | Returned) -> None:
        child = next((c for c in self.lives if c.path == event.path and not c.removed), None)
        if child is None:
            return
        if event.verdict.action in ("restart", "quarantine"):
            assert event.verdict.until is not None
            self.not_before[child] = event.verdict.until
        elif event.verdict.action == "finish":
            self.over[child] = "finished"

    # --- verdicts -------------------------------------------------------------------------------

    def _check_verdict(self, input: Input, effects: list[Effect], unasked: bool) -> None:
        crashes = [e for e in effects if isinstance(e, Crashed)]
        if not (isinstance(input, Exited) and self._alive):
            ok = not crashes or isinstance(input, TimePassed)
            self._expect(ok, 7, "a crash was told although nothing ended")
            return
        child, outcome = input.child, input.outcome
        foreign = outcome.kind == "cancelled" and unasked
        expected = int(outcome.kind == "crashed" or foreign)
        told = [
            e for e in crashes if e.path == child.path and (foreign or e.error is outcome.error)
        ]
        self._expect(len(told) == len(crashes) == expected, 7, f"{outcome} was told {told}")
        judged = [e for e in effects if isinstance(e, Crashed | Returned)]
        if not unasked:
            for event in judged:
                kept = event.verdict.action in ("none", "escalate")
                self._expect(kept, 4, f"a life that was to end was judged: {event}")
            return
        if outcome.kind == "declined":
            self._expect(any(isinstance(e, Declined) for e in effects), 4, "not told of decline")
            return
        allowed = allowed_actions(child, error=outcome.kind != "returned")
        if outcome.error is not None and is_process_level(outcome.error):
            allowed = {"escalate"}
        ok = len(judged) == 1 and judged[0].verdict.action in allowed
        self._expect(ok, 4, f"{child.spec.restart} {outcome}: {judged}")

    # --- the account ----------------------------------------------------------------------------

    def _check_account(self) -> None:
        node, alive = self.node, self.running
        known = {*everyone(node), *alive}
        for child in known:
            self._expect(child.alive == (child in alive), 2, f"{child} and its life disagree")
            self._expect(not child.removed or child.primary is not None, 15, f"{child} is kept")
            leaving = sum(
                1 for d in child.dependents or () for t, _ in d.needs if t is child and d.leaving
            )
            self._expect(child.pulling == leaving, 15, f"{child}: {child.pulling} != {leaving}")
            for blocked in child.waiting or ():
                self._expect(not blocked.removed, 15, f"{blocked} is gone but waits at {child}")
                self._expect(blocked.blocker is child, 15, f"{blocked} waits at two blockers")
            for dependent in child.dependents or ():
                self._expect(not dependent.removed, 15, f"{dependent} is gone but needs {child}")
            self._expect(self.reasons.get(child.path) == child.reason, 15, f"{child}: its reason")
        self._expect(node.alive == len(alive), 15, f"{node.alive} alive, not {len(alive)}")
        stuck = sum(child.state == "stuck" for child in alive)
        self._expect(node.stuck == stuck, 15, f"{node.stuck} stuck, not {stuck}")
        aside = sum(child.probing for child in node.children.values())
        self._expect(node.set_aside == aside, 15, f"{node.set_aside} set aside, not {aside}")
        self._expect(len(node.timers) <= 65 + 4 * len(known), 15, "timers grow")
        limit = node.spec.intensity
        self._expect(limit is None or len(node.log) <= limit.restarts + 1, 15, "the log grows")
        self._expect(node.closing == self.closing, 3, "the stop is not told")

    # --- nobody in between ----------------------------------------------------------------------

    def serves(self, child: ChildState) -> bool:
        gone = child in self.asked or child in self.stuck or child.leaving
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

    def _out_of_the_way(self, child: ChildState) -> bool:
        return child.dynamic or self.passed(child)

    def _in_flight(self) -> list[ChildState]:
        """Lives that were asked to end, and are not beyond help."""
        return [c for c in self.asked if c in self.running and c.state != "stuck"]

    def _check_nobody_in_between(self) -> None:
        node = self.node
        flight = self._in_flight()
        if self.closing:
            idle = all(child.state == "stuck" for child in self.running)
            self._expect(idle or bool(flight), 9, f"the stop waits for nothing: {node}")
            self._expect(bool(self.running) != self.finished, 9, "the stop is over, or is not")
            return
        for child in {*everyone(node), *self.running}:
            if child in self.running:
                self._expect_reason_to_live(child, flight)
            else:
                self._expect_reason_to_be_down(child)
        moving = bool(flight) or any(c.state == "starting" for c in self.running)
        if not moving and next_deadline(node) == math.inf:
            self._expect(node.group is None, 4, f"the group waits for nothing: {node}")
            self._expect(not self.pending and not node.booting, 3, f"the order waits: {node}")

    def _expect_reason_to_live(self, child: ChildState, flight: list[ChildState]) -> None:
        if not child.up:
            return
        if child.leaving:
            self._expect(bool(flight), 9, f"{child} is to end, and nobody asks it to")
            return
        ok = not child.holds and not child.condemned
        self._expect(ok, 4, f"{child} is held, and lives on")
        for target, binding in child.needs:
            ok = self.serves(target) or binding == "final"
            self._expect(ok, 3, f"{child} lives on without {target}")
            held = set(target.holds or ()) - {"backoff"}
            ok = not held or self.serves(target) or target.fallback is not None
            ok = ok and not target.removed
            self._expect(ok, 3, f"{child} lives on, and has lost {target}")

    def _expect_reason_to_be_down(self, child: ChildState) -> None:
        if child.holds or (self.node.group is not None and "group" in (child.holds or ())):
            return
        if not all(self.serves(target) for target, _ in child.needs):
            return
        if any(not self.passed(target) for target in child.after):
            return
        stand_in = child.fallback
        if stand_in is not None and stand_in in self.running and stand_in.state != "stuck":
            return
        for at in self._provided_for(child):
            for dependent in at.dependents or ():
                if dependent in self.running and dependent.leaving:
                    return
        if any(elder.index < child.index for elder in self.pending) and child in self.pending:
            return
        self._expect(False, 5, f"{child} could run, and does not")

    # --- time -----------------------------------------------------------------------------------

    def _check_time(self, input: Input, effects: list[Effect]) -> None:
        node, first = self.node, next_deadline(self.node)
        children = {*everyone(node), *self.running}
        for child in children:
            due = _next(node, child)
            self._expect(first <= due, 9, f"{child} has a deadline at {due} that nobody awaits")
        if isinstance(input, TimePassed):
            ok = first > node.now or bool(effects)
            self._expect(ok, 13, f"the deadline at {first} comes again and again")
        idle = not self.closing and all(map(_is_idle, children))
        self._expect(not idle or first == math.inf, 13, f"all are ready, yet {first} is awaited")

    def _expect(self, ok: bool, law: int, what: str) -> None:
        if not ok:
            raise Violation(f"law {law}: {what}")


def allowed_actions(child: ChildState, *, error: bool) -> set[str]:
    """What OTP's tables, and ours for quarantine and escalation, allow after an unasked end."""
    if child.trial and (error or child.spec.restart == "permanent"):
        return {"forget"}
    if child.primary is not None:
        return {"restart", "quarantine", "escalate"}
    if child.spec.restart == "temporary":
        return {"forget"}
    if child.spec.restart == "transient" and not error:
        return {"finish"}
    if child.critical:
        return {"restart", "escalate"}
    return {"restart", "quarantine", "escalate"} if error else {"restart", "escalate"}


def _is_idle(child: ChildState) -> bool:
    """Whether nothing is going to happen to the child by itself."""
    if child.primary is not None:
        return child.state == "down" and set(child.holds or ()) == {"standby"}
    quiet = child.state == "ready" and not (child.leaving or child.holds or child.probing)
    return quiet and child.heartbeat is None


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, dict | set | list) else value
