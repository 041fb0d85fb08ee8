"""Whether a callable can be what it is declared as, as far as that can be seen without calling it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence

from supervisor._spec.tree import Component, Resource, takes
from supervisor._spec.values import Wrong


def wrong_callable(spec: Component | Resource) -> Wrong | None:
    """Why the callable cannot be run or entered, if that is certain."""
    if isinstance(spec, Component):
        return _wrong_run(spec.run)
    return _wrong_factory(spec.factory)


def doubtful_callable(spec: Component | Resource) -> Wrong | None:
    """Why the callable probably cannot be run: a plain function may return an awaitable."""
    if isinstance(spec, Component):
        fn = _unwrapped(spec.run)
        if inspect.isfunction(fn) and not inspect.iscoroutinefunction(fn):
            return f"{_name(fn)} is not an async function", "write `async def`"
    return None


def wrong_arguments(
    fn: object, args: Sequence[object], kwargs: Mapping[str, object], *, status: bool
) -> Wrong | None:
    """Why the callable cannot be called with these arguments, if that is certain."""
    try:
        signature = inspect.signature(fn)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    given = dict(kwargs)
    if status and takes(fn, "task_status"):  # type: ignore[arg-type]
        given.setdefault("task_status", None)
    try:
        signature.bind(*args, **given)
    except TypeError as error:
        return f"do not fit {_name(fn)}{signature}: {error}", "pass what it takes"
    return None


def _wrong_run(run: object) -> Wrong | None:
    if not callable(run):
        return f"is {run!r}, which cannot be called", "write an async function"
    fn = _unwrapped(run)
    if inspect.isclass(fn):
        return f"is the class {_name(fn)}", "write an async function, or an instance of it"
    if inspect.isasyncgenfunction(fn):
        return f"{_name(fn)} is an async generator", "write an async function that does not yield"
    return None


def _wrong_factory(factory: object) -> Wrong | None:
    if not callable(factory):
        return f"is {factory!r}, which cannot be called", "write a callable"
    fn = _unwrapped(factory)
    if inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
        advice = "decorate an async generator with contextlib.asynccontextmanager"
        return f"{_name(fn)} does not return an async context manager", advice
    return None


def _unwrapped(fn: object) -> object:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn


def _name(fn: object) -> str:
    return getattr(fn, "__name__", None) or type(fn).__name__
