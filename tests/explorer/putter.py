"""Many attributes set at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def putter(names: tuple[str, ...]) -> Callable[[Any, tuple[Any, ...]], None]:
    """The opposite of ``attrgetter``. Written out, the assignments take a fifth of the time of a
    loop, and nothing is done more often in a walk."""
    found: dict[str, Any] = {}
    exec(f"def put(it, values): ({', '.join('it.' + name for name in names)}) = values", found)
    put: Callable[[Any, tuple[Any, ...]], None] = found["put"]
    return put
