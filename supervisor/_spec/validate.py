"""DECLARE: everything that is wrong with a declaration, found at once and before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence, ValuesView
from functools import cache
from itertools import islice
from operator import attrgetter
from typing import Any, Final, TypeGuard

import msgspec
from msgspec import Struct

from supervisor._errors import Problem
from supervisor._spec.budgets import wrong_budgets, wrong_restarts
from supervisor._spec.callables import doubtful_run, likeness, wrong_arguments, wrong_callable
from supervisor._spec.combine import Level, unreachable_intensity, wrong_combinations
from supervisor._spec.edges import named_needs
from supervisor._spec.scope import Scope, absent, find
from supervisor._spec.tree import Broker, Called, Component, Leaf, Resource, Spec, Supervisor
from supervisor._spec.values import Wrong, one_line, shown, wrong_value
from supervisor._words import join

KINDS: Final = (Component, Resource, Broker, Supervisor)
STRUCTURE: Final = frozenset({"run", "factory", "budgets", "name", "fallback", "children"})
"""Fields with checks of their own; the others are held against their declared types."""
OWN: Final = ("needs", "after", "args", "kwargs")
"""Fields whose values children seldom share."""

LOOKED_INTO: Final = 100
"""So many items of an argument are searched for children that would not be replaced there."""

_A_CHILD: Final = "write a Component, a Resource, a Broker or a Supervisor"
MOST_FITS: Final = 1024
DEEPEST: Final = 128
"""So many levels of supervisors are more than anybody needs; some of the walks are recursive."""
_FITS: Final[set[Hashable]] = set()
"""Which calls are known to be right: looking at a signature is most of the work of a check."""
ANYWHERE: Final = ("health",)
"""Fields whose combinations concern the root as well, which nothing restarts."""
_COUNTED: Final = ("backoff", "copies", "restart")


def check(tree: Supervisor) -> list[Problem]:
    """Find all problems of a declared tree, each with its path, what is wrong, what to write.

    Starts nothing and raises nothing; an empty list means that the tree can be run. Problems of
    level ``warning`` do not keep it from running.
    """
    given: Any = tree
    if not isinstance(given, Supervisor):
        return [Problem("tree", f"is {shown(given)}", "write a Supervisor at the top")]
    if _is_too_deep(given):
        what = f"has more than {DEEPEST} supervisors within each other"
        return [Problem(shown(given.name), what, "put more children side by side")]
    found = _Check()
    found.root(given, given.name if found.name(given, "tree") else "tree")
    return found.problems


def _is_too_deep(tree: Supervisor) -> bool:
    level: list[Any] = [tree]
    for _ in range(DEEPEST):
        level = [child for each in level for child in _supervisors(each)]
        if not level:
            return False
    return True


def _supervisors(spec: Supervisor) -> list[Any]:
    children: Any = spec.children
    if not isinstance(children, tuple | list):
        return []
    return [child for child in children if isinstance(child, Supervisor)]


def check_child(
    spec: Spec,
    path: str,
    elders: Mapping[str, Spec],
    *,
    scopes: Sequence[Mapping[str, Spec]] = (),
    parent: Supervisor | None = None,
) -> list[Problem]:
    """Find all problems of a child that is added below running siblings.

    ``elders`` are those that it may refer to, ``scopes`` those of its ancestors, nearest first.
    """
    given: Any = spec
    if not isinstance(given, KINDS):
        return [Problem(path, f"is {shown(given)}", _A_CHILD)]
    found = _Check()
    found.name(given, path)
    found.child(given, path, [Scope(elders), *map(Scope, scopes)], parent)
    return found.problems


class _Check:
    """One check: its problems, and what of it need not be looked at twice.

    Values are known again by their ids, as the tree keeps them alive meanwhile.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._plain: tuple[object, ...] = ()
        self._right: set[tuple[int, ...]] = set()
        self._uncounted: set[int] = set()

    def add(self, path: str, wrong: Wrong, level: Level = "error") -> None:
        what, write = wrong
        self.problems.append(Problem(one_line(path), one_line(what), one_line(write), level))

    # --- a supervisor and its children -------------------------------------------------------------

    def root(self, spec: Supervisor, path: str) -> None:
        wrong = self.fields(spec, path)
        for field, absence in (("copies", 1), ("significant", False), ("fallback", None)):
            value = getattr(spec, field)
            if field not in wrong and value is not absence:
                self.add(f"{path}.{field}", (f"is {shown(value)} at the root", "leave it out"))
        for field, found, level in wrong_combinations(spec, wrong):
            if field in ANYWHERE:
                self.add(f"{path}.{field}", found, level)
        self.edges(spec, path, spec.name, [], wrong)
        self.restarts(spec, path, [], wrong)
        self.supervisor(spec, path, [], wrong)

    def supervisor(
        self, spec: Supervisor, path: str, outer: Sequence[Scope], wrong: frozenset[str]
    ) -> None:
        children: Any = spec.children
        if isinstance(children, str) or not isinstance(children, Sequence):
            self.add(f"{path}.children", (f"is {shown(children)}", "write a list of children"))
            return
        elders: dict[str, Spec] = {}
        names = {child.name for child in children if _has_name(child)}
        scopes = [Scope(elders, names, spec.name), *outer]
        for index, child in enumerate(children):
            where = f"{path}.children[{index}]"
            if self._is_like_another(child, elders):
                elders[child.name] = child
            elif not isinstance(child, KINDS):
                self.add(where, (f"is {shown(child)}", _A_CHILD))
            elif self.name(child, where):
                where = join(path, child.name)
                self.child(child, where, scopes, spec)
                self.enter(child, where, elders)
            else:
                self.child(child, where, scopes, spec)
        self.limits(spec, path, [each for each in children if isinstance(each, KINDS)], wrong)

    def name(self, spec: Spec, path: str) -> bool:
        name: Any = spec.name
        if is_name(name):
            return True
        if type(name) is str and not name:
            why = ", as its callable has none" if isinstance(spec, Called) else ""
            wrong = f"is empty{why}", 'write name = "..."'
        elif type(name) is str and name == "fallback":
            wrong = "is 'fallback', as every fallback is called", "write another name"
        else:
            wrong = f"is {shown(name)}", "write a name: a printable string without '/'"
        self.add(f"{path}.name", wrong)
        return False

    def enter(self, spec: Spec, path: str, elders: dict[str, Spec]) -> None:
        """Let the younger siblings refer to the child, by the name of each of its copies."""
        names = [spec.name]
        if id(spec) not in self._uncounted:
            names += (f"{spec.name}-{number}" for number in range(2, spec.copies + 1))
        taken = next((name for name in names if name in elders), None)
        if taken is not None:
            wrong = f"is taken: an elder sibling is called {taken!r}", "give each its own name"
            self.add(f"{path}.name", wrong)
        for name in names:
            elders.setdefault(name, spec)

    def limits(
        self, spec: Supervisor, path: str, children: Sequence[Spec], wrong: frozenset[str]
    ) -> None:
        limit, intensity = spec.max_children, spec.intensity
        if limit is not None and "max_children" not in wrong:
            count = sum(1 if id(each) in self._uncounted else each.copies for each in children)
            if limit < count:
                what = f"is {limit}, but {count} are declared"
                self.add(f"{path}.max_children", (what, f"write at least {count}"))
        if intensity is None or "intensity" in wrong:
            return
        if self._uncounted.isdisjoint(map(id, children)):
            found = unreachable_intensity(intensity, children)
            if found is not None:
                self.add(f"{path}.intensity", found, "warning")

    # --- a child -----------------------------------------------------------------------------------

    def child(
        self,
        spec: Spec,
        path: str,
        scopes: Sequence[Scope],
        parent: Supervisor | None,
        primary: str | None = None,
    ) -> None:
        """Check one child; ``primary`` is the name of the one that it is a fallback of."""
        before, own = len(self.problems), primary or spec.name
        wrong = self.fields(spec, path)
        if not wrong.isdisjoint(_COUNTED):
            self._uncounted.add(id(spec))
        if primary is not None:
            wrong |= self.stand_in(spec, path, wrong)
        elif spec.significant is True and parent is not None and _is(parent.auto_shutdown, "never"):
            what = "is true, but its supervisor does not end with its children"
            self.add(f"{path}.significant", (what, "write auto_shutdown there"))
        for field, found, level in wrong_combinations(spec, wrong):
            self.add(f"{path}.{field}", found, level)
        self.edges(spec, path, own, scopes, wrong)
        if isinstance(spec, Supervisor):
            self.restarts(spec, path, scopes, wrong)
            self.supervisor(spec, path, scopes, wrong)
        elif isinstance(spec, Broker):
            self.broker(spec, path, wrong)
        else:
            self.call(spec, path, wrong)
        if spec.fallback is not None:
            self.fallback(spec.fallback, path, scopes, own)
        if len(self.problems) == before and _is_plain(spec):
            self._plain = _BUT_NAME(spec)

    def _is_like_another(self, spec: Any, elders: Mapping[str, Spec]) -> bool:
        # Ten thousand children that differ in their names only are checked at every start.
        try:
            alike = type(spec) is Component and _BUT_NAME(spec) == self._plain
        except Exception:  # arguments of any kind are compared
            return False
        return alike and is_name(spec.name) and spec.name not in elders

    def fallback(self, spec: Any, path: str, scopes: Sequence[Scope], primary: str) -> None:
        if isinstance(spec, Component | Resource):
            self.child(spec, f"{path}/fallback", scopes, None, primary)
        else:
            wrong = f"is {shown(spec)}", "write a Component or a Resource"
            self.add(f"{path}.fallback", wrong)

    def stand_in(self, spec: Spec, path: str, wrong: frozenset[str]) -> frozenset[str]:
        """Refuse what a fallback cannot have; the fields that need not be looked at any more."""
        for field, absence in (("copies", 1), ("significant", False)):
            value = getattr(spec, field)
            if field not in wrong and value is not absence:
                self.add(f"{path}.{field}", (f"is {shown(value)} on a fallback", "leave it out"))
        return frozenset({"copies", "significant"})

    def broker(self, spec: Broker, path: str, wrong: frozenset[str]) -> None:
        for field, absence in (("copies", 1), ("fallback", None), ("health", None)):
            value = getattr(spec, field)
            if field not in wrong and value is not absence:
                self.add(f"{path}.{field}", (f"is {shown(value)} on a broker", "leave it out"))
        for where, what in wrong_budgets(spec):
            self.add(f"{path}.{where}", what)

    def restarts(
        self, spec: Supervisor, path: str, scopes: Sequence[Scope], wrong: frozenset[str]
    ) -> None:
        if spec.restarts is not None and "restarts" not in wrong:
            found = wrong_restarts(spec, scopes)
            if found is not None:
                self.add(f"{path}.restarts", found)

    def call(self, spec: Component | Resource, path: str, wrong: frozenset[str]) -> None:
        field = "run" if isinstance(spec, Component) else "factory"
        fn: object = getattr(spec, field)
        passed = wrong.isdisjoint(("args", "kwargs"))
        like = likeness(fn) if passed else None
        key = None if like is None else (field, like, len(spec.args), tuple(spec.kwargs))
        if key in _FITS:
            return
        known, doubt = wrong_callable(spec), doubtful_run(spec)
        if known is not None:
            self.add(f"{path}.{field}", known)
            return
        if doubt is not None:
            self.add(f"{path}.{field}", doubt, "warning")
        misfit = wrong_arguments(spec) if passed else None
        if misfit is not None:
            self.add(f"{path}.args", misfit)
        elif doubt is None and key is not None:
            if len(_FITS) >= MOST_FITS:
                _FITS.clear()
            _FITS.add(key)

    def fields(self, spec: Spec, path: str) -> frozenset[str]:
        """Hold the fields against their types; the names of those that are wrong."""
        own, shared = _typed(type(spec))
        wrong = self.values(spec, path, own)
        ids = tuple(map(id, shared.values(spec)))
        if ids not in self._right:
            mistaken = self.values(spec, path, shared)
            if mistaken:
                return wrong | mistaken
            self._right.add(ids)
        return wrong

    def values(self, spec: Spec, path: str, fields: Fields) -> frozenset[str]:
        wrong = set()
        for (name, kind, default), value in zip(fields.types, fields.values(spec), strict=True):
            if value is not default:
                for where, what in wrong_value(f"{path}.{name}", value, kind):
                    wrong.add(name)
                    self.add(where, what)
        return frozenset(wrong)

    # --- edges -------------------------------------------------------------------------------------

    def edges(
        self, spec: Spec, path: str, own: str, scopes: Sequence[Scope], wrong: frozenset[str]
    ) -> None:
        needs = named_needs(spec) if "needs" not in wrong and spec.needs else {}
        for name in needs:
            self.bound(self.named(name, f"{path}.needs", own, scopes), f"{path}.needs")
        if "after" not in wrong and spec.after:
            for name in dict.fromkeys(spec.after):
                self.named(name, f"{path}.after", own, scopes)
        if isinstance(spec, Called):
            for where, other in _references(spec, wrong):
                target = self.reference(other, f"{path}.{where}", own, scopes)
                if target is not None and target.name not in needs:
                    self.bound(target, f"{path}.{where}")
            for where, buried in _buried(spec, wrong):
                if _is_same(find(buried.name, scopes), buried):
                    self.add(f"{path}.{where}", _unreplaced(buried), "warning")

    def named(self, name: str, path: str, own: str, scopes: Sequence[Scope]) -> Spec | None:
        target = find(name, scopes)
        if target is None:
            self.add(path, absent(name, own, scopes))
        return target

    def reference(self, other: Leaf, path: str, own: str, scopes: Sequence[Scope]) -> Spec | None:
        target = self.named(other.name, path, own, scopes)
        if target is None:
            return None
        if not _is_same(target, other):
            wrong = f"is not the {other.name!r} that is listed", "pass that one"
        elif id(target) not in self._uncounted and target.copies != 1:
            wrong = f"{other.name!r} has copies, so which start value is meant?", "list one"
        else:
            return target
        self.add(path, wrong)
        return None

    def bound(self, target: Spec | None, path: str) -> None:
        """Warn of a need that ends for good."""
        if target is not None and _is(target.restart, "transient", "temporary"):
            what = f"{target.name!r} is {target.restart}: when it has ended, this cannot run"
            self.add(path, (what, "make it permanent, or write after"), "warning")


def is_name(name: object) -> bool:
    """Whether a child can have this name: its path must be readable, and lead to it alone."""
    return (
        type(name) is str
        and name.isprintable()
        and name not in ("", "fallback")
        and "/" not in name
    )


def _is_plain(spec: Spec) -> bool:
    """Whether the check of a child has looked at nothing around it."""
    return type(spec) is Component and not (
        spec.copies != 1
        or spec.needs
        or spec.after
        or spec.args
        or spec.kwargs
        or spec.fallback
        or spec.significant
    )


def _references(spec: Called, wrong: frozenset[str]) -> Iterator[tuple[str, Leaf]]:
    """The children among the arguments, and where they stand."""
    if "args" not in wrong and spec.args:
        for index, value in enumerate(spec.args):
            if isinstance(value, Leaf):
                yield f"args[{index}]", value
    if "kwargs" not in wrong and spec.kwargs:
        for name, value in spec.kwargs.items():
            if isinstance(value, Leaf):
                yield f"kwargs.{name}", value


def _buried(spec: Called, wrong: frozenset[str]) -> Iterator[tuple[str, Spec]]:
    """The children among the arguments that nothing is put in the place of."""
    args = enumerate(spec.args) if "args" not in wrong and spec.args else ()
    kwargs = spec.kwargs.items() if "kwargs" not in wrong and spec.kwargs else ()
    places = [(f"args[{index}]", value) for index, value in args]
    places += ((f"kwargs.{name}", value) for name, value in kwargs)
    for where, value in places:
        inside = value.values() if isinstance(value, dict) else value
        if isinstance(value, Supervisor):
            yield where, value
        elif isinstance(inside, list | tuple | ValuesView):
            yield from ((where, each) for each in islice(inside, LOOKED_INTO) if _is_child(each))


def _unreplaced(other: Spec) -> Wrong:
    why = "is a supervisor" if isinstance(other, Supervisor) else "stands inside another argument"
    return (
        f"{other.name!r} {why}, so no start value takes its place",
        "pass a Component or a Resource by itself",
    )


def _is_child(value: object) -> TypeGuard[Spec]:
    return isinstance(value, KINDS)


def _has_name(value: object) -> bool:
    return isinstance(value, KINDS) and type(value.name) is str


def _is(value: object, *words: str) -> bool:
    """Whether a field holds one of the words; what else it may hold need not compare well."""
    return isinstance(value, str) and value in words


def _is_same(listed: Spec | None, other: Spec) -> bool:
    try:
        return listed is other or bool(listed == other)
    except Exception:  # arguments of any kind are compared
        return False


class Fields(Struct, frozen=True):
    """Fields of a kind of child, each with its type and default, and a quick way to their values."""

    types: tuple[tuple[str, Any, object], ...]
    values: Callable[[Spec], tuple[object, ...]]


@cache
def _typed(kind: type[Spec]) -> tuple[Fields, Fields]:
    """The fields that are held against their types: those with a child's own values, the others."""
    types = {
        field.name: (field.name, field.type, field.default)
        for field in msgspec.structs.fields(kind)
        if field.name not in STRUCTURE
    }
    own: dict[str, tuple[str, Any, object]] = {
        name: types.pop(name) for name in OWN if name in types
    }
    return _fields(own), _fields(types)


def _fields(types: Mapping[str, tuple[str, Any, object]]) -> Fields:
    return Fields(tuple(types.values()), attrgetter(*types))


_BUT_NAME: Final = attrgetter(*(name for name in Component.__struct_fields__ if name != "name"))
