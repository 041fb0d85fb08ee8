"""Each check of each law is seen to fail: a fault is planted into the machine, and found by that check.

A law without a check, or a check without a fault, fails here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from heapq import heappush
from typing import Any

import pytest
from msgspec import Struct

from supervisor._core import close, command, group, move, order, resume, step, verdict
from supervisor._core.child import ENDED, ChildState
from supervisor._core.effects import Cancel, Finish, ReasonChanged, Run, StuckRemain, TellStuck
from supervisor._core.node import Node
from supervisor._happenings import Returned, StopBegun, Verdict
from supervisor._words import HoldOwner, Outcome
from tests.explorer.checks import CHECKS
from tests.explorer.trees import families
from tests.explorer.walk import Broken, replay, walk

TREES = {name: tree for family in families().values() for name, tree in family.trees.items()}
LAWS = {1, 2, 3, 4, 5, 7, 8, 9, 11, 13, 15, 16, 17}
"""Those of docs/guarantees.md that the machine alone can keep, and 17: it refuses and fails cleanly."""

PAIR = "ab one_for_one free ready:-"
BOTH = "ab one_for_one free ready:ab"
EACH = "ab one_for_one b-each-a ready:a"
GROUP = "ab one_for_all free ready:-"
SLOW = "ab one_for_all free ready:ab"
AFTER = "after one_for_one"
SPARE = "fallback spare final one_for_one"
METERED = "one_for_one free"
ASIDE = "begin, crash a, time, crash a"
BOOT = "begin, ready a, ready b"
LATE = "begin, ready x, stop b, end b, stop x, end a, end x, start x, start b, ready x"
SUCH = {"a restart": "permanent", "b restart": "permanent", "quarantine": "on"}
"""What is replayed is of one tree."""

MOVER = (move, order)
"""Where the questions and the moves of one child are used."""

PLANTED: dict[str, list[Fault]] = {}


class Fault(Struct):
    where: tuple[Any, ...]
    name: str
    faulty: Any
    tree: str
    moves: str


def plant(
    check: str, where: Any, name: str, tree: str = PAIR, moves: str = ""
) -> Callable[[Any], Any]:
    """Have the decorated thing stand for ``where.name``, and ``check`` find it: in a walk of the
    tree, or in these moves."""

    places = where if isinstance(where, tuple) else (where,)

    def planted(faulty: Any) -> Any:
        PLANTED.setdefault(check, []).append(Fault(places, name, faulty, tree, moves))
        return faulty

    return planted


@plant("held", move, "_set_leaving", moves="begin, stop a")
@plant("group down", move, "_set_leaving", GROUP, "begin, crash a")
@plant("ready", step, "became_ready", BOTH)
@plant("needs", MOVER, "blocked_by", EACH)
@plant("stop under", move, "_pulled", EACH)
@plant("could run", Node, "wake", AFTER, LATE)
@plant("registered", move, "_register", EACH)
@plant("told once", verdict, "_tell_crash")
@plant("stop stands", verdict, "left_the_round")
@plant("nobody asks", move, "ask", moves="begin, stop a")
@plant("asked for", Node, "_give_up", METERED, "begin, crash a, stop a")
@plant("deadline", order, "arm")
@plant("spin", step, "_deadline")
@plant("sums", move, "_pull", EACH)
@plant("counted", command, "mark_healthy", moves=f"{ASIDE}, time, healthy a")
def nothing(*args: Any) -> None:
    """It does nothing, and finds nothing."""


# --- 1 to 3: lives, and their order ----------------------------------------------------------------


@plant("finish", order, "_tell_end")
def finishes_at_once(node: Node) -> None:
    node.finished = True
    node.effects.append(Finish(Outcome("cancelled")))


@plant("one life", MOVER, "start")
def runs_it_twice(node: Node, child: ChildState) -> None:
    start(node, child)
    node.effects.append(Run(child))


@plant("next life", MOVER, "start")
def skips_a_number(node: Node, child: ChildState) -> None:
    child.life += 1
    start(node, child)


@plant("no life", verdict, "left_the_round")
def cancels_the_dead(node: Node, child: ChildState) -> None:
    left_the_round(node, child)
    node.effects.append(Cancel(child))


@plant("forgotten runs", Node, "forget")
def runs_what_it_forgets(node: Node, child: ChildState) -> None:
    forget(node, child)
    child.life += 1
    node.effects.append(Run(child))


@plant("accounts", step, "became_stuck")
def takes_it_for_dead(node: Node, child: ChildState) -> None:
    child.state = "down"
    node.changed(child)


@plant("start in stop", MOVER, "wanted")
def wants_in_a_stop(node: Node, child: ChildState) -> bool:
    return not (child.holds or child.condemned or move.unbound(child))


@plant("overlap", MOVER, "blocked_by", EACH)
def sees_no_pullers(node: Node, child: ChildState) -> ChildState | None:
    found = blocked_by(node, child)
    return None if found is child else found


@plant("beside", MOVER, "blocked_by", SPARE)
def sees_no_fallback(node: Node, child: ChildState) -> ChildState | None:
    found = blocked_by(node, child)
    return None if found is child.fallback else found


@plant("start order", MOVER, "passed", BOTH)
def always(*args: Any) -> bool:
    return True


@plant("stop order", close, "stop_in_order")
def stops_all_at_once(node: Node, children: Any) -> None:
    node.stops = [tuple(child for child in children if child.alive)]


@plant("lives on", move, "unbound", EACH)
@plant("process", verdict, "is_process_level")
def never(*args: Any) -> bool:
    return False


@plant("stop told", step, "begin_close")
def stops_in_silence(node: Node, reason: str, within: float) -> None:
    close.begin_close(node, reason, within)
    node.effects = [effect for effect in node.effects if not isinstance(effect, StopBegun)]


@plant("order stands", order, "_next_start")
def never_boots(node: Node) -> bool:
    moved = next_start(node)
    if node.booted:
        node.booting, node.booted = True, False
    return moved


# --- 4 and 5: verdicts and delays ------------------------------------------------------------------

plant("over", order, "ENDED", GROUP)(ENDED | {"operator"})
plant("group delay", ChildState, "delayed", GROUP)(False)


@plant("verdict", verdict, "_failed")
def restarts_whatever_it_is(node: Node, child: ChildState, *what: Any) -> Verdict:
    return verdict._restart(node, child, *what)


@plant("no verdict", command, "_refuse")
def tells_of_an_end(node: Node, child: ChildState) -> None:
    refuse(node, child)
    node.effects.append(Returned(node.now, child.path, child.life, Verdict("none", "asked")))


@plant("group stands", group, "stop_in_order", SLOW, f"{BOOT}, crash a, end b, time, time")
def never_stops(node: Node, members: Any) -> None:
    node.stops, node.stopping = [()], 1


@plant("unasked", move, "unbound")
def takes_what_is_ready_for_lost(child: ChildState) -> bool:
    return child.state == "ready"


@plant("backoff", MOVER, "wanted")
def wants_what_is_held(node: Node, child: ChildState) -> bool:
    return not (child.condemned or node.closing or move.unbound(child))


@plant("permit", (resume, verdict), "delay_is_over", METERED)
def takes_no_permit(node: Node, child: ChildState, delay: HoldOwner) -> None:
    node.drop(child, delay)


@plant("goes back", step, "permitted", METERED, "begin, crash a, stop a, late a")
def keeps_what_is_late(node: Node, child: ChildState, number: int, permit: object) -> None:
    child.request = None
    node.drop(child, "permit")


# --- 7 to 9: what is told, cancellation, deadlines ---------------------------------------------------


@plant("told once", verdict, "_tell_crash")
def tells_twice(node: Node, child: ChildState, *told: Any) -> None:
    tell_crash(node, child, *told)
    tell_crash(node, child, *told)


@plant("foreign", verdict, "_judge")
def takes_it_for_a_return(node: Node, child: ChildState, outcome: Outcome, *what: Any) -> None:
    judge(node, child, Outcome("returned") if outcome.kind == "cancelled" else outcome, *what)


@plant("asked once", move, "ask")
def asks_twice(node: Node, child: ChildState, **how: Any) -> None:
    ask(node, child, **how)
    ask(node, child, **how)


@plant("stuck", step, "became_stuck")
def tells_of_stuck_twice(node: Node, child: ChildState) -> None:
    became_stuck(node, child)
    node.effects.append(TellStuck(child, 0))


@plant("only stuck", order, "_tell_end")
def says_that_all_are_stuck(node: Node) -> None:
    node.effects.append(StuckRemain())


# --- 13 to 17: costs, bounds, the process, refusals --------------------------------------------------


@plant("idle", order, "arm")
def rings_all_the_time(node: Node, child: ChildState) -> None:
    child.timer = child.since + 1
    node.timer_seq += 1
    heappush(node.timers, (child.timer, node.timer_seq, child))


@plant("kept", Node, "forget")
def keeps_it(node: Node, child: ChildState) -> None:
    forget(node, child)
    node.children[child.name] = child


@plant("sums", Node, "leave_quarantine", moves=f"{ASIDE}, time, time")
def lets_it_go_uncounted(node: Node, child: ChildState) -> None:
    child.probing = False


@plant("bounded", order, "arm")
def arms_a_hundred_times(node: Node, child: ChildState) -> None:
    arm(node, child)
    for _ in range(100):
        node.timer_seq += 1
        heappush(node.timers, (math.inf, node.timer_seq, child))


@plant("reasons", move, "judge", moves=ASIDE)
def tells_no_reason(node: Node, child: ChildState) -> None:
    judge_condition(node, child)
    node.effects = [effect for effect in node.effects if not isinstance(effect, ReasonChanged)]


@plant("refusal", command, "_refuse")
def touches_before_it_refuses(node: Node, child: ChildState) -> None:
    node.touch(child)
    refuse(node, child)


@plant("fails", move, "judge")
def fails(node: Node, child: ChildState) -> None:
    raise ZeroDivisionError


arm, next_start = order.arm, order._next_start
ask, blocked_by, start, judge_condition = move.ask, move.blocked_by, move.start, move.judge
became_stuck, judge = verdict.became_stuck, verdict._judge
left_the_round, tell_crash = verdict.left_the_round, verdict._tell_crash
forget, refuse = Node.forget, command._refuse


# --- the tests -------------------------------------------------------------------------------------


def table() -> Iterator[Any]:
    for check, (law, _) in CHECKS.items():
        for fault in PLANTED.get(check, ()):
            name = getattr(fault.faulty, "__name__", str(fault.faulty))
            yield pytest.param(check, fault, id=f"{law}, {check}: {fault.name} {name}")


def test_every_law_of_the_machine_is_checked() -> None:
    assert {law for law, _ in CHECKS.values()} == LAWS


def test_every_check_has_a_planted_fault() -> None:
    assert PLANTED.keys() == CHECKS.keys()


@pytest.mark.parametrize(("check", "fault"), list(table()))
def test_a_planted_fault_is_found_by_its_check(
    monkeypatch: pytest.MonkeyPatch, check: str, fault: Fault
) -> None:
    for where in fault.where:
        monkeypatch.setattr(where, fault.name, fault.faulty)

    with pytest.raises(Broken) as caught:
        if fault.moves:
            replay(TREES[fault.tree], fault.moves.split(", "), SUCH)
        else:
            walk(TREES[fault.tree], depth=5, cap=5000)

    assert caught.value.check == check, caught.value


@pytest.mark.parametrize("tree", [PAIR, BOTH, EACH, GROUP, SLOW, AFTER, SPARE])
def test_without_a_fault_the_laws_hold(tree: str) -> None:
    walk(TREES[tree], depth=5, cap=5000)

    for faults in PLANTED.values():
        for fault in faults:
            if fault.moves and fault.tree == tree:
                replay(TREES[tree], fault.moves.split(", "), SUCH)
