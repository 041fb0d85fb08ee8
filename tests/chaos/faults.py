"""What goes wrong, each as a function of the storm that makes it so. All of them end by themselves."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
import psutil
from anyio import to_thread
from msgspec.structs import replace

from supervisor import (
    Child,
    Component,
    Crashed,
    Decline,
    Dropped,
    Event,
    NotFound,
    Refused,
    Started,
    Stop,
    Stopped,
    Stuck,
    Supervisor,
    TreeFailed,
    current_child,
)
from supervisor._words import RestartType, Strategy
from tests.chaos.record import Answered, Trouble, now
from tests.chaos.service import ASIDE, MAY_BE_STUCK, MAY_DECLINE, PROGRAM, QUICK
from tests.chaos.witness import Life, Manner, Start, numbers

if TYPE_CHECKING:
    from tests.chaos.storm import Storm

MODES: Final = ("limited", "error", "garbage", "cut", "slow", "hang", "refuse")
LISTED: Final = (
    *("broker", "outside", "http", "prices", "history", "telegram", "reporter", "desk", "pair"),
    *("desk/quotes", "desk/book", "desk/risk", "pair/ledger", "pair/clerk"),
)
PATIENCE: Final = 2.0
"""Seconds for which an operator waits for an answer."""


class Unspeakable(Exception):
    """An error that cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Stuffed(Exception):
    """An error that carries much, and would show if it were kept."""

    def __init__(self, text: str) -> None:
        self.load = bytes(20_000)
        super().__init__(text * 50)


KINDS: Final[tuple[Callable[[str], Exception], ...]] = (
    *(RuntimeError, ValueError, KeyError, ZeroDivisionError, AssertionError, LookupError),
    *(OSError, ConnectionResetError, TimeoutError, EOFError, ImportError),
    *(Unspeakable, Stuffed, Unspeakable, Stuffed),
)


class Errors:
    """Errors of all kinds."""

    def __init__(self) -> None:
        self._again: dict[str, Exception] = {}

    def make(self, chance: random.Random, path: str, depth: int = 0) -> Exception:
        """One of them; now and then the same object as the last time, as from a cached failure."""
        draw = chance.random()
        if draw < 0.1 and depth < 2:
            few = [self.make(chance, path, depth + 1) for _ in range(chance.randint(1, 4))]
            return ExceptionGroup("several", few)
        if draw < 0.15 and not depth and path in self._again:
            return self._again[path]
        error = chance.choice(KINDS)(f"a fault of {path}")
        if not depth and path not in self._again and "crowd" not in path:
            # From the first on, so that what is kept for good is there after the warm-up.
            self._again[path] = error
        if draw > 0.9:
            error.__cause__ = self.make(chance, path, 2)
        return error

    def forget_past(self) -> None:
        """Keep the errors, but not what they have gathered: the frames in which they were raised, and
        what was raised before, hold whatever was alive there, clients and their sockets too."""
        for error in self._again.values():
            error.__traceback__ = error.__context__ = None


# --- the world outside ------------------------------------------------------------------------------


async def misbehave(storm: Storm, chance: random.Random) -> None:
    """The world outside answers wrongly, late, or not at all."""
    api, mode = chance.choice(("prices", "telegram")), chance.choice(MODES)
    storm.tell("the world misbehaves", f"{api}: {mode}")
    await storm.control(api, mode)
    await anyio.sleep(chance.uniform(0.2, 3 if mode == "hang" else 1.2))
    await storm.control(api, "ok")


async def kill_world(storm: Storm, chance: random.Random) -> None:
    for process in worlds():
        storm.tell("the world is killed", str(process.pid))
        with suppress(psutil.Error):
            process.kill()


async def freeze_world(storm: Storm, chance: random.Random) -> None:
    """The world stops in the middle of what it does, and goes on later."""
    for process in worlds():
        storm.tell("the world freezes", str(process.pid))
        with suppress(psutil.Error):
            process.suspend()
            try:
                await anyio.sleep(chance.uniform(0.1, 0.8))
            finally:
                process.resume()


def worlds() -> list[psutil.Process]:
    """The processes of outside worlds that this process has started."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if PROGRAM in child.cmdline():
                found.append(child)
    return found


# --- children, from inside ---------------------------------------------------------------------------


async def crash(storm: Storm, chance: random.Random) -> None:
    """A life raises, of its own or by its tasks, in one of the ways in which lives end."""
    life = _some_life(storm, chance)
    if life is not None:
        _strike(storm, chance, life)


async def crash_many(storm: Storm, chance: random.Random) -> None:
    """Several lives raise in one turn of the loop."""
    for life in list(storm.witness.alive.values()):
        if chance.random() < 0.4:
            _strike(storm, chance, life)


def _strike(storm: Storm, chance: random.Random, life: Life) -> None:
    manner, error = _manner(chance, life), storm.errors.make(chance, life.path)
    if life.strike(error, manner):
        storm.tell(f"a life ends: {manner}", f"{life.path} by {type(error).__name__}")


def _manner(chance: random.Random, life: Life) -> Manner:
    # What others rest on ends in order: inside what it has entered there is no place for more.
    if life.resource or life.path.endswith("prices"):
        return chance.choice(("raise", "raise", "raise", "return", "foreign"))
    ways: tuple[Manner, ...] = ("return", "foreign", "open scope", "open group", "thread")
    return "raise" if chance.random() < 0.5 else chance.choice(ways)


async def resist(storm: Storm, chance: random.Random) -> None:
    """A life will not end well when it is cancelled; then somebody has it cancelled."""
    life = _some_life(storm, chance)
    if life is None:
        return
    way = chance.choice(("cleans up", "swallows", "raises", "returns", "is stuck"))
    if way == "is stuck" and not any(name in life.path for name in MAY_BE_STUCK):
        way = "cleans up"
    storm.tell(f"a life that is to end: {way}", life.path)
    match way:
        case "cleans up":
            life.lingers = chance.uniform(0.05, 0.3)
        case "swallows":
            life.swallows = chance.uniform(0.02, 0.1)
        case "raises":
            life.last_words = storm.errors.make(chance, life.path)
        case "returns":
            life.last_words = "return"
        case "is stuck":
            life.lingers = chance.uniform(0.8, 1.6)
    if chance.random() < 0.6:
        await command(storm, life.path, chance.choice(("stop", "restart")))
        await anyio.sleep(chance.uniform(0.1, 0.5))
        await command(storm, life.path, "start")


async def numb(storm: Storm, chance: random.Random) -> None:
    """A life gives no heartbeat, and does not hear that it is to end."""
    for name in ("desk/book", "desk/risk"):
        life = storm.witness.alive.get(storm.path(name))
        if life is not None:
            storm.tell("a life is numb", life.path)
            life.numb = True


def _some_life(storm: Storm, chance: random.Random) -> Life | None:
    alive = storm.witness.alive
    return alive[chance.choice(sorted(alive))] if alive else None


def start(storm: Storm, chance: random.Random, life: Life) -> Start | None:
    """How a life begins that begins badly; most do not."""
    draw = chance.random()
    if draw < 0.9:
        return None
    error = storm.errors.make(chance, life.path)

    async def at_once(_: Life) -> None:
        raise error

    async def soon(_: Life) -> None:
        await anyio.sleep(chance.uniform(0, 0.1))
        raise error

    async def late(_: Life) -> None:
        await anyio.sleep(chance.uniform(0.1, 1.5))

    async def decline(_: Life) -> None:
        raise Decline("not today")

    ways: list[tuple[str, Start]] = [("at once", at_once), ("soon", soon), ("late", late)]
    if any(name in life.path for name in MAY_DECLINE):
        ways.append(("declines", decline))
    way, begin = chance.choice(ways)
    storm.tell(f"a start fails: {way}", life.path)
    return begin


# --- operators ---------------------------------------------------------------------------------------


async def operate(storm: Storm, chance: random.Random) -> None:
    """An operator asks for something, and sometimes for something that cannot be."""
    path = storm.path(chance.choice(LISTED))
    verb = chance.choice(("stop", "restart", "restart", "release", "start", "delete"))
    if verb == "delete" and path in storm.tree and storm.tree[path].state == "down":
        verb = "release"  # the listed ones are to stay
    storm.tell(f"an operator: {verb}", path)
    await command(storm, path, verb)
    if verb == "stop":
        await anyio.sleep(chance.uniform(0, 0.8))
        await command(storm, path, "start")


async def command(storm: Storm, path: str, verb: str) -> None:
    """Ask, and write down the answer; one that nobody has foreseen is a fault of the supervisor."""
    answer = "no answer yet"
    with anyio.move_on_after(PATIENCE):
        answer = await _answer(storm, lambda: _asked(storm, path, verb))
    storm.write(Answered(now(), verb, path, answer))


def _asked(storm: Storm, path: str, verb: str) -> Awaitable[object]:
    asked: Awaitable[object] = getattr(storm.tree[path], verb)()
    return asked


async def _answer(storm: Storm, ask: Callable[[], Awaitable[object]]) -> str:
    try:
        await ask()
    except (Refused, NotFound, Stuck, Decline) as refusal:
        return type(refusal).__name__
    except Exception as error:
        # A start that fails is answered with what the child raised, or was judged by.
        name = type(error).__name__
        known = numbers(error) or isinstance(error, TreeFailed)
        if not known and name not in START_FAILED and not _returned(error):
            storm.write(Trouble(now(), f"a command was answered with {name}"))
        return "its start failed"
    return "done"


START_FAILED: Final = ("StartTimedOut", "HeartbeatMissed", "ForeignCancellation", "ScopesLeftOpen")


def _returned(error: Exception) -> bool:
    return type(error) is RuntimeError and "returned without calling" in str(error)


# --- children that come and go -----------------------------------------------------------------------


async def crowd(storm: Storm, chance: random.Random) -> None:
    """A number of children are started, and end in their own time."""
    number = chance.randint(3, 20)
    under = chance.choice(("", storm.path("crowd"), storm.path("crowd")))
    storm.tell("children are started", f"{number} under {under or 'the root'}")
    for _ in range(number):
        restart: RestartType = chance.choice(("transient", "transient", "temporary"))
        try:
            child = storm.tree.start_soon(
                storm.watched(crowd_errand),
                chance.choice(("sleep", "sleep", "crash", "thread", "await")),
                chance.uniform(0, 1),
                storm.errors.make(chance, "crowd"),
                name="crowd_errand",
                under=under,
                restart=restart,
                backoff=QUICK,
                quarantine=chance.choice((ASIDE, None)),
                stop=Stop(deadline=0.4, grace=chance.choice((0, 0.1))),
            )
        except Refused as refusal:
            storm.write(Answered(now(), "start_soon", under, type(refusal).__name__))
            return
        if chance.random() < 0.2:
            storm.soon(_stop_later, child, chance.uniform(0, 0.3))


async def crowd_errand(what: str, seconds: float, error: Exception) -> None:
    """Does something for some time, and returns, or crashes in its first life."""
    match what:
        case "thread":
            await to_thread.run_sync(time.sleep, min(seconds, 0.3))
        case "await":
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(anyio.sleep, seconds)
        case _:
            await anyio.sleep(seconds)
    if what == "crash" and current_child().life < 3:
        raise error


async def _stop_later(storm: Storm, child: Child, seconds: float) -> None:
    await anyio.sleep(seconds)
    with anyio.move_on_after(PATIENCE):
        answer = await _answer(storm, child.stop)
        storm.write(Answered(now(), "stop", child.path, answer))


async def add(storm: Storm, chance: random.Random) -> None:
    """A listed child, or a supervisor with some, is added, and deleted some time later."""
    name = f"crowd-{chance.randrange(5)}"
    errand = storm.watched(crowd_errand)
    error = storm.errors.make(chance, "crowd")
    members = [
        Component(errand, name=f"m{i}", args=("sleep", 9.0, error), backoff=QUICK, quarantine=None)
        for i in range(chance.randint(1, 3))
    ]
    spec: Component | Supervisor = replace(members[0], name=name)
    if chance.random() < 0.5:
        strategy: Strategy = chance.choice(("one_for_one", "one_for_all", "rest_for_one"))
        spec = Supervisor(name, members, strategy=strategy, backoff=QUICK, quarantine=None)
    storm.tell("a child is added", name)
    answer = "no answer yet"
    with anyio.move_on_after(PATIENCE):
        answer = await _answer(storm, lambda: storm.tree.add(spec))
    storm.write(Answered(now(), "add", storm.path(name), answer))
    if answer not in ("done", "no answer yet"):
        return
    await anyio.sleep(chance.uniform(0, 0.5))
    await remove(storm, storm.path(name))


async def remove(storm: Storm, path: str) -> None:
    """Stop and delete a listed child, as often as it takes."""
    while path in storm.tree:
        await command(storm, path, "stop")
        await command(storm, path, "delete")
        await anyio.sleep(0.05)


async def start_and_wait(storm: Storm, chance: random.Random) -> None:
    """A child is started by somebody who waits for it, and may lose patience."""
    storm.tell("a start is waited for")
    fails = chance.random() < 0.3
    error = storm.errors.make(chance, "crowd")

    async def crowd_start(*, task_status: Any) -> None:
        await anyio.sleep(chance.uniform(0, 0.2))
        if fails:
            raise error
        task_status.started("here")
        await anyio.sleep(0.2)

    with anyio.move_on_after(chance.uniform(0, 0.4)):
        answer = await _answer(
            storm, lambda: storm.tree.start(storm.watched(crowd_start), backoff=QUICK)
        )
        storm.write(Answered(now(), "start", "crowd_start", answer))


# --- those who watch ---------------------------------------------------------------------------------


async def subscribe(storm: Storm, chance: random.Random) -> None:
    """Somebody reads events, slowly, and goes away in one way or another."""
    kinds: tuple[type[Event], ...] = chance.choice(((), (Crashed,), (Started, Stopped)))
    path = chance.choice(("", "desk", "crowd", "trading/prices"))
    capacity = chance.choice((1, 3, 50))
    before = storm.ear.heard
    storm.tell("a subscription", f"{len(kinds)} kinds of {path or 'all'}, capacity {capacity}")
    events, count = storm.tree.events(*kinds, path=path, capacity=capacity), 0
    with anyio.move_on_after(chance.uniform(0.1, 1)):
        async for event in events:
            count += event.count if isinstance(event, Dropped) else 1
            if chance.random() < 0.5:
                await anyio.sleep(chance.uniform(0, 0.05))
    if chance.random() < 0.7:
        events.close()
    if count > storm.ear.heard - before:
        storm.write(Trouble(now(), f"a subscription told {count} events, more than there were"))


async def look(storm: Storm, chance: random.Random) -> None:
    """Somebody asks how the tree is, and waits for something that does not come at once."""
    path = storm.path(chance.choice(LISTED))
    storm.tell("somebody looks", path)
    tree = storm.tree
    tree.snapshot()
    if path in tree:
        str(tree.explain(path))
        wait: Callable[[], Awaitable[object]] = chance.choice(
            (tree[path].wait_ready, tree[path].wait, tree.wait_condition)
        )
        with anyio.move_on_after(chance.uniform(0, 0.5)):
            await _answer(storm, wait)


async def block(storm: Storm, chance: random.Random) -> None:
    """The event loop stands still."""
    storm.tell("the loop is blocked")
    time.sleep(chance.uniform(0.1, 0.3))  # noqa: ASYNC251 - that is the fault


async def collect(storm: Storm, chance: random.Random) -> None:
    """What nobody holds is collected, in the middle of everything."""
    storm.tell("garbage is collected")
    gc.collect()


Act: TypeAlias = Callable[["Storm", random.Random], Awaitable[None]]

FAULTS: Final[Mapping[Act, float]] = {
    crash: 30,
    crash_many: 1,
    resist: 8,
    numb: 1,
    operate: 10,
    crowd: 5,
    add: 3,
    start_and_wait: 3,
    subscribe: 5,
    look: 5,
    misbehave: 5,
    kill_world: 0.6,
    freeze_world: 0.6,
    block: 0.8,
    collect: 0.5,
}
"""How often each, in proportion."""
