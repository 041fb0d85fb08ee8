"""Whether a limit can be reached at all, given how long restarts wait.

A delay that is too long for its limit disables the limit silently (EEP 57, "Restart delay", names
this trap). The test takes the worst child there is, one that crashes as soon as it runs, and the
mean of each jittered delay: what such a child does not reach, no child reaches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from supervisor._spec.policy import Backoff, Intensity, Quarantine

LONGEST = 10_000
"""So many delays are added up; beyond that the last one stands for the rest."""

_MEAN = {"full": 0.5, "equal": 0.75, "none": 1.0}


def quarantine_is_reachable(quarantine: Quarantine, backoff: Backoff) -> bool:
    """Whether that many crashes fit into the window: the first at once, the others each after the
    delay of one more restart."""
    return crashes_within(quarantine.within, backoff, quarantine.crashes) >= quarantine.crashes


def intensity_is_reachable(intensity: Intensity, backoffs: Iterable[Backoff]) -> bool:
    """Whether all the children together can restart more often than that within the period."""
    enough = intensity.restarts + 1
    crashes = 0
    for backoff in backoffs:
        crashes += crashes_within(intensity.within, backoff, enough)
        if crashes >= enough:
            return True
    return False


def crashes_within(within: float, backoff: Backoff, enough: int) -> int:
    """How often a child that crashes at once can crash in less than ``within`` seconds, counted up
    to ``enough``."""
    crashes, passed, last = 1, 0.0, 0.0
    for last in islice(_delays(backoff), min(enough, LONGEST)):
        passed += last
        if passed >= within or crashes >= enough:
            return crashes
        crashes += 1
    more = enough if last == 0 else int((within - passed) / last)
    return min(enough, crashes + more)


def _delays(backoff: Backoff) -> Iterator[float]:
    yield backoff.first
    mean, delay = _MEAN.get(backoff.jitter, 1.0), backoff.base
    while True:
        yield mean * min(backoff.cap, delay)
        delay = min(backoff.cap, delay * backoff.factor)
