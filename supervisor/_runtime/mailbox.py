"""Mailboxes: where a child gets the messages that others send it, which outlive its lives.

A :class:`Mailbox` is a name and its policies. The running tree holds what is in it: a :class:`Box`,
which is the pure :class:`~supervisor._core.letters.Letters`, who reads them, and what they wait on.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeVar, final, get_args
from weakref import ReferenceType, ref

import anyio
from anyio.lowlevel import checkpoint

from supervisor._core.child import AT_REST, ChildState
from supervisor._core.letters import (
    ANSWERED,
    FAIRNESS,
    QUEUED,
    SAMPLE,
    Failure,
    Letters,
    Overflow,
)
from supervisor._core.letters import Letter as Letter
from supervisor._errors import CallFailed, CallToSelf, MailboxDiffers, MailboxFull, MailboxTaken
from supervisor._happenings import LetterFailed, LettersLost
from supervisor._record.wording import LONGEST_TEXT, error_line, printable
from supervisor._runtime.clock import bounded_wait
from supervisor._runtime.context import current_child, current_life, current_tree
from supervisor._views import DeadLetter, MailboxStatistics
from supervisor._words import Outcome

if TYPE_CHECKING:
    from supervisor._runtime.life import CurrentChild
    from supervisor._runtime.runtime import LiveNode, Runtime

M = TypeVar("M")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

LaneName: TypeAlias = Literal["urgent", "normal"]

UNREAD: Final = 30.0
"""So many seconds a mailbox that nobody has read yet lets its callers wait for its reader."""

TELL_AGAIN: Final = 10.0
"""So many seconds are between two events about letters dropped from one mailbox for want of room."""


class Call(Generic[R_co]):
    """Base of the messages that are answered, by an ``R``: ``class Get(Call[float])``."""

    __slots__ = ()


@final
class Mailbox(Generic[M]):
    """The messages for a child, in order. They outlive its lives, and wait for it to be restarted.

    A declaration, which can stand at module level. What is in it is in the running tree, under its
    name: in that of the calling child, elsewhere in the one tree that is open in this event loop.
    One child reads it, by ``async for letter in inbox``.

    Args:
        name: one name is one mailbox of a tree.
        capacity: so many letters wait at most, and so many urgent ones.
        overflow: what a cast into a full mailbox does. ``wait``: it waits for room, first come first
            served. ``reject``: it raises :class:`MailboxFull`. ``drop oldest``, ``drop newest``: a
            letter is dropped, counted and told; whoever called with it gets :class:`MailboxFull`.
        failure: what becomes of the letter that was open when a life of the reader crashed or was
            stopped. ``drop``: it is not read again. ``dead letter``: neither, but it is kept, see
            :meth:`dead_letters`. ``once more``: the next life gets it first; when that fails too,
            it is a dead letter. A caller is told by :class:`CallFailed`, whatever the policy.

    Raises:
        ValueError: an argument is wrong.
    """

    __slots__ = ("__weakref__", "_box", "_tree", "capacity", "failure", "name", "overflow")

    name: str
    capacity: int
    overflow: Overflow
    failure: Failure
    _tree: Runtime | None  # where it was last looked for, and what was found
    _box: Box | None

    def __init__(
        self,
        name: str,
        *,
        capacity: int = 1000,
        overflow: Overflow = "wait",
        failure: Failure = "drop",
    ) -> None:
        given: object = name
        if not isinstance(given, str) or not given:
            raise ValueError(f"a mailbox takes a name as text, not {name!r}")
        if type(capacity) is not int or capacity < 1:
            raise ValueError(
                f"mailbox {name!r}: capacity is {capacity!r}; "
                "write a whole number of letters, at least 1"
            )
        for field, value, kind in (
            ("overflow", overflow, Overflow),
            ("failure", failure, Failure),
        ):
            if value not in (allowed := get_args(kind)):
                raise ValueError(
                    f"mailbox {name!r}: {field} is {value!r}; "
                    f"write one of {', '.join(map(repr, allowed))}"
                )
        put = object.__setattr__
        put(self, "name", name)
        put(self, "capacity", capacity)
        put(self, "overflow", overflow)
        put(self, "failure", failure)
        self._remember(None, None)

    def _remember(self, tree: Runtime | None, box: Box | None) -> None:
        object.__setattr__(self, "_tree", tree)
        object.__setattr__(self, "_box", box)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a mailbox is a declaration and does not change: {name}")

    def __repr__(self) -> str:
        return (
            f"Mailbox({self.name!r}, capacity={self.capacity!r}, "
            f"overflow={self.overflow!r}, failure={self.failure!r})"
        )

    def _policies(self) -> tuple[object, ...]:
        return self.name, self.capacity, self.overflow, self.failure

    def __eq__(self, other: object) -> bool:
        return self._policies() == other._policies() if type(other) is Mailbox else NotImplemented

    def __hash__(self) -> int:
        return hash(self._policies())

    def __reduce__(self) -> tuple[object, ...]:
        return partial(
            Mailbox, capacity=self.capacity, overflow=self.overflow, failure=self.failure
        ), (self.name,)

    # --- send -------------------------------------------------------------------------------------

    async def cast(self, message: M, lane: LaneName = "normal") -> None:
        """Send a message that is not answered. It is in the mailbox when this returns.

        It waits only while the mailbox is full; who casts all the time yields to the event loop at
        each 64th letter. When it is cancelled, the message was not sent.

        Args:
            message: what the reader finds in ``letter.message``.
            lane: ``urgent`` letters are read before all others.

        Raises:
            MailboxFull: there is no room, and it is not to wait, or there is nobody to wait for.
            MailboxClosed: the mailbox is closed, or the tree or its reader stops.
            NoTree: no tree is open here, or several are.
            MailboxDiffers: the tree has another mailbox of that name.
        """
        life = current_life.get()
        if life is not None and life._node.tree is self._tree:
            box: Any = self._box
        else:
            box = self._find()
        if lane == "normal":
            letter = Letter(message)
            # What put() does for most letters: the call would be a tenth of the cost of a cast.
            queue = box.normal.queue
            place = len(queue)
            if place & SAMPLE and place < box.normal.limit:
                queue.append(letter)
                if box.wake is not None:
                    box.awake()
                return
        else:
            letter = _urgent(message, lane)
        if box.is_to_pause(urgent=letter._urgent):
            await checkpoint()
        if not box.put(letter):
            await box.wait_for_room(letter)

    def cast_nowait(self, message: M, lane: LaneName = "normal") -> None:
        """Send a message at once; otherwise as :meth:`cast`.

        A worker thread of a child (``anyio.to_thread.run_sync``) may call it.

        Raises:
            MailboxFull: there is no room, even if the policy is to wait.
        """
        box = self._find()
        if get_ident() != box.thread:
            anyio.from_thread.run_sync(self.cast_nowait, message, lane)
            return
        letter = Letter(message) if lane == "normal" else _urgent(message, lane)
        if not box.put(letter):
            box.reject()

    async def call(
        self, message: Call[R], timeout: float | None = None, *, lane: LaneName = "normal"
    ) -> R:
        """Send a message and wait for its answer.

        A call whose caller has gone, cancelled or out of time, is not read any more. A reader that
        has begun with it goes on, and nobody hears the answer.

        Args:
            message: of a type derived from ``Call[R]``.
            timeout: seconds; the deadline of the scope that the caller is in holds anyway.
            lane: ``urgent`` letters are read before all others.

        Returns:
            What the reader gave to ``letter.reply()``.

        Raises:
            Exception: what the reader gave to ``letter.fail()``.
            TimeoutError: no answer within the timeout.
            NotHandled: the reader went on without an answer.
            CallFailed: the life that had it ended, or nobody reads the mailbox: its reader was
                stopped or is gone, or none has come within 30 s.
            CallToSelf: the task that reads the mailbox calls it.
            MailboxFull, MailboxClosed, NoTree, MailboxDiffers: as for :meth:`cast`.
        """
        box = self._find()
        if box.is_read_here():
            raise CallToSelf(self.name)
        letter: Letter[Any] = Letter(message) if lane == "normal" else _urgent(message, lane)
        until = box.until(timeout)
        letter.deadline = min(until, anyio.current_effective_deadline())
        letter._asks, letter._state, letter._signal = True, QUEUED, box.make_signal()
        box.ask(letter)
        await box.wait_for_answer(letter, until)
        if letter._error is not None:
            raise letter._error
        answer: R = letter._value
        return answer

    # --- read -------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Letter[M]]:
        """Read the letters, as the one child that does. Asking for the next settles the last.

        The loop ends when the child is asked to stop and has grace (``Stop(grace=...)``): it gets
        what is in the mailbox by then, and what comes later waits for its next life. It also ends
        when the mailbox is closed and empty.

        Raises:
            NoTree: the caller is not in a child.
            MailboxTaken: another child reads the mailbox, or another loop of this one.
        """
        life = current_child()
        return _Reader(self._find(), life)

    def close(self) -> None:
        """Take nothing in any more, for the rest of the tree's time. What is in can still be read."""
        self._find().close("close() was called")

    # --- look -------------------------------------------------------------------------------------

    def statistics(self) -> MailboxStatistics:
        """The mailbox's figures at this moment."""
        return self._find().statistics()

    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """The last hundred letters that became dead letters, the oldest first."""
        return tuple(self._find().dead_letters)

    def _find(self) -> Box:
        life = current_life.get()
        tree: Runtime = current_tree()._runtime if life is None else life._node.tree
        if tree is self._tree and self._box is not None:
            return self._box
        box = tree.boxes.get(self.name)
        if box is None:
            box = tree.boxes[self.name] = Box(tree, self)
        elif box.declared() is not self:
            box.declare(self)
        if not tree.finished.is_set():
            self._remember(tree, box)
        return box


def _urgent(message: M, lane: LaneName) -> Letter[M]:
    if lane != "urgent":
        raise ValueError(f"lane is {lane!r}; write 'urgent' or 'normal'")
    return Letter(message, math.inf, True)


class Box(Letters):
    """A mailbox in a running tree."""

    __slots__ = (
        "bounded_wait",
        "declared",
        "life",
        "make_signal",
        "path",
        "reader",
        "seat",
        "task",
        "thread",
        "told_at",
        "tree",
        "watching",
    )

    def __init__(self, tree: Runtime, declared: Mailbox[Any]) -> None:
        super().__init__(
            declared.name, declared.capacity, declared.overflow, declared.failure, tree.now
        )
        self.tree = tree
        self.thread = get_ident()
        self.make_signal = tree.bus.make_signal
        self.bounded_wait = bounded_wait()
        self.declared: ReferenceType[Mailbox[Any]] = ref(declared, self._forget_if_idle)
        self.path = ""  # of the child that reads; empty if none ever has
        self.life: CurrentChild | None = None  # that reads now
        self.reader: ReferenceType[_Reader] | None = None
        self.task = 0
        self.seat: tuple[LiveNode, ChildState] | None = None
        self.watching: tuple[LiveNode, ChildState] | None = None
        self.told_at = -math.inf
        if tree.finished.is_set():
            self.close("the tree has ended")

    def declare(self, again: Mailbox[Any]) -> None:
        """Find this one by another declaration.

        Raises:
            MailboxDiffers: it is not equal.
        """
        for field in ("capacity", "overflow", "failure"):
            here, there = getattr(self, field), getattr(again, field)
            if here != there:
                raise MailboxDiffers(self.name, field, here, there)
        self._be_forgotten()
        self.declared = ref(again, self._forget_if_idle)

    def _be_forgotten(self) -> None:
        """Let the declaration look for its mailbox anew."""
        declared = self.declared()
        if declared is not None and declared._tree is self.tree:
            declared._remember(None, None)

    def _forget_if_idle(self, declared: object = None) -> None:
        """The tree keeps no mailbox whose declaration is gone, as mailboxes made for each of many
        children are, once nothing is in it and nobody waits."""
        if self.declared() is not None or self.life is not None or (self.path and not self.resting):
            return
        if not (self.waiting or self.outside) and self.tree.boxes.get(self.name) is self:
            del self.tree.boxes[self.name]

    # --- senders ----------------------------------------------------------------------------------

    def is_read_here(self) -> bool:
        """Whether the task that asks reads this mailbox."""
        return self.life is not None and current_life.get() is self.life and self.task == _task()

    async def wait_for_room(self, letter: Letter[Any]) -> None:
        if self.is_read_here():
            self.reject("its own reader would wait for itself")
        letter._signal = self.make_signal()
        self.wait(letter)
        try:
            await self._told(letter)
        except BaseException:
            self.withdraw(letter)
            raise
        self.confirm(letter)

    def until(self, timeout: float | None) -> float:
        """When a call of so many seconds ends, of itself."""
        if timeout is None:
            return math.inf
        if not timeout >= 0:
            raise ValueError(f"timeout is {timeout!r}; write seconds, 0 or more")
        return self.clock() + timeout

    async def wait_for_answer(self, letter: Letter[Any], until: float) -> None:
        try:
            if until == math.inf:
                await self._told(letter)
            elif self.path:
                await self.bounded_wait(letter._signal, until)
            else:
                with anyio.CancelScope(deadline=until):
                    await self._told_or_unread(letter)
        except BaseException:
            self.withdraw(letter)
            raise
        if letter._state != ANSWERED:
            self.withdraw(letter)
            raise TimeoutError(f"no answer from mailbox {self.name!r} in time")

    def _told(self, letter: Letter[Any]) -> Awaitable[None]:
        """Until the sender is told what came of its letter."""
        wait: Awaitable[None] = letter._signal.wait() if self.path else self._told_or_unread(letter)
        return wait

    async def _told_or_unread(self, letter: Letter[Any]) -> None:
        with anyio.move_on_after(UNREAD):
            await letter._signal.wait()
            return
        if not self.path:
            why = f"nobody has read it within {UNREAD:g} s"
            if letter._asks:
                raise CallFailed(self.name, why)
            raise MailboxFull(self.name, self.capacity, why)
        await letter._signal.wait()

    def _drop(self, letter: Letter[Any]) -> None:
        super()._drop(letter)
        if self.clock() >= self.told_at + TELL_AGAIN:
            self.tell_drops()

    def tell_drops(self) -> None:
        """Tell of those dropped since this was last told."""
        self.told_at = self.clock()
        self._tell_lost(self.untold, "full")
        self.untold = 0

    def _tell_lost(self, count: int, why: Literal["full", "left"]) -> None:
        path = self.path or self.tree.root.node.path
        self.tree.bus.publish(LettersLost(self.clock(), path, self.name, count, why))

    # --- the reader -------------------------------------------------------------------------------

    def admit_reader(self, reader: _Reader, life: CurrentChild) -> None:
        """Let the child read.

        Raises:
            MailboxTaken: another one does, or another loop of this life.
        """
        seat: ChildState = life._state
        while seat.primary is not None:
            seat = seat.primary  # a fallback reads in the place of whom it stands in for
        if self.life is not None and self.life is not life:
            raise MailboxTaken(self.name, self.life.path)
        if self.path not in ("", seat.path) and not self.resting:
            raise MailboxTaken(self.name, self.path)
        if self.reader is not None and self.reader() is not None:
            raise MailboxTaken(self.name, f"another loop of {life.path}")
        if self.life is None:
            life._inboxes = [*(life._inboxes or ()), self]
        self.life, self.path, self.task = life, seat.path, _task()
        self.reader = ref(reader)
        self.seat = (life._node, seat)
        self._watch(life._node, seat)
        self.begin()
        if life._state.asked:
            self.ask_to_end()

    def life_ended(self, life: CurrentChild, outcome: Outcome) -> None:
        """The life that reads has ended: its open letter is settled, or has failed with it."""
        self.life = self.reader = None
        if outcome.kind == "returned":
            self.settle()
        else:
            cause = f"{life.path} life {life.life} {_said(outcome)}"
            at = self.clock()
            failed = self.fail(life.path, life.life, at, cause)
            if failed is not None:
                letter, fate = failed
                text = _text(letter.message)
                self.tree.bus.publish(LetterFailed(at, life.path, life.life, self.name, text, fate))
        if self.untold:
            self.tell_drops()
        self.look()

    # --- whether somebody will read ---------------------------------------------------------------

    def _watch(self, at: LiveNode, state: ChildState) -> None:
        """Be told of the next change of the child, or while its supervisor has no life, of that."""
        while at.node.finished and at.parent is not None:
            assert at.seat is not None
            state, at = at.seat, at.parent
        if self.watching is not None:
            self.watching[0].unwatch(self.watching[1], self)
        self.watching = None if at.node.finished else (at, state)
        if self.watching is not None:
            at.watch(state, self)

    def set(self) -> None:
        """What is watched has changed."""
        self.watching = None
        self.look()

    def look(self) -> None:
        """See whether the reader is there, or will be without anybody's doing."""
        if self.seat is None:
            return
        at, state = self.seat
        why = _why_gone(at, state)
        gone = bool(why)
        why = why or _why_not_read(at, state)
        if self.tree.root.node.closing and not state.up:
            self.close("the tree stops")
            why = "the tree stops"
        if why != self.resting and (self.life is None or state.state == "stuck"):
            if why:
                self.rest(why)
            self.resting = why
        if gone:
            self.seat = None  # whose declaration may hold our own
        else:
            self._watch(at, state)
        if why:
            self._forget_if_idle()

    def end_with_tree(self) -> None:
        """The tree is over."""
        self._be_forgotten()
        left = self.end("the tree has ended")
        if self.untold:
            self.tell_drops()
        if left:
            self._tell_lost(left, "left")

    def statistics(self) -> MailboxStatistics:
        return MailboxStatistics(
            name=self.name,
            capacity=self.capacity,
            reader=self.path or None,
            closed=bool(self.closed),
            waits=self.waiting,
            senders=self.outside,
            open=int(self.open is not None),
            received=self.received,
            handled=self.handled,
            failed=self.failed,
            dead=self.dead,
            dropped=self.dropped,
            expired=self.expired,
            left=self.left,
            redelivered=self.redelivered,
            rejected=self.rejected,
            withdrawn=self.withdrawn,
            longest_wait=self.longest_wait,
        )


class _Reader(AsyncIterator[Letter[Any]]):
    """One ``async for`` over a mailbox."""

    __slots__ = ("__weakref__", "_box", "_pause")

    def __init__(self, box: Box, life: CurrentChild) -> None:
        box.admit_reader(self, life)
        self._box = box
        self._pause = 0  # when so many letters were taken, others are to run

    def __aiter__(self) -> _Reader:
        return self

    async def __anext__(self) -> Letter[Any]:
        box = self._box
        letter = box.open
        if box.fast and box.taken < self._pause and (letter is None or not letter._asks):
            # What take() does for most letters.
            letter = box.fast.popleft()
            if not letter._state and letter._put_at is None:
                box.open = letter
                box.taken += 1
                return letter
            box.fast.appendleft(letter)
        if box.taken >= self._pause:
            # The last letter is settled: a cancellation from now on does not concern it.
            box.settle()
            await checkpoint()
            self._pause = box.taken + FAIRNESS + 1
        letter = box.take()
        if letter is None:
            letter = await self._wait(box)
            if letter is None:
                raise StopAsyncIteration
        return letter

    async def _wait(self, box: Box) -> Letter[Any] | None:
        while True:
            if box.untold:
                box.tell_drops()
            if box.over:
                return None
            if box.wake is not None:
                raise MailboxTaken(box.name, f"another task of {box.path}")
            box.wake = signal = box.make_signal()
            try:
                await signal.wait()
            finally:
                if box.wake is signal:
                    box.wake = None
            self._pause = box.taken + FAIRNESS + 1
            letter = box.take()
            if letter is not None:
                return letter


def leave(life: CurrentChild, outcome: Outcome) -> None:
    """A life that reads mailboxes has ended."""
    inboxes, life._inboxes = life._inboxes, None
    for box in inboxes or ():
        box.life_ended(life, outcome)


def _why_gone(at: LiveNode, state: ChildState) -> str:
    """Why nobody can start the child again; empty if somebody can."""
    gone = state.removed
    if at.node.finished and not gone:
        if at.parent is None or at.seat is None or state.dynamic:
            gone = True
        else:
            inner = at.seat.inner  # of the supervisor's next life, whose list it may be not on
            new = inner is not None and not inner.finished
            gone = (new and state.name not in inner.children) or bool(_why_gone(at.parent, at.seat))
    return f"{state.path} is gone" if gone else ""


def _why_not_read(at: LiveNode, state: ChildState) -> str:
    """Why no life of the child will read until somebody starts one; empty if one does or will."""
    if at.node.finished and at.parent is not None and at.seat is not None:
        return _why_not_read(at.parent, at.seat)
    if state.state == "stuck":
        return f"{state.path} is stuck"
    if state.state == "down" and state.holds is not None:
        for hold in state.holds.values():
            if hold.owner in AT_REST:
                return f"{state.path} is held: {hold.reason}"
    return ""


def _said(outcome: Outcome) -> str:
    if outcome.error is not None:
        return f"crashed: {error_line(outcome.error)}"
    return {"cancelled": "was stopped", "declined": "declined"}.get(outcome.kind, outcome.kind)


def _text(message: object) -> str:
    try:
        text = repr(message)
    except Exception:
        text = f"<{type(message).__name__}, whose repr fails>"
    return printable(text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}...")


def _task() -> int:
    return anyio.get_current_task().id
