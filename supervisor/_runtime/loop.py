"""Event loops of asyncio that go on when a task of theirs raises what concerns the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

Exit: TypeAlias = KeyboardInterrupt | SystemExit


def new_loop(*, uvloop: bool, on_exit: Callable[[Exit], None]) -> AbstractEventLoop:
    """A loop that tells of each SystemExit and KeyboardInterrupt out of a task, and goes on.

    asyncio gives these to whoever waits for the task, as it does with any exception, but leaves
    its loop at once as well: then all tasks are cancelled together, and nothing ends in order.
    """
    if uvloop:
        import uvloop as library

        loop: AbstractEventLoop = library.new_event_loop()
    else:
        import asyncio

        loop = asyncio.new_event_loop()
    leaves, stops = loop.run_forever, loop.stop
    stopping = False

    def run_forever() -> None:
        nonlocal stopping
        while True:
            try:
                leaves()
            except (KeyboardInterrupt, SystemExit) as exc:
                on_exit(exc)
                if stopping:
                    stops()  # left in this way, it has forgotten
            else:
                stopping = False
                return

    def stop() -> None:
        nonlocal stopping
        stopping = True
        stops()

    # On the object, as the class depends on the platform. `run_until_complete` goes through them.
    loop.run_forever, loop.stop = run_forever, stop  # type: ignore[method-assign]
    return loop
