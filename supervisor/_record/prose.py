"""TELL: events, and the state of a child, as lines that a person reads at 3 a.m.

Pure: nothing here looks at a clock. ``wall`` turns seconds of the tree's clock into a date; where
it is not given, lines say how long and leave out until when.
"""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Callable, Iterator
from functools import singledispatch
from typing import Any, Final

from supervisor._errors import TreeFailed
from supervisor._happenings import (
    Added,
    Booted,
    BudgetChanged,
    ConditionChanged,
    Crashed,
    Declined,
    Deleted,
    Dropped,
    Ended,
    Escalated,
    Event,
    GateShut,
    GroupRestarted,
    Held,
    LetterFailed,
    LettersLost,
    PermitMissed,
    Quarantined,
    RateCut,
    Ready,
    Recovered,
    Released,
    Returned,
    Rule,
    Started,
    StopAsked,
    StopBegun,
    Stopped,
    StopTimedOut,
    Verdict,
)
from supervisor._record import calls
from supervisor._record.wording import (
    Wall,
    clock_time,
    count,
    duration,
    error_line,
    innermost,
    listed,
    ordinal,
    printable,
    sole,
    soon,
    until,
)
from supervisor._views import ChildView
from supervisor._words import HoldOwner, Outcome

WHY: Final[dict[Rule, str]] = {
    "restart type": "",
    "first start": "whoever added it is told",
    "group under way": "its group is being restarted anyway",
    "was to stop": "it was to stop anyway",
    "crashes within window": "",
    "probe failed": "its probe failed",
    "half are quarantined": "not quarantined, because too many of its siblings would be",
    "critical": "it is critical",
    "intensity": "its intensity is exceeded",
    "strict boot": "the boot is strict",
    "process-level": "such an exception ends the process",
    "stuck": "it is stuck",
    "significant": "it is significant",
    "asked": "it was asked for",
}
"""What stands behind a verdict; empty where the numbers beside it say everything."""

UNTIL: Final[dict[HoldOwner, str]] = {
    "backoff": "until it is due",
    "quarantine": "until a probe is due",
    "permit": "until it is granted",
    "group": "until its group has restarted as far as it",
    "operator": "until somebody starts it",
    "finished": "until somebody starts it",
    "declined": "until somebody starts it",
    "stuck": "it gets no further life",
    "standby": "until its primary is held",
}
"""What ends a hold that has no end time."""

_LEVELS: Final[dict[type[Event], int]] = {
    Added: logging.DEBUG,
    Deleted: logging.DEBUG,
    Ready: logging.DEBUG,
    StopAsked: logging.DEBUG,
    Stopped: logging.DEBUG,
    Booted: logging.INFO,
    Declined: logging.INFO,
    Recovered: logging.INFO,
    Released: logging.INFO,
    StopBegun: logging.INFO,
    BudgetChanged: logging.INFO,
    GateShut: logging.INFO,
    RateCut: logging.INFO,
    Dropped: logging.WARNING,
    GroupRestarted: logging.WARNING,
    PermitMissed: logging.WARNING,
    LetterFailed: logging.WARNING,
    LettersLost: logging.WARNING,
    Quarantined: logging.WARNING,
    Escalated: logging.ERROR,
    StopTimedOut: logging.ERROR,
    **calls.LEVELS,
}


def line(event: Event, *, wall: Wall | None = None) -> str:
    """The event as one line: who, what, why, and what happens next and when."""
    return printable(f"{subject(event.path, life_of(event))} {tell(event, wall)}")


def level(event: Event) -> int:
    """How loud the event is, as a level of :mod:`logging`.

    What happens to every child in good order is DEBUG, for there may be ten thousand of them; what
    a supervisor or an operator does is INFO, a failure that is dealt with WARNING, a loss ERROR.
    """
    fixed = _LEVELS.get(type(event))
    return _VARYING[type(event)](event) if fixed is None else fixed


def _of_return(event: Returned) -> int:
    return logging.WARNING if event.verdict.action in ("quarantine", "escalate") else logging.INFO


def _of_crash(event: Crashed) -> int:
    verdict = event.verdict
    dealt_with = (
        verdict.action in ("restart", "quarantine", "none") or verdict.rule == "first start"
    )
    return logging.WARNING if dealt_with else logging.ERROR


def _of_condition(event: ConditionChanged) -> int:
    loud = {"healthy": logging.INFO, "degraded": logging.WARNING, "failed": logging.ERROR}
    return loud[event.condition.status]


_VARYING: Final[dict[type[Event], Callable[[Any], int]]] = {
    Started: lambda event: logging.INFO if event.probe else logging.DEBUG,
    Returned: _of_return,
    Crashed: _of_crash,
    # Every hold but an operator's comes with an event that says more.
    Held: lambda event: logging.INFO if event.owner == "operator" else logging.DEBUG,
    Ended: lambda event: logging.ERROR if event.stuck else logging.INFO,
    ConditionChanged: _of_condition,
    **calls.VARYING,
}


def subject(path: str, life: int | None = None) -> str:
    """Whom a line is about."""
    who = path or "the tree"
    return f"{who} life {life}" if life else who


def life_of(event: Event) -> int | None:
    """The life that the event is about; ``None`` where it is about the child itself, or happened
    outside of children."""
    return getattr(event, "life", None) or None


@singledispatch
def tell(event: Event, wall: Wall | None) -> str:
    """What :func:`line` says after the subject."""
    raise NotImplementedError(f"no prose for {type(event).__name__}")


@tell.register
def _(event: Added, wall: Wall | None) -> str:
    return "added"


@tell.register
def _(event: Deleted, wall: Wall | None) -> str:
    return "deleted"


@tell.register
def _(event: Started, wall: Wall | None) -> str:
    text = "started as a probe" if event.probe else "started"
    return text if event.ready else f"{text}, not ready yet"


@tell.register
def _(event: Ready, wall: Wall | None) -> str:
    return f"ready after {duration(event.took)}"


@tell.register
def _(event: Declined, wall: Wall | None) -> str:
    return f"declined to run: {event.reason or 'no reason given'}"


@tell.register
def _(event: Returned, wall: Wall | None) -> str:
    return f"returned; {_next(event.verdict, finished='done')}"


@tell.register
def _(event: Crashed, wall: Wall | None) -> str:
    when = {
        "starting": "before it was ready",
        "ready": f"after {duration(event.up)}",
        "stopping": "while it was stopping",
        "stuck": "after it had been stuck",
    }[event.phase]
    return f"crashed {when}: {error_line(event.error)}; {_next(event.verdict)}"


@tell.register
def _(event: StopAsked, wall: Wall | None) -> str:
    if event.grace > 0:
        terms = f"has {duration(event.grace)} to end by itself, then is cancelled"
    else:
        terms = "is cancelled"
    if math.isfinite(event.deadline):
        terms += f", stuck {duration(event.deadline)} after that"
    return f"asked to stop: {event.reason}; {terms}"


@tell.register
def _(event: Stopped, wall: Wall | None) -> str:
    return f"stopped, {duration(event.took)} after it was asked to"


@tell.register
def _(event: StopTimedOut, wall: Wall | None) -> str:
    at = innermost(event.stack)
    where = f" in {at}" if at else ""
    return f"did not end within {duration(event.waited)}: stuck{where}; it gets no further life"


@tell.register
def _(event: Held, wall: Wall | None) -> str:
    end = until(event.at, event.until, wall) or UNTIL[event.owner]
    return f"held{_where('in', event.owner)}: {event.reason}; {end}"


@tell.register
def _(event: Released, wall: Wall | None) -> str:
    return f"released{_where('from', event.owner)}: {event.reason}"


@tell.register
def _(event: Quarantined, wall: Wall | None) -> str:
    why = f"{count(event.crashes, 'crash')} within {duration(event.within)}"
    if event.rule == "probe failed":
        why = f"its probe failed; the {ordinal(event.times)} quarantine in a row"
    end = f" until {clock_time(event.until, wall)}" if wall else ""
    stand_in = f"; {event.fallback} runs in its place" if event.fallback else ""
    return f"quarantined for {duration(event.open)}{end}: {why}{stand_in}"


@tell.register
def _(event: PermitMissed, wall: Wall | None) -> str:
    return f"restarts without a permit of {event.budget}: {event.reason}"


@tell.register
def _(event: Recovered, wall: Wall | None) -> str:
    return f"recovered: its probe has been ready for {duration(event.up)}; the quarantine is over"


@tell.register
def _(event: GroupRestarted, wall: Wall | None) -> str:
    group = f"a group of {len(event.members)}"
    return (
        f"restarts {group} {soon(event.delay)}, because of {event.cause}: {listed(event.members)}"
    )


@tell.register
def _(event: Booted, wall: Wall | None) -> str:
    return f"booted in {duration(event.took)}"


@tell.register
def _(event: Escalated, wall: Wall | None) -> str:
    why = WHY[event.rule] or event.rule
    return f"gives up and stops its children, because of {listed(event.offenders)}: {why}"


@tell.register
def _(event: StopBegun, wall: Wall | None) -> str:
    within = event.by - event.at
    limit = f" within {duration(within)}" if math.isfinite(within) else ""
    return f"stops its children in reverse{limit}: {event.reason}"


@tell.register
def _(event: Ended, wall: Wall | None) -> str:
    return f"ended, but for what is stuck: {listed(event.stuck)}" if event.stuck else "ended"


@tell.register
def _(event: ConditionChanged, wall: Wall | None) -> str:
    reasons = listed(f"{subject(r.path)} {r.what}" for r in event.condition.reasons)
    return f"is {event.condition.status}" + (f": {reasons}" if reasons else "")


@tell.register
def _(event: GateShut, wall: Wall | None) -> str:
    rest = until(event.at, event.until, wall)
    return f"grants nothing of {event.budget} {rest}, as its service asked for"


@tell.register
def _(event: RateCut, wall: Wall | None) -> str:
    return f"was told too many of {event.budget}; goes on at {event.rate:.3g} a second"


@tell.register
def _(event: BudgetChanged, wall: Wall | None) -> str:
    return f"has the budget {event.budget} changed to {event.to}"


@tell.register
def _(event: LetterFailed, wall: Wall | None) -> str:
    fate = {
        "dropped": "it is dropped",
        "dead letter": "it is a dead letter",
        "once more": "the next life gets it once more",
        "its caller is told": "its caller is told",
    }[event.fate]
    return f"ended in the middle of a letter of mailbox {event.mailbox}: {event.message}; {fate}"


@tell.register
def _(event: LettersLost, wall: Wall | None) -> str:
    letters = count(event.count, "letter")
    if event.why == "full":
        return f"had {letters} dropped from mailbox {event.mailbox}, which is full"
    return f"left {letters} in mailbox {event.mailbox}, which nobody reads any more"


@tell.register
def _(event: Dropped, wall: Wall | None) -> str:
    return f"had a subscriber too slow for {count(event.count, 'event')}, which it never got"


for _kind, _tell in calls.TELL.items():
    tell.register(_kind)(_tell)


def _next(verdict: Verdict, *, finished: str = "stays down by its restart type") -> str:
    if verdict.action == "none":
        return WHY[verdict.rule] or "nothing follows"
    if verdict.action == "restart" and verdict.rule == "group under way":
        return "restarts with its group"
    if verdict.rule == "first start":
        finished = "not kept"
    what = {
        "restart": f"restarts {soon(verdict.delay)}",
        "quarantine": f"quarantined for {duration(verdict.delay)}",
        "escalate": "its supervisor gives up",
        "finish": finished,
        "forget": f"{finished}; forgotten",
    }[verdict.action]
    notes = "; ".join(_notes(verdict))
    return f"{what} ({notes})" if notes else what


def _notes(verdict: Verdict) -> Iterator[str]:
    if verdict.action == "restart" and verdict.attempt > 1:
        yield f"{ordinal(verdict.attempt)} in a row"
    if WHY[verdict.rule]:
        yield WHY[verdict.rule]
    if verdict.crashes and verdict.within:
        of = "restart" if verdict.rule == "intensity" else "crash"
        yield f"{count(verdict.crashes, of)} within {duration(verdict.within)}"


def explain_lines(view: ChildView, now: float, *, wall: Wall | None = None) -> tuple[str, ...]:
    """Why the child is as it is: its state and since when, each hold and what ends it, what it
    waits for, and how its last life ended."""
    return tuple(printable(text) for text in _explain(view, now, wall))


def _explain(view: ChildView, now: float, wall: Wall | None) -> Iterator[str]:
    yield f"{subject(view.path)} {_state(view, now, wall)}"
    for hold in view.holds:
        end = until(now, hold.until, wall) or UNTIL[hold.owner]
        yield f"  held{_where('in', hold.owner)}: {hold.reason}; {end}"
    if view.waits_for:
        yield f"  waits for {listed(view.waits_for)}"
    if view.attempt:
        due = " is next" if view.state == "down" else ""
        yield f"  {ordinal(view.attempt)} automatic restart in a row{due}"
    if view.crashes:
        yield f"  {count(view.crashes, 'crash')} within its quarantine's window"
    if view.outcome is not None:
        yield f"  its last life that ended {_ended(view.outcome)}"
    if view.fallback is not None:
        yield f"  its fallback {view.fallback.path} {_state(view.fallback, now, wall)}"
    unready = [child.path for child in view.children if child.state != "ready"]
    if unready:
        of = count(len(view.children), "child")
        yield f"  {len(unready)} of its {of} not ready: {listed(unready)}"


def _state(view: ChildView, now: float, wall: Wall | None) -> str:
    if not view.life:
        return f"is {view.state}; it has never run"
    since = f", since {clock_time(view.since, wall)}" if wall else ""
    probe = ", a probe" if view.probe and view.state != "down" else ""
    return f"is {view.state} for {duration(now - view.since)}{since}; life {view.life}{probe}"


def _ended(outcome: Outcome) -> str:
    verb = "was cancelled" if outcome.kind == "cancelled" else outcome.kind
    why = error_line(outcome.error) if outcome.error is not None else outcome.reason
    return f"{verb}: {why}" if why else verb


def account(failure: TreeFailed) -> str:
    """Why a tree failed, for the person who finds its process gone: for each offender what was
    tried, its last error, and where that came from."""
    lines = [printable(failure.message)]
    for leaf in failure.exceptions:
        # The supervisor's own note, with path and life, was added last.
        lines += [f"  {printable(note)}" for note in reversed(getattr(leaf, "__notes__", ()))]
        lines.append(f"    {printable(_with_place(leaf))}")
    return "\n".join(lines)


def _with_place(error: BaseException) -> str:
    error = sole(error)
    place = innermost("".join(traceback.format_tb(error.__traceback__)))
    return f"{error_line(error)}; in {place}" if place else error_line(error)


def _where(preposition: str, owner: HoldOwner) -> str:
    # Of the other holds the reason says whose they are.
    return f" {preposition} {owner}" if owner in ("backoff", "quarantine") else ""
