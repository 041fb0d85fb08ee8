"""A limit is called unreachable exactly when a simulated child that crashes all the time spares it."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from supervisor import Backoff, Intensity, Quarantine
from supervisor._core import backoff as real
from supervisor._spec.reach import (
    LONGEST,
    crashes_within,
    intensity_is_reachable,
    quarantine_is_reachable,
)

# Quarters and halves, so that sums of them are exact in floats, and orders of adding do not matter.
seconds = st.integers(0, 80).map(lambda quarters: quarters / 4)
backoffs = st.builds(
    Backoff,
    first=seconds,
    base=seconds,
    factor=st.sampled_from([1, 2, 4]),
    cap=seconds,
    jitter=st.sampled_from(["full", "equal", "none"]),
    reset_after=seconds | st.just(math.inf),
)


def most(window: float, life: float, policy: Backoff, crashes: int) -> int:
    """So many of the crashes fit into a sliding window, if each life lasts so long.

    The delays are those of the machine itself, at the mean of its draws.
    """
    now, attempt, times = 0.0, 0, []
    for _ in range(crashes + 2):
        now += life
        if life >= policy.reset_after:
            attempt = 0
        times.append(now)
        attempt += 1
        now += real.delay(policy, attempt, 0.5)
    return max(sum(1 for time in times if end - window < time <= end) for end in times)


@given(backoff=backoffs, within=seconds.filter(bool), crashes=st.integers(1, 25))
@example(backoff=Backoff(first=12, base=0, jitter="none"), within=60.0, crashes=5)
@example(backoff=Backoff(first=60, reset_after=0), within=60.0, crashes=2)
@example(backoff=Backoff(first=60, base=0), within=60.0, crashes=5)
@settings(max_examples=200, deadline=None)
def test_a_quarantine_is_reachable_if_a_simulated_child_reaches_it(
    backoff: Backoff, within: float, crashes: int
) -> None:
    lives = {0.0, backoff.reset_after} - {math.inf}
    reached = any(most(within, each, backoff, crashes) >= crashes for each in lives)
    policy = Quarantine(crashes=crashes, within=within)
    assert quarantine_is_reachable(policy, backoff) == reached


@given(
    several=st.lists(st.tuples(backoffs, st.integers(1, 3)), max_size=3),
    within=seconds.filter(bool),
    restarts=st.integers(0, 20),
)
@settings(max_examples=150, deadline=None)
def test_an_intensity_is_reachable_if_simulated_children_reach_it_together(
    several: list[tuple[Backoff, int]], within: float, restarts: int
) -> None:
    enough, together = restarts + 1, 0
    for backoff, children in several:
        lives = {0.0, backoff.reset_after} - {math.inf}
        together += children * max(most(within, each, backoff, enough) for each in lives)
    assert intensity_is_reachable(Intensity(restarts, within), several) == (together >= enough)


@given(backoff=backoffs, within=seconds.filter(bool), more=seconds)
def test_a_longer_window_is_never_harder_to_reach(
    backoff: Backoff, within: float, more: float
) -> None:
    assert crashes_within(within, backoff, 50) <= crashes_within(within + more, backoff, 50)


def test_the_window_is_open_at_one_end() -> None:
    backoff = Backoff(first=5, base=5, factor=1, jitter="none")
    assert not quarantine_is_reachable(Quarantine(crashes=3, within=10), backoff)
    assert quarantine_is_reachable(Quarantine(crashes=3, within=10.1), backoff)


def test_no_restarts_at_all_is_always_reached() -> None:
    assert intensity_is_reachable(Intensity(0, 0.001), [(Backoff(first=math.inf), 1)])


def test_the_defaults_can_be_reached() -> None:
    assert quarantine_is_reachable(Quarantine(), Backoff())


@pytest.mark.parametrize("within", [1e308, math.inf])
def test_endless_windows_are_reached(within: float) -> None:
    assert quarantine_is_reachable(
        Quarantine(crashes=1_000_000, within=within), Backoff(cap=1e-300)
    )


def test_beyond_what_is_added_up_the_last_delay_stands_for_the_rest() -> None:
    backoff = Backoff(first=0, base=1, factor=1, jitter="none", reset_after=math.inf)
    crashes = 3 * LONGEST
    assert quarantine_is_reachable(Quarantine(crashes=crashes, within=crashes - 1), backoff)
    assert not quarantine_is_reachable(Quarantine(crashes=crashes, within=crashes - 2), backoff)


def test_what_never_comes_back_crashes_once() -> None:
    assert crashes_within(math.inf, Backoff(first=0, reset_after=math.inf), 7) == 7
    assert crashes_within(60, Backoff(first=1e308, base=1e308, cap=1e308), 7) == 1
