"""A tree from a file: the same frozen value as in Python, and everything that is wrong at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    load,
)
from supervisor._spec.load import read

FIXTURES = Path(__file__).parents[1] / "fixtures"
SERVICES = """
from contextlib import asynccontextmanager

imports = []

@asynccontextmanager
async def client():
    yield "client"

async def poll(*args, **kwargs): ...

async def fetch(http, symbols=()): ...

class Feeds:
    async def prices(self, **kwargs): ...

feeds = Feeds()
number = 7
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a tree's file beside a module ``services``."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "services.py").write_text(SERVICES, encoding="utf-8")
    before = set(sys.modules)

    def write(text: str | bytes | Mapping[str, Any], name: str = "shop.toml") -> Path:
        file = tmp_path / name
        if isinstance(text, Mapping):
            text = json.dumps(text)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    yield write
    for name in set(sys.modules) - before:
        if name.startswith(("services", "broken", "leaving")):
            del sys.modules[name]


def problems(path: Path, environ: Mapping[str, str] | None = None) -> list[Problem]:
    return read(path, environ=environ or {})[1]


def paths(path: Path, environ: Mapping[str, str] | None = None) -> list[str]:
    return sorted(problem.path for problem in problems(path, environ))


def one_child(fields: str) -> str:
    return f'name = "shop"\n[[children]]\nrun = "services:poll"\n{fields}\n'


def child_of(path: Path, environ: Mapping[str, str] | None = None) -> Any:
    return load(path, environ=environ or {}).children[0]


# --- the same value --------------------------------------------------------------------------------

WHOLE = """
name = "shop"
strategy = "rest_for_one"
intensity = { restarts = 3, within = 60 }
max_children = 9

[[children]]
resource = "services:client"
name = "http"
stop = { grace = 1, deadline = 2.5 }
quarantine = false

[[children]]
run = "services:fetch"
args = [{ from = "http" }, ["BTC", { from = "LSE" }]]
priority = "critical"
backoff = { first = 1, jitter = "none" }
quarantine = { crashes = 3, within = 30 }

[[children]]
name = "reports"
needs = ["fetch"]
restart = "transient"

[[children.children]]
run = "services:feeds.prices"
kwargs = { http = { from = "http" }, limit = 3 }
needs = { http = "final" }
fallback = { run = "services:poll", args = [{ from = "http" }], needs = ["http"] }
"""


def test_a_file_makes_the_same_value_as_python(write: Write) -> None:
    tree = load(write(WHOLE), environ={})
    import services  # type: ignore[import-not-found]

    stop = Stop(grace=1, deadline=2.5)
    http = Resource(services.client, name="http", stop=stop, quarantine=None)
    assert tree == Supervisor(
        "shop",
        [
            http,
            Component(
                services.fetch,
                args=[http, ["BTC", {"from": "LSE"}]],
                priority="critical",
                backoff=Backoff(first=1, jitter="none"),
                quarantine=Quarantine(crashes=3, within=30),
            ),
            Supervisor(
                "reports",
                [
                    Component(
                        services.feeds.prices,
                        kwargs={"http": http, "limit": 3},
                        needs={"http": "final"},
                        fallback=Component(services.poll, args=[http], needs=["http"]),
                    )
                ],
                needs=["fetch"],
                restart="transient",
            ),
        ],
        strategy="rest_for_one",
        intensity=Intensity(3, 60),
        max_children=9,
    )


def test_json_makes_the_same_value_as_toml(write: Write) -> None:
    import tomllib

    toml = load(write(WHOLE), environ={})
    assert load(write(tomllib.loads(WHOLE), "shop.json"), environ={}) == toml
    assert load(write(WHOLE, "LOUD.TOML"), environ={}) == toml


def test_null_in_json_means_none(write: Write) -> None:
    tree = {"name": "shop", "children": [{"run": "services:poll", "quarantine": None}]}
    assert child_of(write(tree, "shop.json")).quarantine is None


def test_a_child_is_called_like_its_attribute(write: Write) -> None:
    text = 'name = "shop"\nchildren = [{ run = "services:feeds.prices" }]'
    assert child_of(write(text)).name == "prices"


fields = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.sampled_from(("low", "medium", "high")),
        "restart": st.sampled_from(("permanent", "transient", "temporary")),
        "copies": st.integers(1, 3),
        "heartbeat": st.floats(0.1, 10),
        "backoff": st.fixed_dictionaries({}, optional={"cap": st.floats(1, 9), "base": st.just(1)}),
        "stop": st.fixed_dictionaries({}, optional={"grace": st.integers(0, 9)}),
        "args": st.lists(st.integers() | st.text() | st.lists(st.booleans()), max_size=2),
    },
)


@given(st.lists(fields, max_size=4))
def test_any_file_is_read_as_it_was_written(tmp_path_factory: Any, children: Any) -> None:
    made, tables = [], []
    for number, given_fields in enumerate(children):
        tables.append({"run": "anyio:sleep", "name": f"c{number}x", **given_fields})
    for table in tables:
        own = {key: value for key, value in table.items() if key != "run"}
        own |= {"backoff": Backoff(**own.get("backoff", {})), "stop": Stop(**own.get("stop", {}))}
        import anyio

        made.append(Component(anyio.sleep, **own))
    file = tmp_path_factory.getbasetemp() / "any.json"
    # "$" would begin a variable.
    file.write_text(json.dumps({"name": "shop", "children": tables}).replace("$", "S"))
    tree, found = read(file, environ={})
    if tree is not None and "$" not in json.dumps(tables):
        assert tree == Supervisor("shop", made)
    assert all(problem.path.endswith(".args") for problem in found if problem.level == "error")


# --- what is wrong ---------------------------------------------------------------------------------


def test_ten_mistakes_are_ten_problems_each_with_its_path() -> None:
    assert paths(FIXTURES / "ten_mistakes.toml") == [
        "shop/feeds.intensity",
        "shop/level.run",
        "shop/mail.run",
        "shop/news.needs",
        "shop/orders.prioriti",
        "shop/prices.name",
        "shop/prices.start_timeout",
        "shop/pulse.heartbeat",
        "shop/retry.backoff.cap",
        "shop/stock.needs",
    ]


def test_load_raises_all_errors_at_once_and_no_warnings() -> None:
    with pytest.raises(TreeInvalid) as raised:
        load(FIXTURES / "ten_mistakes.toml", environ={})
    assert len(raised.value.problems) == 9
    assert len(str(raised.value).splitlines()) == 9


def test_a_wrong_tree_cannot_be_had(write: Write) -> None:
    assert read(write(one_child("copies = 0")), environ={})[0] is None


@pytest.mark.parametrize(
    ("content", "name", "why"),
    [
        (b'name = "shop"\nchildren = ]', "shop.toml", "line 2"),
        (b'{"name": "shop",\n "children": }', "shop.json", "line 2"),
        (b'name = "\xff"', "shop.toml", "UTF-8"),
        (b"[1, 2]", "shop.json", "table"),
        (b"name: shop", "shop.yaml", "TOML"),
        (b'{"name": "shop", "name": "shop", "children": []}', "shop.json", "name"),
        (b'{"name": ' * 100_000, "shop.json", ""),
    ],
    ids=["toml", "json", "text", "list", "suffix", "twice", "deep"],
)
def test_a_file_that_cannot_be_read(write: Write, content: bytes, name: str, why: str) -> None:
    file = write(content, name)
    tree, [problem] = read(file, environ={})
    assert tree is None
    assert problem.path == str(file)
    assert why in problem.what
    with pytest.raises(TreeInvalid):
        load(file, environ={})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert read(tmp_path / "none.toml", environ={})[0] is None
    assert len(problems(tmp_path / "none.toml")) == len(problems(tmp_path)) == 1


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (one_child('stratgy = "one_for_one"'), "shop/poll.stratgy"),
        (one_child('strategy = "one_for_one"'), "shop/poll.strategy"),
        (one_child('factory = "services:client"'), "shop/poll.factory"),
        (one_child("backoff = { caps = 3 }"), "shop/poll.backoff.caps"),
        (one_child('fallback = { run = "services:poll", nam = "x" }'), "shop/poll/fallback.nam"),
        (one_child("[children.stop]\ndeadlin = 3"), "shop/poll.stop.deadlin"),
        ('name = "shop"\nstrateg = "one_for_all"', "shop.strateg"),
        ('name = "shop"\nbroker = {}', "shop.broker"),
        ('name = "shop"\nrun = "services:poll"', "shop.run"),
        (one_child("intensity = {}"), "shop/poll.intensity"),
    ],
    ids=lambda value: value if value.startswith("shop") else "-",
)
def test_an_unknown_field_is_refused(write: Write, text: str, path: str) -> None:
    assert paths(write(text)) == [path]


def test_an_unknown_field_that_is_nearly_right_is_recognised(write: Write) -> None:
    [problem] = problems(write(one_child("start_timout = 3")))
    assert "start_timeout" in problem.write


@pytest.mark.parametrize(
    ("child", "path"),
    [
        ('{ name = "a" }', "shop/a"),
        ('{ name = "a", run = "services:poll", resource = "services:client" }', "shop/a"),
        ('{ name = "a", run = "services:poll", children = [] }', "shop/a"),
        ('"services:poll"', "shop.children[1]"),
        ("{}", "shop.children[1]"),
        ("{ run = 3 }", "shop.children[1].run"),
        ("{ children = [] }", "shop.children[1].name"),
        ('{ name = "", run = "services:poll" }', "shop.children[1].name"),
        ('{ name = 0, run = "services:poll" }', "shop.children[1].name"),
        ('{ name = "a/b", run = "services:poll" }', "shop.children[1].name"),
        ('{ name = "a", run = "services" }', "shop/a.run"),
        ('{ name = "a", run = "services:" }', "shop/a.run"),
        ('{ name = "a", run = ":poll" }', "shop/a.run"),
        ('{ name = "a", run = "services:nothing" }', "shop/a.run"),
        ('{ name = "a", run = "services:feeds.nothing" }', "shop/a.run"),
        ('{ name = "a", run = "services:number" }', "shop/a.run"),
        ('{ name = "a", run = "no_such_module:poll" }', "shop/a.run"),
        ('{ name = "a", run = "broken:poll" }', "shop/a.run"),
        ('{ name = "a", run = "leaving:poll" }', "shop/a.run"),
        ('{ name = "a", resource = "services:number" }', "shop/a.resource"),
        ('{ name = "a", resource = "no_such_module:client" }', "shop/a.resource"),
        ('{ name = "a", run = "services:poll", fallback = { children = [] } }', "shop/a/fallback"),
        ('{ name = "a", run = "services:poll", fallback = 3 }', "shop/a/fallback"),
        ('{ name = "a", run = "services:poll", intensity = 3 }', "shop/a.intensity"),
        ('{ name = "a", children = 3 }', "shop/a.children"),
        ('{ name = "a", children = [], intensity = { restarts = 3 } }', "shop/a.intensity"),
        ('{ name = "a", run = "services:poll", backoff = 3 }', "shop/a.backoff"),
        ('{ name = "a", run = "services:poll", backoff = false }', "shop/a.backoff"),
        ('{ name = "a", run = "services:poll", args = "x" }', "shop/a.args"),
    ],
)
def test_one_mistake_is_one_problem(write: Write, tmp_path: Path, child: str, path: str) -> None:
    (tmp_path / "broken.py").write_text("raise ValueError('at import')")
    (tmp_path / "leaving.py").write_text("raise SystemExit(3)")
    user = ', { run = "services:poll", needs = ["a"] }' if path.startswith("shop/a") else ""
    text = f'name = "shop"\nchildren = [{{ run = "services:poll", name = "b" }}, {child}{user}]'
    found = paths(write(text))
    assert [where.replace("/fallback", ".fallback") for where in found] == [
        path.replace("/fallback", ".fallback")
    ]


def test_the_root_needs_a_name(write: Write) -> None:
    assert paths(write("children = []")) == ["shop.name"]


@pytest.mark.parametrize("reference", ["fetch", "poll", "htpt", "group", 3])
def test_a_reference_to_what_gives_no_value(write: Write, reference: object) -> None:
    text = f"""
name = "shop"
[[children]]
resource = "services:client"
name = "http"
[[children]]
name = "group"
children = []
[[children]]
run = "services:fetch"
args = [{{ from = {json.dumps(reference)} }}]
[[children]]
run = "services:poll"
"""
    [path] = paths(write(text))
    assert path.startswith("shop/fetch.args")


def test_modules_beside_the_file_are_found_and_imported_once(write: Write, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import services; services.imports.append(1); 1 / 0")
    text = 'name = "shop"\nchildren = [{ run = "broken:a" }, { run = "broken:b" }]'
    assert paths(write(text)) == ["shop/a.run", "shop/b.run"]
    assert sys.modules["services"].imports == [1]


# --- variables inside strings ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${TOKEN}", "abc"),
        ("<${TOKEN}${TOKEN}>", "<abcabc>"),
        ("${NONE:-7}", "7"),
        ("${NONE:-}", ""),
        ("${TOKEN:-7}", "abc"),
        ("$${TOKEN}", "${TOKEN}"),
        ("$TOKEN $ {", "$TOKEN $ {"),
    ],
)
def test_variables_in_strings(write: Write, text: str, expected: str) -> None:
    file = write(one_child(f"args = [{json.dumps([text])}]\nkwargs = {{ x = {json.dumps(text)} }}"))
    child = child_of(file, {"TOKEN": "abc"})
    assert child.args == ([expected],)
    assert child.kwargs == {"x": expected}


def test_a_variable_that_is_not_set(write: Write) -> None:
    text = one_child('name = "a"\nargs = [1, "${NONE}"]\n[children.kwargs]\nx = "${NONE}"')
    assert paths(write(text)) == ["shop/a.args[1]", "shop/a.kwargs.x"]


def test_a_variable_may_name_a_module(write: Write) -> None:
    text = 'name = "shop"\nchildren = [{ run = "${MODULE}:poll" }]'
    assert child_of(write(text), {"MODULE": "services"}).name == "poll"


@pytest.mark.parametrize("text", ["${TOKEN", "${}", "${TO KEN}"])
def test_half_a_variable_is_a_problem(write: Write, text: str) -> None:
    assert paths(write(one_child(f"args = [{json.dumps(text)}]")), {"TOKEN": "abc"}) == [
        "shop/poll.args[0]"
    ]


# --- overrides -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("SUPERVISOR__PRICE_FEED__PRIORITY", "high", "priority", "high"),
        ("supervisor__price-feed__priority", '"high"', "priority", "high"),
        ("SUPERVISOR__price_feed__copies", "3", "copies", 3),
        ("SUPERVISOR__PRICE_FEED__START_TIMEOUT", "0.5", "start_timeout", 0.5),
        ("SUPERVISOR__PRICE_FEED__QUARANTINE", "false", "quarantine", None),
        ("SUPERVISOR__PRICE_FEED__BACKOFF__CAP", "5", "backoff", Backoff(base=2, cap=5)),
        ("SUPERVISOR__PRICE_FEED__BACKOFF", "{ cap = 5 }", "backoff", Backoff(cap=5)),
        ("SUPERVISOR__PRICE_FEED__STOP__GRACE", "5", "stop", Stop(grace=5)),
        ("SUPERVISOR__PRICE_FEED__ARGS", '["x", 1]', "args", ("x", 1)),
        (
            "SUPERVISOR__PRICE_FEED__KWARGS__URL",
            "http://[::1]/",
            "kwargs",
            {"Url": "http://[::1]/"},
        ),
        (
            "SUPERVISOR__PRICE_FEED__KWARGS__NEW",
            "x\ny = 1",
            "kwargs",
            {"Url": "", "new": "x\ny = 1"},
        ),
        ("SUPERVISOR__PRICE_FEED__KWARGS__NEW", "${X}", "kwargs", {"Url": "", "new": "${X}"}),
    ],
)
def test_an_override_sets_a_field(
    write: Write, variable: str, value: str, field: str, expected: object
) -> None:
    text = one_child('name = "price-feed"\nbackoff = { base = 2 }\nkwargs = { Url = "" }')
    tree = load(write(text), environ={variable: value, "SUPERVISOR_ENABLED": "1"})
    assert getattr(tree.children[0], field) == expected


def test_an_override_of_the_root_and_of_what_is_further_down(write: Write) -> None:
    environ = {"SUPERVISOR__SHOP__STRATEGY": "one_for_all", "SUPERVISOR__PRICES__COPIES": "2"}
    tree: Any = load(write(WHOLE), environ=environ)
    assert tree.strategy == "one_for_all"
    assert tree.children[2].children[0].copies == 2


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("SUPERVISOR__PRCES__COPIES", "prices"),
        ("SUPERVISOR__COPIES", ""),
        ("SUPERVISOR__PRICES", ""),
        ("SUPERVISOR__PRICES__", ""),
        ("SUPERVISOR__SHOP__CHILDREN", ""),
        ("SUPERVISOR__FETCH__BACKOFF__FIRST__X", ""),
    ],
)
def test_an_override_that_fits_nothing_is_a_problem(write: Write, variable: str, hint: str) -> None:
    [problem] = problems(write(WHOLE), {variable: "2"})
    assert variable in problem.path
    assert hint in problem.write


@pytest.mark.parametrize(
    ("variable", "path"),
    [
        ("SUPERVISOR__FETCH__COPIS", "shop/fetch.copis"),
        ("SUPERVISOR__FETCH__COPIES", "shop/fetch.copies"),
        ("SUPERVISOR__FETCH__BACKOFF__CAP", "shop/fetch.backoff.cap"),
        ("SUPERVISOR__FETCH__BACKOFF__CAPP", "shop/fetch.backoff.capp"),
    ],
)
def test_a_wrong_override_is_a_problem_that_names_the_variable(
    write: Write, variable: str, path: str
) -> None:
    [problem] = problems(write(WHOLE), {variable: "-2"})
    assert problem.path == path
    assert variable in str(problem)


def test_a_health_check_is_imported_like_any_function(write: Write) -> None:
    assert paths(write(one_child('health = "services:nope"'))) == ["shop/poll.health"]
    problem = read(write(one_child('health = "services:poll"')), environ={})[1][0]
    assert "monitor" in problem.what
