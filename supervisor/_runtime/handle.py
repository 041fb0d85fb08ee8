"""What the user holds of a running tree: the tree itself, and a grip on each child."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn, TypedDict, Unpack

import anyio
from anyio.lowlevel import checkpoint


from supervisor._core.child import AT_REST, ChildState
from supervisor._core.effects import (
    AddChild,
    Bind,
    DeleteChild,
    ReleaseChild,
    RestartChild,
    StartChild,
    StopChild,
)
from supervisor._core.table import insert, refuse
from supervisor._core.view import root_view, view
from supervisor._errors import Closing, Decline, NotFound, Problem, Refused, Stuck, TreeInvalid
from supervisor._happenings import Event
from supervisor._record.prose import explain_lines
from supervisor._runtime.bus import Subscription
from supervisor._runtime.clock import now, wall
from supervisor._runtime.tree import LiveNode, Runtime
from supervisor._spec.edges import edges_for, outer_needs
from supervisor._spec.policy import Backoff, Quarantine, Stop
from supervisor._spec.tree import Component, Resource, Spec, Supervisor, callable_name
from supervisor._spec.validate import check_child
from supervisor._views import Explanation, TreeView
from supervisor._words import (
    Binding,
    Condition,
    Hold,
    Outcome,
    Priority,
    RestartType,
    State,
    Status,
)


class ChildOptions(TypedDict, total=False):
    """What :meth:`Tree.start_soon` and :meth:`Tree.start` take besides the callable's arguments;
    see :class:`~supervisor.Component` for each."""

    kwargs: Mapping[str, object]
    needs: Sequence[str] | Mapping[str, Binding]
    after: Sequence[str]
    priority: Priority
    restart: RestartType
    backoff: Backoff
    quarantine: Quarantine | None
    stop: Stop
    start_timeout: float | None
    fallback: Component | Resource | None
    heartbeat: float | None


class Tree:
    """A running tree. :func:`open_supervisor`, :func:`serve` and :func:`run` make it.

    A path names a child by the names from the root down, joined by ``/``; the root's own name in
    front may be left out.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        runtime.face = self

    def __repr__(self) -> str:
        root = self._runtime.root.node
        return f"<Tree {root.path}: {self.condition.status}, {root.size} children>"

    @property
    def name(self) -> str:
        """The root's name, with which all its paths begin."""
        return self._runtime.root.node.path

    # --- children ---------------------------------------------------------------------------------

    def start_soon(
        self,
        fn: Callable[..., Awaitable[object]],
        *args: object,
        name: str = "",
        under: str = "",
        **options: Unpack[ChildOptions],
    ) -> Child:
        """Start a child that is restarted when it crashes and done when it returns (transient).

        It has no place in the order: a peer of all others like it, stopped together with them. A
        name that is taken gets a number: ``poll``, ``poll-2``.

        Args:
            fn: an async callable.
            args: its positional arguments.
            name: the callable's name by default.
            under: the path of the supervisor that it belongs to; the root by default.
            options: any of Component's other arguments but ``significant`` and ``copies``.

        Raises:
            TreeInvalid: an option is wrong.
            Closing: the supervisor is stopping or has stopped.
            TooManyChildren: ``max_children`` are there.
        """
        return self._spawn(under, name, fn, args, options, trial=False)

    async def start(
        self,
        fn: Callable[..., Awaitable[object]],
        *args: object,
        name: str = "",
        under: str = "",
        **options: Unpack[ChildOptions],
    ) -> Any:
        """Start a child as :meth:`start_soon` does, and wait until it is ready.

        Returns:
            What it gave to ``task_status.started()``, its start value.

        Raises:
            Exception: its first start failed so. It is not kept, nothing is retried or counted.
            Decline: it declined to run.
        """
        child = self._spawn(under, name, fn, args, options, trial=True)
        await child._first_start()
        return child.value

    async def add(self, spec: Spec, *, under: str = "") -> Child:
        """Add a listed child behind the others, and wait until it is ready or has declined.

        Raises:
            TreeInvalid: the declaration is wrong; nothing has started.
            AlreadyRunning, AlreadyPresent: a child of that name is there.
            Closing, TooManyChildren: as for :meth:`start_soon`.
            Exception: its first start failed so. It is not kept, nothing is retried or counted.
        """
        at = self._supervisor(under)
        while self._runtime.busy:
            await checkpoint()
        if spec.copies != 1:
            raise TreeInvalid([Problem(spec.name, "has copies", "add() it once for each")])
        refuse(at.node, spec.name)
        child = Child(self, at, self._insert(at, spec, spec.name, dynamic=False, trial=True))
        await child._first_start()
        return child

    def __getitem__(self, path: str) -> Child:
        """The child of that path.

        Raises:
            NotFound: there is none.
        """
        at, state = self._find(path)
        return Child(self, at, state)

    def __contains__(self, path: str) -> bool:
        try:
            self._find(path)
        except NotFound:
            return False
        return True

    def _spawn(
        self,
        under: str,
        base: str,
        fn: Callable[..., Awaitable[object]],
        args: tuple[object, ...],
        options: ChildOptions,
        *,
        trial: bool,
    ) -> Child:
        at = self._supervisor(under)
        base = base or callable_name(fn)
        options.setdefault("restart", "transient")
        spec = Component(fn, args=args, name=base, **options)
        name = at.node.free_name(base)
        refuse(at.node, name)
        return Child(self, at, self._insert(at, spec, name, dynamic=True, trial=trial))

    def _insert(
        self, at: LiveNode, spec: Spec, name: str, *, dynamic: bool, trial: bool
    ) -> ChildState:
        node = at.node
        listed = _Listed(node.children)
        problems = check_child(spec, f"{node.path}/{name}", listed, scopes=_outer(at))
        if any(problem.level == "error" for problem in problems):
            raise TreeInvalid(problems)
        edges, orders = edges_for(name, spec, listed)
        child = insert(node, spec, name, edges, orders)
        child.dynamic, child.trial = dynamic, trial
        self._bind_ancestors(at, outer_needs(spec, listed))
        self._runtime.feed(at, AddChild(child))
        return child

    def _bind_ancestors(self, at: LiveNode, needs: dict[str, Binding]) -> None:
        """Place the edges to what is further up on the ancestors that have it as a sibling."""
        while needs and at.parent is not None and at.seat is not None:
            elders = _Listed(at.parent.node.children, before=at.seat.index)
            for name in [name for name in needs if name in elders]:
                target = at.parent.node.children[name]
                self._runtime.feed(at.parent, Bind(at.seat, target, needs.pop(name)))
            at = at.parent

    def _supervisor(self, path: str) -> LiveNode:
        if path in ("", self.name):
            return self._runtime.root
        _, state = self._find(path)
        if not state.is_supervisor:
            raise ValueError(f"{state.path} is not a supervisor; children go under one")
        if state.inner is None:
            raise Closing(state.path)
        found: LiveNode = state.runtime
        return found

    def _find(self, path: str) -> tuple[LiveNode, ChildState]:
        at = self._runtime.root
        names = path.split("/")
        if len(names) > 1 and names[0] == self.name and names[0] not in at.node.children:
            del names[0]
        state: ChildState | None = None
        for i, name in enumerate(names):
            if i:
                if state is None or (name == "fallback" and state.fallback is not None):
                    state = None if state is None else state.fallback
                    continue
                if state.inner is None:
                    raise NotFound(path)
                at = state.runtime
            state = at.node.children.get(name)
            if state is None:
                raise NotFound(path)
        assert state is not None
        return at, state

    # --- the whole tree ---------------------------------------------------------------------------

    async def stop(self) -> None:
        """Stop the tree in order, now, and wait until it has stopped."""
        self._runtime.stop("stop() was called")
        await self._runtime.finished.wait()

    async def wait_stopped(self) -> None:
        """Wait until the tree has ended, for whatever reason."""
        await self._runtime.finished.wait()

    @property
    def condition(self) -> Condition:
        """How the tree is, and why."""
        return self._runtime.condition

    async def wait_condition(self, *statuses: Status) -> Condition:
        """Wait until the condition is one of these statuses, or else until it next changes.

        Raises:
            Closing: the tree has ended in another condition.
        """
        runtime = self._runtime
        before = runtime.condition
        while True:
            condition = runtime.condition
            if condition.status in statuses or (not statuses and condition != before):
                await checkpoint()
                return condition
            if runtime.finished.is_set():
                raise Closing(self.name)
            await runtime.condition_changed.wait()

    def events(self, *kinds: type[Event], path: str = "", capacity: int = 1000) -> Subscription:
        """Subscribe to the events of these types (all by default) at or below ``path``.

        A subscription never blocks the tree; see :class:`~supervisor.Subscription` for what
        happens to one that is not read.

        Raises:
            ValueError: the capacity is less than 1.
        """
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity!r}")
        if path and path != self.name and not path.startswith(f"{self.name}/"):
            path = f"{self.name}/{path}"
        return Subscription(self._runtime.bus, kinds, path, capacity)

    def snapshot(self) -> TreeView:
        """A picture of the whole tree at this moment."""
        at = now()
        return TreeView(at, self.condition, root_view(self._runtime.root.node, at))

    def explain(self, path: str = "") -> Explanation:
        """Why a child, or the tree itself, is as it is: print it.

        Raises:
            NotFound: there is no child of that path.
        """
        at = now()
        if path in ("", self.name):
            seen = root_view(self._runtime.root.node, at)
        else:
            live, state = self._find(path)
            seen = view(live.node, state, at)
        return Explanation(at, seen, explain_lines(seen, at, wall=wall))


def _outer(at: LiveNode) -> list[Mapping[str, Spec]]:
    """What a child of this supervisor can refer to further up, nearest first."""
    scopes: list[Mapping[str, Spec]] = []
    while at.parent is not None and at.seat is not None:
        scopes.append(_Listed(at.parent.node.children, before=at.seat.index))
        at = at.parent
    return scopes


class _Listed(Mapping[str, Spec]):
    """The listed children of a node as the declarations that a new child may refer to."""

    def __init__(self, children: Mapping[str, ChildState], before: float = float("inf")) -> None:
        self._children = children
        self._before = before

    def __getitem__(self, name: str) -> Spec:
        child = self._children[name]
        if child.dynamic or child.index >= self._before:
            raise KeyError(name)
        return child.spec

    def __iter__(self) -> Any:
        return (name for name in self._children if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Child:
    """A grip on one child. It outlives the child's lives: a restart changes nothing about it."""

    def __init__(self, tree: Tree, at: LiveNode, state: ChildState) -> None:
        self._tree = tree
        self._runtime = tree._runtime
        self._node = at
        self._last = state
        self.path = state.path

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
            NotFound: it was deleted, or has ended for good.
            Closing: its supervisor is stopping.
        """
        await checkpoint()
        await self._until(lambda state: state.state == "ready" and not state.leaving)
        return self.value

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
        seat = Child(self._tree, at.parent, at.seat)

        def has_a_life(state: ChildState) -> bool:
            return state.inner is not None or (unless_at_rest and _rests(state))

        await seat._until(has_a_life, unless_at_rest=unless_at_rest)
        if seat._at()[1].inner is None:
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
