"""The benchmarks run: each case with a handful of children, and the command from end to end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from supervisor import Priority, every
from tests.benchmarks import contended, crowd, idle, permits, runner
from tests.benchmarks.__main__ import main
from tests.benchmarks.peers import PEERS, case_of, cases, why_not
from tests.benchmarks.peers.cases import CASES, Begin, Life, Running
from tests.benchmarks.rows import ALL, SIDES, Bar, Row
from tests.benchmarks.runner import CaseFailed, Result, run
from tests.benchmarks.stopwatch import Figure, Stopwatch
from tests.benchmarks.where import COLLECTOR, UNSEEN, UNTIMED, Cost, correct

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
    if row.name in {"idle_memory", "idle_wakeups", "permit_share", "permit_cost"}:
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
    assert told.keys() == {"asyncio", "trio", "machine", "commit", "not_measured"}
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


# --- peers ---------------------------------------------------------------------------------------


class Plain:
    """A peer that is a task group, and waits between two lives for as long as it was told."""

    backends = ("asyncio", "trio")
    restarts = True

    def __init__(self, delay: float = 0) -> None:
        self.delay = delay

    def idle(self, begin: Begin, count: int) -> Running:
        async def wait() -> None:
            begin()
            await anyio.sleep_forever()

        return self._entered([wait] * count)

    def crashing(self, life: Life) -> Running:
        async def restart() -> None:
            while True:
                try:
                    await life()
                except RuntimeError:
                    await anyio.sleep(self.delay)
                else:
                    await anyio.sleep_forever()

        return self._entered([restart])

    @asynccontextmanager
    async def _entered(self, lives: list[Life]) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            for life in lives:
                group.start_soon(life)
            yield
            group.cancel_scope.cancel()


@pytest.mark.realtime
@pytest.mark.parametrize("name", CASES)
async def test_each_case_works_on_any_peer(name: str) -> None:
    figure = await CASES[name](Plain(), FEW)
    assert figure.value >= 0 if name == "idle_memory" else figure.value > 0


@pytest.mark.realtime
async def test_a_peer_that_waits_between_lives_is_seen_to() -> None:
    assert 20 <= (await CASES["first_restart_ms"](Plain(delay=0.02), 3)).value < 1000
    rate = await CASES["restart"](Plain(delay=0.02), 5)
    assert 1 < rate.value <= 50
    assert rate.cpu is not None
    assert rate.cpu > rate.value


@pytest.mark.realtime
async def test_restarts_of_a_slow_peer_are_counted_for_a_while_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cases, "LONGEST", 0.3)
    with anyio.fail_after(20):
        assert 1 <= (await CASES["restart"](Plain(delay=0.1), 1_000_000)).value <= 10
        assert (await CASES["first_restart_ms"](Plain(delay=0.1), 1_000_000)).value >= 100


@pytest.mark.parametrize(
    "row",
    ["idle_start", "restart", "permit_acquire", "permit_share", "guard_breaker", "guard_retry"],
)
@pytest.mark.parametrize("peer", PEERS)
def test_each_peer_that_is_installed_gives_a_figure(peer: str, row: str) -> None:
    if case_of(peer, row) is None:
        pytest.skip("is for something else")
    if reason := why_not(peer, row, "asyncio"):
        pytest.skip(reason)
    chosen = next(each for each in ALL if each.name == row)
    try:
        assert run(chosen, peer, "asyncio", 3, patience=60).value > 0
    except CaseFailed as exc:
        if not exc.in_a_line.startswith("ModuleNotFoundError"):
            raise
        pytest.skip(exc.in_a_line)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ImportError('no such luck')", "ImportError: no such luck"),
        ("import time; time.sleep(30)", "took more than 4 s"),
    ],
)
def test_a_peer_that_gives_no_figure_is_named_with_the_reason(
    code: str,
    reason: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "engin.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(runner, "PATIENCE_WITH_PEERS", 4)
    file = tmp_path / "figures.json"
    options = ["--row", "restart", "--backend", "asyncio", "--rounds", "2", "--size", "5"]
    assert main([*options, "--peers", "engin", "aiotools", "--json", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if " engin " in line).endswith(reason)
    assert next(line for line in lines if " aiotools " in line).endswith("restarts nothing")
    sides = json.loads(file.read_text())["asyncio"]["restart"]["sides"]
    assert sides["engin"]["missing"].endswith(reason)
    assert len(sides["ours"]["rounds"]) == 2


def test_how_grants_lie_is_told_beside_those_that_keep_to_the_rate() -> None:
    right = [7 + k / 1000 for k in range(1, 1001)]
    assert contended.spacing(right, 7, 1) == {
        "served": 1000,
        "span": pytest.approx(1),
        "err p50": pytest.approx(0, abs=1e-9),
        "err p99": pytest.approx(0, abs=1e-9),
        "in 1 s": pytest.approx(1000, abs=1),
        "in 100 ms": pytest.approx(100, abs=1),
    }
    at_once = contended.spacing([7.5] * 1000, 7, 20)
    assert (at_once["span"], at_once["in 1 s"], at_once["in 100 ms"]) == (0.5, 1020, 1000)
    assert at_once["err p50"] == pytest.approx(250, abs=1)
    slow = contended.spacing([7 + k / 100 for k in range(1, 501)], 7, 1)
    assert (slow["served"], slow["span"]) == (500, pytest.approx(10))


@pytest.mark.realtime
async def test_who_is_never_served_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Half:
        def __init__(self) -> None:
            self.left = 500

        async def wait(self, priority: Priority) -> None:
            self.left -= 1
            if self.left < 0:
                await anyio.sleep_forever()

    monkeypatch.setattr(permits, "LONGEST", 0.1)
    with anyio.fail_after(20):
        assert (await contended.contended(Half(), 1))["served"] == 499


def test_the_command_of_the_contended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    options = ["--rounds", "1", "--limiter", "floor", "aiolimiter", "--backend", "trio"]
    assert contended.main([*options, "--json", str(file)]) == 0
    told = json.loads(file.read_text())["trio"]
    assert told.keys() == {
        f"{name}, burst {n}" for name in ("floor", "aiolimiter") for n in (1, 1000)
    }
    assert told["floor, burst 1"][0]["served"] == contended.WAITERS
    assert told["aiolimiter, burst 1"] == "does not run on trio"
    assert capsys.readouterr().out.count("does not run on trio") == 2


# --- where the time goes -------------------------------------------------------------------------


@pytest.mark.parametrize("row", ["restart", "crash_100k"])
def test_a_profile_adds_up_and_tells_ours_from_what_is_beneath(
    row: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "profile.json"
    options = ["--profile", row, "--size", "200", "--json", str(file)]
    assert main([*options, "--backend", "asyncio"]) == 0
    told = json.loads(file.read_text())["profiles"]
    assert [(each["row"], each["backend"]) for each in told] == [(row, "asyncio")]
    sides = told[0]["sides"]
    groups = {side: {each["group"] for each in sides[side]} for side in SIDES}
    assert {"supervisor._core", "supervisor._runtime", "anyio", "event loop"} <= groups["ours"]
    assert {UNSEEN, COLLECTOR} <= groups["ours"]
    # The floor of the second row is ours among fewer children.
    assert ("supervisor._core" in groups["floor"]) == (row == "crash_100k")
    exited = next(each for each in sides["ours"] if each["function"] == "verdict.exited")
    assert 0.9 <= exited["calls"] <= 1.1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == [row, "on", "asyncio"]
    assert float(lines[1].split()[3]) == pytest.approx(
        sum(each["us"] for each in sides["ours"]), abs=0.01
    )


def test_what_profiling_costs_is_taken_off_by_calls_and_the_rest_is_as_long_as_without() -> None:
    profiled = {
        "cpu": 3.0,
        "wall": 3.0,
        "functions": [
            # file, name, calls, calls made, seconds of its own
            ["/x/supervisor/_core/order.py", "settle", 100, 300, 1.4],
            ["/x/site-packages/anyio/_core/_tasks.py", "TaskHandle.<locals>.end", 300, 0, 1.1],
        ],
    }
    costs = correct(profiled, working=2.0, units=100)
    # 400 calls have cost a second: half of it falls on those who are called, half on the callers.
    settle, end, unseen = 1.4 - 0.5, 1.1 - 0.375, 0.5
    scale = 2.0 / (settle + end + unseen)
    assert costs == {
        ("supervisor._core", "order.settle"): Cost(pytest.approx(settle * scale * 1e4), 1),
        ("anyio", "_tasks.TaskHandle.end"): Cost(pytest.approx(end * scale * 1e4), 3),
        (UNSEEN, ""): Cost(pytest.approx(unseen * scale * 1e4), 0),
    }


@pytest.mark.parametrize("name", UNTIMED)
def test_a_row_that_times_nothing_cannot_be_profiled(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert name in {row.name for row in ALL}
    with pytest.raises(SystemExit):
        main(["--profile", name])
    assert "--profile: invalid choice" in capsys.readouterr().err
