"""The schedule on which the outside world misbehaves with ``TRADING_CHAOS=1``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from endpoint import Endpoint, Mode


class Trouble(NamedTuple):
    """From second ``at`` of each minute on, ``api`` behaves in this mode for so many seconds."""

    at: float
    api: str
    mode: Mode
    seconds: float


ROUND = 60.0
SCHEDULE = (
    Trouble(5, "prices", "limited", 4),
    Trouble(12, "prices", "garbage", 4),
    Trouble(20, "telegram", "error", 6),
    Trouble(40, "prices", "slow", 4),
    Trouble(46, "telegram", "limited", 3),
    Trouble(53, "telegram", "hang", 3),
)


def misbehave(apis: Mapping[str, Endpoint], speed: float, say: Callable[[str], None]) -> None:
    """Follow the schedule, round after round, for as long as the process lives."""
    began = time.monotonic()
    while True:
        for trouble in SCHEDULE:
            _sleep_until(began + trouble.at / speed)
            say(f"{trouble.api}: {trouble.mode} for {trouble.seconds / speed:g} s")
            apis[trouble.api].behave(trouble.mode)
            _sleep_until(began + (trouble.at + trouble.seconds) / speed)
            apis[trouble.api].behave("ok")
            say(f"{trouble.api}: ok")
        began += ROUND / speed
        _sleep_until(began)


def _sleep_until(when: float) -> None:
    time.sleep(max(0.0, when - time.monotonic()))
