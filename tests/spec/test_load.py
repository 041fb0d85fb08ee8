"""A file makes the same value as the declaration in Python, and says all that is wrong with it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import fields

from supervisor import (
    Backoff,
    Component,
    Intensity,
    Problem,
    Quarantine,
    Resource,
    Stop,
    Supervisor,
    TreeInvalid,
    check,
    load,
)
from supervisor._spec.load import read

FIXTURES = Path(__file__).parent.parent / "fixtures"

Lines = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def _imports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [str(FIXTURES), *sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("shop"):
            del sys.modules[name]


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    """All problems of a tree with this text or value, as lines; a warning begins with ``?``."""

    def lines(text: Any, environ: Mapping[str, str] = {}) -> list[str]:  # noqa: B006
        if isinstance(text, str):
            file = tmp_path / "tree.toml"
            file.write_text(text)
        else:
            file = tmp_path / "tree.json"
            file.write_text(json.dumps(text))
        found = read(file, environ=environ)[1]
        for problem in found:
            assert str(problem).isprintable()
            assert problem.write
        return [f"{'?' * (problem.level == 'warning')}{problem}" for problem in found]

    return lines


def tree(*children: Any, **options: Any) -> dict[str, Any]:
    return {"name": "shop", **options, "children": list(children)}


def leaf(name: str, run: str = "shop_services:idle", **options: Any) -> dict[str, Any]:
    return {"name": name, "run": run, **options}


# --- the same value --------------------------------------------------------------------------------


def in_python() -> Supervisor:
    import shop_services as services

    http = Resource(
        services.opened,
        name="http",
        args=("a", 1, [2.5, True], {"deep": "x"}),
        kwargs={"retries": 2},
    )
    poll = Component(
        services.poll,
        args=(http, ["BTC", "ETH"]),
        kwargs={"http": http, "every": 5},
        name="poll",
        needs={"http": "final"},
        after=["http"],
        priority="critical",
        restart="transient",
        backoff=Backoff(first=1, base=2, factor=3, cap=4, jitter="equal", reset_after=5),
        quarantine=Quarantine(crashes=2, within=3, open=4, factor=5, cap=6, probe=7),
        stop=Stop(grace=1, deadline=2),
        start_timeout=30,
        heartbeat=10.5,
        copies=3,
    )
    static = Component(
        services.Poller.static,
        kwargs={"http": http},
        needs=["poll-2"],
        significant=True,
        restart="transient",
        fallback=Component(services.poll, args=(http,), fallback=Component(services.idle)),
    )
    group = Supervisor(
        "group", [static], auto_shutdown="any_significant", restart="temporary", quarantine=None
    )
    return Supervisor(
        "shop",
        [http, poll, group],
        strategy="rest_for_one",
        intensity=Intensity(3, 5.5),
        boot="strict",
        max_children=9,
        priority="high",
        stop=Stop(deadline=math.inf),
    )


@pytest.mark.parametrize("file", ["shop.toml", "shop.json"])
def test_a_file_makes_the_same_value_as_python(file: str) -> None:
    made = load(FIXTURES / file, environ={})
    assert made == in_python()
    assert repr(made) == repr(in_python())


def test_an_argument_is_the_very_child_that_it_names() -> None:
    made: Any = load(FIXTURES / "shop.toml", environ={})
    http, poll, group = made.children
    assert poll.args[0] is poll.kwargs["http"] is group.children[0].kwargs["http"] is http
    assert group.children[0].fallback.args[0] is http


def test_the_fixture_has_every_field() -> None:
    text = (FIXTURES / "shop.toml").read_text()
    for kind in (Component, Resource, Supervisor, Backoff, Quarantine, Intensity, Stop):
        for field in fields(kind):
            name = {"factory": "resource"}.get(field.name, field.name)
            assert f"{name} =" in text or f"{name}]]" in text or f".{name}]" in text


def test_the_name_is_by_default_the_last_part_of_what_is_run(tmp_path: Path) -> None:
    (tmp_path / "tree.toml").write_text(
        'name = "t"\nchildren = [{run = "shop_services:Poller.static", args = [1]}, '
        '{resource = "shop_services:opened", name = ""}]'
    )
    made = load(tmp_path / "tree.toml", environ={})
    assert [child.name for child in made.children] == ["static", "opened"]


def test_modules_may_lie_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "shop_beside.py").write_text("async def run() -> None: ...")
    (tmp_path / "tree.toml").write_text('name = "t"\nchildren = [{run = "shop_beside:run"}]')
    assert load(tmp_path / "tree.toml", environ={}).children[0].name == "run"


def test_without_an_environment_that_of_the_process_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tree.toml").write_text('name = "${SHOP_NAME}"')
    monkeypatch.setenv("SHOP_NAME", "corner")
    assert load(tmp_path / "tree.toml").name == "corner"


def test_a_byte_order_mark_and_a_suffix_in_capitals_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "tree.TOML").write_bytes(b'\xef\xbb\xbfname = "t"')
    assert load(tmp_path / "tree.TOML", environ={}) == Supervisor("t")


# --- files that cannot be read ---------------------------------------------------------------------


def refused(file: Path) -> str:
    with pytest.raises(TreeInvalid) as caught:
        load(file, environ={})
    (problem,) = caught.value.problems
    assert problem.path == str(file)
    assert str(problem).isprintable()
    return problem.what


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert refused(tmp_path / "no.toml") == "cannot be read: No such file or directory"


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x.toml").mkdir()
    assert refused(tmp_path / "x.toml") == "cannot be read: Is a directory"


def test_a_path_that_is_none() -> None:
    assert read("a\0b.toml", environ={})[1][0].what


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.toml", b"\xff\xfe\x00", "is not UTF-8 text: invalid start byte at byte 0"),
        ("a.toml", b'name = "x"\nchildren = [', "(at end of document)"),
        ("a.toml", b'name = "x"\nboot = strict', "(at line 2, column 8)"),
        ("a.toml", b'name = "x"\nname = "y"', "Cannot overwrite a value"),
        ("a.json", b'{"name": "x",\n "boot": }', "line 2 column 10"),
        ("a.json", b"", "line 1 column 1"),
        ("a.json", b'{"name": "x", "name": "y"}', "has 'name' twice in one table"),
        ("a.json", b"[" * 100_000, "is nested too deeply"),
        ("a.json", b"[1]", "is not a table"),
        ("a.json", b"null", "is not a table"),
        ("a.yaml", b"name: x", "has the suffix '.yaml', which says neither TOML nor JSON"),
        ("a", b"name: x", "has the suffix '', which says neither TOML nor JSON"),
    ],
)  # fmt: skip
def test_a_file_that_makes_no_sense(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert says in refused(tmp_path / name)


# --- wrong tables ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, "", 7])
def test_the_root_has_a_name(lines: Lines, name: object) -> None:
    root = {"children": [leaf("a")]} if name is None else {"name": name, "children": [leaf("a")]}
    assert lines(root) == ['name: the root has no name; write `name = "..."` at the top']


def test_the_root_is_a_supervisor(lines: Lines) -> None:
    assert lines({"name": "t", "run": "shop_services:idle"}) == [
        "run: stands at the top; list it under `[[children]]`"
    ]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (tree(stratgy="x"), "shop.stratgy: is an unknown field; leave it out; did you mean 'strategy'?"),
        (tree(leaf("a", prioriti=1)), "shop/a.prioriti: is an unknown field; leave it out; did you mean 'priority'?"),
        (tree(leaf("a", strategy="one_for_all")), "shop/a.strategy: is an unknown field; leave it out; "),
        (tree(leaf("a", backoff={"bse": 1})), "shop/a.backoff.bse: is an unknown field; leave it out; did you mean 'base'?"),
        (tree(leaf("a", stop={"x": 1})), "shop/a.stop.x: is an unknown field; leave it out; its fields are grace, deadline"),
        (tree(intensity={"restart": 1, "restarts": 1, "within": 1}), "shop.intensity.restart: is an unknown field; leave it out; did you mean 'restarts'?"),
        (tree(leaf("a", fallback={"run": "shop_services:idle", "stopp": {}})), "shop/a/fallback.stopp: is an unknown field; leave it out; did you mean 'stop'?"),
        (tree({"name": "s", "children": [leaf("a", nam="b")]}), "shop/s/a.nam: is an unknown field; leave it out; did you mean 'name'?"),
        (tree(leaf("a", **{"a\nb": 1})), "shop/a.a b: is an unknown field; leave it out; its fields are name, needs, "),
        (tree(intensity={"restarts": 1}), "shop.intensity: lacks within; write restarts, within"),
        (tree(intensity={}), "shop.intensity: lacks restarts and within; write restarts, within"),
        (tree(leaf("a", backoff=False)), "shop/a.backoff: is False; write a table of first, base, "),
        (tree(leaf("a", stop=5)), "shop/a.stop: is 5; write a table of grace, deadline"),
        (tree(7), "shop.children[0]: is 7; write a table"),
        ({"name": "t", "children": {"a": 1}}, "t.children: is {'a': 1}; write a list of children"),
        (tree({"name": "a"}), "shop/a: has none of run, resource, children; write exactly one of run, resource, children"),
        (tree({"name": "a", "rum": "x:y"}), "shop/a: has none of run, resource, children; write exactly one of run, resource, children; did you mean 'run'?"),
        (tree(leaf("a", resource="shop_services:opened")), "shop/a: has run and resource; write exactly one of"),
        (tree(leaf("a", fallback={"name": "b"})), "shop/a/fallback: has none of run, resource, children"),
        (tree(leaf("a", fallback={"name": "b", "children": []})), "shop/a.fallback: is the Supervisor 'b'; write a Component or a Resource"),
        (tree(leaf("a", fallback="x:y")), "shop/a.fallback: is 'x:y'; write a Component or a Resource"),
        (tree(leaf("a", args="x")), "shop/a.args: is 'x'; write a list"),
        (tree(leaf("a", kwargs=["x"])), "shop/a.kwargs: is ('x',); write a table"),
        (tree({"run": "shop_services:idle", "name": 5}), "shop.children[0].name: is 5; write a text"),
        (tree({"run": "shop_services:idle", "name": 0}), "shop.children[0].name: is 0; write a text"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_one_line_that_says_what_to_write(
    lines: Lines, given: dict[str, Any], says: str
) -> None:
    (line,) = lines(given)
    assert line.startswith(says)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("shop_nowhere:x", "cannot import 'shop_nowhere:x': ModuleNotFoundError: No module named 'shop_nowhere'"),
        ("shop_services.x:y", "cannot import 'shop_services.x:y': ModuleNotFoundError: "),
        ("shop_services:nothing", "cannot import 'shop_services:nothing': AttributeError: "),
        ("shop_services:Poller.no", "cannot import 'shop_services:Poller.no': AttributeError: "),
        ("..:x", "cannot import '..:x': TypeError: "),
        ("shop_raises:x", "cannot import 'shop_raises:x': ZeroDivisionError: division by zero"),
        ("shop_exits:x", "cannot import 'shop_exits:x': SystemExit: bye"),
        ("shop_wrong:x", "cannot import 'shop_wrong:x': SyntaxError: "),
        ("shop_long:x", "cannot import 'shop_long:x': ValueError: one two"),
        ("shop_services", "is 'shop_services'; write \"module:attribute\""),
        ("shop_services:", "is 'shop_services:'; write"),
        (":idle", "is ':idle'; write"),
        ("a:b:c", "is 'a:b:c'; write"),
        ("", "is ''; write"),
        (7, "is 7; write"),
        (["shop_services:idle"], "is ['shop_services:idle']; write"),
        ("shop_services:number", "is 7, which cannot be called; write an async function"),
        ("shop_services:Poller", "is the class Poller; write an async function"),
    ],
)  # fmt: skip
def test_what_cannot_be_run(lines: Lines, tmp_path: Path, target: Any, says: str) -> None:
    (tmp_path / "shop_raises.py").write_text("1 / 0")
    (tmp_path / "shop_exits.py").write_text("import sys; sys.exit('bye')")
    (tmp_path / "shop_wrong.py").write_text("def")
    (tmp_path / "shop_long.py").write_text("raise ValueError('one\\ntwo')")
    (line,) = lines(tree(leaf("a", run=target), leaf("b", needs=["a"])))
    assert line.startswith(f"shop/a.run: {says}")


def test_a_module_that_fails_is_run_and_told_once(lines: Lines, tmp_path: Path) -> None:
    (tmp_path / "shop_raises.py").write_text(
        "import shop_services\nshop_services.number += 1\n1 / 0"
    )
    children = [leaf(name, run="shop_raises:x") for name in "abc"]
    assert len(lines(tree(*children))) == 1
    assert sys.modules["shop_services"].number == 8


def test_a_keyboard_interrupt_in_a_module_is_no_problem_of_the_file(
    lines: Lines, tmp_path: Path
) -> None:
    (tmp_path / "shop_stopped.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        lines(tree(leaf("a", run="shop_stopped:x")))


# --- references ------------------------------------------------------------------------------------

ONE = "shop_services:Poller.static"


def test_a_reference_names_an_elder_here_or_further_up(lines: Lines) -> None:
    inner = {"name": "s", "children": [leaf("u", ONE, args=[{"from": "a"}])]}
    assert lines(tree(leaf("a"), {"name": "r", "children": [inner]})) == []


@pytest.mark.parametrize(
    ("arg", "says"),
    [
        ("htp", "{ from = 'htp' } names no elder sibling; name one, here or further up; did you mean 'http'?"),
        ("late", "'late' is a younger sibling; list 'late' before this child"),
        ("s", "'s' is a supervisor, which has no start value; name one of its elder siblings that has"),
        ("many", "'many' has copies, so its start value is ambiguous; declare it once"),
        ("fetch", "{ from = 'fetch' } names no elder sibling; name one, here or further up"),
    ],
)  # fmt: skip
def test_a_reference_that_names_no_elder(lines: Lines, arg: str, says: str) -> None:
    elders = [
        leaf("http"),
        {"name": "s", "children": [leaf("fetch")]},
        leaf("many", copies=2),
    ]
    for given in ({"args": [{"from": arg}]}, {"kwargs": {"http": {"from": arg}}}):
        found = lines(tree(*elders, leaf("u", ONE, **given), leaf("late")))
        assert [line for line in found if line[0] != "?"] == [f"shop/u.{[*given][0]}: {says}"]
        fallback = leaf("u", fallback={"run": ONE, **given})
        found = lines(tree(*elders, fallback, leaf("late")))
        (line,) = [line for line in found if line[0] != "?"]
        assert line == f"shop/u/fallback.{[*given][0]}: {says}"


def test_a_reference_inside_another_argument_would_stay_a_table(lines: Lines) -> None:
    (line,) = lines(tree(leaf("a"), leaf("u", ONE, args=[[{"from": "a"}]])))
    assert line == (
        "shop/u.args: { from = 'a' } stands inside another argument; "
        "write it as an argument by itself"
    )


def test_other_tables_are_arguments_like_any(lines: Lines, tmp_path: Path) -> None:
    given = [{"from": "a", "to": "b"}, {"from": 7}, [{"from": "somebody"}], {}]
    assert lines(tree(leaf("a"), leaf("u", "shop_services:poll", args=given))) == []
    made: Any = read(tmp_path / "tree.json", environ={})[0]
    assert made.children[1].args == tuple(given)


# --- all at once, and once each --------------------------------------------------------------------


def test_ten_mistakes_are_ten_lines_and_nothing_is_started() -> None:
    found = read(FIXTURES / "ten_mistakes.toml", environ={})[1]
    assert {problem.path for problem in found} == {
        "shop/prices.start_timeout",
        "shop/orders.prioriti",
        "shop/prices.name",
        "shop/stock.needs",
        "shop/news.needs",
        "shop/mail.run",
        "shop/level.run",
        "shop/retry.backoff.cap",
        "shop/pulse.heartbeat",
        "shop/feeds.intensity",
    }
    assert len(found) == 10
    assert [problem.path for problem in found if problem.level == "warning"] == [
        "shop/feeds.intensity"
    ]
    assert all(str(problem).isprintable() and problem.write for problem in found)


def test_load_raises_all_errors_as_lines() -> None:
    with pytest.raises(TreeInvalid) as caught:
        load(FIXTURES / "ten_mistakes.toml", environ={})
    assert len(caught.value.problems) == 9
    assert len(str(caught.value).splitlines()) == 9


def test_loading_starts_nothing() -> None:
    made = load(FIXTURES / "shop.toml", environ={})
    import shop_services

    assert [problem for problem in check(made) if problem.level == "error"] == []
    assert shop_services.started == []


def test_what_is_wrong_with_a_child_is_not_also_wrong_with_those_that_need_it(
    lines: Lines,
) -> None:
    using = leaf("u", ONE, args=[{"from": "a"}], needs=["a"], after=["a"])
    for wrong in (
        {"name": "a"},
        {"name": "a", "run": "x:y", "resource": "z:w"},
        leaf("a", run="shop_nowhere:x"),
        leaf("a", run=7),
        leaf("a", heartbeat=-1),
    ):
        assert len(lines(tree(wrong, using))) == 1


def test_two_without_a_name_are_not_also_twins(lines: Lines) -> None:
    assert len(lines(tree({"run": 7}, {"run": 8}, {"copies": 2}))) == 3


def test_a_file_of_nothing_but_rubbish_is_answered_in_lines(lines: Lines) -> None:
    kinds: list[Any] = [
        None,
        True,
        7,
        1.5,
        "x",
        "${",
        [],
        ["x"],
        [[]],
        {},
        {"from": "x"},
        {"x": {}},
    ]
    names = {field.name for kind in (Component, Supervisor) for field in fields(kind)}
    for name in [*names, "resource"]:
        for value in kinds:
            assert isinstance(lines({"name": "t", name: value}), list)
            for kind in ("run", "resource", "children"):
                child = {kind: "shop_services:idle", "name": "x", name: value}
                assert isinstance(lines(tree(child, leaf("y", fallback=child))), list)


def test_a_warning_does_not_keep_a_file_from_being_loaded(tmp_path: Path) -> None:
    (tmp_path / "tree.json").write_text(
        json.dumps(tree(leaf("a", restart="transient"), leaf("b", needs=["a"])))
    )
    assert len(load(tmp_path / "tree.json", environ={}).children) == 2
    (problem,) = read(tmp_path / "tree.json", environ={})[1]
    assert problem == Problem(
        "shop/b.needs",
        "needs 'a', which is transient and goes for good when it ends",
        "make it permanent",
        "warning",
    )
