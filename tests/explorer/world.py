"""One small tree, the inputs that can reach it, and its state as a value."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from msgspec import Struct

from supervisor._core.child import ChildState
from supervisor._core.effects import (
    AddChild,
    Begin,
    Bind,
    DeleteChild,
    Effect,
    Exited,
    Hurry,
    Input,
    MarkedHealthy,
    OnlyStuckLeft,
    ReleaseChild,
    ReportedReady,
    RestartChild,
    ShutDown,
    StartChild,
    StopChild,
    TimePassed,
)
from supervisor._core.node import Group, Node
from supervisor._core.step import step
from supervisor._core.table import insert, populate
from supervisor._core.timers import next_deadline
from supervisor._errors import NotFound, Refused, Stuck
from supervisor._spec.edges import edges_for
from supervisor._spec.tree import Spec, Supervisor
from supervisor._words import Outcome
from tests.explorer.laws import Violation, Watch, everyone

COMMANDS = {
    "stop": StopChild,
    "start": StartChild,
    "restart": RestartChild,
    "release": ReleaseChild,
    "delete": DeleteChild,
}
TABLES = ("crashes", "dependents", "holds", "waiting")  # of a child, changed in place
SCALARS = tuple(name for name in ChildState.__slots__ if name not in TABLES)
scalars_of, tables_of = attrgetter(*SCALARS), attrgetter(*TABLES)
LONG = 31.0
"""Ages beyond this many seconds decide nothing in the trees that are walked."""


class Tree(Struct, frozen=True):
    """A declaration to be walked, and what may happen to it besides crashes and time."""

    spec: Supervisor
    commands: tuple[str, ...] = ("stop", "start", "restart")
    added: Spec | None = None  # may be added once while it runs
    dynamic: bool = True
    trial: bool = False
    stop_within: float = math.inf
    extras: tuple[str, ...] = ("shut down",)


class World:
    """A tree that runs. Moves are words: ``crash a``, ``time``, ``shut down``."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.now = 0.0
        self.node = Node(tree.spec, tree.spec.name, lambda: 0.0, stop_within=tree.stop_within)
        populate(self.node)
        self.watch = Watch(self.node)
        self.added = False
        self.known: dict[ChildState, None] = {}  # all that ever were, also those forgotten
        self.effects: list[Effect] = []

    # --- moves ----------------------------------------------------------------------------------

    def moves(self) -> list[str]:
        """All that can happen now."""
        if not self.watch.lives and not self.node.booted and not self.node.booting:
            return ["begin"]
        if self.watch.finished:
            return []
        found: list[str] = []
        if next_deadline(self.node) != math.inf:
            found.append("time")
        for child in self._children():
            found.extend(f"{verb} {child.name}" for verb in self._verbs(child))
        if not self.node.closing:
            for child in self.node.children.values():
                found.extend(f"{command} {child.name}" for command in self.tree.commands)
            if self.tree.added is not None and not self.added:
                found.append("add")
        found.extend(
            extra
            for extra in self.tree.extras
            if extra == "hurry" or (not self.node.closing and self._names(extra))
        )
        return found

    def _verbs(self, child: ChildState) -> Iterator[str]:
        if not child.alive:
            return
        if child.state == "starting":
            yield from ("ready", "decline")
        if child.asked:
            yield "end"
        yield "crash"
        if not child.is_supervisor or child.asked:
            yield "return"
        if child.is_supervisor and child.state != "stuck":
            yield "only_stuck"
        if child.probing and child.state == "ready":
            yield "healthy"

    def _names(self, move: str) -> bool:
        """Whether the children that the move names are there."""
        return move == "shut down" or self.node.children.keys() >= {*move.split()[2:]}

    def _children(self) -> list[ChildState]:
        return sorted({*everyone(self.node), *self.watch.running}, key=lambda c: c.index)

    def apply(self, move: str) -> list[Effect]:
        """Make the move and check every law.

        Raises:
            Violation: one was broken, or the machine failed.
        """
        input = self._input(move)
        self.watch.before(input)
        try:
            self.effects = step(self.node, input, self.now)
        except (Refused, NotFound, Stuck):
            self.effects = []
            if self.node.agenda or self.node.movers:
                raise Violation(f"{move} was refused, but has changed something") from None
            return self.effects
        except Exception as error:
            raise Violation(f"{move}: the machine failed: {error!r}") from error
        self.watch.after(input, self.effects)
        return self.effects

    def _input(self, move: str) -> Input:
        verb, _, name = move.partition(" ")
        if verb == "begin":
            return Begin()
        if verb == "time":
            self.now = max(self.now, next_deadline(self.node))
            return TimePassed()
        if move == "shut down":
            return ShutDown(self.now + 20, "the walk says so")
        if move == "hurry":
            return Hurry(self.now + 1, "the walk says so")
        if verb == "add":
            return self._add()
        if verb == "bind":  # "bind each c a"
            binding, of, to = name.split()
            by_name = self.node.children
            return Bind(by_name[of], by_name[to], binding)  # type: ignore[arg-type]
        child = next(c for c in self._children() if c.name == name)
        if verb in COMMANDS:
            command: Input = COMMANDS[verb](child)
            return command
        if verb == "ready":
            return ReportedReady(child, child.life)
        if verb == "healthy":
            return MarkedHealthy(child)
        if verb == "only_stuck":
            return OnlyStuckLeft(child)
        return Exited(child, child.life, outcome(verb))

    def _add(self) -> Input:
        spec = self.tree.added
        assert spec is not None
        listed = {n: c.spec for n, c in self.node.children.items() if not c.dynamic}
        child = insert(self.node, spec, spec.name, *edges_for(spec.name, spec, listed))
        child.dynamic, child.trial = self.tree.dynamic, self.tree.trial
        self.added = True
        return AddChild(child)

    # --- the state as a value -------------------------------------------------------------------

    def save(self) -> tuple[Any, ...]:
        self.known.update(dict.fromkeys(everyone(self.node)))
        children = [
            (child, scalars_of(child), tuple(map(_copy, tables_of(child)))) for child in self.known
        ]
        fields = {name: _copy(value) for name, value in vars(self.node).items()}
        return self.now, self.added, children, fields, self.watch.save()

    def restore(self, saved: tuple[Any, ...]) -> None:
        self.now, self.added, children, fields, watch = saved
        for child, scalars, tables in children:
            if scalars_of(child) != scalars:
                for name, value in zip(SCALARS, scalars, strict=True):
                    setattr(child, name, value)
            for name, value in zip(TABLES, tables, strict=True):
                setattr(child, name, _copy(value))
        for name, value in fields.items():
            setattr(self.node, name, _copy(value))
        self.watch.restore(watch)

    def key(self) -> tuple[Any, ...]:
        """The state but for what decides nothing: numbers of lives, long ages, errors."""
        node, now = self.node, self.now
        children = tuple(self._child_key(child) for child in self._children())
        group = node.group
        return (
            children,
            node.booting,
            node.booted,
            node.closing,
            self.added,
            _age(now, node.last_call),
            _age(now, node.by),
            tuple(_age(now, at) for at in node.log),
            None if group is None else (group.start, tuple(c.name for c in group.causes)),
            tuple((c.name, c.queued) for c in node.queue),
            tuple(tuple(c.name for c in batch) for batch in node.stops),
            node.stopping,
            tuple(c.name for c in self.watch.pending),
            _due(now, self.watch.group_until),
            tuple((index, _due(now, due)) for index, due in self.watch.aside_until.items()),
            node.outcome.kind,
        )

    def _child_key(self, child: ChildState) -> tuple[Any, ...]:
        now = self.now
        return (
            child.name,
            child.state,
            child.life > 0,
            tuple((h.owner, _age(now, h.until)) for h in (child.holds or {}).values()),
            child.lost,
            child.leaving,
            child.pulling,
            child.asked,
            child.condemned,
            child.judged,
            child.trial,
            child.again,
            min(child.attempt, 2),
            min(child.times, 2),
            child.probing,
            child.queued,
            child.in_round,
            child.stop_turn,
            child.removed,
            None if child.blocker is None else child.blocker.name,
            None if child.waiting is None else tuple(w.name for w in child.waiting),
            tuple(_age(now, at) for at in child.crashes or () if _counts(child, now - at)),
            _age(now, child.cancel_at),
            _age(now, child.stuck_at),
            _age(now, child.timer),
            _age(now, child.unready_since),
            _age(now, child.since) if child.up and child.timer != math.inf else None,
            child.reason,
            _due(now, self.watch.not_before.get(child)),
            self.watch.over.get(child),
        )


def outcome(verb: str) -> Outcome:
    if verb == "crash":
        return Outcome("crashed", ValueError("on cue"))
    if verb == "decline":
        return Outcome("declined", reason="on cue")
    return Outcome({"return": "returned", "end": "cancelled"}[verb])


def _counts(child: ChildState, age: float) -> bool:
    return child.spec.quarantine is not None and age < child.spec.quarantine.within


def _due(now: float, at: float | None) -> float:
    return 0.0 if at is None or at <= now else round(at - now, 6)


def _age(now: float, at: float | None) -> float | None:
    if at is None or math.isinf(at):
        return at
    return max(-LONG, min(LONG, round(at - now, 6)))


def _copy(value: Any) -> Any:
    if isinstance(value, Group):
        return Group(value.start, value.causes.copy())
    if isinstance(value, dict):
        return {k: v.copy() if isinstance(v, list) else v for k, v in value.items()}
    return value.copy() if isinstance(value, list | deque | set) else value
