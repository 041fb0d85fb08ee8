"""Open a tree in the caller's task: as a context manager, or inside his own task group."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TypedDict, Unpack

import anyio
from anyio.abc import TaskStatus

from supervisor._core.child import AT_REST, ChildState
from supervisor._errors import TreeInvalid
from supervisor._record.log import log_events
from supervisor._runtime.clock import wall
from supervisor._runtime.context import closed, opened
from supervisor._runtime.handle import Child
from supervisor._runtime.runtime import LiveNode, Runtime
from supervisor._runtime.tree import Tree
from supervisor._spec.policy import Intensity
from supervisor._spec.tree import Spec, Supervisor
from supervisor._spec.validate import check
from supervisor._words import AutoShutdown, Boot, Strategy

log = logging.getLogger("supervisor")


class TreeOptions(TypedDict, total=False):
    """What :func:`open_supervisor` takes to declare a tree on the spot; see
    :class:`~supervisor.Supervisor` for each."""

    strategy: Strategy
    intensity: Intensity | None
    auto_shutdown: AutoShutdown
    boot: Boot
    max_children: int | None
    restarts: str | None


class open_supervisor(AbstractAsyncContextManager[Tree]):  # noqa: N801 - used as a function
    """Run a tree for the duration of a block: a task group that heals.

    Entering waits until the declared children have been started in order. Leaving waits for the
    children that can end (transient and temporary ones of the root), then stops the others in
    reverse; an exception in the block, or cancellation from outside, stops all at once begun and in
    order, and is raised again afterwards. The block is cancelled when the tree fails.

    Args:
        tree: the declared tree; without it, one is made from ``name``, ``children`` and options.
        name: the root's name, if no tree is given.
        children: its declared children, if no tree is given.
        stop_within: seconds that the whole stop may take; what is left then is stuck.
        options: any of ``Supervisor``'s options, if no tree is given.

    Raises:
        TreeInvalid: the declaration is wrong; nothing was started.
        TreeFailed: on leaving, or on entering a strict boot: the tree could not be kept up.
        RuntimeError: on entering: it is open already.
    """

    def __init__(
        self,
        tree: Supervisor | None = None,
        *,
        name: str = "supervisor",
        children: Sequence[Spec] = (),
        stop_within: float = 25,
        **options: Unpack[TreeOptions],
    ) -> None:
        if tree is None:
            tree = Supervisor(name, children, **options)
        elif options or children:
            raise TypeError("give either a declared tree or the options of a new one, not both")
        if not stop_within > 0:
            raise ValueError(f"stop_within must be greater than 0 seconds, not {stop_within!r}")
        refuse_invalid(tree)
        self._spec = tree
        self._stop_within = stop_within
        self._on_open: Callable[[Tree], None] | None = None
        self._open = False

    async def __aenter__(self) -> Tree:
        if self._open:
            raise RuntimeError(
                f"{self._spec.name} is open already; open_supervisor() makes another"
            )
        self._runtime = Runtime(self._spec, self._stop_within)
        self._runtime.bus.sinks.append(log_events(log, wall=wall))
        self._tree = Tree._of(self._runtime)
        self._host = anyio.create_task_group()
        await self._host.__aenter__()
        self._open = True
        opened(self._tree)
        if self._on_open is not None:
            self._on_open(self._tree)
        self._host.start_soon(self._keep)
        try:
            await self._runtime.booted.wait()
            await anyio.lowlevel.checkpoint()
        except BaseException as exc:
            await self._leave(exc)
            raise
        if self._failure is not None:
            await self._leave(None)
        return self._tree

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        if exc is None:
            try:
                await self._wait_for_those_that_end()
            except BaseException as interrupt:
                if await self._leave(interrupt):
                    return None
                raise
        return await self._leave(exc)

    async def _keep(self) -> None:
        await self._runtime.keep()
        if self._failure is not None:
            self._host.cancel_scope.cancel("the tree failed")

    @property
    def _failure(self) -> BaseException | None:
        outcome = self._runtime.outcome
        return None if outcome is None else outcome.error

    async def _leave(self, exc: BaseException | None) -> bool:
        """Stop the tree and wait for its end; whether ``exc`` was no more than our own signal."""
        cancelled = isinstance(exc, anyio.get_cancelled_exc_class())
        self._runtime.stop("its block was left" if exc is None else _cut_short(exc, cancelled))
        try:
            # An ordinary exception is kept out of the host group, which would wrap it in one.
            passed = exc if cancelled else None
            swallowed = await self._host.__aexit__(
                type(passed) if passed else None, passed, passed.__traceback__ if passed else None
            )
        finally:
            self._open = False
            closed(self._tree)
        return self._raise_failure(exc, ours=cancelled and bool(swallowed))

    def _raise_failure(self, exc: BaseException | None, *, ours: bool) -> bool:
        failure = self._failure
        if failure is None:
            return ours
        if isinstance(exc, anyio.get_cancelled_exc_class()) and not ours:
            return False  # somebody outside wants us to be cancelled: that has to go on
        own = None if ours else _without_cancellations(exc)
        if own is None:
            raise failure from None
        raise BaseExceptionGroup("the block and its tree failed", [own, failure])

    async def _wait_for_those_that_end(self) -> None:
        root, tree = self._runtime.root, self._tree
        # Those that were waited for may have started others meanwhile.
        while not root.node.closing and (pending := list(filter(_can_end, _children(root)))):
            for state in pending:
                await Child._of(tree, root, state).wait()


def _children(at: LiveNode) -> Iterable[ChildState]:
    return at.node.children.values()


def _can_end(state: ChildState) -> bool:
    """Whether it is one of those that end, and has not: neither finished nor stopped for good."""
    return state.spec.restart != "permanent" and (state.alive or not state.holds_any(AT_REST))


def _without_cancellations(exc: BaseException | None) -> BaseException | None:
    """What a block raised of its own, beside the cancellation by which it was told of the end: a
    group on trio has both."""
    if isinstance(exc, BaseExceptionGroup):
        cancels, rest = exc.split(anyio.get_cancelled_exc_class())
        return exc if cancels is None else rest
    return exc


def _cut_short(exc: BaseException, cancelled: bool) -> str:
    return "cancelled from outside" if cancelled else f"its block raised {type(exc).__name__}"


def refuse_invalid(tree: Supervisor) -> None:
    """Raise the errors of a declaration, all at once; log its warnings."""
    problems = check(tree)
    errors = [problem for problem in problems if problem.level == "error"]
    if errors:
        raise TreeInvalid(errors)
    for problem in problems:
        log.warning("%s", problem)


async def serve(
    tree: Supervisor,
    *,
    stop_within: float = 25,
    task_status: TaskStatus[Tree] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Run a tree inside your own task group until it has stopped.

    With ``await task_group.start(serve, tree)`` you get the running :class:`Tree` once its children
    have been started. Cancelling it stops the tree in order.

    Args:
        tree: the declared tree.
        stop_within: seconds that the whole stop may take.
        task_status: anyio's; given the running tree.

    Raises:
        TreeInvalid: the declaration is wrong; nothing was started.
        TreeFailed: the tree could not be kept up.
    """
    async with open_supervisor(tree, stop_within=stop_within) as running:
        task_status.started(running)
        await running.wait_stopped()
