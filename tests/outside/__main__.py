"""The command line: see ``python -m tests.outside --help``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from tests.outside.judge import Count, Finding, by_second, judge
from tests.outside.scenarios import NAMES, Scenario, scenarios
from tests.outside.service import HOST, STYLES, Style

ROOT: Final = Path(__file__).parents[2]
BACKENDS: Final = ("asyncio", "uvloop", "trio")
BURST: Final = 10
DELAY: Final = 0.02
"""Seconds that the service takes to answer."""

PATIENCE: Final = 20.0
PLANTS: Final = ("no broker",)


class ClientFailed(Exception):
    """The client ended otherwise than with its figures."""


class Party:
    """One process of the two; it ends when its standard input does."""

    def __init__(self, module: str, *args: object) -> None:
        command = [sys.executable, "-m", f"tests.outside.{module}", *map(str, args)]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def end(self) -> str:
        """Let it end; what it has said last."""
        try:
            told, _ = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            told, _ = self._process.communicate()
        return told


class Run:
    """One client and a service of its own."""

    def __init__(self, scenario: Scenario, backend: str, style: Style, limited: bool) -> None:
        self.scenario = scenario
        self.backend = backend
        self.starts: list[float] = []
        self.counts: list[Count] = []
        self.cost: dict[str, float] = {}
        rate = scenario.phases[0].rate
        self._service = Party("service", rate, BURST, DELAY, style)
        port = int(self._service.line())
        self._control = HTTPConnection(HOST, port, timeout=PATIENCE)
        url = f"http://{HOST}:{port}/"
        asked = "limited" if limited else "unlimited"
        self._client = Party("client", backend, scenario.name, url, asked)

    def wait_busy(self) -> None:
        """Until the client has asked for the first time: that is when its first phase begins."""
        deadline = time.monotonic() + PATIENCE
        while not self._ask("GET", "/counts"):
            if time.monotonic() > deadline:
                raise ClientFailed(f"{self} asked for nothing within {PATIENCE:g} s")
            time.sleep(0.05)

    def begin(self, rate: float) -> None:
        self._ask("PUT", f"/limit?rate={rate}")
        self.starts.append(time.monotonic())

    def read(self) -> None:
        self.counts = [Count(*each) for each in self._ask("GET", "/counts")]

    def end(self) -> None:
        told = self._client.end()
        self._control.close()
        self._service.end()
        if self.counts:
            try:
                self.cost = json.loads(told)
            except ValueError:
                raise ClientFailed(f"{self} gave no figures: {told!r}") from None

    def findings(self) -> list[Finding]:
        return judge(self.scenario, self.counts, self.starts)

    def as_json(self) -> dict[str, Any]:
        found = self.findings()
        until = self.starts[0] + self.scenario.seconds
        return {
            "findings": [[each.what, each.value, each.sign, each.bar, each.met] for each in found],
            "seconds": by_second(self.counts, self.starts[0], until),
            **self.cost,
        }

    def _ask(self, method: str, path: str) -> Any:
        self._control.request(method, path)
        return json.loads(self._control.getresponse().read())

    def __str__(self) -> str:
        return f"{self.scenario.name} on {self.backend}"


def play(scenario: Scenario, backends: Sequence[str], style: Style, limited: bool) -> list[Run]:
    """One scenario, on all backends at a time, each with a service of its own."""
    runs: list[Run] = []
    try:
        runs += [Run(scenario, backend, style, limited) for backend in backends]
        for run in runs:
            run.wait_busy()
        for phase in scenario.phases:
            for run in runs:
                run.begin(phase.rate)
            time.sleep(phase.seconds)
        for run in runs:
            run.read()
    finally:
        for run in runs:
            run.end()
    return runs


def main(args: Sequence[str] | None = None) -> int:
    """Run, judge and tell; 1 if a bar is missed."""
    parser = _parser()
    chosen = parser.parse_args(args)
    absent = [name for name in chosen.backend if name != "asyncio" and find_spec(name) is None]
    if absent:
        parser.error(f"{', '.join(absent)} is not installed; choose others with --backend")
    limited = "no broker" not in chosen.plant
    told: dict[str, Any] = {"load": os.getloadavg()[0], "retry_after": chosen.retry_after}
    every = scenarios(chosen.seconds)
    good = True
    for name in chosen.scenario:
        _tell(f"{name}: {every[name].seconds:g} s")
        runs = play(every[name], chosen.backend, chosen.retry_after, limited)
        sys.stdout.write("\n".join(lines(runs)) + "\n")
        sys.stdout.flush()
        told[name] = {run.backend: run.as_json() for run in runs}
        good = good and all(each.met for run in runs for each in run.findings())
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(told) + "\n", "utf-8")
    return 0 if good else 1


def lines(runs: Sequence[Run]) -> list[str]:
    """A line for each bar, and a column for each backend."""
    name = runs[0].scenario.name
    told = [f"{name:28}{'bar':>8}" + "".join(f"{run.backend:>12}" for run in runs)]
    for each in zip(*(run.findings() for run in runs), strict=True):
        bar = f"{each[0].sign} {each[0].bar:g}"
        cells = "".join(f"{one.value:8.3f} {'yes' if one.met else 'NO':3}" for one in each)
        told.append(f"  {each[0].what:26}{bar:>8}{cells}")
    cost = "".join(f"{run.cost['cpu_us']:8.0f}    " for run in runs)
    return [*told, f"  {'cpu us a request':26}{'':8}{cost}".rstrip()]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.outside",
        description="The broker against an HTTP service on loopback that has a limit of its own.",
    )
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--scenario", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument(
        "--seconds", type=float, default=30, metavar="N", help="judged of each; 30 by default"
    )
    parser.add_argument(
        "--retry-after", choices=STYLES, default="fraction", help="how the service writes it"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    parser.add_argument(
        "--plant", nargs="+", choices=PLANTS, default=[], help="what the bars have to find"
    )
    return parser


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
