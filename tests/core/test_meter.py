"""Counters over the last minutes: what is counted late is counted where it was."""

from __future__ import annotations

import pytest

from supervisor._core.meter import WINDOWS, Meter


@pytest.mark.parametrize("seconds", [10, 60, 90, 300, 900, 3600, 24 * 3600])
@pytest.mark.parametrize("window", WINDOWS)
def test_what_came_evenly_is_spread_evenly(seconds: float, window: float) -> None:
    meter = Meter(1, 0.0)

    meter.spread((0,), 2 * seconds, 0.0, seconds)

    [told], _ = meter.within(window, seconds)
    assert told == pytest.approx(2 * min(window, seconds), abs=2 * 10)
    assert meter.totals == [pytest.approx(2 * seconds)]
