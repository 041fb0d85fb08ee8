"""Whether a callable can be what it is declared as, as far as that can be seen without calling it.

What cannot be seen is accepted: whether a builtin, a lambda or a function that somebody has wrapped
returns an awaitable is known only when it is called.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Hashable, Iterator
from types import FunctionType, MethodType

from supervisor._spec.tree import Component, Resource, takes
from supervisor._spec.values import Wrong, shown

_UNSAID = object()


def wrong_callable(spec: Component | Resource) -> Wrong | None:
    """Why the callable cannot be run or entered, if that is certain."""
    fn: object = spec.run if isinstance(spec, Component) else spec.factory
    if inspect.iscoroutine(fn):
        what = "is a coroutine: the function has been called already"
        return what, f"write {fn.__name__}, and what it takes as args"
    if isinstance(spec, Resource) and not inspect.isclass(fn) and hasattr(type(fn), "__aenter__"):
        what = "is a context manager that exists already, but each life needs its own"
        return what, "write what makes it, and what that takes as args"
    if not callable(fn):
        advice = "an async function" if isinstance(spec, Component) else "an async context manager"
        return f"is {shown(fn)}, which cannot be called", f"write {advice}"
    return _wrong_run(_body(fn)) if isinstance(spec, Component) else _wrong_factory(_body(fn))


def doubtful_run(spec: Component | Resource) -> Wrong | None:
    """Why the callable probably cannot be run: a plain function seldom returns an awaitable."""
    body = _body(spec.run) if isinstance(spec, Component) else None
    if type(body) is not FunctionType or body.__name__ == "<lambda>":
        return None
    if "return" in body.__annotations__ or any(map(_is_async, (body, *_wrapped(body)))):
        return None
    return (
        f"{name_of(body)} is not an async function",
        "write `async def`, or annotate what it returns",
    )


def wrong_arguments(spec: Component | Resource) -> Wrong | None:
    """Why the callable cannot be called with its arguments, if that is certain."""
    fn = spec.run if isinstance(spec, Component) else spec.factory
    try:
        signature = inspect.signature(fn)
    except Exception:  # it has none, or somebody's own __signature__ fails
        return None
    given = dict(spec.kwargs)
    if isinstance(spec, Component) and takes(fn, "task_status"):
        if "task_status" in given:
            return "task_status is among the arguments", "leave it out: the supervisor gives it"
        given["task_status"] = None
    try:
        signature.bind(*spec.args, **given)
    except TypeError as error:
        return f"do not fit: {error}", f"{name_of(fn)} takes {_parameters(signature)}"
    return None


def likeness(fn: object) -> Hashable | None:
    """The same for callables of which the same holds: closures of one function, methods of one
    class. ``None`` for those that are like no other."""
    if type(fn) is MethodType:
        like = likeness(fn.__func__)
        return None if like is None else (MethodType, like)
    if type(fn) is FunctionType and not fn.__dict__:  # which wrappers use to say what they wrap
        return fn.__code__
    return None


def name_of(fn: object) -> str:
    return getattr(fn, "__qualname__", None) or type(fn).__qualname__


def _wrong_run(body: object) -> Wrong | None:
    if inspect.isclass(body) and not hasattr(body, "__await__"):
        return f"{name_of(body)} is a class", "write an async function, or an instance"
    if inspect.isasyncgenfunction(body) or _is_generator(body):
        return f"{name_of(body)} is a generator", "write an async function that does not yield"
    annotations = body.__annotations__ if isinstance(body, FunctionType) else {}
    returns = annotations.get("return", _UNSAID)
    if returns in (None, "None") and not _is_async(body) and not any(_wrapped(body)):
        return f"{name_of(body)} is not an async function", "write `async def`"
    return None


def _wrong_factory(body: object) -> Wrong | None:
    decorate = "decorate an async generator with contextlib.asynccontextmanager"
    if inspect.isasyncgenfunction(body):
        return f"{name_of(body)} is an async generator", decorate
    if _is_async(body) or _is_generator(body) or any(map(_is_generator, _wrapped(body))):
        return f"{name_of(body)} does not return an async context manager", decorate
    if inspect.isclass(body) and _makes_instances(body) and not hasattr(body, "__aenter__"):
        return f"{name_of(body)} is no async context manager", "give it __aenter__ and __aexit__"
    return None


def _body(fn: object) -> object:
    """What runs when it is called: the function behind partials, methods and callable objects."""
    while not (inspect.isclass(fn) or _is_async(fn)):
        if isinstance(fn, functools.partial):
            fn = fn.func
        elif isinstance(fn, MethodType):
            fn = fn.__func__
        elif isinstance(type(fn).__call__, FunctionType):
            fn = type(fn).__call__
        else:
            break
    return fn


def _wrapped(fn: object) -> Iterator[object]:
    """The functions that a decorator has put another in front of, as far as it says so."""
    while (inner := getattr(fn, "__wrapped__", None)) is not None:
        fn = _body(inner)
        yield fn


def _is_async(fn: object) -> bool:
    return inspect.iscoroutinefunction(fn)


def _is_generator(fn: object) -> bool:
    awaitable = (
        getattr(getattr(fn, "__code__", None), "co_flags", 0) & inspect.CO_ITERABLE_COROUTINE
    )
    return inspect.isgeneratorfunction(fn) and not awaitable


def _makes_instances(cls: type) -> bool:
    """Whether calling the class gives an instance of it, rather than anything else."""
    plain: object = cls.__new__
    return type(cls).__call__ is type.__call__ and plain is object.__new__


def _parameters(signature: inspect.Signature) -> str:
    """The parameters by name. Annotations and defaults would hide them."""
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty, default=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
    ]
    return str(inspect.Signature(bare)) if bare else "no arguments"
