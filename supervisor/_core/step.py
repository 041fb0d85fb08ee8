"""The machine's one verb: ``step(node, input, now)`` changes the node and returns the effects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervisor._core import command
from supervisor._core.child import ChildState
from supervisor._core.close import begin_close, bound, call_last, start_no_more
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
    TellStuck,
    TimePassed,
)
from supervisor._core.move import became_ready, cancel
from supervisor._core.node import Node
from supervisor._core.order import append, enqueue_all, settle
from supervisor._core.resume import end_delays, permitted, unavailable
from supervisor._core.table import bind
from supervisor._core.timers import due
from supervisor._core.verdict import became_stuck, declared_failed, exited, trusted_again
from supervisor._errors import HeartbeatMissed, StartTimedOut
from supervisor._happenings import Added


def step(node: Node, input: Input, now: float) -> list[Effect]:
    """Tell the machine what happened at ``now`` (seconds); returns what is to be done, in order.

    Raises:
        Refused: the input is a command that cannot be followed now; nothing has changed.
        NotFound: it concerns a child that is gone; nothing has changed.
    """
    node.now = now
    node.effects = []
    _HANDLERS[type(input)](node, input)
    settle(node)
    return node.effects


def _begin(node: Node, input: Begin) -> None:
    node.booting = True
    node.began = node.now
    enqueue_all(node)


def _exited(node: Node, input: Exited) -> None:
    child = input.child
    if input.life == child.life and child.alive:
        exited(node, child, input.outcome)


def _reported_ready(node: Node, input: ReportedReady) -> None:
    child = input.child
    if input.life != child.life:
        return
    if child.state == "starting":
        child.trial = False
        became_ready(node, child)


def _marked_healthy(node: Node, input: MarkedHealthy) -> None:
    command.mark_healthy(node, input.child)


def _time_passed(node: Node, input: TimePassed) -> None:
    if node.now >= node.last_call:
        call_last(node)
    for child in due(node):
        _deadline(node, child)
        node.touch(child)


def _deadline(node: Node, child: ChildState) -> None:
    now = node.now
    end_delays(node, child)
    if child.up and child.leaving:
        return
    if child.state == "starting":
        limit = child.spec.start_timeout
        if limit is not None and now >= child.since + limit:
            declared_failed(node, child, StartTimedOut(limit))
    elif child.state == "ready":
        _deadline_while_ready(node, child, now)
    elif child.state == "stopping":
        _deadline_of_stop(node, child, now)


def _deadline_while_ready(node: Node, child: ChildState, now: float) -> None:
    beat = child.heartbeat
    if beat is not None and now >= child.beat + beat:
        declared_failed(node, child, HeartbeatMissed(beat))
        return
    quarantine = child.spec.quarantine
    if child.probing and quarantine is not None and now >= child.since + quarantine.probe:
        trusted_again(node, child)


def _deadline_of_stop(node: Node, child: ChildState, now: float) -> None:
    if now >= child.cancel_at:
        cancel(node, child)
    elif now >= child.stuck_at:
        became_stuck(node, child)
        node.effects.append(TellStuck(child, now - child.asked_at))


def _began_to_end(node: Node, input: BeganToEnd) -> None:
    if input.child.up:
        input.child.ending = True
        node.changed(input.child)
        node.touch_dependents(input.child)


def _only_stuck_left(node: Node, input: OnlyStuckLeft) -> None:
    if input.child.alive and input.child.state != "stuck":
        became_stuck(node, input.child)


def _add(node: Node, input: AddChild) -> None:
    child = input.child
    node.effects.append(Added(node.now, child.path))
    if child.dynamic or not node.queue:
        node.touch(child)
    else:
        append(node, child)


def _hurry(node: Node, input: Hurry) -> None:
    if not node.closing or node.in_line:
        begin_close(node, input.reason, input.by - node.now)
    bound(node, input.by)
    call_last(node)


def _bind(node: Node, input: Bind) -> None:
    bind(input.child, input.target, input.binding)
    node.touch(input.child)


def _permitted(node: Node, input: Permitted) -> None:
    permitted(node, input.child, input.number, input.permit)


def _unavailable(node: Node, input: PermitUnavailable) -> None:
    unavailable(node, input.child, input.number, input.why)


def _start_no_more(node: Node, input: StartNoMore) -> None:
    if not node.closing:
        start_no_more(node)


def _shut_down(node: Node, input: ShutDown) -> None:
    if node.closing and not node.in_line:
        bound(node, input.by)
    else:
        begin_close(node, input.reason, input.by - node.now)


def _command(do: Callable[[Node, ChildState], None]) -> Callable[[Node, Any], None]:
    return lambda node, input: do(node, input.child)


_HANDLERS: dict[type, Callable[[Node, Any], None]] = {
    Begin: _begin,
    Exited: _exited,
    ReportedReady: _reported_ready,
    MarkedHealthy: _marked_healthy,
    TimePassed: _time_passed,
    BeganToEnd: _began_to_end,
    OnlyStuckLeft: _only_stuck_left,
    AddChild: _add,
    Bind: _bind,
    Permitted: _permitted,
    PermitUnavailable: _unavailable,
    StartChild: _command(command.start),
    StopChild: _command(command.stop),
    RestartChild: _command(command.restart),
    ReleaseChild: _command(command.release),
    DeleteChild: _command(command.delete),
    StartNoMore: _start_no_more,
    ShutDown: _shut_down,
    Hurry: _hurry,
}
