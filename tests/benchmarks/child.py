"""One case, once, in this process: ``python -m tests.benchmarks.child ROW SIDE BACKEND SIZE``.

It prints the figure. To see where the time goes, put ``-m cProfile -s tottime`` before ``-m``.
"""

from __future__ import annotations

import gc
import logging
import sys
from typing import Any

import anyio

from tests.benchmarks.rows import ALL, Backend, Case, Side

OFF = logging.CRITICAL + 1


def main(name: str, side: Side, backend: Backend, size: int) -> None:
    row = next(row for row in ALL if row.name == name)
    # What is measured is supervision; a log line for each of a million crashes is another matter.
    logging.getLogger("supervisor").setLevel(OFF)
    if not row.gc:
        gc.disable()
    sys.stdout.write(f"{run(row.case(side), backend, size)!r}\n")


def run(case: Case, backend: Backend, size: int) -> float:
    options: dict[str, Any] = {"use_uvloop": True} if backend == "uvloop" else {}
    library = "trio" if backend == "trio" else "asyncio"
    return anyio.run(case, size, backend=library, backend_options=options)


if __name__ == "__main__":
    _, name, side, backend, size = sys.argv
    main(name, side, backend, int(size))  # type: ignore[arg-type]
