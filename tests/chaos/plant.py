"""Faults planted to show that they are found. None of them is in a run that does not ask for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import anyio

from supervisor import Crashed, Declined, Event, Returned, Stopped

if TYPE_CHECKING:
    from tests.chaos.storm import Storm

kept: list[object] = []


def lose_crash(storm: Storm) -> None:
    """Every fifth crash is not told."""
    hear, count = storm.ear.hear, [0]

    def loses(event: Event) -> None:
        count[0] += isinstance(event, Crashed)
        if not isinstance(event, Crashed) or count[0] % 5:
            hear(event)

    storm.ear.hear = loses  # type: ignore[method-assign]


def tell_twice(storm: Storm) -> None:
    """Every third crash is told twice."""
    hear, count = storm.ear.hear, [0]

    def repeats(event: Event) -> None:
        hear(event)
        count[0] += isinstance(event, Crashed)
        if isinstance(event, Crashed) and not count[0] % 3:
            hear(event)

    storm.ear.hear = repeats  # type: ignore[method-assign]


def leave_task(storm: Storm) -> None:
    """A task goes on when the tree is over."""
    watch = storm.watch

    def leaves(tree: Any) -> Any:
        coroutine = watch(tree)

        async def with_guest() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(_stays, name="a task that stays")
                await coroutine

        return with_guest()

    storm.watch = leaves  # type: ignore[method-assign]


async def _stays() -> None:
    try:
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(1)


def leave_descriptor(storm: Storm) -> None:
    """Every tenth life leaves a descriptor open."""
    on_start, count = storm.witness.start, [0]

    def leaves(life: Any) -> Any:
        count[0] += 1
        if not count[0] % 10:
            kept.append(os.pipe())
        return on_start(life)

    storm.witness.start = leaves


def keep_memory(storm: Storm) -> None:
    """Every life leaves some objects behind."""
    on_start = storm.witness.start

    def keeps(life: Any) -> Any:
        kept.extend([[life.path]] * 100)
        kept.extend([life.path, number] for number in range(100))
        return on_start(life)

    storm.witness.start = keeps


def keep_errors(storm: Storm) -> None:
    """Every fifth error that is told is kept, with all that it holds."""
    hear, count = storm.ear.hear, [0]

    def keeps(event: Event) -> None:
        hear(event)
        count[0] += isinstance(event, Crashed)
        if isinstance(event, Crashed) and not count[0] % 5:
            kept.append(event.error)

    storm.ear.hear = keeps  # type: ignore[method-assign]


def keep_endings(storm: Storm) -> None:
    """Of every end of a life that is told a record is kept."""
    hear = storm.ear.hear

    def keeps(event: Event) -> None:
        hear(event)
        if isinstance(event, Crashed | Stopped | Returned | Declined):
            kept.append([event.path])

    storm.ear.hear = keeps  # type: ignore[method-assign]


PLANTS: Final[Mapping[str, Callable[[Storm], None]]] = {
    "a lost crash": lose_crash,
    "a crash told twice": tell_twice,
    "a leaked task": leave_task,
    "a leaked descriptor": leave_descriptor,
    "leaked memory": keep_memory,
    "leaked errors": keep_errors,
    "leaked records": keep_endings,
}
