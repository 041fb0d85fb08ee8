"""What there is in the process at a quiet moment."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from supervisor import Tree
from supervisor.testing._census import descriptors, tasks, threads

OFTEN = 50
"""Objects of a type that is rarer are not told."""


def observe(tree: Tree) -> tuple[Any, ...]:
    """The fields of a ``Calm``, from ``children`` on."""
    children = sum(1 for _ in tree.snapshot().root.walk())
    running = tasks()
    # Twice: what the first pass finalises, the second one frees.
    gc.collect()
    gc.collect()
    blocks = sys.getallocatedblocks()
    kinds = Counter(f"{type(it).__module__}.{type(it).__qualname__}" for it in gc.get_objects())
    objects = sum(kinds.values())
    types = {kind: number for kind, number in kinds.items() if number >= OFTEN}
    names = sorted(line.split("'")[1] for line in running.values() if "'" in line)
    return (
        children,
        len(running),
        len(threads()),
        len(descriptors()),
        len(psutil.Process().children(recursive=True)),
        _rss(),
        blocks,
        objects,
        types,
        tuple(names),
    )


def _rss() -> int:
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * 4096
    return int(psutil.Process().memory_info().rss)
