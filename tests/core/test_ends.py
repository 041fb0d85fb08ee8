"""Ends of the supervisor that nobody asked for: significant children, and the process."""

from __future__ import annotations

import pytest

from supervisor._happenings import Crashed, Escalated
from tests.core.drive import SECOND, Drive, child

MODES = ("never", "any_significant", "all_significant")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("restart", ["transient", "temporary"])
@pytest.mark.parametrize("significant", [True, False])
def test_the_clean_end_of_a_significant_child(mode: str, restart: str, significant: bool) -> None:
    drive = Drive(
        child("a", restart=restart, significant=significant),
        child("b", restart="transient", significant=significant),
        child("c"),
        auto_shutdown=mode,
    )

    drive.returns("a")
    assert drive.node.closing == (significant and mode == "any_significant")
    if drive.node.closing:
        assert drive.outcome is not None
        assert drive.outcome.kind == "returned"
        return
    drive.returns("b")

    assert drive.node.closing == (significant and mode == "all_significant")


@pytest.mark.parametrize(("restart", "closes"), [("transient", False), ("temporary", True)])
def test_a_crash_ends_it_only_for_a_temporary_child(restart: str, closes: bool) -> None:
    drive = Drive(
        child("a", restart=restart, significant=True), child("b"), auto_shutdown="any_significant"
    )

    drive.crash("a")

    assert drive.node.closing == closes
    assert drive.ran == (["a", "b"] if closes else ["a", "b", "a"])


def test_a_missed_deadline_of_a_temporary_significant_child_is_its_end() -> None:
    drive = Drive(
        child("a", restart="temporary", significant=True, heartbeat=2),
        child("b"),
        auto_shutdown="any_significant",
    )

    drive.advance(2)

    assert drive.node.finished


def test_an_operators_stop_does_not_end_it() -> None:
    for mode in MODES:
        drive = Drive(
            child("a", restart="transient", significant=True), child("b"), auto_shutdown=mode
        )

        drive.stop("a")

        assert not drive.node.closing


def test_children_stopped_as_bystanders_of_a_group_do_not_end_it() -> None:
    drive = Drive(
        child("a"),
        child("b", restart="transient", significant=True),
        strategy="one_for_all",
        auto_shutdown="any_significant",
    )

    drive.crash("a")

    assert drive.states() == "a:ready b:ready"


def test_a_temporary_bystander_that_is_lost_counts_as_ended() -> None:
    drive = Drive(
        child("a"),
        child("b", restart="temporary", significant=True),
        strategy="one_for_all",
        auto_shutdown="all_significant",
    )

    drive.crash("a")

    assert drive.node.finished


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(3),
        MemoryError(),
        GeneratorExit(),
        BaseExceptionGroup("g", [ValueError(), KeyboardInterrupt()]),
        ExceptionGroup("g", [ExceptionGroup("h", [MemoryError()])]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("restart", ["permanent", "temporary"])
def test_process_level_exceptions_end_the_tree_in_order(error: BaseException, restart: str) -> None:
    drive = Drive(child("a"), child("b"), child("c", restart=restart))

    drive.crash("c", error)

    assert drive.cancelled == ["b", "a"]
    assert drive.outcome is not None
    assert drive.outcome.error is error
    (crash,) = drive.events(Crashed)
    assert (crash.error, crash.verdict.rule) == (error, "process-level")
    assert [e.rule for e in drive.events(Escalated)] == ["process-level"]


def test_a_process_level_exception_during_the_stop_is_the_outcome_as_well() -> None:
    drive = Drive(child("a"), child("b"), obedient=False)
    drive.shut_down()

    drive.crash("b", KeyboardInterrupt())
    drive.end("a")

    assert drive.outcome is not None
    assert isinstance(drive.outcome.error, KeyboardInterrupt)


def test_several_offenders_are_all_named() -> None:
    from supervisor._errors import TreeFailed

    drive = Drive(child("a", priority="critical"), child("b", priority="critical"), obedient=False)
    drive.restart("a")
    drive.restart("b")

    drive.advance(5)
    drive.end("a")
    drive.end("b")

    assert drive.outcome is not None
    assert isinstance(drive.outcome.error, TreeFailed)
    assert drive.events(Escalated)[0].rule == "stuck"


@pytest.mark.parametrize("command", ["stop", "delete"])
def test_an_operators_end_of_a_temporary_child_does_not_end_it_either(command: str) -> None:
    for mode in MODES:
        drive = Drive(
            child("a", restart="temporary", significant=True), child("b"), auto_shutdown=mode
        )

        drive.stop("a")
        if command == "delete" and "a" in drive:
            drive.delete("a")

        assert not drive.node.closing


def test_a_significant_child_that_waits_for_its_restart_has_not_ended() -> None:
    drive = Drive(
        child("a", restart="transient", significant=True, backoff=SECOND),
        child("b", restart="transient", significant=True),
        child("c"),
        auto_shutdown="all_significant",
    )
    drive.crash("a")

    drive.returns("b")

    assert not drive.node.closing
    drive.advance(1)
    drive.returns("a")
    assert drive.node.finished
