"""What keeps the errors of a running tree: from its events to its records."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from supervisor._core.records import RESOLVING, Errors
from supervisor._core.summary import Tally, summary
from supervisor._errors import NotFound
from supervisor._happenings import AttemptFailed, Crashed, Event
from supervisor._runtime.clock import stamp
from supervisor._views import ErrorRecord, ErrorSummary

if TYPE_CHECKING:
    from supervisor._runtime.runtime import Runtime


FRESH: Final = 1.0
"""Seconds after which the wall clock is looked at again, for it may have been set."""


class Recorder:
    """A sink of the tree's events. The records are there until the tree is collected, also after
    its end."""

    def __init__(self, tree: Runtime) -> None:
        self._tree = tree
        self._errors = errors = Errors(reset_after=self._reset_after)
        self._tally = Tally()
        self._handlers: dict[type[Event], Callable[[Any], object]] = {
            kind: partial(resolve, errors) for kind, resolve in RESOLVING.items()
        }
        self._handlers |= {Crashed: self._crashed, AttemptFailed: self._attempt_failed}
        self._ahead = 0.0  # of the tree's clock is the wall clock by so much
        self._fresh_until = -math.inf

    def note(self, event: Event) -> None:
        """An event was told. Most of them are none of its business."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _crashed(self, event: Crashed) -> None:
        if event.at >= self._fresh_until:
            self._look_at_the_clock()
        self._tally.count(self._errors.crashed(event, event.at + self._ahead))

    def _attempt_failed(self, event: AttemptFailed) -> None:
        if event.at >= self._fresh_until:
            self._look_at_the_clock()
        self._tally.count(self._errors.attempt_failed(event, event.at + self._ahead))

    def _look_at_the_clock(self) -> None:
        now = self._tree.now()
        self._ahead = stamp() - now
        self._fresh_until = now + FRESH

    def healthy(self, path: str) -> None:
        """A life says of itself that it works."""
        self._errors.healthy(path, self._tree.now())

    def _reset_after(self, path: str) -> float:
        try:
            _, child = self._tree.face._find(path)
        except NotFound:
            return math.inf
        after: float = child.spec.backoff.reset_after
        return after

    def records(self, path: str, *, unresolved: bool) -> tuple[ErrorRecord, ...]:
        """The records of what is at or below a path, the oldest first."""
        return self._errors.records(self._tree.now(), path, unresolved=unresolved)

    def summary(self, path: str) -> ErrorSummary:
        """The errors of what is at or below a path, in figures."""
        return summary(
            self._errors, self._tally, self._tree.now(), path, self._tree.guards.breakers()
        )
