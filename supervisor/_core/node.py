"""The state of one supervisor, and the small moves that every rule is made of."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from heapq import heappush
from typing import Final

from msgspec import Struct

from supervisor._core.child import AT_REST, ChildState
from supervisor._core.effects import Effect, GiveUpPermit, ReasonChanged
from supervisor._happenings import Deleted, Held, Released
from supervisor._spec.tree import Supervisor
from supervisor._words import Hold, HoldOwner, Outcome

UNREADY: Final = 30.0
"""Seconds after which a child that should be ready and is not makes the tree degraded."""


class Group(Struct):
    """A group restart that is going down, or waits for its delay."""

    start: int  # members have at least this index
    causes: list[ChildState]


class Node:
    """One supervisor: its children in order, and what is under way.

    ``draw`` supplies the numbers in [0, 1) for jitter; ``life`` is this supervisor's own.
    ``stop_within`` bounds, in seconds, the stop that its own failure begins. ``restarts`` names the
    budget of the supervisor above, for one that names none itself.
    """

    def __init__(
        self,
        spec: Supervisor,
        path: str,
        draw: Callable[[], float],
        *,
        life: int = 1,
        now: float = 0.0,
        stop_within: float = math.inf,
        restarts: str | None = None,
    ) -> None:
        self.spec = spec
        self.restarts = spec.restarts or restarts  # of which budget they take permits
        self.path = path
        self.draw = draw
        self.life = life
        self.stop_within = stop_within
        self.now = now
        self.effects: list[Effect] = []

        self.children: dict[str, ChildState] = {}  # by name, in order of index; no fallbacks
        self.orphans: dict[ChildState, None] = {}  # fallbacks that have outlived their primary
        self.next_index = 0
        self.copies: dict[str, list[int]] = {}  # base name -> [last number given, how many live]
        self.alive = 0  # lives, those of fallbacks and stuck ones included
        self.stuck = 0
        self.set_aside = 0  # children in quarantine or on probation
        self.log: deque[float] = deque()  # restarts within the intensity's period
        self.requests = 0  # for permits, so far

        self.booting = False
        self.booted = False
        self.boot_unseen = False  # the boot has not been held up yet, nor its children looked at
        self.began = 0.0
        self.closing = False
        self.in_line = False  # closing, but it has yet to be its turn to stop
        self.by = math.inf
        self.last_call = math.inf
        self.outcome = Outcome("cancelled")  # of the supervisor itself, once it is closing
        self.offenders: list[ChildState] = []
        self.group: Group | None = None
        self.told_stuck = False
        self.finished = False

        # Who is looked at next. Elders first: edges lead from lower to higher indexes only, so
        # that everything a child depends on is settled when its turn comes.
        self.agenda: list[tuple[int, ChildState]] = []
        self.movers: list[tuple[int, ChildState]] = []
        self.looked_at: dict[ChildState, None] = {}  # in this step: their timers are to be set
        self.queue: deque[ChildState] = deque()  # the start order
        self.stops: list[tuple[ChildState, ...]] = []  # the stop order, next batch last
        self.stopping = 0  # lives of the present batch
        self.moved: list[ChildState] = []
        self.timers: list[tuple[float, int, ChildState]] = []
        self.timer_seq = 0

    def __repr__(self) -> str:
        return f"<{self.path}#{self.life} {list(self.children.values())}>"

    @property
    def size(self) -> int:
        return len(self.children)

    @property
    def in_order(self) -> bool:
        """Whether a crash concerns its siblings' places: any strategy but one_for_one."""
        return self.spec.strategy != "one_for_one"

    def touch(self, child: ChildState) -> None:
        """Have the child looked at before this step is over."""
        if not child.touched and not child.removed:
            child.touched = True
            heappush(self.agenda, (child.index, child))

    def changed(self, child: ChildState) -> None:
        """The child's state or holds have changed: look at it, and at whoever is blocked by it."""
        self.touch(child)
        self.others_may_move(child)

    def others_may_move(self, child: ChildState) -> None:
        """Look at whoever is blocked by the child, or by that in whose place it serves."""
        if child.waiting:
            self.wake(child)
        if child.primary is not None:
            self.changed(child.primary)
            self.touch_dependents(child.primary)

    def wake(self, child: ChildState) -> None:
        """Look again at all that are blocked by the child."""
        waiting, child.waiting = child.waiting, None
        for blocked in waiting or ():
            blocked.blocker = None
            self.touch(blocked)

    def touch_dependents(self, child: ChildState) -> None:
        if child.dependents:
            for dependent in child.dependents:
                self.touch(dependent)

    def hold(self, child: ChildState, hold: Hold) -> None:
        if child.holds is None:
            child.holds = {}
        child.holds[hold.owner] = hold
        if child.request is not None and (hold.owner in AT_REST or hold.owner == "stuck"):
            self.drop(child, "permit")  # it is not to restart now
        self.changed(child)

    def drop(self, child: ChildState, owner: HoldOwner) -> Hold | None:
        """Take a hold off; whether it was there."""
        if child.holds is None or owner not in child.holds:
            return None
        hold = child.holds.pop(owner)
        if not child.holds:
            child.holds = None
        if owner == "permit":
            self._give_up(child)
        self.changed(child)
        return hold

    def _give_up(self, child: ChildState) -> None:
        request, child.request = child.request, None
        if request is not None:
            self.effects.append(GiveUpPermit(child, request.number))

    def tell_hold(self, child: ChildState, hold: Hold) -> None:
        self.hold(child, hold)
        self.effects.append(Held(self.now, child.path, hold.owner, hold.reason, hold.until))

    def tell_drop(self, child: ChildState, owner: HoldOwner, why: str) -> None:
        if self.drop(child, owner) is not None:
            self.effects.append(Released(self.now, child.path, owner, why))

    def leave_quarantine(self, child: ChildState) -> None:
        """The child is trusted again, or gone: it no longer counts as set aside."""
        if child.probing:
            child.probing = False
            self.set_aside -= child.primary is None
            self.changed(child)

    def forget(self, child: ChildState) -> None:
        """Remove a child that has no life: nothing of it stays in the tables."""
        if child.removed:
            return
        self.leave_quarantine(child)
        child.removed = child.lost = True
        self._give_up(child)
        self.others_may_move(child)
        self.touch_dependents(child)
        child.queued = False
        child.timer = math.inf
        if child.blocker is not None and child.blocker.waiting:
            child.blocker.waiting.pop(child, None)
        for target, _ in child.needs:
            if target.dependents is not None:
                target.dependents.pop(child, None)
        if child.primary is None:
            del self.children[child.name]
            self._release_number(child.name)
        else:
            self.orphans.pop(child, None)
        if child.reason is not None and not self.closing:
            child.reason = None
            self.effects.append(ReasonChanged(child.path, None))
        if child.watched:
            self.moved.append(child)
        self.effects.append(Deleted(self.now, child.path))
        if child.fallback is not None:
            if child.fallback.alive:
                self.orphans[child.fallback] = None
                self.hold(child.fallback, Hold("standby", f"{child.name} is gone"))
            else:
                self.forget(child.fallback)

    def free_name(self, base: str) -> str:
        """``base``, or ``base-2`` and so on where it is taken."""
        if base not in self.children:
            return base
        numbers = self.copies.setdefault(base, [1, 0])
        while True:
            numbers[0] += 1
            name = f"{base}-{numbers[0]}"
            if name not in self.children:
                numbers[1] += 1
                return name

    def _release_number(self, name: str) -> None:
        base, _, number = name.rpartition("-")
        numbers = self.copies.get(base)
        if numbers is not None and number.isdigit():
            numbers[1] -= 1
            if numbers[1] <= 0:
                del self.copies[base]
