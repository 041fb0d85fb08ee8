"""Frozen pictures of a running tree: what ``snapshot()`` and ``explain()`` answer with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from msgspec import Struct

from supervisor._words import Condition, Hold, Outcome, Priority, RestartType, State

Kind: TypeAlias = Literal["component", "resource", "broker", "supervisor"]


class ChildView(Struct, frozen=True):
    """A child at one moment.

    ``since`` is when it entered ``state``, in seconds of the tree's clock. ``holds`` say why it is
    not wanted up, ``waits_for`` the paths of what it waits for although it is. ``attempt`` numbers
    the automatic restarts of the present series, ``crashes`` are those within its quarantine's
    window. ``outcome`` is that of its last life that ended. A supervisor has ``children``.
    """

    path: str
    name: str
    kind: Kind
    state: State
    since: float
    life: int
    priority: Priority
    restart: RestartType
    holds: tuple[Hold, ...] = ()
    waits_for: tuple[str, ...] = ()
    attempt: int = 0
    crashes: int = 0
    probe: bool = False
    outcome: Outcome | None = None
    fallback: ChildView | None = None
    children: tuple[ChildView, ...] = ()

    def walk(self) -> Iterator[ChildView]:
        """This child, its fallback, and all below it, in start order."""
        yield self
        if self.fallback is not None:
            yield from self.fallback.walk()
        for child in self.children:
            yield from child.walk()


class TreeView(Struct, frozen=True):
    """A tree at the moment ``at`` (seconds of the tree's clock)."""

    at: float
    condition: Condition
    root: ChildView


class Explanation(Struct, frozen=True):
    """Why a child is as it is: print it. ``view`` has the facts, ``lines`` say them."""

    at: float
    view: ChildView
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.lines)
