"""An HTTP service with a limit: ``python -m tests.outside.service RATE BURST DELAY STYLE``.

Its first line on standard output says on which port it listens. It ends when its standard input
does, so it never outlives whoever started it.

``GET /`` costs one token and is answered with 200 after a delay, or with 429 and Retry-After at once.
``PUT /limit?rate=50`` changes the rate, and ``GET /counts`` tells what was accepted and refused. The
bucket shares no line with the library's: it is the other party to the contract.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args
from urllib.parse import parse_qs, urlsplit

import h11

Style: TypeAlias = Literal["fraction", "whole"]
STYLES: Final[tuple[Style, ...]] = get_args(Style)
"""How Retry-After is written. RFC 9110 has whole seconds and most services keep to it, which a limit
a second cannot be met with; some write fractions (Shopify "2.0"), or say them beside it."""

HOST: Final = "127.0.0.1"
CLASS: Final = b"x-priority"
BINS: Final = 10
"""Counts are kept by tenths of a second."""


@dataclass
class Tokens:
    """A token bucket: ``burst`` of them at most, ``rate`` more a second."""

    rate: float
    burst: float
    stamp: float
    left: float = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.burst

    def take(self, now: float) -> float:
        """Take one, and return 0; or return after how many seconds there will be one."""
        self._settle(now)
        if self.left >= 1:
            self.left -= 1
            return 0.0
        return (1 - self.left) / self.rate

    def set_rate(self, rate: float, now: float) -> None:
        self._settle(now)
        self.rate = rate

    def _settle(self, now: float) -> None:
        self.left = min(self.burst, self.left + (now - self.stamp) * self.rate)
        self.stamp = now


def retry_after(wait: float, style: Style) -> str:
    """Never less than the wait itself."""
    return str(math.ceil(wait)) if style == "whole" else f"{math.ceil(wait * 1000) / 1000:.3f}"


class Service:
    """The limit, and what became of the requests: by tenth of a second, class and answer."""

    def __init__(self, tokens: Tokens, delay: float, style: Style) -> None:
        self.tokens = tokens
        self.delay = delay
        self.style = style
        self.counts: dict[tuple[int, str, bool], int] = {}

    def ask(self, priority: str, now: float) -> float:
        """0 if the request is accepted, or else the seconds to wait."""
        wait = self.tokens.take(now)
        key = (int(now * BINS), priority, not wait)
        self.counts[key] = self.counts.get(key, 0) + 1
        return wait

    def told(self) -> list[tuple[float, str, bool, int]]:
        return [(at / BINS, name, good, n) for (at, name, good), n in self.counts.items()]


class Connection(asyncio.Protocol):
    def __init__(self, service: Service) -> None:
        self._service = service
        self._http = h11.Connection(h11.SERVER)
        self._transport: asyncio.Transport
        self._request: h11.Request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        self._read()

    def _read(self) -> None:
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                self._request = event
            elif isinstance(event, h11.EndOfMessage):
                # One at a time: the next one is read when this one has been answered.
                self._serve(self._request)
                return
            elif not isinstance(event, h11.Data):
                return

    def _serve(self, request: h11.Request) -> None:
        url = urlsplit(request.target)
        if url.path == b"/":
            self._ask(dict(request.headers).get(CLASS, b"").decode())
        elif url.path == b"/counts":
            self._answer(200, json.dumps(self._service.told()).encode())
        elif url.path == b"/limit" and request.method == b"PUT":
            rate = float(parse_qs(url.query)[b"rate"][0])
            self._service.tokens.set_rate(rate, time.monotonic())
            self._answer(200, b"{}")
        else:
            self._answer(404, b"{}")

    def _ask(self, priority: str) -> None:
        service = self._service
        if wait := service.ask(priority, time.monotonic()):
            self._answer(429, b"{}", retry_after(wait, service.style))
        else:
            asyncio.get_running_loop().call_later(service.delay, self._answer, 200, b"{}")

    def _answer(self, status: int, body: bytes, after: str = "") -> None:
        if self._transport.is_closing():
            return
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        if after:
            headers.append(("Retry-After", after))
        send = self._http.send
        self._transport.write(
            (send(h11.Response(status_code=status, headers=headers)) or b"")
            + (send(h11.Data(data=body)) or b"")
            + (send(h11.EndOfMessage()) or b"")
        )
        if self._http.our_state is h11.MUST_CLOSE:
            self._transport.close()
        elif self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self._read()


async def serve(service: Service) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(service), HOST, 0, backlog=1000)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.buffer.read)


def main(rate: float, burst: float, delay: float, style: Style) -> None:
    asyncio.run(serve(Service(Tokens(rate, burst, time.monotonic()), delay, style)))


if __name__ == "__main__":
    _, rate, burst, delay, style = sys.argv
    main(float(rate), float(burst), float(delay), style)  # type: ignore[arg-type]
