"""Position: boot, and who waits for whose place."""

from __future__ import annotations

import pytest

from supervisor._happenings import Booted
from supervisor._spec.policy import Backoff, Quarantine
from tests.core.drive import SECOND, Drive, child, slow

GROUPS = ("one_for_all", "rest_for_one")


def test_silent_children_start_in_one_step() -> None:
    drive = Drive(*(child(f"c{i}") for i in range(100)), begin=False)
    from supervisor._core.effects import Begin

    drive.feed(Begin())

    assert drive.ran == [f"c{i}" for i in range(100)]
    assert drive.node.booted


def test_a_reporting_child_holds_the_younger_ones_up() -> None:
    drive = Drive(child("a"), slow("b"), child("c"), slow("d"))
    assert drive.states() == "a:ready b:starting c:down d:down"

    drive.advance(2)
    drive.ready("b")

    assert drive.states() == "a:ready b:ready c:ready d:starting"
    assert not drive.node.booted
    drive.ready("d")
    assert [e.took for e in drive.events(Booted)] == [2]


def test_under_one_for_one_who_has_failed_once_holds_nobody_up() -> None:
    drive = Drive(slow("a", backoff=SECOND), child("b"))

    drive.crash("a")

    assert drive.states() == "a:down b:ready"
    assert drive.node.booted


@pytest.mark.parametrize("strategy", GROUPS)
def test_in_a_group_the_younger_ones_wait_until_the_elder_is_ready(strategy: str) -> None:
    drive = Drive(slow("a", backoff=SECOND), child("b"), strategy=strategy)

    drive.crash("a")
    assert drive.states() == "a:down b:down"
    drive.advance(1)
    assert drive.states() == "a:starting b:down"
    assert not drive.node.booted

    drive.ready("a")

    assert drive.states() == "a:ready b:ready"
    assert [e.took for e in drive.events(Booted)] == [1]


@pytest.mark.parametrize("strategy", ["one_for_one", *GROUPS])
def test_who_declines_is_listed_and_holds_nobody_up(strategy: str) -> None:
    drive = Drive(slow("a"), child("b"), strategy=strategy)

    drive.decline("a")

    assert drive.states() == "a:down b:ready"
    assert drive.holds("a") == ["declined"]
    drive.start("a")
    assert drive["a"].state == "starting"


@pytest.mark.parametrize("strategy", ["one_for_one", *GROUPS])
def test_a_temporary_child_that_fails_or_declines_at_boot_is_forgotten(strategy: str) -> None:
    drive = Drive(
        slow("a", restart="temporary"),
        slow("b", restart="temporary"),
        child("c"),
        strategy=strategy,
    )

    drive.decline("a")
    drive.crash("b")

    assert drive.states() == "c:ready"
    assert drive.ran == ["a", "b", "c"]


@pytest.mark.parametrize("strategy", GROUPS)
def test_temporary_children_that_have_yet_to_start_survive_a_failed_boot(strategy: str) -> None:
    drive = Drive(slow("a"), child("b", restart="temporary"), strategy=strategy)

    drive.crash("a")
    drive.ready("a")

    assert drive.states() == "a:ready b:ready"


def test_who_waits_for_what_has_failed_holds_nobody_up() -> None:
    drive = Drive(slow("a", backoff=SECOND), child("b", needs=("a",)), child("c"))

    drive.crash("a")

    assert drive.states() == "a:down b:down c:ready"


def test_a_strict_boot_is_unwound_in_reverse() -> None:
    drive = Drive(child("a"), child("b"), slow("c"), child("d"), boot="strict", obedient=False)

    error = drive.crash("c")

    assert drive.verdicts()[-1].rule == "strict boot"
    assert drive.cancelled == ["b"]
    drive.end("b")
    assert drive.cancelled == ["b", "a"]
    drive.end("a")
    assert drive.ran == ["a", "b", "c"]
    assert drive.outcome is not None
    assert drive.outcome.error.exceptions == (error,)  # type: ignore[union-attr]
    assert error.__notes__ == ["t/c, life 1: its first start failed, and the boot is strict"]


def test_after_a_strict_boot_a_failed_start_is_a_crash_like_any_other() -> None:
    drive = Drive(slow("a"), boot="strict")
    drive.ready("a")
    drive.crash("a")

    drive.crash("a")

    assert not drive.node.closing


def test_a_start_that_takes_too_long_is_a_failed_start() -> None:
    drive = Drive(slow("a", start_timeout=3, backoff=SECOND), child("b"))
    drive.advance(3)

    assert drive.states() == "a:down b:ready"
    assert drive.verdicts()[-1].attempt == 1
    drive.advance(1)
    assert drive["a"].life == 2


def test_a_heartbeat_is_waited_for_from_the_last_beat() -> None:
    drive = Drive(child("a", heartbeat=4))
    drive.advance(3)
    drive["a"].beat = drive.now
    drive.advance(3)
    assert drive["a"].life == 1

    drive.advance(1)

    assert drive["a"].life == 2


def test_a_child_added_during_the_boot_takes_its_place_behind_the_others() -> None:
    drive = Drive(slow("a"), child("b"))

    drive.add(child("c"))
    peer = drive.add(child("p"), dynamic=True)

    assert peer.state == "ready"
    assert drive["c"].state == "down"
    drive.ready("a")
    assert drive.ran == ["a", "p", "b", "c"]


def test_an_operator_may_stop_the_head_of_the_order() -> None:
    drive = Drive(slow("a"), child("b"))

    drive.stop("a")

    assert drive.states() == "a:down b:ready"
    assert drive.node.booted


def test_a_quarantined_child_holds_up_a_group_but_not_others() -> None:
    aside = Quarantine(crashes=1, within=10, open=60, probe=5)
    now = Backoff(first=0, base=0, jitter="none")
    for strategy, expected in (("one_for_one", "ready"), ("rest_for_one", "down")):
        drive = Drive(slow("a", quarantine=aside, backoff=now), child("b"), strategy=strategy)

        drive.crash("a")

        assert drive["b"].state == expected


def test_who_fails_again_and_again_at_once_holds_nobody_up() -> None:
    drive = Drive(slow("a"), child("b"))

    drive.crash("a")

    assert drive.states() == "a:starting b:ready"
    assert drive.node.booted


def test_who_comes_and_goes_while_a_boot_is_held_up_leaves_no_place_behind() -> None:
    drive = Drive(slow("a"), child("b"), watched=False)
    drive.add(child("c"))
    for _ in range(1000):
        drive.add(child("d"))
        drive.stop("c")
        drive.delete("c")
        drive.add(child("c"))
        drive.stop("d")
        drive.delete("d")

    assert len(drive.node.queue) < 100
    drive.ready("a")
    assert drive.states() == "a:ready b:ready c:ready"
