"""The chaos run itself, for some seconds on each loop; and with faults planted that it has to find."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.chaos import judge as laws
from tests.chaos.__main__ import LOOPS, main
from tests.chaos.judge import Judge
from tests.chaos.plant import PLANTS
from tests.chaos.record import Ended, Line, Reader, Told

pytestmark = pytest.mark.realtime

SEED = "38"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run of eight seconds on each loop has left what it saw.

    Memory is not judged in so short a time; descriptors, threads, tasks and processes are.
    """
    folder = tmp_path_factory.mktemp("chaos")
    options = ["--minutes", "0.13", "--seed", SEED, "--keep", str(folder)]
    assert main([*options, "--json", str(folder / "figures.json")]) == 0
    return folder


def test_nothing_breaks_on_any_loop(kept: Path) -> None:
    figures = json.loads((kept / "figures.json").read_text())
    assert figures["seed"] == int(SEED)
    for loop in LOOPS:
        counts = figures[loop]["counts"]
        assert figures[loop]["broken"] == {}
        assert counts["faults"] >= 20
        assert counts["lives"] >= 20
        assert counts["crashes told"] >= 5
        assert len(figures[loop]["calms"]) >= 2


def lines(kept: Path, loop: str) -> list[Line]:
    reader = Reader(kept / f"{loop}.jsonl")
    read = list(reader.lines())
    reader.close()
    return read


def broken(story: Sequence[Line]) -> set[str]:
    """The laws that are broken, if the subscription got just these events."""
    judge = Judge()
    for line in story:
        if isinstance(line, Ended):
            line = replace(line, told=judge.counts["events"])  # noqa: PLW2901
        judge.see(line)
    return set(judge.breaches)


@pytest.mark.parametrize("loop", LOOPS)
def test_each_single_crash_that_is_lost_or_doubled_is_found(kept: Path, loop: str) -> None:
    story = lines(kept, loop)
    assert broken(story) == set()
    crashes = [
        (number, line)
        for number, line in enumerate(story)
        if isinstance(line, Told) and line.event == "Crashed"
    ]
    for at, crash in crashes:
        doubled = broken([*story[: at + 1], *story[at:]])
        assert doubled == {laws.TOLD_ONCE, laws.LOGGED_ONCE}
        lost = broken([*story[:at], *story[at + 1 :]])
        # Only the supervisor knows of a missed deadline: the one witness is its log.
        assert lost == {laws.LOGGED_ONCE} | (
            set() if crash.error in laws.DEADLINES else {laws.TOLD_ONCE}
        )


def test_planted_faults_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--loop", "asyncio", "--minutes", "0.08", "--seed", SEED, "--keep", str(tmp_path)]
    file = tmp_path / "figures.json"
    assert main([*options, "--json", str(file), "--plant", *PLANTS]) == 1
    found = json.loads(file.read_text())["asyncio"]
    assert found["broken"].keys() == {
        laws.TOLD_ONCE,
        laws.LOGGED_ONCE,
        laws.NO_ORPHAN,
        laws.NO_LEAK,
    }
    examples = "\n".join(found["examples"])
    for told in ("and was not told", "without being alive", "a task that stays", "descriptors:"):
        assert told in examples
    assert f"seed {SEED}" in capsys.readouterr().err
