"""Who waits for whom: references resolved to edges between the children of one supervisor.

A child may name elder siblings of its own or of any of its ancestors. The nearest that bears the
name is meant, and the edge is placed between siblings: for a name that is found further up, on the
ancestor there. So every edge leads from an elder to a younger child of the same supervisor, and a
cycle cannot be written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from supervisor._spec.tree import Called, Component, Leaf, Resource, Spec, Supervisor
from supervisor._words import Binding


class Edge(Struct, frozen=True):
    """One need: of which sibling, and which of its losses the dependent sees."""

    target: str
    binding: Binding


def expand(children: Sequence[Spec]) -> list[tuple[str, Spec]]:
    """The children under their names, each of its ``copies`` by itself: ``poll``, ``poll-2``."""
    return list(each_copy(children))


def each_copy(children: Sequence[Spec]) -> Iterator[tuple[str, Spec]]:
    """:func:`expand`, one by one."""
    for spec in children:
        if spec.copies == 1:
            yield spec.name, spec
        else:
            for name in copies_of(spec):
                yield name, spec


def refers(spec: Spec) -> bool:
    """Whether the child, or anything below it, may refer to others; most of ten thousand do not."""
    return type(spec) is not Component or bool(
        spec.needs or spec.after or spec.args or spec.kwargs or spec.fallback
    )


def copies_of(spec: Spec) -> Sequence[str]:
    """The names of the children that one declaration makes."""
    if spec.copies == 1:
        return (spec.name,)
    return (spec.name, *(f"{spec.name}-{number}" for number in range(2, spec.copies + 1)))


def references(spec: Spec) -> Iterator[Leaf]:
    """The children among the arguments, each of which stands for its start value."""
    if isinstance(spec, Called):
        for value in (*spec.args, *spec.kwargs.values()):
            if isinstance(value, Leaf):
                yield value


def named_needs(spec: Spec) -> Mapping[str, Binding]:
    """What the child needs by name, and how it is bound to it."""
    if isinstance(spec.needs, Mapping):
        return spec.needs
    return dict.fromkeys(spec.needs, "final")


def needs_of(spec: Spec) -> dict[str, Binding]:
    """All that the child itself needs. A start value dies with the life that gave it, so an
    argument binds at each loss, unless the child's ``needs`` say otherwise."""
    needs: dict[str, Binding] = {other.name: "each" for other in references(spec)}
    needs.update(named_needs(spec))
    return needs


def fallbacks(name: str, spec: Spec) -> Iterator[tuple[str, Component | Resource]]:
    """The child's fallback, that one's fallback and so on, by the keys of their edges."""
    stand_in = spec.fallback
    while stand_in is not None:
        name = f"{name}/fallback"
        yield name, stand_in
        stand_in = stand_in.fallback


def edges_of(siblings: Sequence[tuple[str, Spec]]) -> dict[str, tuple[Edge, ...]]:
    """The needs among the children of one supervisor, by child; those without any are left out.

    Those of descendants that are found here are placed on the child that they live in. A
    fallback's own are under ``<child>/fallback``. Names that are not found here are left out.
    """
    edges: dict[str, tuple[Edge, ...]] = {}
    for name, spec, elders in _with_elders(siblings):
        for key, needs in _needs_by_key(name, spec):
            found = tuple(
                Edge(target, binding)
                for needed, binding in needs.items()
                for target in elders.targets(needed)
            )
            if found:
                edges[key] = found
    return edges


def orders_of(siblings: Sequence[tuple[str, Spec]]) -> dict[str, tuple[str, ...]]:
    """Likewise whom each child starts ``after``, without needing it."""
    orders: dict[str, tuple[str, ...]] = {}
    for name, spec, elders in _with_elders(siblings):
        for key, after in _after_by_key(name, spec):
            found = tuple(target for elder in after for target in elders.targets(elder))
            if found:
                orders[key] = found
    return orders


def edges_for(
    name: str, spec: Spec, elders: Mapping[str, Spec]
) -> tuple[dict[str, tuple[Edge, ...]], dict[str, tuple[str, ...]]]:
    """Needs and order of one child that is added to a supervisor with these listed children."""
    edges: dict[str, tuple[Edge, ...]] = {}
    orders: dict[str, tuple[str, ...]] = {}
    for key, needs in _needs_by_key(name, spec):
        found = tuple(
            Edge(target, binding)
            for needed, binding in needs.items()
            for target in targets(needed, elders)
        )
        if found:
            edges[key] = found
    for key, after in _after_by_key(name, spec):
        ordered = tuple(target for elder in after for target in targets(elder, elders))
        if ordered:
            orders[key] = ordered
    return edges, orders


def outer_needs(spec: Spec, elders: Mapping[str, Spec]) -> dict[str, Binding]:
    """What the child, or anything below it, needs that is not among these siblings."""
    needs: dict[str, Binding] = {}
    for _, wanted in _needs_by_key(spec.name, spec):
        _bind(needs, ((name, binding) for name, binding in wanted.items() if name not in elders))
    return needs


def targets(name: str, elders: Mapping[str, Spec]) -> Sequence[str]:
    """Which running children a name stands for: all copies that are there."""
    if name not in elders:
        return ()
    spec = elders[name]
    if spec.copies == 1 or spec.name != name:
        return (name,)
    return [copy for copy in copies_of(spec) if copy in elders]


class _Elders:
    """The siblings before a child, and which of them a name stands for: all copies of it."""

    def __init__(self) -> None:
        self._targets: dict[str, list[str]] = {}

    def add(self, names: list[str], spec: Spec) -> None:
        self._targets[spec.name] = names
        for name in names[1:]:
            self._targets[name] = [name]

    def targets(self, name: str) -> Sequence[str]:
        return self._targets.get(name, ())


def _with_elders(
    siblings: Sequence[tuple[str, Spec]],
) -> Iterator[tuple[str, Spec, _Elders]]:
    """Each child with its elders; copies of one declaration are none to each other."""
    elders = _Elders()
    same_age: list[str] = []
    last: Spec | None = None
    for name, spec in siblings:
        if spec is not last:
            if last is not None:
                elders.add(same_age, last)
            same_age, last = [], spec
        yield name, spec, elders
        same_age.append(name)


def _needs_by_key(name: str, spec: Spec) -> Iterator[tuple[str, Mapping[str, Binding]]]:
    if type(spec) is Component and not (spec.needs or spec.args or spec.kwargs or spec.fallback):
        return  # the common case among ten thousand
    yield name, _with_outer_needs(spec)
    for key, stand_in in fallbacks(name, spec):
        yield key, needs_of(stand_in)


def _after_by_key(name: str, spec: Spec) -> Iterator[tuple[str, Iterable[str]]]:
    if not isinstance(spec, Supervisor):
        if spec.after:
            yield name, spec.after
    else:
        yield name, dict.fromkeys((*spec.after, *_outer_after(spec)))
    for key, stand_in in fallbacks(name, spec):
        if stand_in.after:
            yield key, stand_in.after


def _with_outer_needs(spec: Spec) -> dict[str, Binding]:
    """What the child needs, and what those below it need that is not among themselves."""
    needs = needs_of(spec)
    if isinstance(spec, Supervisor):
        _bind(needs, _outer_needs(spec))
    return needs


def _bind(needs: dict[str, Binding], more: Iterable[tuple[str, Binding]]) -> None:
    """Add more needs; of two bindings to one sibling the stricter remains."""
    for needed, binding in more:
        if needs.get(needed) != "each":
            needs[needed] = binding


def _outer_needs(spec: Supervisor) -> Iterator[tuple[str, Binding]]:
    elders: set[str] = set()
    for child in spec.children:
        for _, needs in _needs_by_key(child.name, child):
            yield from ((name, binding) for name, binding in needs.items() if name not in elders)
        elders.update(copies_of(child))


def _outer_after(spec: Supervisor) -> Iterator[str]:
    elders: set[str] = set()
    for child in spec.children:
        for _, after in _after_by_key(child.name, child):
            yield from (elder for elder in after if elder not in elders)
        elders.update(copies_of(child))
