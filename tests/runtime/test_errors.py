"""The errors of a running tree: every crash is a record, and what becomes of it is found out."""

from __future__ import annotations

import gc
import logging
import math
import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import anyio
import pytest
from anyio import current_time, sleep, to_thread

from supervisor import (
    Backoff,
    Breaker,
    BreakerOpen,
    Broker,
    Component,
    Crashed,
    ErrorRecord,
    Guard,
    Limit,
    Quarantine,
    Recovered,
    Retry,
    Supervisor,
    Tree,
    TreeFailed,
    current_child,
    open_supervisor,
    try_acquire,
)
from supervisor._runtime import recorder
from supervisor.testing import (
    Boom,
    Crashing,
    FailingDuring,
    Hanging,
    Outage,
    settle,
    virtual_backend,
)

pytestmark = pytest.mark.usefixtures("leak_check")

CALM = Backoff(first=1, base=1, factor=1, jitter="none", reset_after=60)
AT_ONCE = Backoff(first=0, base=0, factor=1, reset_after=60)


def one(run: Any, **options: Any) -> Supervisor:
    return Supervisor("root", [Component(run, name="a", **{"backoff": CALM, **options})])


def fates(tree: Tree, path: str = "") -> list[tuple[str | None, float | None]]:
    return [(record.resolution, record.resolved_at) for record in tree.errors(path)]


OPEN = (None, None)


async def test_a_crash_is_one_record_and_resolved_when_a_later_life_has_stayed_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recorder, "stamp", lambda: 1_700_000_000.0 + current_time())
    async with open_supervisor(one(Crashing(2, after=5))) as tree:
        await sleep(5)
        await settle()
        (record,) = tree.errors()
        assert (record.component, record.life, record.attempt) == ("root/a", 1, 1)
        assert (record.at, record.time) == (5.0, 1_700_000_005.0)
        assert record.type == "supervisor.testing.Boom"
        await sleep(66.9)  # it crashed again at 11, and is up since 12
        assert fates(tree) == [OPEN, OPEN]
        await sleep(0.1)
        assert fates(tree) == [("restarted", 72.0), ("restarted", 72.0)]
        await tree.stop()


async def test_what_nobody_asked_about_in_time_is_dated_when_it_became_true() -> None:
    async with open_supervisor(one(Crashing(1, after=5))) as tree:
        await sleep(5000)
        assert fates(tree) == [("restarted", 66.0)]
        await tree.stop()


async def test_what_the_next_crash_finds_was_true_before_it() -> None:
    async with open_supervisor(one(Crashing(2, after=100))) as tree:
        await sleep(205)
        assert fates(tree) == [("restarted", 161.0), OPEN]
        await tree.stop()


async def test_a_life_that_is_stopped_too_early_has_proved_nothing() -> None:
    async with open_supervisor(one(Crashing(1, after=5))) as tree:
        await sleep(30)
        await tree["a"].stop()
        await sleep(1000)
        assert fates(tree) == [OPEN]
        await tree["a"].start()
        began = current_time()
        await sleep(1000)
        assert fates(tree) == [("restarted", began + 60)]
        await tree.stop()


async def test_each_child_has_to_stay_up_for_as_long_as_its_own_backoff_says() -> None:
    quick = Backoff(first=1, base=1, factor=1, jitter="none", reset_after=3)
    children = [
        Component(Crashing(1), name="a", backoff=CALM),
        Component(
            Crashing(),
            name="b",
            backoff=AT_ONCE,
            quarantine=Quarantine(crashes=1, open=1000),
            fallback=Component(Crashing(1), name="c", backoff=quick),
        ),
    ]
    async with open_supervisor(Supervisor("root", children)) as tree:
        child = tree.start_soon(Crashing(1), name="d", backoff=quick)
        await child.wait_ready()
        await sleep(500)
        assert fates(tree, "a") == [("restarted", 61.0)]
        assert fates(tree, "b/fallback") == [("restarted", 4.0)]
        assert fates(tree, "d") == [("restarted", 4.0)]
        await tree.stop()


async def says_that_it_works(where: str, said: anyio.Event) -> None:
    me = current_child()
    if me.life == 1:
        raise Boom
    await sleep(7)
    if where == "a thread":
        await to_thread.run_sync(me.mark_healthy)
    else:
        me.mark_healthy()
    said.set()
    await anyio.sleep_forever()


@pytest.mark.parametrize("where", ["its task", "a thread"])
async def test_a_life_that_says_that_it_works_resolves_at_once(where: str) -> None:
    said = anyio.Event()
    async with open_supervisor(one(says_that_it_works, args=(where, said))) as tree:
        await sleep(7.9)
        assert fates(tree) == [OPEN]
        await said.wait()
        assert fates(tree) == [("restarted", current_time())]
        await tree.stop()


async def test_the_end_of_a_quarantine_resolves_what_led_to_it(told: Any) -> None:
    policy = Quarantine(crashes=2, within=60, open=100, probe=10)
    async with open_supervisor(one(Crashing(2), quarantine=policy)) as tree:
        await sleep(500)
        (recovered,) = told.of(Recovered)
        assert fates(tree) == [("restarted", recovered.at)] * 2
        await tree.stop()


async def test_a_child_that_did_its_work_in_a_later_life_has_finished() -> None:
    async def work() -> None:
        if current_child().life == 1:
            raise Boom
        await sleep(3)

    async with open_supervisor() as tree:
        tree.start_soon(work, backoff=CALM)
    assert fates(tree) == [("finished", 4.0)]


async def test_what_is_not_brought_back_stays_open() -> None:
    async with open_supervisor(one(Crashing(1), restart="temporary")) as tree:
        await sleep(1000)
        (record,) = tree.errors(unresolved=True)
        assert not record.resolved
        await tree.stop()


async def test_records_are_asked_for_by_path_with_or_without_the_roots_name() -> None:
    inner = Supervisor("inner", [Component(Crashing(1), name=name, backoff=CALM) for name in "xy"])
    spec = Supervisor("root", [Component(Crashing(1), name="a", backoff=CALM), inner])
    async with open_supervisor(spec) as tree:
        await sleep(10)
        found = {path: Counter(r.component for r in tree.errors(path)) for path in PATHS}
        assert found["inner"] == found["root/inner"] == Counter(["root/inner/x", "root/inner/y"])
        assert found["inner/x"] == Counter(["root/inner/x"])
        assert found[""] == found["root"] == found["inner"] + Counter(["root/a"])
        assert tree.summary("inner").total == 2
        assert tree.summary("root").total == tree.summary().total == 3
        await tree.stop()


PATHS = ("", "root", "inner", "root/inner", "inner/x")


async def test_a_supervisor_that_gives_up_is_a_record_besides_those_of_its_children() -> None:
    inner = Supervisor(
        "inner",
        [Component(Crashing(1), name="x", priority="critical", quarantine=Quarantine(crashes=1))],
        backoff=CALM,
    )
    async with open_supervisor(Supervisor("root", [inner])) as tree:
        await sleep(100)
        told = [(record.component, record.type) for record in tree.errors()]
        assert told == [
            ("root/inner/x", "supervisor.testing.Boom"),
            ("root/inner", "supervisor.TreeFailed[supervisor.testing.Boom]"),
        ]
        assert [how for how, _ in fates(tree)] == ["restarted", "restarted"]
        await tree.stop()


async def test_the_records_of_a_tree_that_failed_are_there_after_its_end() -> None:
    spec = one(
        Crashing(after=1), priority="critical", quarantine=Quarantine(crashes=2), backoff=AT_ONCE
    )
    with pytest.raises(TreeFailed):
        async with open_supervisor(spec) as tree:
            await anyio.sleep_forever()
    assert [record.resolved for record in tree.errors()] == [False, False]
    assert tree.summary().total == 2


def test_records_can_be_read_when_the_event_loop_is_gone(anyio_backend_name: Any) -> None:
    async def main() -> Tree:
        async with open_supervisor(one(Crashing(1))) as tree:
            await sleep(100)
            await tree.stop()
        return tree

    name, options = virtual_backend(anyio_backend_name)
    with ThreadPoolExecutor(1) as thread:  # this one has the loop of the watch for leaks
        tree = thread.submit(anyio.run, main, backend=name, backend_options=options).result()

    assert fates(tree) == [("restarted", 61.0)]
    assert tree.summary().recovery_rate == 1.0


async def test_two_trees_share_no_records() -> None:
    async with (
        open_supervisor(one(Crashing(1))) as first,
        open_supervisor(one(Hanging())) as second,
    ):
        await sleep(10)
        assert len(first.errors()) == 1
        assert second.errors() == ()
        await first.stop()
        await second.stop()


async def test_errors_that_cannot_be_shown_are_records_like_others() -> None:
    class NoText(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    async def fail() -> None:
        raise NoText

    async with open_supervisor(one(fail)) as tree:
        await sleep(0.5)
        (record,) = tree.errors()
        assert record.message == "(its text cannot be shown)"
        await tree.stop()


async def test_a_record_keeps_no_error_alive(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)  # it keeps what it captures, with the error
    watched: list[weakref.ref[BaseException]] = []

    async def fail() -> None:
        error = Boom(len(watched))
        watched.append(weakref.ref(error))
        raise error

    async with open_supervisor(one(fail, quarantine=None)) as tree:
        await sleep(4.5)
        gc.collect()
        # The child itself keeps the last, for its outcome.
        assert [ref() is None for ref in watched] == [True] * 4 + [False]
        assert len(tree.errors()) == 5
        await tree.stop()


# --- guarded calls -------------------------------------------------------------------------------


class Service:
    """It fails so many times, and then answers."""

    def __init__(self, failures: float) -> None:
        self.left = failures

    async def __call__(self, symbol: str = "BTC") -> str:
        self.left -= 1
        if self.left >= 0:
            raise ConnectionError(f"refused {symbol}")
        return symbol


EVENLY = Retry(retries=3, base=2, factor=1, jitter="none")


async def test_attempts_that_failed_are_records_and_resolved_when_the_call_succeeds() -> None:
    guard = Guard("api", budget=None, retry=EVENLY, breaker=None)
    async with open_supervisor(one(Hanging())) as tree:
        with pytest.raises(ConnectionError):
            await guard(Service(math.inf))
        assert await guard.using(context="the price of BTC")(Service(2)) == "BTC"

        records = tree.errors()
        assert [(r.guard, r.call, r.attempt) for r in records] == [
            *(("api", 1, attempt) for attempt in (1, 2, 3, 4)),
            *(("api", 2, attempt) for attempt in (1, 2)),
        ]
        assert {(r.component, r.life, r.type, r.severity) for r in records} == {
            ("root", 0, "ConnectionError", "high")
        }
        assert [r.context for r in records] == [""] * 4 + ["the price of BTC"] * 2
        assert fates(tree) == [OPEN] * 4 + [("retried", current_time())] * 2
        assert tree.summary().recovery_rate == 2 / 6
        await tree.stop()


async def test_the_calls_of_a_child_are_its_own_errors() -> None:
    guard = Guard("api", budget=None, retry=None)

    async def poll() -> None:
        await guard(Service(1))

    async with open_supervisor(one(poll)) as tree:
        await sleep(0.5)
        call, crash = tree.errors("a")
        assert (call.component, call.life, call.guard) == ("root/a", 1, "api")
        assert (crash.component, crash.life, crash.guard) == ("root/a", 1, "")
        assert (call.fingerprint, call.where) == (crash.fingerprint, crash.where)
        await tree.stop()


async def test_a_fallback_that_serves_resolves_the_attempts_of_its_call() -> None:
    guard = Guard("api", budget=None, retry=EVENLY, fallback="an old price")
    async with open_supervisor(one(Hanging())) as tree:
        assert await guard(Service(math.inf)) == "an old price"
        assert fates(tree) == [("fallback", current_time())] * 4
        await tree.stop()


async def test_a_breaker_that_closes_resolves_what_is_open_of_its_service() -> None:
    breaker = Breaker(failures=3, open=60, factor=1)
    guard = Guard("api", budget=None, retry=None, breaker=breaker)
    other = Guard("other", budget=None, retry=None)
    service = Service(3)
    async with open_supervisor(one(Hanging())) as tree:
        for _ in range(3):
            with pytest.raises(ConnectionError):
                await guard(service)
        with pytest.raises(ConnectionError):
            await other(Service(1))
        with pytest.raises(BreakerOpen):
            await guard(service)
        assert fates(tree) == [OPEN] * 4  # to be refused is no further error
        assert tree.summary().breakers == {"api": "open", "other": "closed"}
        assert tree.summary().trips == 1

        await guard.wait_closed()
        await guard(service)

        assert fates(tree) == [("breaker closed", current_time())] * 3 + [OPEN]
        assert tree.summary().breakers == {"api": "closed", "other": "closed"}
        await tree.stop()


async def test_the_summary_of_a_component_has_the_breakers_that_its_errors_came_through() -> None:
    guard = Guard("api", budget=None, retry=None)
    other = Guard("other", budget=None)

    async def poll() -> None:
        with suppress(ConnectionError):
            await guard(Service(1))
        await anyio.sleep_forever()

    async with open_supervisor(one(poll)) as tree:
        await sleep(1)
        await other(Service(0))
        other.force("disabled", "we know better")
        assert tree.summary().breakers == {"api": "closed", "other": "closed (forced: disabled)"}
        assert tree.summary("a").breakers == {"api": "closed"}
        await tree.stop()


async def test_a_snapshot_has_the_guards_that_were_called() -> None:
    guard = Guard("api", budget=None)
    async with open_supervisor(one(Hanging())) as tree:
        await guard(Service(0))
        assert [status.name for status in tree.snapshot().guards] == ["api"]
        await tree.stop()


async def test_a_snapshot_has_the_budgets_of_the_running_brokers() -> None:
    inner = Supervisor("inner", [Broker({"deep": Limit(1, per=60)}), Component(Hanging())])
    spec = Supervisor("root", [Broker({"api": Limit(5, per=60)}), inner])
    async with open_supervisor(spec) as tree:
        assert try_acquire("api")
        budgets = {budget.name: budget.used for budget in tree.snapshot().budgets}
        assert budgets == {"api": 1, "deep": 0}
        await tree.stop()


# --- an hour -------------------------------------------------------------------------------------


async def test_an_hour_of_troubles_is_in_the_records_once_each_and_adds_up(told: Any) -> None:
    outage = Outage()
    group = [
        Component(Crashing(3, after=400), name="x", backoff=CALM),
        Component(Hanging(), name="y", backoff=CALM),
    ]
    spec = Supervisor(
        "root",
        [
            Component(FailingDuring(outage), name="feed", backoff=CALM),
            Component(Crashing(after=7), name="loop", backoff=CALM, quarantine=None),
            Supervisor("group", group, strategy="one_for_all"),
        ],
    )
    async with open_supervisor(spec) as tree:
        await sleep(1000)
        outage.begin()
        await sleep(200)
        outage.end()
        await sleep(2400)
        crashes = told.of(Crashed)
        records = tree.errors()
        summary = tree.summary()
        assert [(r.at, r.component, r.life) for r in records] == [
            (e.at, e.path, e.life) for e in crashes
        ]
        _each_is_resolved_by_a_life_that_followed(records)
        assert summary.total == sum(summary.by_component.values()) == len(crashes)
        assert summary.within[3600.0] == len(crashes)
        for window in (60.0, 300.0, 900.0):
            exact = sum(e.at > 3600 - window for e in crashes)
            assert abs(summary.within[window] - exact) <= 2  # what falls into half a bucket
        assert {r.component for r in records if not r.resolved} == {"root/loop"}
        assert summary.recovery_rate == sum(r.resolved for r in records) / len(records)
        most = summary.most_common[0]
        assert most[0] == "root/loop:supervisor.testing.Boom"
        await tree.stop()


def _each_is_resolved_by_a_life_that_followed(records: tuple[ErrorRecord, ...]) -> None:
    for record in records:
        later = [r.at for r in records if r.component == record.component and r.at > record.at]
        if not record.resolved:
            # No pause between two crashes was as long as a delay and the time to prove itself.
            assert all(b - a <= 61 for a, b in zip([record.at, *later], later, strict=False))
        else:
            assert record.resolution == "restarted"
            assert record.resolved_at is not None
            # The first pause that was long enough has resolved it, and at its time.
            ends = [*later, math.inf]
            starts = [record.at, *later]
            first = next(s for s, e in zip(starts, ends, strict=True) if e - s >= 61)
            assert record.resolved_at - first <= 62
