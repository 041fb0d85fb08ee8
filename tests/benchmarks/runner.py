"""Each case of each round in a fresh process, ours and the floor in turn."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from tests.benchmarks.rows import SIDES, Backend, Row, Side

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 120
"""Seconds after which a case has failed."""


class CaseFailed(Exception):
    """A case did not give a figure."""


@dataclass(frozen=True)
class Result:
    """The figures of one row on one backend, in the order of the rounds."""

    row: Row
    backend: Backend
    rounds: dict[Side, list[float]]

    @property
    def ours(self) -> float:
        return median(self.rounds["ours"])

    @property
    def floor(self) -> float:
        return median(self.rounds["floor"])

    @property
    def ratio(self) -> float | None:
        """Ours to the floor; None for a row whose bar is the figure itself."""
        if self.row.bar is not None and self.row.bar.of == "ours":
            return None
        return self.ours / self.floor

    @property
    def met(self) -> bool | None:
        """Whether the row reached its bar; None for a row that has none."""
        if self.row.bar is None:
            return None
        value = self.ours if self.ratio is None else self.ratio
        return self.row.bar.met(self.backend, value)


def measure(
    rows: Sequence[Row],
    backends: Sequence[Backend],
    rounds: int,
    size: int | None,
    tell: Callable[[str], object],
) -> list[Result]:
    """Measure all rows.

    Raises:
        CaseFailed: the first case that gave no figure.
    """
    results = []
    for row in rows:
        # Where the backend makes no difference, one measurement stands for all.
        for backend in backends if row.has_backend else backends[:1]:
            tell(f"{row.name} on {backend}")
            figures = _measure(row, backend, rounds * row.repeat, size or row.size)
            same = (backend,) if row.has_backend else backends
            results += [Result(row, each, figures) for each in same]
    return results


def _measure(row: Row, backend: Backend, rounds: int, size: int) -> dict[Side, list[float]]:
    figures: dict[Side, list[float]] = {side: [] for side in SIDES}
    for number in range(rounds):
        # Whoever goes second finds the machine as the first one left it.
        for side in SIDES if number % 2 else reversed(SIDES):
            figures[side].append(_run(row, side, backend, size))
    return figures


def _run(row: Row, side: Side, backend: Backend, size: int) -> float:
    args = [row.name, side, backend, str(size)]
    command = [sys.executable, "-m", "tests.benchmarks.child", *args]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise CaseFailed(f"{' '.join(args)} took more than {PATIENCE} s") from None
    if done.returncode:
        raise CaseFailed(f"{' '.join(args)} exited with {done.returncode}\n{done.stderr}")
    return float(done.stdout)
