"""One process: one tree on one loop, from start to exit code. Started by ``tests.chaos``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import anyio

import supervisor.testing._census as census
from supervisor import Supervisor
from supervisor._runtime.run import run_tree
from supervisor.testing import Leaked, no_leaks
from tests.chaos import service
from tests.chaos.ear import Ear
from tests.chaos.plant import PLANTS
from tests.chaos.record import Begun, Ended, Trouble, Writer, now
from tests.chaos.storm import Storm
from tests.chaos.witness import Witness

STOP_WITHIN = 20


def main() -> int:
    """Run, and write all down; the exit code is that of the tree."""
    chosen = _parser().parse_args()
    write = Writer(chosen.record)
    witness, ear = Witness(write), Ear(write)
    storm = Storm(chosen.seed, chosen.seconds, witness, ear, write)
    ear.listen()
    tree = service.build(witness)
    write(_begun(tree, chosen.loop, chosen.seed))
    for name in chosen.plant:
        PLANTS[name](storm)
    code, left = _run(tree, chosen.loop, storm)
    write(Ended(now(), code, (*storm.left, *left), storm.counted))
    write.close()
    return code


def _run(tree: Supervisor, loop: str, storm: Storm) -> tuple[int, tuple[str, ...]]:
    """The exit code, and what is left alive when the tree and its loop have ended."""
    backend: Any = "trio" if loop == "trio" else "asyncio"
    options = {"use_uvloop": True} if loop == "uvloop" else {}
    # Backends make some descriptors with their first process, and keep them as long as their own.
    anyio.run(
        anyio.run_process, [sys.executable, "-c", ""], backend=backend, backend_options=options
    )
    code = 99
    try:
        with no_leaks(patience=2):
            code = run_tree(
                tree,
                backend=backend,
                uvloop=loop == "uvloop",
                stop_within=STOP_WITHIN,
                watch=storm.watch,
            )
    except Leaked as leaked:
        return code, leaked.leaks
    except BaseException as error:
        storm.write(Trouble(now(), f"the tree ended with {type(error).__name__}: {error}"))
        raise
    return code, tuple(census.processes().values())


def _begun(tree: Supervisor, loop: str, seed: int) -> Begun:
    def path(name: str) -> str:
        return f"{tree.name}/{name}"

    needs = {path(name): tuple(map(path, its)) for name, its in service.NEEDS.items()}
    supervisors = tuple(path(name) for name in ("desk", "pair", "crowd"))
    return Begun(now(), loop, seed, tree.name, supervisors, needs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.process")
    parser.add_argument("loop", choices=("asyncio", "uvloop", "trio"))
    parser.add_argument("seconds", type=float)
    parser.add_argument("seed", type=int)
    parser.add_argument("record", type=Path)
    parser.add_argument("--plant", nargs="+", choices=PLANTS, default=[])
    return parser


if __name__ == "__main__":
    sys.exit(main())
