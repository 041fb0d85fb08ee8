"""Law 12, the mailbox's half: whatever happens to senders, readers and the tree, each letter that
was cast is read in order, exactly once, or is in one of the counts; and no caller hangs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, get_args

import anyio
import hypothesis.strategies as st
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import HealthCheck, given, settings
from msgspec import Struct

from supervisor import (
    Backoff,
    Call,
    CallFailed,
    Component,
    LetterFailed,
    LettersLost,
    Mailbox,
    MailboxClosed,
    MailboxFull,
    MailboxStatistics,
    NotHandled,
    NoTree,
    Stop,
    Supervisor,
    open_supervisor,
)
from supervisor._core.letters import Failure, Overflow
from supervisor._runtime.box import Box

from .conftest import Told

REFUSALS = (CallFailed, NotHandled, MailboxFull, MailboxClosed, NoTree, TimeoutError)


class Ask(Call[int], Struct, frozen=True):
    number: int


class Step(Struct, frozen=True):
    """What a sender does next."""

    kind: str  # cast, urgent, nowait, call, wait
    seconds: float
    cancel_after: int | None = None  # so many turns of the loop


class World:
    """Senders, a reader that crashes and dawdles as it is told to, and an operator."""

    def __init__(self, inbox: Mailbox[Any], deeds: list[str]) -> None:
        self.inbox = inbox
        self.deeds = deeds  # what the reader does with its letters
        self.sent: dict[tuple[int, int], str] = {}
        self.read: list[tuple[tuple[int, int], str]] = []
        self.answers: Counter[str] = Counter()
        self.drawn = 0

    async def reader(self) -> None:
        async for letter in self.inbox:
            key = letter.message if isinstance(letter.message, tuple) else letter.message.number
            deed = self.deeds[self.drawn % len(self.deeds)]
            self.drawn += 1
            self.read.append((key, deed))
            match deed:
                case "crash":
                    raise RuntimeError("on cue")
                case "dawdle":
                    await anyio.sleep(0.7)
                case "return":
                    return
                case "ignore":
                    continue
            letter.reply(1)

    async def sender(self, who: int, steps: list[Step]) -> None:
        for n, step in enumerate(steps):
            key = (who, n)
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    if step.cancel_after is not None:
                        group.start_soon(self._cancel, scope, step.cancel_after)
                    await self._do(step, key)
                    group.cancel_scope.cancel()
            if key not in self.sent:  # otherwise it was done when the cancellation came
                assert scope.cancelled_caught
                self.sent[key] = "cancelled call" if step.kind == "call" else "cancelled"
            await anyio.sleep(step.seconds)

    async def _cancel(self, scope: anyio.CancelScope, turns: int) -> None:
        for _ in range(turns):
            await checkpoint()
        scope.cancel()

    async def _do(self, step: Step, key: tuple[int, int]) -> None:
        try:
            match step.kind:
                case "cast":
                    await self.inbox.cast(key)
                case "urgent":
                    await self.inbox.cast(key, lane="urgent")
                case "nowait":
                    self.inbox.cast_nowait(key)
                case "call":
                    message: Any = Ask(key)  # type: ignore[arg-type]
                    await self._call(message, 2.0 if key[1] % 2 else None)
        except (MailboxFull, MailboxClosed, NoTree):
            self.sent[key] = "refused"
        else:
            self.sent[key] = step.kind

    async def _call(self, message: Any, timeout: float | None) -> None:
        try:
            self.answers[str(await self.inbox.call(message, timeout))] += 1
        except REFUSALS as exc:
            self.answers[type(exc).__name__] += 1


steps = st.builds(
    Step,
    kind=st.sampled_from(["cast", "cast", "urgent", "nowait", "call"]),
    seconds=st.sampled_from([0.0, 0.0, 0.0, 0.4, 1.5]),
    cancel_after=st.none() | st.integers(0, 4),
)
deed = st.sampled_from(["read", "read", "read", "crash", "dawdle", "return", "ignore"])


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    senders=st.lists(st.lists(steps, max_size=12), min_size=1, max_size=4),
    deeds=st.lists(deed, min_size=1, max_size=12),
    capacity=st.integers(1, 4),
    overflow=st.sampled_from(get_args(Overflow)),
    failure=st.sampled_from(get_args(Failure)),
    grace=st.sampled_from([0.0, 5.0]),
    restarts=st.lists(st.sampled_from([0.0, 0.3, 1.1]), max_size=3),
    runs_on=st.sampled_from([0.0, 0.5, 60.0]),
)
async def test_every_letter_is_read_in_order_once_or_counted(
    senders: list[list[Step]],
    deeds: list[str],
    capacity: int,
    overflow: Overflow,
    failure: Failure,
    grace: float,
    restarts: list[float],
    runs_on: float,
    told: Told,
) -> None:
    told.clear()
    inbox = Mailbox[Any]("inbox", capacity=capacity, overflow=overflow, failure=failure)
    world = World(inbox, deeds)
    reader = Component(
        world.reader,
        backoff=Backoff(first=0.2, jitter="none", cap=0.2),
        quarantine=None,
        stop=Stop(grace=grace),
    )
    async with anyio.create_task_group() as group:
        async with open_supervisor(Supervisor("app", [reader])) as tree:
            for who, plan in enumerate(senders):
                group.start_soon(world.sender, who, plan)
            for after in restarts:
                await anyio.sleep(after)
                await tree["reader"].restart()
            await anyio.sleep(runs_on)
            inbox.statistics()
            box: Box = tree._runtime.boxes["inbox"]
            await tree.stop()
        group.cancel_scope.deadline = anyio.current_time() + 120
    # Nobody hangs: all have come to their end, two minutes after the tree at the latest.
    assert not group.cancel_scope.cancelled_caught
    judge(world, box.statistics(), failure, told)


def judge(world: World, figures: MailboxStatistics, failure: Failure, told: Told) -> None:
    casts = ("cast", "urgent", "nowait")
    sent = [key for key, how in world.sent.items() if how in casts]
    times = Counter(key for key, _ in world.read)
    deeds: dict[Any, list[str]] = {}
    for key, done in world.read:
        deeds.setdefault(key, []).append(done)

    # Read at most once, or once more after a life that ended in the middle of it.
    again = [key for key, n in times.items() if n > 1]
    assert all(n <= 2 for n in times.values())
    assert len(again) <= figures.redelivered
    assert failure == "once more" or not again
    # What was cancelled or refused was not cast.
    assert not [
        key for key, how in world.sent.items() if how in ("cancelled", "refused") and times[key]
    ]
    # In order: of each sender and lane, counting the first time that each is read.
    first = list(dict.fromkeys(key for key, _ in world.read))
    for lane in (("cast", "nowait", "call", "cancelled call"), ("urgent",)):
        for who in {who for who, _ in first}:
            mine = [n for w, n in first if w == who and world.sent[w, n] in lane]
            assert mine == sorted(mine)
    # Each in one place or one count.
    never = [key for key in sent if not times[key]]
    lost = sum(event.count for event in told.of(LettersLost))
    assert lost == figures.dropped + figures.left
    assert len(never) <= lost + figures.redelivered
    assert len(never) >= figures.left - figures.redelivered
    assert (figures.waits, figures.open, figures.senders) == (0, 0, 0)
    assert figures.received == (
        figures.handled + figures.failed + figures.dropped + figures.expired + figures.left
    )
    assert figures.handled + figures.failed + figures.redelivered == len(world.read)
    fates = Counter(event.fate for event in told.of(LetterFailed))
    assert figures.failed + figures.redelivered == sum(fates.values())
    assert (figures.dead, figures.redelivered) == (fates["dead letter"], fates["once more"])
    # All calls have an end.
    calls = sum(how == "call" for how in world.sent.values())
    assert sum(world.answers.values()) == calls


SCENES: dict[str, Callable[[Any], Any]] = {
    "a cast that waits for room": lambda inbox: inbox.cast("last"),
    "a call": lambda inbox: inbox.call(Ask(1)),
    "a call with a timeout": lambda inbox: inbox.call(Ask(1), timeout=5),
}


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("scene", SCENES)
async def test_cancelled_after_so_many_turns_of_the_loop(scene: str, turns: int) -> None:
    inbox = Mailbox[Any]("inbox", capacity=1)
    read: list[Any] = []

    async def reader() -> None:
        for _ in range(4):
            await checkpoint()
        async for letter in inbox:
            read.append(letter.message)
            letter.reply(1)

    async with open_supervisor() as tree:
        await inbox.cast("first")
        tree.start_soon(reader)
        done = []
        async with anyio.create_task_group() as group:

            async def send() -> None:
                done.append(await SCENES[scene](inbox))

            group.start_soon(send)
            for _ in range(turns):
                await checkpoint()
            group.cancel_scope.cancel()
        await inbox.cast("end")
        while read[-1:] != ["end"]:
            await checkpoint()
        figures = inbox.statistics()
        if scene == "a cast that waits for room":
            assert read == (["first", "last", "end"] if done else ["first", "end"])
            assert figures.received == figures.handled + figures.open == len(read)
        else:
            assert read in (["first", "end"], ["first", Ask(1), "end"])
            assert Ask(1) in read or not done
        assert (figures.waits, figures.senders) == (0, 0)
        assert inbox.statistics().received == len(read) + figures.expired
        await tree.stop()
