"""TELL: events as log records, and log records as lines for people and for machines."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, TypeAlias

from supervisor._errors import TreeFailed
from supervisor._happenings import Crashed, Event, StopTimedOut
from supervisor._record import prose
from supervisor._record.facts import facts, own_frames
from supervisor._record.wording import Wall, sole

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]

LOGGER: Final = "supervisor"


def log_events(
    logger: logging.Logger | None = None, *, wall: Wall | None = None
) -> Callable[[Event], None]:
    """A subscriber that logs each event as one line.

    The record carries ``path``, ``life`` (0 for an event of the child itself), ``event``
    (its name) and ``facts`` (its other fields, JSON-able), for formatters to use. The record of a
    crash has the child's own traceback, that of a stop that timed out its stack. A supervisor that
    gave up has none: those of its offenders were logged when they crashed.
    """
    log = logging.getLogger(LOGGER) if logger is None else logger

    def write(event: Event) -> None:
        level = prose.level(event)
        if log.isEnabledFor(level):
            log.handle(_record(log, level, event, wall))

    return write


def _record(log: logging.Logger, level: int, event: Event, wall: Wall | None) -> logging.LogRecord:
    # Made by hand: Logger.log would search the stack for a caller that says nothing here, and
    # cannot be given the stack of somebody else.
    return log.makeRecord(
        log.name,
        level,
        "(supervisor)",
        0,
        prose.line(event, wall=wall),
        (),
        _exc_info(event),
        extra=_extra(event),
        sinfo=event.stack if isinstance(event, StopTimedOut) else None,
    )


def _extra(event: Event) -> dict[str, object]:
    others = facts(event)
    # These are said elsewhere in the record.
    for name in ("path", "life", "stack"):
        others.pop(name, None)
    return {
        "path": event.path,
        "life": prose.life_of(event) or 0,
        "event": type(event).__name__,
        "facts": others,
    }


def _exc_info(event: Event) -> ExcInfo | None:
    if not isinstance(event, Crashed) or isinstance(event.error, TreeFailed):
        return None
    error = sole(event.error)
    return type(error), error, own_frames(error)


class LineFormatter(logging.Formatter):
    """Records for people: ``12:05:31 WARNING trading/telegram#4 chat: slow answer``.

    An event's own line names its child, so nothing stands before it.
    """

    colours: Final = {
        logging.DEBUG: "\x1b[2m",
        logging.WARNING: "\x1b[33m",
        logging.ERROR: "\x1b[31m",
        logging.CRITICAL: "\x1b[1;31m",
    }

    def __init__(self, *, coloured: bool = False) -> None:
        super().__init__()
        self.coloured = coloured

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        time = datetime.fromtimestamp(record.created)
        text = f"{time:%H:%M:%S} {record.levelname:<7} {_origin(record)}{record.message}"
        colour = self.colours.get(record.levelno) if self.coloured else None
        return f"{colour}{text}\x1b[0m" if colour else text


def _origin(record: logging.LogRecord) -> str:
    if hasattr(record, "event"):
        return ""
    path: str = getattr(record, "path", "")
    child = f"{path}#{getattr(record, 'life', 0)} " if path else ""
    return f"{child}{record.name}: "


class JsonFormatter(logging.Formatter):
    """Records for machines: one JSON object a line, an event's fields and a caller's ``extra``
    among the others."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        import json

        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        data = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        for name in ("path", "life", "event"):
            if value := extra.pop(name, None):
                data[name] = value
        data["message"] = record.getMessage()
        data |= extra.pop("facts", {})
        data |= extra
        if record.exc_info:
            data["traceback"] = self.formatException(record.exc_info)
        if record.stack_info:
            data["stack"] = record.stack_info
        return json.dumps(data, default=str, skipkeys=True)


# "message" and "asctime" are set by formatters that saw the record before.
_STANDARD: Final = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
