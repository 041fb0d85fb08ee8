"""DECLARE: the tree as frozen values that can stand at module level, be compared and printed."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Annotated, Any, NoReturn, TypeAlias

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from supervisor._spec.calls import Budget, Limit, Unknown
from supervisor._spec.policy import Backoff, Count, Intensity, Positive, Quarantine, Stop
from supervisor._words import AutoShutdown, Binding, Boot, Priority, RestartType, Strategy


class Table(dict[str, Any]):
    """A dict that cannot be changed; it has a hash where its values have one."""

    __slots__ = ()

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise TypeError("a declaration cannot be changed; make another one")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[Table], tuple[dict[str, Any]]]:
        return Table, (dict(self),)


NO_KWARGS: Mapping[str, object] = Table()


class Policies(Struct, frozen=True, kw_only=True):
    """What every kind of child declares; see :class:`Component` for each field."""

    name: str = ""
    needs: Sequence[str] | Mapping[str, Binding] = ()
    after: Sequence[str] = ()
    priority: Priority = "medium"
    restart: RestartType = "permanent"
    backoff: Backoff = Backoff()
    quarantine: Quarantine | None = Quarantine()
    stop: Stop = Stop()
    start_timeout: Positive | None = None
    fallback: Component | Resource | None = None
    significant: bool = False
    health: Callable[[], object] | None = None
    copies: Count = 1

    def __post_init__(self) -> None:
        _freeze(self, "needs", "after")


class Called(Policies, frozen=True, kw_only=True):
    """What a child that calls the user's code declares besides."""

    args: Sequence[object] = ()
    kwargs: Mapping[str, object] = NO_KWARGS
    heartbeat: Positive | None = None

    def __post_init__(self) -> None:
        _freeze(self, "needs", "after", "args", "kwargs")


def _freeze(spec: Struct, *fields: str) -> None:
    # Lists and dicts are welcome; a frozen value must not change afterwards.
    for field in fields:
        value = getattr(spec, field)
        if isinstance(value, list):
            force_setattr(spec, field, tuple(value))
        elif isinstance(value, dict) and type(value) is not Table:
            force_setattr(spec, field, Table(value))


class Component(Called, frozen=True):
    """A leaf of the tree: any async callable, run as a supervised task.

    If ``run`` takes anyio's ``task_status`` it is ready when it calls ``started(value)``, otherwise
    when it is spawned. To be restarted means to be called again, with fresh start values.

    Args:
        run: the async callable.
        args: positional arguments. A Component or Resource among them is replaced by its start
            value when the child starts, and implies ``needs``: the argument is the edge.
        kwargs: keyword arguments, treated in the same way.
        name: unique among the siblings; the callable's name by default.
        needs: names of elder siblings of this child or of an ancestor that must be ready for it to
            run. ``{"prices": "each"}`` takes it down at every crash of ``prices``, ``"final"`` (the
            default for names) only when ``prices`` is lost for good or set aside.
        after: names of elder siblings that start before it, without binding it.
        priority: the highest is shed last; a ``critical`` child is never quarantined, it escalates.
        restart: ``permanent`` always, ``transient`` unless it returned, ``temporary`` never.
        backoff: the delay of every automatic restart.
        quarantine: when it is set aside; ``None`` for never.
        stop: how it is stopped.
        start_timeout: seconds until ready; a start that takes longer is a failed start.
        fallback: the component that runs in its place while it is quarantined.
        significant: its end may end the supervisor; see ``Supervisor(auto_shutdown=)``.
        health: a function that a monitor calls to see whether the child is well. Refused by
            ``check`` where no monitor is in the tree; there is none in this version.
        heartbeat: seconds; a ready life that does not call ``current_child().heartbeat()`` (or
            take the next turn of ``every``) for so long counts as crashed.
        copies: so many children, named ``poll``, ``poll-2``, ...
    """

    run: Callable[..., Awaitable[object]]

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.name) is str and not self.name:
            force_setattr(self, "name", callable_name(self.run))


class Resource(Called, frozen=True):
    """An async context manager as a child: entered and left in one task, restarted like any child.

    ``factory(*args, **kwargs)`` makes the context manager; what it enters with is the start value
    that dependents receive. The other arguments are those of :class:`Component`.
    """

    factory: Callable[..., AbstractAsyncContextManager[Any]]

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.name) is str and not self.name:
            force_setattr(self, "name", callable_name(self.factory))


class _Permits(Policies, frozen=True, kw_only=True):
    name: str = "broker"
    unknown: Unknown = "refuse"
    stop: Stop = Stop(grace=5)


class Broker(_Permits, frozen=True):
    """The child that grants permits: from each of its budgets no more than that one's limit, the
    most important first.

    It serves the supervisor that it is listed under and everything below. Its start value is the
    :class:`~supervisor.RunningBroker`. Its state outlives its lives: who waits for a permit while
    it crashes waits on. When it is asked to stop it refuses new requests, and serves those that
    wait for ``stop.grace`` seconds.

    Args:
        budgets: by name, a :class:`Limit` or a whole :class:`Budget`.
        name: unique among the siblings.
        unknown: what becomes of a permit of a budget that no broker has: ``refuse`` is an error,
            ``pass`` grants it at once.

    The other arguments are those of :class:`Component`, less what is passed to its callable.
    """

    budgets: Mapping[str, Limit | Budget]

    def __post_init__(self) -> None:
        _freeze(self, "needs", "after", "budgets")


class Branch(Policies, frozen=True, kw_only=True):
    """The options of a supervisor; see :class:`Supervisor`."""

    strategy: Strategy = "one_for_one"
    intensity: Intensity | None = None
    auto_shutdown: AutoShutdown = "never"
    boot: Boot = "patient"
    max_children: Annotated[int, Meta(ge=0)] | None = None
    restarts: str | None = None
    stop: Stop = Stop(deadline=math.inf)


class Supervisor(Branch, frozen=True):
    """An inner node: its children start in order, heal by its strategy and stop in reverse.

    Args:
        name: the first part of its children's paths.
        children: in start order.
        strategy: who is restarted with a crashed child: ``one_for_one`` nobody, ``one_for_all`` all
            siblings, ``rest_for_one`` those after it.
        intensity: the budget of restarts beyond which the supervisor itself fails; ``None``: no
            such limit, quarantine contains what crashes.
        auto_shutdown: whether the end of a ``significant`` child ends the supervisor.
        boot: ``patient`` treats a failed first start as a crash like any other; ``strict`` ends the
            boot, unwound in reverse.
        max_children: how many children it may hold; more are refused.
        restarts: the budget from which each automatic restart below takes a permit, so that a
            common cause does not make a stampede.

    The other arguments are those of :class:`Component`, less what is passed to its callable;
    ``stop.deadline`` is unlimited by default,
    because the children's own deadlines bound it. It is as critical as its most critical child.
    """

    name: str
    children: Sequence[Spec] = ()

    def __post_init__(self) -> None:
        _freeze(self, "needs", "after", "children")


Leaf: TypeAlias = Component | Resource | Broker
Spec: TypeAlias = Leaf | Supervisor


def callable_name(fn: object) -> str:
    """The name that a child gets from its callable; empty where it has none."""
    while isinstance(fn, partial):
        fn = fn.func
    name = getattr(fn, "__name__", None) or type(fn).__name__
    return "" if name == "<lambda>" else str(name)


def reports_readiness(spec: Spec) -> bool:
    """Whether the child says itself when it is ready, rather than being so once it runs."""
    return not isinstance(spec, Component) or takes(spec.run, "task_status")


def takes(fn: Callable[..., object], name: str) -> bool:
    """Whether the callable has a parameter of that name; False where its signature is unknown."""
    plain = getattr(fn, "__func__", fn)  # of a bound method
    if inspect.isfunction(plain) and not hasattr(plain, "__wrapped__"):
        code = plain.__code__  # 50 times as fast as inspect
        return name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    try:
        return name in inspect.signature(fn).parameters
    except (TypeError, ValueError):
        return False
