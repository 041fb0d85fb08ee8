"""Without a monitor, idle costs nothing: no timers, no polling, no wake-ups."""

from __future__ import annotations

import math
from typing import Any

import anyio
import pytest
from anyio import sleep
from anyio.lowlevel import current_token

from supervisor import Backoff, Component, Quarantine, Supervisor, open_supervisor
from supervisor.testing import Crashing, Gated, Hanging, settle

pytestmark = pytest.mark.usefixtures("leak_check")


def next_timer(backend: str) -> float:
    """Seconds until the event loop has something to do by itself; infinity for never."""
    if backend == "trio":
        import trio

        return trio.lowlevel.current_statistics().seconds_to_next_deadline
    loop: Any = current_token().native_token
    timers = [timer.when() for timer in loop._scheduled if not timer.cancelled()]
    return min(timers, default=math.inf) - (loop.time() if timers else 0)


async def test_idle_children_set_no_timer(anyio_backend_name: str) -> None:
    """Law 13, the traps of runsmith and mode."""
    hanging = Hanging()
    spec = Supervisor(
        "root",
        [
            Component(hanging, name="a", copies=200),
            Supervisor("inner", [Component(hanging, name="b", start_timeout=5)]),
        ],
    )
    async with open_supervisor(spec) as tree:
        for _ in range(20):
            tree.start_soon(hanging)
        await settle()
        assert next_timer(anyio_backend_name) == math.inf
        await tree.stop()


async def test_no_task_wakes_while_nothing_happens(anyio_backend_name: str) -> None:
    """Law 13: an hour passes in one jump of the clock."""
    steps = 0
    async with open_supervisor(Supervisor("root", [Component(Hanging(), copies=50)])) as tree:
        original = tree._runtime.feed

        def counted(*args: Any) -> None:
            nonlocal steps
            steps += 1
            original(*args)

        tree._runtime.feed = counted  # type: ignore[method-assign]
        await settle()
        assert next_timer(anyio_backend_name) == math.inf
        await sleep(3600)
        assert steps == 0


async def test_an_error_that_is_not_resolved_yet_sets_no_timer(anyio_backend_name: str) -> None:
    """Law 13: what time brings about is found when somebody asks."""
    crashing = Component(Crashing(1), name="a", backoff=Backoff(first=0, reset_after=60))
    async with open_supervisor(Supervisor("root", [crashing])) as tree:
        await settle()
        assert tree["a"].life == 2
        assert len(tree.errors(unresolved=True)) == 1
        assert next_timer(anyio_backend_name) == math.inf
        await sleep(60)
        assert tree.errors(unresolved=True) == ()
        await tree.stop()


async def test_timers_go_when_what_they_were_for_is_over(anyio_backend_name: str) -> None:
    crashing, gated = Crashing(5), Gated()
    policy = Quarantine(crashes=3, within=60, open=60, probe=5)
    gated.open()
    spec = Supervisor(
        "root",
        [
            Component(crashing, name="a", quarantine=policy),
            Component(gated, name="b", start_timeout=5, heartbeat=None),
        ],
    )
    async with open_supervisor(spec) as tree:
        await sleep(2000)
        assert tree.condition.status == "healthy"
        await settle()
        assert next_timer(anyio_backend_name) == math.inf


async def test_an_hour_of_crash_loops_leaves_nothing_behind(anyio_backend_name: str) -> None:
    """Law 15: nothing grows without a bound."""
    spec = Supervisor(
        "root", [Component(Crashing(), name=f"c{i}", quarantine=None) for i in range(2)]
    )
    async with open_supervisor(spec) as tree:
        await sleep(3600)
        runtime = tree._runtime
        assert len(runtime._deadlines) < 100
        assert len(runtime.root.node.timers) < 100
        assert not runtime._inbox
        assert not runtime.root.watchers
        for state in runtime.root.node.children.values():
            assert state.life > 50
            assert state.circuit is None or len(state.circuit.log) <= 5


async def test_crash_loops_leave_nothing_behind_the_deadline_of_another_supervisor() -> None:
    """Law 15: deadlines that no longer hold do not wait until an earlier one has passed."""

    async def fails(*, task_status: Any) -> None:
        await sleep(0.1)
        raise ValueError

    never_waits = Backoff(first=0, base=0)
    crashing = Component(fails, start_timeout=3600, backoff=never_waits, quarantine=None)
    spec = Supervisor(
        "root",
        [
            Component(Hanging(), name="calm", heartbeat=1800),
            Supervisor("inner", [crashing]),
        ],
    )
    async with open_supervisor(spec) as tree:
        await sleep(100)
        assert tree["inner/fails"].life > 500
        assert len(tree._runtime._deadlines) < 100
        await tree.stop()


async def test_dynamic_children_that_come_and_go_leave_nothing_behind() -> None:
    """Law 15, and the leaks of long-lived groups."""
    async with open_supervisor() as tree:

        async def job() -> None:
            await sleep(1)

        for _ in range(500):
            tree.start_soon(job)
            await anyio.lowlevel.checkpoint()
        await sleep(2)
        node = tree._runtime.root.node
        assert len(node.children) == 0
        assert node.copies == {}


async def test_a_timer_goes_as_soon_as_what_it_was_for_is_called_off(
    anyio_backend_name: str,
) -> None:
    spec = Supervisor("root", [Component(Crashing(), name="a", backoff=Backoff(first=100))])
    async with open_supervisor(spec) as tree:
        await settle()
        assert next_timer(anyio_backend_name) < math.inf
        await tree["a"].stop()
        await settle()
        assert next_timer(anyio_backend_name) == math.inf
