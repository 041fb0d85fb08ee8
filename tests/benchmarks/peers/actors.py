"""Peers whose children are actors or workers.

An idle actor has begun when its first hook is called. An actor that crashes sends itself a message
in that hook, and fails when it handles it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from tests.benchmarks.peers.cases import Begin, Life, Running
from tests.benchmarks.peers.services import ASYNCIO, EITHER

PLENTY = 1_000_000


class Tapio:
    backends = ASYNCIO
    restarts = True

    def idle(self, begin: Begin, count: int) -> Running:
        from tapio import Behaviors, Message

        async def never(message: Message) -> object:
            return Behaviors.same()

        def setup(ctx: object) -> object:
            begin()
            return Behaviors.receive_message(never, msg_type=Message)

        return self._supervised(Behaviors.setup(setup), count)

    def crashing(self, life: Life) -> Running:
        from tapio import Behaviors, Message

        async def live(message: Message) -> object:
            await life()
            return Behaviors.same()

        def setup(ctx: Any) -> object:
            ctx.self_ref.tell(Message())
            return Behaviors.receive_message(live, msg_type=Message)

        return self._supervised(Behaviors.setup(setup), 1)

    def _supervised(self, behavior: Any, count: int) -> Running:
        from tapio import ActorSystem, Behaviors, SupervisorStrategy

        restart = SupervisorStrategy.restart()
        supervised = Behaviors.supervise(behavior).on_failure(restart, on=Exception)
        return self._entered(ActorSystem, supervised, count)

    @staticmethod
    @asynccontextmanager
    async def _entered(system_of: Any, behavior: object, count: int) -> AsyncIterator[None]:
        async with system_of("tree") as system:
            for i in range(count):
                system.spawn(behavior, f"child-{i}")
            yield


class Papyra:
    backends = EITHER
    restarts = True

    def idle(self, begin: Begin, count: int) -> Running:
        from papyra import Actor

        class Child(Actor):
            async def on_start(self) -> None:
                begin()

        return self._supervised(Child, count)

    def crashing(self, life: Life) -> Running:
        from papyra import Actor

        class Child(Actor):
            async def on_start(self) -> None:
                await self.context.self_ref.tell("live")

            async def receive(self, message: object) -> None:
                await life()

        return self._supervised(Child, 1)

    def _supervised(self, child: Any, count: int) -> Running:
        from papyra import ActorSystem
        from papyra.supervision import Strategy, SupervisionPolicy

        policy = SupervisionPolicy(Strategy.RESTART, max_restarts=PLENTY)
        return self._entered(ActorSystem(), child, policy, count)

    @staticmethod
    @asynccontextmanager
    async def _entered(system: Any, child: Any, policy: Any, count: int) -> AsyncIterator[None]:
        async with system:
            for _ in range(count):
                system.spawn(child, policy=policy)
            yield


class Fauxtp:
    backends = EITHER
    restarts = True

    def idle(self, begin: Begin, count: int) -> Running:
        from fauxtp import Actor

        class Child(Actor):
            async def run(self, state: object) -> object:
                begin()
                return await anyio.sleep_forever()

        return self._supervised(Child, count)

    def crashing(self, life: Life) -> Running:
        from fauxtp import Actor

        class Child(Actor):
            async def run(self, state: object) -> object:
                await life()
                return await anyio.sleep_forever()

        return self._supervised(Child, 1)

    def _supervised(self, child: Any, count: int) -> Running:
        from fauxtp import ChildSpec, Supervisor

        specs = [ChildSpec(child, f"child-{i}") for i in range(count)]
        return self._entered(Supervisor, specs)

    @staticmethod
    @asynccontextmanager
    async def _entered(supervisor: Any, specs: Sequence[object]) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            await supervisor.start(specs, task_group=group)
            yield
            group.cancel_scope.cancel()


class Otpylib:
    """Its supervisor is started by a process of its own, as it asks for."""

    backends = ASYNCIO
    restarts = True

    def idle(self, begin: Begin, count: int) -> Running:
        async def init(self: object, arg: object) -> None:
            begin()

        return self._supervised({"init": init}, count)

    def crashing(self, life: Life) -> Running:
        from otpylib import process
        from otpylib.gen_server import NoReply

        async def init(self: object, arg: object) -> None:
            await process.send(process.self(), "live")

        async def handle_info(self: object, message: object, state: object) -> object:
            # A child that fails before its supervisor has begun to watch it is lost: let it begin.
            for _ in range(5):
                await checkpoint()
            await life()
            return NoReply(), state

        return self._supervised({"init": init, "handle_info": handle_info}, 1)

    def _supervised(self, callbacks: dict[str, Any], count: int) -> Running:
        from otpylib import process
        from otpylib.module import GEN_SERVER, SUPERVISOR
        from otpylib.runtime import set_runtime
        from otpylib.runtime.backends.asyncio_backend.backend import AsyncIOBackend
        from otpylib.supervisor import PERMANENT, child_spec, options, start_link

        child = self._module("Child", GEN_SERVER, callbacks)
        specs = [child_spec(f"child-{i}", child, restart=PERMANENT) for i in range(count)]

        async def init(self: object, arg: object) -> object:
            return specs, options(max_restarts=PLENTY, max_seconds=60)

        tree = self._module("Tree", SUPERVISOR, {"init": init})

        async def main() -> None:
            await start_link(tree)
            await anyio.sleep_forever()

        backend = AsyncIOBackend()
        set_runtime(backend)
        return self._entered(backend, process.spawn, main)

    @staticmethod
    def _module(name: str, behavior: object, callbacks: dict[str, Any]) -> Any:
        """A module with these callbacks, and the others that its behaviour requires."""
        from otpylib.module import OTPModule

        async def unused(self: object, *args: object) -> None:
            raise NotImplementedError

        required = ("handle_call", "handle_cast", "handle_info", "terminate")
        namespace = dict.fromkeys(required, unused) | callbacks
        return OTPModule(name, (), namespace, behavior=behavior, version="1.0.0")

    @staticmethod
    @asynccontextmanager
    async def _entered(backend: Any, spawn: Any, main: Any) -> AsyncIterator[None]:
        await backend.initialize()
        await spawn(main)
        yield
        await backend.shutdown()


class Runsmith:
    """Coroutine workers, which have to show every two seconds that they are alive. The supervisor
    owns the process, and a signal stops it."""

    backends = ASYNCIO
    restarts = True

    def idle(self, begin: Begin, count: int) -> Running:
        async def once(worker: Any) -> None:
            if not hasattr(worker, "begun"):
                worker.begun = True
                begin()

        return self._supervised(once, count)

    def crashing(self, life: Life) -> Running:
        async def live(worker: object) -> None:
            await life()

        return self._supervised(live, 1)

    def _supervised(self, run: Any, count: int) -> Running:
        os.environ["RUNSMITH_WORKER_RESTART_QUOTA"] = str(PLENTY)
        from loguru import logger
        from runsmith import AsyncSupervisor, AsyncWorker, actor

        logger.remove()

        class Child(AsyncWorker):
            @actor("starting")
            async def begin(self) -> object:
                return self.emit("run")

            @actor("terminating")
            async def end(self) -> object:
                return self.emit("complete")

            @actor("running", min_interval=0.5)
            async def live(self) -> object:
                if self.ctx.cmd == "stop":
                    return self.emit("complete")
                await run(self)
                return self.emit("keepalive")

        supervisor = AsyncSupervisor("tree")
        supervisor.register_workers(*(Child(f"child-{i}") for i in range(count)))
        return self._running(supervisor)

    @staticmethod
    @asynccontextmanager
    async def _running(supervisor: Any) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(supervisor.run)
            yield
            signal.raise_signal(signal.SIGTERM)
