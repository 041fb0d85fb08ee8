"""One small tree, and the inputs that can reach it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from supervisor._core.child import ChildState
from supervisor._core.effects import (
    AddChild,
    BeganToEnd,
    Begin,
    Bind,
    DeleteChild,
    Effect,
    Exited,
    Hurry,
    Input,
    MarkedHealthy,
    OnlyStuckLeft,
    Permitted,
    PermitUnavailable,
    ReleaseChild,
    ReportedReady,
    RestartChild,
    ShutDown,
    StartChild,
    StartNoMore,
    StopChild,
    TimePassed,
)
from supervisor._core.node import Node
from supervisor._core.step import step
from supervisor._core.table import insert, populate
from supervisor._core.timers import next_deadline
from supervisor._errors import NotFound, Refused, Stuck
from supervisor._spec.edges import edges_for
from supervisor._spec.tree import Spec, Supervisor
from supervisor._words import Outcome
from tests.explorer.checks import Violation, broken
from tests.explorer.laws import Watch, everyone
from tests.explorer.state import (
    Reach,
    Saved,
    digest,
    fields_of,
    of_child,
    of_node,
    record_of,
    restore_child,
    restore_node,
)
from tests.explorer.undecided import Answers, OpenSpec

COMMANDS = {
    "stop": StopChild,
    "start": StartChild,
    "restart": RestartChild,
    "release": ReleaseChild,
    "delete": DeleteChild,
}


class Tree(Struct, frozen=True):
    """A declaration to be walked, and what may happen to it besides crashes and time."""

    spec: Supervisor
    commands: tuple[str, ...] = ("stop", "start", "restart")
    added: Spec | None = None  # may be added once while it runs
    ways: tuple[str, ...] = ("soon",)  # in which it is: by start_soon, by start, or listed
    stop_within: float = math.inf
    extras: tuple[str, ...] = ("shut down",)
    foreign: bool = False  # lives may be cancelled by somebody else
    interrupt: bool = False  # lives may raise KeyboardInterrupt
    open: dict[str, tuple[Any, ...]] = {}  # what is left open: by field, or child and field


class World:
    """A tree that runs. Moves are words: ``crash a``, ``time``, ``shut down``."""

    def __init__(self, tree: Tree, where: dict[str, str] | None = None) -> None:
        self.tree = tree
        self.now = 0.0
        self.added = False
        self.answers: Answers = list(tree.open.values())
        for i, question in enumerate(tree.open):
            wanted = (where or {}).get(question)
            if wanted is not None:
                self.answers[i] = tuple(w for w in self.answers[i] if label(w) in wanted.split("|"))
        self.node = Node(tree.spec, tree.spec.name, lambda: 0.0, stop_within=tree.stop_within)
        populate(self.node)
        self.children: list[ChildState] = []  # all that ever were, also those forgotten
        self.reach: dict[ChildState, Reach] = {}
        self.binds = any(extra.startswith("bind") for extra in tree.extras)
        for child in everyone(self.node):
            self._know(child)
        self.watch = Watch(self.node)
        self.effects: list[Effect] = []
        self._records: dict[ChildState, Any] = {}  # of the present state
        self._numbers: dict[Any, int] = {}  # of the answers that are left, for the key

    def _know(self, child: ChildState) -> None:
        """Open what the tree leaves open of the child's declaration."""
        questions = {q: i for i, q in enumerate(self.tree.open)}
        asked = {
            field: questions[name]
            for field in ("restart", "quarantine")
            for name in (f"{child.name} {field}", field)
            if name in questions
        }
        quarantine = child.spec.quarantine
        if "quarantine" in asked:
            quarantine = next(filter(None, self.tree.open["quarantine"]), None)
        self.reach[child] = Reach(child.spec, quarantine)
        self.children.append(child)
        if asked:
            child.spec = OpenSpec(child.spec, self.answers, asked)

    # --- moves ----------------------------------------------------------------------------------

    def moves(self) -> list[str]:
        """All that can happen now."""
        node, tree = self.node, self.tree
        if not (node.booted or node.booting or node.closing):
            return ["begin"]
        if self.watch.finished:
            return []
        found: list[str] = []
        if next_deadline(node) != math.inf:
            found.append("time")
        for child in self.children:
            if child.state != "down":
                found.extend([f"{verb} {child.name}" for verb in self._verbs(child)])
        found.extend(self._permits())
        if node.closing:
            left = ("hurry", "shut down") if node.in_line else ("hurry",)
            found.extend([extra for extra in tree.extras if extra in left])
            return found
        for name in node.children:
            found.extend([f"{command} {name}" for command in tree.commands])
        if tree.added is not None and not self.added and tree.added.name not in node.children:
            found.extend([f"add {way}" for way in tree.ways])
        found.extend([extra for extra in tree.extras if self._names(extra)])
        return found

    def _verbs(self, child: ChildState) -> Iterator[str]:
        if child.state == "starting":
            yield "ready"
        if child.state == "starting" or not child.reports:
            yield "decline"
        yield "crash"
        if not child.is_supervisor or child.asked:
            yield "return"
        if child.asked or self.tree.foreign:
            yield "end"
        if self.tree.interrupt:
            yield "interrupt"
        if child.is_supervisor and child.state != "stuck":
            yield "only_stuck"
            if child.up and not child.ending:
                yield "ending"
        if child.state == "ready" and child.probing:
            yield "healthy"
        if child.state == "ready" and child.heartbeat is not None and child.beat != self.now:
            yield "beat"

    def _permits(self) -> Iterator[str]:
        for child in self.watch.requests:
            yield f"permitted {child.name}"
            yield f"unavailable {child.name}"
        for child in self.watch.given_up:
            yield f"late {child.name}"

    def _names(self, move: str) -> bool:
        """Whether the children that the move names are there."""
        return not move.startswith("bind") or self.node.children.keys() >= {*move.split()[2:]}

    def apply(self, move: str) -> bool:
        """Make the move and check what it did; whether anything has changed.

        Raises:
            Violation: a law was broken, or the machine failed.
            Undecided: it depends on what the tree leaves open; restore the state.
        """
        self.effects = []
        if move.startswith("beat "):
            self._child(move[5:]).beat = self.now
            return True
        input = self._input(move)
        self.watch.before(input)
        try:
            self.effects = step(self.node, input, self.now)
        except (Refused, NotFound, Stuck):
            if self.node.agenda or self.node.movers or self.node.effects:
                broken("refusal", move)
            return False
        except Exception as error:
            raise Violation("fails", f"{move}: {error!r}") from error
        self.watch.told(input, self.effects)
        return True

    def _child(self, name: str) -> ChildState:
        return next(child for child in self.children if child.name == name)

    def _input(self, move: str) -> Input:
        verb, _, name = move.partition(" ")
        if verb == "begin":
            return Begin()
        if verb == "time":
            self.now = max(self.now, next_deadline(self.node))
            return TimePassed()
        if move == "shut down":
            return ShutDown(self.now + 20, "the walk says so")
        if move == "start no more":
            return StartNoMore()
        if move == "hurry":
            return Hurry(self.now + 1, "the walk says so")
        if verb == "add":
            return self._add(name)
        if verb == "bind":  # "bind each c a"
            binding, of, to = name.split()
            by_name = self.node.children
            return Bind(by_name[of], by_name[to], binding)  # type: ignore[arg-type]
        child = self._child(name)
        if verb in COMMANDS:
            command: Input = COMMANDS[verb](child)
            return command
        if verb == "ready":
            return ReportedReady(child, child.life)
        if verb == "permitted":
            return Permitted(child, self.watch.requests[child], "a permit")
        if verb == "unavailable":
            return PermitUnavailable(child, self.watch.requests[child], "the walk says so")
        if verb == "late":
            return Permitted(child, self.watch.given_up[child], "a permit")
        if verb == "healthy":
            return MarkedHealthy(child)
        if verb == "ending":
            return BeganToEnd(child)
        if verb == "only_stuck":
            return OnlyStuckLeft(child)
        return Exited(child, child.life, OUTCOMES[verb])

    def _add(self, way: str) -> Input:
        spec = self.tree.added
        assert spec is not None
        listed = {n: c.spec for n, c in self.node.children.items() if not c.dynamic}
        child = insert(self.node, spec, spec.name, *edges_for(spec.name, spec, listed))
        child.dynamic, child.trial = way != "listed", way != "soon"
        self._know(child)
        self.added = True
        return AddChild(child)

    # --- the state as a value -------------------------------------------------------------------

    def look(self, base: Saved | None = None) -> Saved:
        """All that a move may change. What is as it was in ``base`` is shared with that."""
        next_deadline(self.node)  # drops timers that are out of date
        records, parts = {}, {}
        for child in self.children:
            before = None if base is None else base.records.get(child)
            records[child] = record = record_of(child, before)
            if base is not None and record is before and base.now == self.now:
                parts[child] = base.parts[child]
            else:
                parts[child] = of_child(child, self.now, self.reach[child], binds=self.binds)
        self._records = records
        return Saved(
            self.now,
            self.added,
            tuple(self.answers),
            tuple(self.children),
            records,
            parts,
            fields_of(self.node),
            self.watch.save(),
        )

    def restore(self, saved: Saved, *, broken_off: bool = False) -> None:
        """Make everything as it was, and no more than what is known to differ, unless a move was
        broken off."""
        for child, record in saved.records.items():
            if broken_off or self._records.get(child) is not record:
                restore_child(child, record)
        self._records = saved.records
        self.now, self.added = saved.now, saved.added
        self.answers[:] = saved.answers
        self.children = list(saved.children)
        restore_node(self.node, saved.node)
        self.watch.restore(saved.account)

    def parts(self, saved: Saved) -> tuple[Any, ...]:
        """The state but for what decides nothing: numbers of lives, long ages, errors."""
        node = of_node(self.node, self.now)
        return list(saved.parts.values()), self.added, node, self.watch.key()

    def digest_of(self, saved: Saved) -> bytes:
        """The key but for what is taken for granted of the declaration."""
        self.restore(saved, broken_off=True)
        return digest(self.parts(saved))

    def key(self, saved: Saved) -> bytes:
        number = self._numbers.setdefault(saved.answers, len(self._numbers))
        return digest((*self.parts(saved), number))


def label(answer: Any) -> str:
    """An answer as a person writes it."""
    return answer if isinstance(answer, str) else "off" if answer is None else "on"


OUTCOMES = {
    "crash": Outcome("crashed", ValueError("on cue")),
    "interrupt": Outcome("crashed", KeyboardInterrupt()),
    "decline": Outcome("declined", reason="on cue"),
    "return": Outcome("returned"),
    "end": Outcome("cancelled"),
}
