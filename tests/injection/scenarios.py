"""Scenarios that together pass through every await of the runtime."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from typing import Any

import anyio
from anyio import create_task_group, move_on_after, sleep, sleep_forever
from anyio.lowlevel import checkpoint

from supervisor import (
    Backoff,
    Broker,
    Call,
    Child,
    Component,
    Decline,
    Event,
    Intensity,
    Limit,
    Mailbox,
    MailboxFull,
    PermitRefused,
    Quarantine,
    Refused,
    Resource,
    Stop,
    Stuck,
    Supervisor,
    Tree,
    TreeFailed,
    acquire,
    acquire_rate_limit,
    current_broker,
    current_child,
    every,
    open_supervisor,
    serve,
)
from supervisor._runtime import broker
from supervisor._runtime.run import _main as main_task
from supervisor._runtime.run import _Warden
from supervisor.testing import (
    Boom,
    Crashing,
    Cued,
    Declining,
    FailingDuring,
    Hanging,
    Outage,
    Returning,
    SlowStarting,
    SlowStopping,
)
from tests.injection.stage import Opened, Scenario, Stage

STEADY = Backoff(first=1, base=1, cap=1, jitter="none")
QUICK = Backoff(first=0, base=1, cap=1, jitter="none")
POLICY = Quarantine(crashes=2, within=60, open=10, probe=2)

SCENARIOS: dict[str, Scenario] = {}


def scenario(play: Scenario) -> Scenario:
    SCENARIOS[getattr(play, "__name__", "")] = play
    return play


class Slow(AbstractAsyncContextManager[str]):
    """A resource that takes its time to enter and to leave."""

    async def __aenter__(self) -> str:
        await sleep(1)
        return "value"

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            await sleep(1)


@scenario
async def boot_and_leave(stage: Stage) -> None:
    """Resources and slow children start in order and stop in reverse."""
    resource = Resource(Slow, name="resource")
    user = stage.has(SlowStarting(1))
    async with stage.open(
        resource,
        Component(user, name="user", args=(resource,)),
        Component(stage.has(SlowStopping(1)), name="last"),
    ) as tree:
        await stage.ask(tree, "user", Child.wait_ready)
        assert stage.disturbed or user.lives[0].args == ("value",)
        await stage.prove(tree)


@scenario
async def cancelled_while_it_boots(stage: Stage) -> None:
    with move_on_after(1):
        async with stage.open(
            Component(stage.has(SlowStopping(2)), name="a"),
            Component(stage.has(SlowStarting(60)), name="b"),
        ):
            pass


@scenario
async def cancelled_in_the_block(stage: Stage) -> None:
    with move_on_after(1):
        async with stage.open(Component(stage.has(SlowStopping(2)), name="a")):
            await sleep_forever()


@scenario
async def cancelled_while_it_waits_for_those_that_end(stage: Stage) -> None:
    with move_on_after(2):
        async with stage.open() as tree:
            tree.start_soon(stage.has(SlowStopping(1)), name="a")


@scenario
async def those_that_end_are_waited_for(stage: Stage) -> None:
    async with stage.open() as tree:
        tree.start_soon(stage.has(Returning(after=1)), name="a")
        tree.start_soon(stage.has(Crashing(1, after=1)), name="b", restart="temporary")


@scenario
async def the_block_raises(stage: Stage) -> None:
    try:
        async with stage.open(Component(stage.has(SlowStopping(1)), name="a")):
            await sleep(1)
            raise Boom("in the block")
    except Boom:
        pass


@scenario
async def a_strict_boot_fails(stage: Stage) -> None:
    try:
        async with stage.open(
            Component(stage.has(SlowStopping(1)), name="a"),
            Component(stage.has(Crashing(after=1)), name="b"),
            boot="strict",
            intensity=Intensity(0, within=1),
        ):
            await sleep(5)
    except TreeFailed:
        pass


@scenario
async def the_tree_fails_as_soon_as_it_has_booted(stage: Stage) -> None:
    spec = Supervisor("root", [Component(stage.has(Crashing()))], intensity=Intensity(0, within=1))
    try:
        async with Opened(stage, open_supervisor(spec)):
            await sleep(5)
    except TreeFailed:
        pass


@scenario
async def the_tree_fails(stage: Stage) -> None:
    try:
        async with stage.open(
            Component(stage.has(SlowStopping(1)), name="a"),
            Component(stage.has(Crashing(after=1)), name="b"),
            intensity=Intensity(0, within=1),
        ) as tree:
            tree.start_soon(stage.has(Hanging()), name="c")
    except TreeFailed:
        pass


@scenario
async def starts_and_adds(stage: Stage) -> None:
    """What is added becomes ready, fails, declines, or is there already."""
    async with stage.open() as tree:
        started = stage.has(SlowStarting(1, value="value"))
        value = await stage.call(lambda: tree.start(started, name="a"), makes="a")
        assert stage.disturbed or value == "value"
        added = Component(stage.has(SlowStarting(1)), name="b", stop=Stop(grace=1))
        await stage.call(lambda: tree.add(added), makes="b")
        failing, declining = stage.has(FailingDuring(Outage(on=True))), stage.has(Declining())
        await stage.call(lambda: tree.start(failing, name="c"), raises=Boom)
        await stage.call(lambda: tree.add(Component(failing, name="d")), raises=Boom)
        await stage.call(lambda: tree.start(declining, name="e"), raises=Decline)
        await stage.call(lambda: tree.add(Component(declining, name="f")), makes="f")
        await stage.prove(tree)
        await tree.stop()


@scenario
async def adds_a_resource_and_a_supervisor(stage: Stage) -> None:
    async with stage.open() as tree:
        await stage.call(lambda: tree.add(Resource(Slow, name="a")), makes="a")
        inner = Supervisor("b", [Component(stage.has(SlowStarting(1)), name="c")])
        await stage.call(lambda: tree.add(inner), makes="b")
        await stage.prove(tree)
        await tree.stop()


@scenario
async def commands_to_a_child(stage: Stage) -> None:
    async with stage.open(
        Component(stage.has(SlowStarting(1)), name="a"),
        Component(stage.has(SlowStopping(1)), name="b", needs=["a"]),
    ) as tree:
        await stage.ask(tree, "a", Child.stop)
        await stage.ask(tree, "a", Child.start)
        await stage.ask(tree, "a", Child.restart)
        await stage.ask(tree, "b", Child.restart)
        await stage.ask(tree, "b", Child.stop)
        await stage.ask(tree, "b", Child.delete)
        await stage.prove(tree)
        await tree.stop()


@scenario
async def starts_that_fail(stage: Stage) -> None:
    outage = Outage()
    failing = stage.has(FailingDuring(outage))
    async with stage.open(Component(failing, name="a", backoff=STEADY)) as tree:
        await stage.ask(tree, "a", Child.stop)
        outage.begin()
        await stage.ask(tree, "a", Child.start, raises=Boom)
        outage.end()
        await stage.ask(tree, "a", Child.wait_ready)
        outage.begin()
        await stage.ask(tree, "a", Child.restart, raises=Boom)
        outage.end()
        await stage.prove(tree)
        await tree.stop()


@scenario
async def several_wait_for_one(stage: Stage) -> None:
    cued = stage.has(Cued())
    async with stage.open(Component(cued, name="a", backoff=STEADY, restart="transient")) as tree:
        async with create_task_group() as group:
            for wait in (Child.wait, Child.wait, Child.wait_ready, Child.restart):
                group.start_soon(stage.ask, tree, "a", wait, Refused)
            await sleep(1)
            if cued.alive:
                cued.crash()
            group.start_soon(stage.ask, tree, "a", Child.wait_ready)
            await sleep(2)
            if cued.alive:
                cued.finish()
        await stage.prove(tree)
        await tree.stop()


@scenario
async def waits_for_the_tree(stage: Stage) -> None:
    async with create_task_group() as group:
        async with stage.open(
            Component(stage.has(Crashing(2, after=1)), name="a", backoff=QUICK, quarantine=POLICY)
        ) as tree:
            group.start_soon(stage.call, tree.wait_stopped)
            group.start_soon(stage.call, tree.wait_condition)
            await stage.call(lambda: tree.wait_condition("degraded"))
            await stage.call(lambda: tree.wait_condition("healthy"))
            await stage.call(lambda: tree.wait_condition("healthy"))
            await stage.prove(tree)
            await stage.call(tree.stop)


@scenario
async def subscribes(stage: Stage) -> None:
    seen: list[Event] = []

    async def read(tree: Tree) -> None:
        with tree.events(capacity=200) as events:
            async for event in events:
                seen.append(event)
                if len(seen) == 70:
                    return

    async with stage.open() as tree:
        async with create_task_group() as group:
            group.start_soon(stage.call, partial(read, tree))
            await sleep(1)
            for _ in range(35):
                tree.start_soon(Returning(), restart="temporary")
            await sleep(1)
            group.cancel_scope.cancel()
        await stage.prove(tree)
        await tree.stop()


@scenario
async def subscribes_until_the_end(stage: Stage) -> None:
    async def read(tree: Tree) -> None:
        with tree.events() as events:
            async for _ in events:
                pass

    async with create_task_group() as group:
        async with stage.open(Component(stage.has(SlowStopping(1)), name="a")) as tree:
            group.start_soon(stage.call, partial(read, tree))
            await sleep(1)
            await tree.stop()


@scenario
async def serves(stage: Stage) -> None:
    spec = stage.declare(Component(stage.has(SlowStarting(1)), name="a"))
    async with create_task_group() as group:
        tree = await group.start(serve, spec)
        await stage.prove(tree)
        await stage.call(tree.stop)


@scenario
async def runs_as_a_program(stage: Stage) -> None:
    """The main task of ``run()``, with a warden whose thread was never started."""

    async def watch(tree: Tree) -> None:
        await stage.ask(tree, "a", Child.wait_ready)
        await stage.prove(tree)
        await stage.call(tree.stop)

    spec = stage.declare(Component(stage.has(SlowStarting(1)), name="a"))
    await main_task(spec, 25, _Warden(25), watch)


@scenario
async def nested_supervisors(stage: Stage) -> None:
    """A subtree fails and is restarted, while somebody waits for a child in it."""
    inner = Supervisor(
        "inner",
        [
            Component(stage.has(SlowStarting(1)), name="a"),
            Component(stage.has(Crashing(1, after=1)), name="b"),
        ],
        intensity=Intensity(0, within=1),
        backoff=STEADY,
    )
    async with stage.open(Supervisor("middle", [inner])) as tree:
        async with create_task_group() as group:
            await sleep(0.5)
            group.start_soon(stage.ask, tree, "middle/inner/b", Child.wait)
            group.start_soon(stage.ask, tree, "middle/inner/a", Child.restart, Refused)
            a = tree["middle/inner/a"]
            await sleep(1)
            group.start_soon(stage.call, a.wait_ready)
            await stage.ask(tree, "middle", Child.wait_ready)
            await sleep(5)
            await stage.ask(tree, "middle/inner", Child.restart)
            await stage.ask(tree, "middle", Child.stop)
            group.cancel_scope.cancel()
        await stage.prove(tree)
        await tree.stop()


@scenario
async def quarantine_and_fallback(stage: Stage) -> None:
    crashing = stage.has(Crashing(3, after=1))
    fallback = Component(stage.has(SlowStarting(1)), name="b")
    async with stage.open(
        Component(crashing, name="a", backoff=QUICK, quarantine=POLICY, fallback=fallback)
    ) as tree:
        await sleep(5)
        await stage.ask(tree, "a", Child.release)
        await sleep(3)
        await stage.ask(tree, "a", Child.start)
        await sleep(3)
        await stage.prove(tree)
        await tree.stop()


@scenario
async def a_group_restarts(stage: Stage) -> None:
    group = Supervisor(
        "group",
        [
            Component(stage.has(SlowStarting(1)), name="a"),
            Component(stage.has(SlowStopping(1)), name="b"),
            Component(stage.has(Crashing(1, after=1)), name="c", backoff=STEADY),
        ],
        strategy="one_for_all",
    )
    async with stage.open(group) as tree:
        await sleep(2)
        await stage.ask(tree, "group/a", Child.wait_ready)
        await stage.ask(tree, "group/b", Child.restart)
        await stage.prove(tree)
        await tree.stop()


@scenario
async def restarts_take_permits(stage: Stage) -> None:
    """The second of two has to wait for its permit, the third is stopped while it does."""
    async with stage.open(
        Broker({"x": Limit(1, per=5)}),
        *[
            Component(stage.has(Crashing(1, after=after)), name=name, backoff=QUICK)
            for name, after in (("a", 1), ("b", 1), ("c", 7))
        ],
        restarts="x",
    ) as tree:
        await sleep(8)
        await stage.ask(tree, "c", Child.stop)
        await stage.prove(tree)
        await tree.stop()


@scenario
async def permits_are_waited_for(stage: Stage) -> None:
    async def enter() -> None:
        async with acquire("api"):
            await sleep(1)

    async def refused() -> None:
        with move_on_after(0.1):  # it would take longer, so it is refused at once
            await acquire("api")

    async def take_many() -> None:
        for _ in range(2 * broker.YIELDING):
            await acquire("many")
            await sleep(0.1)

    with few_at_a_time():
        broker_of_two = Broker(
            {"api": Limit.smooth(1, burst=1), "wide": Limit(100, per=1), "many": Limit(100, per=1)}
        )
        async with stage.open(broker_of_two) as tree:
            async with create_task_group() as group:
                group.start_soon(stage.call, lambda: acquire_rate_limit("api"))
                group.start_soon(stage.call, lambda: acquire_rate_limit("api"))
                group.start_soon(stage.call, enter)
                await sleep(1.5)
                await stage.call(refused, raises=PermitRefused)
                await stage.ask(tree, "broker", Child.restart)
                current_broker().pause("wide")
                for _ in range(3):
                    group.start_soon(stage.call, lambda: acquire_rate_limit("wide"))
                await sleep(1)
                current_broker().resume("wide")
                await stage.call(take_many)
            await stage.prove(tree)
            await tree.stop()


@contextmanager
def few_at_a_time() -> Iterator[None]:
    """The broker grants one permit in each turn of the loop, so that it needs several."""
    before, broker.FAIRNESS = broker.FAIRNESS, 1  # type: ignore[misc]
    try:
        yield
    finally:
        broker.FAIRNESS = before  # type: ignore[misc]


@scenario
async def asks_before_it_cancels(stage: Stage) -> None:
    async def asked() -> None:
        await current_child().stopping.wait()
        await sleep(1)

    async with stage.open(
        Component(asked, name="a", stop=Stop(grace=2)),
        Component(stage.has(Hanging()), name="b", stop=Stop(grace=1)),
    ) as tree:
        await sleep(1)
        await stage.ask(tree, "b", Child.stop)
        await stage.prove(tree)
        await stage.call(tree.stop)


@scenario
async def something_is_stuck(stage: Stage) -> None:
    async with stage.open(
        Component(stage.has(SlowStopping(40)), name="a", stop=Stop(deadline=1)),
        Component(stage.has(SlowStopping(40)), name="b", stop=Stop(deadline=1)),
    ) as tree:
        await sleep(1)
        await stage.ask(tree, "a", Child.stop, raises=Stuck)
        await stage.ask(tree, "b", Child.restart, raises=Stuck)
        await stage.prove(tree)
        await tree.stop()


@scenario
async def everybody_is_asked_to_stop_at_once(stage: Stage) -> None:
    async with stage.open(
        Component(stage.has(SlowStopping(30)), name="a", stop=Stop(deadline=20)),
        Component(stage.has(SlowStopping(30)), name="b", stop=Stop(deadline=20)),
        stop_within=10,
    ) as tree:
        await sleep(1)
        await stage.call(tree.stop)


@scenario
async def a_child_leaves_a_group_open(stage: Stage) -> None:
    inside = stage.has(SlowStopping(1))
    kept: list[Any] = []

    async def leaves() -> None:
        if current_child().life > 1:
            await sleep_forever()
        group = create_task_group()
        await group.__aenter__()
        kept.append(group)
        group.start_soon(inside)
        await sleep(1)

    async with stage.open(Component(leaves, name="a", backoff=STEADY)) as tree:
        await sleep(2)
        await stage.ask(tree, "a", Child.wait_ready)
        await stage.prove(tree)
        await tree.stop()


@scenario
async def keeps_time(stage: Stage) -> None:
    async def ticks() -> None:
        async for _ in every(20):
            pass

    async with stage.open(Component(ticks, name="a", heartbeat=50)) as tree:
        await sleep(3)
        await stage.prove(tree)
        await tree.stop()


@scenario
async def commands_in_the_middle_of_a_step(stage: Stage) -> None:
    """An eager task, which Python has from 3.12 on, runs in the middle of the step that spawns it."""
    async with stage.open(Component(stage.has(Hanging()), name="a")) as tree:
        async with create_task_group() as group:
            tree._runtime._draining = True
            group.start_soon(stage.ask, tree, "a", Child.restart)
            added = Component(stage.has(Hanging()), name="b")
            group.start_soon(partial(stage.call, lambda: tree.add(added), makes="b"))
            try:
                for _ in range(3):
                    await checkpoint()
            finally:
                tree._runtime._drain()
        await stage.prove(tree)
        await tree.stop()


@scenario
async def letters_are_sent_and_read(stage: Stage) -> None:
    """Calls with a timeout and without, casts that wait for room, and casts into a full mailbox."""
    tight, full = (
        Mailbox[Any]("tight", capacity=1),
        Mailbox[Any]("full", capacity=65, overflow="reject"),
    )

    async def read() -> None:
        if current_child().life == 1:
            await sleep(30.5)  # so that the second caller has waited long for its reader
        async for letter in tight:
            if isinstance(letter.message, Call):
                await sleep(1)
                letter.reply("answer")

    async with stage.open(Component(read, name="a", backoff=STEADY)) as tree:
        await stage.call(lambda: tight.call(Call(), timeout=1), raises=TimeoutError)
        await stage.call(lambda: tight.call(Call()))  # nobody reads it yet
        await stage.call(
            lambda: tight.call(Call(), timeout=5),
            raises=TimeoutError if stage.disturbed else (),  # before the reader has begun
        )
        async with create_task_group() as group:
            group.start_soon(stage.call, lambda: tight.call(Call()))
            for _ in range(3):
                await checkpoint()
            for _ in range(2):
                await stage.call(lambda: tight.cast("letter"))
        for _ in range(64):
            full.cast_nowait("letter")
        await stage.call(lambda: full.cast("the last that there is room for"))
        await stage.call(lambda: full.cast("one too many"), raises=MailboxFull)
        await stage.prove(tree)
        await tree.stop()
