"""Each mutant in an interpreter of its own, and what became of it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct, json

from tests.mutants.fault import ROOT, Mutant, mutated
from tests.mutants.hook import PLANTED, REPORT

BOUND = 60.0
"""Seconds after which a test is taken to hang."""

SLIPS = ("NameError", "UnboundLocalError", "SyntaxError", "ImportError")
"""A test that fails so says that the mutant was written badly, not that it was noticed."""

# Light: no plugins but those that the suite names, no cache, no summary.
PYTEST = ("-m", "pytest", "-x", "-q", "-p", "tests.mutants.plugin", "-p", "no:cacheprovider")

Fate: TypeAlias = Literal["killed", "timed out", "survived", "broken"]


class Result(Struct, frozen=True):
    """``how`` is the failure that killed the mutant, or what went wrong with it."""

    mutant: Mutant
    fate: Fate
    test: str
    how: str
    seconds: float

    @property
    def dead(self) -> bool:
        return self.fate == "killed" or (self.fate == "timed out" and self.mutant.hangs)

    def __str__(self) -> str:
        return f"{self.fate}: {self.mutant.fault} ({self.mutant.module}.{self.mutant.function})\n{self.how}"


def try_out(mutant: Mutant, tests: Sequence[str] = ()) -> Result:
    """Run its tests (or these) with the fault in place."""
    compile(mutated(mutant, mutant.path.read_text("utf-8")), mutant.module, "exec")
    began = time.perf_counter()
    with _report() as path:
        env = {PLANTED: json.encode(mutant).decode(), REPORT: str(path)}
        try:
            done = _pytest(tests or mutant.killed_by, env, BOUND)
        except subprocess.TimeoutExpired:
            took = time.perf_counter() - began
            return Result(mutant, "timed out", "", f"longer than {BOUND:g} s", took)
        failures = _failures(path)
    fate, test, how = _judged(done, failures)
    return Result(mutant, fate, test, how, time.perf_counter() - began)


def _judged(
    done: subprocess.CompletedProcess[str], failures: Sequence[tuple[str, str, str]]
) -> tuple[Fate, str, str]:
    if done.returncode == 0:
        return "survived", "", "its tests pass with the fault in place"
    if done.returncode != 1 or not failures:
        return "broken", "", done.stdout + done.stderr
    when, test, message = failures[0]
    if when == "setup" or message.startswith(SLIPS):
        return "broken", test, f"{when}: {message}"
    return "killed", test, message.partition("\n")[0]


def try_all(
    mutants: Sequence[Mutant], jobs: int, tell: Callable[[Result], object] = lambda _: None
) -> list[Result]:
    """All of them, some at a time, in their order."""

    def tried(mutant: Mutant) -> Result:
        result = try_out(mutant)
        tell(result)
        return result

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(tried, mutants))


def begin_all(mutants: Sequence[Mutant], pool: ThreadPoolExecutor) -> dict[str, Future[Result]]:
    """Those that a test asks for one by one, by name."""
    return {mutant.name: pool.submit(try_out, mutant) for mutant in mutants}


def without_faults(mutants: Sequence[Mutant]) -> str:
    """Run the tests of all together on the package as it is; what failed, or nothing."""
    tests = dict.fromkeys(test for mutant in mutants for test in mutant.killed_by)
    done = _pytest(list(tests), {}, 10 * BOUND)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _pytest(
    tests: Sequence[str], env: dict[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *PYTEST, *tests],
        cwd=ROOT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""} | env,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


@contextmanager
def _report() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        yield Path(folder) / "report.json"


def _failures(path: Path) -> list[tuple[str, str, str]]:
    if not path.exists():
        return []
    return json.decode(path.read_bytes(), type=list[tuple[str, str, str]])
