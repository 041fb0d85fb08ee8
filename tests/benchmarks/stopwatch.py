"""What a case gives: its figure, and beside it the same figure in processor time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import ClassVar, Protocol


@dataclass(frozen=True)
class Figure:
    """``value`` is what the row is about, and where that is a time, it is one on the wall.

    ``cpu`` is the same by the processor time of the whole process: what other work on the machine
    takes away is not in it, and neither is waiting. None where the figure is no time.
    """

    value: float
    cpu: float | None = None

    @classmethod
    def rate(cls, count: int, took: Figure) -> Figure:
        """So many a second."""
        assert took.cpu is not None
        return cls(count / took.value, count / took.cpu)

    @classmethod
    def median(cls, figures: Sequence[Figure]) -> Figure:
        cpus = [figure.cpu for figure in figures if figure.cpu is not None]
        return cls(median(figure.value for figure in figures), median(cpus) if cpus else None)

    def times(self, factor: float) -> Figure:
        return Figure(self.value * factor, None if self.cpu is None else self.cpu * factor)


class Observer(Protocol):
    """Looks at what happens while a stopwatch runs."""

    def begin(self) -> None: ...
    def end(self) -> None: ...


class Stopwatch:
    """Runs from the moment at which it is made, until it is read."""

    observer: ClassVar[Observer | None] = None

    def __init__(self) -> None:
        if self.observer is not None:
            self.observer.begin()
        self._cpu = time.process_time()
        self._wall = time.perf_counter()

    def seconds(self) -> Figure:
        wall = time.perf_counter() - self._wall
        cpu = time.process_time() - self._cpu
        if self.observer is not None:
            self.observer.end()
        return Figure(wall, cpu)
