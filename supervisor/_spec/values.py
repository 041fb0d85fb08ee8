"""Values held against the types that their fields declare, and said in words."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
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

UNBOUNDED: Final = frozenset({"deadline", "within", "reset_after", "most", "reserve"})
"""Fields where infinity says something: wait for ever, count for ever, never."""

LONGEST: Final = 60
"""So much of a value is shown."""

KNOWN: Final = 500
"""Among so many names a similar one is looked for: in a large tree each look would take long."""


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
        yield path, (f"is {_said(value)}", f"write {expected(kind)}{_meant(value, kind)}")


@cache
def policy_type(kind: Any) -> type[Struct] | None:
    """The policy that a field of this type holds, if it holds one."""
    return next((each.cls for each in _options(kind) if isinstance(each, StructType)), None)


@cache
def expected(kind: Any) -> str:
    """What a field of that type takes, in words."""
    return " or ".join(_words(each) for each in _options(kind))


def shown(value: object) -> str:
    """The value as it would be written, on one line, cut where it is long."""
    if isinstance(value, Struct) and isinstance(name := getattr(value, "name", None), str):
        return f"the {type(value).__name__} {name!r}"
    if inspect.isroutine(value) or inspect.isclass(value):
        kind = "class" if inspect.isclass(value) else "function"
        return f"the {kind} {value.__name__}"
    try:
        text = one_line(repr(value))
    except Exception:  # somebody's own __repr__
        text = ""
    text = re.sub(r" at 0x[0-9a-f]+", "", text)
    if not text or text.endswith(" object>"):
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def one_line(text: str) -> str:
    """The text without line breaks, and without what else a terminal would act on."""
    return "".join(char if char.isprintable() else " " for char in " ".join(text.split()))


def similar(name: object, names: Iterable[str]) -> str:
    """``; did you mean ...?`` where a name looks like one that there is."""
    if not isinstance(name, str):
        return ""
    from difflib import get_close_matches

    close = get_close_matches(name, islice(names, KNOWN), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _fits(path: str, value: object, kind: Any) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return value > 0 and path.rpartition(".")[2] in UNBOUNDED
    if value is not None and policy_type(kind) is not None:
        return False  # it would make a policy of what resembles one, but nobody else will
    if isinstance(value, float):
        value = float(value)  # it refuses subclasses, like numpy's
    try:
        made = msgspec.convert(value, kind)
    except Exception:  # the value is asked about itself, and it may be anything
        return False
    # It makes 3 of 3.0 and of Decimal(3), and a list of any set, but nobody else will.
    if isinstance(made, float):
        return isinstance(value, int | float)
    if isinstance(made, list):
        return isinstance(value, list | tuple)
    return not isinstance(made, int | str) or isinstance(value, type(made))


def _said(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value!r}, which is {'not a number' if math.isnan(value) else 'without end'}"
    return shown(value)


def _options(kind: Any) -> list[Type]:
    """The types of a union, less its None: what is missing is left out rather than written."""
    info = type_info(kind)
    types = info.types if isinstance(info, UnionType) else (info,)
    return [each for each in types if not isinstance(each, NoneType)]


def _words(info: Type) -> str:
    unit = isinstance(info, Metadata) and (info.extra or {}).get("unit")
    info = info.type if isinstance(info, Metadata) else info
    match info:
        case FloatType():
            return ("a number of seconds" if unit else "a number") + _bounds(info)
        case IntType():
            return "a whole number" + _bounds(info)
        case BoolType():
            return "true or false"
        case StrType():
            return "a string"
        case CustomType(cls) if cls.__name__ == "Callable":
            return "a function"
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
    if info.le is not None:
        return f" from {info.ge:g} to {int(info.le):,}"
    return f", {info.ge:g} or more" if info.ge is not None else ""


def _meant(value: object, kind: Any) -> str:
    literals = (each for each in _options(kind) if isinstance(each, LiteralType))
    return similar(value, [str(word) for literal in literals for word in literal.values])
