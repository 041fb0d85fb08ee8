"""Chance under the control of a test."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from supervisor._runtime.clock import draws


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw the jitter of trees that are opened in this block from a source with this seed.

    The trees of one block share the source; each block begins it anew. A supervisor that runs as a
    child of such a tree belongs to it.
    """
    token = draws.set(random.Random(seed))
    try:
        yield
    finally:
        draws.reset(token)
