"""Every combination of a few options: which are right, and that the wrong ones are named."""

from __future__ import annotations

import math
from itertools import product
from typing import Any, get_args

import pytest

from supervisor import Component, Intensity, Stop, Supervisor, check
from supervisor._words import AutoShutdown, Boot, Priority, RestartType, Strategy
from supervisor.testing import Hanging

HANGING = Hanging()


@pytest.mark.parametrize("mode", get_args(AutoShutdown))
def test_every_combination_of_options_is_right_or_told_by_its_field(mode: Any) -> None:
    """A significant child has to be one that ends, below a supervisor that ends with it."""
    for restart, significant, priority, grace, strategy, boot in product(
        get_args(RestartType),
        (True, False),
        get_args(Priority),
        (0, 3),
        get_args(Strategy),
        get_args(Boot),
    ):
        child = Component(
            HANGING,
            name="a",
            restart=restart,
            significant=significant,
            priority=priority,
            stop=Stop(grace=grace),
        )
        found = check(Supervisor("t", [child], strategy=strategy, boot=boot, auto_shutdown=mode))
        wrong = significant and (mode == "never" or restart == "permanent")
        errors = {problem.path for problem in found if problem.level == "error"}
        assert errors == ({"t/a.significant"} if wrong else set())


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"strategy": "simple_one_for_one"}, "t.strategy"),
        ({"strategy": 3}, "t.strategy"),
        ({"auto_shutdown": "some_significant"}, "t.auto_shutdown"),
        ({"auto_shutdown": True}, "t.auto_shutdown"),
        ({"intensity": 3}, "t.intensity"),
        ({"intensity": Intensity(math.inf, 5)}, "t.intensity.restarts"),  # type: ignore[arg-type]
        ({"intensity": Intensity(-1, 5)}, "t.intensity.restarts"),
        ({"intensity": Intensity(1, 0)}, "t.intensity.within"),
        ({"intensity": Intensity(1, -5)}, "t.intensity.within"),
        ({"max_children": -1}, "t.max_children"),
    ],
)
def test_a_wrong_option_of_a_supervisor_is_told_by_its_name(options: Any, path: str) -> None:
    found = check(Supervisor("t", [], **options))
    assert [(problem.path, problem.level) for problem in found] == [(path, "error")]
