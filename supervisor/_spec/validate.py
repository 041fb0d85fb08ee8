"""DECLARE: everything that is wrong with a declaration, found at once and before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from supervisor._errors import Problem
from supervisor._spec.callables import doubtful_callable, wrong_arguments, wrong_callable
from supervisor._spec.edges import expand, named_needs, references
from supervisor._spec.policy import POLICIES
from supervisor._spec.reach import intensity_is_reachable, quarantine_is_reachable
from supervisor._spec.tree import Component, Resource, Spec, Supervisor
from supervisor._spec.values import Wrong, field_types, similar, wrong_fields, wrong_value
from supervisor._words import join

Level: TypeAlias = Literal["error", "warning"]
Scope: TypeAlias = Mapping[str, Spec]

OPTIONAL: Final = frozenset({"quarantine", "intensity"})
STRUCTURE: Final = frozenset(
    {"run", "factory", "args", "kwargs", "name", "needs", "after", "fallback", "children"}
)
"""Fields with checks of their own; the others are held against their declared types."""


def check(tree: Supervisor) -> list[Problem]:
    """Find all problems of a declared tree, each with its path, what is wrong, what to write.

    Starts nothing and raises nothing; an empty list means that the tree can be run. Problems of
    level ``warning`` do not keep it from running.
    """
    given: Any = tree
    if not isinstance(given, Supervisor):
        kind = type(given).__name__
        return [Problem("tree", f"is a {kind}", "write a Supervisor at the top")]
    found = _Check()
    found.name(tree, "tree")
    found.supervisor(tree, str(tree.name), [])
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
        return [Problem(path, f"is a {type(given).__name__}", "write a Component or a Resource")]
    found.name(spec, path)
    found.child(spec, path, [elders, *scopes], parent)
    return found.problems


class _Check:
    """One check: its problems, and what of it need not be looked at twice."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._sound: dict[int, object] = {}  # policies by identity; held, so that ids stay theirs
        self._fits: set[tuple[object, int, tuple[str, ...]]] = set()

    def add(self, path: str, wrong: Wrong, level: Level = "error") -> None:
        self.problems.append(Problem(path, *wrong, level))

    # --- a supervisor and its children -------------------------------------------------------------

    def supervisor(self, spec: Supervisor, path: str, scopes: list[Scope]) -> None:
        self.fields(spec, path)
        children = list(self.specs(spec.children, path))
        names = self.names(children, path)
        elders: dict[str, Spec] = {}
        younger = {child.name: child for child in children}
        for child, where in zip(children, names, strict=True):
            self.child(child, where, [elders, *scopes], spec, younger)
            for name, copy in expand([child]) if _count(child) else [(child.name, child)]:
                elders.setdefault(name, copy)
        self.limits(spec, path, children)

    def specs(self, children: Any, path: str) -> Iterator[Spec]:
        if not _is_list(children):
            self.add(f"{path}.children", (f"is {children!r}", "write a list of children"))
            return
        for index, child in enumerate(children):
            if isinstance(child, Component | Resource | Supervisor):
                yield child
            else:
                wrong = f"is {child!r}", "write a Component, a Resource or a Supervisor"
                self.add(f"{path}.children[{index}]", wrong)

    def names(self, children: Sequence[Spec], path: str) -> list[str]:
        """The path of each child; by its number where its name is of no use."""
        taken: set[str] = set()
        paths = []
        for index, child in enumerate(children):
            usable = self.name(child, f"{path}.children[{index}]")
            where = join(path, child.name) if usable else f"{path}.children[{index}]"
            paths.append(where)
            for name, _ in expand([child]) if usable and _count(child) else ():
                if name in taken:
                    wrong = f"is the second child named {name!r}", "give each its own name"
                    self.add(f"{where}.name", wrong)
                taken.add(name)
        return paths

    def name(self, spec: Spec, path: str) -> bool:
        name: Any = spec.name
        if not isinstance(name, str):
            self.add(f"{path}.name", (f"is {name!r}", "write a text"))
        elif not name:
            self.add(f"{path}.name", ("is empty", "write a name; its callable has none"))
        elif "/" in name or not name.isprintable():
            self.add(f"{path}.name", (f"is {name!r}", "write a printable name without `/`"))
        elif name == "fallback":
            self.add(
                f"{path}.name", ("is fallback", "write another; that is how fallbacks are named")
            )
        else:
            return True
        return False

    def limits(self, spec: Supervisor, path: str, children: Sequence[Spec]) -> None:
        limit, count = spec.max_children, sum(_count(child) or 1 for child in children)
        if isinstance(limit, int) and 0 <= limit < count:
            wrong = f"is {limit}, but {count} are declared", f"write at least {count}"
            self.add(f"{path}.max_children", wrong)
        intensity = spec.intensity
        backoffs = [child.backoff for child in children for _ in range(_count(child) or 1)]
        if children and self.sound(intensity) and all(map(self.sound, backoffs)):
            if not intensity_is_reachable(intensity, backoffs):  # type: ignore[arg-type]
                what = "cannot be reached: the children's backoff is too slow for it"
                self.add(f"{path}.intensity", (what, "write a longer within"), "warning")

    # --- a child ----------------------------------------------------------------------------------

    def child(
        self,
        spec: Spec,
        path: str,
        scopes: list[Scope],
        parent: Supervisor | None,
        younger: Scope | None = None,
    ) -> None:
        self.edges(spec, path, scopes, younger or {})
        self.significance(spec, path, parent)
        if isinstance(spec, Supervisor):
            self.supervisor(spec, path, scopes)
        else:
            self.fields(spec, path)
            self.call(spec, path)
        if self.sound(spec.quarantine) and self.sound(spec.backoff):
            if not quarantine_is_reachable(spec.quarantine, spec.backoff):  # type: ignore[arg-type]
                wrong = "cannot be reached: the backoff is too slow for it"
                self.add(f"{path}.quarantine", (wrong, "write a longer within"), "warning")
        if spec.fallback is not None:
            self.fallback(spec, path, scopes, parent, younger)

    def fallback(
        self,
        primary: Spec,
        path: str,
        scopes: list[Scope],
        parent: Supervisor | None,
        younger: Scope | None,
    ) -> None:
        spec: Any = primary.fallback
        if not isinstance(spec, Component | Resource):
            self.add(f"{path}.fallback", (f"is {spec!r}", "write a Component or a Resource"))
            return
        where = f"{path}/fallback"
        if spec.copies != 1:
            self.add(f"{where}.copies", (f"is {spec.copies!r}", "leave it out: there is one of it"))
        if spec.significant:
            self.add(f"{where}.significant", ("is set", "set it on the primary"))
            return
        self.child(spec, where, scopes, parent, younger)

    def significance(self, spec: Spec, path: str, parent: Supervisor | None) -> None:
        if spec.significant is True:
            if spec.restart == "permanent":
                wrong = "is set on a permanent child, which never ends"
                self.add(f"{path}.significant", (wrong, "write another restart"))
            elif parent is None or parent.auto_shutdown == "never":
                wrong = "is set, but its supervisor never shuts down by itself"
                self.add(f"{path}.significant", (wrong, "set auto_shutdown there"))
        if isinstance(spec, Supervisor) and spec.restart == "permanent":
            if spec.auto_shutdown in ("any_significant", "all_significant"):
                wrong = "ends a permanent supervisor, which is then started again"
                self.add(f"{path}.auto_shutdown", (wrong, "write another restart"), "warning")

    def call(self, spec: Component | Resource, path: str) -> None:
        field = "run" if isinstance(spec, Component) else "factory"
        fn: object = getattr(spec, field)
        args, kwargs = _arguments(spec)
        key = (fn, len(args), tuple(kwargs)) if _hashable(fn) else None
        if key in self._fits:
            return
        wrong = wrong_callable(spec)
        if wrong is not None:
            self.add(f"{path}.{field}", wrong)
            return
        doubt = doubtful_callable(spec)
        if doubt is not None:
            self.add(f"{path}.{field}", doubt, "warning")
        status = isinstance(spec, Component)
        misfit = wrong_arguments(fn, args, kwargs, status=status)
        if misfit is not None:
            self.add(f"{path}.args", misfit)
        elif key is not None and doubt is None:
            self._fits.add(key)

    # --- fields -----------------------------------------------------------------------------------

    def fields(self, spec: Spec, path: str) -> None:
        for name, kind in field_types(type(spec)).items():
            if name in STRUCTURE:
                continue
            value = getattr(spec, name)
            if name in POLICIES:
                self.policy(name, value, f"{path}.{name}")
            else:
                wrong = wrong_value(name, value, kind)
                if wrong is not None:
                    self.add(f"{path}.{name}", wrong)

    def policy(self, name: str, value: Any, path: str) -> None:
        if id(value) in self._sound or (value is None and name in OPTIONAL):
            return
        kind = POLICIES[name]
        if not isinstance(value, kind):
            self.add(path, (f"is {value!r}", f"write a {kind.__name__}"))
            return
        wrongs = list(wrong_fields(value))
        for field, wrong in wrongs:
            self.add(f"{path}.{field}", wrong)
        if not wrongs:
            self._sound[id(value)] = value

    def sound(self, policy: object) -> bool:
        """Whether a policy is there and has been found to be right."""
        return policy is not None and id(policy) in self._sound

    # --- edges ------------------------------------------------------------------------------------

    def edges(self, spec: Spec, path: str, scopes: list[Scope], younger: Scope) -> None:
        if isinstance(spec, Component | Resource) and (spec.args or spec.kwargs):
            self.references(spec, path, scopes)
        if spec.needs:
            self.needs(spec, path, scopes, younger)
        after: Any = spec.after
        if not _is_list(after):
            self.add(f"{path}.after", (f"is {after!r}", "write a list of names"))
            return
        for name in after:
            self.named(spec, name, f"{path}.after", scopes, younger)

    def references(self, spec: Component | Resource, path: str, scopes: list[Scope]) -> None:
        args: Any = spec.args
        kwargs: Any = spec.kwargs
        if not _is_list(args):
            self.add(f"{path}.args", (f"is {args!r}", "write a list"))
        elif not isinstance(kwargs, Mapping):
            self.add(f"{path}.kwargs", (f"is {kwargs!r}", "write a table"))
        else:
            for other in references(spec):
                self.reference(spec, other, path, scopes)

    def needs(self, spec: Spec, path: str, scopes: list[Scope], younger: Scope) -> None:
        where, needs = f"{path}.needs", _any(spec.needs)
        if not (isinstance(needs, Mapping) or _is_list(needs)):
            self.add(where, (f"is {needs!r}", "write a list of names"))
            return
        for name, binding in named_needs(spec).items():
            target = self.named(spec, name, where, scopes, younger)
            if binding not in ("final", "each"):
                self.add(f"{where}.{name}", (f"is {binding!r}", "write final or each"))
            if target is not None:
                self.ending(target, where)

    def named(
        self, spec: Spec, name: object, where: str, scopes: list[Scope], younger: Scope
    ) -> Spec | None:
        for scope in scopes:
            if isinstance(name, str) and name in scope:
                return scope[name]
        if name == spec.name:
            self.add(where, (f"names itself, {name!r}", "leave it out"))
        elif name in younger:
            advice = f"list {name!r} before {spec.name!r}"
            self.add(where, (f"{name!r} is a younger sibling", advice))
        else:
            advice = "name one, here or further up"
            advice += similar(name, [known for scope in scopes for known in scope])
            self.add(where, (f"there is no elder sibling {name!r}", advice))
        return None

    def reference(
        self, spec: Spec, other: Component | Resource, path: str, scopes: list[Scope]
    ) -> None:
        for scope in scopes:
            target = scope.get(other.name)
            if target is not None and (target is other or target == other):
                if target.copies != 1:
                    wrong = f"{other.name!r} has copies, so its start value is ambiguous"
                    self.add(f"{path}.args", (wrong, "declare it once"))
                elif not _is_named(other.name, spec.needs):
                    self.ending(target, f"{path}.args")
                return
        wrong = f"{other.name!r} is not an elder sibling, here or further up"
        self.add(f"{path}.args", (wrong, f"list it before {spec.name!r}"))

    def ending(self, target: Spec, where: str) -> None:
        if target.restart in ("transient", "temporary"):
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


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_named(name: str, needs: Any) -> bool:
    """Whether the ``needs`` speak of it themselves, and have been looked at."""
    return isinstance(needs, Sequence | Mapping) and name in needs


def _count(spec: Spec) -> int | None:
    """How many children a declaration makes; ``None`` where that makes no sense."""
    copies: Any = spec.copies
    return copies if type(copies) is int and copies >= 1 else None


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
