"""The tables and the guarantees name tests that are there, and leave nothing out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.tables import DEFECTS, DOCS, PRESENT, TABLES, Table, every_test, named_in, page, suites

GUARANTEES = DOCS / "guarantees.md"
LAWS = range(1, 17)

ROWS = [
    pytest.param(row, id=f"{suite['name']}: {row['case']}")
    for table in TABLES
    for suite in suites(table)
    for row in suite["row"]
]
OTP_CASES = {
    *(1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 13, 14, 15, 16, 18, 19, 20, 22, 23, 24, 26, 27, 28, 30, 31),
    *(32, 33, 35, 36, 37, 38, 41, 42, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 57, 58, 61, 64, 65),
    *(66, 67, 68, 69, 70, 71, 72, 74, 76, 77, 79, 83, 84, 85, 86, 88, 89, 90, 91, 93),
}
SIZES = {
    "suture": 24,
    "oklog/run": 4,
    "Elixir": 47,
    "Akka and Pekko": 50,
    "Smaller suites": 38,
    "Traps of Python peers": 15,
}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.page.stem)
def test_the_page_is_what_the_table_says(table: Table) -> None:
    assert table.page.read_text(encoding="utf-8") == page(table), (
        "run python -m tests.tables --write"
    )


@pytest.mark.parametrize("row", ROWS)
def test_a_row_has_tests_that_exist_or_a_reason_why_not(row: dict[str, Any]) -> None:
    assert row.keys() in ({"case", "here", "by"}, {"case", "not"}, {"case", "later"})
    assert set(row.get("by", ())) <= every_test()
    assert row.get("by", True)
    assert row.get("here", row.get("not", row.get("later", ""))).endswith(".")


def test_no_case_of_otp_is_left_out_or_told_twice() -> None:
    cases = [int(row["case"].partition(" ")[0]) for row in suites()[0]["row"]]
    assert cases == sorted(OTP_CASES)


def test_no_other_row_is_lost() -> None:
    assert {suite["name"]: len(suite["row"]) for suite in suites()[1:]} == SIZES


def test_nothing_that_the_present_module_does_is_left_out() -> None:
    assert {suite["name"]: len(suite["row"]) for suite in suites(PRESENT)} == {
        "Error handler": 5,
        "Severity": 2,
        "Error records": 6,
        "Error statistics": 4,
        "Circuit breaker": 5,
    }


def test_no_defect_is_left_out_or_told_twice() -> None:
    rows = [row for suite in suites(DEFECTS) for row in suite["row"]]
    assert [int(row["case"].partition(" ")[0]) for row in rows] == list(range(1, 46))
    later = {int(row["case"].partition(" ")[0]) for row in rows if "later" in row}
    assert later == {*range(10, 16), *range(34, 38)}  # what the monitor and the store are for


@pytest.mark.parametrize("law", LAWS)
def test_a_law_has_tests_that_exist(law: int) -> None:
    text = GUARANTEES.read_text(encoding="utf-8")
    part = re.search(rf"^\*\*{law}\. .*?(?=^\*\*\d+\. |^## )", text, re.MULTILINE | re.DOTALL)
    assert part is not None
    named = re.findall(r"`([\w/]+\.py::\w+(?:::\w+)?)`", part[0])
    assert named
    assert set(named) <= every_test()


def test_the_named_in_a_module_are_found_by_name(tmp_path: Path) -> None:
    module = tmp_path / "test_x.py"
    module.write_text(
        "def test_a():\n    def test_inner(): ...\n\nasync def test_b(): ...\n\ndef helper(): ...\n\n"
        "class TestC:\n    def test_d(self): ...\n\nclass Other:\n    def test_e(self): ...\n"
    )
    assert sorted(named_in(module)) == ["TestC::test_d", "test_a", "test_b"]
