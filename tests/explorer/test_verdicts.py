"""The table of verdicts is written from OTP's rules, and has nothing from the machine."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from supervisor._spec.policy import Backoff, Intensity, Quarantine
from supervisor._spec.tree import Component, Supervisor
from tests.explorer import verdicts
from tests.explorer.verdicts import Case, answer


async def run() -> None:
    """A child."""


def case(outcome: Any = "crashed", *, tree: Any = None, **facts: Any) -> Case:
    declared = {k: facts.pop(k) for k in list(facts) if k in Component.__struct_fields__}
    spec = Component(run, **{"quarantine": None, **declared})
    return Case(spec, Supervisor("t", [], **(tree or {})), outcome, **facts)


def test_the_table_imports_nothing_of_the_machine() -> None:
    tree = ast.parse(Path(verdicts.__file__).read_text(encoding="utf-8"))
    found = {
        node.module if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }

    assert found == {"__future__", "collections.abc", "typing", "msgspec"}


@pytest.mark.parametrize(
    ("restart", "outcome", "action", "forgotten"),
    [
        # supervisor_SUITE: permanent_normal, permanent_abnormal, transient_normal, ...
        ("permanent", "returned", "restart", False),
        ("permanent", "crashed", "restart", False),
        ("permanent", "declined", "decline", False),
        ("transient", "returned", "finish", False),
        ("transient", "crashed", "restart", False),
        ("transient", "foreign", "restart", False),
        ("transient", "declined", "decline", False),
        ("temporary", "returned", "forget", True),
        ("temporary", "crashed", "forget", True),
        ("temporary", "declined", "decline", True),
    ],
)
def test_restart_types(restart: str, outcome: str, action: str, forgotten: bool) -> None:
    found = answer(case(outcome, restart=restart))

    assert (found.action, found.forgotten) == (action, forgotten)


@pytest.mark.parametrize("outcome", ["returned", "crashed", "cancelled", "declined"])
@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_what_was_to_go_down_is_told_and_decides_nothing(restart: str, outcome: str) -> None:
    found = answer(case(outcome, restart=restart, doomed=True, asked=True, closing=True))

    assert (found.action, found.members, found.ends) == ("none", None, "")


def test_one_restart_more_than_the_intensity_ends_the_supervisor() -> None:
    tree = {"intensity": Intensity(2, 10)}

    assert answer(case(tree=tree, restarts=1)).action == "restart"
    assert answer(case(tree=tree, restarts=2)).rule == "intensity"
    assert answer(case("returned", tree=tree, restarts=2, restart="transient")).action == "finish"


@pytest.mark.parametrize(
    ("strategy", "group", "members"),
    [
        ("one_for_one", None, None),
        ("one_for_all", None, 0),
        ("rest_for_one", None, 2),
        ("rest_for_one", 1, 1),
        ("rest_for_one", 3, 2),
    ],
)
def test_strategies(strategy: str, group: int | None, members: int | None) -> None:
    found = answer(case(tree={"strategy": strategy}, index=2, group=group))

    assert found.members == members


def test_quarantine_and_its_limits() -> None:
    aside = Quarantine(crashes=3, within=60, open=10, factor=2, cap=30)

    assert answer(case(quarantine=aside, crashes=1)).action == "restart"
    assert answer(case("returned", quarantine=aside, crashes=2)).action == "restart"
    assert answer(case(quarantine=aside, crashes=2)).rule == "crashes within window"
    assert answer(case(quarantine=aside, probing=True, times=1)).most == 20
    assert answer(case(quarantine=aside, probing=True, times=9)).most == 30
    assert answer(case(quarantine=aside, crashes=2, critical=True)).ends == "crashed"
    assert answer(case(quarantine=aside, crashes=2, aside=1, size=3)).rule == "half are quarantined"
    assert answer(case(quarantine=aside, crashes=2, aside=1, size=4)).action == "quarantine"


def test_delays_grow_to_the_cap_and_begin_anew_after_a_healthy_stretch() -> None:
    policy = Backoff(first=0, base=1, factor=2, cap=5, jitter="none", reset_after=60)

    delays = [answer(case(backoff=policy, attempt=n)).most for n in range(5)]

    assert delays == [0, 1, 2, 4, 5]
    assert answer(case(backoff=policy, attempt=4, up=60)).most == 0


def test_significant_children() -> None:
    end = {"significant": True, "restart": "transient"}
    anyone, everyone = {"auto_shutdown": "any_significant"}, {"auto_shutdown": "all_significant"}

    assert answer(case("returned", tree=anyone, **end)).ends == "returned"
    assert answer(case("crashed", tree=anyone, **end)).ends == ""
    assert answer(case("returned", tree=everyone, **end)).ends == ""
    assert answer(case("returned", tree=everyone, last=True, **end)).ends == "returned"
