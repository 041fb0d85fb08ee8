"""The benchmarks run: each case with a handful of children, and the command from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from supervisor import every
from tests.benchmarks import idle
from tests.benchmarks.__main__ import main
from tests.benchmarks.rows import ALL, SIDES, Bar, Row, Side
from tests.benchmarks.runner import Result

FEW = 20


@pytest.mark.realtime
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("row", [row for row in ALL if row.has_backend], ids=lambda row: row.name)
async def test_each_case_gives_a_figure(
    row: Row, side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "SETTLING", 0.02)
    monkeypatch.setattr(idle, "WINDOW", 0.02)
    figure = await row.case(side)(FEW)
    assert figure >= 0 if row.name in {"idle_memory", "idle_wakeups"} else figure > 0


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
    assert len(told["trio"]["import_ms"]["rounds"]["floor"]) == 3
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
def test_a_result_is_judged_by_its_medians(
    ours: list[float], backend: str, ratio: float, met: bool
) -> None:
    row = Row("row", "/s", 1, idle.start, idle.start_tasks, Bar(">=", 0.75, trio=1.0))
    result = Result(row, backend, {"ours": ours, "floor": [4.0]})  # type: ignore[arg-type]
    assert (result.ratio, result.met) == (ratio, met)
