"""For pytest in a mutant's own process: plants the fault, and writes down what failed, and when."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import json

from tests.mutants.hook import REPORT, plant

if TYPE_CHECKING:
    from supervisor._core.effects import Effect, Input
    from supervisor._core.node import Node

plant()
failures: list[tuple[str, str, str]] = []


class Unwatched:
    """In the place of the watch over the laws, which would notice most faults in whatever test of
    the machine: what is asked here is whether the test that names the law notices."""

    def __init__(self, node: Node) -> None: ...

    def before(self, input: Input) -> None: ...

    def after(self, input: Input, effects: list[Effect]) -> None: ...


def pytest_collection_finish() -> None:
    drive = sys.modules.get("tests.core.drive")
    if drive is not None:
        drive.Watch = Unwatched  # type: ignore[attr-defined]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        message = str(report.longrepr if crash is None else crash.message)
        failures.append((report.when or "", report.nodeid, message))


def pytest_sessionfinish() -> None:
    if path := os.environ.get(REPORT):
        Path(path).write_bytes(json.encode(failures))
