"""The same rows for other libraries, where they are installed: ``--peers``.

``services`` and ``actors`` hold an adapter for each that supervises, ``limiters`` for each that limits
a rate, ``guards`` for each that breaks circuits or retries, written from its public interface; ``cases``
are the rows' cases over any that supervises. A peer is imported only in the process that measures it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeAlias

from tests.benchmarks.peers import cases, limiters
from tests.benchmarks.peers.actors import Fauxtp, Otpylib, Papyra, Runsmith, Tapio
from tests.benchmarks.peers.cases import Peer
from tests.benchmarks.peers.guards import GUARDS, GuardPeer
from tests.benchmarks.peers.limiters import (
    Aiolimiter,
    Asynciolimiter,
    LimiterPeer,
    PyrateLimiter,
    ThrottledPy,
)
from tests.benchmarks.peers.services import Aiomisc, Aiotools, ChronoDaemon, Engin, Mode
from tests.benchmarks.stopwatch import Figure

SUPERVISORS: Final[dict[str, Peer]] = {
    "mode-streaming": Mode(),
    "chrono-daemon": ChronoDaemon(),
    "engin": Engin(),
    "aiomisc": Aiomisc(),
    "aiotools": Aiotools(),
    "tapio-py": Tapio(),
    "papyra": Papyra(),
    "fauxtp": Fauxtp(),
    "otpylib": Otpylib(),
    "runsmith": Runsmith(),
}
LIMITERS: Final[dict[str, LimiterPeer]] = {
    "aiolimiter": Aiolimiter(),
    "asynciolimiter": Asynciolimiter(),
    "pyrate-limiter": PyrateLimiter(),
    "throttled-py": ThrottledPy(),
}
PEERS: Final[dict[str, Peer | LimiterPeer | GuardPeer]] = {**SUPERVISORS, **LIMITERS, **GUARDS}
"""By the name of their distribution."""

APART: Final[dict[str, str]] = {
    "triotp": "triotp <= 0.2.1 needs trio < 0.20, triotp 0.3 needs Python >= 3.13",
}
"""Peers that cannot be installed beside us, and why; nothing measures them."""


Case: TypeAlias = Callable[[int], Awaitable[Figure]]


def case_of(name: str, row: str) -> Case | None:
    """The row's case over this peer; None where the row is about something that it is not for."""
    if name in GUARDS:
        return GUARDS[name].cases.get(row)
    case: Any = limiters.CASES.get(row) if name in LIMITERS else cases.CASES.get(row)
    return case and partial(case, PEERS[name])


def why_not(name: str, row: str, backend: str) -> str:
    """Why there can be no figure of this peer's, if so."""
    if backend not in PEERS[name].backends:
        return f"does not run on {backend}"
    if name in GUARDS:
        return ""
    if name in LIMITERS:
        return limiters.why_not(LIMITERS[name], row)
    return cases.why_not(SUPERVISORS[name], row)
