"""Mailboxes: where a child gets the messages that others send it, which outlive its lives.

A :class:`Mailbox` is a name and its policies. What is in it is in the running tree, in a
:class:`~supervisor._runtime.box.Box` of that name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Generator
from functools import partial
from itertools import repeat
from math import inf
from threading import get_ident
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Literal,
    NoReturn,
    TypeAlias,
    TypeVar,
    final,
    get_args,
)

import anyio
from anyio.lowlevel import checkpoint

from supervisor._core.lane import QUEUED
from supervisor._core.lane import Letter as Letter
from supervisor._core.letters import Failure, Overflow
from supervisor._errors import CallToSelf, NoTree
from supervisor._runtime.box import Box, Reader, read_here
from supervisor._runtime.context import current_child, current_tree, running_life
from supervisor._views import DeadLetter, MailboxStatistics

if TYPE_CHECKING:
    from supervisor._runtime.runtime import Runtime

M = TypeVar("M")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

LaneName: TypeAlias = Literal["urgent", "normal"]


class Call(Generic[R_co]):
    """Base of the messages that are answered, by an ``R``: ``class Get(Call[float])``."""

    __slots__ = ()


def _ended() -> Generator[Any, Any, None]:
    """A generator that has ended, which can be awaited again and again: it says so at once, in C."""
    ended: Generator[Any, Any, None] = (None for _ in "")
    next(ended, None)
    return ended


class Sent(Coroutine[Any, Any, None]):
    """What is left to do of a cast that did not have to wait: nothing.

    All those casts share one, as to make and to run a coroutine for each was a quarter of its cost.
    """

    __slots__ = ()
    __await__ = repeat(_ended()).__next__  # as a function in Python it would cost as much again

    def send(self, value: object) -> NoReturn:
        raise StopIteration

    def throw(self, *error: object) -> NoReturn:
        raise StopIteration  # a task that is cancelled before it begins: it is sent nevertheless

    def close(self) -> None:
        pass


SENT: Final = Sent()


class Nowhere:
    """In the place of what is in a mailbox, as long as no tree has one of that name."""

    __slots__ = ("tree",)

    def __init__(self) -> None:
        self.tree = None


NOWHERE: Final = Nowhere()


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

    __slots__ = ("__weakref__", "_box", "capacity", "failure", "name", "overflow")

    name: str
    capacity: int
    overflow: Overflow
    failure: Failure
    _box: Box | Nowhere  # what was last found, by any thread

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
        self._remember(NOWHERE)

    def _remember(self, box: Box | Nowhere) -> None:
        object.__setattr__(self, "_box", box)

    def _forget(self) -> None:
        self._remember(NOWHERE)

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

    def cast(self, message: M, lane: LaneName = "normal") -> Coroutine[Any, Any, None]:
        """Send a message that is not answered. It is in the mailbox when this was awaited.

        It waits only while the mailbox is full; who casts all the time yields to the event loop at
        each 128th letter. When it is cancelled while it waits, the message was not sent. Await it at
        once: where there is nothing to wait for, the message is sent before that.

        Args:
            message: what the reader finds in ``letter.message``.
            lane: ``urgent`` letters are read before all others.

        Raises:
            MailboxFull: there is no room, and it is not to wait, or there is nobody to wait for.
            MailboxClosed: the mailbox is closed, or the tree or its reader stops.
            NoTree: no tree is open here, or several are.
            MailboxDiffers: the tree has another mailbox of that name.
        """
        if lane == "normal":
            life = running_life()
            box: Any = self._box
            if life is not None and life._node.tree is box.tree:
                # What put() does for most letters: those that find others, for which the reader
                # is awake, and need not be timed.
                normal = box.normal
                queue = normal.queue
                place = len(queue)
                if place & normal.sample and place < normal.limit:
                    queue.append(Letter(message))
                    return SENT
        return self._cast(message, lane)

    async def _cast(self, message: M, lane: LaneName) -> None:
        box = self._find()
        letter = Letter(message) if lane == "normal" else _urgent(message, lane)
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
        tree = _tree_here()
        if get_ident() != tree.thread:
            anyio.from_thread.run_sync(self.cast_nowait, message, lane)
            return
        box = self._find_in(tree)
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
            CallToSelf: the task that reads the mailbox calls it, or one whose reader waits for it;
                the latter where none of them has a timeout.
            MailboxFull, MailboxClosed, NoTree, MailboxDiffers: as for :meth:`cast`.
        """
        box = self._find()
        readers = read_here()
        if box in readers:
            raise CallToSelf(self.name)
        letter: Letter[Any] = Letter(message) if lane == "normal" else _urgent(message, lane)
        until = box.until(timeout)
        letter.deadline = min(until, anyio.current_effective_deadline())
        letter._asks, letter._state, letter._signal = True, QUEUED, box.make_signal()
        if readers:
            box.refuse_circle(readers, letter, letter.deadline)
        try:
            box.ask(letter)
            await box.wait_for_answer(letter, until)
        finally:
            for each in readers:
                each.waits_for = None
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
        return Reader(self._find(), life)

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
        tree = _tree_here()
        if get_ident() != tree.thread:
            raise NoTree(
                "not in the thread of the tree's event loop; elsewhere a worker thread of a child "
                "may call cast_nowait(), and from_thread.run() the rest"
            )
        return self._find_in(tree)

    def _find_in(self, tree: Runtime) -> Box:
        last: Any = self._box
        if last.tree is tree:
            found: Box = last
            return found
        box = tree.boxes.get(self.name)
        if box is None:
            box = tree.boxes[self.name] = Box(tree, self)
        elif box.declared() is not self:
            box.declare(self)
        if not tree.finished.is_set():
            self._remember(box)
        return box


def _tree_here() -> Runtime:
    life = running_life()
    tree: Runtime = current_tree()._runtime if life is None else life._node.tree
    return tree


def _urgent(message: M, lane: LaneName) -> Letter[M]:
    if lane != "urgent":
        raise ValueError(f"lane is {lane!r}; write 'urgent' or 'normal'")
    return Letter(message, inf, True)
