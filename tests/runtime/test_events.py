"""Events: each told once, to subscribers that cannot harm the tree; and the log."""

from __future__ import annotations

import gc
import logging
import traceback
from typing import Any

import anyio
import pytest
from anyio import sleep

from supervisor import (
    Added,
    Backoff,
    Booted,
    Component,
    Crashed,
    Dropped,
    Ended,
    Event,
    Intensity,
    Ready,
    Started,
    StopAsked,
    StopBegun,
    Stopped,
    Supervisor,
    TreeFailed,
    open_supervisor,
)
from supervisor.testing import Boom, Crashing, Cued, Hanging, SlowStarting, settle

pytestmark = pytest.mark.usefixtures("leak_check")


def one(run: Any, **options: Any) -> Supervisor:
    return Supervisor("root", [Component(run, name="a", **options)])


async def test_the_story_of_a_tree(told: Any) -> None:
    async with open_supervisor(one(SlowStarting(2))):
        pass
    story = [type(event) for event in told]
    assert story == [Started, Ready, Booted, StopBegun, StopAsked, Stopped, Ended]
    assert [event.at for event in told] == [0.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]


@pytest.mark.parametrize("after", [0, 1])
async def test_every_crash_is_told_exactly_once(told: Any, after: float) -> None:
    """Law 7: no failure is lost and none is told twice."""
    crashing = Crashing(20, after=after, error=lambda: ExceptionGroup("both", [Boom(), Boom()]))
    async with open_supervisor(one(crashing, backoff=Backoff(reset_after=0), quarantine=None)):
        await sleep(100)
    told_errors = [event.error for event in told.of(Crashed)]
    assert told_errors == [life.error for life in crashing.lives[:20]]
    assert [event.life for event in told.of(Crashed)] == list(range(1, 21))


async def test_crashes_of_many_in_one_instant_are_all_told(told: Any) -> None:
    cued = Cued()
    spec = Supervisor("root", [Component(cued, name="a", copies=50)])
    async with open_supervisor(spec):
        await settle()
        for cue in list(cued._cues.values()):
            cue.give(error=Boom())
        await settle()
    assert len({e.path for e in told.of(Crashed)}) == len(told.of(Crashed)) == 50


async def test_a_subscription_from_now_until_the_tree_is_over() -> None:
    seen: list[Event] = []
    async with anyio.create_task_group() as tg:

        async def read(subscription: Any) -> None:
            async for event in subscription:
                seen.append(event)  # noqa: PERF401 - what was read counts, however the loop ends

        async with open_supervisor(one(Hanging())) as tree:
            tg.start_soon(read, tree.events())
            await tree["a"].restart()
    assert [type(e) for e in seen][:3] == [StopAsked, Stopped, Started]
    assert type(seen[-1]) is Ended


async def test_filters_by_kind_and_path() -> None:
    spec = Supervisor(
        "root",
        [Supervisor("in", [Component(Hanging(), name="a")]), Component(Hanging(), name="inner")],
    )
    async with open_supervisor(spec) as tree:
        started = tree.events(Started, Stopped, path="root/in")
        everything = tree.events()
        await tree["in/a"].restart()
        await tree["inner"].restart()
    assert {e.path for e in [e async for e in started]} == {"root/in/a", "root/in"}
    assert len([e async for e in everything]) > 6


async def test_a_slow_reader_blocks_nobody_and_learns_what_it_missed() -> None:
    """Law 15: what a bound drops is counted and told."""
    async with open_supervisor(one(Hanging())) as tree:
        events = tree.events(capacity=5)
        for _ in range(10):
            await tree["a"].restart()
        assert tree["a"].life == 11
        first = [await anext(events) for _ in range(5)]
        assert not any(isinstance(e, Dropped) for e in first)
        await tree["a"].restart()
        dropped = await anext(events)
        assert isinstance(dropped, Dropped)
        assert dropped.count == 25
        assert [type(e) for e in [await anext(events) for _ in range(3)]] == [
            StopAsked,
            Stopped,
            Started,
        ]


async def test_what_was_dropped_last_is_told_too() -> None:
    async with open_supervisor(one(Hanging())) as tree:
        await sleep(3)
        events = tree.events(capacity=2)
        await tree["a"].restart()
    read = [e async for e in events]
    assert isinstance(read[-1], Dropped)
    assert read[-1].count > 1
    assert read[-1].at == 3.0
    assert read[-1].path


async def test_a_subscription_to_a_tree_that_is_over_ends_at_once() -> None:
    async with open_supervisor() as tree:
        pass
    assert [e async for e in tree.events()] == []


async def test_a_subscription_can_be_closed_or_dropped() -> None:
    async with open_supervisor(one(Hanging())) as tree:
        bus = tree._runtime.bus
        with tree.events() as events:
            assert len(bus.subscriptions) == 1
            await tree["a"].restart()
        assert [e async for e in events] == []
        events.close()
        tree.events()
        gc.collect()
        assert bus.subscriptions == ()


async def test_closing_wakes_its_reader() -> None:
    async with open_supervisor(one(Hanging())) as tree:
        events = tree.events()
        async with anyio.create_task_group() as tg:

            async def read() -> None:
                async for _ in events:
                    pass

            tg.start_soon(read)
            await settle()
            events.close()


@pytest.mark.parametrize("capacity", [0, -1])
async def test_a_capacity_of_nothing_is_refused(capacity: int) -> None:
    async with open_supervisor() as tree:
        with pytest.raises(ValueError, match="capacity must be at least 1"):
            tree.events(capacity=capacity)
        gc.collect()


async def test_a_reader_of_a_full_subscription_lets_others_run() -> None:
    async with open_supervisor(one(Hanging())) as tree:
        events = tree.events()
        for _ in range(200):
            await tree["a"].restart()
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tg:
            tg.start_soon(other)
            for _ in range(500):
                await anext(events)
            tg.cancel_scope.cancel()
        assert turns >= 5


async def test_a_broken_sink_is_isolated(caplog: pytest.LogCaptureFixture) -> None:
    seen = []

    def broken(event: Event) -> None:
        raise ValueError("broken sink")

    async with open_supervisor(one(Hanging())) as tree:
        tree._runtime.bus.sinks[:0] = [broken]
        tree._runtime.bus.sinks.append(seen.append)
        await tree["a"].restart()
        assert tree["a"].life == 2
    assert len(seen) >= 3
    assert any(record.exc_info and record.name == "supervisor" for record in caplog.records)


async def test_a_broken_log_handler_is_isolated(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("disk full")

    handler = Broken()
    logging.getLogger("supervisor").addHandler(handler)
    try:
        with anyio.move_on_after(10):
            async with open_supervisor(one(Crashing(1))) as tree:
                await sleep(1)
                assert tree["a"].state == "ready"
    finally:
        logging.getLogger("supervisor").removeHandler(handler)


async def test_a_sink_may_command_the_tree(told: Any) -> None:
    async with open_supervisor(one(Crashing())) as tree:

        def stop_at_once(event: Event) -> None:
            if isinstance(event, Crashed):
                tree._runtime.stop("a sink asked for it")

        tree._runtime.bus.sinks.append(stop_at_once)
        await tree.wait_stopped()
    assert [e.reason for e in told.of(StopBegun)] == ["a sink asked for it"]


async def test_what_a_sink_asks_for_is_done_when_the_step_under_way_is(told: Any) -> None:
    """The step in which a crash is told also begins the next life, which the stop has to find."""
    cued = Cued()
    async with open_supervisor(one(cued, backoff=Backoff(first=0))) as tree:

        def stop_at_once(event: Event) -> None:
            if isinstance(event, Crashed):
                tree._runtime.stop("a sink asked for it")

        tree._runtime.bus.sinks.append(stop_at_once)
        await cued.wait_began()
        cued.crash()
        await settle()
        overlooked = cued.alive
        if overlooked:  # the tree has to end all the same
            cued.finish()
        await tree.wait_stopped()
    assert not overlooked


async def test_one_traceback_a_crash_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The trap of fauxtp: one record with name, life, phase and the child's own traceback."""
    caplog.set_level(logging.DEBUG, "supervisor")
    async with open_supervisor(one(Crashing(3))):
        await sleep(60)
    records: list[Any] = [r for r in caplog.records if r.name == "supervisor"]
    crashes = [r for r in records if r.exc_info]
    assert [(r.path, r.life, r.event) for r in crashes] == [
        ("root/a", life, "Crashed") for life in (1, 2, 3)
    ]
    for record in crashes:
        text = "".join(traceback.format_exception(*record.exc_info))
        assert text.count("Traceback") == 1
        assert "life.py" not in text
        assert "restart" in record.getMessage()


async def test_an_escalation_is_logged_without_the_tracebacks_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    spec = Supervisor(
        "root", [Component(Crashing(after=1), name="a")], intensity=Intensity(0, within=60)
    )
    with pytest.raises(TreeFailed):
        async with open_supervisor(spec):
            await sleep(10)
    assert len([r for r in caplog.records if r.exc_info]) == 1


async def test_one_exception_raised_by_life_after_life_does_not_grow() -> None:
    """Law 15: a cached failure keeps the traceback of its last life only."""
    cached = ValueError("cached")

    async def raises() -> None:
        raise cached

    spec = Component(raises, backoff=Backoff(first=0, base=0), quarantine=None)
    async with open_supervisor(Supervisor("root", [spec])) as tree:
        told = tree.events(Crashed)
        lengths = set()
        for _ in range(20):
            event = await anext(told)
            lengths.add(len(list(traceback.walk_tb(event.error.__traceback__))))
        await tree.stop()
    assert len(lengths) == 1


async def test_a_subscription_that_is_closed_while_an_event_is_told_costs_no_other_its_event() -> (
    None
):
    async with open_supervisor() as tree:
        subscriptions = [tree.events(Added) for _ in range(3)]
        bus = tree._runtime.bus

        class Closing:
            def put(self, event: Any) -> None:
                subscriptions[1].close()

            def end(self) -> None: ...

        bus.subscriptions = (Closing(), *bus.subscriptions[1:])  # type: ignore[assignment]
        tree.start_soon(Hanging())
        assert (await anext(subscriptions[2])).path == "supervisor/Hanging"
        await tree.stop()


async def test_a_second_reader_of_a_subscription_is_told_so() -> None:
    async with open_supervisor() as tree:
        told = tree.events(Crashed)
        async with anyio.create_task_group() as group:
            group.start_soon(anext, told)
            await sleep(1)
            with pytest.raises(RuntimeError, match="two tasks read one subscription"):
                await anext(told)
            group.cancel_scope.cancel()
        await tree.stop()
