"""One tree to be walked, as a job for whatever process has the time."""

from __future__ import annotations

import gc
import time
from functools import cache
from shlex import quote

from msgspec import Struct

from tests.explorer.trees import families
from tests.explorer.walk import Broken, Walked, walk

Job = tuple[str, str, int, int]
known = cache(families)


class Found(Struct, frozen=True):
    """What the walk of one tree has found."""

    family: str
    tree: str
    seconds: float
    walked: Walked | None = None
    broken: str = ""  # the law, the sequence, and how to replay it


def walk_one(job: Job) -> Found:
    """Walk one tree, in whatever process this is."""
    family, tree, depth, cap = job
    gc.disable()  # there are no cycles in what is kept, and it is looked through for long
    began = time.process_time()
    try:
        walked = walk(known()[family].trees[tree], depth, cap)
    except Broken as why:
        return Found(family, tree, time.process_time() - began, broken=_how(family, tree, why))
    finally:
        gc.enable()
        gc.collect()
    return Found(family, tree, time.process_time() - began, walked)


def _how(family: str, tree: str, why: Broken) -> str:
    where = "".join(f" --where {quote(f'{field}={left}')}" for field, left in why.where.items())
    return (
        f"BROKEN {tree}\n  {why.why}\n  replay: python -m tests.explorer --family {quote(family)} "
        f"--tree {quote(tree)}{where} --replay {quote(', '.join(why.moves))}"
    )
