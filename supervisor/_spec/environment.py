"""The environment's part in a tree's file: variables inside strings, and overrides by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from supervisor._errors import Problem
from supervisor._spec.table import Table, name_in, path_in
from supervisor._spec.values import Wrong, similar

PREFIX: Final = "SUPERVISOR__"

_VARIABLE: Final = re.compile(r"\$(?P<escaped>\$)?\{((?P<name>\w+)(:-(?P<default>[^{}]*))?\})?")


class Environment:
    """What a file takes from the variables, and what is wrong with that."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables
        self.problems: list[Problem] = []
        self._origins: dict[str, str] = {}

    # --- variables inside strings --------------------------------------------------------------------

    def expanded(self, table: Table, path: str) -> Table:
        """A child's table with ``${NAME}`` and ``${NAME:-default}`` in its strings replaced.

        As in a shell the default stands for an empty variable, too. ``$${`` is how ``${`` is
        written. A variable that is not set and has no default is a problem.
        """
        return {
            key: self._below(value, path)
            if key == "children" and isinstance(value, list)
            else self.expanded(value, f"{path}/fallback")
            if key == "fallback" and isinstance(value, dict)
            else self._value(value, f"{path}.{key}")
            for key, value in table.items()
        }

    def _below(self, children: list[Any], path: str) -> list[Any]:
        return [
            self.expanded(child, path_in(path, index, child)) if isinstance(child, dict) else child
            for index, child in enumerate(children)
        ]

    def _value(self, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return {key: self._value(item, f"{path}.{key}") for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, f"{path}[{index}]") for index, item in enumerate(value)]
        if isinstance(value, str):
            return _VARIABLE.sub(lambda found: self._variable(found, path), value)
        return value

    def _variable(self, found: re.Match[str], path: str) -> str:
        name, default = found["name"], found["default"]
        if found["escaped"]:
            return found[0][1:]
        if name is None:
            what = "has '${' that no variable's name and '}' follow"
            self.problems.append(Problem(path, what, "write '$${' for the two characters"))
            return found[0]
        value = self.variables.get(name)
        if default is not None:
            return value or default
        if value is None:
            write = f"set it, or write ${{{name}:-a default}}"
            self.problems.append(Problem(path, f"the variable {name} is not set", write))
            return found[0]
        return value

    # --- overrides -----------------------------------------------------------------------------------

    def override(self, root: Table, path: str) -> None:
        """Put the variables ``SUPERVISOR__<child>__<field>`` into the root's table.

        ``SUPERVISOR__telegram__backoff__cap=5`` sets a field of every child of that name; case does
        not matter, and what a variable cannot be called, like ``-``, is written ``_``. A fallback is
        a field of its primary, whatever its name. Values are read as TOML where they can be. What
        fits nothing is a problem, and so are several variables for one field. What was wrong with
        a value is no problem once the value is replaced.
        """
        named: dict[str, list[tuple[str, Table]]] = {}
        for where, table in _nodes(path, root):
            named.setdefault(_plain(name_in(table)), []).append((where, table))
        wrong = [
            Problem(variable, *problem)
            for variable, *others in self._overrides()
            if (problem := _ambiguous(others) or self._override(variable, named))
        ]
        self.problems = [each for each in self.problems if self._origin(each.path) is None] + wrong

    def _overrides(self) -> Iterator[list[str]]:
        """The variables of that form, a field of a field after the field, and together what differs
        only in how it is written."""
        alike: dict[str, list[str]] = {}
        for variable in sorted(self.variables):
            if variable.upper().startswith(PREFIX):
                alike.setdefault(_plain(variable), []).append(variable)
        for _, variables in sorted(alike.items()):
            yield variables

    def _override(
        self, variable: str, named: Mapping[str, list[tuple[str, Table]]]
    ) -> Wrong | None:
        rest = _plain(variable[len(PREFIX) :])
        name = max((name for name in named if rest.startswith(f"{name}__")), key=len, default="")
        if not name:
            if rest.strip("_") in named:
                return "names no field", f"write {PREFIX}<child>__<field>"
            known = similar(rest.partition("__")[0], named)
            return "names no child", f"write {PREFIX}<child>__<field>{known}"
        fields = rest[len(name) + 2 :].split("__")
        if not all(fields) or fields == ["children"]:
            return "names no field that can be set", f"write {PREFIX}<child>__<field>"
        value = _parsed(self.variables[variable])
        for path, table in named[name]:
            where = _put(table, fields, value)
            if where is None:
                return f"{fields[0]} is no table at {path}", f"write {PREFIX}{name}__{fields[0]}"
            # The path of a fallback is that of a child.
            within = "/" if where.partition(".")[0] == "fallback" else "."
            self._origins[f"{path}{within}{where}"] = variable
        return None

    def follows(self, problem: Problem) -> bool:
        """Whether it is said of a value in which something could not be replaced."""
        return any(
            each.path == problem.path
            or each.path.startswith((f"{problem.path}.", f"{problem.path}["))
            for each in self.problems
        )

    def told(self, problem: Problem) -> Problem:
        """The problem, which names the variable if the value at its path came from one."""
        variable = self._origin(problem.path)
        if variable is None:
            return problem
        what = f"{problem.what} (set by {variable})"
        return Problem(problem.path, what, problem.write, problem.level)

    def _origin(self, path: str) -> str | None:
        """The variable that set the value at this path, if one did."""
        for origin, variable in reversed(self._origins.items()):  # a part after the whole
            rest = path.removeprefix(origin)
            if rest != path and rest[:1] in ("", ".", "["):
                return variable
        return None


def _nodes(path: str, table: Table) -> Iterator[tuple[str, Table]]:
    """A table and those of all children below it, with their paths."""
    yield path, table
    children = table.get("children")
    for index, child in enumerate(children if isinstance(children, list) else ()):
        if isinstance(child, dict):
            yield from _nodes(path_in(path, index, child), child)


def _ambiguous(others: Sequence[str]) -> Wrong | None:
    if not others:
        return None
    return f"sets what {', '.join(others)} sets, too", "unset all but one, as case does not matter"


def _put(table: Table, fields: list[str], value: Any) -> str | None:
    """Set a field of a field ...; answers with its path, or None where there is no table."""
    keys = []
    for field in fields[:-1]:
        keys.append(_key(table, field))
        inner = table.get(keys[-1]) or {}
        if not isinstance(inner, dict):
            return None
        table[keys[-1]] = table = dict(inner)
    keys.append(_key(table, fields[-1]))
    table[keys[-1]] = value
    return ".".join(keys)


def _key(table: Table, field: str) -> str:
    return next((key for key in table if _plain(key) == field), field)


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name.lower())


def _parsed(text: str) -> Any:
    import tomllib

    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if len(table) == 1 else text
