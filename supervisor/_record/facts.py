"""TELL: events as data: what machines store, send and search."""

from __future__ import annotations

import math
import traceback
from datetime import UTC, datetime
from types import TracebackType

from msgspec import Struct

from supervisor._happenings import Event
from supervisor._views import ErrorRecord

RUNTIME = "supervisor._runtime."


def facts(event: Event | ErrorRecord) -> dict[str, object]:
    """The fields of the event as JSON-able data; an error is its type and its message, the wall
    clock's time of a record is UTC in the form of ISO 8601."""
    data = {name: _jsonable(getattr(event, name)) for name in event.__struct_fields__}
    if isinstance(event, ErrorRecord):
        data["time"] = f"{datetime.fromtimestamp(event.time, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
    return data


def json_line(of: Event | ErrorRecord) -> str:
    """An error record, or an event, as one line of JSON: for a file, or for whoever collects them.

    An error is told by its type and its message, infinity is ``null``; the wall clock's time of a
    record is UTC in the form of ISO 8601, with a ``Z``.
    """
    import json

    return json.dumps({"kind": type(of).__name__, **facts(of)})


def _jsonable(value: object) -> object:
    match value:
        case BaseException():
            return _error(value)
        case Struct():
            return {name: _jsonable(getattr(value, name)) for name in value.__struct_fields__}
        case tuple():
            return [_jsonable(item) for item in value]
        case float() if not math.isfinite(value):
            return None  # JSON has no infinity; no end is what it means
    return value


def _error(error: BaseException) -> dict[str, object]:
    try:
        message = str(error)
    except Exception:
        message = "(its text cannot be shown)"
    return {"type": f"{type(error).__module__}.{type(error).__qualname__}", "message": message}


def traceback_text(error: BaseException) -> str:
    """The error as Python prints it, from the child's own outermost frame."""
    return "".join(traceback.format_exception(type(error), error, own_frames(error)))


def own_frames(error: BaseException) -> TracebackType | None:
    """The error's traceback without its outermost frames that are ours, which say nothing."""
    frames = error.__traceback__
    while frames is not None and _module(frames).startswith(RUNTIME):
        frames = frames.tb_next
    return frames


def _module(frames: TracebackType) -> str:
    return str(frames.tb_frame.f_globals.get("__name__", ""))
