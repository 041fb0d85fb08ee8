"""TELL: guarded calls and their breakers, as lines that a person reads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from supervisor._happenings import (
    AttemptFailed,
    AttemptRule,
    BreakerClosed,
    BreakerForced,
    BreakerHalfOpened,
    BreakerOpened,
    BreakerRule,
    CallRecovered,
    Event,
    FallbackServed,
)
from supervisor._record.wording import (
    Wall,
    clock_time,
    count,
    duration,
    error_line,
    ordinal,
    soon,
    until,
)

WHY_NOT: Final[dict[AttemptRule, str]] = {
    "retried": "",
    "no retries": "its guard makes no retries",
    "retries used up": "its retries are used up",
    "not retried": "such an error is not retried",
    "retried further in": "a guard further in has retried it",
    "deadline": "a retry would end past its deadline",
    "asked for too long": "the service wants a longer rest than it waits for",
    "retry budget": "all calls together have used up their retries",
}
"""Why a call is not made again."""

OPENED: Final[dict[BreakerRule, str]] = {
    "failures in a row": "too many failures in a row",
    "failure rate": "too many of the calls failed",
    "slow calls": "too many of the calls were slow",
    "probes failed": "its probes failed",
    "no verdict in time": "its probes had no verdict in time",
}
"""Why a breaker has opened."""


def _attempt_failed(event: AttemptFailed, wall: Wall | None) -> str:
    of = f" ({event.context})" if event.context else ""
    after = "" if event.took is None else f" after {duration(event.took)}"
    failed = f"had a call of {event.guard}{of} fail{after}"
    return f"{failed}: {error_line(event.error)}; {_next(event)}"


def _next(event: AttemptFailed) -> str:
    if event.rule == "retried":
        return f"made again {soon(event.delay)} (the {ordinal(event.attempt + 1)} attempt)"
    why = WHY_NOT[event.rule]
    return f"given up: {why}" + (
        f" ({count(event.attempt, 'attempt')})" if event.attempt > 1 else ""
    )


def _call_recovered(event: CallRecovered, wall: Wall | None) -> str:
    nth = f"the {ordinal(event.attempt)} attempt"
    return f"had its call of {event.guard} succeed at {nth}, after {duration(event.took)}"


def _fallback_served(event: FallbackServed, wall: Wall | None) -> str:
    link = "a fallback" if event.level == 1 else f"its {ordinal(event.level)} fallback"
    return f"got an answer of {link} in the place of {event.guard}: {event.why}"


def _breaker_opened(event: BreakerOpened, wall: Wall | None) -> str:
    why = OPENED[event.rule]
    if event.times > 1:
        why += f"; the {ordinal(event.times)} time in a row"
    if event.metrics_only:
        return (
            f"would have the breaker of {event.guard} open, but only counts: {why}; {event.cause}"
        )
    end = f" until {clock_time(event.until, wall)}" if wall else ""
    opened = f"has the breaker of {event.guard} open for {duration(event.open)}{end}"
    return f"{opened}: {why}; the last: {event.cause}"


def _breaker_half_opened(event: BreakerHalfOpened, wall: Wall | None) -> str:
    refused = f"{count(event.rejected, 'call')} refused meanwhile"
    return f"has the breaker of {event.guard} half-open: a probe is under way; {refused}"


def _breaker_closed(event: BreakerClosed, wall: Wall | None) -> str:
    return f"has the breaker of {event.guard} closed again, {duration(event.took)} after it opened"


def _breaker_forced(event: BreakerForced, wall: Wall | None) -> str:
    if event.state is None:
        return f"has the breaker of {event.guard} released: {event.reason}"
    end = until(event.at, event.until, wall) or "until it is released"
    return f"has the breaker of {event.guard} forced to {event.state!r} {end}: {event.reason}"


TELL: Final[dict[type[Event], Callable[[Any, Wall | None], str]]] = {
    AttemptFailed: _attempt_failed,
    CallRecovered: _call_recovered,
    FallbackServed: _fallback_served,
    BreakerOpened: _breaker_opened,
    BreakerHalfOpened: _breaker_half_opened,
    BreakerClosed: _breaker_closed,
    BreakerForced: _breaker_forced,
}
"""What a line says after its subject."""

LEVELS: Final[dict[type[Event], int]] = {
    CallRecovered: logging.INFO,
    FallbackServed: logging.WARNING,
    BreakerHalfOpened: logging.INFO,
    BreakerClosed: logging.INFO,
    BreakerForced: logging.INFO,
}


def _of_attempt(event: AttemptFailed) -> int:
    if event.rule == "retried further in":
        return logging.INFO  # the guard that gave it up has told
    return logging.WARNING if event.rule == "retried" else logging.ERROR


VARYING: Final[dict[type[Event], Callable[[Any], int]]] = {
    AttemptFailed: _of_attempt,
    BreakerOpened: lambda event: logging.INFO if event.metrics_only else logging.WARNING,
}
