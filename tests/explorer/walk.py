"""Breadth first through all short sequences of inputs to a small tree; states are visited once."""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from tests.explorer.laws import Violation
from tests.explorer.world import Tree, World


class Walked(Struct, frozen=True):
    """What a walk has seen. ``exhausted``: there is no state beyond, however long the sequence."""

    states: int
    steps: int
    depth: int
    exhausted: bool
    capped: bool


class Broken(AssertionError):
    """A law was broken; ``moves`` replays it."""

    def __init__(self, tree: Tree, moves: list[str], why: BaseException) -> None:
        self.moves = moves
        super().__init__(f"{why}\n  moves: {', '.join(moves)}")


class _At(Struct):
    saved: object
    depth: int
    move: str
    before: _At | None


def walk(tree: Tree, depth: int, cap: int = 1_000_000) -> Walked:
    """Visit every state within so many inputs, or the first ``cap`` of them.

    Raises:
        Broken: a law does not hold somewhere; the shortest sequence to it.
    """
    world = World(tree)
    seen = {world.key()}
    frontier = deque([_At(world.save(), 0, "", None)])
    steps = deepest = 0
    cut = False
    while frontier:
        at = frontier.popleft()
        world.restore(at.saved)  # type: ignore[arg-type]
        moves = world.moves()
        for i, move in enumerate(moves):
            if i:
                world.restore(at.saved)  # type: ignore[arg-type]
            steps += 1
            try:
                world.apply(move)
            except Violation as why:
                raise Broken(tree, [*_path(at), move], why) from why
            key = world.key()
            if key in seen:
                continue
            seen.add(key)
            deepest = max(deepest, at.depth + 1)
            if len(seen) >= cap:
                return Walked(len(seen), steps, deepest, exhausted=False, capped=True)
            if at.depth + 1 < depth:
                frontier.append(_At(world.save(), at.depth + 1, move, at))
            else:
                cut = True
    return Walked(len(seen), steps, deepest, exhausted=not cut, capped=False)


def replay(tree: Tree, moves: list[str]) -> World:
    """Make the moves from the start.

    Raises:
        Violation: they break a law.
    """
    world = World(tree)
    for move in moves:
        world.apply(move)
    return world


def _path(at: _At) -> list[str]:
    moves: list[str] = []
    step: _At | None = at
    while step is not None and step.move:
        moves.append(step.move)
        step = step.before
    return moves[::-1]
