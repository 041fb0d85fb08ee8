"""What keeps the errors of a running tree: from its events to its records."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from supervisor._core.records import RESOLVING, Errors
from supervisor._core.summary import Tally, summary
from supervisor._errors import NotFound
from supervisor._happenings import AttemptFailed, Crashed, Event
from supervisor._runtime.clock import stamp
from supervisor._views import ErrorRecord, ErrorSummary

if TYPE_CHECKING:
    from supervisor._runtime.runtime import Runtime


class Recorder:
    """A sink of the tree's events. The records are there until the tree is collected, also after
    its end."""

    def __init__(self, tree: Runtime) -> None:
        self._tree = tree
        self._errors = Errors(reset_after=self._reset_after)
        self._tally = Tally()

    def note(self, event: Event) -> None:
        """An event was told. Most of them are none of its business."""
        kind = type(event)
        if kind is Crashed or kind is AttemptFailed:
            self._record(event)
        elif (resolve := RESOLVING.get(kind)) is not None:
            resolve(self._errors, event)

    def _record(self, event: Event) -> None:
        time = stamp() + event.at - self._tree.now()
        if isinstance(event, Crashed):
            record = self._errors.crashed(event, time)
        else:
            assert isinstance(event, AttemptFailed)
            record = self._errors.attempt_failed(event, time)
        self._tally.count(record)

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
