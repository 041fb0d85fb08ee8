"""DECLARE: everything that is wrong with a declaration, found at once and before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from supervisor._errors import Problem
from supervisor._spec.callables import doubtful_callable, wrong_arguments, wrong_callable
from supervisor._spec.edges import copies_of
from supervisor._spec.policy import MOST, POLICIES, Quarantine
from supervisor._spec.reach import intensity_is_reachable, quarantine_is_reachable
from supervisor._spec.tree import Component, Resource, Spec, Supervisor, Table
from supervisor._spec.values import Wrong, one_line, rules, shown, similar, wrong_fields, wrong_value
from supervisor._words import join

Level: TypeAlias = Literal["error", "warning"]
Scope: TypeAlias = Mapping[str, Spec]

OPTIONAL: Final = frozenset({"quarantine", "intensity"})
STRUCTURE: Final = frozenset(
    {"run", "factory", "args", "kwargs", "name", "needs", "after", "fallback", "children"}
)
APART: Final = frozenset({*STRUCTURE, *POLICIES})
"""Fields with checks of their own; the others are held against their declared types."""

PLAIN: Final = Supervisor("plain")
AMONG_SIBLINGS: Final = frozenset({"needs", "after", "fallback", "significant", "copies"})
"""Fields that say nothing on the root."""

HINTS: Final = 20
"""After so many problems similar names are no longer looked for; somebody has renamed something."""

LOOKED_INTO: Final = 100
"""So many items of an argument are searched for children that would not be replaced there."""


def check(tree: Supervisor) -> list[Problem]:
    """Find all problems of a declared tree, each with its path, what is wrong, what to write.

    Starts nothing and raises nothing; an empty list means that the tree can be run. Problems of
    level ``warning`` do not keep it from running.
    """
    given: Any = tree
    if not isinstance(given, Supervisor):
        return [Problem("tree", f"is {shown(given)}", "write a Supervisor at the top")]
    found = _Check()
    found.root(tree)
    return found.problems


def check_child(
    spec: Spec,
    path: str,
    elders: Scope,
    *,
    scopes: Sequence[Scope] = (),
    parent: Supervisor | None = None,
) -> list[Problem]:
    """Find all problems of a child that is added below running siblings.

    ``elders`` are those that it may refer to, ``scopes`` those of its ancestors, nearest first.
    """
    found = _Check()
    given: Any = spec
    if not isinstance(given, Component | Resource | Supervisor):
        return [Problem(path, f"is {shown(given)}", "write a Component or a Resource")]
    found.name(spec, path)
    found.child(spec, path, _Place([elders, *scopes], parent))
    return found.problems


class _Place(NamedTuple):
    """Where a child stands: whom it may name, nearest first, and who is too young for that."""

    scopes: list[Scope]
    parent: Supervisor | None = None
    younger: AbstractSet[object] = frozenset()
    primary: str = ""


class _Check:
    """One check: its problems, and what of it need not be looked at twice."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        # By identity. What they are the ids of is part of the tree, so the ids stay theirs.
        self._sound: set[int] = set()
        self._reachable: set[tuple[int, int]] = set()
        self._fits: set[tuple[int, int, tuple[str, ...]]] = set()

    def add(self, path: str, wrong: Wrong, level: Level = "error") -> None:
        what, write = wrong
        self.problems.append(Problem(one_line(path), what, write, level))

    # --- a supervisor and its children ------------------------------------------------------------

    def root(self, tree: Supervisor) -> None:
        path = tree.name if self.name(tree, "tree") else "tree"
        self.supervisor(tree, path, [], but=AMONG_SIBLINGS)
        for field in sorted(AMONG_SIBLINGS):
            if getattr(tree, field) is not getattr(PLAIN, field):
                wrong = "says nothing on the root, which has no siblings", "leave it out"
                self.add(f"{path}.{field}", wrong)

    def supervisor(
        self, spec: Supervisor, path: str, scopes: list[Scope], but: AbstractSet[str] = frozenset()
    ) -> None:
        self.fields(spec, path, but)
        children = dict(self.children(spec, path))
        elders: dict[str, Spec] = {}
        names = {name for child in children.values() if isinstance(name := _any(child.name), str)}
        place = _Place([elders, *scopes], spec, names)
        for where, child in self.named(children, path):
            self.child(child, where, place)
            for name in _names(child):
                elders.setdefault(name, child)
        self.limits(spec, path, list(children.values()))

    def children(self, spec: Supervisor, path: str) -> Iterator[tuple[int, Spec]]:
        children: Any = spec.children
        if not _is_list(children):
            self.add(f"{path}.children", (f"is {shown(children)}", "write a list of children"))
            return
        for index, child in enumerate(children):
            if isinstance(child, Component | Resource | Supervisor):
                yield index, child
            else:
                wrong = f"is {shown(child)}", "write a Component, a Resource or a Supervisor"
                self.add(f"{path}.children[{index}]", wrong)

    def named(self, children: Mapping[int, Spec], path: str) -> Iterator[tuple[str, Spec]]:
        """The children by their paths; by their numbers where their names are of no use."""
        taken: set[str] = set()
        for index, child in children.items():
            where = f"{path}.children[{index}]"
            if self.name(child, where):
                where = join(path, child.name)
                names = _names(child)
                twice = next((name for name in names if name in taken), None)
                if twice is not None:
                    wrong = f"is the second child named {twice!r}", "give each its own name"
                    self.add(f"{where}.name", wrong)
                taken.update(names)
            yield where, child

    def name(self, spec: Spec, path: str) -> bool:
        name: Any = spec.name
        if not isinstance(name, str):
            self.add(f"{path}.name", (f"is {shown(name)}", "write a text"))
        elif not name:
            self.add(f"{path}.name", ("is empty", "write a name; its callable has none"))
        elif "/" in name or not name.isprintable():
            self.add(f"{path}.name", (f"is {name!r}", "write a printable name without `/`"))
        elif name == "fallback":
            wrong = "is fallback", "write another; that is how fallbacks are named"
            self.add(f"{path}.name", wrong)
        else:
            return True
        return False

    def limits(self, spec: Supervisor, path: str, children: Sequence[Spec]) -> None:
        limit, count = spec.max_children, sum(_count(child) or 1 for child in children)
        if isinstance(limit, int) and 0 <= limit < count:
            wrong = f"is {limit}, but {count} are declared", f"write at least {count}"
            self.add(f"{path}.max_children", wrong)
        intensity = spec.intensity
        if intensity is None or id(intensity) not in self._sound:
            return
        restarted = [child for child in children if not _says(child.restart, "temporary")]
        if restarted and all(id(child.backoff) in self._sound for child in restarted):
            backoffs = ((child.backoff, _count(child) or 1) for child in restarted)
            if not intensity_is_reachable(intensity, backoffs):
                what = "cannot be reached: the children's backoff is too slow for it"
                self.add(f"{path}.intensity", (what, "write a longer within"), "warning")

    # --- a child ----------------------------------------------------------------------------------

    def child(self, spec: Spec, path: str, place: _Place) -> None:
        self.edges(spec, path, place)
        self.significance(spec, path, place.parent)
        if isinstance(spec, Supervisor):
            self.supervisor(spec, path, place.scopes)
        else:
            self.fields(spec, path)
            self.call(spec, path)
        if spec.quarantine is not None:
            self.quarantine(spec.quarantine, spec, path)
        if spec.fallback is not None:
            self.fallback(spec, path, place)

    def quarantine(self, policy: Quarantine, spec: Spec, path: str) -> None:
        key = id(policy), id(spec.backoff)
        if key in self._reachable or _says(spec.restart, "temporary"):
            return
        if key[0] in self._sound and key[1] in self._sound:
            if quarantine_is_reachable(policy, spec.backoff):
                self._reachable.add(key)
            else:
                wrong = "cannot be reached: the backoff is too slow for it", "write a longer within"
                self.add(f"{path}.quarantine", wrong, "warning")

    def fallback(self, primary: Spec, path: str, place: _Place) -> None:
        spec: Any = primary.fallback
        if not isinstance(spec, Component | Resource):
            self.add(f"{path}.fallback", (f"is {shown(spec)}", "write a Component or a Resource"))
            return
        where = f"{path}/fallback"
        if not isinstance(_any(spec.name), str):
            self.add(f"{where}.name", (f"is {shown(spec.name)}", "write a text"))
        self.edges(spec, where, place._replace(primary=primary.name))
        self.fields(spec, where, {"copies", "significant"})
        if _count(spec) != 1:
            wrong = f"is {shown(spec.copies)}", "leave it out: there is one of it"
            self.add(f"{where}.copies", wrong)
        if spec.significant is not False:
            self.add(f"{where}.significant", ("is set", "set it on the primary"))
        self.call(spec, where)
        if spec.quarantine is not None:
            self.quarantine(spec.quarantine, spec, where)
        if spec.fallback is not None:
            self.fallback(spec, where, place)

    def significance(self, spec: Spec, path: str, parent: Supervisor | None) -> None:
        if spec.significant is True:
            if _says(spec.restart, "permanent"):
                wrong = "is set on a permanent child, which never ends"
                self.add(f"{path}.significant", (wrong, "write another restart"))
            elif parent is None or _says(parent.auto_shutdown, "never"):
                wrong = "is set, but its supervisor never shuts down by itself"
                self.add(f"{path}.significant", (wrong, "set auto_shutdown there"))
        shutdown = getattr(spec, "auto_shutdown", "never")
        if _says(shutdown, "any_significant", "all_significant") and _says(
            spec.restart, "permanent"
        ):
            wrong = "ends a permanent supervisor, which is then started again"
            self.add(f"{path}.auto_shutdown", (wrong, "write another restart"), "warning")

    def call(self, spec: Component | Resource, path: str) -> None:
        fn, field = (spec.run, "run") if isinstance(spec, Component) else (spec.factory, "factory")
        args, kwargs = _arguments(spec)
        key = id(fn), len(args), tuple(kwargs)
        if key in self._fits:
            return
        wrong = wrong_callable(spec)
        if wrong is not None:
            self.add(f"{path}.{field}", wrong)
            return
        doubt = doubtful_callable(spec)
        if doubt is not None:
            self.add(f"{path}.{field}", doubt, "warning")
        if not (_is_list(spec.args) and isinstance(spec.kwargs, Mapping)):
            return
        misfit = wrong_arguments(fn, args, kwargs, status=isinstance(spec, Component))
        if misfit is not None:
            self.add(f"{path}.args", misfit)
        elif doubt is None:
            self._fits.add(key)

    # --- fields -----------------------------------------------------------------------------------

    def fields(self, spec: Spec, path: str, but: AbstractSet[str] = frozenset()) -> None:
        for rule in rules(type(spec), APART):
            value = getattr(spec, rule.field)
            if value is not rule.default and not rule.fits(value) and rule.field not in but:
                self.add(f"{path}.{rule.field}", wrong_value(value, rule))
        self.policy("backoff", spec.backoff, path)
        self.policy("quarantine", spec.quarantine, path)
        self.policy("stop", spec.stop, path)
        if isinstance(spec, Supervisor):
            self.policy("intensity", spec.intensity, path)

    def policy(self, name: str, value: Any, path: str) -> None:
        if id(value) in self._sound or (value is None and name in OPTIONAL):
            return
        kind = POLICIES[name]
        if not isinstance(value, kind):
            self.add(f"{path}.{name}", (f"is {shown(value)}", f"write a {kind.__name__}"))
            return
        wrongs = list(wrong_fields(value))
        for field, wrong in wrongs:
            self.add(f"{path}.{name}.{field}", wrong)
        if not wrongs:
            self._sound.add(id(value))

    # --- edges ------------------------------------------------------------------------------------

    def edges(self, spec: Spec, path: str, place: _Place) -> None:
        if isinstance(spec, Component | Resource) and not (
            _is_nothing(spec.args) and _is_nothing(spec.kwargs)
        ):
            self.arguments(spec, path, place)
        if not _is_nothing(spec.needs):
            self.needs(spec, path, place)
        if not _is_nothing(spec.after):
            for name in self.names(spec.after, f"{path}.after"):
                self.elder(spec, name, f"{path}.after", place)

    def arguments(self, spec: Component | Resource, path: str, place: _Place) -> None:
        args, kwargs = _arguments(spec)
        if not _is_list(spec.args):
            self.add(f"{path}.args", (f"is {shown(spec.args)}", "write a list"))
        if not isinstance(_any(spec.kwargs), Mapping):
            self.add(f"{path}.kwargs", (f"is {shown(spec.kwargs)}", "write a table"))
        for where, values in ((f"{path}.args", args), (f"{path}.kwargs", kwargs.values())):
            for value in values:
                if isinstance(value, Component | Resource):
                    self.reference(spec, value, where, place)
                else:
                    self.unreplaced(value, where, place.scopes)

    def needs(self, spec: Spec, path: str, place: _Place) -> None:
        where, needs = f"{path}.needs", _any(spec.needs)
        for name in self.names(needs, where, bindings=True):
            target = self.elder(spec, name, where, place)
            if target is None:
                continue
            self.ending(target, where)
            binding = needs[name] if isinstance(needs, Mapping) else "final"
            if not _says(binding, "final", "each"):
                self.add(f"{where}.{name}", (f"is {shown(binding)}", "write final or each"))

    def names(self, given: Any, where: str, *, bindings: bool = False) -> Iterator[str]:
        """The names in a list or table of them, each once."""
        if not (_is_list(given) or (bindings and isinstance(given, Mapping))):
            advice = (
                f"write a list, [{given!r}]" if isinstance(given, str) else "write a list of names"
            )
            self.add(where, (f"is {shown(given)}", advice))
            return
        yield from dict.fromkeys(name for name in given if isinstance(name, str))
        for other in given:
            if not isinstance(other, str):
                self.add(where, (f"names {shown(other)}", "write names, each as a text"))

    def elder(self, spec: Spec, name: str, where: str, place: _Place) -> Spec | None:
        """The nearest elder of that name; that there is none is a problem."""
        for scope in place.scopes:
            if name in scope:
                return scope[name]
        if _says(spec.name, name) or _says(place.primary, name):
            what = "itself" if _says(spec.name, name) else "what it stands in for"
            self.add(where, (f"names {what}, {name!r}", "leave it out"))
        elif name in place.younger:
            advice = f"list {name!r} before {place.primary or spec.name!r}"
            self.add(where, (f"{name!r} is a younger sibling", advice))
        else:
            advice = f"name one, here or further up{self.meant(name, place.scopes)}"
            self.add(where, (f"there is no elder sibling {name!r}", advice))
        return None

    def meant(self, name: str, scopes: Iterable[Scope]) -> str:
        if len(self.problems) >= HINTS:
            return ""
        return similar(name, (known for scope in scopes for known in scope))

    def reference(
        self, spec: Component | Resource, other: Component | Resource, where: str, place: _Place
    ) -> None:
        target = _nearest(other.name, place.scopes)
        if target is None:
            wrong = f"{other.name!r} is not an elder sibling, here or further up"
            self.add(where, (wrong, f"list it before {place.primary or spec.name!r}"))
        elif not _is_same(target, other):
            wrong = f"the nearest elder named {other.name!r} is declared otherwise"
            self.add(where, (wrong, "pass that one, or give them different names"))
        elif (_count(target) or 1) > 1:
            wrong = f"{other.name!r} has copies, so its start value is ambiguous"
            self.add(where, (wrong, "declare it once"))
        elif not _is_named(other.name, spec.needs):
            self.ending(target, where)

    def unreplaced(self, value: object, where: str, scopes: list[Scope]) -> None:
        """Say so where a sibling is passed in a way in which it stands for no start value."""
        for other in (value, *_items(value)):
            if not isinstance(other, Component | Resource | Supervisor):
                continue
            if _is_same(_nearest(other.name, scopes), other):
                how = "stands inside another argument" if other is not value else "is a supervisor"
                wrong = f"{other.name!r} {how}, and is not replaced by a start value"
                self.add(where, (wrong, "pass a Component or a Resource by itself"), "warning")

    def ending(self, target: Spec, where: str) -> None:
        if _says(target.restart, "transient", "temporary"):
            wrong = (
                f"needs {target.name!r}, which is {target.restart} and goes for good when it ends"
            )
            self.add(where, (wrong, "make it permanent"), "warning")


def _arguments(spec: Component | Resource) -> tuple[Sequence[object], Mapping[str, object]]:
    """What the callable is called with, or nothing where that is no list or table."""
    args: Any = spec.args
    kwargs: Any = spec.kwargs
    return (args if _is_list(args) else ()), (kwargs if isinstance(kwargs, Mapping) else {})


def _any(value: Any) -> Any:
    """The value of a field that may hold anything, whatever its type promises."""
    return value


def _says(value: object, *words: str) -> bool:
    """Whether a field holds one of these words; what else it may hold need not compare well."""
    return isinstance(value, str) and value in words


def _is_list(value: Any) -> bool:
    if type(value) is tuple:  # the common case; the others take ten times as long
        return True
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_nothing(value: Any) -> bool:
    return type(value) in (tuple, Table) and not value


def _is_named(name: str, needs: Any) -> bool:
    """Whether the ``needs`` speak of it themselves, and have been looked at."""
    return (_is_list(needs) or isinstance(needs, Mapping)) and name in needs


def _nearest(name: object, scopes: Iterable[Scope]) -> Spec | None:
    if isinstance(name, str):
        for scope in scopes:
            if name in scope:
                return scope[name]
    return None


def _is_same(target: Spec | None, other: Spec) -> bool:
    if target is None or target is other:
        return target is other
    try:
        return bool(target == other)
    except Exception:  # an argument's own __eq__, as of arrays
        return False


def _items(value: object) -> Iterable[object]:
    """What a list or table holds, if it is one."""
    if isinstance(value, Mapping):
        value = value.values()
    if isinstance(value, list | tuple | AbstractSet | ValuesView):
        return islice(value, LOOKED_INTO)
    return ()


def _names(spec: Spec) -> Sequence[str]:
    """The names that a declaration takes; none where that makes no sense."""
    if not isinstance(_any(spec.name), str):
        return ()
    return copies_of(spec) if _count(spec) else (spec.name,)


def _count(spec: Spec) -> int | None:
    """How many children a declaration makes; ``None`` where that makes no sense."""
    copies: Any = spec.copies
    return copies if type(copies) is int and 1 <= copies <= MOST else None
