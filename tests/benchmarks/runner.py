"""Each case of each round in a fresh process, the sides of a row in turn."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from tests.benchmarks.peers import PEERS, case_of, why_not
from tests.benchmarks.rows import SIDES, Backend, Row
from tests.benchmarks.stopwatch import Figure

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 300
"""Seconds after which a case of ours has failed."""
PATIENCE_WITH_PEERS: Final = 60
CGROUP: Final = Path("/sys/fs/cgroup")


class CaseFailed(Exception):
    """A case did not give a figure."""

    @property
    def in_a_line(self) -> str:
        """The last line that says something: of a traceback, the exception."""
        return [line for line in str(self).splitlines() if any(map(str.isalnum, line))][-1].strip()


@dataclass(frozen=True)
class Result:
    """The figures of one row on one backend, in the order of the rounds.

    ``missing`` says of a side that has none why that is so.
    """

    row: Row
    backend: Backend
    rounds: Mapping[str, Sequence[Figure]]
    missing: Mapping[str, str] = field(default_factory=dict)

    def figure(self, side: str) -> Figure | None:
        """The median of the rounds."""
        figures = self.rounds.get(side)
        return Figure.median(figures) if figures and side not in self.missing else None

    def ratio(self, side: str = "ours", to: str = "floor") -> Figure | None:
        """One side to another: on the wall, and in processor time."""
        one, other = self.figure(side), self.figure(to)
        if one is None or other is None or not other.value:
            return None
        cpu = one.cpu / other.cpu if one.cpu and other.cpu else None
        return Figure(one.value / other.value, cpu)

    @property
    def judged(self) -> Figure | None:
        """What the bar is about; None where there is no figure."""
        if self.row.bar is not None and self.row.bar.of == "ours":
            return self.figure("ours")
        return self.ratio()

    @property
    def met(self) -> bool | None:
        """Whether the row reached its bar; None for a row that has none, or no figure."""
        if self.row.bar is None or self.judged is None:
            return None
        return self.row.bar.met(self.backend, self.judged.value)


def measure(
    rows: Sequence[Row],
    backends: Sequence[Backend],
    rounds: int,
    size: int | None,
    tell: Callable[[str], object],
    peers: Sequence[str] = (),
) -> list[Result]:
    """Measure all rows.

    Raises:
        CaseFailed: the first case, other than a peer's, that gave no figure.
    """
    results = []
    for row in rows:
        # Where the backend makes no difference, one measurement stands for all.
        for backend in backends if row.has_backend else backends[:1]:
            tell(f"{row.name} on {backend}")
            asked = [peer for peer in peers if case_of(peer, row.name)]
            result = _measure(row, backend, rounds * row.repeat, size or row.size, asked)
            same = (backend,) if row.has_backend else backends
            results += [Result(row, each, result.rounds, result.missing) for each in same]
    return results


def _measure(row: Row, backend: Backend, rounds: int, size: int, peers: Sequence[str]) -> Result:
    if lacking := _lacking(row, size):
        return Result(row, backend, {}, dict.fromkeys((*SIDES, *peers), lacking))
    reasons = {peer: why_not(peer, row.name, backend) for peer in peers}
    missing = {peer: reason for peer, reason in reasons.items() if reason}
    figures: dict[str, list[Figure]] = {side: [] for side in (*SIDES, *peers)}
    for number in range(rounds):
        # Whoever goes second finds the machine as the first one left it.
        for side in tuple(figures) if number % 2 else reversed(tuple(figures)):
            if side in missing:
                continue
            patience = PATIENCE_WITH_PEERS if side in PEERS else PATIENCE
            try:
                figures[side].append(run(row, side, backend, row.size_of(side, size), patience))
            except CaseFailed as exc:
                if side not in PEERS:
                    raise
                missing[side] = exc.in_a_line
    return Result(row, backend, figures, missing)


def run(row: Row, side: str, backend: Backend, size: int, patience: float) -> Figure:
    """One case, once.

    Raises:
        CaseFailed: it ended otherwise than with a figure, or not at all.
    """
    args = [row.name, side, backend, str(size)]
    command = [sys.executable, "-m", "tests.benchmarks.child", *args]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=patience, check=False
        )
    except subprocess.TimeoutExpired:
        raise CaseFailed(f"{' '.join(args)} took more than {patience} s") from None
    if done.returncode:
        raise CaseFailed(f"{' '.join(args)} exited with {done.returncode}\n{done.stderr}")
    # A peer may have printed something too.
    return Figure(**json.loads(done.stdout.splitlines()[-1]))


# --- room ----------------------------------------------------------------------------------------


def _lacking(row: Row, size: int) -> str:
    """What keeps the row from being measured here, if anything does."""
    needed, free = row.kib * size // 1024, available() // 2**20
    return f"needs {needed:,} MiB of free memory, {free:,} MiB are" if needed > free else ""


def available() -> int:
    """Bytes that this process may still take: what the machine has, and its control group allows."""
    return min(int(psutil.virtual_memory().available), _left_to_the_group())


def _left_to_the_group() -> int:
    try:
        limit = (CGROUP / "memory.max").read_text("ascii").strip()
        used = int((CGROUP / "memory.current").read_text("ascii"))
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    except OSError:
        return sys.maxsize
    # Pages of files that nobody reads any more count as used, and are given back when needed.
    return sys.maxsize if limit == "max" else int(limit) - used + int(stat["inactive_file"])
