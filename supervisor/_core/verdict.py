"""The verdict: what follows from the end of a life that nobody had asked to end.

A life is judged once: when it ends, or when it is declared failed before (start deadline,
heartbeat). The end of a life that was to go down anyway is told, never judged or counted. Restart
types and intensity decide as OTP's supervisor does; quarantine and escalation are ours.
"""

from __future__ import annotations

import math

from supervisor._core import backoff, group
from supervisor._core.child import AT_REST, ChildState
from supervisor._core.circuit import Circuit
from supervisor._core.close import begin_close, escalate, give_up
from supervisor._core.move import concerns_nobody
from supervisor._core.node import Node
from supervisor._core.order import left_the_round
from supervisor._core.resume import delay_is_over, end_delays
from supervisor._errors import ForeignCancellation
from supervisor._happenings import (
    Crashed,
    Declined,
    Quarantined,
    Recovered,
    Returned,
    Rule,
    Stopped,
    Verdict,
)
from supervisor._words import Hold, Outcome

WAS_TO_STOP = Verdict("none", "was to stop")

SOONER = 0.2
"""Of a quarantine: so much is taken off by chance at most, so that siblings set aside together are
not probed together."""


def exited(node: Node, child: ChildState, outcome: Outcome) -> None:
    """The child's life has ended completely."""
    was_stuck, phase, up = child.state == "stuck", child.state, _up(node, child)
    if not child.judged:
        _note_stretch(child, up)
    known = child.judged and outcome.error is child.error
    child.outcome = outcome
    if outcome.error is not None:
        child.error = outcome.error
    elif child.judged:
        child.outcome = Outcome("crashed", child.error)
    _bring_down(node, child, was_stuck)
    if child.holds is not None:
        end_delays(node, child)  # one that was over while it was on its way down delays nothing
    if is_process_level(outcome.error):
        _end_the_tree(node, child, outcome, phase, up)
    elif child.judged or child.asked or child.leaving or was_stuck or node.closing:
        _tell_unjudged(node, child, outcome, phase, up, known)
    else:
        _judge(node, child, outcome, phase, up)
    child.condemned = child.asked = child.judged = False
    if _is_over(child):
        _lost_as_bystander(node, child)
        node.forget(child)


def declared_failed(node: Node, child: ChildState, error: BaseException) -> None:
    """The life missed a deadline: it has crashed, although it has yet to be brought down."""
    child.error = error
    phase, up, mark = child.state, _up(node, child), len(node.effects)
    _note_stretch(child, up)
    verdict = _failed(node, child, error, phase, up)
    _tell_crash(node, child, error, phase, up, verdict, mark)
    child.judged = child.condemned = True
    node.changed(child)
    _conclude(node, child, verdict, clean=False)


def trusted_again(node: Node, child: ChildState) -> None:
    """The probe became ready and stayed up."""
    up = _up(node, child)
    node.leave_quarantine(child)
    node.effects.append(Recovered(node.now, child.path, child.life, up))


def became_stuck(node: Node, child: ChildState) -> None:
    """The life did not end by its deadline: it gets no further life, and the others go on."""
    child.state, child.since = "stuck", node.now
    child.stuck_at = math.inf
    node.stuck += 1
    left_the_round(node, child)
    node.hold(child, Hold("stuck", "it did not end by its stop deadline"))
    node.touch_dependents(child)
    if child.critical and not node.closing:
        escalate(node, child, "stuck")


def is_process_level(error: BaseException | None) -> bool:
    """Whether the error concerns the process, not the child: it is not supervised away."""
    if error is None:
        return False
    if isinstance(error, ExceptionGroup):
        return any(is_process_level(leaf) for leaf in error.exceptions)
    return isinstance(error, MemoryError) or not isinstance(error, Exception)


# --- the end, whatever it means --------------------------------------------------------------------


def _bring_down(node: Node, child: ChildState, was_stuck: bool) -> None:
    child.state, child.since = "down", node.now
    child.ready_at = None
    child.ending = False
    child.inner = None
    node.alive -= 1
    if was_stuck:
        node.stuck -= 1
    left_the_round(node, child)
    if node.closing and concerns_nobody(child) and not child.needs:
        child.leaving, child.timer = False, math.inf  # that is all that a look at it would find
    else:
        node.changed(child)
        node.touch_dependents(child)


def _note_stretch(child: ChildState, up: float) -> None:
    """A life that was ready for long enough begins a new series, however it ended."""
    if up >= child.spec.backoff.reset_after:
        child.attempt = 0
    circuit = child.circuit
    if circuit is not None and circuit.times:
        quarantine = child.spec.quarantine
        if quarantine is not None and up >= quarantine.within:
            circuit.times = 0


def _up(node: Node, child: ChildState) -> float:
    return 0.0 if child.ready_at is None else node.now - child.ready_at


def _is_over(child: ChildState) -> bool:
    """Whether nothing is to bring the child back, so that it is forgotten."""
    if child.removed or child.alive:
        return False
    if child.primary is not None:
        return child.primary.removed
    if child.trial:
        return True
    if child.spec.restart == "temporary":
        return not child.again
    holds = child.holds or {}
    return child.dynamic and not holds.keys().isdisjoint(
        {"finished", "declined", "operator", "stuck"}
    )


def _tell_unjudged(
    node: Node, child: ChildState, outcome: Outcome, phase: str, up: float, known: bool
) -> None:
    if outcome.kind == "crashed" and not known:
        verdict = Verdict("none", "group under way") if _in_group(child) else WAS_TO_STOP
        _tell_crash(node, child, outcome.error, phase, up, verdict, len(node.effects))
        return
    if outcome.kind == "returned" and not child.asked and not child.judged:
        _end_of_its_own(node, child)
    began = child.asked_at if child.asked else node.now
    node.effects.append(Stopped(node.now, child.path, child.life, node.now - began))


def _in_group(child: ChildState) -> bool:
    return bool(child.holds) and "group" in (child.holds or ())


def _end_of_its_own(node: Node, child: ChildState) -> None:
    """It returned just when it was to go down: what is finished is finished."""
    if child.spec.restart == "transient" and child.primary is None and not child.again:
        node.hold(child, Hold("finished", "it returned"))
        node.leave_quarantine(child)
        _significant_ended(node, child, clean=True)


def _tell_crash(
    node: Node,
    child: ChildState,
    error: BaseException | None,
    phase: str,
    up: float,
    verdict: Verdict,
    mark: int,
) -> None:
    """Tell of the crash; before its consequences, which were told since ``mark``."""
    assert error is not None
    crashed = Crashed(node.now, child.path, child.life, error, phase, up, verdict)  # type: ignore[arg-type]
    node.effects.insert(mark, crashed)


# --- judging -------------------------------------------------------------------------------------


def _judge(node: Node, child: ChildState, outcome: Outcome, phase: str, up: float) -> None:
    if outcome.kind == "declined":
        _decline(node, child, outcome)
        return
    error, mark = outcome.error, len(node.effects)
    if outcome.kind == "cancelled":
        error = ForeignCancellation()
        child.outcome = Outcome("crashed", error)
    child.error = error  # a return that is held against it is no crash of long ago
    if error is None and child.spec.restart == "transient" and child.primary is None:
        verdict = Verdict("finish", "restart type")
        node.hold(child, Hold("finished", "it returned"))
    else:
        verdict = _failed(node, child, error, phase, up)
    if error is None:
        node.effects.insert(mark, Returned(node.now, child.path, child.life, verdict))
    else:
        _tell_crash(node, child, error, phase, up, verdict, mark)
    _conclude(node, child, verdict, clean=error is None)


def _conclude(node: Node, child: ChildState, verdict: Verdict, *, clean: bool) -> None:
    if verdict.action in ("forget", "finish"):
        node.leave_quarantine(child)
        _significant_ended(node, child, clean=clean)


def _failed(
    node: Node, child: ChildState, error: BaseException | None, phase: str, up: float
) -> Verdict:
    if child.spec.restart == "temporary" and child.primary is None:
        return Verdict("forget", "restart type")
    return _restart(node, child, error, phase, up)


def _decline(node: Node, child: ChildState, outcome: Outcome) -> None:
    reason = outcome.reason or ""
    node.effects.append(Declined(node.now, child.path, child.life, reason))
    node.leave_quarantine(child)
    child.trial = False  # to decline is no failure: a listed child stays, and can be started
    node.hold(child, Hold("declined", reason or "it declined to run"))


def _restart(
    node: Node, child: ChildState, error: BaseException | None, phase: str, up: float
) -> Verdict:
    """Decide when and how the child comes back, or that it does not."""
    policy, quarantine = child.spec.backoff, child.spec.quarantine
    if child.trial:
        return Verdict("forget", "first start")
    child.attempt += 1
    if _fails_strict_boot(node, child, phase):
        return escalate(node, child, "strict boot")
    if child.primary is None and _over_intensity(node):
        return escalate(node, child, "intensity")
    verdict = None
    if error is not None and quarantine is not None:
        verdict = _consider_quarantine(node, child)
    if verdict is None:
        seconds = backoff.delay(policy, child.attempt, node.draw())
        verdict = _back_off(node, child, seconds, "restart type")
    if verdict.action != "escalate" and node.in_order and child.primary is None:
        group.begin(node, child, verdict.delay)
    return verdict


def _fails_strict_boot(node: Node, child: ChildState, phase: str) -> bool:
    return node.booting and node.spec.boot == "strict" and phase == "starting" and not child.dynamic


def _over_intensity(node: Node) -> bool:
    """Count one restart against the supervisor's budget; whether that was one too many."""
    limit = node.spec.intensity
    if limit is None:
        return False
    log = node.log
    log.append(node.now)
    while log[0] <= node.now - limit.within and len(log) > 1:  # the last one counts in any case
        log.popleft()
    return len(log) > limit.restarts


def _consider_quarantine(node: Node, child: ChildState) -> Verdict | None:
    policy = child.spec.quarantine
    assert policy is not None
    if child.circuit is None:
        child.circuit = Circuit(policy.crashes)
    crashes = child.circuit.failed(node.now, policy.within)
    if not child.probing and crashes < policy.crashes:
        return None
    if child.critical:
        return escalate(node, child, "critical")
    if not child.probing and _half_are_aside(node) and child.primary is None:
        seconds = backoff.at_cap(child.spec.backoff, node.draw())
        return _back_off(node, child, seconds, "half are quarantined")
    return _quarantine(node, child)


def _half_are_aside(node: Node) -> bool:
    return node.set_aside + 1 > max(1, node.size // 2)


def _quarantine(node: Node, child: ChildState) -> Verdict:
    policy, circuit = child.spec.quarantine, child.circuit
    assert policy is not None
    assert circuit is not None
    rule: Rule = "probe failed" if child.probing else "crashes within window"
    if not child.probing:
        child.probing = True
        node.set_aside += child.primary is None
    seconds = circuit.opened(policy) * (1 - SOONER * node.draw())
    until, counted = node.now + seconds, len(circuit.log)
    reason = f"{counted} crash{'es' * (counted != 1)} within {policy.within:g} s"
    if rule == "probe failed":
        reason = "its probe failed"
    fallback = child.spec.fallback.name if child.spec.fallback else None
    node.hold(child, Hold("quarantine", reason, until))
    node.effects.append(
        Quarantined(
            node.now,
            child.path,
            rule,
            until,
            seconds,
            counted,
            policy.within,
            circuit.times,
            fallback,
        )
    )
    return Verdict("quarantine", rule, seconds, until, child.attempt, counted, policy.within)


def _back_off(node: Node, child: ChildState, seconds: float, rule: Rule) -> Verdict:
    until = node.now + seconds
    if seconds > 0:
        node.hold(child, Hold("backoff", f"restart {child.attempt} in a row", until))
    elif node.restarts is not None:
        delay_is_over(node, child, "backoff")
    circuit, policy = child.circuit, child.spec.quarantine
    return Verdict(
        "restart",
        rule,
        seconds,
        until,
        child.attempt,
        len(circuit.log) if circuit is not None else 0,
        policy.within if policy else 0.0,
    )


# --- what concerns the whole supervisor ------------------------------------------------------------


def _significant_ended(node: Node, child: ChildState, clean: bool) -> None:
    """A significant child has ended by itself: perhaps its supervisor ends with it."""
    if not child.spec.significant or node.closing:
        return
    mode = node.spec.auto_shutdown
    counts = clean or child.spec.restart == "temporary"
    if (mode == "any_significant" and counts) or (
        mode == "all_significant" and _is_last(node, child)
    ):
        node.outcome = Outcome("returned")
        begin_close(node, "significant", node.stop_within)


def _lost_as_bystander(node: Node, child: ChildState) -> None:
    """A temporary child does not survive a group's restart, or the loss of what it needs; unless
    an operator wanted it so, that counts as its end."""
    if node.spec.auto_shutdown == "all_significant" and not child.holds_any(AT_REST):
        _significant_ended(node, child, clean=False)


def _is_last(node: Node, child: ChildState) -> bool:
    return not any(
        other.spec.significant
        and other is not child
        and (other.alive or not other.holds_any(AT_REST))
        for other in node.children.values()
    )


def _end_the_tree(node: Node, child: ChildState, outcome: Outcome, phase: str, up: float) -> None:
    error = outcome.error
    verdict = Verdict("escalate", "process-level")
    _tell_crash(node, child, error, phase, up, verdict, len(node.effects))
    if not node.closing:
        give_up(node, child, "process-level")
    node.outcome = Outcome("crashed", error)
