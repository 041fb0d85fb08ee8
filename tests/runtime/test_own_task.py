"""What becomes of a tree whose own tasks somebody cancels behind its back."""

from __future__ import annotations

import asyncio
import gc

import anyio.lowlevel
import pytest

from supervisor import (
    Component,
    ForeignCancellation,
    Stop,
    StopTimedOut,
    Supervisor,
    TreeFailed,
    open_supervisor,
)
from supervisor._core.effects import StartChild
from supervisor.testing import Hanging, Swallowing

pytestmark = pytest.mark.usefixtures("leak_check")


@pytest.mark.virtual_clock(spin=200)
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_a_tree_whose_timer_is_cancelled_stops_in_order_and_keeps_its_deadlines() -> None:
    swallowing = Swallowing()
    children = [Component(Hanging()), Component(swallowing, stop=Stop(deadline=1))]
    async with open_supervisor(Supervisor("root", children)) as tree:
        told = tree.events(StopTimedOut)
        (timer,) = [t for t in asyncio.all_tasks() if "_sleep_until_deadlines" in t.get_name()]
        timer.cancel()
        event = await anext(aiter(told))
        assert event.path == "root/Swallowing"
        swallowing.let_go()
        await tree.wait_stopped()
        await anyio.lowlevel.checkpoint()


@pytest.mark.filterwarnings("ignore:coroutine 'live' was never awaited:RuntimeWarning")
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
@pytest.mark.parametrize("dynamic", [True, False])
async def test_a_life_that_is_cancelled_natively_before_its_first_step_fails_the_tree_aloud(
    dynamic: bool,
) -> None:
    """Nothing of ours runs in such a task, and anyio takes down its whole group."""
    await _fail_before_the_first_step(dynamic)
    gc.collect()  # the coroutine, here where its warning is expected


async def _fail_before_the_first_step(dynamic: bool) -> None:
    tree_of_one = Supervisor("root", [Component(Hanging(), name="b")])
    with pytest.raises(TreeFailed, match="before its first step") as caught:
        async with open_supervisor(tree_of_one) as tree:
            await anyio.lowlevel.checkpoint()
            await tree["b"].stop()
            before = asyncio.all_tasks()
            if dynamic:
                tree.start_soon(Hanging(), name="a")
            else:
                root = tree._runtime.root
                tree._runtime.feed(root, StartChild(root.node.children["b"]))
            for task in asyncio.all_tasks() - before:
                task.cancel()
            await anyio.sleep(1000)
    assert isinstance(caught.value.exceptions[0], ForeignCancellation)
