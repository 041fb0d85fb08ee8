"""A machine driven by plain calls: inputs by name, effects kept, every law watched."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeVar

from anyio.abc import TaskStatus

from supervisor._core.child import ChildState
from supervisor._core.effects import (
    AddChild,
    AskPermit,
    Begin,
    Cancel,
    DeleteChild,
    Effect,
    Exited,
    Finish,
    GiveUpPermit,
    Hurry,
    Input,
    MarkedHealthy,
    Notify,
    OnlyStuckLeft,
    Permitted,
    PermitUnavailable,
    ReleaseChild,
    ReportedReady,
    RestartChild,
    Run,
    Rush,
    ShutDown,
    StartChild,
    StopChild,
    StuckRemain,
    TimePassed,
)
from supervisor._core.node import Node
from supervisor._core.step import step
from supervisor._core.table import insert, populate
from supervisor._core.timers import next_deadline
from supervisor._errors import NotFound, Refused, Stuck
from supervisor._happenings import Event, Verdict
from supervisor._spec.edges import edges_for
from supervisor._spec.policy import Backoff, Stop
from supervisor._spec.tree import Component, Spec, Supervisor
from supervisor._words import Outcome
from tests.explorer.laws import Watch

E = TypeVar("E", bound=Event)

AT_ONCE = Backoff(first=0, base=0, factor=1, cap=1, jitter="none")
SECOND = Backoff(first=1, base=1, factor=1, cap=1, jitter="none")


async def silent() -> None:
    """Ready when it runs."""


async def reporting(*, task_status: TaskStatus[None]) -> None:
    """Ready when it says so."""


def child(name: str, **fields: Any) -> Component:
    """A silent child without quarantine that is restarted at once."""
    given = {"backoff": AT_ONCE, "quarantine": None, "stop": Stop(deadline=5)}
    return Component(silent, name=name, **{**given, **fields})


def slow(name: str, **fields: Any) -> Component:
    """The same, but it reports when it is ready."""
    given = {"backoff": AT_ONCE, "quarantine": None, "stop": Stop(deadline=5)}
    return Component(reporting, name=name, **{**given, **fields})


class Drive:
    """One node. ``obedient``: lives that are cancelled end at once."""

    def __init__(
        self,
        *children: Spec,
        draws: Iterable[float] = (),
        obedient: bool = True,
        watched: bool = True,
        stop_within: float = math.inf,
        begin: bool = True,
        **options: Any,
    ) -> None:
        scripted = iter(draws)
        spec = Supervisor("t", children, **options)
        self.node = Node(spec, "t", lambda: next(scripted, 0.0), stop_within=stop_within)
        populate(self.node)
        self.now = 0.0
        self.obedient = obedient
        self.watch = Watch(self.node) if watched else None
        self.told: list[Event] = []
        self.ran: list[str] = []
        self.asked: list[str] = []
        self.noticed: list[tuple[str, float]] = []
        self.rushed: list[tuple[str, float]] = []
        self.cancelled: list[str] = []
        self.requests: dict[str, AskPermit] = {}  # the latest of each
        self.given_up: list[GiveUpPermit] = []
        self.outcome: Outcome | None = None
        self.stuck_remain = False
        if begin:
            self.feed(Begin())

    # --- inputs ---------------------------------------------------------------------------------

    def feed(self, input: Input) -> list[Effect]:
        if self.watch is not None:
            self.watch.before(input)
        effects = step(self.node, input, self.now)
        if self.watch is not None:
            self.watch.after(input, effects)
        cancelled = [effect.child for effect in effects if self._perform(effect)]
        if self.obedient:
            for ending in cancelled:
                self.end(ending)
        return effects

    def _perform(self, effect: Effect) -> bool:
        if isinstance(effect, Event):
            self.told.append(effect)
        elif isinstance(effect, Run):
            self.ran.append(self.name(effect.child))
        elif isinstance(effect, Notify):
            self.noticed.append((self.name(effect.child), effect.by))
        elif isinstance(effect, Rush):
            self.rushed.append((self.name(effect.child), effect.by))
        elif isinstance(effect, Cancel):
            self.cancelled.append(self.name(effect.child))
            return True
        elif isinstance(effect, AskPermit):
            self.requests[self.name(effect.child)] = effect
        elif isinstance(effect, GiveUpPermit):
            self.given_up.append(effect)
        elif isinstance(effect, Finish):
            self.outcome = effect.outcome
        elif isinstance(effect, StuckRemain):
            self.stuck_remain = True
        return False

    def exit(self, of: str | ChildState, outcome: Outcome, life: int | None = None) -> None:
        ending = self[of]
        self.feed(Exited(ending, ending.life if life is None else life, outcome))

    def crash(self, of: str | ChildState, error: BaseException | None = None) -> BaseException:
        error = ValueError(f"{of} on cue") if error is None else error
        self.exit(of, Outcome("crashed", error))
        return error

    def returns(self, of: str | ChildState) -> None:
        self.exit(of, Outcome("returned"))

    def end(self, of: str | ChildState) -> None:
        """The life ends because it was cancelled."""
        self.exit(of, Outcome("cancelled"))

    def decline(self, of: str, reason: str = "not today") -> None:
        self.exit(of, Outcome("declined", reason=reason))

    def ready(self, *of: str) -> None:
        for name in of:
            self.feed(ReportedReady(self[name], self[name].life))

    def healthy(self, of: str) -> None:
        self.feed(MarkedHealthy(self[of]))

    def permit(self, of: str, permit: object = None) -> None:
        """The permit that was asked for last is there."""
        asked = self.requests[of]
        self.feed(Permitted(asked.child, asked.number, permit))

    def unavailable(self, of: str, why: str = "no broker has it") -> None:
        asked = self.requests[of]
        self.feed(PermitUnavailable(asked.child, asked.number, why))

    def only_stuck_left(self, of: str) -> None:
        self.feed(OnlyStuckLeft(self[of]))

    def start(self, of: str | ChildState) -> None:
        self.feed(StartChild(self[of]))

    def stop(self, of: str | ChildState) -> None:
        self.feed(StopChild(self[of]))

    def restart(self, of: str | ChildState) -> None:
        self.feed(RestartChild(self[of]))

    def release(self, of: str | ChildState) -> None:
        self.feed(ReleaseChild(self[of]))

    def delete(self, of: str | ChildState) -> None:
        self.feed(DeleteChild(self[of]))

    def add(self, spec: Spec, *, dynamic: bool = False, trial: bool = False) -> ChildState:
        listed = {n: c.spec for n, c in self.node.children.items() if not c.dynamic}
        name = self.node.free_name(spec.name)
        new = insert(self.node, spec, name, *edges_for(name, spec, listed))
        new.dynamic, new.trial = dynamic, trial
        self.feed(AddChild(new))
        return new

    def shut_down(self, within: float = math.inf) -> None:
        self.feed(ShutDown(self.now + within, "asked"))

    def hurry(self, within: float) -> None:
        self.feed(Hurry(self.now + within, "asked twice"))

    def advance(self, seconds: float) -> None:
        """Let time pass, and every deadline come in its turn."""
        until = self.now + seconds
        while next_deadline(self.node) <= until:
            self.now = max(self.now, next_deadline(self.node))
            self.feed(TimePassed())
        self.now = until

    # --- what is --------------------------------------------------------------------------------

    def __getitem__(self, of: str | ChildState) -> ChildState:
        if isinstance(of, ChildState):
            return of
        name, *rest = of.split("/")
        found: ChildState = self.node.children[name]
        for _ in rest:
            assert found.fallback is not None
            found = found.fallback
        return found

    def __contains__(self, name: str) -> bool:
        return name in self.node.children

    def name(self, of: ChildState) -> str:
        return of.name

    def states(self) -> str:
        """All children with what they are: ``a:ready b:down``."""
        return " ".join(f"{c.name}:{c.state}" for c in self.node.children.values())

    def holds(self, of: str) -> list[str]:
        return list(self[of].holds or ())

    def events(self, kind: type[E]) -> list[E]:
        return [event for event in self.told if isinstance(event, kind)]

    def verdicts(self) -> list[Verdict]:
        return [event.verdict for event in self.told if hasattr(event, "verdict")]

    def since(self, do: Any, *args: Any) -> list[str]:
        """What ran because of that call."""
        before = len(self.ran)
        do(*args)
        return self.ran[before:]

    @property
    def deadline(self) -> float:
        return next_deadline(self.node)


REFUSALS = (Refused, NotFound, Stuck)
