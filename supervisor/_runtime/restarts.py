"""Permits for restarts: one task for each child whose restart waits for one.

The machine asks, and hears that the permit is there or that none is to be had. It may give the
request up at any time: then the wait is cancelled, and a permit that had come just before goes back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TYPE_CHECKING, Protocol, TypeAlias

import anyio
from anyio.abc import TaskGroup

from supervisor._core.child import ChildState
from supervisor._core.effects import AskPermit, GiveUpPermit, Permitted, PermitUnavailable
from supervisor._words import Priority, one_line

if TYPE_CHECKING:
    from supervisor._runtime.runtime import LiveNode, Runtime


class Grant(Protocol):
    """A permit, as far as a restart is concerned."""

    def give_back(self) -> None: ...


Acquire: TypeAlias = "Callable[[LiveNode, str, str, Priority], Awaitable[Grant]]"
"""Waits for a permit for a child of this supervisor: of a budget, for a path, at a priority. It
raises where there is none to be had."""


class BrokerDown(Exception):
    """Nobody is there to grant a permit, and nobody is due."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is down")


class Restarts:
    """The requests under way in one tree."""

    def __init__(self, tree: Runtime) -> None:
        self.acquire: Acquire = acquire_of_nearest
        self._tree = tree
        self._waiting: dict[tuple[ChildState, int], list[anyio.TaskHandle[None]]] = {}

    def ask(self, at: LiveNode, effect: AskPermit, group: TaskGroup, context: Context) -> None:
        """Begin to wait for a permit."""
        # Known before its task is made, as an eager one may be done before it has a handle.
        handles = self._waiting[effect.child, effect.number] = []
        name = f"permit of {effect.child.path}"
        handles.append(group.create_task(self._wait(at, effect), name=name, context=context))

    def give_up(self, effect: GiveUpPermit) -> None:
        """Wait no longer, or give back what has come too late."""
        if effect.permit is not None:
            effect.permit.give_back()  # type: ignore[attr-defined]
        for handle in self._waiting.get((effect.child, effect.number), ()):
            handle.cancel()

    async def _wait(self, at: LiveNode, asked: AskPermit) -> None:
        child, number, tree = asked.child, asked.number, self._tree
        answer: Permitted | PermitUnavailable
        try:
            permit = await self.acquire(at, asked.budget, child.path, asked.priority)
            answer = Permitted(child, number, permit)
        except Exception as exc:
            answer = PermitUnavailable(child, number, one_line(exc))
        except tree.cancelled:
            # It ends here, in the outermost frame of our own task: asyncio may cancel it past all
            # scopes, and a task that ends as cancelled so takes the whole group with it.
            tree.stop_if_loop_closes()
            if tree.aborting or tree._group_is_cancelled:
                return
            answer = PermitUnavailable(child, number, "the wait for it was cancelled")
        finally:
            self._waiting.pop((child, number), None)
        tree.feed(at, answer)  # in vain where the request was given up


async def acquire_of_nearest(at: LiveNode, budget: str, path: str, priority: Priority) -> Grant:
    """A permit of the nearest broker that has the budget.

    Raises:
        UnknownBudget: no broker has it.
        BrokerDown: the broker has not been started yet, or is down by policy or command.
        PermitRefused, BrokerClosed: it cannot be had in time.
    """
    broker = at.tree.brokers.find(at, budget)
    permit = broker.try_acquire(budget, priority=priority)
    if permit is not None:
        return permit
    lookout = _Lookout(at, broker.path)
    try:
        with lookout.scope:
            return await broker.acquire(budget, priority=priority)
    finally:
        lookout.end()
    raise BrokerDown(broker.path)


class _Lookout:
    """Cancels the wait for a permit once the broker is down for longer than a backoff."""

    def __init__(self, at: LiveNode, path: str) -> None:
        name = path.rpartition("/")[2]
        while (child := at.node.children.get(name)) is None or child.path != path:
            assert at.parent is not None, "it was found from here upwards"
            at = at.parent
        self.scope = anyio.CancelScope()
        self._at = at
        self._broker = child
        self.set()

    def set(self) -> None:
        """The broker's child has changed."""
        broker = self._broker
        if broker.lost or broker.state == "stuck" or not broker.life or self._at.node.finished:
            self.scope.cancel()
        else:
            self._at.watch(broker, self)

    def end(self) -> None:
        self._at.unwatch(self._broker, self)
