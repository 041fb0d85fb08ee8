"""The tables of a file that declare children, and how one is named before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from supervisor._words import join

Table: TypeAlias = dict[str, Any]

KINDS: Final = ("run", "resource", "broker", "children")
"""The fields of which a child has exactly one; it says what kind of child it is."""


def name_in(table: object) -> str:
    """The name that a table gives its child: its own, or the attribute of ``module:attribute``."""
    if not isinstance(table, Mapping):
        return ""
    name = table.get("name")
    if name is None and "broker" in table:
        return "broker"
    if name is None:
        target = table.get("run", table.get("resource"))
        return target.rpartition(":")[2].rpartition(".")[2] if isinstance(target, str) else ""
    return name if isinstance(name, str) else ""


def path_in(parent: str, index: int, table: object) -> str:
    """The path of a table's child; by its number where it has no name."""
    name = name_in(table)
    return join(parent, name) if name and "/" not in name else f"{parent}.children[{index}]"
