"""Mailboxes: what is cast and called, who reads, and what becomes of letters when lives end."""

from __future__ import annotations

import asyncio
import gc
import math
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio import current_time
from anyio.lowlevel import checkpoint
from msgspec import Struct

from supervisor import (
    Backoff,
    Call,
    CallFailed,
    CallToSelf,
    Component,
    Crashed,
    Decline,
    LetterFailed,
    LettersLost,
    Mailbox,
    MailboxClosed,
    MailboxDiffers,
    MailboxFull,
    MailboxTaken,
    NotHandled,
    NoTree,
    Quarantine,
    Stop,
    Supervisor,
    current_child,
    open_supervisor,
)
from supervisor.testing import settle

from .conftest import Told

pytestmark = pytest.mark.usefixtures("leak_check")

AT_ONCE = Backoff(first=0, base=0, factor=1)


class Get(Call[float], Struct, frozen=True):
    symbol: str


class Put(Struct, frozen=True):
    symbol: str
    price: float


class Reader:
    """Reads a mailbox, and does with each letter what its message says."""

    def __init__(self, inbox: Mailbox[Any]) -> None:
        self.inbox = inbox
        self.read: list[Any] = []
        self.ended = 0
        self.go = anyio.Event()

    async def __call__(self) -> None:
        async for letter in self.inbox:
            self.read.append(letter.message)
            match letter.message:
                case "crash":
                    raise RuntimeError("on cue")
                case "wait" | ("wait", _):
                    await self.go.wait()
                case "return":
                    return
                case Get("fail"):
                    letter.fail(KeyError("fail"))
                case Get("crash"):
                    raise RuntimeError("on cue")
                case Get("ignore"):
                    pass
                case Get("wait"):
                    await self.go.wait()
                    letter.reply(1.0)
                case Get(symbol):
                    letter.reply(float(len(symbol)))
        self.ended += 1


def mailbox(**policies: Any) -> Mailbox[Any]:
    return Mailbox[Any]("inbox", **policies)


async def outcome(call: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return await call()
    except Exception as exc:
        return exc


# --- the declaration ------------------------------------------------------------------------------


def test_a_mailbox_is_a_value() -> None:
    assert Mailbox("a", capacity=5) == Mailbox("a", capacity=5)
    assert Mailbox("a", capacity=5) != Mailbox("a")
    assert len({Mailbox("a"), Mailbox("a"), Mailbox("b")}) == 2
    assert repr(Mailbox("a")) == ("Mailbox('a', capacity=1000, overflow='wait', failure='drop')")
    assert pickle.loads(pickle.dumps(Mailbox("a", failure="once more"))) == Mailbox(
        "a", failure="once more"
    )
    with pytest.raises(AttributeError, match="does not change"):
        Mailbox("a").name = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "policies", "says"),
    [
        ("", {}, "takes a name"),
        (5, {}, "takes a name"),
        ("a", {"capacity": 0}, "capacity is 0"),
        ("a", {"capacity": -1}, "capacity is -1"),
        ("a", {"capacity": True}, "capacity is True"),
        ("a", {"capacity": math.inf}, "capacity is inf"),
        ("a", {"capacity": math.nan}, "capacity is nan"),
        ("a", {"overflow": "block"}, "write one of 'wait', 'reject'"),
        ("a", {"failure": "retry"}, "write one of 'drop', 'dead letter'"),
    ],
)
def test_a_wrong_declaration_is_refused_with_what_to_write(
    name: Any, policies: Any, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Mailbox(name, **policies)


async def test_two_unequal_declarations_of_one_name_are_an_error() -> None:
    async with open_supervisor() as tree:
        await Mailbox[int]("inbox").cast(1)
        await Mailbox[int]("inbox").cast(2)
        with pytest.raises(MailboxDiffers, match="capacity=1000 and capacity=5"):
            await Mailbox[int]("inbox", capacity=5).cast(3)
        assert Mailbox[int]("inbox").statistics().waits == 2
        await tree.stop()


async def test_two_trees_share_nothing() -> None:
    inbox = mailbox()
    first, second = Reader(inbox), Reader(inbox)

    async def client(n: int) -> None:
        for i in range(3):
            await inbox.cast((n, i))
            await checkpoint()

    async with open_supervisor() as one, open_supervisor() as two:
        with pytest.raises(NoTree, match="2 trees"):
            await inbox.cast(0)
        one.start_soon(first)
        two.start_soon(second)
        clients = [one.start_soon(client, 1), two.start_soon(client, 2)]
        for child in clients:
            await child.wait()
        await settle()
        assert first.read == [(1, 0), (1, 1), (1, 2)]
        assert second.read == [(2, 0), (2, 1), (2, 2)]
        await two.stop()
        await one.stop()


async def test_a_mailbox_of_two_trees_is_another_in_each() -> None:
    inbox = mailbox()
    turn = anyio.Event()

    async def here() -> None:
        for i in range(5):
            await inbox.cast(("here", i))
        turn.set()

    async def there() -> None:
        await inbox.cast("before")
        await turn.wait()  # the mailbox was last found in the other tree
        for i in range(5):
            await inbox.cast(("there", i))

    async with open_supervisor() as one, open_supervisor() as two:
        last = two.start_soon(there, restart="temporary")
        await settle()
        one.start_soon(here, restart="temporary")
        await last.wait()
        assert one._runtime.boxes["inbox"].waiting == 5
        assert two._runtime.boxes["inbox"].waiting == 6
        await two.stop()
        await one.stop()


async def test_without_a_tree() -> None:
    inbox = mailbox()
    with pytest.raises(NoTree):
        await inbox.cast(1)
    with pytest.raises(NoTree):
        inbox.cast_nowait(1)
    with pytest.raises(NoTree):
        await inbox.call(Get("BTC"))
    async with open_supervisor() as tree:
        with pytest.raises(NoTree, match="not inside a supervised child"):
            async for _ in inbox:
                pass
        await tree.stop()


# --- casts and calls ------------------------------------------------------------------------------


async def test_casts_are_read_in_order_and_urgent_ones_first() -> None:
    inbox = mailbox()
    reader = Reader(inbox)
    async with open_supervisor() as tree:
        for i in range(3):
            await inbox.cast(i)
        await inbox.cast("first", lane="urgent")
        inbox.cast_nowait("second", lane="urgent")
        tree.start_soon(reader)
        await settle()
        assert reader.read == ["first", "second", 0, 1, 2]
        await inbox.cast(3)
        await settle()
        assert reader.read[-1] == 3
        with pytest.raises(ValueError, match="'urgent' or 'normal'"):
            await inbox.cast(4, lane="fast")  # type: ignore[arg-type]
        await tree.stop()


async def test_an_urgent_letter_overtakes_those_that_wait() -> None:
    inbox = mailbox()
    reader = Reader(inbox)
    async with open_supervisor() as tree:
        tree.start_soon(reader)
        await inbox.cast("wait")
        await settle()
        for i in range(3):
            await inbox.cast(i)
        await inbox.cast("urgent", lane="urgent")
        reader.go.set()
        await settle()
        assert reader.read == ["wait", "urgent", 0, 1, 2]
        await tree.stop()


async def test_a_reader_that_waits_is_woken_by_whatever_comes() -> None:
    inbox = mailbox(capacity=1)
    reader = Reader(inbox)
    sends: list[Callable[[], Any]] = [
        lambda: inbox.cast("cast"),
        lambda: inbox.cast("urgent", lane="urgent"),
        lambda: inbox.call(Get("call"), timeout=1),
        lambda: inbox.call(Get("urgent call"), timeout=1, lane="urgent"),
    ]
    async with open_supervisor() as tree, anyio.create_task_group() as group:
        tree.start_soon(reader)
        for n, send in enumerate(sends, 1):
            await settle()
            await send()
            await settle()
            assert len(reader.read) == n
        inbox.cast_nowait("at once")
        await settle()
        assert reader.read[-1] == "at once"
        # One that waits for room: the reader asks for it before its sender has heard.
        inbox.cast_nowait("wait")
        await settle()
        inbox.cast_nowait("first")
        group.start_soon(inbox.cast, "second")
        await settle()
        assert inbox.statistics().senders == 1
        reader.go.set()
        await settle()
        assert reader.read[-2:] == ["first", "second"]
        assert inbox.statistics().waits == 0
        await tree.stop()


async def test_a_call_returns_the_reply_or_raises_the_error() -> None:
    inbox = mailbox()
    async with open_supervisor() as tree:
        tree.start_soon(Reader(inbox))
        assert await inbox.call(Get("BTC")) == 3.0
        assert await inbox.call(Get("BTC"), timeout=1) == 3.0
        assert await inbox.call(Get("BTC"), lane="urgent") == 3.0
        with pytest.raises(KeyError, match="fail"):
            await inbox.call(Get("fail"))
        assert inbox.statistics().handled == 4
        await tree.stop()


async def test_a_call_that_is_not_answered_is_told_at_once() -> None:
    inbox = mailbox()
    async with open_supervisor() as tree:
        tree.start_soon(Reader(inbox))
        with pytest.raises(NotHandled, match=r"has to reply\(\)"):
            await inbox.call(Get("ignore"))
        assert current_time() == 0
        await tree.stop()


async def test_a_life_that_returns_has_settled_its_letter() -> None:
    inbox = mailbox(failure="once more")

    async def one() -> None:
        async for letter in inbox:
            if letter.message == "last":
                return

    async with open_supervisor(Supervisor("app", [Component(one)])) as tree:
        await settle()
        await inbox.cast("last")
        await settle()
        statistics = inbox.statistics()
        assert (statistics.handled, statistics.redelivered, statistics.open) == (1, 0, 0)
        await tree.stop()


async def test_a_letter_is_answered_once_and_before_the_next() -> None:
    inbox = mailbox()
    letters = []
    said = []

    async def reader() -> None:
        async for letter in inbox:
            letters.append(letter)
            said.append(letter.reply(1))
            if letter.deadline < math.inf:
                with pytest.raises(RuntimeError, match="is settled"):
                    letter.reply(2)

    async with open_supervisor() as tree:
        tree.start_soon(reader)
        await inbox.cast(Get("BTC"))
        assert await inbox.call(Get("BTC"), timeout=5) == 1
        await settle()
        assert said == [False, True]  # nobody hears the answer to a cast
        with pytest.raises(RuntimeError, match="is settled"):
            letters[1].reply(3)
        assert repr(letters[0]) == "<Letter Get(symbol='BTC')>"
        await tree.stop()


async def test_a_call_times_out_and_the_late_answer_is_heard_by_nobody() -> None:
    inbox = mailbox()
    heard = []

    async def slow() -> None:
        async for letter in inbox:
            await anyio.sleep(5)
            heard.append(letter.reply(1.0))

    async with open_supervisor() as tree:
        tree.start_soon(slow)
        with pytest.raises(TimeoutError, match="no answer from mailbox 'inbox' in time"):
            await inbox.call(Get("BTC"), timeout=2)
        assert current_time() == 2
        await anyio.sleep(5)
        assert heard == [False]
        for wrong in (-1, math.nan):
            with pytest.raises(ValueError, match="write seconds"):
                await inbox.call(Get("BTC"), timeout=wrong)
        with pytest.raises(TimeoutError):
            await inbox.call(Get("BTC"), timeout=0)
        await tree.stop()


async def test_a_call_whose_caller_has_gone_is_not_read() -> None:
    inbox = mailbox()
    reader = Reader(inbox)
    async with open_supervisor() as tree:
        tree.start_soon(reader)
        await inbox.cast("wait")
        with anyio.move_on_after(1):
            await inbox.call(Get("cancelled"))
        with pytest.raises(TimeoutError):
            await inbox.call(Get("timed out"), timeout=1)
        await inbox.cast("last")
        reader.go.set()
        await settle()
        assert reader.read == ["wait", "last"]
        statistics = inbox.statistics()
        assert (statistics.expired, statistics.handled, statistics.waits) == (2, 2, 0)
        await tree.stop()


async def test_a_letter_carries_the_callers_effective_deadline() -> None:
    inbox = mailbox()
    deadlines = []

    async def reader() -> None:
        async for letter in inbox:
            deadlines.append(letter.deadline)
            letter.reply()

    async with open_supervisor() as tree:
        tree.start_soon(reader)
        await inbox.call(Get("a"))
        await inbox.call(Get("b"), timeout=7)
        with anyio.fail_after(3):
            await inbox.call(Get("c"))
            await inbox.call(Get("d"), timeout=7)
            await inbox.call(Get("e"), timeout=1)
        assert deadlines == [math.inf, 7, 3, 3, 1]
        await tree.stop()


async def test_a_deadline_that_was_moved_out_meanwhile_is_no_hang() -> None:
    inbox = mailbox()
    reader = Reader(inbox)
    async with open_supervisor() as tree:
        tree.start_soon(reader)
        await inbox.cast("wait")
        with anyio.CancelScope(deadline=5) as scope, pytest.raises(TimeoutError, match="in time"):
            async with anyio.create_task_group() as group:

                async def later() -> None:
                    await anyio.sleep(1)
                    scope.deadline = 100
                    await anyio.sleep(9)
                    reader.go.set()

                group.start_soon(later)
                try:
                    await inbox.call(Get("BTC"))
                except TimeoutError as exc:
                    error = exc
                else:
                    pytest.fail("it was read")
            raise error
        assert current_time() == 10
        await tree.stop()


async def test_calling_oneself_is_an_error_but_not_for_another_task_of_the_child() -> None:
    inbox = mailbox()
    answers = []

    async def reader() -> None:
        async with anyio.create_task_group() as group:

            async def sibling() -> None:
                answers.append(await inbox.call(Get("BTC")))

            group.start_soon(sibling)
            async for letter in inbox:
                with pytest.raises(CallToSelf, match="would wait for itself"):
                    await inbox.call(Get("self"))
                letter.reply(1.0)

    async with open_supervisor() as tree:
        tree.start_soon(reader)
        await settle()
        assert answers == [1.0]
        await tree.stop()


# --- when it is full ------------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [1, 2, 9, 100, 1001])
async def test_a_mailbox_holds_no_more_letters_than_its_capacity(capacity: int) -> None:
    inbox = mailbox(capacity=capacity, overflow="reject")

    async def sender() -> None:
        for _ in range(capacity):
            await inbox.cast(1)
        for send in (inbox.cast, inbox.cast, inbox.call):
            with pytest.raises(MailboxFull):
                await send(Get("BTC"))
        with pytest.raises(MailboxFull):
            inbox.cast_nowait(1)
        assert (inbox.statistics().waits, inbox.statistics().rejected) == (capacity, 4)

    async with open_supervisor() as tree:
        assert (await tree.start_soon(sender).wait()).kind == "returned"
        await tree.stop()


async def test_the_place_of_a_caller_who_has_gone_is_for_the_next() -> None:
    inbox = mailbox(capacity=1)
    reader = Reader(inbox)
    async with open_supervisor() as tree, anyio.create_task_group() as group:
        tree.start_soon(reader)
        await inbox.cast("wait")
        await settle()
        caller = anyio.CancelScope()

        async def call() -> None:
            with caller:
                await inbox.call(Get("gone"))

        group.start_soon(call)
        await settle()
        group.start_soon(inbox.cast, "next")
        await settle()
        assert (inbox.statistics().waits, inbox.statistics().senders) == (1, 1)
        caller.cancel()
        await settle()
        assert (inbox.statistics().waits, inbox.statistics().senders) == (1, 0)
        reader.go.set()
        await settle()
        assert reader.read == ["wait", "next"]
        await tree.stop()


async def test_waiting_casts_are_let_in_first_come_first_served() -> None:
    inbox = mailbox(capacity=2)
    reader = Reader(inbox)
    async with open_supervisor() as tree, anyio.create_task_group() as group:
        for i in range(10):
            group.start_soon(inbox.cast, i)
            await settle()
        assert (inbox.statistics().waits, inbox.statistics().senders) == (2, 8)
        with pytest.raises(MailboxFull, match="capacity=2"):
            inbox.cast_nowait(10)
        await inbox.cast("urgent", lane="urgent")  # has room of its own
        tree.start_soon(reader)
        await settle()
        assert reader.read == ["urgent", *range(10)]
        await tree.stop()


async def test_a_cast_that_need_not_wait_is_a_coroutine_like_any_other() -> None:
    inbox = mailbox()
    reader = Reader(inbox)

    async def sender() -> None:
        async with anyio.create_task_group() as group:
            for i in range(20):
                group.start_soon(inbox.cast, i)
        casts = [inbox.cast(i) for i in range(20, 25)]
        for cast in casts:
            await cast
        with anyio.CancelScope() as scope:
            scope.cancel()
            await inbox.cast(25)
        for cast in casts:
            cast.close()

    async with open_supervisor() as tree:
        await tree.start_soon(sender).wait()
        assert inbox.statistics().waits == 26
        tree.start_soon(reader)
        await settle()
        assert sorted(reader.read) == list(range(26))
        await tree.stop()


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_a_cast_whose_task_is_cancelled_before_it_begins_is_sent_or_is_cancelled() -> None:
    inbox = mailbox()
    done = []

    async def sender() -> None:
        for i in range(40):
            task = asyncio.ensure_future(inbox.cast(i))
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                done.append(i)

    async with open_supervisor() as tree:
        await tree.start_soon(sender).wait()
        reader = Reader(inbox)
        tree.start_soon(reader)
        await settle()
        assert reader.read == done
        await tree.stop()


async def test_a_waiting_cast_that_is_cancelled_was_not_sent() -> None:
    inbox = mailbox(capacity=1)
    reader = Reader(inbox)
    scopes = [anyio.CancelScope() for _ in range(300)]

    async def cast(i: int) -> None:
        with scopes[i]:
            await inbox.cast(i)

    async with open_supervisor() as tree, anyio.create_task_group() as group:
        for i in range(300):
            group.start_soon(cast, i)
        await settle()
        for scope in scopes[10:290]:
            scope.cancel()
        await settle()
        assert inbox.statistics().senders == 300 - 1 - 280
        sent = {i for i, scope in enumerate(scopes) if not scope.cancelled_caught}
        tree.start_soon(reader)
        await settle()
        assert set(reader.read) == sent
        assert len(reader.read) == 20
        assert inbox.statistics().withdrawn == 280
        await tree.stop()


async def test_reject() -> None:
    inbox = mailbox(capacity=2, overflow="reject")
    async with open_supervisor() as tree:
        for i in range(2):
            await inbox.cast(i)
        for refused in (inbox.cast(2), inbox.call(Get("BTC"))):
            with pytest.raises(MailboxFull):
                await refused
        assert (inbox.statistics().received, inbox.statistics().rejected) == (2, 2)
        await tree.stop()


@pytest.mark.parametrize(
    ("overflow", "kept"), [("drop oldest", [2, 3]), ("drop newest", [0, 1])], ids=str
)
async def test_drops_are_counted_and_told(overflow: Any, kept: list[int], told: Told) -> None:
    inbox = mailbox(capacity=2, overflow=overflow)
    reader = Reader(inbox)
    async with open_supervisor() as tree:
        for i in range(4):
            await inbox.cast(i)
        assert inbox.statistics().dropped == 2
        assert [(e.count, e.why) for e in told.of(LettersLost)] == [(1, "full")]
        tree.start_soon(reader)
        await settle()
        assert reader.read == kept
        assert [e.count for e in told.of(LettersLost)] == [1, 1]
        assert {e.path for e in told.of(LettersLost)} == {"supervisor", "supervisor/Reader"}
        await tree.stop()


async def test_a_flood_of_drops_is_told_every_ten_seconds(told: Told) -> None:
    inbox = mailbox(capacity=1, overflow="drop oldest")
    async with open_supervisor() as tree:
        for i in range(1 + 250):
            inbox.cast_nowait(i)
            await anyio.sleep(0.1)
        await tree.stop()
    counts = [event.count for event in told.of(LettersLost) if event.why == "full"]
    assert len(counts) == 4
    assert sum(counts) == 250


async def test_a_call_that_is_dropped_is_told(told: Told) -> None:
    inbox = mailbox(capacity=1, overflow="drop oldest")
    results = []

    async def call() -> None:
        results.append(await outcome(lambda: inbox.call(Get("BTC"))))

    async with open_supervisor() as tree, anyio.create_task_group() as group:
        group.start_soon(call)
        await settle()
        await inbox.cast(1)
        await settle()
        assert [type(result) for result in results] == [MailboxFull]
        newest = mailbox(capacity=1, overflow="drop oldest")
        assert newest.statistics().waits == 1
        await tree.stop()


async def test_the_reader_does_not_wait_for_room_that_it_has_to_make() -> None:
    inbox = mailbox(capacity=1)
    results = []

    async def reader() -> None:
        async for letter in inbox:
            if letter.message == "go":
                await inbox.cast(1)
                results.append(await outcome(lambda: inbox.cast(2)))

    async with open_supervisor() as tree:
        tree.start_soon(reader)
        await inbox.cast("go")
        await settle()
        assert [type(result) for result in results] == [MailboxFull]
        assert "its own reader" in str(results[0])
        await tree.stop()


@pytest.mark.parametrize("capacity", [100, 10_000])
@pytest.mark.parametrize("overflow", ["wait", "reject", "drop oldest", "drop newest"])
async def test_a_busy_sender_holds_nobody_up(overflow: Any, capacity: int) -> None:
    inbox = mailbox(capacity=capacity, overflow=overflow)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    async with open_supervisor() as tree:
        tree.start_soon(others)
        tree.start_soon(Reader(inbox))
        before = turns
        for i in range(5_000):
            await outcome(lambda: inbox.cast(i))  # noqa: B023
        assert turns - before >= 4_900 // 128
        await tree.stop()


async def test_a_busy_reader_holds_nobody_up() -> None:
    inbox = mailbox(capacity=5_000)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while inbox.statistics().handled < 4_900:
            turns += 1
            await checkpoint()

    async with open_supervisor() as tree:
        for i in range(5_000):
            inbox.cast_nowait(i)
        tree.start_soon(Reader(inbox))
        await tree.start_soon(others).wait()
        assert turns >= 4_900 // 128
        await tree.stop()


# --- one reader -----------------------------------------------------------------------------------


async def test_a_second_reader_is_refused(told: Told) -> None:
    inbox = mailbox()

    async def second() -> None:
        async for _ in inbox:
            pass

    async with open_supervisor() as tree:
        tree.start_soon(Reader(inbox))
        await settle()
        child = tree.start_soon(second, restart="temporary")
        await child.wait()
        (crash,) = told.of(Crashed)
        assert isinstance(crash.error, MailboxTaken)
        assert "is read by supervisor/Reader already" in str(crash.error)
        await tree.stop()


async def test_another_child_does_not_read_while_the_first_will_be_restarted(told: Told) -> None:
    inbox = mailbox()
    first = Reader(inbox)
    async with open_supervisor() as tree:
        tree.start_soon(first, name="first", backoff=Backoff(first=10, jitter="none"))
        await inbox.cast("crash")
        await settle()
        await inbox.cast("for the first")
        with anyio.fail_after(5):
            await tree.start_soon(Reader(inbox), name="second", restart="temporary").wait()
        assert [type(e.error) for e in told.of(Crashed)] == [RuntimeError, MailboxTaken]
        await anyio.sleep(11)
        assert first.read == ["crash", "for the first"]
        await tree.stop()


async def test_a_second_loop_of_the_same_life_is_refused_until_the_first_is_left() -> None:
    inbox = mailbox()
    results = []

    async def reader() -> None:
        async for _ in inbox:
            break
        async for letter in inbox:
            results.append(letter.message)
            with pytest.raises(MailboxTaken, match="another loop"):
                aiter(inbox)

    async with open_supervisor() as tree:
        tree.start_soon(reader)
        for i in range(3):
            await inbox.cast(i)
        await settle()
        assert results == [1, 2]
        await tree.stop()


async def test_two_tasks_cannot_ask_at_once() -> None:
    inbox = mailbox()
    refused = []

    async def reader() -> None:
        letters = aiter(inbox)

        async def ask() -> None:
            try:
                await anext(letters)
            except MailboxTaken as exc:
                refused.append(str(exc))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            group.start_soon(ask)

    async with open_supervisor() as tree:
        tree.start_soon(reader)
        await settle()
        assert len(refused) == 1
        assert "another task" in refused[0]
        await tree.stop()


async def test_a_fallback_reads_in_the_place_of_its_primary() -> None:
    inbox = mailbox()
    by: list[tuple[str, Any]] = []

    async def primary() -> None:
        async for letter in inbox:
            by.append(("primary", letter.message))
            if letter.message == "crash":
                raise RuntimeError("on cue")

    async def fallback() -> None:
        nonlocal by
        async for letter in inbox:
            by += [("fallback", letter.message)]

    spec = Component(
        primary,
        backoff=AT_ONCE,
        quarantine=Quarantine(crashes=1, within=60, open=60, probe=1),
        fallback=Component(fallback),
    )
    async with open_supervisor(Supervisor("app", [spec])) as tree:
        await inbox.cast("crash")
        await inbox.cast(1)
        await settle()
        assert by == [("primary", "crash"), ("fallback", 1)]
        await anyio.sleep(61)
        await inbox.cast(2)
        await settle()
        assert by[-1] == ("primary", 2)
        await tree.stop()


async def test_who_is_gone_for_good_leaves_the_mailbox_to_another() -> None:
    inbox = mailbox()
    second = Reader(inbox)
    async with open_supervisor() as tree:
        first = tree.start_soon(Reader(inbox), name="first")
        await settle()
        await first.stop()
        await inbox.cast(1)
        tree.start_soon(second, name="second")
        await settle()
        assert second.read == [1]
        assert inbox.statistics().reader == "supervisor/second"
        await tree.stop()


# --- the end of a life ----------------------------------------------------------------------------


async def crash_in_the_middle(failure: Any, times: int = 1) -> Reader:
    inbox = mailbox(failure=failure)

    class CrashesSoOften(Reader):
        async def __call__(self) -> None:
            nonlocal times
            async for letter in inbox:
                self.read.append(letter.message)
                if letter.message == "bad" and times:
                    times -= 1
                    raise RuntimeError("on cue")

    reader = CrashesSoOften(inbox)
    tree = Supervisor("app", [Component(reader, name="book", backoff=AT_ONCE)])
    async with open_supervisor(tree) as running:
        for message in (1, "bad", 2):
            await inbox.cast(message)
        await settle()
        await running.stop()
    return reader


async def test_the_letter_of_a_crashed_life_is_dropped(told: Told) -> None:
    reader = await crash_in_the_middle("drop")
    assert reader.read == [1, "bad", 2]
    assert [(e.path, e.life, e.message, e.fate) for e in told.of(LetterFailed)] == [
        ("app/book", 1, "'bad'", "dropped")
    ]


async def test_the_letter_of_a_crashed_life_is_delivered_once_more(told: Told) -> None:
    reader = await crash_in_the_middle("once more")
    assert reader.read == [1, "bad", "bad", 2]
    assert [e.fate for e in told.of(LetterFailed)] == ["once more"]


async def test_a_letter_that_crashes_two_lives_is_a_dead_letter(told: Told) -> None:
    reader = await crash_in_the_middle("once more", times=2)
    assert reader.read == [1, "bad", "bad", 2]
    assert [(e.life, e.fate) for e in told.of(LetterFailed)] == [
        (1, "once more"),
        (2, "dead letter"),
    ]


async def test_dead_letters_can_be_read_and_are_bounded() -> None:
    inbox = mailbox(failure="dead letter")
    reader = Reader(inbox)
    async with open_supervisor() as tree:
        tree.start_soon(reader, name="book", backoff=AT_ONCE, quarantine=None)
        for i in range(150):
            await inbox.cast(("before", i))
            await inbox.cast("crash")
        await settle()
        letters = inbox.dead_letters()
        assert len(letters) == 100
        assert letters[0].message == "crash"
        assert (letters[0].path, letters[-1].life) == ("supervisor/book", 150)
        assert "life 150 crashed: RuntimeError: on cue" in letters[-1].cause
        statistics = inbox.statistics()
        assert (statistics.dead, statistics.failed, statistics.handled) == (150, 150, 150)
        await tree.stop()


async def test_a_letter_whose_reader_is_stopped_in_the_middle_has_failed(told: Told) -> None:
    inbox = mailbox(failure="once more")
    reader = Reader(inbox)
    async with open_supervisor() as tree:
        child = tree.start_soon(reader, restart="permanent")
        await inbox.cast("wait")
        await settle()
        restarting = anyio.Event()

        async def restart() -> None:
            await child.restart()
            restarting.set()

        tree.start_soon(restart, restart="temporary")
        await restarting.wait()
        await settle()
        assert reader.read == ["wait", "wait"]
        assert [e.fate for e in told.of(LetterFailed)] == ["once more"]
        await tree.stop()


async def test_a_caller_hears_at_once_that_the_life_that_had_its_call_crashed(told: Told) -> None:
    inbox = mailbox(failure="once more")
    reader = Reader(inbox)
    async with open_supervisor() as tree:
        tree.start_soon(reader, name="book", backoff=Backoff(first=60, jitter="none"))
        with pytest.raises(CallFailed) as failed:
            await inbox.call(Get("crash"))
        assert current_time() == 0
        assert failed.value.cause == "supervisor/book life 1 crashed: RuntimeError: on cue"
        assert [e.fate for e in told.of(LetterFailed)] == ["its caller is told"]
        await anyio.sleep(61)
        assert reader.read == [Get("crash")]  # a call is not delivered again
        await tree.stop()


async def test_calls_that_wait_stay_for_the_next_life() -> None:
    inbox = mailbox()
    async with open_supervisor() as tree:
        tree.start_soon(Reader(inbox), backoff=Backoff(first=60, jitter="none"))
        await inbox.cast("crash")
        assert await inbox.call(Get("BTC")) == 3.0
        assert current_time() == 60
        await tree.stop()


async def test_a_supervisor_that_restarts_keeps_the_letters_of_its_children() -> None:
    inbox = mailbox()
    reader = Reader(inbox)

    async def fails() -> None:
        await anyio.sleep(1)
        raise RuntimeError("on cue")

    inner = Supervisor(
        "inner",
        [
            Component(reader),
            Component(fails, priority="critical", quarantine=Quarantine(crashes=1)),
        ],
        backoff=Backoff(first=10, jitter="none"),
        quarantine=None,
    )
    async with open_supervisor(Supervisor("app", [inner])) as tree:
        await inbox.cast(1)
        await anyio.sleep(2)
        await inbox.cast(2)
        assert await inbox.call(Get("BTC")) == 3.0
        assert current_time() == 11
        assert reader.read == [1, 2, Get("BTC")]
        await tree.stop()


# --- when nobody reads any more -------------------------------------------------------------------


@pytest.mark.parametrize("how", ["temporary", "stopped", "deleted", "finished", "declined"])
async def test_calls_and_waiting_casts_fail_at_once_when_the_reader_is_gone(how: str) -> None:
    inbox = mailbox(capacity=1)
    go = anyio.Event()
    results: list[Any] = []

    async def reader() -> None:
        async for _ in inbox:
            await go.wait()
            if how == "temporary":
                raise RuntimeError("on cue")
            if how == "declined":
                raise Decline("on cue")
            return

    async def call() -> None:
        results.append(await outcome(lambda: inbox.call(Get("BTC"))))

    async def cast() -> None:
        results.append(await outcome(lambda: inbox.cast(1)))

    restart: Any = {"temporary": "temporary", "finished": "transient"}.get(how, "permanent")
    spec = Component(reader, name="book", restart=restart)
    async with open_supervisor(Supervisor("app", [spec])) as tree:
        await inbox.cast(0)
        await settle()
        async with anyio.create_task_group() as group:
            for send in (call, call, cast):  # one is in, two wait for room
                group.start_soon(send)
                await settle()
            assert (inbox.statistics().waits, inbox.statistics().senders) == (1, 2)
            go.set()
            if how in ("stopped", "deleted"):
                await tree["book"].stop()
            if how == "deleted":
                await tree["book"].delete()
        assert {type(result) for result in results} == {CallFailed, MailboxFull}
        assert all("app/book is" in str(result) for result in results)
        with pytest.raises(CallFailed, match="app/book is"):
            await inbox.call(Get("BTC"))
        await inbox.cast(1)  # there is room, and somebody may start it again
        with pytest.raises(MailboxFull, match="app/book is"):
            await inbox.cast(2)
        assert current_time() == 0
        await tree.stop()


async def test_an_operator_stops_the_reader_and_starts_it_again() -> None:
    inbox = mailbox()
    reader = Reader(inbox)
    async with open_supervisor(Supervisor("app", [Component(reader, name="book")])) as tree:
        await settle()
        await tree["book"].stop()
        await inbox.cast(1)  # kept
        with pytest.raises(CallFailed, match="app/book is held"):
            await inbox.call(Get("BTC"))
        await tree["book"].start()
        assert await inbox.call(Get("BTC")) == 3.0
        assert reader.read == [1, Get("BTC")]
        await tree.stop()


async def test_a_call_to_a_mailbox_that_nobody_reads_waits_half_a_minute() -> None:
    inbox = mailbox(capacity=1)
    async with open_supervisor() as tree:
        with pytest.raises(CallFailed, match="nobody has read it within 30 s"):
            await inbox.call(Get("BTC"))
        assert current_time() == 30
        await inbox.cast(1)
        with pytest.raises(MailboxFull, match="nobody has read it within 30 s"):
            await inbox.cast(2)
        assert current_time() == 60
        assert inbox.statistics().waits == 1
        await tree.stop()


async def test_a_call_waits_for_a_reader_that_comes_late_and_is_slow() -> None:
    inbox = mailbox()

    async def late() -> None:
        await anyio.sleep(20)
        async for letter in inbox:
            await anyio.sleep(100)
            letter.reply(1.0)

    async with open_supervisor() as tree:
        tree.start_soon(late)
        assert await inbox.call(Get("BTC")) == 1.0
        assert current_time() == 120
        await tree.stop()


# --- closing --------------------------------------------------------------------------------------


async def test_a_closed_mailbox_is_read_to_its_end() -> None:
    inbox = mailbox(capacity=2)
    reader = Reader(inbox)
    results: list[Any] = []

    async def cast() -> None:
        results.append(await outcome(lambda: inbox.cast(3)))

    async with open_supervisor() as tree, anyio.create_task_group() as group:
        await inbox.cast(1)
        await inbox.cast(2)
        group.start_soon(cast)
        await settle()
        inbox.close()
        inbox.close()
        await settle()
        assert [type(result) for result in results] == [MailboxClosed]
        for refused in (inbox.cast(4), inbox.call(Get("BTC"))):
            with pytest.raises(MailboxClosed, match=r"close\(\) was called"):
                await refused
        with pytest.raises(MailboxClosed):
            inbox.cast_nowait(5)
        tree.start_soon(reader)
        await settle()
        assert (reader.read, reader.ended) == ([1, 2], 1)
        assert inbox.statistics().closed
        await tree.stop()


async def test_a_closed_mailbox_that_has_room_takes_nothing_in() -> None:
    inbox = mailbox()

    async def sender() -> None:
        for i in range(5):
            await inbox.cast(i)
        inbox.close()
        for send in (inbox.cast, inbox.call):
            with pytest.raises(MailboxClosed, match=r"close\(\) was called"):
                await send(Get("BTC"))
        with pytest.raises(MailboxClosed):
            inbox.cast_nowait(6)

    async with open_supervisor() as tree:
        child = tree.start_soon(sender, restart="temporary")
        assert (await child.wait()).kind == "returned"
        assert (inbox.statistics().waits, inbox.statistics().rejected) == (5, 3)
        await tree.stop()


async def test_closing_ends_a_reader_that_waits() -> None:
    inbox = mailbox()
    reader = Reader(inbox)
    async with open_supervisor() as tree:
        child = tree.start_soon(reader)
        await settle()
        inbox.close()
        assert (await child.wait()).kind == "returned"
        await tree.stop()


async def test_a_reader_with_grace_gets_what_is_there_and_the_next_life_the_rest() -> None:
    inbox = mailbox()
    lives: list[list[Any]] = []

    async def reader() -> None:
        read: list[Any] = []
        lives.append(read)
        async for letter in inbox:
            read.append(letter.message)
            await anyio.sleep(1)
            if letter.message == 1:
                await inbox.cast("later")

    spec = Component(reader, stop=Stop(grace=10))
    async with open_supervisor(Supervisor("app", [spec])) as tree:
        for i in range(4):
            await inbox.cast(i)
        await settle()
        await tree["reader"].restart()
        await settle()
        assert lives == [[0, 1, 2, 3], ["later"]]
        assert current_time() == 4
        await tree.stop()


async def test_a_tree_that_stops_takes_nothing_in_and_drains_within_the_grace() -> None:
    inbox = mailbox()
    read: list[Any] = []
    results: list[Any] = []

    async def reader() -> None:
        async for letter in inbox:
            read.append(letter.message)
            await anyio.sleep(1)
            results.append(await outcome(lambda: inbox.cast("late")))

    async with open_supervisor(Supervisor("app", [Component(reader, stop=Stop(grace=10))])) as tree:
        for i in range(3):
            await inbox.cast(i)
        await settle()
        await tree.stop()
        assert current_time() == 3
    assert read == [0, 1, 2]
    assert [type(result) for result in results] == [MailboxClosed] * 3


@pytest.mark.parametrize("which", ["the reader", "the tree"])
async def test_an_idle_reader_with_grace_ends_at_once(which: str) -> None:
    inbox = mailbox()
    reader = Reader(inbox)
    spec = Component(reader, name="reader", stop=Stop(grace=10))
    async with open_supervisor(Supervisor("app", [spec])) as tree:
        await settle()
        await (tree["reader"].stop() if which == "the reader" else tree.stop())
        assert current_time() == 0
        assert reader.ended == 1
        await tree.stop()


async def test_a_call_to_a_tree_that_stops_is_no_hang() -> None:
    inbox = mailbox()
    results: list[Any] = []

    async def reader() -> None:
        async for letter in inbox:
            await anyio.sleep(100)
            letter.reply()

    async def call() -> None:
        results.append(await outcome(lambda: inbox.call(Get("BTC"))))

    async with anyio.create_task_group() as group:
        async with open_supervisor(Supervisor("app", [Component(reader)])) as tree:
            await settle()
            for _ in range(3):
                group.start_soon(call)
            await settle()
            await tree.stop()
    assert [type(result) for result in results] == [CallFailed] * 3
    assert current_time() == 0


async def test_what_the_tree_leaves_is_counted_and_told(told: Told) -> None:
    inbox = mailbox()
    async with open_supervisor() as tree:
        for i in range(3):
            await inbox.cast(i)
        box: Any = tree._runtime.boxes["inbox"]
        await tree.stop()
    assert [(e.path, e.mailbox, e.count, e.why) for e in told.of(LettersLost)] == [
        ("supervisor", "inbox", 3, "left")
    ]
    assert (box.statistics().left, box.statistics().waits) == (3, 0)


async def test_a_life_that_outlasts_its_tree_finds_a_closed_mailbox() -> None:
    inbox = mailbox()
    contexts = []

    async def child() -> None:
        contexts.append(current_child())
        await anyio.sleep_forever()

    async with open_supervisor() as tree:
        tree.start_soon(child)
        await settle()
        await tree.stop()
    from supervisor._runtime.context import current_life

    token = current_life.set(contexts[0])
    with pytest.raises(MailboxClosed, match="the tree has ended"):
        await inbox.cast(1)
    current_life.reset(token)


# --- elsewhere ------------------------------------------------------------------------------------


async def test_a_worker_thread_of_a_child_may_cast() -> None:
    inbox = mailbox()
    reader = Reader(inbox)

    async def child() -> None:
        await anyio.to_thread.run_sync(inbox.cast_nowait, "from a thread")

    async with open_supervisor() as tree:
        tree.start_soon(reader)
        await tree.start_soon(child).wait()
        await settle()
        assert reader.read == ["from a thread"]
        await tree.stop()


async def test_a_worker_thread_outside_of_children_is_told_what_to_do() -> None:
    inbox = mailbox()
    async with open_supervisor() as tree:
        with pytest.raises(NoTree, match="not in an event loop"):
            await anyio.to_thread.run_sync(inbox.cast_nowait, 1)
        await tree.stop()


async def test_the_longest_wait() -> None:
    inbox = mailbox()
    reader = Reader(inbox)
    async with open_supervisor() as tree:
        tree.start_soon(reader)
        await inbox.cast("wait")
        await settle()
        await inbox.cast(1)
        await anyio.sleep(3)
        reader.go.set()
        await settle()
        assert inbox.statistics().longest_wait == 3.0
        await tree.stop()


async def test_mailboxes_of_children_that_come_and_go_are_forgotten() -> None:
    async with open_supervisor() as tree:
        for i in range(200):
            inbox = Mailbox[Any](f"inbox-{i}")
            child = tree.start_soon(Reader(inbox))
            await inbox.cast(1)
            assert await inbox.call(Get("BTC")) == 3.0
            await child.stop()
        del inbox, child
        gc.collect()
        await settle()
        assert len(tree._runtime.boxes) <= 1
        await tree.stop()


async def test_a_reader_cancelled_while_it_lets_others_run_has_settled_its_letter(
    told: Told,
) -> None:
    inbox = mailbox(failure="once more")
    read: list[Any] = []

    async def reader() -> None:
        async for letter in inbox:
            read.append(letter.message)
            if letter.message == 10:
                tree._runtime.stop_at_once(5)  # it hears of it when it next awaits

    async with open_supervisor() as tree:
        for i in range(200):
            inbox.cast_nowait(i)
        tree.start_soon(reader)
        await tree.wait_stopped()
    assert 10 < len(read) < 150
    assert not told.of(LetterFailed)
    assert [event.count for event in told.of(LettersLost)] == [200 - len(read)]


@pytest.mark.realtime
async def test_in_real_time_on_every_loop() -> None:
    inbox = mailbox(capacity=10)
    reader = Reader(inbox)
    async with open_supervisor() as tree:
        tree.start_soon(reader, backoff=AT_ONCE)
        for i in range(100):
            await inbox.cast(i)
        await inbox.cast("crash")
        assert await inbox.call(Get("BTC")) == 3.0
        await inbox.cast("wait")
        with pytest.raises(TimeoutError):
            await inbox.call(Get("late"), timeout=0.01)
        reader.go.set()
        assert await inbox.call(Get("BTC"), timeout=10) == 3.0
        assert reader.read == [*range(100), "crash", Get("BTC"), "wait", Get("BTC")]
        await tree.stop()
