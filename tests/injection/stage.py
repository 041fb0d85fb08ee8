"""What a scenario plays on: it opens trees, makes calls that can be cancelled one by one, and at its
end proves that the tree is as good as before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, TypeAlias, TypeVar

import anyio

from supervisor import (
    BrokerClosed,
    CallFailed,
    Child,
    Component,
    ForeignCancellation,
    MailboxClosed,
    MailboxFull,
    NotFound,
    Refused,
    Supervisor,
    Tree,
    TreeFailed,
    open_supervisor,
)
from supervisor._core.child import ChildState
from supervisor._runtime.box import Box
from supervisor.testing import Hanging, SlowStopping, settle
from supervisor.testing._faults import Fault

Scenario: TypeAlias = Callable[["Stage"], Awaitable[None]]

F = TypeVar("F", bound=Fault)

CONSEQUENCES = (
    Refused,
    NotFound,
    TreeFailed,
    ForeignCancellation,
    BrokerClosed,
    CallFailed,
    MailboxClosed,
    MailboxFull,
)
"""What calls may be answered with after something was cancelled."""

PATIENCE = 100.0
"""Seconds that a call may take: what it waits for may never come once something was cancelled."""

AFTERMATH = 60.0
"""Seconds in which all that a cancelled call has begun is over."""


@dataclass(eq=False)
class Call:
    """One call of the API, in a scope of its own."""

    makes: str
    task: object
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    how: Literal["under way", "returned", "raised", "cancelled", "gave up"] = "under way"


class Stage:
    """``disturbed`` once the injector has cancelled something; ``struck`` is the path of the life
    that it cancelled, if it was one."""

    def __init__(self) -> None:
        self.trees: list[Tree] = []
        self.faults: list[Fault] = []
        self.calls: list[Call] = []
        self.under_way: list[Call] = []
        self.bystanders: list[SlowStopping] = []
        self.outer: anyio.CancelScope
        self.task: object = None
        self.leaving = False
        self.left_normally = False
        self.proving = False
        self.proved = False
        self.disturbed = False
        self.struck = ""

    def has(self, fault: F) -> F:
        """A component of this scenario, whose lives are looked at afterwards."""
        self.faults.append(fault)
        return fault

    def declare(self, *children: Any, **options: Any) -> Supervisor:
        """A tree with a child in front that nothing here concerns."""
        bystander = self.has(SlowStopping(1))
        self.bystanders.append(bystander)
        return Supervisor(
            "root", [Component(bystander, name="bystander", after=()), *children], **options
        )

    def open(self, *children: Any, stop_within: float = 25, **options: Any) -> Opened:
        spec = self.declare(*children, **options)
        return Opened(self, open_supervisor(spec, stop_within=stop_within))

    async def call(
        self, fn: Callable[[], Awaitable[Any]], *, makes: str = "", raises: Any = ()
    ) -> Any:
        """Make a call that the injector may cancel; what it is refused then is of no interest."""
        from tests.injection.inject import current_task

        call = Call(makes, current_task())
        self.calls.append(call)
        self.under_way.append(call)
        try:
            with call.scope, anyio.move_on_after(PATIENCE) as patience:
                try:
                    value = await fn()
                    call.how = "returned"
                    assert not makes or makes in self.trees[-1], f"{makes} is not there"
                    return value
                except anyio.get_cancelled_exc_class():
                    call.how = "gave up" if patience.cancel_called else "cancelled"
                    assert self.disturbed or call.how == "cancelled", "a call took for ever"
                    raise
                except BaseException:
                    call.how = "raised"
                    raise
        except raises:
            pass
        except CONSEQUENCES:
            if not self.disturbed:
                raise
        finally:
            self.under_way.remove(call)
            waiting = sum(
                len(signals) for node in self._nodes() for signals in callers(node).values()
            )
            restarts = sum(len(tree._runtime.restarts._waiting) for tree in self.trees)
            others = len(self.under_way) + self.proving + self.leaving + restarts
            assert waiting <= others, "a call that is over still waits"
        return None

    def _nodes(self) -> list[Any]:
        return [node for tree in self.trees for node in live_nodes(tree)]

    async def ask(
        self, tree: Tree, path: str, method: Callable[[Child], Awaitable[Any]], raises: Any = ()
    ) -> Any:
        """Make a call of a child, which may not be there any more."""
        return await self.call(lambda: method(tree[path]), raises=raises)

    async def prove(self, tree: Tree) -> None:
        """After a call was cancelled, and what it began is over, the tree is usable and holds
        nothing of the call; unless it is being stopped."""
        await anyio.sleep(AFTERMATH)
        if tree._runtime.root.node.closing:
            return
        for call in self.calls:
            if call.makes and call.how == "cancelled":
                assert call.makes not in tree, f"{call.makes} was left over by a cancelled call"
        assert not tree._runtime.bus.subscriptions, "a subscription was left"
        for node in live_nodes(tree):
            assert not callers(node), f"somebody still waits in {node.node.path}"
            for state in node.node.children.values():
                watched = len(node.watchers.get(state, ()))
                assert state.watched == watched, f"{state.path} counts {state.watched} watchers"
        bystander = self.bystanders[-1]
        assert bystander.alive, "the bystander was stopped"
        if self.struck != "root/bystander":
            assert len(bystander.lives) == 1, "the bystander was restarted"
        hanging = self.has(Hanging())
        child = tree.start_soon(hanging, name="proof")
        await settle()
        assert child.state == "ready"
        assert hanging.alive
        self.proving = True
        await child.stop()
        self.proving = False
        assert "proof" not in tree
        self.proved = True


class Opened:
    """``open_supervisor``, and whether its block was left as if nothing had been cancelled."""

    def __init__(self, stage: Stage, inner: open_supervisor) -> None:
        self._stage = stage
        self._inner = inner

    async def __aenter__(self) -> Tree:
        return await self._inner.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._stage.leaving = True
        swallowed = await self._inner.__aexit__(kind, error, traceback)
        self._stage.left_normally = error is None or bool(swallowed)
        return swallowed


def callers(node: Any) -> dict[ChildState, list[Any]]:
    """Who waits for a change of the children of this supervisor; mailboxes watch theirs always."""
    waiting = {
        state: [signal for signal in signals if not isinstance(signal, Box)]
        for state, signals in node.watchers.items()
    }
    return {state: signals for state, signals in waiting.items() if signals}


def live_nodes(tree: Tree) -> list[Any]:
    """The supervisors of a tree that have a life, and the root."""
    found = [tree._runtime.root]
    for node in found:
        found += [s.runtime for s in node.node.children.values() if s.inner is not None]
    return found
