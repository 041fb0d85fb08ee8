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
from msgspec import Struct

from supervisor import (
    Call,
    Mailbox,
    NoTree,
    open_supervisor,
)

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
