"""The attempts of one guarded call, and what follows from each that failed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from anyio import CancelScope, current_effective_deadline, sleep
from msgspec import Struct
from msgspec.structs import replace

from supervisor._core.calls import (
    ATTEMPTS,
    CANCELLED,
    FAILED,
    RECOVERED,
    REFUSED,
    REJECTED,
    RETRIES,
    SERVED,
    SUCCEEDED,
)
from supervisor._core.classify import Judged
from supervisor._core.retry import Attempts, was_retried
from supervisor._errors import BadResult, BreakerOpen, FallbackFailed, PermitRefused
from supervisor._happenings import AttemptFailed, AttemptRule, CallRecovered, FallbackServed
from supervisor._record.wording import error_line
from supervisor._runtime.attempt import Attempt
from supervisor._runtime.clock import stamp
from supervisor._runtime.context import current_life
from supervisor._runtime.permit import Acquisition, Permit
from supervisor._spec.guards import Retry
from supervisor._words import Priority

if TYPE_CHECKING:
    from supervisor._runtime.guarded import LiveGuard


class How(Struct, frozen=True, kw_only=True):
    """What a call of a guard may say otherwise than its declaration."""

    priority: Priority | None
    cost: int
    timeout: float | None
    retry: Retry
    context: str = ""


class Served(Struct, frozen=True):
    """The result of a guarded call: its ``value``, and what it came to.

    ``level`` is 0 for the call's own result, or the number of the fallback that served, from 1.
    ``attempts`` were made. ``why`` is the error that a fallback stands in for, as text.
    """

    value: Any
    level: int = 0
    attempts: int = 1
    why: str = ""


class Course:
    """One guarded call, from its first attempt on."""

    __slots__ = (
        "_before", "_retrying", "_rule", "began", "error", "has_fallback", "how", "life", "live",
        "number", "over", "path", "recorded", "timed",
    )  # fmt: skip

    def __init__(self, live: LiveGuard, how: How, began: float, before: int) -> None:
        self.live = live
        self.how = how
        self.began = began
        self.number = 1  # of the attempt under way
        self.error: Exception | None = None  # the last that was more than a refusal of our own
        self.recorded = 0  # the number of the call among those of the tree that failed
        caller = current_life.get()
        self.path = live.tree.root.node.path if caller is None else caller.path
        self.life = 0 if caller is None else caller.life
        self.over = False
        self.has_fallback = False
        self.timed = True  # whether ``began`` is when it began, and not when it first failed
        # Notes of calls with numbers up to this one are not of calls within this one.
        self._before = before
        self._retrying: Attempts | None = None  # none until something fails
        self._rule: AttemptRule = "retried"

    def until(self, at: float) -> float | None:
        """When an attempt whose call begins now is over."""
        timeout, within = self.how.timeout, self.how.retry.deadline
        if timeout is None:
            return None if within is None else self.began + within
        return at + timeout if within is None else min(at + timeout, self.began + within)

    def judge(self, error: Exception) -> Judged:
        """What an error of an attempt means for this call."""
        live, retry = self.live, self.how.retry
        rules = live.rules if retry is live.how.retry else live.rules.retrying(retry)
        return rules.judge(error, stamp())

    async def permit(self, asked: Acquisition) -> Permit:
        """The permit that was asked for, by the call's own deadline."""
        within = self.how.retry.deadline
        if within is None:
            return await asked
        with CancelScope(deadline=self.began + within):
            return await asked
        raise PermitRefused(
            self.live.budget or "", "it did not come by the call's deadline", math.inf
        )

    async def goes_on(self, attempt: Attempt) -> bool:
        """The attempt failed: tell, and wait for the next one, if there is to be one."""
        delay = self._decide(attempt)
        if delay is None:
            return False
        live = self.live
        live.retrying += 1
        try:
            await sleep(delay)
        except BaseException:
            self.cut_short()
            raise
        finally:
            live.retrying -= 1
        self.number += 1
        live.count(RETRIES)
        return True

    def _decide(self, attempt: Attempt) -> float | None:
        live, error, judged = self.live, attempt._error, attempt._judged
        assert error is not None
        assert judged is not None
        if self._retrying is None:
            self._retrying = Attempts(self.how.retry, self.began, current_effective_deadline())
        now, refused = live.clock(), attempt._at is None
        if self.has_fallback and isinstance(error, BreakerOpen) and error.guard == live.name:
            judged = replace(judged, retry=False)  # who may serve at once need not wait
        live.pay_back()
        delay, self._rule = self._retrying.failed(
            judged,
            error_line(error),
            now,
            live.tree.draw(),
            live.retry_tokens,
            was_retried(error, self._before),
        )
        if refused:
            live.count(REJECTED if isinstance(error, BreakerOpen) else REFUSED)
        else:
            live.count(ATTEMPTS)
            self._tell(error, attempt, delay or 0.0, now)
        live.tell()
        if self.error is None or not refused:
            self.error = error
        return delay

    def _tell(self, error: Exception, attempt: Attempt, delay: float, now: float) -> None:
        live, judged, at = self.live, attempt._judged, attempt._at
        assert judged is not None
        assert at is not None
        self._be_numbered()
        live.tree.bus.publish(
            AttemptFailed(
                now,
                self.path,
                self.life,
                live.name,
                self.recorded,
                self.number,
                error,
                judged.severity,
                self._rule,
                delay,
                now - at if self.timed or self.number > 1 else None,
                self.how.context,
            )
        )

    def _be_numbered(self) -> None:
        """It has failed: give it its number, if it has none yet."""
        if not self.recorded:
            self.live.tree.calls += 1
            self.recorded = self.live.tree.calls

    # --- how it ends ------------------------------------------------------------------------------

    def succeeded(self) -> None:
        """An attempt succeeded."""
        self.over, live = True, self.live
        if not self.recorded and self.number == 1:
            live.quiet += 1
            return
        live.count(ATTEMPTS)
        if not self.recorded:  # it was only refused before
            live.count(SUCCEEDED)
            return
        live.count(RECOVERED)
        now = live.clock()
        live.tree.bus.publish(
            CallRecovered(
                now, self.path, self.life, live.name, self.recorded, self.number, now - self.began
            )
        )

    def cut_short(self) -> None:
        """It was cancelled: in an attempt, or while it waited for the next."""
        if not self.over:
            self.over = True
            self.live.count(CANCELLED)

    def served(self, value: object, level: int) -> Served:
        """A fallback answered in the place of the call."""
        self.over = True
        live, error = self.live, self.error
        assert error is not None
        live.count(SERVED)
        why = error_line(error)
        live.tree.bus.publish(
            FallbackServed(live.clock(), self.path, self.life, live.name, self.recorded, level, why)
        )
        return Served(value, level, self.number, why)

    def give_up(
        self, inflight: BaseException | None = None, failures: Sequence[str] = ()
    ) -> Served:
        """The last real error, with a note of what was tried, unless it is on its way already; or
        the last result, if that is what was wrong.

        Raises:
            Exception: that error.
            FallbackFailed: there were fallbacks, and they failed, too.
        """
        self.over = True
        self.live.count(FAILED)
        error, self.error = self._noted(), None
        try:
            if isinstance(error, BadResult):
                return Served(error.value, 0, self.number, str(error))
            if failures:
                raise _of_the_fallbacks(self.live.name, failures) from error
            if error is not inflight:
                raise_again(error)
            return Served(None)
        finally:
            del error, inflight  # what is raised has this frame, which must not have it as well

    def _noted(self) -> Exception:
        error, retrying = self.error, self._retrying
        assert error is not None
        assert retrying is not None
        self._be_numbered()  # also one that was only ever refused, for the guards further out
        note = retrying.note(self.live.clock(), self.live.name, self.recorded)
        if note is not None:
            note.put_on(error)
        return error


def _of_the_fallbacks(guard: str, failures: Sequence[str]) -> FallbackFailed:
    failed = FallbackFailed(guard)
    for failure in failures:
        failed.add_note(failure)
    return failed


def raise_again(error: Exception) -> NoReturn:
    """Raise it as it is: not in the context of what is being handled here, which may be a
    cancellation of ours, and would keep its task."""
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context
        del error, context
