"""The prices that are replayed: the European Central Bank's reference rates, and a random walk."""

from __future__ import annotations

import csv
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

GENERATED = "BTCUSD"
HISTORY = 30  # days that have passed when the replay begins


class Day(NamedTuple):
    """Prices by symbol, as text: what the bank published is to be passed on unchanged."""

    date: str
    prices: Mapping[str, str]


class Market:
    """A series of days, one of which is today; after ``day`` seconds it is the next.

    ``sources`` says where prices come from, and which symbols' do.
    """

    def __init__(self, days: Sequence[Day], day: float) -> None:
        self._days = days
        self._day = day
        self._began = time.monotonic()
        bank = f"ECB euro reference rates {days[0].date} to {days[-1].date}"
        real = [symbol for symbol in days[0].prices if symbol != GENERATED]
        self.sources = {bank: real, "generated": [GENERATED]}

    @classmethod
    def read(cls, path: Path, day: float) -> Market:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        return cls([_day(row, price) for row, price in zip(rows, walk(), strict=False)], day)

    def today(self) -> Day:
        return self.past(1)[0]

    def past(self, days: int) -> Sequence[Day]:
        """Up to so many days, today the last; the replay begins again after the last of all."""
        passed = HISTORY + int((time.monotonic() - self._began) / self._day)
        today = passed % len(self._days)
        return self._days[max(0, today + 1 - days) : today + 1]


def walk(price: float = 60_000, step: float = 0.01, seed: int = 1) -> Iterator[float]:
    """A geometric random walk, the same each time."""
    draw = random.Random(seed)
    while True:
        yield price
        price *= math.exp(draw.gauss(0, step))


def _day(row: Mapping[str, str], generated: float) -> Day:
    rates = {f"EUR{currency}": rate for currency, rate in row.items() if currency != "date"}
    return Day(row["date"], rates | {GENERATED: f"{generated:.2f}"})
