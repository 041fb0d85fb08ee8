"""Plain data that every floor may import: the closed sets of words, outcomes, holds and paths."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

Priority: TypeAlias = Literal["low", "medium", "high", "critical"]
Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one"]
RestartType: TypeAlias = Literal["permanent", "transient", "temporary"]
AutoShutdown: TypeAlias = Literal["never", "any_significant", "all_significant"]
Boot: TypeAlias = Literal["patient", "strict"]
Binding: TypeAlias = Literal["final", "each"]
Jitter: TypeAlias = Literal["full", "equal", "none"]
State: TypeAlias = Literal["down", "starting", "ready", "stopping", "stuck"]
Status: TypeAlias = Literal["healthy", "degraded", "failed"]
OutcomeKind: TypeAlias = Literal["returned", "crashed", "cancelled", "declined"]
HoldOwner: TypeAlias = Literal[
    "backoff",  # an automatic restart that is not due yet
    "quarantine",  # too many crashes; the next life is a probe
    "permit",  # its delay is over; its restart waits for a permit of its supervisor's budget
    "group",  # a group restart that has not reached this member again
    "operator",  # somebody asked for it to be stopped
    "finished",  # it ended and its restart type does not bring it back
    "declined",  # it answered that it is not to run
    "stuck",  # it did not end by its deadline and gets no further life
    "standby",  # a fallback whose primary is not held
]

Severity: TypeAlias = Literal["low", "medium", "high", "critical"]
BreakerState: TypeAlias = Literal["closed", "open", "half-open"]
Forced: TypeAlias = Literal[
    "open",  # every call is refused, by an operator's word
    "disabled",  # every call is let through, and nothing is counted
    "metrics only",  # every call is let through; it counts, and tells when it would have opened
]

Complaint: TypeAlias = Literal["quarantined", "on its fallback", "not ready", "stuck", "failed"]


class Outcome(Struct, frozen=True):
    """How a life ended: ``error`` is set for ``crashed``, ``reason`` for ``declined``."""

    kind: OutcomeKind
    error: BaseException | None = None
    reason: str | None = None

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.kind}: {one_line(self.error)}"
        return f"{self.kind}: {self.reason}" if self.reason else self.kind


class Hold(Struct, frozen=True):
    """Why a child is not wanted up: whose hold it is, for what reason, and until when.

    ``until`` is in seconds of the tree's clock (``anyio.current_time()``); ``None`` means until its
    owner lets go.
    """

    owner: HoldOwner
    reason: str
    until: float | None = None


class Reason(Struct, frozen=True):
    """One reason why a tree is not healthy: the path of its owner and what is wrong there."""

    path: str
    what: Complaint


class Condition(Struct, frozen=True):
    """How the tree is: the worst of its reasons, and all of them, by path."""

    status: Status = "healthy"
    reasons: tuple[Reason, ...] = ()


def one_line(error: BaseException) -> str:
    """The error as one line: its type, and the first line of its text. Groups show their leaves."""
    if isinstance(error, BaseExceptionGroup):
        leaves = [one_line(leaf) for leaf in error.exceptions]
        return f"{type(error).__name__}[{'; '.join(leaves)}]"
    try:
        text = str(error).strip().split("\n", 1)[0]
    except Exception:  # somebody's own __str__; the tree must not fall over a line of prose
        text = "(its text cannot be shown)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def join(parent: str, name: str) -> str:
    """The path of the child ``name`` of ``parent``."""
    return f"{parent}/{name}" if parent else name
