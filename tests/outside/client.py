"""The client: ``python -m tests.outside.client BACKEND SCENARIO URL LIMITED``.

A tree with a broker and, for each class, so many components that ask for a permit and then the
service, again and again, over connections that stay open. It goes on until its standard input ends,
and prints what it has cost as JSON.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import anyio
from httpx2 import AsyncClient, Limits

import supervisor
from supervisor import Component, Supervisor, open_supervisor
from tests.outside.scenarios import CLASSES, Scenario, scenarios

BUDGET = "api"


class Permit(Protocol):
    def throttled(self, retry_after: float) -> None: ...


class Unlimited:
    """What a client does without a broker; the bars have to tell the difference."""

    def throttled(self, retry_after: float) -> None:
        """Nobody minds."""

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Permit]:
        yield self


def acquire() -> AbstractAsyncContextManager[Permit]:
    """A permit, in the order of the priority that the component has."""
    permit: AbstractAsyncContextManager[Permit] = supervisor.acquire(BUDGET)
    return permit


class Load:
    """Asks for as long as it is let."""

    def __init__(self, http: AsyncClient, url: str, limited: bool) -> None:
        self.asked = 0
        self._http = http
        self._url = url
        self._acquire = acquire if limited else Unlimited().acquire

    async def ask(self, priority: str) -> None:
        # One request serves all: to build it each time would be half of what it costs.
        request = self._http.build_request("GET", self._url, headers={"X-Priority": priority})
        while True:
            async with self._acquire() as permit:
                response = await self._http.send(request)
                self.asked += 1
                if response.status_code == 429:
                    permit.throttled(float(response.headers["Retry-After"]))


async def run(scenario: Scenario, url: str, limited: bool) -> None:
    pool = Limits(max_connections=None, max_keepalive_connections=None)
    async with AsyncClient(timeout=10, trust_env=False, limits=pool) as http:
        load = Load(http, url, limited)
        async with open_supervisor(_tree(scenario, load, limited)) as tree:
            spent, asked = time.process_time(), load.asked
            await anyio.to_thread.run_sync(sys.stdin.buffer.read)
            cost = (time.process_time() - spent) / max(1, load.asked - asked)
            await tree.stop()
    sys.stdout.write(json.dumps({"asked": load.asked, "cpu_us": cost * 1e6}) + "\n")


def _tree(scenario: Scenario, load: Load, limited: bool) -> Supervisor:
    broker = [supervisor.Broker({BUDGET: scenario.budget})] if limited else []
    crowd = [
        Component(load.ask, args=(each,), name=each, priority=each, copies=scenario.workers)
        for each in CLASSES
    ]
    return Supervisor("client", [*broker, *crowd])


def main(backend: str, scenario: str, url: str, limited: bool) -> None:
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    options: dict[str, Any] = {"use_uvloop": True} if backend == "uvloop" else {}
    library = "trio" if backend == "trio" else "asyncio"
    chosen = scenarios(1)[scenario]
    anyio.run(run, chosen, url, limited, backend=library, backend_options=options)


if __name__ == "__main__":
    _, backend, scenario, url, limited = sys.argv
    main(backend, scenario, url, limited == "limited")
