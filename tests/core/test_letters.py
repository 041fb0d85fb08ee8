"""The letters of a mailbox, against a naive model of them, and each in one place or one count."""

from __future__ import annotations

from collections import deque
from typing import Any, get_args

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from supervisor import CallFailed, MailboxClosed, MailboxFull, NotHandled
from supervisor._core.lane import ADMITTED, ANSWERED, FEW, GONE, QUEUED, TAKEN, Letter
from supervisor._core.letters import Failure, Letters, Overflow

NEVER = float("inf")


class Signal:
    def __init__(self) -> None:
        self.is_set = False

    def set(self) -> None:
        self.is_set = True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def letters(capacity: int = 2, overflow: Any = "wait", failure: Any = "drop") -> Letters:
    return Letters("inbox", capacity, overflow, failure, Clock())


def cast(message: object, *, urgent: bool = False) -> Letter[Any]:
    return Letter(message, NEVER, urgent)


def call(message: object, deadline: float = NEVER, *, urgent: bool = False) -> Letter[Any]:
    return Letter(message, deadline, urgent, None, True, Signal(), QUEUED)


class Machine(RuleBasedStateMachine):
    """Any sequence of what senders, the reader and the tree can do, beside lists of messages."""

    @initialize(
        capacity=st.integers(1, 3),
        overflow=st.sampled_from(get_args(Overflow)),
        failure=st.sampled_from(get_args(Failure)),
    )
    def begin(self, capacity: int, overflow: Overflow, failure: Failure) -> None:
        self.letters = letters(capacity, overflow, failure)
        self.clock: Any = self.letters.clock
        self.queues: dict[bool, list[Letter[Any]]] = {False: [], True: []}
        self.outside: dict[bool, list[Letter[Any]]] = {False: [], True: []}
        self.open: Letter[Any] | None = None
        self.again: set[int] = set()
        self.due: set[int] | None = None  # if the reader was asked to end
        self.unheard: list[Letter[Any]] = []  # there is room for these, and nobody has said so
        self.over: dict[int, str] = {}  # what came of each message that is neither in nor open
        self.count = 0

    # --- the model --------------------------------------------------------------------------------

    def _admit(self) -> None:
        for urgent, queue in self.queues.items():
            outside = self.outside[urgent]
            while outside and len(queue) < self.letters.capacity and not self.letters.closed:
                queue.append(outside.pop(0))
                if not queue[-1]._asks:
                    self.unheard.append(queue[-1])

    def _over(self, letter: Letter[Any], what: str) -> None:
        assert letter.message not in self.over
        self.over[letter.message] = what

    def _settle(self) -> None:
        if self.open is not None:
            self._over(self.open, "handled")
            self.open = None

    def _next(self) -> Letter[Any] | None:
        for urgent in (True, False):
            while self.queues[urgent] and self.queues[urgent][0] not in self.unheard:
                if self.due is not None and self.queues[urgent][0].message not in self.due:
                    break
                letter = self.queues[urgent].pop(0)
                self._admit()
                if letter.deadline > self.clock.now:
                    return letter
                self._over(letter, "expired")
        return None

    # --- senders ----------------------------------------------------------------------------------

    @rule(asks=st.booleans(), urgent=st.booleans(), patience=st.sampled_from([1.0, NEVER]))
    def send(self, asks: bool, urgent: bool, patience: float) -> None:
        self.count += 1
        message = self.count
        letter = (
            call(message, self.clock.now + patience, urgent=urgent)
            if asks
            else cast(message, urgent=urgent)
        )
        box, queue = self.letters, self.queues[urgent]
        full = len(queue) >= box.capacity
        try:
            if asks:
                box.ask(letter)
            elif not box.put(letter):
                letter._signal = Signal()
                box.wait(letter)
        except (MailboxFull, MailboxClosed, CallFailed) as exc:
            refused: type | None = type(exc)
        else:
            refused = None
        if box.closed:
            assert refused is MailboxClosed
        elif asks and box.resting:
            assert refused is CallFailed
        elif refused is not None:
            assert full
            assert refused is MailboxFull
            assert box.resting or box.overflow in ("reject", "drop newest")
        if refused is not None:
            self._over(letter, "rejected")
            return
        if not full:
            queue.append(letter)
        elif box.overflow == "drop oldest":
            self._over(queue.pop(0), "dropped")
            queue.append(letter)
        elif box.overflow == "drop newest":
            self._over(letter, "dropped")
        else:
            assert box.overflow == "wait"
            self.outside[urgent].append(letter)

    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        inside = [each for queue in self.queues.values() for each in queue if each._asks]
        outside = [letter for queue in self.outside.values() for letter in queue]
        taken = [each for each in (self.open,) if each is not None and each._state == TAKEN]
        everybody = [*inside, *outside, *taken, *self.unheard]
        if not everybody:
            return
        letter = data.draw(st.sampled_from(everybody))
        self.letters.withdraw(letter)
        if letter is self.open:
            assert not letter._asks or not letter.reply(1)
            return
        expired = letter._asks and letter in inside
        self._over(letter, "expired" if expired else "withdrawn")
        if letter in self.unheard:
            self.unheard.remove(letter)
        for queue in (*self.queues.values(), *self.outside.values()):
            if letter in queue:
                queue.remove(letter)
        self._admit()

    @precondition(lambda self: self.unheard)
    @rule(data=st.data())
    def hear(self, data: st.DataObject) -> None:
        letter = data.draw(st.sampled_from(self.unheard))
        self.unheard.remove(letter)
        self.letters.confirm(letter)

    # --- the reader -------------------------------------------------------------------------------

    @rule()
    def take(self) -> None:
        before = self.open
        to_answer = before is not None and before._asks and before._state == TAKEN
        self._settle()
        letter = self.letters.take()
        if to_answer:
            assert before is not None
            assert isinstance(before._error, NotHandled)
        self.open = self._next()
        assert letter is self.open
        due = [m for m in self._inside() if self.due is not None and m in self.due]
        if letter is None and (self.due is not None or self.letters.closed):
            assert self.letters.over is not bool(self._inside() if self.due is None else due)

    def _inside(self) -> list[int]:
        return [letter.message for queue in self.queues.values() for letter in queue]

    @precondition(lambda self: self.open is not None and self.open._asks)
    @rule()
    def reply(self) -> None:
        assert self.open is not None
        if self.open._state == TAKEN:
            assert self.open.reply("answer")
            assert self.open._signal.is_set
        elif self.open._state == ANSWERED:
            with pytest.raises(RuntimeError, match="is settled"):
                self.open.reply("again")
        else:
            assert self.open._state == GONE
            assert not self.open.reply("too late")

    @rule()
    def return_(self) -> None:
        self.letters.settle()
        self._settle()
        self.letters.begin()
        self.due = None

    @rule()
    def crash(self) -> None:
        failed = self.letters.fail("app/book", 1, self.clock.now, "on cue")
        letter, self.open = self.open, None
        if letter is None:
            assert failed is None
        elif letter._asks:
            assert failed == (letter, "its caller is told")
            self._over(letter, "failed")
        elif self.letters.failure == "once more" and letter.message not in self.again:
            assert failed == (letter, "once more")
            self.again.add(letter.message)
            self.queues[letter._urgent].insert(0, letter)
        else:
            fate = "dropped" if self.letters.failure == "drop" else "dead letter"
            assert failed == (letter, fate)
            self._over(letter, "failed")
        self.letters.begin()
        self.due = None

    @rule()
    def ask_to_end(self) -> None:
        self.letters.ask_to_end()
        self.due = {letter.message for queue in self.queues.values() for letter in queue}

    # --- the tree ---------------------------------------------------------------------------------

    @precondition(lambda self: self.open is None)
    @rule()
    def rest(self) -> None:
        self.letters.rest("stopped")
        for urgent, queue in self.queues.items():
            for letter in queue:
                if letter._asks:
                    assert isinstance(letter._error, CallFailed)
                    self._over(letter, "expired")
            queue[:] = [letter for letter in queue if not letter._asks]
            for letter in self.outside[urgent]:
                assert letter._signal.is_set
                assert isinstance(letter._error, CallFailed if letter._asks else MailboxFull)
                self._over(letter, "rejected")
            self.outside[urgent].clear()

    @rule(seconds=st.sampled_from([0.5, 2.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @precondition(lambda self: self.count > 15)
    @rule()
    def close(self) -> None:
        self.letters.close("closed")
        for outside in self.outside.values():
            for letter in outside:
                assert letter._signal.is_set
                assert isinstance(letter._error, MailboxClosed)
                self._over(letter, "rejected")
            outside.clear()

    # --- what always holds ------------------------------------------------------------------------

    @invariant()
    def each_is_in_one_place_or_one_count(self) -> None:
        box = self.letters
        inside = [letter for queue in self.queues.values() for letter in queue]
        outside = [letter for queue in self.outside.values() for letter in queue]
        assert box.waiting == len(inside)
        assert box.outside == len(outside)
        counts = {
            what: sum(each == what for each in self.over.values())
            for what in ("handled", "failed", "dropped", "expired", "rejected", "withdrawn")
        }
        assert {what: getattr(box, what) for what in counts} == counts
        gone_unread = ("rejected", "withdrawn")
        received = sum(n for what, n in counts.items() if what not in gone_unread)
        assert box.received == received + len(inside) + (self.open is not None)
        assert len(self.over) + len(inside) + len(outside) + (self.open is not None) == self.count
        assert box.open is self.open

    @invariant()
    def whoever_waits_has_not_been_told_and_whoever_was_told_does_not_wait(self) -> None:
        for letter in [each for queue in self.outside.values() for each in queue]:
            assert not letter._signal.is_set
        for letter in [each for queue in self.queues.values() for each in queue]:
            if letter._signal is not None:
                assert letter._signal.is_set is not letter._asks
            assert (letter._state == ADMITTED) is (letter in self.unheard)

    @invariant()
    def nothing_grows(self) -> None:
        for lane in (self.letters.normal, self.letters.urgent):
            assert len(lane.queue) <= 2 * max(FEW, self.letters.capacity) + 1


TestLetters = Machine.TestCase
TestLetters.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def test_the_longest_wait_is_that_of_a_letter_that_found_the_mailbox_empty() -> None:
    box = letters(capacity=10)
    clock: Any = box.clock
    for i in range(5):
        box.put(cast(i))
        clock.now += 1
    box.take()
    assert box.longest_wait == 5


@pytest.mark.parametrize(
    ("capacity", "every"), [(1, 1), (7, 1), (8, 2), (100, 16), (256, 64), (10_000, 64)]
)
def test_the_waits_of_a_part_of_the_letters_are_measured(capacity: int, every: int) -> None:
    box = letters(capacity=capacity)
    clock: Any = box.clock
    count = min(capacity, 200)
    for i in range(count):
        box.put(cast(i))
    waits = []
    for _ in range(count):
        box.take()
        waits.append(box.longest_wait)
        clock.now += 1
    assert waits == [i // every * every for i in range(count)]


def test_a_reader_that_waits_hears_that_the_cast_before_a_letter_was_given_up() -> None:
    box = letters(capacity=2)
    waits = cast("given up")
    waits._signal = Signal()
    box.put(cast(1))
    box.put(cast(2))
    box.wait(waits)
    assert [box.take(), box.take(), box.take()].pop() is None
    box.put(cast("behind"))
    box.wake = reader = Signal()
    box.withdraw(waits)
    assert reader.is_set
    letter = box.take()
    assert letter is not None
    assert letter.message == "behind"


@pytest.mark.parametrize("count", [1000, 10_000])
@pytest.mark.parametrize("first", ["those in the mailbox", "those outside"])
def test_those_who_have_gone_are_swept(count: int, first: str) -> None:
    box = letters(capacity=count)
    waiting = [call(i) for i in range(2 * count)]
    for letter in waiting:
        box.ask(letter)
    go = waiting[1:-1] if first == "those in the mailbox" else waiting[-2:0:-1]
    for n, letter in enumerate(go, 1):
        box.withdraw(letter)
        assert box.outside == max(0, count - n)
        assert len(box.normal.outside) <= 2 * (box.outside + FEW)
    assert len(box.normal.queue) <= FEW * 2 + 2
    assert [box.take(), box.take(), box.take()] == [waiting[0], waiting[-1], None]
    assert (box.normal.gone, box.normal.outside_gone, box.normal.limit) == (0, 0, count)


def test_what_is_left_at_the_end_is_counted_and_callers_are_told() -> None:
    box = letters(capacity=2)
    asks = call("ask")
    box.put(cast(1))
    box.ask(asks)
    waits, asks_outside = cast(2), call("outside")
    waits._signal = Signal()
    box.wait(waits)
    box.ask(asks_outside)
    assert box.end("the tree has ended") == 1
    assert isinstance(asks._error, CallFailed)
    assert isinstance(waits._error, MailboxClosed)
    assert isinstance(asks_outside._error, MailboxClosed)
    assert (box.waiting, box.outside, box.left, box.expired) == (0, 0, 1, 1)


def test_dead_letters_are_bounded_and_their_order_is_kept() -> None:
    box = letters(failure="dead letter")
    for i in range(250):
        box.put(cast(i))
        box.take()
        box.fail("app/book", i, float(i), "on cue")
    assert isinstance(box.dead_letters, deque)
    assert [dead.message for dead in box.dead_letters] == list(range(150, 250))
    assert box.dead == 250
