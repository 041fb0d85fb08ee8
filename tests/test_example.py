"""The trading example: what it is made of, over real HTTP, and the whole of it under chaos."""

from __future__ import annotations

import csv
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from supervisor import (
    AttemptFailed,
    FallbackServed,
    Supervisor,
    current_broker,
    open_supervisor,
)

ROOT = Path(__file__).parent.parent
TRADING = ROOT / "examples" / "trading"
TOKEN = "110201543:example-token"

# Its modules are a folder of an application, found as the application finds them.
sys.path.insert(0, str(TRADING))
board = importlib.import_module("board")
outside_world = importlib.import_module("outside_world")
price_engine = importlib.import_module("price_engine")
web_apis = importlib.import_module("web_apis")


def worlds() -> list[psutil.Process]:
    """The processes of outside worlds that we have started."""
    ours = psutil.Process().children()
    return [child for child in ours if str(TRADING / "outside") in child.cmdline()]


@pytest.fixture
async def world(anyio_backend: Any) -> AsyncIterator[Any]:
    async with outside_world.outside_world() as world:
        yield world
    assert worlds() == []


@pytest.fixture
async def http(anyio_backend: Any) -> AsyncIterator[Any]:
    async with web_apis.open_client() as http:
        yield http


@pytest.fixture
def prices() -> Any:
    prices = board.Board(generated=["BTCUSD"])
    prices.fill("BTCUSD", [50_000, 60_000])
    prices.put({"EURUSD": 1.1})
    prices.put({"EURUSD": 1.0989})
    return prices


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("/price BTC", "BTCUSD 60,000 +20.0% (generated)"),
        ("/price eurusd", "EURUSD 1.0989 -0.1%"),
        ("/price DOGE", "No price for 'DOGE'; there are BTCUSD, EURUSD."),
        ("hello", None),
    ],
)
def test_bot_answers(prices: Any, question: str, answer: str | None) -> None:
    assert board.answer(question, prices) == answer


def test_moves_are_told_once(prices: Any) -> None:
    moves = board.Moves(prices, far=0.05)
    prices.put({"BTCUSD": 62_000})
    assert list(moves.due()) == []
    prices.put({"BTCUSD": 63_000})
    assert list(moves.due()) == ["BTCUSD moved from 60,000 to 63,000"]
    assert list(moves.due()) == []


def test_board_forgets_what_is_old() -> None:
    prices = board.Board()
    prices.fill("EURUSD", range(1, 100))
    assert prices.last("EURUSD") == 99
    assert prices.change("EURUSD") == 99 / (100 - board.DAYS) - 1


@pytest.mark.realtime
async def test_prices_are_passed_on_as_published(world: Any, http: Any) -> None:
    with (TRADING / "data" / "ecb_reference_rates.csv").open(newline="") as file:
        published = [row["USD"] for row in csv.DictReader(file)]
    query = {"symbol": "EURUSD", "interval": "1d", "limit": 20}
    candles = (await http.get(f"{world.prices}/api/v3/klines", params=query)).json()
    closes = [candle[4] for candle in candles]
    # The replay begins on the 31st day, and goes on.
    assert closes in [published[first : first + 20] for first in range(11, 41)]
    last = await web_apis.fetch_prices(http, world.prices, ["EURUSD", "BTCUSD"])
    assert last.keys() == {"EURUSD", "BTCUSD"}
    assert world.sources["generated"] == ["BTCUSD"]
    with pytest.raises(web_apis.ApiFailed, match="400"):
        await web_apis.fetch_prices(http, world.prices, ["TULIP"])


@pytest.mark.realtime
async def test_chat_keeps_updates_until_they_are_confirmed(world: Any, http: Any) -> None:
    bot = web_apis.Bot(http, world.telegram, TOKEN)
    await bot.check()
    first = (await bot.updates(0, 2))[0]
    assert (await bot.updates(0, 2))[0] == first
    assert first.message.text == "/price BTC"
    await bot.send(first.message.chat.id, "hello")
    with anyio.move_on_after(0.2) as patience:
        await bot.updates(first.update_id + 1, 2)
    assert patience.cancelled_caught
    with pytest.raises(web_apis.ApiFailed, match="Unauthorized"):
        await web_apis.Bot(http, world.telegram, "1:wrong").check()


@pytest.mark.realtime
async def test_a_world_that_is_told_to_refuse_and_not_to_at_once_ends_as_it_was_told_last(
    world: Any, http: Any
) -> None:
    async def behave(mode: str) -> None:
        await http.get(f"{world.control}/control?api=telegram&mode={mode}")

    for _ in range(5):
        async with anyio.create_task_group() as group:
            for mode in ("refuse", "cut", "refuse", "slow"):
                group.start_soon(behave, mode)
        await behave("ok")
        await web_apis.Bot(http, world.telegram, TOKEN).check()


MISBEHAVIOUR = [
    ("limited", "RateLimited"),
    ("error", "ApiFailed"),
    ("garbage", "BadAnswer"),
    ("cut", "ApiFailed"),
    ("refuse", "ApiFailed"),
]


@pytest.mark.realtime
async def test_outside_world_misbehaves_as_it_is_told(world: Any, http: Any) -> None:
    bot = web_apis.Bot(http, world.telegram, TOKEN)

    async def told(mode: str) -> None:
        for api in ("prices", "telegram"):
            answer = await http.post(f"{world.control}/control", data={"api": api, "mode": mode})
            assert answer.json()[api] == mode

    async def fetch() -> None:
        await web_apis.fetch_prices(http, world.prices, ["BTCUSD"])

    for mode, error in MISBEHAVIOUR:
        await told(mode)
        for call in (fetch, bot.check):
            with pytest.raises(getattr(web_apis, error)) as caught:
                await call()
            assert getattr(caught.value, "retry_after", 2) == 2
        await told("ok")
        await fetch()
        await bot.check()

    await told("hang")
    for call in (fetch, bot.check):
        with anyio.move_on_after(0.1) as patience:
            await call()
        assert patience.cancelled_caught

    await told("slow")
    began = time.monotonic()
    await fetch()
    assert time.monotonic() - began >= 0.5

    wrong = await http.post(f"{world.control}/control", data={"api": "prices", "mode": "odd"})
    assert wrong.status_code == 400


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("mode", "error", "failures", "retried"),
    [
        ("limited", "RateLimited", 0, True),
        ("error", "ApiFailed", 1, True),
        ("cut", "ApiFailed", 1, True),
        ("garbage", "BadAnswer", 1, False),
        ("ok", "ApiFailed", 0, False),  # we ask for what is not there
    ],
)
async def test_guard_judges_what_goes_wrong(
    world: Any, http: Any, mode: str, error: str, failures: int, retried: bool
) -> None:
    exchange = price_engine.exchange
    async with open_supervisor(Supervisor("t", [importlib.import_module("tree").broker])) as tree:
        await http.post(f"{world.control}/control", data={"api": "prices", "mode": mode})
        with tree.events(AttemptFailed) as failed:
            ask = partial(exchange, web_apis.fetch_prices, http, world.prices, ["TULIP"])
            asking = tree.start_soon(ask, name="asking", restart="temporary")
            told = await anext(failed)
        assert type(told.error).__name__ == error
        assert (told.rule == "retried") is retried
        assert exchange.status().breaker.in_a_row == failures
        shut = current_broker().status("exchange").not_before is not None
        assert shut is (mode == "limited")
        if not retried:
            assert (await asking.wait()).error is told.error
        await tree.stop()


@pytest.mark.realtime
async def test_history_does_without_what_it_cannot_have(world: Any, http: Any, prices: Any) -> None:
    symbols = ["BTCUSD", "EURUSD"]
    async with open_supervisor(Supervisor("t", [importlib.import_module("tree").broker])) as tree:
        await http.post(f"{world.control}/control", data={"api": "prices", "mode": "error"})
        before = prices.describe("BTCUSD")
        with tree.events(FallbackServed) as served:
            child = tree.start_soon(price_engine.history, world, http, prices, symbols)
            for _ in symbols:
                await anext(served)
        assert prices.describe("BTCUSD") == before
        assert child.life == 1
        await tree.stop()


@pytest.mark.realtime
async def test_poll_ends_when_the_mode_changes(world: Any, http: Any) -> None:
    bot = web_apis.Bot(http, world.telegram, TOKEN)
    last = (await bot.updates(0, 2))[-1]

    async def break_it() -> None:
        await anyio.sleep(0.1)
        await http.get(f"{world.control}/control?api=telegram&mode=error")

    async with anyio.create_task_group() as group:
        group.start_soon(break_it)
        with pytest.raises(web_apis.ApiFailed, match="500"), anyio.fail_after(2):
            await bot.updates(last.update_id + 1, 30)


@pytest.mark.realtime
async def test_world_that_dies_fails_its_resource(anyio_backend: Any) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with outside_world.outside_world():
            [process] = worlds()
            process.kill()
            await anyio.sleep(5)
    [error] = caught.value.exceptions
    assert isinstance(error, outside_world.WorldEnded)
    assert str(error) == f"the outside world ended with exit code {-signal.SIGKILL}"


def test_world_ends_with_its_standard_input(tmp_path: Path) -> None:
    command = [sys.executable, str(TRADING / "outside")]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as world:
        assert world.stdin
        assert world.stdout
        assert json.loads(world.stdout.readline()).keys() > {"prices", "telegram", "control"}
        world.stdin.close()
        assert world.wait(timeout=5) == 0


def test_file_and_module_are_the_same_tree() -> None:
    from supervisor import check, load

    tree = importlib.import_module("tree").tree
    assert load(TRADING / "tree.toml") == tree
    assert check(tree) == []


class Running:
    """A tree in a process of its own, and the lines that it logs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, pattern: str, seconds: float = 30) -> re.Match[str]:
        """The first match of the pattern, waited for."""
        with self._more:
            self._more.wait_for(lambda: self._match(pattern), seconds)
            found = self._match(pattern)
        assert found, f"no {pattern!r} within {seconds} s in:\n" + "".join(self.lines)
        return found

    def end(self) -> int:
        """Its exit code after SIGTERM; nothing of it is alive then."""
        outside = int(self.wait_for(r"outside: process (\d+)")[1])
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=10)
        assert not psutil.pid_exists(outside)
        return code

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def _match(self, pattern: str) -> re.Match[str] | None:
        return next(filter(None, (re.search(pattern, line) for line in self.lines)), None)

    def _read(self) -> None:
        assert self.process.stderr
        with self.process.stderr as lines:
            for line in lines:
                with self._more:
                    self.lines.append(line)
                    self._more.notify_all()


# Ends itself, should the test run be killed before it can end it; the alarm outlives the exec.
BOUNDED = """
import os, signal, sys
signal.alarm(90)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@contextmanager
def running(*command: str, cwd: Path, **environment: str) -> Iterator[Running]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    bounded = [sys.executable, "-c", BOUNDED, *command]
    process = subprocess.Popen(bounded, cwd=cwd, env=env, stderr=subprocess.PIPE, text=True)
    tree = Running(process)
    try:
        yield tree
    finally:
        tree.close()


def in_order(tree: Running, patterns: Iterable[str]) -> None:
    """Each pattern is logged, and none before the one it follows here."""
    position = -1
    for pattern in patterns:
        tree.wait_for(pattern)
        found = [n for n, line in enumerate(tree.lines) if re.search(pattern, line)]
        assert found[-1] > position, pattern
        position = next(n for n in found if n > position)


def test_tree_is_a_program(tmp_path: Path) -> None:
    with running(str(TRADING / "tree.py"), cwd=tmp_path) as tree:
        tree.wait_for(r"telegram: /price BTC: BTCUSD .* \(generated\)")
        tree.wait_for(r"reporter: .*EURUSD 1\.")
        assert tree.end() == 0


def test_tree_heals_under_chaos_on_either_backend(tmp_path: Path) -> None:
    chaos = {
        "TRADING_CHAOS": "1",
        "TRADING_SPEED": "3",
        "SUPERVISOR__telegram__quarantine__crashes": "1",
        "SUPERVISOR__telegram__quarantine__open": "0.5",
        "SUPERVISOR__telegram__quarantine__probe": "0.5",
    }
    command = ("-m", "supervisor", "run", str(TRADING / "tree.toml"), "--backend")
    with (
        running(*command, "asyncio", cwd=tmp_path, **chaos) as on_asyncio,
        running(*command, "trio", cwd=tmp_path, **chaos) as on_trio,
    ):
        for tree in (on_asyncio, on_trio):
            in_order(
                tree,
                [
                    "trading/broker grants nothing of exchange",
                    "trading/prices life 1 had a call of exchange fail .*RateLimited.*; made again",
                    "trading/prices life 1 crashed .*BadAnswer.* restarts in",
                    "trading/telegram .*had a call of telegram fail .*ApiFailed.*; made again",
                    "trading has the breaker of telegram open",
                    "trading/telegram .*crashed .*ApiFailed",
                    "trading/telegram quarantined",
                    "trading is degraded: trading/telegram on its fallback",
                    "trading has the breaker of telegram closed again",
                    "trading/telegram .* recovered",
                    "trading is healthy",
                ],
            )
            assert tree.end() == 0


def test_tree_gives_up_when_prices_cannot_be_kept_up(tmp_path: Path) -> None:
    import httpx2

    command = ("-m", "supervisor", "run", str(TRADING / "tree.toml"))
    with running(*command, cwd=tmp_path, SUPERVISOR__prices__quarantine__crashes="2") as tree:
        control = tree.wait_for(r"POST api and mode to (\S+)")[1]
        tree.wait_for("reporter: BTCUSD")
        httpx2.post(control, data={"api": "prices", "mode": "error"}, trust_env=False)
        assert tree.process.wait(timeout=20) == 1
        outside = int(tree.wait_for(r"outside: process (\d+)")[1])
        assert not psutil.pid_exists(outside)
    assert "ApiFailed: /api/v3/klines: 500" in "".join(tree.lines[-40:])
