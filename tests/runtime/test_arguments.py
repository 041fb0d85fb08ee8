"""Arguments that are declarations: replaced by start values, and edges at the same time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anyio import sleep

from supervisor import (
    Backoff,
    Component,
    Quarantine,
    Resource,
    Supervisor,
    open_supervisor,
)
from supervisor.testing import Crashing, Cued, Gated, Hanging, SlowStarting, SlowStopping, settle

pytestmark = pytest.mark.usefixtures("leak_check")


async def test_an_elder_siblings_value() -> None:
    base = Component(SlowStarting(2, value="db"), name="base")
    user = Hanging()
    async with open_supervisor(Supervisor("root", [base, Component(user, args=(base, 1))])):
        await settle()
    assert user.lives[0].args == ("db", 1)
    assert user.starts == [2.0]


async def test_a_value_in_the_keyword_arguments() -> None:
    seen: list[Any] = []

    async def user(*, db: Any, size: int) -> None:
        seen.append((db, size))
        await sleep(1)

    base = Component(SlowStarting(0, value="db"), name="base")
    spec = Supervisor(
        "root", [base, Component(user, kwargs={"db": base, "size": 3}, restart="transient")]
    )
    async with open_supervisor(spec):
        await sleep(2)
    assert seen == [("db", 3)]


async def test_an_ancestors_elder_siblings_value() -> None:
    gated = Gated()
    for value in ("first", "second"):
        gated.open(value)
    base = Component(gated, name="base")
    user = Hanging()
    inner = Supervisor("inner", [Supervisor("deep", [Component(user, name="user", args=(base,))])])
    async with open_supervisor(Supervisor("root", [base, inner])) as tree:
        await settle()
        gated.crash()
        await settle()
        assert tree["inner"].life == 2
        assert [life.args for life in user.lives] == [("first",), ("second",)]


async def test_a_fallbacks_value_is_used_while_it_stands_in() -> None:
    outage = Crashing(2)
    stand_in = Component(SlowStarting(0, value="cache"), name="cache")
    base = Component(
        outage,
        name="base",
        fallback=stand_in,
        backoff=Backoff(first=0, base=0.001, cap=0.001),
        quarantine=Quarantine(crashes=2, within=60, open=30, probe=1),
    )
    user = Hanging()
    spec = Supervisor("root", [base, Component(user, name="user", args=(base,))])
    async with open_supervisor(spec) as tree:
        await sleep(10)
        assert tree["base/fallback"].state == "ready"
        assert user.lives[-1].args == ("cache",)
        assert user.lives[-1].alive
        await sleep(60)
        assert tree["base/fallback"].state == "down"
        assert (tree["base"].state, tree["user"].state) == ("ready", "ready")
        assert user.lives[-1].args == (None,)


async def test_a_value_given_to_a_dynamic_child() -> None:
    @asynccontextmanager
    async def client() -> AsyncIterator[str]:
        yield "client"

    http = Resource(client)
    user = Hanging()
    async with open_supervisor(Supervisor("root", [http])) as tree:
        tree.start_soon(user, http, name="user")
        await settle()
        assert user.lives[0].args == ("client",)
        await tree["client"].restart()
        await settle()
        assert len(user.lives) == 2
        await tree.stop()


async def test_restarted_means_called_again_with_fresh_values() -> None:
    gated = Gated()
    for value in (1, 2):
        gated.open(value)
    base = Component(gated, name="base")
    user = Crashing(1, after=1)
    spec = Supervisor("root", [base, Component(user, name="user", args=(base,))])
    async with open_supervisor(spec) as tree:
        await sleep(5)
        assert [life.args for life in user.lives] == [(1,), (1,)]
        await tree["base"].restart()
        await settle()
        assert user.lives[-1].args == (2,)


async def test_copies_are_children_of_their_own() -> None:
    crashing = Cued()
    spec = Supervisor("root", [Component(crashing, name="poll", copies=3)])
    async with open_supervisor(spec) as tree:
        await settle()
        names = [child.name for child in tree.snapshot().root.children]
        assert names == ["poll", "poll-2", "poll-3"]
        crashing.crash()
        await settle()
        assert [tree[name].life for name in names] == [1, 1, 2]


async def test_what_needs_a_crashing_child_comes_back_with_it() -> None:
    """The trap of systemd: a dependent whose need failed does come back."""
    base, final, each = Cued(), Hanging(), Hanging()
    spec = Supervisor(
        "root",
        [
            Component(base, name="base", backoff=Backoff(first=5)),
            Component(final, needs=["base"], name="final"),
            Component(each, needs={"base": "each"}, name="each"),
        ],
    )
    async with open_supervisor(spec) as tree:
        await settle()
        base.crash()
        await sleep(2)
        assert (tree["final"].state, tree["each"].state) == ("ready", "down")
        assert "root/base" in tree.explain("each").view.waits_for
        await sleep(10)
        assert (len(final.lives), len(each.lives)) == (1, 2)


async def test_needs_bind_through_a_chain() -> None:
    spec = Supervisor(
        "root",
        [
            Component(Hanging(), name="a"),
            Component(Hanging(), name="b", needs=["a"]),
            Component(Hanging(), name="c", needs=["b"]),
        ],
    )
    async with open_supervisor(spec) as tree:
        await tree["a"].stop()
        assert [tree[name].state for name in "abc"] == ["down"] * 3
        await tree["a"].start()
        await tree["c"].wait_ready()
        assert [tree[name].life for name in "abc"] == [2, 2, 2]


async def test_after_orders_without_binding() -> None:
    spec = Supervisor(
        "root",
        [
            Component(SlowStarting(3), name="a"),
            Component(Hanging(), name="b", after=["a"]),
        ],
    )
    async with open_supervisor(spec) as tree:
        await tree["a"].stop()
        assert tree["b"].state == "ready"


async def test_a_value_is_that_of_the_start_also_where_its_life_ends_before_the_first_line() -> (
    None
):
    """The dependent has to wait for its own dependents until it may go down, so it begins."""
    crashing, user = Cued(), Cued()

    async def run(*, task_status: Any) -> None:
        task_status.started("db")
        await crashing()

    base = Component(run, name="base", backoff=Backoff(first=1, jitter="none"))
    spec = Supervisor(
        "root",
        [
            base,
            Component(user, name="user", args=(base,), backoff=Backoff(first=0, base=0)),
            Component(SlowStopping(1), name="last", needs=["user"]),
        ],
    )
    async with open_supervisor(spec) as tree:
        await settle()
        user.crash()
        crashing.crash()
        await sleep(5)
        await tree.stop()
    assert len(user.lives) >= 2
    assert {life.args for life in user.lives} == {("db",)}
