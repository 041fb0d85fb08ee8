"""``Supervisor(restarts=)``: automatic restarts and probes wait for a permit of that budget."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor import Broker, Limit, Quarantine, Stop, Supervisor
from supervisor._core.effects import Bind, Permitted
from supervisor._core.node import Node
from supervisor._core.view import view
from supervisor._errors import Restarting
from supervisor._happenings import Crashed, Held, PermitMissed, Released, Started
from supervisor._record.prose import explain_lines
from supervisor._spec.tree import Spec
from tests.core.drive import AT_ONCE, SECOND, Drive, child, slow

ASIDE = Quarantine(crashes=2, within=10, open=5, factor=1, cap=5, probe=3)
STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")


def driven(*children: Spec, **options: Any) -> Drive:
    return Drive(*children, restarts="x", **options)


def broker(**fields: Any) -> Broker:
    given: dict[str, Any] = {"backoff": AT_ONCE, "quarantine": None, "stop": Stop(deadline=5)}
    return Broker({"x": Limit(1, per=1)}, **{**given, **fields})


def test_a_restart_waits_for_its_permit_once_its_backoff_is_over() -> None:
    drive = driven(child("a", backoff=SECOND), child("b"))
    drive.crash("a")
    assert drive.holds("a") == ["backoff"]
    assert drive.requests == {}

    drive.advance(1)

    assert drive.holds("a") == ["permit"]
    drive.advance(1000)
    assert drive.ran == ["a", "b"]
    assert drive.since(drive.permit, "a") == ["a"]
    assert drive.holds("a") == []
    assert drive.given_up == []


def test_a_restart_at_once_waits_for_its_permit_too() -> None:
    drive = driven(child("a"))

    drive.crash("a")

    assert drive.holds("a") == ["permit"]
    assert drive.since(drive.permit, "a") == ["a"]


def test_the_wait_is_told_after_the_crash_that_it_comes_from() -> None:
    drive = driven(child("a"))
    drive.crash("a")
    drive.permit("a")

    assert [type(event) for event in drive.told[-3:]] == [Crashed, Held, Started]


def test_a_probe_takes_a_permit_and_what_stands_in_runs_until_then() -> None:
    drive = driven(child("a", quarantine=ASIDE, fallback=child("spare")), child("b", needs=("a",)))
    drive.crash("a")
    drive.permit("a")
    drive.crash("a")
    assert drive["a/fallback"].state == "ready"
    asked = drive.requests["a"].number

    drive.advance(5)

    assert drive.requests["a"].number == asked + 1
    assert drive.holds("a") == ["permit"]
    assert drive["a/fallback"].state == "ready"
    assert drive["b"].state == "ready"
    drive.permit("a")
    assert drive["a/fallback"].state == "down"
    assert drive["a"].state == "ready"
    assert drive.events(Started)[-1].probe


def test_what_sees_only_the_final_loss_stays_while_a_permit_is_waited_for() -> None:
    drive = driven(child("a"), child("b", needs=("a",)))

    drive.crash("a")

    assert drive.holds("a") == ["permit"]
    assert drive["b"].state == "ready"


def test_what_sees_only_the_final_loss_stays_down_until_the_probe_has_its_permit() -> None:
    drive = driven(child("a", quarantine=ASIDE), child("b", needs=("a",)))
    drive.crash("a")
    drive.permit("a")
    drive.crash("a")
    assert drive["b"].state == "down"

    drive.advance(5)

    assert drive["a"].lost
    assert drive["b"].state == "down"
    assert drive.since(drive.permit, "a") == ["a", "b"]


def test_the_fallback_that_crashes_takes_a_permit_and_is_no_loss_meanwhile() -> None:
    drive = driven(child("a", quarantine=ASIDE, fallback=child("spare")), child("b", needs=("a",)))
    drive.crash("a")
    drive.permit("a")
    drive.crash("a")

    drive.crash("a/fallback")

    assert drive.holds("a/fallback") == ["permit"]
    assert not drive["a"].lost
    assert drive.since(drive.permit, "a/fallback") == ["a/fallback"]


def test_the_fallback_gives_its_request_up_when_it_is_not_wanted_any_more() -> None:
    drive = driven(child("a", quarantine=ASIDE, fallback=child("spare")))
    drive.crash("a")
    drive.permit("a")
    drive.crash("a")
    drive.crash("a/fallback")

    drive.release("a")

    assert drive.holds("a/fallback") == ["standby"]
    assert [effect.child.name for effect in drive.given_up] == ["a/fallback"]


def test_first_starts_take_none() -> None:
    drive = driven(slow("a"), child("b"))
    drive.ready("a")
    drive.add(child("c", restart="transient"), dynamic=True)

    assert drive.ran == ["a", "b", "c"]
    assert drive.requests == {}


def test_who_comes_back_with_what_it_needs_takes_none() -> None:
    drive = driven(child("a"), child("b", needs={"a": "each"}))
    drive.crash("a")
    assert drive["b"].state == "down"

    assert drive.since(drive.permit, "a") == ["a", "b"]
    assert list(drive.requests) == ["a"]


def test_the_permit_is_asked_for_with_the_childs_own_priority() -> None:
    drive = driven(
        child("low", priority="low"),
        child("needed", priority="low"),
        child("critical", priority="critical", needs=("needed",)),
    )
    drive.crash("low")
    drive.crash("needed")

    assert drive.requests["low"].priority == "low"
    assert drive.requests["needed"].priority == "critical"
    assert drive.requests["low"].budget == "x"


@pytest.mark.parametrize("command", ["start", "restart", "release"])
def test_an_operator_cuts_the_wait_short(command: str) -> None:
    drive = driven(child("a"))
    drive.crash("a")

    assert drive.since(getattr(drive, command), "a") == ["a"]

    assert [effect.number for effect in drive.given_up] == [drive.requests["a"].number]
    assert [event.owner for event in drive.events(Released)] == ["permit"]


def test_a_stop_gives_the_request_up_and_a_later_start_takes_none() -> None:
    drive = driven(child("a"))
    drive.crash("a")

    drive.stop("a")

    assert drive.holds("a") == ["operator"]
    assert [effect.number for effect in drive.given_up] == [drive.requests["a"].number]
    assert drive.since(drive.start, "a") == ["a"]
    assert len(drive.given_up) == 1


def test_a_quarantine_that_ends_while_it_is_stopped_asks_for_nothing() -> None:
    drive = driven(child("a", quarantine=ASIDE))
    drive.crash("a")
    drive.permit("a")
    drive.crash("a")
    asked = drive.requests["a"].number
    drive.stop("a")

    drive.advance(5)

    assert drive.holds("a") == ["operator"]
    assert drive.requests["a"].number == asked


def test_who_waits_for_a_permit_is_restarting_and_cannot_be_deleted() -> None:
    drive = driven(child("a"))
    drive.crash("a")

    with pytest.raises(Restarting):
        drive.delete("a")

    drive.stop("a")
    drive.delete("a")
    assert "a" not in drive
    assert len(drive.given_up) == 1


def test_one_of_start_soon_that_is_stopped_is_forgotten_with_its_request() -> None:
    drive = driven(child("a"))
    drive.add(child("d", restart="transient"), dynamic=True)
    drive.crash("d")

    drive.stop("d")

    assert "d" not in drive
    assert [effect.child.name for effect in drive.given_up] == ["d"]


def test_the_end_of_the_supervisor_gives_every_request_up() -> None:
    drive = driven(child("a"), child("b"), child("c"))
    drive.crash("a")
    drive.crash("c")

    drive.shut_down()

    assert [effect.child.name for effect in drive.given_up] == ["a", "c"]
    assert drive.outcome is not None
    before = len(drive.ran)
    drive.permit("a", "late")
    assert drive.given_up[-1].permit == "late"
    assert len(drive.ran) == before


def test_a_late_permit_of_an_older_request_moves_nothing_and_goes_back() -> None:
    drive = driven(child("a"))
    drive.crash("a")
    old = drive.requests["a"]
    drive.start("a")
    drive.crash("a")
    assert drive.requests["a"].number != old.number

    drive.feed(Permitted(old.child, old.number, "late"))

    assert drive.holds("a") == ["permit"]
    assert (drive.given_up[-1].number, drive.given_up[-1].permit) == (old.number, "late")
    assert drive.since(drive.permit, "a") == ["a"]
    drive.permit("a", "twice")
    assert drive.given_up[-1].permit == "twice"


def test_where_there_is_none_to_be_had_the_restart_goes_ahead_and_it_is_told() -> None:
    drive = driven(child("a"))
    drive.crash("a")

    assert drive.since(drive.unavailable, "a", "the broker is down") == ["a"]

    told = drive.events(PermitMissed)
    assert [(e.path, e.budget, e.reason) for e in told] == [("t/a", "x", "the broker is down")]
    drive.unavailable("a")  # late: neutral
    assert drive.events(PermitMissed) == told
    assert drive.given_up == []


def test_who_is_declared_failed_may_have_its_permit_before_its_life_is_over() -> None:
    drive = driven(slow("a", start_timeout=2), obedient=False)
    drive.advance(2)
    assert drive["a"].state == "stopping"
    assert drive.holds("a") == ["permit"]

    assert drive.since(drive.permit, "a") == []

    assert drive.since(drive.end, "a") == ["a"]


def test_who_is_stuck_gives_its_request_up() -> None:
    drive = driven(slow("a", start_timeout=2), obedient=False)
    drive.advance(2 + 5)

    assert drive["a"].state == "stuck"
    assert drive.holds("a") == ["stuck"]
    assert len(drive.given_up) == 1


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_group_restart_takes_one_permit_that_of_who_failed(strategy: str) -> None:
    drive = driven(*(child(name) for name in "abc"), strategy=strategy)
    drive.crash("a")
    assert list(drive.requests) == ["a"]
    assert drive.states() == "a:down b:down c:down"

    assert drive.since(drive.permit, "a") == ["a", "b", "c"]

    assert list(drive.requests) == ["a"]


def test_groups_that_merge_wait_for_both_permits() -> None:
    drive = driven(*(child(name) for name in "abc"), strategy="rest_for_one")
    drive.crash("b")
    drive.crash("a")

    assert drive.since(drive.permit, "a") == []
    assert drive.since(drive.permit, "b") == ["a", "b", "c"]


def test_an_elder_is_not_kept_down_until_a_probe_has_its_permit() -> None:
    drive = driven(child("a"), child("b", quarantine=ASIDE), child("c"), strategy="rest_for_one")
    drive.crash("b")
    drive.permit("b")
    drive.crash("b")
    drive.advance(5)
    assert drive.holds("b") == ["group", "permit"]
    drive.crash("a")

    assert drive.since(drive.permit, "a") == ["a"]
    assert drive.since(drive.permit, "b") == ["b", "c"]


def test_an_operator_lets_a_group_go_that_waits_for_a_permit() -> None:
    drive = driven(child("a"), child("b"), strategy="one_for_all")
    drive.crash("a")

    assert drive.since(drive.release, "a") == ["a", "b"]
    assert len(drive.given_up) == 1


# --- whose budget ----------------------------------------------------------------------------------


def test_a_supervisor_takes_the_budget_from_above_unless_it_names_its_own() -> None:
    inherits, own = Supervisor("s", ()), Supervisor("s", (), restarts="own")

    assert Node(inherits, "s", float, restarts="x").restarts == "x"
    assert Node(own, "s", float, restarts="x").restarts == "own"
    assert Node(inherits, "s", float).restarts is None


def test_a_nested_supervisor_that_fails_takes_a_permit_of_the_budget_above() -> None:
    drive = driven(Supervisor("s", (child("leaf"),), backoff=AT_ONCE, restarts="own"))
    drive.ready("s")

    drive.crash("s")

    assert drive.requests["s"].budget == "x"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_broker_takes_none_itself_nor_does_what_it_needs(strategy: str) -> None:
    deep = child("deep")
    needed = child("h", needs=("deep",))
    drive = driven(deep, needed, broker(needs=("h",)), child("a"), strategy=strategy)
    drive.ready("broker")
    for name in ("broker", "h", "deep"):
        drive.crash(name)
        assert drive[name].state != "down"
        if drive["broker"].state == "starting":
            drive.ready("broker")

    assert drive.requests == {}
    drive.crash("a")
    assert list(drive.requests) == ([] if strategy == "one_for_all" else ["a"])


def test_nor_does_the_fallback_of_what_it_needs() -> None:
    drive = driven(child("h", fallback=child("spare")), broker(needs=("h",)))

    assert drive["h/fallback"].unmetered
    assert driven(broker(fallback=child("spare")))["broker/fallback"].unmetered


def test_nor_does_what_it_comes_to_need() -> None:
    drive = driven(child("h"), broker())
    drive.ready("broker")
    drive.feed(Bind(drive["broker"], drive["h"], "final"))

    assert drive.since(drive.crash, "h") == ["h"]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_group_with_a_broker_in_it_takes_none(strategy: str) -> None:
    # Nobody would be there to grant it until the group is up again.
    drive = driven(child("a"), broker(), strategy=strategy)
    drive.ready("broker")

    assert drive.since(drive.crash, "a") == ["a", "broker"]
    assert drive.requests == {}


def test_a_broker_that_goes_down_with_a_group_takes_the_requests_of_its_members_with_it() -> None:
    drive = driven(broker(), child("a"), child("b"), strategy="rest_for_one")
    drive.ready("broker")
    drive.crash("a")
    assert drive.holds("a") == ["permit", "group"]

    assert drive.since(drive.crash, "broker") == ["broker"]

    assert len(drive.given_up) == 1
    assert drive.since(drive.ready, "broker") == ["a", "b"]


# --- what is told ----------------------------------------------------------------------------------


def test_the_child_says_that_it_waits_for_a_permit_of_that_budget() -> None:
    drive = driven(child("a"))
    drive.crash("a")
    drive.advance(3)

    lines = explain_lines(view(drive.node, drive["a"], drive.now), drive.now)

    assert "  held: its restart takes a permit of x; until it is granted" in lines


def test_who_waits_for_a_permit_is_not_ready_after_half_a_minute_like_anybody_else() -> None:
    drive = driven(child("a"))
    drive.crash("a")
    drive.advance(29)
    assert drive["a"].reason is None

    drive.advance(1)

    assert drive["a"].reason == "not ready"
    drive.permit("a")
    assert drive["a"].reason is None


def test_without_a_budget_nobody_asks() -> None:
    drive = Drive(child("a"))

    assert drive.since(drive.crash, "a") == ["a"]
    assert drive.requests == {}
