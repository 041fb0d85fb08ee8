"""The table of children: records made from specs, edges placed, names given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from supervisor._core.child import ChildState
from supervisor._core.node import Node
from supervisor._errors import AlreadyPresent, AlreadyRunning, Closing, TooManyChildren
from supervisor._spec.edges import Edge, each_copy, edges_of, expand, orders_of, refers
from supervisor._spec.tree import Broker, Spec, Supervisor, reports_readiness
from supervisor._words import Binding, Hold, join


def populate(node: Node) -> None:
    """Make the records of the declared children, with their edges."""
    children = node.spec.children
    edges, orders = {}, {}
    if any(map(refers, children)):
        siblings = expand(children)
        edges, orders = edges_of(siblings), orders_of(siblings)
    for name, spec in each_copy(children):
        insert(node, spec, name, edges, orders)


def insert(
    node: Node,
    spec: Spec,
    name: str,
    edges: Mapping[str, tuple[Edge, ...]],
    orders: Mapping[str, tuple[str, ...]],
) -> ChildState:
    """Put one child into the table, behind all others; nothing starts yet."""
    child = _record(node, spec, name)
    node.children[name] = child
    _connect(node, child, name, edges, orders)
    primary = child
    key = name
    while primary.spec.fallback is not None:
        key = f"{key}/fallback"
        stand_in = _stand_in(node, primary)
        _connect(node, stand_in, key, edges, orders)
        primary = stand_in
    return child


def refuse(node: Node, name: str) -> None:
    """Refuse a new child that cannot be taken in.

    Raises:
        Closing: the supervisor is stopping.
        AlreadyRunning: a child of that name has a life.
        AlreadyPresent: a child of that name exists without one.
        TooManyChildren: ``max_children`` are there.
    """
    if node.closing:
        raise Closing(node.path)
    present = node.children.get(name)
    if present is not None:
        raise (AlreadyRunning if present.alive else AlreadyPresent)(present.path)
    limit = node.spec.max_children
    if limit is not None and node.size >= limit:
        raise TooManyChildren(node.path, limit)


def _record(node: Node, spec: Spec, name: str) -> ChildState:
    child = ChildState(spec, name, join(node.path, name), node.next_index, reports_readiness(spec))
    child.since = node.now
    node.next_index += 1
    child.unmetered = isinstance(spec, Broker)
    if isinstance(spec, Supervisor) and not child.critical:
        child.critical = _has_critical(spec.children)
    return child


def _has_critical(children: Sequence[Spec]) -> bool:
    return any(
        spec.priority == "critical"
        or (isinstance(spec, Supervisor) and _has_critical(spec.children))
        for spec in children
    )


def _stand_in(node: Node, primary: ChildState) -> ChildState:
    spec = primary.spec.fallback
    assert spec is not None
    stand_in = _record(node, spec, f"{primary.name}/fallback")
    stand_in.primary = primary
    stand_in.unmetered = primary.unmetered
    stand_in.holds = {"standby": Hold("standby", f"{primary.name} is not held")}
    primary.fallback = stand_in
    return stand_in


def _connect(
    node: Node,
    child: ChildState,
    key: str,
    edges: Mapping[str, tuple[Edge, ...]],
    orders: Mapping[str, tuple[str, ...]],
) -> None:
    needs = edges.get(key)
    if needs:
        for edge in needs:
            bind(child, node.children[edge.target], edge.binding)
    after = orders.get(key)
    if after:
        child.after = tuple(node.children[name] for name in after)


def bind(child: ChildState, target: ChildState, binding: Binding) -> None:
    """Have the child need its elder sibling; of two edges to one sibling the stricter remains."""
    before = target.dependents.get(child) if target.dependents else None
    if before is None or (before == "final" and binding == "each"):
        others = tuple(need for need in child.needs if need[0] is not target)
        child.needs = (*others, (target, binding))
        if target.dependents is None:
            target.dependents = {}
        target.dependents[child] = binding
        if before is None and child.leaving:
            target.pulling += 1
    if child.critical:
        make_critical(child)
    if child.unmetered:
        make_unmetered(child)


def make_critical(child: ChildState) -> None:
    """What a critical child needs is as critical as the child."""
    concerned = [child]
    while concerned:
        at = concerned.pop()
        at.critical = True
        concerned.extend(target for target, _ in at.needs if not target.critical)


def make_unmetered(child: ChildState) -> None:
    """What a broker needs restarts without its permits: without it there are none."""
    concerned = [child]
    while concerned:
        at = concerned.pop()
        at.unmetered = True
        needed = [target for target, _ in at.needs]
        if at.fallback is not None:
            needed.append(at.fallback)
        concerned.extend(other for other in needed if not other.unmetered)
