"""What a guard counts, and its figures over the last 1, 5 and 15 minutes."""

from __future__ import annotations

from typing import Final

from supervisor._core.meter import WINDOWS, Meter
from supervisor._views import GuardFigures

(
    SUCCEEDED, RECOVERED, SERVED, FAILED, CANCELLED, ATTEMPTS, RETRIES, THROTTLED, TIMED_OUT,
    REJECTED, REFUSED,
) = range(11)  # fmt: skip
KINDS: Final = REFUSED + 1


def figures(meter: Meter, now: float) -> tuple[GuardFigures, ...]:
    """The figures of each window, and of all time."""
    windows = [_figures(meter.within(window, now)[0], window) for window in WINDOWS]
    return (*windows, _figures(meter.totals, None))


def _figures(totals: list[float], window: float | None) -> GuardFigures:
    counts = [round(total) for total in totals]
    answered = counts[SUCCEEDED] + counts[RECOVERED]
    ended = answered + counts[SERVED] + counts[FAILED]
    calls = ended + counts[CANCELLED]
    return GuardFigures(
        window=window,
        calls=calls,
        succeeded=counts[SUCCEEDED],
        recovered=counts[RECOVERED],
        served=counts[SERVED],
        failed=counts[FAILED],
        cancelled=counts[CANCELLED],
        attempts=counts[ATTEMPTS],
        retries=counts[RETRIES],
        throttled=counts[THROTTLED],
        timed_out=counts[TIMED_OUT],
        rejected=counts[REJECTED],
        refused=counts[REFUSED],
        success_rate=answered / ended if ended else None,
    )
