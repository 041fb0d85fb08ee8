"""Children of ``start_soon``, ``start`` and ``add``: names, limits, and how the block is left."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import current_time, sleep, sleep_forever

from supervisor import (
    AlreadyPresent,
    AlreadyRunning,
    Backoff,
    Closing,
    Component,
    Decline,
    NotFound,
    Stop,
    StopAsked,
    Stopped,
    Supervisor,
    TooManyChildren,
    current_child,
    open_supervisor,
)
from supervisor.testing import (
    Boom,
    Crashing,
    Cued,
    Declining,
    Gated,
    Hanging,
    Returning,
    SlowStopping,
    settle,
)

pytestmark = pytest.mark.usefixtures("leak_check")


async def test_a_task_group_that_heals() -> None:
    crashing = Crashing(2, after=1)
    async with open_supervisor() as tree:
        child = tree.start_soon(crashing, "BTC", name="poll")
        await sleep(60)
        assert child.life == 3
        await tree.stop()
    assert [life.args for life in crashing.lives] == [("BTC",)] * 3


async def test_leaving_waits_for_the_children_that_can_end() -> None:
    async with open_supervisor() as tree:
        tree.start_soon(Returning(after=5))
        tree.start_soon(Returning(after=3), restart="temporary")
    assert current_time() == 5.0


async def test_leaving_waits_for_retries_too() -> None:
    async def poll() -> None:
        await sleep(1)
        if current_child().life == 1:
            raise Boom

    async with open_supervisor() as tree:
        tree.start_soon(poll)
    assert current_time() == 2.0


async def test_leaving_waits_for_children_started_while_it_waits() -> None:
    second = Returning(after=5)

    async def first() -> None:
        await sleep(1)
        current_child().tree.start_soon(second, name="second")
        await sleep(1)

    async with open_supervisor() as tree:
        tree.start_soon(first)
    assert second.lives[0].how == "returned"
    assert current_time() == 6.0


async def test_leaving_stops_the_permanent_ones_in_reverse(told: Any) -> None:
    spec = Supervisor("root", [Component(Hanging(), name=name) for name in "abc"])
    async with open_supervisor(spec) as tree:
        tree.start_soon(Returning(after=2), name="job")
    assert current_time() == 2.0
    assert told.names(Stopped) == ["c", "b", "a"]


async def test_names_that_are_taken_get_a_number() -> None:
    async with open_supervisor() as tree:
        hanging = Hanging()
        paths = [tree.start_soon(hanging, name="poll").path for _ in range(3)]
        assert paths == ["supervisor/poll", "supervisor/poll-2", "supervisor/poll-3"]
        await tree["poll-2"].stop()
        assert "poll-2" not in tree
        assert tree.start_soon(hanging, name="poll").path == "supervisor/poll-4"
        await tree.stop()


async def test_children_under_a_supervisor_further_down() -> None:
    spec = Supervisor("root", [Supervisor("inner", [])])
    async with open_supervisor(spec) as tree:
        child = tree.start_soon(Hanging(), name="a", under="inner")
        assert child.path == "root/inner/a"
        assert tree["root/inner/a"].state == "ready"
        added = await tree.add(Component(Hanging(), name="b"), under="root/inner")
        assert added.path == "root/inner/b"
        with pytest.raises(ValueError, match="root/inner/b is not a supervisor"):
            tree.start_soon(Hanging(), under="inner/b")
        with pytest.raises(NotFound):
            tree.start_soon(Hanging(), under="nowhere")
        await tree.stop()


async def test_no_more_than_max_children_with_those_that_restart() -> None:
    async with open_supervisor(max_children=2) as tree:
        tree.start_soon(Crashing(after=1), name="a")
        job = Cued()
        tree.start_soon(job, name="b")
        await sleep(3)
        with pytest.raises(TooManyChildren, match="max_children=2"):
            tree.start_soon(Hanging())
        with pytest.raises(TooManyChildren):
            await tree.start(Hanging())
        with pytest.raises(TooManyChildren):
            await tree.add(Component(Hanging()))
        job.finish()
        await settle()
        tree.start_soon(Hanging())
        await tree.stop()


async def test_max_children_of_0_takes_none() -> None:
    async with open_supervisor(max_children=0) as tree:
        with pytest.raises(TooManyChildren):
            tree.start_soon(Hanging())


async def test_nothing_is_started_once_the_tree_stops() -> None:
    """Law 3: nothing is started after a stop was asked for."""
    async with open_supervisor() as tree:
        await tree.stop()
        with pytest.raises(Closing):
            tree.start_soon(Hanging())
        with pytest.raises(Closing):
            await tree.start(Hanging())
        with pytest.raises(Closing):
            await tree.add(Component(Hanging()))


async def test_a_child_cannot_start_others_while_it_is_stopped() -> None:
    refused = []

    async def stubborn() -> None:
        try:
            await sleep_forever()
        finally:
            try:
                current_child().tree.start_soon(Hanging())
            except Closing as error:
                refused.append(str(error))

    async with open_supervisor() as tree:
        tree.start_soon(stubborn)
        await settle()
        await tree.stop()
    assert refused == ["supervisor: is stopping or has stopped"]


async def test_peers_are_asked_to_stop_together_and_before_the_listed_ones(told: Any) -> None:
    """Law 3: listed children stop in reverse, one at a time; children of start_soon together."""
    spec = Supervisor("root", [Component(SlowStopping(1), name=name) for name in "ab"])
    async with open_supervisor(spec) as tree:
        for seconds in (1, 3, 2):
            tree.start_soon(SlowStopping(seconds), name="peer")
        await settle()
        await tree.stop()
    assert [e.at for e in told.of(StopAsked)] == [0.0, 0.0, 0.0, 3.0, 4.0]
    assert told.names(StopAsked)[3:] == ["b", "a"]
    assert current_time() == 5.0


async def test_finished_children_of_start_soon_are_forgotten() -> None:
    async with open_supervisor() as tree:
        child = tree.start_soon(Returning(after=1))
        assert str(await child.wait()) == "returned"
        assert len(tree.snapshot().root.children) == 0
        with pytest.raises(NotFound):
            await child.wait_ready()
        with pytest.raises(NotFound):
            await child.restart()


async def test_added_children_are_listed() -> None:
    async with open_supervisor() as tree:
        child = await tree.add(Component(Returning(after=1), name="a", restart="transient"))
        assert str(await child.wait()) == "returned"
        assert tree["a"].holds[0].owner == "finished"
        with pytest.raises(AlreadyPresent):
            await tree.add(Component(Hanging(), name="a"))
        await child.start()
        assert child.life == 2
        with pytest.raises(AlreadyRunning):
            await tree.add(Component(Hanging(), name="a"))


async def test_a_permanent_child_that_declines_when_added_is_listed() -> None:
    async with open_supervisor() as tree:
        child = await tree.add(Component(Declining("closed", times=1), name="a"))
        assert str(child.outcome) == "declined: closed"
        await child.start()
        assert child.state == "ready"
        assert child.life == 2


async def test_a_temporary_or_dynamic_child_that_declines_is_not_kept() -> None:
    async with open_supervisor() as tree:
        with pytest.raises(Decline, match="closed"):
            await tree.start(Declining("closed"), name="a")
        assert "a" not in tree
        child = tree.start_soon(Declining(), name="b")
        assert (await child.wait()).kind == "declined"
        assert "b" not in tree


async def test_a_failed_add_leaves_nothing_and_spends_nothing() -> None:
    gated = Gated()
    gated.fail(Boom("no"))
    async with open_supervisor() as tree:
        with pytest.raises(Boom):
            await tree.add(Component(gated, name="a"))
        assert "a" not in tree
        gated.open()
        assert (await tree.add(Component(gated, name="a"))).life == 1


async def test_added_children_stop_in_reverse_of_their_addition(told: Any) -> None:
    async with open_supervisor(Supervisor("root", [Component(Hanging(), name="a")])) as tree:
        await tree.add(Component(Hanging(), name="b"))
        await tree.add(Component(Hanging(), name="c"))
    assert told.names(Stopped) == ["c", "b", "a"]


async def test_an_added_child_waits_for_what_it_needs() -> None:
    gated = Gated()
    async with anyio.create_task_group() as tg:
        async with open_supervisor() as tree:
            await tree.add(Component(Hanging(), name="elder"))
            tg.start_soon(tree.add, Component(gated, name="base"))
            await settle()
            tg.start_soon(tree.add, Component(Hanging(), name="top", needs=["base"]))
            await settle()
            assert tree["top"].state == "down"
            assert [*tree.explain("top").view.waits_for] == ["supervisor/base"]
            gated.open()
            await tree["top"].wait_ready()


async def test_grace_of_peers_is_shared(told: Any) -> None:
    async with open_supervisor() as tree:
        for _ in range(10):
            tree.start_soon(Hanging(), stop=Stop(grace=2))
        await settle()
        await tree.stop()
    assert current_time() == 2.0
    assert len(told.of(Stopped)) == 10


async def test_leaving_waits_for_a_child_that_waits_for_its_restart() -> None:
    async def poll() -> None:
        if current_child().life == 1:
            raise Boom

    async with open_supervisor() as tree:
        child = tree.start_soon(poll, backoff=Backoff(first=5))
        await settle()
        assert child.state == "down"
    assert child.life == 2
    assert current_time() == 5.0


async def test_a_child_whose_supervisor_restarts_before_it_has_started_is_gone_with_it() -> None:
    spec = Supervisor("root", [Supervisor("inner", [Component(Hanging(), name="x")])])
    refused = []

    async def add(tree: Any) -> None:
        with pytest.raises(Closing):
            await tree.add(Component(Hanging(), name="a", needs=["x"]), under="inner")
        refused.append("a")

    async with anyio.create_task_group() as tg, open_supervisor(spec) as tree:
        await tree["inner/x"].stop()
        tg.start_soon(add, tree)
        await settle()
        await tree["inner"].restart()
        await settle()
        assert refused == ["a"]
        assert "inner/a" not in tree
