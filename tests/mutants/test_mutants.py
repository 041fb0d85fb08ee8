"""Every planted fault is noticed, by the test that names what it breaks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.mutants.fault import ROOT, Misplaced, Mutant, mutated
from tests.mutants.runner import Result, begin_all, try_out, without_faults
from tests.mutants.table import MUTANTS

JOBS = 2
BY_NAME = {mutant.name: mutant for mutant in MUTANTS}


@pytest.fixture(scope="module")
def fates(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Result]]]:
    """What becomes of those that were selected, tried out some at a time."""
    asked = [
        BY_NAME[item.callspec.params["name"]]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == test_is_killed.__name__
    ]
    with ThreadPoolExecutor(JOBS) as pool:
        yield begin_all(asked, pool)
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", BY_NAME)
def test_is_killed(name: str, fates: dict[str, Future[Result]]) -> None:
    result = fates[name].result()

    assert result.dead, str(result)


def test_without_a_fault_the_same_tests_pass() -> None:
    assert without_faults(MUTANTS) == ""


# --- the table -------------------------------------------------------------------------------------


def test_there_are_faults_of_both_floors() -> None:
    floors = [mutant.module.split(".")[1] for mutant in MUTANTS]

    assert len(BY_NAME) == len(MUTANTS)
    assert floors.count("_core") >= 40
    assert floors.count("_runtime") >= 20


def test_each_names_a_law_or_a_section() -> None:
    guarantees, semantics = _docs("guarantees.md"), _docs("semantics.md")
    laws = {int(n) for n in re.findall(r"^\*\*(\d+)\.", guarantees, re.MULTILINE)}
    sections = set(re.findall(r"^##+ (.*)$", guarantees + semantics, re.MULTILINE))

    assert {m.law for m in MUTANTS} <= laws | sections
    assert laws - {14} <= {
        m.law for m in MUTANTS
    }  # 14 is about declarations, which are no floor here


def test_each_is_one_line() -> None:
    assert not [m.fault for m in MUTANTS if "\n" in m.old + m.new or m.old == m.new]


def _docs(name: str) -> str:
    return Path(ROOT, "docs", name).read_text("utf-8")


# --- the machinery ---------------------------------------------------------------------------------

AN_END = BY_NAME["the-late-end-of-an-old-life-is-accepted"]


def test_a_fault_that_changes_nothing_survives() -> None:
    harmless = replace(AN_END, new=f"({AN_END.old})")

    result = try_out(harmless)

    assert (result.fate, result.dead) == ("survived", False)


@pytest.mark.parametrize(
    "change",
    [
        {"new": "no_such_name"},
        {"old": "input: Exited)", "new": "input: Exited = no_such_name)"},
    ],
    ids=["when it runs", "when it is imported"],
)
def test_a_fault_that_is_a_slip_of_the_pen_kills_nothing(change: dict[str, str]) -> None:
    result = try_out(replace(AN_END, **change))

    assert (result.fate, result.dead) == ("broken", False)
    assert "no_such_name" in result.how


def test_a_test_that_does_not_exist_kills_nothing() -> None:
    result = try_out(AN_END, ["tests/core/test_restart_types.py::test_nothing"])

    assert (result.fate, result.dead) == ("broken", False)


def test_to_hang_is_no_death_unless_it_was_declared() -> None:
    assert not Result(AN_END, "timed out", "", "", 60).dead
    assert Result(replace(AN_END, hangs=True), "timed out", "", "", 60).dead


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"old": "if input.life is child.life"}, "occurs 0 times in _exited"),
        ({"old": "child"}, r"occurs \d+ times in _exited"),
        ({"function": "_gone"}, "there is no _gone in supervisor._core.step"),
    ],
)
def test_a_fault_that_has_lost_its_place_says_so(change: dict[str, str], said: str) -> None:
    with pytest.raises(Misplaced, match=f"{said}.* Adapt the mutant 'the late end of an old life"):
        try_out(replace(AN_END, **change))


def test_a_method_is_found_in_its_class() -> None:
    source = "class A:\n    def f(self):\n        return 1\n\nclass B:\n    def f(self):\n        return 1\n"
    mutant = Mutant("a fault", 1, "m", "B.f", "return 1", "return 2", ())

    assert mutated(mutant, source).splitlines() == [
        *source.splitlines()[:-1],
        "        return 2",
    ]
