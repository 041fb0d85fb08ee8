"""What the suites of OTP and its relatives ask of the decisions, and no other test of ours shows."""

from __future__ import annotations

import sys
from itertools import product
from types import FrameType
from typing import Any

import pytest

from supervisor._errors import TreeFailed
from supervisor._happenings import StopAsked
from supervisor._spec.policy import Intensity
from tests.core.drive import SECOND, Drive, child, slow

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
MODES = ("never", "any_significant", "all_significant")
EVERY_END = [*product(MODES, ("returns", "crash", "end", "decline"))]


# --- the budget --------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_with_a_budget_of_two_the_third_crash_ends_the_supervisor(strategy: str) -> None:
    drive = Drive(
        child("a"), child("b"), child("c"), strategy=strategy, intensity=Intensity(2, within=5)
    )
    for life in (2, 3):
        drive.crash("b")
        assert drive["b"].life == life
        assert drive.states() == "a:ready b:ready c:ready"

    error = drive.crash("b")

    assert drive.states() == "a:down b:down c:down"
    assert drive.outcome is not None
    assert isinstance(drive.outcome.error, TreeFailed)
    assert drive.outcome.error.exceptions == (error,)


@pytest.mark.parametrize("budget", [1, 2, 10])
@pytest.mark.parametrize("strategy", [*STRATEGIES, "dynamic"])
def test_a_child_whose_restart_always_fails_uses_the_budget_up_and_takes_its_siblings(
    strategy: str, budget: int
) -> None:
    """The crash and each failed start count; the restart that would be one too many does not come."""
    options: dict[str, Any] = {"intensity": Intensity(budget, within=5)}
    if strategy == "dynamic":
        drive = Drive(child("a"), **options)
        drive.add(slow("b", restart="transient"), dynamic=True)
    else:
        drive = Drive(child("a"), slow("b"), strategy=strategy, **options)
    drive.ready("b")

    for _ in range(budget):
        drive.crash("b")
        assert not drive.node.closing
    drive.crash("b")

    assert drive.node.finished
    assert drive["a"].state == "down"
    assert drive.ran.count("b") == budget + 1


def test_one_failed_attempt_and_then_a_good_one_within_the_budget() -> None:
    drive = Drive(slow("a"), intensity=Intensity(2, within=5))
    drive.ready("a")

    drive.crash("a")
    drive.crash("a")
    drive.ready("a")

    assert drive.states() == "a:ready"
    assert not drive.node.closing


# --- group restarts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "cause", "restarted"),
    [
        ("one_for_one", "a", "a"),
        ("one_for_one", "c", "c"),
        ("one_for_all", "a", "abc"),
        ("one_for_all", "c", "abc"),
        ("rest_for_one", "a", "abc"),
        ("rest_for_one", "c", "c"),
    ],
)
def test_the_first_and_the_last_child_as_the_cause(
    strategy: str, cause: str, restarted: str
) -> None:
    drive = Drive(*(child(n) for n in "abc"), strategy=strategy)

    assert drive.since(drive.crash, cause) == list(restarted)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_only_child_is_restarted_alone_under_every_strategy(strategy: str) -> None:
    drive = Drive(child("a"), strategy=strategy)

    assert drive.since(drive.crash, "a") == ["a"]
    assert drive.states() == "a:ready"


def test_a_dependent_that_fails_to_come_back_is_tried_again_without_what_it_needs() -> None:
    drive = Drive(child("a"), slow("b", needs={"a": "each"}, backoff=SECOND))
    drive.ready("b")
    drive.crash("a")
    assert drive.states() == "a:ready b:starting"
    drive.ran.clear()

    drive.crash("b")
    drive.advance(1)
    drive.ready("b")

    assert drive.ran == ["b"]
    assert drive.states() == "a:ready b:ready"


def test_a_child_keeps_its_place_when_it_is_stopped_and_started() -> None:
    drive = Drive(*(child(n) for n in "abc"))
    drive.stop("b")
    drive.start("b")
    assert list(drive.node.children) == ["a", "b", "c"]
    drive.cancelled.clear()

    drive.shut_down()

    assert drive.cancelled == ["c", "b", "a"]


# --- significance ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "end"), EVERY_END)
def test_an_insignificant_temporary_child_never_ends_its_supervisor(mode: str, end: str) -> None:
    drive = Drive(
        slow("a", restart="temporary"),
        child("b", restart="transient", significant=mode != "never"),
        auto_shutdown=mode,
    )
    drive.ready("a")

    getattr(drive, end)("a")

    assert "a" not in drive
    assert not drive.node.closing
    assert drive["b"].state == "ready"


@pytest.mark.parametrize(("mode", "end"), EVERY_END)
def test_an_insignificant_transient_child_never_ends_its_supervisor(mode: str, end: str) -> None:
    drive = Drive(
        child("a", restart="transient"),
        child("b", restart="transient", significant=mode != "never"),
        auto_shutdown=mode,
    )

    getattr(drive, end)("a")

    assert not drive.node.closing
    assert drive["b"].state == "ready"
    assert drive["a"].state == ("ready" if end in ("crash", "end") else "down")


# --- how far work grows ------------------------------------------------------------------------------


def lines_run(count: int, *, dynamic: bool) -> int:
    """How many lines of ours run to start and to stop so many children."""
    lines = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal lines
        if "/supervisor/_" not in frame.f_code.co_filename:
            return None
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        drive = started(count, dynamic=dynamic)
        drive.shut_down()
        for ending in reversed([*drive.node.children.values()]):
            drive.end(ending)
    finally:
        sys.settrace(before)
    assert len(drive.events(StopAsked)) == count
    assert drive.node.finished
    return lines


def started(count: int, *, dynamic: bool) -> Drive:
    if not dynamic:
        return Drive(*(child(f"c{i}") for i in range(count)), watched=False, obedient=False)
    drive = Drive(watched=False, obedient=False)
    for _ in range(count):
        drive.add(child("d", restart="temporary"), dynamic=True)
    return drive


@pytest.mark.parametrize("dynamic", [True, False], ids=["dynamic", "listed"])
def test_starting_and_stopping_ten_times_as_many_is_ten_times_the_work(dynamic: bool) -> None:
    few = lines_run(100, dynamic=dynamic)
    many = lines_run(1000, dynamic=dynamic)

    assert many <= 10 * few * 1.05
