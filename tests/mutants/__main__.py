"""The command line: see ``python -m tests.mutants --help``."""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import json

from tests.mutants.fault import Mutant
from tests.mutants.runner import Result, try_all, without_faults
from tests.mutants.table import MUTANTS


def main(args: Sequence[str] | None = None) -> int:
    """Try the mutants out; 1 if one of them lives on."""
    parser = _parser()
    chosen = parser.parse_args(args)
    mutants = [mutant for mutant in MUTANTS if chosen.only.lower() in _words(mutant)]
    if not mutants:
        parser.error(f"no mutant has {chosen.only!r} in it; leave --only out to see them all")
    began = time.perf_counter()
    if failed := without_faults(mutants):
        print(f"the tests fail without any fault\n{failed}")
        return 1
    results = try_all(mutants, chosen.jobs, lambda result: print(_row(result), flush=True))
    alive = [result for result in results if not result.dead]
    for result in alive:
        print(f"\n{result}")
    took = time.perf_counter() - began
    print(f"\n{len(results)} mutants, {len(results) - len(alive)} killed, {took:.0f} s")
    if chosen.json is not None:
        chosen.json.write_bytes(json.format(json.encode(results)))
    return 1 if alive else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="mutants whose fault, function or test has this")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--json", type=Path, help="write the results to this file, too")
    return parser


def _words(mutant: Mutant) -> str:
    place = f"{mutant.module}.{mutant.function}"
    return " ".join([mutant.fault, place, *mutant.killed_by]).lower()


def _row(result: Result) -> str:
    test = result.test.rpartition("::")[2].partition("[")[0] or result.fate.upper()
    law = f"law {result.mutant.law}" if isinstance(result.mutant.law, int) else result.mutant.law
    return f"{result.seconds:5.1f} s  {law:22}  {result.mutant.fault}  <-  {test}"


if __name__ == "__main__":
    raise SystemExit(main())
