"""The mover: it brings what is to what is wanted, and nothing else moves.

Boot, restarts, group restarts, recovery of dependents and shutdown are all this one mechanism: they
only put on and take off holds, queue children for their place in the order of starts or of stops,
and touch who is concerned. ``move`` has what happens to one child.

A pass has two phases. ``refresh`` settles the flags of the touched children, elders first; only when
no flag is open does ``move`` start or stop one child, whereupon flags are settled again. So nothing
starts on the strength of something that is about to go.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from heapq import heappop
from itertools import chain
from operator import attrgetter

from supervisor._core.child import ENDED, ChildState
from supervisor._core.effects import AllReady, Finish, Moved, StuckRemain
from supervisor._core.move import blocked_by, move, passed, refresh, start, wanted
from supervisor._core.node import Group, Node
from supervisor._core.timers import arm
from supervisor._happenings import Booted, Ended

_index = attrgetter("index")


def settle(node: Node) -> None:
    """Move until nothing more can move, then set the timers of all that was touched."""
    agenda, movers, looked_at = node.agenda, node.movers, node.looked_at
    while True:
        if agenda:
            child = heappop(agenda)[1]
            child.touched = False
            looked_at[child] = None
            refresh(node, child)
        elif movers:
            move(node, heappop(movers)[1])
        elif not (
            (node.stops and _next_stops(node))
            or (node.group is not None and _release_group(node, node.group))
            or ((node.queue or node.booting) and _next_start(node))
        ):
            break
    for child in looked_at:
        arm(node, child)
    looked_at.clear()
    if node.moved:
        _tell_moved(node)
    if node.closing and not (node.in_line or node.finished):
        _tell_end(node)


# --- the order -----------------------------------------------------------------------------------


def enqueue(node: Node, children: Iterable[ChildState]) -> None:
    """Have the children started in their order, each when the one before it has been passed."""
    waiting = [child for child in node.queue if child.queued]
    new = [child for child in children if not child.queued]
    for child in new:
        child.queued = True
        node.touch(child)
    # Two runs in order, or one of them the other way round: to sort them is to merge them.
    node.queue = deque(sorted(chain(waiting, new), key=_index))


def append(node: Node, child: ChildState) -> None:
    """Have a child started after all others that wait for their turn; it is younger than these."""
    child.queued = True
    node.queue.append(child)
    if len(node.queue) > 64 + 4 * node.size:  # most of these have left it since
        node.queue = deque(child for child in node.queue if child.queued)
    node.touch(child)


def enqueue_all(node: Node) -> None:
    """Have all children of the table started, none of which was ever looked at: most need not be,
    as they start at once and concern nobody."""
    for child in node.children.values():
        child.since = node.now
        child.queued = True
    node.queue.extend(node.children.values())
    node.boot_unseen = True


def _next_start(node: Node) -> bool:
    """Start the head of the queue, or take it off; whether there is anybody to look at now."""
    queue = node.queue
    while queue:
        child = queue[0]
        if not child.queued:
            queue.popleft()
        elif child.state == "down" and wanted(node, child) and blocked_by(node, child) is None:
            start(node, child)
            if node.agenda:
                return True
        elif child.dynamic or passed(node, child):
            queue.popleft()
            child.queued = False
            if child.state == "down":
                node.touch(child)  # from now on it waits outside of the queue
                return True
        else:
            return _miss_the_rest(node)
    if node.booting and node.group is None:
        node.booting, node.booted = False, True
        took = node.now - node.began
        node.effects.append(Booted(node.now, node.path, node.life, took))
        node.effects.append(AllReady())
    return False


def _miss_the_rest(node: Node) -> bool:
    """A boot cannot go on at once: whoever is still to come is missed from now on."""
    if not node.boot_unseen:
        return False
    node.boot_unseen = False
    for child in node.queue:
        node.touch(child)
    return True


def stop_in_order(node: Node, children: Iterable[ChildState]) -> None:
    """Queue lives to be stopped: peers first and together, then the listed ones in reverse."""
    for batch in node.stops:
        for child in batch:
            child.stop_turn = True
    lives = [child for child in children if child.alive and child.state != "stuck"]
    listed = sorted((c for c in lives if not c.dynamic), key=lambda c: c.index)
    peers = tuple(c for c in lives if c.dynamic)
    node.stops = [(child,) for child in listed]
    if peers:
        node.stops.append(peers)
    for child in lives:
        child.stop_turn = child.in_round = False
    node.stopping = 0


def _next_stops(node: Node) -> bool:
    if node.stopping or node.in_line:
        return False
    for child in node.stops.pop():
        child.stop_turn = True
        if child.alive and child.state != "stuck":
            child.in_round = True
            node.stopping += 1
            node.touch(child)
    return True


def _release_group(node: Node, group: Group) -> bool:
    """Let a group that is down start again, once the delay of whoever caused it is over.

    Groups that have merged wait for the longest delay. But under rest_for_one a quarantine holds
    only those after it: an elder that crashes is not kept down until a younger one is let out.
    """
    if node.stopping or node.stops:
        return False
    delayed = [cause for cause in group.causes if cause.delayed]
    end = _still_held(node, delayed)
    if end <= group.start:
        return False
    members = [child for child in members_from(node, group.start) if child.index < end]
    node.group = Group(int(end), delayed) if delayed else None
    # Those that were added meanwhile are not of this group: they have no place to wait for.
    back = [child for child in members if node.drop(child, "group") is not None]
    for child in back:
        for owner in ENDED:
            node.drop(child, owner)
    enqueue(node, back)
    return True


def _still_held(node: Node, delayed: list[ChildState]) -> float:
    """The first index that has to wait for one of these."""
    if not delayed:
        return math.inf
    if node.spec.strategy == "one_for_all" or any(_backs_off(cause) for cause in delayed):
        return 0
    return min(cause.index for cause in delayed)


def _backs_off(cause: ChildState) -> bool:
    return cause.sits_out("backoff")


def members_from(node: Node, start: int | float) -> Iterator[ChildState]:
    """The children from that index on, youngest first, without walking those before them."""
    for child in reversed(node.children.values()):
        if child.index < start:
            return
        yield child


def left_the_round(node: Node, child: ChildState) -> None:
    """The child is down, or stuck: the round of stops goes on without it."""
    if child.in_round:
        child.in_round = False
        node.stopping -= 1


# --- the end of a step ---------------------------------------------------------------------------


def _tell_moved(node: Node) -> None:
    for child in dict.fromkeys(node.moved):
        node.effects.append(Moved(child))
    node.moved.clear()


def _tell_end(node: Node) -> None:
    if node.alive == 0:
        node.finished = True
        node.last_call = math.inf
        node.effects.append(Ended(node.now, node.path, node.life))
        node.effects.append(Finish(node.outcome))
    elif node.alive == node.stuck and not node.told_stuck:
        node.told_stuck = True
        stuck = tuple(c.path for c in everyone(node) if c.state == "stuck")
        node.effects.append(Ended(node.now, node.path, node.life, stuck))
        node.effects.append(StuckRemain())


def everyone(node: Node) -> Iterator[ChildState]:
    for child in chain(node.children.values(), node.orphans):
        at: ChildState | None = child
        while at is not None:
            yield at
            at = at.fallback
