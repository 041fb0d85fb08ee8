"""The trading service as a tree; tree.toml is the same as a file."""

from __future__ import annotations

from outside_world import outside_world
from price_engine import history, price_engine
from reporter import reporter
from telegram_monitor import log_only, telegram_monitor
from web_apis import open_client

from supervisor import (
    Backoff,
    Broker,
    Budget,
    Component,
    Limit,
    Quarantine,
    Resource,
    Supervisor,
    run,
)

SYMBOLS = ["BTCUSD", "EURUSD", "EURJPY"]

# The price API allows twenty requests a second, Telegram thirty messages. A little less leaves room
# for what the network squeezes.
broker = Broker(
    {
        "exchange": Budget(Limit(15, per=1, burst=5), ramp=1),
        "telegram": Budget(Limit(25, per=1, burst=5), ramp=1),
    }
)
outside = Resource(outside_world, name="outside", start_timeout=10)
http = Resource(open_client, name="http")
prices = Component(
    price_engine,
    args=(outside, http, SYMBOLS),
    name="prices",
    priority="critical",
    backoff=Backoff(first=1, base=2, cap=5, jitter="equal", reset_after=20),
    quarantine=Quarantine(crashes=6, within=60),  # critical: it is not held, the tree gives up
    start_timeout=10,
    heartbeat=15,
)
past = Component(history, args=(outside, http, prices, SYMBOLS), name="history", priority="low")
telegram = Component(
    telegram_monitor,
    args=(outside, http, prices, "110201543:example-token", 7),
    name="telegram",
    priority="low",
    backoff=Backoff(cap=5, reset_after=10),
    quarantine=Quarantine(crashes=2, within=30, open=8, probe=3),
    start_timeout=10,
    fallback=Component(log_only, args=(prices,)),
)

tree = Supervisor(
    "trading",
    [broker, outside, http, prices, past, telegram, Component(reporter, args=(prices,))],
)

if __name__ == "__main__":
    run(tree)
