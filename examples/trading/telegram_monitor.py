"""The chat bot: answers ``/price BTC`` and tells when a price has moved; and its fallback."""

from __future__ import annotations

import logging

from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus
from board import Board, Moves, answer
from httpx2 import AsyncClient
from outside_world import World
from web_apis import Bot, Update

from supervisor import Breaker, Guard, Retry, every

log = logging.getLogger("telegram")

# A message that is sent again may come twice, as nobody knows what became of the first. Better than
# not at all.
telegram = Guard(
    "telegram",
    timeout=3,
    retry=Retry(retries=2, base=0.2, cap=2, deadline=8),
    breaker=Breaker(failures=3, open=2, cap=5),
)


async def telegram_monitor(
    world: World,
    http: AsyncClient,
    board: Board,
    token: str,
    chat: int,
    *,
    poll: int = 2,
    task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
) -> None:
    """Poll for messages and answer them; ready once the API knows us."""
    bot = Bot(http, world.telegram, token)
    moves = Moves(board)
    await telegram(bot.check)
    task_status.started()
    polling = telegram.using(timeout=poll + 3)
    offset = 0
    while True:
        for update in await polling(bot.updates, offset, poll):
            await _reply(bot, update, board)
            # Only now: a message that we crash on the way of answering is ours once more.
            offset = update.update_id + 1
        for move in moves.due():
            await telegram(bot.send, chat, move)


async def _reply(bot: Bot, update: Update, board: Board) -> None:
    message = update.message
    text = message and answer(message.text, board)
    if message and text:
        await telegram(bot.send, message.chat.id, text)
        log.info("%s: %s", message.text, text)


async def log_only(board: Board) -> None:
    """Tell the log what the chat would have been told."""
    moves = Moves(board)
    async for _ in every(1):
        for move in moves.due():
            log.info("not sent: %s", move)
