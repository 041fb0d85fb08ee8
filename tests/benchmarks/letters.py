"""Messages to one reader, and calls that it answers: a mailbox beside anyio's memory streams."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from supervisor import Call, Mailbox, open_supervisor
from tests.benchmarks.stopwatch import Figure, Stopwatch

CAPACITY = 1000

Sender: TypeAlias = Callable[[int], Awaitable[Figure]]
Reply: TypeAlias = MemoryObjectSendStream[int]


class Add(Call[int]):
    __slots__ = ()


inbox: Mailbox[Any] = Mailbox("inbox", capacity=CAPACITY)


async def _beside(reader: Callable[[], Awaitable[None]], sender: Sender, count: int) -> Figure:
    """Both as children of one tree; the figure is the sender's."""
    figure = Figure(math.nan)

    async def send() -> None:
        nonlocal figure
        figure = await sender(count)

    async with open_supervisor() as tree:
        tree.start_soon(reader, name="reader")
        await tree.start_soon(send, name="sender").wait()
        await tree.stop()
    return figure


# --- casts ---------------------------------------------------------------------------------------


async def cast(count: int) -> Figure:
    """Letters a second, from the first cast until the last is read."""
    read = anyio.Event()

    async def reader() -> None:
        async for letter in inbox:
            if letter.message == count:
                read.set()

    async def sender(count: int) -> Figure:
        watch = Stopwatch()
        for number in range(1, count + 1):
            await inbox.cast(number)
        await read.wait()
        return Figure.rate(count, watch.seconds())

    return await _beside(reader, sender, count)


async def send(count: int) -> Figure:
    """The same through a memory stream with a buffer as large, between two tasks."""
    into, out = anyio.create_memory_object_stream[int](CAPACITY)
    read = anyio.Event()

    async def reader() -> None:
        async for number in out:
            if number == count:
                read.set()

    async with anyio.create_task_group() as group, into, out:
        group.start_soon(reader)
        watch = Stopwatch()
        for number in range(1, count + 1):
            await into.send(number)
        await read.wait()
        took = watch.seconds()
        group.cancel_scope.cancel()
    return Figure.rate(count, took)


# --- calls ---------------------------------------------------------------------------------------


async def call(count: int) -> Figure:
    """Microseconds for a call and its answer, one after the other."""
    return await _calls(count, None)


async def call_with_timeout(count: int) -> Figure:
    return await _calls(count, 10.0)


async def _calls(count: int, timeout: float | None) -> Figure:
    async def reader() -> None:
        async for letter in inbox:
            letter.reply(1)

    async def sender(count: int) -> Figure:
        message = Add()
        watch = Stopwatch()
        for _ in range(count):
            await inbox.call(message, timeout)
        return watch.seconds().times(1e6 / count)

    return await _beside(reader, sender, count)


async def round_trip(count: int) -> Figure:
    """A stream for the questions, and a fresh one for each answer."""
    into, out = anyio.create_memory_object_stream[tuple[int, Reply]](CAPACITY)

    async def reader(out: MemoryObjectReceiveStream[tuple[int, Reply]]) -> None:
        async for _, reply in out:
            await reply.send(1)
            reply.close()

    async with anyio.create_task_group() as group, into, out:
        group.start_soon(reader, out)
        watch = Stopwatch()
        for number in range(count):
            reply, answer = anyio.create_memory_object_stream[int](1)
            with answer:
                await into.send((number, reply))
                await answer.receive()
        took = watch.seconds()
        group.cancel_scope.cancel()
    return took.times(1e6 / count)
