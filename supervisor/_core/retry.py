"""Whether and when a call that failed is made again, and the budget that all its retries share.

Draws are numbers in [0, 1) that the caller supplies. A delay is capped before it is drawn, so that
calls at the cap stay spread; what a service asks for is a lower bound, and only lengthened by chance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from math import inf, ulp
from typing import Final, Self

from supervisor._core.backoff import grown
from supervisor._core.classify import Judged
from supervisor._happenings import AttemptRule
from supervisor._spec.guards import Retry

LONGER: Final = 0.25
"""Of a rest that was asked for: by so much, at most, it is lengthened, so that not all come back at
once."""

KEPT: Final = 10
"""So many of a call's errors, the last ones, stand in its note."""

LONG: Final = 100
"""So many characters of an error's text."""

BURST: Final = 10.0
"""Seconds of ``reserve`` that are saved up, and the least that is, in retries."""

ROUNDING: Final = 1e-9
"""Of a token: what adding up shares may have lost."""

UNTRIED: Final = ("no retries", "not retried", "retried further in")

LOOKED_AT: Final = 100
"""So many errors behind one error are looked at."""


class Tried(str):
    """The note that a call's error gets: what was tried before it was given up.

    ``at`` numbers the call among those that failed. It is no time: a call may begin in the instant
    in which another has failed.
    """

    __slots__ = ("at", "calls", "guard", "rule", "took")

    guard: str
    calls: int
    rule: AttemptRule | None
    took: float
    at: int

    def __new__(
        cls,
        text: str,
        guard: str = "",
        calls: int = 1,
        rule: AttemptRule | None = None,
        took: float = 0.0,
        at: int = 0,
    ) -> Self:
        note = super().__new__(cls, text)
        note.guard, note.calls, note.rule, note.took, note.at = guard, calls, rule, took, at
        return note

    @property
    def retried(self) -> bool:
        """Whether it was, or was refused for the sake of the service, so that nobody else should."""
        return self.calls > 1 or self.rule == "retry budget"

    def put_on(self, error: BaseException) -> None:
        """Note it. An error raised again and again has one note of each guard, the last."""
        with suppress(Exception):  # a stranger's error, with notes of its own kind
            notes = _notes(error)
            notes[:] = [note for note in notes if not self._replaces(note)]
            error.add_note(self)

    def _replaces(self, note: object) -> bool:
        return isinstance(note, Tried) and note.guard == self.guard


def was_retried(error: BaseException, since: int) -> bool:
    """Whether a guard further in has retried what this error comes of.

    It is looked for in the notes of the error, of the leaves of a group, and of what caused it.

    Args:
        error: the error.
        since: the number of the last call that had failed when this one began. A note that is not
            later is of another call: one that raised the same object, or whose error the caller was
            handling when it made this call, for Python makes that the context of this one's.
    """
    return any(
        isinstance(note, Tried) and note.retried and note.at > since
        for behind in _behind(error)
        for note in _notes(behind)
    )


def _behind(error: BaseException) -> Iterator[BaseException]:
    """An error, and all errors that it comes of: each once, the nearest first, some at most."""
    waiting = deque([error])
    seen: set[int] = set()
    while waiting and len(seen) < LOOKED_AT:
        behind = waiting.popleft()
        if id(behind) in seen:
            continue
        seen.add(id(behind))
        yield behind
        if isinstance(behind, BaseExceptionGroup):
            waiting.extend(behind.exceptions[:LOOKED_AT])
        waiting.extend(e for e in (behind.__cause__, behind.__context__) if e is not None)


def _notes(error: BaseException) -> list[object]:
    try:
        notes = getattr(error, "__notes__", None)
    except Exception:  # somebody's own __getattr__
        return []
    return notes if isinstance(notes, list) else []


class RetryBudget:
    """The tokens of all retries of one guard: each takes one."""

    __slots__ = ("_most", "_reserve", "_share", "_stamp", "_tokens")

    def __init__(self, policy: Retry, now: float) -> None:
        self._share = float(policy.share)
        self._reserve = float(policy.reserve)
        self._tokens = BURST * self._reserve
        self._most = max(self._tokens, BURST if self._share else 0.0)
        self._stamp = now

    def take(self, now: float) -> bool:
        """Take a token for a retry, if there is one."""
        self._refill(now)
        if self._tokens + ROUNDING < 1:
            return False
        self._tokens = max(0.0, self._tokens - 1)
        return True

    def put_back(self, calls: int = 1) -> None:
        """So many calls have succeeded at once: so much more may be retried."""
        self._tokens = min(self._most, self._tokens + self._share * calls)

    def left(self, now: float) -> float:
        """The tokens that there are."""
        self._refill(now)
        return self._tokens

    def _refill(self, now: float) -> None:
        elapsed = now - self._stamp
        if elapsed > 0 and self._reserve < inf:
            self._tokens = min(self._most, self._tokens + elapsed * self._reserve)
            self._stamp = now


class Attempts:
    """One call and its attempts, from the first that failed: all of it is on the call's stack."""

    __slots__ = ("_deadline", "_delay", "_errors", "_policy", "_since", "calls", "rule")

    def __init__(self, policy: Retry, now: float, deadline: float = inf) -> None:
        """
        Args:
            policy: how it is retried.
            now: when the call began.
            deadline: when all of it is to be over, in seconds of the same clock; the policy's own
                may be sooner.
        """
        self._policy = policy
        self._since = now
        self._deadline = (
            deadline if policy.deadline is None else min(deadline, now + policy.deadline)
        )
        self._delay = policy.base
        self._errors: deque[str] = deque(maxlen=KEPT)
        self.calls = 0
        self.rule: AttemptRule | None = None

    def failed(
        self,
        judged: Judged,
        error: str,
        now: float,
        draw: float,
        budget: RetryBudget,
        nested: bool,
    ) -> tuple[float | None, AttemptRule]:
        """An attempt has failed: after how many seconds the next one is due, or ``None``; and by
        which rule.

        Args:
            judged: what the error means.
            error: the error as text.
            now: when it failed.
            draw: a number in [0, 1).
            budget: what all calls of the guard share.
            nested: a guard further in has retried it.
        """
        self.calls += 1
        self._errors.append(f"{error[:LONG]} {now - self._since:.1f} s")
        delay, self.rule = self._decided(judged, now, draw, nested)
        if delay is not None and not budget.take(now):
            delay, self.rule = None, "retry budget"
        return delay, self.rule

    def _decided(
        self, judged: Judged, now: float, draw: float, nested: bool
    ) -> tuple[float | None, AttemptRule]:
        policy = self._policy
        if policy.retries == 0:
            return None, "no retries"
        if not judged.retry:
            return None, "not retried"
        if nested and policy.nested == "off":
            return None, "retried further in"
        if policy.retries is not None and self.calls > policy.retries:
            return None, "retries used up"
        rest = _rest(judged, now)
        if rest > policy.max_retry_after:
            return None, "asked for too long"
        delay = max(self._drawn(draw), rest * (1 + LONGER * draw))
        if now + delay >= self._deadline:
            return None, "deadline"
        return delay, "retried"

    def _drawn(self, draw: float) -> float:
        """The delay of the policy alone."""
        policy = self._policy
        if policy.jitter == "decorrelated":
            high = min(policy.cap, (policy.factor + 1) * self._delay)
            low = min(policy.base, policy.cap / 2)  # a base at the cap would leave nothing to draw
            self._delay = low + (high - low) * draw
            return self._delay
        most = grown(policy.base, policy.factor, self.calls - 1, policy.cap)
        if policy.jitter == "full":
            return most * draw
        return most * (0.5 + 0.5 * draw) if policy.jitter == "equal" else most

    def note(self, now: float, guard: str = "", at: int = 0) -> Tried | None:
        """What was tried, once it is given up by this guard, in the call of that number; ``None``
        where there is nothing to tell: the one call has failed, and that was that."""
        if self.calls == 1 and self.rule in UNTRIED:
            return None
        took = now - self._since
        who = f"guard {guard!r} gave up" if guard else "gave up"
        calls = f"{self.calls} call{'s' * (self.calls != 1)}"
        errors = [*self._errors]
        if self.calls > len(errors):
            errors.insert(0, f"{self.calls - len(errors)} before")
        text = f"{who} after {calls} in {took:.1f} s: {self.rule}; {', '.join(errors)}"
        return Tried(text, guard, self.calls, self.rule, took, at)


def _rest(judged: Judged, now: float) -> float:
    """Seconds for which the service, or our own refusal, wants to be left alone."""
    rest = judged.rest or 0.0
    if judged.retry_at is None or judged.retry_at <= now:
        return rest
    until = judged.retry_at - now
    if now + until < judged.retry_at:
        until += ulp(judged.retry_at)  # a moment too early is refused once more
    return max(rest, until)
