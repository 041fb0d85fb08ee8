"""The benchmarks run: each case with a handful of children, and the command from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from supervisor import every
from tests.benchmarks import crowd, idle, runner
from tests.benchmarks.__main__ import main
from tests.benchmarks.rows import ALL, SIDES, Bar, Row
from tests.benchmarks.runner import Result
from tests.benchmarks.stopwatch import Figure, Stopwatch

FEW = 20


@pytest.mark.realtime
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("row", [row for row in ALL if row.has_backend], ids=lambda row: row.name)
async def test_each_case_gives_a_figure(
    row: Row, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "SETTLING", 0.02)
    monkeypatch.setattr(idle, "WINDOW", 0.02)
    monkeypatch.setattr(crowd, "CRASHES", 10)
    figure = await row.case(side)(row.size_of(side, FEW))
    if row.name in {"idle_memory", "idle_wakeups"}:
        assert figure.value >= 0
        assert figure.cpu is None
    else:
        assert figure.value > 0
        assert figure.cpu is not None
        assert figure.cpu > 0


@pytest.mark.realtime
async def test_processor_time_does_not_run_while_nothing_does() -> None:
    watch = Stopwatch()
    await anyio.sleep(0.2)
    took = watch.seconds()
    assert took.value >= 0.19
    assert took.cpu is not None
    assert took.cpu < 0.15


@pytest.mark.realtime
@pytest.mark.parametrize(("count", "victims"), [(4, 4), (10, 10), (25, 13)])
async def test_each_crash_of_a_crowd_is_of_another_child(
    count: int, victims: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "CRASHES", 10)
    group = crowd.Crowd(count)
    crashed = []

    async def crash(victim: crowd.Victim) -> Figure:
        crashed.append(victim)
        return Figure(1e-6, 1e-6)

    monkeypatch.setattr(crowd.Victim, "crash", crash)
    async with anyio.create_task_group() as tasks:
        for live in group.lives:
            tasks.start_soon(live)
        assert await group.crash() == Figure(1, 1)
        tasks.cancel_scope.cancel()
    assert len(group.victims) == victims
    assert len(crashed) == 10
    assert len(set(crashed)) == min(victims, 10)


@pytest.mark.realtime
async def test_wake_ups_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "WINDOW", 0.2)

    async def tick() -> None:
        async for _ in every(0.01):
            pass

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        assert await idle._woken_while_idle() >= 5
        group.cancel_scope.cancel()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    options = ["--backend", "asyncio", "trio", "--rounds", "1", "--size", "5"]
    rows = ["first_restart_ms", "import_ms"]
    assert main(["--json", str(file), "--row", *rows, *options]) == 0
    told = json.loads(file.read_text())
    assert told.keys() == {"asyncio", "trio", "machine", "commit"}
    assert told["asyncio"].keys() == told["trio"].keys() == set(rows)
    rounds = told["trio"]["import_ms"]["sides"]["floor"]["rounds"]
    assert len(rounds) == 3
    assert all(each["value"] > 0 and each["cpu"] > 0 for each in rounds)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        [row, backend] for row in rows for backend in ("asyncio", "trio")
    ]


def test_a_case_that_fails_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))  # no interpreter starts with that
    file = tmp_path / "figures.json"
    assert main(["--json", str(file), "--row", "idle_start", "--backend", "asyncio"]) == 1
    assert "failed: idle_start" in capsys.readouterr().err
    assert not file.exists()


@pytest.mark.parametrize(
    ("ours", "backend", "ratio", "met"),
    [([3.0, 1.0, 2.0], "asyncio", 0.5, False), ([4.0], "trio", 1.0, True)],
)
def test_a_result_is_judged_by_its_medians_on_the_wall(
    ours: list[float], backend: str, ratio: float, met: bool
) -> None:
    row = Row("row", "/s", 1, idle.start, idle.start_tasks, Bar(">=", 0.75, trio=1.0))
    rounds = {"ours": [Figure(each, 2 * each) for each in ours], "floor": [Figure(4.0, 4.0)]}
    result = Result(row, backend, rounds)  # type: ignore[arg-type]
    assert (result.ratio(), result.met) == (Figure(ratio, 2 * ratio), met)


def test_a_row_for_which_there_is_no_memory_is_skipped_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "available", lambda: 900 * 2**20)
    file = tmp_path / "figures.json"
    options = ["--json", str(file), "--row", "crash_100k", "--backend", "asyncio"]
    assert main([*options, "--size", "100000"]) == 0
    reason = "needs 1,171 MiB of free memory, 900 MiB are"
    assert f"crash_100k on asyncio is skipped: {reason}" in capsys.readouterr().out
    told = json.loads(file.read_text())["asyncio"]["crash_100k"]
    assert (told["sides"]["ours"], told["met"]) == ({"missing": reason}, None)


def test_memory_that_the_control_group_allows_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "CGROUP", tmp_path)
    assert runner.available() > 3000
    (tmp_path / "memory.current").write_text("9000\n")
    (tmp_path / "memory.stat").write_text("anon 5000\ninactive_file 2000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert runner.available() > 3000
    (tmp_path / "memory.max").write_text("10000\n")
    assert runner.available() == 3000
