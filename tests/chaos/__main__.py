"""The command line: see ``python -m tests.chaos --help``."""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from tests.chaos.judge import NO_LEAK, Judge
from tests.chaos.plant import PLANTS
from tests.chaos.record import Reader
from tests.chaos.steady import floors, leaks
from tests.chaos.table import as_json, progress, table

ROOT: Final = Path(__file__).parents[2]
LOOPS: Final = ("asyncio", "uvloop", "trio")
WARM_UP: Final = 120.0
"""Seconds after which memory is expected to stay as it is."""

PATIENCE: Final = 90.0
"""Seconds that a process may take beyond its time before it is ended."""

EVERY: Final = 10.0
"""Seconds between two lines of progress."""


class Run:
    """One process, and the judge who reads what it writes."""

    def __init__(
        self, loop: str, seconds: float, seed: int, folder: Path, plant: list[str]
    ) -> None:
        self.loop = loop
        self.seed = seed
        self.judge = Judge()
        record = folder / f"{loop}.jsonl"
        record.write_bytes(b"")
        self._reader = Reader(record)
        self._errors = folder / f"{loop}.log"
        self._deadline = time.monotonic() + seconds + PATIENCE
        command = [sys.executable, "-m", "tests.chaos.process", loop, str(seconds), str(seed)]
        command += [str(record), *(["--plant", *plant] if plant else [])]
        # Its time passes faster, so that it has more to tell.
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TRADING_SPEED": "4"}
        environment.pop("TRADING_CHAOS", None)
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stderr=errors
            )

    def read(self) -> bool:
        """Judge what has been written; whether the process goes on."""
        goes_on = self.process.poll() is None
        for line in self._reader.lines():
            self.judge.see(line)
        if goes_on and time.monotonic() > self._deadline:
            self.judge.breach("it ends", f"killed after {PATIENCE:g} s beyond its time")
            self.process.kill()
        return goes_on

    def close(self, warm_up: float) -> None:
        """Say what can only be said at the end."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.close()
        for leak in leaks(self.judge.calms, warm_up):
            self.judge.breach(NO_LEAK, leak)
        if self.judge.ended is None:
            last = self._errors.read_text(errors="replace")[-2000:]
            self.judge.breach("it ends", f"exit code {self.process.returncode}\n{last}")

    def __str__(self) -> str:
        return f"{self.loop:8}{progress(self.judge)}"


def main(args: Sequence[str] | None = None) -> int:
    """Run, and tell; 1 if anything was not as it has to be."""
    parser = _parser()
    chosen = parser.parse_args(args)
    absent = [name for name in chosen.loop if name != "asyncio" and find_spec(name) is None]
    if absent:
        parser.error(f"{', '.join(absent)} is not installed; choose others with --loop")
    seed = random.SystemRandom().randrange(1 << 31) if chosen.seed is None else chosen.seed
    _tell(f"seed {seed}")
    seconds = chosen.minutes * 60
    with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
        folder = chosen.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        runs = [Run(loop, seconds, seed, folder, chosen.plant) for loop in chosen.loop]
        try:
            _follow(runs)
        finally:
            for run in runs:
                run.close(chosen.warm_up)
    judges = {run.loop: run.judge for run in runs}
    found = {loop: floors(judge.calms, chosen.warm_up) for loop, judge in judges.items()}
    sys.stdout.write(table(judges, found) + "\n")
    if chosen.json is not None:
        figures: dict[str, Any] = {"seed": seed, "minutes": chosen.minutes}
        figures |= as_json(judges, found)
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    broken = [run for run in runs if run.judge.breaches]
    for run in broken:
        for law, number in run.judge.breaches.items():
            _tell(f"{run.loop}: {law} was broken {number} times with seed {seed}")
        for example in run.judge.examples:
            _tell(f"{run.loop}:   {example}")
    return 1 if broken else 0


def _follow(runs: Sequence[Run]) -> None:
    """Judge what the processes write, until all of them have ended."""
    told = time.monotonic()
    going_on = list(runs)
    while going_on:
        going_on = [run for run in going_on if run.read()]
        time.sleep(0.5)
        if time.monotonic() - told >= EVERY:
            told = time.monotonic()
            for run in runs:
                _tell(str(run))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="The trading example under random faults."
    )
    parser.add_argument(
        "--loop", nargs="+", choices=LOOPS, default=list(LOOPS), help="all by default, together"
    )
    parser.add_argument("--minutes", type=float, default=10, metavar="N", help="10 by default")
    parser.add_argument("--seed", type=int, metavar="N", help="a new one by default; it is told")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave what was seen there")
    parser.add_argument(
        "--warm-up",
        type=float,
        default=WARM_UP,
        metavar="SECONDS",
        help=f"from when on memory has to stay as it is, {WARM_UP:g} by default",
    )
    parser.add_argument(
        "--plant", nargs="+", choices=PLANTS, default=[], help="faults that have to be found"
    )
    return parser


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
