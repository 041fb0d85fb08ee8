"""Whether a limit can be reached at all, given how long restarts wait.

A delay that is too long for its limit disables the limit silently (EEP 57, "Restart delay", names
this trap). The test takes the worst children there are: one that crashes as soon as it runs, and
one that lives just long enough for its backoff to begin anew each time; and of each jittered delay
the mean. A limit that neither reaches is as good as none.
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
    """Whether that many crashes fit into the window: the first at once, the others each after the
    delay of one more restart."""
    return crashes_within(quarantine.within, backoff, quarantine.crashes) >= quarantine.crashes


def intensity_is_reachable(intensity: Intensity, backoffs: Iterable[tuple[Backoff, int]]) -> bool:
    """Whether so many children of each backoff can together restart more often than that within
    the period."""
    enough = intensity.restarts + 1
    crashes = 0.0
    for backoff, children in backoffs:
        crashes += crashes_within(intensity.within, backoff, enough) * children
        if crashes >= enough:
            return True
    return False


@lru_cache(maxsize=256)
def crashes_within(within: float, backoff: Backoff, enough: int) -> float:
    """How often a child can crash in less than ``within`` seconds, counted up to ``enough``."""
    again = _at_even_pace(within, backoff.first + backoff.reset_after)
    if backoff.reset_after == 0:  # each life begins anew, however short it is
        return min(enough, again)
    # After the first delay they only grow, so the window begins best right before or after it.
    first = _at_once(within, _delays(backoff), enough)
    later = _at_once(within, islice(_delays(backoff), 1, None), enough)
    return min(enough, max(first, later, again))


def _at_once(within: float, delays: Iterator[float], enough: int) -> float:
    crashes, passed, last = 1, 0.0, 0.0
    for last in islice(delays, min(enough, LONGEST)):
        passed += last
        if passed >= within or crashes >= enough:
            return crashes
        crashes += 1
    return crashes + _at_even_pace(within - passed, last) - 1


def _at_even_pace(within: float, gap: float) -> float:
    """How many of so many seconds apart fit into less than ``within``, the first at its start."""
    if gap == math.inf:
        return 1
    turns = within / gap if gap > 0 else math.inf
    return turns if turns == math.inf else math.ceil(turns)


def _delays(backoff: Backoff) -> Iterator[float]:
    yield backoff.first
    mean, delay = _MEAN[backoff.jitter], backoff.base
    while True:
        yield mean * min(backoff.cap, delay)
        delay = min(backoff.cap, delay * backoff.factor)
