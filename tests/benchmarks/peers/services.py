"""Peers whose children are services or functions that run.

Nothing of a peer is imported before it is asked for, and whatever can be built before its children
start is built there: it is not part of what is timed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from tests.benchmarks.peers.cases import Begin, Life, Running

ASYNCIO = ("asyncio", "uvloop")
EITHER = ("asyncio", "uvloop", "trio")


def waiting(begin: Begin) -> Life:
    async def wait() -> None:
        begin()
        await anyio.sleep_forever()

    return wait


class Mode:
    """A service for each child, in one supervisor whose budget is never used up."""

    backends = ASYNCIO
    restarts = True

    def idle(self, begin: Begin, count: int) -> Running:
        return self._supervised(waiting(begin), count)

    def crashing(self, life: Life) -> Running:
        return self._supervised(life, 1)

    @staticmethod
    def _supervised(run: Life, count: int) -> Running:
        from mode import Service
        from mode.supervisors import OneForOneSupervisor

        class Child(Service):
            @Service.task
            async def live(self) -> None:
                await run()

        supervisor = OneForOneSupervisor(max_restarts=1_000_000, over=1)
        supervisor.add(*(Child() for _ in range(count)))
        return supervisor


class ChronoDaemon:
    """A daemon for each child, with the delay at zero."""

    backends = EITHER
    restarts = True

    def idle(self, begin: Begin, count: int) -> Running:
        return self._supervised(waiting(begin), count)

    def crashing(self, life: Life) -> Running:
        return self._supervised(life, 1)

    def _supervised(self, run: Life, count: int) -> Running:
        from chrono_daemon import RestartPolicy, Supervisor

        async def live(ctx: object) -> None:
            await run()

        at_once = RestartPolicy(base=0, factor=1, cap=0)
        supervisor = Supervisor(on_error="restart", restart=at_once)
        for i in range(count):
            supervisor.spawn(live, name=f"child-{i}")
        return self._entered(supervisor)

    @staticmethod
    @asynccontextmanager
    async def _entered(supervisor: Any) -> AsyncIterator[None]:
        async with supervisor:
            yield
            await supervisor.stop(grace=0)


class Engin:
    """Supervised functions. It tries again in the same task, without letting others run between."""

    backends = EITHER
    restarts = True

    def idle(self, begin: Begin, count: int) -> Running:
        return self._supervised(waiting(begin), count)

    def crashing(self, life: Life) -> Running:
        return self._supervised(life, 1)

    @staticmethod
    def _supervised(run: Life, count: int) -> Running:
        from engin import OnException, Supervisor

        supervisor = Supervisor()
        for _ in range(count):
            supervisor.supervise(run, on_exception=OnException.RETRY)
        return supervisor


class Aiomisc:
    """A service for each child in an entrypoint. It restarts none."""

    backends = ASYNCIO
    restarts = False

    def idle(self, begin: Begin, count: int) -> Running:
        from aiomisc import Service, entrypoint

        wait = waiting(begin)

        class Child(Service):
            async def start(self) -> None:
                self.start_event.set()
                await wait()

        children = [Child() for _ in range(count)]
        return entrypoint(*children, log_config=False, catch_signals=())

    def crashing(self, life: Life) -> Running:
        raise NotImplementedError


class Aiotools:
    """Tasks of a supervisor, which lets the others live when one fails. It restarts none."""

    backends = ASYNCIO
    restarts = False

    def idle(self, begin: Begin, count: int) -> Running:
        from aiotools import Supervisor

        return self._entered(Supervisor(), waiting(begin), count)

    @staticmethod
    @asynccontextmanager
    async def _entered(supervisor: Any, wait: Life, count: int) -> AsyncIterator[None]:
        async with supervisor:
            for _ in range(count):
                supervisor.create_task(wait())
            yield
            supervisor.abort()

    def crashing(self, life: Life) -> Running:
        raise NotImplementedError
