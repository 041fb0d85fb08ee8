"""A check that a piece of code leaves nothing running: no task, thread, descriptor or process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

import anyio

from supervisor.testing._census import Census, sockets_of_loop, system, tasks
from supervisor.testing._clock import settle

_STEP = 0.005
_HANDOVER = 0.001  # seconds; a worker thread that was just given a job still looks idle


class Leaked(AssertionError):
    """The code under test left something running; the message has one line for each.

    ``leaks`` has those lines.
    """

    def __init__(self, leaks: list[str]) -> None:
        self.leaks: tuple[str, ...] = tuple(leaks)
        super().__init__("\n".join([f"{len(leaks)} left alive:", *leaks]))


class no_leaks:  # noqa: N801 - reads as the context managers of contextlib do
    """Assert that what is made in this block is gone at its end.

    Looks at tasks (of the running event loop, if there is one), threads, file descriptors (where
    the system lists them in ``/proc/self/fd``) and child processes. Idle worker threads of anyio,
    trio and ``concurrent.futures`` belong to their pools and do not count, nor do sockets that the
    event loop holds for itself. If the block raises,
    its leaks are added to that exception as a note.

    As ``async with`` it first lets the other tasks run until they are blocked, so that transports
    whose closing takes a turn of the loop are not reported; prefer that in async code. The virtual
    clock does not move.

    Args:
        patience: for how many real seconds threads, descriptors and processes may go on ending.

    Raises:
        Leaked: something is still alive.
    """

    def __init__(self, *, patience: float = 1.0) -> None:
        self.patience = patience
        self._before: Census = {}

    def __enter__(self) -> None:
        self._before = {**tasks(), **system()}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # What the loop has made for itself since, it closes itself.
        self._before = {**self._before, **sockets_of_loop()}
        leaks = [*self._new(tasks), *self._wait_system()]
        if not leaks:
            return
        leaked = Leaked(leaks)
        if error is None:
            raise leaked
        error.add_note(str(leaked))

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            await settle()
        self.__exit__(kind, error, traceback)

    def _new(self, census: Callable[[], Census]) -> list[str]:
        return [line for key, line in census().items() if key not in self._before]

    def _wait_system(self) -> list[str]:
        if threading.active_count() > 1:
            time.sleep(_HANDOVER)
        deadline = time.monotonic() + self.patience
        while (leaks := self._new(system)) and time.monotonic() < deadline:
            time.sleep(_STEP)
        return leaks
