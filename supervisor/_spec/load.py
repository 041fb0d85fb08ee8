"""DECLARE: a tree from a file. It makes the same frozen value as the declaration in Python.

Everything that is wrong with the file is found at once, together with what
:func:`~supervisor.check` finds in the tree that it makes. What cannot be made (an import that
fails, say) is replaced by a stand-in of the same name, so that one mistake does not cause others.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, get_args

from msgspec import Struct
from msgspec.structs import fields

from supervisor._errors import Problem, TreeInvalid
from supervisor._spec.calls import Budget, Limit
from supervisor._spec.environment import Environment
from supervisor._spec.scope import Scope, absent, find
from supervisor._spec.table import KINDS, Table, name_in, path_in
from supervisor._spec.tree import Broker, Component, Resource, Spec, Supervisor
from supervisor._spec.validate import check
from supervisor._spec.values import field_types, policy_type, shown, similar
from supervisor._spec.values import one_line as clean
from supervisor._words import one_line

if TYPE_CHECKING:
    from pathlib import Path


def load(path: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None) -> Supervisor:
    """Make the tree that a TOML or JSON file declares.

    ``${NAME}`` and ``${NAME:-default}`` inside strings are replaced from the environment, and
    variables ``SUPERVISOR__<child>__<field>`` override fields by the child's name. The file's
    folder is put on ``sys.path``, so that its ``module:attribute`` names may lie beside it; without
    a name of its own a child is called like the attribute. Modules are imported; nothing is started.

    Args:
        path: the file; its suffix says what it is.
        environ: the environment; that of the process by default.

    Raises:
        TreeInvalid: the file, or the tree that it declares, is wrong; all problems at once.
    """
    tree, problems = read(path, environ=environ)
    if tree is None:
        raise TreeInvalid(_errors(problems))
    return tree


def read(
    path: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None
) -> tuple[Supervisor | None, list[Problem]]:
    """The tree of a file, unless something is wrong with it, and all of its problems."""
    from pathlib import Path

    file = Path(path)
    try:
        table = _decoded(file)
    except (OSError, ValueError, RecursionError) as error:
        return None, [Problem(str(file), _unreadable(error))]
    if not isinstance(table, dict):
        return None, [Problem(str(file), "is not a table", "write the root's fields at the top")]
    _make_importable(file)
    environment = Environment(os.environ if environ is None else environ)
    tree, problems = _made(table, environment, file.stem)
    problems = environment.problems + [
        environment.told(problem) for problem in problems if not environment.follows(problem)
    ]
    return (None if _errors(problems) else tree), problems


def _made(
    table: Table, environment: Environment, default_name: str
) -> tuple[Supervisor, list[Problem]]:
    path = name_in(table) or default_name
    table = environment.expanded(table, path)
    maker = _Maker()
    if not name_in(table):
        if "name" not in table:
            maker.note(f"{path}.name", "is missing", f'write name = "{path}" at the top')
        table["name"] = table.get("name", path)
    environment.override(table, path)
    for kind in ("run", "resource", "broker"):
        if table.pop(kind, None) is not None:
            maker.note(f"{path}.{kind}", "is at the top", "write it under [[children]]")
    tree = maker.supervisor(table, path, [])
    return tree, [*maker.problems, *map(_in_words_of_the_file, check(tree))]


def _in_words_of_the_file(problem: Problem) -> Problem:
    path = problem.path
    if path.endswith(".factory"):
        path = path.removesuffix(".factory") + ".resource"
    path = path.replace(".budgets", ".broker", 1)
    return Problem(path, problem.what, problem.write, problem.level)


def _errors(problems: Sequence[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.level == "error"]


# --- the file --------------------------------------------------------------------------------------


def _decoded(file: Path) -> Any:
    suffix = file.suffix.lower()
    if suffix not in (".toml", ".json"):
        raise ValueError(f"has the suffix {suffix!r}, which says neither TOML nor JSON")
    text = file.read_text(encoding="utf-8-sig")
    if suffix == ".toml":
        import tomllib

        return tomllib.loads(text)
    import json

    return json.loads(text, object_pairs_hook=_unambiguous)


def _unambiguous(pairs: list[tuple[str, Any]]) -> Table:
    table = dict(pairs)
    if len(table) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"has {max(names, key=names.count)!r} twice in one table")
    return table


def _unreadable(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8 text: {error.reason} at byte {error.start}"
    return str(error).replace("\n", " ")


def _make_importable(file: Path) -> None:
    # For good, as for a script: components may import what lies beside them when they run.
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)


# --- from tables to specs --------------------------------------------------------------------------


class Place(Struct, frozen=True):
    """Where a table stands: its path, its child's name, and what that can refer to."""

    path: str
    name: str
    scopes: Sequence[Scope]


class _Maker:
    """Makes declarations from tables, and notes what cannot be made."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._modules: dict[str, Any] = {}

    def note(self, path: str, what: str, write: str) -> None:
        self.problems.append(Problem(clean(path), clean(what), clean(write)))

    def supervisor(self, table: Table, path: str, scopes: Sequence[Scope]) -> Supervisor:
        name = table.get("name", "")
        rest = {field: value for field, value in table.items() if field != "children"}
        given = self.given(Supervisor, rest, Place(path, name_in(table), scopes))
        tables = table.get("children", ())
        if isinstance(tables, list):
            tables = self.children(tables, path, name_in(table), scopes)
        return Supervisor(**{**given, "name": name, "children": tables})

    def children(
        self, tables: Sequence[object], path: str, owner: str, outer: Sequence[Scope]
    ) -> list[Spec]:
        elders: dict[str, Spec] = {}
        scopes = [Scope(elders, set(map(name_in, tables)), owner), *outer]
        children: list[Spec] = []
        for index, table in enumerate(tables):
            where = path_in(path, index, table)
            # A name that nobody can mean keeps what is wrong in its place among the others.
            place = Place(where, name_in(table) or f"[{index}]", scopes)
            spec = self.child(table, place) or Component(stand_in, name=place.name)
            children.append(spec)
            elders.setdefault(place.name, spec)
        return children

    def child(self, table: object, place: Place) -> Spec | None:
        kind = self.kind(table, place.path, KINDS)
        if not isinstance(table, dict) or kind is None:
            return None
        if kind == "children":
            return self.supervisor(table, place.path, place.scopes)
        if kind == "broker":
            return self.broker(table, place)
        name = table.get("name", place.name)
        if not name:
            self.note(f"{place.path}.name", f"is {shown(name)}", "write a name, or leave it out")
        return self.leaf(kind, {**table, "name": name or place.name}, place)

    def kind(self, table: object, path: str, kinds: Sequence[str]) -> str | None:
        if not isinstance(table, dict):
            self.note(path, f"is {shown(table)}", "write a table")
            return None
        found = [kind for kind in kinds if kind in table]
        if len(found) != 1:
            has = " and ".join(found) or "none of " + ", ".join(kinds)
            self.note(path, f"has {has}", "write exactly one of " + ", ".join(kinds))
            return None
        return found[0]

    def leaf(self, kind: str, table: Table, place: Place) -> Component | Resource:
        fn = self.imported(table[kind], f"{place.path}.{kind}")
        spec = Component if kind == "run" else Resource
        rest = {name: value for name, value in table.items() if name != kind}
        return spec(fn, **self.given(spec, rest, place))

    def broker(self, table: Table, place: Place) -> Broker:
        path, budgets = f"{place.path}.broker", table["broker"]
        if isinstance(budgets, dict):
            budgets = {
                name: self.budget(budget, f"{path}.{name}") for name, budget in budgets.items()
            }
        rest = {name: value for name, value in table.items() if name != "broker"}
        return Broker(budgets, **self.given(Broker, rest, place))

    def budget(self, table: Any, path: str) -> Any:
        """A limit where the table says one, otherwise a budget; what is neither stays as it is."""
        if not isinstance(table, dict):
            return table
        if "n" in table or "rate" in table or not table:
            return self.limit(table, path)
        known = field_types(Budget)
        self.refuse_unknown(table, known, path)
        given = {name: table[name] for name in known if name in table}
        for name, value in given.items():
            policy = policy_type(known[name])
            if isinstance(value, dict) and name != "limit" and policy is not None:
                given[name] = self.policy(policy, value, f"{path}.{name}")
        if "limit" in given and isinstance(given["limit"], dict):
            given["limit"] = self.limit(given["limit"], f"{path}.limit")
        return Budget(**given)

    def limit(self, table: Table, path: str) -> Limit | None:
        """``n`` and ``per`` for a window, ``rate`` and ``burst`` for the bucket alone."""
        needed, more = (("rate", "burst"), ()) if "rate" in table else (("n", "per"), ("burst",))
        self.refuse_unknown(table, (*needed, *more), path)
        lacking = [name for name in needed if name not in table]
        if lacking:
            self.note(path, f"lacks {' and '.join(lacking)}", f"write {', '.join(needed)}")
            return None
        if "rate" in table:
            return Limit.smooth(table["rate"], burst=table["burst"])
        return Limit(
            table["n"], **{name: table[name] for name in ("per", "burst") if name in table}
        )

    def fallback(self, table: object, primary: Place) -> Component | Resource | None:
        path = f"{primary.path}/fallback"
        kind = self.kind(table, path, ("run", "resource"))
        if not isinstance(table, dict) or kind is None:
            return None
        return self.leaf(kind, table, Place(path, primary.name, primary.scopes))

    # --- fields ------------------------------------------------------------------------------------

    def given(self, kind: type[Spec], table: Table, place: Place) -> Table:
        """The fields that a table gives, each made into what its field takes."""
        types = {name: of for name, of in field_types(kind).items() if name not in _NOT_IN_FILES}
        self.refuse_unknown(table, types, place.path)
        return {
            name: self.value(name, table[name], of, place)
            for name, of in types.items()
            if name in table
        }

    def refuse_unknown(self, table: Table, known: Collection[str], path: str) -> None:
        for name in table:
            if name not in known:
                advice = similar(name, known) or f"; its fields are {', '.join(known)}"
                self.note(f"{path}.{name}", "is an unknown field", f"leave it out{advice}")

    def value(self, name: str, value: Any, kind: Any, place: Place) -> Any:
        path = f"{place.path}.{name}"
        if value is False and (name == "fallback" or NoneType in get_args(kind)):
            return None  # as TOML has no null
        if name == "health":
            found = self.imported(value, path)
            return None if found is stand_in else found
        if name == "fallback":
            return value and self.fallback(value, place)
        if name == "args" and isinstance(value, list):
            return [self.argument(arg, f"{path}[{i}]", place) for i, arg in enumerate(value)]
        if name == "kwargs" and isinstance(value, dict):
            return {key: self.argument(arg, f"{path}.{key}", place) for key, arg in value.items()}
        policy = policy_type(kind)
        return self.policy(policy, value, path) if policy and isinstance(value, dict) else value

    def policy(self, kind: type[Struct], table: Table, path: str) -> Struct | None:
        known = {field.name: field.required for field in fields(kind)}
        self.refuse_unknown(table, known, path)
        lacking = [name for name, required in known.items() if required and name not in table]
        if lacking:
            self.note(path, f"lacks {' and '.join(lacking)}", f"write {', '.join(known)}")
            return None
        return kind(**{name: table[name] for name in known if name in table})

    def argument(self, value: Any, path: str, place: Place) -> Any:
        """An argument as it is, or the child that ``{ from = "name" }`` stands for."""
        if not _is_reference(value):
            for item in _inside(value):
                if _is_reference(item) and find(item["from"], place.scopes):
                    what = f"{{ from = {item['from']!r} }} stands inside another argument"
                    self.note(path, what, "write it as an argument by itself")
            return value
        found = find(value["from"], place.scopes)
        if found is None:
            self.note(path, *absent(value["from"], place.name, place.scopes))
        elif isinstance(found, Supervisor):
            what = f"{found.name!r} is a supervisor, which has no start value"
            self.note(path, what, "name a component or a resource")
        else:
            return found
        return None

    # --- imports -----------------------------------------------------------------------------------

    def imported(self, target: object, path: str) -> Any:
        """What a ``module:attribute`` names, or a stand-in for it."""
        module, _, attribute = target.partition(":") if isinstance(target, str) else ("", "", "")
        if not module or not attribute:
            self.note(path, f"is {shown(target)}", 'write "module:attribute"')
            return stand_in
        found = self.module(module)
        if isinstance(found, Failed):
            what = f"importing {module!r} failed: {one_line(found.error)}"
            library = missing_library(module, found.error)
            install = f"install {library}, which it imports"
            self.note(path, what, install if library else "correct the name, or what it imports")
            return stand_in
        for name in attribute.split("."):
            if not hasattr(found, name):
                what, advice = f"{module!r} has no {attribute!r}", similar(name, dir(found))
                self.note(path, what, f"name a callable of it{advice}")
                return stand_in
            found = getattr(found, name)
        return found

    def module(self, name: str) -> Any:
        """The module, imported once however often it is named, or how that failed."""
        if name not in self._modules:
            try:
                self._modules[name] = import_module(name)
            except (Exception, SystemExit) as error:
                self._modules[name] = Failed(error)
        return self._modules[name]


def missing_library(module: str, error: BaseException) -> str:
    """What has to be installed for ``module`` to be imported, if that is why it failed."""
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if not missing or "." in missing or missing == module.partition(".")[0]:
        return ""
    return missing


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"from"}


def _inside(value: Any) -> Collection[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


class Failed(Struct, frozen=True):
    """An import that raised."""

    error: BaseException


def stand_in(*args: object, task_status: object = None, **kwargs: object) -> Any:
    """In the place of what could not be imported: whatever is checked, it fits."""


_NOT_IN_FILES: Final = ("run", "factory", "budgets", "children")
