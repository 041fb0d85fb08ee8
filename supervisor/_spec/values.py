"""Values held against the types that their fields declare, and said in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from reprlib import Repr
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.inspect import (
    AnyType,
    BoolType,
    CustomType,
    DictType,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    Metadata,
    NoneType,
    StrType,
    StructType,
    Type,
    UnionType,
    type_info,
)

Wrong: TypeAlias = tuple[str, str]
"""What is wrong with a value, and what to write instead."""

UNBOUNDED: Final = frozenset({"deadline", "within", "reset_after"})
"""Fields where infinity says something: wait for ever, count for ever, never."""

_REPR = Repr()
_REPR.maxstring = _REPR.maxother = 60


@cache
def field_types(kind: type[Struct]) -> dict[str, Any]:
    """The types of a declaration's fields, by name."""
    return {field.name: field.type for field in msgspec.structs.fields(kind)}


def wrong_value(path: str, value: object, kind: Any) -> Iterator[tuple[str, Wrong]]:
    """What of a value cannot stand in a field of that path and type; for a policy, its fields."""
    policy = policy_type(kind)
    if policy is not None and isinstance(value, policy):
        for name, inner in field_types(policy).items():
            yield from wrong_value(f"{path}.{name}", getattr(value, name), inner)
    elif not _fits(path, value, kind):
        yield path, (f"is {shown(value)}", f"write {expected(kind)}{_meant(value, kind)}")


@cache
def policy_type(kind: Any) -> type[Struct] | None:
    """The policy that a field of this type holds, if it holds one."""
    return next((each.cls for each in _options(kind) if isinstance(each, StructType)), None)


@cache
def expected(kind: Any) -> str:
    """What a field of that type takes, in words."""
    return " or ".join(_words(each) for each in _options(kind))


def shown(value: object) -> str:
    """The value as it would be written, cut where it is long."""
    return _REPR.repr(value)


def similar(name: object, names: Iterable[str]) -> str:
    """``; did you mean ...?`` where a name looks like one that there is."""
    close = get_close_matches(str(name), [*names], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _fits(path: str, value: object, kind: Any) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return value > 0 and path.rpartition(".")[2] in UNBOUNDED
    if isinstance(value, Mapping) and policy_type(kind) is not None:
        return False  # it would make a policy of a table, but nobody else will
    try:
        made = msgspec.convert(value, kind)
    except Exception:  # the value is asked about itself, and it may be anything
        return False
    # It makes 3 of 3.0 and of Decimal(3), but nobody else will.
    if isinstance(made, float):
        return isinstance(value, int | float)
    return not isinstance(made, int | str) or isinstance(value, type(made))


def _options(kind: Any) -> list[Type]:
    """The types of a union, less its None: what is missing is left out rather than written."""
    info = type_info(kind)
    info = info.type if isinstance(info, Metadata) else info
    types = info.types if isinstance(info, UnionType) else (info,)
    bare = (each.type if isinstance(each, Metadata) else each for each in types)
    return [each for each in bare if not isinstance(each, NoneType)]


def _words(info: Type) -> str:
    match info:
        case FloatType():
            return "a number" + _bounds(info)
        case IntType():
            return "a whole number" + _bounds(info)
        case BoolType():
            return "true or false"
        case StrType():
            return "a string"
        case AnyType() | CustomType():
            return "a value"
        case LiteralType(values):
            return "one of " + ", ".join(map(str, values))
        case ListType(item):
            return f"a list of {_words(item).removeprefix('a ')}s"
        case DictType(_, item):
            return f"a table of name = {_words(item).removeprefix('one of ')}"
        case StructType(cls):
            article = "an" if cls.__name__[0] in "AEIOU" else "a"
            return f"{article} {cls.__name__} (in a file, a table)"
    raise TypeError(f"no words for {info}")


def _bounds(info: FloatType | IntType) -> str:
    if info.gt is not None:
        return f" greater than {info.gt:g}"
    return f" of at least {info.ge:g}" if info.ge is not None else ""


def _meant(value: object, kind: Any) -> str:
    literals = (each for each in _options(kind) if isinstance(each, LiteralType))
    return similar(value, [str(word) for literal in literals for word in literal.values])
