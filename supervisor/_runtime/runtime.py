"""The running tree: it steps the machines and performs their effects.

An input steps the machine in whichever task brings it. Effects are performed at once, and whatever
they bring about (a nested supervisor that is ready, say) waits in the inbox until they are done, so
that no step sees another one half done. All lives are tasks of one task group; a supervisor below
the root is a machine, not a task. One task sleeps until the next deadline of all machines, if there
is one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from threading import get_ident
from typing import Any, Protocol

import anyio
from anyio import create_task_group
from anyio.abc import TaskGroup

from supervisor._core.child import ChildState
from supervisor._core.effects import (
    AllReady,
    AskPermit,
    BeganToEnd,
    Begin,
    Cancel,
    Effect,
    Exited,
    Finish,
    GiveUpPermit,
    Hurry,
    Input,
    Moved,
    Notify,
    OnlyStuckLeft,
    ReasonChanged,
    ReportedReady,
    Run,
    Rush,
    ShutDown,
    StartNoMore,
    Still,
    StuckRemain,
    TellStuck,
    TimePassed,
)
from supervisor._core.node import Node
from supervisor._core.step import step
from supervisor._core.table import populate
from supervisor._core.timers import next_deadline
from supervisor._errors import ForeignCancellation, TreeFailed
from supervisor._happenings import Deleted, StopBegun, StopTimedOut
from supervisor._runtime.box import Box
from supervisor._runtime.broker import RunningBroker
from supervisor._runtime.budgets import Brokers
from supervisor._runtime.bus import Bus
from supervisor._runtime.clock import clock, now, source_of_chance
from supervisor._runtime.condition import TreeCondition
from supervisor._runtime.deadlines import Deadlines
from supervisor._runtime.guarded import Guards
from supervisor._runtime.life import Arguments, CurrentChild, live
from supervisor._runtime.recorder import Recorder
from supervisor._runtime.restarts import Restarts
from supervisor._runtime.scopes import native_cancellation, scopes
from supervisor._spec.tree import Called, Leaf, Supervisor
from supervisor._words import Outcome

CANCELLED_NATIVELY = "its own task was cancelled"


class Signal(Protocol):
    """What is set when a child has changed: an event, or whatever looks at the child at once."""

    def set(self) -> None: ...


class LiveNode:
    """A supervisor's machine in the running tree. ``seat`` is its place in its parent's machine."""

    __slots__ = ("budgets", "deadline", "node", "parent", "seat", "tree", "watchers")

    def __init__(
        self, tree: Runtime, node: Node, parent: LiveNode | None, seat: ChildState | None
    ) -> None:
        self.tree = tree
        self.node = node
        self.parent = parent
        self.seat = seat
        self.deadline = math.inf
        self.watchers: dict[ChildState, list[Signal]] = {}
        self.budgets: dict[str, RunningBroker] = {}  # that were looked for from here

    def arguments(self, spec: Leaf) -> Arguments:
        """What to call the child with: start values in the place of their declarations."""
        if not isinstance(spec, Called):
            return (), {}
        args, kwargs = spec.args, spec.kwargs
        if args and any(isinstance(arg, Leaf) for arg in args):
            args = [self._resolved(arg) for arg in args]
        if kwargs and any(isinstance(arg, Leaf) for arg in kwargs.values()):
            kwargs = {name: self._resolved(arg) for name, arg in kwargs.items()}
        return args, kwargs

    def _resolved(self, arg: object) -> object:
        return self._start_value(arg) if isinstance(arg, Leaf) else arg

    def _start_value(self, spec: Leaf) -> object:
        at: LiveNode | None = self
        while at is not None:
            child = at.node.children.get(spec.name)
            if child is not None and (child.spec is spec or child.spec == spec):
                return _value(child)
            at = at.parent
        raise LookupError(f"{spec.name} is not an elder sibling here or further up")

    def watch(self, child: ChildState, signal: Signal) -> None:
        """Set the signal when the child next changes."""
        child.watched += 1
        self.watchers.setdefault(child, []).append(signal)

    def unwatch(self, child: ChildState, signal: Signal) -> None:
        signals = self.watchers.get(child)
        if signals is not None and signal in signals:
            signals.remove(signal)
            child.watched -= 1
            if not signals:
                del self.watchers[child]

    def wake(self, child: ChildState) -> None:
        for signal in self.watchers.pop(child, ()):
            child.watched -= 1
            signal.set()

    def wake_all(self) -> None:
        for child in tuple(self.watchers):
            self.wake(child)


def _value(child: ChildState) -> object:
    """The start value of the life that serves: the child's own, or its fallback's."""
    at: ChildState | None = child
    while at is not None:
        if at.state == "ready" and not at.leaving:
            return at.runtime.value
        at = at.fallback
    return None


def _torn_down(path: str) -> TreeFailed:
    """Anyio cancels a whole group for a task that ends as cancelled; lives see to it that theirs do
    not, but asyncio can cancel a task before its first step, when there is nobody to see to it."""
    why = "its tasks were cancelled past it: one of them natively, before its first step"
    return TreeFailed(f"{path} failed: {why}", [ForeignCancellation()])


class Runtime:
    """The machinery of one running tree; :class:`supervisor.Tree` is its face."""

    def __init__(self, spec: Supervisor, stop_within: float) -> None:
        self.face: Any = None
        self.stop_within = stop_within
        self.bus = Bus()
        self.brokers = Brokers(self)
        self.restarts = Restarts(self)
        self.guards = Guards(self)
        self.calls = 0  # guarded calls of which an attempt has failed
        self.boxes: dict[str, Box] = {}  # what is in the mailboxes, by their names
        self.draw: Callable[[], float] = source_of_chance().random
        node = Node(spec, spec.name, self.draw, now=now(), stop_within=stop_within)
        populate(node)
        self.root = LiveNode(self, node, None, None)
        self.now = clock()
        self.recorder = Recorder(self)
        self.bus.sinks.append(self.recorder.note)
        self.thread = get_ident()
        self.cancelled = anyio.get_cancelled_exc_class()
        self.scopes = scopes()
        self.outcome: Outcome | None = None
        self.booted = anyio.Event()
        self.finished = anyio.Event()
        self.aborting = False
        self._is_being_cancelled: Callable[[], bool] = lambda: False
        self.condition = TreeCondition(node, self.bus)

        self._inbox: deque[tuple[LiveNode, Input]] = deque()
        self._draining = False
        self._deadlines = Deadlines()
        self._context = copy_context()
        self._group: TaskGroup | None = None
        self._peers: TaskGroup | None = None  # the root's children of start_soon
        self._waiting = anyio.CancelScope()
        self._to_cancel: list[CurrentChild] = []

    # --- the tree's own task ----------------------------------------------------------------------

    async def keep(self) -> None:
        """Hold the lives until the root has ended: shielded, because it is the machine that stops
        them, in order, and not whoever cancels the caller."""
        with anyio.CancelScope(shield=True):
            self.guards.open()
            try:
                async with create_task_group() as group, create_task_group() as peers:
                    self._group, self._peers = group, peers
                    timer = group.start_soon(self._sleep_until_deadlines)
                    self.feed(self.root, Begin())
                    self._is_being_cancelled = native_cancellation()
                    with self._waiting:
                        await self._until_finished()
                    timer.cancel()
                if self.outcome is None:
                    self.outcome = Outcome("crashed", _torn_down(self.root.node.path))
            finally:
                self.aborting = True
                self._group = self._peers = None
                self.finished.set()
                self.booted.set()
                self.condition.changed.set()
                self.root.wake_all()
                self.brokers.close()
                self.guards.close()
                for box in tuple(self.boxes.values()):
                    box.end_with_tree()
                self.bus.close()

    async def _until_finished(self) -> None:
        while not self.finished.is_set():
            try:
                await self.finished.wait()
            except anyio.get_cancelled_exc_class():
                if self.aborting or self._group_is_cancelled:
                    self._abort()
                    raise
                self.stop(CANCELLED_NATIVELY)

    def _abort(self) -> None:
        """The tasks of a group are being cancelled past the machine, which cannot go on: neither may
        those of the other group."""
        self.aborting = True
        for group in (self._group, self._peers):
            if group is not None:
                group.cancel_scope.cancel()

    def stop_if_loop_closes(self) -> None:
        """Begin to stop if our own tasks are cancelled one by one: so asyncio closes its event loop,
        and the end that it makes of the lives is not their failure."""
        if self._is_being_cancelled():
            self.stop(CANCELLED_NATIVELY)

    async def _sleep_until_deadlines(self) -> None:
        while True:
            try:
                with self._deadlines.alarm():
                    await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                # Whoever cancels asyncio's tasks one by one gets an ordered stop, not a tree without
                # deadlines; and anyio would cancel the whole group for a task that ends so.
                if self.finished.is_set() or self.aborting or self._group_is_cancelled:
                    raise
                self.stop(CANCELLED_NATIVELY)
            for at in self._deadlines.due():
                self.feed(at, TimePassed())

    @property
    def _group_is_cancelled(self) -> bool:
        if self._group is None or self._peers is None or self._group.cancel_scope.cancel_called:
            return True
        return self._peers.cancel_scope.cancel_called and not self._waiting.shield

    # --- inputs -----------------------------------------------------------------------------------

    def feed(self, at: LiveNode, input: Input) -> None:
        """Step a machine, now or as soon as the step under way is done."""
        self._inbox.append((at, input))
        if not self._draining:
            self._drain()

    @property
    def busy(self) -> bool:
        """Whether a step is under way, so that a command has to wait for its end."""
        return self._draining

    def command(self, at: LiveNode, input: Input) -> None:
        """Step a machine by an input that it may refuse; what it raises is for the caller."""
        effects = step(at.node, input, self.now())
        self._draining = True
        try:
            self._perform(at, effects)
        finally:
            self._draining = False
        self._drain()

    def _drain(self) -> None:
        self._draining = True
        inbox = self._inbox
        try:
            while inbox:
                at, input = inbox.popleft()
                self._perform(at, step(at.node, input, self.now()))
        except BaseException:
            # A fault of our own: the lives that it takes down are not to be judged, and whoever
            # waits for their end in order is to hear of it.
            self.aborting = True
            self._waiting.shield = False
            raise
        finally:
            self._draining = False
        if self.condition.stale:
            self.condition.tell()
        self._deadlines.set_alarm()

    # --- effects ----------------------------------------------------------------------------------

    def _perform(self, at: LiveNode, effects: list[Effect]) -> None:
        publish = self.bus.publish
        for effect in effects:
            perform = _PERFORM.get(type(effect))
            if perform is None:
                publish(effect)  # type: ignore[arg-type]
            else:
                perform(self, at, effect)
        if self._to_cancel:
            self._cancel_lives()
        deadline = next_deadline(at.node)
        if deadline != at.deadline:
            self._deadlines.move(at, deadline)

    def _run(self, at: LiveNode, effect: Run) -> None:
        child = effect.child
        if isinstance(child.spec, Supervisor):
            self._run_supervisor(at, child, child.spec)
            return
        life = CurrentChild._begin(at, child)
        child.runtime = life
        try:
            # Now, while all that it needs serves; when its first line runs, that may be over.
            arguments: Arguments | Exception = at.arguments(child.spec)
        except Exception as exc:
            arguments = exc  # of values that are compared; it is that life's failure
        group = self._peers if life._is_peer else self._group
        assert group is not None
        life._handle = group.create_task(
            live(life, arguments), name=child.path, context=self._context
        )

    def _run_supervisor(self, at: LiveNode, child: ChildState, spec: Supervisor) -> None:
        restarts = None if child.unmetered else at.node.restarts
        node = Node(spec, child.path, self.draw, life=child.life, now=now(), restarts=restarts)
        populate(node)
        child.inner = node
        child.runtime = LiveNode(self, node, at, child)
        self.feed(child.runtime, Begin())

    def _notify(self, at: LiveNode, effect: Notify) -> None:
        child = effect.child
        if child.is_supervisor:
            self.feed(child.runtime, ShutDown(effect.by, f"{at.node.path} stops it"))
        else:
            child.runtime._notify()

    def _still(self, at: LiveNode, effect: Still) -> None:
        # Before whatever else it is to hear, which may be that something is to start.
        if effect.child.inner is not None:
            self._inbox.appendleft((effect.child.runtime, StartNoMore()))

    def _rush(self, at: LiveNode, effect: Rush) -> None:
        if effect.child.inner is not None:
            self.feed(effect.child.runtime, Hurry(effect.by, f"{at.node.path} stops it at once"))

    def _cancel(self, at: LiveNode, effect: Cancel) -> None:
        life: CurrentChild = effect.child.runtime
        life._cancelled = True
        self._to_cancel.append(life)

    def _cancel_lives(self) -> None:
        """Cancel those of this step: one by one, or with one cancellation where the whole tree stops
        and they are all of the root's children of start_soon, which may be ten thousand."""
        lives, self._to_cancel = self._to_cancel, []
        peers = self._peers
        if len(lives) > 1 and peers is not None and self._all_peers_are_to_end():
            self._waiting.shield = True  # it is the task that waits in there, not one of them
            peers.cancel_scope.cancel()
            lives = [life for life in lives if not life._is_peer]
        for life in lives:
            if life._handle is not None:
                life._handle.cancel()

    def _all_peers_are_to_end(self) -> bool:
        root = self.root.node
        return root.closing and all(
            child.runtime._cancelled
            for child in root.children.values()
            if child.dynamic and child.alive and not child.is_supervisor
        )

    def _ask_permit(self, at: LiveNode, effect: AskPermit) -> None:
        assert self._group is not None
        self.restarts.ask(at, effect, self._group, self._context)

    def _give_up_permit(self, at: LiveNode, effect: GiveUpPermit) -> None:
        self.restarts.give_up(effect)

    def _tell_stuck(self, at: LiveNode, effect: TellStuck) -> None:
        child = effect.child
        stack = "" if child.is_supervisor else child.runtime._stack()
        self.bus.publish(StopTimedOut(at.node.now, child.path, child.life, effect.waited, stack))

    def _moved(self, at: LiveNode, effect: Moved) -> None:
        at.wake(effect.child)

    def _deleted(self, at: LiveNode, effect: Deleted) -> None:
        self.brokers.deleted(effect.path)
        self.bus.publish(effect)

    def _reason(self, at: LiveNode, effect: ReasonChanged) -> None:
        self.condition.note(effect)

    def _all_ready(self, at: LiveNode, effect: AllReady) -> None:
        if at.parent is None or at.seat is None:
            self.booted.set()
        else:
            self.feed(at.parent, ReportedReady(at.seat, at.seat.life))

    def _finish(self, at: LiveNode, effect: Finish) -> None:
        at.wake_all()
        if at.parent is None or at.seat is None:
            self.outcome = effect.outcome
            self.condition.stale = True
            self.finished.set()
        else:
            self.condition.forget_below(at.node.path)
            self.feed(at.parent, Exited(at.seat, at.seat.life, effect.outcome))

    def _stop_begun(self, at: LiveNode, effect: StopBegun) -> None:
        self.bus.publish(effect)
        if at.parent is not None and at.seat is not None:
            self.feed(at.parent, BeganToEnd(at.seat))

    def _stuck_remain(self, at: LiveNode, effect: StuckRemain) -> None:
        if at.parent is not None and at.seat is not None:
            self.feed(at.parent, OnlyStuckLeft(at.seat))

    # --- stopping ---------------------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """Begin an ordered stop; the first call's time limit holds."""
        if not self.root.node.closing:
            self.feed(self.root, ShutDown(now() + self.stop_within, reason))

    def stop_at_once(self, within: float) -> None:
        """Cancel everything now; what has not ended within so many seconds is stuck."""
        self.feed(self.root, Hurry(now() + within, "asked to stop at once"))


_PERFORM: dict[type, Callable[[Runtime, LiveNode, Any], None]] = {
    Run: Runtime._run,
    Notify: Runtime._notify,
    Still: Runtime._still,
    Rush: Runtime._rush,
    Cancel: Runtime._cancel,
    AskPermit: Runtime._ask_permit,
    GiveUpPermit: Runtime._give_up_permit,
    TellStuck: Runtime._tell_stuck,
    Moved: Runtime._moved,
    Deleted: Runtime._deleted,
    ReasonChanged: Runtime._reason,
    AllReady: Runtime._all_ready,
    Finish: Runtime._finish,
    StopBegun: Runtime._stop_begun,
    StuckRemain: Runtime._stuck_remain,
}
