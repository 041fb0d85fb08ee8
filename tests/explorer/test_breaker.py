"""Law 6 in all short sequences; each of its checks is seen to fail on a planted fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from supervisor._core.breaker import REFUSED, BreakerMachine
from supervisor._core.circuit import Circuit
from supervisor._core.window import Window
from tests.explorer import breaker
from tests.explorer.breaker import CHECKS, POLICIES, Broken, starts, walk

PLANTED: list[tuple[str, Any, str, str, Any]] = []

Machine = BreakerMachine


def plant(check: str, where: Any, name: str, policy: str = "in a row") -> Callable[[Any], Any]:
    """Have the decorated function stand for ``where.name``, and ``check`` find it."""

    def planted(faulty: Any) -> Any:
        PLANTED.append((check, where, name, policy, faulty))
        return faulty

    return planted


admit, holds, look, probed = Machine.admit, Machine._holds, Machine.look, Machine._probed
failed, admit_forced, counted = Circuit.failed, Machine._admit_forced, Window.roll
half_open, opens, release = Machine._half_open, Machine._open, Machine._release


@plant("through", Machine, "admit")
def lets_through_what_comes_just_before_its_time(self: Machine, now: float) -> int:
    if self.state == "open" and self.forced is None and self.until - 2 <= now < self.until:
        return self.generation
    return admit(self, now)


@plant("again", Machine, "admit")
def refuses_what_comes_just_when_its_time_is_over(self: Machine, now: float) -> int:
    if self.state == "open" and self.forced is None and now == self.until:
        return self._refuse()
    return admit(self, now)


@plant("probes", Machine, "admit", "two of three")
def counts_only_the_probes_under_way(self: Machine, now: float) -> int:
    self.look(now)
    if self.state != "half-open":
        return admit(self, now)
    ended, self.good, self.bad = (self.good, self.bad), 0, 0
    ticket = admit(self, now)
    self.good, self.bad = ended
    return ticket


@plant("probes", Machine, "admit", "two of three")
def lets_one_probe_less_through(self: Machine, now: float) -> int:
    self.look(now)
    if self.flight and self.flight + self.good + self.bad == self.half_open - 1:
        return self._refuse()
    return admit(self, now)


@plant("lets through", Machine, "_ramp_lets_through", "ramp")
def the_ramp_lets_nothing_through(self: Machine, now: float) -> bool:
    return self.free


@plant("lets through", Machine, "_ramp_lets_through", "ramp")
def the_ramp_lets_everything_through(self: Machine, now: float) -> bool:
    return True


@plant("late", Machine, "_holds")
def any_ticket_is_a_probes(self: Machine, ticket: int, now: float) -> bool:
    return self.state == "half-open" or holds(self, ticket, now)


@plant("late", Machine, "failed")
def tells_the_cause_of_a_late_failure(
    self: Machine, ticket: int, now: float, took: float, cause: str, rest: float | None = None
) -> None:
    if ticket != self.generation:
        self.cause = "of long ago"
    real_failed(self, ticket, now, took, cause, rest)


@plant("neutral", Machine, "cancelled")
def a_cancelled_call_has_failed(self: Machine, ticket: int, now: float, took: float) -> None:
    self.failed(ticket, now, took, "cancelled")


@plant("neutral", Machine, "ignored")
def an_ignored_call_has_succeeded(self: Machine, ticket: int, now: float) -> None:
    self.succeeded(ticket, now, 0.0)


@plant("opens", Circuit, "failed")
def a_row_is_longer_by_one(self: Circuit, now: float, within: float) -> int:
    return failed(self, now, within) + 1


@plant("opens", Circuit, "failed")
def a_row_has_no_beginning(self: Circuit, now: float, within: float) -> int:
    self.log.append(now)
    return len(self.log)


@plant("opens", Machine, "_weigh", "rate")
def shares_are_never_too_high(self: Machine, window: Window, now: float) -> None:
    pass


@plant("verdict", Machine, "_probed", "two of three")
def one_good_probe_is_enough(self: Machine, now: float, *, good: bool) -> None:
    self.needed = 1
    probed(self, now, good=good)


@plant("verdict", Machine, "_probed", "two of three")
def one_bad_probe_is_enough(self: Machine, now: float, *, good: bool) -> None:
    if good:
        probed(self, now, good=good)
    else:
        self.bad = self.half_open
        probed(self, now, good=good)


@plant("no verdict", Machine, "look")
def is_impatient(self: Machine, now: float) -> None:
    look(self, now + 1 if self.state == "half-open" else now)


@plant("open time", Circuit, "again")
def does_not_grow(self: Circuit, policy: Any) -> float:
    return policy.open  # type: ignore[no-any-return]


@plant("open time", Machine, "_open")
def forgets_what_the_service_asked_for(self: Machine, *args: Any, **kwargs: Any) -> None:
    self.rest_until = -1e9
    opens(self, *args, **kwargs)


@plant("open time", Circuit, "again")
def grows_without_a_cap(self: Circuit, policy: Any) -> float:
    return float(policy.open * policy.factor ** (self.times - 1))


@plant("forced", Machine, "_admit_forced")
def forced_open_lets_through(self: Machine, now: float) -> int:
    return admit_forced(self, now) if self.forced != "open" else 0


@plant("forced", Machine, "_admit_forced")
def disabled_counts(self: Machine, now: float) -> int:
    return self.generation if self.forced == "disabled" else admit_forced(self, now)


@plant("told", Machine, "_half_open")
def keeps_quiet(self: Machine, now: float) -> None:
    half_open(self, now)
    self.happened.pop()


@plant("told", Machine, "_release")
def is_released_in_silence(self: Machine, *args: Any) -> None:
    release(self, *args)
    self.happened.clear()


@plant("going on", Machine, "still_admits")
def whoever_was_let_through_may_go_on(self: Machine, ticket: int, now: float) -> bool:
    return True


@plant("going on", Machine, "still_admits")
def nobody_looks_whether_its_time_is_over(self: Machine, ticket: int, now: float) -> bool:
    return ticket == self.generation or (ticket == 0 and self.forced not in (None, "open"))


@plant("sums", Machine, "ignored")
def an_ignored_probe_keeps_its_place(self: Machine, ticket: int, now: float) -> None:
    pass


@plant("sums", Window, "roll", "rate")
def nothing_leaves_the_window(self: Window, now: float) -> None:
    pass


@plant("stuck", Machine, "look")
def a_probe_may_hang_for_ever(self: Machine, now: float) -> None:
    if self.state != "half-open":
        look(self, now)


real_failed = Machine.failed


def test_every_check_has_a_planted_fault() -> None:
    assert {check for check, *_ in PLANTED} == CHECKS.keys()


@pytest.mark.parametrize(
    ("check", "where", "name", "policy", "faulty"),
    [pytest.param(*row, id=f"{row[0]}: {row[4].__name__}") for row in PLANTED],
)
def test_a_planted_fault_is_found_by_its_check(
    monkeypatch: pytest.MonkeyPatch, check: str, where: Any, name: str, policy: str, faulty: Any
) -> None:
    monkeypatch.setattr(where, name, faulty)

    with pytest.raises(Broken) as caught:
        walk(POLICIES[policy], depth=5)

    assert caught.value.check == check, caught.value


@pytest.mark.parametrize("policy", POLICIES)
def test_law_6_holds_in_all_short_sequences(policy: str) -> None:
    states, _ = walk(POLICIES[policy], depth=5)
    assert states > 1000


@pytest.mark.parametrize("policy", POLICIES)
def test_states_that_are_taken_for_one_go_on_alike(policy: str) -> None:
    def beyond(world: breaker.World) -> dict[str, Any]:
        after = {}
        for move in world.moves():
            other = world.another()
            other.make(move)
            after[move] = other.key()
        return after

    level = [world for world, _ in starts(POLICIES[policy])]
    found = {world.key(): beyond(world) for world in level}
    for _ in range(2):
        deeper = []
        for world in level:
            for move in world.moves():
                other = world.another()
                other.make(move)
                key, after = other.key(), beyond(other)
                if key not in found:
                    deeper.append(other)
                assert found.setdefault(key, after) == after
        level = deeper


def test_every_slot_is_in_the_key_or_is_known_to_decide_nothing() -> None:
    told = (*breaker.RELATIVE, *breaker.PLAIN, *breaker.WORKED, *breaker.TOLD, *breaker.FIXED)
    assert sorted(told) == sorted(Machine.__slots__)


def test_what_breaks_a_law_is_told_with_the_moves_that_lead_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Machine, "still_admits", whoever_was_let_through_may_go_on)
    with pytest.raises(Broken) as caught:
        walk(POLICIES["in a row"], depth=4)
    assert "moves: " in str(caught.value)
    assert REFUSED < 0
