"""Frozen pictures of a running tree: what ``snapshot()`` and ``explain()`` answer with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from supervisor._words import (
    BreakerState,
    Condition,
    Forced,
    Hold,
    Outcome,
    Priority,
    RestartType,
    Severity,
    State,
)

Kind: TypeAlias = Literal["component", "resource", "broker", "supervisor"]
BudgetCondition: TypeAlias = Literal["open", "shut", "paused", "closed"]


class ChildView(Struct, frozen=True):
    """A child at one moment.

    ``since`` is when it entered ``state``, in seconds of the tree's clock. ``holds`` say why it is
    not wanted up, ``waits_for`` the paths of what it waits for although it is. ``attempt`` numbers
    the automatic restarts of the present series, ``crashes`` are those within its quarantine's
    window. ``outcome`` is that of its last life that ended. A supervisor has ``children``.
    """

    path: str
    name: str
    kind: Kind
    state: State
    since: float
    life: int
    priority: Priority
    restart: RestartType
    holds: tuple[Hold, ...] = ()
    waits_for: tuple[str, ...] = ()
    attempt: int = 0
    crashes: int = 0
    probe: bool = False
    outcome: Outcome | None = None
    fallback: ChildView | None = None
    children: tuple[ChildView, ...] = ()

    def walk(self) -> Iterator[ChildView]:
        """This child, its fallback, and all below it, in start order."""
        yield self
        if self.fallback is not None:
            yield from self.fallback.walk()
        for child in self.children:
            yield from child.walk()


class TreeView(Struct, frozen=True):
    """A tree at the moment ``at`` (seconds of the tree's clock), with the budgets of its brokers and
    the guards that were called."""

    at: float
    condition: Condition
    root: ChildView
    budgets: tuple[BudgetStatus, ...] = ()
    guards: tuple[GuardStatus, ...] = ()


class Explanation(Struct, frozen=True):
    """Why a child is as it is: print it. ``view`` has the facts, ``lines`` say them."""

    at: float
    view: ChildView
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.lines)


class BudgetStatus(Struct, frozen=True, kw_only=True):
    """A budget at one moment. Times are in seconds of the tree's clock.

    ``rate`` is the permits a second that it refills by at present, with a ramp or what was learned
    taken into account; ``learned`` is the latter alone. ``used`` of ``limit`` permits were granted
    in the last ``per`` seconds; for a smooth limit, ``used`` is what is missing from the burst.
    ``remaining`` could be had at once, and at ``reset_at`` the whole burst if nobody takes any until
    then. ``not_before`` is set while a service has asked for a rest.
    """

    name: str
    state: BudgetCondition
    mode: Literal["enforce", "shadow"]
    limit: float | None
    per: float | None
    burst: int
    rate: float
    used: float
    remaining: int
    usage: float
    reset_at: float
    not_before: float | None
    waiting: Mapping[str, int]
    longest_waiting: float
    shares: Mapping[str, float]
    learned: float | None


class BudgetFigures(Struct, frozen=True, kw_only=True):
    """What happened to a budget within a ``window`` of seconds up to now; ``None`` for all time.

    ``granted`` counts all permits, whatever they cost. By priority are counted those that had
    ``waited``, and requests ``refused`` at once, ``shed`` for a higher class, ``abandoned`` by who
    had asked. ``cost`` is what all the granted cost, ``given_back`` what of it came back unused,
    ``throttled`` how many calls the service answered by "too many", and ``would_wait`` how many
    would have waited if the budget were enforced. Waits are in seconds: ``average_wait`` over all
    that were granted, ``average_wait_of_waiting`` over those that waited. ``rate`` is the cost a
    second, net of what came back.
    """

    name: str
    window: float | None
    granted: int
    waited: Mapping[str, int]
    refused: Mapping[str, int]
    shed: Mapping[str, int]
    abandoned: Mapping[str, int]
    cost: int
    given_back: int
    throttled: int
    would_wait: int
    average_wait: float
    average_wait_of_waiting: float
    longest_wait: float
    rate: float


class BrokerStatistics(Struct, frozen=True, kw_only=True):
    """What happened to all budgets of the broker at ``path``: for each the figures of the last 1, 5
    and 15 minutes, and of all time. ``passed`` counts the permits of budgets that it does not
    have."""

    at: float
    path: str
    budgets: Mapping[str, tuple[BudgetFigures, ...]]
    passed: int


class DeadLetter(Struct, frozen=True):
    """The message of a letter that was open when a life of its reader, ``path``, ended."""

    message: Any
    path: str
    life: int
    at: float
    cause: str


class MailboxStatistics(Struct, frozen=True):
    """A mailbox at one moment. Of letters ``received``, each ``waits``, is ``open`` (taken and not
    settled), or was

    - ``handled``: settled by the life that took it, answered or not;
    - ``failed``: open when a life ended; of these, ``dead`` became dead letters;
    - ``dropped``: for want of room;
    - ``expired``: a call that nobody read while its caller waited;
    - ``left``: a cast that nobody had read by the end of the tree.

    ``redelivered`` counts letters that got a second life. Not received were those ``rejected``
    (full, closed) and ``withdrawn`` (their sender was cancelled while it waited for room).
    ``senders`` wait for room. ``longest_wait`` of a letter until it was read is in seconds.
    ``reader`` is the path of the child that reads, if one has.
    """

    name: str
    capacity: int
    reader: str | None
    closed: bool
    waits: int
    senders: int
    open: int
    received: int
    handled: int
    failed: int
    dead: int
    dropped: int
    expired: int
    left: int
    redelivered: int
    rejected: int
    withdrawn: int
    longest_wait: float


class BreakerStatus(Struct, frozen=True, kw_only=True):
    """A breaker at one moment. Times are in seconds of the tree's clock.

    ``forced`` is set while an operator holds it, with his ``reason`` and ``until`` when. ``retry_at``
    is when a call may be let through again, if none is now. ``probes`` are under way, ``good`` and
    ``bad`` have ended. Of the last window: ``calls``, ``failures`` and ``slow`` ones; ``in_a_row``
    are the failures since the last success. ``times`` it has opened in a row, ``trips`` in all;
    ``rejected`` calls in all.
    """

    state: BreakerState
    since: float
    forced: Forced | None
    reason: str
    until: float | None
    retry_at: float | None
    cause: str
    probes: int
    good: int
    bad: int
    calls: int
    failures: int
    slow: int
    in_a_row: int
    times: int
    trips: int
    rejected: int


class GuardFigures(Struct, frozen=True, kw_only=True):
    """What happened to a guard within a ``window`` of seconds up to now; ``None`` for all time.

    ``calls`` ended, of which ``succeeded`` at once, were ``recovered`` by a retry, were ``served`` by
    a fallback, ``failed``, or were ``cancelled``. ``attempts`` were made, of which ``retries``;
    ``throttled`` ones were answered by "too many", ``timed_out`` took too long. ``rejected`` were
    refused by the breaker, ``refused`` by the broker. ``success_rate`` is that of calls that were
    not cancelled; ``None`` where there are none.
    """

    window: float | None
    calls: int
    succeeded: int
    recovered: int
    served: int
    failed: int
    cancelled: int
    attempts: int
    retries: int
    throttled: int
    timed_out: int
    rejected: int
    refused: int
    success_rate: float | None


class GuardStatus(Struct, frozen=True, kw_only=True):
    """A guard at one moment: ``under_way`` are its calls, ``retrying`` those of them that wait for
    their next attempt, ``retry_tokens`` what is left of the retries' budget. ``figures`` are of the
    last 1, 5 and 15 minutes, and of all time."""

    name: str
    budget: str | None
    breaker: BreakerStatus | None
    under_way: int
    retrying: int
    retry_tokens: float
    figures: tuple[GuardFigures, ...]


Resolution: TypeAlias = Literal[
    "retried",  # a later attempt of the same call succeeded
    "fallback",  # a fallback served in its place
    "restarted",  # a later life stayed up
    "finished",  # a later life did what it was to do, and returned
    "breaker closed",  # the service is well again
]


class ErrorRecord(Struct, frozen=True, kw_only=True):
    """A failed attempt of a guarded call, or a crashed life: text and numbers, no live objects.

    ``at`` is in seconds of the tree's clock, ``time`` the wall clock's, in seconds since 1970.
    ``component`` is the child's path, ``life`` its number. ``guard`` and ``call`` are empty and 0
    for a crash. ``attempt`` numbers the attempts of the call from 1, or the restarts in a row.
    ``fingerprint`` is the same for errors of one type, place and message (numbers and quoted words
    left out); ``where`` is the innermost own frame.
    """

    id: int
    at: float
    time: float
    component: str
    life: int
    type: str
    message: str
    severity: Severity
    fingerprint: str
    where: str
    guard: str = ""
    call: int = 0
    attempt: int = 1
    context: str = ""
    resolved: bool = False
    resolution: Resolution | None = None
    resolved_at: float | None = None


class ErrorGroup(Struct, frozen=True, kw_only=True):
    """All errors of one fingerprint: how many, and when the first and the last were, in seconds of
    the tree's clock."""

    fingerprint: str
    type: str
    message: str
    where: str
    count: int
    first: float
    last: float


class ErrorSummary(Struct, frozen=True, kw_only=True):
    """The errors of a tree, or of what is at or below a ``path``.

    ``within`` has the number of errors in the last 1, 5, 15 and 60 minutes, by those seconds.
    ``by_component``, ``by_severity`` and ``by_type`` count those of the last hour, ``most_common``
    the five most frequent ``component:type`` of the last hundred. ``recovery_rate`` is the share of
    those kept that are resolved; ``None`` where there are none. ``breakers`` has the state of each
    guard's breaker, ``trips`` how often all of them have opened; of a path, of the guards that its
    errors came through. ``groups`` are all of the tree, of a path those of the records kept.
    ``forgotten`` records, and ``groups_forgotten``, had to make room for newer ones. Where too many
    components fail at once to be told apart, ``supervisor/*`` stands for the others.
    """

    at: float
    path: str
    total: int
    within: Mapping[float, int]
    by_component: Mapping[str, int]
    by_severity: Mapping[str, int]
    by_type: Mapping[str, int]
    most_common: tuple[tuple[str, int], ...]
    groups: tuple[ErrorGroup, ...]
    resolved: int
    recovery_rate: float | None
    breakers: Mapping[str, str]
    trips: int
    forgotten: int
    groups_forgotten: int
