"""Whether a callable can be what it is declared as, as far as that can be seen without calling it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from supervisor._spec.tree import Component, Resource, takes
from supervisor._spec.values import Wrong, one_line, shown

AWAITABLES = ("Awaitable", "Coroutine", "Future", "Task")
"""A plain function whose return annotation names one of them says itself that it is to be awaited."""


def wrong_callable(spec: Component | Resource) -> Wrong | None:
    """Why the callable cannot be run or entered, if that is certain."""
    if isinstance(spec, Component):
        return _wrong_run(spec.run)
    return _wrong_factory(spec.factory)


def doubtful_callable(spec: Component | Resource) -> Wrong | None:
    """Why the callable probably cannot be run or entered: a plain function may return anything."""
    if isinstance(spec, Component):
        if not _may_be_async(spec.run):
            return f"{_name(spec.run)} is not an async function", "write `async def`"
    elif inspect.isgeneratorfunction(inspect.unwrap(_function(spec.factory))):
        what = f"{_name(spec.factory)} seems to make a context manager that is not async"
        return what, "decorate an async generator with contextlib.asynccontextmanager"
    return None


def wrong_arguments(
    fn: object, args: Sequence[object], kwargs: Mapping[str, object], *, status: bool
) -> Wrong | None:
    """Why the callable cannot be called with these arguments, if that is certain."""
    try:
        signature = inspect.signature(fn)  # type: ignore[arg-type]
    except Exception:  # it has none, or somebody's own __signature__ fails
        return None
    given = dict(kwargs)
    if status and takes(fn, "task_status"):  # type: ignore[arg-type]
        given.setdefault("task_status", None)
    try:
        signature.bind(*args, **given)
    except TypeError as error:
        parameters = ", ".join(map(_parameter, signature.parameters.values()))
        return one_line(f"do not fit {_name(fn)}({parameters}): {error}"), "pass what it takes"
    return None


def _wrong_run(run: object) -> Wrong | None:
    if inspect.iscoroutine(run):
        return "is a coroutine: the function has been called already", f"write {run.__name__} alone"
    if not callable(run):
        return f"is {shown(run)}, which cannot be called", "write an async function"
    fn = _function(run)
    if inspect.isclass(fn):
        if hasattr(fn, "__await__"):
            return None
        return f"is the class {_name(fn)}", "write an async function, or an instance of it"
    if inspect.isasyncgenfunction(fn):
        return f"{_name(run)} is an async generator", "write an async function that does not yield"
    return None


def _wrong_factory(factory: object) -> Wrong | None:
    if not inspect.isclass(factory) and hasattr(type(factory), "__aenter__"):
        what = "is a context manager that has been made already, and is needed anew for every life"
        return what, "write what makes it, and what that takes as args"
    if inspect.iscoroutine(factory):
        what = "is a coroutine: the function has been called already"
        return what, f"write {factory.__name__} alone"
    if not callable(factory):
        return f"is {shown(factory)}, which cannot be called", "write what makes a context manager"
    fn = _function(factory)
    if _makes_no_manager(fn):
        advice = "decorate an async generator with contextlib.asynccontextmanager"
        return f"{_name(factory)} does not make an async context manager", advice
    return None


def _makes_no_manager(fn: Any) -> bool:
    if inspect.isclass(fn):
        plain = type(fn).__call__ is type.__call__
        return plain and not (hasattr(fn, "__aenter__") and hasattr(fn, "__aexit__"))
    yields = inspect.isasyncgenfunction(fn) or inspect.isgeneratorfunction(fn)
    return yields or inspect.iscoroutinefunction(fn)


def _may_be_async(run: object) -> bool:
    fn = _function(run)
    if inspect.iscoroutinefunction(run) or inspect.iscoroutinefunction(fn):
        return True
    if inspect.isbuiltin(fn):
        return False
    if not inspect.isfunction(fn) or fn.__name__ == "<lambda>":
        return True
    returns = str(fn.__annotations__.get("return", ""))
    return inspect.iscoroutinefunction(inspect.unwrap(fn)) or any(
        each in returns for each in AWAITABLES
    )


def _function(fn: Any) -> Any:
    """What is called in the end: beneath partials, methods and callable objects."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    if inspect.ismethod(fn):
        return fn.__func__
    if inspect.isclass(fn) or inspect.isroutine(fn):
        return fn
    return type(fn).__call__


def _parameter(parameter: inspect.Parameter) -> str:
    # By name alone: annotations and defaults can be long, and can fail to print.
    stars: dict[Any, str] = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
    return stars.get(parameter.kind, "") + parameter.name


def _name(fn: object) -> str:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return str(getattr(fn, "__name__", None) or type(fn).__name__)
