"""The command line: see ``python -m tests.benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tests.benchmarks.peers import PEERS
from tests.benchmarks.rows import ALL, BACKENDS
from tests.benchmarks.runner import CaseFailed, measure
from tests.benchmarks.table import as_json, commit, machine, table, table_of_peers
from tests.benchmarks.where import UNTIMED, profile, profile_as_json, table_of_profile


def main(args: Sequence[str] | None = None) -> int:
    """Measure and tell; 1 if a case failed. A bar that is not reached is told, not a failure."""
    parser = _parser()
    chosen = parser.parse_args(args)
    absent = [name for name in chosen.backend if name != "asyncio" and find_spec(name) is None]
    if absent:
        parser.error(f"{', '.join(absent)} is not installed; choose others with --backend")
    try:
        told = _profile(chosen) if chosen.profile else _measure(chosen)
    except CaseFailed as exc:
        _tell(f"failed: {exc}")
        return 1
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(told, indent=2) + "\n", "utf-8")
    return 0


def _measure(chosen: argparse.Namespace) -> object:
    rows = [row for row in ALL if row.name in chosen.row]
    peers = list(PEERS) if chosen.peers == [] else chosen.peers or []
    results = measure(rows, chosen.backend, chosen.rounds, chosen.size, _tell, peers)
    sys.stdout.write(table(results) + "\n")
    if peers:
        sys.stdout.write("\n" + table_of_peers(results) + "\n")
    return as_json(results)


def _profile(chosen: argparse.Namespace) -> object:
    row = next(row for row in ALL if row.name == chosen.profile)
    told = []
    for backend in chosen.backend:
        _tell(f"{row.name} on {backend}")
        costs = profile(row, backend, chosen.size or row.size)
        sys.stdout.write(table_of_profile(row, backend, costs) + "\n\n")
        told.append(profile_as_json(row, backend, costs))
    return {"profiles": told, "machine": machine(), "commit": commit()}


def _parser() -> argparse.ArgumentParser:
    names = [row.name for row in ALL]
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="What supervision costs, beside its floors."
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    parser.add_argument(
        "--row", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names)
    )
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--rounds", type=_count, default=5, metavar="N", help="5 by default")
    parser.add_argument(
        "--size",
        type=_count,
        metavar="N",
        help="children, restarts or trees, instead of the row's own",
    )
    parser.add_argument(
        "--peers",
        nargs="*",
        choices=list(PEERS),
        metavar="NAME",
        help=f"measure these peers too, or all: {', '.join(PEERS)}",
    )
    parser.add_argument(
        "--profile",
        choices=[name for name in names if name not in UNTIMED],
        metavar="ROW",
        help="tell where the time of this row goes, instead of measuring",
    )
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError(text)
    return count


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
