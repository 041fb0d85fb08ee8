"""The environment's part in a tree's file: variables inside strings, and overrides by name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from supervisor._errors import Problem
from supervisor._spec.values import similar

PREFIX: Final = "SUPERVISOR__"

_VARIABLE = re.compile(r"\$(?P<escaped>\$)?\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")


def expanded(value: Any, environ: Mapping[str, str], problems: list[Problem], at: str = "") -> Any:
    """The value with ``${NAME}`` and ``${NAME:-default}`` in its strings replaced.

    ``$${NAME}`` stays as ``${NAME}``. A variable that is not set and has no default is a problem.
    """
    if isinstance(value, dict):
        return {
            key: expanded(item, environ, problems, f"{at}.{key}" if at else key)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [expanded(item, environ, problems, f"{at}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, str) and "${" in value:
        return _VARIABLE.sub(lambda found: _variable(found, environ, problems, at), value)
    return value


def _variable(
    found: re.Match[str], environ: Mapping[str, str], problems: list[Problem], at: str
) -> str:
    name, default = found["name"], found["default"]
    if found["escaped"]:
        return found[0][1:]
    if name in environ:
        return environ[name]
    if default is None:
        write = f"set it, or write ${{{name}:-a default}}"
        problems.append(Problem(at, f"the variable {name} is not set", write))
        return found[0]
    return default


def overridden(table: dict[str, Any], environ: Mapping[str, str]) -> list[Problem]:
    """Put the overrides of the environment into a tree's table; what does not fit is a problem.

    ``SUPERVISOR__telegram__backoff__cap=5`` sets a field of every child of that name; case does
    not matter, and ``-`` in a name is written ``_``. Values are read as TOML where they can be.
    """
    problems: list[Problem] = []
    named: dict[str, list[dict[str, Any]]] = {}
    for each in _tables(table):
        named.setdefault(_plain(_name(each)), []).append(each)
    for variable in sorted(environ):
        if variable.upper().startswith(PREFIX):
            child, *fields = variable[len(PREFIX) :].split("__")
            wrong = _override(named, child, fields, _parsed(environ[variable]))
            if wrong:
                problems.append(Problem(f"${variable}", *wrong))
    return problems


def _override(
    named: Mapping[str, list[dict[str, Any]]], child: str, fields: list[str], value: Any
) -> tuple[str, str] | None:
    tables = named.get(_plain(child))
    if not tables:
        known = similar(_plain(child), list(named))
        return f"no child is named {child.lower()!r}", f"write {PREFIX}<child>__<field>{known}"
    if not all(fields):
        return "names no field", f"write {PREFIX}<child>__<field>"
    for table in tables:
        *outer, last = (field.lower() for field in fields)
        for field in outer:
            inner = table.get(field)
            table[field] = table = dict(inner) if isinstance(inner, dict) else {}
        table[last] = value
    return None


def _tables(table: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield table
    children = table.get("children")
    for child in children if isinstance(children, list) else ():
        if isinstance(child, dict):
            yield from _tables(child)


def _name(table: Mapping[str, Any]) -> str:
    name = table.get("name") or table.get("run") or table.get("resource") or ""
    return str(name).rpartition(":")[2].rpartition(".")[2]


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def _parsed(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
