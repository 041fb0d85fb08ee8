"""What a chaos process writes down, a line of JSON for each thing seen, for the judge to read."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct


class Begun(Struct, tag=True):
    """The process begins. ``needs`` has, by path, what must be serving when a life begins."""

    at: float
    loop: str
    seed: int
    root: str
    supervisors: tuple[str, ...]
    needs: Mapping[str, tuple[str, ...]]


class Began(Struct, tag=True):
    """A component was called. ``serves`` unless it has yet to report that it is ready."""

    at: float
    path: str
    life: int
    serves: bool


class Serves(Struct, tag=True):
    """A component reports that it is ready."""

    at: float
    path: str
    life: int


class Over(Struct, tag=True):
    """A component's call has ended: ``how``, and which ``failure`` it was, if it raised.

    ``foreign``: the cancellation that ended it was not the supervisor's. ``open``: it left scopes
    open.
    """

    at: float
    path: str
    life: int
    how: str
    failure: int = 0
    error: str = ""
    foreign: bool = False
    open: bool = False


class Told(Struct, tag=True):
    """The supervisor told an event. ``failures`` are those whose exceptions it carries."""

    at: float
    event: str
    path: str
    life: int = 0
    failures: tuple[int, ...] = ()
    error: str = ""
    action: str = ""
    level: int = 0
    members: tuple[str, ...] = ()
    """Of a group that is restarted."""
    why: str = ""
    """Whose hold was put on it, or for what reason it is asked to end."""


class Logged(Struct, tag=True):
    """A log record of the supervisor's, or an error that somebody else logged (no ``event``)."""

    at: float
    level: int
    logger: str
    text: str
    event: str = ""
    path: str = ""
    life: int = 0
    failures: tuple[int, ...] = ()


class Fault(Struct, tag=True):
    """Something was made to go wrong."""

    at: float
    kind: str
    target: str = ""


class Answered(Struct, tag=True):
    """How a command was answered."""

    at: float
    command: str
    path: str
    answer: str


class Calm(Struct, tag=True):
    """A quiet moment: the tree had ``waited`` seconds to heal, and this is what was there then."""

    at: float
    waited: float
    healthy: bool
    unwell: str
    children: int
    tasks: int
    threads: int
    descriptors: int
    processes: int
    rss: int
    blocks: int
    objects: int
    types: Mapping[str, int]
    names: tuple[str, ...]


class Trouble(Struct, tag=True):
    """What the process itself saw to be wrong."""

    at: float
    what: str


class Asked(Struct, tag=True):
    """The process was asked to stop, by the signal that an operator would send."""

    at: float


class Ended(Struct, tag=True):
    """The tree has ended, and this is what was left of it."""

    at: float
    code: int
    left: tuple[str, ...]
    told: int
    """How many events the subscription got that was open all the time."""


Line: TypeAlias = (
    Begun
    | Began
    | Serves
    | Over
    | Told
    | Logged
    | Fault
    | Answered
    | Calm
    | Trouble
    | Asked
    | Ended
)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


class Writer:
    """Keeps nothing in memory, so that what it writes down is no leak of the process."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def __call__(self, line: Line) -> None:
        self._file.write(_encode(line) + b"\n")

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class Reader:
    """Reads the lines that are there, as often as it is asked."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._rest = b""

    def lines(self) -> Iterator[Line]:
        while chunk := self._file.read(1 << 20):
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            yield from map(_decode, whole)

    def close(self) -> None:
        self._file.close()


def now() -> float:
    return time.monotonic()
