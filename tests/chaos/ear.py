"""What the supervisor told: its events, and its log."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

from supervisor import Crashed, Event, GroupRestarted, Held, StopAsked, TreeFailed
from supervisor._record import prose
from tests.chaos.record import Line, Logged, Told, Trouble, now
from tests.chaos.witness import numbers


class Ear(logging.Handler):
    """Hears events (as a sink of the tree's bus), log records, and what Python complains of."""

    def __init__(self, write: Callable[[Line], None]) -> None:
        super().__init__()
        self._write = write
        self.heard = 0

    def listen(self) -> None:
        """Hear all that is logged, warned of, or raised where nobody can catch it."""
        logging.getLogger().addHandler(self)
        logging.getLogger("supervisor").setLevel(logging.INFO)
        warnings.simplefilter("always")
        warnings.showwarning = self._warned  # type: ignore[assignment]
        sys.unraisablehook = lambda raised: self._wrong(f"{raised.err_msg}: {raised.exc_value!r}")
        threading.excepthook = lambda raised: self._wrong(f"a thread raised {raised.exc_value!r}")

    def hear(self, event: Event) -> None:
        """Write the event down."""
        self.heard += 1
        told = Told(now(), type(event).__name__, event.path, prose.life_of(event) or 0)
        told.level = prose.level(event)
        if isinstance(event, Crashed):
            told.error = type(event.error).__name__
            told.action = event.verdict.action
            told.failures = _failures(event.error)
        elif isinstance(event, GroupRestarted):
            told.members = event.members
        elif isinstance(event, Held):
            told.why = event.owner
        elif isinstance(event, StopAsked):
            told.why = event.reason
        self._write(told)

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", "")
        if not event and record.levelno < logging.ERROR:
            return
        logged = Logged(now(), record.levelno, record.name, record.getMessage()[:200], event)
        if event:
            logged.path, logged.life = _subject(record)
            logged.failures = _failures(record.exc_info[1]) if record.exc_info else ()
        elif record.exc_info:
            logged.text += f": {record.exc_info[1]!r}"
        self._write(logged)

    def _warned(self, message: Warning | str, kind: type[Warning], *where: Any, **_: Any) -> None:
        self._wrong(f"{kind.__name__}: {message} ({where[0]}:{where[1]})")

    def _wrong(self, what: str) -> None:
        self._write(Trouble(now(), what))


def _subject(record: logging.LogRecord) -> tuple[str, int]:
    return record.path, record.life  # type: ignore[attr-defined]


def _failures(error: BaseException | None) -> tuple[int, ...]:
    # What a supervisor gave up with has the failures of its children, told when they crashed.
    if error is None or isinstance(error, TreeFailed):
        return ()
    return tuple(sorted(numbers(error)))
