"""Walk more than a test has time for: ``python -m tests.explorer --depth 6 --cap 50000``."""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

import argparse
import sys
import time

from tests.explorer.trees import everything
from tests.explorer.walk import Broken, replay, walk


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.explorer", description=__doc__)
    parser.add_argument("--depth", type=int, default=5, help="inputs in a sequence, at most")
    parser.add_argument("--cap", type=int, default=20_000, help="states of one tree, at most")
    parser.add_argument("--only", default="", help="trees whose name contains this")
    parser.add_argument("--every", type=int, default=1, help="each so many-th tree of the list")
    parser.add_argument("--replay", help="moves, separated by commas: print what they bring about")
    options = parser.parse_args()
    trees = {name: tree for name, tree in everything().items() if options.only in name}
    if options.replay is not None:
        name, tree = next(iter(trees.items()))
        return _replay(name, tree, [move.strip() for move in options.replay.split(",")])
    broken = states = exhausted = capped = 0
    began = time.perf_counter()
    for name, tree in list(trees.items())[:: options.every]:
        try:
            walked = walk(tree, options.depth, options.cap)
        except Broken as why:
            broken += 1
            print(f"BROKEN {name}\n  {why}")
            continue
        states += walked.states
        exhausted += walked.exhausted
        capped += walked.capped
        end = "exhausted" if walked.exhausted else "capped" if walked.capped else "to its depth"
        print(
            f"{walked.states:8} states {walked.steps:9} steps, depth {walked.depth}, {end}: {name}"
        )
    took = time.perf_counter() - began
    print(
        f"{len(trees) // options.every} trees, {states} states in {took:.0f} s: "
        f"{exhausted} exhausted, {capped} capped at {options.cap}, {broken} broken"
    )
    return 1 if broken else 0


def _replay(name: str, tree: object, moves: list[str]) -> int:
    print(name)
    for i in range(len(moves)):
        world = replay(tree, moves[: i + 1])  # type: ignore[arg-type]
        print(f"--- {world.now:g} {moves[i]}")
        for effect in world.effects:
            print("   ", effect)
        print("   ", world.node)
    return 0


if __name__ == "__main__":
    sys.exit(main())
