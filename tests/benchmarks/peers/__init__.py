"""The same rows for other supervision libraries, where they are installed: ``--peers``.

``services`` and ``actors`` hold an adapter for each, written from its public interface; ``cases`` are
the rows' cases over any adapter. A peer is imported only in the process that measures it.
"""

from __future__ import annotations

from typing import Final

from tests.benchmarks.peers.actors import Fauxtp, Otpylib, Papyra, Runsmith, Tapio
from tests.benchmarks.peers.cases import Peer
from tests.benchmarks.peers.services import Aiomisc, Aiotools, ChronoDaemon, Engin, Mode

PEERS: Final[dict[str, Peer]] = {
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
"""By the name of their distribution."""

APART: Final[dict[str, str]] = {
    "triotp": "triotp <= 0.2.1 needs trio < 0.20, triotp 0.3 needs Python >= 3.13",
}
"""Peers that cannot be installed beside us, and why; nothing measures them."""
