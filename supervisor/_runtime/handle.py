"""What the user holds of one child."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, final

import anyio
from anyio.lowlevel import checkpoint

from supervisor._core.child import AT_REST, ChildState
from supervisor._core.effects import (
    DeleteChild,
    ReleaseChild,
    RestartChild,
    StartChild,
    StopChild,
)
from supervisor._errors import Closing, Decline, NotFound, Refused, Stuck
from supervisor._runtime.runtime import LiveNode, Runtime
from supervisor._spec.tree import Spec
from supervisor._words import Hold, Outcome, State

if TYPE_CHECKING:
    from supervisor._runtime.tree import Tree


@final
class Child:
    """A grip on one child. It outlives the child's lives: a restart changes nothing about it."""

    path: str
    _tree: Tree
    _runtime: Runtime
    _node: LiveNode
    _last: ChildState

    def __init__(self) -> None:
        raise TypeError("a handle is not made by hand; use tree[path], or what started the child")

    @classmethod
    def _of(cls, tree: Tree, at: LiveNode, state: ChildState) -> Child:
        self = cls.__new__(cls)
        self._tree = tree
        self._runtime = tree._runtime
        self._node = at
        self._last = state
        self.path = state.path
        return self

    def __repr__(self) -> str:
        return f"<Child {self.path}: {self.state}, life {self.life}>"

    def _at(self) -> tuple[LiveNode, ChildState]:
        """The child as it is now: after its supervisor's restart it is a new one of that path."""
        if self._node.node.finished and not self._last.dynamic:
            try:
                self._node, self._last = self._tree._find(self.path)
            except NotFound:
                pass
        return self._node, self._last

    @property
    def spec(self) -> Spec:
        """Its declaration, with the defaults of what it leaves out."""
        spec: Spec = self._at()[1].spec
        return spec

    @property
    def state(self) -> State:
        """down, starting, ready, stopping or stuck."""
        return self._at()[1].state

    @property
    def life(self) -> int:
        """The number of its present or last life; 0 before the first."""
        return self._at()[1].life

    @property
    def value(self) -> Any:
        """The start value of its present or last life."""
        runtime = self._at()[1].runtime
        return getattr(runtime, "value", None)

    @property
    def holds(self) -> tuple[Hold, ...]:
        """Why it is not wanted up; empty if it is."""
        state = self._at()[1]
        return tuple(state.holds.values()) if state.holds else ()

    @property
    def outcome(self) -> Outcome | None:
        """How its last life that ended did so."""
        outcome: Outcome | None = self._at()[1].outcome
        return outcome

    async def wait_ready(self) -> Any:
        """Wait until it is ready, through however many lives that takes; returns its start value.

        Raises:
            NotFound: it was deleted or forgotten.
            Closing: its supervisor is stopping.
        """
        await checkpoint()
        await self._until(self._serves)
        return self.value

    def _serves(self, state: ChildState) -> bool:
        closing = self._at()[0].node.closing  # it is ready yet, but to stop when its turn comes
        return state.state == "ready" and not (state.leaving or closing)

    async def wait(self) -> Outcome:
        """Wait until it is down and nothing automatic will start it again; how its last life ended.

        That is when it finished, declined, was stopped by an operator, was forgotten, or its
        supervisor has ended.
        """
        await checkpoint()
        try:
            await self._until(_rests, unless_at_rest=True)
        except (NotFound, Closing):
            pass
        return self.outcome or Outcome("cancelled")

    async def stop(self) -> None:
        """Stop it, and what needs it, and keep it down until somebody starts it again. A child of
        ``start_soon`` is forgotten then.

        Raises:
            Stuck: it did not end by its deadline.
        """
        await self._command(StopChild)
        await self._until_down()

    async def start(self) -> None:
        """Start it now, whatever holds it, and wait until it is ready.

        A backoff or quarantine is cut short; after a quarantine this life is the probe.

        Raises:
            AlreadyRunning: it has a life.
            Exception: its start failed so; it is restarted like any crashed child.
            Decline: it declined to run.
        """
        await self._command(StartChild)
        await self._next_ready()

    async def restart(self) -> None:
        """Replace its life by the next one, without counting a crash, and wait until that is ready.

        Raises:
            Stuck: the old life did not end by its deadline.
            Exception, Decline: as for :meth:`start`.
        """
        await self._command(RestartChild)
        await self._next_ready()

    async def release(self) -> None:
        """End its backoff or quarantine now. After a quarantine the next life is the probe."""
        await self._command(ReleaseChild)

    async def delete(self) -> None:
        """Remove it from the tree. It must be down for good.

        Raises:
            AlreadyRunning: it has a life; ``stop()`` it first.
            Restarting: it waits for its restart; ``stop()`` it first.
            Refused: another child needs it.
        """
        await self._command(DeleteChild)

    async def _command(self, command: Callable[[ChildState], Any]) -> None:
        await checkpoint()
        while self._runtime.busy:
            await checkpoint()
        at, state = self._at()
        if at.node.finished:
            raise Closing(self.path)
        self._runtime.command(at, command(state))

    async def _first_start(self) -> None:
        """Wait for the first start of a child that is being added, and tell how it went."""
        state = self._last
        try:
            # Not the state, which may have changed again before we are back: the trial is over
            # once it was ready, or has declined and is kept.
            await self._until(lambda s: not s.trial)
        except NotFound:
            _raise(state)
        except anyio.get_cancelled_exc_class():
            # Nobody waits for it any more, so nobody has it: it is stopped rather than left over.
            if not state.removed and not self._node.node.closing:
                state.trial = True
                self._runtime.feed(self._node, StopChild(state))
            raise
        if state.dynamic and state.outcome is not None and state.outcome.kind == "declined":
            _raise(state)

    async def _next_ready(self) -> None:
        """Wait for the life that a command brings about, and tell how its start went."""
        _, state = self._at()
        due = state.life if state.up and not state.leaving else state.life + 1

        def told(child: ChildState) -> bool:
            if child.state == "stuck":
                raise Stuck(child.path)
            if child.life <= due and (child.life < due or child.state == "starting"):
                return False
            return child.life > due or child.state == "down" or not child.leaving

        await self._until(told)
        _, state = self._at()
        if state.life != due or state.state == "down":
            _raise(state)

    async def _until_down(self) -> None:
        life = self._at()[1].life

        def down(child: ChildState) -> bool:
            if child.state == "stuck":
                raise Stuck(child.path)
            # Somebody may have started it again before we are back.
            return child.state == "down" or child.life != life

        try:
            await self._until(down)
        except NotFound:
            pass

    async def _until(
        self, predicate: Callable[[ChildState], bool], *, unless_at_rest: bool = False
    ) -> None:
        while True:
            at, state = self._at()
            if predicate(state):
                return
            if state.removed:
                raise NotFound(self.path)
            if at.node.finished:
                await self._next_supervisor(at, unless_at_rest=unless_at_rest)
                continue
            signal = anyio.Event()
            at.watch(state, signal)
            try:
                await signal.wait()
            finally:
                at.unwatch(state, signal)

    async def _next_supervisor(self, at: LiveNode, *, unless_at_rest: bool) -> None:
        """Wait until the child's supervisor, which has ended, has a life again."""
        if at.parent is None or at.seat is None or self._last.dynamic:
            raise Closing(self.path)
        seat = Child._of(self._tree, at.parent, at.seat)

        def has_a_life(state: ChildState) -> bool:
            lives = state.inner is not None and not state.inner.finished
            return lives or (unless_at_rest and _rests(state))

        await seat._until(has_a_life, unless_at_rest=unless_at_rest)
        # One that was added to the life that has ended is gone with it.
        if self._at()[0].node.finished:
            raise Closing(self.path)


def _rests(state: ChildState) -> bool:
    return state.removed or (state.state == "down" and state.holds_any(AT_REST))


def _raise(state: ChildState) -> NoReturn:
    """Raise why the last life was not ready, or did not stay so until its starter saw it."""
    outcome: Outcome | None = state.outcome
    if outcome is not None and outcome.error is not None:
        raise outcome.error
    if outcome is not None and outcome.kind == "declined":
        raise Decline(outcome.reason or "")
    if outcome is not None and outcome.kind == "returned":
        raise RuntimeError(f"{state.path} returned without calling task_status.started()")
    raise Refused(state.path, "was stopped before it was ready")
