"""Ends a test in which every task waits for what cannot come, rather than letting it hang."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from supervisor.testing._census import tasks
from supervisor.testing._clock import watch


class Deadlocked(AssertionError):
    """All tasks were blocked, and no timer, thread or socket was left that could wake one.

    The message says where each of them was.
    """

    def __init__(self, waiting: list[str]) -> None:
        super().__init__("\n".join(["nothing is left to wait for; blocked:", *waiting]))


@contextmanager
def fail_when_deadlocked() -> Iterator[None]:
    """Cancel the block when it is deadlocked on a virtual clock.

    Raises:
        Deadlocked: it was; if it raises by itself then, that exception has it as a note.
    """
    found: list[Deadlocked] = []
    scope = anyio.CancelScope()

    def end() -> None:
        found.append(Deadlocked([*tasks().values()]))
        scope.cancel()

    try:
        with scope, watch(end):
            yield
    except BaseException as error:
        for deadlocked in found:
            error.add_note(str(deadlocked))
        raise
    for deadlocked in found:
        raise deadlocked
