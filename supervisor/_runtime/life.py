"""One life of a child: the task that calls the user's code, and what that code may ask for."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeAlias, final

import anyio
import anyio.from_thread
from anyio.abc import TaskStatus

from supervisor._core.child import AT_REST, ChildState
from supervisor._core.close import note_once
from supervisor._core.effects import Exited, MarkedHealthy, ReportedReady
from supervisor._errors import Decline, ScopesLeftOpen
from supervisor._runtime.box import Box, leave
from supervisor._runtime.clock import now
from supervisor._runtime.context import current_life
from supervisor._spec.tree import Broker, Resource
from supervisor._words import Outcome

if TYPE_CHECKING:
    from supervisor._runtime.runtime import LiveNode
    from supervisor._runtime.tree import Tree

Arguments: TypeAlias = tuple[Sequence[object], Mapping[str, object]]

RETURNED = Outcome("returned")
CANCELLED = Outcome("cancelled")


@final
class CurrentChild(TaskStatus[Any]):
    """A running child as it sees itself; :func:`current_child` finds it.

    ``path`` and ``life`` say who it is, ``tree`` is the tree that it runs in.
    """

    __slots__ = (
        "_cancelled",
        "_handle",
        "_inboxes",
        "_node",
        "_state",
        "_stopping",
        "life",
        "value",
    )

    life: int
    value: Any
    _node: LiveNode
    _state: ChildState
    _handle: anyio.TaskHandle[None] | None
    _cancelled: bool
    _stopping: anyio.Event | None
    _inboxes: list[Box] | None

    def __init__(self) -> None:
        raise TypeError("a running child is not made by hand; current_child() finds it")

    @classmethod
    def _begin(cls, node: LiveNode, state: ChildState) -> CurrentChild:
        self = cls.__new__(cls)
        self._node = node
        self._state = state
        self._handle = None
        self._cancelled = False
        self._stopping = None
        self._inboxes = None  # the mailboxes that it reads
        self.life = state.life
        self.value = None
        return self

    def __repr__(self) -> str:
        return f"<{self.path} life {self.life}>"

    @property
    def path(self) -> str:
        """The names from the root of the tree down to this child, joined by ``/``."""
        return self._state.path

    @property
    def tree(self) -> Tree:
        """The tree that the child runs in."""
        tree: Tree = self._node.tree.face
        return tree

    @property
    def stopping(self) -> anyio.Event:
        """Set when the child is asked to end by itself, ``Stop.grace`` seconds before it is
        cancelled. Without grace it is never set."""
        if self._stopping is None:
            self._stopping = anyio.Event()
            if self._state.asked and self._is_current:
                self._stopping.set()
        return self._stopping

    @property
    def _is_current(self) -> bool:
        return self._state.life == self.life

    def heartbeat(self) -> None:
        """Tell that the life is not stuck. Costs one write; ``every`` does it at each turn.

        Like :meth:`mark_healthy` it may be called in worker threads that the child started.
        """
        try:
            at = now()
        except anyio.NoEventLoopError:
            anyio.from_thread.run_sync(self.heartbeat)
            return
        if self._is_current:
            self._state.beat = at

    def mark_healthy(self) -> None:
        """Tell that the life works: its next restart begins a new series of delays, and a probe
        has proved itself."""
        try:
            now()
        except anyio.NoEventLoopError:
            anyio.from_thread.run_sync(self.mark_healthy)
            return
        if self._is_current and self._state.up:
            self._node.tree.feed(self._node, MarkedHealthy(self._state))
            self._node.tree.recorder.healthy(self.path)

    def started(self, value: Any = None) -> None:
        """anyio's ``task_status.started``: the life is ready, ``value`` is its start value.

        Raises:
            RuntimeError: it was called before in this life.
        """
        state = self._state
        if self._is_current and state.ready_at is not None:
            raise RuntimeError(f"{self.path} called started() twice in one life")
        self.value = value
        self._node.tree.feed(self._node, ReportedReady(state, self.life))

    @property
    def _is_last(self) -> bool:
        """Whether no other life is wanted after this one, as far as is known now."""
        at: LiveNode | None = self._node
        if self._state.holds_any(AT_REST):
            return True
        while at is not None:
            if at.node.closing and (at.seat is None or at.seat.holds_any(AT_REST)):
                return True
            at = at.parent
        return False

    def _notify(self) -> None:
        if self._stopping is not None:
            self._stopping.set()
        for box in self._inboxes or ():
            box.ask_to_end()

    @property
    def _is_peer(self) -> bool:
        """Whether it is one of the root's children of ``start_soon``, which have a group of tasks
        of their own."""
        return self._state.dynamic and self._node.parent is None

    def _stack(self) -> str:
        """Where the life is now, innermost last, without the frames that are ours."""
        return "" if self._handle is None else "\n".join(_frames(self._handle.coro))


async def live(life: CurrentChild, arguments: Arguments | Exception) -> None:
    """Run the life, and tell the machine how it ended. Our own cancellation ends here, in the
    outermost frame of its task.

    The machine is told outside of the handler: what it cancels in this step would otherwise carry
    this life's exception as its context, and that one the one before, through ten thousand stops.
    """
    current_life.set(life)
    node, scopes = life._node, life._node.tree.scopes
    try:
        if not life._cancelled:
            await _call(life, arguments)
        outcome = CANCELLED if life._cancelled else RETURNED
    except BaseException as exc:
        outcome = _outcome(life, exc)
    handle = life._handle  # none yet where an eager task has ended before it was given one
    if handle is not None and scopes.left_open(handle):
        outcome = _closed(life, await scopes.close(handle), outcome)
    if life._inboxes is not None:
        leave(life, outcome)
    node.tree.feed(node, Exited(life._state, life.life, outcome))
    # The traceback of a crash has this frame. Whoever keeps the error is not to keep the tree, and
    # the error in the outcome would be a cycle, left to the collector at each crash.
    del life, arguments, node, scopes, handle, outcome


def _call(life: CurrentChild, arguments: Arguments | Exception) -> Awaitable[object]:
    if isinstance(arguments, Exception):
        raise arguments
    spec: Any = life._state.spec
    args, kwargs = arguments
    called: Awaitable[object]
    if type(spec) is Resource:
        called = _hold(life, spec.factory(*args, **kwargs))
    elif type(spec) is Broker:
        called = life._node.tree.brokers.of(life._state)._serve(life)
    elif life._state.reports:
        called = spec.run(*args, task_status=life, **kwargs)
    else:
        called = spec.run(*args, **kwargs)
    return called


async def _hold(life: CurrentChild, resource: AbstractAsyncContextManager[object]) -> None:
    async with resource as value:
        life.started(value)
        await anyio.sleep_forever()


def _closed(life: CurrentChild, count: int, outcome: Outcome) -> Outcome:
    """So many scopes were left open, which is a failure of that life and of nobody else."""
    if life._cancelled:
        return outcome
    error = outcome.error or ScopesLeftOpen(count)
    if outcome.error is not None:
        note_once(error, str(ScopesLeftOpen(count)))
    return Outcome("crashed", error)


def _outcome(life: CurrentChild, exc: BaseException) -> Outcome:
    """Whose cancellation it is, is decided by our own scope, not by the exception's type: one that
    we did not ask for is the child's own failure."""
    cancelled = life._node.tree.cancelled
    if isinstance(exc, cancelled):
        if not life._cancelled:
            life._node.tree.stop_if_loop_closes()
        return CANCELLED if life._cancelled or life._node.tree.aborting else Outcome("cancelled")
    if isinstance(exc, BaseExceptionGroup):
        try:
            cancels, rest = exc.split(cancelled)
        except Exception:  # the group's own derive() fails
            cancels, rest = None, exc
        if rest is None:
            return CANCELLED if life._cancelled else Outcome("cancelled")
        if cancels is not None:  # otherwise the group itself, not the copy that split() makes
            exc = rest
    if _declines(exc) and not (life._state.reports and life._state.state != "starting"):
        return Outcome("declined", reason=_reason(exc))
    _trim(exc)
    if life._cancelled:
        _forget_cancellations(exc, cancelled)
    return Outcome("crashed", exc)


def _trim(exc: BaseException) -> None:
    """Cut off what an earlier life has left on the exception: one object that is raised again and
    again, as a cached failure is, would grow by every life that it ends."""
    at, lives = exc.__traceback__, 0
    while at is not None and at.tb_next is not None:
        lives += at.tb_frame.f_code is live.__code__
        if lives and at.tb_next.tb_frame.f_code is live.__code__:
            at.tb_next = None
        at = at.tb_next


def _forget_cancellations(exc: BaseException, cancelled: type[BaseException]) -> None:
    """Leave out the cancellations that stand behind what a life raised while it was stopped. They are
    ours and explain nothing, but trio's names its task: whoever kept the error would keep the tree."""
    seen: set[int] = set()
    chain: list[BaseException | None] = [exc]
    while chain:
        at = chain.pop()
        if at is None or id(at) in seen:
            continue
        seen.add(id(at))
        behind = at.__context__
        while isinstance(behind, cancelled) and id(behind) not in seen:
            seen.add(id(behind))
            behind = behind.__context__
        at.__context__ = None if isinstance(behind, cancelled) else behind
        chain += [behind, at.__cause__]
        if isinstance(at, BaseExceptionGroup):
            chain += at.exceptions


def _declines(exc: BaseException) -> bool:
    if isinstance(exc, BaseExceptionGroup):
        return all(map(_declines, exc.exceptions))
    return isinstance(exc, Decline)


def _reason(exc: BaseException) -> str:
    if isinstance(exc, BaseExceptionGroup):
        return _reason(exc.exceptions[0])
    return exc.reason if isinstance(exc, Decline) else ""


def _frames(coro: Any) -> Iterator[str]:
    ours = (live.__code__, _hold.__code__)
    for frame in suspended_frames(coro):
        code = frame.f_code
        if code not in ours:
            yield f'  File "{code.co_filename}", line {frame.f_lineno}, in {code.co_name}'


def suspended_frames(coro: Any) -> Iterator[FrameType]:
    """The frames that a coroutine is suspended in, outermost first."""
    while coro is not None:
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None)
        if frame is not None:
            yield frame
        coro = _awaited(coro)


def _awaited(coro: Any) -> Any:
    # Only of what is suspended: to ask a running coroutine what it awaits crashes CPython 3.12.1.
    if getattr(coro, "cr_suspended", False):
        coro = coro.cr_await
    else:
        coro = coro.gi_yieldfrom if getattr(coro, "gi_suspended", False) else None
    if type(coro).__name__ == "coroutine_wrapper":  # of an __await__ that hands on to a coroutine
        coro = next(iter(gc.get_referents(coro)), None)
    return coro
