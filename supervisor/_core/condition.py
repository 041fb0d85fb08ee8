"""What is wrong with a child, as a reason for the condition of the whole tree."""

from __future__ import annotations

from supervisor._core.child import AT_REST, ChildState
from supervisor._core.effects import ReasonChanged
from supervisor._core.node import UNREADY, Node
from supervisor._words import Complaint, Reason


def judge(node: Node, child: ChildState) -> None:
    """Note since when the child is missed, and say so when its reason has changed."""
    if node.closing and child.state != "stuck":
        return  # a tree that is stopping stays in the condition that it was in
    missed = not (child.removed or child.holds_any(AT_REST))
    if not missed or (child.state == "ready" and not child.probing):
        child.unready_since = None
    elif child.unready_since is None:
        child.unready_since = node.now
    reason = _reason(node, child, missed)
    if reason != child.reason:
        child.reason = reason
        told = None if reason is None else Reason(child.path, reason)
        node.effects.append(ReasonChanged(child.path, told))


def _reason(node: Node, child: ChildState, missed: bool) -> Complaint | None:
    if child.state == "stuck":
        return "stuck"
    if not missed:
        return None
    if child.fallback is not None and child.fallback.state == "ready":
        return "on its fallback"
    if child.probing:
        return "quarantined"
    since = child.unready_since
    if since is not None and node.now >= since + UNREADY:
        return "not ready"
    return None
