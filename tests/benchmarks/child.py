"""One case, once, in this process: ``python -m tests.benchmarks.child ROW SIDE BACKEND SIZE``.

It prints the figure as JSON. SIDE is ``ours``, ``floor`` or the name of a peer.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
import sys
from typing import Any

import anyio

from tests.benchmarks.rows import ALL, Backend, Case
from tests.benchmarks.stopwatch import Figure


def main(name: str, side: str, backend: Backend, size: int) -> None:
    row = next(row for row in ALL if row.name == name)
    case = row.case(side)
    # What is measured is supervision; a log line for each of a million crashes is another matter.
    logging.disable(logging.CRITICAL)
    if not row.gc:
        gc.disable()
    figure = run(case, backend, size)
    sys.stdout.write(json.dumps(dataclasses.asdict(figure)) + "\n")


def run(case: Case, backend: Backend, size: int) -> Figure:
    options: dict[str, Any] = {"use_uvloop": True} if backend == "uvloop" else {}
    library = "trio" if backend == "trio" else "asyncio"
    return anyio.run(case, size, backend=library, backend_options=options)


if __name__ == "__main__":
    _, name, side, backend, size = sys.argv
    main(name, side, backend, int(size))  # type: ignore[arg-type]
