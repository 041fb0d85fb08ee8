"""How many errors there were: windows that roll, sums by path, and what is too much to tell apart."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor._core import summary as module
from supervisor._core.records import Errors, Record, _Case
from supervisor._core.summary import KINDS, WINDOWS, Tally, summary
from supervisor._happenings import AttemptFailed, CallRecovered, Crashed, Verdict
from supervisor._views import BreakerStatus, ErrorSummary
from supervisor._words import BreakerState, Forced, Severity

A, B = "app/a", "app/b"


def record(
    at: float, component: str = A, kind: str = "OSError", severity: Severity = "high"
) -> Record:
    case = _Case(component, 60)
    return Record(1, at, at, component, 1, kind, "", severity, "0", "", "", 0, 1, "", case)


def tallied(*records: Record) -> Tally:
    tally = Tally()
    for each in records:
        tally.count(each)
    return tally


def within(tally: Tally, now: float, path: str = "") -> list[int]:
    numbers, _ = tally.within(path, now)
    return [numbers[window] for window in WINDOWS]


def breaker(
    state: BreakerState = "closed", trips: int = 0, forced: Forced | None = None
) -> BreakerStatus:
    empty: dict[str, Any] = dict.fromkeys(BreakerStatus.__struct_fields__, 0)
    return BreakerStatus(**{**empty, "state": state, "trips": trips, "forced": forced})


class Kept:
    """Errors and their figures, as a tree has them."""

    def __init__(self) -> None:
        self.errors = Errors()
        self.tally = Tally()
        self.breakers: dict[str, BreakerStatus] = {}

    def crash(self, at: float, path: str = A, kind: type[Exception] = OSError) -> None:
        verdict = Verdict("restart", "restart type")
        event = Crashed(at, path, 1, kind("refused"), "ready", 0.0, verdict)
        self.tally.count(self.errors.crashed(event, at))

    def fail(self, at: float, call: int, guard: str = "api", path: str = A) -> None:
        error = TimeoutError("no answer")
        event = AttemptFailed(at, path, 1, guard, call, 1, error, "high", "retried", 1.0, 0.1)
        self.tally.count(self.errors.attempt_failed(event, at))

    def recover(self, at: float, call: int) -> None:
        self.errors.note(CallRecovered(at, A, 1, "api", call, 2, 1.0))

    def summary(self, now: float, path: str = "") -> ErrorSummary:
        return summary(self.errors, self.tally, now, path, self.breakers)


# --- windows -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("later", "seen"),
    [
        (0, [1, 1, 1, 1]),
        (64, [1, 1, 1, 1]),
        (65, [0, 1, 1, 1]),
        (304, [0, 1, 1, 1]),
        (305, [0, 0, 1, 1]),
        (904, [0, 0, 1, 1]),
        (905, [0, 0, 0, 1]),
        (3609, [0, 0, 0, 1]),
        (3610, [0, 0, 0, 0]),
    ],
)
def test_an_error_leaves_each_window_to_the_nearest_bucket(later: float, seen: list[int]) -> None:
    assert within(tallied(record(5000)), 5000 + later) == seen


def test_a_long_rest_costs_nothing_and_leaves_nothing() -> None:
    tally = tallied(record(0), record(1), record(1_000_000_000))

    assert within(tally, 1_000_000_000) == [1, 1, 1, 1]
    assert len(tally._fine) + len(tally._coarse) == 1


def test_an_hour_of_errors_is_kept_in_a_bounded_number_of_buckets() -> None:
    tally = tallied(*(record(float(at)) for at in range(4 * 3600)))

    assert within(tally, 4 * 3600) == [60, 300, 900, 3600]
    assert len(tally._fine) <= 98
    assert len(tally._coarse) <= 47


def test_a_clock_that_goes_back_loses_nothing() -> None:
    assert within(tallied(record(100), record(90), record(100)), 100) == [3, 3, 3, 3]


@given(
    st.lists(st.tuples(st.floats(0, 900), st.sampled_from([A, B, "app/a/x", "app/ab"]))),
    st.floats(0, 5000),
    st.sampled_from(["", "app", A]),
)
def test_windows_are_what_a_list_of_all_errors_says_give_or_take_half_a_bucket(
    steps: list[tuple[float, str]], rest: float, path: str
) -> None:
    now, all_of_them = 0.0, []
    for wait, component in steps:
        now += wait
        all_of_them.append(record(now, component))
    tally = tallied(*all_of_them)
    now += rest
    numbers, _ = tally.within(path, now)
    below = [r for r in all_of_them if not path or f"{r.component}/".startswith(f"{path}/")]
    for window in WINDOWS:
        half = 30 if window == WINDOWS[-1] else 5
        least = sum(r.at > now - window + half for r in below)
        most = sum(r.at > now - window - half for r in below)
        assert least <= numbers[window] <= most


# --- what is too much to tell apart ----------------------------------------------------------------


def test_kinds_beyond_the_bound_are_counted_as_others_beside_them() -> None:
    tally = tallied(*(record(5, f"app/feeds/{i}") for i in range(10_000)))
    numbers, kinds = tally.within("", 5)

    assert numbers[60.0] == 10_000
    assert len(kinds) == KINDS + 1
    assert kinds["app/feeds/*", "*", "high"] == 10_000 - KINDS
    assert within(tally, 5, "app/feeds") == [10_000] * 4
    assert within(tally, 5, "app/feed") == [0] * 4


def test_supervisors_beyond_the_bound_are_counted_as_others_of_the_tree() -> None:
    tally = tallied(*(record(5, f"app/{i}/x", severity="low") for i in range(10_000)))
    numbers, kinds = tally.within("", 5)

    assert numbers[60.0] == 10_000
    assert len(kinds) <= 2 * KINDS + 4
    assert kinds["app/*", "*", "low"] == 10_000 - 2 * KINDS


def test_a_bucket_of_old_ones_is_bounded_as_well() -> None:
    tally = tallied(
        *(record(at, f"app/feeds/{at}-{i}") for at in range(0, 60, 10) for i in range(200))
    )
    tally.count(record(2000))
    numbers, kinds = tally.within("", 2000)

    assert numbers[3600.0] == 1201
    assert max(len(bucket.counts) for bucket in tally._coarse) <= KINDS + 1
    assert kinds["app/feeds/*", "*", "high"] == 1200 - KINDS


def test_components_that_were_quiet_for_longest_stay_in_the_sums_above_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "COMPONENTS", 5)
    paths = [f"app/{group}/{i}" for group in "xyz" for i in range(4)]
    tally = tallied(*(record(1, path) for path in paths), record(2, "app"), record(900, "app/z/3"))
    numbers, _ = tally.within("", 10_000)

    assert numbers[3600.0] == 0
    assert len(tally.earlier) <= 5
    assert tally.before("app") == 14
    assert tally.before("app/z/3") == 2
    assert tally.before("app/none") == 0


def test_what_is_too_long_ago_is_counted_once() -> None:
    tally = tallied(*(record(float(at)) for at in range(0, 20_000, 7)))

    for now in range(20_000, 26_000, 13):
        numbers, kinds = tally.within(A, now)
        assert tally.before(A) + numbers[3600.0] == len(range(0, 20_000, 7))
        assert kinds.total() == numbers[3600.0]


def test_many_trees_in_one_do_not_make_it_turn_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPONENTS", 1)
    tally = tallied(*(record(1, path) for path in ("app", "app/a", "app/b/c", "app/*", "app/d")))
    tally.within("", 10_000)

    assert dict(tally.earlier) in ({"app/*": 5}, {"app/d": 1, "app/*": 4})
    assert sum(tally.earlier.values()) == 5


# --- the summary -----------------------------------------------------------------------------------


def test_the_summary_of_a_tree_without_errors_has_nothing_to_divide_by() -> None:
    empty = Kept().summary(10)

    assert (empty.total, empty.resolved, empty.recovery_rate) == (0, 0, None)
    assert empty.within == dict.fromkeys(WINDOWS, 0)
    assert (empty.most_common, empty.groups, empty.breakers, empty.trips) == ((), (), {}, 0)


def test_the_last_hour_is_told_by_component_severity_and_type_most_frequent_first() -> None:
    kept = Kept()
    kept.crash(0, A, ValueError)  # more than an hour ago
    for at in (4000, 4001, 4002):
        kept.crash(at, B, OSError)
    kept.crash(4003, A, ValueError)

    found = kept.summary(4010)

    assert found.total == 5
    assert list(found.by_component.items()) == [(B, 3), (A, 1)]
    assert list(found.by_severity.items()) == [("high", 3), ("medium", 1)]
    assert list(found.by_type.items()) == [("OSError", 3), ("ValueError", 1)]


def test_the_most_common_are_the_first_five_of_the_last_hundred() -> None:
    kept = Kept()
    for at in range(50):
        kept.crash(at, "app/early")
    for i, number in enumerate((30, 25, 20, 12, 8, 5)):
        for _ in range(number):
            kept.crash(60 + i, f"app/{i}")

    expected = (("app/0:OSError", 30), ("app/1:OSError", 25), ("app/2:OSError", 20))
    assert kept.summary(100).most_common == (*expected, ("app/3:OSError", 12), ("app/4:OSError", 8))


def test_the_recovery_rate_is_the_share_of_the_kept_that_are_resolved() -> None:
    kept = Kept()
    for call in range(4):
        kept.fail(call, call)
    kept.recover(10, 1)

    found = kept.summary(20)
    assert (found.resolved, found.recovery_rate) == (1, 0.25)


def test_the_summary_lets_time_pass_for_the_lives_that_stayed_up() -> None:
    kept = Kept()
    kept.crash(0)
    kept.errors._open[A].ready_at, kept.errors._open[A].reset_after = 1, 60

    assert kept.summary(60).recovery_rate == 0
    assert kept.summary(61).recovery_rate == 1


def test_a_summary_of_a_path_is_of_what_is_at_or_below_it() -> None:
    kept = Kept()
    kept.breakers = {"api": breaker("open", 2), "other": breaker("closed", 5, "disabled")}
    kept.crash(0, A)
    kept.fail(1, 1, "api", "app/a/x")
    kept.fail(2, 2, "other", "app/ab")

    whole, part = kept.summary(10), kept.summary(10, A)

    assert (whole.total, part.total) == (3, 2)
    assert (whole.within[60.0], part.within[60.0]) == (3, 2)
    assert part.by_component == {A: 1, "app/a/x": 1}
    assert Counter(part.most_common) == Counter([("app/a:OSError", 1), ("app/a/x:TimeoutError", 1)])
    assert [group.count for group in part.groups] == [1, 1]
    assert whole.breakers == {"api": "open", "other": "closed (forced: disabled)"}
    assert part.breakers == {"api": "open"}
    assert (whole.trips, part.trips) == (7, 2)


def test_what_is_forgotten_is_told() -> None:
    kept = Kept()
    for at in range(1002):
        kept.crash(at, f"app/{at}")

    found = kept.summary(1002)
    assert (found.total, found.forgotten, found.groups_forgotten) == (1002, 2, 0)
    assert found.groups[0].count == 1002
