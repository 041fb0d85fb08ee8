"""Law 6: whatever is done to a breaker, in whatever order and at whatever moment, it does what the
plain model does, and what the law says."""

from __future__ import annotations

import math
from collections import Counter
from itertools import cycle
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor._core.breaker import REFUSED, BreakerMachine
from supervisor._happenings import BreakerClosed, BreakerForced, BreakerHalfOpened, BreakerOpened
from supervisor._spec.guards import Breaker
from tests.core.breaker_model import Call, Model

FAR = 1e4


@st.composite
def policies(draw: st.DrawFn) -> Breaker:
    half_open = draw(st.integers(1, 4))
    slow = draw(st.sampled_from([None, 1.0]))
    rate = draw(st.sampled_from([None, 0.3, 0.5, 1.0]))
    return Breaker(
        failures=draw(st.integers(0 if rate or slow else 1, 4)),
        rate=rate,
        slow=slow,
        slow_rate=draw(st.sampled_from([0.1, 0.5, 1.0])),
        calls=draw(st.integers(1, 6)),
        window=draw(st.sampled_from([1.0, 7.0, 10.0, 60.0])),
        open=draw(st.sampled_from([0.5, 10.0, 60.0])),
        factor=draw(st.sampled_from([1.0, 2.0, 1e300])),
        cap=draw(st.sampled_from([10.0, 100.0])),
        half_open=half_open,
        successes=draw(st.one_of(st.none(), st.integers(1, half_open))),
        ramp=draw(st.sampled_from([0.0, 0.0, 5.0])),
    )


ENDS = st.tuples(
    st.sampled_from([*4 * ["ok"], *3 * ["failure"], "ignored", "cancelled"]),
    st.sampled_from([0.0, 1.0, 1.5]),  # how long it took
    st.sampled_from([None, None, None, 0.0, 15.0, 500.0, math.inf]),  # the rest asked for
)
FORCED = st.tuples(
    st.sampled_from(["open", "disabled", "metrics only", "metrics only"]),
    st.sampled_from([None, 0.0, 30.0, 1000.0]),
)
ACTIONS = st.sampled_from(
    [*6 * ["call"], *3 * ["fail"], *4 * ["begin"], *5 * ["end"], "look"] * 3 + ["force", "release"]
).flatmap(
    lambda what: st.tuples(
        st.just(what),
        {
            "call": ENDS,
            "fail": st.integers(1, 6),
            "end": st.tuples(st.floats(0, 1), ENDS),
            "force": FORCED,
        }.get(what, st.none()),
    )
)
GAPS = st.one_of(
    st.tuples(st.just("by"), st.sampled_from([0.0, 0.0, 0.0, 0.1, 1.0, 7.0, 200.0])),
    st.tuples(st.just("by"), st.floats(-3, 20)),
    st.tuples(st.just("edge"), st.tuples(st.floats(0, 1), st.sampled_from([-1, 0, 0, 1]))),
    st.tuples(st.just("due"), st.sampled_from([-1, 0, 0, 0, 1])),
)


class Both:
    """A machine and a model that have the same done to them."""

    def __init__(self, policy: Breaker, draws: list[float], probe: float) -> None:
        self.policy = policy
        self.now = 100.0
        of_machine, of_model = cycle(draws), cycle(draws)
        self.machine = BreakerMachine(policy, lambda: next(of_machine), self.now, probe=probe)
        self.model = Model(policy, lambda: next(of_model), self.now, probe)
        self.under_way: list[tuple[int, Call]] = []
        self.passed: Counter[int] = Counter()  # by generation: those under way or judged
        self.told = 0  # events

    def go_on(self, kind: str, what: Any) -> None:
        if kind == "by":
            self.now += what
            return
        if kind == "due":
            place, beside, edges = 0.0, what, [self.machine.due()]
        else:
            (place, beside), edges = what, sorted(self.edges())
        if edges and self.now < edges[0] < math.inf:
            edge = edges[int(place * (len(edges) - 1))]
            self.now = edge if beside == 0 else math.nextafter(edge, beside * math.inf)

    def edges(self) -> set[float]:
        """The moments at which something changes."""
        period, policy, window = self.model.period, self.policy, self.policy.window
        edges = {period.until, period.quiet_until}
        if period.waits_since is not None:
            edges.add(period.waits_since + self.model.probe)
        edges |= {period.since + policy.cap, period.since + policy.ramp}
        edges |= {call.at + window for call in self.model.endings[-3:]}
        edges |= {period.since + n * window / 10 for n in (1, 5, 10, 11)}
        return {edge for edge in edges if self.now < edge < self.now + FAR}

    def do(self, what: str, how: Any) -> None:
        if what in ("call", "begin"):
            begun = self.begin()
            if what == "call" and begun is not None:
                self.end(begun, *how)
        elif what == "fail":
            for _ in range(how):
                if (begun := self.begin()) is not None:
                    self.end(begun, "failure", 0.0, None)
        elif what == "end" and self.under_way:
            place, ends = how
            self.end(self.under_way[int(place * (len(self.under_way) - 1))], *ends)
        elif what == "look":
            for ticket, call in self.under_way:
                admits = self.model.still_admits(call, self.now)
                assert self.machine.still_admits(ticket, self.now) == admits
        elif what == "force":
            state, within = how
            until = None if within is None else self.now + within
            self.machine.force(state, "a word", until, self.now)
            self.model.force(state, "a word", until, self.now)
        elif what == "release":
            self.machine.release(self.now, "a word")
            self.model.release(self.now, "a word")

    def begin(self) -> tuple[int, Call] | None:
        before = self.machine.status(self.now)
        ticket, call = self.machine.admit(self.now), self.model.admit(self.now)
        assert (ticket == REFUSED) == (call is None)
        after = self.machine.state
        if before.state == "open" and before.retry_at is not None:
            assert call is None, "it is open, and let a call through"
        if after == "half-open":
            self.passed[self.machine.generation] += call is not None
            most = self.policy.half_open
            assert self.passed[self.machine.generation] <= most, (
                "half-open, it let too many through"
            )
        if call is None:
            assert self.machine.retry_at(self.now) == self.retry_at()
            return None
        self.under_way.append((ticket, call))
        return ticket, call

    def retry_at(self) -> float:
        period = self.model.period
        if period.state == "open":
            return max(period.until, self.now)
        return self.now + 0.1 * self.model.probe * (1 + self.model.draw())

    def end(self, begun: tuple[int, Call], what: str, took: float, rest: float | None) -> None:
        self.under_way.remove(begun)
        ticket, call = begun
        before = self.machine.status(self.now)
        self.told = len(self.machine.happened)
        late = ticket != self.machine.generation
        if what == "ok":
            self.machine.succeeded(ticket, self.now, took)
        elif what == "failure":
            self.machine.failed(ticket, self.now, took, "it broke", rest)
        elif what == "ignored":
            self.machine.ignored(ticket, self.now)
        else:
            self.machine.cancelled(ticket, self.now, took)
        self.model.end(call, what, self.now, took, "it broke", rest)
        after = self.machine.status(self.now)
        if late:
            assert after == before, "a late outcome moved something"
        if what in ("ignored", "cancelled"):
            self.passed[ticket] -= 1
            assert (after.good, after.bad) == (before.good, before.bad)
            if len(self.machine.happened) == self.told:
                assert (after.failures, after.in_a_row) == (before.failures, before.in_a_row)

    def check(self) -> None:
        status = self.machine.status(self.now)
        picture = self.model.picture(self.now)
        assert {name: getattr(status, name) for name in picture} == picture
        assert list(map(plain, self.machine.happened)) == self.model.events


def plain(event: Any) -> tuple[Any, ...]:
    match event:
        case BreakerOpened():
            numbers = event.until, event.open, event.times, event.cause, event.metrics_only
            return ("opened", event.at, event.rule, *numbers)
        case BreakerHalfOpened():
            return "half-opened", event.at, event.rejected
        case BreakerClosed():
            return "closed", event.at, event.took
        case BreakerForced():
            return "forced", event.at, event.state, event.reason, event.until
    raise AssertionError(event)


@settings(max_examples=400, deadline=None)
@given(
    policy=policies(),
    draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=5),
    probe=st.sampled_from([1.0, 20.0]),
    steps=st.lists(st.tuples(GAPS, ACTIONS), min_size=10, max_size=80),
)
def test_it_does_what_the_plain_model_does(
    policy: Breaker, draws: list[float], probe: float, steps: list[Any]
) -> None:
    both = Both(policy, draws, probe)
    for gap, action in steps:
        both.go_on(*gap)
        both.do(*action)
        both.check()


@settings(max_examples=200, deadline=None)
@given(
    policy=policies(),
    draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=5),
    steps=st.lists(st.tuples(GAPS, ACTIONS), min_size=10, max_size=40),
    looks=st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_when_somebody_looks_changes_nothing(
    policy: Breaker, draws: list[float], steps: list[Any], looks: list[float]
) -> None:
    """Only while time goes on; and of what is told, not when."""
    alone, watched = Both(policy, draws, 20.0), Both(policy, draws, 20.0)
    for (gap, action), part in zip(steps, cycle(looks), strict=False):
        before = alone.now
        alone.go_on(*gap)
        alone.now = watched.now = max(before, alone.now)
        for at in (before + (alone.now - before) * part, alone.now):
            watched.machine.look(at)
            watched.machine.status(at)
            watched.model.look(at)
        alone.do(*action)
        watched.do(*action)
        assert watched.machine.status(alone.now) == alone.machine.status(alone.now)
    told = [plain(event)[2:] for event in alone.machine.happened]
    assert [plain(event)[2:] for event in watched.machine.happened] == told
