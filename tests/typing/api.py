"""Never run: what users write, as mypy and pyright have to see it.

A line with an ignore is one that must be an error; both checkers complain of an ignore without use.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, assert_type

import anyio
from anyio.abc import TaskStatus

import supervisor as sup
from supervisor.testing import Cued, Gated, Life, no_leaks, settle, virtual_backend


class Client: ...


@asynccontextmanager
async def open_client() -> AsyncIterator[Client]:
    yield Client()


async def poll(url: str, every: float = 1.0) -> None: ...


async def listen(*, task_status: TaskStatus[int]) -> None:
    task_status.started(80)


# --- declare --------------------------------------------------------------------------------------

http = sup.Resource(open_client)
prices = sup.Component(poll, args=("url",), kwargs={"every": 2.0}, priority="critical", copies=2)
telegram = sup.Component(
    listen,
    needs={"prices": "final"},
    after=["http"],
    restart="transient",
    backoff=sup.Backoff(first=0, base=0.5, jitter="equal"),
    quarantine=None,
    stop=sup.Stop(grace=1, deadline=3),
    fallback=sup.Component(poll),
)
tree = sup.Supervisor(
    "trading",
    [http, prices, telegram, sup.Supervisor("inner", strategy="rest_for_one")],
    intensity=sup.Intensity(3, within=60),
    boot="strict",
)

assert_type(prices.name, str)
assert_type(prices.needs, Sequence[str] | Mapping[str, Literal["final", "each"]])
assert_type(sup.check(tree), list[sup.Problem])
assert_type(sup.load("tree.toml"), sup.Supervisor)

sup.Component(poll, priority="urgent")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
sup.Component(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
sup.Component(poll, prio="low")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
sup.Supervisor("name", strategy="one")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
prices.name = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


# --- run ------------------------------------------------------------------------------------------


def main() -> None:
    sup.run(tree, backend="trio", stop_within=10)
    sup.run(tree, backend="curio")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def serving() -> None:
    async with anyio.create_task_group() as tg:
        running = await tg.start(sup.serve, tree)
        await running.stop()


async def handles() -> None:
    async with sup.open_supervisor() as running:
        assert_type(running, sup.Tree)
        child = running.start_soon(poll, "url", name="first", priority="low")
        assert_type(child, sup.Child)
        assert_type(await running.start(listen), Any)
        assert_type(await running.add(prices), sup.Child)
        assert_type(running["first"], sup.Child)
        assert_type(child.holds, tuple[sup.Hold, ...])
        assert_type(child.life, int)
        assert_type(await child.wait(), sup.Outcome)
        assert_type(running.condition, sup.Condition)
        assert_type(running.snapshot(), sup.TreeView)
        assert_type(running.explain("first"), sup.Explanation)
        with running.events(sup.Crashed, sup.Ready) as events:
            async for event in events:
                assert_type(event.at, float)
                if isinstance(event, sup.Crashed):
                    assert_type(event.error, BaseException)
                    assert_type(event.verdict, sup.Verdict)
        await child.stop()


async def component() -> None:
    me = sup.current_child()
    assert_type(me.path, str)
    assert_type(me.stopping, anyio.Event)
    me.mark_healthy()
    async for missed in sup.every(5):
        assert_type(missed, int)
    raise sup.Decline("not today")


@dataclass
class Get(sup.Call[float]):
    symbol: str


@dataclass
class Put:
    symbol: str
    price: float


inbox = sup.Mailbox[Get | Put]("book", capacity=10, overflow="drop oldest", failure="once more")
sup.Mailbox[Put]("book", overflow="block")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def letters() -> None:
    assert_type(await inbox.call(Get("BTC"), timeout=1), float)
    await inbox.cast(Put("BTC", 1.0))
    inbox.cast_nowait(Get("BTC"), lane="urgent")
    await inbox.cast("BTC")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await inbox.call(Put("BTC", 1.0))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async for letter in inbox:
        assert_type(letter, sup.Letter[Get | Put])
        assert_type(letter.deadline, float)
        match letter.message:
            case Get(symbol):
                assert_type(symbol, str)
                assert_type(letter.reply(1.0), bool)
            case Put():
                letter.fail(KeyError("BTC"))
    assert_type(inbox.statistics(), sup.MailboxStatistics)
    assert_type(inbox.dead_letters(), tuple[sup.DeadLetter, ...])


def failing() -> None:
    try:
        main()
    except* sup.TreeInvalid as invalid:
        for error in invalid.exceptions:
            str(error)
    except* sup.StartTimedOut:
        pass


# --- testing --------------------------------------------------------------------------------------


async def testing() -> None:
    backend, options = virtual_backend("trio", threshold=0.05)
    assert_type(backend, str)
    assert_type(options, dict[str, Any])
    cued, gated = Cued(), Gated()
    async with no_leaks(), sup.open_supervisor() as running:
        running.start_soon(cued)
        running.start_soon(gated)
        await settle()
        gated.open("value")
        cued.crash(ValueError("on cue"))
        assert_type(await cued.wait_ended(), Life)
    with no_leaks():
        pass
