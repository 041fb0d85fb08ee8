"""What an error means: whether its call is made again, what it tells of the service, how bad it is.

Errors are told apart by ``isinstance``, and those of HTTP by what they carry: a status, and how long
the service wants its rest (Retry-After, RFC 9110, 10.2.3). No library of them is imported. What a
stranger's error has for attributes may raise; then it is not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from copy import copy
from typing import Any, Final, Literal, Self, TypeAlias, get_args

from msgspec import Struct

from supervisor._errors import (
    BreakerOpen,
    BrokerClosed,
    CallToSelf,
    CostTooHigh,
    Decline,
    MailboxClosed,
    MailboxTaken,
    NoTree,
    PermitRefused,
    PermitUsed,
    Refused,
    UnknownBudget,
)
from supervisor._spec.guards import Breaker, Matchers, Retry
from supervisor._words import Severity

What: TypeAlias = Literal[
    "failure",  # the service's: it counts at the breaker
    "throttled",  # "too many": the service is well, and is to be left alone for a while
    "ignored",  # the caller's own, or our own refusal: it says nothing of the service
]

LONGEST_REST: Final = 1e9
"""Seconds, some thirty years: a rest is at most so long, and so a finite number."""

WORST_FIRST: Final = get_args(What)
SEVERITIES: Final = get_args(Severity)

_OUR_REFUSALS: Final = (BreakerOpen, PermitRefused)  # they say when to ask again

_OURS: Final = (
    BrokerClosed,
    CallToSelf,
    Decline,
    MailboxClosed,
    MailboxTaken,
    PermitUsed,
    Refused,
)

_MISTAKES: Final = (
    TypeError,
    ValueError,
    AttributeError,
    NameError,
    LookupError,
    ArithmeticError,
    AssertionError,
    NotImplementedError,
    RecursionError,
    ImportError,
    BufferError,
    ReferenceError,
    StopIteration,
    StopAsyncIteration,
    SystemError,
    Warning,
)

UNHIDDEN: Final = (
    TypeError,
    AttributeError,
    NameError,
    AssertionError,
    NotImplementedError,
    RecursionError,
    ImportError,
    UnknownBudget,
    CostTooHigh,
    NoTree,
)
"""Errors that no fallback hides: the program is wrong, not the service. A value or a key may well be
the service's, so those of :data:`_MISTAKES` are more."""

_OF_THE_COMPILER: Final = (SyntaxError, IndentationError, TabError)
"""These exactly: parsers of other languages derive theirs from them, for what they are given."""

_FILES: Final = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
    ChildProcessError,
    ProcessLookupError,
)

CHARACTERS: Final = 100
"""Text that is longer is neither a number nor a date."""

_PASSING_4XX: Final = (408, 425, 429)
_CAUSES: Final = 8
_SECONDS: Final = re.compile(r"\d+(\.\d+)?", re.ASCII)


class Judged(Struct, frozen=True, gc=False):
    """What an error means for its call: ``what`` for the breaker, and apart from that whether it is
    to be made again.

    ``rest`` is what the service asked for, in seconds, ``retry_at`` what our own refusal did, in
    seconds of the tree's clock.
    """

    what: What
    retry: bool
    rest: float | None = None
    retry_at: float | None = None
    severity: Severity = "low"


class Rules:
    """How the errors of one guard are judged. They never change, so that all its calls share them.

    For retries, an error's own ``NonRetryable`` comes before ``never``, that before ``on``, and all
    before the defaults. For the breaker ``throttled`` comes before ``ignore``, that before
    ``counts``, and all before the defaults; what is not retried by default is ignored.
    """

    __slots__ = ("_counts", "_ignore", "_never", "_on", "_severities", "_throttled")

    def __init__(
        self,
        retry: Retry | None = None,
        breaker: Breaker | None = None,
        throttled: Matchers = (),
        severities: Mapping[type, Severity] | None = None,
    ) -> None:
        self._on = _Matching(retry.on if retry else ())
        self._never = _Matching(retry.never if retry else ())
        self._counts = _Matching(breaker.counts if breaker else ())
        self._ignore = _Matching(breaker.ignore if breaker else ())
        self._throttled = _Matching(throttled)
        self._severities = dict(severities or {})

    def retrying(self, retry: Retry) -> Self:
        """The same rules, but for which errors are retried."""
        other = copy(self)
        other._on, other._never = _Matching(retry.on), _Matching(retry.never)
        return other

    def judge(self, error: BaseException, wall: float) -> Judged:
        """Judge it; ``wall`` is the time in seconds since 1970, for a service that names a date.

        A group is retried if all its leaves are, and a failure if one of them is.
        """
        if not isinstance(error, BaseExceptionGroup):
            return self._judge(error, (), wall)
        leaves = [self._judge(leaf, groups, wall) for leaf, groups in _leaves(error)]
        return Judged(
            min((leaf.what for leaf in leaves), key=WORST_FIRST.index),
            all(leaf.retry for leaf in leaves),
            max((leaf.rest for leaf in leaves if leaf.rest is not None), default=None),
            max((leaf.retry_at for leaf in leaves if leaf.retry_at is not None), default=None),
            max((leaf.severity for leaf in leaves), key=SEVERITIES.index),
        )

    def _judge(
        self, error: BaseException, groups: tuple[BaseException, ...], wall: float
    ) -> Judged:
        severe = severity(error, self._severities)
        if not isinstance(error, Exception):
            return Judged("ignored", retry=False, severity=severe)
        status = status_of(error)
        rest = rest_of(error, wall)
        around = (error, *groups)
        what, again = _by_default(error, status, rest)
        return Judged(
            self._what(around, what),
            self._again(around, again),
            rest,
            error.retry_at if isinstance(error, _OUR_REFUSALS) else None,
            severe,
        )

    def _what(self, around: tuple[BaseException, ...], what: What) -> What:
        if self._throttled.any(around):
            return "throttled"
        if self._ignore.any(around):
            return what if what == "throttled" else "ignored"
        return "failure" if self._counts.any(around) else what

    def _again(self, around: tuple[BaseException, ...], again: bool) -> bool:
        marked = _attribute(around[0], "retryable")
        if marked is False or self._never.any(around):
            return False
        return again or marked is True or self._on.any(around)


def severity(error: BaseException, own: Mapping[type, Severity] | None = None) -> Severity:
    """How severe an error is. Its own word comes first, then what was said of the nearest of its
    types, then the defaults; a group is as severe as its worst leaf."""
    if isinstance(error, BaseExceptionGroup):
        return max((severity(leaf, own) for leaf, _ in _leaves(error)), key=SEVERITIES.index)
    word = _attribute(error, "severity")
    if isinstance(word, str) and word in SEVERITIES:
        return word  # type: ignore[return-value]
    if own:
        for kind in type(error).__mro__:
            if kind in own:
                return own[kind]
    if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
        return "critical"
    if _is_of_a_connection(error) or status_of(error) is not None or _has_to_do_with_http(error):
        return "high"
    if isinstance(error, ValueError | TypeError | AttributeError):
        return "medium"
    return "low"


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error carries, if it is one that says so of an error."""
    response = _attribute(error, "response")
    for holder, name in (
        (error, "status_code"),
        (error, "status"),
        (error, "code"),
        (response, "status_code"),
        (response, "status"),
    ):
        status = _attribute(holder, name)
        if isinstance(status, int) and 400 <= status <= 599:
            return int(status)
    return None


def rest_of(error: BaseException, wall: float) -> float | None:
    """For how many seconds the service wants to be left alone; ``None`` if it does not say.

    A date in the past is no rest. What is neither a date nor a number is not there.
    """
    told = _seconds(_attribute(error, "retry_after"), wall)
    for holder in (_attribute(error, "response"), error):
        if told is None:
            told = _seconds(_retry_after(_attribute(holder, "headers")), wall)
    return told


# --- the defaults ----------------------------------------------------------------------------------


def _by_default(error: Exception, status: int | None, rest: float | None) -> tuple[What, bool]:
    """What it is for the breaker, and whether its call is made again."""
    if isinstance(error, _OUR_REFUSALS):
        return "ignored", error.retry_at < float("inf")
    if isinstance(error, _OURS) or _attribute(error, "retryable") is False:
        return "ignored", False
    if status is not None:
        return _by_status(status, rest)
    if _is_for_good(error):
        return "ignored", False
    return ("failure" if rest is None else "throttled"), True


def _by_status(status: int, rest: float | None) -> tuple[What, bool]:
    if status == 429 or (status == 503 and rest is not None):
        return "throttled", True
    if status < 500 and status not in _PASSING_4XX:
        return "ignored", False
    return "failure", True


def _is_for_good(error: Exception) -> bool:
    """Whether it does not go away by itself: a mistake in the program, a permission, no memory."""
    if isinstance(error, _MISTAKES):
        return not _is_garbage(error)
    return type(error) in _OF_THE_COMPILER or isinstance(error, PermissionError | MemoryError)


def _is_garbage(error: Exception) -> bool:
    """Whether it is an answer that cannot be read: an error of values, but the service's."""
    from json import JSONDecodeError  # it is in memory where there is such an error

    return isinstance(error, UnicodeDecodeError | JSONDecodeError)


def _is_of_a_connection(error: BaseException) -> bool:
    """Whether it, or what caused it, is of a connection: of the system, but not of its files."""
    cause: BaseException | None = error
    for _ in range(_CAUSES):
        if isinstance(cause, OSError) and not isinstance(cause, _FILES):
            return True
        cause = None if cause is None else cause.__cause__
    return False


def _has_to_do_with_http(error: BaseException) -> bool:
    """Whether it knows of a request; looked for in its type too, where a property may raise."""
    return any(
        _attribute(holder, name) is not None
        for name in ("request", "request_info")
        for holder in (type(error), error)
    )


# --- what an error carries -------------------------------------------------------------------------


class _Matching:
    """Types of errors, and predicates of one."""

    __slots__ = ("_groups", "_predicates", "_types")

    def __init__(self, matchers: Matchers) -> None:
        self._types = tuple(matcher for matcher in matchers if isinstance(matcher, type))
        self._groups = tuple(kind for kind in self._types if issubclass(kind, BaseExceptionGroup))
        self._predicates: tuple[Callable[[BaseException], object], ...] = tuple(
            matcher for matcher in matchers if not isinstance(matcher, type)
        )

    def any(self, around: tuple[BaseException, ...]) -> bool:
        """Whether one of them means the error, the first, or by its type a group that it is in."""
        if isinstance(around[0], self._types):
            return True
        if self._groups and any(isinstance(group, self._groups) for group in around[1:]):
            return True
        return any(_says_so(predicate, around[0]) for predicate in self._predicates)


def _says_so(predicate: Callable[[BaseException], object], error: BaseException) -> bool:
    """Ask it. One that raises says no, and the error tells: it is not to be lost for that."""
    try:
        return bool(predicate(error))
    except Exception as exc:
        name = getattr(predicate, "__qualname__", type(predicate).__name__)
        _note_once(error, f"the predicate {name} failed: {type(exc).__name__}")
        return False


def _note_once(error: BaseException, note: str) -> None:
    notes = _attribute(error, "__notes__")
    if not isinstance(notes, list) or note not in notes:
        with suppress(Exception):  # somebody's own __notes__
            error.add_note(note)


def _leaves(
    group: BaseExceptionGroup[BaseException],
) -> Iterator[tuple[BaseException, tuple[BaseException, ...]]]:
    """The leaves of a group, each with the groups that it is in."""
    waiting: list[tuple[BaseException, tuple[BaseException, ...]]] = [(group, ())]
    while waiting:
        error, groups = waiting.pop()
        if isinstance(error, BaseExceptionGroup):
            within = (*groups, error)
            waiting.extend((inner, within) for inner in reversed(error.exceptions))
        else:
            yield error, groups


def _attribute(holder: object, name: str) -> Any:
    """What a stranger's object has under that name; ``None`` if it has not, or it raises."""
    if holder is None:
        return None
    try:
        return getattr(holder, name, None)
    except Exception:
        return None


def _retry_after(headers: Any) -> object:
    """The value of that header. Most mappings of headers do not care for the case; a dict does."""
    try:
        for name in ("Retry-After", "retry-after"):
            if (value := headers.get(name)) is not None:
                return value
        return _any_case(headers) if isinstance(headers, Mapping) else None
    except Exception:  # no mapping at all
        return None


def _any_case(headers: Mapping[Any, object]) -> object:
    for name, value in headers.items():
        if str(name).lower() == "retry-after":
            return value
    return None


def _seconds(value: Any, wall: float) -> float | None:
    """A number, a ``timedelta``, or the text of a number or of a date, as seconds from now."""
    if value is None or isinstance(value, bool):
        return None
    try:
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        if isinstance(value, str):
            return _of_text(value.strip(), wall)
        seconds = value if isinstance(value, int | float) else value.total_seconds()
        return min(float(seconds), LONGEST_REST) if seconds >= 0 else None
    except OverflowError:
        return LONGEST_REST if value > 0 else None
    except Exception:  # something else under that name
        return None


def _of_text(text: str, wall: float) -> float | None:
    if len(text) > CHARACTERS:
        return None
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_REST)
    from calendar import timegm  # heavy, as the other, and dates are rare
    from email.utils import parsedate_to_datetime

    moment = timegm(parsedate_to_datetime(text).utctimetuple())
    return min(max(0.0, moment - wall), LONGEST_REST)
