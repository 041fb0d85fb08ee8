"""The tree: the trading example, and beside it two groups and a crowd that it has no use for.

The example's own children keep their order, arguments and needs. Their times are shorter, so that
ten minutes hold thousands of lives, and ``prices`` is not given up: what a tree does that gives up
is for other tests.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import anyio
from anyio import TASK_STATUS_IGNORED, CancelScope
from anyio.abc import TaskStatus
from msgspec.structs import replace

from supervisor import (
    Backoff,
    Broker,
    Component,
    Intensity,
    Quarantine,
    Resource,
    Stop,
    Supervisor,
    current_child,
    every,
)
from tests.chaos.witness import Life, Witness

Leaf: TypeAlias = Component | Resource | Broker

TRADING: Final = Path(__file__).parents[2] / "examples" / "trading"
PROGRAM: Final = str(TRADING / "outside")

QUICK: Final = Backoff(first=0, base=0.1, cap=1, reset_after=5)
ASIDE: Final = Quarantine(crashes=4, within=10, open=0.8, cap=2, probe=0.4)
SHORT: Final = Stop(deadline=0.5)

CHANGED: Final[Mapping[str, dict[str, Any]]] = {
    "broker": {"backoff": QUICK, "quarantine": None},
    "outside": {"backoff": QUICK, "quarantine": None},
    "http": {"backoff": QUICK, "quarantine": None},
    "prices": {"backoff": QUICK, "quarantine": None, "start_timeout": 2, "heartbeat": 2.5},
    "history": {"backoff": QUICK, "quarantine": ASIDE, "stop": SHORT},
    "telegram": {"backoff": QUICK, "quarantine": ASIDE, "start_timeout": 2, "stop": SHORT},
    "log_only": {"backoff": QUICK, "quarantine": ASIDE},
    "reporter": {"backoff": QUICK, "quarantine": ASIDE, "stop": SHORT},
}
"""What is not as in the example."""

NEEDS: Final = {
    "http": (),
    "prices": ("outside", "http"),
    "history": ("outside", "http", "prices"),
    "telegram": ("outside", "http", "prices"),
    "telegram/fallback": ("prices",),
    "reporter": ("prices",),
    "desk/quotes": ("prices",),
    "pair/clerk": ("pair/ledger",),
}
"""What has to be serving when a life begins, written from the declaration by hand."""

MAY_BE_STUCK: Final = ("telegram", "reporter", "desk/", "pair/clerk", "crowd")
"""Whose lives may outlast their deadline: nobody critical, as the tree would give up."""

MAY_DECLINE: Final = ("reporter", "desk/", "crowd")


def build(witness: Witness) -> Supervisor:
    """The tree, its components watched."""
    example = _example()
    known: dict[str, Leaf] = {}
    children = [
        _watched(spec, known, witness)
        for spec in example.children
        if not isinstance(spec, Supervisor)
    ]
    return replace(
        example, children=(*children, _desk(known["prices"], witness), _pair(witness), CROWD)
    )


def _example() -> Supervisor:
    # Its modules are a folder of an application, found as the application finds them.
    sys.path.insert(0, str(TRADING))
    tree: Supervisor = importlib.import_module("tree").tree
    return tree


def _watched(spec: Leaf, known: dict[str, Leaf], witness: Witness) -> Leaf:
    """The same child, its callable watched; arguments that are children, those that were made."""
    if isinstance(spec, Broker):
        return replace(spec, **CHANGED[spec.name])
    args = [known[arg.name] if isinstance(arg, Component | Resource) else arg for arg in spec.args]
    changed: dict[str, Any] = {**CHANGED[spec.name], "args": tuple(args)}
    if isinstance(spec, Resource):
        changed["factory"] = witness.resource(spec.factory)
    else:
        changed["run"] = witness.component(spec.run)
    if spec.fallback is not None:
        changed["fallback"] = _watched(spec.fallback, known, witness)
    made = replace(spec, **changed)
    known[made.name] = made
    return made


CROWD: Final = Supervisor("crowd", [], backoff=QUICK, quarantine=ASIDE)
"""Where most of the children are that come and go."""


def _desk(prices: Leaf, witness: Witness) -> Supervisor:
    """A group that gives up now and then."""

    def member(fn: Any, **options: Any) -> Component:
        return Component(witness.component(fn), backoff=QUICK, quarantine=ASIDE, **options)

    return Supervisor(
        "desk",
        [
            member(quotes, args=(prices,)),
            member(book, args=(witness.alive,), heartbeat=0.8, start_timeout=1, stop=SHORT),
            member(risk, args=(witness.alive,), stop=Stop(grace=0.2, deadline=0.5)),
        ],
        strategy="rest_for_one",
        intensity=Intensity(5, within=2),
        backoff=QUICK,
        quarantine=ASIDE,
    )


def _pair(witness: Witness) -> Supervisor:
    books = Resource(
        witness.resource(ledger), name="ledger", backoff=QUICK, quarantine=ASIDE, stop=SHORT
    )
    writes = Component(
        witness.component(clerk), args=(books,), backoff=QUICK, quarantine=ASIDE, stop=SHORT
    )
    return Supervisor(
        "pair", [books, writes], strategy="one_for_all", backoff=QUICK, quarantine=ASIDE
    )


async def quotes(board: Any) -> None:
    """Needs what is further up."""
    async for _ in every(0.3):
        assert board.symbols


async def book(
    alive: Mapping[str, Life], *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED
) -> None:
    """Reports, and beats."""
    await anyio.sleep(0.02)
    task_status.started()
    while True:
        await anyio.sleep(0.2)
        if not _is_numb(alive):
            current_child().heartbeat()


async def risk(alive: Mapping[str, Life]) -> None:
    """Ends by itself when it is asked to, if it is not numb."""
    stopping = current_child().stopping
    await stopping.wait()
    if _is_numb(alive):
        await anyio.sleep_forever()


@asynccontextmanager
async def ledger() -> AsyncIterator[list[int]]:
    """Takes some time to come and to go."""
    await anyio.sleep(0.02)
    try:
        yield []
    finally:
        with CancelScope(shield=True):
            await anyio.sleep(0.05)


async def clerk(entries: list[int]) -> None:
    async for _ in every(0.3):
        entries.append(len(entries))


def _is_numb(alive: Mapping[str, Life]) -> bool:
    return alive[current_child().path].numb
