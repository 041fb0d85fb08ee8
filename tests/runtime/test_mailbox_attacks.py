"""Mailboxes used in ways that nobody should: an error that says so, and never a hang or a loss."""

from __future__ import annotations

import sys
import threading
from collections.abc import Awaitable, Callable
from queue import Queue
from types import FrameType
from typing import Any

import anyio
import pytest
from anyio import current_time, fail_after
from msgspec import Struct

from supervisor import (
    Backoff,
    Call,
    CallToSelf,
    Component,
    Crashed,
    Mailbox,
    MailboxFull,
    MailboxTaken,
    NoTree,
    Stop,
    Supervisor,
    open_supervisor,
)
from supervisor.testing import settle

from .conftest import Told

pytestmark = pytest.mark.usefixtures("leak_check")


MODULE = sys.modules[Mailbox.__module__].__file__


class Ask(Call[int], Struct, frozen=True):
    number: int = 0


def mailbox(name: str = "inbox", **policies: Any) -> Mailbox[Any]:
    return Mailbox[Any](name, **policies)


# --- threads and other event loops ----------------------------------------------------------------


async def test_trees_in_two_threads_share_no_mailbox_whenever_they_take_turns() -> None:
    """At each line of the one's casts the other one casts, too."""
    inbox = mailbox()
    turns: Queue[bool] = Queue()
    taken: Queue[bool] = Queue()
    found: dict[str, list[Any]] = {}

    async def run(casts: Callable[[], Awaitable[None]], mine: str) -> None:
        async with open_supervisor() as tree:
            await tree.start_soon(casts, restart="temporary").wait()
            letters = tree._runtime.boxes["inbox"].normal.queue
            found[mine] = [letter.message for letter in letters]
            await tree.stop()

    async def one() -> None:
        for i in range(3):
            sys.settrace(at_each_line)
            try:
                await inbox.cast(("one", i))
            finally:
                sys.settrace(None)

    async def two() -> None:
        while turns.get():
            await inbox.cast("two")
            taken.put(True)

    def at_each_line(frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code.co_filename != MODULE:
            return None
        if event == "line":
            turns.put(True)
            taken.get(timeout=10)
        return at_each_line

    def both() -> None:
        other = threading.Thread(target=anyio.run, args=(run, two, "two"))
        this = threading.Thread(target=anyio.run, args=(run, one, "one"))
        other.start()
        this.start()
        this.join(20)
        turns.put(False)
        other.join(20)

    await anyio.to_thread.run_sync(both)
    assert found["one"] == [("one", i) for i in range(3)]
    assert len(found["two"]) > 20
    assert set(found["two"]) == {"two"}


async def test_a_worker_thread_may_be_the_first_who_casts() -> None:
    inbox = mailbox()

    async def child() -> None:
        await anyio.to_thread.run_sync(inbox.cast_nowait, "from a thread")

    async with open_supervisor() as tree:
        outcome = await tree.start_soon(child, restart="temporary").wait()
        assert outcome.kind == "returned", outcome.error
        assert inbox.statistics().waits == 1
        await tree.stop()


@pytest.mark.parametrize("known", [False, True])
async def test_another_event_loop_is_told_what_it_may_call(known: bool, told: Told) -> None:
    inbox = mailbox()
    said: list[str] = []

    async def elsewhere() -> None:
        for send in (inbox.cast, inbox.call):
            with pytest.raises(NoTree) as wrong:
                await send(Ask())
            said.append(str(wrong.value))
        with pytest.raises(NoTree):
            aiter(inbox)
        with pytest.raises(NoTree):
            inbox.close()
        inbox.cast_nowait("that may be")

    async def child() -> None:
        await anyio.to_thread.run_sync(anyio.run, elsewhere)

    async with open_supervisor() as tree:
        if known:
            inbox.statistics()
        outcome = await tree.start_soon(child, restart="temporary").wait()
        assert outcome.kind == "returned", outcome.error
        assert all("cast_nowait" in each for each in said)
        assert inbox.statistics().waits == 1
        await tree.stop()


# --- readers --------------------------------------------------------------------------------------


async def test_a_loop_of_an_earlier_life_does_not_read_for_the_next(told: Told) -> None:
    inbox = mailbox(failure="once more")
    read: list[Any] = []

    class Keeps:
        letters: Any = None

        async def __call__(self) -> None:
            if self.letters is None:
                self.letters = aiter(inbox)
            async for letter in self.letters:
                read.append(letter.message)
                raise RuntimeError("on cue")

    async with open_supervisor() as tree:
        for i in range(3):
            await inbox.cast(i)
        tree.start_soon(Keeps(), backoff=Backoff(first=1, jitter="none"))
        await anyio.sleep(1.5)
        assert [type(e.error) for e in told.of(Crashed)] == [RuntimeError, MailboxTaken]
        assert "earlier life" in str(told.of(Crashed)[1].error)
        assert read == [0]
        assert inbox.statistics().waits == 3
        await tree.stop()


async def test_a_loop_that_was_made_in_another_task_knows_who_reads() -> None:
    inbox = mailbox(capacity=1)
    said: list[type] = []

    async def reader() -> None:
        letters = aiter(inbox)

        async def read() -> None:
            async for _ in letters:
                await inbox.cast("fills it")
                for send in (inbox.cast, inbox.call):
                    try:
                        await send(Ask())
                    except (MailboxFull, CallToSelf) as exc:
                        said.append(type(exc))
                return

        async with anyio.create_task_group() as group:
            group.start_soon(read)

    async with open_supervisor() as tree:
        await inbox.cast("go")
        with fail_after(5):
            await tree.start_soon(reader).wait()
        assert said == [MailboxFull, CallToSelf]
        await tree.stop()


@pytest.mark.parametrize("wrong", [None, "no", 5])
async def test_a_call_fails_with_an_exception_only(wrong: Any) -> None:
    inbox = mailbox()
    said: list[str] = []

    async def reader() -> None:
        async for letter in inbox:
            with pytest.raises(TypeError, match="exception") as exc:
                letter.fail(wrong)
            said.append(str(exc.value))
            letter.reply(1)

    async with open_supervisor() as tree:
        tree.start_soon(reader)
        assert await inbox.call(Ask(), timeout=1) == 1
        await tree.stop()


async def test_a_drain_reads_nothing_that_came_later_in_the_place_of_who_has_gone() -> None:
    inbox = mailbox()
    lives: list[list[Any]] = []

    async def reader() -> None:
        read: list[Any] = []
        lives.append(read)
        async for letter in inbox:
            read.append(letter.message)
            await anyio.sleep(1)
            if letter.message == "first":
                await inbox.cast("later")

    async def caller() -> None:
        with anyio.move_on_after(0.5):
            await inbox.call(Ask())

    spec = Component(reader, stop=Stop(grace=10))
    async with open_supervisor(Supervisor("app", [spec])) as tree:
        await inbox.cast("first")
        await settle()
        async with anyio.create_task_group() as group:
            group.start_soon(caller)
            await settle()
            await inbox.cast("second")
            await tree["reader"].restart()
        await settle()
        assert lives == [["first", "second"], ["later"]]
        await tree.stop()


# --- calls in a circle ----------------------------------------------------------------------------


def asks(inbox: Mailbox[Any], other: Mailbox[Any], said: list[Any], timeout: float | None) -> Any:
    """A reader that asks another before it answers."""

    async def reader() -> None:
        async for letter in inbox:
            try:
                letter.reply(await other.call(Ask(), timeout))
            except (CallToSelf, TimeoutError) as exc:
                said.append((inbox.name, type(exc), str(exc)))
                letter.reply(-1)

    return reader


@pytest.mark.parametrize("length", [2, 3, 5])
async def test_calling_oneself_through_others_is_an_error_and_no_hang(length: int) -> None:
    inboxes = [mailbox(f"inbox-{n}") for n in range(length)]
    said: list[Any] = []
    async with open_supervisor() as tree:
        for n in range(length):
            reader = asks(inboxes[n], inboxes[(n + 1) % length], said, None)
            tree.start_soon(reader, name=f"reader-{n}")
        await settle()
        with fail_after(5):
            assert await inboxes[0].call(Ask()) == -1
        assert [(name, kind) for name, kind, _ in said] == [(f"inbox-{length - 1}", CallToSelf)]
        assert "inbox-0" in said[0][2]
        assert current_time() == 0
        await tree.stop()


async def test_a_circle_that_a_timeout_opens_is_left_to_it() -> None:
    one, two = mailbox("one"), mailbox("two")
    said: list[Any] = []
    answers: list[Any] = []

    async def second() -> None:
        async for letter in two:
            answers.append(await one.call("from two"))
            letter.reply(2)

    async def first() -> None:
        async for letter in one:
            if letter.message == "from two":
                letter.reply("an answer")
                continue
            try:
                await two.call(Ask(), timeout=3)
            except TimeoutError as exc:
                said.append(exc)
            letter.reply(1)

    async with open_supervisor() as tree:
        tree.start_soon(first)
        tree.start_soon(second)
        await settle()
        with fail_after(20):
            assert await one.call(Ask()) == 1
            await settle()
        assert len(said) == 1
        assert answers == ["an answer"]
        assert current_time() == 3
        await tree.stop()


async def test_who_has_been_answered_already_may_be_called() -> None:
    one, two = mailbox("one"), mailbox("two")
    read: list[Any] = []

    async def first() -> None:
        async for letter in one:
            letter.reply(1)
            read.append(await two.call(Ask()))

    async def second() -> None:
        async for letter in two:
            if letter.message == "go":
                read.append(await one.call(Ask()))
            letter.reply(2)

    async with open_supervisor() as tree:
        tree.start_soon(first)
        tree.start_soon(second)
        await two.cast("go")
        await settle()
        assert read == [1, 2]
        await tree.stop()


async def test_readers_that_fill_each_others_mailboxes_do_not_wait_for_each_other() -> None:
    one, two = mailbox("one", capacity=1), mailbox("two", capacity=1)
    said: list[str] = []

    def fills(inbox: Mailbox[Any], other: Mailbox[Any]) -> Any:
        async def reader() -> None:
            async for letter in inbox:
                if letter.message == "fill":
                    for _ in range(3):
                        await anyio.sleep(1)
                        try:
                            await other.cast("filler")
                        except MailboxFull as exc:
                            said.append(str(exc))

        return reader

    async with open_supervisor() as tree:
        tree.start_soon(fills(one, two), name="first")
        tree.start_soon(fills(two, one), name="second")
        await one.cast("fill")
        await two.cast("fill")
        await anyio.sleep(60)
        assert len(said) >= 1
        assert "its reader waits for mailbox" in said[0]
        assert (one.statistics().waits, two.statistics().waits) == (0, 0)
        await tree.stop()
