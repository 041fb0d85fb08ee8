"""A guard's own timeout: who is in time is not touched by it, on either backend."""

from __future__ import annotations

import pytest
from anyio import current_time, sleep

from supervisor import Guard, Retry, open_supervisor

pytestmark = pytest.mark.usefixtures("leak_check")


async def answer_after(seconds: float) -> str:
    await sleep(seconds)
    return "here"


@pytest.mark.parametrize("seconds", [0, 9.5])
async def test_an_answer_in_time_is_the_answer(seconds: float) -> None:
    guard = Guard("guard", budget=None, timeout=10, retry=None)
    async with open_supervisor():
        began = current_time()

        assert await guard(answer_after, seconds) == "here"

        assert current_time() - began == seconds
        assert guard.status().figures[-1].succeeded == 1


async def test_an_answer_that_is_late_is_none() -> None:
    guard = Guard("guard", budget=None, timeout=10, retry=None)
    async with open_supervisor():
        with pytest.raises(TimeoutError, match="no answer within 10 s"):
            await guard(answer_after, 10.5)

        assert guard.status().figures[-1].timed_out == 1


async def test_an_attempt_that_the_calls_own_deadline_cuts_says_how_long_it_had() -> None:
    guard = Guard("guard", budget=None, timeout=10, retry=Retry(deadline=3), breaker=None)
    async with open_supervisor():
        with pytest.raises(TimeoutError, match="no answer within 3 s"):
            await guard(answer_after, 10.5)
