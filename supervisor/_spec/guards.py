"""DECLARE: how guarded calls are retried, and when they are refused, as frozen values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from inspect import iscoroutinefunction
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from msgspec import Meta, Struct

from supervisor._spec.policy import MOST, Count, Factor, Positive, Seconds
from supervisor._spec.values import Wrong, field_types, shown, wrong_value
from supervisor._words import Priority, Severity

Spread: TypeAlias = Literal["decorrelated", "full", "equal", "none"]
Nested: TypeAlias = Literal["off", "on"]
Share: TypeAlias = Annotated[float, Meta(gt=0, le=1)]
Number: TypeAlias = Annotated[int, Meta(ge=0, le=MOST)]
Matchers: TypeAlias = tuple[Any, ...]
"""Types of errors, and predicates of one. An error matches if one of them says so."""


class Retry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often and after what delays a call that failed is made again.

    Everything of one call is on its stack, so that any number of tasks share a policy. The delay is
    capped before it is drawn. ``decorrelated`` draws from ``base`` (half of ``cap`` if that is less)
    to ``factor + 1`` times the last delay ("Exponential Backoff And Jitter", AWS Architecture Blog,
    2015); the others draw from ``base * factor**n``: ``full`` from 0 on, ``equal`` from half of it,
    ``none`` takes it as it is.

    Retries of all calls share a budget: each takes a token, each call that succeeds at once puts
    back ``share`` of one, each second ``reserve``, up to what ten seconds of ``reserve`` make, or up
    to ten (the retry budget of Twitter's Finagle). So a service that is down is not asked four times
    as often.

    Args:
        retries: after the first call; 0 for none, ``None`` for no end but the ``deadline``.
        base: seconds.
        factor: by how much the delay grows from one retry to the next.
        cap: seconds that a delay lasts at most.
        jitter: how the delay is drawn.
        deadline: seconds for all of it, delays included. The deadline of the scope that the caller
            is in holds anyway: a delay that would end past either is not begun.
        max_retry_after: seconds; a service that asks for a longer rest is not waited for.
        share: retries for each call that succeeds at once, from 0 to 1.
        reserve: retries a second that are there without any success; infinity for no budget.
        on: what is retried though it would not be: types of errors, or predicates of an error.
        never: what is not retried whatever else says so.
        nested: ``off`` leaves what a guard further in has retried as it is; ``on`` retries it again.
    """

    retries: Number | None = 3
    base: Seconds = 1.0
    factor: Factor = 2.0
    cap: Positive = 30.0
    jitter: Spread = "decorrelated"
    deadline: Positive | None = None
    max_retry_after: Positive = 60.0
    share: Annotated[float, Meta(ge=0, le=1)] = 0.2
    reserve: Annotated[float, Meta(ge=0)] = 10.0
    on: Matchers = ()
    never: Matchers = ()
    nested: Nested = "off"


class Breaker(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When calls to a service that fails are refused, for how long, and what ends it.

    Closed, it counts. It opens after ``failures`` in a row, or when among at least ``calls`` of the
    last ``window`` seconds the share of failures reaches ``rate``, or that of slow ones
    ``slow_rate``; that is looked at whenever a call has ended. Open, it refuses every call for
    ``open`` seconds, ``factor`` times longer each time in a row up to ``cap``, or for as long as the
    service has asked for, up to ``cap``; and up to a fifth longer by chance. Then, half-open, it
    lets ``half_open`` calls through as probes and refuses the others at once: ``successes`` of them
    close it, as soon as they cannot be reached it opens again. In half-open that verdict is all that
    counts. A breaker that stays closed for ``cap`` seconds begins with ``open`` again.

    A call that is cancelled is neither a success nor a failure; if it was slow already, it is one
    slow call more. What comes back after the state has changed counts for nothing.

    Args:
        failures: in a row, the first of them less than ``window`` ago; 0 for never.
        rate: share of failures, above 0 and up to 1.
        slow: seconds; a call that takes longer is slow. A probe that is slow is no success.
        slow_rate: share of slow calls.
        calls: so many, at least, make a share.
        window: seconds, to a tenth of them.
        open: seconds.
        factor: by how much the time open grows.
        cap: seconds.
        half_open: probes.
        successes: so many of the probes close it; all of them by default.
        probe: seconds that probes may be under way without a verdict. Then it opens again, for as
            long as before; by default twice the guard's timeout, ``open`` where it has none.
        ramp: seconds in which it lets more and more through after it has closed, from a tenth on.
        counts: what counts as a failure though it would not: types of errors, or predicates.
        ignore: what counts as neither success nor failure.
    """

    failures: Number = 5
    rate: Share | None = None
    slow: Positive | None = None
    slow_rate: Share = 0.8
    calls: Count = 10
    window: Positive = 60.0
    open: Positive = 60.0
    factor: Factor = 2.0
    cap: Positive = 900.0
    half_open: Count = 1
    successes: Count | None = None
    probe: Positive | None = None
    ramp: Seconds = 0.0
    counts: Matchers = ()
    ignore: Matchers = ()


_MATCHERS: Final = "write types of errors or functions of an error, in a tuple"
_RETRY: Final = "write a Retry(...), or None for no retries"
_BREAKER: Final = "write a Breaker(...), or None for none"


def wrong_guard(fields: Mapping[str, Any]) -> Iterator[tuple[str, Wrong]]:
    """The mistakes in a guard's declaration, each with its field."""
    yield from wrong_value("budget", fields["budget"], str | None)
    yield from wrong_how(fields)
    yield from wrong_retry("retry", fields["retry"])
    yield from wrong_breaker("breaker", fields["breaker"])
    yield from wrong_matchers("throttled", fields["throttled"])
    yield from wrong_severities("severities", fields["severities"])
    if isinstance(fields["fallback"], tuple) and not fields["fallback"]:
        yield "fallback", ("is a chain without a link", "write ((),) to serve (), or None for none")
    bad = fields["bad_result"]
    if bad is not None and not callable(bad):
        yield "bad_result", (f"is {shown(bad)}", "write a function of a result")


def wrong_how(fields: Mapping[str, Any]) -> Iterator[tuple[str, Wrong]]:
    """The mistakes in what may be said anew for each call of a guard."""
    yield from wrong_value("priority", fields["priority"], Priority | None)
    yield from wrong_value("cost", fields["cost"], Count)
    yield from wrong_value("timeout", fields["timeout"], Positive | None)


def wrong_retry(path: str, retry: object) -> Iterator[tuple[str, Wrong]]:
    """The mistakes in how a guard retries."""
    if retry is None:
        return
    if not isinstance(retry, Retry):
        yield path, (f"is {shown(retry)}", _RETRY)
        return
    wrong = list(_wrong_policy(path, retry))
    if not wrong and retry.retries is None and retry.deadline is None:
        wrong.append((f"{path}.retries", ("is None, without end", "write a deadline as well")))
    yield from wrong


def wrong_breaker(path: str, breaker: object) -> Iterator[tuple[str, Wrong]]:
    """The mistakes in a guard's breaker."""
    if breaker is None:
        return
    if not isinstance(breaker, Breaker):
        yield path, (f"is {shown(breaker)}", _BREAKER)
        return
    wrong = list(_wrong_policy(path, breaker))
    if not wrong and breaker.successes is not None and breaker.successes > breaker.half_open:
        what = f"is {breaker.successes}, but half-open lets {breaker.half_open} through"
        wrong.append((f"{path}.successes", (what, f"write at most {breaker.half_open}")))
    if not wrong and not breaker.failures and breaker.rate is None and breaker.slow is None:
        what = "has neither failures nor a rate nor slow, and would never open"
        wrong.append((path, (what, "write one of them, or breaker=None")))
    yield from wrong


def _wrong_policy(path: str, policy: Retry | Breaker) -> Iterator[tuple[str, Wrong]]:
    for name, kind in field_types(type(policy)).items():
        value = getattr(policy, name)
        if kind == Matchers:
            yield from wrong_matchers(f"{path}.{name}", value)
        else:
            yield from wrong_value(f"{path}.{name}", value, kind)


def wrong_matchers(path: str, matchers: object) -> Iterator[tuple[str, Wrong]]:
    """The mistakes in what says which errors are meant."""
    if not isinstance(matchers, tuple):
        yield path, (f"is {shown(matchers)}", _MATCHERS)
        return
    for matcher in matchers:
        if isinstance(matcher, type):
            if not issubclass(matcher, Exception):
                yield path, (f"has {shown(matcher)}, which is no type of error", _MATCHERS)
        elif not callable(matcher) or iscoroutinefunction(matcher):  # one is true, whatever it says
            yield path, (f"has {shown(matcher)}", _MATCHERS)


def wrong_severities(path: str, severities: object) -> Iterator[tuple[str, Wrong]]:
    """The mistakes in how severe errors are said to be."""
    allowed = get_args(Severity)
    write = f"write a table of type = one of {', '.join(allowed)}"
    if not isinstance(severities, Mapping):
        yield path, (f"is {shown(severities)}", write)
        return
    for kind, severity in severities.items():
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            yield path, (f"has {shown(kind)}, which is no type of error", write)
        elif severity not in allowed:
            yield path, (f"has {shown(severity)} for {kind.__name__}", write)
