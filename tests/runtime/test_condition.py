"""The condition of a tree, its snapshot, and why a child is as it is."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import current_time, sleep

from supervisor import (
    Backoff,
    Closing,
    Component,
    ConditionChanged,
    Intensity,
    NotFound,
    Quarantine,
    Stop,
    Supervisor,
    TreeFailed,
    open_supervisor,
)
from supervisor.testing import (
    Boom,
    Crashing,
    Declining,
    Gated,
    Hanging,
    Returning,
    SlowStopping,
    settle,
)

pytestmark = pytest.mark.usefixtures("leak_check")

QUICK = Backoff(first=0, base=0.001, cap=0.001, jitter="none")
POLICY = Quarantine(crashes=2, within=60, open=100, probe=10)


def one(run: Any, **options: Any) -> Supervisor:
    return Supervisor("root", [Component(run, name="a", **options)])


async def test_a_quarantine_degrades_the_tree_until_its_probe_is_good(told: Any) -> None:
    spec = one(Crashing(2, after=1), backoff=QUICK, quarantine=POLICY)
    async with open_supervisor(spec) as tree:
        assert tree.condition.status == "healthy"
        degraded = await tree.wait_condition("degraded")
        assert [(r.path, r.what) for r in degraded.reasons] == [("root/a", "quarantined")]
        began = current_time()
        await tree.wait_condition("healthy")
        assert 90 <= current_time() - began <= 110
    statuses = [e.condition.status for e in told.of(ConditionChanged)]
    assert statuses == ["degraded", "healthy"]


async def test_a_fallback_that_runs_is_told_as_such() -> None:
    spec = one(
        Crashing(after=1),
        backoff=QUICK,
        quarantine=POLICY,
        fallback=Component(Hanging(), name="b"),
    )
    async with open_supervisor(spec) as tree:
        condition = await tree.wait_condition("degraded")
        assert [r.what for r in condition.reasons] == ["on its fallback"]
        assert tree["a/fallback"].state == "ready"


async def test_a_child_that_is_not_ready_for_half_a_minute_degrades_the_tree() -> None:
    gated = Gated()
    async with open_supervisor() as tree:
        tree.start_soon(gated, name="a")
        await sleep(29)
        assert tree.condition.status == "healthy"
        await sleep(2)
        assert [r.what for r in tree.condition.reasons] == ["not ready"]
        gated.open()
        await tree.wait_condition("healthy")
        assert current_time() == 31.0
        await tree.stop()


async def test_what_an_operator_stopped_and_what_is_done_degrades_nothing() -> None:
    spec = Supervisor(
        "root",
        [
            Component(Hanging(), name="a"),
            Component(Returning(), name="b", restart="transient"),
            Component(Declining(), name="c"),
        ],
    )
    async with open_supervisor(spec) as tree:
        await tree["a"].stop()
        await sleep(100)
        assert tree.condition.status == "healthy"


async def test_reasons_of_a_supervisor_that_restarts_are_forgotten() -> None:
    inner = Supervisor(
        "inner", [Component(Crashing(2), name="a", backoff=QUICK, quarantine=POLICY)]
    )
    async with open_supervisor(Supervisor("root", [inner])) as tree:
        await tree.wait_condition("degraded")
        await tree["inner"].restart()
        assert tree.condition.status == "healthy"
        assert tree["inner/a"].life == 1


async def test_failed_once_the_root_escalates(told: Any) -> None:
    spec = Supervisor(
        "root",
        [Component(SlowStopping(1), name="b"), Component(Crashing(after=1), name="a")],
        intensity=Intensity(0, within=60),
    )
    with pytest.raises(TreeFailed):
        async with open_supervisor(spec) as tree:
            async with anyio.create_task_group() as tg:
                tg.start_soon(tree.wait_condition, "failed")
    assert tree.condition.status == "failed"
    assert ("root/a", "failed") in [(r.path, r.what) for r in tree.condition.reasons]


async def test_waiting_for_any_change() -> None:
    async with open_supervisor(one(Crashing(2, after=1), backoff=QUICK, quarantine=POLICY)) as tree:
        assert (await tree.wait_condition()).status == "degraded"
        assert (await tree.wait_condition()).status == "healthy"


async def test_waiting_for_a_condition_that_does_not_come() -> None:
    async with open_supervisor(one(Hanging())) as tree:
        async with anyio.create_task_group() as tg:

            async def wait() -> None:
                with pytest.raises(Closing):
                    await tree.wait_condition("degraded")

            tg.start_soon(wait)
            await settle()
            await tree.stop()
        with pytest.raises(Closing):
            await tree.wait_condition("degraded")
        assert (await tree.wait_condition("healthy")).status == "healthy"


async def test_a_snapshot_shows_the_whole_tree_at_one_moment() -> None:
    spec = Supervisor(
        "root",
        [
            Component(Hanging(), name="a", priority="high"),
            Supervisor("inner", [Component(Hanging(), name="b", priority="critical")]),
        ],
    )
    async with open_supervisor(spec) as tree:
        await sleep(3)
        view = tree.snapshot()
        assert view.at == 3.0
        paths = [child.path for child in view.root.walk()]
        assert paths == ["root", "root/a", "root/inner", "root/inner/b"]
        assert [child.kind for child in view.root.walk()][1:3] == ["component", "supervisor"]
        assert view.root.children[1].priority == "critical"
        await tree["a"].stop()
        assert view.root.children[0].state == "ready"


async def test_explain_in_each_state() -> None:
    gated = Gated()
    slow = SlowStopping(3)
    spec = Supervisor(
        "root",
        [
            Component(Hanging(), name="ready"),
            Component(slow, name="slow", stop=Stop(deadline=1)),
            Component(Hanging(), name="stopped"),
            Component(Hanging(), name="waits", needs=["stopped"]),
            Component(Crashing(), name="held", backoff=Backoff(first=50)),
            Component(Declining("closed"), name="declined"),
            Component(Returning(), name="done", restart="transient"),
        ],
    )
    async with open_supervisor(spec) as tree:
        await tree["stopped"].stop()
        tree.start_soon(gated, name="starting")
        await settle()
        for path, word in {
            "ready": "ready",
            "stopped": "operator",
            "waits": "stopped",
            "held": "restart",
            "declined": "closed",
            "done": "returned",
            "starting": "starting",
            "": "root",
        }.items():
            text = str(tree.explain(path))
            assert word in text, path
        async with anyio.create_task_group() as tg:

            async def stop() -> None:
                with pytest.raises(TimeoutError):
                    await tree["slow"].stop()

            tg.start_soon(stop)
            await settle()
            assert "stopping" in str(tree.explain("slow"))
            await sleep(2)
            assert "stuck" in str(tree.explain("slow"))
        with pytest.raises(NotFound):
            tree.explain("nobody")
        await tree.stop()
        assert tree.explain("ready").view.state == "down"


async def test_repr_shows_the_state() -> None:
    async with open_supervisor(one(Hanging())) as tree:
        assert repr(tree) == "<Tree root: healthy, 1 children>"
        assert repr(tree["a"]) == "<Child root/a: ready, life 1>"
        assert repr(tree["root/a"]._last) == "<root/a#1 ready>"


async def test_a_probe_that_fails_keeps_the_tree_degraded(told: Any) -> None:
    spec = one(Crashing(3), backoff=QUICK, quarantine=POLICY)
    async with open_supervisor(spec) as tree:
        await sleep(1000)
        assert tree.condition.status == "healthy"
    assert [e.condition.status for e in told.of(ConditionChanged)] == ["degraded", "healthy"]


async def test_a_condition_that_comes_and_goes_in_an_instant_is_still_an_event(told: Any) -> None:
    spec = one(Crashing(2, error=Boom), backoff=QUICK, quarantine=POLICY)
    async with open_supervisor(spec) as tree:
        await tree.wait_condition("degraded")
        await tree["a"].start()
        await sleep(20)
    assert [e.condition.status for e in told.of(ConditionChanged)] == ["degraded", "healthy"]
