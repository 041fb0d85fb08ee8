"""What opens: failures within a window, and how long for."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor._core.circuit import Circuit
from supervisor._spec.guards import Breaker
from supervisor._spec.policy import Quarantine


@given(
    most=st.integers(1, 5),
    gaps=st.lists(st.one_of(st.sampled_from([0.0, 0.5, 9.5, 10.0]), st.floats(0, 12))),
)
def test_it_counts_the_failures_of_the_window_up_to_so_many(most: int, gaps: list[float]) -> None:
    circuit, now, ever = Circuit(most), 100.0, []
    for gap in gaps:
        now += gap
        ever.append(now)
        counts = sum(at > now - 10 for at in ever)
        assert circuit.failed(now, 10) == min(counts, most) == circuit.within(10, now)
        assert len(circuit.log) <= most


@pytest.mark.parametrize("within", [5e-324, 1e-13])
def test_a_failure_counts_however_short_the_window_is(within: float) -> None:
    circuit = Circuit(3)
    for _ in range(2):
        assert circuit.failed(1e5, within) == 1


def test_time_that_goes_back_takes_no_failure_out() -> None:
    circuit = Circuit(9)
    assert [circuit.failed(now, 10) for now in (100, -5, 99, 109, 110)] == [1, 2, 3, 4, 2]


@pytest.mark.parametrize("policy", [Quarantine, Breaker])
@given(
    times=st.one_of(st.integers(1, 9), st.integers(1, 10**9)),
    open_=st.floats(0.1, 100),
    factor=st.floats(1, 1e6),
)
def test_it_opens_for_longer_each_time_up_to_the_cap(
    policy: type[Quarantine | Breaker], times: int, open_: float, factor: float
) -> None:
    opens, circuit = policy(open=open_, factor=factor, cap=900), Circuit(1)
    circuit.times = times - 1
    try:
        whole = open_ * factor ** (times - 1)
    except OverflowError:
        whole = math.inf
    assert circuit.opened(opens) == circuit.again(opens) == min(900, whole)
    assert circuit.times == times


def test_to_open_as_long_as_before_does_not_let_it_grow() -> None:
    circuit, policy = Circuit(1), Breaker(open=1, factor=2)
    assert [circuit.opened(policy), circuit.again(policy), circuit.again(policy)] == [1, 1, 1]
    assert circuit.opened(policy) == 2
