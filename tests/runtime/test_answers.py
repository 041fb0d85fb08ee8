"""What a running tree answers: who is there, how many, as what declared; and to whom it does not."""

from __future__ import annotations

import traceback
from collections import Counter
from typing import Any

import anyio
import pytest
from anyio import current_time, sleep

from supervisor import (
    AlreadyRunning,
    Backoff,
    Component,
    NotFound,
    Stop,
    Supervisor,
    Tree,
    TreeFailed,
    TreeInvalid,
    open_supervisor,
)
from supervisor.testing import Boom, Cued, Declining, Gated, Hanging, Returning, settle

pytestmark = pytest.mark.usefixtures("leak_check")

SLOW = Backoff(first=100, base=100, jitter="none", cap=100)


def counts(tree: Tree, path: str = "") -> Counter[str]:
    """What OTP's count_children tells, of one supervisor, from what a tree shows."""
    children = tree.explain(path).view.children
    told = Counter(child.kind for child in children)
    told["specs"] = len(children)
    told["active"] = sum(child.state != "down" for child in children)
    return +told


# --- counts ------------------------------------------------------------------------------------------


async def test_counts_and_listing_agree_with_thousands_that_come_and_go() -> None:
    job = Cued()
    async with open_supervisor() as tree:
        assert counts(tree) == {}
        for number in (1000, 2000):
            while len(tree.snapshot().root.children) < number:
                for _ in range(1000):
                    tree.start_soon(job, name="job")
            await settle()
            names = [child.name for child in tree.snapshot().root.children]
            assert len(set(names)) == number
            assert all(name in tree for name in names)
            assert counts(tree) == {"component": number, "specs": number, "active": number}
        for cue in list(job._cues.values()):
            cue.give()
        await settle()
        assert counts(tree) == {}


async def test_supervisors_are_counted_apart_from_components() -> None:
    async with open_supervisor() as tree:
        for number in range(100):
            await tree.add(Supervisor(f"s{number}", [Component(Hanging(), name="a")]))
        tree.start_soon(Hanging())
        assert counts(tree) == {"supervisor": 100, "component": 1, "specs": 101, "active": 101}
        await tree["s7"].stop()
        assert counts(tree) == {"supervisor": 100, "component": 1, "specs": 101, "active": 100}
        await tree["s7"].delete()
        assert counts(tree)["supervisor"] == 99
        await tree.stop()


async def test_a_child_that_declined_or_finished_is_listed_and_not_active() -> None:
    children = [
        Component(Declining(), name="declined"),
        Component(Returning(), name="finished", restart="transient"),
        Component(Hanging(), name="a"),
    ]
    async with open_supervisor(Supervisor("root", children)) as tree:
        await settle()
        assert counts(tree) == {"component": 3, "specs": 3, "active": 1}
        late = await tree.add(Component(Declining(), name="late"))
        assert late.state == "down"
        assert counts(tree) == {"component": 4, "specs": 4, "active": 1}


async def test_children_are_shown_in_their_order() -> None:
    async with open_supervisor(
        Supervisor("root", [Component(Hanging(), name=name) for name in "cab"])
    ) as tree:
        await tree.add(Component(Hanging(), name="0"))
        tree.start_soon(Hanging(), name="z")
        await tree["a"].restart()
        assert [child.name for child in tree.snapshot().root.children] == ["c", "a", "b", "0", "z"]
        await tree.stop()


async def test_copies_that_are_stopped_stay_listed_and_come_back_in_their_place() -> None:
    hanging = Hanging()
    async with open_supervisor(
        Supervisor("root", [Component(hanging, name="poll", copies=8)])
    ) as tree:
        names = [child.name for child in tree.snapshot().root.children]
        for number in (0, 8):
            for name in names:
                await (tree[name].start() if number else tree[name].stop())
            assert counts(tree) == +Counter(component=8, specs=8, active=number)
            assert [child.name for child in tree.snapshot().root.children] == names


# --- temporary children ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["finish", "crash", "stop"])
@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
async def test_only_a_temporary_childs_declaration_is_forgotten_with_it(
    restart: Any, how: str
) -> None:
    cued = Cued()
    spec = Component(cued, name="a", restart=restart)
    async with open_supervisor() as tree:
        child = await tree.add(spec)
        await settle()
        if how == "stop":
            await child.stop()
        else:
            getattr(cued, how)()
            await settle()
        assert ("a" in tree) is (restart != "temporary")
        if restart == "temporary":
            assert (await tree.add(spec)).life == 1
        else:
            stays_down = how == "stop" or (restart, how) == ("transient", "finish")
            assert (tree["a"].state, tree["a"].life) == (
                ("down", 1) if stays_down else ("ready", 2)
            )
        await tree.stop()


async def test_a_temporary_child_that_declines_when_it_is_added_is_not_listed() -> None:
    async with open_supervisor() as tree:
        child = await tree.add(Component(Declining("closed"), name="a", restart="temporary"))
        assert str(child.outcome) == "declined: closed"
        assert counts(tree) == {}
        assert (await tree.add(Component(Hanging(), name="a"))).life == 1


# --- dynamic children --------------------------------------------------------------------------------


async def test_the_whole_life_of_a_dynamic_child() -> None:
    outside = Hanging()
    async with anyio.create_task_group() as tg, open_supervisor() as tree:
        stranger = tg.start_soon(outside)
        child = tree.start_soon(Hanging(), name="a")
        await settle()
        assert counts(tree) == {"component": 1, "specs": 1, "active": 1}
        with pytest.raises(AlreadyRunning):
            await child.start()
        with pytest.raises(AlreadyRunning):
            await child.delete()
        await child.restart()
        assert (child.state, child.life) == ("ready", 2)
        await child.stop()
        assert counts(tree) == {}
        for command in (child.stop, child.start, child.restart, child.delete):
            with pytest.raises(NotFound, match="no child 'supervisor/a'"):
                await command()
        assert outside.alive
        stranger.cancel()


async def test_a_dynamic_child_can_be_stopped_while_it_waits_for_its_restart() -> None:
    cued = Cued()
    async with open_supervisor() as tree:
        child = tree.start_soon(cued, name="a", backoff=SLOW)
        await settle()
        cued.crash()
        await settle()
        assert [hold.owner for hold in child.holds] == ["backoff"]
        await child.stop()
        assert counts(tree) == {}
        with pytest.raises(NotFound):
            await child.stop()
    assert (len(cued.lives), current_time()) == (1, 0.0)


@pytest.mark.parametrize("again", ["decline", "fail", "open"])
async def test_how_the_restart_of_a_dynamic_child_may_go(again: str) -> None:
    gated = Gated()
    gated.open("first")
    getattr(gated, again)(*(["second"] if again == "open" else []))
    async with open_supervisor() as tree:
        child = tree.start_soon(gated, name="a", backoff=Backoff(first=3, base=60, jitter="none"))
        await settle()
        gated.crash()
        await sleep(2)
        assert (child.state, [hold.owner for hold in child.holds]) == ("down", ["backoff"])
        await sleep(2)
        assert ("a" in tree) is (again != "decline")
        if again == "open":
            assert (child.state, child.value) == ("ready", "second")
        elif again == "fail":
            assert (child.state, [hold.owner for hold in child.holds]) == ("down", ["backoff"])
        await tree.stop()


async def test_a_crash_of_one_peer_leaves_the_others_alone() -> None:
    peers = [Cued() for _ in range(3)]
    async with open_supervisor() as tree:
        children = [tree.start_soon(peer) for peer in peers]
        await settle()
        peers[1].crash()
        await settle()
        assert [child.life for child in children] == [1, 2, 1]
        await tree.stop()


# --- grips and paths ---------------------------------------------------------------------------------


async def test_what_another_tree_has_is_not_found_here_and_not_touched() -> None:
    spec = Supervisor("other", [Component(Hanging(), name=name) for name in "ab"])
    async with open_supervisor() as tree, open_supervisor(spec) as other:
        own = tree.start_soon(Hanging(), name="b")
        for path in ("a", "other/a", "other/b"):
            assert path not in tree
            with pytest.raises(NotFound):
                tree[path]
            with pytest.raises(NotFound):
                tree.explain(path)
            with pytest.raises(NotFound):
                await tree.add(Component(Hanging(), name="c"), under=path)
        assert [other[name].life for name in "ab"] == [1, 1]
        await own.stop()
        assert [other[name].state for name in "ab"] == ["ready", "ready"]


async def test_a_grip_of_a_forgotten_child_is_no_grip_of_its_namesake() -> None:
    async with open_supervisor() as tree:
        old = tree.start_soon(Hanging(), name="a", restart="temporary")
        await old.stop()
        new = tree.start_soon(Hanging(), name="a")
        await settle()
        assert (old.path, old.state) == (new.path, "down")
        with pytest.raises(NotFound):
            await old.stop()
        assert str(await old.wait()) == "cancelled"
        assert (new.state, new.life) == ("ready", 1)
        await tree.stop()


async def test_waiting_for_the_end_is_no_waiting_for_a_restart() -> None:
    """One notice for each who waits, when it is over for good; none of a mere restart."""
    cued = Cued()
    ends = []

    async def watch(child: Any) -> None:
        ends.append((str(await child.wait()), current_time()))

    backoff = Backoff(first=0.5)  # so that it is seen down for a while
    async with open_supervisor() as tree:
        child = tree.start_soon(cued, name="a", backoff=backoff)
        async with anyio.create_task_group() as tg:
            for _ in range(3):
                tg.start_soon(watch, child)
            await sleep(1)
            cued.crash()
            await sleep(1)
            assert (ends, child.life) == ([], 2)
            cued.finish()
        await watch(child)
    assert ends == [("returned", 2.0)] * 4


# --- declarations ------------------------------------------------------------------------------------


async def test_a_childs_declaration_can_be_read_back_with_its_defaults() -> None:
    given = [
        Component(Hanging(), name="a"),
        Component(Hanging(), name="b", restart="transient", stop=Stop(grace=2, deadline=1)),
        Supervisor("s", [Component(Hanging(), name="c")]),
    ]
    async with open_supervisor(Supervisor("root", given)) as tree:
        assert [tree[name].spec for name in "abs"] == given
        assert tree["a"].spec.restart == "permanent"
        assert tree["a"].spec.stop == Stop(grace=0, deadline=5)
        assert tree["s"].spec.stop.deadline == float("inf")
        assert tree["s"].spec.strategy == "one_for_one"
        assert tree["s/c"].spec == given[2].children[0]
        await tree["b"].stop()
        assert tree["b"].spec is given[1]
        with pytest.raises(NotFound):
            tree["nobody"]


async def test_a_dynamic_childs_declaration_can_be_read_from_any_of_its_grips() -> None:
    hanging = Hanging()
    async with open_supervisor() as tree:
        child = tree.start_soon(hanging, 7, name="a", priority="low")
        spec = Component(hanging, args=(7,), name="a", restart="transient", priority="low")
        assert child.spec == tree["a"].spec == spec
        await child.restart()
        assert child.spec == spec
        await child.stop()
        assert child.spec == spec


async def test_a_failed_boot_is_told_with_its_chain_of_causes() -> None:
    async def connecting(task_status: Any) -> None:
        try:
            raise OSError("connection refused")
        except OSError as error:
            raise Boom("no database") from error

    inner = Supervisor("store", [Component(connecting, name="db")], boot="strict")
    with pytest.raises(TreeFailed) as caught:
        async with open_supervisor(Supervisor("root", [inner], boot="strict")):
            pytest.fail("the block must not run")
    (leaf,) = caught.value.exceptions
    assert (str(leaf), str(leaf.__cause__)) == ("no database", "connection refused")
    text = "".join(traceback.format_exception(caught.value))
    order = ["root failed: root/store", "connection refused", "direct cause", "no database"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "root/store/db, life 1: its first start failed" in text
    assert "in connecting" in text


@pytest.mark.parametrize("given", [None, 3, Hanging(), [Component(Hanging())], Component])
async def test_adding_what_is_no_declaration_is_refused_in_words(given: Any) -> None:
    async with open_supervisor() as tree:
        with pytest.raises(
            TreeInvalid, match="write a Component, a Resource, a Broker or a Supervisor"
        ):
            await tree.add(given)
        assert counts(tree) == {}


@pytest.mark.parametrize("option", [{"significant": True}, {"copies": 3}, {"health": len}])
async def test_what_only_a_listed_child_can_be_is_refused_of_a_dynamic_one(option: Any) -> None:
    spec = Supervisor("root", [], auto_shutdown="any_significant")
    hanging = Hanging()
    async with open_supervisor(spec) as tree:
        with pytest.raises(TreeInvalid, match=next(iter(option))):
            tree.start_soon(hanging, **option)
        with pytest.raises(TreeInvalid, match=next(iter(option))):
            await tree.start(hanging, **option)
        assert counts(tree) == {}
    assert not hanging.lives


async def test_a_tree_is_opened_once_at_a_time() -> None:
    host = open_supervisor(Supervisor("root", [Component(Hanging(), name="a")]))
    async with host as tree:
        with pytest.raises(RuntimeError, match="is open already"):
            async with host:
                pytest.fail("the block must not run")
        assert (tree["a"].state, tree["a"].life) == ("ready", 1)
    async with host as again:
        assert again is not tree
        assert again["a"].life == 1
