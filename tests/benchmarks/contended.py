"""A thousand who wait at once, and a thousand who never stop: ``python -m tests.benchmarks.contended``.

The rows of the table have one figure each; how well a limiter spaces its grants takes several. Each
case runs in a process of its own, and each limiter in turn, so that all meet the same machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import anyio

from supervisor import Priority
from tests.benchmarks.peers import LIMITERS
from tests.benchmarks.peers.limiters import opened
from tests.benchmarks.permits import BURST, RATE, Limiter, Opened, Ours, Paced, sustained, together
from tests.benchmarks.rows import BACKENDS, Backend
from tests.benchmarks.runner import ROOT, CaseFailed

WAITERS: Final = 1000
SLOWLY: Final = 1000.0
"""Permits a second, of which the waiters take one each."""

PATIENCE: Final = 60
HEAD: Final = ("span", "err p50", "err p99", "in 1 s", "in 100 ms", "cpu us", "share", "cpu us")
OPEN: Final[dict[str, Opened]] = {
    "ours, window": Ours.window,
    "ours, smooth": Ours.smooth,
    "floor": Paced.open,
    **{name: partial(opened, peer) for name, peer in LIMITERS.items()},
}
CASES: Final[dict[str, tuple[str, int]]] = {
    f"{name}, burst {burst}": (name, burst) for burst in (1000, 1) for name in OPEN
}


async def contended(limiter: Limiter, burst: int) -> dict[str, float]:
    """The burst is taken first; from then on the k-th of them should be granted after k / rate."""
    for _ in range(burst):
        await limiter.wait("medium")
    grants: list[float] = []

    async def take(priority: Priority) -> None:
        await limiter.wait(priority)
        grants.append(time.perf_counter())

    began, spent = time.perf_counter(), time.process_time()
    await together(take, WAITERS)
    cost = time.process_time() - spent
    return {"cpu us": cost / max(1, len(grants)) * 1e6, **spacing(grants, began, burst)}


def spacing(grants: Sequence[float], began: float, burst: int) -> dict[str, float]:
    """How the grants lie: 1 is the span, and 0 the error in ms, of one that keeps to the rate."""
    late = [abs(at - began - k / SLOWLY) * 1000 for k, at in enumerate(grants, 1)]
    return {
        "served": len(grants),
        "span": (grants[-1] - began) * SLOWLY / len(grants),
        "err p50": median(late),
        "err p99": quantiles(late, n=100)[-1],
        # What was taken before counts, as it was taken in the same second.
        "in 1 s": _most([began] * burst + list(grants), 1.0),
        "in 100 ms": _most(grants, 0.1),
    }


def _most(grants: Sequence[float], seconds: float) -> int:
    """The most grants in any window of so many seconds."""
    return max(bisect_left(grants, at + seconds) - i for i, at in enumerate(grants))


async def measure(name: str, burst: int) -> dict[str, float]:
    async with OPEN[name](SLOWLY, burst) as limiter:
        told = await contended(limiter, burst)
    if burst == 1:
        async with OPEN[name](RATE, BURST) as limiter:
            got = await sustained(limiter, 20 * WAITERS)
        assert got.cpu is not None
        told |= {"share": got.value, "sustained cpu us": got.cpu}
    return told


def main(args: Sequence[str] | None = None) -> int:
    """Measure and tell; a limiter that gives no figures is named with the reason."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.contended")
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="3 by default")
    parser.add_argument("--limiter", nargs="+", choices=list(OPEN), default=list(OPEN))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds to this file")
    chosen = parser.parse_args(args)
    told: dict[str, dict[str, Any]] = {}
    for backend in chosen.backend:
        cases = [case for case, (name, _) in CASES.items() if name in chosen.limiter]
        told[backend] = _rounds(cases, backend, chosen.rounds)
        sys.stdout.write("\n".join(_table(backend, told[backend])) + "\n\n")
        sys.stdout.flush()
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({"load": os.getloadavg()[0], **told}) + "\n", "utf-8")
    return 0


def _rounds(cases: Sequence[str], backend: Backend, rounds: int) -> dict[str, Any]:
    told: dict[str, Any] = {case: [] for case in cases}
    for number in range(rounds):
        for case in cases if number % 2 else reversed(cases):
            if isinstance(told[case], list):
                figures = _in_a_process(case, backend)
                told[case] = [*told[case], figures] if isinstance(figures, dict) else figures
    return told


def _in_a_process(case: str, backend: Backend) -> dict[str, float] | str:
    """The figures, or why there are none."""
    name, _ = CASES[case]
    if name in LIMITERS and backend not in LIMITERS[name].backends:
        return f"does not run on {backend}"
    command = [sys.executable, "-m", "tests.benchmarks.contended", "--one", case, backend]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return f"took more than {PATIENCE} s"
    if done.returncode:
        return CaseFailed(done.stderr).in_a_line
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _table(backend: str, told: Mapping[str, Any]) -> list[str]:
    lines = [f"{backend:28}" + "".join(f"{head:>11}" for head in HEAD)]
    for case, rounds in told.items():
        lines.append(f"{case:28}" + (rounds if isinstance(rounds, str) else _cells(rounds)))
    return lines


def _cells(rounds: Sequence[Mapping[str, float]]) -> str:
    def of(name: str, decimals: int) -> str:
        if name not in rounds[0]:
            return f"{'':11}"
        return f"{median(each[name] for each in rounds):11.{decimals}f}"

    cells = [of("span", 2), of("err p50", 1), of("err p99", 1), of("in 1 s", 0)]
    cells += [of("in 100 ms", 0), of("cpu us", 0), of("share", 3), of("sustained cpu us", 1)]
    served = min(each["served"] for each in rounds)
    return "".join(cells) + (f"  only {served:.0f} served" if served < WAITERS else "")


def one(case: str, backend: Backend) -> None:
    options: dict[str, Any] = {"use_uvloop": True} if backend == "uvloop" else {}
    library = "trio" if backend == "trio" else "asyncio"
    run: Callable[..., Awaitable[dict[str, float]]] = measure
    told = anyio.run(run, *CASES[case], backend=library, backend_options=options)
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(*sys.argv[2:])  # type: ignore[arg-type]
        sys.exit(0)
    sys.exit(main())
