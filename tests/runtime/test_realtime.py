"""What only the real clock shows, on uvloop as well."""

from __future__ import annotations

import logging
from itertools import pairwise

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


@pytest.fixture
def unlogged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing a traceback to the log takes longer than what is measured here."""
    monkeypatch.setattr(logging.getLogger("supervisor"), "disabled", True)


@pytest.mark.usefixtures("unlogged")
@pytest.mark.parametrize("children", [1, 100])
async def test_the_next_life_follows_at_once(children: int) -> None:
    """Law 5 and the trap of mode: an exit that arrives at any time is handled at once."""
    cued = [Cued() for _ in range(children)]
    took = []
    async with no_leaks(), open_supervisor() as tree:
        for one in cued:
            tree.start_soon(one, backoff=NEVER_WAITS, quarantine=None)
        for life in range(1, 6):
            await settle()
            began = current_time()
            for one in cued:
                one.crash()
            for one in cued:
                await one.wait_began(life + 1)
            took.append((current_time() - began) / children)
        await tree.stop()
    # Half a millisecond at most; asyncio's debug mode, which every test runs in, takes five times that.
    assert sorted(took)[2] < 0.005


@pytest.mark.usefixtures("unlogged")
async def test_a_backoff_is_neither_cut_short_nor_drawn_out() -> None:
    """Law 5: no restart before its backoff; and within 2 ms and one turn of the loop after it."""
    crashing = Crashing(9)
    spec = Component(
        crashing, backoff=Backoff(first=0.01, reset_after=0, jitter="none"), quarantine=None
    )
    async with no_leaks(), open_supervisor(Supervisor("root", [spec])):
        await crashing.wait_began(10)
    gaps = [
        next_one.began - life.ended
        for life, next_one in pairwise(crashing.lives)
        if life.ended is not None
    ]
    assert min(gaps) >= 0.01 - 1e-6  # uvloop counts whole milliseconds, as fractions of a second
    assert sorted(gaps)[4] < 0.012 + 0.005  # a turn of asyncio's debug mode takes its time
