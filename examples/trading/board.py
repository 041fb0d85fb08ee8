"""What the service knows, and what it says about it. Nothing here waits or does I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping

DAYS = 30


class Board:
    """The last prices of each symbol, the newest last.

    ``generated`` names the symbols whose prices are made up, so that nobody takes them for real.
    """

    def __init__(self, generated: Collection[str] = ()) -> None:
        self._generated = generated
        self._prices: dict[str, deque[float]] = {}

    @property
    def symbols(self) -> Collection[str]:
        return self._prices.keys()

    def put(self, prices: Mapping[str, float]) -> None:
        """Add the present price of each symbol."""
        for symbol, price in prices.items():
            self.fill(symbol, [price])

    def fill(self, symbol: str, prices: Iterable[float]) -> None:
        """Add prices of one symbol, the oldest first."""
        self._prices.setdefault(symbol, deque(maxlen=DAYS)).extend(prices)

    def last(self, symbol: str) -> float:
        return self._prices[symbol][-1]

    def change(self, symbol: str) -> float:
        """How far the price has moved since the oldest that is kept: 0.02 is up by 2 %."""
        return self.last(symbol) / self._prices[symbol][0] - 1

    def find(self, word: str) -> str | None:
        """The symbol that somebody means who writes ``word``: its name, or the start of it."""
        word = word.upper()
        return next((symbol for symbol in self._prices if symbol.startswith(word)), None)

    def describe(self, symbol: str) -> str:
        mark = " (generated)" if symbol in self._generated else ""
        return f"{symbol} {self.last(symbol):,.6g} {self.change(symbol):+.1%}{mark}"


def answer(question: str, board: Board) -> str | None:
    """What the bot answers; None to what is no question for it."""
    command, _, word = question.partition(" ")
    if command != "/price":
        return None
    symbol = board.find(word.strip())
    if symbol is None:
        return f"No price for {word!r}; there are {', '.join(board.symbols)}."
    return board.describe(symbol)


class Moves:
    """Finds the symbols that have moved by ``far`` since it last told of them."""

    def __init__(self, board: Board, far: float = 0.02) -> None:
        self._board = board
        self._far = far
        self._told = {symbol: board.last(symbol) for symbol in board.symbols}

    def due(self) -> Iterator[str]:
        for symbol, before in self._told.items():
            now = self._board.last(symbol)
            if abs(now / before - 1) >= self._far:
                self._told[symbol] = now
                yield f"{symbol} moved from {before:,.6g} to {now:,.6g}"
