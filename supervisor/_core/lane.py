"""A letter, and the lane of a mailbox in which it waits, or waits for room."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from math import inf
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

M = TypeVar("M")

PLAIN: Final = 0  # a cast that nobody waits for: it stays so, to save the work
OUTSIDE: Final = 1  # there is no room for it yet
ADMITTED: Final = 2  # a cast for which there is room now, and whose sender has yet to hear of it
QUEUED: Final = 3  # a call
TAKEN: Final = 4
ANSWERED: Final = 5  # its sender has been told what came of it
GONE: Final = 6  # its sender does not wait any more

FEW: Final = 64
"""Letters whose senders have gone that are not worth sweeping."""

ALL: Final = -1

SHUT: Final = -(1 << 60)
"""A limit below all lengths."""


class Letter(Struct, Generic[M], eq=False):
    """A message, as the reader of a mailbox gets it. Asking for the next letter settles it.

    ``deadline`` is when its caller stops to wait for the answer, in seconds of the event loop's
    clock: infinite for a cast, and for a call without timeout in no scope that has a deadline.
    """

    message: M
    deadline: float = inf
    _urgent: bool = False
    _put_at: float | None = None  # if its wait is to be measured
    _asks: bool = False  # it is a call
    _signal: Any = None  # what its sender waits for: the answer, or for a cast that there is room
    _state: int = PLAIN
    _again: bool = False  # it was open when a life ended, and has a second one
    _value: Any = None
    _error: Exception | None = None

    def __repr__(self) -> str:
        return f"<Letter {self.message!r}>"

    def reply(self, value: object = None) -> bool:
        """Answer the call: its ``await`` returns the value.

        Returns:
            True if somebody hears it; False if this was cast, or the caller has gone.

        Raises:
            RuntimeError: it is settled: answered before, or you have asked for the next letter.
        """
        return self._answer(value, None)

    def fail(self, error: Exception) -> bool:
        """Answer the call by an error, which its ``await`` raises. Otherwise as :meth:`reply`.

        Raises:
            TypeError: it is no exception.
        """
        given: object = error
        if not isinstance(given, Exception):
            raise TypeError(f"a call fails by an exception, not by {given!r}; reply() with a value")
        return self._answer(None, error)

    def _answer(self, value: object, error: Exception | None) -> bool:
        if not self._asks or self._state == GONE:
            return False
        if self._state == ANSWERED:
            raise RuntimeError(f"{self!r} is settled; answer once, before you ask for the next")
        self._state = ANSWERED
        self._value = value
        self._error = error
        self._signal.set()
        return True

    def _refuse(self, error: Exception) -> None:
        """Tell its sender that it will not be read."""
        self._state = ANSWERED
        self._error = error
        self._signal.set()


NOTHING: Final[deque[Letter[Any]]] = deque(maxlen=0)


SAMPLE: Final = 64
"""The wait of one in so many letters is measured, at least."""


class Lane:
    """A bounded queue, and those who wait for room in it, first come first served.

    Those whose senders have gone are left where they are, and swept when they are the most.
    """

    __slots__ = ("due", "gone", "limit", "outside", "outside_gone", "queue", "sample")

    def __init__(self, capacity: int) -> None:
        self.queue: deque[Letter[Any]] = deque()
        self.due = ALL  # so many from the front are for the reader that reads now
        self.gone = 0
        self.limit = capacity  # of the queue, with those in it that have gone
        self.outside: deque[Letter[Any]] = deque()
        self.outside_gone = 0
        # A letter that finds none in here under this mask is measured: at least four of them are in
        # a full lane, and that which finds it empty.
        self.sample = (1 << min(SAMPLE, max(1, capacity // 4)).bit_length() - 1) - 1

    def __len__(self) -> int:
        return len(self.queue) - self.gone

    def first(self) -> Letter[Any] | None:
        """The first that has not gone."""
        while self.queue:
            if self.queue[0]._state != GONE:
                return self.queue[0]
            self.pop()
            self.gone -= 1
            self.limit -= 1
        return None

    def first_due(self) -> Letter[Any] | None:
        """The same, if it is for the reader that reads now."""
        letter = self.first()
        return letter if self.due else None

    def pop(self) -> Letter[Any]:
        """Take out the first."""
        if self.due > 0:
            self.due -= 1
        return self.queue.popleft()

    def admit(self) -> None:
        """Let in whom there is room for."""
        queue, outside = self.queue, self.outside
        while outside and len(queue) < self.limit:
            letter = outside.popleft()
            if letter._state == GONE:
                self.outside_gone -= 1
                continue
            queue.append(letter)
            if letter._asks:
                letter._state = QUEUED
            else:
                letter._state = ADMITTED
                letter._signal.set()

    def forget(self, letter: Letter[Any]) -> None:
        """The sender of one that is here has gone."""
        if letter._state == OUTSIDE:
            letter._state = GONE
            self.outside_gone += 1
            if self.outside_gone > FEW and 2 * self.outside_gone > len(self.outside):
                _sweep(self.outside)
                self.outside_gone = 0
            return
        letter._state = GONE
        self.gone += 1
        self.limit += 1  # its place is free, although it is still there
        if self.gone > FEW and 2 * self.gone > len(self.queue):
            if self.due > 0:
                self.due -= sum(each._state == GONE for each in islice(self.queue, self.due))
            _sweep(self.queue)
            self.limit -= self.gone
            self.gone = 0

    def calls(self) -> Iterator[Letter[Any]]:
        """Take out the calls that wait to be read; the casts stay, in order."""
        casts: list[Letter[Any]] = []
        due = 0
        while (letter := self.first()) is not None:
            is_due = self.due > 0
            self.pop()
            if letter._asks:
                yield letter
            else:
                casts.append(letter)
                due += is_due
        self.queue.extend(casts)
        if self.due != ALL:
            self.due = due

    def turn_away(self) -> Iterator[Letter[Any]]:
        """Take out those for which there is no room."""
        outside = [letter for letter in self.outside if letter._state != GONE]
        self.outside.clear()
        self.outside_gone = 0
        return iter(outside)


def _sweep(queue: deque[Letter[Any]]) -> None:
    stay = [letter for letter in queue if letter._state != GONE]
    queue.clear()
    queue.extend(stay)
