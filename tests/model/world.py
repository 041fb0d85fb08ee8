"""The real tree of a plan, whose components do what the test says, and a record of what it tells.

Only public names of the library are used here.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from anyio import TASK_STATUS_IGNORED, current_time, get_cancelled_exc_class
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

import supervisor
from supervisor import (
    Backoff,
    Component,
    Decline,
    Event,
    Intensity,
    NoTree,
    Quarantine,
    Stop,
    Supervisor,
    Tree,
    TreeFailed,
    current_child,
    current_tree,
    open_supervisor,
)
from supervisor.testing import settle
from tests.model.model import thinking
from tests.model.plan import Plan


class Boom(Exception):
    """What a life raises; its text is the same as the model's name for it."""


class Actor:
    """The component of one path, over all of its lives."""

    def __init__(self, path: str, plan: Plan, raised: list[Boom]) -> None:
        self.path = path
        self.plan = plan
        self.raised = raised
        self.runs = 0
        self.alive = 0
        self.answers: deque[str] = deque()
        self._cue = anyio.Event()
        self._said = ""

    async def silent(self) -> None:
        await self._live(TASK_STATUS_IGNORED)

    async def reporting(self, *, task_status: TaskStatus[None]) -> None:
        await self._live(task_status)

    def say(self, what: str) -> None:
        """Tell the life that is alive what to do now."""
        self._said = what
        self._cue.set()

    async def _live(self, status: TaskStatus[None]) -> None:
        self.runs += 1
        self.alive += 1
        assert self.alive == 1, f"{self.path} has two lives"
        try:
            await self._act(status)
        except get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                if self.plan.stop_takes:
                    await anyio.sleep(self.plan.stop_takes)
            if self.plan.stop_raises:
                self._crash()
            raise
        finally:
            self.alive -= 1

    async def _act(self, status: TaskStatus[None]) -> None:
        said = self.answers.popleft() if self.answers else "open"
        if said in {"crash", "decline"}:
            await anyio.sleep(thinking(self.path))
        while True:
            if said in {"open", "report"}:
                status.started()
            elif said == "crash":
                self._crash()
            elif said == "return":
                return
            elif said == "decline":
                raise Decline("no")
            elif said == "healthy":
                current_child().mark_healthy()
            self._cue = anyio.Event()
            await self._cue.wait()
            said = self._said

    def _crash(self) -> None:
        error = Boom(f"{self.path} {self.runs}")
        self.raised.append(error)
        raise error


class World:
    """A plan's real tree, while it is open."""

    tree: Tree

    def __init__(self, plan: Plan) -> None:
        self.actors: dict[str, Actor] = {}
        self.raised: list[Boom] = []
        self.told: list[Event] = []
        self.answers: dict[int, str] = {}  # of commands: the name of the exception, or ""
        self.failure: TreeFailed | None = None
        self._plan = plan
        self._leave = anyio.Event()
        self._scope = anyio.CancelScope()
        self._closed = anyio.Event()

    async def open(self, tasks: anyio.abc.TaskGroup) -> None:
        """Open the tree in a task of its own, as booting it may take for ever."""
        logging.getLogger("supervisor").setLevel(logging.CRITICAL + 1)
        spec = self.spec(self._plan, "")
        assert isinstance(spec, Supervisor)
        self._tasks = tasks
        tasks.start_soon(self._host, spec)
        while True:
            try:
                self.tree = current_tree()
            except NoTree:
                await checkpoint()
            else:
                break
        events = self.tree.events(capacity=100_000)
        tasks.start_soon(self._read, events)
        await settle()

    async def _host(self, spec: Supervisor) -> None:
        try:
            with self._scope:
                async with open_supervisor(spec, stop_within=1000):
                    await self._leave.wait()
        except TreeFailed as failure:
            self.failure = failure
        self._closed.set()

    async def _read(self, events: supervisor.Subscription) -> None:
        async for event in events:
            self.told.append(event)

    async def close(self, how: str) -> None:
        """Have the tree stop, by a call or by cancellation of the task that it is open in."""
        if how == "cancel":
            self._scope.cancel()
        else:
            self._tasks.start_soon(self.tree.stop)
        await settle()

    async def wait_closed(self) -> None:
        self._leave.set()
        await self._closed.wait()
        await settle()

    async def wait(self, until: float) -> None:
        """Wait until just after that moment, so that what is due at it has happened."""
        await anyio.sleep(until - current_time() + 1e-7)
        await settle()

    async def command(self, number: int, path: str, name: str) -> None:
        """Give a command to a child in a task of its own; its answer is kept under the number."""
        child = self.tree[path.partition("/")[2]]
        await self._ask(number, getattr(child, name))

    async def add(self, number: int, under: str, plan: Plan, *, dynamic: bool) -> None:
        under = under.partition("/")[2]
        path = f"{under}/{plan.name}" if under else plan.name
        spec = self.spec(plan, f"{self._plan.name}/{under}" if under else self._plan.name)
        if not dynamic:
            await self._ask(number, lambda: self.tree.add(spec, under=under))
            return
        assert isinstance(spec, Component)
        options = {
            name: getattr(spec, name)
            for name in ("needs", "after", "restart", "backoff", "quarantine", "stop")
        }
        options |= {"start_timeout": spec.start_timeout, "fallback": spec.fallback}

        async def start() -> None:
            self.tree.start_soon(spec.run, name=plan.name, under=under, **options)

        await self._ask(number, start)
        assert path

    async def _ask(self, number: int, call: Callable[[], Awaitable[Any]]) -> None:
        async def ask() -> None:
            try:
                await call()
            except Exception as answer:
                self.answers[number] = type(answer).__name__
            else:
                self.answers[number] = ""

        self._tasks.start_soon(ask)
        await settle()

    # --- the declaration of a plan ----------------------------------------------------------------

    def spec(self, plan: Plan, above: str) -> Component | Supervisor:
        path = f"{above}/{plan.name}" if above else plan.name
        policies: dict[str, Any] = {
            "needs": dict(plan.needs),
            "after": plan.after,
            "priority": "critical" if plan.critical else "medium",
            "restart": plan.restart,
            "backoff": Backoff(
                first=plan.delay.first,
                base=plan.delay.base,
                factor=plan.delay.factor,
                cap=plan.delay.cap,
                jitter=plan.delay.jitter,
                reset_after=plan.delay.reset_after,
            ),
            "quarantine": _quarantine(plan),
            "significant": plan.significant,
            "start_timeout": plan.start_timeout,
        }
        if plan.children is not None:
            return Supervisor(
                plan.name,
                [self.spec(child, path) for child in plan.children],
                strategy=plan.strategy,
                intensity=None if plan.intensity is None else Intensity(*plan.intensity),
                auto_shutdown=plan.auto_shutdown,
                boot="strict" if plan.strict else "patient",
                max_children=plan.max_children,
                **policies,
            )
        policies["stop"] = Stop(deadline=plan.deadline)
        if plan.fallback is not None:
            policies["fallback"] = self._fallback(plan.fallback, f"{path}/fallback")
        return self._component(plan, path, policies)

    def _fallback(self, plan: Plan, path: str) -> Component:
        spec = self.spec(plan, "")
        assert isinstance(spec, Component)
        named = {name: getattr(spec, name) for name in ("backoff", "quarantine", "stop")}
        return self._component(plan, path, named | {"start_timeout": spec.start_timeout})

    def _component(self, plan: Plan, path: str, policies: dict[str, Any]) -> Component:
        actor = self.actors.setdefault(path, Actor(path, plan, self.raised))
        run = actor.reporting if plan.reports else actor.silent
        return Component(run, name=plan.name, **policies)


def _quarantine(plan: Plan) -> Quarantine | None:
    policy = plan.aside
    if policy is None:
        return None
    return Quarantine(
        crashes=policy.crashes,
        within=policy.within,
        open=policy.open,
        factor=policy.factor,
        cap=policy.cap,
        probe=policy.probe,
    )
