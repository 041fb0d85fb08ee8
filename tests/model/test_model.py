"""The real tree does what the model says, whatever happens to it; and how a failure is replayed."""

from __future__ import annotations

import ast
import os
import random
from functools import cache
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from supervisor.testing import virtual_backend
from tests.model import draw
from tests.model.draw import Choice, Draw
from tests.model.drive import Drive
from tests.model.plan import Plan

RUNS = int(os.environ.get("MODEL_RUNS", "1000"))
PART = 100
"""Runs in one test: pytest ends a test that takes minutes, and shows where others are."""
STEPS = 50
SEED = os.environ.get("MODEL_SEED")
MODEL = ("model", "history", "plan")


@cache
def below(number: int) -> st.SearchStrategy[int]:
    return st.integers(0, number - 1)


@st.composite
def runs(choose: Any) -> tuple[Plan, list[Choice], str]:
    source = Draw(lambda number: choose(below(number)))
    tree = draw.tree(source)
    return tree, draw.steps(source, STEPS), source.one("stop", "cancel")


@pytest.mark.parametrize("part", range(-(-RUNS // PART)))
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_real_tree_does_what_the_model_says(
    backend: Literal["asyncio", "trio"], part: int
) -> None:
    number = random.SystemRandom().randrange(10**6) if SEED is None else int(SEED)

    @seed(number)
    @settings(
        max_examples=min(PART, RUNS),
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(runs())
    def play(run: tuple[Plan, list[Choice], str]) -> None:
        plan, choices, end = run
        name, options = virtual_backend(backend)
        anyio.run(Drive(plan).run, choices, end, backend=name, backend_options=options)

    try:
        play()
    except BaseException as error:
        runs_again = f"MODEL_SEED={number} MODEL_RUNS={min(PART, RUNS)}"
        error.add_note(f"again: {runs_again} python -m pytest tests/model -k {backend}")
        raise


@pytest.mark.parametrize("module", MODEL)
def test_the_model_knows_nothing_of_the_library(module: str) -> None:
    source = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    allowed = {"tests.model.history", "tests.model.plan"}
    assert "supervisor._" not in source
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            ours = name.split(".")[0] in {"supervisor", "tests"}
            assert not ours or any(f"{name}.".startswith(f"{one}.") for one in allowed), name


@pytest.mark.parametrize("module", ["drive", "world"])
def test_only_public_names_drive_the_real_tree(module: str) -> None:
    source = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("supervisor"):
            assert node.module in {"supervisor", "supervisor.testing"}
        elif isinstance(node, ast.Attribute):
            ours = isinstance(node.value, ast.Name) and node.value.id == "self"
            assert ours or node.attr == "__name__" or not node.attr.startswith("_"), node.attr
