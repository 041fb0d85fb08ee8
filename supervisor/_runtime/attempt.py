"""One attempt of a guarded call: the breaker's leave, a permit, a deadline, and what came of it."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, final

from anyio import CancelScope

from supervisor._core.breaker import REFUSED, BreakerMachine
from supervisor._core.calls import THROTTLED, TIMED_OUT
from supervisor._core.classify import Judged
from supervisor._errors import BreakerOpen
from supervisor._record.wording import error_line
from supervisor._runtime.budgets import acquire
from supervisor._runtime.permit import Permit, refuse_no_rest

if TYPE_CHECKING:
    from supervisor._runtime.course import Course


@final
class Attempt:
    """One attempt of a guarded call, as a block: ``async with`` it around what calls the service.

    Entering it asks the guard's breaker and takes a permit; from then on the guard's timeout runs.
    Leaving it tells both what came of the call. It serves once.

    Raises:
        BreakerOpen: on entering; the breaker refuses calls at present.
        PermitRefused, BrokerClosed, UnknownBudget: on entering; there is no permit to be had.
        TimeoutError: on leaving; the block took longer than the guard's timeout.
        RuntimeError: on entering; it was entered before.
    """

    __slots__ = (
        "_at", "_course", "_entered", "_error", "_judged", "_permit", "_scope", "_ticket", "_told",
    )  # fmt: skip

    _course: Course
    _entered: bool
    _permit: Permit | None
    _scope: CancelScope | None
    _ticket: int  # the breaker's
    _at: float | None  # when the permit was granted: the service's time runs from here
    _error: Exception | None  # what it failed by
    _judged: Judged | None
    _told: bool  # that the service said "too many"

    def __init__(self) -> None:
        raise TypeError("an attempt is not made by hand; iterate over a guard, or use permit()")

    @classmethod
    def _of(cls, course: Course) -> Attempt:
        self = cls.__new__(cls)
        self._course = course
        self._entered = False
        self._clear()
        return self

    def _clear(self) -> None:
        self._permit = self._scope = self._at = self._error = self._judged = None
        self._ticket = REFUSED
        self._told = False

    @property
    def number(self) -> int:
        """Which attempt of its call this is, from 1."""
        return self._course.number

    @property
    def waited(self) -> float:
        """Seconds that its permit took to be granted."""
        return 0.0 if self._permit is None else self._permit.waited

    def throttled(self, retry_after: float | None = None) -> None:
        """Report that the service said "too many requests", where no exception says so. See
        :meth:`Permit.throttled`; without a budget, it is counted."""
        refuse_no_rest(retry_after)
        if self._permit is not None:
            self._permit.throttled(retry_after)
        if not self._told:
            self._course.live.count(THROTTLED)
        self._told = True

    # --- the block --------------------------------------------------------------------------------

    async def __aenter__(self) -> Attempt:
        if self._entered:
            raise RuntimeError("this attempt was entered before; enter each of them once")
        self._entered = True
        live = self._course.live
        live.under_way += 1
        try:
            await self._enter()
        except BaseException:
            live.under_way -= 1
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        try:
            return await self._exit(error)
        finally:
            self._course.live.under_way -= 1

    async def _enter(self) -> None:
        while True:
            try:
                return await self._begin()
            except BaseException as exc:
                if self._end(exc):
                    raise
            if not await self._goes_on():
                self._course.give_up()
            self._clear()

    async def _exit(self, error: BaseException | None) -> bool:
        if self._end(error):
            return False
        if self._error is None:
            self._course.succeeded()
            return False
        if not await self._goes_on():
            self._course.give_up(error)
            return False
        self._clear()
        return True

    async def _goes_on(self) -> bool:
        try:
            return await self._course.goes_on(self)
        finally:
            self._error = None  # or the error's frames would hold the error

    # --- for who makes the call -------------------------------------------------------------------

    def _began(self, ticket: int, at: float) -> None:
        """It was begun elsewhere."""
        self._ticket, self._at = ticket, at

    async def _begin(self) -> None:
        """Be admitted, and wait for a permit; whatever it raises is for :meth:`_end`."""
        live = self._course.live
        breaker = live.breaker
        if breaker is not None:
            self._be_admitted(breaker, live.clock())
        if live.budget is not None:
            how = self._course.how
            asked = acquire(live.budget, priority=how.priority, cost=how.cost)
            self._permit = asked if type(asked) is Permit else await self._course.permit(asked)
            if breaker is not None and self._permit.waited:
                self._ask_again(breaker, live.clock())
        self._at = at = live.clock()
        until = self._course.until(at)
        if until is not None:
            self._scope = CancelScope(deadline=until)
            self._scope.__enter__()

    def _be_admitted(self, breaker: BreakerMachine, now: float) -> None:
        self._ticket = breaker.admit(now)
        self._course.live.tell()
        if self._ticket == REFUSED:
            raise self._course.live.rejection(now)

    def _ask_again(self, breaker: BreakerMachine, now: float) -> None:
        """The breaker may have opened while the attempt waited for its permit, and closed again."""
        if breaker.still_admits(self._ticket, now):
            return
        breaker.ignored(self._ticket, now)
        try:
            self._be_admitted(breaker, now)
        except BreakerOpen:
            assert self._permit is not None
            self._permit.give_back()
            raise

    def _end(self, exc: BaseException | None) -> bool:
        """Tell the breaker and the broker what came of it. ``_error`` is what it failed by, if that
        may be made good; answers with whether the exception is to pass instead."""
        if self._scope is not None:
            exc = self._leave(self._scope, exc)
        live = self._course.live
        now = live.clock()
        took = 0.0 if self._at is None else now - self._at
        if exc is None:
            self._succeeded(now, took)
        elif isinstance(exc, Exception):
            self._failed(exc, now, took)
        else:
            self._cut_short(exc, now, took)
        if self._error is None:  # otherwise that is told first
            live.tell()
        return exc is not None and self._error is None

    def _leave(self, scope: CancelScope, exc: BaseException | None) -> BaseException | None:
        """The guard's timeout ends: what it makes of the exception."""
        self._scope = None
        try:
            if exc is None:
                scope.__exit__(None, None, None)
                return None
            if not scope.__exit__(type(exc), exc, None):
                return exc
        except BaseException as left:  # trio: what a group has besides our own cancellation
            return left
        self._course.live.count(TIMED_OUT)
        assert self._at is not None
        # Of the timeout and the call's own deadline, the nearer.
        return TimeoutError(f"no answer within {scope.deadline - self._at:.3g} s")

    def _succeeded(self, now: float, took: float) -> None:
        permit, breaker = self._permit, self._course.live.breaker
        if breaker is not None:
            breaker.succeeded(self._ticket, now, took)
        if permit is not None:
            permit._answered_if_new()

    def _failed(self, error: Exception, now: float, took: float) -> None:
        judged = self._course.judge(error)
        self._error, self._judged = error, judged
        if self._at is not None and judged.what == "throttled" and not self._told:
            self.throttled(judged.rest)
        self._tell_breaker(judged, error, now, took)

    def _tell_breaker(self, judged: Judged, error: Exception, now: float, took: float) -> None:
        breaker = self._course.live.breaker
        if breaker is None or self._ticket == REFUSED:
            return
        if self._at is None or judged.what != "failure":
            breaker.ignored(self._ticket, now)
        else:
            breaker.failed(self._ticket, now, took, error_line(error), judged.rest)

    def _cut_short(self, exc: BaseException, now: float, took: float) -> None:
        """A cancellation, or what concerns the process, is neither success nor failure; but a group
        that has a failure beside it has one."""
        live = self._course.live
        self._course.cut_short()
        breaker, ticket = live.breaker, self._ticket
        if breaker is None or ticket == REFUSED:
            return
        rest: BaseException | None = None
        if isinstance(exc, BaseExceptionGroup):
            rest = exc.split(live.tree.cancelled)[1]
        if self._at is None:
            breaker.ignored(ticket, now)
        elif isinstance(rest, Exception):
            self._tell_breaker(self._course.judge(rest), rest, now, took)
        else:
            breaker.cancelled(ticket, now, took)
