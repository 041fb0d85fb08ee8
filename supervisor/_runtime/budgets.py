"""Which broker a caller's budget belongs to, and the ways to ask for a permit from anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from threading import get_ident
from typing import TYPE_CHECKING

from supervisor._core.child import ChildState
from supervisor._errors import NoTree, UnknownBudget
from supervisor._runtime.broker import RunningBroker
from supervisor._runtime.context import current_life, current_tree
from supervisor._runtime.permit import Acquisition, Permit
from supervisor._spec.tree import Broker
from supervisor._views import BudgetStatus
from supervisor._words import Priority

if TYPE_CHECKING:
    from supervisor._runtime.runtime import LiveNode, Runtime


class Brokers:
    """The brokers of a running tree, by the path of their child.

    They are made when they are first looked for, so that a permit can be had before the broker's
    first life; and they outlive the supervisor that they are listed under, as a limit in a window
    does not begin anew because of a restart.
    """

    def __init__(self, tree: Runtime) -> None:
        self._tree = tree
        self._by_path: dict[str, RunningBroker] = {}
        self._found: list[dict[str, RunningBroker]] = []

    def of(self, child: ChildState) -> RunningBroker:
        """The broker that this child is."""
        spec = child.spec
        assert isinstance(spec, Broker)
        broker = self._by_path.get(child.path)
        if broker is None:
            broker = self._by_path[child.path] = RunningBroker._of(self._tree, child, spec)
            self.forget()
        return broker

    def find(self, at: LiveNode, budget: str) -> RunningBroker:
        """The nearest broker, from this supervisor upwards, that has the budget.

        Raises:
            UnknownBudget: none has it, nor lets pass what it does not know.
        """
        broker = at.budgets.get(budget)
        if broker is None:
            broker = self._nearest(at, budget)
            if not at.budgets:
                self._found.append(at.budgets)
            if budget in broker._budgets:  # others may be any number of names
                at.budgets[budget] = broker
        return broker

    def _nearest(self, at: LiveNode, budget: str) -> RunningBroker:
        known: list[str] = []
        lenient: RunningBroker | None = None
        for broker in self.above(at):
            if budget in broker._budgets:
                return broker
            if lenient is None and broker._spec.unknown == "pass":
                lenient = broker
            known += broker._budgets
        if lenient is None:
            raise UnknownBudget(budget, list(dict.fromkeys(known)))
        return lenient

    def above(self, at: LiveNode | None) -> Iterator[RunningBroker]:
        """The brokers that serve the children of this supervisor, nearest first."""
        while at is not None:
            for child in at.node.children.values():
                if type(child.spec) is Broker:
                    yield self.of(child)
            at = at.parent

    def statuses(self) -> tuple[BudgetStatus, ...]:
        """How the budgets of all brokers are now."""
        return tuple(
            broker.status(budget) for broker in self._by_path.values() for budget in broker._budgets
        )

    def forget(self) -> None:
        """Look anew for each budget: there are more or fewer of them."""
        for found in self._found:
            found.clear()
        self._found.clear()

    def deleted(self, path: str) -> None:
        """A child is gone, and with it its brokers: nobody finds them any more, and whoever waits
        for one is told."""
        for broker in tuple(self._by_path.values()):
            if broker.path == path or broker.path.startswith(f"{path}/"):
                del self._by_path[broker.path]
                broker._end()
                self.forget()

    def close(self) -> None:
        """The tree is over: whoever still waits is told."""
        for broker in self._by_path.values():
            broker._end()


def _here() -> LiveNode:
    life = current_life.get()
    at = current_tree()._runtime.root if life is None else life._node
    if get_ident() != at.tree.thread:
        raise NoTree(
            "not in the tree's event loop; call anyio.from_thread.run(acquire_rate_limit, ...)"
        )
    return at


def acquire(budget: str, *, priority: Priority | None = None, cost: int = 1) -> Acquisition:
    """Ask the nearest broker that has the budget for a permit.

    ``await acquire("exchange")`` waits for it; ``async with acquire("exchange") as permit`` also
    reports the call's answer, which an adaptive budget learns from. The broker is looked for among
    the siblings of the calling child and then further up; outside of children, in the one tree that
    is open in this event loop. From a worker thread, ask by
    ``anyio.from_thread.run(acquire_rate_limit, ...)``.

    Args:
        budget: its name.
        priority: whose turn it is among those who wait; by default the calling child's own,
            ``medium`` outside of children.
        cost: how many permits it counts for; a whole number up to the budget's burst.

    Raises:
        NoTree: no tree is open here, or several are; or the caller is a worker thread.
        UnknownBudget: no broker has a budget of that name, and none lets it pass.
        ValueError: there is no such priority.
        PermitRefused: when awaited; the permit cannot be had in time, or too many wait.
        BrokerClosed: at once or when awaited; the broker is stopping.
        CostTooHigh: at once or when awaited; the cost is more than the budget ever grants at once.
    """
    at = _here()
    return at.tree.brokers.find(at, budget).acquire(budget, priority=priority, cost=cost)


def try_acquire(budget: str, *, priority: Priority | None = None, cost: int = 1) -> Permit | None:
    """A permit if it is there and nobody waits for one, otherwise ``None``; see :func:`acquire`."""
    at = _here()
    return at.tree.brokers.find(at, budget).try_acquire(budget, priority=priority, cost=cost)


async def acquire_rate_limit(budget: str, priority: Priority | None = None) -> float:
    """Wait for a permit of the budget; returns the seconds that it took. See :func:`acquire`."""
    permit = await acquire(budget, priority=priority)
    return permit.waited


def current_broker(budget: str = "") -> RunningBroker:
    """The nearest broker that has the budget; without a name, the nearest there is.

    Raises:
        NoTree: no tree is open here, or several are, or there is no broker in it.
        UnknownBudget: no broker has a budget of that name.
    """
    at = _here()
    if budget:
        return at.tree.brokers.find(at, budget)
    for broker in at.tree.brokers.above(at):
        return broker
    raise NoTree("no broker is here or above; list a Broker in the tree")
