"""The environment's part in a tree's file: variables inside strings, and overrides by name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from supervisor._errors import Problem
from supervisor._spec.values import shown, similar
from supervisor._words import join

PREFIX: Final = "SUPERVISOR__"

_VARIABLE = re.compile(r"\$(?P<escaped>\$)?\{(?:(?P<name>\w+)(?::-(?P<default>[^{}]*))?\})?")


def expanded(
    table: dict[str, Any], environ: Mapping[str, str]
) -> tuple[dict[str, Any], list[Problem]]:
    """The table with ``${NAME}`` and ``${NAME:-default}`` in its strings replaced.

    As in a shell the default also stands for a variable that is empty, and ``$${NAME}`` stays as
    ``${NAME}``. A variable that is not set and has no default is a problem, at the place where the
    string stands.
    """
    reader = _Reader(environ)
    return reader.table(table, named(table) or "tree"), reader.problems


class _Reader:
    """Replaces variables, and notes those that it cannot replace."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[Problem] = []

    def table(self, table: dict[str, Any], path: str) -> dict[str, Any]:
        return {
            key: self.children(value, path)
            if key == "children" and isinstance(value, list)
            else self.value(value, f"{path}/fallback" if key == "fallback" else f"{path}.{key}")
            for key, value in table.items()
        }

    def children(self, tables: list[Any], path: str) -> list[Any]:
        return [self.value(table, place(path, i, table)) for i, table in enumerate(tables)]

    def value(self, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return self.table(value, path)
        if isinstance(value, list):
            return [self.value(item, path) for item in value]
        if isinstance(value, str) and "${" in value:
            return _VARIABLE.sub(lambda found: self.variable(found, path), value)
        return value

    def variable(self, found: re.Match[str], path: str) -> str:
        name, default = found["name"], found["default"]
        if found["escaped"]:
            return found[0][1:]
        if name is None:
            write = "write ${NAME} or ${NAME:-default}, or $${ for the text itself"
            self.problems.append(Problem(path, "has a ${ that is no variable", write))
            return found[0]
        given = self.environ.get(name)
        if given or (given is not None and default is None):
            return given
        if default is None:
            write = f"set it, or write ${{{name}:-a default}}"
            self.problems.append(Problem(path, f"the variable {name} is not set", write))
            return found[0]
        return default


def overridden(
    table: dict[str, Any], environ: Mapping[str, str]
) -> tuple[dict[str, str], list[Problem]]:
    """Put the overrides of the environment into a tree's table; what does not fit is a problem.

    ``SUPERVISOR__telegram__backoff__cap=5`` sets a field of every child of that name; case does
    not matter, and what a variable's name cannot hold, like ``-``, is written ``_``. Values are
    read as TOML where they can be.

    Returns:
        The variables by the paths of the fields that they have set, and the problems.
    """
    origins: dict[str, str] = {}
    problems: list[Problem] = []
    tables: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for path, each in _tables(named(table) or "tree", table):
        tables.setdefault(_plain(named(each)), []).append((path, each))
    for variable in sorted(environ):
        if variable.upper().startswith(PREFIX):
            child, *fields = variable[len(PREFIX) :].lower().split("__")
            wrong = _override(tables, child, fields, _parsed(environ[variable]))
            if wrong:
                problems.append(Problem(f"${variable}", *wrong))
            for path, _ in tables.get(_plain(child), ()):
                origins[".".join([path, *fields])] = variable
    return origins, problems


def place(path: str, index: int, table: object) -> str:
    """The path of the child that a table declares; by its number where it has no name."""
    name = named(table) if isinstance(table, dict) else ""
    return join(path, name) if name else f"{path}.children[{index}]"


def named(table: Mapping[str, Any]) -> str:
    """The name of the child that a table declares: by default the last part of what it runs."""
    name = table.get("name")
    if isinstance(name, str) and name:
        return name
    target = table.get("run", table.get("resource"))
    return target.rpartition(":")[2].rpartition(".")[2] if isinstance(target, str) else ""


def _override(
    tables: Mapping[str, list[tuple[str, dict[str, Any]]]],
    child: str,
    fields: list[str],
    value: Any,
) -> tuple[str, str] | None:
    meant = tables.get(_plain(child)) if child else None
    if not meant:
        known = similar(_plain(child), tables)
        return f"no child is named {child!r}", f"write {PREFIX}<child>__<field>{known}"
    if not fields or not all(fields):
        return "names no field", f"write {PREFIX}<child>__<field>"
    for _, table in meant:
        wrong = _set(table, fields, value)
        if wrong:
            return wrong
    return None


def _set(table: dict[str, Any], fields: list[str], value: Any) -> tuple[str, str] | None:
    *outer, last = fields
    for field in outer:
        inner = table.get(field, {})
        if inner is False:  # a policy that was switched off
            inner = {}
        if not isinstance(inner, dict):
            return (
                f"{field!r} has no fields, it is {shown(inner)}",
                f"write {PREFIX}<child>__{field}",
            )
        table[field] = table = dict(inner)
    table[last] = value
    return None


def _tables(path: str, table: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, table
    children = table.get("children")
    for index, child in enumerate(children if isinstance(children, list) else ()):
        if isinstance(child, dict):
            yield from _tables(place(path, index, child), child)


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name.lower())


def _parsed(text: str) -> Any:
    try:
        table = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    return table["value"] if len(table) == 1 else text
