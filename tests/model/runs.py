"""Runs that a seed decides, without Hypothesis: for many of them, and for playing one again."""

from __future__ import annotations

import random
from typing import Literal

import anyio

from supervisor.testing import virtual_backend
from tests.model import draw
from tests.model.draw import Choice, Draw
from tests.model.drive import Drive
from tests.model.plan import Plan

Run = tuple[Plan, list[Choice], str]


def chosen(seed: int, number: int) -> Run:
    """The tree, its steps, and how it is ended."""
    source = Draw(random.Random(seed).randrange)
    return draw.tree(source), draw.steps(source, number), source.one("stop", "cancel")


def play(
    backend: Literal["asyncio", "trio"], plan: Plan, choices: list[Choice], end: str
) -> Exception | None:
    """What the real tree and the model do not agree on, if there is anything."""
    name, options = virtual_backend(backend)
    try:
        anyio.run(Drive(plan).run, choices, end, backend=name, backend_options=options)
    except Exception as raised:
        error: Exception = raised
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        return error
    return None
