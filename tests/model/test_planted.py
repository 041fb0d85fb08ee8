"""The model finds what is wrong: faults planted in the machine, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from supervisor._core import backoff, close, group, move, order, step, verdict
from supervisor._words import Outcome
from tests.model.runs import chosen, play

MOST = 300
"""Runs within which a fault has to be found."""

Plant = Callable[[pytest.MonkeyPatch], None]


def a_cancellation_is_taken_for_a_crash(patch: pytest.MonkeyPatch) -> None:
    real = verdict.exited

    def exited(node: Any, child: Any, outcome: Any) -> None:
        if outcome.kind == "cancelled":
            child.asked = child.leaving = False
        real(node, child, outcome)

    patch.setattr(step, "exited", exited)


def one_restart_more_than_the_intensity_is_let_by(patch: pytest.MonkeyPatch) -> None:
    real = verdict._over_intensity

    def over(node: Any) -> bool:
        return real(node) and len(node.log) > node.spec.intensity.restarts + 1

    patch.setattr(verdict, "_over_intensity", over)


def children_stop_in_the_order_in_which_they_started(patch: pytest.MonkeyPatch) -> None:
    real = order.stop_in_order

    def stop_in_order(node: Any, children: Any) -> None:
        real(node, children)
        node.stops.reverse()

    patch.setattr(group, "stop_in_order", stop_in_order)
    patch.setattr(close, "stop_in_order", stop_in_order)


def rest_for_one_restarts_the_elders(patch: pytest.MonkeyPatch) -> None:
    real = order.members_from

    def members_from(node: Any, start: Any) -> Iterator[Any]:
        return real(node, 0)

    patch.setattr(group, "members_from", members_from)
    patch.setattr(order, "members_from", members_from)


def a_return_is_taken_for_a_crash(patch: pytest.MonkeyPatch) -> None:
    real = verdict._judge

    def judge(node: Any, child: Any, outcome: Any, phase: Any, up: float) -> None:
        if outcome.kind == "returned":
            outcome = Outcome("crashed", RuntimeError("it returned"))
        real(node, child, outcome, phase, up)

    patch.setattr(verdict, "_judge", judge)


def a_healthy_stretch_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(verdict, "_note_stretch", lambda child, up: None)


def needs_each_sees_the_final_loss_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(move, "unbound", lambda child: any(target.lost for target, _ in child.needs))


def a_group_restart_revives_what_an_operator_stopped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(order, "ENDED", frozenset({*order.ENDED, "operator"}))


def more_than_half_may_be_set_aside(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(verdict, "_half_are_aside", lambda node: False)


def temporary_children_stay(patch: pytest.MonkeyPatch) -> None:
    real = verdict._is_over

    def is_over(child: Any) -> bool:
        return real(child) and child.spec.restart != "temporary"

    patch.setattr(verdict, "_is_over", is_over)


def every_crash_is_told_twice(patch: pytest.MonkeyPatch) -> None:
    real = verdict._tell_crash

    def tell(*args: Any) -> None:
        real(*args)
        real(*args)

    patch.setattr(verdict, "_tell_crash", tell)


def delays_grow_one_restart_too_early(patch: pytest.MonkeyPatch) -> None:
    real = backoff.delay

    def delay(policy: Any, attempt: int, draw: float) -> float:
        return real(policy, attempt + 1, draw)

    patch.setattr(backoff, "delay", delay)


def nobody_waits_for_his_place(patch: pytest.MonkeyPatch) -> None:
    for where in (move, order):
        patch.setattr(where, "passed", lambda node, child: True)


def a_group_does_not_wait_for_its_delay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(order, "_backs_off", lambda cause: False)


def a_fallback_goes_on_beside_the_probe(patch: pytest.MonkeyPatch) -> None:
    real = move._switch_fallback

    def switch(node: Any, child: Any, stand_in: Any) -> None:
        if not stand_in.alive:
            real(node, child, stand_in)

    patch.setattr(move, "_switch_fallback", switch)


def a_fallback_does_not_serve(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(move, "_stood_in_for", lambda child: False)


FAULTS: tuple[Plant, ...] = (
    a_cancellation_is_taken_for_a_crash,
    one_restart_more_than_the_intensity_is_let_by,
    children_stop_in_the_order_in_which_they_started,
    rest_for_one_restarts_the_elders,
    a_return_is_taken_for_a_crash,
    a_healthy_stretch_is_forgotten,
    needs_each_sees_the_final_loss_only,
    a_group_restart_revives_what_an_operator_stopped,
    more_than_half_may_be_set_aside,
    temporary_children_stay,
    every_crash_is_told_twice,
    delays_grow_one_restart_too_early,
    nobody_waits_for_his_place,
    a_group_does_not_wait_for_its_delay,
    a_fallback_goes_on_beside_the_probe,
    a_fallback_does_not_serve,
)


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_the_model_finds(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    found = next((seed for seed in range(MOST) if play("asyncio", *chosen(seed, 50))), None)
    assert found is not None
    monkeypatch.undo()
    assert play("asyncio", *chosen(found, 50)) is None


def test_nothing_is_found_where_nothing_is_planted() -> None:
    assert [play("asyncio", *chosen(seed, 50)) for seed in range(20)] == [None] * 20
