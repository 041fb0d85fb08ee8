"""One case, once, looked at while it is timed: ``python -m tests.benchmarks.observed``.

Only the collector is watched when it is run ``plain``. When it is run ``profiled``, the collector is off
and every call of a Python function is counted and timed. It prints as JSON what it saw.
"""

from __future__ import annotations

import cProfile
import gc
import json
import logging
import sys
import time
from types import CodeType
from typing import Any

from tests.benchmarks.child import run
from tests.benchmarks.rows import ALL, Backend
from tests.benchmarks.stopwatch import Stopwatch


class Collections:
    """How long the garbage collector takes while a stopwatch runs."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.laps = 0
        self.cpu = 0.0
        self._watching = False
        self._began = 0.0
        gc.callbacks.append(self._collect)

    def begin(self) -> None:
        self._watching = True
        self.laps += 1
        self.cpu -= time.process_time()

    def end(self) -> None:
        self.cpu += time.process_time()
        self._watching = False

    def _collect(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.process_time()
        elif self._watching:
            self.seconds += time.process_time() - self._began

    def told(self) -> dict[str, Any]:
        return {"cpu": self.cpu, "gc": self.seconds, "laps": self.laps}


class Calls:
    """Every call of a Python function while a stopwatch runs. What a builtin takes is its caller's."""

    def __init__(self) -> None:
        self.laps = 0
        self.cpu = 0.0
        self.wall = 0.0
        self._profile = cProfile.Profile(subcalls=True, builtins=False)

    def begin(self) -> None:
        self.laps += 1
        self.cpu -= time.process_time()
        self.wall -= time.perf_counter()
        self._profile.enable()

    def end(self) -> None:
        self._profile.disable()
        self.wall += time.perf_counter()
        self.cpu += time.process_time()

    def told(self) -> dict[str, Any]:
        functions = [
            [*_place(entry.code), entry.callcount, made, entry.inlinetime]
            for entry in self._profile.getstats()
            if isinstance(entry.code, CodeType)
            for made in [sum(call.callcount for call in entry.calls or ())]
            if not _is_ours(entry.code)
        ]
        return {"cpu": self.cpu, "wall": self.wall, "laps": self.laps, "functions": functions}


def _place(code: CodeType) -> tuple[str, str]:
    return code.co_filename, code.co_qualname


def _is_ours(code: CodeType) -> bool:
    return code.co_filename == __file__


def main(name: str, side: str, backend: Backend, size: int, way: str) -> None:
    logging.disable(logging.CRITICAL)
    row = next(row for row in ALL if row.name == name)
    case = row.case(side)
    if not row.gc or way == "profiled":
        gc.disable()
    observer = Calls() if way == "profiled" else Collections()
    Stopwatch.observer = observer
    run(case, backend, size)
    sys.stdout.write(json.dumps(observer.told()) + "\n")


if __name__ == "__main__":
    _, name, side, backend, size, way = sys.argv
    main(name, side, backend, int(size), way)  # type: ignore[arg-type]
