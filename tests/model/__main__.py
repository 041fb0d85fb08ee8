"""Play many runs: ``python -m tests.model --runs 100000``; ``--seed 7 --runs 1`` plays one again."""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import Any

from tests.model.draw import Choice
from tests.model.plan import Plan
from tests.model.runs import chosen, play


def smaller(backend: Any, plan: Plan, choices: list[Choice], end: str, error: BaseException) -> Any:
    """Leave out every step without which it differs all the same."""
    for at in range(len(choices) - 1, -1, -1):
        if choices[at][0] == 0:
            continue
        fewer = [*choices[:at], (0, 0, 0), *choices[at + 1 :]]
        found = play(backend, plan, fewer, end)
        if found is not None and type(found) is type(error):
            choices, error = fewer, found
    return error


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.model", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=None, help="of the first run")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--failures", type=int, default=1, help="stop after so many")
    options = parser.parse_args()
    first = random.SystemRandom().randrange(10**9) if options.seed is None else options.seed
    began, failed = time.perf_counter(), 0
    for seed in range(first, first + options.runs):
        plan, choices, end = chosen(seed, options.steps)
        error = play(options.backend, plan, choices, end)
        if error is None:
            continue
        failed += 1
        error = smaller(options.backend, plan, choices, end, error)
        print(f"--- {type(error).__name__}: {error}")
        print(*getattr(error, "__notes__", []), sep="\n")
        print(
            f"again: python -m tests.model --backend {options.backend} --runs 1 --seed {seed}",
            flush=True,
        )
        if failed >= options.failures:
            break
    print(f"{seed - first + 1} runs, {failed} failed, {time.perf_counter() - began:.1f} s")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
