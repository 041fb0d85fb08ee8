"""What an operator may ask for, in every state, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor._core.table import refuse
from supervisor._errors import (
    AlreadyPresent,
    AlreadyRunning,
    Closing,
    NotFound,
    Refused,
    Restarting,
    Stuck,
    TooManyChildren,
)
from supervisor._happenings import Added, Deleted
from supervisor._spec.policy import Quarantine
from tests.core.drive import SECOND, Drive, child, slow

ASIDE = Quarantine(crashes=1, within=10, open=60, probe=5)
STATES = (
    "starting",
    "ready",
    "leaving",
    "stopping",
    "stopped",
    "stuck",
    "finished",
    "declined",
    "backoff",
    "quarantine",
    "waiting",
    "closing",
)


def in_state(state: str) -> Drive:
    """A drive whose child ``x`` is in that state."""
    dependent = child("y", needs=("x",), after=())
    made: dict[str, Any] = {"backoff": SECOND, "restart": "transient"}
    if state == "quarantine":
        made["quarantine"] = ASIDE
    if state == "waiting":
        drive = Drive(slow("a"), child("x", needs=("a",), **made), obedient=False)
    elif state in ("starting", "declined"):
        drive = Drive(slow("x", **made), child("y"), obedient=False)
    elif state == "leaving":
        drive = Drive(child("x", **made), dependent, obedient=False)
    else:
        drive = Drive(child("x", **made), child("y"), obedient=False)
    if state in ("stopping", "stopped", "leaving", "stuck"):
        drive.stop("x")
    if state == "stopped":
        drive.end("x")
    elif state == "stuck":
        drive.advance(5)
    elif state == "finished":
        drive.returns("x")
    elif state == "declined":
        drive.decline("x")
    elif state in ("backoff", "quarantine"):
        drive.crash("x")
    elif state == "closing":
        drive.shut_down()
    return drive


REFUSED = {
    "start": {"starting": AlreadyRunning, "ready": AlreadyRunning, "stuck": Stuck},
    "stop": {},
    "restart": {"stuck": Stuck},
    "release": {},
    "delete": {
        "starting": AlreadyRunning,
        "ready": AlreadyRunning,
        "leaving": AlreadyRunning,
        "stopping": AlreadyRunning,
        "stuck": AlreadyRunning,
        "backoff": Restarting,
        "quarantine": Restarting,
        "waiting": Restarting,
    },
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("command", REFUSED)
def test_commands_are_followed_or_refused_by_state(command: str, state: str) -> None:
    drive = in_state(state)
    expected = Closing if state == "closing" else REFUSED[command].get(state)
    before = (drive.states(), drive.holds("x"), len(drive.told))
    if expected is not None:
        with pytest.raises(expected):
            getattr(drive, command)("x")
        assert (drive.states(), drive.holds("x"), len(drive.told)) == before
        return

    getattr(drive, command)("x")

    for name in ("y", "x"):  # whatever was asked to end does
        if name in drive and drive[name].asked and drive[name].alive:
            drive.end(name)
    if state == "waiting":
        drive.ready("a")
    if command == "delete":
        assert "x" not in drive
    elif command == "stop":
        assert drive["x"].state in ("down", "stuck")
        assert "operator" in drive.holds("x")
    elif command in ("start", "restart") or state in ("backoff", "quarantine"):
        assert drive["x"].up


def test_a_removed_child_is_not_found() -> None:
    drive = Drive(child("x"))
    drive.stop("x")
    gone = drive["x"]
    drive.delete("x")

    for command in REFUSED:
        with pytest.raises(NotFound):
            getattr(drive, command)(gone)
    assert [e.path for e in drive.events(Deleted)] == ["t/x"]


def test_what_is_needed_is_not_deleted() -> None:
    drive = Drive(child("x"), child("y", needs=("x",)))
    drive.stop("x")
    with pytest.raises(Refused, match="is needed by y"):
        drive.delete("x")

    drive.stop("y")
    drive.delete("y")
    drive.delete("x")

    assert drive.states() == ""


def test_a_fallback_takes_no_commands() -> None:
    drive = Drive(child("x", fallback=child("spare")))

    with pytest.raises(Refused, match="command x instead"):
        drive.start("x/fallback")


def test_stop_is_idempotent_and_start_ends_it() -> None:
    drive = Drive(child("x"))
    drive.stop("x")
    drive.stop("x")
    assert drive.holds("x") == ["operator"]

    drive.start("x")

    assert drive["x"].life == 2


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
@pytest.mark.parametrize("command", ["start", "restart"])
def test_who_is_started_while_he_is_being_stopped_comes_back(restart: str, command: str) -> None:
    drive = Drive(child("x", restart=restart), obedient=False)
    drive.stop("x")

    getattr(drive, command)("x")
    drive.end("x")

    assert drive["x"].state == "ready"
    assert drive["x"].life == 2


def test_a_stop_during_a_restart_wins() -> None:
    drive = Drive(child("x"), obedient=False)
    drive.restart("x")
    drive.stop("x")

    drive.end("x")

    assert drive["x"].state == "down"


def test_a_stop_during_a_restart_forgets_a_temporary_child() -> None:
    drive = Drive(child("x", restart="temporary"), obedient=False)
    drive.restart("x")
    drive.stop("x")

    drive.end("x")

    assert "x" not in drive


def test_a_temporary_child_that_got_stuck_while_it_was_restarted_is_forgotten_when_stopped() -> (
    None
):
    drive = Drive(child("x", restart="temporary"), obedient=False)
    drive.restart("x")
    drive.advance(5)
    drive.end("x")
    assert drive.holds("x") == ["stuck"]

    drive.stop("x")

    assert "x" not in drive


def test_a_restarted_temporary_child_is_replaced_once() -> None:
    drive = Drive(child("x", restart="temporary"))
    drive.restart("x")
    assert drive["x"].life == 2

    drive.crash("x")

    assert "x" not in drive


# --- added children ----------------------------------------------------------------------------------


def test_a_child_of_start_soon_is_forgotten_when_it_is_over() -> None:
    for end in ("returns", "decline", "stop"):
        drive = Drive(child("a"))
        new = drive.add(child("d", restart="transient"), dynamic=True)
        assert [e.path for e in drive.events(Added)] == ["t/d"]

        getattr(drive, end)("d")

        assert new.removed, end
        assert drive.states() == "a:ready"


def test_a_dynamic_child_that_is_stopped_while_it_waits_leaves_nothing_behind() -> None:
    drive = Drive(slow("a"))
    for _ in range(5):
        drive.add(child("d", needs=("a",)), dynamic=True)

    for name in ("d", "d-2", "d-3", "d-4", "d-5"):
        drive.stop(name)

    assert not drive["a"].waiting
    assert not drive["a"].dependents
    assert drive.node.copies == {}


@pytest.mark.parametrize("dynamic", [True, False])
def test_a_first_start_that_fails_is_not_kept_and_not_counted(dynamic: bool) -> None:
    from supervisor._spec.policy import Intensity

    drive = Drive(child("a"), intensity=Intensity(0, 5))

    new = drive.add(slow("d"), dynamic=dynamic, trial=True)
    drive.crash("d")

    assert new.removed
    assert drive.verdicts()[-1].rule == "first start"
    assert not drive.node.closing


@pytest.mark.parametrize("made", [child, slow])
def test_a_first_start_is_over_once_the_child_is_ready(made: Any) -> None:
    drive = Drive(child("a"))
    drive.add(made("d"), trial=True)
    if made is slow:
        drive.ready("d")

    drive.crash("d")

    assert drive.verdicts()[-1].action == "restart"
    assert drive["d"].life == 2


def test_an_added_listed_child_that_declines_stays_listed() -> None:
    drive = Drive(child("a"))
    drive.add(slow("d"), trial=True)

    drive.decline("d")

    assert drive.holds("d") == ["declined"]
    drive.start("d")
    drive.crash("d")
    assert drive["d"].state == "starting"


def test_names_of_peers_are_numbered_and_the_count_is_forgotten_with_the_last() -> None:
    drive = Drive()
    for _ in range(3):
        drive.add(child("p", restart="transient"), dynamic=True)
    assert drive.states() == "p:ready p-2:ready p-3:ready"

    for name in ("p-2", "p-3"):
        drive.returns(name)

    assert drive.node.copies == {}


def test_new_names_are_refused_by_what_is_there() -> None:
    drive = Drive(child("a"), child("b"), max_children=2)
    drive.stop("b")

    with pytest.raises(AlreadyRunning):
        refuse(drive.node, "a")
    with pytest.raises(AlreadyPresent):
        refuse(drive.node, "b")
    with pytest.raises(TooManyChildren):
        refuse(drive.node, "c")
    drive.delete("b")
    refuse(drive.node, "c")
    drive.shut_down()
    with pytest.raises(Closing):
        refuse(drive.node, "c")
