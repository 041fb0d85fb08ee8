"""The outside world of the trading example: a price API, the Telegram Bot API and one user.

A program of its own on loopback, so that what the service meets is real HTTP and real failures. Its
first line on standard output is JSON and says where it listens; the lines after it are for people.
It ends when its standard input does, so it never outlives whoever started it.

``TRADING_SPEED=2`` makes its time pass twice as fast; with ``TRADING_CHAOS=1`` it misbehaves on a
schedule (chaos.py).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from threading import Thread

from bot_api import BotApi
from chaos import misbehave
from endpoint import Allowance, Control, Endpoint
from price_api import PriceApi
from series import Market

DATA = Path(__file__).parent.parent / "data" / "ecb_reference_rates.csv"


def main() -> None:
    speed = float(os.environ.get("TRADING_SPEED") or 1)
    market = Market.read(DATA, day=1 / speed)
    bot = BotApi()
    prices = Endpoint(PriceApi(market), allowance=Allowance(rate=20, burst=20))
    apis = {"prices": prices, "telegram": Endpoint(bot, bot.wake)}
    control = Endpoint(Control(apis))
    urls = {name: api.url for name, api in (apis | {"control": control}).items()}
    say(json.dumps(urls | {"sources": market.sources}))
    Thread(target=bot.ask, args=(4 / speed,), daemon=True).start()
    if os.environ.get("TRADING_CHAOS") == "1":
        Thread(target=misbehave, args=(apis, speed, say), daemon=True).start()
    sys.stdin.buffer.read()


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
