"""The end of a supervisor: asked for, by its own budget, by a significant child, or by escalation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from supervisor._core.effects import Notify, Rush, Still
from supervisor._core.move import ask, cancel
from supervisor._core.order import everyone, stop_in_order
from supervisor._errors import Stuck, TreeFailed, UnexpectedReturn
from supervisor._happenings import Escalated, Rule, StopBegun, Verdict
from supervisor._words import Outcome

if TYPE_CHECKING:
    from supervisor._core.child import ChildState
    from supervisor._core.node import Node

LAST_CALL = 0.1
"""The share of a bounded stop, at most a second, that is kept for all that is left at its end: they
are cancelled together, so that those who were waiting for their turn behind a slow one get theirs."""


def begin_close(node: Node, reason: str, within: float) -> None:
    """Begin to stop all children in order, everything within so many seconds."""
    mark = len(node.effects)
    start_no_more(node)
    node.in_line = False
    bound(node, node.now + within)
    node.effects.insert(mark, StopBegun(node.now, node.path, reason, node.by))


def start_no_more(node: Node) -> None:
    """Queue all children to be stopped in order, and start none from now on, at any depth."""
    node.closing = node.in_line = True
    node.booting = False
    node.group = None
    node.queue.clear()
    node.timers.clear()
    for child in everyone(node):
        child.timer = math.inf
        child.queued = False
        if child.request is not None:
            node.drop(child, "permit")
        if child.watched or child.fallback or child.asked or not child.alive:
            node.touch(child)  # one that was asked to end before keeps its deadline
        if child.inner is not None:
            node.effects.append(Still(child))
    stop_in_order(node, everyone(node))


def bound(node: Node, by: float) -> None:
    """Have the stop be over by that time; an earlier bound stays."""
    if by < node.by:
        node.by = by
        node.last_call = by - min(1.0, LAST_CALL * (by - node.now))
        for child in everyone(node):
            if child.state == "stopping":
                _hurry(node, child)


def _hurry(node: Node, child: ChildState) -> None:
    child.stuck_at = min(child.stuck_at, node.by)
    if child.cancel_at != math.inf:
        latest = max(node.now, node.by - child.spec.stop.deadline)
        child.cancel_at = min(child.cancel_at, latest)
    if child.is_supervisor:
        node.effects.append(Notify(child, node.by))
    node.touch(child)


def call_last(node: Node) -> None:
    """The time is almost up: cancel all that is left, in whatever order they were to go."""
    node.last_call = math.inf
    node.stops.clear()
    for child in everyone(node):
        child.stop_turn = True
        if child.up:
            ask(node, child, now=True)
        if child.is_supervisor:
            node.effects.append(Rush(child, node.by))
        elif child.state == "stopping" and child.cancel_at != math.inf:
            cancel(node, child)


def escalate(node: Node, child: ChildState, rule: Rule) -> Verdict:
    """The supervisor fails because of this child: it stops the others first."""
    give_up(node, child, rule)
    node.outcome = Outcome("crashed", failure(node, rule))
    crashes = 0 if child.circuit is None else len(child.circuit.log)
    within = child.spec.quarantine.within if child.spec.quarantine else 0.0
    if rule == "intensity" and node.spec.intensity is not None:
        crashes, within = len(node.log), node.spec.intensity.within
    return Verdict("escalate", rule, attempt=child.attempt, crashes=crashes, within=within)


def give_up(node: Node, child: ChildState, rule: Rule) -> None:
    """Name the offender, and begin to stop."""
    if child not in node.offenders:
        node.offenders.append(child)
    if not node.closing:
        paths = tuple(offender.path for offender in node.offenders)
        node.effects.append(Escalated(node.now, node.path, rule, paths))
        begin_close(node, f"{child.name} cannot be kept up", node.stop_within)


def failure(node: Node, rule: Rule) -> TreeFailed:
    """What the supervisor fails with: one leaf for each offender, flat, with notes."""
    leaves: list[Exception] = []
    for child in node.offenders:
        error = child.error
        if child.state == "stuck":
            error = Stuck(child.path)
        elif error is None:
            error = UnexpectedReturn(child.path)
        if isinstance(error, TreeFailed):
            leaves.extend(error.exceptions)
        else:
            assert isinstance(error, Exception), "others end the tree as they are"
            note_once(error, f"{child.path}, life {child.life}: {_tried(node, child, rule)}")
            leaves.append(error)
    names = ", ".join(child.path for child in node.offenders)
    return TreeFailed(f"{node.path} failed: {names} cannot be kept up", leaves)


def _tried(node: Node, child: ChildState, rule: Rule) -> str:
    if rule == "intensity" and node.spec.intensity is not None:
        limit = node.spec.intensity
        return f"more than {limit.restarts} restarts within {limit.within:g} s"
    if rule == "strict boot":
        return "its first start failed, and the boot is strict"
    if rule == "stuck":
        return "it did not end by its stop deadline"
    quarantine = child.spec.quarantine
    crashes = 0 if child.circuit is None else len(child.circuit.log)
    if rule == "critical" and quarantine is not None:
        times = f"{crashes} crash{'es' * (crashes != 1)}"
        return f"{times} within {quarantine.within:g} s, and it is critical"
    return f"{child.attempt} restarts in a row"


def note_once(error: BaseException, note: str) -> None:
    """The same exception object may be raised life after life; its notes are not to grow with them."""
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
