"""A listening HTTP server that can misbehave in the ways that real ones do."""

from __future__ import annotations

import json
import socketserver
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from threading import Condition, Lock, Thread
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, get_args
from urllib.parse import parse_qsl, urlsplit

Params: TypeAlias = Mapping[str, str]
Mode: TypeAlias = Literal[
    "ok",
    "limited",  # 429 with Retry-After
    "error",  # 500
    "garbage",  # 200, and a body that is no JSON
    "cut",  # 200, and less of the body than its header promises
    "slow",  # right, but late
    "hang",  # takes the request and never answers
    "refuse",  # nobody listens
]

HOST = "127.0.0.1"
MODES: Mapping[str, Mode] = {mode: mode for mode in get_args(Mode)}
RETRY_AFTER = 2  # seconds
SLOW = 0.5  # seconds


class Answer(NamedTuple):
    status: int
    body: object


class Allowance:
    """The service's own limit: so many requests a second, and so many at once after a rest."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = float(burst), time.monotonic()
        self._lock = Lock()

    def take(self) -> bool:
        with self._lock:
            now = time.monotonic()
            self._left = min(self._burst, self._left + (now - self._at) * self._rate)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Service(Protocol):
    """What an endpoint serves: answers, and refusals in the shape of its API's own errors."""

    def answer(self, path: str, params: Params) -> Answer: ...

    def refusal(self, status: int, retry_after: int) -> Answer: ...


class Endpoint:
    """Serves one service on a port of its own, in the mode that it is told.

    ``wake`` makes the service answer those who wait for news, as their wait outlasts no change.
    Beyond its ``allowance`` requests are answered by 429.
    """

    def __init__(
        self,
        service: Service,
        wake: Callable[[], None] = lambda: None,
        allowance: Allowance | None = None,
    ) -> None:
        self.service = service
        self.allowance = allowance
        self.mode: Mode = "ok"
        self._wake = wake
        self._changed = Condition()
        self._switching = Lock()
        self._listens = True
        self._server = _Server((HOST, 0), self)
        self._port = self._server.server_address[1]
        self._serve()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    def behave(self, mode: Mode) -> None:
        """Answer in this mode from now on."""
        with self._changed:
            self.mode = mode
            self._changed.notify_all()
        self._wake()
        # To stop listening takes its time, in which somebody else may tell it to listen again.
        with self._switching:
            self._listen(self.mode != "refuse")

    def wait_changed(self) -> None:
        """Return when the mode is another."""
        with self._changed:
            before = self.mode
            self._changed.wait_for(lambda: self.mode != before)

    def _listen(self, listens: bool) -> None:
        if listens and not self._listens:
            self._server = _Server((HOST, self._port), self)
            self._serve()
        elif self._listens and not listens:
            self._server.shutdown()
            self._server.server_close()
        self._listens = listens

    def _serve(self) -> None:
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 100

    def __init__(self, address: tuple[str, int], endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that lose patience with a slow answer are no errors of ours."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep-alive
    server: _Server
    wbufsize = -1  # the answer leaves in one piece: two would wait for each other's acknowledgement

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        params = {**dict(parse_qsl(url.query)), **self._body(self.rfile.read(length))}
        endpoint = self.server.endpoint
        answer = Answer(200, None)
        if endpoint.mode == "ok" and endpoint.allowance and not endpoint.allowance.take():
            self._send(endpoint, "limited", answer)
            return
        if endpoint.mode in ("ok", "slow", "cut"):
            answer = endpoint.service.answer(url.path, params)
        # The mode is looked up again: it may have changed during a long poll.
        self._send(endpoint, endpoint.mode, answer)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing: what matters here is what the client makes of it."""

    def _body(self, body: bytes) -> dict[str, str]:
        if self.headers.get_content_type() == "application/json":
            return {name: str(value) for name, value in json.loads(body or b"{}").items()}
        return dict(parse_qsl(body.decode()))

    def _send(self, endpoint: Endpoint, mode: Mode, answer: Answer) -> None:
        match mode:
            case "hang" | "refuse":
                if mode == "hang":
                    endpoint.wait_changed()
                self.close_connection = True
                return
            case "limited":
                answer = endpoint.service.refusal(429, RETRY_AFTER)
            case "error":
                answer = endpoint.service.refusal(500, 0)
            case "slow":
                time.sleep(SLOW)
            case _:
                pass
        body = json.dumps(answer.body).encode()
        if mode == "garbage":
            body = b"<html><body>Down for maintenance</body></html>"
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if answer.status == 429:
            self.send_header("Retry-After", str(RETRY_AFTER))
        self.end_headers()
        if mode == "cut":
            self.close_connection = True
            body = body[: len(body) // 2]
        self.wfile.write(body)


class Control:
    """``POST /control`` with ``api`` and ``mode`` makes an endpoint misbehave; ``GET`` shows all."""

    def __init__(self, apis: Mapping[str, Endpoint]) -> None:
        self._apis = apis

    def answer(self, path: str, params: Params) -> Answer:
        if path != "/control":
            return Answer(404, {"error": "there is /control, and nothing else"})
        if params:
            api, mode = self._apis.get(params.get("api", "")), MODES.get(params.get("mode", ""))
            if api is None or mode is None:
                known = f"api is one of {', '.join(self._apis)}; mode is one of {', '.join(MODES)}"
                return Answer(400, {"error": known})
            api.behave(mode)
        return Answer(200, {name: api.mode for name, api in self._apis.items()})

    def refusal(self, status: int, retry_after: int) -> Answer:
        return Answer(status, {})
