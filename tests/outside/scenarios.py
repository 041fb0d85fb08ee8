"""What the service allows and the client is told, phase by phase, and what has to come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from supervisor import Adapt, Budget, Limit

CLASSES: Final = ("low", "medium", "high", "critical")
SETTLING: Final = 20.0
"""Seconds that a rate which nobody told takes to be found, from 10 a second."""

BACK: Final = 10.0
"""Seconds after a change from when on the figures have to be what they were."""


@dataclass(frozen=True)
class Phase:
    """The service's ``rate`` for so many seconds, of which the first ones are not judged."""

    rate: float
    skip: float
    judged: float

    @property
    def seconds(self) -> float:
        return self.skip + self.judged


@dataclass(frozen=True)
class Scenario:
    """``refused`` of the requests at most, and ``used`` of the limit at least."""

    name: str
    budget: Budget
    phases: tuple[Phase, ...]
    refused: float
    used: float
    workers: int  # for each class
    shares: bool = False

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)


def scenarios(seconds: float) -> dict[str, Scenario]:
    """All of them, judged for so many seconds each; the halving has times of its own."""
    hidden = Budget(adapt=Adapt())
    once = (Phase(100, SETTLING, seconds),)
    halving = (Phase(100, SETTLING, 5), Phase(50, BACK, 10), Phase(100, BACK, 10))
    told = Budget(Limit(10, per=1))
    every = (
        Scenario("hidden", hidden, once, refused=0.03, used=0.9, workers=6),
        Scenario("declared", told, (Phase(10, 2, seconds),), refused=0.01, used=0.9, workers=2),
        Scenario("classes", hidden, once, refused=0.03, used=0.9, workers=20, shares=True),
        Scenario("halving", hidden, halving, refused=0.03, used=0.9, workers=6),
    )
    return {scenario.name: scenario for scenario in every}


NAMES: Final = tuple(scenarios(1))
