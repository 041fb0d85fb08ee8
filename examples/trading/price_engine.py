"""The component that everything else hangs on: it keeps the board of prices up to date.

Quotes and history are calls to the same API, which allows so many a second to both together. Both
guards take their permits from one budget of the broker, the quotes first.
"""

from __future__ import annotations

from collections.abc import Sequence

from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus
from board import DAYS, Board
from httpx2 import AsyncClient
from outside_world import World
from web_apis import BadAnswer, fetch_history, fetch_prices

from supervisor import Breaker, Guard, Retry, every

BREAKER = Breaker(failures=3, open=2, cap=5)

# Garbage is not asked for again: whoever answers it does so for a while, and a new life of the
# component comes later. It counts at the breaker like any failure.
exchange = Guard(
    "exchange",
    timeout=2,
    retry=Retry(base=0.2, cap=2, deadline=6, never=(BadAnswer,)),
    breaker=BREAKER,
)

# What it cannot have now it asks for again in a few seconds. Until then the board is good enough.
candles = Guard("candles", budget="exchange", timeout=2, retry=None, breaker=BREAKER, fallback=[])


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
        board.fill(symbol, await exchange(fetch_history, http, world.prices, symbol, DAYS))
    task_status.started(board)
    async for _ in every(seconds):
        board.put(await exchange(fetch_prices, http, world.prices, symbols))


async def history(
    world: World, http: AsyncClient, board: Board, symbols: Sequence[str], *, seconds: float = 5
) -> None:
    """Fetch the closing prices again every so many seconds, when the quotes leave room for it."""
    async for _ in every(seconds):
        for symbol in symbols:
            closes = await candles(fetch_history, http, world.prices, symbol, DAYS)
            if closes:
                board.fill(symbol, [*closes, board.last(symbol)])
