"""The deadlines of a node: one for each child that has any, in a heap.

An entry is valid while it equals ``child.timer``; others are skipped, and swept out when they
become many, so that an hour of crash loops leaves no trace. A node whose children are all ready
has no deadline at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from supervisor._core.child import ChildState
from supervisor._core.node import UNREADY, Node


def arm(node: Node, child: ChildState) -> None:
    """Set the child's timer to its next deadline."""
    due = _next(node, child)
    if due == child.timer:
        return
    child.timer = due
    if due != math.inf:
        node.timer_seq += 1
        heappush(node.timers, (due, node.timer_seq, child))
        if len(node.timers) > 64 + 4 * node.size:
            node.timers = [entry for entry in node.timers if entry[0] == entry[2].timer]
            heapify(node.timers)


def next_deadline(node: Node) -> float:
    """When the machine next wants to be stepped; infinity for never."""
    timers = node.timers
    while timers and timers[0][0] != timers[0][2].timer:
        heappop(timers)
    first = timers[0][0] if timers else math.inf
    return min(first, node.last_call)


def due(node: Node) -> Iterator[ChildState]:
    """The children whose deadline has come, each once."""
    timers = node.timers
    while timers and timers[0][0] <= node.now:
        when, _, child = heappop(timers)
        if when == child.timer:
            child.timer = math.inf
            yield child


def _next(node: Node, child: ChildState) -> float:
    state = child.state
    if state == "stopping":
        return min(child.cancel_at, child.stuck_at)
    if node.closing or child.removed:
        return math.inf
    found = math.inf
    if child.holds is not None:
        for hold in child.holds.values():
            if hold.until is not None and hold.until < found:
                found = hold.until
    if child.leaving:
        pass  # what it may have missed no longer matters
    elif state == "starting" and child.spec.start_timeout is not None:
        found = min(found, child.since + child.spec.start_timeout)
    elif state == "ready" and (child.probing or child.heartbeat is not None):
        found = min(found, _while_ready(child))
    if child.unready_since is not None and child.reason is None:
        found = min(found, child.unready_since + UNREADY)
    return found


def _while_ready(child: ChildState) -> float:
    found = math.inf
    if child.probing and child.spec.quarantine is not None:
        found = child.since + child.spec.quarantine.probe
    if child.heartbeat is not None:
        found = min(found, child.beat + child.heartbeat)
    return found
