"""An operator's commands, with OTP's refusals; and grips that outlive what they hold."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import current_time, sleep
from anyio.lowlevel import checkpoint

from supervisor import (
    AlreadyPresent,
    AlreadyRunning,
    Backoff,
    Closing,
    Component,
    Crashed,
    Decline,
    NotFound,
    Quarantine,
    Refused,
    Released,
    Restarting,
    Started,
    Stop,
    Stuck,
    Supervisor,
    open_supervisor,
)
from supervisor.testing import (
    Boom,
    Crashing,
    Cued,
    Gated,
    Hanging,
    Returning,
    SlowStopping,
    settle,
)

pytestmark = pytest.mark.usefixtures("leak_check")

SLOW = Backoff(first=100, base=100, jitter="none", cap=100)


def one(run: Any, **options: Any) -> Supervisor:
    return Supervisor("root", [Component(run, name="a", **options)])


async def test_the_whole_life_of_a_listed_child() -> None:
    """OTP's child_adm: start, stop, restart and delete, with each one's refusal."""
    async with open_supervisor(one(Hanging())) as tree:
        child = tree["a"]
        with pytest.raises(AlreadyRunning, match="root/a: is already running"):
            await child.start()
        with pytest.raises(AlreadyRunning):
            await child.delete()
        await child.stop()
        await child.stop()
        assert child.state == "down"
        with pytest.raises(AlreadyPresent):
            await tree.add(Component(Hanging(), name="a"))
        await child.start()
        assert (child.state, child.life) == ("ready", 2)
        await child.restart()
        assert (child.state, child.life) == ("ready", 3)
        await child.stop()
        await child.restart()
        assert child.life == 4
        await child.stop()
        await child.delete()
        for command in (child.start, child.stop, child.restart, child.release, child.delete):
            with pytest.raises(NotFound, match="no child 'root/a'"):
                await command()
        with pytest.raises(NotFound):
            tree["a"]
        assert (await tree.add(Component(Hanging(), name="a"))).life == 1


async def test_a_child_that_waits_for_its_restart() -> None:
    """While it is restarting: delete is refused, stop ends the retries, start cuts the delay."""
    crashing = Crashing(2)
    async with open_supervisor(one(crashing, backoff=SLOW)) as tree:
        child = tree["a"]
        await settle()
        assert [hold.owner for hold in child.holds] == ["backoff"]
        with pytest.raises(Restarting, match=r"stop\(\) it first"):
            await child.delete()
        with pytest.raises(AlreadyPresent):
            await tree.add(Component(Hanging(), name="a"))
        await child.stop()
        assert [hold.owner for hold in child.holds] == ["operator"]
        await sleep(1000)
        assert len(crashing.lives) == 1
        await child.start()
        await settle()
        assert [hold.owner for hold in child.holds] == ["backoff"]
        await child.release()
        await settle()
        assert child.state == "ready"
        assert crashing.starts == [0.0, 1000.0, 1000.0]


async def test_commands_count_no_crash(told: Any) -> None:
    async with open_supervisor(one(Hanging())) as tree:
        for _ in range(20):
            await tree["a"].restart()
        assert tree["a"].life == 21
        assert tree.explain("a").view.attempt == 0
    assert not told.of(Crashed)


async def test_start_tells_how_the_start_failed() -> None:
    gated = Gated()
    gated.open()
    async with open_supervisor(one(gated)) as tree:
        child = tree["a"]
        await child.stop()
        error = Boom("no")
        gated.fail(error)
        with pytest.raises(Boom) as caught:
            await child.start()
        assert caught.value is error
        gated.open()
        assert await child.wait_ready() is None


async def test_start_of_a_child_that_declines() -> None:
    gated = Gated()
    gated.open()
    async with open_supervisor(one(gated)) as tree:
        await tree["a"].stop()
        gated.decline("closed")
        with pytest.raises(Decline, match="closed"):
            await tree["a"].start()
        assert [hold.owner for hold in tree["a"].holds] == ["declined"]


async def test_restart_tells_how_the_start_of_the_next_life_failed() -> None:
    gated = Gated()
    gated.open()
    async with open_supervisor(one(gated, backoff=SLOW)) as tree:
        gated.fail(Boom("no"))
        with pytest.raises(Boom):
            await tree["a"].restart()
        assert [hold.owner for hold in tree["a"].holds] == ["backoff"]


async def test_restart_of_a_child_that_has_failed_before_is_not_told_of_the_old_failure() -> None:
    crashing = Crashing(1)
    async with open_supervisor(one(crashing, backoff=SLOW)) as tree:
        await settle()
        await tree["a"].restart()
        assert (tree["a"].state, tree["a"].life) == ("ready", 2)


async def test_restart_waits_for_the_old_life_to_end_completely() -> None:
    """Law 2: the next life starts only after the last has ended completely."""
    slow = SlowStopping(3)
    async with open_supervisor(one(slow)) as tree:
        await settle()
        await tree["a"].restart()
        await settle()
        assert slow.starts == [0.0, 3.0]
        assert slow.lives[0].ended == 3.0


async def test_restart_while_it_is_being_stopped() -> None:
    slow = SlowStopping(3)
    async with anyio.create_task_group() as tg, open_supervisor(one(slow)) as tree:
        child = tree["a"]
        await settle()
        tg.start_soon(child.stop)
        await sleep(1)
        assert child.state == "stopping"
        await child.restart()
        assert (child.state, child.life, current_time()) == ("ready", 2, 3.0)


async def test_start_while_it_is_being_stopped_waits_for_the_next_life() -> None:
    slow = SlowStopping(3)
    async with anyio.create_task_group() as tg, open_supervisor(one(slow)) as tree:
        child = tree["a"]
        await settle()
        tg.start_soon(child.stop)
        await sleep(1)
        await child.start()
        assert (child.state, child.life, current_time()) == ("ready", 2, 3.0)


async def test_two_restarts_at_once_share_the_next_life() -> None:
    slow = SlowStopping(3)
    async with open_supervisor(one(slow)) as tree:
        await settle()
        async with anyio.create_task_group() as tg:
            tg.start_soon(tree["a"].restart)
            tg.start_soon(tree["a"].restart)
        assert tree["a"].life == 2


async def test_stop_while_it_starts() -> None:
    gated = Gated()
    async with anyio.create_task_group() as tg, open_supervisor() as tree:
        tg.start_soon(tree.add, Component(gated, name="a"))
        await settle()
        tg.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await settle()
        assert "a" not in tree
    assert gated.lives[0].how == "cancelled"


async def test_stopping_a_stuck_child_raises_and_gives_it_no_further_life() -> None:
    slow = SlowStopping(60)
    async with open_supervisor(one(slow, stop=Stop(deadline=2))) as tree:
        child = tree["a"]
        await settle()
        for command in (child.restart, child.stop, child.start, child.restart):
            with pytest.raises(Stuck, match="root/a did not end by its stop deadline"):
                await command()
        assert (current_time(), child.state) == (2.0, "stuck")
        await sleep(100)
        assert (child.state, len(slow.lives)) == ("down", 1)
        await child.start()
        assert child.life == 2


async def test_an_operators_start_ends_a_quarantine_with_a_probe(told: Any) -> None:
    crashing = Crashing(3)
    policy = Quarantine(crashes=3, within=60, open=600)
    async with open_supervisor(
        one(crashing, quarantine=policy, backoff=Backoff(base=0.001))
    ) as tree:
        await sleep(10)
        assert [hold.owner for hold in tree["a"].holds] == ["quarantine"]
        await tree["a"].start()
        assert told.of(Started)[-1].probe
        assert [e.owner for e in told.of(Released)] == ["quarantine"]
        await sleep(11)
        assert not tree.explain("a").view.probe


async def test_stopping_a_child_takes_down_what_needs_it_and_starting_brings_it_back() -> None:
    spec = Supervisor(
        "root", [Component(Hanging(), name="a"), Component(Hanging(), name="b", needs=["a"])]
    )
    async with open_supervisor(spec) as tree:
        await tree["a"].stop()
        assert (tree["b"].state, tree["b"].holds) == ("down", ())
        with pytest.raises(Restarting):
            await tree["b"].delete()
        with pytest.raises(Refused, match="root/a: is needed by b"):
            await tree["a"].delete()
        await tree["a"].start()
        await tree["b"].wait_ready()
        assert tree["b"].life == 2


async def test_a_temporary_child_that_is_restarted_by_an_operator_stays() -> None:
    async with open_supervisor(one(Hanging(), restart="temporary")) as tree:
        await tree["a"].restart()
        assert (tree["a"].state, tree["a"].life) == ("ready", 2)
        await tree.stop()


async def test_a_finished_child_can_be_started_again() -> None:
    async with open_supervisor(one(Returning(after=1), restart="transient")) as tree:
        assert str(await tree["a"].wait()) == "returned"
        await tree["a"].start()
        assert tree["a"].life == 2
        assert str(await tree["a"].wait()) == "returned"


async def test_a_fallback_cannot_be_commanded() -> None:
    spec = one(Hanging(), fallback=Component(Hanging(), name="plan b"))
    async with open_supervisor(spec) as tree:
        with pytest.raises(Refused, match="is a fallback; command a instead"):
            await tree["a/fallback"].start()


async def test_commands_are_refused_once_the_tree_stops() -> None:
    async with open_supervisor(one(Hanging())) as tree:
        child = tree["a"]
        await tree.stop()
        for command in (child.start, child.stop, child.restart, child.release, child.delete):
            with pytest.raises(Closing):
                await command()
        assert child.state == "down"
        assert repr(child) == "<Child root/a: down, life 1>"


async def test_a_child_can_command_itself() -> None:
    from supervisor import current_child

    after = []

    async def suicidal() -> None:
        child = current_child()
        if child.life < 3:
            await child.tree[child.path].restart()
            after.append(child.life)
        await child.tree[child.path].stop()
        after.append(child.life)

    async with open_supervisor(one(suicidal)) as tree:
        assert (await tree["a"].wait()).kind == "cancelled"
        assert tree["a"].life == 3
    assert after == []


async def test_a_grip_survives_the_restart_of_the_supervisor_above() -> None:
    cued = Cued()
    spec = Supervisor("root", [Supervisor("inner", [Component(cued, name="a")])])
    async with open_supervisor(spec) as tree:
        child = tree["inner/a"]
        cued.crash()
        await settle()
        assert (child.state, child.life) == ("ready", 2)
        await tree["inner"].restart()
        await child.wait_ready()
        assert (child.state, child.life) == ("ready", 1)
        await child.restart()
        await settle()
        assert child.life == 2
        assert len(cued.lives) == 4


async def test_waiting_goes_on_through_the_restart_of_the_supervisor_above() -> None:
    gated = Gated()
    gated.open()
    spec = Supervisor("root", [Supervisor("inner", [Component(gated, name="a")])])
    values = []
    async with anyio.create_task_group() as tg, open_supervisor(spec) as tree:

        async def wait(child: Any) -> None:
            values.append(await child.wait_ready())

        child = tree["inner/a"]
        tg.start_soon(tree["inner"].restart)
        await settle()
        tg.start_soon(wait, child)
        await settle()
        assert values == []
        gated.open("again")
        await settle()
        assert values == ["again"]


async def test_waiting_for_the_end_returns_when_the_supervisor_above_is_stopped() -> None:
    spec = Supervisor("root", [Supervisor("inner", [Component(Hanging(), name="a")])])
    async with open_supervisor(spec) as tree:
        outcomes = []
        async with anyio.create_task_group() as tg:

            async def wait() -> None:
                outcomes.append(await tree["inner/a"].wait())

            tg.start_soon(wait)
            await settle()
            await tree["inner"].stop()
        assert [outcome.kind for outcome in outcomes] == ["cancelled"]


async def test_a_grip_of_a_dynamic_child_ends_with_its_supervisor() -> None:
    spec = Supervisor("root", [Supervisor("inner", [])])
    async with open_supervisor(spec) as tree:
        child = tree.start_soon(Hanging(), under="inner", name="a")
        await tree["inner"].restart()
        assert child.state == "down"
        with pytest.raises(Closing):
            await child.start()
        with pytest.raises(Closing):
            await child.wait_ready()
        assert (await child.wait()).kind == "cancelled"


async def test_wait_ready_of_a_ready_child_lets_others_run() -> None:
    async with open_supervisor(one(Hanging())) as tree:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await tree["a"].wait_ready()
        assert scope.cancelled_caught
        await checkpoint()


async def test_who_waits_for_a_stopped_child_goes_on_waiting_in_the_supervisors_next_life() -> None:
    children = [Component(Hanging(), name="a"), Component(SlowStopping(2), name="b")]
    async with open_supervisor(Supervisor("root", [Supervisor("inner", children)])) as tree:
        child = tree["inner/a"]
        await child.stop()
        async with anyio.create_task_group() as tg:
            tg.start_soon(child.wait_ready)
            await settle()
            await tree["inner"].restart()
        assert child.state == "ready"
        await tree.stop()


async def test_a_stop_is_over_although_somebody_starts_the_child_again_at_once() -> None:
    async with open_supervisor(one(Hanging())) as tree:
        async with anyio.create_task_group() as tg:
            tg.start_soon(tree["a"].stop)
            tg.start_soon(tree["a"].start)
        assert tree["a"].life == 2
        await tree.stop()
