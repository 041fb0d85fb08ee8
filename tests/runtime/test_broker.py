"""Permits in a running tree: who gets them, in which order, and who is told that he gets none."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio import CancelScope, create_task_group, current_time, fail_after, sleep
from anyio.lowlevel import cancel_shielded_checkpoint, checkpoint

from supervisor import (
    Backoff,
    Broker,
    BrokerClosed,
    Budget,
    BudgetChanged,
    Component,
    CostTooHigh,
    GateShut,
    Limit,
    NoTree,
    Permit,
    PermitRefused,
    PermitUsed,
    Priority,
    Quarantine,
    RunningBroker,
    Supervisor,
    TreeInvalid,
    UnknownBudget,
    acquire,
    acquire_rate_limit,
    current_broker,
    open_supervisor,
    try_acquire,
)
from supervisor.testing import Boom, Cued, settle
from tests.runtime.conftest import Told

pytestmark = pytest.mark.usefixtures("leak_check")

ONE_A_SECOND = {"api": Limit.smooth(1, burst=1)}


def broker(budgets: Any = ONE_A_SECOND, **options: Any) -> Supervisor:
    return Supervisor("root", [Broker(budgets, **options)])


async def granted(
    count: int, log: list[Any], tag: Any = None, *, priority: Priority | None = None, cost: int = 1
) -> None:
    for _ in range(count):
        await acquire("api", priority=priority, cost=cost)
        log.append((tag, current_time()))


# --- at once ---------------------------------------------------------------------------------------


async def test_what_the_burst_allows_is_granted_at_once() -> None:
    async with open_supervisor(broker({"api": Limit(5, per=10)})):
        start = current_time()
        permits = [await acquire("api") for _ in range(5)]
        assert [permit.waited for permit in permits] == [0.0] * 5
        assert current_time() == start
        assert try_acquire("api") is None


async def test_a_full_window_grants_nothing_although_the_bucket_was_refilled() -> None:
    async with open_supervisor(broker({"api": Limit(5, per=10)})):
        for _ in range(5):
            await acquire("api")
        await sleep(9)
        assert try_acquire("api") is None
        await sleep(1)
        assert try_acquire("api") is not None


async def test_after_a_rest_no_more_than_the_burst_is_granted_at_once() -> None:
    async with open_supervisor(broker({"api": Limit.smooth(1, burst=2)})):
        await sleep(100)
        assert [try_acquire("api") is None for _ in range(3)] == [False, False, True]


async def test_who_waits_is_granted_when_the_window_has_room() -> None:
    async with open_supervisor(broker({"api": Limit(5, per=10)})):
        start = current_time()
        for _ in range(5):
            await acquire("api")
        permit = await acquire("api")
        assert (permit.waited, permit.granted_at) == (10, start + 10)


async def test_a_permit_knows_its_budget_its_cost_and_how_long_it_took() -> None:
    async with open_supervisor(broker({"api": Limit.smooth(2, burst=4)})):
        first = await acquire("api", cost=4)
        second = await acquire("api", cost=3)
        assert (first.budget, first.cost, first.waited) == ("api", 4, 0)
        assert (second.cost, second.waited) == (3, 1.5)


async def test_acquire_rate_limit_answers_with_the_seconds_that_it_took() -> None:
    async with open_supervisor(broker()):
        assert await acquire_rate_limit("api") == 0
        assert await acquire_rate_limit("api", "high") == 1


async def test_nobody_passes_those_who_wait() -> None:
    async with open_supervisor(broker()), create_task_group() as group:
        await acquire("api")
        log: list[Any] = []
        group.start_soon(granted, 2, log)
        await sleep(1.5)
        assert len(log) == 1
        assert try_acquire("api") is None
        await sleep(1)
        assert len(log) == 2


@pytest.mark.parametrize("budget", ["api", "one that passes"])
async def test_a_loop_of_permits_that_are_there_leaves_others_their_turn(budget: str) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        for _ in range(20):
            turns += 1
            await checkpoint()

    lenient = broker({"api": Limit(10_000, per=1)}, unknown="pass")
    async with open_supervisor(lenient), create_task_group() as group:
        group.start_soon(count)
        for _ in range(5120):
            await acquire(budget)
        assert turns >= 5


async def test_who_asks_again_whenever_he_is_refused_does_not_hold_up_who_waits() -> None:
    async with open_supervisor(broker({"api": Limit(1, per=60)})):
        held = await acquire("api")
        log: list[Any] = []
        async with create_task_group() as group:
            group.start_soon(granted, 1, log)
            await settle()
            held.give_back()
            with fail_after(1):
                for _ in range(20):
                    with pytest.raises(PermitRefused):
                        await acquire("api")
            assert len(log) == 1


async def test_who_asks_a_stopping_broker_again_and_again_does_not_hold_it_up() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        for _ in range(20):
            turns += 1
            await checkpoint()

    async with open_supervisor(broker()) as tree, create_task_group() as group:
        await tree["broker"].stop()
        group.start_soon(count)
        for _ in range(100):
            with pytest.raises(BrokerClosed):
                await acquire("api")
        assert turns >= 5


# --- the order -------------------------------------------------------------------------------------


async def test_the_more_important_goes_first_and_one_class_is_in_order() -> None:
    async with open_supervisor(broker()), create_task_group() as group:
        await acquire("api")
        log: list[Any] = []
        words: list[Priority] = ["low", "high", "low", "critical", "high"]
        for number, word in enumerate(words):
            group.start_soon(_named, log, number, word)
            await settle()
    assert [number for number, _ in log] == [3, 1, 4, 0, 2]


async def _named(log: list[Any], number: int, priority: Priority) -> None:
    await granted(1, log, number, priority=priority)


async def test_a_components_calls_take_its_priority() -> None:
    log: list[Any] = []

    async def caller(tag: str) -> None:
        await granted(2, log, tag)
        await anyio.sleep_forever()

    tree = Supervisor(
        "root",
        [
            Broker(ONE_A_SECOND),
            Component(caller, args=("low",), name="a", priority="low"),
            Component(caller, args=("critical",), name="b", priority="critical"),
        ],
    )
    async with open_supervisor(tree):
        await sleep(10)
    # The first comes at once, as nobody waits yet.
    assert [tag for tag, _ in log] == ["low", "critical", "critical", "low"]


# --- whose broker ----------------------------------------------------------------------------------


async def test_the_nearest_broker_that_has_the_budget_serves() -> None:
    found: list[str] = []

    async def look() -> None:
        found.extend(current_broker(name).path for name in ("api", "outer"))
        found.append(current_broker().path)
        await anyio.sleep_forever()

    inner = Supervisor("inner", [Broker({"api": Limit(1, per=1)}), Component(look)])
    outer = Broker({"api": Limit(1, per=1), "outer": Limit(1, per=1)})
    async with open_supervisor(Supervisor("root", [outer, inner])):
        await settle()
    assert found == ["root/inner/broker", "root/broker", "root/inner/broker"]


async def test_a_broker_among_the_arguments_is_the_running_one() -> None:
    got: list[Any] = []

    async def user(running: RunningBroker) -> None:
        got.append(running)
        await anyio.sleep_forever()

    declared = Broker(ONE_A_SECOND)
    tree = Supervisor("root", [declared, Component(user, args=(declared,))])
    async with open_supervisor(tree) as running:
        await settle()
        assert got == [running["broker"].value]
        assert isinstance(got[0], RunningBroker)


async def test_an_unknown_budget_is_an_error_that_names_those_there_are() -> None:
    async with open_supervisor(broker({"api": Limit(1, per=1), "feed": Limit(1, per=1)})):
        with pytest.raises(UnknownBudget, match="no budget 'aip': there are api, feed"):
            await acquire("aip")
        with pytest.raises(UnknownBudget):
            try_acquire("aip")
        running = current_broker()
        with pytest.raises(UnknownBudget):
            await running.acquire("aip")
        with pytest.raises(UnknownBudget):
            running.status("aip")


async def test_a_lenient_broker_lets_pass_what_it_does_not_know_and_counts_it() -> None:
    async with open_supervisor(broker(unknown="pass")):
        for _ in range(3):
            async with acquire("other") as permit:
                assert permit.waited == 0
        assert try_acquire("another") is not None
        assert current_broker().statistics().passed == 4


async def test_without_a_broker_there_is_an_error_that_says_so() -> None:
    async with open_supervisor(Supervisor("root", [])):
        with pytest.raises(UnknownBudget, match="no broker is here or above"):
            acquire("api")
        with pytest.raises(NoTree, match="no broker"):
            current_broker()
    with pytest.raises(NoTree):
        acquire("api")


# --- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cost", [0, -1, 1.5, math.inf, math.nan, True, "1", None, 6])
async def test_a_cost_that_can_never_be_granted_is_refused_at_once(cost: Any) -> None:
    async with open_supervisor(broker({"api": Limit(10, per=1, burst=5)})):
        if cost is not True:
            with pytest.raises(CostTooHigh, match="from 1 to its burst of 5"):
                await acquire("api", cost=cost)
            with pytest.raises(CostTooHigh):
                try_acquire("api", cost=cost)
        assert len([await acquire("api") for _ in range(5)]) == 5


async def test_a_priority_that_there_is_not_is_refused_also_where_nobody_waits() -> None:
    wrong: Any = "urgent"
    async with open_supervisor(broker({"api": Limit(100, per=1)})):
        for _ in range(6):
            with pytest.raises(ValueError, match="priority is one of low, medium, high, critical"):
                await acquire("api", priority=wrong)
            with pytest.raises(ValueError, match="priority is one of"):
                try_acquire("api", priority=wrong)
            await acquire("api")


async def test_a_worker_thread_is_told_to_ask_in_the_event_loop() -> None:
    told: list[str] = []

    def ask() -> None:
        for call in (acquire, try_acquire):
            with pytest.raises(NoTree) as refused:
                call("api")
            told.append(str(refused.value))
        told.append(anyio.from_thread.run(acquire_rate_limit, "api"))

    async def caller() -> None:
        await anyio.to_thread.run_sync(ask)

    async with open_supervisor(broker()) as tree:
        await tree.start_soon(caller).wait()
    assert "anyio.from_thread.run" in told[0]
    assert (told[0], told[2]) == (told[1], 0)


@pytest.mark.parametrize("seconds", [-1, math.inf, math.nan])
async def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    async with open_supervisor(broker()):
        with pytest.raises(ValueError, match="number of seconds"):
            current_broker().shut("api", seconds)
        permit = await acquire("api")
        with pytest.raises(ValueError, match="number of seconds"):
            permit.throttled(seconds)


USES: list[Callable[[Permit], Any]] = [Permit.give_back, Permit.throttled, Permit.answered]


@pytest.mark.parametrize("second", USES)
@pytest.mark.parametrize("first", USES)
async def test_a_permit_is_used_once(first: Any, second: Any) -> None:
    async with open_supervisor(broker()):
        permit = await acquire("api")
        first(permit)
        with pytest.raises(PermitUsed, match="acquire one for each call"):
            second(permit)


async def test_a_permit_is_entered_once() -> None:
    async with open_supervisor(broker()):
        permit = await acquire("api")
        async with permit:
            with pytest.raises(PermitUsed):
                permit.give_back()
        with pytest.raises(PermitUsed):
            async with permit:
                pass


async def test_a_call_that_fails_says_nothing_about_the_budget() -> None:
    async with open_supervisor(broker({"api": Limit(5, per=1)})):
        with pytest.raises(ConnectionError):
            async with acquire("api"):
                raise ConnectionError("refused")
        assert try_acquire("api") is not None


# --- cancellation ----------------------------------------------------------------------------------


async def test_a_permit_given_back_is_there_for_the_next() -> None:
    async with open_supervisor(broker({"api": Limit(1, per=60)})):
        permit = await acquire("api")
        assert try_acquire("api") is None
        permit.give_back()
        assert (await acquire("api")).waited == 0


async def test_a_permit_given_back_in_the_moment_of_another_limit_is_there_again() -> None:
    async with open_supervisor(broker({"api": Limit(2, per=60)})):
        running = current_broker()
        before = await acquire("api")
        running.configure("api", Limit(2, per=60))
        after = await acquire("api")
        assert try_acquire("api") is None
        after.give_back()
        before.give_back()
        assert [try_acquire("api") is None for _ in range(3)] == [False, False, True]


async def test_a_permit_given_back_reaches_who_waits_at_once() -> None:
    async with open_supervisor(broker({"api": Limit(1, per=60)})), create_task_group() as group:
        permit = await acquire("api")
        log: list[Any] = []
        group.start_soon(granted, 1, log)
        await settle()
        start = current_time()
        permit.give_back()
        await settle()
        assert log == [(None, start)]


async def test_who_is_cancelled_while_he_waits_takes_nothing_with_him() -> None:
    async with open_supervisor(broker()):
        await acquire("api")
        start = current_time()
        async with create_task_group() as group:
            group.start_soon(acquire_rate_limit, "api")
            await sleep(0.5)
            group.cancel_scope.cancel()
        permit = await acquire("api")
        assert permit.granted_at == start + 1


@pytest.mark.parametrize("turns", range(8))
async def test_cancelled_at_any_turn_around_the_grant_nothing_is_lost(turns: int) -> None:
    async with open_supervisor(broker({"api": Limit(1, per=60)})):
        held = await acquire("api")
        got: list[Permit] = []
        scope = CancelScope()

        async def ask() -> None:
            with scope:
                got.append(await acquire("api"))

        async with create_task_group() as group:
            group.start_soon(ask)
            await settle()
            held.give_back()
            for _ in range(turns):
                await cancel_shielded_checkpoint()
            scope.cancel()
        if not got:
            with fail_after(1):
                await acquire("api")
        assert try_acquire("api") is None


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
@pytest.mark.parametrize("turns", range(4))
async def test_a_task_cancelled_natively_takes_no_permit_with_it(turns: int) -> None:
    async with open_supervisor(broker({"api": Limit(12, per=60)})):
        got: list[Permit] = []

        async def ask() -> None:
            got.append(await acquire("api", cost=2))

        for _ in range(4):  # one in four yields although the permit is there
            task = asyncio.ensure_future(ask())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert current_broker().status("api").used == 2 * len(got)


async def test_who_asks_after_he_was_cancelled_is_cancelled_and_not_refused() -> None:
    ended: list[str] = []

    async with open_supervisor(broker()):
        await acquire("api")
        with CancelScope() as scope:
            scope.cancel()
            try:
                await acquire("api")
            except PermitRefused:
                ended.append("refused")
            except anyio.get_cancelled_exc_class():
                ended.append("cancelled")
                raise
        assert ended == ["cancelled"]
        assert not any(current_broker().status("api").waiting.values())


async def test_a_deadline_that_cannot_be_met_is_refused_at_once() -> None:
    async with open_supervisor(broker({"api": Limit(1, per=60)})):
        start = current_time()
        await acquire("api")
        with pytest.raises(PermitRefused) as refused, fail_after(10):
            await acquire("api")
        assert current_time() == start
        # From then on it is there within as many seconds.
        assert (refused.value.budget, refused.value.retry_at) == ("api", start + 50)


async def test_max_wait_refuses_at_once_who_would_wait_longer() -> None:
    async with open_supervisor(broker({"api": Budget(Limit(1, per=60), max_wait=30)})):
        await acquire("api")
        with pytest.raises(PermitRefused):
            await acquire("api")
        await sleep(31)
        assert (await acquire("api")).waited == 29


async def test_when_too_many_wait_the_newest_of_the_lowest_class_is_refused() -> None:
    budget = Budget(Limit(1, per=60), max_waiting=2)
    refused: list[str] = []

    async def ask(tag: str, priority: Priority) -> None:
        try:
            await acquire("api", priority=priority)
        except PermitRefused:
            refused.append(tag)

    async with open_supervisor(broker({"api": budget})), create_task_group() as group:
        await acquire("api")
        words: list[tuple[str, Priority]] = [
            ("low-1", "low"),
            ("low-2", "low"),
            ("high", "high"),
            ("low-3", "low"),
            ("critical", "critical"),
            ("medium", "medium"),
        ]
        for tag, priority in words:
            group.start_soon(ask, tag, priority)
            await settle()
        assert refused == ["low-2", "low-3", "low-1", "medium"]
        group.cancel_scope.cancel()


# --- while it runs ---------------------------------------------------------------------------------


async def test_another_limit_reaches_those_who_wait_at_once(told: Told) -> None:
    async with open_supervisor(broker({"api": Limit(1, per=600)})), create_task_group() as group:
        await acquire("api")
        log: list[Any] = []
        group.start_soon(granted, 1, log)
        await sleep(1)
        start = current_time()
        current_broker().configure("api", Limit(600, per=600, burst=1))
        await sleep(2)
        assert len(log) == 1
        assert log[0][1] <= start + 1
    assert [event.budget for event in told.of(BudgetChanged)] == ["api"]


async def test_a_budget_is_added_to_a_running_broker() -> None:
    async with open_supervisor(broker()):
        with pytest.raises(UnknownBudget):
            acquire("new")
        current_broker().configure("new", Limit(1, per=1))
        assert (await acquire("new")).budget == "new"


async def test_a_wrong_limit_changes_nothing() -> None:
    async with open_supervisor(broker()):
        with pytest.raises(TreeInvalid, match=r"root/broker.api.n: is -1"):
            current_broker().configure("api", Limit(-1, per=1))
        assert (await acquire("api")).waited == 0
        assert (await acquire("api")).waited == 1


async def test_a_paused_budget_grants_nothing_until_it_is_resumed() -> None:
    async with open_supervisor(broker()), create_task_group() as group:
        running = current_broker()
        running.pause("api")
        assert try_acquire("api") is None
        log: list[Any] = []
        group.start_soon(granted, 1, log)
        await sleep(100)
        assert log == []
        start = current_time()
        running.resume("api")
        await settle()
        assert log == [(None, start)]


async def test_a_service_that_says_too_many_shuts_the_gate_for_all(told: Told) -> None:
    async with open_supervisor(broker({"api": Budget(Limit(100, per=1), ramp=0)})):
        start = current_time()
        async with acquire("api") as permit:
            permit.throttled(7)
        assert try_acquire("api") is None
        assert 7 <= (await acquire("api")).granted_at - start <= 7.1
    (shut,) = told.of(GateShut)
    assert (shut.path, shut.budget, shut.until) == ("root/broker", "api", start + 7)


async def test_in_shadow_everything_is_granted_and_what_would_wait_is_counted() -> None:
    budget = Budget(Limit(1, per=60), mode="shadow")
    async with open_supervisor(broker({"api": budget})):
        for _ in range(5):
            assert (await acquire("api")).waited == 0
        *_, ever = current_broker().statistics().budgets["api"]
        assert (ever.would_wait, ever.cost) == (4, 5)


# --- lives of the broker ---------------------------------------------------------------------------


async def test_who_waits_while_the_broker_has_no_life_is_granted_by_the_next() -> None:
    tree = broker(restart="permanent", backoff=Backoff(jitter="none"))
    async with open_supervisor(tree) as running, create_task_group() as group:
        await acquire("api")
        log: list[Any] = []
        group.start_soon(granted, 3, log)
        await settle()
        start = current_time()
        await running["broker"].restart()
        await sleep(5)
        assert [at - start for _, at in log] == [1, 2, 3]


async def test_a_broker_that_is_stopped_refuses_and_one_that_is_started_again_grants() -> None:
    async with open_supervisor(broker({"api": Limit(100, per=1)})) as tree:
        await tree["broker"].stop()
        with pytest.raises(BrokerClosed):
            await acquire("api")
        with pytest.raises(BrokerClosed):
            try_acquire("api")
        await tree["broker"].start()
        assert (await acquire("api")).waited == 0


async def test_nothing_is_handed_out_any_more_once_the_broker_is_asked_to_stop() -> None:
    budgets = {"api": Limit(100, per=1), "slow": Limit.smooth(1, burst=1)}
    async with open_supervisor(broker(budgets)) as tree, create_task_group() as group:
        await acquire("slow")
        group.start_soon(acquire_rate_limit, "slow")
        await settle()
        for _ in range(3):
            assert try_acquire("api")
        group.start_soon(tree["broker"].stop)  # which waits for the one who waits
        await settle()
        with pytest.raises(BrokerClosed):
            try_acquire("api")


def crash(_: RunningBroker) -> Any:
    raise RuntimeError("the broker crashes")


async def test_requests_that_give_up_while_the_broker_is_down_leave_nothing_behind() -> None:
    tree = broker({"api": Limit(1, per=60)}, backoff=Backoff(first=50, jitter="none"))
    async with open_supervisor(tree):
        running = current_broker()
        await acquire("api")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RunningBroker, "_grant", crash)
            running._wake()
            async with create_task_group() as group:
                group.start_soon(acquire_rate_limit, "api")
                await settle()
                group.cancel_scope.cancel()
        for _ in range(20):
            async with create_task_group() as group:
                group.start_soon(acquire_rate_limit, "api")
                await settle()
                group.cancel_scope.cancel()
        assert running._receive.statistics().current_buffer_used <= 1


async def test_brokers_that_come_and_go_are_forgotten() -> None:
    async with open_supervisor(Supervisor("root", [])) as tree:
        for number in range(5):
            child = await tree.add(Broker(ONE_A_SECOND, name=f"broker-{number}"))
            await acquire("api")
            await child.stop()
            await child.delete()
        assert not tree._runtime.brokers._by_path


async def test_a_broker_that_is_stopped_serves_first_those_who_wait() -> None:
    async with open_supervisor(broker()) as tree, create_task_group() as group:
        await acquire("api")
        log: list[Any] = []
        group.start_soon(granted, 1, log)
        group.start_soon(granted, 1, log)
        await settle()
        start = current_time()
        await tree["broker"].stop()
        assert [at - start for _, at in log] == [1, 2]
        assert current_time() == start + 2


async def test_who_still_waits_when_the_drain_is_over_is_told() -> None:
    told: list[float] = []

    async def ask() -> None:
        try:
            await acquire("api")
        except BrokerClosed:
            told.append(current_time())

    async with open_supervisor(broker({"api": Limit(1, per=600)})) as tree:
        async with create_task_group() as group:
            await acquire("api")
            group.start_soon(ask)
            await settle()
            start = current_time()
            await tree["broker"].stop()
        assert told == [start + 5]


async def test_once_a_broker_is_deleted_the_next_one_that_has_the_budget_serves() -> None:
    found: list[str] = []

    async def look() -> None:
        while True:
            found.append(current_broker("api").path)
            await sleep(1)

    inner = Supervisor("inner", [Broker(ONE_A_SECOND), Component(look)])
    async with open_supervisor(Supervisor("root", [Broker(ONE_A_SECOND), inner])) as tree:
        await settle()
        await tree["inner/broker"].stop()
        await tree["inner/broker"].delete()
        await sleep(1.5)
    assert found == ["root/inner/broker", "root/broker"]


async def test_who_waits_for_a_broker_that_is_set_aside_is_told_when_it_is_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def crash(self: RunningBroker) -> Any:
        raise Boom

    ended: list[str] = []

    async def ask() -> None:
        try:
            await acquire("api")
        except BrokerClosed:
            ended.append("told")

    tree = broker(quarantine=Quarantine(crashes=1, open=600))
    async with open_supervisor(tree) as running, create_task_group() as group:
        await acquire("api")
        monkeypatch.setattr(RunningBroker, "_grant", crash)
        group.start_soon(ask)
        await sleep(10)
        assert not ended
        await running["broker"].stop()
        await running["broker"].delete()
        await settle()
        assert ended == ["told"]
        group.cancel_scope.cancel()


async def test_permits_outlive_the_supervisor_that_the_broker_is_in() -> None:
    cued = Cued()
    inner = Supervisor(
        "inner",
        [Broker({"api": Limit(1, per=60)}), Component(cued, name="cued")],
        restart="permanent",
    )
    async with open_supervisor(Supervisor("root", [inner])) as tree:
        await settle()
        running = tree["inner/broker"].value
        assert await running.acquire("api")
        await tree["inner"].restart()
        await settle()
        again = tree["inner/broker"].value
        assert again.try_acquire("api") is None


async def test_a_component_that_waits_for_a_permit_stops_at_once() -> None:
    async def caller() -> None:
        while True:
            await acquire("api")

    tree = Supervisor("root", [Broker(ONE_A_SECOND), Component(caller)])
    async with open_supervisor(tree):
        await sleep(3)
        start = current_time()
    assert current_time() == start


async def test_an_idle_broker_sets_no_timer() -> None:
    async with open_supervisor(broker()) as tree:
        await settle()
        assert tree._runtime._deadlines._alarm_at == math.inf
        start = current_time()
        await sleep(1000)
        assert current_time() == start + 1000
