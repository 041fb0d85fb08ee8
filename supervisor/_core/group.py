"""Group restarts: one_for_all and rest_for_one.

Members are held, go down in reverse, and start again in order once they are all down and the delay
of whoever caused it is over; a quarantine of the cause is such a delay, so its probe is the group's
start. A group restart during a group restart merges with it. One budget event.
"""

from __future__ import annotations

from supervisor._core.child import ChildState
from supervisor._core.node import Group, Node
from supervisor._core.order import members_from, stop_in_order
from supervisor._core.resume import broker_among
from supervisor._happenings import GroupRestarted
from supervisor._words import Hold


def begin(node: Node, cause: ChildState, delay: float) -> None:
    """Take the members down; :func:`supervisor._core.order.settle` brings them back."""
    start = 0 if node.spec.strategy == "one_for_all" else cause.index
    if node.group is None:
        node.group = Group(start, [cause])
    else:
        node.group.start = min(node.group.start, start)
        node.group.causes.append(cause)
    members = list(members_from(node, node.group.start))
    for child in members:
        child.queued = False
        if child.holds is None or "group" not in child.holds:
            node.hold(child, Hold("group", f"{cause.name} crashed; its group restarts"))
    node.effects.append(GroupRestarted(node.now, node.path, cause.path, _paths(members), delay))
    if node.restarts is not None and broker_among(node, node.group.start):
        for child in members:
            node.tell_drop(child, "permit", "its group restarts, and a broker with it")
    stop_in_order(node, members)


def _paths(members: list[ChildState]) -> tuple[str, ...]:
    return tuple(child.path for child in reversed(members))
