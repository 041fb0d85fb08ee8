"""The virtual clock: exact, self-moving, the same on both backends, and repeatable."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio import current_time, sleep, to_thread
from hypothesis import example, given, settings
from hypothesis import strategies as st

from supervisor.testing import settle, virtual_backend

Trace = list[tuple[float, str]]


def run_virtual(backend: str, fn: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
    name, backend_options = virtual_backend(backend, **options)
    return anyio.run(fn, *args, backend=name, backend_options=backend_options)


async def crash_loops(trace: Trace) -> None:
    """Children that crash and back off, deadlines, shielded clean-up, streams: an hour and more."""

    async def child(name: str, up: float, restarts: int) -> None:
        for attempt in range(restarts):
            trace.append((current_time(), f"{name} up"))
            with anyio.move_on_after(up):
                try:
                    await anyio.sleep_forever()
                finally:
                    with anyio.CancelScope(shield=True):
                        await sleep(0.1)
            await sleep(min(900, 0.3 * 2**attempt))
        trace.append((current_time(), f"{name} done"))

    send, receive = anyio.create_memory_object_stream[str]()

    async def reader() -> None:
        async with receive:
            async for item in receive:
                trace.append((current_time(), item))

    with anyio.fail_after(36_000):
        async with anyio.create_task_group() as tg, send:
            tg.start_soon(reader)
            async with anyio.create_task_group() as children:
                for number in range(5):
                    children.start_soon(child, f"c{number}", 1 / (number + 3), 12)
            for number in range(3):
                await send.send(f"item {number}")


async def test_starts_at_zero() -> None:
    assert current_time() == 0.0


async def test_deadline_of_an_hour_passes_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError), anyio.fail_after(3600):
        await anyio.sleep_forever()
    assert current_time() == 3600.0
    assert time.monotonic() - began < 5


async def test_times_are_exact_after_months() -> None:
    months = 200 * 24 * 3600.0
    await sleep(months)
    for tick in range(1, 100):
        await sleep(1e-3)
        assert current_time() == pytest.approx(months + tick * 1e-3, abs=1e-6)
    with anyio.move_on_after(1e-6) as scope:
        await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_due_means_up_to_now() -> None:
    order = []

    async def at(seconds: float) -> None:
        await sleep(seconds)
        order.append((current_time(), seconds))

    after = math.nextafter(1.0, 2.0)
    async with anyio.create_task_group() as tg:
        for seconds in (after, 1.0):
            tg.start_soon(at, seconds)
    assert order == [(1.0, 1.0), (after, after)]


def test_traces_are_alike() -> None:
    traces: dict[str, list[Trace]] = {"asyncio": [], "trio": []}
    for backend, runs in traces.items():
        for _ in range(10):
            runs.append([])
            run_virtual(backend, crash_loops, runs[-1])
        assert all(run == runs[0] for run in runs)
    ours, theirs = traces["asyncio"][0], traces["trio"][0]
    assert len(ours) > 60
    assert ours[-1][0] > 1000
    assert sorted(ours) == sorted(theirs)


def test_trio_runs_the_oldest_task_of_an_instant_first() -> None:
    async def main() -> list[int]:
        order: list[int] = []

        async def child(number: int) -> None:
            for _ in range(3):
                order.append(number)
                await sleep(1)

        async with anyio.create_task_group() as tg:
            for number in range(20):
                tg.start_soon(child, number)
        return order

    assert run_virtual("trio", main) == [*range(20)] * 3


def test_trio_is_left_as_it_was() -> None:
    import trio._core._run as trio_run

    before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r
    run_virtual("trio", sleep, 1)
    assert (trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r) == before


@settings(max_examples=100, deadline=None)
@example(delays=[1.5632845756481402, 524290.2995963529])
@given(delays=st.lists(st.floats(0, 1e6), min_size=1, max_size=8))
async def test_each_example_begins_at_zero(delays: list[float]) -> None:
    assert current_time() == 0.0
    async with anyio.create_task_group() as tg:
        for delay in delays:
            tg.start_soon(sleep, delay)
    assert current_time() == max(delays)


async def test_settle_waits_for_the_others_and_not_for_time() -> None:
    steps = []

    async def busy(event: anyio.Event) -> None:
        for number in range(10):
            await anyio.lowlevel.checkpoint()
            steps.append(number)
        event.set()
        await sleep(5)
        steps.append(10)

    event = anyio.Event()
    async with anyio.create_task_group() as tg:
        tg.start_soon(busy, event)
        await settle()
        assert steps == [*range(10)]
        assert event.is_set()
        assert current_time() == 0.0
        await sleep(5)
        await settle()
        assert steps[-1] == 10
    await settle()
    assert current_time() == 5.0


async def test_several_settle_at_once_and_one_gives_up() -> None:
    async with anyio.create_task_group() as tg:
        for _ in range(3):
            tg.start_soon(settle)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await settle()
    assert current_time() == 0.0


async def test_a_spinning_task_does_not_stop_the_time() -> None:
    async def spin(stop: anyio.Event) -> None:
        while not stop.is_set():
            await anyio.lowlevel.checkpoint()

    stop = anyio.Event()
    async with anyio.create_task_group() as tg:
        tg.start_soon(spin, stop)
        await sleep(5)
        assert current_time() == 5.0
        stop.set()


@pytest.mark.virtual_clock(spin=200)
async def test_a_swallowed_cancellation_does_not_stop_the_time() -> None:
    let_go = anyio.Event()

    async def swallow() -> None:
        while not let_go.is_set():
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                pass
        await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as outer:
        async with anyio.create_task_group() as tg:
            tg.start_soon(swallow)
            await settle()
            tg.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await sleep(3)
            let_go.set()
        assert current_time() == 3.0
        outer.cancel_scope.cancel()


@pytest.mark.virtual_clock(threshold=0.5)
async def test_a_thread_within_the_threshold_beats_a_deadline() -> None:
    with anyio.fail_after(1):
        assert await to_thread.run_sync(lambda: time.sleep(0.02) or "done") == "done"
    assert current_time() == 0.0


async def test_a_thread_loses_without_a_threshold() -> None:
    release = threading.Event()
    with anyio.move_on_after(1) as scope:
        await to_thread.run_sync(release.wait, 10, abandon_on_cancel=True)
    release.set()
    assert scope.cancelled_caught
    assert current_time() == 1.0


def test_the_default_executor_is_joined_in_real_time() -> None:
    # From Python 3.12 on the loop waits for its threads with a timeout, here of its own clock.
    async def main() -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, time.sleep, 0.05)
        running.append(loop.run_in_executor(None, time.sleep, 0.2))
        running.append(loop.call_later(3600, called.append, True))

    running: list[object] = []
    called: list[bool] = []
    before = threading.active_count()
    run_virtual("asyncio", main)
    assert threading.active_count() == before
    assert not called


@pytest.mark.virtual_clock(threshold=0.5)
async def test_real_sockets_work() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)

    async def echo(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.send(await stream.receive())

    async with listener, anyio.create_task_group() as tg:
        tg.start_soon(listener.serve, echo)
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"ping")
            with anyio.fail_after(60):
                assert await stream.receive() == b"ping"
        tg.cancel_scope.cancel()
    assert current_time() == 0.0


def test_uvloop_has_none() -> None:
    with pytest.raises(ValueError, match="no virtual clock for 'uvloop'"):
        virtual_backend("uvloop")


@pytest.mark.realtime
async def test_realtime_is_real(anyio_backend_options: dict[str, Any]) -> None:
    assert "clock" not in anyio_backend_options
    began = time.monotonic()
    before = current_time()
    await sleep(0.05)
    await settle()
    assert 0.04 < current_time() - before < time.monotonic() - began + 0.05
