"""Work per input is proportional to the children it touches, never to the size of the tree."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from supervisor._core import order
from supervisor._core.child import ChildState
from supervisor._core.node import Node
from tests.core.drive import SECOND, Drive, child, slow

MANY = 10_000


@contextmanager
def touched(patch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The children that the mover looks at."""
    looked_at: list[str] = []
    refresh = order.refresh

    def counting(node: Node, child: ChildState) -> None:
        looked_at.append(child.name)
        refresh(node, child)

    with patch.context() as within:
        within.setattr(order, "refresh", counting)
        yield looked_at


class FromBehind(dict[str, ChildState]):
    """Children that may be walked from the youngest on only."""

    def values(self) -> Any:
        return _FromBehind(super().values())


class _FromBehind:
    def __init__(self, values: Any) -> None:
        self._values = values

    def __reversed__(self) -> Iterator[ChildState]:
        return reversed(self._values)


@pytest.fixture(scope="module")
def crowd() -> Drive:
    return Drive(*(child(f"c{i}", backoff=SECOND) for i in range(MANY)), watched=False)


def test_one_crash_touches_one_child(crowd: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    with touched(monkeypatch) as looked_at:
        crowd.crash("c5000")
        crowd.advance(1)

    assert set(looked_at) == {"c5000"}
    assert len(looked_at) <= 8
    assert crowd["c5000"].life == 2


@pytest.mark.parametrize("command", ["stop", "start", "restart"])
def test_a_command_touches_the_child_it_concerns(
    crowd: Drive, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    with touched(monkeypatch) as looked_at:
        getattr(crowd, command)("c7000")

    assert set(looked_at) == {"c7000"}
    assert len(looked_at) <= 10


def test_a_group_of_the_last_ones_does_not_walk_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drive = Drive(*(child(f"c{i}") for i in range(MANY)), strategy="rest_for_one", watched=False)

    drive.node.children = FromBehind(drive.node.children)

    with touched(monkeypatch) as looked_at:
        drive.crash(f"c{MANY - 2}")

    assert set(looked_at) == {f"c{MANY - 2}", f"c{MANY - 1}"}


def test_a_dependents_return_touches_those_that_it_concerns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = [child(f"c{i}") for i in range(1000)]
    drive = Drive(child("a"), child("b", needs={"a": "each"}), *others, watched=False)

    with touched(monkeypatch) as looked_at:
        drive.crash("a")

    assert set(looked_at) == {"a", "b"}
    assert len(looked_at) <= 24


def test_dependents_that_end_one_by_one_look_at_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    dependents = [f"c{i}" for i in range(200)]
    drive = Drive(
        child("a"),
        *(child(n, needs={"a": "each"}) for n in dependents),
        obedient=False,
        watched=False,
    )
    drive.crash("a")

    with touched(monkeypatch) as looked_at:
        for name in dependents[:-1]:
            drive.end(name)

    assert len(looked_at) <= 4 * len(dependents)
    drive.end(dependents[-1])
    assert drive["a"].state == drive["c199"].state == "ready"


def test_a_long_chain_of_needs_waits_and_comes_up() -> None:
    links = [child(f"c{i}", needs=(f"c{i - 1}",)) for i in range(1, 1500)]
    drive = Drive(slow("c0", backoff=SECOND), *links, watched=False)

    drive.crash("c0")
    assert drive.node.booted
    drive.advance(1)
    drive.ready("c0")

    assert drive["c1499"].state == "ready"


def test_a_long_chain_below_a_critical_child() -> None:
    links = [child(f"c{i}", needs=(f"c{i - 1}",)) for i in range(1, 1500)]
    drive = Drive(
        child("c0"), *links, child("last", needs=("c1499",), priority="critical"), watched=False
    )

    assert drive["c0"].critical


def test_a_crowd_that_is_ready_has_no_deadline() -> None:
    drive = Drive(*(child(f"c{i}") for i in range(1000)), watched=False)

    assert drive.deadline == math.inf
    assert drive.node.timers == []
