"""What becomes of a tree whose own tasks somebody cancels behind its back."""

from __future__ import annotations

import asyncio

import anyio.lowlevel
import pytest

from supervisor import Component, Stop, StopTimedOut, Supervisor, open_supervisor
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
