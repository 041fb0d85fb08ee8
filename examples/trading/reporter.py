"""The component that needs nothing but prices: a line of them every few seconds."""

from __future__ import annotations

import logging

from board import Board

from supervisor import every

log = logging.getLogger("reporter")


async def reporter(board: Board, seconds: float = 5) -> None:
    async for _ in every(seconds):
        log.info("%s", ", ".join(map(board.describe, board.symbols)))
