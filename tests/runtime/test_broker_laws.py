"""Laws 10, 11 and 12 of the running broker, whatever comes: who asks, gives up, gives back or is
cancelled; other limits, pauses and gates; crashes and restarts of the broker itself."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

import anyio
import pytest
from anyio import CancelScope, create_task_group, current_time, fail_after, sleep, sleep_until
from hypothesis import given
from hypothesis import strategies as st

from supervisor import (
    Backoff,
    Broker,
    Budget,
    BudgetFigures,
    Limit,
    Priority,
    RunningBroker,
    Supervisor,
    acquire,
    current_broker,
    open_supervisor,
)
from supervisor.testing import virtual_backend

PRIORITIES: tuple[Priority, ...] = ("low", "medium", "high", "critical")
LONG = 100_000.0
NEARLY = 1e-6


class Asker(NamedTuple):
    """Who asks once. Times are steps of a quarter of a second."""

    at: int
    priority: Priority
    cost: int
    patience: int | None
    gives_back: bool


class Turn(NamedTuple):
    """What happens to the broker."""

    at: int
    what: Literal["crash", "restart", "limit", "pause", "gate"]
    amount: int


class Grant(NamedTuple):
    at: float
    who: int
    cost: int


def limits(burst: int) -> st.SearchStrategy[Limit]:
    windows = st.builds(
        lambda n, per: Limit(max(n, burst), per=per, burst=burst),
        st.integers(1, 8),
        st.sampled_from([0.5, 2.0, 7.5]),
    )
    smooth = st.builds(
        lambda rate: Limit.smooth(rate, burst=burst), st.sampled_from([0.4, 2.0, 9.0])
    )
    return windows | smooth


ASKERS = st.lists(
    st.builds(
        Asker,
        at=st.integers(0, 40),
        priority=st.sampled_from(PRIORITIES),
        cost=st.integers(1, 4),
        patience=st.none() | st.integers(0, 12),
        gives_back=st.booleans(),
    ),
    min_size=1,
    max_size=25,
)
TURNS = st.lists(
    st.builds(
        Turn,
        at=st.integers(0, 40),
        what=st.sampled_from(["crash", "restart", "limit", "pause", "gate"]),
        amount=st.integers(1, 8),
    ),
    max_size=5,
)


class Play:
    """One broker with its askers, and what came of it."""

    def __init__(self, limit: Limit, askers: list[Asker], turns: list[Turn]) -> None:
        self.limit = limit
        self.askers = askers
        self.turns = turns
        self.grants: list[Grant] = []
        self.kept: list[Grant] = []
        self.ended: list[int] = []
        self.limits: list[tuple[float, Limit]] = []
        self.crashing = False
        self.ever: BudgetFigures | None = None

    async def run(self) -> None:
        broker = Broker(
            {"api": self.limit}, quarantine=None, backoff=Backoff(base=0.1, cap=1, jitter="none")
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RunningBroker, "_grant", self._grant_or_crash(RunningBroker._grant))
            async with open_supervisor(Supervisor("root", [broker])) as tree:
                running = current_broker()
                self.limits.append((current_time(), self.limit))
                with fail_after(LONG):
                    async with create_task_group() as group:
                        for who, asker in enumerate(self.askers):
                            group.start_soon(self._ask, group, who, asker)
                        for number, turn in enumerate(self.turns):
                            group.start_soon(self._take_turn, tree, running, number, turn)
                *_, self.ever = running.statistics().budgets["api"]

    def _grant_or_crash(self, grant: Any) -> Any:
        def either(broker: RunningBroker) -> Any:
            if self.crashing:
                self.crashing = False
                raise RuntimeError("the broker crashes")
            return grant(broker)

        return either

    async def _ask(self, group: Any, who: int, asker: Asker) -> None:
        # No two things happen at one moment, as the order within one is the scheduler's.
        start = asker.at / 4 + who / 1024
        await sleep_until(start)
        with CancelScope() as scope:
            if asker.patience is not None:
                group.start_soon(self._cancel, scope, start + asker.patience / 4 + 1 / 4096)
            cost = min(asker.cost, self.limit.burst)
            permit = await acquire("api", priority=asker.priority, cost=cost)
            grant = Grant(permit.granted_at, who, cost)
            self.grants.append(grant)
            self.kept.append(grant)
            if asker.gives_back:
                await sleep(0.1)
                permit.give_back()
                self.kept.remove(grant)
        self.ended.append(who)

    async def _cancel(self, scope: CancelScope, at: float) -> None:
        await sleep_until(at)
        scope.cancel()

    async def _take_turn(self, tree: Any, running: RunningBroker, number: int, turn: Turn) -> None:
        await sleep_until(turn.at / 4 + number / 1024 + 1 / 8192)
        match turn.what:
            case "crash":
                self.crashing = True
                running._wake()
            case "restart":
                if tree["broker"].state == "ready":
                    await tree["broker"].restart()
            case "limit":
                burst = self.limit.burst
                limit = Limit(burst + turn.amount, per=turn.amount / 2, burst=burst)
                running.configure("api", limit)
                self.limits.append((current_time(), limit))
            case "pause":
                running.pause("api")
                await sleep(turn.amount)
                running.resume("api")
            case "gate":
                running.shut("api", turn.amount)


def played(backend: Literal["asyncio", "trio"], *what: Any) -> Play:
    play = Play(*what)
    name, options = virtual_backend(backend)
    anyio.run(play.run, backend=name, backend_options=options)
    return play


def hold(play: Play) -> None:
    """What every window holds, of what was not given back, is within its limit."""
    ends = [at for at, _ in play.limits[1:]] + [float("inf")]
    for (start, limit), end in zip(play.limits, ends, strict=True):
        inside = sorted(grant for grant in play.kept if start < grant.at < end or start == 0.0)
        inside = [grant for grant in inside if start <= grant.at < end]
        for number, first in enumerate(inside):
            for last in inside[number:]:
                most = allowed(limit, last.at - first.at)
                held = sum(g.cost for g in inside[number:] if g.at <= last.at)
                assert held <= most + NEARLY, (limit, first, last)


def allowed(limit: Limit, span: float) -> float:
    if limit.kind == "window" and span < limit.per - NEARLY:
        return limit.n
    if limit.kind == "window":
        return float("inf")  # each shorter window within it is looked at, too
    return limit.burst + limit.rate * span


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The crashes of these brokers are no news."""
    log = logging.getLogger("supervisor")
    log.disabled = True
    yield
    log.disabled = False


@given(st.data())
def test_every_window_holds_no_more_than_the_limit_and_nobody_is_lost(data: st.DataObject) -> None:
    limit = data.draw(st.integers(1, 4).flatmap(limits))
    askers, turns = data.draw(ASKERS), data.draw(TURNS)
    plays = [played("asyncio", limit, askers, turns), played("trio", limit, askers, turns)]
    for play in plays:
        hold(play)
        assert sorted(play.ended) == list(range(len(askers)))
        assert once(grant.who for grant in play.grants)
        patient = {who for who, asker in enumerate(askers) if asker.patience is None}
        assert patient <= {grant.who for grant in play.grants}
        assert play.ever is not None
        assert play.ever.cost - play.ever.given_back == sum(g.cost for g in play.kept)
    first, second = (sorted(play.grants) for play in plays)
    assert first == second


def once(names: Iterable[int]) -> bool:
    seen = list(names)
    return len(seen) == len(set(seen))


def test_a_broker_that_crashes_at_each_grant_serves_all_in_their_order() -> None:
    askers = [Asker(0, "medium", 1, None, False) for _ in range(10)]
    turns = [Turn(at, "crash", 1) for at in range(0, 40, 2)]
    play = played("asyncio", Limit.smooth(1, burst=1), askers, turns)
    assert [grant.who for grant in play.grants] == list(range(10))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_each_class_that_is_kept_busy_gets_its_share(backend: Literal["asyncio", "trio"]) -> None:
    got: dict[str, int] = dict.fromkeys(PRIORITIES, 0)

    async def ask(priority: Priority) -> None:
        while True:
            await acquire("api", priority=priority)
            got[priority] += 1

    async def main() -> None:
        tree = Supervisor("root", [Broker({"api": Limit(40, per=1, burst=1)})])
        async with open_supervisor(tree), create_task_group() as group:
            for priority in PRIORITIES:
                for _ in range(30):
                    group.start_soon(ask, priority)
            await sleep(100)
            group.cancel_scope.cancel()

    name, options = virtual_backend(backend)
    anyio.run(main, backend=name, backend_options=options)
    assert sum(got.values()) == pytest.approx(4000, abs=2)
    shares = {"low": 1 / 40, "medium": 3 / 40, "high": 9 / 40, "critical": 27 / 40}
    for priority, share in shares.items():
        assert got[priority] == pytest.approx(4000 * share, rel=0.02)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_hundred_thousand_wait_and_half_of_them_give_up(
    backend: Literal["asyncio", "trio"],
) -> None:
    served = 0

    async def ask() -> None:
        nonlocal served
        await acquire("api")
        served += 1

    async def main(number: int) -> None:
        budget = Budget(Limit.smooth(1_000_000, burst=number), max_waiting=2 * number)
        tree = Supervisor("root", [Broker({"api": budget})])
        async with open_supervisor(tree), create_task_group() as group:
            running = current_broker()
            running.pause("api")
            await sleep(1)
            with CancelScope() as half:
                async with create_task_group() as impatient:
                    for _ in range(number // 2):
                        impatient.start_soon(ask)
                        group.start_soon(ask)
                    await sleep(1)
                    assert sum(running.status("api").waiting.values()) == number
                    half.cancel()
            assert sum(running.status("api").waiting.values()) == number // 2
            running.resume("api")
        assert served == number // 2

    name, options = virtual_backend(backend)
    anyio.run(main, 100_000, backend=name, backend_options=options)
