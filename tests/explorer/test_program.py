"""``python -m tests.explorer``: what it prints, and with which status it ends."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec import json

from supervisor._core import move, order
from tests.explorer.__main__ import Summary, main

ROOT = Path(__file__).parents[2]


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tests.explorer", *words])
    return main()


def test_it_walks_in_several_processes_and_writes_the_summary_down(tmp_path: Path) -> None:
    summary = tmp_path / "found.json"
    words = ["--family", "one", "--depth", "2", "--jobs", "2", "--json", str(summary)]

    done = subprocess.run(
        [sys.executable, "-m", "tests.explorer", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert "one: 6 trees (36 configurations) to depth 4" in done.stdout
    [one] = json.decode(summary.read_bytes(), type=list[Summary])
    assert (one.trees, one.to_depth, one.capped, one.broken) == (6, 6, 0, 0)


def test_a_tree_that_has_more_states_than_the_cap_is_told_to_be_capped(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert run(monkeypatch, "--family", "one", "--depth", "4", "--cap", "50") == 0

    assert "6 capped, 0 broken" in capsys.readouterr().out


def test_a_broken_law_is_told_with_the_command_that_replays_it(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for where in (move, order):
        monkeypatch.setattr(where, "wanted", lambda node, child: not child.condemned)

    assert run(monkeypatch, "--family", "one", "--depth", "3", "--tree", "one_for_one") == 1

    out = capsys.readouterr().out
    assert "2 broken" in out
    command = next(line for line in out.splitlines() if "replay:" in line).partition("-m ")[2]
    _, *words = shlex.split(command)
    assert run(monkeypatch, *words) == 1
    assert "BROKEN law" in capsys.readouterr().out


def test_of_some_trees_it_tells_for_how_many_they_stand(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert run(monkeypatch, "--depth", "2", "--family", "two", "--tree", "one_for_one free") == 0

    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("two: 4 trees (72 configurations) to depth 2")
    assert told[-1].startswith("72 configurations")


def test_a_tree_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert run(monkeypatch, "--tree", "five_for_one") == 2

    assert "no tree whose name contains 'five_for_one'" in capsys.readouterr().out


def test_a_family_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert run(monkeypatch, "--family", "none") == 2

    assert "there are one, two," in capsys.readouterr().out
