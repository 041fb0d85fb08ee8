"""Values held against the types that their fields declare, and said in words."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from itertools import islice
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.inspect import (
    BoolType,
    FloatType,
    IntType,
    LiteralType,
    Metadata,
    NoneType,
    Type,
    UnionType,
    type_info,
)

UNBOUNDED: Final = frozenset({"deadline", "grace", "within", "reset_after"})
"""Fields where infinity says something: for ever, whenever, never."""

LONGEST: Final = 60
"""So much of a value is shown."""

KNOWN: Final = 1_000
"""Among so many names a similar one is looked for: a large tree has too many for each mistake."""

Wrong: TypeAlias = tuple[str, str]
"""What is wrong with a value, and what to write instead."""


class Rule(Struct, frozen=True):
    """What one field takes: its default, the test of other values, and the words for them."""

    field: str
    default: object
    fits: Callable[[object], bool]
    words: str
    choices: tuple[str, ...] = ()


@cache
def rules(kind: type[Struct], but: frozenset[str] = frozenset()) -> tuple[Rule, ...]:
    """The rules of a declaration's fields, but for those that have checks of their own."""
    return tuple(
        Rule(field.name, field.default, *_rule(type_info(field.type), field.name))
        for field in msgspec.structs.fields(kind)
        if field.name not in but
    )


def wrong_fields(value: Struct) -> Iterator[tuple[str, Wrong]]:
    """The fields of a policy that are not what they should be."""
    for rule in rules(type(value)):
        given = getattr(value, rule.field)
        if given is not rule.default and not rule.fits(given):
            yield rule.field, wrong_value(given, rule)


def wrong_value(value: object, rule: Rule) -> Wrong:
    """What to say of a value that breaks the rule."""
    what = f"is {shown(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        what += ", which is not a number" if math.isnan(value) else ", which is without end"
    return what, f"write {rule.words}{similar(value, rule.choices)}"


def similar(name: object, names: Iterable[str]) -> str:
    """``; did you mean ...?`` where a name looks like one that there is."""
    if not isinstance(name, str):
        return ""
    close = get_close_matches(name, islice(names, KNOWN), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def shown(value: object) -> str:
    """The value as a short line, whatever it is."""
    if inspect.isroutine(value) or inspect.isclass(value):
        kind = "class" if inspect.isclass(value) else "function"
        return f"the {kind} {getattr(value, '__name__', '')}"
    if isinstance(value, Struct) and isinstance(getattr(value, "name", None), str):
        return f"the {type(value).__name__} {value.name!r}"  # type: ignore[attr-defined]
    return _short(value)


def one_line(text: str) -> str:
    """The text without line breaks and what else a terminal would act on."""
    return "".join(char if char.isprintable() else " " for char in " ".join(text.split()))


def _short(value: object) -> str:
    try:
        text = one_line(repr(value))
    except Exception:  # somebody's own __repr__
        text = ""
    if not text or " object at 0x" in text:
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _rule(info: Type, field: str) -> tuple[Callable[[object], bool], str, tuple[str, ...]]:
    """The test of a type's values, the words for them, and the words that it is made of."""
    unit = ""
    if isinstance(info, Metadata):
        unit = (info.extra or {}).get("unit", "")
        info = info.type
    match info:
        case FloatType():
            return _number(info, (int, float), field), _bounded("a number", unit, info), ()
        case IntType():
            return _number(info, int, field), _bounded("a whole number", unit, info), ()
        case BoolType():
            return (lambda value: value is True or value is False), "true or false", ()
        case LiteralType(values):
            choices = tuple(map(str, values))
            return _one_of(frozenset(choices)), f"one of {', '.join(choices)}", choices
        case UnionType(types):
            return _optional(types, field)
    raise TypeError(f"no rule for {info}; give the field {field!r} a check of its own")


def _number(info: FloatType | IntType, kind: Any, field: str) -> Callable[[object], bool]:
    more = -math.inf if info.gt is None else info.gt
    least = -math.inf if info.ge is None else info.ge
    most = math.inf if info.le is None else info.le

    def fits(value: object) -> bool:
        if not isinstance(value, kind) or isinstance(value, bool):
            return False
        number = _as_float(value)
        if number == math.inf and field not in UNBOUNDED:
            return False
        return number > more and least <= number <= most

    return fits


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer with which no time can be reckoned
        return math.nan


def _one_of(choices: frozenset[str]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and value in choices


def _optional(
    types: Iterable[Type], field: str
) -> tuple[Callable[[object], bool], str, tuple[str, ...]]:
    some = [each for each in types if not isinstance(each, NoneType)]
    fits, words, choices = _rule(some[0], field)
    return (lambda value: value is None or fits(value)), words, choices


def _bounded(what: str, unit: str, info: FloatType | IntType) -> str:
    if unit:
        what += f" of {unit}"
    if info.gt is not None:
        return f"{what} greater than {info.gt:g}"
    if info.le is not None:
        return f"{what} from {info.ge:g} to {int(info.le):,}"
    return f"{what}, {info.ge:g} or more" if info.ge is not None else what
