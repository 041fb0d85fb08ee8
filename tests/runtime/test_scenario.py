"""One recorded scenario on every backend: what is decided does not depend on the event loop."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import groupby
from typing import Any, TypeAlias

import anyio
import pytest

from supervisor import (
    Backoff,
    Component,
    Crashed,
    Event,
    GroupRestarted,
    Quarantine,
    Quarantined,
    Recovered,
    Resource,
    Stop,
    Supervisor,
    open_supervisor,
)
from supervisor._runtime.clock import draws
from supervisor.testing import (
    Boom,
    Crashing,
    Declining,
    FailingDuring,
    Hanging,
    Outage,
    SlowStarting,
    SlowStopping,
    virtual_backend,
)

Trace: TypeAlias = list[tuple[float, str, str, int]]


class Shop:
    """A tree in which everything happens within the hour, and its troubles on a schedule."""

    def __init__(self, unit: float) -> None:
        self.unit = unit  # seconds that a scheduled second takes
        self.outage = Outage()

    def declare(self) -> Supervisor:
        u = self.unit
        backoff = Backoff(first=0.5 * u, base=u, cap=20 * u, jitter="equal", reset_after=300 * u)
        policy = Quarantine(
            crashes=3, within=120 * u, open=200 * u, factor=2, cap=900 * u, probe=20 * u
        )
        calm = {"backoff": backoff, "quarantine": policy, "stop": Stop(deadline=50 * u)}
        net = Resource(self.connection, name="net", **calm)
        group = Supervisor(
            "group",
            [
                Component(SlowStarting(2 * u), name="first", **calm),
                Component(Crashing(6, after=250 * u), name="second", **calm),
                Component(SlowStopping(3 * u), name="third", **calm),
            ],
            strategy="one_for_all",
        )
        return Supervisor(
            "shop",
            [
                net,
                Component(Hanging(), name="reader", args=(net,), **calm),
                Component(
                    FailingDuring(self.outage),
                    name="feed",
                    fallback=Component(Hanging(), name="cache"),
                    **calm,
                ),
                Component(Crashing(25, after=70 * u), name="loop", **calm),
                Component(Declining(), name="declined", **calm),
                group,
            ],
        )

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[object]:
        async with anyio.create_task_group() as tg:
            tg.start_soon(self._lose)
            yield object()
            tg.cancel_scope.cancel()

    async def _lose(self) -> None:
        await anyio.sleep(1111 * self.unit)
        raise ConnectionError("lost")

    async def play(self, events: list[Event]) -> None:
        u = self.unit
        async with open_supervisor(self.declare(), stop_within=100 * u) as tree:
            tree._runtime.bus.sinks[:] = [events.append]
            await anyio.sleep(400 * u)
            self.outage.begin()
            with suppress(Boom):
                await tree["feed"].restart()
            await anyio.sleep(100 * u)
            await tree["loop"].stop()
            await anyio.sleep(300 * u)
            self.outage.end()
            await tree["loop"].start()
            await anyio.sleep(2800 * u)


def play(backend: str, *, seed: int, unit: float, options: dict[str, Any]) -> list[Event]:
    events: list[Event] = []

    async def main() -> None:
        draws.set(random.Random(seed))
        await Shop(unit).play(events)

    anyio.run(main, backend=backend, backend_options=options)
    return events


def virtually(name: Any, seed: int = 1, unit: float = 1.0) -> list[Event]:
    backend, options = virtual_backend(name)
    return play(backend, seed=seed, unit=unit, options=options)


def trace(events: list[Event]) -> Trace:
    """The events as plain facts, sorted within an instant: there the order is the scheduler's."""
    facts = [(e.at, e.path, type(e).__name__, getattr(e, "life", 0)) for e in events]
    return [fact for _, same in groupby(facts, key=lambda fact: fact[0]) for fact in sorted(same)]


def test_an_hour_is_alike_on_asyncio_and_trio() -> None:
    """It must show 3: the same events at the same times, sorted within an instant."""
    on_asyncio, on_trio = virtually("asyncio"), virtually("trio")
    assert trace(on_asyncio) == trace(on_trio)
    assert on_asyncio[-1].at >= 3600
    assert len(on_asyncio) > 150
    for kind in (Crashed, GroupRestarted, Quarantined, Recovered):
        assert sum(isinstance(event, kind) for event in on_asyncio) >= 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_same_seed_gives_the_same_events(backend: str) -> None:
    first, *others = [trace(virtually(backend, seed=7)) for _ in range(5)]
    assert all(other == first for other in others)
    assert trace(virtually(backend, seed=8)) != first


def test_ten_real_seconds_on_uvloop_tell_the_same_story() -> None:
    """It must show 3: child by child, the same decisions in the same order."""
    pytest.importorskip("uvloop")
    unit = 10 / 3600
    real = play("asyncio", seed=1, unit=unit, options={"use_uvloop": True})
    stories = [by_path(events) for events in (virtually("asyncio", unit=unit), real)]
    assert stories[0] == stories[1]


def by_path(events: list[Event]) -> dict[str, list[str]]:
    story: dict[str, list[str]] = {}
    for event in events:
        story.setdefault(event.path, []).append(type(event).__name__)
    return story
