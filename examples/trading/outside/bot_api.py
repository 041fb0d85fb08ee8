"""Three methods in the shape of the Telegram Bot API, and a user who keeps asking for prices."""

from __future__ import annotations

import time
from collections import deque
from itertools import count, cycle
from threading import Condition

from endpoint import Answer, Params

TOKEN = "110201543:example-token"
CHAT = {"id": 7, "type": "private", "first_name": "Ada"}
QUESTIONS = ("/price BTC", "/price EUR", "/price EURJPY")


class BotApi:
    def __init__(self) -> None:
        self._news = Condition()
        self._woken = 0
        # The real one keeps updates for a day; whoever does not fetch them loses the oldest.
        self._updates: deque[dict[str, object]] = deque(maxlen=100)
        self._ids = count(1)

    def ask(self, seconds: float) -> None:
        """Write to the bot every so many seconds, for as long as the process lives."""
        for question in cycle(QUESTIONS):
            self._hear(question)
            time.sleep(seconds)

    def wake(self) -> None:
        """Let those who wait for updates go without."""
        with self._news:
            self._woken += 1
            self._news.notify_all()

    def answer(self, path: str, params: Params) -> Answer:
        token, _, method = path.removeprefix("/bot").partition("/")
        if token != TOKEN:
            return _failure(401, "Unauthorized")
        match method:
            case "getMe":
                return _success({"id": 110201543, "is_bot": True, "first_name": "Prices"})
            case "getUpdates":
                offset, timeout = int(params.get("offset", 0)), float(params.get("timeout", 0))
                return _success(self._poll(offset, timeout))
            case "sendMessage":
                return self._send(params)
        return _failure(404, "Not Found")

    def refusal(self, status: int, retry_after: int) -> Answer:
        if status == 429:
            return _failure(429, f"Too Many Requests: retry after {retry_after}", retry_after)
        return _failure(status, "Internal Server Error")

    def _hear(self, text: str) -> None:
        with self._news:
            update = {"update_id": next(self._ids), "message": self._message(text)}
            self._updates.append(update)
            self._news.notify_all()

    def _poll(self, offset: int, timeout: float) -> list[dict[str, object]]:
        """Wait for updates from ``offset`` on; those before it are confirmed thereby."""
        with self._news:
            while self._updates and int(str(self._updates[0]["update_id"])) < offset:
                self._updates.popleft()
            woken = self._woken
            self._news.wait_for(lambda: self._updates or self._woken != woken, timeout)
            return list(self._updates)

    def _send(self, params: Params) -> Answer:
        if params.get("chat_id") != str(CHAT["id"]):
            return _failure(400, "Bad Request: chat not found")
        if not params.get("text"):
            return _failure(400, "Bad Request: message text is empty")
        return _success(self._message(params["text"]))

    def _message(self, text: str) -> dict[str, object]:
        return {"message_id": next(self._ids), "date": int(time.time()), "chat": CHAT, "text": text}


def _success(result: object) -> Answer:
    return Answer(200, {"ok": True, "result": result})


def _failure(status: int, description: str, retry_after: int = 0) -> Answer:
    body = {"ok": False, "error_code": status, "description": description}
    parameters = {"parameters": {"retry_after": retry_after}} if retry_after else {}
    return Answer(status, body | parameters)
