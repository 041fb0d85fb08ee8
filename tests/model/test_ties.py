"""Where the order within an instant decides, the real tree does what one of the two orders says."""

from __future__ import annotations

from typing import Literal

import anyio
import pytest

from supervisor._core import verdict
from supervisor.testing import virtual_backend
from tests.model.draw import STEPS
from tests.model.drive import Differs, Drive
from tests.model.plan import Aside, Plan

Backend = Literal["asyncio", "trio"]

TREE = Plan(
    "root",
    strategy="one_for_all",
    auto_shutdown="all_significant",
    children=(
        Plan("a", aside=Aside(crashes=1), fallback=Plan("a2", stop_takes=1.3)),
        Plan("b", restart="temporary", significant=True),
    ),
)
"""When ``a`` crashes its fallback starts, and the end of ``b`` ends the tree."""

A_CRASHES = [(STEPS.index("crash"), 0, 0)]


def runs_of_the_fallback(backend: Backend) -> int:
    drive = Drive(TREE)
    name, options = virtual_backend(backend)
    anyio.run(drive.run, A_CRASHES, "stop", backend=name, backend_options=options)
    return drive.world.actors["root/a/fallback"].runs


def test_a_fallback_that_starts_as_its_supervisor_ends_runs_or_not_as_the_scheduler_has_it() -> (
    None
):
    assert {runs_of_the_fallback("asyncio"), runs_of_the_fallback("trio")} == {0, 1}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_neither_order_says_is_found(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdict, "_lost_as_bystander", lambda node, child: None)
    for _ in range(10):
        with pytest.raises(BaseExceptionGroup) as raised:
            runs_of_the_fallback(backend)
        assert raised.group_contains(Differs)
