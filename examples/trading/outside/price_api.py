"""Two calls in the shape of Binance's spot REST API: the last price, and daily candles."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from endpoint import Answer, Params
from series import Day, Market

DAY_MS = 24 * 60 * 60 * 1000


class PriceApi:
    def __init__(self, market: Market) -> None:
        self._market = market

    def answer(self, path: str, params: Params) -> Answer:
        match path:
            case "/api/v3/ticker/price":
                return self._tickers(params)
            case "/api/v3/klines":
                return self._klines(params)
        return Answer(404, {"code": -1000, "msg": "Unknown path."})

    def refusal(self, status: int, retry_after: int) -> Answer:
        if status == 429:
            return Answer(429, {"code": -1003, "msg": "Too many requests."})
        return Answer(status, {"code": -1001, "msg": "Internal error; unable to process."})

    def _tickers(self, params: Params) -> Answer:
        today = self._market.today()
        symbols = [params["symbol"]] if "symbol" in params else list(today.prices)
        if "symbols" in params:
            symbols = json.loads(params["symbols"])
        if not today.prices.keys() >= set(symbols):
            return _INVALID_SYMBOL
        tickers = [{"symbol": symbol, "price": today.prices[symbol]} for symbol in symbols]
        return Answer(200, tickers[0] if "symbol" in params else tickers)

    def _klines(self, params: Params) -> Answer:
        symbol = params.get("symbol", "")
        if symbol not in self._market.today().prices:
            return _INVALID_SYMBOL
        if params.get("interval") != "1d":
            return Answer(400, {"code": -1120, "msg": "Invalid interval."})
        days = self._market.past(min(int(params.get("limit", 500)), 1000))
        return Answer(200, [_kline(day, symbol) for day in days])


_INVALID_SYMBOL = Answer(400, {"code": -1121, "msg": "Invalid symbol."})


def _kline(day: Day, symbol: str) -> list[object]:
    """A candle of the one fixing that there is a day: open, high, low and close are the same."""
    opened = int(datetime.fromisoformat(day.date).replace(tzinfo=UTC).timestamp() * 1000)
    price = day.prices[symbol]
    closed = opened + DAY_MS - 1
    return [opened, price, price, price, price, "0", closed, "0", 0, "0", "0", "0"]
