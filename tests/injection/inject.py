"""Run a scenario and cancel at its n-th suspension.

A *suspension* is the moment at which a task gives way to the event loop while a frame of the
runtime is on its stack. Both backends run every step of every task under our eyes: asyncio drives a
wrapper around each task's coroutine, trio tells an instrument. So the cancellation comes at once, in
the same instant and before any other task runs.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeAlias

import anyio
from anyio.lowlevel import checkpoint

from supervisor import Event, NoTree, current_tree
from supervisor._runtime import host
from supervisor._runtime.life import CurrentChild, live, suspended_frames
from supervisor.testing import seeded, settle, virtual_backend
from supervisor.testing._census import tasks
from supervisor.testing._clock import watch
from tests.injection.sites import Site, sites_of
from tests.injection.stage import Call, Scenario, Stage

Variant: TypeAlias = Literal["call", "call late", "block", "native", "native late", "life"]

VARIANTS: dict[str, tuple[Variant, ...]] = {
    "asyncio": ("call", "call late", "block", "native", "native late", "life"),
    "trio": ("call", "call late", "block", "life"),
}

LIMIT = 1000.0
"""Virtual seconds that a scenario may take, whatever is cancelled."""


@dataclass(frozen=True)
class Point:
    """A suspension, and what could be cancelled at it."""

    sites: tuple[Site, ...]
    calls: bool
    """Whether a call of the API is under way."""
    lives: bool
    """Whether it is a life that is suspended."""
    waits: bool
    """Whether it waits for something, so that a cancellation may come after it, but too late."""

    def offers(self, variant: Variant) -> bool:
        if variant.endswith("late") and not self.waits:
            return False
        if variant.startswith("call"):
            return self.calls
        return self.lives if variant == "life" else True


@dataclass
class Strike:
    """What was cancelled: the scope of a call or of the block, or a task; ``own`` if that is what
    was suspended."""

    variant: Variant
    point: Point
    own: bool
    leaving: bool
    """Whether the block was being left already."""
    task: object
    call: Call | None = None
    life: CurrentChild | None = None
    was_asked: bool = False


@dataclass
class Run:
    """One run of a scenario, and all that can be said about it afterwards."""

    backend: str
    stage: Stage
    points: list[Point] = field(default_factory=list)
    strike: Strike | None = None
    events: list[Event] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """What the event loop or the machinery of the test complained of."""
    error: BaseException | None = None
    caught: bool = False
    cancelled: bool = False
    left: list[str] = field(default_factory=list)
    ended_at: float = 0.0


class Injector:
    """Counts suspensions; at the chosen one it cancels."""

    def __init__(self, run: Run, at: int | None, variant: Variant) -> None:
        self.run = run
        self.at = at
        self.variant = variant
        self.armed: object = None
        self.over = False

    def suspended(self, task: Any, coro: Any, future: Any) -> None:
        sites = () if self.over else sites_of(coro)
        if not sites:
            return
        run = self.run
        point = Point(
            sites,
            calls=bool(run.stage.under_way),
            lives=any(frame.f_code is live.__code__ for frame in suspended_frames(coro)),
            waits=future is not None,
        )
        run.points.append(point)
        if len(run.points) - 1 != self.at:
            return
        if self.variant.endswith("late"):
            self.armed = task
            self.late = partial(self.strike, task, coro, point)
            if asyncio.isfuture(future):
                future.add_done_callback(lambda _: self.woken(task))
        elif run.backend == "asyncio":
            _run_next(partial(self.strike, task, coro, point))
        else:
            self.strike(task, coro, point)

    def woken(self, task: object) -> None:
        """The task will run again, as what it waited for has come."""
        if task is self.armed:
            self.armed = None
            self.late()

    def strike(self, task: Any, coro: Any, point: Point) -> None:
        stage, variant = self.run.stage, self.variant
        strike = self.run.strike = Strike(
            variant, point, own=True, leaving=stage.leaving, task=task
        )
        stage.disturbed = True
        mine = [call for call in stage.under_way if call.task is task]
        if variant.startswith("call"):
            if not stage.under_way:  # it is over by the time that it is late
                self.run.strike = None
                return
            strike.call = mine[-1] if mine else stage.under_way[-1]
            strike.own = bool(mine)
            strike.call.scope.cancel()
        elif variant == "block":
            strike.own = task is stage.task
            stage.outer.cancel()
        elif variant == "life":
            strike.life = _life_of(coro)
            stage.struck = strike.life.path
            strike.was_asked = strike.life._cancelled
            assert strike.life._handle is not None
            strike.life._handle.cancel()
        else:
            strike.call = mine[-1] if mine else None
            strike.life = _life_of(coro) if point.lives else None
            stage.struck = strike.life.path if strike.life else ""
            strike.was_asked = strike.life is not None and strike.life._cancelled
            task.cancel()


def _life_of(coro: Any) -> CurrentChild:
    frame = next(frame for frame in suspended_frames(coro) if frame.f_code is live.__code__)
    life: CurrentChild = frame.f_locals["life"]
    return life


def run_scenario(
    scenario: Scenario, backend: Literal["asyncio", "trio"], at: int | None, variant: Variant
) -> Run:
    """Run it, cancelled at suspension ``at`` (from 0) if that is given."""
    run = Run(backend, Stage())
    injector = Injector(run, at, variant)
    _, options = virtual_backend(backend)
    if backend == "asyncio":
        options["loop_factory"] = partial(_loop, options["loop_factory"], injector)
    else:
        options["instruments"] = [*options["instruments"], _instrument(injector)]
    with _recorded(run), seeded(2026):
        anyio.run(_main, scenario, injector, backend=backend, backend_options=options)
    return run


async def _main(scenario: Scenario, injector: Injector) -> None:
    run = injector.run
    before = tasks()
    if run.backend == "asyncio":
        # A task of its own, which asyncio may cancel past all scopes, as web servers do.
        body = asyncio.get_running_loop().create_task(_body(scenario, run))
        await asyncio.wait([body])
        run.cancelled = body.cancelled()
    else:
        await _body(scenario, run)
    await settle()
    injector.over = True
    run.left = [line for key, line in tasks().items() if key not in before]
    run.ended_at = anyio.current_time()
    with suppress(NoTree):
        run.left.append(f"{current_tree()!r} is still known")


async def _body(scenario: Scenario, run: Run) -> None:
    stage = run.stage
    try:
        with watch(partial(_end_deadlock, run)), anyio.fail_after(LIMIT):
            with anyio.CancelScope() as stage.outer:
                stage.task = current_task()
                await scenario(stage)
                # Whatever cancelled the scope without reaching the scenario comes out here.
                await checkpoint()
        run.caught = stage.outer.cancelled_caught
    except (Exception, BaseExceptionGroup) as error:
        run.error = error


def _end_deadlock(run: Run) -> None:
    """Nothing can come any more. The tree is shielded, so it has to be taken down from within."""
    run.complaints.append(f"nothing was left to wait for; blocked: {[*tasks().values()]}")
    for tree in run.stage.trees:
        runtime = tree._runtime
        runtime.aborting = True
        if runtime._group is not None:
            runtime._group.cancel_scope.cancel()
    run.stage.outer.cancel()


def current_task() -> object:
    if anyio.get_cancelled_exc_class() is asyncio.CancelledError:
        return asyncio.current_task()
    return sys.modules["trio"].lowlevel.current_task()


@contextmanager
def _recorded(run: Run) -> Any:
    before = host.log_events, host.opened
    opened = host.opened

    def note(tree: Any) -> None:
        run.stage.trees.append(tree)
        opened(tree)

    host.log_events = lambda *_, **__: run.events.append  # type: ignore[assignment]
    host.opened = note
    try:
        yield
    finally:
        host.log_events, host.opened = before


# --- asyncio --------------------------------------------------------------------------------------


def _loop(make: Callable[[], asyncio.AbstractEventLoop], injector: Injector) -> Any:
    loop = make()

    def spawn(loop: Any, coro: Any, **options: Any) -> Any:
        return asyncio.Task(_Driven(coro, injector), loop=loop, **options)

    def complain(_: object, context: dict[str, Any]) -> None:
        injector.run.complaints.append(str(context))

    loop.set_task_factory(spawn)
    loop.set_exception_handler(complain)
    return loop


def _run_next(strike: Callable[[], None]) -> None:
    """Before any other task runs, but not in the task's own step: anyio does not cancel a task that
    runs, but asks again in the next turn of the loop."""
    loop: Any = asyncio.get_running_loop()
    loop._ready.appendleft(asyncio.Handle(strike, (), loop))


class _Driven(Coroutine[Any, Any, Any]):
    """A coroutine whose every step ends under the injector's eyes."""

    def __init__(self, coro: Any, injector: Injector) -> None:
        self._coro = coro
        self._injector = injector

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coro, name)  # its state and its frames, for whoever looks

    def __await__(self) -> Any:
        raise TypeError("a task drives this")

    def send(self, value: Any) -> Any:
        return self._seen(self._coro.send(value))

    def throw(self, *error: Any) -> Any:
        return self._seen(self._coro.throw(*error))

    def close(self) -> None:
        self._coro.close()

    def _seen(self, future: Any) -> Any:
        self._injector.suspended(asyncio.current_task(), self._coro, future)
        return future


# --- trio -----------------------------------------------------------------------------------------


def _instrument(injector: Injector) -> Any:
    from trio.abc import Instrument

    class Eyes(Instrument):
        def after_task_step(self, task: Any) -> None:
            waits = None if task._abort_func is None else task
            self._try(injector.suspended, task, task.coro, waits)

        def task_scheduled(self, task: Any) -> None:
            self._try(injector.woken, task)

        def _try(self, look: Callable[..., None], *args: Any) -> None:
            # trio logs what an instrument raises, and goes on without it.
            try:
                look(*args)
            except BaseException as error:
                injector.run.complaints.append(f"{error!r}")

    return Eyes()
