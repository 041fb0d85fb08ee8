"""A reference model of supervision: what docs/semantics.md and OTP's tables say, as plain rules.

It is to be read as the specification, so it is naive. Nothing is woken, queued or registered: after
everything that happens, *all* rules are tried on *all* children until none applies (``settle``).
Nothing is counted up or down: numbers are counted anew from the lives that a child has had
(``history``). What each rule stands for is said in the documents' words.

Only settled moments can be compared with the real tree, as there is no order within an instant.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.model import history
from tests.model.history import Life
from tests.model.plan import Plan

UP = ("starting", "ready")
LOST = ("operator", "finished", "declined", "stuck", "quarantine")
"""Holds with which a child is lost to those who need it: set aside, stopped, finished, declined,
stuck. A backoff is not among them, nor is a group restart."""
NOT_TO_RUN = ("operator", "finished", "declined", "stuck")
AT_REST = ("operator", "finished", "declined", "standby")
UNREADY = 30.0
"""Seconds after which a child that should be ready and is not degrades the tree."""


@dataclass
class Span:
    """A moment that chance decides, between two others. The real tree says which it is."""

    earliest: float
    latest: float


Until = float | Span | None


class Child:
    """A child: what it is (``state``), why it is not wanted up (``holds``), what it has lived."""

    def __init__(self, plan: Plan, branch: Branch, path: str, *, dynamic: bool = False) -> None:
        self.plan = plan
        self.branch = branch
        self.path = path
        self.dynamic = dynamic  # of start_soon: a peer without a place in the order
        self.state: Literal["down", "starting", "ready", "stopping", "stuck"] = "down"
        self.lives: list[Life] = []
        self.holds: dict[str, Until] = {}
        self.in_turn = True  # False while it waits for its place in a boot or group restart
        self.tried = False  # it has failed in this boot, so the younger ones wait no longer
        self.condemned = False  # this life is to end, and no hold says so: somebody's restart
        self.trial = False  # it was added just now, and is kept only if its first start succeeds
        self.again = False  # somebody wants a next life of it, whatever its restart type says
        self.probing = False  # set aside, or on probation after that
        self.removed = False
        self.critical = False  # see the function of that name
        self.fresh = False  # this life has yet to run its first line
        self.asked = 0.0  # when this life was asked to end
        self.answer: tuple[float, str] | None = None  # what its start will do, and when
        self.unready: float | None = None  # since when it should be ready and is not
        self.inner: Branch | None = None  # of a supervisor that has a life
        found = [(branch.named(name), binding) for name, binding in plan.needs]
        # Found once: one that is forgotten stays needed.
        self.needs = [(other, binding) for other, binding in found if other is not None]
        self.called_upon = 0  # lives of a fallback before it was last called upon: a new series
        self.primary: Child | None = None  # whose fallback this is
        self.fallback: Child | None = None
        if plan.fallback is not None:
            self.fallback = Child(plan.fallback, branch, f"{path}/fallback")
            self.fallback.primary = self
            self.fallback.holds["standby"] = None

    @property
    def life(self) -> Life:
        return self.lives[-1]

    @property
    def alive(self) -> bool:
        return self.state != "down"

    @property
    def up(self) -> bool:
        return self.state in UP

    @property
    def lasting(self) -> bool:
        """Whether it is kept however it ends: neither temporary nor of start_soon."""
        return self.plan.restart != "temporary"

    def held(self, *owners: str) -> bool:
        return any(owner in self.holds for owner in owners)


class Branch:
    """A life of a supervisor: its children in the order of the list, and what it is about."""

    def __init__(self, plan: Plan, path: str, seat: Child | None) -> None:
        self.plan = plan
        self.path = path
        self.seat = seat  # the child that this is a life of; the root has none
        self.children: list[Child] = []
        self.orphans: list[Child] = []  # fallbacks on their way down, whose primary was forgotten
        self.booting = True
        self.round: list[Child] = []  # those that start in order: in a boot, in a group restart
        self.stopping = False  # it is its turn to stop, or it stops of itself
        self.over = False
        self.told_stuck = False  # that only stuck children are left
        self.restarts: list[float] = []  # when each was decided, for the intensity
        self.offenders: list[str] = []  # the errors that it gives up with
        self.returned = False  # a significant child has ended it

    @property
    def closing(self) -> bool:
        """Whether it is stopping, or one above it is: nothing is started any more, and nothing
        judged. But its children go on until it is its own turn."""
        return self.stopping or (self.seat is not None and self.seat.branch.closing)

    @property
    def in_groups(self) -> bool:
        return self.plan.strategy != "one_for_one"

    def named(self, name: str) -> Child | None:
        return next((child for child in self.children if child.plan.name == name), None)

    def everyone(self) -> Iterator[Child]:
        """The children, each followed by its fallback, and by that one's."""
        for child in [*self.children, *self.orphans]:
            yield child
            fallback = child.fallback
            while fallback is not None:
                yield fallback
                fallback = fallback.fallback


class Model:
    """The tree. Its methods are what may happen; ``told`` gathers what there is to tell of it."""

    def __init__(self, plan: Plan, now: float = 0.0) -> None:
        self.now = now
        self.told: list[tuple[object, ...]] = []
        self.runs: dict[str, int] = defaultdict(
            int
        )  # lives of a path, over all of its supervisors'
        self.answers: dict[str, list[str]] = defaultdict(list)  # to the next starts of a path
        self.root = Branch(plan, plan.name, None)
        self.errors: dict[Child, str] = {}  # what its last life that crashed raised
        self.first_lines_last = False  # or first, among what happens in one instant
        self._populate(self.root)
        self.settle()

    # --- the rules --------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let all happen that follows now, then look who should be ready and is not."""
        happen = [self._run_a_first_line, self._let_something_happen]
        if self.first_lines_last:
            happen.reverse()
        while self._apply_a_rule() or any(something() for something in happen):
            pass
        for child in self.everyone():
            if not self._should_be_ready(child):
                child.unready = None
            elif child.unready is None:
                child.unready = self.now

    def _apply_a_rule(self) -> bool:
        rules = (
            self._stand_by,
            self._forget,
            self._stop,
            self._let_go_up,
            self._take_turns,
            self._start,
            self._conclude,
        )
        # Inner ones first: what ends within this instant has ended before others draw conclusions.
        branches = list(self.branches())
        return any(rule(branch) for branch in reversed(branches) for rule in rules)

    def _stop(self, branch: Branch) -> bool:
        """Ask one child to end that is to go down and may."""
        for child in branch.everyone():
            if self.leaving(child) and self._may_stop(child):
                self._ask(child)
                return True
        return False

    def leaving(self, child: Child) -> bool:
        """Whether it has a life that is to end: it is held, or has lost what it needs."""
        return child.up and (
            bool(child.holds)
            or child.condemned
            or child.branch.closing
            or any(self._lost(other, binding) for other, binding in child.needs)
        )

    def _lost(self, other: Child, binding: str) -> bool:
        """Whether one that needs this child goes down now.

        With "each" whenever it does not serve. With "final" when it is set aside, stopped, finished,
        declined, stuck or gone; or when it goes down because of what it needs itself, so that a
        closure goes down whole, first the farthest.
        """
        if self.serving(other):
            return False
        if binding == "each" or other.removed:
            return True
        if self._stood_in_for(other):
            return False
        return other.held(*LOST) or any(
            self._lost(further, "final") or (other.alive and self._lost(further, further_binding))
            for further, further_binding in other.needs
        )

    def _stood_in_for(self, child: Child) -> bool:
        """Whether its fallback runs, is about to, or is just being restarted."""
        stand_in = child.fallback
        if stand_in is None or not child.held("quarantine") or child.held(*AT_REST):
            return False
        lasts = not stand_in.held(*LOST)
        return lasts or self._stood_in_for(stand_in)

    def serving(self, child: Child) -> bool:
        """Whether it is ready and to stay so, or its fallback is: what needs it may run."""
        ends = child.inner is not None and child.inner.closing
        if child.state == "ready" and not self.leaving(child) and not ends:
            return True
        return child.fallback is not None and self.serving(child.fallback)

    def _may_stop(self, child: Child) -> bool:
        """A child may end when what needs it is down; in a group restart and when its supervisor
        stops, the younger ones too: the listed one at a time in reverse, and the children of
        start_soon before them, together."""
        if child.branch.closing and not child.branch.stopping:
            return False
        before = set(self._dependents(child))
        behind = set(self._behind(child))
        if child.branch.stopping:
            before |= behind
        elif child.held("group"):
            before |= {other for other in behind if other.held("group")}
        return not any(other is not child and self._going_down(other) for other in before)

    def _behind(self, child: Child) -> Iterator[Child]:
        place = child.branch.children.index(child.primary or child)
        for at, other in enumerate(child.branch.children):
            if not child.dynamic and (other.dynamic or at > place):
                yield other
                if other.fallback is not None:
                    yield other.fallback

    def _going_down(self, child: Child) -> bool:
        """Whether it has a life that is on its way down. A stuck one has lost its place."""
        return child.state == "stopping" or self.leaving(child)

    def _start(self, branch: Branch) -> bool:
        """Start one child that is wanted up and may."""
        for child in branch.everyone():
            if not child.alive and not child.removed and self._may_start(child):
                self._begin(child)
                return True
        return False

    def _may_start(self, child: Child) -> bool:
        """It is wanted, it is its turn, all that it waits for is ready, and no life of what needs it
        is still on its way down, nor one of its fallback."""
        return (
            not child.holds
            and not child.branch.closing
            and child.in_turn
            and all(self.serving(other) for other, _ in child.needs)
            and all(self._passed(other) for other in self._after(child))
            and not any(self._going_down(other) for other in self._dependents(child))
            and (child.fallback is None or child.fallback.state in ("down", "stuck"))
        )

    def _passed(self, elder: Child) -> bool:
        """Whether one that starts after this child need wait for it no longer: it is ready, or is
        not to run, or under one_for_one was tried once or waits for something that was."""
        if elder.state in ("ready", "stuck") or elder.held(*NOT_TO_RUN) or elder.removed:
            return True
        if not elder.branch.in_groups and (elder.tried or elder.held("quarantine")):
            return True
        waits = [other for other, _ in elder.needs if not self.serving(other)]
        return elder.state == "down" and any(self._passed(other) for other in waits)

    def _let_go_up(self, branch: Branch) -> bool:
        """Take the hold off one member of a group that is down, once its delay is over. Members that
        had finished or declined run again."""
        if any(child.held("group") and self._going_down(child) for child in branch.children):
            return False
        for child in branch.children:
            if child.held("group") and not self._delayed(branch, child):
                for owner in ("group", "finished", "declined"):
                    child.holds.pop(owner, None)
                return True
        return False

    def _delayed(self, branch: Branch, child: Child) -> bool:
        """A group waits for the longest delay of its members; but under rest_for_one for a
        quarantine only those at and after it. Nobody waits for one that an operator stopped."""
        group = [other for other in branch.children if other.held("group")]
        waits = [other for other in group if not other.held(*AT_REST)]
        if any(other.held("backoff") for other in waits):
            return True
        if branch.plan.strategy == "rest_for_one":
            elders = group[: group.index(child) + 1]
            waits = [other for other in waits if other in elders]
        return any(other.held("quarantine") for other in waits)

    def _take_turns(self, branch: Branch) -> bool:
        """Give the next child its turn in a boot or group restart: when the one before it in the
        list need not be waited for."""
        # Whose wait is over is waited for no longer, whatever becomes of him later.
        branch.round = [
            child
            for child in branch.round
            if not (child.removed or (child.in_turn and self._passed(child)))
        ]
        queue = [child for child in branch.round if not child.in_turn]
        for child in queue:
            before = branch.round[: branch.round.index(child)]
            waits = any(not (other.dynamic or other.held("group")) for other in before)
            if not (waits or child.held("group")):
                child.in_turn = True
                return True
        return not queue and not branch.closing and self._end_round(branch)

    def _end_round(self, branch: Branch) -> bool:
        if any(not child.dynamic for child in branch.round):
            return False
        branch.round.clear()
        if not branch.booting:
            return False
        branch.booting = False
        self.tell("Booted", branch.path)
        if branch.seat is not None:
            self._become_ready(branch.seat)
        return True

    def _stand_by(self, branch: Branch) -> bool:
        """A fallback runs while its primary is set aside and down, and is down otherwise."""
        for child in branch.everyone():
            primary = child.primary
            if primary is None:
                continue
            wanted = primary.held("quarantine") and not primary.held(*AT_REST)
            wanted = wanted and not (primary.alive or primary.removed or branch.closing)
            if wanted == child.held("standby"):
                if wanted:
                    del child.holds["standby"]
                    child.called_upon = len(child.lives)
                else:
                    child.holds["standby"] = None
                return True
        return False

    def _forget(self, branch: Branch) -> bool:
        """Forget one child that nothing is to bring back."""
        for child in branch.orphans:
            if not child.alive:
                branch.orphans.remove(child)
                self._go_with(child)
                return True
        for child in branch.children:
            if not child.alive and self._is_over(child):
                self._remove(child)
                return True
        return False

    def _is_over(self, child: Child) -> bool:
        over = bool(child.lives) or child.held("operator")
        if child.trial and over:
            return True
        if child.again:
            return False
        if child.plan.restart == "temporary" and over:
            return True
        return child.dynamic and child.held(*NOT_TO_RUN)

    def _conclude(self, branch: Branch) -> bool:
        """A supervisor that stops has ended when none of its children has a life."""
        if not branch.stopping or branch.over:
            return False
        lives = {child.state for child in branch.everyone() if child.alive}
        if lives == {"stuck"} and not branch.told_stuck:
            branch.told_stuck = True
            self.tell("Ended", branch.path)
        if lives:
            return False
        branch.over = True
        self.tell("Ended", branch.path)
        seat = branch.seat
        if seat is not None:
            if branch.offenders:
                self._end(seat, "crashed", *branch.offenders)
            else:
                self._end(seat, "returned" if branch.returned else "cancelled")
        return True

    # --- lives ------------------------------------------------------------------------------------

    def _begin(self, child: Child) -> None:
        life = Life(len(child.lives) + 1, self.now)
        child.lives.append(life)
        child.state = "starting"
        child.again = False
        child.condemned = False
        self.tell("Started", child.path, life.number, child.probing)
        if child.plan.children is not None:
            child.inner = Branch(child.plan, child.path, child)
            self._populate(child.inner)
            return
        child.fresh = True
        if not child.plan.reports:
            self._become_ready(child)

    def _run_a_first_line(self) -> bool:
        """Let a life do what it does at its start. That is after all that follows from its being
        spawned, so one that is asked to end in the same instant does nothing at all."""
        for child in self.everyone():
            if child.fresh and child.up:
                child.fresh = False
                self.runs[child.path] += 1
                answer = self.answers[child.path].pop(0) if self.answers[child.path] else "open"
                if answer == "open":
                    self._become_ready(child)
                elif answer != "wait":
                    child.answer = (self.now + thinking(child.path), answer)
                return True
        return False

    def _become_ready(self, child: Child) -> None:
        if child.state != "starting":
            return
        child.state = "ready"
        child.trial = False
        child.life.ready = self.now
        if child.plan.reports or child.plan.children is not None:
            self.tell("Ready", child.path, child.life.number)

    def _ask(self, child: Child) -> None:
        child.state = "stopping"
        child.asked = self.now
        child.answer = None
        self.tell("StopAsked", child.path, child.life.number)
        if child.inner is not None:
            self._close(child.inner)

    def _end_asked(self, child: Child) -> None:
        if child.plan.stop_raises and not child.fresh:
            self._end(child, "crashed", self.error(child))
        else:
            self._end(child, "cancelled")

    def error(self, child: Child) -> str:
        """What this life raises when it crashes; each life has its own."""
        return f"{child.path} {self.runs[child.path]}"

    def _end(self, child: Child, how: str, *errors: str) -> None:
        """A life has ended; judge it, if nobody had asked it to and it was not to go down anyway."""
        asked, phase = child.state in ("stopping", "stuck"), child.state
        expected = asked or self.leaving(child)
        child.state = "down"
        child.condemned = False
        child.fresh = False
        child.answer = None
        child.inner = None
        life = child.life
        life.ended = self.now
        if how == "crashed" and not expected:
            self._judge(child, phase, *errors)
        elif how == "crashed":
            self.tell("Crashed", child.path, life.number, phase, "none", *errors)
        elif how == "declined" and not expected:
            self.tell("Declined", child.path, life.number)
            child.trial = False
            self._finish(child, "declined")
        elif how == "returned" and not expected:
            self._judge_return(child, phase)
        else:
            self.tell("Stopped", child.path, life.number)
            ended = how == "returned" and not asked and not child.again
            if ended and child.plan.restart == "transient" and child.primary is None:
                self._finish(child, "finished")  # it was to go down, but has ended by itself
                self._significant(child, clean=True)
        lost = child.plan.restart == "temporary" and not child.again and not child.held(*AT_REST)
        if expected and lost:
            self._significant(child, clean=False, bystander=True)

    def _judge_return(self, child: Child, phase: str) -> None:
        """Permanent: restarted. Transient: finished. Temporary: forgotten."""
        life, told = child.life, len(self.told)
        life.judged = self.now
        if child.plan.restart == "permanent" or child.primary is not None:
            self._restart(child, phase, [])
        elif child.plan.restart == "transient":
            life.verdict = "finish"
            self._finish(child, "finished")
        else:
            life.verdict = "forget"
            child.probing = False
        self.told.insert(told, self.event("Returned", child.path, life.number, life.verdict))
        if life.verdict in {"finish", "forget"}:
            self._significant(child, clean=True)

    def _finish(self, child: Child, owner: str) -> None:
        child.holds[owner] = None
        child.probing = False

    def _judge(self, child: Child, phase: str, *errors: str) -> None:
        """A crash, a failed start or a missed deadline. Temporary: forgotten. Others: restarted."""
        life = child.life
        life.judged = self.now
        self.errors[child] = errors[0]
        told = len(self.told)
        if child.plan.restart == "temporary" and child.primary is None:
            life.verdict = "forget"
            child.probing = False
        else:
            life.crashed = True
            self._restart(child, phase, list(errors))
        event = self.event("Crashed", child.path, life.number, phase, life.verdict, *errors)
        self.told.insert(told, event)
        if life.verdict == "forget" and not child.trial:
            self._significant(child, clean=False)

    def _restart(self, child: Child, phase: str, errors: list[str]) -> None:
        """Decide when it comes back, or that its supervisor gives up."""
        branch, life, plan = child.branch, child.life, child.plan
        if child.trial:
            life.verdict = "forget"  # it has not been ready: its first start has failed
            return
        child.tried = True
        if branch.plan.strict and branch.booting and phase == "starting" and not child.dynamic:
            self._give_up(child, errors)
            return
        if child.primary is None and self._over_intensity(branch):
            self._give_up(child, errors)
            return
        life.verdict = "restart"
        if errors and plan.aside is not None:
            count = history.crashes(child.lives, plan.aside.within, self.now)
            if child.probing or count >= plan.aside.crashes:
                if child.critical:
                    self._give_up(child, errors)
                    return
                if child.probing or child.primary is not None or not self._half_aside(branch):
                    self._set_aside(child)
                else:
                    self._back_off(child, plan.delay.cap)
                self._restart_group(child)
                return
        lives = child.lives[child.called_upon :]
        number = history.attempt(lives, plan.delay.reset_after, self.now)
        self._back_off(child, history.delay(plan.delay, number), jitter=number > 1)
        self._restart_group(child)

    def _over_intensity(self, branch: Branch) -> bool:
        """Every restart counts, a group's once; one more than the limit within the time is too many."""
        if branch.plan.intensity is None:
            return False
        limit, within = branch.plan.intensity
        branch.restarts.append(self.now)
        return sum(self.now - within < moment for moment in branch.restarts) > limit

    def _half_aside(self, branch: Branch) -> bool:
        """Whether one more would be more than half of the siblings; one may always be aside."""
        aside = sum(child.probing for child in branch.children)
        return aside + 1 > max(1, len(branch.children) // 2)

    def _set_aside(self, child: Child) -> None:
        policy = child.plan.aside
        assert policy is not None
        child.life.verdict = "quarantine"
        times = history.quarantines(child.lives, policy.within, self.now)
        longest = history.grown(policy.open, policy.factor, times - 1, policy.cap)
        child.probing = True
        child.holds["quarantine"] = Span(self.now + 0.8 * longest, self.now + longest)
        count = history.crashes(child.lives, policy.within, self.now)
        self.tell("Quarantined", child.path, times, min(count, policy.crashes))

    def _back_off(self, child: Child, seconds: float, *, jitter: bool = True) -> None:
        if not seconds:
            return
        until: Until = self.now + seconds
        if jitter and child.plan.delay.jitter == "full":
            until = Span(self.now, self.now + seconds)
        child.holds["backoff"] = until

    def _restart_group(self, cause: Child) -> None:
        """Under one_for_all everybody goes down and comes back, under rest_for_one those after it."""
        branch = cause.branch
        if not branch.in_groups or cause.primary is not None:
            return
        members = branch.children
        if branch.plan.strategy == "rest_for_one":
            # One that is under way, and is not yet on its way up, merges with this one.
            eldest = next(child for child in members if child is cause or child.held("group"))
            members = members[members.index(eldest) :]
        for child in members:
            child.holds["group"] = None
            child.in_turn = False
        among = {*branch.round, *members}
        branch.round = [child for child in branch.children if child in among]
        self.tell("GroupRestarted", branch.path, cause.path)

    def _significant(self, child: Child, *, clean: bool, bystander: bool = False) -> None:
        """The supervisor may end well when a significant child has ended by itself: a transient one
        by returning, a temporary one in whatever way."""
        branch, mode = child.branch, child.branch.plan.auto_shutdown
        if not child.plan.significant or branch.closing or mode == "never":
            return
        others = [
            other for other in branch.children if other.plan.significant and other is not child
        ]
        last = not any(other.alive or not other.held(*AT_REST) for other in others)
        if last if mode == "all_significant" else not bystander:
            branch.returned = True
            self._close(branch)

    # --- supervisors ------------------------------------------------------------------------------

    def _populate(self, branch: Branch) -> None:
        for plan in branch.plan.children or ():
            child = Child(plan, branch, f"{branch.path}/{plan.name}")
            child.critical = critical(plan, branch.plan.children or ())
            child.in_turn = False
            branch.children.append(child)
        branch.round = list(branch.children)

    def _give_up(self, child: Child, errors: list[str]) -> None:
        child.life.verdict = "escalate"
        child.branch.offenders = errors or ["UnexpectedReturn"]
        self.tell("Escalated", child.branch.path, child.path)
        self._close(child.branch)

    def _close(self, branch: Branch) -> None:
        if not branch.stopping:
            branch.stopping = True
            branch.booting = False
            self.tell("StopBegun", branch.path)

    def _remove(self, child: Child) -> None:
        child.branch.children.remove(child)
        self._go_with(child)

    def _go_with(self, child: Child) -> None:
        """Whoever is forgotten takes his fallback with him, once that is down."""
        child.removed = True
        self.tell("Deleted", child.path)
        if child.fallback is not None and child.fallback.alive:
            child.branch.orphans.append(child.fallback)
        elif child.fallback is not None:
            self._go_with(child.fallback)

    # --- who is related to whom -------------------------------------------------------------------

    def branches(self) -> Iterator[Branch]:
        """The supervisors that have a life, outer ones first."""
        found = [self.root]
        while found:
            branch = found.pop(0)
            yield branch
            found += [child.inner for child in branch.children if child.inner is not None]

    def closing(self) -> bool:
        """Whether any supervisor is stopping."""
        return any(branch.closing for branch in self.branches())

    def everyone(self) -> Iterator[Child]:
        for branch in self.branches():
            yield from branch.everyone()

    def _after(self, child: Child) -> list[Child]:
        found = [child.branch.named(name) for name in child.plan.after]
        return [other for other in found if other is not None]

    def _dependents(self, child: Child) -> list[Child]:
        while child.primary is not None:
            child = child.primary
        return [
            other
            for other in child.branch.children
            if any(needed is child for needed, _ in other.needs)
        ]

    # --- time -------------------------------------------------------------------------------------

    def next_due(self) -> float:
        """The next moment at which something happens by itself."""
        return min(
            (when for child in self.everyone() for when, _ in self._dues(child)), default=math.inf
        )

    def advance(self, to: float) -> None:
        """Let time pass, and what becomes due happen in the order of time."""
        while (when := self.next_due()) <= to:
            self.now = when
            self.settle()
        self.now = to

    def _let_something_happen(self) -> bool:
        for child in self.everyone():
            for when, what in self._dues(child):
                if when <= self.now and what != "unready":
                    self._happen(child, what)
                    return True
        return False

    def _dues(self, child: Child) -> Iterator[tuple[float, str]]:
        for owner, until in child.holds.items():
            if until is not None:
                yield (until.latest if isinstance(until, Span) else until), owner
        if child.answer is not None:
            yield child.answer[0], "answer"
        if (
            child.state == "starting"
            and child.plan.start_timeout is not None
            and not self.leaving(child)
        ):
            yield child.life.began + child.plan.start_timeout, "too late"
        if child.state == "stopping" and child.inner is None:
            yield child.asked + child.plan.deadline, "stuck"
        if child.state in ("stopping", "stuck") and child.inner is None:
            # All that are asked to end at once are asked before the first of them has ended.
            yield child.asked + (0 if child.fresh else child.plan.stop_takes), "end"
        policy = child.plan.aside
        on_probation = child.probing and child.state == "ready" and not self.leaving(child)
        if on_probation and policy is not None:
            assert child.life.ready is not None
            yield child.life.ready + policy.probe, "recovered"
        if child.unready is not None and child.unready + UNREADY > self.now:
            yield child.unready + UNREADY, "unready"

    def _happen(self, child: Child, what: str) -> None:
        if what in ("backoff", "quarantine"):
            del child.holds[what]
        elif what == "answer":
            assert child.answer is not None
            answer = child.answer[1]
            if answer == "decline":
                self.declines(child)
            else:
                self.crash(child)
        elif what == "too late":
            self._miss_start(child)
        elif what == "end":
            self._end_asked(child)
        elif what == "stuck":
            self._get_stuck(child)
        elif what == "recovered":
            child.probing = False
            self.tell("Recovered", child.path, child.life.number)

    def _miss_start(self, child: Child) -> None:
        """A start that takes too long is a failed start: judged at once, and brought down."""
        child.condemned = True
        self._judge(child, "starting", "StartTimedOut")

    def _get_stuck(self, child: Child) -> None:
        child.state = "stuck"
        child.holds["stuck"] = None
        self.tell("StopTimedOut", child.path, child.life.number)
        if child.critical and not child.branch.closing:
            child.branch.offenders = ["Stuck"]
            self.tell("Escalated", child.branch.path, child.path)
            self._close(child.branch)

    def _should_be_ready(self, child: Child) -> bool:
        return not child.branch.closing and not child.held(*AT_REST) and child.state != "ready"

    # --- what the components do -------------------------------------------------------------------

    def crash(self, child: Child) -> None:
        """Its life raises."""
        self._end(child, "crashed", self.error(child))
        self.settle()

    def returns(self, child: Child) -> None:
        self._end(child, "returned")
        self.settle()

    def declines(self, child: Child) -> None:
        """It raises Decline; once it has reported that it is ready, that is a crash."""
        if child.plan.reports and child.state == "ready":
            self._end(child, "crashed", "Decline")
        else:
            self._end(child, "declined")
        self.settle()

    def reports(self, child: Child) -> None:
        self._become_ready(child)
        self.settle()

    def says_healthy(self, child: Child) -> None:
        child.life.healthy = True
        if child.probing and child.state == "ready":
            child.probing = False
            self.tell("Recovered", child.path, child.life.number)
        self.settle()

    # --- commands: what they answer is the name of the exception, or "" ------------------------------

    def start(self, child: Child) -> str:
        if child.branch.closing:
            return "Closing"
        if child.up and not self.leaving(child):
            return "AlreadyRunning"
        if child.state == "stuck":
            return "Stuck"
        self._let_go(child)
        self.settle()
        return ""

    def restart(self, child: Child) -> str:
        if child.branch.closing:
            return "Closing"
        if child.state == "stuck":
            return "Stuck"
        self._let_go(child)
        child.condemned = child.alive
        self.settle()
        return ""

    def _let_go(self, child: Child) -> None:
        for owner in (*NOT_TO_RUN, "backoff", "quarantine"):
            child.holds.pop(owner, None)
        child.again = True

    def stop(self, child: Child) -> str:
        if child.branch.closing:
            return "Closing"
        child.holds.pop("backoff", None)
        child.holds["operator"] = None
        child.again = False
        self.settle()
        return ""

    def release(self, child: Child) -> str:
        if child.branch.closing:
            return "Closing"
        child.holds.pop("backoff", None)
        child.holds.pop("quarantine", None)
        self.settle()
        return ""

    def delete(self, child: Child) -> str:
        if child.branch.closing:
            return "Closing"
        if child.alive:
            return "AlreadyRunning"
        if not child.held(*AT_REST):
            return "Restarting"
        if self._dependents(child):
            return "Refused"
        self._remove(child)
        self.settle()
        return ""

    def add(self, branch: Branch, plan: Plan, dynamic: bool) -> str:
        """Add a child behind the others. One of start_soon starts at once; a listed one is on trial,
        and
        takes its place behind the others if they are just being started in order."""
        if branch.closing:
            return "Closing"
        there = branch.named(plan.name)
        if there is not None:
            return "AlreadyRunning" if there.alive else "AlreadyPresent"
        limit = branch.plan.max_children
        if limit is not None and len(branch.children) >= limit:
            return "TooManyChildren"
        child = Child(plan, branch, f"{branch.path}/{plan.name}", dynamic=dynamic)
        child.trial = not dynamic
        under_way = any(
            other.in_turn and not self._passed(other) for other in branch.round if not other.dynamic
        )
        if under_way and not dynamic:
            child.in_turn = False
            branch.round.append(child)
        branch.children.append(child)
        self.tell("Added", child.path)
        self.settle()
        return ""

    def stop_all(self) -> None:
        self._close(self.root)
        self.settle()

    # --- what there is to see ---------------------------------------------------------------------

    def event(self, kind: str, path: str, *more: object) -> tuple[object, ...]:
        return (round(self.now, 6), kind, path, *more)

    def tell(self, kind: str, path: str, *more: object) -> None:
        self.told.append(self.event(kind, path, *more))

    def reasons(self) -> set[tuple[str, str]]:
        """Why the tree is not healthy."""
        found: set[tuple[str, str]] = set()
        for child in self.everyone():
            if child.state == "stuck":
                found.add((child.path, "stuck"))
            elif child.held(*AT_REST) or child.branch.closing:
                pass  # finished, declined or stopped by somebody: nobody misses it
            elif child.fallback is not None and child.fallback.state == "ready":
                found.add((child.path, "on its fallback"))
            elif child.probing:
                found.add((child.path, "quarantined"))
            elif child.unready is not None and child.unready + UNREADY <= self.now:
                found.add((child.path, "not ready"))
        if self.root.offenders:
            found.add((self.root.path, "failed"))
        return found


def thinking(path: str) -> float:
    """How long a start of that path takes to fail or decline: never quite as long as another's, so
    that of two no order has to be known."""
    return 0.1 + sum(ord(letter) for letter in path) % 97 / 1000


def critical(plan: Plan, siblings: Sequence[Plan]) -> bool:
    """What a critical child needs is critical too, and so is a supervisor that has a critical child.
    That is a matter of the declaration."""
    inside = plan.children or ()
    dependents = [other for other in siblings if plan.name in dict(other.needs)]
    return (
        plan.critical
        or any(critical(child, inside) for child in inside)
        or any(critical(other, siblings) for other in dependents)
    )
