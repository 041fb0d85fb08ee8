"""What the environment puts into a tree's file."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from supervisor._spec.environment import Environment
from supervisor._spec.load import read


def expand(text: object, **environ: str) -> tuple[Any, list[str]]:
    environment = Environment(environ)
    table = environment.expanded({"name": "t", "x": text}, "t")
    return table["x"], [str(problem) for problem in environment.problems]


def override(tree: dict[str, Any], **environ: str) -> list[str]:
    environment = Environment(environ)
    environment.override(tree, tree["name"])
    return [str(problem) for problem in environment.problems]


def tree() -> dict[str, Any]:
    return {
        "name": "shop",
        "children": [
            {"run": "m:poll", "backoff": {"cap": 3}},
            {"name": "telegram-bot", "run": "m:bot", "quarantine": False},
            {"name": "s", "children": [{"resource": "m:poll"}, {"name": "v1.x", "run": "m:x"}]},
            7,
        ],
    }


# --- variables in strings --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("${A}", "1"),
        ("x${A}y${B}z", "x1y2z"),
        ("${C:-default}", "default"),
        ("${C:-}", ""),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY}", ""),
        ("${A:-default}", "1"),
        ("${C:-a:-b c}", "a:-b c"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A {A} $ $$ 5$", "$A {A} $ $$ 5$"),
        ("${D}", "${A}"),
        (["${A}", {"k": ["${B}"]}], ["1", {"k": ["2"]}]),
        (7, 7),
    ],
)
def test_variables_are_replaced(text: object, made: object) -> None:
    assert expand(text, A="1", B="2", EMPTY="", D="${A}") == (made, [])


def test_a_variable_that_is_not_set_is_a_problem_where_it_stands() -> None:
    assert expand("${A}/${B}", A="1") == (
        "1/${B}",
        ["t.x: the variable B is not set; set it, or write ${B:-a default}"],
    )
    table = {
        "name": "t",
        "children": [
            {"name": "a", "args": ["${A}"], "fallback": {"run": "m:f", "kwargs": {"k": "${B}"}}},
            {"name": "s", "children": [{"backoff": {"cap": "${C}"}}, 7]},
        ],
    }
    environment = Environment({})
    environment.expanded(table, "t")
    assert [problem.path for problem in environment.problems] == [
        "t/a.args[0]", "t/a/fallback.kwargs.k", "t/s.children[0].backoff.cap",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["${", "${}", "${A-b}", "${A", "${A B}", "${A:-${B}}"])
def test_what_looks_like_a_variable_but_is_none_is_a_problem(text: str) -> None:
    _, (problem,) = expand(text, A="1", B="2")
    assert problem.startswith("t.x: has '${' that no variable's name and '}' follow; write '$${'")


@pytest.mark.parametrize("field", ["run", "priority", "needs", "start_timeout", "name", "backoff"])
def test_an_unset_variable_causes_no_second_line(tmp_path: Any, field: str) -> None:
    value = {"needs": '["${X}"]', "backoff": '{ cap = "${X}" }', "run": '"${X}:y"'}.get(
        field, '"${X}"'
    )
    run = "" if field == "run" else 'run = "anyio:sleep_forever"'
    (tmp_path / "t.toml").write_text(f'name = "t"\n[[children]]\n{run}\n{field} = {value}')
    (problem,) = read(tmp_path / "t.toml", environ={})[1]
    assert problem.what == "the variable X is not set"


# --- overrides -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "value", "path", "made"),
    [
        ("SHOP__strategy", "one_for_all", ("strategy",), "one_for_all"),
        ("shop__max_children", "5", ("max_children",), 5),
        ("poll__priority", "low", (0, "priority"), "low"),
        ("POLL__START_TIMEOUT", "1.5", (0, "start_timeout"), 1.5),
        ("poll__backoff__cap", "5", (0, "backoff"), {"cap": 5}),
        ("poll__backoff__base", "5", (0, "backoff"), {"cap": 3, "base": 5}),
        ("poll__stop__deadline", "inf", (0, "stop"), {"deadline": float("inf")}),
        ("poll__quarantine", "false", (0, "quarantine"), False),
        ("telegram_bot__quarantine__open", "9", (1, "quarantine"), {"open": 9}),
        ("Telegram_Bot__copies", "2", (1, "copies"), 2),
        ("v1_x__args", '["a", {from = "b"}]', (2, 1, "args"), ["a", {"from": "b"}]),
        ("poll__args", "[", (0, "args"), "["),
        ("poll__name", '"5"', (0, "name"), "5"),
        ("poll__name", "", (0, "name"), ""),
        ("poll__name", "a\nb = 1", (0, "name"), "a\nb = 1"),
        ("poll__name", "1\nb = 1", (0, "name"), "1\nb = 1"),
        ("poll__kwargs__url", "http://x", (0, "kwargs"), {"url": "http://x"}),
    ],
)
def test_a_variable_sets_a_field(variable: str, value: str, path: Any, made: object) -> None:
    table = tree()
    assert override(table, **{f"SUPERVISOR__{variable}": value}) == []
    at: Any = table
    *way, field = path
    for index in way:
        at = at["children"][index]
    assert at[field] == made


def test_every_child_of_the_name_is_meant() -> None:
    table = tree()
    assert override(table, SUPERVISOR__poll__copies="4") == []
    assert table["children"][0]["copies"] == 4
    assert table["children"][2]["children"][0]["copies"] == 4


def test_the_fallback_is_reached_through_its_primary() -> None:
    table = {"name": "t", "children": [{"run": "m:a", "fallback": {"run": "m:b"}}]}
    assert override(table, SUPERVISOR__a__fallback__priority="low") == []
    assert table["children"][0]["fallback"] == {"run": "m:b", "priority": "low"}  # type: ignore[index]


def test_a_fallback_with_a_name_of_its_own_is_reached_through_its_primary_only() -> None:
    table = {"name": "t", "children": [{"run": "m:a", "fallback": {"run": "m:b", "name": "fb"}}]}
    assert override(table, SUPERVISOR__a__fallback__priority="low") == []
    assert table["children"][0]["fallback"]["priority"] == "low"  # type: ignore[index]
    (problem,) = override(table, SUPERVISOR__FB__PRIORITY="low")
    assert problem.startswith("SUPERVISOR__FB__PRIORITY: names no child")


def test_variables_that_differ_only_in_case_are_a_problem_that_names_them_all() -> None:
    table = tree()
    variables = {"SUPERVISOR__poll__copies": "2", "SUPERVISOR__POLL__COPIES": "3"}
    assert override(table, **variables, SUPERVISOR__poll__priority="low") == [
        "SUPERVISOR__POLL__COPIES: sets what SUPERVISOR__poll__copies sets, too; "
        "unset all but one, as case does not matter"
    ]
    assert table["children"][0] == {"run": "m:poll", "backoff": {"cap": 3}, "priority": "low"}


def test_a_field_of_a_policy_is_set_after_the_policy_whatever_their_case() -> None:
    table = tree()
    variables = {"SUPERVISOR__POLL__BACKOFF__CAP": "9", "SUPERVISOR__poll__backoff": "{ base = 2 }"}
    assert override(table, **variables) == []
    assert table["children"][0]["backoff"] == {"base": 2, "cap": 9}


def test_a_wrong_part_of_what_a_variable_sets_is_told_with_the_variable_of_the_part(
    tmp_path: Any,
) -> None:
    (tmp_path / "t.toml").write_text('name = "t"\nchildren = [{ run = "anyio:sleep_forever" }]')
    name = "SUPERVISOR__sleep_forever__backoff"
    environ = {name: "{ base = 2 }", f"{name}__cap": "-1"}
    (problem,) = read(tmp_path / "t.toml", environ=environ)[1]
    assert f"(set by {name}__cap)" in problem.what


@pytest.mark.parametrize(
    ("field", "variable", "value"),
    [
        ('priority = "${X}"', "a__priority", "low"),
        ('args = [["${X}"]]', "a__args", "[]"),
        ('backoff = { cap = "${X}" }', "a__backoff__cap", "1"),
        ('fallback = { run = "anyio:sleep_forever", priority = "${X}" }', "a__fallback__priority", "low"),
        ('fallback = { run = "anyio:sleep_forever", priority = "${X}" }', "a__fallback", "false"),
    ],
)  # fmt: skip
def test_an_unset_variable_in_what_is_overridden_is_no_problem(
    tmp_path: Any, field: str, variable: str, value: str
) -> None:
    file = tmp_path / "t.toml"
    file.write_text('name = "t"\n[[children]]\nrun = "anyio:sleep_forever"\nname = "a"\n' + field)
    _, problems = read(file, environ={f"SUPERVISOR__{variable}": value})
    assert not [problem for problem in problems if "not set" in problem.what]
    (problem,) = read(file, environ={})[1]
    assert problem.what == "the variable X is not set"


def test_other_variables_are_left_alone() -> None:
    table = tree()
    assert (
        override(table, SUPERVISOR="x", SUPERVISOR_poll__x="1", PATH="/", X_SUPERVISOR__a="1") == []
    )
    assert table == tree()


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("SUPERVISOR__pol__copies", "names no child; write SUPERVISOR__<child>__<field>; did you mean 'poll'?"),
        ("SUPERVISOR__", "names no child; write SUPERVISOR__<child>__<field>"),
        ("SUPERVISOR____copies", "names no child; write SUPERVISOR__<child>__<field>"),
        ("SUPERVISOR__poll", "names no field; write SUPERVISOR__<child>__<field>"),
        ("SUPERVISOR__poll__", "names no field"),
        ("SUPERVISOR__poll__backoff__", "names no field"),
        ("SUPERVISOR__s__children", "names no field that can be set"),
        ("SUPERVISOR__poll__run__x", "run is no table at shop/poll; write SUPERVISOR__poll__run"),
        ("SUPERVISOR__poll_2__copies", "names no child; write"),
    ],
)  # fmt: skip
def test_a_variable_that_names_nothing_is_never_silent(variable: str, says: str) -> None:
    table = tree()
    (problem,) = override(table, **{variable: "1"})
    assert problem.startswith(f"{variable}: {says}")
    assert table == tree()


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("prices__prioriti", "low", "shop/prices.prioriti: is an unknown field (set by SUPERVISOR__prices__prioriti); leave it out; did you mean 'priority'?"),
        ("prices__backoff__bse", "1", "shop/prices.backoff.bse: is an unknown field (set by SUPERVISOR__prices__backoff__bse); leave it out; did you mean 'base'?"),
        ("prices__backoff__cap", "-1", "shop/prices.backoff.cap: is -1 (set by SUPERVISOR__prices__backoff__cap); write a number of seconds, 0 or more"),
        ("prices__fallback", "{ run = 1 }", 'shop/prices/fallback.run: is 1 (set by SUPERVISOR__prices__fallback); write "module:attribute"'),
        ("SHOP__BOOT", "x", "shop.boot: is 'x' (set by SUPERVISOR__SHOP__BOOT); write one of patient, strict"),
    ],
)  # fmt: skip
def test_a_wrong_value_from_the_environment_is_told_with_its_variable(
    tmp_path: Any, variable: str, value: str, line: str
) -> None:
    (tmp_path / "t.toml").write_text(
        'name = "shop"\nchildren = [{ run = "anyio:sleep_forever", name = "prices" }]'
    )
    (problem,) = read(tmp_path / "t.toml", environ={f"SUPERVISOR__{variable}": value})[1]
    assert str(problem) == line


def test_the_table_of_the_file_is_not_shared_between_readings() -> None:
    table = tree()
    before = copy.deepcopy(table)
    Environment({}).expanded(table, "shop")
    assert table == before
