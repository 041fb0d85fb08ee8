"""Plays the same steps to the real tree and to the model, and compares them after each."""

from __future__ import annotations

import math
from collections import Counter
from copy import deepcopy
from typing import Any

import anyio
from anyio import current_time

from supervisor import (
    Added,
    Booted,
    ChildView,
    Crashed,
    Declined,
    Deleted,
    Ended,
    Escalated,
    Event,
    GroupRestarted,
    Quarantined,
    Ready,
    Recovered,
    Returned,
    Started,
    StopAsked,
    StopBegun,
    Stopped,
    StopTimedOut,
)
from supervisor.testing import settle
from tests.model.draw import SECONDS, STEPS
from tests.model.model import Branch, Child, Model, Span
from tests.model.plan import Delay, Plan, Step
from tests.model.world import World

EPSILON = 1e-6
MOST_WAITS = 400
"""In one step of waiting so many things become due, at most: a crash loop ends somewhere."""


class Differs(AssertionError):
    """The real tree and the model are not of one mind."""


class Drive:
    """One run: a tree, its model, and the steps so far."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.steps: list[Step] = []
        self.number = 0
        self.added = 0
        self.other: Model | None = None
        """What would have come of the last step in the other order; see ``_model``."""

    async def run(self, choices: list[tuple[int, int, int]], end: str) -> None:
        before = len(anyio.get_running_tasks())
        async with anyio.create_task_group() as tasks:
            try:
                await self._play(tasks, choices, end)
            except Exception as error:
                error.add_note(self.story())
                tasks.cancel_scope.cancel()
                raise
        assert len(anyio.get_running_tasks()) == before, "a task is left"

    async def _play(self, tasks: Any, choices: list[tuple[int, int, int]], end: str) -> None:
        await self._open(tasks)
        for choice in choices:
            if self.model.root.closing:  # of itself: go on with another tree of that plan
                await self.finish(end)
                await self._open(tasks)
            await self.step(*choice)
        await self.finish(end)

    async def _open(self, tasks: Any) -> None:
        self.steps.append(Step("open"))
        self.events_seen: list[Event] = []
        self.world = World(self.plan)
        self.model = Model(self.plan, current_time())
        await self.world.open(tasks)
        self.compare()

    def story(self) -> str:
        """The tree and the steps, for whoever has to find out."""
        said = [str(step) for step in self.steps if step.name != "nothing"]
        return "\n".join(["the tree:", str(self.plan), "the steps:", *said])

    # --- steps ------------------------------------------------------------------------------------

    async def step(self, what: int, which: int, amount: int) -> None:
        name = STEPS[what]
        if name == "nothing":
            return
        if name in ("wait", "due"):
            due = self.model.next_due()
            waits = SECONDS[amount]
            if name == "due" and due != math.inf:
                waits = due - current_time()
            self.steps.append(Step(f"wait [{name}]", seconds=waits))
            await self.wait(current_time() + waits)
            return
        children = [child for child in self.model.everyone() if self._suits(child, name)]
        if name in ("add", "start_soon"):
            await self._add(which, amount, dynamic=name == "start_soon")
        elif children:
            child = children[which % len(children)]
            self.steps.append(Step(name, child.path))
            await self._do(child, name)
            self.compare()

    def _suits(self, child: Child, name: str) -> bool:
        leaf = child.plan.children is None
        if _orphan(child):
            return False
        if name in ("crash", "return"):
            return leaf and child.up and child.answer is None
        if name == "report":
            return leaf and child.state == "starting" and child.answer is None
        if name == "healthy":
            return leaf and child.state == "ready" and child.answer is None
        if name.endswith("next"):
            return leaf and len(self.model.answers[child.path]) < 2
        return child.primary is None

    async def _do(self, child: Child, name: str) -> None:
        model, world = self.model, self.world
        actor = world.actors.get(child.path)
        if name.endswith(" next"):
            assert actor is not None
            answer = {"fail next": "crash", "decline next": "decline", "wait next": "wait"}[name]
            actor.answers.append(answer)
            model.answers[child.path].append(answer)
        elif name in ("crash", "return", "report", "healthy"):
            assert actor is not None
            actor.say(name)
            act = {"return": "returns", "report": "reports", "healthy": "says_healthy"}
            self._model(act.get(name, name), child)
            await settle()
        else:
            await self._command(child, name)

    async def _command(self, child: Child, name: str) -> None:
        self.number += 1
        path = child.path
        expected = self._model(name, child)
        await self.world.command(self.number, path, name)
        self._answered(expected)

    def _answered(self, expected: str) -> None:
        answer = self.world.answers.get(self.number, "(none yet)")
        if expected and answer != expected:
            raise Differs(f"refused with {answer}, not with {expected}")
        refusals = {"AlreadyRunning", "AlreadyPresent", "Restarting", "TooManyChildren", "Closing"}
        if not expected and answer in refusals and not self.model.closing():
            raise Differs(f"refused with {answer}")

    async def _add(self, which: int, amount: int, *, dynamic: bool) -> None:
        branches = list(self.model.branches())
        branch = branches[which % len(branches)]
        plan = self._new(branch, amount, dynamic=dynamic)
        self.number += 1
        self.steps.append(Step("start_soon" if dynamic else "add", branch.path, plan=plan))
        expected = self._model("add", branch, plan, dynamic)
        await self.world.add(self.number, branch.path, plan, dynamic=dynamic)
        self._answered(expected)
        self.compare()

    def _new(self, branch: Branch, amount: int, *, dynamic: bool) -> Plan:
        self.added += 1
        unit = 1.4 + self.added * 0.0119
        elders = [child.plan for child in branch.children if not child.dynamic]
        needs: tuple[Any, ...] = ()
        if amount % 4 == 3 and elders:
            elder = elders[amount % len(elders)]
            each = amount > 4 and elder.children is None
            needs = ((elder.name, "each" if each else "final"),)
        return Plan(
            f"n{self.added}",
            restart=("transient", "permanent", "temporary")[amount % 3],
            needs=needs,
            delay=Delay(base=1.09 * unit, cap=7.03 * unit),
            reports=amount % 2 == 1,
            stop_takes=1.31 * unit if amount > 5 else 0.0,
        )

    async def wait(self, until: float) -> None:
        """Let time pass, looking at every moment at which something becomes due."""
        for _ in range(MOST_WAITS):
            due = self.model.next_due()
            if due > until:
                break
            await self.world.wait(due)
            self._model("advance", current_time())
            self.compare()
            if self.model.root.over:
                return
        await self.world.wait(max(until, current_time()))
        self._model("advance", current_time())
        self.compare()

    async def finish(self, end: str) -> None:
        """Stop the tree, if it has not ended by itself, and look at what it leaves."""
        if not self.model.root.closing:
            self.steps.append(Step(end))
            self._model("stop_all")
            await self.world.close(end)
            self.compare()
        for _ in range(MOST_WAITS):
            if self.model.root.over:
                break
            await self.wait(self.model.next_due())
        assert self.model.root.over
        await self.world.wait_closed()
        self._failed_alike()
        self._told_once()

    def _model(self, act: str, *args: Any) -> str:
        """Have the same happen to the model, and in the other order to a copy of it, where a life may
        begin and another one end in one instant: whether the first line of the one is before what
        follows from the end of the other is the scheduler's."""
        if _may_tie(self.plan):
            self.other, others = deepcopy((self.model, args))
            self.other.first_lines_last = True
            getattr(self.other, act)(*others)
        return getattr(self.model, act)(*args) or ""

    # --- comparing --------------------------------------------------------------------------------

    def compare(self) -> None:
        other, self.other = self.other, None
        try:
            self._compare()
        except Differs:
            if other is None:
                raise
            other.first_lines_last = False
            self.model = other
            self._compare()

    def _compare(self) -> None:
        self._same_runs()
        self._same_children()
        self._same_events()
        self._same_condition()

    def _same_runs(self) -> None:
        """The component of each path was called as often."""
        for path, actor in self.world.actors.items():
            if actor.runs != self.model.runs[path]:
                raise Differs(f"{path} ran {actor.runs} times, not {self.model.runs[path]}")

    def _same_children(self) -> None:
        root = self.world.tree.snapshot().root
        real = {view.path: view for view in root.walk() if view is not root}
        model = {child.path: child for child in self.model.everyone() if not _orphan(child)}
        if not self.model.root.over and real.keys() != model.keys():
            raise Differs(f"children: {sorted(real)}, not {sorted(model)}")
        for path, child in model.items():
            if path in real:
                self._same_child(real[path], child)

    def _same_child(self, view: ChildView, child: Child) -> None:
        states = {child.state}
        if child.inner is not None and child.inner.closing:
            states.add("stopping")
        if view.state not in states:
            raise Differs(f"{child.path} is {view.state}, not {child.state}")
        if view.life != len(child.lives):
            raise Differs(f"{child.path} has life {view.life}, not {len(child.lives)}")
        if child.branch.closing:
            return
        if view.probe != child.probing:
            raise Differs(f"{child.path}: on probation: {view.probe}, not {child.probing}")
        real = {hold.owner: hold.until for hold in view.holds}
        if child.alive:
            # A delay that is over while the life is still on its way down delays nothing.
            now = current_time()
            real = {owner: until for owner, until in real.items() if until is None or until > now}
        if real.keys() != child.holds.keys():
            raise Differs(f"{child.path} is held by {[*real]}, not {[*child.holds]}")
        for owner, until in child.holds.items():
            actual = real[owner]  # type: ignore[index]
            if isinstance(until, Span):
                assert actual is not None
                if not until.earliest - EPSILON <= actual <= until.latest + EPSILON:
                    raise Differs(f"{child.path}: {owner} until {actual}, not within {until}")
                child.holds[owner] = actual
            elif (actual is None) != (until is None) or (
                actual is not None and until is not None and abs(actual - until) > EPSILON
            ):
                raise Differs(f"{child.path}: {owner} until {actual}, not {until}")

    def _same_events(self) -> None:
        real = Counter(filter(None, map(summary, self.world.told)))
        model = Counter(self.model.told)
        if real != model:
            more, less = real - model, model - real
            raise Differs(f"told {sorted(more, key=str)}, not {sorted(less, key=str)}")
        self.events_seen += self.world.told
        self.world.told.clear()
        self.model.told.clear()

    def _same_condition(self) -> None:
        if self.model.root.closing:
            return
        condition = self.world.tree.condition
        # A supervisor that is stopping stays in the condition that it was in.
        # A supervisor that is stopping stays in the condition that it was in, and of one that is just
        # stopping it may be told later that it is not ready.
        closing = {child.path for child in self.model.everyone() if child.branch.closing}
        late = {(c.path, "not ready") for c in self.model.everyone() if c.state == "stopping"}
        real = {(reason.path, str(reason.what)) for reason in condition.reasons} - late
        real = {reason for reason in real if reason[0] not in closing or reason[1] == "stuck"}
        model = self.model.reasons() - late
        if real != model:
            raise Differs(f"condition: {sorted(real)}, not {sorted(model)}")
        status = "degraded" if condition.reasons else "healthy"
        if condition.status != status:
            raise Differs(f"condition: {condition.status}, not {status}")

    def _failed_alike(self) -> None:
        failure = self.world.failure
        real = sorted(tag(leaf) for leaf in failure.exceptions) if failure else []
        if real != sorted(self.model.root.offenders):
            raise Differs(f"failed with {real}, not {sorted(self.model.root.offenders)}")

    def _told_once(self) -> None:
        """Every crash is one event."""
        told = [id(event.error) for event in self.events_seen if isinstance(event, Crashed)]
        for error in self.world.raised:
            if told.count(id(error)) != 1:
                raise Differs(f"{error} was told {told.count(id(error))} times")


def _may_tie(plan: Plan) -> bool:
    """Whether a fallback may start in the instant that ends its supervisor: one that ends when the
    last significant child has, also by a group restart that brings it down."""
    children = plan.children or ()
    ends = plan.auto_shutdown == "all_significant"
    stands_in = any(child.fallback is not None for child in children)
    return (ends and stands_in) or any(map(_may_tie, children))


def _orphan(child: Child) -> bool:
    """Whether it is the fallback of one that is no longer listed."""
    return child.primary is not None and (child.primary.removed or _orphan(child.primary))


def tag(error: BaseException) -> str:
    return str(error) if type(error).__name__ == "Boom" else type(error).__name__


def summary(event: Event) -> tuple[object, ...] | None:
    """What is compared of an event."""
    more: tuple[object, ...]
    match event:
        case Started(life=life, probe=probe):
            more = (life, probe)
        case Ready(life=life) | Declined(life=life) | StopAsked(life=life) | Stopped(life=life):
            more = (life,)
        case StopTimedOut(life=life) | Recovered(life=life):
            more = (life,)
        case Returned(life=life, verdict=verdict):
            more = (life, verdict.action)
        case Crashed(life=life, phase=phase, verdict=verdict, error=error):
            leaves = getattr(error, "exceptions", (error,))
            more = (life, phase, verdict.action, *map(tag, leaves))
        case Quarantined(times=times, crashes=crashes):
            more = (times, crashes)
        case GroupRestarted(cause=cause):
            more = (cause,)
        case Escalated(offenders=offenders):
            more = offenders
        case Added() | Deleted() | Booted() | Ended() | StopBegun():
            more = ()
        case _:
            return None
    return (round(event.at, 6), type(event).__name__, event.path, *more)
