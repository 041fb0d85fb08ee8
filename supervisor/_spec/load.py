"""DECLARE: a tree from a file. It makes the same frozen value as the declaration in Python.

Everything that is wrong with the file is found at once, together with what
:func:`~supervisor.check` finds in the tree that it makes. What cannot be made (an import that
fails, say) is replaced by a stand-in of the same name, so that one mistake does not cause others.
"""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from supervisor._errors import Problem, TreeInvalid
from supervisor._spec.environment import expanded, named, overridden, place
from supervisor._spec.policy import POLICIES
from supervisor._spec.tree import Component, Resource, Spec, Supervisor
from supervisor._spec.validate import OPTIONAL, check
from supervisor._spec.values import one_line, shown, similar

KINDS: Final = ("run", "resource", "children")
"""The fields of which a child has exactly one; it says what kind of child it is."""

Table = dict[str, Any]
Scope = dict[str, Spec]


def load(path: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None) -> Supervisor:
    """Make the tree that a TOML or JSON file declares.

    ``${NAME}`` and ``${NAME:-default}`` inside strings are replaced from the environment, and
    variables ``SUPERVISOR__<child>__<field>`` override fields by the child's name. The file's
    folder is put on ``sys.path``, so that its ``module:attribute`` names may lie beside it.
    Modules are imported; nothing is started.

    Args:
        path: the file; its suffix says what it is.
        environ: the environment; that of the process by default.

    Raises:
        TreeInvalid: the file, or the tree that it declares, is wrong; all problems at once.
    """
    tree, problems = read(path, environ=environ)
    errors = [problem for problem in problems if problem.level == "error"]
    if errors or tree is None:
        raise TreeInvalid(errors)
    return tree


def read(
    path: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None
) -> tuple[Supervisor | None, list[Problem]]:
    """The tree of a file, as far as it can be made, and all of its problems."""
    file = Path(path)
    environ = os.environ if environ is None else environ
    try:
        table = _decoded(file)
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        return None, [Problem(str(file), what, "name a TOML or JSON file")]
    except ValueError as error:
        return None, [Problem(str(file), _unreadable(error), "correct the file")]
    except RecursionError:
        return None, [Problem(str(file), "is nested too deeply", "write a flatter tree")]
    if not isinstance(table, dict):
        return None, [Problem(str(file), "is not a table", "write the root's fields at the top")]
    origins, problems = overridden(table, environ)
    table, unset = expanded(table, environ)
    _make_importable(file)
    maker = _Maker()
    tree = maker.root(table)
    found = [*maker.problems, *check(tree)]
    problems += unset + [_from(origins, each) for each in found if not _follows(unset, each)]
    return tree, problems


def _decoded(file: Path) -> Any:
    suffix = file.suffix.lower()
    text = file.read_text(encoding="utf-8-sig")
    if suffix == ".toml":
        return tomllib.loads(text)
    if suffix == ".json":
        return json.loads(text, object_pairs_hook=_each_once)
    raise ValueError(f"has the suffix {suffix!r}, which says neither TOML nor JSON")


def _each_once(pairs: Sequence[tuple[str, Any]]) -> Table:
    table = dict(pairs)
    if len(table) < len(pairs):  # TOML refuses that itself
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"has {twice!r} twice in one table")
    return table


def _unreadable(error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8 text: {error.reason} at byte {error.start}"
    return one_line(str(error))


def _follows(unset: Iterable[Problem], problem: Problem) -> bool:
    """Whether it is said of a value in which a variable could not be replaced."""
    return any(f"{each.path}.".startswith(f"{problem.path}.") for each in unset)


def _from(origins: Mapping[str, str], problem: Problem) -> Problem:
    """Say so where a problem's value does not stand in the file."""
    variable = origins.get(problem.path)
    if variable is None:
        return problem
    return Problem(problem.path, f"{problem.what} (${variable})", problem.write, problem.level)


def _make_importable(file: Path) -> None:
    # For good, as for a script: components may import what lies beside them when they run.
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)


class _Maker:
    """Makes declarations from tables, and notes what cannot be made."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._broken: set[str] = set()  # modules whose failure has been told

    def note(self, path: str, what: str, write: str) -> None:
        self.problems.append(Problem(one_line(path), one_line(what), one_line(write)))

    def root(self, table: Table) -> Supervisor:
        if not isinstance(table.get("name"), str) or not table["name"]:
            self.note("name", "the root has no name", 'write `name = "..."` at the top')
            table = {**table, "name": "tree"}
        for kind in ("run", "resource"):
            if kind in table:
                self.note(kind, "stands at the top", "list it under `[[children]]`")
        return self.supervisor(table, table["name"], [])

    # --- children ---------------------------------------------------------------------------------

    def child(self, table: Table, path: str, scopes: list[Scope], younger: set[str]) -> Spec:
        kinds = [kind for kind in KINDS if kind in table]
        if len(kinds) != 1:
            return self.unclear(table, path, kinds)
        if kinds == ["children"]:
            return self.supervisor(table, path, scopes, younger)
        kind = kinds[0]
        spec = Component if kind == "run" else Resource
        found = self.imported(table[kind], f"{path}.{kind}")
        given = self.given(spec, table, path, scopes, younger)
        if given.get("name", "") == "":
            given["name"] = _name(table, path)
        return spec(found, **given)

    def unclear(self, table: Table, path: str, kinds: Sequence[str]) -> Component:
        """A stand-in where a table does not say what it declares."""
        has = " and ".join(kinds) if kinds else f"none of {', '.join(KINDS)}"
        meant = "" if kinds else next(filter(None, (similar(key, KINDS) for key in table)), "")
        self.note(path, f"has {has}", f"write exactly one of {', '.join(KINDS)}{meant}")
        return Component(stand_in, name=_name(table, path))

    def supervisor(
        self, table: Table, path: str, scopes: list[Scope], younger: set[str] | None = None
    ) -> Supervisor:
        given = self.given(Supervisor, table, path, scopes, younger or set())
        return Supervisor(**{"name": "", **given, "children": self.children(table, path, scopes)})

    def children(self, table: Table, path: str, scopes: list[Scope]) -> Any:
        tables = table.get("children", [])
        if not isinstance(tables, list):
            return tables
        elders: Scope = {}
        younger = {named(each) for each in tables if isinstance(each, dict)}
        children: list[Spec] = []
        for index, each in enumerate(tables):
            where = place(path, index, each)
            if not isinstance(each, dict):
                self.note(where, f"is {shown(each)}", "write a table")
                continue
            spec = self.child(each, where, [elders, *scopes], younger)
            children.append(spec)
            if isinstance(spec.name, str):
                elders.setdefault(spec.name, spec)
        return tuple(children)

    # --- fields -----------------------------------------------------------------------------------

    def given(
        self, kind: type[Struct], table: Table, path: str, scopes: list[Scope], younger: set[str]
    ) -> Table:
        """The fields that a table gives, each made into what its field takes."""
        known = [field.name for field in fields(kind) if field.name not in ("run", "factory")]
        given: Table = {}
        for name, value in table.items():
            if name in known and name not in KINDS:
                given[name] = self.value(name, value, path, scopes, younger)
            elif name not in KINDS:
                self.unknown(name, known, path)
        return {name: value for name, value in given.items() if value is not _LEFT_OUT}

    def unknown(self, name: str, known: Iterable[str], path: str) -> None:
        advice = similar(name, known) or f"; its fields are {', '.join(known)}"
        self.note(f"{path}.{name}", "is an unknown field", f"leave it out{advice}")

    def value(
        self, name: str, value: Any, path: str, scopes: list[Scope], younger: set[str]
    ) -> Any:
        where = f"{path}.{name}"
        if name in POLICIES:
            return self.policy(name, value, where)
        if name == "fallback" and isinstance(value, dict):
            return self.child(value, f"{path}/fallback", scopes, younger)
        if name == "args" and isinstance(value, list):
            return tuple(self.argument(arg, where, scopes, younger) for arg in value)
        if name == "kwargs" and isinstance(value, dict):
            return {key: self.argument(arg, where, scopes, younger) for key, arg in value.items()}
        return value

    def policy(self, name: str, value: Any, path: str) -> Any:
        if value is False and name in OPTIONAL:  # TOML has no null
            return None
        kind = POLICIES[name]
        known = {field.name: field for field in fields(kind)}
        if not isinstance(value, dict):
            self.note(path, f"is {shown(value)}", f"write a table of {', '.join(known)}")
            return _LEFT_OUT
        for field in value:
            if field not in known:
                self.unknown(field, known, path)
        lacking = [
            field.name
            for field in known.values()
            if field.default is NODEFAULT and field.name not in value
        ]
        if lacking:
            self.note(path, f"lacks {' and '.join(lacking)}", f"write {', '.join(known)}")
            return _LEFT_OUT
        return kind(**{field: value[field] for field in known if field in value})

    # --- what is named ----------------------------------------------------------------------------

    def argument(self, value: Any, where: str, scopes: list[Scope], younger: set[str]) -> Any:
        """An argument as it is, or the child that ``{ from = "name" }`` stands for."""
        if not _is_reference(value):
            for item in _inside(value):
                if _is_reference(item) and any(item["from"] in scope for scope in scopes):
                    what = f"{{ from = {item['from']!r} }} stands inside another argument"
                    self.note(where, what, "write it as an argument by itself")
            return value
        name = value["from"]
        for scope in scopes:
            if name in scope:
                if isinstance(scope[name], Supervisor):
                    what = f"{name!r} is a supervisor, which has no start value"
                    self.note(where, what, "name one of its elder siblings that has")
                return scope[name]
        what, write = f"{name!r} is a younger sibling", f"list {name!r} before this child"
        if name not in younger:
            what = f"{{ from = {name!r} }} names no elder sibling"
            known = (each for scope in scopes for each in scope)
            write = f"name one, here or further up{similar(name, known)}"
        self.note(where, what, write)
        return None

    def imported(self, target: object, path: str) -> Any:
        if not isinstance(target, str) or target.count(":") != 1 or not all(target.split(":")):
            self.note(path, f"is {shown(target)}", 'write "module:attribute"')
            return stand_in
        module, _, attribute = target.partition(":")
        if module in self._broken:
            return stand_in
        try:
            found: Any = import_module(module)
        except (Exception, SystemExit) as error:
            if not (isinstance(error, ModuleNotFoundError) and error.name == module):
                self._broken.add(module)  # one mistake in it, however many children name it
            self.failed(target, error, path)
            return stand_in
        try:
            for name in attribute.split("."):
                found = getattr(found, name)
        except Exception as error:
            self.failed(target, error, path)
            return stand_in
        return found

    def failed(self, target: str, error: BaseException, path: str) -> None:
        text = one_line(f"{type(error).__name__}: {error}")
        what = f"cannot import {target!r}: {text}"
        self.note(path, what, "correct the name, or what it imports")


async def stand_in(*args: object, **kwargs: object) -> None:
    """In the place of what could not be imported."""


def _name(table: Table, path: str) -> Any:
    """The child's name, or what can stand for one where a mistake left it without."""
    return named(table) or path.rpartition("/")[2]


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"from"} and isinstance(value["from"], str)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


_LEFT_OUT: Final = object()
