"""The chat bot: answers ``/price BTC`` and tells when a price has moved; and its fallback."""

from __future__ import annotations

import logging

from anyio import TASK_STATUS_IGNORED, sleep
from anyio.abc import TaskStatus
from board import Board, Moves, answer
from httpx2 import AsyncClient
from outside_world import World
from web_apis import Bot, RateLimited, Update

from supervisor import every

log = logging.getLogger("telegram")


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
    await bot.check()
    task_status.started()
    offset = 0
    while True:
        try:
            for update in await bot.updates(offset, poll):
                await _reply(bot, update, board)
                # Only now: a message that we crash on the way of answering is ours once more.
                offset = update.update_id + 1
            for move in moves.due():
                await bot.send(chat, move)
        except RateLimited as limit:
            log.warning("%s", limit)
            await sleep(limit.retry_after)


async def _reply(bot: Bot, update: Update, board: Board) -> None:
    message = update.message
    text = message and answer(message.text, board)
    if message and text:
        await bot.send(message.chat.id, text)
        log.info("%s: %s", message.text, text)


async def log_only(board: Board) -> None:
    """Tell the log what the chat would have been told."""
    moves = Moves(board)
    async for _ in every(1):
        for move in moves.due():
            log.info("not sent: %s", move)
