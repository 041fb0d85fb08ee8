"""The command line, and the picture of a tree on a terminal."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace
from rich.console import Console

from supervisor._console import cli, live
from supervisor._console.draw import draw, fitting
from supervisor._happenings import Event, Started
from supervisor._views import (
    BreakerStatus,
    BudgetStatus,
    ChildView,
    GuardFigures,
    GuardStatus,
    TreeView,
)
from supervisor._words import Condition, Hold, Outcome, Reason

BAD = """
name = "bad"
children = [
    {{ run = "{module}:fine", name = "twin" }},
    {{ run = "{module}:fine", name = "twin" }},
    {{ run = "{module}:missing", name = "lost" }},
]
"""
GOOD = """
name = "good"
children = [
    {{ run = "{module}:fine", copies = 2 }},
    {{ run = "{module}:fine", name = "other", priority = "low" }},
]
"""
MODULE = """
from supervisor._spec.tree import Component, Supervisor

async def fine() -> None: ...

tree = Supervisor("good", [Component(fine)])
bad = Supervisor("bad", [Component(fine), Component(fine)])
number = 7
"""


@pytest.fixture(autouse=True)
def import_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def module(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "console_services.py").write_text(MODULE)
    yield "console_services"
    sys.modules.pop("console_services", None)


@pytest.fixture
def write(tmp_path: Path, module: str) -> Callable[[str], str]:
    def write(text: str) -> str:
        (tmp_path / "tree.toml").write_text(text.format(module=module))
        return "tree.toml"

    return write


def test_check_of_a_good_file(
    write: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", write(GOOD)]) == 0

    answer = capsys.readouterr()
    assert answer.out == ""
    assert answer.err == "supervisor: tree.toml: fine, 3 children\n"


def test_check_of_a_bad_file_prints_a_line_for_each_problem(
    write: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", write(BAD)]) == 1

    answer = capsys.readouterr()
    lines = answer.out.splitlines()
    assert len(lines) == 2
    assert any("twin" in line for line in lines)
    assert any("missing" in line for line in lines)
    assert answer.err == "supervisor: tree.toml: 2 errors\n"


def test_check_as_json(write: Callable[[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--json", write(BAD)]) == 1

    answer = json.loads(capsys.readouterr().out)
    assert answer["target"] == "tree.toml"
    assert answer["fine"] is False
    assert {"path", "what", "write", "level"} == set(answer["problems"][0])


def test_check_of_module_and_attribute(module: str) -> None:
    assert cli.main(["check", f"{module}:tree"]) == 0
    assert cli.main(["check", f"{module}:bad"]) == 1


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("services", "neither a .toml or .json file nor module:attribute"),
        ("no_such_module:tree", "no module 'no_such_module'"),
        ("console_needy:tree", "failed: ModuleNotFoundError: No module named 'no_such_library'"),
        ("console_services:nothing", "'console_services' has no 'nothing'"),
        ("console_services:number", "has a int, not a Supervisor, as 'number'"),
        ("console_broken:tree", "importing 'console_broken' failed: ValueError: at import"),
        ("console_broken:tree", "in <module> (console_broken.py:1)"),
        ("console_needy:tree", "in <module> (console_needy.py:1); install no_such_library, which it imports"),
        ("console_leaving:tree", "importing 'console_leaving' failed: SystemExit: 3 in <module>"),
        ("no_such_file.toml", "no_such_file.toml"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_target_that_is_no_tree(
    command: str,
    target: str,
    why: str,
    module: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    root_logger: logging.Logger,
) -> None:
    (tmp_path / "console_broken.py").write_text("raise ValueError('at import')")
    (tmp_path / "console_needy.py").write_text("import no_such_library")
    (tmp_path / "console_leaving.py").write_text("raise SystemExit(3)")

    assert cli.main([command, target]) == 2

    answer = capsys.readouterr()
    assert answer.out == ""
    assert why in answer.err
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    [
        "",
        "fly tree.toml",
        "run",
        "run --backend curio tree.toml",
        "run --stop-within nan tree.toml",
        "run --stop-within inf tree.toml",
        "run --stop-within 0 tree.toml",
        "run --stop-within -1 tree.toml",
        "run --stop-within soon tree.toml",
        "run --log-level loud tree.toml",
    ],
)
def test_a_wrong_command_exits_with_2(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        cli.main(command.split())

    assert exited.value.code == 2
    assert "usage: supervisor" in capsys.readouterr().err


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    """The root logger, which `run` takes over, put back afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    for handler in handlers:
        root.removeHandler(handler)
    yield root
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)


def test_run_starts_nothing_that_is_wrong(
    write: Callable[[str], str],
    capsys: pytest.CaptureFixture[str],
    root_logger: logging.Logger,
) -> None:
    assert cli.main(["run", write(BAD)]) == 2

    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "supervisor: tree.toml: nothing was started"
    assert len(lines) == 3


def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda name: None)

    assert cli.main(["run", "tree.toml", "--backend", "trio"]) == 2
    assert cli.main(["run", "tree.toml", "--uvloop"]) == 2
    assert cli.main(["run", "tree.toml", "--uvloop", "--backend", "trio"]) == 2

    assert capsys.readouterr().err.splitlines() == [
        "supervisor: trio is not installed: pip install 'anyio-supervisor[trio]'",
        "supervisor: uvloop is not installed: pip install 'anyio-supervisor[uvloop]'",
        "supervisor: --uvloop is for asyncio, not for --backend trio",
    ]


def test_check_warns_of_supervisord_in_the_same_package(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "4.2.5")

    assert cli.main(["check", f"{module}:tree"]) == 0

    answer = capsys.readouterr()
    assert answer.out.startswith("supervisor: warning: the distribution supervisor 4.2.5")
    assert answer.err.endswith("fine, 1 warning, 1 child\n")


def child(path: str, **fields: Any) -> ChildView:
    given = {
        "name": path.rpartition("/")[2],
        "kind": "component",
        "state": "ready",
        "since": 0.0,
        "life": 1,
        "priority": "medium",
        "restart": "permanent",
    }
    return ChildView(path=path, **{**given, **fields})


def sample(polls: int = 3) -> TreeView:
    telegram = child(
        "trading/telegram",
        state="down",
        since=90.0,
        life=5,
        holds=(Hold("quarantine", "5 crashes within 60 s", 140.2),),
        outcome=Outcome("crashed", ConnectionError("refused [bold]\x1b[31m")),
        fallback=child("trading/telegram/log_only", since=91.0),
    )
    feeds = child(
        "trading/feeds",
        kind="supervisor",
        children=tuple(child(f"trading/feeds/poll-{n}") for n in range(polls)),
    )
    report = child("trading/report", state="down", life=0, waits_for=("trading/telegram",))
    return TreeView(
        100.0,
        Condition("degraded", (Reason("trading/telegram", "quarantined"),)),
        child("trading", kind="supervisor", children=(telegram, report, feeds)),
    )


def picture(view: TreeView, *, height: int = 50, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(draw(view, height=height))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_picture_of_a_tree() -> None:
    assert picture(sample()) == [
        "trading  degraded  3 of 5 ready",
        "trading/telegram quarantined",
        "child         state  life         for  why",
        "trading       ready     1  1 min 40 s",
        "  telegram    down      5        10 s  quarantine 41 s  "
        "crashed: ConnectionError: refused [bold] [3…",
        "    log_only  ready     1         9 s",
        "  report      down                     waits for trading/telegram",
        "  feeds       ready     1  1 min 40 s",
        "    poll-0    ready     1  1 min 40 s",
        "    poll-1    ready     1  1 min 40 s",
        "    poll-2    ready     1  1 min 40 s",
    ]


def test_a_tall_tree_is_folded_and_keeps_what_is_wrong() -> None:
    lines = picture(sample(polls=10_000), height=20)

    assert len(lines) == 9
    assert lines[-1].split() == ["10000", "ready"]
    assert any("quarantine 41 s" in line for line in lines)


@pytest.mark.parametrize("height", [1, 2, 5, 9])
def test_the_picture_is_never_taller_than_asked(height: int) -> None:
    many = tuple(child(f"trading/{n}", state="starting") for n in range(100))
    rows = fitting(child("trading", kind="supervisor", children=many), height)

    assert len(rows) == height
    assert sum(-row.folded if row.child is None else 1 for row in rows) == 101


def breaker(**fields: Any) -> BreakerStatus:
    empty: dict[str, Any] = dict.fromkeys(BreakerStatus.__struct_fields__, 0)
    calm = {"state": "closed", "forced": None, "reason": "", "until": None, "retry_at": None}
    return BreakerStatus(**{**empty, **calm, "cause": "", **fields})


def guard(name: str, calls: int = 0, rate: float | None = None, **fields: Any) -> GuardStatus:
    empty: dict[str, Any] = dict.fromkeys(GuardFigures.__struct_fields__, 0)
    minute = GuardFigures(**{**empty, "window": 60.0, "calls": calls, "success_rate": rate})
    calm = {"budget": name, "breaker": breaker(), "under_way": 0, "retrying": 0, "retry_tokens": 9}
    return GuardStatus(name=name, figures=(minute,), **{**calm, **fields})


def budget(name: str, **fields: Any) -> BudgetStatus:
    empty: dict[str, Any] = dict.fromkeys(BudgetStatus.__struct_fields__, 0)
    calm = {
        "state": "open", "mode": "enforce", "limit": 30, "per": 60.0, "rate": 0.5, "waiting": {},
        "not_before": None,
    }  # fmt: skip
    return BudgetStatus(**{**empty, "name": name, **calm, **fields})


def with_calls(guards: Sequence[GuardStatus], budgets: Sequence[BudgetStatus]) -> TreeView:
    return TreeView(
        100.0, Condition(), child("trading", kind="supervisor"), tuple(budgets), tuple(guards)
    )


def test_guards_and_budgets_have_a_line_each_below_the_tree() -> None:
    is_open = breaker(state="open", retry_at=145.0, cause="TimeoutError: no answer")
    held = breaker(state="open", forced="open", until=None, reason="they move house")
    view = with_calls(
        [
            guard("prices", 120, 0.996, under_way=3, retrying=1),
            guard("exchange", 12, 0.25, breaker=is_open),
            guard("chat", breaker=breaker(state="half-open", cause="OSError: refused")),
            guard("mail", breaker=held),
            guard("plain", 1, 1.0, breaker=None),
        ],
        [
            budget("prices", used=28, usage=28 / 30),
            budget(
                "exchange",
                state="shut",
                not_before=112.0,
                rate=1234.6,
                waiting={"low": 1, "high": 3},
                longest_waiting=4.0,
            ),
            budget("smooth", mode="shadow", limit=5, per=1.0, used=2.0, usage=0.5),
        ],
    )

    assert picture(view)[4:] == [
        "guard     breaker      calls/min  good",
        "exchange  open 45 s    12         25 %   TimeoutError: no answer",
        "chat      half-open    0                 OSError: refused",
        "mail      forced open  0                 they move house",
        "prices    closed       120        99 %   3 under way; 1 to be made again",
        "plain     none         1          100 %",
        "budget    state          a second  used              waiting",
        "exchange  shut 12 s      1235      none              4, the first for 4 s",
        "prices    open           0.5       28 of 30 in 60 s",
        "smooth    open (shadow)  0.5       2 of 4",
    ]


def test_without_guards_and_budgets_there_are_no_lines_for_them() -> None:
    assert not [line for line in picture(sample()) if "guard" in line or "budget" in line]


@pytest.mark.parametrize("height", [*range(4, 30), 50, 100])
def test_guards_and_budgets_make_the_picture_no_taller(height: int) -> None:
    bad = breaker(state="open", retry_at=145.0)
    view = replace(
        sample(polls=30),
        guards=(*(guard(f"g{n}") for n in range(12)), guard("bad", breaker=bad)),
        budgets=tuple(budget(f"b{n}") for n in range(9)),
    )

    lines = picture(view, height=height)

    assert len(lines) <= height
    assert height == 4 or lines[3].startswith("trading ")
    if height >= 13:
        assert any(line.startswith("bad  ") for line in lines)
        assert any(line.startswith("b0  ") for line in lines)
    if height == 100:
        assert not [line for line in lines if "more" in line]


def test_names_and_causes_of_guards_are_no_terminal_codes() -> None:
    nasty = breaker(state="open", cause="\x1b[31m[bold]red\n")
    lines = picture(with_calls([guard("a\x1b[2J", breaker=nasty)], [budget("b\nb")]))

    assert not [line for line in lines if not line.isprintable()]
    assert any("[bold]red" in line for line in lines)


def test_a_fallback_on_standby_is_not_shown() -> None:
    standby = child("a/b/c", state="down", holds=(Hold("standby", "b is not held"),))
    root = child("a", kind="supervisor", children=(child("a/b", fallback=standby),))

    assert len(fitting(root, 10)) == 2


class FakeTree:
    """A tree that tells one event, and has as many polls ready as pictures were taken of it."""

    def __init__(self) -> None:
        self.snapshots = 0

    def snapshot(self) -> TreeView:
        self.snapshots += 1
        return sample(polls=self.snapshots)

    async def events(self) -> AsyncIterator[Event]:
        yield Started(0.0, "trading/feeds", 1)
        await anyio.sleep_forever()


def terminal() -> Console:
    return Console(file=io.StringIO(), width=100, height=30, force_terminal=True, no_color=True)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def record(text: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"msg": text, "levelno": level, "levelname": logging.getLevelName(level), "name": "feeds"}
    )


def test_records_are_printed_at_once_without_a_picture() -> None:
    console = terminal()

    live.LiveHandler(console).handle(record("hello [bold]"))

    assert printed(console).endswith("INFO    feeds: hello [bold]\n")


@pytest.mark.realtime
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_records_are_printed_above_the_picture(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "FRAME", 0.001)
    console, tree = terminal(), FakeTree()
    handler = live.LiveHandler(console)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(handler.watch, tree)
            await anyio.sleep(0.05)
            before = printed(console)
            handler.handle(record("hello"))
            assert printed(console) == before  # it waits for the next picture
            await anyio.sleep(0.05)
            assert f"{tree.snapshots} of" in printed(console)  # and that one is up to date
            tasks.cancel_scope.cancel()

    anyio.run(main, backend=backend)

    text = printed(console)
    assert text.count("hello") == 1
    assert "ready" in text.partition("hello")[2]
    assert text.count("\x1b[?25h") == 1  # the cursor is back
    assert tree.snapshots <= 4  # first, record, event, last: not one for every frame


@pytest.mark.realtime
def test_a_storm_of_records_is_cut_and_the_cut_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FRAME", 0.001)
    console = terminal()
    handler = live.LiveHandler(console)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(handler.watch, FakeTree())
            await anyio.sleep(0.05)
            for number in range(live.MOST_WAITING + 5):
                handler.handle(record(f"number {number}."))
            tasks.cancel_scope.cancel()

    anyio.run(main)

    assert "... 5 log records came too fast to be shown" in printed(console)
    assert "number 4." not in printed(console)
    assert "number 5." in printed(console)


@pytest.mark.realtime
def test_the_end_of_the_process_prints_what_waits_and_gives_the_cursor_back() -> None:
    console = terminal()
    handler = live.LiveHandler(console)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(handler.watch, FakeTree())
            await anyio.sleep(0.05)
            handler.handle(record("last words"))
            handler.close()  # as logging.shutdown does, before a hard exit
            text = printed(console)
            tasks.cancel_scope.cancel()
        assert "last words" in text
        assert text.count("\x1b[?25h") == 1

    anyio.run(main)


class Gone(io.StringIO):
    """A terminal whose other end was closed."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.realtime
def test_the_tree_outlives_its_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FRAME", 0.001)
    console = terminal()
    handler = live.LiveHandler(console)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(handler.watch, FakeTree())
            await anyio.sleep(0.02)
            console.file = Gone()
            handler.handle(record("lost"))
            await anyio.sleep(0.02)
            assert not tasks.cancel_scope.cancel_called
            tasks.cancel_scope.cancel()

    anyio.run(main)
    handler.handle(record("lost, too"))
    handler.close()


SERVICES = """
import logging

import anyio
from supervisor import Component, Quarantine, Supervisor

log = logging.getLogger("net")

async def feed() -> None:
    log.info("feed is open")
    await anyio.sleep_forever()

async def broken() -> None:
    raise ConnectionError("refused")

crashes = Quarantine(crashes=1, open=50)
tree = Supervisor("trading", [Component(feed), Component(broken, quarantine=crashes)])
doomed = Supervisor("trading", [Component(broken, quarantine=crashes, priority="critical")])

async def leave() -> None:
    log.info("leaving")
    raise SystemExit(5)

leaving = Supervisor("trading", [Component(leave)])
"""


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., list[str]]:
    (tmp_path / "console_run.py").write_text(SERVICES)

    def command(target: str, *options: str) -> list[str]:
        return [sys.executable, "-m", "supervisor", "run", f"console_run:{target}", *options]

    return command


@pytest.fixture
def environment() -> dict[str, str]:
    """The process's own, less what would change the output, with this package importable."""
    package = Path(cli.__file__).parents[2]
    ours = {"PYTHONPATH": str(package), "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    dropped = {"NO_COLOR", "FORCE_COLOR"}
    return {**{key: value for key, value in os.environ.items() if key not in dropped}, **ours}


def read_until(descriptor: int, *texts: str, seconds: float = 30) -> str:
    """What comes out of a terminal until all of the texts have."""
    seen, deadline = b"", time.monotonic() + seconds
    while not all(text.encode() in seen for text in texts):
        ready, _, _ = select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            pytest.fail(f"{texts} not within {seconds} s; so far: {seen.decode()}")
        seen += os.read(descriptor, 65536)
    return seen.decode()


@pytest.mark.realtime
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_run_on_a_terminal_shows_the_live_tree(
    backend: str, command: Callable[..., list[str]], environment: dict[str, str]
) -> None:
    outside, inside = os.openpty()
    arguments = command("tree", "--backend", backend)
    with subprocess.Popen(
        arguments, stdin=inside, stdout=inside, stderr=inside, env=environment
    ) as process:
        os.close(inside)
        shown = read_until(outside, "1 of 2 ready", "quarantine 4", "feed is open")
        process.terminate()
        shown += read_until(outside, "\x1b[?25h", "trading life 1 ended")

    os.close(outside)
    assert process.returncode == 0
    assert "trading/feed#1 net: feed is open" in shown
    assert "trading/broken life 1 crashed" in shown


@pytest.mark.realtime
def test_run_into_a_pipe_logs_lines_of_json(
    command: Callable[..., list[str]], environment: dict[str, str]
) -> None:
    arguments = command("tree", "--log-json", "--log-level", "debug")
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        first = read_until(process.stderr.fileno(), "feed is open", '"Quarantined"')
        process.terminate()
        lines = (first + process.stderr.read().decode()).splitlines()
        assert process.stdout.read() == b""

    assert process.returncode == 0
    records = [json.loads(line) for line in lines]
    (opened,) = [record for record in records if record["message"] == "feed is open"]
    assert (opened["path"], opened["life"], opened["logger"]) == ("trading/feed", 1, "net")
    (crash,) = [record for record in records if record.get("event") == "Crashed"]
    assert crash["traceback"].startswith("Traceback")
    assert "_runtime" not in crash["traceback"]


@pytest.mark.realtime
def test_run_of_a_tree_that_gives_up_says_why_and_exits_with_1(
    command: Callable[..., list[str]], environment: dict[str, str]
) -> None:
    process = subprocess.run(
        command("doomed"), capture_output=True, text=True, env=environment, check=False, timeout=60
    )

    assert process.returncode == 1
    assert process.stderr.count("Traceback") == 1
    assert "trading/broken, life 1: 1 crash within 60 s" in process.stderr


@pytest.mark.realtime
@pytest.mark.parametrize("options", [[], ["--log-json"]])
def test_run_without_a_standard_error(
    options: list[str], command: Callable[..., list[str]], environment: dict[str, str]
) -> None:
    closed = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command("leaving", *options)]

    process = subprocess.run(
        closed, stdout=subprocess.PIPE, env=environment, check=False, timeout=60
    )

    assert process.returncode == 5  # the tree ran
    assert process.stdout == b""


@pytest.mark.realtime
@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("both", [False, True], ids=["stdout", "stdout and stderr"])
def test_check_ends_quietly_when_its_reader_has_gone(
    options: list[str],
    both: bool,
    write: Callable[[str], str],
    environment: dict[str, str],
) -> None:
    outside, inside = os.pipe()
    os.close(outside)
    arguments = [sys.executable, "-m", "supervisor", "check", write(BAD), *options]

    process = subprocess.run(
        arguments,
        stdout=inside,
        stderr=inside if both else subprocess.PIPE,
        text=True,
        env=environment,
        check=False,
        timeout=60,
    )

    os.close(inside)
    assert process.returncode == cli.NOBODY_READS
    if not both:
        assert "Error" not in process.stderr
        assert "Traceback" not in process.stderr
