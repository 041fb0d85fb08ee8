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
    leaves = loop.run_forever

    def run_forever() -> None:
        while True:
            try:
                return leaves()
            except (KeyboardInterrupt, SystemExit) as exc:
                on_exit(exc)

    # On the object, as the class depends on the platform. `run_until_complete` goes through it.
    loop.run_forever = run_forever  # type: ignore[method-assign]
    return loop
