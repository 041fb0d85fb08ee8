"""Whose cancellation it is: that of the caller, of the child's own scopes, or nobody's."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio import CancelScope, current_time, get_cancelled_exc_class, sleep, sleep_forever

from supervisor import (
    Backoff,
    Component,
    Crashed,
    ForeignCancellation,
    Stopped,
    Supervisor,
    current_child,
    open_supervisor,
    serve,
)
from supervisor.testing import Boom, Crashing, Hanging, SlowStarting, SlowStopping, settle

pytestmark = pytest.mark.usefixtures("leak_check")


def three(stopping: float = 1) -> tuple[Supervisor, list[SlowStopping]]:
    slow = [SlowStopping(stopping) for _ in range(3)]
    return Supervisor(
        "root", [Component(s, name=n) for s, n in zip(slow, "abc", strict=True)]
    ), slow


async def test_cancelling_the_block_stops_in_order_and_is_raised_again(told: Any) -> None:
    """Law 8: cancellation from outside asks for an ordered stop, and goes on afterwards."""
    spec, _ = three()
    with CancelScope() as scope:
        async with open_supervisor(spec):
            await settle()
            scope.cancel()
            await sleep_forever()
        pytest.fail("the cancellation was swallowed")
    assert scope.cancelled_caught
    assert told.names(Stopped) == ["c", "b", "a"]
    assert current_time() == 3.0


async def test_fail_after_around_a_tree(told: Any) -> None:
    spec, slow = three()
    with pytest.raises(TimeoutError):
        with anyio.fail_after(10):
            async with open_supervisor(spec):
                await sleep_forever()
    assert current_time() == 13.0
    assert not any(s.alive for s in slow)


async def test_cancelling_while_it_boots() -> None:
    first, second = SlowStopping(2), SlowStarting(60)
    spec = Supervisor("root", [Component(first, name="a"), Component(second, name="b")])
    with anyio.move_on_after(5) as scope:
        async with open_supervisor(spec):
            pytest.fail("the block must not run")
    assert scope.cancelled_caught
    assert current_time() == 7.0
    assert not first.alive
    assert not second.alive


async def test_cancelling_before_it_begins() -> None:
    hanging = Hanging()
    with CancelScope() as scope:
        scope.cancel()
        async with open_supervisor(Supervisor("root", [Component(hanging)])):
            await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert not hanging.alive


async def test_cancelling_while_it_stops_changes_nothing_about_the_order(told: Any) -> None:
    spec, _ = three()
    with anyio.move_on_after(1.5) as scope:
        async with open_supervisor(spec) as tree:
            await settle()
            await tree.stop()
    assert scope.cancelled_caught
    assert current_time() == 3.0
    assert told.names(Stopped) == ["c", "b", "a"]


async def test_cancelling_while_it_waits_for_those_that_end() -> None:
    hanging = Hanging()
    with anyio.move_on_after(4) as scope:
        async with open_supervisor() as tree:
            tree.start_soon(hanging)
    assert scope.cancelled_caught
    assert hanging.lives[0].ended == 4.0


@pytest.mark.parametrize("at", [0.0, 2.0, 5.5])
async def test_cancelling_serve(at: float) -> None:
    spec = Supervisor("root", [Component(SlowStarting(1)), Component(SlowStopping(1))])
    async with anyio.create_task_group() as tg:
        tg.start_soon(serve, spec)
        await sleep(at)
        tg.cancel_scope.cancel()
    assert current_time() == at + (at >= 1)


async def test_serve_gives_the_tree_to_its_starter_and_returns_when_it_has_stopped() -> None:
    spec, _ = three()
    async with anyio.create_task_group() as tg:
        tree = await tg.start(serve, spec)
        assert tree["c"].state == "ready"
        await settle()
        await tree.stop()
    assert current_time() == 3.0


async def test_an_exception_in_the_block_stops_all_and_is_raised_bare(told: Any) -> None:
    spec, _ = three()
    with pytest.raises(Boom) as caught:
        async with open_supervisor(spec):
            await settle()
            raise Boom("in the block")
    assert caught.value.__cause__ is None
    assert told.names(Stopped) == ["c", "b", "a"]


async def test_a_group_in_the_block_is_raised_as_it_is() -> None:
    spec, _ = three()
    error = ExceptionGroup("mine", [Boom(), ValueError()])
    with pytest.raises(ExceptionGroup) as caught:
        async with open_supervisor(spec):
            raise error
    assert caught.value is error


async def test_a_tree_inside_a_task_group_whose_sibling_fails() -> None:
    spec, slow = three()
    with pytest.raises(ExceptionGroup) as caught:
        async with anyio.create_task_group() as tg:
            await tg.start(serve, spec)
            tg.start_soon(Crashing(after=1))
    assert caught.group_contains(Boom)
    assert not any(s.alive for s in slow)
    assert current_time() == 4.0


async def test_a_childs_own_timeout_is_its_own_affair(told: Any) -> None:
    async def component() -> None:
        while True:
            with anyio.move_on_after(1):
                await sleep_forever()

    async with open_supervisor(Supervisor("root", [Component(component, name="a")])) as tree:
        await sleep(10.5)
        assert tree["a"].life == 1
    assert not told.of(Crashed)


async def test_raising_the_cancelled_class_by_hand_is_a_crash(told: Any) -> None:
    """The trap of engin; law 8: never by the exception's type."""

    async def component() -> None:
        if current_child().life == 1:
            raise get_cancelled_exc_class()  # a TypeError on trio
        await sleep_forever()

    async with open_supervisor(Supervisor("root", [Component(component, name="a")])) as tree:
        await sleep(1)
        assert (tree["a"].state, tree["a"].life) == ("ready", 2)
    (crash,) = told.of(Crashed)
    assert isinstance(crash.error, ForeignCancellation | TypeError)


async def test_a_task_group_inside_a_child_is_stopped_as_one(told: Any) -> None:
    inner = [SlowStopping(1), SlowStopping(2)]

    async def component() -> None:
        async with anyio.create_task_group() as tg:
            for one in inner:
                tg.start_soon(one)

    async with open_supervisor(Supervisor("root", [Component(component, name="a")])) as tree:
        await settle()
        await tree["a"].stop()
        assert str(tree["a"].outcome) == "cancelled"
    assert [one.lives[0].ended for one in inner] == [1.0, 2.0]
    assert not told.of(Crashed)


async def test_a_task_group_inside_a_child_that_fails_is_told_whole(told: Any) -> None:
    """Law 7: every crash is one event, with its whole exception group."""

    async def component() -> None:
        async with anyio.create_task_group() as tg:
            tg.start_soon(Crashing(after=1))
            tg.start_soon(SlowStopping(1, error=ValueError("too")))

    spec = Supervisor("root", [Component(component, name="a", restart="temporary")])
    async with open_supervisor(spec):
        await sleep(10)
    (crash,) = told.of(Crashed)
    assert isinstance(crash.error, ExceptionGroup)
    assert {type(error) for error in crash.error.exceptions} == {Boom, ValueError}


async def test_an_error_that_a_stop_brings_out_beside_cancellations_is_a_crash(told: Any) -> None:
    async def component() -> None:
        async with anyio.create_task_group() as tg:
            tg.start_soon(SlowStopping(1, error=ValueError("on the way out")))
            await sleep_forever()

    async with open_supervisor(Supervisor("root", [Component(component, name="a")])):
        await settle()
    (crash,) = told.of(Crashed)
    assert isinstance(crash.error, ExceptionGroup)
    assert crash.error.subgroup(ValueError) is not None
    assert crash.error.subgroup(get_cancelled_exc_class()) is None
    assert crash.verdict.action == "none"


async def test_a_child_that_turns_its_cancellation_into_a_return_is_stopped(told: Any) -> None:
    async def component() -> None:
        try:
            await sleep_forever()
        except get_cancelled_exc_class():
            return

    async with open_supervisor(Supervisor("root", [Component(component, name="a")])) as tree:
        await settle()
        await tree["a"].stop()
        assert str(tree["a"].outcome) == "cancelled"
    assert len(told.of(Stopped)) == 1


class TestNativeAsyncio:
    """Cancellation by ``asyncio.Task.cancel()``, which knows nothing of scopes."""

    @pytest.fixture(autouse=True)
    def only_asyncio(self, anyio_backend_name: str) -> None:
        if anyio_backend_name != "asyncio":
            pytest.skip("asyncio only")

    async def test_of_a_child_is_a_crash(self, told: Any) -> None:
        tasks = []

        async def component() -> None:
            tasks.append(asyncio.current_task())
            await sleep_forever()

        async with open_supervisor(Supervisor("root", [Component(component, name="a")])) as tree:
            await settle()
            tasks[0].cancel()
            await settle()
            assert (tree["a"].state, tree["a"].life) == ("ready", 2)
        (crash,) = told.of(Crashed)
        assert isinstance(crash.error, ForeignCancellation)

    async def test_of_a_child_that_is_being_stopped(self, told: Any) -> None:
        tasks = []

        async def component() -> None:
            tasks.append(asyncio.current_task())
            await sleep_forever()

        async with open_supervisor(Supervisor("root", [Component(component, name="a")])) as tree:
            await settle()
            async with anyio.create_task_group() as tg:
                tg.start_soon(tree["a"].stop)
                tasks[0].cancel()
            assert tree["a"].state == "down"

    @pytest.mark.parametrize("at", ["booting", "running", "stopping", "twice"])
    async def test_of_the_host(self, told: Any, at: str) -> None:
        slow = SlowStopping(3)
        boot = SlowStarting(5)
        spec = Supervisor("root", [Component(slow, name="a"), Component(boot, name="b")])

        async def host() -> None:
            async with open_supervisor(spec) as tree:
                if at == "stopping":
                    await tree.stop()
                await sleep_forever()

        task = asyncio.create_task(host())
        await sleep(1 if at == "booting" else 6)
        task.cancel()
        if at == "twice":
            await sleep(1)
            task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(outcome, asyncio.CancelledError)
        assert told.names(Stopped) == ["b", "a"]
        assert not slow.alive

    async def test_of_every_task_that_there_is(self) -> None:
        slow = SlowStopping(1)
        backoff = Backoff(first=0, reset_after=0)
        spec = Supervisor(
            "root",
            [Component(slow, name="a"), Component(Hanging(), backoff=backoff, quarantine=None)],
        )
        before = asyncio.all_tasks()

        async def host() -> None:
            async with open_supervisor(spec, stop_within=5):
                await sleep_forever()

        task = asyncio.create_task(host())
        await sleep(1)
        for one in asyncio.all_tasks() - before:
            one.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert not slow.alive

    async def test_an_asyncio_task_group_inside_a_child(self, told: Any) -> None:
        inner = Hanging()

        async def component() -> None:
            async with asyncio.TaskGroup() as tg:
                tg.create_task(inner())
                await sleep(1)
                if current_child().life == 1:
                    raise Boom
                await sleep_forever()

        async with open_supervisor(Supervisor("root", [Component(component, name="a")])) as tree:
            await sleep(5)
            assert (tree["a"].state, tree["a"].life) == ("ready", 2)
            await tree["a"].stop()
        assert [life.how for life in inner.lives] == ["cancelled", "cancelled"]
        assert len(told.of(Crashed)) == 1


async def test_a_trio_nursery_inside_a_child(told: Any, anyio_backend_name: str) -> None:
    if anyio_backend_name != "trio":
        pytest.skip("trio only")
    import trio

    inner = SlowStopping(1)

    async def component() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inner)
            await trio.sleep(1)
            if current_child().life == 1:
                raise Boom
            await trio.sleep_forever()

    async with open_supervisor(Supervisor("root", [Component(component, name="a")])) as tree:
        await sleep(5)
        assert (tree["a"].state, tree["a"].life) == ("ready", 2)
        await tree["a"].stop()
        assert str(tree["a"].outcome) == "cancelled"
    (crash,) = told.of(Crashed)
    assert isinstance(crash.error, ExceptionGroup)
