"""The record of a child: what is (state), what is wanted (holds), and what it waits for."""

from __future__ import annotations

import math
from typing import Any, Final

from msgspec import Struct

from supervisor._core.circuit import Circuit
from supervisor._spec.tree import Called, Spec, Supervisor
from supervisor._words import Binding, Complaint, Hold, HoldOwner, Outcome, State

DELAYS: Final[frozenset[HoldOwner]] = frozenset({"backoff", "quarantine", "permit"})
"""Holds that end by themselves: with one of these the child is restarting."""

ENDED: Final[frozenset[HoldOwner]] = frozenset({"finished", "declined"})
"""Holds of a child that nothing but a group restart or an operator brings back."""

AT_REST: Final[frozenset[HoldOwner]] = ENDED | {"operator", "standby"}
"""Holds of a child that nobody misses."""


class Request(Struct, frozen=True):
    """For a permit to restart, in the place of the delay that came before it."""

    number: int
    after: HoldOwner


class ChildState:
    """All that the machine knows of one child. ``runtime`` belongs to the floor above."""

    __slots__ = (
        "after",
        "again",
        "asked",
        "asked_at",
        "attempt",
        "beat",
        "blocker",
        "cancel_at",
        "circuit",
        "condemned",
        "critical",
        "dependents",
        "dynamic",
        "ending",
        "error",
        "fallback",
        "heartbeat",
        "holds",
        "in_round",
        "index",
        "inner",
        "judged",
        "leaving",
        "life",
        "lost",
        "name",
        "needs",
        "outcome",
        "path",
        "primary",
        "probing",
        "pulling",
        "queued",
        "ready_at",
        "reason",
        "removed",
        "reports",
        "request",
        "runtime",
        "since",
        "spec",
        "state",
        "stop_turn",
        "stuck_at",
        "timer",
        "touched",
        "trial",
        "unmetered",
        "unready_since",
        "waiting",
        "watched",
    )

    def __init__(self, spec: Spec, name: str, path: str, index: int, reports: bool) -> None:
        self.spec = spec
        self.name = name
        self.path = path
        self.index = index  # order among siblings; edges go from lower to higher only
        self.reports = reports  # whether it says itself when it is ready
        self.dynamic = False  # a peer from start_soon: no place in the order
        self.critical = spec.priority == "critical"
        self.unmetered = False  # a broker, or what one needs: its restarts take no permit
        self.heartbeat = spec.heartbeat if isinstance(spec, Called) else None

        self.state: State = "down"
        self.since = 0.0
        self.life = 0
        self.ready_at: float | None = None
        self.holds: dict[HoldOwner, Hold] | None = None
        self.request: Request | None = None  # while it is held by "permit"
        self.outcome: Outcome | None = None  # of the last life that ended
        self.error: BaseException | None = None  # of the last life that crashed

        self.needs: tuple[tuple[ChildState, Binding], ...] = ()
        self.after: tuple[ChildState, ...] = ()
        self.dependents: dict[ChildState, Binding] | None = None
        self.fallback: ChildState | None = None
        self.primary: ChildState | None = None  # whose fallback this is
        self.waiting: dict[ChildState, None] | None = None  # who is blocked by it
        self.blocker: ChildState | None = None  # where it waits

        self.lost = False  # by policy or command, not just crashed: "final" dependents go down
        self.leaving = False  # up, but not wanted up
        self.pulling = 0  # dependents that are on their way down
        self.asked = False  # this life was asked to end
        self.condemned = False  # this life is to end whatever the holds say
        self.judged = False  # this life was declared failed before its end
        self.trial = False  # its first start was asked for: if that fails it is not kept
        self.ending = False  # a supervisor that stops of itself: its life is not over yet
        self.again = False  # an operator's restart: the next life is his wish, not a policy's
        self.asked_at = 0.0
        self.cancel_at = math.inf
        self.stuck_at = math.inf

        self.attempt = 0  # automatic restarts in this series
        self.circuit: Circuit | None = None  # of its crashes, once there is one
        self.probing = False  # the next or present life decides whether the quarantine is over
        self.beat = 0.0  # written by the life, read at the heartbeat's deadline

        self.unready_since: float | None = None
        self.reason: Complaint | None = None
        self.timer = math.inf
        self.touched = False
        self.queued = False  # waits for its place in the start order
        self.in_round = False  # counted by the round of stops
        self.stop_turn = True  # False while it waits for its place in the stop order
        self.watched = 0
        self.removed = False
        self.inner: Any = None  # a running supervisor's own node
        self.runtime: Any = None

    def __repr__(self) -> str:
        held = ",".join(self.holds) if self.holds else ""
        return f"<{self.path}#{self.life} {self.state}{' held by ' + held if held else ''}>"

    @property
    def alive(self) -> bool:
        """Whether it has a life, at whatever stage."""
        return self.state != "down"

    @property
    def up(self) -> bool:
        """Whether it has a life that nobody has asked to end."""
        return self.state == "ready" or self.state == "starting"

    @property
    def serving(self) -> bool:
        """Whether it is ready and to stay so, or its fallback is: dependents may run."""
        if self.state == "ready" and not (self.leaving or self.ending):
            return True
        return self.fallback is not None and self.fallback.serving

    @property
    def delayed(self) -> bool:
        """Whether it is held only until a delay of its own is over."""
        return self.holds_any(DELAYS) and not self.holds_any(AT_REST)

    def sits_out(self, delay: HoldOwner) -> bool:
        """Whether it is held by that delay, or by the wait for a permit that came in its place."""
        if self.holds is None:
            return False
        return delay in self.holds or (self.request is not None and self.request.after == delay)

    @property
    def is_supervisor(self) -> bool:
        return isinstance(self.spec, Supervisor)

    def holds_any(self, owners: frozenset[HoldOwner]) -> bool:
        return bool(self.holds) and not owners.isdisjoint(self.holds or ())
