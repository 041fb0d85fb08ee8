"""What one may know of a budget: how it is, and what happened to it."""

from __future__ import annotations

import math

from supervisor._core.meter import WINDOWS
from supervisor._core.permits import (
    ABANDONED,
    AT_ONCE,
    COST,
    GIVEN_BACK,
    REFUSED,
    SHED,
    THROTTLED,
    WAIT_TIME,
    WAITED,
    WOULD_WAIT,
    BudgetState,
)
from supervisor._core.waiting import RANKS
from supervisor._views import BudgetCondition, BudgetFigures, BudgetStatus


def status(state: BudgetState, now: float) -> BudgetStatus:
    """What the budget is like now."""
    state.look(now)
    bucket, gate = state.bucket, state.gate
    limit = state.budget.limit
    used = bucket.in_window(now)
    capacity = bucket.n if bucket.ring is not None else bucket.burst
    held = used if bucket.ring is not None else bucket.burst - bucket.available(now)
    lines = state.waiting.lines
    return BudgetStatus(
        name=state.name,
        state=_condition(state, now),
        mode=state.budget.mode,
        limit=None if limit is None else limit.n,
        per=None if limit is None else limit.per,
        burst=int(bucket.burst),
        rate=bucket.rate,
        used=held,
        remaining=int(bucket.available(now)),
        usage=held / capacity,
        reset_at=max(bucket.due(bucket.burst, now), now),
        not_before=gate.not_before if now < gate.not_before else None,
        waiting={RANKS[line.rank]: line.live for line in lines},
        longest_waiting=max(
            (now - line.head().asked_at for line in lines if line.live), default=0.0
        ),
        shares={name: state.share(rank) for rank, name in enumerate(RANKS)},
        learned=None if state.adaptive is None else state.adaptive.rate,
    )


def figures(state: BudgetState, now: float) -> tuple[BudgetFigures, ...]:
    """What happened in the last 1, 5 and 15 minutes, and since the beginning."""
    state.look(now)
    meter = state.meter
    windows: list[tuple[float | None, list[float], float]] = [
        (window, *meter.within(window, now)) for window in WINDOWS
    ]
    peak = max(peak for _, _, peak in windows)
    windows.append((None, meter.totals, peak))
    return tuple(
        _figures(state.name, window, totals, peak, min(window or math.inf, now - meter.since))
        for window, totals, peak in windows
    )


def _condition(state: BudgetState, now: float) -> BudgetCondition:
    if state.closed:
        return "closed"
    if state.paused:
        return "paused"
    return "shut" if now < state.gate.not_before else "open"


def _figures(
    name: str, window: float | None, totals: list[float], longest: float, seconds: float
) -> BudgetFigures:
    def by_class(place: int) -> dict[str, int]:
        return {RANKS[rank]: int(totals[place + rank]) for rank in range(4)}

    waited = sum(totals[WAITED : WAITED + 4])
    granted = int(totals[AT_ONCE]) + waited
    wait = sum(totals[WAIT_TIME : WAIT_TIME + 4])
    return BudgetFigures(
        name=name,
        window=window,
        granted=int(granted),
        waited=by_class(WAITED),
        refused=by_class(REFUSED),
        shed=by_class(SHED),
        abandoned=by_class(ABANDONED),
        cost=int(totals[COST]),
        given_back=int(totals[GIVEN_BACK]),
        throttled=int(totals[THROTTLED]),
        would_wait=int(totals[WOULD_WAIT]),
        average_wait=wait / granted if granted else 0.0,
        average_wait_of_waiting=wait / waited if waited else 0.0,
        longest_wait=longest,
        rate=(totals[COST] - totals[GIVEN_BACK]) / seconds if seconds > 0 else 0.0,
    )
