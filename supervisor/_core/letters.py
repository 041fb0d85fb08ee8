"""The letters of one mailbox: two lanes, what happens when one is full, and what becomes of the
letter that a life leaves open.

Who casts or calls gives a letter to :meth:`Letters.put`, who reads gets it from
:meth:`Letters.take`. Every letter that was received is in one place or in one count: it waits, is
open, or was ``handled``, ``failed``, ``dropped``, ``expired`` or ``left``. Each operation is of
constant cost, amortised.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

from supervisor._core.lane import (
    ADMITTED,
    ALL,
    GONE,
    NOTHING,
    OUTSIDE,
    PLAIN,
    QUEUED,
    SHUT,
    TAKEN,
    Lane,
    Letter,
)
from supervisor._errors import CallFailed, MailboxClosed, MailboxFull, NotHandled
from supervisor._happenings import Fate
from supervisor._views import DeadLetter

Overflow: TypeAlias = Literal["wait", "reject", "drop oldest", "drop newest"]
Failure: TypeAlias = Literal["drop", "dead letter", "once more"]

KEPT: Final = 100
"""Dead letters that are kept to be looked at; then the oldest go."""

FAIRNESS: Final = 127
"""Whoever finds a multiple of 128 letters in a lane, and every 128th whose letter is dropped, is to
let others run first."""


class Letters:
    """What is in a mailbox. ``wake`` is what its reader waits for, if it does."""

    __slots__ = (
        "capacity",
        "clock",
        "closed",
        "dead",
        "dead_letters",
        "draining",
        "dropped",
        "expired",
        "failed",
        "failure",
        "fast",
        "left",
        "longest_wait",
        "name",
        "normal",
        "open",
        "overflow",
        "redelivered",
        "rejected",
        "resting",
        "taken",
        "untold",
        "urgent",
        "wake",
        "withdrawn",
    )

    def __init__(
        self,
        name: str,
        capacity: int,
        overflow: Overflow,
        failure: Failure,
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.clock = clock  # and not a time with each call, as it is looked at for few letters
        self.capacity = capacity
        self.overflow = overflow
        self.failure = failure
        self.normal = Lane(capacity)
        self.urgent = Lane(capacity)
        self.open: Letter[Any] | None = None
        self.wake: Any = None
        self.closed = ""  # why nothing is taken in any more
        self.resting = ""  # why nobody reads until somebody has the reader started
        self.draining = False  # the reader was asked to end, and gets what is due in its lanes
        self.fast = self.normal.queue  # what take() need not think about; else empty
        self.dead_letters: deque[DeadLetter] = deque(maxlen=KEPT)

        self.rejected = 0  # never received, for want of room or because it is closed
        self.withdrawn = 0  # taken back by their senders
        self.taken = 0  # those delivered once more are in here twice
        self.redelivered = 0
        self.failed = 0  # they were open when a life ended, and are not delivered again
        self.dead = 0  # of those, how many became dead letters
        self.dropped = 0  # for want of room
        self.untold = 0  # of those, how many no event has told of yet
        self.expired = 0  # calls that nobody read while their callers waited
        self.left = 0  # casts that nobody read before the end
        self.longest_wait = 0.0

    @property
    def waiting(self) -> int:
        """How many letters wait to be read."""
        return len(self.normal) + len(self.urgent)

    @property
    def received(self) -> int:
        """How many letters were taken in. It is made of the rest, so that a cast counts nothing."""
        taken = self.taken - self.redelivered
        return taken + self.waiting + self.expired + self.dropped + self.left

    @property
    def outside(self) -> int:
        """How many senders wait for room."""
        lanes = (self.normal, self.urgent)
        return sum(len(lane.outside) - lane.outside_gone for lane in lanes)

    @property
    def handled(self) -> int:
        """How many letters were settled by the life that took them."""
        return self.taken - self.redelivered - self.failed - (self.open is not None)

    # --- senders ----------------------------------------------------------------------------------

    def is_to_pause(self, *, urgent: bool) -> bool:
        """Whether who is about to put a letter is to let others run first, so that it does not hold
        them up when it does so again and again."""
        lane = self.urgent if urgent else self.normal
        place = len(lane.queue)
        if place < lane.limit:
            return place > 0 and not place & FAIRNESS
        if self.overflow == "reject" or self.resting or self.closed:
            return True
        return self.overflow != "wait" and not self.dropped & FAIRNESS

    def put(self, letter: Letter[Any]) -> bool:
        """Receive a letter, or deal with it by the rule for a mailbox that is full.

        Returns:
            False if there is no room for it, and the rule is to wait.

        Raises:
            MailboxFull, MailboxClosed: it was not received.
        """
        lane = self.normal
        if letter._urgent:
            lane, self.fast = self.urgent, NOTHING
        queue = lane.queue
        place = len(queue)
        if place >= lane.limit:
            return self._put_anyway(lane, letter)
        if not place & lane.sample:
            letter._put_at = self.clock()
        queue.append(letter)
        if self.wake is not None:
            self.awake()
        return True

    def ask(self, letter: Letter[Any]) -> None:
        """Receive a call, which waits for room where that is the rule.

        Raises:
            CallFailed: nobody reads, until somebody has the reader started.
            MailboxFull, MailboxClosed: as for :meth:`put`.
        """
        if self.resting and not self.closed:
            self.rejected += 1
            raise CallFailed(self.name, self.resting)
        if not self.put(letter):
            self.wait(letter)

    def _put_anyway(self, lane: Lane, letter: Letter[Any]) -> bool:
        if self.closed:
            self.rejected += 1
            raise MailboxClosed(self.name, self.closed)
        if self.overflow == "drop oldest":
            oldest = lane.first()
            assert oldest is not None
            lane.pop()
            self._drop(oldest)
            lane.queue.append(letter)
        elif self.overflow == "drop newest" and not letter._asks:
            self._drop(letter)
        elif self.overflow == "wait" and not self.resting:
            return False
        else:
            self.reject()
        return True

    def _drop(self, letter: Letter[Any]) -> None:
        self.dropped += 1
        self.untold += 1
        if letter._asks:
            letter._refuse(MailboxFull(self.name, self.capacity, "a newer letter took its place"))

    def reject(self, why: str = "") -> None:
        """Refuse a letter for which there is no room.

        Raises:
            MailboxFull: always.
        """
        self.rejected += 1
        raise MailboxFull(self.name, self.capacity, why or self.resting)

    def wait(self, letter: Letter[Any]) -> None:
        """Put a letter behind those for which there is no room yet. The signal of a cast is set when
        there is, and then it is to :meth:`confirm`; that of a call when it is answered. Or either is
        set when it has an error."""
        letter._state = OUTSIDE
        (self.urgent if letter._urgent else self.normal).outside.append(letter)
        self._aim()

    def confirm(self, letter: Letter[Any]) -> None:
        """The sender of a cast has heard that there is room. Until then it is not read: the sender
        may have been cancelled, and is to be right in that what was cancelled was not sent."""
        if letter._error is not None:
            raise letter._error
        letter._state = PLAIN
        self.awake()

    def withdraw(self, letter: Letter[Any]) -> None:
        """Its sender does not wait any more; if it has not been read, it is not to be."""
        if letter._state not in (OUTSIDE, ADMITTED, QUEUED):
            if letter._asks and letter._state == TAKEN:
                letter._state = GONE
            return
        if letter._asks and letter._state == QUEUED:
            self.expired += 1
        else:
            self.withdrawn += 1
        lane = self.urgent if letter._urgent else self.normal
        lane.forget(letter)
        lane.admit()
        self._aim()
        self.awake()

    # --- the reader -------------------------------------------------------------------------------

    def take(self) -> Letter[Any] | None:
        """The next letter, which is open from then on. The one before is settled."""
        letter = self.open
        if letter is not None and letter._asks:
            self.settle()
        queue = self.fast
        if queue:
            self.open = letter = queue.popleft()
            if not letter._state:
                self.taken += 1
                if letter._put_at is not None:
                    self._measure(letter._put_at)
                return letter
            queue.appendleft(letter)
        self.open = None
        return self._take()

    def _take(self) -> Letter[Any] | None:
        for lane in (self.urgent, self.normal):
            while (letter := lane.first_due()) is not None:
                if letter._state == ADMITTED:
                    break
                lane.pop()
                lane.admit()
                if letter.deadline <= self.clock():
                    self.expired += 1
                    # Whoever has moved his deadline since then would wait for ever.
                    letter._refuse(TimeoutError(f"mailbox {self.name!r} was not read in time"))
                    continue
                if letter._state:
                    letter._state = TAKEN
                self.open = letter
                self.taken += 1
                if letter._put_at is not None:
                    self._measure(letter._put_at)
                self._aim()
                return letter
        self._aim()
        return None

    @property
    def over(self) -> bool:
        """Whether the reader has got all that it is to get."""
        if self.draining and not (self.urgent.due or self.normal.due):
            return True
        return bool(self.closed) and not self.waiting

    def _measure(self, put_at: float) -> None:
        self.longest_wait = max(self.longest_wait, self.clock() - put_at)

    def _aim(self) -> None:
        """Let take() have the first of the normal lane, if there is nothing to think about."""
        normal = self.normal
        plain = not self.urgent.queue and not normal.outside and not self.draining
        self.fast = normal.queue if plain else NOTHING

    def settle(self) -> None:
        """The reader is done with the letter that is open."""
        letter, self.open = self.open, None
        if letter is not None and letter._asks and letter._state == TAKEN:
            letter._refuse(NotHandled(self.name))

    def begin(self) -> None:
        """A life begins to read."""
        self.resting = ""
        self.draining = False
        self.urgent.due = self.normal.due = ALL
        self._aim()

    def ask_to_end(self) -> None:
        """The life that reads is to end: it gets what is here now, and later letters wait for the
        next life."""
        self.draining = True
        for lane in (self.urgent, self.normal):
            lane.due = len(lane.queue)
        self.fast = NOTHING
        self.awake()

    def fail(self, path: str, life: int, at: float, cause: str) -> tuple[Letter[Any], Fate] | None:
        """The life that reads has ended, and not by itself: what becomes of its open letter."""
        letter, self.open = self.open, None
        if letter is None:
            return None
        if letter._asks:
            self.failed += 1
            if letter._state == TAKEN:
                letter._refuse(CallFailed(self.name, cause))
            return letter, "its caller is told"
        if self.failure == "once more" and not letter._again:
            self.redelivered += 1
            letter._again, letter._state, letter._put_at = True, PLAIN, at
            (self.urgent if letter._urgent else self.normal).queue.appendleft(letter)
            self._aim()
            return letter, "once more"
        self.failed += 1
        if self.failure == "drop":
            return letter, "dropped"
        self.dead += 1
        self.dead_letters.append(DeadLetter(letter.message, path, life, at, cause))
        return letter, "dead letter"

    # --- the end ----------------------------------------------------------------------------------

    def rest(self, why: str) -> None:
        """Nobody reads until somebody has the reader started: whoever waits for it is told so, and
        casts stay."""
        self.resting = why
        for lane in (self.normal, self.urgent):
            self._fail_calls(lane, why)
            for letter in lane.turn_away():
                self.rejected += 1
                letter._refuse(
                    CallFailed(self.name, why)
                    if letter._asks
                    else MailboxFull(self.name, self.capacity, why)
                )
        self._aim()

    def _fail_calls(self, lane: Lane, why: str) -> None:
        for letter in lane.calls():
            self.expired += 1
            letter._refuse(CallFailed(self.name, why))

    def close(self, why: str) -> None:
        """Take nothing in any more. What is here can still be read."""
        self.closed = self.closed or why
        for lane in (self.normal, self.urgent):
            lane.limit = SHUT
            for letter in lane.turn_away():
                self.rejected += 1
                letter._refuse(MailboxClosed(self.name, self.closed))
        self._aim()
        self.awake()

    def end(self, why: str) -> int:
        """Nobody reads any more: how many casts were left."""
        self.close(why)
        left = 0
        for lane in (self.normal, self.urgent):
            self._fail_calls(lane, why)
            for letter in lane.queue:
                if letter._state == ADMITTED:
                    self.rejected += 1
                    letter._refuse(MailboxClosed(self.name, self.closed))
                else:
                    left += 1
            lane.queue.clear()
        self.left += left
        return left

    def awake(self) -> None:
        """Wake the reader, if it waits."""
        if self.wake is not None:
            self.wake.set()
            self.wake = None
