"""The service keeps its limit, the judge finds what misses a bar, and the program from end to end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.outside.__main__ import BACKENDS, main
from tests.outside.judge import Count, judge
from tests.outside.scenarios import Scenario, scenarios
from tests.outside.service import Service, Tokens, retry_after

# --- the service ---------------------------------------------------------------------------------


def test_the_service_accepts_its_burst_and_then_its_rate() -> None:
    tokens = Tokens(100, 10, 0.0)
    accepted = [not tokens.take(i / 1000) for i in range(2000)]
    assert all(accepted[:10])
    assert accepted[:1000].count(True) == pytest.approx(110, abs=1)
    assert accepted[1000:].count(True) == pytest.approx(100, abs=1)
    assert not any(accepted[i : i + 10].count(True) > 2 for i in range(20, 1990))


def test_whoever_waits_as_long_as_the_service_says_is_accepted() -> None:
    tokens = Tokens(10, 1, 0.0)
    assert tokens.take(0.0) == 0
    wait = tokens.take(0.03)
    assert wait == pytest.approx(0.07)
    assert tokens.take(0.03 + wait + 1e-9) == 0


def test_a_rate_that_changes_holds_from_that_moment_on() -> None:
    tokens = Tokens(100, 10, 0.0)
    assert [tokens.take(0.0) for _ in range(10)] == [0.0] * 10
    tokens.set_rate(50, 0.02)  # there are two by now
    assert [not tokens.take(0.04) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("wait", "fraction", "whole"), [(0.0101, "0.011", "1"), (1.5, "1.500", "2")]
)
def test_retry_after_is_never_less_than_the_wait(wait: float, fraction: str, whole: str) -> None:
    assert retry_after(wait, "fraction") == fraction
    assert retry_after(wait, "whole") == whole


def test_the_service_counts_by_class_and_answer() -> None:
    service = Service(Tokens(1, 2, 7.0), 0, "whole")
    for priority in ("low", "low", "high"):
        service.ask(priority, 7.05)
    service.ask("low", 7.15)
    assert service.told() == [
        (7.0, "low", True, 2),
        (7.0, "high", False, 1),
        (7.1, "low", False, 1),
    ]


# --- the judge -----------------------------------------------------------------------------------

SHARES = {"low": 1 / 40, "medium": 3 / 40, "high": 9 / 40, "critical": 27 / 40}


def served(
    scenario: Scenario, used: float = 1.0, refused: float = 0.0, **shares: float
) -> tuple[list[Count], list[float]]:
    """What the service counts if a client is like that from a phase's judged part on."""
    counts, starts, start = [], [], 1000.0
    for phase in scenario.phases:
        starts.append(start)
        for second in range(int(phase.seconds)):
            at, good = start + second, second >= phase.skip
            accepted = phase.rate * (used if good else 0.1)
            for priority, share in {**SHARES, **shares}.items():
                counts.append(Count(at, priority, True, accepted * share))  # type: ignore[arg-type]
            bad = accepted * refused / (1 - refused) if good else accepted
            counts.append(Count(at, "low", False, bad))  # type: ignore[arg-type]
        start += phase.seconds
    return counts, starts


@pytest.mark.parametrize("scenario", scenarios(10).values(), ids=lambda each: each.name)
def test_a_client_that_is_as_it_should_be_meets_every_bar(scenario: Scenario) -> None:
    assert all(each.met for each in judge(scenario, *served(scenario, 0.95, 0.005)))


@pytest.mark.parametrize(
    ("name", "client", "missed"),
    [
        ("hidden", {"refused": 0.031}, {"refused"}),
        ("hidden", {"used": 0.89}, {"used"}),
        ("declared", {"refused": 0.011}, {"refused"}),
        ("declared", {"used": 0.89}, {"used"}),
        ("classes", {"critical": 0.53, "medium": 0.22}, {"critical of its share"}),
        ("classes", {"high": 0.28, "medium": 0.02}, {"high of its share"}),
        ("classes", {"high": 0.17, "medium": 0.13}, {"high of its share"}),
        ("classes", {"low": 0.019, "medium": 0.081}, {"low of its share"}),
    ],
)
def test_each_bar_that_is_missed_is_found(
    name: str, client: dict[str, float], missed: set[str]
) -> None:
    scenario = scenarios(10)[name]
    findings = judge(scenario, *served(scenario, **client))
    assert {each.what for each in findings if not each.met} == missed


@pytest.mark.parametrize("phase", [1, 2])
@pytest.mark.parametrize(
    ("spoil", "missed"),
    [
        (lambda count: count.accepted, "used"),
        (lambda count: not count.accepted, "refused"),
    ],
)
def test_a_phase_whose_figures_are_not_back_is_found(
    phase: int, spoil: Callable[[Count], bool], missed: str
) -> None:
    scenario = scenarios(1)["halving"]
    counts, starts = served(scenario, 0.95, 0.02)
    since = starts[phase] + scenario.phases[phase].skip
    until = starts[phase] + scenario.phases[phase].seconds
    factor = 0.5 if missed == "used" else 2.0
    told = [
        Count(each.at, each.priority, each.accepted, each.number * factor)  # type: ignore[arg-type]
        if since <= each.at < until and spoil(each)
        else each
        for each in counts
    ]
    rate = scenario.phases[phase].rate
    assert f"{missed} at {rate:g}/s" in {
        each.what for each in judge(scenario, told, starts) if not each.met
    }


# --- the program ---------------------------------------------------------------------------------


@pytest.mark.realtime
def test_a_client_without_a_broker_is_refused_most_of_the_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    options = ["--scenario", "declared", "--seconds", "1", "--json", str(file)]
    assert main([*options, "--plant", "no broker"]) == 1
    told = json.loads(file.read_text())["declared"]
    assert told.keys() == set(BACKENDS)
    for run in told.values():
        refused = {what: (value, met) for what, value, _, _, met in run["findings"]}["refused"]
        assert refused[0] > 0.7
        assert refused[1] is False
    out = capsys.readouterr().out
    assert [line.count("NO") for line in out.splitlines() if "refused" in line] == [3]


@pytest.mark.realtime
def test_a_client_with_a_broker_keeps_to_the_limit_on_all_loops(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    options = ["--scenario", "declared", "--seconds", "2", "--json", str(file)]
    assert main(options) == 0
    told = json.loads(file.read_text())["declared"]
    assert told.keys() == set(BACKENDS)
    assert all(met for run in told.values() for *_, met in run["findings"])
    # Nobody crashed on the way, nor at the stop.
    assert capfd.readouterr().err == "declared: 4 s\n"
