"""SHOW: the running tree on a terminal, with the log scrolling above it."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import AsyncIterable
from contextlib import suppress
from typing import Final, Protocol

import anyio
from rich.console import Console
from rich.live import Live
from rich.text import Text

from supervisor._console.draw import draw
from supervisor._happenings import Event
from supervisor._record.log import LineFormatter
from supervisor._views import TreeView

FRAME: Final = 0.25
"""Seconds between two pictures at least."""

TICK: Final = 1.0
"""Seconds between two pictures at most, because of ages and countdowns."""

MOST_WAITING: Final = 1000
"""Log records that wait for the next picture; more in one frame nobody could read."""


class Watched(Protocol):
    """What the live view needs of a running tree."""

    def snapshot(self) -> TreeView: ...

    def events(self) -> AsyncIterable[Event]: ...


class LiveHandler(logging.Handler):
    """A log handler with a picture of the tree below the lines it prints.

    While the picture stands, records wait for its next frame and are printed together: each print
    has the picture drawn again, so one by one a storm of records would keep the loop from its work.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.setFormatter(LineFormatter(coloured=not console.no_color))
        self._console = console
        self._live: Live | None = None
        self._waiting: deque[str] = deque(maxlen=MOST_WAITING)
        self._dropped = 0
        self._changed = True

    async def watch(self, tree: Watched) -> None:
        """Keep the picture of ``tree`` up to date until cancelled; the last one stays."""
        live = self._live = Live(console=self._console, auto_refresh=False)
        live.start()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._follow, tree)
                await self._draw_on(tree)
        finally:
            self._draw(tree)
            self.close_picture()

    async def _follow(self, tree: Watched) -> None:
        async for _ in tree.events():
            self._changed = True

    async def _draw_on(self, tree: Watched) -> None:
        drawn = -math.inf
        while True:
            # A poll, since records come from any thread; its four wake-ups a second exist only
            # while somebody looks at a terminal.
            now = anyio.current_time()
            if self._changed or self._waiting or now - drawn >= TICK:
                drawn = now
                self._draw(tree)
            await anyio.sleep(FRAME)

    def _draw(self, tree: Watched) -> None:
        if self._live is None:
            return
        self._changed = False
        self.flush()
        picture = draw(tree.snapshot(), height=self._console.height - 1)
        try:
            self._live.update(picture, refresh=True)
        except OSError:
            self.close_picture()  # the terminal has gone; the tree is not to go with it

    def close_picture(self) -> None:
        """Leave the picture as it is, give the cursor back, and print records at once again."""
        live, self._live = self._live, None
        if live is not None:
            with suppress(OSError):
                live.stop()
        self.flush()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return
        if len(self._waiting) == MOST_WAITING:
            self._dropped += 1
        self._waiting.append(text)
        if self._live is None:
            self.flush()

    def flush(self) -> None:
        """Print what waits."""
        self.acquire()
        try:
            texts = list(self._waiting)
            self._waiting.clear()
            dropped, self._dropped = self._dropped, 0
        finally:
            self.release()
        if dropped:
            texts.insert(0, f"... {dropped} log records came too fast to be shown")
        if texts:
            with suppress(OSError):
                self._console.print(Text.from_ansi("\n".join(texts)))

    def close(self) -> None:
        """Called at the end of the process (``logging.shutdown``), however it ends."""
        self.close_picture()
        super().close()
