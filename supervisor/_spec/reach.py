"""Whether a limit can be reached at all, given how long restarts wait.

A delay that is too long for its limit disables the limit silently (EEP 57 names this trap). The
test takes the mean of each jittered delay and the two fastest ways to crash: as soon as it runs, so
that the delays grow, or as soon as its backoff begins a new series, so that each restart waits
``first``. A limit that neither way reaches within its window is taken for unreachable.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Final

from supervisor._spec.policy import Backoff, Intensity, Quarantine

LONGEST: Final = 10_000
"""So many delays are added up; beyond that the last one stands for the rest."""

_MEAN: Final = {"full": 0.5, "equal": 0.75, "none": 1.0}


def quarantine_is_reachable(quarantine: Quarantine, backoff: Backoff) -> bool:
    """Whether so many crashes fit into the window: the first at once, and each of the others after
    the delay of one more restart."""
    return crashes_within(quarantine.within, backoff, quarantine.crashes) >= quarantine.crashes


def intensity_is_reachable(intensity: Intensity, backoffs: Iterable[Backoff]) -> bool:
    """Whether all the children together can fail once more than restarts are allowed."""
    enough = intensity.restarts + 1
    crashes = 0
    for backoff in backoffs:
        crashes += crashes_within(intensity.within, backoff, enough)
        if crashes >= enough:
            return True
    return False


@lru_cache(maxsize=256)
def crashes_within(within: float, backoff: Backoff, enough: int) -> int:
    """How often a child can crash in less than ``within`` seconds, counted up to ``enough``."""
    return 1 + max(_growing(within, backoff, enough - 1), _steady(within, backoff, enough - 1))


def _steady(within: float, backoff: Backoff, enough: int) -> int:
    reset = backoff.reset_after  # the last of the lives need not last so long
    return 0 if math.isinf(reset) else _fitting(within + reset, backoff.first + reset, enough)


def _growing(within: float, backoff: Backoff, enough: int) -> int:
    passed = last = 0.0
    for count, last in enumerate(islice(_delays(backoff), min(enough, LONGEST))):
        passed += last
        if passed >= within:
            return count
    return enough if enough <= LONGEST else LONGEST + _fitting(within - passed, last, enough)


def _fitting(within: float, delay: float, enough: int) -> int:
    """How many such delays fit, less than ``within`` seconds long in all, counted up to
    ``enough``."""
    if delay <= 0 or math.isinf(within):
        return enough
    return max(0, min(enough, math.ceil(within / delay) - 1))


def _delays(backoff: Backoff) -> Iterator[float]:
    yield backoff.first
    mean, delay = _MEAN[backoff.jitter], min(backoff.cap, backoff.base)
    while True:
        yield mean * delay
        delay = min(backoff.cap, delay * backoff.factor)
