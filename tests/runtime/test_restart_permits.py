"""``Supervisor(restarts=)`` in a running tree: who waits for which permit, and what becomes of it."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import anyio
import pytest
from anyio import current_time, sleep

from supervisor import (
    Backoff,
    Broker,
    Budget,
    Component,
    Limit,
    PermitMissed,
    Priority,
    Quarantine,
    RunningBroker,
    Started,
    Supervisor,
    Tree,
    open_supervisor,
)
from supervisor.testing import Boom, Crashing, Cued, Gated, Hanging, settle
from tests.runtime.conftest import Told

pytestmark = pytest.mark.usefixtures("leak_check")

AT_ONCE = Backoff(first=0, base=0, cap=0)
STRATEGIES = ["one_for_one", "one_for_all", "rest_for_one"]


class Paper:
    """A permit that knows whether it went back."""

    def __init__(self) -> None:
        self.back = 0

    def give_back(self) -> None:
        self.back += 1


class Desk:
    """Stands for the brokers: notes who asks, and grants when the test says so."""

    def __init__(self, tree: Tree) -> None:
        self.asked: list[tuple[str, str, Priority]] = []
        self.granted: list[Paper] = []
        self.cancelled: list[str] = []
        self._open = anyio.Event()
        tree._runtime.restarts.acquire = self._acquire

    async def _acquire(self, at: Any, budget: str, path: str, priority: Priority) -> Paper:
        self.asked.append((budget, path, priority))
        try:
            with anyio.fail_after(100_000):  # a fault is not to make the test hang
                await self._open.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled.append(path)
            raise
        self.granted.append(Paper())
        return self.granted[-1]

    def grant(self) -> None:
        """Everybody who waits gets one."""
        opened, self._open = self._open, anyio.Event()
        opened.set()


def component(run: Any, name: str, **fields: Any) -> Component:
    return Component(run, name=name, **{"backoff": AT_ONCE, "quarantine": None, **fields})


def metered(*children: Any, **fields: Any) -> Supervisor:
    """Restarts of these children take permits; see Desk for who grants them."""
    limit = Limit(1, per=1)
    return Supervisor("root", [Broker({"x": limit, "y": limit}), *children], restarts="x", **fields)


def requests(tree: Tree) -> int:
    return len(tree._runtime.restarts._waiting)


async def test_a_crashed_child_waits_for_its_permit() -> None:
    cued = Cued()
    async with open_supervisor(metered(component(cued, "a"))) as tree:
        desk = Desk(tree)
        await settle()
        cued.crash()
        await sleep(3600)

        assert desk.asked == [("x", "root/a", "medium")]
        assert tree["a"].state == "down"
        assert [hold.owner for hold in tree["a"].holds] == ["permit"]
        assert "a permit of x" in str(tree.explain("a"))
        desk.grant()
        await settle()

        assert tree["a"].life == 2
        assert requests(tree) == 0
        assert [paper.back for paper in desk.granted] == [0]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_what_is_stopped_while_it_waits_gives_its_request_up(strategy: Any) -> None:
    cued = Cued()
    spec = metered(Supervisor("s", [component(cued, "a")], strategy=strategy))
    async with open_supervisor(spec) as tree:
        desk = Desk(tree)
        await settle()
        cued.crash()
        await settle()

        await tree["s/a"].stop()
        await settle()

        assert desk.cancelled == ["root/s/a"]
        assert requests(tree) == 0
        await tree["s/a"].start()
        assert tree["s/a"].life == 2
    assert desk.granted == []


async def test_an_end_of_the_tree_waits_for_no_permit() -> None:
    children = [component(Crashing(1, after=1), name) for name in "abc"]
    nested = Supervisor("s", [component(Crashing(1, after=1), "d")])
    async with open_supervisor(metered(*children, nested)) as tree:
        desk = Desk(tree)
        await sleep(2)
        assert requests(tree) == 4
        since = current_time()
        await tree.stop()

    assert sorted(desk.cancelled) == ["root/a", "root/b", "root/c", "root/s/d"]
    assert current_time() == since


async def test_a_permit_that_comes_as_the_child_is_stopped_goes_back_unless_it_is_used() -> None:
    cued = Cued()
    async with open_supervisor(metered(component(cued, "a"))) as tree:
        desk = Desk(tree)
        await settle()
        cued.crash()
        await settle()
        desk.grant()

        await tree["a"].stop()
        await settle()

        assert requests(tree) == 0
        used = len(desk.granted) - sum(paper.back for paper in desk.granted)
        assert tree["a"].life == 1 + used
        assert len(desk.granted) + len(desk.cancelled) == 1


async def test_a_permit_that_is_fed_after_the_request_was_given_up_goes_back() -> None:
    cued = Cued()
    async with open_supervisor(metered(component(cued, "a"))) as tree:
        paper, begun = Paper(), anyio.Event()

        async def acquire(*_: Any) -> Paper:
            begun.set()
            with anyio.CancelScope(shield=True):
                await sleep(1)
            return paper

        tree._runtime.restarts.acquire = acquire
        await settle()
        cued.crash()
        await begun.wait()
        await tree["a"].stop()
        assert paper.back == 0
        await sleep(1)
        await settle()

        assert paper.back == 1
        assert tree["a"].life == 1


async def test_where_there_is_none_the_restart_goes_ahead_and_it_is_told(told: Told) -> None:
    cued = Cued()
    async with open_supervisor(metered(component(cued, "a"))) as tree:

        async def refuse(*_: Any) -> Paper:
            raise RuntimeError("the bank is closed")

        tree._runtime.restarts.acquire = refuse
        await settle()
        cued.crash()
        await settle()

        assert tree["a"].life == 2
        assert requests(tree) == 0
        (missed,) = told.of(PermitMissed)
        assert (missed.path, missed.budget) == ("root/a", "x")
        assert missed.reason == "RuntimeError: the bank is closed"


async def test_a_request_does_not_outlive_the_supervisor_of_its_child() -> None:
    first, second = Cued(), Cued()
    inner = [component(first, "a"), component(second, "b", restart="permanent")]
    nested = Supervisor("s", inner, backoff=AT_ONCE)
    async with open_supervisor(metered(nested)) as tree:
        desk = Desk(tree)
        await settle()
        first.crash()
        await settle()
        await tree["s"].restart()
        await tree["s"].wait_ready()
        await settle()

        assert desk.cancelled == ["root/s/a"]
        assert requests(tree) == 0
        desk.grant()
        await settle()
        assert tree["s/a"].life == 1


async def test_each_takes_the_budget_of_the_nearest_supervisor_that_names_one() -> None:
    deep = Supervisor("deep", [component(Crashing(1, after=1), "b", priority="low")])
    spec = metered(
        Supervisor("own", [component(Crashing(1, after=1), "a")], restarts="y"),
        Supervisor("s", [deep]),
    )
    async with open_supervisor(spec) as tree:
        desk = Desk(tree)
        await sleep(2)

        assert sorted(desk.asked) == [
            ("x", "root/s/deep/b", "low"),
            ("y", "root/own/a", "medium"),
        ]


async def test_what_lives_below_what_a_broker_needs_takes_none() -> None:
    net = Supervisor("net", [component(Crashing(1, after=1), "a")])
    broker = Broker({"x": Limit(1, per=60)}, needs=("net",))
    spec = Supervisor("root", [net, broker], restarts="x")
    async with open_supervisor(spec) as tree:
        desk = Desk(tree)
        await sleep(2)

        assert tree["net/a"].life == 2
        assert desk.asked == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_a_wait_that_is_cancelled_natively_takes_nobody_down(told: Told) -> None:
    cued, other = Cued(), Hanging()
    spec = metered(component(cued, "a"), component(other, "b"))
    async with open_supervisor(spec) as tree:
        Desk(tree)
        await settle()
        cued.crash()
        await settle()
        (task,) = [t for t in asyncio.all_tasks() if t.get_name() == "permit of root/a"]
        task.cancel()
        await settle()

        assert tree["a"].life == 2
        assert tree["b"].life == 1
        assert told.of(PermitMissed)[0].reason == "the wait for it was cancelled"


# --- with a broker ---------------------------------------------------------------------------------


def with_broker(*children: Any, limit: Limit | None = None, **fields: Any) -> Supervisor:
    broker = Broker({"x": limit or Limit(1, per=10)}, backoff=AT_ONCE, **fields)
    return Supervisor("root", [broker, *children], restarts="x")


async def test_a_common_cause_makes_no_stampede(told: Told) -> None:
    crashing = [component(Crashing(1, after=5), f"c{i}") for i in range(6)]
    async with open_supervisor(with_broker(*crashing)):
        await sleep(100)

    again = [event.at for event in told.of(Started) if event.life == 2]
    assert len(again) == 6
    gaps = [after - before for before, after in pairwise(again)]
    assert min(gaps) >= 10 - 1e-9
    assert max(gaps) == pytest.approx(10, abs=0.1)
    assert told.of(PermitMissed) == []


async def test_the_most_important_comes_back_first(told: Told) -> None:
    low = component(Crashing(1, after=5), "low", priority="low")
    high = component(Crashing(1, after=5), "high", priority="high")
    taker = component(Crashing(1, after=4), "taker")
    async with open_supervisor(with_broker(taker, low, high)):
        await sleep(100)

    again = [e.path for e in told.of(Started) if e.life == 2]
    assert again == ["root/taker", "root/high", "root/low"]


async def test_a_broker_that_crashes_keeps_those_who_wait_and_takes_no_permit(told: Told) -> None:
    children = [component(Crashing(1, after=5), name) for name in "ab"]
    async with open_supervisor(with_broker(*children, quarantine=None)) as tree:
        await sleep(6)
        assert sorted(child.life for child in (tree["a"], tree["b"])) == [1, 2]
        await tree["broker"].restart()
        await sleep(20)

        assert [tree["a"].life, tree["b"].life] == [2, 2]
        assert tree["broker"].life == 2
    assert told.of(PermitMissed) == []


async def test_a_broker_that_is_stopped_holds_nobody_up(told: Told) -> None:
    children = [component(Crashing(1, after=5), name) for name in "abc"]
    async with open_supervisor(with_broker(*children)) as tree:
        await sleep(6)
        assert requests(tree) == 2
        await tree["broker"].stop()
        await settle()

        assert [tree[name].life for name in "abc"] == [2, 2, 2]
        assert requests(tree) == 0
    assert len(told.of(PermitMissed)) == 2


async def test_a_broker_that_is_set_aside_holds_nobody_up(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise Boom

    children = [component(Crashing(1, after=5), name) for name in "abc"]
    aside = Quarantine(crashes=2, within=10, open=1000, factor=1, cap=1000, probe=3)
    async with open_supervisor(with_broker(*children, quarantine=aside)) as tree:
        await sleep(6)
        assert requests(tree) == 2
        monkeypatch.setattr(RunningBroker, "_grant", crash)
        await sleep(20)

        assert [hold.owner for hold in tree["broker"].holds] == ["quarantine"]
        assert [tree[name].life for name in "abc"] == [2, 2, 2]
    assert {e.reason for e in told.of(PermitMissed)} == {"BrokerDown: root/broker is down"}


async def test_a_broker_that_has_yet_to_start_holds_nobody_up(told: Told) -> None:
    """It waits for its place in a boot, perhaps for that very restart."""
    failing = Gated()
    for _ in range(3):
        failing.fail()
    failing.open()
    inner = Supervisor("inner", [component(failing, "a")], strategy="one_for_all")
    broker = Broker({"x": Limit(1, per=10**6)}, backoff=AT_ONCE)
    spec = Supervisor("root", [Supervisor("s", [inner, broker], restarts="x")])
    async with open_supervisor(spec) as tree:
        await sleep(1)

        assert tree["s/broker"].state == "ready"
        assert tree["s/inner/a"].life == 4
    reasons = [event.reason for event in told.of(PermitMissed)]
    assert reasons == ["BrokerDown: root/s/broker is down"] * 2


async def test_a_budget_that_refuses_holds_nobody_up(told: Told) -> None:
    children = [component(Crashing(1, after=5), name) for name in "ab"]
    broker = Broker({"x": Budget(Limit(1, per=100), max_wait=50)})
    async with open_supervisor(Supervisor("root", [broker, *children], restarts="x")) as tree:
        await sleep(6)

        assert [tree["a"].life, tree["b"].life] == [2, 2]
    (missed,) = told.of(PermitMissed)
    assert missed.reason.startswith("PermitRefused")


async def test_a_request_that_is_given_up_leaves_its_permit_to_the_next(told: Told) -> None:
    children = [component(Crashing(1, after=5), name) for name in "abc"]
    async with open_supervisor(with_broker(*children)) as tree:
        await sleep(6)
        waiting = [name for name in "abc" if tree[name].life == 1]
        await tree[waiting[0]].stop()
        await sleep(10)

        assert tree[waiting[1]].life == 2


async def test_a_probe_takes_a_permit() -> None:
    aside = Quarantine(crashes=1, within=10, open=5, factor=1, cap=5, probe=3)
    cued = Cued()
    spec = metered(component(cued, "a", quarantine=aside))
    async with open_supervisor(spec) as tree:
        desk = Desk(tree)
        await settle()
        cued.crash(Boom())
        await sleep(1)
        assert desk.asked == []
        await sleep(5)
        assert len(desk.asked) == 1
        desk.grant()
        await settle()

        assert tree["a"].life == 2
