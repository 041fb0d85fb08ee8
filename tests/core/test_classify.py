"""What errors mean: for the retries, for the breaker, and how severe they are."""

from __future__ import annotations

import asyncio
import io
import json
import math
import sys
import urllib.error
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import format_datetime
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, get_args
from xml.etree import ElementTree as ET

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor import (
    BreakerOpen,
    BrokerClosed,
    CallFailed,
    Decline,
    MailboxClosed,
    NonRetryable,
    NoTree,
    PermitRefused,
    PermitUsed,
    TreeFailed,
    UnknownBudget,
)
from supervisor._core.classify import LONGEST_REST, Judged, Rules, rest_of, severity, status_of
from supervisor._spec.guards import Breaker, Retry
from supervisor._words import Severity

WALL = 1_000_000_000.0
"""2001-09-09 01:46:40 UTC"""

PLAIN = Rules(Retry(), Breaker())


def judge(error: BaseException, rules: Rules = PLAIN) -> Judged:
    return rules.judge(error, WALL)


def meaning(error: BaseException, rules: Rules = PLAIN) -> tuple[str, bool]:
    judged = judge(error, rules)
    return judged.what, judged.retry


FAILURE = ("failure", True)
OWN_FAULT = ("ignored", False)
THROTTLED = ("throttled", True)


def of_httpx(status: int, **headers: str) -> httpx2.HTTPStatusError:
    request = httpx2.Request("GET", "http://127.0.0.1/")
    response = httpx2.Response(status, headers=headers, request=request)
    with pytest.raises(httpx2.HTTPStatusError) as raised:
        response.raise_for_status()
    return raised.value


def of_urllib(status: int, **headers: str) -> urllib.error.HTTPError:
    message = Message()
    for name, value in headers.items():
        message[name] = value
    return urllib.error.HTTPError("http://127.0.0.1/", status, "", message, io.BytesIO())


class LikeAiohttp(Exception):
    """``aiohttp.ClientResponseError`` has the status and the headers itself."""

    def __init__(self, status: int, **headers: str) -> None:
        self.request_info = object()
        self.status = status
        self.headers = httpx2.Headers(headers)
        super().__init__(status)


class LikeRequests(OSError):
    """``requests.HTTPError`` has a response, which may be missing."""

    def __init__(self, status: int | None, **headers: str) -> None:
        self.request = None
        self.response = None
        if status is not None:
            self.response = SimpleNamespace(status_code=status, headers=httpx2.Headers(headers))
        super().__init__(status)


class LikeGoogle(Exception):
    """``google.api_core`` has a code, which is an enumeration's."""

    def __init__(self, status: int, **headers: str) -> None:
        self.code = HTTPStatus(status)
        self.response = SimpleNamespace(status=status, headers=dict(headers))
        super().__init__(status)


LIBRARIES: list[Callable[..., Exception]] = [
    of_httpx, of_urllib, LikeAiohttp, LikeRequests, LikeGoogle,
]  # fmt: skip
each_library = pytest.mark.parametrize("of", LIBRARIES, ids=lambda of: of.__name__)


# --- errors of Python ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError(),
        ConnectionResetError(),
        BrokenPipeError(),
        TimeoutError(),
        OSError(113, "no route to host"),
        FileNotFoundError("a socket's, while its server restarts"),
        asyncio.IncompleteReadError(b"", 7),
        EOFError(),
        RuntimeError("of no special kind"),
        Exception(),
        CallFailed("book", "its reader crashed"),
    ],
    ids=repr,
)
def test_what_goes_away_by_itself_is_a_failure_and_retried(error: Exception) -> None:
    assert meaning(error) == FAILURE


@pytest.mark.parametrize(
    "error",
    [
        TypeError(), ValueError(), UnicodeEncodeError("ascii", "é", 0, 1, ""), KeyError(),
        IndexError(), AttributeError(), NameError(), UnboundLocalError(), AssertionError(),
        NotImplementedError(), RecursionError(), ZeroDivisionError(), OverflowError(),
        ImportError(), ModuleNotFoundError(), SyntaxError(), IndentationError(), TabError(),
        StopIteration(), StopAsyncIteration(), DeprecationWarning(), MemoryError(),
        PermissionError(), UnknownBudget("x", []), NoTree(),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_mistake_or_a_permission_does_not_go_away_and_is_ignored(error: Exception) -> None:
    assert meaning(error) == OWN_FAULT


def test_an_answer_that_cannot_be_read_is_the_services_failure() -> None:
    """They are errors of values, or of syntax, but nobody here has written those."""
    for read in (
        lambda: json.loads("<html>"),
        b"\xff".decode,
        lambda: ET.fromstring("<not closed>"),
    ):
        with pytest.raises((ValueError, SyntaxError)) as raised:
            read()

        assert meaning(raised.value) == FAILURE


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), SystemExit(), GeneratorExit(), asyncio.CancelledError()],
    ids=repr,
)
def test_what_is_no_plain_error_is_never_retried_and_never_counted(error: BaseException) -> None:
    eager = Rules(Retry(on=(Exception, lambda error: True)), Breaker(counts=(lambda error: True,)))

    assert meaning(error, eager) == OWN_FAULT


# --- our own errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "refused",
    [BreakerOpen("a", 17.0, 3.0, "x"), PermitRefused("a", "spent", 17.0)],
    ids=lambda error: type(error).__name__,
)
def test_our_own_refusal_says_nothing_of_the_service_and_is_asked_again_in_time(
    refused: Exception,
) -> None:
    judged = judge(refused)

    assert (judged.what, judged.retry, judged.retry_at) == ("ignored", True, 17.0)


@pytest.mark.parametrize(
    "refused",
    [BreakerOpen("a", math.inf, math.inf, "x"), PermitRefused("a", "paused", math.inf)],
    ids=lambda error: type(error).__name__,
)
def test_a_refusal_that_says_no_time_is_not_asked_again(refused: Exception) -> None:
    assert meaning(refused) == OWN_FAULT


@pytest.mark.parametrize(
    "error",
    [BrokerClosed("b"), MailboxClosed("m", "it stops"), PermitUsed("b"), Decline()],
    ids=lambda error: type(error).__name__,
)
def test_what_has_stopped_here_says_nothing_of_the_service(error: Exception) -> None:
    assert meaning(error) == OWN_FAULT


# --- HTTP --------------------------------------------------------------------------------------------


@each_library
@pytest.mark.parametrize("status", [500, 502, 503, 504, 511, 408, 425])
def test_a_status_that_passes_is_a_failure_and_retried(
    of: Callable[..., Exception], status: int
) -> None:
    assert meaning(of(status)) == FAILURE


@each_library
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 422, 451])
def test_a_status_that_blames_the_caller_is_ignored_and_not_retried(
    of: Callable[..., Exception], status: int
) -> None:
    assert meaning(of(status)) == OWN_FAULT


@each_library
@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
def test_too_many_is_no_failure_and_says_how_long_to_rest(
    of: Callable[..., Exception], name: str
) -> None:
    judged = judge(of(429, **{name: "7"}))

    assert (judged.what, judged.retry, judged.rest) == ("throttled", True, 7.0)


@each_library
def test_too_many_is_too_many_without_a_time_as_well(of: Callable[..., Exception]) -> None:
    judged = judge(of(429))

    assert (judged.what, judged.retry, judged.rest) == ("throttled", True, None)


@each_library
def test_unavailable_for_a_while_is_no_failure(of: Callable[..., Exception]) -> None:
    judged = judge(of(503, **{"Retry-After": "120"}))

    assert (judged.what, judged.retry, judged.rest) == ("throttled", True, 120.0)


def test_another_failure_may_say_how_long_to_rest_and_stays_one() -> None:
    judged = judge(of_httpx(502, **{"Retry-After": "30"}))

    assert (judged.what, judged.retry, judged.rest) == ("failure", True, 30.0)


@pytest.mark.parametrize(
    "error",
    [
        httpx2.ConnectError("x"), httpx2.ReadTimeout("x"), httpx2.PoolTimeout("x"),
        httpx2.RemoteProtocolError("x"), urllib.error.URLError(ConnectionRefusedError()),
        LikeRequests(None),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_request_without_an_answer_is_a_failure_and_retried(error: Exception) -> None:
    assert status_of(error) is None
    assert meaning(error) == FAILURE
    assert judge(error).severity == "high"


@pytest.mark.parametrize(
    "status", [200, 304, 399, 600, 1006, 0, -1, True, "503", 503.0, None], ids=repr
)
def test_what_is_no_status_of_an_error_says_nothing(status: object) -> None:
    error = ConnectionError()
    error.status = status  # type: ignore[attr-defined]

    assert status_of(error) is None
    assert meaning(error) == FAILURE


def test_a_code_that_is_no_status_does_not_hide_one() -> None:
    error = LikeRequests(404)
    error.code = 40_001  # type: ignore[attr-defined]

    assert status_of(error) == 404


def test_a_status_counts_for_more_than_the_type() -> None:
    class ApiError(ValueError):
        status_code = 503

    class Denied(ConnectionError):
        status_code = 403

    assert meaning(ApiError()) == FAILURE
    assert meaning(Denied()) == OWN_FAULT


def test_an_error_that_only_says_how_long_to_rest_is_throttled() -> None:
    class FloodWait(Exception):
        retry_after = timedelta(seconds=90)

    judged = judge(FloodWait())

    assert (judged.what, judged.retry, judged.rest) == ("throttled", True, 90.0)


class Hostile(Exception):
    """Whatever is asked of it, it raises."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class Nested(Exception):
    def __init__(self) -> None:
        self.response = Hostile()
        self.headers = Hostile()
        self.retry_after = Hostile()


@pytest.mark.parametrize("error", [Hostile(), Nested()], ids=lambda e: type(e).__name__)
def test_attributes_that_raise_are_not_there(error: Exception) -> None:
    assert judge(error) == Judged("failure", True, None, None, "low")


# --- how long to rest --------------------------------------------------------------------------------


def told(value: object) -> float | None:
    error = Exception()
    error.retry_after = value  # type: ignore[attr-defined]
    return rest_of(error, WALL)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0.0), (0.0, 0.0), (7, 7.0), (1.5, 1.5), ("0", 0.0), ("7", 7.0), (" 7 ", 7.0),
        ("1.5", 1.5), (b"7", 7.0), (timedelta(minutes=2), 120.0),
        ("Sun, 09 Sep 2001 01:47:10 GMT", 30.0),  # the three forms of RFC 9110, 5.6.7
        ("Sunday, 09-Sep-01 01:47:10 GMT", 30.0),
        ("Sun Sep  9 01:47:10 2001", 30.0),
        ("Sun, 09 Sep 2001 03:47:10 +0200", 30.0),
        ("Sun, 09 Sep 2001 01:47:10 -0000", 30.0),
        ("Sun, 09 Sep 2001 01:46:40 GMT", 0.0),
        ("Sat, 08 Sep 2001 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
    ids=repr,
)  # fmt: skip
def test_seconds_and_dates_are_read(value: object, seconds: float) -> None:
    assert told(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, "", " ", "soon", "-1", -1, -0.1, math.nan, "nan", "inf", "1e3", "1_000",
        "\u0667", "7 s", "0x7", timedelta(seconds=-1), [], {}, object(), lambda: 7, b"\xff",
        "Sun, 99 Sep 2001 01:46:40 GMT", "Sun, 09 Sep 2001 25:46:40 GMT", "9" * 1000,
    ],
    ids=lambda value: f"{type(value).__name__} {str(value)[:30]}".partition(" at 0x")[0],
)  # fmt: skip
def test_what_is_neither_is_not_there(value: object) -> None:
    assert told(value) is None


@pytest.mark.parametrize(
    "value",
    [10**400, math.inf, "9" * 50, 1e300, timedelta.max],
    ids=["int", "inf", "text", "float", "timedelta"],
)
def test_a_huge_number_is_a_long_rest_and_a_finite_one(value: object) -> None:
    seconds = told(value)

    assert seconds is not None
    assert 86_400 * 365 < seconds < math.inf


@pytest.mark.parametrize(
    "headers",
    [None, 7, "Retry-After", [], object(), {}, {7: "7"}],
    ids=["none", "int", "text", "list", "object", "empty", "other"],
)
def test_headers_of_any_kind_do_no_harm(headers: object) -> None:
    error = LikeAiohttp(503)
    error.headers = headers  # type: ignore[assignment]

    assert meaning(error) == FAILURE


def test_the_errors_own_word_comes_before_the_header() -> None:
    error = LikeRequests(429, **{"Retry-After": "7"})
    error.retry_after = 3  # type: ignore[attr-defined]

    assert judge(error).rest == 3


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_a_date_is_as_far_away_as_it_says(wall: float, moment: float) -> None:
    date = datetime.fromtimestamp(int(moment), UTC)
    error = LikeAiohttp(503, **{"Retry-After": format_datetime(date, usegmt=True)})

    assert rest_of(error, wall) == min(max(0.0, int(moment) - wall), LONGEST_REST)


@given(st.one_of(st.text(), st.binary(), st.floats(), st.integers(), st.timedeltas()))
def test_whatever_it_says_a_rest_is_a_number_of_seconds_or_none(value: object) -> None:
    seconds = told(value)

    assert seconds is None or (0 <= seconds < math.inf and not isinstance(seconds, bool))


# --- what the user says ------------------------------------------------------------------------------


def test_never_comes_before_on_and_on_before_the_defaults() -> None:
    rules = Rules(Retry(on=(LookupError, OSError), never=(KeyError, ConnectionError)))

    assert judge(IndexError(), rules).retry
    assert not judge(KeyError(), rules).retry
    assert not judge(ConnectionResetError(), rules).retry
    assert judge(TimeoutError(), rules).retry
    assert not judge(TypeError(), rules).retry


def test_an_errors_own_no_comes_before_all() -> None:
    class OrderRefused(ConnectionError, NonRetryable):
        pass

    class Marked(ConnectionError):
        retryable = False

    rules = Rules(Retry(on=(Exception,)), Breaker())

    assert meaning(OrderRefused(), rules) == OWN_FAULT
    assert meaning(Marked(), rules) == OWN_FAULT
    assert meaning(NonRetryable(), rules) == OWN_FAULT


def test_an_errors_own_yes_comes_before_the_defaults_only() -> None:
    class Again(ValueError):
        retryable = True

    assert judge(Again()).retry
    assert not judge(Again(), Rules(Retry(never=(ValueError,)))).retry


def test_a_word_that_is_neither_yes_nor_no_says_nothing() -> None:
    class Odd(ConnectionError):
        retryable = 0

    assert judge(Odd()).retry


def test_predicates_see_the_error() -> None:
    def not_yet(error: Exception) -> bool:
        return "not yet" in str(error)

    rules = Rules(Retry(on=(not_yet,), never=(lambda error: "for good" in str(error),)))

    assert judge(ValueError("not yet there"), rules).retry
    assert not judge(ValueError("no"), rules).retry
    assert not judge(ConnectionError("gone for good"), rules).retry


def test_a_predicate_that_fails_says_no_and_the_error_tells_once() -> None:
    def broken(error: Exception) -> bool:
        raise KeyError("status")

    error = ConnectionError()
    rules = Rules(Retry(never=(broken,), on=(broken,)), Breaker(ignore=(broken,)))

    assert meaning(error, rules) == FAILURE
    assert meaning(error, rules) == FAILURE

    [note] = error.__notes__
    assert note.endswith(".broken failed: KeyError")


def test_a_predicate_is_not_asked_about_a_cancellation() -> None:
    asked: list[BaseException] = []
    rules = Rules(Retry(on=(asked.append,)), Breaker(counts=(asked.append,)))

    judge(BaseExceptionGroup("", [asyncio.CancelledError(), KeyboardInterrupt()]), rules)

    assert asked == []


def test_what_is_retried_and_what_counts_are_said_apart() -> None:
    rules = Rules(Retry(on=(ValueError,), never=(ConnectionError,)), Breaker())

    assert meaning(ValueError(), rules) == ("ignored", True)
    assert meaning(ConnectionError(), rules) == ("failure", False)


def test_ignore_comes_before_counts_and_counts_before_the_defaults() -> None:
    rules = Rules(None, Breaker(counts=(LookupError,), ignore=(KeyError, ConnectionError)))

    assert judge(IndexError(), rules).what == "failure"
    assert judge(KeyError(), rules).what == "ignored"
    assert judge(ConnectionError(), rules).what == "ignored"
    assert judge(TimeoutError(), rules).what == "failure"


def test_throttled_is_what_the_user_says_or_the_status() -> None:
    class Busy(Exception):
        pass

    rules = Rules(None, Breaker(ignore=(Exception,)), throttled=(Busy,))

    assert judge(Busy(), rules).what == "throttled"
    assert judge(of_httpx(429), rules).what == "throttled"
    assert judge(OSError(), rules).what == "ignored"


def test_too_many_counts_where_the_user_says_so() -> None:
    assert judge(of_httpx(429), Rules(None, Breaker(counts=(httpx2.HTTPStatusError,)))).what == (
        "failure"
    )


def test_without_any_policy_the_defaults_hold() -> None:
    assert meaning(ConnectionError(), Rules()) == FAILURE
    assert meaning(TypeError(), Rules()) == OWN_FAULT


# --- groups ------------------------------------------------------------------------------------------


def test_a_group_is_retried_if_all_its_leaves_are() -> None:
    passing = ExceptionGroup("", [OSError(), ExceptionGroup("", [TimeoutError(), EOFError()])])
    mixed = ExceptionGroup("", [OSError(), ExceptionGroup("", [TimeoutError(), TypeError()])])

    assert judge(passing).retry
    assert not judge(mixed).retry


def test_a_group_with_a_cancellation_is_never_retried() -> None:
    rules = Rules(Retry(on=(BaseExceptionGroup, Exception, lambda error: True)))
    group = BaseExceptionGroup("", [OSError(), asyncio.CancelledError()])

    assert not judge(group, rules).retry


def test_a_group_is_a_failure_if_one_of_its_leaves_is() -> None:
    assert judge(ExceptionGroup("", [TypeError(), OSError()])).what == "failure"
    assert judge(ExceptionGroup("", [TypeError(), of_httpx(429)])).what == "throttled"
    assert judge(ExceptionGroup("", [of_httpx(429), OSError()])).what == "failure"
    assert judge(ExceptionGroup("", [TypeError(), KeyError()])).what == "ignored"
    assert judge(BaseExceptionGroup("", [OSError(), asyncio.CancelledError()])).what == "failure"
    assert judge(BaseExceptionGroup("", [asyncio.CancelledError()])).what == "ignored"


def test_a_group_wants_the_longest_rest_of_its_leaves() -> None:
    judged = judge(
        ExceptionGroup(
            "",
            [
                of_httpx(429, **{"Retry-After": "7"}),
                of_httpx(429, **{"Retry-After": "30"}),
                of_httpx(429),
                BreakerOpen("a", 5.0, 1, ""),
                BreakerOpen("b", 9.0, 1, ""),
            ],
        )
    )

    assert (judged.rest, judged.retry_at) == (30.0, 9.0)


def test_a_type_means_the_leaves_of_a_group() -> None:
    group = ExceptionGroup("", [KeyError(), ExceptionGroup("", [KeyError()])])

    assert judge(group, Rules(Retry(on=(KeyError,)))).retry
    assert not judge(group, Rules(Retry(on=(KeyError,), never=(LookupError,)))).retry
    assert judge(group, Rules(None, Breaker(counts=(KeyError,)))).what == "failure"


def test_a_type_of_group_means_all_that_is_in_it() -> None:
    rules = Rules(Retry(on=(ExceptionGroup,), never=(TreeFailed,)))

    assert judge(ExceptionGroup("", [TypeError()]), rules).retry
    assert not judge(TreeFailed("", [OSError()]), rules).retry
    assert not judge(ExceptionGroup("", [TreeFailed("", [OSError()])]), rules).retry
    assert not judge(TypeError(), rules).retry


def test_a_deep_group_is_judged() -> None:
    group = ExceptionGroup("", [OSError()])
    for _ in range(10 * sys.getrecursionlimit()):
        group = ExceptionGroup("", [group])

    assert meaning(group) == FAILURE
    while isinstance(group.exceptions[0], ExceptionGroup):  # to delete it at once is deep, too
        group = group.exceptions[0]


# --- severity ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyboardInterrupt(), "critical"),
        (SystemExit(), "critical"),
        (MemoryError(), "critical"),
        (ConnectionError(), "high"),
        (ConnectionResetError(), "high"),
        (TimeoutError(), "high"),
        (OSError(113, "no route to host"), "high"),
        (LikeAiohttp(404), "high"),
        (httpx2.ReadTimeout("x"), "high"),
        (ValueError(), "medium"),
        (TypeError(), "medium"),
        (AttributeError(), "medium"),
        (UnicodeDecodeError("ascii", b"", 0, 1, ""), "medium"),
        (KeyError(), "low"),
        (FileNotFoundError(), "low"),
        (PermissionError(), "low"),
        (RuntimeError(), "low"),
        (Exception(), "low"),
        (asyncio.CancelledError(), "low"),
    ],
    ids=repr,
)
def test_severity_by_default(error: BaseException, expected: Severity) -> None:
    assert severity(error) == expected
    assert judge(error).severity == expected


def test_an_error_is_as_severe_as_the_lost_connection_that_caused_it() -> None:
    error = RuntimeError()
    error.__cause__ = Exception()
    error.__cause__.__cause__ = ConnectionError()

    assert severity(error) == "high"


def test_causes_in_a_circle_are_looked_at_once() -> None:
    a, b = RuntimeError(), RuntimeError()
    a.__cause__, b.__cause__ = b, a

    assert severity(a) == "low"


def test_the_nearest_type_that_the_user_names_counts() -> None:
    own: dict[type, Severity] = {Exception: "low", OSError: "medium", ConnectionError: "critical"}

    assert severity(ConnectionResetError(), own) == "critical"
    assert severity(TimeoutError(), own) == "medium"
    assert severity(ValueError(), own) == "low"
    assert severity(KeyboardInterrupt(), own) == "critical"
    assert judge(TimeoutError(), Rules(severities=own)).severity == "medium"


@pytest.mark.parametrize("word", get_args(Severity))
def test_an_errors_own_word_counts_most(word: Severity) -> None:
    error = ConnectionError()
    error.severity = word  # type: ignore[attr-defined]

    assert severity(error, {ConnectionError: "low"}) == word


@pytest.mark.parametrize("word", ["fatal", "", 7, None, ["high"]], ids=repr)
def test_another_word_of_that_name_says_nothing(word: object) -> None:
    error = ValueError()
    error.severity = word  # type: ignore[attr-defined]

    assert severity(error) == "medium"


def test_a_group_is_as_severe_as_its_worst_leaf() -> None:
    group = ExceptionGroup("", [KeyError(), ExceptionGroup("", [ValueError()])])

    assert severity(group) == judge(group).severity == "medium"
    assert severity(ExceptionGroup("", [group, TimeoutError()])) == "high"
    assert severity(BaseExceptionGroup("", [group, SystemExit()])) == "critical"
