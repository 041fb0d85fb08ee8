"""The resource that runs the outside world: a process whose life is tied to its own."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from anyio import IncompleteRead, create_task_group, move_on_after, open_process
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

PROGRAM = Path(__file__).parent / "outside"
LONGEST_LINE = 64 * 1024
SECONDS_TO_END = 2.0

log = logging.getLogger("outside")


class World(msgspec.Struct, frozen=True):
    """Where the outside world listens, and which symbols' prices it has from which source."""

    prices: str
    telegram: str
    control: str
    sources: dict[str, list[str]]


class WorldEnded(RuntimeError):
    """The process of the outside world ended although nobody had asked it to."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the outside world ended with exit code {code}")


@asynccontextmanager
async def outside_world() -> AsyncGenerator[World]:
    """Run the outside world, and fail as soon as it ends."""
    # A session of its own, so that Ctrl-C reaches it through us, in its turn.
    command = [sys.executable, str(PROGRAM)]
    async with await open_process(command, stderr=None, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            lines = BufferedByteReceiveStream(process.stdout)
            world = msgspec.json.decode(await _line(process, lines), type=World)
            _tell(world, process.pid)
            async with create_task_group() as group:
                group.start_soon(_relay, process, lines)
                yield world
                group.cancel_scope.cancel()
        finally:
            await _end(process)


async def _relay(process: Process, lines: BufferedByteReceiveStream) -> None:
    while True:
        log.info("%s", (await _line(process, lines)).decode())


async def _line(process: Process, lines: BufferedByteReceiveStream) -> bytes:
    try:
        return await lines.receive_until(b"\n", LONGEST_LINE)
    except IncompleteRead:
        raise WorldEnded(await process.wait()) from None


async def _end(process: Process) -> None:
    """Ask first; the process that has not ended by then is killed when its context is left."""
    if process.returncode is None:
        with move_on_after(SECONDS_TO_END, shield=True):
            process.terminate()
            await process.wait()


def _tell(world: World, pid: int) -> None:
    log.info("process %d; POST api and mode to %s/control to make it misbehave", pid, world.control)
    for source, symbols in world.sources.items():
        log.info("prices of %s: %s", ", ".join(symbols), source)
