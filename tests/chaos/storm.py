"""When things go wrong: storms of faults at random moments, and calms in which the tree heals."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from supervisor import Tree
from supervisor.testing._census import tasks
from tests.chaos import faults
from tests.chaos.calm import observe
from tests.chaos.ear import Ear
from tests.chaos.record import Asked, Calm, Fault, Trouble, Writer, now
from tests.chaos.witness import Life, Start, Witness

PAUSE: Final = 0.1
"""Seconds between two faults, on average."""

STORM: Final = 12.0
"""Seconds of a storm."""

HEALING: Final = 25.0
"""Seconds that the tree has to be healthy again after a storm."""

SETTLING: Final = 0.4
"""Seconds in which what has just been closed is gone."""

AT_ONCE: Final = 40
"""Faults that may be under way together."""

REST: Final = {"operator", "stuck", "finished", "declined"}


class Storm:
    """Makes things go wrong for some time, and asks the process to end."""

    def __init__(
        self, seed: int, seconds: float, witness: Witness, ear: Ear, write: Writer
    ) -> None:
        self.seed = seed
        self.seconds = seconds
        self.witness = witness
        self.ear = ear
        self.write = write
        self.errors = faults.Errors()
        self.tree: Tree
        self._group: TaskGroup
        self._blows = False
        self._under_way = 0
        self._births = 0
        self.counted = 0
        """Events that the subscription got that is open all the time."""
        self.left = ["the watcher did not come to its end"]
        """What is left of the tree when it has ended."""
        witness.start = self._start

    def path(self, name: str) -> str:
        return f"{self.tree.name}/{name}"

    def tell(self, kind: str, target: str = "") -> None:
        self.write(Fault(now(), kind, target))

    def watched(self, fn: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[None]]:
        return self.witness.component(fn)

    def soon(self, act: Callable[..., Awaitable[object]], *args: object) -> None:
        """Have it done beside what is under way."""
        self._under_way += 1
        self._group.start_soon(self._act, act, *args)

    def watch(self, tree: Tree) -> Any:
        """The coroutine in which all this happens; from this call on, all that is told is heard."""
        self.tree = tree
        tree._runtime.bus.sinks.append(self.ear.hear)
        return self._watch(tasks(), tree.events(capacity=1_000_000))

    async def _watch(self, before: Any, events: Any) -> None:
        try:
            async with anyio.create_task_group() as self._group:
                self._group.start_soon(self._count, events)
                await self._weather()
                await anyio.sleep_forever()
        finally:
            # The tree is over by now: what is there beside us, and was not before, it has left.
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.05)
                await self._count(events)
            me = anyio.get_current_task().coro
            self.left = [line for coro, line in tasks().items() if coro not in {*before, me}]

    async def _count(self, events: Any) -> None:
        async for _ in events:
            self.counted += 1

    async def _weather(self) -> None:
        chance = random.Random(self.seed)
        until = now() + self.seconds
        await self._calm()
        while now() < until:
            await self._blow(chance, min(until, now() + min(STORM, self.seconds / 3)))
            await self._calm()
        for life in self.witness.alive.values():
            # The stop meets children that take their time, within their deadlines.
            life.lingers = chance.choice((0, 0, 0.05, 0.2))
        self.write(Asked(now()))
        self.write.flush()
        os.kill(os.getpid(), signal.SIGTERM)

    # --- storms -----------------------------------------------------------------------------------

    async def _blow(self, chance: random.Random, until: float) -> None:
        self._blows = True
        acts, weights = list(faults.FAULTS), list(faults.FAULTS.values())
        number = 0
        while now() < until:
            await anyio.sleep(chance.expovariate(1 / PAUSE))
            number += 1
            [act] = chance.choices(acts, weights)
            # A source of its own, so that what it draws does not depend on who else draws.
            own = random.Random(chance.random())
            if self._under_way < AT_ONCE:
                self.soon(act, own)
        self._blows = False

    async def _act(self, act: Callable[..., Awaitable[object]], *args: object) -> None:
        try:
            await act(self, *args)
        except Exception as error:
            self.write(Trouble(now(), f"{act.__name__} failed: {type(error).__name__}"))
            raise
        finally:
            self._under_way -= 1

    def _start(self, life: Life) -> Start | None:
        if not self._blows:
            return None
        self._births += 1
        return faults.start(self, random.Random(f"{self.seed}/{self._births}"), life)

    async def control(self, api: str, mode: str) -> None:
        """Have the world outside behave so, if it is there."""
        world = self.tree[self.path("outside")].value
        if world is None:
            return
        host, _, port = world.control.removeprefix("http://").partition(":")
        request = f"GET /control?api={api}&mode={mode} HTTP/1.1\r\nConnection: close\r\n\r\n"
        with anyio.move_on_after(1):
            try:
                async with await anyio.connect_tcp(host, int(port)) as stream:
                    await stream.send(request.encode())
                    while True:
                        await stream.receive()
            except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):
                pass  # it was killed, or has answered

    # --- calms ------------------------------------------------------------------------------------

    async def _calm(self) -> None:
        """Let the tree heal, as an operator would help it, and write down what is there then."""
        began = now()
        with anyio.move_on_after(HEALING):
            while self._under_way:  # noqa: ASYNC110 - who watches is not to disturb
                await anyio.sleep(0.02)
            for life in self.witness.alive.values():
                life.lingers, life.swallows, life.last_words = 0.0, 0.0, None
            await self._heal()
        self.errors.forget_past()
        waited, unwell = now() - began, ", ".join(self._unwell())
        await anyio.sleep(SETTLING)
        calm = Calm(now(), waited, not unwell, unwell, *observe(self.tree))
        self.write(calm)
        self.write.flush()

    async def _heal(self) -> None:
        while unwell := list(self._unwell()):
            if any(what.startswith("trading/outside") for what in unwell):
                await anyio.sleep(0.05)
                continue
            for api in ("prices", "telegram"):
                await self.control(api, "ok")
            for name in self._resting():
                if not self._under_way:
                    self.soon(_start_again, name)
            await anyio.sleep(0.1)

    def _resting(self) -> list[str]:
        """The listed children that nothing but an operator will start."""
        root = self.tree.snapshot().root
        return [v.path for v in root.walk() if REST & {hold.owner for hold in v.holds}]

    def _unwell(self) -> list[str]:
        """What keeps the tree from being as it was declared."""
        condition, root = self.tree.condition, self.tree.snapshot().root
        unwell = [f"{reason.path} is {reason.what}" for reason in condition.reasons]
        for name in faults.LISTED:
            path = self.path(name)
            if path not in self.tree or self.tree[path].state != "ready":
                unwell.append(f"{path} is not ready")
        declared = {self.path(name) for name in (*faults.LISTED, "crowd")} | {root.path}
        others = [view.path for view in root.walk() if view.path not in declared]
        return unwell + [f"{it} is still there" for it in others if not it.endswith("/fallback")]


async def _start_again(storm: Storm, path: str) -> None:
    await faults.command(storm, path, "start")
