"""The state of a small tree as a value: saved, restored, and as a key that tells states apart.

Every slot of a child and every field of a node is saved, in the key, or in ``UNTOLD`` with the reason
why it need not be; a test holds that.
"""

from __future__ import annotations

import math
from collections import deque
from hashlib import blake2b
from marshal import dumps
from operator import attrgetter
from typing import Any

from msgspec import Struct

from supervisor._core.child import ChildState
from supervisor._core.circuit import Circuit
from supervisor._core.node import Group, Node
from tests.explorer.putter import putter

FIXED = "it never changes once the record is made"
TOLD = "it is told, and decides nothing"
ABOVE = "it belongs to the floor above"
EMPTY = "it is empty between two steps"
COUNTED = "the laws hold it to the count of what is in the key, in every state"

UNTOLD: dict[str, str] = {
    **dict.fromkeys(
        ("spec", "name", "path", "index", "reports", "fallback", "primary", "after"), FIXED
    ),
    **dict.fromkeys(("dynamic", "heartbeat"), FIXED),
    "life": "only its equality with the life that ends or reports counts",
    **dict.fromkeys(("outcome", "error", "asked_at"), TOLD),
    **dict.fromkeys(("inner", "runtime", "watched"), ABOVE),
    "touched": EMPTY,
}
"""Slots of a child that are not in the key."""

UNTOLD_OF_NODE: dict[str, str] = {
    **dict.fromkeys(("spec", "path", "draw", "life", "stop_within", "restarts"), FIXED),
    "requests": "only whether a permit is that of the latest request counts",
    **dict.fromkeys(("began", "offenders"), TOLD),
    **dict.fromkeys(("agenda", "movers", "moved", "looked_at"), EMPTY),
    **dict.fromkeys(("alive", "stuck", "set_aside"), COUNTED),
    "effects": "each step begins with none",
    "now": "all times in the key are relative to it",
    "next_index": "the keys of children have their indexes",
    "timer_seq": "the timers are in the key in their order",
    "copies": "names are given by the floor above",
}
"""Fields of a node that are not in the key."""

SCALARS = (
    "state",
    "lost",
    "leaving",
    "pulling",
    "asked",
    "condemned",
    "judged",
    "trial",
    "ending",
    "again",
    "probing",
    "queued",
    "in_round",
    "stop_turn",
    "removed",
    "reason",
    "critical",
    "unmetered",
)
"""Slots that are in the key as they are."""

WORKED = ("since", "ready_at", "beat", "cancel_at", "stuck_at", "timer", "unready_since")
WORKED += ("attempt", "needs", "blocker", "request")
"""Slots that are in the key as far as they decide something."""

TABLES = ("circuit", "dependents", "holds", "waiting")
"""Slots that are changed in place."""

SAVED = (*SCALARS, *WORKED, "life", "outcome", "error", "asked_at", "touched")
saved_of, scalars_of = attrgetter(*SAVED), attrgetter(*SCALARS)
stamps_of = attrgetter("cancel_at", "stuck_at", "timer", "unready_since")

PLAIN = ("booting", "booted", "boot_unseen", "closing", "in_line")
PLAIN += ("told_stuck", "finished", "stopping")
SAVED_OF_NODE = (*PLAIN, "by", "last_call", "outcome", "now", "began", "alive", "stuck")
SAVED_OF_NODE += ("set_aside", "next_index", "timer_seq", "requests")
TOLD_OF_NODE = ("by", "last_call", "outcome", "children", "orphans", "group", "queue", "stops")
TOLD_OF_NODE += ("log", "timers")
"""Fields that are in the key, apart from those that are there as they are."""

LISTS_OF_NODE = ("queue", "stops", "timers", "offenders", "log", "children", "orphans")
TOLD_OF_NODE = ("by", "last_call", "outcome", "children", "orphans", "group", "queue", "stops")
TOLD_OF_NODE += ("log", "timers")
"""Fields that are in the key, apart from those that are there as they are."""

LISTS_OF_NODE = ("queue", "stops", "timers", "offenders", "log")
plain_of, plain_fields_of = attrgetter(*PLAIN), attrgetter(*SAVED_OF_NODE)
lists_of = attrgetter(*LISTS_OF_NODE)

Part = tuple[Any, ...]


put_saved, put_fields = putter(SAVED), putter(SAVED_OF_NODE)


# --- saved and restored --------------------------------------------------------------------------


class Saved(Struct):
    """All that a move may change. Nothing in it is changed in place, so that states share what
    they have in common."""

    now: float
    added: bool
    answers: tuple[Any, ...]
    children: tuple[ChildState, ...]
    records: dict[ChildState, tuple[Any, ...]]
    parts: dict[ChildState, Part]  # of the key
    node: tuple[Any, ...]
    account: tuple[Any, ...]


def record_of(child: ChildState, before: Any) -> tuple[Any, ...]:
    """The child's slots; ``before`` itself if these are the same."""
    values = saved_of(child)
    if before is not None and before[0] == values:
        _, circuit, dependents, holds, waiting = before
        if (
            child.dependents == dependents
            and child.holds == holds
            and child.waiting == waiting
            and (child.circuit is circuit or _circuit(child) == circuit)
        ):
            return before  # type: ignore[no-any-return]
    return (
        values,
        _circuit(child),
        None if child.dependents is None else child.dependents.copy(),
        None if child.holds is None else child.holds.copy(),
        None if child.waiting is None else child.waiting.copy(),
    )


def restore_child(child: ChildState, record: tuple[Any, ...]) -> None:
    values, circuit, dependents, holds, waiting = record
    put_saved(child, values)
    child.circuit = None
    if circuit is not None:
        most, crashes, times = circuit
        child.circuit = Circuit(most)
        child.circuit.log.extend(crashes)
        child.circuit.times = times
    child.dependents = None if dependents is None else dependents.copy()
    child.holds = None if holds is None else holds.copy()
    child.waiting = None if waiting is None else waiting.copy()


def _circuit(child: ChildState) -> tuple[Any, ...] | None:
    circuit = child.circuit
    return None if circuit is None else (circuit.log.maxlen, tuple(circuit.log), circuit.times)


def fields_of(node: Node) -> tuple[Any, ...]:
    group = node.group
    return (
        plain_fields_of(node),
        tuple(map(tuple, lists_of(node))),
        tuple(node.children.items()),
        tuple(node.orphans),
        None if group is None else (group.start, tuple(group.causes)),
    )


def restore_node(node: Node, fields: tuple[Any, ...]) -> None:
    plain, lists, children, orphans, group = fields
    put_fields(node, plain)
    queue, stops, timers, offenders, log = lists
    node.queue, node.stops, node.timers = deque(queue), list(stops), list(timers)
    node.offenders, node.log = list(offenders), deque(log)
    if tuple(node.children.items()) != children:
        node.children = dict(children)
    node.orphans = dict.fromkeys(orphans)
    node.group = None if group is None else Group(group[0], list(group[1]))
    if node.agenda or node.movers or node.moved or node.looked_at:  # a step was broken off
        node.agenda, node.movers, node.moved = [], [], []
        node.looked_at = {}


# --- the key -------------------------------------------------------------------------------------


def digest(parts: Any) -> bytes:
    """The key of a state, in 16 bytes: of 10**9 states two share one with a chance of 10**-21."""
    return blake2b(dumps(parts, 2), digest_size=16).digest()


class Reach:
    """How far back a child's past can matter: what is older, or more, decides the same."""

    def __init__(self, spec: Any, quarantine: Any) -> None:
        backoff = spec.backoff
        self.beats = getattr(spec, "heartbeat", None) is not None
        delays = [backoff.first]
        while len(delays) < 40 and (len(delays) < 2 or delays[-1] != delays[-2]):
            delays.append(min(backoff.cap, backoff.base * backoff.factor ** (len(delays) - 1)))
        self.attempts = 1 if len(set(delays)) == 1 else len(delays)
        self.up = backoff.reset_after if self.attempts > 1 else 0.0
        self.within = 0.0 if quarantine is None else quarantine.within
        self.crashes = 0 if quarantine is None else quarantine.crashes
        self.times = 0
        if quarantine is not None and quarantine.factor > 1:
            self.times = 1 + math.ceil(
                math.log(quarantine.cap / quarantine.open, quarantine.factor)
            )
            self.up = max(self.up, quarantine.within)


def of_child(child: ChildState, now: float, reach: Reach, *, binds: bool) -> Part:
    """All of a child that decides something."""
    state, holds, blocker, waiting = child.state, child.holds, child.blocker, child.waiting
    crashes = child.circuit.log if child.circuit is not None else ()
    watched = state == "starting" or (state == "ready" and (child.probing or reach.beats))
    return (
        child.index,
        scalars_of(child),
        *[None if at is None else at - now for at in stamps_of(child)],
        child.since - now if watched else None,
        child.beat - now if reach.beats else None,
        min(now - child.ready_at, reach.up) if reach.up and child.ready_at is not None else None,
        0 if holds and "standby" in holds else min(child.attempt, reach.attempts),
        min(child.circuit.times, reach.times) if child.circuit is not None else 0,
        holds and sorted((h.owner, h.until and h.until - now) for h in holds.values()),
        None if blocker is None else blocker.index,
        child.request and child.request.after,
        waiting and sorted(other.index for other in waiting),
        child.dependents and [other.index for other in child.dependents],
        [at - now for at in crashes if now - at < reach.within] if crashes else None,
        [(target.index, binding) for target, binding in child.needs] if binds else None,
    )


def of_node(node: Node, now: float) -> Part:
    """All of a node that decides something."""
    group, log = node.group, node.log
    return (
        plain_of(node),
        node.by - now,
        node.last_call - now,
        node.outcome.kind,
        [child.index for child in node.children.values()],
        [child.index for child in node.orphans],
        group and (group.start, [cause.index for cause in group.causes]),
        [(child.index, child.queued) for child in node.queue],
        [[child.index for child in batch] for batch in node.stops],
        [at - now for at in log],
        # Which of two that are due at the same moment comes first; also of what is out of date,
        # since it is valid again should that moment be set again.
        [(at - now, child.index) for at, _, child in sorted(node.timers)] if node.timers else None,
    )
