"""Error records: what is kept of an error, what errors have in common, and what resolves them."""

from __future__ import annotations

import gc
import json
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor._core import records
from supervisor._core.fingerprint import fingerprint, is_own, normalised
from supervisor._core.records import Errors
from supervisor._errors import TreeFailed
from supervisor._happenings import (
    AttemptFailed,
    AttemptRule,
    BreakerClosed,
    CallRecovered,
    Crashed,
    Deleted,
    Event,
    FallbackServed,
    Ready,
    Recovered,
    Returned,
    Started,
    StopAsked,
    Stopped,
    StopTimedOut,
    Verdict,
)
from supervisor._views import ErrorRecord

WALL = 1_700_000_000.0
AGAIN = Verdict("restart", "restart type", attempt=1)
A, B = "app/a", "app/b"


def raised(error: BaseException) -> Any:
    try:
        raise error
    except BaseException as caught:
        return caught


def crashed(
    at: float = 0, path: str = A, error: BaseException | None = None, verdict: Verdict = AGAIN
) -> Crashed:
    error = raised(ConnectionError("refused")) if error is None else error
    return Crashed(at, path, 1, error, "ready", 0.0, verdict)


def failed(
    at: float = 0,
    call: int = 1,
    guard: str = "api",
    attempt: int = 1,
    rule: AttemptRule = "retried",
    **fields: Any,
) -> AttemptFailed:
    error = fields.pop("error", None) or raised(TimeoutError("no answer within 10 s"))
    return AttemptFailed(
        at, fields.pop("path", A), 1, guard, call, attempt, error, "high", rule, 1.0, 0.2, **fields
    )


class Kept:
    """The errors of a tree in which a child has proved itself after a minute."""

    def __init__(self, capacity: int = 1000, reset_after: float = 60) -> None:
        self.errors = Errors(capacity, reset_after=lambda path: reset_after)

    def tell(self, *events: Event) -> None:
        for event in events:
            match event:
                case Crashed():
                    self.errors.crashed(event, WALL + event.at)
                case AttemptFailed():
                    self.errors.attempt_failed(event, WALL + event.at)
                case _:
                    self.errors.note(event)

    def all(self, now: float = 0, path: str = "") -> tuple[ErrorRecord, ...]:
        return self.errors.records(now, path)

    def fates(self, now: float = 0) -> list[tuple[str | None, float | None]]:
        return [(record.resolution, record.resolved_at) for record in self.all(now)]


@pytest.fixture
def kept() -> Kept:
    return Kept()


def fetch(error: BaseException) -> None:
    raise error


def one(error: BaseException) -> ErrorRecord:
    kept = Kept()
    kept.tell(crashed(error=error))
    (record,) = kept.all()
    return record


OPEN = (None, None)

# --- what is kept ----------------------------------------------------------------------------------


def test_a_crash_is_a_record_with_all_that_a_person_asks_for(kept: Kept) -> None:
    with pytest.raises(ConnectionError) as caught:
        fetch(ConnectionError("refused"))
    verdict = Verdict("restart", "restart type", attempt=3)
    kept.tell(Crashed(12.5, A, 4, caught.value, "ready", 7.0, verdict))

    (record,) = kept.all()
    line = fetch.__code__.co_firstlineno + 1
    place = f"{__name__}:fetch:{line}"
    assert record == ErrorRecord(
        id=1,
        at=12.5,
        time=WALL + 12.5,
        component=A,
        life=4,
        type="ConnectionError",
        message="refused",
        severity="high",
        fingerprint=fingerprint("ConnectionError", place, "refused"),
        where=place,
        attempt=3,
    )


def test_a_failed_attempt_is_a_record_with_its_guard_call_attempt_and_context(kept: Kept) -> None:
    kept.tell(failed(3, call=17, guard="exchange", attempt=2, context="BTC"))

    (record,) = kept.all()
    assert (record.guard, record.call, record.attempt, record.context) == ("exchange", 17, 2, "BTC")
    assert (record.component, record.life, record.severity) == (A, 1, "high")
    assert (record.type, record.message) == ("TimeoutError", "no answer within 10 s")


def test_records_are_asked_for_by_path_and_by_whether_they_are_open(kept: Kept) -> None:
    kept.tell(crashed(0, "app/a"), crashed(1, "app/a/x"), crashed(2, "app/ab"), failed(3, 1))
    kept.tell(CallRecovered(4, A, 1, "api", 1, 2, 1.0))

    assert [record.id for record in kept.all(5, "app/a")] == [1, 2, 4]
    assert [record.id for record in kept.errors.records(5, "app/a", unresolved=True)] == [1, 2]
    assert [record.id for record in kept.all(5)] == [1, 2, 3, 4]
    assert kept.all(5, "app/none") == ()


def test_no_exception_traceback_or_frame_is_kept_alive(kept: Kept) -> None:
    class Held:
        pass

    def fail(kind: Callable[[str], BaseException]) -> tuple[Crashed, list[weakref.ref[Any]]]:
        held = Held()
        error = raised(kind("x"))
        assert held is not None
        return crashed(error=error), [weakref.ref(held), *([weakref.ref(error)])]

    class Loud(Exception):
        pass

    def grouped(text: str) -> BaseException:
        return ExceptionGroup(text, [raised(Loud(text)), raised(Loud(f"{text}2"))])

    watched = []
    for kind in (Loud, grouped):
        event, refs = fail(kind)
        kept.tell(event, event)
        watched += refs
        del event
    del refs
    gc.collect()

    assert len(kept.all()) == 4
    assert [ref() for ref in watched] == [None] * 4


def test_the_text_that_is_kept_is_no_object_of_the_users() -> None:
    class Sly(str):
        __slots__ = ("held",)

    class Slyly(Exception):
        def __str__(self) -> str:
            return Sly("sly")

    record = one(raised(Slyly()))

    assert record.message == "sly"
    assert type(record.message) is str


def test_the_last_thousand_are_kept_and_those_forgotten_are_counted(kept: Kept) -> None:
    kept.tell(*(crashed(i, f"app/{i}") for i in range(1003)))

    assert [record.id for record in kept.all()] == list(range(4, 1004))
    assert kept.errors.forgotten == 3


def test_what_is_forgotten_is_not_looked_for_any_more() -> None:
    kept = Kept(capacity=3)
    for i in range(20):
        kept.tell(crashed(i, f"app/{i}"), failed(i, call=i), failed(i, call=100))
    kept.tell(crashed(30, A), crashed(31, A), crashed(32, A))

    assert [(key, case.count) for key, case in kept.errors._open.items()] == [(A, 3)]
    kept.tell(Started(40, A, 2))
    assert kept.fates(100) == [("restarted", 100)] * 3


# --- whatever an error is, it is data ------------------------------------------------------------


class NoText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class NotText(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]  # noqa: PLE0307 - that is the point


@pytest.mark.parametrize("kind", [NoText, NotText])
def test_an_error_whose_text_cannot_be_had_is_a_record(kind: type[Exception]) -> None:
    assert one(raised(kind())).message == "(its text cannot be shown)"


def test_a_huge_message_is_cut() -> None:
    message = one(raised(ValueError("x" * 10_000_000))).message

    assert message == "x" * 500 + "..."


def test_line_ends_terminal_codes_and_broken_unicode_are_kept_as_they_are() -> None:
    text = "a\nb\x1b[31m\x00\udc80"
    record = one(raised(ValueError(text)))

    assert record.message == text
    assert json.loads(json.dumps(record.message)) == text


def test_an_error_that_was_never_raised_has_no_place() -> None:
    assert one(ValueError("x")).where == ""


def test_a_type_is_named_with_its_public_module() -> None:
    class Custom(Exception):
        pass

    Custom.__module__, Custom.__qualname__ = "httpx._exceptions", "ReadTimeout"

    assert one(raised(Custom())).type == "httpx.ReadTimeout"
    assert one(raised(OSError())).type == "OSError"


@given(st.text(max_size=300))
def test_any_text_has_a_fingerprint(text: str) -> None:
    assert len(fingerprint("E", "m:f:1", text)) == 8


# --- groups ----------------------------------------------------------------------------------------


def test_a_group_of_one_is_its_error() -> None:
    leaf = raised(ConnectionError("refused"))
    record = one(raised(ExceptionGroup("unhandled", [ExceptionGroup("unhandled", [leaf])])))

    assert (record.type, record.message) == ("ConnectionError", "refused")


def test_a_group_has_the_types_of_its_leaves_in_an_order_of_its_own() -> None:
    leaves = [raised(ValueError("bad")), raised(KeyError("k")), raised(ValueError("worse"))]
    record = one(raised(ExceptionGroup("two", leaves)))
    reverse = one(raised(ExceptionGroup("two", leaves[::-1])))

    assert record.type == "ExceptionGroup[KeyError, ValueError]"
    assert record.message == "KeyError: 'k'; ValueError: bad; ValueError: worse"
    assert record.fingerprint == reverse.fingerprint
    assert record.where.startswith(f"{__name__}:raised:")


def test_a_huge_group_is_cut_and_a_failed_tree_is_told_as_such() -> None:
    many = one(raised(ExceptionGroup("many", [ValueError(f"x{i}") for i in range(10_000)])))
    tree = one(raised(TreeFailed("app/b failed", [raised(OSError("gone"))])))

    assert len(many.message) <= 503
    assert many.type == "ExceptionGroup[ValueError]"
    assert tree.type == "supervisor.TreeFailed[OSError]"


def test_a_group_is_as_severe_as_its_worst_leaf_each_time() -> None:
    mild, grave = raised(KeyError("k")), raised(ConnectionError("refused"))

    assert one(raised(ExceptionGroup("g", [mild, mild]))).severity == "low"
    assert one(raised(ExceptionGroup("g", [mild, grave]))).severity == "high"


# --- severity ------------------------------------------------------------------------------------


def test_errors_of_one_place_may_differ_in_how_severe_they_say_they_are(kept: Kept) -> None:
    class Said(Exception):
        def __init__(self, severity: str) -> None:
            self.severity = severity

    for word in ("critical", "low", "medium"):
        kept.tell(crashed(error=raised(Said(word))))
    marked = ValueError()
    marked.severity = "critical"  # type: ignore[attr-defined]
    kept.tell(*(crashed(error=raised(error)) for error in (ValueError(), marked, ValueError())))

    severities = [record.severity for record in kept.all()]
    assert severities == ["critical", "low", "medium", "medium", "critical", "medium"]


def test_an_error_that_carries_a_status_sometimes_is_judged_each_time(kept: Kept) -> None:
    class Answered(Exception):
        def __init__(self, status: int | None = None) -> None:
            if status is not None:
                self.status_code = status

    for status in (None, 503, None):
        kept.tell(crashed(error=raised(Answered(status))))

    assert [record.severity for record in kept.all()] == ["low", "high", "low"]


# --- fingerprints --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("order 17 failed", "order 2048 failed"),
        ("no 'BTC' in the book", "no 'a long name' in the book"),
        ('no "BTC" here', 'no "E T H" here'),
        ("no `x` here", "no `y z` here"),
        ("object at 0x7f3a2b", "object at 0xDEADBEEF"),
        (
            "id 3b241101-e2bb-4255-8caf-4136c566a962",
            "id 00000000-0000-0000-0000-000000000000",
        ),
        ("commit 1a2b3c gone", "commit f00ba4 gone"),
        ("poll-2 died", "poll-17 died"),
        ("10.0.0.1:80 refused", "192.168.1.77:8080 refused"),
        ("can't open 'x' and 'y'", "can't open 'z' and 'file name'"),
        ("took 1.5 s", "took 22.75 s"),
    ],
)
def test_numbers_hex_uuids_and_quoted_words_make_no_difference(first: str, second: str) -> None:
    assert normalised(first) == normalised(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("can't open 'x'", "can't close 'x'"),
        ("refused", "reset"),
        ("bad face", "bad cafe"),  # words, though all letters are of hex numbers
        ("don't do it and don't", "don't be it and don't"),
    ],
)
def test_words_make_a_difference(first: str, second: str) -> None:
    assert normalised(first) != normalised(second)


def test_a_message_that_is_made_to_be_slow_is_not(kept: Kept) -> None:
    for text in ("a" * 10_000, "a1" * 5000 + "z", "'" * 10_000, "' " * 5000, "-".join("a" * 5000)):
        kept.tell(crashed(error=raised(ValueError(text))))
        kept.tell(crashed(error=raised(ValueError(text + "!"))))

    assert len(kept.all()) == 10


def test_errors_of_another_type_place_or_text_are_another_kind(kept: Kept) -> None:
    def elsewhere() -> None:
        raise ValueError("no 1")

    errors: list[Any] = [raised(ValueError("no 1")), raised(ValueError("no 2"))]
    errors += [raised(OSError("no 1")), raised(ValueError("other"))]
    with pytest.raises(ValueError, match="no 1") as caught:
        elsewhere()
    kept.tell(*(crashed(error=error) for error in [*errors, caught.value]))

    first, second, *others = [record.fingerprint for record in kept.all()]
    assert first == second
    assert len({first, *others}) == 4


def test_a_fingerprint_is_the_same_in_every_run() -> None:
    assert fingerprint("ValueError", "m:f:3", "order 17 of 'x'") == "6576c1e5"


def test_the_place_is_the_innermost_frame_of_the_users_own_code() -> None:
    def read(text: str) -> object:
        return json.loads(text)

    with pytest.raises(json.JSONDecodeError) as caught:
        read("{")
    record = one(caught.value)

    assert record.where.startswith(f"{__name__}:test_the_place_is")
    assert ".read:" in record.where


def test_where_no_frame_is_the_users_the_innermost_is_the_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("supervisor._core.fingerprint.is_own", lambda file: False)
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("{")

    assert one(caught.value).where.startswith("json.decoder:")


@pytest.mark.parametrize(
    ("file", "own"),
    [
        (__file__, True),
        ("/srv/app/feeds.py", True),
        ("<string>", True),
        (json.__file__, False),
        (records.__file__, False),
        (pytest.__file__, False),
        ("/usr/lib/python3/dist-packages/x.py", False),
        ("<frozen importlib._bootstrap>", False),
    ],
)
def test_a_file_is_own_that_is_neither_pythons_nor_a_librarys_nor_ours(
    file: str, own: bool
) -> None:
    assert is_own(file) is own


def test_all_of_one_kind_are_counted_also_those_forgotten() -> None:
    kept = Kept(capacity=2)
    kept.tell(*(crashed(i, error=raised(ValueError(f"order {i}"))) for i in range(5)))
    kept.tell(crashed(9, B, raised(OSError("gone"))))

    often, rare = kept.errors.kinds()
    assert (often.count, often.first, often.last, often.message) == (5, 0, 4, "order 0")
    assert (rare.count, rare.type) == (1, "OSError")
    assert [kind.count for kind in kept.errors.kinds(A)] == [1]


def test_kinds_that_were_not_seen_for_longest_make_room_and_are_counted(
    monkeypatch: pytest.MonkeyPatch, kept: Kept
) -> None:
    monkeypatch.setattr(records, "CAPACITY", 3)
    for at, text in enumerate(("a", "b", "c", "a", "d")):
        kept.tell(crashed(at, error=raised(ValueError(text))))

    assert {kind.message for kind in kept.errors.kinds()} == {"c", "a", "d"}
    assert kept.errors.groups_forgotten == 1


def test_places_are_not_mixed_up_when_code_goes_away_and_other_code_takes_its_memory(
    kept: Kept,
) -> None:
    for i in range(200):
        names: dict[str, Any] = {"__name__": "made"}
        exec(f"def fail_{i}(): raise KeyError", names)
        with pytest.raises(KeyError) as caught:
            names[f"fail_{i}"]()
        kept.tell(crashed(error=caught.value))
        del names, caught

    assert [record.where for record in kept.all()] == [f"made:fail_{i}:1" for i in range(200)]


def test_places_where_errors_come_from_are_bounded(kept: Kept) -> None:
    for _ in range(2500):
        kept.tell(crashed(error=raised(type("Fresh", (Exception,), {})())))

    assert len(kept.errors._places) <= 1000


# --- what resolves a call's errors ---------------------------------------------------------------


def test_a_call_that_succeeds_later_resolves_its_own_attempts_only(kept: Kept) -> None:
    kept.tell(failed(1, 7), failed(1, 8), failed(2, 7, attempt=2))
    kept.tell(CallRecovered(3, A, 1, "api", 7, 3, 2.0))

    assert kept.fates() == [("retried", 3), OPEN, ("retried", 3)]


def test_a_fallback_that_serves_resolves_the_call_it_stands_in_for(kept: Kept) -> None:
    kept.tell(failed(1, 7), failed(2, 7, rule="retries used up"), failed(2, 8))
    kept.tell(FallbackServed(3, A, 1, "api", 7, 1, "why"))

    assert kept.fates() == [("fallback", 3), ("fallback", 3), OPEN]


def test_a_breaker_that_closes_resolves_what_is_open_of_its_guard(kept: Kept) -> None:
    kept.tell(failed(1, 1), failed(1, 2), failed(1, 3, guard="other"), crashed(1))
    kept.tell(CallRecovered(2, A, 1, "api", 1, 2, 1.0), BreakerClosed(9, "app", "api", 8.0))

    assert kept.fates() == [("retried", 2), ("breaker closed", 9), OPEN, OPEN]


def test_what_a_breaker_resolved_is_not_resolved_again_by_its_call(kept: Kept) -> None:
    kept.tell(failed(1, 1), BreakerClosed(2, "app", "api", 1.0), failed(3, 1, attempt=2))
    kept.tell(CallRecovered(4, A, 1, "api", 1, 3, 3.0))

    assert kept.fates() == [("breaker closed", 2), ("retried", 4)]


def test_a_call_given_up_stays_open(kept: Kept) -> None:
    kept.tell(failed(1, 1, rule="not retried"))

    assert kept.fates(10_000) == [OPEN]


# --- what resolves a crash -----------------------------------------------------------------------


def test_a_life_that_stays_ready_for_long_enough_resolves_the_crashes_before_it(kept: Kept) -> None:
    kept.tell(crashed(0), crashed(1), crashed(1, B), Started(2, A, 3))

    assert kept.fates(61.9) == [OPEN] * 3
    assert kept.fates(62) == [("restarted", 62), ("restarted", 62), OPEN]
    assert kept.fates(500)[0] == ("restarted", 62)


def test_resolved_at_is_when_it_became_true_not_when_it_was_found(kept: Kept) -> None:
    kept.tell(crashed(0), Started(2, A, 2))
    late = Kept()
    late.tell(crashed(0), Started(2, A, 2), crashed(1000))

    assert kept.fates(5000) == [("restarted", 62)]
    assert late.fates(1000) == [("restarted", 62), OPEN]


def test_a_life_is_up_from_when_it_is_ready(kept: Kept) -> None:
    kept.tell(crashed(0), Started(2, A, 2, ready=False))
    assert kept.fates(500) == [OPEN]

    kept.tell(Ready(500, A, 2, 498))
    assert kept.fates(559) == [OPEN]
    assert kept.fates(560) == [("restarted", 560)]


@pytest.mark.parametrize(
    "end",
    [
        crashed,
        lambda at: StopAsked(at, A, 2, "why", 0, 5),
        lambda at: Stopped(at, A, 2, 0),
        lambda at: StopTimedOut(at, A, 2, 5, ""),
        lambda at: Returned(at, A, 2, Verdict("quarantine", "crashes within window")),
        lambda at: Deleted(at, A),
    ],
    ids=["crashed", "asked to stop", "stopped", "stuck", "held against it", "deleted"],
)
def test_a_life_that_ends_too_early_has_proved_nothing(end: Callable[[float], Event]) -> None:
    early, in_time = Kept(), Kept()
    early.tell(crashed(0), Started(2, A, 2), end(61))
    in_time.tell(crashed(0), Started(2, A, 2), end(62))

    assert early.fates(500)[0] == OPEN
    assert in_time.fates(500)[0] == ("restarted", 62)


def test_the_ready_time_of_a_life_that_ended_is_not_the_next_ones(kept: Kept) -> None:
    kept.tell(crashed(0), Started(2, A, 2), StopAsked(30, A, 2, "why", 0, 5), Stopped(31, A, 2, 1))
    assert kept.fates(80) == [OPEN]  # it would have been up for long enough by now

    kept.tell(Started(80, A, 3, ready=False), Ready(90, A, 3, 10))
    assert kept.fates(149) == [OPEN]
    assert kept.fates(150) == [("restarted", 150)]


def test_a_life_that_says_it_is_healthy_resolves_at_once(kept: Kept) -> None:
    kept.tell(crashed(0), Started(2, A, 2))
    kept.errors.healthy(A, 5)
    kept.errors.healthy(A, 6)

    assert kept.fates(6) == [("restarted", 5)]


def test_the_end_of_a_quarantine_resolves(kept: Kept) -> None:
    kept.tell(crashed(0), Started(2, A, 2, probe=True), Recovered(12, A, 2, 10))

    assert kept.fates(500) == [("restarted", 12)]


def test_what_was_true_before_a_quarantine_ended_counts_from_then() -> None:
    kept = Kept(reset_after=5)
    kept.tell(crashed(0), Started(2, A, 2, probe=True), Recovered(12, A, 2, 10))

    assert kept.fates(500) == [("restarted", 7)]


def test_a_life_that_returns_by_itself_has_finished_the_work(kept: Kept) -> None:
    kept.tell(crashed(0), Started(2, A, 2), Returned(9, A, 2, Verdict("finish", "restart type")))

    assert kept.fates(500) == [("finished", 9)]


def test_somebody_else_of_the_same_name_resolves_nothing(kept: Kept) -> None:
    kept.tell(crashed(0), Deleted(1, A), Started(2, A, 1))

    assert kept.fates(500) == [OPEN]
    assert kept.errors._open == {}


def test_a_child_without_crashes_is_not_watched(kept: Kept) -> None:
    kept.tell(*(Started(0, f"app/{i}", 1) for i in range(100)))

    assert kept.errors._open == {}


# --- as a property -------------------------------------------------------------------------------

PATHS = st.sampled_from([A, B])
STEPS = st.lists(
    st.tuples(
        st.floats(0, 100),
        st.sampled_from(["crash", "start", "stop", "return", "fail", "recover", "serve", "close"]),
        PATHS,
        st.integers(1, 3),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 8))
def test_what_is_looked_for_is_what_is_kept_and_open(
    steps: list[tuple[float, str, str, int]], capacity: int
) -> None:
    """Looked for is exactly what the open records of the ring are about, and no record is resolved
    before it was made or later than it was asked."""
    kept, now = Kept(capacity), 0.0
    for wait, what, path, call in steps:
        now += wait
        guard = f"g{call}"
        kept.tell(
            {
                "crash": crashed(now, path),
                "start": Started(now, path, 2),
                "stop": StopAsked(now, path, 2, "why", 0, 5),
                "return": Returned(now, path, 2, Verdict("finish", "restart type")),
                "fail": failed(now, call, guard, path=path),
                "recover": CallRecovered(now, path, 1, guard, call, 2, 1.0),
                "serve": FallbackServed(now, path, 1, guard, call, 1, "why"),
                "close": BreakerClosed(now, "app", guard, 1.0),
            }[what]
        )
    errors = kept.errors
    cases = Counter(record.case for record in errors.ring)
    assert {case.key: case for case in cases if case.resolution is None} == errors._open
    assert all(case.count == count for case, count in cases.items())
    for record in kept.all(now):
        assert record.resolved == (record.resolved_at is not None)
        assert record.resolved_at is None or record.at <= record.resolved_at <= now
    assert errors.forgotten + len(errors.ring) == errors.total
