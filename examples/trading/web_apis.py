"""The two web APIs as typed calls: what they answer, and what goes wrong as exceptions.

Nothing here knows of guards. They judge these errors by what errors of HTTP carry: a ``status``, or
how long the service wants to be left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from httpx2 import AsyncClient, Response, Timeout, TransportError

T = TypeVar("T")

# One line for each request says nothing that the components do not say better.
logging.getLogger("httpx2").setLevel(logging.WARNING)


class ApiFailed(Exception):
    """The API said by its HTTP ``status`` that it has failed, or that we have; or nothing at all."""

    def __init__(self, what: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(what)


class BadAnswer(Exception):
    """The API answered what its description does not allow."""


class RateLimited(Exception):
    """The API asks to be left alone for ``retry_after`` seconds."""

    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(f"too many requests; asked to wait {retry_after:g} s")


def open_client() -> AsyncClient:
    """The client that everybody shares; entered, it holds a pool of connections."""
    return AsyncClient(timeout=Timeout(3, connect=2), trust_env=False)


class _Ticker(msgspec.Struct, frozen=True):
    symbol: str
    price: str


class _Candle(msgspec.Struct, frozen=True, array_like=True):
    opened: int
    open: str
    high: str
    low: str
    close: str


async def fetch_prices(http: AsyncClient, url: str, symbols: Sequence[str]) -> Mapping[str, float]:
    """The last price of each symbol."""
    query = {"symbols": msgspec.json.encode(symbols).decode()}
    response = await _ask(http, "GET", f"{url}/api/v3/ticker/price", params=query)
    tickers = _read(response, list[_Ticker])
    return {ticker.symbol: _number(ticker.price) for ticker in tickers}


async def fetch_history(http: AsyncClient, url: str, symbol: str, days: int) -> Sequence[float]:
    """The closing prices of the last days, the oldest first."""
    query = {"symbol": symbol, "interval": "1d", "limit": days}
    response = await _ask(http, "GET", f"{url}/api/v3/klines", params=query)
    candles = _read(response, list[_Candle])
    return [_number(candle.close) for candle in candles]


class Chat(msgspec.Struct, frozen=True):
    id: int


class Message(msgspec.Struct, frozen=True):
    chat: Chat
    text: str = ""


class Update(msgspec.Struct, frozen=True):
    update_id: int
    message: Message | None = None


class _Parameters(msgspec.Struct, frozen=True):
    retry_after: float = 0


class _Reply(msgspec.Struct, frozen=True):
    ok: bool
    result: msgspec.Raw = msgspec.Raw()
    description: str = ""
    parameters: _Parameters = _Parameters()


class Bot:
    """The methods of the Telegram Bot API that we use."""

    def __init__(self, http: AsyncClient, url: str, token: str) -> None:
        self._http = http
        self._url = f"{url}/bot{token}"

    async def check(self) -> None:
        """Fail unless the API knows our token."""
        await self._call("getMe", {}, dict[str, Any])

    async def updates(self, offset: int, seconds: int) -> Sequence[Update]:
        """Wait up to so many seconds for updates; those before ``offset`` are done with."""
        params = {"offset": offset, "timeout": seconds}
        return await self._call("getUpdates", params, list[Update], seconds)

    async def send(self, chat: int, text: str) -> None:
        await self._call("sendMessage", {"chat_id": chat, "text": text}, Message)

    async def _call(
        self, method: str, params: Mapping[str, object], answers: type[T], seconds: float = 0
    ) -> T:
        timeout = Timeout(3 + seconds, connect=2)
        url = f"{self._url}/{method}"
        response = await _ask(self._http, "POST", url, json=params, timeout=timeout)
        if response.is_server_error:
            raise ApiFailed(f"{method}: {response.status_code}", response.status_code)
        reply = _decode(response.content, _Reply)
        if reply.parameters.retry_after:
            raise RateLimited(reply.parameters.retry_after)
        if not reply.ok:
            status = response.status_code
            raise ApiFailed(f"{method}: {status} {reply.description}", status)
        return _decode(reply.result, answers)


async def _ask(http: AsyncClient, method: str, url: str, **options: Any) -> Response:
    try:
        return await http.request(method, url, **options)
    except TransportError as error:
        # From None: the client's own frames are eighty lines of log that say no more than this.
        raise ApiFailed(f"{type(error).__name__} {error}".rstrip()) from None


def _read(response: Response, answers: type[T]) -> T:
    if response.status_code == 429:
        raise RateLimited(_number(response.headers.get("Retry-After", "1")))
    if response.is_error:
        status = response.status_code
        raise ApiFailed(f"{response.request.url.path}: {status}", status)
    return _decode(response.content, answers)


def _decode(body: bytes | msgspec.Raw, answers: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=answers)
    except msgspec.DecodeError as error:
        raise BadAnswer(f"{error}: {bytes(body)[:40]!r}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadAnswer(f"{text!r} is no number") from None
