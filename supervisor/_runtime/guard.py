"""Guards: calls to a service, with a permit, a deadline, a breaker, retries and a fallback.

A :class:`Guard` is a name and its policies. What it knows of its calls is in the running tree, in a
:class:`~supervisor._runtime.guarded.LiveGuard` of that name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Mapping
from functools import wraps
from itertools import chain
from threading import get_ident
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Final, final

from msgspec.structs import replace

from supervisor._core.breaker import UNCOUNTED
from supervisor._errors import NoTree, Problem, TreeInvalid
from supervisor._runtime.attempt import Attempt
from supervisor._runtime.context import current_life, current_tree
from supervisor._runtime.course import Course, How, Served
from supervisor._runtime.guarded import ONCE, LiveGuard, is_async
from supervisor._spec.guards import Breaker, Matchers, Retry, wrong_guard, wrong_how, wrong_retry
from supervisor._spec.values import Wrong
from supervisor._views import GuardStatus
from supervisor._words import Forced, Priority, Severity

if TYPE_CHECKING:
    from supervisor._runtime.runtime import Runtime

SAME: Final[Any] = "(its name)"
"""The default of a guard's budget, which may well be ``None``."""

KNOWN: Final = 64
"""So many functions that are called through a guard it decorates by itself, for their next calls."""


@final
class Guard:
    """Calls to one service, guarded: ``await exchange(fetch, url)``.

    A declaration, which can stand at module level. Around each call, from the outside in, are
    ``fallback( retry( breaker( permit( timeout( call )))))``. What it knows of its calls is in the
    running tree, under its name: in that of the calling child, elsewhere in the one tree that is
    open in this event loop.

    - ``await guard(fn, *args, **kwargs)`` calls an async function, or any other in a worker thread.
    - ``@guard`` makes a guarded function of a function.
    - ``async for attempt in guard: async with attempt: ...`` guards a block that can be run again.
    - ``async with guard.permit(): ...`` guards one that cannot: without retries and fallback.
    - ``guard.using(priority="high")(fn, ...)`` says something anew for a call.

    Args:
        name: one name is one guard of a tree.
        budget: what to take permits from; the broker's of the guard's name by default, ``None`` for
            no permits.
        timeout: seconds for each attempt, from its permit on. ``None``: no end but the caller's.
        retry: ``None`` for no retries.
        breaker: ``None`` for no breaker.
        fallback: what serves in the call's place when it has failed for good: a function, which gets
            the call's arguments, or a value; or a tuple of them, tried in their order.
        bad_result: whether a result is a failure. When it is so to the end, and no fallback serves,
            the result is what the call answers with.
        throttled: errors that mean "too many requests", besides those that say so by HTTP's status
            or by a ``retry_after``: types, or predicates of an error.
        severities: how severe errors of these types are, before all else.
        priority: whose turn it is among those who wait for a permit; the calling child's own by
            default.
        cost: how many permits a call counts for.

    Raises:
        TreeInvalid: an argument is wrong.
    """

    __slots__ = (
        "__weakref__", "_fallbacks", "_how", "_known", "_live", "_sole", "_waits", "bad_result",
        "breaker", "budget", "cost", "fallback", "name", "priority", "retry", "severities",
        "throttled", "timeout",
    )  # fmt: skip

    FIELDS: ClassVar = (
        "budget", "timeout", "retry", "breaker", "fallback", "bad_result", "throttled",
        "severities", "priority", "cost",
    )  # fmt: skip

    name: str
    budget: str | None
    timeout: float | None
    retry: Retry | None
    breaker: Breaker | None
    fallback: Any
    bad_result: Callable[[Any], object] | None
    throttled: Matchers
    severities: Mapping[type[BaseException], Severity]
    priority: Priority | None
    cost: int
    _fallbacks: tuple[Any, ...]
    _how: How
    _known: dict[Callable[..., Any], Callable[..., Coroutine[Any, Any, Any]]]  # decorated, by us
    _waits: bool  # whether a call may wait for more than the service, or its result is looked at
    _live: LiveGuard | None  # what was found when it was last looked for
    _sole: LiveGuard | None  # the same while its tree is the only one of the process

    def __init__(
        self,
        name: str,
        *,
        budget: str | None = SAME,
        timeout: float | None = None,
        retry: Retry | None = Retry(),  # noqa: B008
        breaker: Breaker | None = Breaker(),  # noqa: B008
        fallback: Any = None,
        bad_result: Callable[[Any], object] | None = None,
        throttled: Matchers = (),
        severities: Mapping[type[BaseException], Severity] | None = None,
        priority: Priority | None = None,
        cost: int = 1,
    ) -> None:
        given: object = name
        if not isinstance(given, str) or not given or not given.isprintable():
            raise TreeInvalid([Problem("a guard", f"has {name!r} as its name", "write a string")])
        fields = {
            "budget": name if budget is SAME else budget,
            "timeout": timeout,
            "retry": retry,
            "breaker": breaker,
            "fallback": fallback,
            "bad_result": bad_result,
            "throttled": throttled,
            "severities": {} if severities is None else severities,
            "priority": priority,
            "cost": cost,
        }
        refuse(name, wrong_guard(fields))
        put = object.__setattr__
        put(self, "name", name)
        for field, value in fields.items():
            put(self, field, value)
        how = How(priority=priority, cost=cost, timeout=timeout, retry=retry or ONCE)
        put(self, "_how", how)
        links = fallback if isinstance(fallback, tuple) else (fallback,) * (fallback is not None)
        put(self, "_fallbacks", links)
        self._remember(None)
        within = retry is not None and retry.deadline is not None
        waits = self.budget is not None or timeout is not None or within or bad_result is not None
        put(self, "_waits", waits)
        put(self, "_known", {})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a guard is a declaration and does not change: {name}")

    def __repr__(self) -> str:
        return f"Guard({self.name!r}, budget={self.budget!r}, timeout={self.timeout!r})"

    def _policies(self) -> tuple[object, ...]:
        return tuple(getattr(self, field) for field in self.FIELDS)

    def __eq__(self, other: object) -> bool:
        if type(other) is not Guard:
            return NotImplemented
        return self.name == other.name and self._policies() == other._policies()

    def __hash__(self) -> int:
        return hash(self.name)

    # --- call -------------------------------------------------------------------------------------

    def __call__(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call the function under this guard, or decorate it: see the class.

        Raises:
            Exception: the call's last real error, with a note of what was tried.
            BreakerOpen: the breaker refuses calls at present.
            PermitRefused, BrokerClosed, UnknownBudget, CostTooHigh: as for
                :func:`~supervisor.acquire`.
            TimeoutError: an attempt took longer than the timeout.
            FallbackFailed: there were fallbacks, and they failed, too.
            NoTree: no tree is open here, or several are.
            GuardDiffers: the tree has another guard of that name.
        """
        if args or kwargs:
            known = self._known.get(fn) if type(fn) is FunctionType else None
            return _call(self, fn, args, kwargs) if known is None else known(*args, **kwargs)
        return _guarded(self, fn) if _takes_arguments(fn) else Pending(self, fn)

    def using(
        self,
        *,
        priority: Priority | None = None,
        cost: int | None = None,
        timeout: float | None = None,
        retry: Retry | None = None,
        context: str = "",
    ) -> Using:
        """The same guard, with something said anew for the calls made by what this answers with.

        Args:
            priority: as for the guard.
            cost: as for the guard.
            timeout: as for the guard.
            retry: as for the guard; ``Retry(retries=0)`` for none.
            context: what the error records of these calls are to say of them.

        Raises:
            TreeInvalid: an argument is wrong.
        """
        how = self._how
        return Using(
            self,
            How(
                priority=how.priority if priority is None else priority,
                cost=how.cost if cost is None else cost,
                timeout=how.timeout if timeout is None else timeout,
                retry=how.retry if retry is None else retry,
                context=context,
            ),
        )

    async def served(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Served:
        """As a call, but answers with the value and with what it came to: which level served it."""
        return await self._find().call(self._how, fn, args, kwargs)

    def permit(self) -> Attempt:
        """A block that cannot be run again: ``async with`` it. It has the breaker, the permit and
        the timeout; see :class:`~supervisor.Attempt` for what it raises."""
        return _once(self, self._how)

    def __aiter__(self) -> AsyncIterator[Attempt]:
        """The attempts of a block that can be run again, until one succeeds."""
        return Attempts(self, self._how)

    # --- look, and take in hand -------------------------------------------------------------------

    def status(self) -> GuardStatus:
        """Its breaker and its figures at this moment."""
        return self._find().status()

    async def wait_closed(self) -> None:
        """Wait until the breaker would let a call through: it is closed, or its time is over, so
        that the next call is its probe."""
        await self._find().wait_closed()

    def force(self, state: Forced, reason: str, *, seconds: float | None = None) -> None:
        """Hold the breaker in a state: ``open``, ``disabled`` or ``metrics only``.

        Args:
            state: see :data:`~supervisor.Forced`.
            reason: for those who ask why; callers are told.
            seconds: for so long; until :meth:`release` by default.

        Raises:
            ValueError: there is no such state, or no breaker, or no such time.
        """
        self._find().force(state, reason, seconds)

    def release(self, reason: str = "released") -> None:
        """Undo :meth:`force`; the breaker begins anew, closed."""
        self._find().release(reason)

    def _find(self) -> LiveGuard:
        life = current_life.get()
        tree: Runtime = current_tree()._runtime if life is None else life._node.tree
        if get_ident() != tree.thread:
            raise NoTree(
                "not in the tree's event loop; from a worker thread, "
                "call anyio.from_thread.run(guard(fn), ...)"
            )
        live = self._live
        if live is None or live.tree is not tree:
            live = tree.guards.of(self)
            self._remember(live)
        return live

    def _remember(self, live: LiveGuard | None) -> None:
        """What was found; a tree in another thread may have it forget that at any moment."""
        put = object.__setattr__
        put(self, "_live", live)
        put(self, "_sole", None)
        if live is not None and not live.tree.finished.is_set() and live.tree.guards.are_alone():
            put(self, "_sole", live)
            if not live.tree.guards.are_alone():  # any more
                put(self, "_sole", None)


@final
class Using:
    """A guard with something said anew: :meth:`Guard.using` makes it. Call it as the guard."""

    __slots__ = ("_guard", "_how")

    def __init__(self, guard: Guard, how: How) -> None:
        refuse(
            guard.name,
            chain(
                wrong_how({"priority": how.priority, "cost": how.cost, "timeout": how.timeout}),
                wrong_retry("retry", how.retry),
            ),
        )
        self._guard = guard
        self._how = how

    async def __call__(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call the function; see :meth:`Guard.__call__`."""
        return (await self.served(fn, *args, **kwargs)).value

    async def served(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Served:
        """See :meth:`Guard.served`."""
        return await self._guard._find().call(self._how, fn, args, kwargs)

    def permit(self) -> Attempt:
        """See :meth:`Guard.permit`."""
        return _once(self._guard, self._how)

    def __aiter__(self) -> AsyncIterator[Attempt]:
        """See :class:`Guard`."""
        return Attempts(self._guard, self._how)


@final
class Attempts(AsyncIterator[Attempt]):
    """The attempts of one block, until one of them is left without an error."""

    __slots__ = ("_course", "_last")

    def __init__(self, guard: Guard, how: How) -> None:
        live = guard._find()
        self._course = Course(live, how, live.clock(), live.tree.calls)
        self._last: Attempt | None = None

    async def __anext__(self) -> Attempt:
        if self._last is not None and not self._last._entered:
            raise RuntimeError("an attempt was not entered: write `async with attempt:` around it")
        if self._course.over:
            raise StopAsyncIteration
        self._last = Attempt._of(self._course)
        return self._last


@final
class Pending:
    """``guard(fn)``: await it for a call without arguments, or call it as a guarded function."""

    __slots__ = ("__wrapped__", "_guard")

    def __init__(self, guard: Guard, fn: Callable[..., Any]) -> None:
        self._guard = guard
        self.__wrapped__ = fn

    def __await__(self) -> Generator[Any, Any, Any]:
        return self().__await__()

    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        guard, fn = self._guard, self.__wrapped__
        known = guard._known.get(fn) if type(fn) is FunctionType else None
        return _call(guard, fn, args, kwargs) if known is None else known(*args, **kwargs)


async def _call(
    guard: Guard, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    if _is_worth_knowing(guard, fn):
        guard._known[fn] = _guarded(guard, fn)
    return (await guard._find().call(guard._how, fn, args, kwargs)).value


def _is_worth_knowing(guard: Guard, fn: Callable[..., Any]) -> bool:
    """Whether to decorate the function for its next calls. One that is made anew for each call, as a
    closure is, would only fill the table."""
    if guard._waits or len(guard._known) >= KNOWN or not isinstance(fn, FunctionType):
        return False
    return fn.__closure__ is None and is_async(fn)


def _guarded(guard: Guard, fn: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """The function under the guard.

    Where a call waits for nothing but the service, its first attempt is made here and not by
    :meth:`LiveGuard.call`, which would cost several times as much as all the rest.
    """
    if guard._waits or not is_async(fn):

        @wraps(fn)
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            return await _call(guard, fn, args, kwargs)

        return guarded
    return _retried(guard, fn) if guard.breaker is None else _refusable(guard, fn)


def _retried(guard: Guard, fn: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """The function with retries, at most."""

    @wraps(fn)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        live = guard._sole or guard._find()
        before = live.tree.calls
        try:
            result = await (fn(*args, **kwargs) if kwargs else fn(*args))
        except Exception as exc:
            error = exc
        except BaseException as exc:
            live.cut_directly(UNCOUNTED, None, exc)
            raise
        else:
            live.quiet += 1
            return result
        failed = live.failed_directly(UNCOUNTED, None, before, error)
        del error
        return (await live.call(guard._how, fn, args, kwargs, failed)).value

    return guarded


def _refusable(guard: Guard, fn: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """The function with retries and a breaker."""
    policy = guard.breaker
    assert policy is not None
    timed, slow = policy.rate is not None or policy.slow is not None, policy.slow is not None

    @wraps(fn)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        live = guard._sole or guard._find()
        breaker: Any = live.breaker
        if not breaker.free:
            return (await live.call(guard._how, fn, args, kwargs)).value
        ticket, before = breaker.generation, live.tree.calls
        at: Any = live.clock() if slow else None
        try:
            result = await (fn(*args, **kwargs) if kwargs else fn(*args))
        except Exception as exc:
            error = exc
        except BaseException as exc:
            live.cut_directly(ticket, at, exc)
            raise
        else:
            live.quiet += 1
            if not timed:
                if breaker.log or ticket != breaker.counting:
                    breaker.succeeded(ticket, 0.0, 0.0)
                return result
            now, window = live.clock(), breaker.window
            usual = ticket == breaker.counting and now < window.edge and not slow
            if usual and not (window.failures or window.slow or breaker.log):
                # All that succeeded() would do; to call it is a tenth of the whole cost.
                window.calls += 1
                return result
            breaker.succeeded(ticket, now, now - at if slow else 0.0)
            if breaker.happened:
                live.tell()
            return result
        failed = live.failed_directly(ticket, at, before, error)
        del error
        return (await live.call(guard._how, fn, args, kwargs, failed)).value

    return guarded


def _takes_arguments(fn: Callable[..., Any]) -> bool:
    """Whether the function cannot be called without arguments, so that it is being decorated."""
    if isinstance(fn, MethodType) or not isinstance(fn, FunctionType):
        return False
    code, defaults = fn.__code__, fn.__defaults__ or ()
    return code.co_argcount > len(defaults) or code.co_kwonlyargcount > len(fn.__kwdefaults__ or ())


def _once(guard: Guard, how: How) -> Attempt:
    live = guard._find()
    return Attempt._of(Course(live, replace(how, retry=ONCE), live.clock(), live.tree.calls))


def refuse(name: str, wrong: Iterator[tuple[str, Wrong]]) -> None:
    """Refuse a wrong declaration whole.

    Raises:
        TreeInvalid: something is wrong.
    """
    problems = [Problem(f"guard {name!r}: {field}", *what) for field, what in wrong]
    if problems:
        raise TreeInvalid(problems)
