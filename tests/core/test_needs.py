"""What needs a child goes down with it, in order, and comes back with it."""

from __future__ import annotations

import pytest

from supervisor._core.effects import Bind
from supervisor._core.view import view
from supervisor._happenings import StopAsked
from supervisor._spec.policy import Backoff, Quarantine
from tests.core.drive import SECOND, Drive, child, slow

ASIDE = Quarantine(crashes=1, within=10, open=60, probe=5)


def test_a_need_is_waited_for_until_it_is_ready() -> None:
    drive = Drive(slow("a"), child("b", needs=("a",)))
    assert drive.states() == "a:starting b:down"
    assert view(drive.node, drive["b"], drive.now).waits_for == ("t/a",)

    drive.ready("a")

    assert drive.states() == "a:ready b:ready"


def test_final_needs_do_not_see_a_crash_and_each_needs_see_every_one() -> None:
    drive = Drive(
        child("a", backoff=SECOND),
        child("b", needs={"a": "final"}),
        child("c", needs={"a": "each"}),
    )

    drive.crash("a")

    assert drive.states() == "a:down b:ready c:down"
    drive.advance(1)
    assert drive.states() == "a:ready b:ready c:ready"
    assert (drive["b"].life, drive["c"].life) == (1, 2)


@pytest.mark.parametrize("how", ["quarantine", "operator", "finished", "forgotten"])
def test_final_needs_see_the_final_loss(how: str) -> None:
    restart = {"finished": "transient", "forgotten": "temporary"}.get(how, "permanent")
    drive = Drive(
        child("a", restart=restart, quarantine=ASIDE if how == "quarantine" else None),
        child("x"),
        child("b", needs={"a": "final"}),
    )

    if how == "operator":
        drive.stop("a")
    elif how == "finished":
        drive.returns("a")
    else:
        drive.crash("a")

    assert drive["b"].state == "down"
    assert drive["b"].holds is None
    assert [e.reason for e in drive.events(StopAsked) if e.path == "t/b"] == ["it needs a"]


def test_the_closure_goes_down_youngest_first_and_comes_back_eldest_first() -> None:
    drive = Drive(
        child("a"),
        child("b", needs={"a": "each"}),
        child("c", needs={"b": "final"}),
        child("d", needs=("a", "c")),
    )
    drive.ran.clear()

    drive.restart("a")

    assert drive.cancelled == ["d", "c", "b", "a"]
    assert drive.ran == ["a", "b", "c", "d"]


def test_nothing_starts_again_before_the_last_dependent_is_down() -> None:
    drive = Drive(child("a"), child("b", needs={"a": "each"}), obedient=False)

    drive.crash("a")

    assert drive.states() == "a:down b:stopping"
    drive.end("b")
    assert drive.states() == "a:ready b:ready"


def test_a_dependent_that_is_stuck_holds_nobody_up() -> None:
    drive = Drive(child("a"), child("b", needs={"a": "each"}), obedient=False)
    drive.crash("a")

    drive.advance(5)

    assert drive.states() == "a:ready b:stuck"


def test_an_operators_stop_takes_dependents_down_and_his_start_brings_them_back() -> None:
    drive = Drive(child("a"), child("b", needs=("a",)), child("c", needs=("b",)))

    drive.stop("a")
    assert drive.cancelled == ["c", "b", "a"]
    drive.start("a")

    assert drive.states() == "a:ready b:ready c:ready"


def test_a_temporary_dependent_does_not_come_back() -> None:
    drive = Drive(child("a"), child("b", needs={"a": "each"}, restart="temporary"))

    drive.crash("a")

    assert "b" not in drive


def test_after_orders_starts_without_binding() -> None:
    drive = Drive(slow("a"), child("b", after=("a",)))
    assert drive["b"].state == "down"
    drive.ready("a")
    assert drive["b"].state == "ready"

    drive.stop("a")

    assert drive["b"].state == "ready"


def test_after_is_passed_by_what_somebody_decided_not_to_run() -> None:
    drive = Drive(slow("a"), child("b", needs=("a",)), child("c", after=("b",)))

    drive.stop("a")

    assert drive.states() == "a:down b:down c:ready"


def test_who_comes_after_one_that_waits_is_told_when_that_wait_is_over() -> None:
    drive = Drive(slow("x"), child("a", needs={"x": "each"}), child("b", after=("a",)))
    drive.ready("x")
    drive.stop("b")
    drive.restart("x")
    drive.start("b")
    assert drive["b"].state == "down"

    drive.stop("x")

    assert drive.states() == "x:down a:down b:ready"


def test_a_need_that_is_added_later_binds_too() -> None:
    drive = Drive(child("a"), child("b"), child("c", needs=("b",)), obedient=False)
    drive.stop("b")
    assert drive["c"].leaving

    drive.feed(Bind(drive["c"], drive["a"], "each"))
    drive.end("c")
    drive.end("b")

    drive.start("b")
    assert drive.states() == "a:ready b:ready c:ready"
    drive.restart("a")
    drive.end("c")
    drive.end("a")
    assert drive.states() == "a:ready b:ready c:ready"
    assert drive["a"].life == 2


def test_a_need_is_waited_for_outside_of_the_boot_too() -> None:
    drive = Drive(slow("a"), child("b", needs={"a": "each"}))
    drive.ready("a")

    drive.restart("a")

    assert drive.states() == "a:starting b:down"
    drive.ready("a")
    assert drive.states() == "a:ready b:ready"


def test_who_comes_after_one_that_starts_is_started_when_that_is_ready() -> None:
    drive = Drive(slow("a"), child("b", after=("a",)))
    drive.ready("a")
    drive.stop("b")
    drive.restart("a")
    drive.start("b")
    assert drive.states() == "a:starting b:down"

    drive.ready("a")

    assert drive.states() == "a:ready b:ready"


# --- fallbacks -------------------------------------------------------------------------------------

NOW = Backoff(first=0, base=0, jitter="none")


def test_a_fallback_serves_while_its_primary_is_aside() -> None:
    a = child("a", quarantine=ASIDE, fallback=child("spare"))
    drive = Drive(a, child("b", needs={"a": "final"}), child("c", needs={"a": "each"}))

    drive.crash("a")

    assert drive["a/fallback"].state == "ready"
    assert drive["a"].serving
    assert (drive["b"].life, drive["c"].life) == (1, 2)
    assert drive["c"].state == "ready"


def test_who_sees_each_crash_never_keeps_the_value_of_a_life_that_is_gone() -> None:
    a = child("a", quarantine=ASIDE, fallback=child("spare"))
    drive = Drive(a, child("c", needs={"a": "each"}), obedient=False)

    drive.crash("a")

    assert (drive["a/fallback"].state, drive["c"].state) == ("down", "stopping")
    drive.end("c")
    assert (drive["a/fallback"].state, drive["c"].state) == ("ready", "ready")
    drive.advance(60)
    assert (drive["a/fallback"].state, drive["c"].state) == ("ready", "stopping")
    drive.end("c")
    drive.end("a/fallback")
    assert drive["a"].state == "ready"
    assert drive["c"].life == 3


def test_the_primary_waits_for_the_end_of_its_fallback() -> None:
    drive = Drive(child("a", quarantine=ASIDE, fallback=child("spare")), obedient=False)
    drive.crash("a")

    drive.advance(60)

    assert (drive["a"].state, drive["a/fallback"].state) == ("down", "stopping")
    drive.end("a/fallback")
    assert drive["a"].state == "ready"


def test_who_came_while_a_fallback_served_stays_up_when_the_primary_returns_with_its_group() -> (
    None
):
    """He is not of that group, and what is restarted with its group is not lost for good."""
    a = child("a", quarantine=ASIDE, fallback=child("spare"))
    drive = Drive(a, strategy="rest_for_one", obedient=False)
    drive.crash("a")
    drive.add(child("n", needs={"a": "final"}), dynamic=True)
    assert (drive["a/fallback"].state, drive["n"].state) == ("ready", "ready")

    drive.advance(60)

    assert (drive["a/fallback"].state, drive["n"].state) == ("stopping", "ready")
    drive.end("a/fallback")
    assert (drive["a"].state, drive["n"].state, drive["n"].life) == ("ready", "ready", 1)


def test_a_fallback_of_a_fallback_serves_too() -> None:
    last = child("last")
    spare = child("spare", quarantine=ASIDE, fallback=last)
    drive = Drive(child("a", quarantine=ASIDE, fallback=spare), child("b", needs={"a": "final"}))
    drive.crash("a")

    drive.crash("a/fallback")

    assert drive["a/fallback/fallback"].state == "ready"
    assert drive["b"].state == "ready"


def test_a_fallback_is_restarted_whatever_its_type_and_only_while_it_is_needed() -> None:
    spare = child("spare", restart="temporary")
    drive = Drive(child("a", quarantine=ASIDE, fallback=spare), child("b"))
    drive.crash("a")

    drive.crash("a/fallback")
    drive.returns("a/fallback")

    assert (drive["a/fallback"].state, drive["a/fallback"].life) == ("ready", 3)
    assert [v.action for v in drive.verdicts()] == ["quarantine", "restart", "restart"]
    drive.advance(60)
    assert drive["a/fallback"].state == "down"


def test_a_fallback_that_outlives_its_primary_still_has_its_deadline() -> None:
    drive = Drive(child("a", quarantine=ASIDE, fallback=child("spare")), child("b"), obedient=False)
    drive.crash("a")
    spare = drive["a/fallback"]
    drive.stop("a")
    drive.delete("a")
    assert spare.state == "stopping"

    drive.shut_down()
    drive.end("b")
    drive.advance(5)

    assert spare.state == "stuck"
    assert drive.stuck_remain


def test_the_fallback_of_who_is_forgotten_goes_with_him() -> None:
    drive = Drive(child("b"))
    gone = drive.add(
        child("a", restart="transient", quarantine=ASIDE, fallback=child("spare")), dynamic=True
    )
    drive.crash(gone)
    assert gone.fallback is not None
    assert gone.fallback.state == "ready"

    drive.stop(gone)

    assert gone.fallback.removed
    assert drive.node.alive == 1
    assert drive.node.orphans == {}


def test_a_fallback_waits_for_the_end_of_its_primary() -> None:
    a = child("a", heartbeat=2, quarantine=ASIDE, fallback=child("spare"))
    drive = Drive(a, child("b"), obedient=False)

    drive.advance(2)

    assert drive.holds("a") == ["quarantine"]
    assert (drive["a"].state, drive["a/fallback"].state) == ("stopping", "down")
    drive.end("a")
    assert (drive["a"].state, drive["a/fallback"].state) == ("down", "ready")


def test_a_primary_that_ends_after_its_quarantine_is_the_probe_and_needs_no_fallback() -> None:
    aside = Quarantine(crashes=1, within=10, open=3, probe=5)
    a = child("a", heartbeat=2, quarantine=aside, fallback=child("spare"))
    drive = Drive(a, child("b"), obedient=False)
    drive.advance(2)

    drive.advance(4)
    drive.end("a")

    assert (drive["a"].state, drive["a/fallback"].life) == ("ready", 0)
    assert drive["a"].probing
