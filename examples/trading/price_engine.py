"""The component that everything else hangs on: it keeps the board of prices up to date."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from anyio import TASK_STATUS_IGNORED, sleep
from anyio.abc import TaskStatus
from board import DAYS, Board
from httpx2 import AsyncClient
from outside_world import World
from web_apis import RateLimited, fetch_history, fetch_prices

from supervisor import every

log = logging.getLogger("prices")


async def price_engine(
    world: World,
    http: AsyncClient,
    symbols: Sequence[str],
    *,
    seconds: float = 1,
    task_status: TaskStatus[Board] = TASK_STATUS_IGNORED,
) -> None:
    """Fetch the prices every so many seconds; ready, with the board, once there are some."""
    board = Board(generated=world.sources["generated"])
    for symbol in symbols:
        board.fill(symbol, await fetch_history(http, world.prices, symbol, DAYS))
    task_status.started(board)
    async for _ in every(seconds):
        try:
            board.put(await fetch_prices(http, world.prices, symbols))
        except RateLimited as limit:
            # An answer like any other, and not one that a restart would help.
            log.warning("%s", limit)
            await sleep(limit.retry_after)
