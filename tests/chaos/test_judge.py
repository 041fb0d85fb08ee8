"""Each check of the chaos run fails on a story in which that law is broken, and on no other."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.chaos import judge as laws
from tests.chaos.faults import Errors
from tests.chaos.judge import Judge
from tests.chaos.record import (
    Asked,
    Began,
    Begun,
    Calm,
    Ended,
    Line,
    Logged,
    Over,
    Reader,
    Serves,
    Told,
    Trouble,
    Writer,
)
from tests.chaos.steady import floors, leaks

WARNING, INFO, DEBUG = 30, 20, 10
HTTP, PRICES, DESK, QUOTES = "app/http", "app/prices", "app/desk", "app/desk/quotes"


def told(event: str, path: str, life: int = 1, level: int = DEBUG, **others: object) -> Told:
    return Told(1.0, event, path, life, level=level, **others)  # type: ignore[arg-type]


def logged(of: Told) -> Logged:
    return Logged(1.0, of.level, "supervisor", "", of.event, of.path, of.life, of.failures)


def start(path: str, life: int = 1, *, serves: bool = True) -> list[Line]:
    return [told("Started", path, life), Began(1.0, path, life, serves)]


def crash(path: str, life: int = 1, failure: int = 1, error: str = "ValueError") -> list[Line]:
    crashed = told("Crashed", path, life, WARNING, failures=(failure,), error=error)
    return [Over(1.0, path, life, "raised", failure, error), logged(crashed), crashed]


def stop(path: str, life: int = 1, how: str = "cancelled") -> list[Line]:
    return [
        told("StopAsked", path, life),
        Over(1.0, path, life, how),
        told("Stopped", path, life),
    ]


def shutdown() -> list[Line]:
    begun = told("StopBegun", "app", 0, INFO)
    return [Asked(10.0), logged(begun), begun]


BEGUN = Begun(0.0, "asyncio", 1, "app", (DESK,), {PRICES: (HTTP,)})


def story() -> list[Line]:
    """A short run in which all is well."""
    lines = [
        BEGUN,
        *start(HTTP, serves=False),
        Serves(1.0, HTTP, 1),
        *start(PRICES),
        *crash(PRICES),
        *start(PRICES, 2),
        *shutdown(),
        *stop(PRICES, 2),
        *stop(HTTP),
    ]
    return [*lines, ended(lines)]


def ended(lines: Sequence[Line], **others: object) -> Ended:
    number = sum(isinstance(line, Told) for line in lines)
    return replace(Ended(11.0, 0, (), number), **others)


def judged(lines: Sequence[Line]) -> Judge:
    judge = Judge()
    for line in lines:
        judge.see(line)
    return judge


def broken(*lines: Line) -> set[str]:
    """The laws that are broken by a story of these lines, ended in order."""
    return set(judged([BEGUN, *lines, *shutdown(), ended([*lines, *shutdown()])]).breaches)


def altered(find: Callable[[Line], bool], *instead: Line | None) -> set[str]:
    """The laws that are broken by the good story with one line replaced; None stands for it."""
    lines = story()[:-1]
    [at] = [number for number, line in enumerate(lines) if find(line)]
    lines[at : at + 1] = [lines[at] if line is None else line for line in instead]
    return set(judged([*lines, ended(lines)]).breaches)


def is_crash(line: Line) -> bool:
    return isinstance(line, Told) and line.event == "Crashed"


def test_nothing_is_wrong_with_a_good_story() -> None:
    judge = judged(story())
    assert judge.examples == []
    assert judge.counts["lives"] == 3
    assert judge.counts["crashes told"] == judge.counts["raised"] == 1


class TestToldOnce:
    def test_a_crash_that_is_not_told(self) -> None:
        assert laws.TOLD_ONCE in altered(is_crash)

    def test_a_crash_that_is_told_twice(self) -> None:
        assert laws.TOLD_ONCE in altered(is_crash, None, None)

    def test_a_crash_that_is_told_as_another_one(self) -> None:
        wrong = told("Crashed", PRICES, 1, DEBUG, failures=(2,), error="ValueError")
        assert laws.TOLD_ONCE in altered(is_crash, wrong)

    def test_a_crash_that_is_told_together_with_another_one(self) -> None:
        both = told("Crashed", PRICES, 1, DEBUG, failures=(1, 2), error="ExceptionGroup")
        assert laws.TOLD_ONCE in altered(is_crash, both)

    @pytest.mark.parametrize("event", ["Stopped", "Returned", "Declined"])
    def test_a_crash_that_is_told_as_something_else(self, event: str) -> None:
        assert laws.TOLD_ONCE in altered(is_crash, told(event, PRICES))

    def test_a_crash_that_nobody_raised(self) -> None:
        raised = told("Crashed", PRICES, 1, failures=(1,), error="ValueError")
        assert broken(*start(PRICES), Over(1.0, PRICES, 1, "returned"), raised) >= {laws.TOLD_ONCE}

    def test_what_is_raised_by_a_life_that_was_to_end_is_told_all_the_same(self) -> None:
        asked = told("StopAsked", HTTP)
        assert broken(*start(HTTP), asked, *crash(HTTP)) == set()
        silent = [Over(1.0, HTTP, 1, "raised", 1, "ValueError"), told("Stopped", HTTP)]
        assert broken(*start(HTTP), asked, *silent) == {laws.TOLD_ONCE}

    def test_a_cancellation_that_nobody_asked_for(self) -> None:
        foreign = Over(1.0, HTTP, 1, "cancelled", foreign=True)
        crashed = told("Crashed", HTTP, error="ForeignCancellation")
        assert broken(*start(HTTP), foreign, crashed) == set()
        assert broken(*start(HTTP), foreign, told("Stopped", HTTP)) == {laws.TOLD_ONCE}
        own = replace(foreign, foreign=False)
        assert broken(*start(HTTP), own, told("Stopped", HTTP)) == {laws.TOLD_ONCE}

    def test_a_member_of_a_group_may_go_before_it_is_asked(self) -> None:
        group = told("GroupRestarted", "app", 0, members=(HTTP,))
        gone = Over(1.0, HTTP, 1, "returned")
        assert broken(*start(HTTP), group, gone, told("Stopped", HTTP)) == set()
        assert broken(*start(HTTP), gone, told("Stopped", HTTP)) == {laws.TOLD_ONCE}

    def test_one_that_needs_what_has_gone_may_go_before_it_is_asked(self) -> None:
        both = [*start(HTTP), *start(PRICES)]
        gone = [Over(1.0, PRICES, 1, "returned"), told("Stopped", PRICES)]
        assert broken(*both, *crash(HTTP), *gone) == set()
        assert broken(*both, *gone, *stop(HTTP)) == {laws.TOLD_ONCE}

    def test_one_that_waits_for_its_dependents_may_go_before_it_is_asked(self) -> None:
        both = [*start(HTTP), *start(PRICES)]
        dependent = replace(told("StopAsked", PRICES), why="it needs http, db")
        gone = [Over(1.0, HTTP, 1, "returned"), told("Stopped", HTTP)]
        rest = [Over(1.0, PRICES, 1, "cancelled"), told("Stopped", PRICES)]
        assert broken(*both, dependent, *gone, *rest) == set()
        other = replace(dependent, why="it needs db")
        assert broken(*both, other, *gone, *rest) == {laws.TOLD_ONCE}

    def test_one_that_an_operator_stopped_may_go_before_it_is_asked(self) -> None:
        held = replace(told("Held", HTTP, 0), why="operator")
        gone = [Over(1.0, HTTP, 1, "returned"), told("Stopped", HTTP)]
        assert broken(*start(HTTP), held, *gone) == set()
        delayed = replace(held, why="backoff")
        assert broken(*start(HTTP), delayed, *gone) == {laws.TOLD_ONCE}

    def test_a_deadline_is_told_besides_the_end(self) -> None:
        missed = told("Crashed", HTTP, error="HeartbeatMissed")
        assert broken(*start(HTTP), missed, *stop(HTTP)) == set()
        assert broken(*start(HTTP), missed, missed, *stop(HTTP)) == {laws.TOLD_ONCE}

    def test_scopes_that_are_left_open(self) -> None:
        left = Over(1.0, HTTP, 1, "returned", open=True)
        crashed = told("Crashed", HTTP, error="ScopesLeftOpen")
        assert broken(*start(HTTP), left, crashed) == set()
        returned = replace(left, open=False)
        assert broken(*start(HTTP), returned, crashed) == {laws.TOLD_ONCE}

    def test_a_supervisor_that_gave_up(self) -> None:
        gave_up, failed = told("Escalated", DESK), told("Crashed", DESK, error="TreeFailed")
        begun = told("Started", DESK)
        assert broken(begun, gave_up, failed) == set()
        assert broken(begun, failed) == {laws.TOLD_ONCE}
        assert broken(begun, gave_up, told("Stopped", DESK)) == {laws.TOLD_ONCE}

    def test_a_life_that_was_never_told(self) -> None:
        assert broken(Began(1.0, HTTP, 1, serves=True), *stop(HTTP)) >= {laws.TOLD_ONCE}

    def test_a_life_that_was_cancelled_before_it_began(self) -> None:
        ends = [told("StopAsked", HTTP), told("Stopped", HTTP)]
        assert broken(told("Started", HTTP), *ends) == set()
        assert broken(told("Started", HTTP), ends[1]) == {laws.TOLD_ONCE}

    def test_an_event_that_a_subscription_did_not_get(self) -> None:
        lines = story()
        lines[-1] = replace(lines[-1], told=lines[-1].told - 1)
        assert set(judged(lines).breaches) == {laws.TOLD_ONCE}


class TestLog:
    @staticmethod
    def is_logged_crash(line: Line) -> bool:
        return isinstance(line, Logged) and line.event == "Crashed"

    def test_a_crash_that_is_not_logged(self) -> None:
        assert altered(self.is_logged_crash) == {laws.LOGGED_ONCE}

    def test_a_crash_that_is_logged_twice(self) -> None:
        assert altered(self.is_logged_crash, None, None) == {laws.LOGGED_ONCE}

    def test_an_error_that_somebody_else_logs(self) -> None:
        assert broken(Logged(1.0, 40, "asyncio", "Task exception was never retrieved")) == {
            laws.CLEAN
        }

    def test_what_python_complains_of(self) -> None:
        assert broken(Trouble(1.0, "ResourceWarning: unclosed")) == {laws.CLEAN}


class TestLives:
    def test_two_lives_at_once(self) -> None:
        second = [told("Started", HTTP, 2), Began(1.0, HTTP, 2, serves=True)]
        assert laws.ONE_LIFE in broken(*start(HTTP), *second)

    def test_a_life_that_goes_on_after_its_end_was_told(self) -> None:
        asked, over, stopped = stop(HTTP)
        assert laws.ONE_LIFE in broken(*start(HTTP), asked, stopped, over)

    def test_a_life_that_does_not_end(self) -> None:
        assert broken(*start(HTTP)) == {laws.ONE_LIFE}

    def test_a_start_without_what_it_needs(self) -> None:
        assert broken(*start(PRICES), *stop(PRICES)) == {laws.ORDER}

    def test_a_start_before_what_it_needs_is_ready(self) -> None:
        both = [*start(HTTP, serves=False), *start(PRICES), *stop(PRICES), *stop(HTTP)]
        assert broken(*both) == {laws.ORDER}

    def test_a_start_after_the_stop(self) -> None:
        lines = [BEGUN, *shutdown(), *start(HTTP), *stop(HTTP)]
        assert set(judged([*lines, ended(lines)]).breaches) == {laws.ORDER}


class TestEnd:
    @pytest.mark.parametrize(
        ("others", "law"),
        [
            ({"left": ("a task",)}, laws.NO_ORPHAN),
            ({"code": 70}, laws.STOPS),
            ({"at": 31.0}, laws.STOPS),
        ],
    )
    def test_of_the_process(self, others: dict[str, object], law: str) -> None:
        lines = story()[:-1]
        assert set(judged([*lines, ended(lines, **others)]).breaches) == {law}

    def test_that_nobody_asked_for(self) -> None:
        begun = told("StopBegun", "app", 0)
        assert laws.HEALS in judged([BEGUN, begun, ended([begun])]).breaches

    def test_a_tree_that_does_not_heal(self) -> None:
        assert broken(calm(0, healthy=False, unwell="app/http is not ready")) == {laws.HEALS}

    def test_a_tree_that_gives_up(self) -> None:
        assert broken(told("Escalated", "app", 0)) == {laws.HEALS}


def calm(at: float, **others: object) -> Calm:
    figures = Calm(
        *(at, 1.0, True, "", 15, 16, 3, 11, 1, 50_000_000, 200_000, 45_000),
        types={"builtins.list": 1000, "builtins.dict": 2000},
        names=(),
    )
    return replace(figures, **others)


def run(**grows: Callable[[int], int]) -> list[Calm]:
    """Forty calms of ten minutes, in which these figures grow."""
    return [
        calm(15.0 * n, **{name: figure(n) for name, figure in grows.items()}) for n in range(40)
    ]


class TestLeaks:
    def test_a_steady_run(self) -> None:
        assert list(leaks(run(), 120)) == []

    def test_what_comes_and_goes_is_no_leak(self) -> None:
        comes = run(rss=lambda n: 50_000_000 + n % 3 * 10_000_000, descriptors=lambda n: 11 + n % 2)
        assert list(leaks(comes, 120)) == []

    def test_what_was_away_at_a_calm_by_chance_is_no_leak(self) -> None:
        away = run(descriptors=lambda n: 11 - (n == 10))
        assert list(leaks(away, 120)) == []

    def test_one_more_beside_what_comes_and_goes_is_a_leak(self) -> None:
        [found] = leaks(run(descriptors=lambda n: 11 - (n % 5 == 0) + (n > 25)), 120)
        assert found == "descriptors: 10 after the warm-up, 11 at the end"

    def test_what_the_warm_up_takes_is_no_leak(self) -> None:
        assert list(leaks(run(blocks=lambda n: 100_000 + min(n, 8) * 10_000), 120)) == []

    def test_memory_that_grows_by_5_percent_and_no_more(self) -> None:
        after = [calm(at, rss=52_400_000) for at in range(200, 600, 10)]
        before = [calm(at) for at in range(0, 200, 10)]
        assert list(leaks(before + after, 100)) == []

    @pytest.mark.parametrize("name", ["rss", "blocks", "objects"])
    def test_memory_that_grows(self, name: str) -> None:
        first = getattr(calm(0), name)
        [found] = leaks(run(**{name: lambda n: first + first * n // 200}), 120)
        assert found.startswith(f"{name} grew by ")

    def test_the_type_that_grows_is_named(self) -> None:
        grows = [
            replace(one, types={"builtins.list": 1000 + one.objects}, objects=one.objects)
            for one in run(objects=lambda n: 45_000 + 1000 * n)
        ]
        [found] = leaks(grows, 120)
        assert "+31000 builtins.list" in found

    @pytest.mark.parametrize("name", ["children", "tasks", "threads", "descriptors"])
    def test_one_more_is_a_leak(self, name: str) -> None:
        [found] = leaks(run(**{name: lambda n: 20 + (n > 25)}), 120)
        assert found == f"{name}: 20 after the warm-up, 21 at the end"

    def test_a_second_process_is_a_leak_at_any_calm(self) -> None:
        [found] = leaks(run(processes=lambda n: 1 + (n == 5)), 120)
        assert found == "2 child processes at a calm, where there is one world"

    def test_a_short_run_has_to_come_back_to_its_beginning(self) -> None:
        short = [calm(0), calm(3, tasks=17), calm(6, tasks=17)]
        assert floors(short, 120) is None
        [found] = leaks(short, 120)
        assert "tasks" in found


def test_an_error_that_is_raised_again_does_not_gather_its_past() -> None:
    errors, chance = Errors(), random.Random(1)
    first = errors.make(chance, "app/http")
    with suppress(type(first)):
        try:
            raise LookupError("was raised before it")
        finally:
            raise first
    assert first.__traceback__ is not None
    assert first.__context__ is not None

    errors.forget_past()

    assert (first.__traceback__, first.__context__) == (None, None)
    assert any(errors.make(chance, "app/http") is first for _ in range(200))


def test_lines_are_read_as_they_were_written_also_while_they_are(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    write, lines = Writer(file), [*story(), calm(1)]
    reader = Reader(file)
    for line in lines[:5]:
        write(line)
    write.flush()
    read = list(reader.lines())
    for line in lines[5:]:
        write(line)
    write.close()
    read += reader.lines()
    reader.close()
    assert read == lines
