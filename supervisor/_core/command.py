"""What an operator may ask of a child. Refusals are raised before anything has changed."""

from __future__ import annotations

from supervisor._core.child import AT_REST, DELAYS, ChildState
from supervisor._core.node import Node
from supervisor._core.verdict import trusted_again
from supervisor._errors import AlreadyRunning, Closing, NotFound, Refused, Restarting, Stuck
from supervisor._words import Hold


def start(node: Node, child: ChildState) -> None:
    """Start it now: his own stop, an end, a backoff or a quarantine is over with that."""
    _refuse(node, child)
    if child.up and not child.leaving:
        raise AlreadyRunning(child.path)
    _let_go(node, child, "started by an operator")


def stop(node: Node, child: ChildState) -> None:
    """Stop it and keep it down until he starts it; what waits to be restarted is not."""
    _refuse(node, child)
    child.again = False
    node.drop(child, "backoff")
    if child.holds is None or "operator" not in child.holds:
        node.tell_hold(child, Hold("operator", "stopped by an operator"))
    kept = child.spec.restart != "temporary" and not (child.dynamic or child.trial)
    if not (kept or child.alive):
        node.forget(child)


def restart(node: Node, child: ChildState) -> None:
    """Replace its life, or start it; no crash is counted."""
    _refuse(node, child)
    _let_go(node, child, "restarted by an operator")
    if child.alive:
        child.condemned = True
        node.changed(child)


def release(node: Node, child: ChildState) -> None:
    """Cut its backoff and its quarantine short."""
    _refuse(node, child)
    for owner in DELAYS:
        node.tell_drop(child, owner, "released by an operator")


def delete(node: Node, child: ChildState) -> None:
    """Remove it from the tree for good; it must be stopped or ended, and nothing may need it."""
    _refuse(node, child)
    if child.alive:
        raise AlreadyRunning(child.path)
    if not child.holds_any(AT_REST):
        raise Restarting(child.path)
    for dependent in child.dependents or ():
        raise Refused(child.path, f"is needed by {dependent.name}; delete that first")
    node.forget(child)


def mark_healthy(node: Node, child: ChildState) -> None:
    """The life says that it works: its next restart begins a new series, its probe is good."""
    child.attempt = 0
    if child.probing and child.state == "ready":
        trusted_again(node, child)


def _let_go(node: Node, child: ChildState, why: str) -> None:
    if child.state == "stuck":
        raise Stuck(child.path)
    for owner in ("operator", "finished", "declined", "stuck", "backoff", "quarantine", "permit"):
        node.tell_drop(child, owner, why)
    child.again = child.alive


def _refuse(node: Node, child: ChildState) -> None:
    if child.removed:
        raise NotFound(child.path)
    if node.closing:
        raise Closing(node.path)
    if child.primary is not None:
        raise Refused(child.path, f"is a fallback; command {child.primary.name} instead")
