"""What the runtime's tests share: a record of all that a tree tells."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from anyio import current_time, sleep

from supervisor import Event
from supervisor._runtime import host, runtime
from supervisor._runtime.clock import draws

E = TypeVar("E", bound=Event)


class Told(list[Event]):
    """Events in the order in which they were told."""

    def of(self, kind: type[E], path: str = "") -> list[E]:
        """Those of one type, and of one child if ``path`` is given."""
        return [e for e in self if isinstance(e, kind) and path in ("", e.path)]

    def names(self, *kinds: type[Event]) -> list[str]:
        """The last names in the paths of the events of these types."""
        return [e.path.rpartition("/")[2] for e in self if isinstance(e, kinds)]


class Service:
    """What guarded calls call. It answers as it was told to, the last way from then on: by an error,
    or with a value. ``asked`` has the times at which it was."""

    def __init__(self, *answers: Any, took: float = 0) -> None:
        self.answers = answers or ("here",)
        self.took = took
        self.asked: list[float] = []

    async def ask(self, *_: object) -> Any:
        answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(current_time())
        await sleep(self.took)
        if isinstance(answer, BaseException | type):
            raise answer
        return answer


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """All that the trees opened in this test tell, from the first event on; nothing is logged."""
    told = Told()

    def log_events(*_: object, **__: object) -> Callable[[Event], None]:
        return told.append

    monkeypatch.setattr(host, "log_events", log_events)
    return told


@pytest.fixture(autouse=True)
def chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same jitter in every run, except for tests that choose a seed of their own."""
    monkeypatch.setattr(runtime, "source_of_chance", lambda: draws.get() or random.Random(2026))
