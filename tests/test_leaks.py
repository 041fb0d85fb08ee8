"""The leak check: silent about what is clean, and exact about what is not."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator

import anyio
import pytest
from anyio import to_thread
from anyio.abc import SocketAttribute, SocketStream
from anyio.lowlevel import checkpoint

from supervisor.testing import Blocking, Hanging, Leaked, no_leaks, settle
from supervisor.testing._census import tasks

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
BRIEF = 0.05


async def test_clean_code_is_clean(leak_check: None) -> None:
    async with anyio.create_task_group() as tg:
        tg.start_soon(Hanging())
        await checkpoint()
        tg.cancel_scope.cancel()
    await to_thread.run_sync(len, "work")


@pytest.mark.realtime
async def test_what_a_loop_makes_for_itself_is_no_leak(leak_check: None) -> None:
    # uvloop makes a pair of sockets for each of its runs; fixture and test are in several.
    await to_thread.run_sync(len, "work")


async def test_a_task_that_is_running_can_be_listed() -> None:
    # On Python 3.12 asking a running coroutine for what it awaits crashed the interpreter.
    async def looks() -> AsyncIterator[list[str]]:
        for _ in range(100):
            yield [*tasks().values()]

    async for lines in looks():
        assert lines


async def test_a_task_is_named_with_its_place() -> None:
    async with anyio.create_task_group() as tg:
        with pytest.raises(Leaked, match=r"task 'left over', at .*in ") as caught:
            async with no_leaks():
                tg.start_soon(Hanging(), name="left over")
        assert len(caught.value.leaks) == 1
        tg.cancel_scope.cancel()


async def test_what_was_there_before_is_not_a_leak() -> None:
    async with anyio.create_task_group() as tg:
        tg.start_soon(Hanging())
        await checkpoint()
        with socket.socket():
            async with no_leaks():
                await checkpoint()
        tg.cancel_scope.cancel()


def test_a_thread() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="left over")
    with pytest.raises(Leaked, match="1 left alive:\nthread 'left over'"), no_leaks(patience=BRIEF):
        thread.start()
    release.set()
    with no_leaks():
        thread.join()


def test_a_thread_that_is_ending_is_waited_for() -> None:
    thread = threading.Thread(target=threading.Event().wait, args=(0.1,))
    with no_leaks():
        thread.start()
    thread.join()


@pytest.mark.virtual_clock(threshold=0.05)
async def test_a_busy_worker_thread() -> None:
    blocking = Blocking()
    async with anyio.create_task_group() as tg:
        with pytest.raises(Leaked) as caught:
            async with no_leaks(patience=BRIEF):
                tg.start_soon(blocking)
                await blocking.wait_began()
        assert sorted(leak.split()[0] for leak in caught.value.leaks) == ["task", "thread"]
        blocking.let_go()


def test_a_descriptor() -> None:
    with pytest.raises(Leaked, match=r"file descriptor \d+: socket:"):
        with no_leaks(patience=BRIEF):
            left_over = socket.socket()
    left_over.close()


def test_a_process() -> None:
    with pytest.raises(Leaked, match=r"process \d+: .*time\.sleep\(60\)"), no_leaks(patience=BRIEF):
        left_over = subprocess.Popen(SLEEPER)
    left_over.kill()
    left_over.wait()


async def goodbye(stream: SocketStream) -> None:
    async with stream:
        await stream.send(b"bye")


@pytest.mark.realtime
async def test_sockets_and_processes_that_are_closed() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tg:
        tg.start_soon(listener.serve, goodbye)
        await settle()
        async with no_leaks():
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                assert await stream.receive() == b"bye"
            async with await anyio.open_process(SLEEPER) as process:
                process.kill()
        tg.cancel_scope.cancel()


def test_an_error_gets_the_leaks_as_a_note() -> None:
    with pytest.raises(ValueError, match="mine") as caught:
        with no_leaks(patience=BRIEF):
            left_over = socket.socket()
            raise ValueError("mine")
    assert "file descriptor" in caught.value.__notes__[0]
    left_over.close()


async def test_cancellation_passes_through() -> None:
    with anyio.CancelScope() as scope:
        async with no_leaks():
            scope.cancel()
            await checkpoint()
    assert scope.cancelled_caught
