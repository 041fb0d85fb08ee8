"""Events and children as people, log files and machines get them."""

from __future__ import annotations

import io
import json
import logging
import math
from datetime import datetime, timedelta
from typing import Any, get_args

import pytest
from msgspec.structs import asdict

from supervisor import _happenings as happenings
from supervisor._errors import Stuck, TreeFailed
from supervisor._happenings import Action, AttemptRule, BreakerRule, Event, Rule, Verdict
from supervisor._record import calls, prose
from supervisor._record.facts import facts, json_line, own_frames
from supervisor._record.log import JsonFormatter, LineFormatter, log_events
from supervisor._record.wording import duration, innermost, ordinal, sole
from supervisor._views import ChildView, ErrorRecord
from supervisor._words import Condition, Hold, HoldOwner, Outcome, Reason

T = "trading/telegram"
NOON = datetime(2024, 5, 1, 12, 0, 0)
STACK = 'Traceback:\n  File "/srv/app/feeds.py", line 41, in fetch\n    time.sleep(1e9)\n'
RESTART = Verdict("restart", "restart type", delay=2.1, attempt=3)


def wall(at: float) -> datetime:
    return NOON + timedelta(seconds=at)


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def crashed(verdict: Verdict = RESTART, error: BaseException | None = None, **fields: Any) -> Event:
    given = {"phase": "ready", "up": 12.34, "life": 4, "at": 0.0, "path": "trading/telegram"}
    error = raised(ConnectionError("refused")) if error is None else error
    return happenings.Crashed(**{**given, **fields}, error=error, verdict=verdict)


def attempt_failed(**fields: Any) -> Event:
    given: dict[str, Any] = {
        "at": 0.0,
        "path": T,
        "life": 4,
        "call": 17,
        "attempt": 1,
        "delay": 0.0,
    }
    error = raised(ConnectionError("refused"))
    said = {"guard": "exchange", "severity": "high", "took": 0.21, "error": error}
    return happenings.AttemptFailed(**{**given, **said, **fields})


def hostile() -> Exception:
    class Hostile(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    return raised(Hostile())


WINDOW = "crashes within window"
GOLDEN: list[tuple[Event, int, str]] = [
    (happenings.Added(0, T), logging.DEBUG, f"{T} added"),
    (happenings.Deleted(0, T), logging.DEBUG, f"{T} deleted"),
    (happenings.Started(0, T, 1), logging.DEBUG, f"{T} life 1 started"),
    (
        happenings.Started(0, T, 6, ready=False, probe=True),
        logging.INFO,
        f"{T} life 6 started as a probe, not ready yet",
    ),
    (happenings.Ready(0, T, 1, 0.21), logging.DEBUG, f"{T} life 1 ready after 210 ms"),
    (
        happenings.Declined(0, T, 1, "no token"),
        logging.INFO,
        f"{T} life 1 declined to run: no token",
    ),
    (
        happenings.Returned(0, T, 1, Verdict("finish", "restart type")),
        logging.INFO,
        f"{T} life 1 returned; done",
    ),
    (
        happenings.Returned(0, T, 1, Verdict("restart", "restart type")),
        logging.INFO,
        f"{T} life 1 returned; restarts at once",
    ),
    (
        crashed(),
        logging.WARNING,
        f"{T} life 4 crashed after 12.3 s: ConnectionError: refused; "
        "restarts in 2.1 s (3rd in a row)",
    ),
    (
        crashed(
            Verdict("quarantine", "crashes within window", delay=57, crashes=5, within=60),
            phase="starting",
        ),
        logging.WARNING,
        f"{T} life 4 crashed before it was ready: ConnectionError: refused; "
        "quarantined for 57 s (5 crashes within 60 s)",
    ),
    (
        crashed(Verdict("escalate", "critical", crashes=5, within=60)),
        logging.ERROR,
        f"{T} life 4 crashed after 12.3 s: ConnectionError: refused; "
        "its supervisor gives up (it is critical; 5 crashes within 60 s)",
    ),
    (
        crashed(Verdict("none", "was to stop"), phase="stopping"),
        logging.WARNING,
        f"{T} life 4 crashed while it was stopping: ConnectionError: refused; "
        "it was to stop anyway",
    ),
    (
        crashed(Verdict("forget", "restart type")),
        logging.ERROR,
        f"{T} life 4 crashed after 12.3 s: ConnectionError: refused; "
        "stays down by its restart type; forgotten",
    ),
    (
        crashed(Verdict("forget", "first start"), phase="starting"),
        logging.WARNING,
        f"{T} life 4 crashed before it was ready: ConnectionError: refused; "
        "not kept; forgotten (whoever added it is told)",
    ),
    (
        happenings.StopAsked(0, T, 4, "the tree stops", grace=2, deadline=5),
        logging.DEBUG,
        f"{T} life 4 asked to stop: the tree stops; "
        "has 2 s to end by itself, then is cancelled, stuck 5 s after that",
    ),
    (
        happenings.StopAsked(0, T, 4, "the tree stops", grace=0, deadline=math.inf),
        logging.DEBUG,
        f"{T} life 4 asked to stop: the tree stops; is cancelled",
    ),
    (
        happenings.Stopped(0, T, 4, 0.003),
        logging.DEBUG,
        f"{T} life 4 stopped, 3 ms after it was asked to",
    ),
    (
        happenings.StopTimedOut(0, T, 4, 5, STACK),
        logging.ERROR,
        f"{T} life 4 did not end within 5 s: stuck in fetch (feeds.py:41); it gets no further life",
    ),
    (
        happenings.Held(0, T, "operator", "stopped by an operator"),
        logging.INFO,
        f"{T} held: stopped by an operator; until somebody starts it",
    ),
    (
        happenings.Held(0, T, "backoff", "restart 3 in a row", until=2.1),
        logging.DEBUG,
        f"{T} held in backoff: restart 3 in a row; for 2.1 s until 12:00:02",
    ),
    (
        happenings.Released(0, T, "operator", "started by an operator"),
        logging.INFO,
        f"{T} released: started by an operator",
    ),
    (
        happenings.Released(0, T, "quarantine", "released by an operator"),
        logging.INFO,
        f"{T} released from quarantine: released by an operator",
    ),
    (
        happenings.Quarantined(274, T, WINDOW, 331, 57, 5, 60, 1, "log_only"),
        logging.WARNING,
        f"{T} quarantined for 57 s until 12:05:31: 5 crashes within 60 s; "
        "log_only runs in its place",
    ),
    (
        happenings.Quarantined(274, T, "probe failed", 388, 114, 1, 60, 2),
        logging.WARNING,
        f"{T} quarantined for 1 min 54 s until 12:06:28: its probe failed; "
        "the 2nd quarantine in a row",
    ),
    (
        happenings.Recovered(0, T, 7, 10),
        logging.INFO,
        f"{T} life 7 recovered: its probe has been ready for 10 s; the quarantine is over",
    ),
    (
        happenings.Held(0, T, "permit", "its restart takes a permit of exchange"),
        logging.DEBUG,
        f"{T} held: its restart takes a permit of exchange; until it is granted",
    ),
    (
        happenings.PermitMissed(0, T, "exchange", "no broker has it"),
        logging.WARNING,
        f"{T} restarts without a permit of exchange: no broker has it",
    ),
    (
        happenings.GroupRestarted(0, "trading", T, ("trading/http", T), 1.5),
        logging.WARNING,
        f"trading restarts a group of 2 in 1.5 s, because of {T}: trading/http, {T}",
    ),
    (happenings.Booted(0, "trading", 1, 3725), logging.INFO, "trading life 1 booted in 1 h 2 min"),
    (
        happenings.Escalated(0, "trading", "intensity", (T,)),
        logging.ERROR,
        f"trading gives up and stops its children, because of {T}: its intensity is exceeded",
    ),
    (
        happenings.StopBegun(10, "trading", "SIGTERM", by=35),
        logging.INFO,
        "trading stops its children in reverse within 25 s: SIGTERM",
    ),
    (happenings.Ended(0, "trading", 1), logging.INFO, "trading life 1 ended"),
    (
        happenings.Ended(0, "trading", 1, (T,)),
        logging.ERROR,
        f"trading life 1 ended, but for what is stuck: {T}",
    ),
    (
        happenings.ConditionChanged(0, "trading", Condition()),
        logging.INFO,
        "trading is healthy",
    ),
    (
        happenings.ConditionChanged(
            0, "trading", Condition("degraded", (Reason(T, "quarantined"), Reason(T, "stuck")))
        ),
        logging.WARNING,
        f"trading is degraded: {T} quarantined, {T} stuck",
    ),
    (
        happenings.LetterFailed(0, "app/book", 3, "book", "Put('BTC', 1.0)", "once more"),
        logging.WARNING,
        "app/book life 3 ended in the middle of a letter of mailbox book: Put('BTC', 1.0); "
        "the next life gets it once more",
    ),
    (
        happenings.LettersLost(0, "app/book", "book", 2, "full"),
        logging.WARNING,
        "app/book had 2 letters dropped from mailbox book, which is full",
    ),
    (
        happenings.LettersLost(0, "app", "book", 1, "left"),
        logging.WARNING,
        "app left 1 letter in mailbox book, which nobody reads any more",
    ),
    (
        happenings.GateShut(0, "trading/broker", "exchange", 12.5),
        logging.INFO,
        "trading/broker grants nothing of exchange for 12.5 s until 12:00:12, as its service asked for",
    ),
    (
        happenings.RateCut(0, "trading/broker", "exchange", 79.96),
        logging.INFO,
        "trading/broker was told too many of exchange; goes on at 80 a second",
    ),
    (
        happenings.BudgetChanged(0, "trading/broker", "exchange", "30 per 60 s"),
        logging.INFO,
        "trading/broker has the budget exchange changed to 30 per 60 s",
    ),
    (
        attempt_failed(rule="retried", delay=1.2, context="BTC"),
        logging.WARNING,
        f"{T} life 4 had a call of exchange (BTC) fail after 210 ms: ConnectionError: refused; "
        "made again in 1.2 s (the 2nd attempt)",
    ),
    (
        attempt_failed(rule="retried"),
        logging.WARNING,
        f"{T} life 4 had a call of exchange fail after 210 ms: ConnectionError: refused; "
        "made again at once (the 2nd attempt)",
    ),
    (
        attempt_failed(rule="retries used up", attempt=4),
        logging.ERROR,
        f"{T} life 4 had a call of exchange fail after 210 ms: ConnectionError: refused; "
        "given up: its retries are used up (4 attempts)",
    ),
    (
        attempt_failed(rule="retried further in", life=0, path="trading"),
        logging.INFO,
        "trading had a call of exchange fail after 210 ms: ConnectionError: refused; "
        "given up: a guard further in has retried it",
    ),
    (
        happenings.CallRecovered(0, T, 4, "exchange", 17, 3, 2.5),
        logging.INFO,
        f"{T} life 4 had its call of exchange succeed at the 3rd attempt, after 2.5 s",
    ),
    (
        happenings.FallbackServed(0, T, 4, "exchange", 17, 1, "ConnectionError: refused"),
        logging.WARNING,
        f"{T} life 4 got an answer of a fallback in the place of exchange: ConnectionError: refused",
    ),
    (
        happenings.FallbackServed(0, T, 4, "exchange", 17, 2, "ConnectionError: refused"),
        logging.WARNING,
        f"{T} life 4 got an answer of its 2nd fallback in the place of exchange: "
        "ConnectionError: refused",
    ),
    (
        happenings.BreakerOpened(
            271, T, "exchange", "failures in a row", 331, 60, 1, "OSError: no"
        ),
        logging.WARNING,
        f"{T} has the breaker of exchange open for 60 s until 12:05:31: "
        "too many failures in a row; the last: OSError: no",
    ),
    (
        happenings.BreakerOpened(271, T, "exchange", "probes failed", 391, 120, 2, "OSError: no"),
        logging.WARNING,
        f"{T} has the breaker of exchange open for 2 min until 12:06:31: "
        "its probes failed; the 2nd time in a row; the last: OSError: no",
    ),
    (
        happenings.BreakerOpened(
            271, T, "exchange", "slow calls", 331, 60, 1, "slow", metrics_only=True
        ),
        logging.INFO,
        f"{T} would have the breaker of exchange open, but only counts: "
        "too many of the calls were slow; slow",
    ),
    (
        happenings.BreakerHalfOpened(0, T, "exchange", 12),
        logging.INFO,
        f"{T} has the breaker of exchange half-open: a probe is under way; "
        "12 calls refused meanwhile",
    ),
    (
        happenings.BreakerClosed(0, T, "exchange", 61.5),
        logging.INFO,
        f"{T} has the breaker of exchange closed again, 61.5 s after it opened",
    ),
    (
        happenings.BreakerForced(0, T, "exchange", "open", "they move house", 60),
        logging.INFO,
        f"{T} has the breaker of exchange forced to 'open' for 60 s until 12:01:00: they move house",
    ),
    (
        happenings.BreakerForced(0, T, "exchange", "disabled", "we know better"),
        logging.INFO,
        f"{T} has the breaker of exchange forced to 'disabled' until it is released: we know better",
    ),
    (
        happenings.BreakerForced(0, T, "exchange", None, "its time was over"),
        logging.INFO,
        f"{T} has the breaker of exchange released: its time was over",
    ),
    (
        happenings.Dropped(0, "", 12),
        logging.WARNING,
        "the tree had a subscriber too slow for 12 events, which it never got",
    ),
]

EVENTS = [event for event, *_ in GOLDEN]
IDS = [f"{type(event).__name__}-{number}" for number, event in enumerate(EVENTS)]


@pytest.mark.parametrize(("event", "level", "text"), GOLDEN, ids=IDS)
def test_each_event_has_its_line_and_its_level(event: Event, level: int, text: str) -> None:
    assert prose.line(event, wall=wall) == text
    assert prose.level(event) == level


def test_no_event_is_without_a_line() -> None:
    assert set(map(type, EVENTS)) == set(Event.__subclasses__())


@pytest.mark.parametrize("event", EVENTS, ids=IDS)
def test_the_facts_of_each_event_are_json(event: Event) -> None:
    data = facts(event)

    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert set(event.__struct_fields__) == set(data)


def test_an_error_record_is_a_line_of_json_with_its_time_in_utc() -> None:
    record = ErrorRecord(
        id=7,
        at=12.5,
        time=1_714_564_800.25,
        component=T,
        life=4,
        type="ConnectionError",
        message="a\n\x1b[31m\udc80",
        severity="high",
        fingerprint="6ab08422",
        where="feeds:fetch:41",
    )

    line = json_line(record)

    assert "\n" not in line
    assert "\x1b" not in line
    data = json.loads(line)
    assert data["time"] == "2024-05-01T12:00:00.250Z"
    assert data["message"] == record.message
    assert {**data, "time": record.time} == {"kind": "ErrorRecord", **asdict(record)}


@pytest.mark.parametrize("rule", get_args(Rule))
@pytest.mark.parametrize("action", get_args(Action))
def test_every_verdict_can_be_said(action: Action, rule: Rule) -> None:
    text = prose.line(crashed(Verdict(action, rule, delay=1, attempt=2, crashes=3, within=9)))

    assert text.startswith(f"{T} life 4 crashed after 12.3 s: ConnectionError: refused; ")
    assert "  " not in text
    assert "()" not in text


@pytest.mark.parametrize("rule", get_args(AttemptRule))
def test_every_end_of_an_attempt_can_be_said(rule: AttemptRule) -> None:
    text = prose.line(attempt_failed(rule=rule))

    assert text.startswith(f"{T} life 4 had a call of exchange fail after 210 ms: ")
    assert ("given up" in text) == (rule != "retried")
    assert not text.endswith(": ")


@pytest.mark.parametrize("rule", get_args(BreakerRule))
def test_every_reason_to_open_a_breaker_can_be_said(rule: BreakerRule) -> None:
    opened = happenings.BreakerOpened(0, T, "exchange", rule, 60, 60, 1, "OSError: no")

    assert f"open for 60 s: {calls.OPENED[rule]}; the last: OSError: no" in prose.line(opened)


@pytest.mark.parametrize("owner", get_args(HoldOwner))
def test_every_hold_says_what_ends_it(owner: HoldOwner) -> None:
    text = prose.line(happenings.Held(0, T, owner, "why"))

    assert f": why; {prose.UNTIL[owner]}" in text


def test_a_line_stays_one_line_whatever_the_texts_contain() -> None:
    events = [
        crashed(error=raised(ValueError("a\r\x1b[31mb\u2028c\nd"))),
        happenings.Declined(0, "a\nb", 1, "no\ntoken\x07"),
        happenings.StopBegun(0, "trading", "be\ncause", by=math.inf),
    ]
    assert all(prose.line(event).isprintable() for event in events)


def test_an_error_that_cannot_be_printed_still_has_a_line() -> None:
    event = crashed(error=hostile())

    assert "Hostile: (its text cannot be shown); restarts in 2.1 s" in prose.line(event)
    assert "cannot be shown" in str(facts(event)["error"])


def test_a_long_error_is_cut() -> None:
    assert len(prose.line(crashed(error=ValueError("x" * 10_000)))) < 500


def test_a_group_of_one_is_told_as_its_error_and_a_larger_one_by_its_leaves() -> None:
    leaf = ConnectionError("refused")
    one = ExceptionGroup("unhandled", [ExceptionGroup("unhandled", [leaf])])
    two = ExceptionGroup("unhandled", [leaf, ValueError("bad")])

    assert sole(one) is leaf
    assert ": ConnectionError: refused;" in prose.line(crashed(error=one))
    assert "ExceptionGroup[ConnectionError: refused; ValueError: bad]" in prose.line(
        crashed(error=two)
    )


def test_a_group_of_one_with_notes_is_kept_whole() -> None:
    group = ExceptionGroup("unhandled", [ValueError("bad")])
    group.add_note("while trading")

    assert sole(group) is group


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "<1 ms"),
        (0.21, "210 ms"),
        (0.9996, "1 s"),
        (2.1, "2.1 s"),
        (57, "57 s"),
        (99.96, "1 min 40 s"),
        (250, "4 min 10 s"),
        (3599.6, "1 h"),
        (3780, "1 h 3 min"),
        (86_400, "1 d"),
        (math.inf, "ever"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_ordinals() -> None:
    said = [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 111)]

    assert said == ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "111th"]


def test_the_innermost_frame_of_a_stack() -> None:
    assert innermost(STACK) == "fetch (feeds.py:41)"
    assert innermost("no frames") == ""


def view(**fields: Any) -> ChildView:
    given = {
        "path": T,
        "name": "telegram",
        "kind": "component",
        "state": "down",
        "since": 274.0,
        "life": 5,
        "priority": "low",
        "restart": "permanent",
    }
    return ChildView(**{**given, **fields})


def test_explain_says_why_a_child_is_down_since_when_and_what_ends_it() -> None:
    held = view(
        holds=(Hold("quarantine", "5 crashes within 60 s", 331.0),),
        waits_for=("trading/http",),
        attempt=4,
        crashes=5,
        outcome=Outcome("crashed", ConnectionError("refused")),
        fallback=view(path=f"{T}/log_only", state="ready", since=275.0, life=1),
    )
    assert prose.explain_lines(held, 315.0, wall=wall) == (
        f"{T} is down for 41 s, since 12:04:34; life 5",
        "  held in quarantine: 5 crashes within 60 s; for 16 s until 12:05:31",
        "  waits for trading/http",
        "  4th automatic restart in a row is next",
        "  5 crashes within its quarantine's window",
        "  its last life that ended crashed: ConnectionError: refused",
        f"  its fallback {T}/log_only is ready for 40 s, since 12:04:35; life 1",
    )


def test_explain_of_a_child_that_never_ran_does_not_invent_an_age() -> None:
    assert prose.explain_lines(view(life=0, since=0.0), 5.0) == (f"{T} is down; it has never run",)


def test_explain_calls_a_life_a_probe_only_while_there_is_one() -> None:
    up = view(state="ready", probe=True)

    assert prose.explain_lines(up, 275.0) == (f"{T} is ready for 1 s; life 5, a probe",)
    assert prose.explain_lines(view(probe=True), 275.0) == (f"{T} is down for 1 s; life 5",)


def test_explain_of_a_supervisor_names_the_children_that_are_not_ready() -> None:
    tree = view(path="trading", kind="supervisor", state="starting", life=1, children=(view(),))

    assert prose.explain_lines(tree, 275.0) == (
        "trading is starting for 1 s; life 1",
        f"  1 of its 1 child not ready: {T}",
    )


def test_the_account_of_a_failed_tree_names_each_offender_once() -> None:
    refused = raised(ConnectionError("refused\nagain"))
    refused.add_note("trading/prices, life 5: 5 crashes within 60 s, and it is critical")
    stuck = Stuck("trading/book")
    failure = TreeFailed("trading failed: trading/prices, trading/book", [refused, stuck])

    lines = prose.account(failure).splitlines()

    assert lines[:2] == [
        "trading failed: trading/prices, trading/book",
        "  trading/prices, life 5: 5 crashes within 60 s, and it is critical",
    ]
    assert lines[2].startswith("    ConnectionError: refused; in raised (test_prose.py:")
    assert lines[3:] == [f"    Stuck: {stuck}"]


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logger(output: io.StringIO) -> logging.Logger:
    log = logging.Logger("supervisor")  # noqa: LOG001 - of its own, so that nothing stays behind
    log.addHandler(logging.StreamHandler(output))
    return log


def test_a_crash_is_logged_with_its_own_traceback_once(
    logger: logging.Logger, output: io.StringIO
) -> None:
    logger.handlers[0].setFormatter(LineFormatter())
    write = log_events(logger, wall=wall)
    error = raised(ExceptionGroup("unhandled", [raised(ConnectionError("refused"))]))

    write(crashed(error=error))
    write(happenings.Quarantined(274, T, WINDOW, 331, 57, 5, 60, 1))

    text = output.getvalue()
    assert text.count("Traceback") == text.count("raise error") == 1
    assert "ExceptionGroup" not in text
    assert f" WARNING {T} life 4 crashed" in text


def test_a_supervisor_that_gave_up_repeats_no_traceback(
    logger: logging.Logger, output: io.StringIO
) -> None:
    failed = TreeFailed("trading failed", [raised(ConnectionError("refused"))])

    log_events(logger)(crashed(error=failed))

    assert "TreeFailed[ConnectionError: refused]" in output.getvalue()
    assert "Traceback" not in output.getvalue()


def test_our_own_outermost_frames_are_not_shown() -> None:
    ours: dict[str, Any] = {"__name__": "supervisor._runtime.life"}
    exec("def run(fn):\n    fn()", ours)

    def fail() -> None:
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad") as caught:
        ours["run"](fail)
    assert caught.tb.tb_next is not None  # without the frame of this test

    frames = own_frames(caught.value.with_traceback(caught.tb.tb_next))

    assert frames is not None
    assert frames.tb_frame.f_code is fail.__code__


def test_a_disabled_level_formats_nothing(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger.setLevel(logging.INFO)
    monkeypatch.setattr(prose, "line", lambda *_, **__: pytest.fail("formatted"))

    log_events(logger)(happenings.Started(0, T, 1))


def test_the_stack_of_a_stuck_life_is_logged(logger: logging.Logger, output: io.StringIO) -> None:
    logger.handlers[0].setFormatter(LineFormatter())

    log_events(logger)(happenings.StopTimedOut(0, T, 4, 5, STACK))

    assert "time.sleep(1e9)" in output.getvalue()


@pytest.mark.parametrize("event", EVENTS, ids=IDS)
def test_json_log_lines_parse_and_carry_the_fields(
    logger: logging.Logger, output: io.StringIO, event: Event
) -> None:
    logger.handlers[0].setFormatter(JsonFormatter())

    log_events(logger)(event)

    (text,) = output.getvalue().splitlines()
    data = json.loads(text)
    assert data["event"] == type(event).__name__
    assert data.get("path", "") == event.path
    assert data.get("life") == prose.life_of(event)
    assert ("traceback" in data) == isinstance(event, happenings.Crashed)
    assert {"time", "level", "logger", "message", "at"} <= set(data)


def test_lines_of_user_code_show_path_and_life(logger: logging.Logger, output: io.StringIO) -> None:
    logger.handlers[0].setFormatter(LineFormatter())

    logger.info("slow %s", "answer", extra={"path": T, "life": 4})
    logger.info("outside", extra={"path": "", "life": 0})

    inside, outside = output.getvalue().splitlines()
    assert inside.endswith(f"INFO    {T}#4 supervisor: slow answer")
    assert outside.endswith("INFO    supervisor: outside")


def test_json_lines_of_user_code_keep_what_the_caller_adds(
    logger: logging.Logger, output: io.StringIO
) -> None:
    logger.handlers[0].setFormatter(JsonFormatter())

    logger.info("sold", extra={"path": T, "life": 4, "order": 7, "at": NOON})

    data = json.loads(output.getvalue())
    assert (data["path"], data["life"], data["order"], data["at"]) == (T, 4, 7, str(NOON))


def test_colours_only_where_asked_for() -> None:
    record = logging.makeLogRecord({"levelno": logging.ERROR, "levelname": "ERROR", "msg": "bad"})

    assert "\x1b" not in LineFormatter().format(record)
    assert LineFormatter(coloured=True).format(record).startswith("\x1b[31m")
