"""Frozen pictures of a node, and what a child waits for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from supervisor._core.child import ChildState
from supervisor._core.move import passed
from supervisor._core.node import Node
from supervisor._core.order import everyone
from supervisor._spec.tree import Broker, Component, Resource, Supervisor
from supervisor._views import ChildView, Kind
from supervisor._words import State

_KINDS: Final[dict[type, Kind]] = {
    Component: "component",
    Resource: "resource",
    Broker: "broker",
    Supervisor: "supervisor",
}


def view(node: Node, child: ChildState, now: float) -> ChildView:
    """One child at this moment, with all below it."""
    spec = child.spec
    inner: Node | None = child.inner
    return ChildView(
        path=child.path,
        name=child.name,
        kind=_kind(child),
        state=child.state,
        since=child.since,
        life=child.life,
        priority="critical" if child.critical else spec.priority,
        restart=spec.restart,
        holds=tuple(child.holds.values()) if child.holds else (),
        waits_for=tuple(dict.fromkeys(other.path for other in waits_for(node, child))),
        attempt=0 if _is_healthy(child, now) else child.attempt,
        crashes=_crashes(child, now),
        probe=child.probing,
        outcome=child.outcome,
        fallback=None if child.fallback is None else view(node, child.fallback, now),
        children=() if inner is None else children(inner, now),
    )


def root_view(node: Node, now: float) -> ChildView:
    """The supervisor itself, as it would look to a parent."""
    return ChildView(
        path=node.path,
        name=node.spec.name,
        kind="supervisor",
        state=_state(node),
        since=node.began,
        life=node.life,
        priority=node.spec.priority,
        restart=node.spec.restart,
        outcome=node.outcome if node.finished else None,
        children=children(node, now),
    )


def children(node: Node, now: float) -> tuple[ChildView, ...]:
    return tuple(view(node, child, now) for child in node.children.values())


def waits_for(node: Node, child: ChildState) -> Iterator[ChildState]:
    """What keeps the child from starting although it is wanted, or from stopping although not."""
    if child.leaving:
        if child.up:
            yield from (d for d in child.dependents or () if d.leaving)
    elif child.state == "down" and not child.holds and not node.closing:
        yield from (target for target, _ in child.needs if not target.serving)
        yield from (target for target in child.after if not passed(node, target))
        if child.fallback is not None and child.fallback.alive:
            yield child.fallback
        if child.queued and node.queue and node.queue[0] is not child:
            yield node.queue[0]


def _is_healthy(child: ChildState, now: float) -> bool:
    """Whether the next crash would begin a new series of restarts."""
    return child.ready_at is not None and now - child.ready_at >= child.spec.backoff.reset_after


def _crashes(child: ChildState, now: float) -> int:
    if child.circuit is None or child.spec.quarantine is None:
        return 0
    return child.circuit.within(child.spec.quarantine.within, now)


def paths_alive(node: Node) -> Iterator[str]:
    """The paths of all leaves that have a life."""
    for child in everyone(node):
        if child.inner is not None:
            yield from paths_alive(child.inner)
        elif child.alive:
            yield child.path


def _kind(child: ChildState) -> Kind:
    return _KINDS[type(child.spec)]


def _state(node: Node) -> State:
    if node.finished:
        return "down"
    if node.closing:
        return "stuck" if node.alive == node.stuck else "stopping"
    return "ready" if node.booted else "starting"
