"""One child at a time: its flags, and the moves that follow from them.

A child may start when all that it waits for is ready and no life of a dependent is on its way down;
it may stop when all that depends on it is down. Nothing else moves.
"""

from __future__ import annotations

import math
from heapq import heappush
from typing import Final

from supervisor._core.child import AT_REST, DELAYS, ChildState
from supervisor._core.condition import judge
from supervisor._core.effects import Cancel, Notify, Run
from supervisor._core.node import Node
from supervisor._happenings import Ready, Started, StopAsked
from supervisor._words import Hold, HoldOwner

WAITS: Final[frozenset[HoldOwner]] = DELAYS | {"group"}
"""Holds that end without anybody's help, so that a place in the order is worth waiting for."""

RESTARTING: Final[frozenset[HoldOwner]] = frozenset({"backoff", "permit", "group"})
"""Holds of a child that is only restarted, by itself or with its group."""

VIABLE: Final[frozenset[HoldOwner]] = frozenset({"backoff", "permit", "standby"})
"""Holds of a fallback that will still serve."""


# --- flags ---------------------------------------------------------------------------------------


def wanted(node: Node, child: ChildState) -> bool:
    """Whether the child is wanted up: it has no holds, and nothing that it is bound to is lost."""
    return not (child.holds or child.condemned or node.closing or unbound(child))


def unbound(child: ChildState) -> bool:
    """Whether something that the child is bound to is lost to it."""
    for target, binding in child.needs:
        if target.lost or (binding == "each" and child.alive and not target.serving):
            return True
    return False


def refresh(node: Node, child: ChildState) -> None:
    if child.watched:
        node.moved.append(child)
    loses = unbound(child)
    lost = (loses or _gone(child)) and not _stood_in_for(child)
    if lost != child.lost:
        child.lost = lost
        node.touch_dependents(child)
        if child.primary is not None:
            node.touch(child.primary)
    leaving = child.state not in ("down", "stuck") and bool(
        child.asked or loses or child.holds or child.condemned or node.closing
    )
    if leaving != child.leaving:
        _set_leaving(node, child, leaving)
    if child.fallback is not None:
        _switch_fallback(node, child, child.fallback)
    judge(node, child)
    heappush(node.movers, (child.index, child))


def _gone(child: ChildState) -> bool:
    """Forgotten, or held by more than a restart: what sees only the final loss goes down."""
    if child.removed or child.sits_out("quarantine"):
        return True
    return child.holds is not None and not RESTARTING.issuperset(child.holds)


def _stood_in_for(child: ChildState) -> bool:
    """Whether a fallback runs or is about to run in the child's place."""
    stand_in = child.fallback
    if stand_in is None or not _wants_fallback(child):
        return False
    return not _gone_itself(stand_in) or _stood_in_for(stand_in)


def _gone_itself(stand_in: ChildState) -> bool:
    if unbound(stand_in) or stand_in.sits_out("quarantine"):
        return True
    return stand_in.holds is not None and not VIABLE.issuperset(stand_in.holds)


def _wants_fallback(child: ChildState) -> bool:
    return child.sits_out("quarantine") and not child.holds_any(AT_REST)


def _set_leaving(node: Node, child: ChildState, leaving: bool) -> None:
    """From now until its end the child holds up those that it needs, or no longer."""
    child.leaving = leaving
    node.others_may_move(child)
    node.touch_dependents(child)
    _pull(node, child, 1 if leaving else -1)


def _pull(node: Node, child: ChildState, by: int) -> None:
    for target, _ in child.needs:
        target.pulling += by
        at: ChildState | None = target
        while at is not None and target.pulling == 0:
            node.touch(at)
            at = at.fallback


def _switch_fallback(node: Node, child: ChildState, stand_in: ChildState) -> None:
    wants = _wants_fallback(child) and not child.alive and not node.closing
    if wants:
        if node.drop(stand_in, "standby") is not None:
            stand_in.attempt = 0
    elif stand_in.holds is None or "standby" not in stand_in.holds:
        node.hold(stand_in, Hold("standby", f"{child.name} is not held"))


# --- moves ---------------------------------------------------------------------------------------


def move(node: Node, child: ChildState) -> None:
    if child.removed:
        return
    if child.leaving:
        if child.up and child.stop_turn and _pulled(child) is None:
            ask(node, child)
    elif child.state == "down" and not child.queued and wanted(node, child):
        blocker = blocked_by(node, child)
        if blocker is None:
            start(node, child)
        elif blocker is not child:  # the last of its own dependents to go looks at it by itself
            _register(blocker, child)
    if child.waiting and child.state == "down" and passed(node, child):
        # What lets the others by may have changed at something that it waits for itself.
        node.wake(child)


def _register(blocker: ChildState, child: ChildState) -> None:
    """Have any change of the blocker look at the child again; it waits at one blocker only."""
    before = child.blocker
    if before is not None and before is not blocker and before.waiting:
        before.waiting.pop(child, None)
    child.blocker = blocker
    if blocker.waiting is None:
        blocker.waiting = {}
    blocker.waiting[child] = None


def blocked_by(node: Node, child: ChildState) -> ChildState | None:
    """The first of those that keep a wanted child from starting, its place in the order aside; itself
    while dependents of it are on their way down."""
    for target, _ in child.needs:
        if not target.serving:
            return target
    for target in child.after:
        if not passed(node, target):
            return target
    if child.fallback is not None and child.fallback.alive and child.fallback.state != "stuck":
        return child.fallback
    return _pulled(child)


def _pulled(child: ChildState) -> ChildState | None:
    """Itself, or that in whose place it serves, while dependents of it are on their way down."""
    at: ChildState | None = child
    while at is not None and at.pulling == 0:
        at = at.primary
    return at


def passed(node: Node, child: ChildState) -> bool:
    """Whether those that come after the child in order need not wait for it any longer.

    It is ready, or somebody decided that it is not to run; under ``one_for_one`` also when it was
    tried once, or waits for something that was.
    """
    if _let_by(node, child):
        return True
    waiting, seen = [child], {child}
    while waiting:
        at = waiting.pop()
        if at.state == "down":
            for target, _ in at.needs:
                if not target.serving and target not in seen:
                    if _let_by(node, target):
                        return True
                    waiting.append(target)
                    seen.add(target)
    return False


def _let_by(node: Node, child: ChildState) -> bool:
    if child.removed or child.state in ("ready", "stuck"):
        return True
    if child.holds is not None and not (node.in_order and WAITS.issuperset(child.holds)):
        return True
    return child.attempt > 0 and not node.in_order


def start(node: Node, child: ChildState) -> None:
    now = node.now
    child.life += 1
    child.since = child.beat = now
    child.asked = child.judged = child.again = False
    child.trial = child.trial and child.reports
    child.state = "starting" if child.reports else "ready"
    child.ready_at = None if child.reports else now
    node.alive += 1
    effects = node.effects
    effects.append(Started(now, child.path, child.life, not child.reports, child.probing))
    effects.append(Run(child))
    if not child.reports and concerns_nobody(child):
        child.unready_since = None
        node.looked_at[child] = None
    else:
        node.changed(child)
        node.touch_dependents(child)


def concerns_nobody(child: ChildState) -> bool:
    """Whether nothing at all can follow from the start of a child that is ready at once, or from the
    end of one that needs nothing once all are to stop."""
    return not (
        child.dependents
        or child.waiting
        or child.fallback
        or child.primary
        or child.lost
        or child.probing
        or child.reason
        or child.watched
    )


def became_ready(node: Node, child: ChildState) -> None:
    """The life has reported that it is ready."""
    took = node.now - child.since
    child.state = "ready"
    child.since = child.ready_at = child.beat = node.now
    node.effects.append(Ready(node.now, child.path, child.life, took))
    node.changed(child)
    node.touch_dependents(child)


def ask(node: Node, child: ChildState, *, now: bool = False) -> None:
    """Ask a life to end: by notice if it has grace, by cancellation otherwise, or at once.

    When the whole stop has less time left than the child may take, its grace gives way first.
    """
    at, stop = node.now, child.spec.stop
    left = max(0.0, node.by - at)
    deadline = min(stop.deadline, left)
    grace = stop.grace if left == math.inf else min(stop.grace, left - deadline)
    if now or child.judged:
        grace = 0.0
    why = _why_down(node, child)
    child.state = "stopping"
    child.since = child.asked_at = at
    child.asked = True
    node.effects.append(StopAsked(at, child.path, child.life, why, grace, deadline))
    if child.is_supervisor:
        child.cancel_at, child.stuck_at = math.inf, at + grace + deadline
        node.effects.append(Notify(child, child.stuck_at))
    elif grace > 0:
        child.cancel_at, child.stuck_at = at + grace, math.inf
        node.effects.append(Notify(child, at + grace))
    else:
        cancel(node, child)
    if node.closing and not (child.watched or child.fallback or child.primary):
        node.looked_at[child] = None  # nobody waits for it to come back, and it is not missed
    else:
        node.changed(child)


def cancel(node: Node, child: ChildState) -> None:
    """Cancel a life that was asked to end; from now on its deadline runs."""
    child.cancel_at = math.inf
    child.stuck_at = min(node.now + child.spec.stop.deadline, max(node.by, node.now))
    node.effects.append(Cancel(child))
    node.looked_at[child] = None


def _why_down(node: Node, child: ChildState) -> str:
    if node.closing:
        return "shutdown"
    if child.holds:
        return next(iter(child.holds.values())).reason
    if child.condemned:
        return "it is to be replaced"
    lost = [target.name for target, _ in child.needs if target.lost or not target.serving]
    return f"it needs {', '.join(lost)}"
