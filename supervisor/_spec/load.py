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
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from supervisor._errors import Problem, TreeInvalid
from supervisor._spec.environment import expanded, overridden
from supervisor._spec.policy import POLICIES
from supervisor._spec.tree import Component, Resource, Spec, Supervisor
from supervisor._spec.validate import check
from supervisor._spec.values import similar
from supervisor._words import join

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
    except (OSError, ValueError) as error:
        return None, [Problem(str(file), _one_line(error), "write a TOML or JSON file")]
    if not isinstance(table, dict):
        return None, [Problem(str(file), "is not a table", "write the root's fields at the top")]
    problems = overridden(table, environ)
    table = expanded(table, environ, problems)
    _make_importable(file)
    maker = _Maker(problems)
    tree = maker.root(table)
    return tree, problems + (check(tree) if tree is not None else [])


def _decoded(file: Path) -> Any:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".toml":
        return tomllib.loads(text)
    if file.suffix == ".json":
        return json.loads(text)
    raise ValueError(f"has the suffix {file.suffix!r}, which says neither TOML nor JSON")


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8 text: {error.reason} at byte {error.start}"
    return str(error).replace("\n", " ")


def _make_importable(file: Path) -> None:
    # For good, as for a script: components may import what lies beside them when they run.
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)


class _Maker:
    """Makes declarations from tables, and notes what cannot be made."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems

    def note(self, path: str, what: str, write: str) -> None:
        self.problems.append(Problem(path, what, write))

    def root(self, table: Table) -> Supervisor | None:
        name = table.get("name")
        if not isinstance(name, str) or not name:
            self.note("name", "the root has no name", 'write `name = "..."` at the top')
            table = {**table, "name": "tree"}
        for kind in ("run", "resource"):
            if kind in table:
                self.note(kind, "stands at the top", "list it under `[[children]]`")
        return self.supervisor(table, str(table["name"]), [])

    def child(self, table: object, path: str, scopes: list[Scope]) -> Spec | None:
        """One child; ``path`` is its parent's and ``[n]`` until its name is known."""
        if not isinstance(table, dict):
            self.note(path, f"is {table!r}", "write a table")
            return None
        kinds = [kind for kind in KINDS if kind in table]
        if len(kinds) != 1:
            has = " and ".join(kinds) if kinds else f"none of {', '.join(KINDS)}"
            self.note(path, f"has {has}", "write exactly one of " + ", ".join(KINDS))
            return None
        parent = path.rpartition(".")[0] if path.endswith("]") else path.rpartition("/")[0]
        if kinds == ["children"]:
            name = table.get("name")
            where = join(parent, name) if isinstance(name, str) and name else path
            return self.supervisor(table, where, scopes)
        return self.leaf(kinds[0], table, path, parent, scopes)

    def supervisor(self, table: Table, path: str, scopes: list[Scope]) -> Supervisor:
        given = self.given(Supervisor, table, path, scopes)
        given["children"] = self.children(table.get("children", []), path, scopes)
        given.setdefault("name", "")
        return Supervisor(**given)

    def children(self, tables: object, path: str, scopes: list[Scope]) -> object:
        if not isinstance(tables, list):
            return tables
        elders: Scope = {}
        children: list[Spec] = []
        for index, table in enumerate(tables):
            spec = self.child(table, f"{path}.children[{index}]", [elders, *scopes])
            if spec is not None:
                children.append(spec)
                if isinstance(spec.name, str):
                    elders.setdefault(spec.name, spec)
        return tuple(children)

    def leaf(
        self, kind: str, table: Table, path: str, parent: str, scopes: list[Scope]
    ) -> Component | Resource:
        target = table[kind]
        attribute = target.rpartition(":")[2].rpartition(".")[2] if isinstance(target, str) else ""
        name = table.get("name") or attribute
        where = join(parent, name) if isinstance(name, str) and name and path[-1] == "]" else path
        found = self.imported(target, f"{where}.{kind}")
        spec = Component if kind == "run" else Resource
        given = self.given(spec, table, where, scopes)
        given["name"] = name
        return spec(found, **given)

    def given(self, kind: type[Struct], table: Table, path: str, scopes: list[Scope]) -> Table:
        """The fields that a table gives, each made into what its field takes."""
        known = [field.name for field in fields(kind) if field.name not in ("run", "factory")]
        given: Table = {}
        for name, value in table.items():
            if name in KINDS:
                continue
            if name not in known:
                advice = similar(name, known) or f"; its fields are {', '.join(known)}"
                self.note(f"{path}.{name}", "is an unknown field", f"leave it out{advice}")
            else:
                given[name] = self.value(name, value, f"{path}.{name}", path, scopes)
        return {name: value for name, value in given.items() if value is not _LEFT_OUT}

    def value(self, name: str, value: Any, where: str, path: str, scopes: list[Scope]) -> Any:
        if name in POLICIES:
            return self.policy(POLICIES[name], value, where)
        if name == "fallback" and isinstance(value, dict):
            made = self.child(value, f"{path}/fallback", scopes)
            return _LEFT_OUT if made is None else made
        if name == "args" and isinstance(value, list):
            return tuple(self.argument(arg, where, scopes) for arg in value)
        if name == "kwargs" and isinstance(value, dict):
            return {key: self.argument(arg, where, scopes) for key, arg in value.items()}
        return tuple(value) if isinstance(value, list) else value

    def policy(self, kind: type[Struct], value: Any, path: str) -> Any:
        if value is False:  # TOML has no null
            return None
        if not isinstance(value, dict):
            return value
        known = {field.name: field for field in fields(kind)}
        for name in value.keys() - known.keys():
            advice = similar(name, list(known)) or f"; its fields are {', '.join(known)}"
            self.note(f"{path}.{name}", "is an unknown field", f"leave it out{advice}")
        lacking = [
            name
            for name, field in known.items()
            if field.default is NODEFAULT and name not in value
        ]
        if lacking:
            self.note(path, f"lacks {' and '.join(lacking)}", f"write {', '.join(known)}")
            return _LEFT_OUT
        return kind(**{name: value[name] for name in known if name in value})

    def argument(self, value: Any, where: str, scopes: list[Scope]) -> Any:
        """An argument as it is, or the child that ``{ from = "name" }`` stands for."""
        if not isinstance(value, dict) or value.keys() != {"from"}:
            return value
        name = value["from"]
        for scope in scopes:
            if isinstance(name, str) and name in scope:
                return scope[name]
        known = [name for scope in scopes for name in scope]
        what = f"{{ from = {name!r} }} names no elder sibling"
        self.note(where, what, f"name one, here or further up{similar(name, known)}")
        return None

    def imported(self, target: object, path: str) -> Any:
        if not isinstance(target, str) or target.count(":") != 1 or not all(target.split(":")):
            self.note(path, f"is {target!r}", 'write "module:attribute"')
            return stand_in
        module, _, attribute = target.partition(":")
        try:
            found: Any = import_module(module)
            for name in attribute.split("."):
                found = getattr(found, name)
        except (Exception, SystemExit) as error:
            text = _one_line(error) if isinstance(error, Exception) else str(error)
            what = f"cannot import {target!r}: {type(error).__name__}: {text}"
            self.note(path, what, "correct the name, or what it imports")
            return stand_in
        return found


async def stand_in(*args: object, **kwargs: object) -> None:
    """In the place of what could not be imported."""


_LEFT_OUT: Final = object()
