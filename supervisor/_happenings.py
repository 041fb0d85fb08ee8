"""The events: one frozen value for every decision, with the rule and the numbers behind it.

``at`` is in seconds of the tree's clock (``anyio.current_time()``), ``path`` names the child or the
supervisor concerned, ``life`` numbers its runs from 1. Events of text and numbers only are no work
for the garbage collector (``gc=False``).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from supervisor._words import Condition, Forced, HoldOwner, Severity

Action: TypeAlias = Literal["restart", "quarantine", "escalate", "finish", "forget", "none"]
Fate: TypeAlias = Literal["dropped", "dead letter", "once more", "its caller is told"]
Rule: TypeAlias = Literal[
    "restart type",  # permanent, transient, temporary
    "first start",  # of a child that somebody is adding: it failed, so it is not kept
    "group under way",  # its group was being restarted anyway
    "was to stop",  # it was to go down anyway, so nothing is decided
    "crashes within window",
    "probe failed",
    "half are quarantined",  # it would be quarantined, but then too many siblings would be
    "critical",  # it would be quarantined, but nothing may hold a critical child
    "intensity",
    "strict boot",
    "process-level",  # KeyboardInterrupt, SystemExit and their like
    "stuck",
    "significant",
    "asked",
]


AttemptRule: TypeAlias = Literal[
    "retried",  # after a delay
    "no retries",  # the guard makes none
    "retries used up",
    "not retried",  # an error of this kind does not go away by itself
    "retried further in",  # by a guard that the call went through
    "deadline",  # the delay would end past it
    "asked for too long",  # the service wants a longer rest than max_retry_after
    "retry budget",  # all calls together have used theirs up
]
BreakerRule: TypeAlias = Literal[
    "failures in a row",
    "failure rate",
    "slow calls",
    "probes failed",
    "no verdict in time",  # of the probes of a half-open breaker
]


class Verdict(Struct, frozen=True, gc=False):
    """What was decided about a life that ended by itself, by which rule, from which numbers.

    ``delay`` is in seconds, ``until`` is when the hold ends; ``attempt`` numbers the restarts of
    the present series; ``crashes`` were counted ``within`` so many seconds.
    """

    action: Action
    rule: Rule
    delay: float = 0.0
    until: float | None = None
    attempt: int = 0
    crashes: int = 0
    within: float = 0.0


class Event(Struct, frozen=True, tag=True):
    """What every event has."""

    at: float
    path: str


class Added(Event, frozen=True, gc=False):
    """A child was added to a running supervisor."""


class Deleted(Event, frozen=True, gc=False):
    """A child was deleted, or forgotten because nothing would bring it back."""


class Started(Event, frozen=True, gc=False):
    """A life began. ``ready`` at once if it does not report readiness; ``probe`` if it decides
    whether a quarantine ends."""

    life: int
    ready: bool = True
    probe: bool = False


class Ready(Event, frozen=True, gc=False):
    """A life reported that it is ready, ``took`` seconds after it began."""

    life: int
    took: float


class Declined(Event, frozen=True, gc=False):
    """A life answered that it is not to run."""

    life: int
    reason: str


class Returned(Event, frozen=True):
    """A life returned by itself."""

    life: int
    verdict: Verdict


class Crashed(Event, frozen=True):
    """A life raised. This is the one event of that failure: ``error`` is the whole exception.

    ``up`` is how long it had been ready, in seconds; ``phase`` is the state it crashed in.
    """

    life: int
    error: BaseException
    phase: Literal["starting", "ready", "stopping", "stuck"]
    up: float
    verdict: Verdict


class StopAsked(Event, frozen=True, gc=False):
    """A life was asked to end: by ``grace`` seconds of notice, then by cancellation; ``deadline``
    seconds after that it is stuck."""

    life: int
    reason: str
    grace: float
    deadline: float


class Stopped(Event, frozen=True, gc=False):
    """A life that was asked to end has ended, ``took`` seconds later. One that raises on its way out
    is told as :class:`Crashed` instead."""

    life: int
    took: float


class StopTimedOut(Event, frozen=True, gc=False):
    """A life did not end by its deadline. ``stack`` shows where it is, innermost last."""

    life: int
    waited: float
    stack: str


class Held(Event, frozen=True, gc=False):
    """A hold was put on a child: it is not wanted up until the hold is gone."""

    owner: HoldOwner
    reason: str
    until: float | None = None


class Released(Event, frozen=True, gc=False):
    """A hold was taken off before its time, or the one who set it let go."""

    owner: HoldOwner
    reason: str


class Quarantined(Event, frozen=True, gc=False):
    """A child was set aside after ``crashes`` crashes within ``within`` seconds, or after its probe
    failed: for ``open`` seconds, the ``times``-th time in a row. ``fallback`` names what is to run
    in its place."""

    rule: Rule
    until: float
    open: float
    crashes: int
    within: float
    times: int
    fallback: str | None = None


class Recovered(Event, frozen=True, gc=False):
    """A probe became ready and stayed up for ``up`` seconds: the quarantine is over."""

    life: int
    up: float


class PermitMissed(Event, frozen=True, gc=False):
    """A child restarts without the permit of ``budget`` that its restart was to take: there is
    none to be had, for this reason."""

    budget: str
    reason: str


class GroupRestarted(Event, frozen=True):
    """A supervisor's group is restarted because of ``cause``: ``members`` stop in reverse and start
    again in order, ``delay`` seconds from now at the earliest. One budget event."""

    cause: str
    members: tuple[str, ...]
    delay: float


class Booted(Event, frozen=True, gc=False):
    """A supervisor has started its children in order: each is ready, declined, or was tried once."""

    life: int
    took: float


class Escalated(Event, frozen=True):
    """A supervisor gives up: it stops its children in reverse and fails with its offenders."""

    rule: Rule
    offenders: tuple[str, ...]


class StopBegun(Event, frozen=True, gc=False):
    """A supervisor begins to stop its children in reverse, all of it by the time ``by``."""

    reason: str
    by: float


class Ended(Event, frozen=True):
    """A supervisor has ended: none of its children has a life, except those named as stuck. When
    these end after all, it is told once more, without them."""

    life: int
    stuck: tuple[str, ...] = ()


class ConditionChanged(Event, frozen=True):
    """The tree's condition has changed, or its reasons have."""

    condition: Condition


class GateShut(Event, frozen=True, gc=False):
    """The service of a budget said "too many, retry after": nothing of it is granted ``until`` then,
    in seconds of the tree's clock. ``path`` is the broker's."""

    budget: str
    until: float


class RateCut(Event, frozen=True, gc=False):
    """An adaptive budget was told "too many" and goes on at ``rate`` permits a second."""

    budget: str
    rate: float


class BudgetChanged(Event, frozen=True, gc=False):
    """A budget of the running broker was added, or its limit changed ``to`` another."""

    budget: str
    to: str


class LetterFailed(Event, frozen=True, gc=False):
    """A life ended while it had a letter of a mailbox open: what becomes of it. ``message`` is its
    repr, cut where it is long."""

    life: int
    mailbox: str
    message: str
    fate: Fate


class LettersLost(Event, frozen=True, gc=False):
    """Letters of a mailbox were not read: ``count`` since this was last told for want of room
    (``full``), or what the tree left at its end (``left``). ``path`` is that of the reader, of the
    tree if there was none."""

    mailbox: str
    count: int
    why: Literal["full", "left"]


class AttemptFailed(Event, frozen=True):
    """One attempt of a guarded call failed, the ``attempt``-th from 1. ``path`` and ``life`` are of
    the child that calls, the tree's own and 0 outside of children.

    ``rule`` says what follows: it is made again after ``delay`` seconds, or why not. ``took`` is how
    long the attempt was under way; ``None`` where nobody had looked at the clock: the first attempt
    of a call that waits for nothing but the service, where that would be a fifth of its cost.
    ``call`` numbers the calls of the tree; ``context`` is what the caller had to say of it.
    """

    life: int
    guard: str
    call: int
    attempt: int
    error: BaseException
    severity: Severity
    rule: AttemptRule
    delay: float
    took: float | None
    context: str = ""


class CallRecovered(Event, frozen=True, gc=False):
    """A guarded call that had failed before has succeeded at its ``attempt``-th attempt, ``took``
    seconds after it began; after it first failed, where that is when the clock was first looked at."""

    life: int
    guard: str
    call: int
    attempt: int
    took: float


class FallbackServed(Event, frozen=True, gc=False):
    """A guarded call failed, and the ``level``-th link of its guard's chain of fallbacks answered in
    its place. ``why`` is the call's error, as text."""

    life: int
    guard: str
    call: int
    level: int
    why: str


class BreakerOpened(Event, frozen=True, gc=False):
    """A guard's breaker has opened: calls are refused ``until`` then, for ``open`` seconds, the
    ``times``-th time in a row. ``cause`` is the last failure, as text. ``metrics only``: it would
    have opened, but lets them through."""

    guard: str
    rule: BreakerRule
    until: float
    open: float
    times: int
    cause: str
    metrics_only: bool = False


class BreakerHalfOpened(Event, frozen=True, gc=False):
    """The time of an open breaker is over: a probe is under way. ``rejected`` calls were refused
    meanwhile."""

    guard: str
    rejected: int


class BreakerClosed(Event, frozen=True, gc=False):
    """The probes of a half-open breaker succeeded, ``took`` seconds after it had first opened."""

    guard: str
    took: float


class BreakerForced(Event, frozen=True, gc=False):
    """An operator holds a breaker in a state, for a reason, ``until`` then or until it is released.
    ``state`` is ``None`` when it is released, or its time was over: it is closed then."""

    guard: str
    state: Forced | None
    reason: str
    until: float | None = None


class Dropped(Event, frozen=True, gc=False):
    """A subscriber was too slow: ``count`` events before this one were dropped for it."""

    count: int
