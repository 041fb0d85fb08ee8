"""The component that everything else hangs on: it keeps the board of prices up to date.

Quotes and history are calls to the same API, which allows so many a second to both together. They
take permits from one budget of the broker, the quotes first.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus
from board import DAYS, Board
from httpx2 import AsyncClient
from outside_world import World
from web_apis import RateLimited, fetch_history, fetch_prices

from supervisor import acquire, every

BUDGET = "exchange"

log = logging.getLogger("prices")


async def price_engine(
    world: World,
    http: AsyncClient,
    symbols: Sequence[str],
    *,
    seconds: float = 1,
    task_status: TaskStatus[Board] = TASK_STATUS_IGNORED,
) -> None:
    """Fetch the prices every so many seconds; ready, with the board, once there is a history."""
    board = Board(generated=world.sources["generated"])
    for symbol in symbols:
        await _fill(board, world, http, symbol)
    task_status.started(board)
    async for _ in every(seconds):
        async with acquire(BUDGET) as permit:
            try:
                board.put(await fetch_prices(http, world.prices, symbols))
            except RateLimited as limit:
                # An answer like any other, and not one that a restart would help. Nobody gets a
                # permit until then, so there is no need to sleep.
                permit.throttled(limit.retry_after)
                log.warning("%s", limit)


async def history(
    world: World, http: AsyncClient, board: Board, symbols: Sequence[str], *, seconds: float = 5
) -> None:
    """Fetch the closing prices again every so many seconds, when the quotes leave room for it."""
    async for _ in every(seconds):
        for symbol in symbols:
            await _fill(board, world, http, symbol)


async def _fill(board: Board, world: World, http: AsyncClient, symbol: str) -> None:
    closes: Sequence[float] = ()
    while not closes:
        async with acquire(BUDGET) as permit:
            try:
                closes = await fetch_history(http, world.prices, symbol, DAYS)
            except RateLimited as limit:
                permit.throttled(limit.retry_after)
                log.warning("%s", limit)
    last = [board.last(symbol)] if symbol in board.symbols else []
    board.fill(symbol, [*closes, *last])
