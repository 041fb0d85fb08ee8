"""Looks for leaks: what was there at the calms after the warm-up, and at the last ones.

Of several calms the *floor* counts, the least that was seen: what comes and goes is no leak. Of what
has to be back at its level the median counts as well, as what is there at nine calms out of ten, an
open connection say, may by chance have been away at one of the first and at none of the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from tests.chaos.record import Calm

GROWTH: Final = 0.05
"""By so much memory may grow after the warm-up."""

LEAST: Final = 3
"""Calms on either side without which nothing is judged."""

ALIKE: Final = ("children", "tasks", "threads", "descriptors")
"""What has to be back at its level."""

MEMORY: Final = ("rss", "blocks", "objects")


@dataclass(frozen=True)
class Floors:
    """The floor of each figure, after the warm-up and at the end; and what it usually was."""

    before: dict[str, int]
    after: dict[str, int]
    usually_before: dict[str, float]
    usually_after: dict[str, float]

    def growth(self, name: str) -> float:
        return self.after[name] / self.before[name] - 1

    def rose(self, name: str) -> bool:
        """Whether the figure is higher at the end, at the least and usually."""
        usually = self.usually_after[name] > self.usually_before[name]
        return usually and self.after[name] > self.before[name]


def floors(calms: Sequence[Calm], warm_up: float) -> Floors | None:
    """The floors of the first and the last third of what follows the warm-up; None for too few."""
    began = calms[0].at if calms else 0.0
    warm = [calm for calm in calms if calm.at - began >= warm_up]
    third = len(warm) // 3
    if third < LEAST:
        return None
    return _floors(warm[:third], warm[-third:])


def _floors(first: Sequence[Calm], last: Sequence[Calm]) -> Floors:
    return Floors(_floor(first), _floor(last), _usually(first), _usually(last))


def _floor(calms: Sequence[Calm]) -> dict[str, int]:
    return {name: min(getattr(calm, name) for calm in calms) for name in (*ALIKE, *MEMORY)}


def _usually(calms: Sequence[Calm]) -> dict[str, float]:
    return {name: median(getattr(calm, name) for calm in calms) for name in (*ALIKE, *MEMORY)}


def leaks(calms: Sequence[Calm], warm_up: float) -> Iterator[str]:
    """What has grown, and what was not as it should be at any calm."""
    for calm in calms:
        if calm.processes != 1:
            yield f"{calm.processes} child processes at a calm, where there is one world"
    found = floors(calms, warm_up)
    if found is not None:
        yield from _grown(found)
        for name in MEMORY:
            if found.growth(name) > GROWTH:
                yield f"{name} grew by {found.growth(name):.1%}: {_types(calms, warm_up)}"
    elif calms:
        # A run without a warm-up still has to come back to where it began.
        yield from _grown(_floors(calms[:1], calms[1:] or calms))


def _grown(found: Floors) -> Iterator[str]:
    for name in ALIKE:
        if found.rose(name):
            yield f"{name}: {found.before[name]} after the warm-up, {found.after[name]} at the end"


def _types(calms: Sequence[Calm], warm_up: float) -> str:
    """The types of which there are most more than before."""
    began = calms[0].at
    first = next(calm for calm in calms if calm.at - began >= warm_up).types
    last = calms[-1].types
    more = {kind: number - first.get(kind, 0) for kind, number in last.items()}
    most = sorted(more.items(), key=lambda item: -item[1])[:5]
    return ", ".join(f"{number:+} {kind}" for kind, number in most if number > 0)
