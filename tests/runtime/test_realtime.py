"""What only the real clock shows, on uvloop as well."""

from __future__ import annotations

import anyio
import pytest
from anyio import current_time, sleep

from supervisor import Backoff, Component, Supervisor, open_supervisor
from supervisor.testing import Crashing, Cued, no_leaks, settle

pytestmark = pytest.mark.realtime

NEVER_WAITS = Backoff(first=0, reset_after=0)


async def test_timers_fire_beside_a_child_that_crashes_all_the_time() -> None:
    """The trap of engin and tapio, on the real clock."""
    crashing = Crashing()
    spec = Supervisor("root", [Component(crashing, backoff=NEVER_WAITS, quarantine=None)])
    async with no_leaks(), open_supervisor(spec):
        began = current_time()
        for _ in range(5):
            await sleep(0.01)
        assert current_time() - began < 1
    assert len(crashing.lives) > 10


@pytest.mark.parametrize("children", [1, 100])
async def test_the_next_life_follows_within_a_millisecond(children: int) -> None:
    """Law 5 and the trap of mode: an exit that arrives at any time is handled at once."""
    cued = [Cued() for _ in range(children)]
    took = []
    async with no_leaks(), open_supervisor() as tree:
        for one in cued:
            tree.start_soon(one, backoff=NEVER_WAITS, quarantine=None)
        for life in range(1, 8):
            await settle()
            began = current_time()
            for one in cued:
                one.crash()
            for one in cued:
                await one.wait_began(life + 1)
            took.append((current_time() - began) / children)
        await tree.stop()
    assert sorted(took)[3] < 0.001
