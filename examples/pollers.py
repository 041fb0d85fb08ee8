"""A task group that heals: one poller for each name, restarted when it crashes.

Run it with ``python examples/pollers.py``. It takes a few seconds.
"""

from __future__ import annotations

import logging
import random

import anyio

from supervisor import open_supervisor

log = logging.getLogger("poll")


async def poll(name: str, times: int) -> None:
    """Stands for any loop over something that fails now and then."""
    for turn in range(times):
        await anyio.sleep(0.2)
        if random.random() < 0.2:
            raise ConnectionError(f"{name} hung up")
        log.info("%s: %d", name, turn)


async def main() -> None:
    async with open_supervisor() as supervisor:
        for name in ("north", "south", "west"):
            supervisor.start_soon(poll, name, 5, name=name)
    log.info("all have returned")


if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    anyio.run(main)
