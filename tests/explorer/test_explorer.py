"""The laws hold in every state of small trees, as far as there is time for in a test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from random import Random
from typing import Any

import pytest
from msgspec import structs

from supervisor._core import move, order, verdict
from supervisor._core.child import ChildState
from supervisor._core.effects import Effect
from supervisor._happenings import Event
from tests.explorer import state
from tests.explorer.trees import component, families, shape, tree
from tests.explorer.undecided import Undecided
from tests.explorer.walk import Broken, Walk, Walked, replay, walk
from tests.explorer.world import Tree, World

FAMILIES = families()
SILENT = FAMILIES["two"].trees["ab one_for_one free ready:-"]


# --- the walk ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "depth"),
    [
        ("one", 7),
        ("two", 4),
        ("one and one", 4),
        ("permits", 4),
        ("corners", 3),
        ("two and one", 3),
        ("three", 3),
    ],
)
def test_the_laws_hold_in_every_state_within_a_few_inputs(family: str, depth: int) -> None:
    for name, small in FAMILIES[family].trees.items():
        walked = walk(small, depth)

        assert not walked.capped, name
        assert walked.states > 20, name


def test_a_walk_ends_when_it_has_seen_every_state() -> None:
    quiet = tree(component("a", restart="transient"), component("b", restart="temporary"))

    walked = walk(structs.replace(quiet, commands=()), depth=99)

    assert walked == Walked(walked.states, walked.steps, walked.depth, exhausted=True, capped=False)
    assert 8 < walked.depth < 99


def test_a_walk_that_is_capped_says_so() -> None:
    walked = walk(SILENT, depth=4, cap=100)

    assert walked.capped
    assert walked.states == 100


def test_a_violation_is_replayed_from_its_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    for where in (move, order):
        monkeypatch.setattr(where, "passed", lambda node, child: True)
    reporting = FAMILIES["two"].trees["ab one_for_one free ready:ab"]
    with pytest.raises(Broken) as caught:
        walk(reporting, depth=3)

    assert caught.value.moves == ["begin"]
    with pytest.raises(Broken, match=r"'start order'"):
        replay(reporting, caught.value.moves)


def test_a_violation_says_for_which_trees_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "_failed", verdict._restart)  # also what is temporary

    with pytest.raises(Broken) as caught:
        walk(SILENT, depth=3)

    where, moves = caught.value.where, caught.value.moves
    assert "temporary" in where.values()
    restarts = {name: "permanent" for name in where if name.endswith("restart")}
    replay(SILENT, moves, {**where, **restarts})
    with pytest.raises(Broken, match="'verdict'"):
        replay(SILENT, moves, where)


def test_a_move_that_is_not_there_is_not_replayed() -> None:
    with pytest.raises(ValueError, match="'ready a' is none of"):
        replay(SILENT, ["begin", "ready a"])


# --- what is left open ---------------------------------------------------------------------------


def closed(given: Tree) -> Iterator[tuple[tuple[Any, ...], Tree]]:
    """Every tree that an open one stands for, declared as anybody would declare it."""
    for answers in product(*given.open.values()):
        *restarts, aside = answers
        children = [
            structs.replace(child, restart=restart, quarantine=aside)
            for child, restart in zip(given.spec.children, restarts, strict=True)
        ]
        spec = structs.replace(given.spec, children=children)
        yield answers, structs.replace(given, spec=spec, open={})


def seen(given: Tree, depth: int) -> dict[Any, set[bytes]]:
    """The states that a walk reaches, by the answers that they take for granted."""
    walked = Walk(given)
    level, found = [walked.first], defaultdict(set)
    for _ in range(depth + 1):
        for at in level:
            found[at.saved.answers].add(walked.world.digest_of(at.saved))
        level = [at for at in walked.level(level, deeper=True) if at is not None]
    return found


@pytest.mark.parametrize(
    ("strategy", "needs", "reports"),
    [
        ("one_for_one", {}, ""),
        ("one_for_all", {("b", "a"): "each"}, "a"),
        ("rest_for_one", {("b", "a"): "final"}, ""),
    ],
)
def test_an_open_tree_reaches_what_all_its_trees_reach(
    strategy: Any, needs: Any, reports: str
) -> None:
    _, given = shape("ab", strategy, needs, reports)
    together = seen(given, depth=4)

    for answers, one in closed(given):
        alone = set().union(*seen(one, depth=4).values())
        found = {
            key
            for left, keys in together.items()
            if all(answer in words for answer, words in zip(answers, left, strict=True))
            for key in keys
        }
        assert found == alone, answers


# --- the key -------------------------------------------------------------------------------------


def test_all_that_a_child_has_is_in_the_key_or_need_not_be() -> None:
    told = {*state.SCALARS, *state.WORKED, *state.TABLES}

    assert told.isdisjoint(state.UNTOLD)
    assert told | state.UNTOLD.keys() == set(ChildState.__slots__)


def test_all_that_a_node_has_is_in_the_key_or_need_not_be() -> None:
    told = {*state.PLAIN, *state.TOLD_OF_NODE}

    assert told.isdisjoint(state.UNTOLD_OF_NODE)
    assert told | state.UNTOLD_OF_NODE.keys() == vars(World(SILENT).node).keys()


def test_all_that_a_step_may_change_is_restored() -> None:
    """Whatever is done in between, a state that is come back to is the same in every field."""
    for small in (SILENT, FAMILIES["corners"].trees["fallback spare each rest_for_one"]):
        world, chance = World(small), Random(1)
        for _ in range(200):
            saved = world.look()
            before = pictured(world)
            for _ in range(3):
                make_a_move(world, chance.choice(world.moves() or ["begin"]))
            world.restore(saved, broken_off=True)
            assert pictured(world) == before
            make_a_move(world, chance.choice(world.moves() or ["begin"]))


def pictured(world: World) -> Any:
    fields = {k: v for k, v in vars(world.node).items() if k not in ("draw", "effects", "group")}
    slots = [name for name in ChildState.__slots__ if name != "touched"]
    return (
        repr(fields),
        repr(world.node.group),
        [[repr(getattr(child, name)) for name in slots] for child in world.children],
        world.watch.save(),
    )


def make_a_move(world: World, move: str) -> None:
    saved = world.look()
    try:
        world.apply(move)
    except Undecided as asked:
        world.restore(saved, broken_off=True)
        world.answers[asked.question] = asked.parts[0]
        make_a_move(world, move)


CROWDED = (
    "ab one_for_all b-each-a ready:a",
    "ab rest_for_one free ready:-",
    "ab one_for_one free ready:b",
)


@pytest.mark.parametrize(
    "small",
    [
        *(FAMILIES["two"].trees[name] for name in CROWDED),
        FAMILIES["corners"].trees["fallback spare final rest_for_one"],
        FAMILIES["corners"].trees["deadlines one_for_all"],
        FAMILIES["corners"].trees["dynamic rest_for_one"],
        FAMILIES["permits"].trees["rest_for_one fallback"],
    ],
)
def test_states_of_one_key_behave_alike(small: Tree) -> None:
    """On whatever ways two states of one key were reached, every move does the same to both, and
    leads to one key again."""
    chance = Random(2)
    ways: dict[bytes, list[Any]] = defaultdict(list)
    world = World(small, {name: chance.choice(["permanent", "transient"]) for name in small.open})
    for question, left in small.open.items():
        if question == "quarantine":
            world.answers[list(small.open).index(question)] = left[1:]
    first = world.look()
    for _ in range(1500):
        world.restore(first, broken_off=True)
        for _ in range(chance.randrange(2, 9)):
            moves = world.moves()
            if not moves:
                break
            world.apply(chance.choice(moves))
        saved = world.look()
        ways[world.key(saved)].append(saved)
    pairs = [found[:6] for found in ways.values() if len(found) > 1]
    assert len(pairs) > 30

    for found in pairs:
        answers = [what_follows(world, saved) for saved in found]
        assert all(answer == answers[0] for answer in answers)


def what_follows(world: World, saved: Any) -> dict[str, Any]:
    found = {}
    world.restore(saved, broken_off=True)
    for each in world.moves():
        changed = world.apply(each)
        told = [decided(effect, world.now) for effect in world.effects] if changed else None
        found[each] = told, world.key(world.look())
        world.restore(saved, broken_off=True)
    return found


def decided(effect: Effect, now: float) -> Any:
    """What is decided; numbers that are only told may differ."""
    verdict = getattr(effect, "verdict", None)
    child = getattr(effect, "child", None)
    by = getattr(effect, "by", now)
    return (
        type(effect),
        effect.path if isinstance(effect, Event) else child and child.path,
        verdict and (verdict.action, verdict.rule, verdict.delay),
        by - now,
        getattr(effect, "members", None),
    )
