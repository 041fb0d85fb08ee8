"""What is in a mailbox of a running tree, who waits for it, and who reads it.

The letters are the pure :class:`~supervisor._core.letters.Letters`; here are the waiting, the watch
over the child that reads, and the telling.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any, Final, Literal
from weakref import ReferenceType, ref

import anyio
from anyio.lowlevel import checkpoint

from supervisor._core.child import AT_REST, ChildState
from supervisor._core.lane import ANSWERED, OUTSIDE, QUEUED, TAKEN, Letter
from supervisor._core.letters import FAIRNESS, Letters
from supervisor._errors import CallFailed, CallToSelf, MailboxDiffers, MailboxFull, MailboxTaken
from supervisor._happenings import LetterFailed, LettersLost
from supervisor._record.wording import LONGEST_TEXT, error_line, printable
from supervisor._runtime.clock import bounded_wait
from supervisor._runtime.context import running_life
from supervisor._views import MailboxStatistics
from supervisor._words import Outcome

if TYPE_CHECKING:
    from supervisor._runtime.life import CurrentChild
    from supervisor._runtime.mailbox import Mailbox
    from supervisor._runtime.runtime import LiveNode, Runtime

UNREAD: Final = 30.0
"""So many seconds a mailbox that nobody has read yet lets its callers wait for its reader."""

TELL_AGAIN: Final = 10.0
"""So many seconds are between two events about letters dropped from one mailbox for want of room."""


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
        "told_at",
        "tree",
        "waits_for",
        "watching",
    )

    def __init__(self, tree: Runtime, declared: Mailbox[Any]) -> None:
        super().__init__(
            declared.name, declared.capacity, declared.overflow, declared.failure, tree.now
        )
        self.tree = tree
        self.make_signal = tree.bus.make_signal
        self.bounded_wait = bounded_wait()
        self.declared: ReferenceType[Mailbox[Any]] = ref(declared, self._forget_if_idle)
        self.path = ""  # of the child that reads; empty if none ever has
        self.life: CurrentChild | None = None  # that reads now
        self.reader: ReferenceType[Reader] | None = None
        self.task = 0
        self.seat: tuple[LiveNode, ChildState] | None = None
        self.watching: tuple[LiveNode, ChildState] | None = None
        self.told_at = -math.inf
        self.waits_for: tuple[Box, Letter[Any]] | None = None  # the reader does, without an end
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
        if declared is not None and declared._box is self:
            declared._forget()

    def _forget_if_idle(self, declared: object = None) -> None:
        """The tree keeps no mailbox whose declaration is gone, as mailboxes made for each of many
        children are, once nothing is in it and nobody waits."""
        if self.declared() is not None or self.life is not None or (self.path and not self.resting):
            return
        if not (self.waiting or self.outside) and self.tree.boxes.get(self.name) is self:
            del self.tree.boxes[self.name]

    # --- senders ----------------------------------------------------------------------------------

    async def wait_for_room(self, letter: Letter[Any]) -> None:
        readers = read_here()
        if readers:
            self._refuse_to_wait_for_oneself(readers, letter)
        letter._signal = self.make_signal()
        self.wait(letter)
        try:
            await self._told(letter)
        except BaseException:
            self.withdraw(letter)
            raise
        finally:
            for each in readers:
                each.waits_for = None
        self.confirm(letter)

    def _refuse_to_wait_for_oneself(self, readers: list[Box], letter: Letter[Any]) -> None:
        if self in readers:
            self.reject("its own reader would wait for itself")
        try:
            self.refuse_circle(readers, letter, anyio.current_effective_deadline())
        except CallToSelf as exc:
            self.reject(f"its reader waits for mailbox {exc.mailbox!r}, whose reader casts")

    def refuse_circle(self, readers: list[Box], letter: Letter[Any], until: float) -> None:
        """The task that reads these is to wait for what becomes of the letter. Where nobody in the
        circle has a deadline, this one's reader must not wait for that task in its turn.

        Raises:
            CallToSelf: it does.
        """
        if until < math.inf:
            return
        through = [self.name]
        at = self
        while at.waits_for is not None:
            at, waits = at.waits_for
            if waits._state not in (OUTSIDE, QUEUED, TAKEN):
                break  # its answer is on the way
            if at in readers:
                raise CallToSelf(at.name, through)
            through.append(at.name)
        for each in readers:
            each.waits_for = self, letter

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

    def admit_reader(self, reader: Reader, life: CurrentChild) -> None:
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
        if self.reader is not None and (reader := self.reader()) is not None:
            reader._pause = 0
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


class Reader(AsyncIterator[Letter[Any]]):
    """One ``async for`` over a mailbox."""

    __slots__ = ("__weakref__", "_box", "_pause")

    def __init__(self, box: Box, life: CurrentChild) -> None:
        box.admit_reader(self, life)
        self._box = box
        self._pause = 0  # when so many letters were taken, others are to run

    def __aiter__(self) -> Reader:
        return self

    async def __anext__(self) -> Letter[Any]:
        box = self._box
        letter = box.open
        fast, taken = box.fast, box.taken
        if fast and taken < self._pause and (letter is None or not letter._asks):
            # What take() does for most letters.
            letter = fast.popleft()
            if not letter._state and letter._put_at is None:
                box.open = letter
                box.taken = taken + 1
                return letter
            fast.appendleft(letter)
        if taken >= self._pause:
            if not self._pause:
                self._begin(box)
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

    def _begin(self, box: Box) -> None:
        """See whether this loop, which begins or whose life has ended, is the one that reads."""
        if box.reader is None or box.reader() is not self:
            raise MailboxTaken(box.name, "another loop than this one, of an earlier life,")
        box.task = _task()

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


def read_here() -> list[Box]:
    """The mailboxes that the task which asks reads."""
    life = running_life()
    if life is None or life._inboxes is None:
        return []
    task = _task()
    return [box for box in life._inboxes if box.task == task]


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
