"""When a delay of a child is over: it may run again, or its restart takes a permit first.

A supervisor that names a budget for restarts has each automatic one below it wait for a permit, so
that children that a common cause took down do not come back in a stampede. A permit is one more
hold: it ends by itself, what an operator does to a backoff he does to it, and a stop gives it up.
Where there is no permit to be had the restart goes ahead, since supervision is not to depend on a
broker.
"""

from __future__ import annotations

import math

from supervisor._core.child import AT_REST, ChildState, Request
from supervisor._core.effects import AskPermit, GiveUpPermit
from supervisor._core.node import Node
from supervisor._core.order import members_from
from supervisor._happenings import PermitMissed
from supervisor._spec.tree import Broker
from supervisor._words import Hold, HoldOwner


def end_delays(node: Node, child: ChildState) -> None:
    """Take off what holds it only until a moment that has come."""
    for hold in tuple(child.holds.values()) if child.holds else ():
        if hold.until is not None and hold.until <= node.now:
            delay_is_over(node, child, hold.owner)


def delay_is_over(node: Node, child: ChildState, delay: HoldOwner) -> None:
    """It need not wait for that any longer, only for a permit where its restart takes one."""
    if _takes_permit(node, child):
        ask_permit(node, child, delay)
    node.drop(child, delay)


def ask_permit(node: Node, child: ChildState, delay: HoldOwner) -> None:
    budget = node.restarts
    assert budget is not None
    node.requests += 1
    child.request = Request(node.requests, delay)
    node.tell_hold(child, Hold("permit", f"its restart takes a permit of {budget}"))
    priority = "critical" if child.critical else child.spec.priority
    node.effects.append(AskPermit(child, node.requests, budget, priority))


def permitted(node: Node, child: ChildState, number: int, permit: object) -> None:
    """Let it restart; a permit that it no longer waits for goes back."""
    if child.request is None or child.request.number != number:
        node.effects.append(GiveUpPermit(child, number, permit))
        return
    child.request = None
    node.drop(child, "permit")


def unavailable(node: Node, child: ChildState, number: int, why: str) -> None:
    """Let it restart without, and say so."""
    if child.request is not None and child.request.number == number:
        assert node.restarts is not None
        child.request = None
        node.drop(child, "permit")
        node.effects.append(PermitMissed(node.now, child.path, node.restarts, why))


def broker_among(node: Node, start: int | float) -> bool:
    """Whether a broker is among the children from that index on."""
    return any(isinstance(child.spec, Broker) for child in members_from(node, start))


def _takes_permit(node: Node, child: ChildState) -> bool:
    if node.restarts is None or child.unmetered or node.closing or child.removed:
        return False
    if child.holds_any(AT_REST) or child.state == "stuck":
        return False
    # In a group that has a broker nobody is there to grant it until the group is up again.
    return not (node.in_order and broker_among(node, _group_from(node, child)))


def _group_from(node: Node, child: ChildState) -> int | float:
    """The first of those who restart with it."""
    start = math.inf if node.group is None else node.group.start
    if child.primary is not None:
        return start
    return 0 if node.spec.strategy == "one_for_all" else min(start, child.index)
