"""What the service counted, beside what had to come out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tests.outside.scenarios import CLASSES, Phase, Scenario

WEIGHTS: Final = {"low": 1, "medium": 3, "high": 9, "critical": 27}
TOLERANCE: Final = 0.2
"""By so much of its share may a class be off; low may have more."""


@dataclass(frozen=True)
class Count:
    """So many requests of a class, in the tenth of a second from ``at`` on, were answered alike."""

    at: float
    priority: str
    accepted: bool
    number: int


@dataclass(frozen=True)
class Window:
    """What the service counted from ``since`` to ``until``, and how much it would have accepted."""

    since: float
    until: float
    allowed: float
    accepted: Counter[str]
    refused: Counter[str]

    @classmethod
    def of(cls, counts: Iterable[Count], since: float, until: float, rate: float) -> Window:
        accepted, refused = Counter[str](), Counter[str]()
        for count in counts:
            if since <= count.at < until:
                (accepted if count.accepted else refused)[count.priority] += count.number
        return cls(since, until, rate * (until - since), accepted, refused)

    @property
    def used(self) -> float:
        return self.accepted.total() / self.allowed

    @property
    def refused_share(self) -> float:
        return self.refused.total() / max(1, self.accepted.total() + self.refused.total())

    def share(self, priority: str) -> float:
        return self.accepted[priority] / max(1, self.accepted.total())


@dataclass(frozen=True)
class Finding:
    """One figure beside its bar."""

    what: str
    value: float
    sign: Literal["<=", ">="]
    bar: float

    @property
    def met(self) -> bool:
        return self.value <= self.bar if self.sign == "<=" else self.value >= self.bar


def judge(scenario: Scenario, counts: Sequence[Count], starts: Sequence[float]) -> list[Finding]:
    """Each bar of each phase; ``starts`` are the moments at which the phases began."""
    findings: list[Finding] = []
    for phase, window in zip(scenario.phases, windows(scenario, counts, starts), strict=True):
        at = f" at {phase.rate:g}/s" if len(scenario.phases) > 1 else ""
        findings.append(Finding(f"refused{at}", window.refused_share, "<=", scenario.refused))
        findings.append(Finding(f"used{at}", window.used, ">=", scenario.used))
        if scenario.shares:
            findings += _shares(window)
    return findings


def windows(scenario: Scenario, counts: Sequence[Count], starts: Sequence[float]) -> list[Window]:
    """What is judged of each phase."""
    return [_judged(phase, counts, at) for phase, at in zip(scenario.phases, starts, strict=True)]


def _judged(phase: Phase, counts: Sequence[Count], start: float) -> Window:
    return Window.of(counts, start + phase.skip, start + phase.seconds, phase.rate)


def _shares(window: Window) -> list[Finding]:
    """Each class's part of its share, where 1 is all of it."""
    findings = []
    for priority in reversed(CLASSES):
        part = window.share(priority) * sum(WEIGHTS.values()) / WEIGHTS[priority]
        if priority != "medium":
            findings.append(Finding(f"{priority} of its share", part, ">=", 1 - TOLERANCE))
        if priority in {"high", "critical"}:
            findings.append(Finding(f"{priority} of its share", part, "<=", 1 + TOLERANCE))
    return findings


def by_second(counts: Iterable[Count], start: float, until: float) -> list[tuple[int, int]]:
    """Accepted and refused in each second from ``start`` on."""
    seconds = [[0, 0] for _ in range(int(until - start))]
    for count in counts:
        at = int(count.at - start)
        if count.at >= start and at < len(seconds):
            seconds[at][not count.accepted] += count.number
    return [(accepted, refused) for accepted, refused in seconds]
