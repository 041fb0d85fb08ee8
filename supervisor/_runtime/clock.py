"""The one door for time and chance, so that tests can replace both."""

from __future__ import annotations

import random
import time
from contextvars import ContextVar
from datetime import datetime

import anyio

draws: ContextVar[random.Random | None] = ContextVar("supervisor draws", default=None)
"""The source of jitter for trees opened in this context; a ``Random`` of their own by default."""


def now() -> float:
    """Seconds of the event loop's clock, which is virtual under ``supervisor.testing``."""
    return anyio.current_time()


def machine() -> float:
    """Seconds of the machine's clock, which goes on while the event loop is blocked."""
    return time.monotonic()


def wall(at: float) -> datetime:
    """The wall-clock time of a moment of the event loop's clock, in the local time zone."""
    return datetime.fromtimestamp(time.time() + at - now()).astimezone()


def source_of_chance() -> random.Random:
    """Where a tree's random draws come from."""
    return draws.get() or random.Random()
