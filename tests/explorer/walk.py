"""Breadth first through all short sequences of inputs to a small tree; states are visited once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from tests.explorer.checks import Violation
from tests.explorer.undecided import Undecided
from tests.explorer.world import Tree, World, label


class Walked(Struct, frozen=True):
    """What a walk has seen. ``exhausted``: there is no state beyond, however long the sequence."""

    states: int
    steps: int
    depth: int
    exhausted: bool
    capped: bool


class Broken(AssertionError):
    """A law was broken; ``moves`` replays it, ``where`` the tree is such."""

    def __init__(self, moves: list[str], where: dict[str, str], why: Violation) -> None:
        self.moves = moves
        self.where = where
        self.check = why.check
        self.why = str(why)
        such = "".join(f"\n  where {question} is {left}" for question, left in where.items())
        super().__init__(f"{why}{such}\n  moves: {', '.join(moves)}")


class _At(Struct):
    saved: Any
    move: str
    before: _At | None


class Walk:
    """One tree that is being walked."""

    def __init__(self, tree: Tree, where: dict[str, str] | None = None) -> None:
        self.tree = tree
        self.world = World(tree, where)
        self.first = _At(self.world.look(), "", None)
        self.seen = {self.world.key(self.first.saved)}
        self.steps = 0
        self.moved = self.broken_off = False

    def beyond(self, at: _At, move: str, *, deeper: bool) -> Iterator[_At | None]:
        """Make a move, once for each answer to what it asks of the tree's open questions; the new
        states that it leads to, saved only if the walk goes on from there."""
        world, saved = self.world, at.saved
        pending: list[tuple[tuple[int, Any], ...]] = [()]
        while pending:
            given = pending.pop()
            if self.moved:
                world.restore(saved, broken_off=self.broken_off)
                self.moved = self.broken_off = False
            for question, part in given:
                world.answers[question] = part
                self.moved = True
            try:
                changed = world.apply(move)
                self.moved = self.moved or changed
                self.steps += 1
                if not changed:
                    continue
                world.watch.check()
                after = world.look(saved)
                key = world.key(after)
                if key in self.seen:
                    continue
            except Undecided as asked:
                pending.extend((*given, (asked.question, part)) for part in asked.parts)
                self.moved = self.broken_off = True
                continue
            except Violation as why:
                raise Broken([*_path(at), move], self._where(), why) from why
            self.seen.add(key)
            yield _At(after, move, at) if deeper else None

    def _where(self) -> dict[str, str]:
        open_, left = self.tree.open, self.world.answers
        return {
            question: "|".join(map(label, answers))
            for (question, given), answers in zip(open_.items(), left, strict=True)
            if answers != given
        }

    def level(self, level: list[_At], *, deeper: bool) -> Iterator[_At | None]:
        """All new states that are one input further."""
        for at in level:
            self.world.restore(at.saved, broken_off=self.broken_off)
            self.moved = self.broken_off = False
            for move in self.world.moves():
                yield from self.beyond(at, move, deeper=deeper)
            at.saved = None


def walk(tree: Tree, depth: int, cap: int = 1_000_000) -> Walked:
    """Visit every state within so many inputs, or the first ``cap`` of them.

    Raises:
        Broken: a law does not hold somewhere; the shortest sequence to it.
    """
    walked = Walk(tree)
    level = [walked.first]
    for inputs in range(1, depth + 1):
        found, before = [], len(walked.seen)
        for at in walked.level(level, deeper=inputs < depth):
            if at is not None:
                found.append(at)
            if len(walked.seen) >= cap:
                return Walked(len(walked.seen), walked.steps, inputs, exhausted=False, capped=True)
        if not found and len(walked.seen) == before:
            return Walked(before, walked.steps, inputs - 1, exhausted=True, capped=False)
        level = found
    return Walked(len(walked.seen), walked.steps, depth, exhausted=False, capped=False)


def replay(tree: Tree, moves: list[str], where: dict[str, str] | None = None) -> World:
    """Make the moves from the start.

    Raises:
        Broken: they break a law.
    """
    *_, world = each_step(tree, moves, where)
    return world


def each_step(tree: Tree, moves: list[str], where: dict[str, str] | None = None) -> Iterator[World]:
    """The world after each of the moves."""
    walked = Walk(tree, where)
    at = walked.first
    for move in moves:
        walked.seen.clear()  # going round in a circle is no reason to stop
        if move not in walked.world.moves():
            raise ValueError(f"{move!r} is none of {walked.world.moves()}")
        walked.moved = False
        found = next(walked.beyond(at, move, deeper=True), None)
        if found is not None:
            at = found
        yield walked.world


def _path(at: _At) -> list[str]:
    moves: list[str] = []
    step: _At | None = at
    while step is not None and step.move:
        moves.append(step.move)
        step = step.before
    return moves[::-1]
