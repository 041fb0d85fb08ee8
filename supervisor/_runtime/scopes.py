"""Cancel scopes and task groups that a life has left open, closed before its task ends.

An async generator that is abandoned in the middle of an ``async with`` is enough to leave one open.
The backends notice only when the task ends, and then tear down the group that the task belongs to:
ours, with all its siblings. There is no public way to close what somebody else has opened, so this
module knows the backends from within; where they have changed, it finds nothing open.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias

import anyio

Handle: TypeAlias = anyio.TaskHandle[None]


class Scopes(NamedTuple):
    """What a backend answers about the task that runs, whose handle is given.

    ``left_open``: whether it is in a scope within that of the handle. ``close``: leaves and cancels
    these, innermost first, waits for the tasks in them, and says how many there were.
    """

    left_open: Callable[[Handle], bool]
    close: Callable[[Handle], Awaitable[int]]


def scopes() -> Scopes:
    """Those of the backend that the caller runs on."""
    return _trio_scopes() if _on_trio() else _asyncio_scopes()


def _on_trio() -> bool:
    return anyio.get_cancelled_exc_class().__module__.startswith("trio")


def native_cancellation() -> Callable[[], bool]:
    """Whether the caller's own task is being cancelled past all scopes, as asyncio does it."""
    if _on_trio():
        return lambda: False
    import asyncio

    task = asyncio.current_task()
    assert task is not None
    return lambda: task.cancelling() > 0


def _asyncio_scopes() -> Scopes:
    from asyncio import CancelledError, current_task, wait

    states: Any = getattr(sys.modules["anyio._backends._asyncio"], "_task_states", {})

    def left_open(handle: Handle) -> bool:
        return bool(getattr(handle._cancel_scope, "_child_scopes", False))

    def tasks_in(scope: Any) -> set[Any]:
        # A task that is in a scope of its own is counted to that one only.
        return set(scope._tasks).union(*map(tasks_in, scope._child_scopes))

    async def close(handle: Handle) -> int:
        task, left = current_task(), []
        while left_open(handle):
            scope = states[task].cancel_scope
            scope.cancel("left open by the child")
            scope.__exit__(None, None, None)
            left.append(scope)
        for scope in left:
            while tasks := tasks_in(scope):
                # The life is over; who cancels its task only now must not keep that from being told.
                with suppress(CancelledError), anyio.CancelScope(shield=True):
                    await wait(tasks)
        return len(left)

    return Scopes(left_open, close)


def _trio_scopes() -> Scopes:
    current_task: Callable[[], Any] = sys.modules["trio"].lowlevel.current_task

    def left_open(handle: Handle) -> bool:
        try:
            scope: Any = handle._cancel_scope
            outermost = scope._CancelScope__original._cancel_status
            return current_task()._cancel_status not in (outermost, None)
        except AttributeError:
            return False

    async def close(handle: Handle) -> int:
        task, left = current_task(), 0
        while left_open(handle):
            scope = task._cancel_status._scope
            nurseries = task._child_nurseries
            if nurseries and nurseries[-1].cancel_scope is scope:
                scope.cancel()
                await nurseries[-1]._nested_child_finished(None)
            scope.__exit__(None, None, None)
            left += 1
        return left

    return Scopes(left_open, close)
