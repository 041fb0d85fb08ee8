"""A guard in a running tree: what it knows of its calls, and the whole of a call that is not plain."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Final, get_args
from weakref import ReferenceType, ref

import anyio
from anyio import move_on_after, to_thread
from anyio.lowlevel import checkpoint

from supervisor._core.breaker import BreakerMachine
from supervisor._core.calls import ATTEMPTS, KINDS, SUCCEEDED, figures
from supervisor._core.classify import UNHIDDEN, Rules
from supervisor._core.meter import Meter
from supervisor._core.retry import RetryBudget
from supervisor._errors import BadResult, BreakerOpen, GuardDiffers
from supervisor._record.wording import error_line
from supervisor._runtime.attempt import Attempt
from supervisor._runtime.course import Course, How, Served
from supervisor._spec.guards import Retry
from supervisor._spec.values import shown
from supervisor._views import BreakerStatus, GuardStatus
from supervisor._words import Forced

if TYPE_CHECKING:
    from supervisor._runtime.guard import Guard
    from supervisor._runtime.runtime import Runtime

MOST: Final = 1000
"""With so many guards a tree forgets some of those whose declarations are gone."""

ONCE: Final = Retry(retries=0)
ONCE_HOW: Final = How(priority=None, cost=1, timeout=None, retry=ONCE)


class LiveGuard:
    """A guard's state in a running tree.

    Calls that succeed at once only add to ``quiet``: those who have to know of them hear of it when
    somebody asks, or when something else happens.
    """

    __slots__ = (
        "bad_result", "breaker", "budget", "changed", "clock", "declared", "fallbacks", "how",
        "heard", "heard_at", "meter", "name", "paid", "policies", "quiet", "retry_tokens", "retrying",
        "rules", "tree", "under_way",
    )  # fmt: skip

    def __init__(self, tree: Runtime, guard: Guard) -> None:
        self.tree = tree
        self.name = guard.name
        self.clock = tree.now
        self.declared: list[ReferenceType[Guard]] = [ref(guard)]
        self.policies = guard._policies()
        self.how = guard._how
        self.budget = guard.budget
        self.fallbacks = guard._fallbacks
        self.bad_result = guard.bad_result
        self.rules = Rules(guard.retry, guard.breaker, guard.throttled, guard.severities)
        now, policy, retry = self.clock(), guard.breaker, guard.retry or ONCE
        self.breaker: BreakerMachine | None = None
        if policy is not None:
            probe = policy.probe or (2 * guard.timeout if guard.timeout else policy.open)
            self.breaker = BreakerMachine(
                policy, tree.draw, now, probe=probe, path=tree.root.node.path, guard=guard.name
            )
        self.retry_tokens = RetryBudget(retry, now)
        self.meter = Meter(KINDS, now)
        self.quiet = 0  # calls that succeeded at once
        self.heard, self.heard_at = 0, now  # of those, by the meter
        self.paid = 0  # and by the budget of retries
        self.under_way = 0
        self.retrying = 0
        self.changed: anyio.Event | None = None

    def declare(self, again: Guard) -> None:
        """Find this one by another declaration.

        Raises:
            GuardDiffers: it is not equal to the first, which may be gone: or it would depend on when
                that is collected what a call gets.
        """
        for field, here, there in zip(again.FIELDS, self.policies, again._policies(), strict=True):
            if here is not there and here != there:
                raise GuardDiffers(self.name, field, here, there)
        self.declared = [ref(guard) for guard in (*self.declarations(), again)]

    def declarations(self) -> list[Guard]:
        """Those that somebody holds."""
        return [guard for each in self.declared if (guard := each()) is not None]

    # --- a call -----------------------------------------------------------------------------------

    async def call(
        self,
        how: How,
        fn: Callable[..., Any],
        args: tuple[object, ...],
        kwargs: dict[str, object],
        failed: Attempt | None = None,
    ) -> Served:
        """All of a guarded call; or what is left of it after its first attempt has ``failed``."""
        attempt = failed or Attempt._of(Course(self, how, self.clock(), self.tree.calls))
        course = attempt._course
        course.has_fallback = bool(self.fallbacks)
        self.under_way += 1
        try:
            while True:
                if failed is None:
                    value = await self._attempt(attempt, fn, args, kwargs)
                    if attempt._error is None:
                        course.succeeded()
                        return Served(value, 0, course.number)
                failed = None
                if not await course.goes_on(attempt):
                    return await self._stand_in(course, fn, args, kwargs)
                attempt._clear()
        except Exception:
            raise
        except BaseException:
            course.cut_short()
            raise
        finally:
            self.under_way -= 1
            attempt._error = course.error = None  # or the error's frames would hold the error

    async def _attempt(
        self,
        attempt: Attempt,
        fn: Callable[..., Any],
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> Any:
        try:
            await attempt._begin()
            value = await made(fn, args, kwargs)
            if self.bad_result is not None and self.bad_result(value):
                raise BadResult(self.name, value)
        except BaseException as exc:
            if attempt._end(exc):
                raise
            return None
        attempt._end(None)
        return value

    async def _stand_in(
        self,
        course: Course,
        fn: Callable[..., Any],
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> Served:
        """What the first of the fallbacks says that does not fail itself; or the call's error."""
        links = () if isinstance(course.error, UNHIDDEN) else self.fallbacks
        failures: list[str] = []
        for level, link in enumerate(links, 1):
            try:
                value = await made(link, args, kwargs) if callable(link) else link
            except Exception as exc:
                failures.append(f"fallback {level}: {error_line(exc)}")
            else:
                return course.served(value, level)
        return course.give_up(failures=failures)

    # --- the first attempt of a call that is made elsewhere ---------------------------------

    def failed_directly(
        self, ticket: int, at: float | None, before: int, error: Exception
    ) -> Attempt:
        """It failed: go on from there."""
        attempt = self._begun(self.how, ticket, at, before)
        attempt._course.timed = at is not None
        attempt._end(error)
        return attempt

    def cut_directly(self, ticket: int, at: float | None, exc: BaseException) -> None:
        """It was cancelled, or worse."""
        self._begun(ONCE_HOW, ticket, at, 0)._end(exc)

    def _begun(self, how: How, ticket: int, at: float | None, before: int) -> Attempt:
        began = self.clock() if at is None else at  # nobody looked at the clock, if it was not slow
        attempt = Attempt._of(Course(self, how, began, before))
        attempt._began(ticket, began)
        return attempt

    # --- what it knows ----------------------------------------------------------------------------

    def count(self, kind: int) -> None:
        """Count one, now."""
        self._settle(now := self.clock())
        self.meter.roll(now)
        self.meter.totals[kind] += 1

    def _settle(self, now: float) -> None:
        """Tell the meter of the calls that succeeded unseen, spread over the time since it last
        heard of any."""
        unheard = self.quiet - self.heard
        if unheard:
            self.meter.spread((SUCCEEDED, ATTEMPTS), unheard, self.heard_at, now)
        self.heard, self.heard_at = self.quiet, now

    def pay_back(self) -> None:
        """Each call that succeeded at once since this was last asked has put back a share of a
        retry."""
        self.retry_tokens.put_back(self.quiet - self.paid)
        self.paid = self.quiet

    def tell(self) -> None:
        """Tell of what the breaker has done since this was last asked."""
        breaker = self.breaker
        if breaker is None:
            return
        if breaker.happened:
            happened, breaker.happened = breaker.happened, []
            for event in happened:
                self.tree.bus.publish(event)
            self._wake()
        elif breaker.state == "half-open":  # a probe that is ignored makes room, and nothing else
            self._wake()

    def _wake(self) -> None:
        """Have those who wait for the breaker look again."""
        if self.changed is not None:
            self.changed.set()
            self.changed = None

    def rejection(self, now: float) -> BreakerOpen:
        """A new one each time: an error that is raised again and again would hold all its callers."""
        assert self.breaker is not None
        again = self.breaker.retry_at(now)
        return BreakerOpen(self.name, again, again - now, self.breaker.cause)

    def status(self) -> GuardStatus:
        """How it is now."""
        now = self.clock()
        self._settle(now)
        self.pay_back()
        return GuardStatus(
            name=self.name,
            budget=self.budget,
            breaker=self.breaker_status(),
            under_way=self.under_way,
            retrying=self.retrying,
            retry_tokens=self.retry_tokens.left(now),
            figures=figures(self.meter, now),
        )

    def breaker_status(self) -> BreakerStatus | None:
        """How its breaker is now, if it has one."""
        if self.breaker is None:
            return None
        status = self.breaker.status(self.clock())
        self.tell()
        return status

    # --- its breaker, by hand ---------------------------------------------------------------------

    def force(self, state: Forced, reason: str, seconds: float | None) -> None:
        if state not in get_args(Forced):
            raise ValueError(f"state is {state!r}; write one of {', '.join(get_args(Forced))}")
        if seconds is not None and not 0 < seconds < math.inf:
            raise ValueError(f"seconds is {seconds!r}; write a number above 0, or None for no end")
        now = self.clock()
        self._own_breaker().force(state, reason, None if seconds is None else now + seconds, now)
        self.tell()

    def release(self, reason: str) -> None:
        self._own_breaker().release(self.clock(), reason)
        self.tell()

    def _own_breaker(self) -> BreakerMachine:
        if self.breaker is None:
            raise ValueError(f"guard {self.name!r} is declared without a breaker")
        return self.breaker

    async def wait_closed(self) -> None:
        """Wait until the breaker would let a call through."""
        breaker = self.breaker
        while breaker is not None:
            again = breaker.refuses_until(now := self.clock())
            if breaker.happened:  # or those who wait would wake each other, again and again
                self.tell()
            if again <= now:
                break
            self.changed = self.changed or anyio.Event()
            with move_on_after(again - now):
                await self.changed.wait()
        await checkpoint()


async def made(fn: Callable[..., Any], args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
    """Call the function: here if it is async, in a worker thread if it is not. What that answers
    with is awaited here, if it can be."""
    if is_async(fn):
        return await fn(*args, **kwargs)
    _refuse_what_is_no_function(fn)
    if is_async(unwrapped := _unwrapped(fn)):
        result = fn(*args, **kwargs)  # a cache, say, which may have the answer already
    else:
        _refuse_generators(unwrapped)
        [result] = await to_thread.run_sync(_boxed, partial(fn, *args, **kwargs))
    return await result if inspect.isawaitable(result) else result


def _boxed(fn: Callable[[], Any]) -> tuple[Any]:
    """What the function answers with; boxed, as trio takes a coroutine that comes out of a thread for
    a mistake, and closes it."""
    return (fn(),)


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether each call of the function makes a coroutine: seen through partials, and of objects
    with an async ``__call__``, but not through wrappers, which may do otherwise."""
    if isinstance(fn, FunctionType) and fn.__code__.co_flags & inspect.CO_COROUTINE:
        return True  # as most are
    while isinstance(fn, partial):
        fn = fn.func
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(type(fn).__call__)


def _unwrapped(fn: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(fn, partial):
        fn = fn.func
    innermost: Callable[..., Any] = inspect.unwrap(fn)
    return innermost


def _refuse_what_is_no_function(fn: Any) -> None:
    """Refuse the call's result in the place of the function, above all.

    Raises:
        TypeError: it cannot be called.
    """
    if callable(fn):
        return
    what = shown(fn)
    if inspect.iscoroutine(fn):
        fn.close()  # or Python says, too, that nobody has awaited it
    raise TypeError(f"{what} is no function; write guard(fetch, url), not guard(fetch(url))")


def _refuse_generators(fn: Callable[..., Any]) -> None:
    """Refuse a function of which a call does nothing yet.

    Raises:
        TypeError: it is a generator function.
    """
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(
            f"{fn.__qualname__} is a generator function, and a call of it does nothing yet; "
            "guard what it does, by `async for attempt in guard: async with attempt:` within it"
        )


class Guards:
    """The guards of a running tree, by their names.

    While it is the only open tree of the process, a guard need not look where it is called from.
    """

    _open: ClassVar[list[Guards]] = []

    def __init__(self, tree: Runtime) -> None:
        self._tree = tree
        self._live: dict[str, LiveGuard] = {}
        self._made: dict[str, Guard] = {}  # by us, as nobody else holds them
        self._full = MOST

    def open(self) -> None:
        """The tree begins."""
        Guards._open.append(self)
        if not self.are_alone():
            for other in tuple(Guards._open):
                other._be_forgotten()

    def are_alone(self) -> bool:
        """Whether its tree is the only open one of the process."""
        return Guards._open == [self]

    def close(self) -> None:
        """The tree is over."""
        Guards._open.remove(self)
        self._be_forgotten()

    def _be_forgotten(self) -> None:
        """Have the declarations look anew for what they are here."""
        for live in tuple(self._live.values()):
            for guard in live.declarations():
                guard._remember(None)

    def named(self, name: str, make: Callable[[str], Guard]) -> LiveGuard:
        """The guard of that name; one that is made now if there is none."""
        live = self._live.get(name)
        if live is None:
            guard = self._made[name] = make(name)
            live = self.of(guard)
        return live

    def of(self, guard: Guard) -> LiveGuard:
        """What the tree knows of this guard.

        Raises:
            GuardDiffers: it has another of that name.
        """
        live, made = self._live.get(guard.name), self._made.get(guard.name)
        if made is not None and made is not guard:
            del self._made[guard.name]  # somebody has declared it after all
            live = None
        if live is None:
            if len(self._live) >= self._full:
                self._make_room()
            live = self._live[guard.name] = LiveGuard(self._tree, guard)
        elif all(guard is not each for each in live.declarations()):
            live.declare(guard)
        return live

    def _make_room(self) -> None:
        """Forget the eldest half of those that nobody else holds: guards made for each host, say."""
        idle = [live for live in self._live.values() if self._nobody_else_holds(live)]
        for live in idle[: len(idle) // 2 + 1]:
            del self._live[live.name]
            self._made.pop(live.name, None)
        self._full = max(MOST, 2 * len(self._live))  # or each that is held would look at all others

    def _nobody_else_holds(self, live: LiveGuard) -> bool:
        return not live.under_way and (live.name in self._made or not live.declarations())

    def statuses(self) -> tuple[GuardStatus, ...]:
        """How each of them is."""
        return tuple(live.status() for live in self._live.values())

    def breakers(self) -> dict[str, BreakerStatus]:
        """How their breakers are."""
        found = ((live.name, live.breaker_status()) for live in self._live.values())
        return {name: status for name, status in found if status is not None}
