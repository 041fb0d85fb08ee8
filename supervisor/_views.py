"""Frozen pictures of a running tree: what ``snapshot()`` and ``explain()`` answer with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from supervisor._words import Condition, Hold, Outcome, Priority, RestartType, State

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
    """A tree at the moment ``at`` (seconds of the tree's clock)."""

    at: float
    condition: Condition
    root: ChildView


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
