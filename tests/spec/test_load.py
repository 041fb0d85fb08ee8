"""A file with every field, and files of which nobody thinks: each mistake once, each on its line."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import fields

from supervisor import (
    Backoff,
    Component,
    Intensity,
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
ONE = "shop_services:Poller.static"

Lines = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def _imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [str(FIXTURES), *sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("shop"):
            del sys.modules[name]


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    """All problems of a tree with this text or value, as lines."""

    def lines(text: Any, **environ: str) -> list[str]:
        file = tmp_path / ("tree.toml" if isinstance(text, str) else "tree.json")
        file.write_text(text if isinstance(text, str) else json.dumps(text))
        found = read(file, environ=environ)[1]
        assert all(str(problem).isprintable() and problem.path for problem in found)
        return [str(problem) for problem in found]

    return lines


def tree(*children: Any, **options: Any) -> dict[str, Any]:
    return {"name": "shop", **options, "children": list(children)}


def leaf(name: str, run: Any = "shop_services:idle", **options: Any) -> dict[str, Any]:
    return {"name": name, "run": run, **options}


# --- every field -----------------------------------------------------------------------------------


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
def test_a_file_with_every_field_makes_the_same_value_as_python(file: str) -> None:
    made = load(FIXTURES / file, environ={})
    assert made == in_python()
    assert repr(made) == repr(in_python())


def test_the_fixture_has_every_field() -> None:
    text = (FIXTURES / "shop.toml").read_text()
    for kind in (Component, Resource, Supervisor, Backoff, Quarantine, Intensity, Stop):
        for field in fields(kind):
            if field.name in ("health", "restarts"):
                continue  # each is refused: nothing that they need can be declared yet
            name = {"factory": "resource"}.get(field.name, field.name)
            assert f"{name} =" in text or f"{name}]]" in text or f".{name}]" in text


def test_an_argument_is_the_very_child_that_it_names() -> None:
    made: Any = load(FIXTURES / "shop.toml", environ={})
    http, poll, group = made.children
    assert poll.args[0] is poll.kwargs["http"] is group.children[0].kwargs["http"] is http
    assert group.children[0].fallback.args[0] is http


def test_loading_starts_nothing() -> None:
    made = load(FIXTURES / "shop.toml", environ={})
    read(FIXTURES / "ten_mistakes.toml", environ={})
    import shop_services

    assert [problem for problem in check(made) if problem.level == "error"] == []
    assert shop_services.started == []


# --- files that cannot be read ---------------------------------------------------------------------


def test_a_byte_order_mark_and_a_suffix_in_capitals_do_no_harm(tmp_path: Path) -> None:
    for name, text in (("a.TOML", 'name = "t"'), ("a.JSON", '{"name": "t"}')):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert load(tmp_path / name, environ={}) == Supervisor("t")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.toml", b"\xff\xfe\x00", "is not UTF-8 text: invalid start byte at byte 0"),
        ("a.toml", b'name = "x"\nboot = strict', "(at line 2, column 8)"),
        ("a.toml", b'name = "x"\nname = "y"', "Cannot overwrite a value"),
        ("a.json", b'{"name": "x",\n "boot": }', "line 2 column 10"),
        ("a.json", b"", "line 1 column 1"),
        ("a.json", b'{"name": "x", "name": "y"}', "has 'name' twice in one table"),
        ("a.json", b"[" * 100_000, "is nested too deeply"),
        ("a.json", b"null", "is not a table"),
        ("a.yaml", b"name: x", "has the suffix '.yaml', which says neither TOML nor JSON"),
    ],
)
def test_a_file_that_makes_no_sense_is_one_problem(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(TreeInvalid) as caught:
        load(file, environ={})
    (problem,) = caught.value.problems
    assert problem.path == str(file)
    assert says in problem.what
    assert str(problem).isprintable()


def test_a_folder_and_a_path_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.toml").mkdir()
    (problem,) = read(tmp_path / "x.toml", environ={})[1]
    assert problem.what == "cannot be read: Is a directory"
    assert len(read("a\0b.toml", environ={})[1]) == 1


# --- imports ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("shop_nowhere:x", "No module named 'shop_nowhere'"),
        ("shop_services.x:y", "'shop_services' is not a package"),
        ("shop_services:nothing", "'shop_services' has no 'nothing'"),
        ("shop_services:Poller.no", "'shop_services' has no 'Poller.no'"),
        ("shop_services:iddle", "did you mean 'idle'?"),
        ("..:x", "'..'"),
        ("shop_raises:x", "ZeroDivisionError: division by zero"),
        ("shop_exits:x", "SystemExit: bye"),
        ("shop_wrong:x", "SyntaxError: "),
        ("shop_long:x", "ValueError: one"),
        ("shop_services", "is 'shop_services'; write \"module:attribute\""),
        ("shop_services:", "is 'shop_services:'; write"),
        (":idle", "is ':idle'; write"),
        ("a:b:c", "'a'"),
        ("", "is ''; write"),
        (7, "is 7; write"),
        (["shop_services:idle"], "is ['shop_services:idle']; write"),
        ("shop_services:number", "is 7, which cannot be called; write an async function"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_those_that_need_it_none(
    lines: Lines, tmp_path: Path, target: Any, says: str
) -> None:
    (tmp_path / "shop_raises.py").write_text("1 / 0")
    (tmp_path / "shop_exits.py").write_text("import sys; sys.exit('bye')")
    (tmp_path / "shop_wrong.py").write_text("def")
    (tmp_path / "shop_long.py").write_text("raise ValueError('one\\ntwo')")
    using = leaf("b", ONE, needs=["a"], args=[{"from": "a"}])
    (line,) = lines(tree(leaf("a", target), using))
    assert line.startswith("shop/a.run: ")
    assert says in line


@pytest.mark.parametrize(
    ("target", "advice"),
    [
        ("shop_needy:x", "install no_such_library, which it imports"),
        ("shop_needier:x", "install no_such_library, which it imports"),
        ("shop_slip:x", "correct the name, or what it imports"),
        ("no_such_library:x", "correct the name, or what it imports"),
        ("no_such_library.http:x", "correct the name, or what it imports"),
    ],
)
def test_a_library_that_is_not_installed_is_told_from_a_name_that_is_wrong(
    lines: Lines, tmp_path: Path, target: str, advice: str
) -> None:
    (tmp_path / "shop_needy.py").write_text("import no_such_library.http")
    (tmp_path / "shop_needier.py").write_text("import shop_needy")
    (tmp_path / "shop_slip.py").write_text("import shop_services.http")
    (line,) = lines(tree(leaf("a", target)))
    assert line.startswith(f"shop/a.run: importing '{target.partition(':')[0]}' failed: ")
    assert line.endswith(f"; {advice}")


def test_a_module_that_fails_is_run_once_however_many_name_it(lines: Lines, tmp_path: Path) -> None:
    text = "import shop_services\nshop_services.number += 1\n1 / 0"
    (tmp_path / "shop_raises.py").write_text(text)
    lines(tree(*(leaf(name, "shop_raises:x") for name in "abc")))
    assert sys.modules["shop_services"].number == 8


def test_a_keyboard_interrupt_in_a_module_is_no_problem_of_the_file(
    lines: Lines, tmp_path: Path
) -> None:
    (tmp_path / "shop_stopped.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        lines(tree(leaf("a", "shop_stopped:x")))


# --- references ------------------------------------------------------------------------------------


def test_a_reference_names_an_elder_here_or_further_up(lines: Lines) -> None:
    inner = {"name": "s", "children": [leaf("u", ONE, args=[{"from": "a"}])]}
    assert lines(tree(leaf("a"), {"name": "r", "children": [inner]})) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("htp", "there is no 'htp' to refer to"),
        ("late", "'late' is not listed before 'u'"),
        ("s", "'s' is a supervisor, which has no start value"),
        ("many", "'many' has copies"),
        ("fetch", "there is no 'fetch' to refer to"),
        ("u", "'u' is this child itself"),
        (7, "is 7; write a name"),
        ("", "there is no '' to refer to"),
    ],
)
@pytest.mark.parametrize("where", ["args", "kwargs"])
def test_a_reference_that_names_no_elder(lines: Lines, where: str, name: object, says: str) -> None:
    given = {where: [{"from": name}] if where == "args" else {"http": {"from": name}}}
    elders = [leaf("http"), {"name": "s", "children": [leaf("fetch")]}, leaf("many", copies=2)]
    for child, path in (
        (leaf("u", ONE, **given), f"shop/u.{where}"),
        (leaf("u", fallback={"run": ONE, **given}), f"shop/u/fallback.{where}"),
    ):
        (line,) = lines(tree(*elders, child, leaf("late")))
        assert line.startswith(path)
        assert says in line


def test_a_reference_inside_another_argument_would_stay_a_table(lines: Lines) -> None:
    for arg in ([{"from": "a"}], {"x": {"from": "a"}}):
        (line,) = lines(tree(leaf("a"), leaf("u", ONE, args=[arg])))
        assert line == (
            "shop/u.args[0]: { from = 'a' } stands inside another argument; "
            "write it as an argument by itself"
        )


def test_other_tables_are_arguments_like_any(lines: Lines, tmp_path: Path) -> None:
    given = [{"from": "a", "to": "b"}, [{"from": "somebody"}], {}, None]
    assert lines(tree(leaf("a"), leaf("u", "shop_services:poll", args=given))) == []
    made: Any = read(tmp_path / "tree.json", environ={})[0]
    assert made.children[1].args == tuple(given)


# --- each mistake once -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a"},
        {"name": "a", "rum": "x:y"},
        {"name": "a", "run": "shop_services:idle", "resource": "shop_services:opened"},
        leaf("a", heartbeat=-1),
        leaf("a", backoff={"cap": "x"}),
        leaf("a", backoff={"kap": 1}),
        leaf("a", backoff=False),
        leaf("a", stop=[1]),
        leaf("a", args="x"),
        leaf("a", kwargs=["x"]),
        leaf("a", copies="2"),
        leaf("a", priority=["low"]),
        leaf("a", fallback={"name": "b"}),
        leaf("a", fallback={"name": "b", "children": []}),
        leaf("a", fallback="x:y"),
        leaf("a", **{"a\nb": 1}),
        leaf("a", needs=["\x1b[31m"]),
        {"name": "s", "intensity": {"restarts": 1}, "children": [leaf("b")]},
        {"name": "s", "intensity": {"restarts": 1, "wihtin": 1}, "children": "x"},
    ],
)
def test_one_mistake_is_one_line_also_if_others_need_the_child(
    lines: Lines, wrong: dict[str, Any]
) -> None:
    using = [leaf("u", ONE, args=[{"from": "a"}], needs=["a"], after=["a"])]
    found = lines(tree(wrong, *(using if wrong["name"] == "a" else [])))
    mistakes = 3 if "wihtin" in str(wrong) else 1  # unknown, thus lacking, and no children
    assert len(found) == mistakes
    assert all(line.startswith(f"shop/{wrong['name']}") for line in found)


def test_two_without_a_name_are_not_also_twins(lines: Lines) -> None:
    assert len(lines(tree({"run": 7}, {"run": 8}, {"copies": 2}, 9))) == 4


def test_a_file_of_nothing_but_rubbish_is_answered_in_lines(lines: Lines) -> None:
    kinds: list[Any] = [None, True, 7, "x", "${", ["x"], [[]], {}, {"from": "x"}, {"x": {}}]
    names = {field.name for kind in (Component, Supervisor) for field in fields(kind)}
    for name in [*names, "resource"]:
        for value in kinds:
            lines({"name": "t", name: value})
            for kind in ("run", "children"):
                child = {kind: "shop_services:idle", "name": "x", name: value}
                lines(tree(child, leaf("y", fallback=child)))
