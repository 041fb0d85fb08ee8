"""What says which errors are meant, in a guard's policies: types of errors and predicates, no others."""

from __future__ import annotations

import pytest

from supervisor._spec.guards import Breaker, Retry, wrong_breaker, wrong_retry


async def asked_later(error: Exception) -> bool:
    return False


@pytest.mark.parametrize(
    "matchers",
    [(), (OSError, KeyError), (ExceptionGroup,), (lambda error: True,), (OSError, callable)],
    ids=["none", "types", "group", "predicate", "both"],
)
def test_types_of_errors_and_predicates_are_matchers(matchers: tuple[object, ...]) -> None:
    assert not [*wrong_retry("retry", Retry(on=matchers, never=matchers))]
    assert not [*wrong_breaker("breaker", Breaker(counts=matchers, ignore=matchers))]


@pytest.mark.parametrize(
    ("matchers", "what"),
    [
        ([OSError], "is "),
        (OSError, "is "),
        ((OSError, int), "int"),
        ((KeyboardInterrupt,), "KeyboardInterrupt"),
        ((503,), "503"),
        (("ConnectionError",), "ConnectionError"),
        ((asked_later,), "asked_later"),  # a coroutine would be a yes, whatever comes of it
    ],
    ids=["list", "type", "no error", "no plain error", "number", "name", "async"],
)
def test_what_is_neither_is_refused_with_its_path(matchers: object, what: str) -> None:
    [(path, (said, write))] = wrong_retry("tree/retry", Retry(never=matchers))  # type: ignore[arg-type]

    assert path == "tree/retry.never"
    assert what in said
    assert "types of errors or functions" in write
