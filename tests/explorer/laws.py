"""The laws, as what must hold after every step of one supervisor's machine.

A :class:`Watch` sees each input and all effects, keeps its own account of who lives, and compares.
Verdicts are compared with the table in ``verdicts``.
"""

from __future__ import annotations

import math
from typing import Any

from supervisor._core.child import ChildState
from supervisor._core.effects import (
    Effect,
    Exited,
    GiveUpPermit,
    Input,
    Permitted,
    Run,
    TellStuck,
    TimePassed,
)
from supervisor._core.node import Node
from supervisor._core.timers import _next, next_deadline
from supervisor._errors import ForeignCancellation
from supervisor._happenings import (
    Crashed,
    Declined,
    Deleted,
    Event,
    GroupRestarted,
    Returned,
    StopBegun,
)
from tests.explorer.account import Account, everyone, held_for_long, provided_for
from tests.explorer.checks import Violation, broken
from tests.explorer.verdicts import Answer, Case, Ending, answer, concerns_process

__all__ = ["Violation", "Watch", "everyone"]

AT_REST = {"operator", "finished", "declined", "standby"}


class Watch(Account):
    """The account of one node, and the laws about its state."""

    def before(self, input: Input) -> None:
        """Note what the step is going to change."""
        node = self.node
        self._before: dict[str, Any] = {
            "size": node.size,
            "booting": node.booting,
            "closing": self.closing or self.still,
            "group": None if node.group is None else node.group.start,
        }
        self._ends = isinstance(input, Exited) and self.running.get(input.child) == input.life
        if self._ends:
            self._note(input.child)

    def _note(self, child: ChildState) -> None:
        node, holds = self.node, child.holds or {}
        asked = child in self.asked or child.judged
        self._before.update(
            starting=child.state == "starting",
            doomed=asked
            or child.leaving
            or child.state == "stuck"
            or child in self.stuck
            or node.closing,
            asked=asked,
            stopped="operator" in holds,
            stuck="stuck" in holds,
            again=child.again,
            trial=child.trial,
            probing=child in self.probing,
            primary_gone=child.primary is not None and child.primary.removed,
            last=self._is_last(child),
        )

    def after(self, input: Input, effects: list[Effect]) -> None:
        """Check everything.

        Raises:
            Violation: a law was broken.
        """
        self.told(input, effects)
        self.check()

    def told(self, input: Input, effects: list[Effect]) -> None:
        """Check what a step has done."""
        if isinstance(input, Permitted):
            self._check_late(input, effects)
        self.take_in(input)
        self._check_verdicts(input, effects)
        for effect in effects:
            self.perform(effect)
        self.settle()
        if isinstance(input, TimePassed) and not effects:
            first = next_deadline(self.node)
            if first <= self.node.now:
                broken("spin", "the deadline at", first)

    def check(self) -> None:
        """Check the state that the step has left."""
        self._check_children()
        self._check_sums()
        self._check_requests()
        if self.closing:
            self._check_stop()
        elif not self.still:
            self._check_nobody_in_between()
        self._check_time()

    # --- verdicts -------------------------------------------------------------------------------

    def _case(self, child: ChildState, ending: Ending, **facts: Any) -> Case:
        node, spec = self.node, child.spec
        # What the declaration leaves open is to be looked at only by who needs it.
        crashes, log = self.crashes.get(child, ()), self.log
        return Case(
            spec,
            node.spec,
            ending,
            index=child.index,
            up=self.up(child),
            critical=child.critical,
            dynamic=child.dynamic,
            stand_in=child.primary is not None,
            attempt=self.attempts.get(child, 0),
            crashes=len(self.recent(crashes, spec.quarantine.within)) if crashes else 0,
            times=self.times.get(child, 0),
            aside=sum(other.primary is None for other in self.probing),
            restarts=len(self.recent(log, node.spec.intensity.within)) if log else 0,
            **{**self._before, **facts},
        )

    def _is_last(self, child: ChildState) -> bool:
        """Whether no other significant child is there, or will come back."""
        return not any(
            other.spec.significant
            and (other in self.running or not AT_REST & set(other.holds or ()))
            for other in self.node.children.values()
            if other is not child
        )

    def _check_verdicts(self, input: Input, effects: list[Effect]) -> None:
        crashes = [effect for effect in effects if type(effect) is Crashed]
        if self._ends:
            assert isinstance(input, Exited)
            case = self._case(input.child, _ending(input.outcome, doomed=self._before["doomed"]))
            self._check_told(input, crashes, case)
            expected = answer(case)
            self._check_answer(input.child, case, expected, effects)
            if expected.finished:
                self.probing -= {input.child}
        elif isinstance(input, TimePassed):
            alone = not any(type(effect) is TellStuck for effect in effects)
            if len(crashes) == 1 and alone and not self.node.closing:
                self._check_declared(crashes[0], effects)
        else:
            judged = [e for e in effects if type(e) in (Crashed, Returned, GroupRestarted)]
            if judged:
                broken("no verdict", judged)

    def _check_declared(self, event: Crashed, effects: list[Effect]) -> None:
        """A life that has missed its deadline is judged like one that crashed."""
        child = next(c for c in self.running if c.path == event.path)
        facts = {"trial": child.trial, "probing": child in self.probing}
        starting, last = event.phase == "starting", self._is_last(child)
        case = self._case(child, "crashed", starting=starting, last=last, **facts)
        expected = answer(case)
        expected.forgotten = False  # until its life is over
        self._check_answer(child, case, expected, effects)

    def _check_told(self, input: Exited, crashes: list[Crashed], case: Case) -> None:
        outcome, child = input.outcome, input.child
        if case.outcome == "foreign":
            if len(crashes) != 1 or not isinstance(crashes[0].error, ForeignCancellation):
                broken("foreign", outcome, crashes)
        elif outcome.kind == "cancelled":
            if crashes:
                broken("foreign", outcome, crashes)
        else:
            told = [e for e in crashes if e.path == child.path and e.error is outcome.error]
            if not len(told) == len(crashes) == (outcome.kind == "crashed"):
                broken("told once", outcome, crashes)

    def _check_answer(
        self, child: ChildState, case: Case, expected: Answer, effects: list[Effect]
    ) -> None:
        found = _found(self.node, child, expected, effects)
        check = "process" if expected.rule == "process-level" else "verdict"
        told = (found.action, found.forgotten, found.ends, found.members)
        ok = told == (expected.action, expected.forgotten, expected.ends, expected.members)
        ok = ok and expected.rule in ("", found.rule)
        if not (ok and expected.least <= found.least <= expected.most):
            broken(check, child, "expected", expected, "found", found, "where", case)
        if expected.members is not None:
            begun = {effect.child for effect in effects if type(effect) is Run}
            for other in self.node.children.values():
                goes = other.leaving or other in begun
                if other.index >= expected.members and other.up and not goes:
                    broken("group down", other, "because of", child)

    # --- the account ----------------------------------------------------------------------------

    def _check_children(self) -> None:
        for child in {*everyone(self.node), *self.running}:
            if child.alive != (child in self.running):
                broken("accounts", child)
            gone = child in self.asked or child in self.stuck
            if (child.state == "ready") != (child in self.ready and not gone):
                broken("ready", child)
            if child.removed and child.primary is None:
                broken("kept", child)
            self._check_edges(child)
            if self.reasons.get(child.path) != child.reason:
                broken("reasons", child, child.reason)
            self._check_counts(child)

    def _check_edges(self, child: ChildState) -> None:
        leaving = 0
        for dependent in child.dependents or ():
            if dependent.removed:
                broken("kept", dependent, "needs", child)
            leaving += dependent.leaving
        if child.pulling != leaving:
            broken("sums", child, child.pulling, "and not", leaving)
        for blocked in child.waiting or ():
            if blocked.removed:
                broken("kept", blocked, "waits at", child)
            if blocked.blocker is not child:
                broken("registered", blocked, "waits at two blockers")

    def _check_counts(self, child: ChildState) -> None:
        counted = self.attempts.get(child, 0), self.times.get(child, 0), child in self.probing
        attempt = 0 if "standby" in (child.holds or ()) else child.attempt
        circuit = child.circuit
        found = attempt, 0 if circuit is None else circuit.times, child.probing
        if found != counted:
            broken("counted", child, found, "and not", counted)
        crashes = self.crashes.get(child, ())
        log = () if circuit is None else tuple(circuit.log)
        if crashes or log:
            within = child.spec.quarantine.within
            if self.recent(crashes, within) != self.recent(log, within):
                broken("counted", child, log, "and not", crashes)

    def _check_sums(self) -> None:
        node, alive = self.node, self.running
        stuck = sum(child.state == "stuck" for child in alive)
        aside = sum(child.probing for child in node.children.values())
        if (node.alive, node.stuck, node.set_aside) != (len(alive), stuck, aside):
            broken("sums", node, node.alive, node.stuck, node.set_aside)
        if len(node.timers) > 65 + 4 * (node.size + len(alive)):
            broken("bounded", "timers", len(node.timers))
        limit = node.spec.intensity
        if limit is not None:
            if len(node.log) > limit.restarts + 1:
                broken("bounded", node.log)
            if self.recent(tuple(node.log), limit.within) != self.recent(self.log, limit.within):
                broken("counted", node.log, "and not", self.log)
        if (
            node.closing != (self.closing or self.still)
            or node.in_line == self.closing != self.still
        ):
            broken("stop told", node)

    def _check_late(self, input: Permitted, effects: list[Effect]) -> None:
        late = self.requests.get(input.child) != input.number
        if late and effects != [GiveUpPermit(input.child, input.number, input.permit)]:
            broken("goes back", input, effects)

    def _check_requests(self) -> None:
        waiting = {c for c in {*everyone(self.node), *self.requests} if "permit" in (c.holds or ())}
        if waiting != self.requests.keys():
            broken("asked for", waiting, "and not", self.requests)

    # --- nobody in between ----------------------------------------------------------------------

    def _in_flight(self) -> bool:
        """Whether a life was asked to end, and is not beyond help."""
        return any(c in self.running and c.state != "stuck" for c in self.asked)

    def _check_stop(self) -> None:
        idle = all(child.state == "stuck" for child in self.running)
        if not (idle or self._in_flight()):
            broken("stop stands", self.node)
        if bool(self.running) == self.finished:
            broken("finish", self.node)

    def _check_nobody_in_between(self) -> None:
        node, flight = self.node, self._in_flight()
        for child in {*everyone(node), *self.running}:
            if child not in self.running:
                self._expect_reason_to_be_down(child)
            elif child.leaving:
                if child.up and not flight:
                    broken("nobody asks", child)
            elif child.up:
                self._expect_reason_to_live(child)
        moving = bool(flight or self.requests) or any(
            child.state == "starting" for child in self.running
        )
        if not moving and next_deadline(node) == math.inf:
            if node.group is not None:
                broken("group stands", node)
            if self.pending or node.booting:
                broken("order stands", self.pending)

    def _expect_reason_to_live(self, child: ChildState) -> None:
        if child.holds or child.condemned:
            broken("held", child)
        for target, binding in child.needs:
            if self.serves(target):
                continue
            if binding == "each":
                broken("lives on", child, "without", target)
            if target.removed or (held_for_long(target) and target.fallback is None):
                broken("lives on", child, "and has lost", target)

    def _expect_reason_to_be_down(self, child: ChildState) -> None:
        if child.holds or child.removed:
            return
        if not child.queued and not any(target.lost for target, _ in child.needs):
            at = child.blocker
            if not child.pulling and (at is None or child not in (at.waiting or ())):
                broken("registered", child, "waits nowhere")
        if not all(self.serves(target) for target, _ in child.needs):
            return
        if any(not self.passed(target) for target in child.after):
            return
        stand_in = child.fallback
        if stand_in is not None and stand_in in self.running and stand_in.state != "stuck":
            return
        for at in provided_for(child):
            for dependent in at.dependents or ():
                if dependent in self.running and dependent.leaving:
                    return
        if child in self.pending and self.pending[0] is not child:
            return
        broken("could run", child)

    # --- time -----------------------------------------------------------------------------------

    def _check_time(self) -> None:
        node, first = self.node, next_deadline(self.node)
        idle = not node.closing
        for child in {*everyone(node), *self.running}:
            due = _next(node, child)
            if first > due:
                broken("deadline", child, "at", due)
            idle = idle and _is_idle(child)
        if idle and first != math.inf:
            broken("idle", "the deadline at", first)


def _ending(outcome: Any, *, doomed: bool) -> Ending:
    if outcome.kind == "cancelled":
        return "cancelled" if doomed else "foreign"
    if concerns_process(outcome.error):
        return "process"
    found: Ending = outcome.kind
    return found


def _found(node: Node, child: ChildState, expected: Answer, effects: list[Effect]) -> Answer:
    """What the machine has decided, in the words of the table."""
    found = Answer("none")
    for effect in effects:
        kind = type(effect)
        if kind is StopBegun:
            found.ends = node.outcome.kind
        elif kind is GroupRestarted:
            start = -1 if expected.members is None else expected.members
            members = {c.path for c in node.children.values() if c.index >= start}
            found.members = start if members == set(effect.members) else -1
        elif effect.path != child.path if isinstance(effect, Event) else True:
            continue
        elif kind is Deleted:
            found.forgotten = True
        elif kind is Declined:
            found.action = "decline"
        elif kind in (Crashed, Returned):
            found.action, found.rule = effect.verdict.action, effect.verdict.rule
            found.least = effect.verdict.delay
    return found


def _is_idle(child: ChildState) -> bool:
    """Whether nothing is going to happen to the child by itself."""
    if child.primary is not None:
        return child.state == "down" and set(child.holds or ()) == {"standby"}
    quiet = child.state == "ready" and not (child.leaving or child.holds or child.probing)
    return quiet and child.heartbeat is None
