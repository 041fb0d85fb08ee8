"""Cancellation at every await of the public API: nothing leaks, and the tree goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import anyio
import pytest
from anyio import CancelScope
from anyio.lowlevel import checkpoint

from supervisor import Component, Stop, Supervisor, Tree, open_supervisor
from supervisor.testing import Crashing, Gated, Hanging, SlowStarting, SlowStopping, settle

pytestmark = pytest.mark.usefixtures("leak_check")

Call: TypeAlias = Callable[[Tree], Awaitable[object]]


async def add_slow(tree: Tree) -> None:
    await tree.add(Component(SlowStarting(5), name="added"))


async def start_slow(tree: Tree) -> None:
    await tree.start(SlowStarting(5), name="started")


async def read(tree: Tree) -> None:
    with tree.events() as events:
        async for _ in events:
            pass


CALLS: dict[str, Call] = {
    "start": start_slow,
    "add": add_slow,
    "wait_ready": lambda tree: tree["slow"].wait_ready(),
    "wait": lambda tree: tree["slow"].wait(),
    "stop": lambda tree: tree["slow"].stop(),
    "start_child": lambda tree: tree["stopped"].start(),
    "restart": lambda tree: tree["slow"].restart(),
    "release": lambda tree: tree["held"].release(),
    "delete": lambda tree: tree["unused"].delete(),
    "wait_condition": lambda tree: tree.wait_condition("failed"),
    "wait_any_condition": lambda tree: tree.wait_condition(),
    "wait_stopped": lambda tree: tree.wait_stopped(),
    "events": read,
}


async def shop() -> Supervisor:
    return Supervisor(
        "root",
        [
            Component(SlowStopping(3), name="slow"),
            Component(SlowStarting(2), name="stopped"),
            Component(Hanging(), name="unused"),
            Component(Crashing(), name="held"),
        ],
    )


@pytest.mark.parametrize("checkpoints", [0, 1, 2, 5])
@pytest.mark.parametrize("name", CALLS)
async def test_cancelled_after_so_many_turns(name: str, checkpoints: int) -> None:
    async with open_supervisor(await shop()) as tree:
        await settle()
        await tree["stopped"].stop()
        await tree["unused"].stop()
        async with anyio.create_task_group() as tg:

            async def call() -> None:
                await CALLS[name](tree)

            handle = tg.start_soon(call)
            for _ in range(checkpoints):
                await checkpoint()
            handle.cancel()
        await settle()
        for state in tree._runtime.root.node.children.values():
            assert state.watched == 0
        assert not tree._runtime.root.watchers
        assert not tree._runtime.bus.subscriptions
        with anyio.fail_after(60):
            if not tree["slow"].holds:
                await tree["slow"].wait_ready()
            await tree.start(Hanging(), name="another")
        assert "added" not in tree
        assert "started" not in tree
        await tree.stop()


async def test_a_cancelled_stop_is_followed_all_the_same() -> None:
    async with open_supervisor(await shop()) as tree:
        await settle()
        with anyio.move_on_after(1):
            await tree["slow"].stop()
        assert tree["slow"].state == "stopping"
        await tree["slow"].wait()
        assert [hold.owner for hold in tree["slow"].holds] == ["operator"]


async def test_a_cancelled_restart_goes_on() -> None:
    async with open_supervisor(await shop()) as tree:
        await settle()
        with anyio.move_on_after(1):
            await tree["slow"].restart()
        await tree["slow"].wait_ready()
        assert tree["slow"].life == 2


async def test_a_cancelled_stop_of_the_tree_goes_on() -> None:
    async with open_supervisor(await shop()) as tree:
        await settle()
        with anyio.move_on_after(1):
            await tree.stop()
        await tree.wait_stopped()


async def test_a_child_whose_starter_is_cancelled_is_not_left_over() -> None:
    gated = Gated()
    async with open_supervisor() as tree:
        with anyio.move_on_after(1):
            await tree.start(gated, name="a")
        await settle()
        assert "a" not in tree
        assert gated.lives[0].how == "cancelled"
        with anyio.move_on_after(1):
            await tree.add(Component(gated, name="a", stop=Stop(grace=1)))
        await anyio.sleep(2)
        assert "a" not in tree


async def test_a_starter_cancelled_in_the_instant_in_which_the_child_is_ready() -> None:
    gated = Gated()
    values: list[Any] = []
    async with open_supervisor() as tree:
        with CancelScope() as scope:
            async with anyio.create_task_group() as tg:

                async def start() -> None:
                    values.append(await tree.start(gated, name="a"))

                tg.start_soon(start)
                await settle()
                gated.open("value")
                scope.cancel()
        await settle()
        # Either the starter has its value and the child runs, or neither.
        assert ("a" in tree) == (values == ["value"])
        await tree.stop()


async def test_waiting_for_the_end_of_a_subscription_is_cancelled_cleanly() -> None:
    async with open_supervisor(await shop()) as tree:
        events = tree.events()
        for _ in range(3):
            with CancelScope() as scope:
                scope.cancel()
                await anext(events)
        tree.start_soon(Hanging())
        assert (await anext(events)).path.startswith("root/")
        events.close()
        await tree.stop()
