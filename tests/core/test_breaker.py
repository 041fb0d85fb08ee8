"""The breaker: what lets it open, what it lets through, and what closes it."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from supervisor._core.breaker import REFUSED, BreakerMachine
from supervisor._happenings import (
    BreakerClosed,
    BreakerForced,
    BreakerHalfOpened,
    BreakerOpened,
)
from supervisor._spec.guards import Breaker


class Calls:
    """A breaker with a clock, whose calls are made and ended by hand."""

    def __init__(
        self, *, draw: Callable[[], float] = lambda: 0.0, probe: float = 20, **policy: object
    ) -> None:
        self.now = 0.0
        self.machine = BreakerMachine(
            Breaker(**policy),  # type: ignore[arg-type]
            draw,
            0.0,
            probe=probe,
            path="app",
            guard="exchange",
        )

    @property
    def state(self) -> str:
        return self.machine.status(self.now).state

    def admit(self) -> int:
        return self.machine.admit(self.now)

    def begin(self) -> int:
        """A call that is let through."""
        ticket = self.admit()
        assert ticket != REFUSED
        return ticket

    def succeed(self, ticket: int | None = None, took: float = 0.0) -> None:
        self.machine.succeeded(self.begin() if ticket is None else ticket, self.now, took)

    def fail(
        self,
        ticket: int | None = None,
        took: float = 0.0,
        cause: str = "it broke",
        rest: float | None = None,
    ) -> None:
        ticket = self.begin() if ticket is None else ticket
        self.machine.failed(ticket, self.now, took, cause, rest)

    def ignore(self, ticket: int | None = None) -> None:
        self.machine.ignored(self.begin() if ticket is None else ticket, self.now)

    def cancel(self, ticket: int | None = None, took: float = 0.0) -> None:
        self.machine.cancelled(self.begin() if ticket is None else ticket, self.now, took)

    def open(self) -> None:
        """Fail until it opens."""
        for _ in range(self.machine.policy.failures):
            self.fail()
        assert self.state == "open"

    def half_open(self) -> int:
        """Open it, wait, and let the first probe through."""
        self.open()
        self.now = self.machine.retry_at(self.now)
        return self.begin()

    def told(self) -> list[object]:
        events, self.machine.happened = self.machine.happened, []
        return list(events)


class TestInARow:
    def test_so_many_failures_in_a_row_open_it(self) -> None:
        calls = Calls(failures=3)
        calls.fail()
        calls.fail()
        assert calls.state == "closed"
        calls.fail(cause="ConnectionError: refused")
        assert calls.state == "open"
        assert calls.admit() == REFUSED
        assert calls.told() == [
            BreakerOpened(
                0, "app", "exchange", "failures in a row", 60, 60, 1, "ConnectionError: refused"
            )
        ]

    def test_a_success_begins_a_new_row(self) -> None:
        calls = Calls(failures=2)
        calls.fail()
        calls.succeed()
        calls.fail()
        assert calls.state == "closed"

    def test_a_row_that_is_longer_than_the_window_does_not_open_it(self) -> None:
        calls = Calls(failures=2, window=10)
        calls.fail()
        calls.now = 10
        calls.fail()
        assert calls.state == "closed"
        calls.now = 19.9
        calls.fail()
        assert calls.state == "open"


class TestHalfOpen:
    def test_the_next_caller_after_its_time_is_the_probe_and_others_are_refused(self) -> None:
        calls = Calls(failures=1, open=60)
        calls.open()
        calls.now = 59.9
        assert calls.admit() == REFUSED
        calls.now = 60
        tickets = [calls.admit() for _ in range(100)]
        assert sum(ticket != REFUSED for ticket in tickets) == 1
        assert calls.state == "half-open"

    def test_a_probe_that_succeeds_closes_it(self) -> None:
        calls = Calls(failures=1, open=60)
        probe = calls.half_open()
        calls.told()
        calls.now = 61
        calls.succeed(probe)
        assert calls.state == "closed"
        assert calls.told() == [BreakerClosed(61, "app", "exchange", 61)]

    def test_a_probe_that_fails_opens_it_for_longer_up_to_the_cap(self) -> None:
        calls = Calls(failures=1, open=60, factor=2, cap=200)
        probe = calls.half_open()
        times = []
        for _ in range(4):
            calls.fail(probe)
            until = calls.machine.retry_at(calls.now)
            times.append(until - calls.now)
            calls.now = until
            probe = calls.begin()
        assert times == [120, 200, 200, 200]

    def test_a_cancelled_probe_gives_its_place_back_and_decides_nothing(self) -> None:
        calls = Calls(failures=1)
        probe = calls.half_open()
        calls.cancel(probe)
        assert calls.state == "half-open"
        calls.succeed()
        assert calls.state == "closed"

    def test_a_probe_that_hangs_opens_it_again_for_as_long_as_before(self) -> None:
        calls = Calls(failures=1, open=60, probe=20)
        probe = calls.half_open()
        calls.told()
        calls.now = 80
        assert calls.admit() == REFUSED
        calls.succeed(probe)
        assert calls.state == "open"
        (opened,) = calls.told()
        assert opened == BreakerOpened(
            80, "app", "exchange", "no verdict in time", 140, 60, 1, "it broke"
        )


class TestForced:
    def test_forced_open_it_refuses_until_then(self) -> None:
        calls = Calls()
        calls.machine.force("open", "maintenance", 100, 0)
        assert calls.admit() == REFUSED
        assert calls.machine.retry_at(0) == 100
        calls.now = 100
        calls.succeed()
        assert calls.told() == [
            BreakerForced(0, "app", "exchange", "open", "maintenance", 100),
            BreakerForced(100, "app", "exchange", None, "its time is over"),
        ]

    def test_forced_open_without_an_end_it_refuses_until_it_is_released(self) -> None:
        calls = Calls()
        calls.machine.force("open", "maintenance", None, 0)
        calls.now = 1e9
        assert calls.admit() == REFUSED
        assert calls.machine.retry_at(calls.now) == math.inf
        calls.machine.release(calls.now, "done")
        calls.succeed()

    def test_disabled_it_lets_everything_through_and_counts_nothing(self) -> None:
        calls = Calls(failures=1)
        calls.machine.force("disabled", "a test", None, 0)
        for _ in range(20):
            calls.fail()
        assert calls.state == "closed"

    def test_metrics_only_tells_when_it_would_have_opened(self) -> None:
        calls = Calls(failures=2, open=60)
        calls.machine.force("metrics only", "a trial", None, 0)
        calls.told()
        for _ in range(20):
            calls.fail()
        assert calls.state == "closed"
        (opened,) = calls.told()
        assert isinstance(opened, BreakerOpened)
        assert opened.metrics_only


@pytest.mark.parametrize("rate", [0.5, 0.07])
def test_a_share_of_failures_opens_it_once_there_are_enough_calls(rate: float) -> None:
    calls = Calls(failures=0, rate=rate, calls=100)
    for number in range(100):
        assert calls.state == "closed"
        if number < rate * 100 - 0.5:
            calls.fail()
        else:
            calls.succeed()
    assert calls.state == "open"
    assert isinstance(calls.told()[0], BreakerOpened)


def test_a_half_opened_breaker_tells_how_many_it_has_refused() -> None:
    calls = Calls(failures=1)
    calls.open()
    for _ in range(7):
        calls.admit()
    calls.now = 60
    calls.begin()
    assert calls.told()[-1] == BreakerHalfOpened(60, "app", "exchange", 7)
