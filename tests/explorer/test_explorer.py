"""The laws hold in every state of small trees, and each check of them can fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from supervisor._core import close, group, order, step, timers, verdict
from supervisor._core.child import ENDED, ChildState
from supervisor._core.effects import Finish
from supervisor._core.node import Node
from supervisor._core.verdict import _restart
from supervisor._words import Outcome
from tests.explorer.trees import everything, pairs, specials, triples
from tests.explorer.walk import Broken, Walked, replay, walk
from tests.explorer.world import Tree

TREES = everything()


@pytest.mark.parametrize("name", dict(specials()))
def test_the_laws_hold_in_the_corners(name: str) -> None:
    walked = walk(TREES[name], depth=3, cap=250)

    assert walked.states > 20


@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize(("kind", "every"), [(pairs, 64), (triples, 48)])
def test_the_laws_hold_in_small_trees(kind: Callable[[], Any], every: int, shift: int) -> None:
    for _, tree in list(kind())[shift * 11 :: every]:
        assert walk(tree, depth=4, cap=300).states > 20


def test_a_walk_ends_when_it_has_seen_every_state() -> None:
    tree = TREES["pair one_for_one transient temporary free ready:-"]

    walked = walk(Tree(tree.spec, commands=()), depth=99)

    assert walked.exhausted
    assert isinstance(walked, Walked)


def test_a_violation_is_replayed_from_its_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "passed", lambda node, child: True)
    tree = TREES["pair one_for_one permanent permanent free ready:ab"]
    with pytest.raises(Broken) as caught:
        walk(tree, depth=3)

    assert caught.value.moves == ["begin"]
    with pytest.raises(AssertionError, match=r"law 3: .* before its elder"):
        replay(tree, caught.value.moves)


# --- planted faults --------------------------------------------------------------------------------


def nothing(*args: Any) -> None:
    return None


def not_held_back(node: Node, child: ChildState) -> bool:
    return not (child.condemned or node.closing or order.unbound(child))


def not_stopped(node: Node, child: ChildState) -> bool:
    return not (child.holds or child.condemned or order.unbound(child))


def taken_for_dead(node: Node, child: ChildState) -> None:
    child.state = "down"
    node.changed(child)


def told_twice(node: Node, child: ChildState, *told: Any) -> None:
    tell_crash(node, child, *told)
    tell_crash(node, child, *told)


def finish_at_once(node: Node) -> None:
    if node.closing and not node.finished:
        node.finished = True
        node.effects.append(Finish(Outcome("cancelled")))


def ring_again(node: Node, child: ChildState) -> float:
    return child.since + 1


def all_at_once(node: Node, children: Any) -> None:
    node.stops = [tuple(child for child in children if child.alive)]


tell_crash = verdict._tell_crash


def let_go_uncounted(node: Node, child: ChildState) -> None:
    child.probing = False


def never_stops(node: Node, members: Any) -> None:
    node.stops, node.stopping = [()], 1


PAIR = "pair one_for_one permanent permanent free ready:-"
BOTH = "pair one_for_one permanent permanent free ready:ab"
FINAL = "pair one_for_one permanent permanent final ready:-"
EACH = "pair one_for_one permanent permanent each ready:a"
BRIEF = "pair one_for_one temporary permanent free ready:-"
GROUP = "pair one_for_all permanent permanent free ready:-"
ASIDE = "pair one_for_one transient permanent free ready:- quarantine"
AFTER = "triple one_for_one free after ready:b"
AGAIN = "begin, ready b, stop c, restart b, end c, start c, end b, ready b"
FAULTS: list[tuple[str, Any, str, Any, str, str]] = [
    # law and finding, where the fault is planted, the faulty thing, the tree, the moves if long
    ("1: finished with lives left", order, "_tell_end", finish_at_once, PAIR, ""),
    ("2: .* disagree", step, "became_stuck", taken_for_dead, PAIR, ""),
    ("3: .* before its elder", order, "passed", lambda *_: True, BOTH, ""),
    ("3: .* needs", order, "blocked_by", nothing, EACH, ""),
    ("3: .* is stopped under", order, "_pulled", nothing, EACH, ""),
    ("3: .* is stopped under", order, "_gone", lambda _: False, FINAL, ""),
    ("3: .* started after the stop", order, "wanted", not_stopped, PAIR, ""),
    ("3: .* before its younger", close, "stop_in_order", all_at_once, PAIR, ""),
    ("4: .* stopped by an operator", order, "ENDED", ENDED | {"operator"}, GROUP, ""),
    (
        "4: the group waits",
        group,
        "stop_in_order",
        never_stops,
        GROUP,
        "begin, crash a, end b, time, time",
    ),
    ("4: temporary", verdict, "_failed", _restart, BRIEF, ""),
    ("5: .* before its backoff", order, "wanted", not_held_back, PAIR, ""),
    ("5: .* before its group", ChildState, "delayed", False, GROUP, ""),
    ("5: .* could run, and does not", Node, "wake", nothing, AFTER, AGAIN),
    ("7: ", verdict, "_tell_crash", nothing, PAIR, ""),
    ("7: ", verdict, "_tell_crash", told_twice, PAIR, ""),
    ("9: .* nobody awaits", order, "arm", nothing, PAIR, ""),
    ("9: the stop waits for nothing", verdict, "left_the_round", nothing, PAIR, ""),
    ("13: all are ready", timers, "_next", ring_again, PAIR, ""),
    ("13: .* again and again", step, "_deadline", nothing, PAIR, ""),
    ("15: .* != ", order, "_pull", nothing, EACH, ""),
    (
        "15: .* set aside",
        Node,
        "leave_quarantine",
        let_go_uncounted,
        ASIDE,
        "begin, crash a, time, crash a, time, return a",
    ),
]


@pytest.mark.parametrize(
    ("law", "where", "name", "fault", "tree", "moves"), FAULTS, ids=map(str, range(len(FAULTS)))
)
def test_each_check_finds_a_planted_fault(
    monkeypatch: pytest.MonkeyPatch,
    law: str,
    where: Any,
    name: str,
    fault: Any,
    tree: str,
    moves: str,
) -> None:
    def look() -> None:
        if moves:
            replay(TREES[tree], moves.split(", "))
        else:
            walk(TREES[tree], depth=4, cap=400)

    look()  # without the fault it holds
    monkeypatch.setattr(where, name, fault)

    with pytest.raises(AssertionError, match=f"law {law}"):
        look()
