"""What a run silences speaks again after each test."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    log = logging.getLogger("supervisor")
    before = log.level
    yield
    log.setLevel(before)
