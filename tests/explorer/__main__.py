"""Walk everything: ``python -m tests.explorer --depth 6 --jobs 2``; see docs/explorer.md."""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from msgspec import Struct, json

from tests.explorer.jobs import Found, Job, known, walk_one
from tests.explorer.trees import Family
from tests.explorer.walk import Broken, each_step


class Summary(Struct, frozen=True):
    """All walks of a family."""

    family: str
    what: str
    trees: int
    configurations: int  # the same with nothing left open
    depth: int
    states: int
    steps: int
    exhausted: int  # trees with no state beyond
    to_depth: int  # trees all of whose states up to the depth were visited
    capped: int
    broken: int
    seconds: float  # of processor time


def main() -> int:
    options = _options()
    chosen = {name: family for name, family in known().items() if options.family in (None, name)}
    if not chosen:
        print(f"there is no family {options.family!r}; there are {', '.join(known())}")
        return 2
    if options.replay is not None:
        return _replay(chosen, options)
    began, summaries, failures = time.perf_counter(), [], []
    for family in chosen.values():
        depth = max(2, options.depth - family.less)
        trees = [name for name in family.trees if options.tree in name]
        if not trees:
            continue
        jobs = [(family.name, tree, depth, options.cap) for tree in trees]
        found = list(_show(_work(jobs, options.jobs), len(jobs), options))
        failures += [one.broken for one in found if one.broken]
        summaries.append(_summary(family, depth, found))
        print(_line(summaries[-1]), flush=True)
        if options.json is not None:
            options.json.write_bytes(json.format(json.encode(summaries)))
    if not summaries:
        print(f"there is no tree whose name contains {options.tree!r}")
        return 2
    took = time.perf_counter() - began
    print(
        f"{sum(s.configurations for s in summaries)} configurations, "
        f"{sum(s.states for s in summaries)} states, {sum(s.steps for s in summaries)} steps "
        f"in {took:.0f} s: {len(failures)} trees break a law"
    )
    for failure in failures if options.verbose else failures[:3]:
        print(failure)
    return 1 if failures else 0


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="tests.explorer", description=__doc__)
    parser.add_argument("--depth", type=int, default=6, help="inputs in a sequence, at most")
    parser.add_argument("--cap", type=int, default=2_000_000, help="states of one tree, at most")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--family", help="only this one")
    parser.add_argument("--tree", default="", help="only trees whose name contains this")
    parser.add_argument("--json", type=Path, help="write the summary into this file, too")
    parser.add_argument("--verbose", action="store_true", help="a line for each tree")
    parser.add_argument("--replay", help="inputs, separated by commas: what they bring about")
    parser.add_argument("--where", action="append", default=[], help="a restart=temporary")
    return parser.parse_args()


# --- walking -------------------------------------------------------------------------------------


def _work(jobs: list[Job], processes: int) -> Iterator[Found]:
    if processes == 1:
        yield from map(walk_one, jobs)
        return
    with get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(walk_one, jobs)


# --- telling -------------------------------------------------------------------------------------


def _show(found: Iterable[Found], total: int, options: Any) -> Iterator[Found]:
    for number, one in enumerate(found, 1):
        if options.verbose:
            print(one.broken or f"{one.tree}: {one.walked}", flush=True)
        elif sys.stderr.isatty() or number % 20 == 0:
            print(f"\r{one.family}: {number} of {total} trees", end="\r", file=sys.stderr)
        yield one


def _summary(family: Family, depth: int, found: list[Found]) -> Summary:
    walked = [one.walked for one in found if one.walked is not None]
    exhausted, capped = sum(w.exhausted for w in walked), sum(w.capped for w in walked)
    return Summary(
        family.name,
        family.what,
        len(found),
        family.configurations(one.tree for one in found),
        depth,
        sum(w.states for w in walked),
        sum(w.steps for w in walked),
        exhausted,
        len(walked) - exhausted - capped,
        capped,
        len(found) - len(walked),
        round(sum(one.seconds for one in found), 1),
    )


def _line(s: Summary) -> str:
    return (
        f"{s.family}: {s.trees} trees ({s.configurations} configurations) to depth {s.depth}, "
        f"{s.states} states, {s.steps} steps, {s.seconds:.0f} s: {s.exhausted} exhausted, "
        f"{s.to_depth} complete to the depth, {s.capped} capped, {s.broken} broken"
    )


def _replay(chosen: dict[str, Family], options: Any) -> int:
    trees = {n: t for family in chosen.values() for n, t in family.trees.items()}
    name = next((name for name in trees if name == options.tree), None)
    name = name or next(name for name in trees if options.tree in name)
    where = dict(given.split("=", 1) for given in options.where)
    moves = [move.strip() for move in options.replay.split(",")]
    print(name)
    try:
        for move, world in zip(moves, each_step(trees[name], moves, where), strict=False):
            print(f"--- {world.now:g} {move}")
            for effect in world.effects:
                print("   ", effect)
            print("   ", world.node)
    except Broken as why:
        print(f"BROKEN {why}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
