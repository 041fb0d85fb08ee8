"""What the user holds of a running tree."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypedDict, Unpack, final

from anyio.lowlevel import checkpoint

from supervisor._core.child import ChildState
from supervisor._core.effects import AddChild, Bind
from supervisor._core.table import insert, refuse
from supervisor._core.view import root_view, view
from supervisor._errors import Closing, NotFound, Problem, TreeInvalid
from supervisor._happenings import Event
from supervisor._record.prose import explain_lines
from supervisor._runtime.bus import Subscription
from supervisor._runtime.clock import now, wall
from supervisor._runtime.handle import Child
from supervisor._runtime.runtime import LiveNode, Runtime
from supervisor._spec.edges import edges_for, expand, outer_needs
from supervisor._spec.policy import Backoff, Quarantine, Stop
from supervisor._spec.tree import Component, Resource, Spec, callable_name
from supervisor._spec.validate import KINDS, check_child
from supervisor._views import ErrorRecord, ErrorSummary, Explanation, TreeView
from supervisor._words import Binding, Condition, Priority, RestartType, Status


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


@final
class Tree:
    """A running tree. :func:`open_supervisor`, :func:`serve` and :func:`run` make it.

    A path names a child by the names from the root down, joined by ``/``; the root's own name in
    front may be left out.
    """

    _runtime: Runtime

    def __init__(self) -> None:
        raise TypeError(
            "a running tree is not made by hand; use open_supervisor(), serve() or run()"
        )

    @classmethod
    def _of(cls, runtime: Runtime) -> Tree:
        self = cls.__new__(cls)
        self._runtime = runtime
        runtime.face = self
        return self

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
        given: Any = spec
        if not isinstance(given, KINDS) or not isinstance(given.name, str):
            raise TreeInvalid(check_child(spec, at.node.path, {}))
        if spec.copies != 1:
            raise TreeInvalid([Problem(spec.name, "has copies", "add() it once for each")])
        refuse(at.node, spec.name)
        child = Child._of(self, at, self._insert(at, spec, spec.name, dynamic=False, trial=True))
        await child._first_start()
        return child

    def __getitem__(self, path: str) -> Child:
        """The child of that path.

        Raises:
            NotFound: there is none.
        """
        at, state = self._find(path)
        return Child._of(self, at, state)

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
        if wrong := [option for option in ("significant", "copies") if option in options]:
            path = f"{at.node.path}/{base}"
            raise TreeInvalid(
                [Problem(f"{path}.{o}", "is for listed children", "add() a child") for o in wrong]
            )
        options.setdefault("restart", "transient")
        spec = Component(fn, args=args, name=base, **options)
        name = at.node.free_name(base)
        refuse(at.node, name)
        return Child._of(self, at, self._insert(at, spec, name, dynamic=True, trial=trial))

    def _insert(
        self, at: LiveNode, spec: Spec, name: str, *, dynamic: bool, trial: bool
    ) -> ChildState:
        node = at.node
        listed = _Listed(node.children)
        path = f"{node.path}/{name}"
        problems = check_child(spec, path, listed, scopes=_outer(at), parent=node.spec)
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
            elders = at.parent.node.children
            for name in [name for name in needs if name in _Listed(elders, at.seat.index)]:
                binding = needs.pop(name)
                for copy, _ in expand([elders[name].spec]):
                    if copy in elders:
                        self._runtime.feed(at.parent, Bind(at.seat, elders[copy], binding))
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
        return self._runtime.condition.now

    async def wait_condition(self, *statuses: Status) -> Condition:
        """Wait until the condition is one of these statuses, or else until it next changes.

        Raises:
            Closing: the tree has ended in another condition.
        """
        runtime = self._runtime
        before = runtime.condition.now
        while True:
            condition = runtime.condition.now
            if condition.status in statuses or (not statuses and condition != before):
                await checkpoint()
                return condition
            if runtime.finished.is_set():
                raise Closing(self.name)
            await runtime.condition.changed.wait()

    def events(self, *kinds: type[Event], path: str = "", capacity: int = 1000) -> Subscription:
        """Subscribe to the events of these types (all by default) at or below ``path``.

        A subscription never blocks the tree; see :class:`~supervisor.Subscription` for what
        happens to one that is not read.

        Raises:
            ValueError: the capacity is less than 1.
        """
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity!r}")
        return Subscription._of(self._runtime.bus, kinds, self._whole(path), capacity)

    def snapshot(self) -> TreeView:
        """A picture of the whole tree at this moment."""
        at, runtime = now(), self._runtime
        return TreeView(
            at,
            self.condition,
            root_view(runtime.root.node, at),
            runtime.brokers.statuses(),
            runtime.guards.statuses(),
        )

    def errors(self, path: str = "", *, unresolved: bool = False) -> tuple[ErrorRecord, ...]:
        """The last thousand errors: crashes, and attempts of guarded calls that failed, the oldest
        first, each with what became of it by now. They can be asked for after the tree's end, too.

        Args:
            path: only those of what is at or below it.
            unresolved: only those that nothing has resolved yet.
        """
        return self._runtime.recorder.records(self._whole(path), unresolved=unresolved)

    def summary(self, path: str = "") -> ErrorSummary:
        """The errors of the tree, or of what is at or below ``path``, in figures."""
        return self._runtime.recorder.summary(self._whole(path))

    def _whole(self, path: str) -> str:
        """A path with the root's name in front; empty for the whole tree."""
        if path in ("", self.name):
            return ""
        return path if path.startswith(f"{self.name}/") else f"{self.name}/{path}"

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

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._children if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)
