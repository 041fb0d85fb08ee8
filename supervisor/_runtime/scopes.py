"""Cancel scopes and task groups that a life has left open, closed before its task ends.

An async generator that is abandoned in the middle of an ``async with`` is enough to leave one open.
The backends notice only when the task ends, and then tear down the group that the task belongs to:
ours, with all its siblings. There is no public way to close what somebody else has opened, so this
module knows the backends from within; where they have changed, it finds nothing open.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel


class Scopes(NamedTuple):
    """What a backend answers: the scope that the task is in, and the closing of those within."""

    innermost: Callable[[], Any]
    close_within: Callable[[Any], Awaitable[int]]


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
    from asyncio import current_task

    states: Any = getattr(sys.modules["anyio._backends._asyncio"], "_task_states", {})

    def innermost() -> Any:
        try:
            return states[current_task()].cancel_scope
        except (AttributeError, KeyError, TypeError):
            return None

    async def close_within(outer: Any) -> int:
        """Cancel and leave each scope, innermost first; then wait for the tasks in them."""
        left = []
        while (scope := innermost()) is not outer and scope is not None:
            scope.cancel("left open by the child")
            scope.__exit__(None, None, None)
            left.append(scope)
        for scope in left:
            while scope._tasks:
                with anyio.CancelScope(shield=True):
                    await anyio.lowlevel.checkpoint()
        return len(left)

    return Scopes(innermost, close_within)


def _trio_scopes() -> Scopes:
    current_task: Callable[[], Any] = sys.modules["trio"].lowlevel.current_task

    def innermost() -> Any:
        return getattr(current_task(), "_cancel_status", None)

    async def close_within(outer: Any) -> int:
        task, left = current_task(), 0
        while task._cancel_status is not outer and task._cancel_status is not None:
            scope = task._cancel_status._scope
            nurseries = task._child_nurseries
            if nurseries and nurseries[-1].cancel_scope is scope:
                scope.cancel()
                await nurseries[-1]._nested_child_finished(None)
            scope.__exit__(None, None, None)
            left += 1
        return left

    return Scopes(innermost, close_within)
