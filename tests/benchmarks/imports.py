"""What the import costs, each time in an interpreter of its own.

The floor is what would be imported in any case: the names of anyio that we use, and msgspec. Ours is
what ``import supervisor`` takes after that, the other modules of the standard library included.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.benchmarks.stopwatch import Figure

NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"

BENEATH = """
from time import perf_counter, process_time
began, used = perf_counter(), process_time()
import anyio, msgspec
from anyio import (
    TASK_STATUS_IGNORED, CancelScope, Event, TaskHandle, create_task_group, current_time, from_thread,
    get_cancelled_exc_class, open_signal_receiver, run, sleep_forever, sleep_until, to_thread,
)
from anyio.abc import TaskGroup, TaskStatus
from anyio.lowlevel import EventLoopToken, RunVar, checkpoint, current_token
from msgspec import Meta, Struct
from msgspec.structs import force_setattr
"""
OURS = "began, used = perf_counter(), process_time()\nimport supervisor\n"
TELL = "print(perf_counter() - began, process_time() - used)\n"


async def ours(count: int) -> Figure:
    """Milliseconds that ``import supervisor`` takes when what is beneath it is there."""
    return _milliseconds(BENEATH + OURS + TELL)


async def beneath(count: int) -> Figure:
    return _milliseconds(BENEATH + TELL)


def _milliseconds(code: str) -> Figure:
    # An installed package has its bytecode; a checkout, or an environment that forbids to write it,
    # may not. So the first interpreter writes what is missing, and the second one is measured.
    _run(code)
    wall, cpu = map(float, _run(code).split())
    return Figure(wall, cpu).times(1000)


def _run(code: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != NO_BYTECODE}
    return subprocess.run(
        [sys.executable, "-c", code], check=True, text=True, stdout=subprocess.PIPE, env=environment
    ).stdout
