"""Values held against the types that their fields declare, and said in words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.inspect import (
    BoolType,
    FloatType,
    IntType,
    LiteralType,
    NoneType,
    Type,
    UnionType,
    type_info,
)

UNBOUNDED: Final = frozenset({"deadline", "grace", "within", "reset_after"})
"""Fields where infinity says something: for ever, whenever, never."""

Wrong = tuple[str, str]
"""What is wrong with a value, and what to write instead."""


@cache
def field_types(kind: type[Struct]) -> dict[str, Any]:
    """The types of a declaration's fields, by name."""
    return {field.name: field.type for field in msgspec.structs.fields(kind)}


def wrong_fields(value: Struct) -> Iterator[tuple[str, Wrong]]:
    """The fields of a policy that are not what they should be."""
    for name, kind in field_types(type(value)).items():
        wrong = wrong_value(name, getattr(value, name), kind)
        if wrong is not None:
            yield name, wrong


def wrong_value(name: str, value: object, kind: Any) -> Wrong | None:
    """Why a value cannot stand in a field of that name and type, if it cannot."""
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value) or name not in UNBOUNDED:
            return f"is {value!r}", f"write {expected(kind)}"
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return f"is {value!r}", f"write {expected(kind)}{_meant(value, kind)}"
    return None


def expected(kind: Any) -> str:
    """What a field of that type takes, in words."""
    return _words(type_info(kind))


def similar(name: object, names: list[str]) -> str:
    """``; did you mean ...?`` where a name looks like one that there is."""
    close = get_close_matches(str(name), names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _words(info: Type) -> str:
    match info:
        case FloatType():
            return "a number" + _bounds(info)
        case IntType():
            return "a whole number" + _bounds(info)
        case BoolType():
            return "true or false"
        case LiteralType(values):
            return "one of " + ", ".join(map(str, values))
        case UnionType(types):
            return " or ".join(_words(each) for each in types if not isinstance(each, NoneType))
    return f"a {type(info).__name__.removesuffix('Type').lower()}"


def _bounds(info: FloatType | IntType) -> str:
    if info.gt is not None:
        return f" greater than {info.gt:g}"
    if info.ge is not None:
        return f" of at least {info.ge:g}"
    return ""


def _meant(value: object, kind: Any) -> str:
    info = type_info(kind)
    return similar(value, list(map(str, info.values))) if isinstance(info, LiteralType) else ""
