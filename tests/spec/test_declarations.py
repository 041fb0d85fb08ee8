"""What is wrong with a declaration: found at once, each with its path and what to write."""

from __future__ import annotations

import functools
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from typing import Any

import pytest
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus
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
    check,
)
from supervisor._spec.edges import Edge, edges_for, edges_of, expand, orders_of, outer_needs
from supervisor._spec.validate import DEEPEST, check_child


async def poll() -> None: ...


async def fetch(http: object, *symbols: str, seconds: float = 1) -> None: ...


async def ready(*, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None: ...


@asynccontextmanager
async def client() -> AsyncIterator[str]:
    yield "client"


http = Resource(client, name="http")


def tree(*children: Any, **options: Any) -> Supervisor:
    return Supervisor("shop", children, **options)


def child(name: str = "poll", **fields: Any) -> Component:
    return Component(poll, name=name, **fields)


def paths(spec: Any, level: str = "error") -> list[str]:
    return [problem.path for problem in check(spec) if problem.level == level]


def only(spec: Any) -> Problem:
    [problem] = check(spec)
    return problem


# --- fields --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", "urgent"),
        ("restart", None),
        ("significant", 1),
        ("copies", 0),
        ("copies", True),
        ("copies", 2.0),
        ("copies", Decimal(2)),
        ("start_timeout", 0),
        ("start_timeout", math.inf),
        ("start_timeout", "10"),
        ("heartbeat", -1),
        ("heartbeat", math.nan),
        ("heartbeat", Decimal(1)),
        ("backoff", 3),
        ("backoff", None),
        ("backoff", Quarantine()),
        ("quarantine", False),
        ("stop", 5),
        ("needs", "http"),
        ("needs", None),
        ("needs", 3),
        ("after", "http"),
        ("after", None),
        ("args", "BTC"),
        ("args", None),
        ("kwargs", ["BTC"]),
        ("kwargs", None),
        ("fallback", poll),
        ("health", 3),
    ],
)
def test_a_value_that_its_field_does_not_take(field: str, value: object) -> None:
    found = only(tree(child(**{field: value})))
    assert found.path == f"shop/poll.{field}"
    assert found.level == "error"
    assert found.write


@pytest.mark.parametrize(
    ("policy", "path"),
    [
        ({"backoff": Backoff(cap="x")}, "backoff.cap"),  # type: ignore[arg-type]
        ({"backoff": Backoff(cap=-1)}, "backoff.cap"),
        ({"backoff": Backoff(cap=math.nan)}, "backoff.cap"),
        ({"backoff": Backoff(cap=math.inf)}, "backoff.cap"),
        ({"backoff": Backoff(factor=0.5)}, "backoff.factor"),
        ({"backoff": Backoff(jitter="some")}, "backoff.jitter"),  # type: ignore[arg-type]
        ({"quarantine": Quarantine(crashes=0)}, "quarantine.crashes"),
        ({"quarantine": Quarantine(within=0)}, "quarantine.within"),
        ({"quarantine": Quarantine(open=math.inf)}, "quarantine.open"),
        ({"stop": Stop(grace=-1)}, "stop.grace"),
        ({"stop": Stop(deadline=0)}, "stop.deadline"),
        ({"stop": Stop(deadline=-1)}, "stop.deadline"),
        ({"stop": Stop(deadline=math.nan)}, "stop.deadline"),
    ],
)
def test_a_field_of_a_policy(policy: dict[str, Any], path: str) -> None:
    assert paths(tree(child(**policy))) == [f"shop/poll.{path}"]


@pytest.mark.parametrize(
    "fields",
    [
        {"stop": Stop(deadline=math.inf)},
        {"stop": Stop(grace=0, deadline=0.001)},
        {"backoff": Backoff(reset_after=math.inf)},
        {"quarantine": Quarantine(within=math.inf)},
        {"quarantine": None},
        {"backoff": Backoff(first=0, base=0)},
        {"start_timeout": None},
        {"args": []},
    ],
)
def test_a_value_that_its_field_takes(fields: dict[str, Any]) -> None:
    assert check(tree(child(**fields))) == []


def test_a_word_that_is_nearly_right_is_recognised() -> None:
    found = only(tree(child(restart="permanant")))
    assert "did you mean 'permanent'" in found.write


def test_a_supervisor_has_fields_too() -> None:
    spec = tree(child(), strategy="one_for_many", boot=1, intensity=Intensity(-1, 5))
    assert sorted(paths(spec)) == ["shop.boot", "shop.intensity.restarts", "shop.strategy"]


def test_every_problem_is_one_line() -> None:
    spec = tree(child(priority="a\nb"), child(name="x\ny"), child("z", backoff="\n" * 500))
    assert len(check(spec)) == 3
    assert all("\n" not in str(problem) and len(str(problem)) < 300 for problem in check(spec))


def test_all_problems_of_the_whole_tree_are_found_at_once() -> None:
    inner = Supervisor("inner", [child(copies=0), child("b", needs=["nobody"])], boot="slow")  # type: ignore[arg-type]
    spec = tree(child("a", restart="never"), inner, max_children=1)
    assert sorted(paths(spec)) == [
        "shop.max_children",
        "shop/a.restart",
        "shop/inner.boot",
        "shop/inner/b.needs",
        "shop/inner/poll.copies",
    ]


@pytest.mark.parametrize("given", [None, 3, poll, child(), [child()]])
def test_what_is_no_supervisor_cannot_be_the_tree(given: Any) -> None:
    assert only(given).level == "error"


@pytest.mark.parametrize(
    "fields",
    [
        {"copies": 2},
        {"fallback": child()},
        {"significant": True, "restart": "transient"},
        {"needs": ["other"]},
        {"after": ["other"]},
    ],
)
def test_the_root_has_no_siblings(fields: dict[str, Any]) -> None:
    assert paths(tree(child(), **fields)) == [f"shop.{next(iter(fields))}"]


# --- names and children ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a/b", "a\nb", 3, ["a"], "fallback", b"a"])
def test_a_name_that_cannot_be_part_of_a_path(name: Any) -> None:
    assert paths(tree(child("first"), child(name))) == ["shop.children[1].name"]


def test_a_lambda_has_no_name() -> None:
    assert paths(tree(Component(lambda: poll()))) == ["shop.children[0].name"]  # noqa: PLW0108


def test_a_supervisor_without_a_name() -> None:
    assert paths(tree(Supervisor("", [child()]))) == ["shop.children[0].name"]


def test_what_is_no_child() -> None:
    assert paths(tree(child(), poll, None)) == ["shop.children[1]", "shop.children[2]"]


@pytest.mark.parametrize("children", [None, 3, "abc", poll])
def test_children_that_are_no_list(children: Any) -> None:
    assert paths(Supervisor("shop", children)) == ["shop.children"]


def test_siblings_have_different_names() -> None:
    assert paths(tree(child("a"), child("b"), child("a"))) == ["shop/a.name"]


def test_a_copy_is_called_like_a_sibling() -> None:
    assert paths(tree(child("a-2"), child("a", copies=2))) == ["shop/a.name"]
    assert paths(tree(child("a", copies=2), child("a-2"))) == ["shop/a-2.name"]


def test_cousins_may_have_the_same_name() -> None:
    assert check(tree(Supervisor("a", [child()]), Supervisor("b", [child()]))) == []


def test_all_declared_children_fit_into_max_children() -> None:
    assert check(tree(child("a", copies=2), child("b"), max_children=3)) == []
    assert paths(tree(child("a", copies=2), child("b"), max_children=2)) == ["shop.max_children"]


# --- callables -------------------------------------------------------------------------------------


class Poller:
    async def __call__(self, *args: object) -> None: ...

    async def method(self) -> None: ...

    def plain(self) -> None: ...


class Session:
    async def __aenter__(self) -> str:
        return "session"

    async def __aexit__(self, *exc: object) -> None: ...


def wrapped(fn: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(fn)
    def call(*args: object, **kwargs: object) -> Awaitable[None]:
        return fn(*args, **kwargs)

    return call


def sync() -> None: ...


def unsaid():  # noqa: ANN201 - whether it says so is the point
    return poll()


def said() -> Awaitable[None]:
    return poll()


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


@contextmanager
def sync_client() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    "run",
    [
        poll,
        Poller(),
        Poller().method,
        functools.partial(fetch, "http"),
        functools.partial(functools.partial(Poller()), 1),
        pytest.param(wrapped(poll), id="wrapped"),
        said,
        lambda: poll(),  # noqa: PLW0108
    ],
)
def test_what_can_be_run(run: Any) -> None:
    assert check(tree(Component(run, name="a"))) == []


@pytest.mark.parametrize("run", [None, 3, "poll", Poller, async_generator, generator])
def test_what_cannot_be_run(run: Any) -> None:
    assert paths(tree(Component(run, name="a"))) == ["shop/a.run"]


@pytest.mark.parametrize("run", [unsaid])
def test_what_can_hardly_be_run(run: Any) -> None:
    found = check(tree(Component(run, name="a")))
    assert [(problem.path, problem.level) for problem in found] == [("shop/a.run", "warning")]


@pytest.mark.parametrize("run", [sync, Poller().plain])
def test_a_plain_function_is_told_of(run: Any) -> None:
    assert [problem.path for problem in check(tree(Component(run, name="a")))] == ["shop/a.run"]


@pytest.mark.parametrize("factory", [client, Session, functools.partial(client), lambda: Session()])  # noqa: PLW0108
def test_what_can_be_entered(factory: Any) -> None:
    assert check(tree(Resource(factory, name="a"))) == []


@pytest.mark.parametrize("factory", [None, 3, poll, async_generator])
def test_what_cannot_be_entered(factory: Any) -> None:
    assert paths(tree(Resource(factory, name="a"))) == ["shop/a.factory"]


@pytest.mark.parametrize(
    "spec",
    [
        Component(fetch, name="a"),
        Component(poll, name="a", args=(1,)),
        Component(fetch, name="a", args=(1,), kwargs={"second": 2}),
        Component(fetch, name="a", args=(1,), kwargs={"http": 2}),
        Component(ready, name="a", kwargs={"task_status": None}),
        Component(functools.partial(poll), name="a", args=(1,)),
        Resource(client, name="a", args=(1,)),
    ],
)
def test_arguments_that_do_not_fit(spec: Any) -> None:
    found = only(tree(spec))
    assert found.path == "shop/a.args"
    assert " at 0x" not in str(found)


@pytest.mark.parametrize(
    "spec",
    [
        Component(fetch, name="a", args=(1, "x", "y"), kwargs={"seconds": 2}),
        Component(ready, name="a"),
        Component(print, name="a", args=(1, 2)),
        Component(Poller(), name="a", args=(1, 2, 3)),
    ],
)
def test_arguments_that_fit(spec: Any) -> None:
    assert check(tree(spec)) == []


def test_a_mistake_is_told_for_each_child_that_makes_it() -> None:
    spec = tree(*(Component(poll, args=(1,), name=name) for name in "abc"))
    assert paths(spec) == ["shop/a.args", "shop/b.args", "shop/c.args"]


# --- needs, after and arguments that are children --------------------------------------------------


def test_elders_may_be_needed_here_and_further_up() -> None:
    inner = Supervisor("inner", [child("c"), child("d", needs=["a", "c"], after=["b"])])
    assert check(tree(child("a"), child("b", needs={"a": "each"}), inner)) == []


def test_copies_may_be_needed_together_and_each() -> None:
    assert check(tree(child("a", copies=3), child("b", needs=["a"], after=["a-3"]))) == []
    assert paths(tree(child("a", copies=3), child("b", needs=["a-4"]))) == ["shop/b.needs"]


@pytest.mark.parametrize("field", ["needs", "after"])
@pytest.mark.parametrize("name", ["b", "c", "nobody", "shop"])
def test_only_elders_may_be_named(field: str, name: str) -> None:
    spec = tree(child("a"), child("b", **{field: [name]}), child("c"))
    assert paths(spec) == [f"shop/b.{field}"]


def test_a_younger_sibling_of_an_ancestor_is_no_elder() -> None:
    assert paths(tree(Supervisor("inner", [child("a", needs=["b"])]), child("b"))) == [
        "shop/inner/a.needs"
    ]


def test_a_misspelt_name_is_recognised() -> None:
    assert "did you mean 'prices'" in only(tree(child("prices"), child(needs=["price"]))).write


@pytest.mark.parametrize("needs", [{"a": "always"}, {"a": None}])
def test_a_binding_is_final_or_each(needs: Any) -> None:
    [path] = paths(tree(child("a"), child("b", needs=needs)))
    assert path.startswith("shop/b.needs")


@pytest.mark.parametrize("needs", [[3], [["a"]], [None], {3: "each"}])
def test_needs_are_names(needs: Any) -> None:
    [path] = paths(tree(child("a"), child("b", needs=needs)))
    assert path.startswith("shop/b.needs")


def test_a_child_among_the_arguments_is_an_elder() -> None:
    spec = tree(
        http,
        Component(fetch, args=(http, "BTC"), name="a"),
        Supervisor("inner", [Component(fetch, kwargs={"http": http}, name="b")]),
    )
    assert check(spec) == []


def test_an_equal_child_is_the_same() -> None:
    assert check(tree(http, Component(fetch, args=(Resource(client, name="http"),)))) == []


def test_an_argument_that_is_not_listed() -> None:
    [path] = paths(tree(Component(fetch, args=(http,))))
    assert path.startswith("shop/fetch.args")


def test_an_argument_that_is_listed_later() -> None:
    [path] = paths(tree(Component(fetch, args=(http,)), http))
    assert path.startswith("shop/fetch.args")


def test_an_argument_that_is_another_child_of_that_name() -> None:
    other = Resource(client, name="http", priority="low")
    [path] = paths(tree(http, Component(fetch, args=(other,))))
    assert path.startswith("shop/fetch.args")


def test_the_nearest_child_of_that_name_is_meant() -> None:
    inner = Supervisor("inner", [child("http"), Component(fetch, args=(http,))])
    [path] = paths(tree(http, inner))
    assert path.startswith("shop/inner/fetch.args")


def test_an_argument_with_copies_is_ambiguous() -> None:
    many = Resource(client, name="http", copies=2)
    [path] = paths(tree(many, Component(fetch, args=(many,))))
    assert path.startswith("shop/fetch.args")


class Array:
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")


def test_arguments_need_not_be_comparable() -> None:
    one, two = (Component(fetch, args=(Array(),), name="a") for _ in range(2))
    assert check(tree(one, Component(fetch, args=(one,), name="b"))) == []
    [path] = paths(tree(one, Component(fetch, args=(two,), name="b")))
    assert path.startswith("shop/b.args")


# --- what is right by itself and wrong together ----------------------------------------------------


def test_a_significant_child_ends_and_its_supervisor_with_it() -> None:
    good = child(significant=True, restart="transient")
    assert check(tree(good, auto_shutdown="any_significant")) == []
    assert paths(tree(good)) == ["shop/poll.significant"]
    lasting = child(significant=True)
    assert paths(tree(lasting, auto_shutdown="any_significant")) == ["shop/poll.significant"]


def test_a_critical_child_may_have_a_quarantine() -> None:
    assert check(tree(child(priority="critical", quarantine=Quarantine(crashes=3)))) == []


def test_needs_that_end_are_warned_of() -> None:
    for restart in ("transient", "temporary"):
        spec = tree(child("a", restart=restart), child("b", needs=["a"]))
        assert paths(spec, "warning") == ["shop/b.needs"]
        assert check(tree(child("a", restart=restart), child("b", after=["a"]))) == []
        job = Resource(client, name="job", restart=restart)
        [path] = paths(tree(job, Component(fetch, args=(job,))), "warning")
        assert path.startswith("shop/fetch.args")


def test_a_permanent_supervisor_that_ends_by_itself_is_warned_of() -> None:
    inner = Supervisor("inner", [], auto_shutdown="any_significant")
    assert paths(tree(inner), "warning") == ["shop/inner.auto_shutdown"]
    assert paths(tree(auto_shutdown="any_significant"), "warning") == []


@pytest.mark.parametrize(
    ("fields", "reachable"),
    [
        ({}, True),
        ({"backoff": Backoff(first=20, jitter="none")}, True),
        ({"backoff": Backoff(first=60, jitter="none")}, True),  # the second to the sixth crash
        ({"backoff": Backoff(first=60, base=60, cap=60, jitter="none")}, False),
        ({"backoff": Backoff(first=15, base=15, factor=1, jitter="none")}, False),
        ({"backoff": Backoff(first=14, base=14, factor=1, jitter="none")}, True),
        ({"backoff": Backoff(first=14, base=28, factor=1, jitter="full")}, True),
        ({"backoff": Backoff(base=100, cap=100, jitter="none", reset_after=1)}, True),
        ({"backoff": Backoff(base=100, cap=100, jitter="none")}, False),
        ({"backoff": Backoff(first=60), "quarantine": None}, True),
        ({"backoff": Backoff(first=60), "restart": "temporary"}, True),
        ({"backoff": Backoff(first=60), "quarantine": Quarantine(within=math.inf)}, True),
        ({"backoff": Backoff(first=60), "quarantine": Quarantine(crashes=1)}, True),
    ],
)
def test_a_quarantine_that_the_backoff_keeps_out_of_reach(
    fields: dict[str, Any], reachable: bool
) -> None:
    expected = [] if reachable else ["shop/poll.quarantine"]
    assert paths(tree(child(**fields)), "warning") == expected
    assert paths(tree(child(**fields))) == []


def test_an_intensity_that_all_backoffs_keep_out_of_reach() -> None:
    slow = Backoff(first=5, base=5, factor=1, jitter="none")
    for restarts, reachable in ((1, True), (2, False), (0, True)):
        spec = tree(child(backoff=slow), intensity=Intensity(restarts, within=10))
        assert paths(spec, "warning") == ([] if reachable else ["shop.intensity"])
    quick = child("quick", backoff=Backoff(first=0, base=0))
    spec = tree(child(backoff=slow), quick, intensity=Intensity(9, within=10))
    assert paths(spec, "warning") == []
    assert paths(tree(intensity=Intensity(9, within=0.1)), "warning") == []


# --- fallbacks -------------------------------------------------------------------------------------


def with_fallback(fallback: Any, **fields: Any) -> Supervisor:
    return tree(http, Component(fetch, args=(http,), name="a", fallback=fallback, **fields))


def test_a_fallback_has_the_place_of_its_primary() -> None:
    good = Component(lambda http: fetch(http), args=(http,), needs=["http"], fallback=child())  # noqa: PLW0108
    assert check(with_fallback(good)) == []


@pytest.mark.parametrize("fallback", [poll, 3, "log", Supervisor("b", [])])
def test_a_fallback_is_a_component_or_resource(fallback: Any) -> None:
    assert paths(with_fallback(fallback)) == ["shop/a.fallback"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"copies": 2}, "copies"),
        ({"significant": True}, "significant"),
        ({"needs": ["a"]}, "needs"),
        ({"needs": ["nobody"]}, "needs"),
        ({"backoff": Backoff(cap=-1)}, "backoff.cap"),
        ({"args": (1,)}, "args"),
        ({"fallback": child(priority=3)}, "priority"),
    ],
)
def test_a_fallback_is_checked_too(fields: dict[str, Any], path: str) -> None:
    inner = "/fallback" if "fallback" in fields else ""
    assert paths(with_fallback(child(**fields))) == [f"shop/a/fallback{inner}.{path}"]


def test_a_fallback_cannot_be_given_its_own_primary() -> None:
    primary = Component(poll, name="a")
    [path] = paths(tree(Component(poll, name="a", fallback=Component(fetch, args=(primary,)))))
    assert path.startswith("shop/a/fallback.args")


# --- children that are added later -----------------------------------------------------------------


def test_a_child_is_checked_against_running_siblings() -> None:
    elders, outer = {"http": http}, {"store": child("store")}
    good = Component(fetch, args=(http,), needs=["store"], name="a")
    assert check_child(good, "shop/a", elders, scopes=[outer]) == []
    bad = Component(fetch, args=(http,), needs=["stores"], copies=-1, name="a")
    found = check_child(bad, "shop/a", elders, scopes=[outer])
    assert sorted(problem.path for problem in found) == ["shop/a.copies", "shop/a.needs"]


def test_a_supervisor_is_checked_whole_before_it_is_added() -> None:
    spec = Supervisor("inner", [child("a", needs=["http"]), child("b", needs=["c"])])
    found = check_child(spec, "shop/inner", {"http": http})
    assert [problem.path for problem in found] == ["shop/inner/b.needs"]


# --- any tree --------------------------------------------------------------------------------------


@st.composite
def trees(draw: st.DrawFn, depth: int = 2, elders: tuple[str, ...] = ()) -> tuple[Any, ...]:
    children: list[Any] = []
    for name in draw(st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=5)):
        here = (*elders, *(each.name for each in children))
        fields: dict[str, Any] = {"name": name, "priority": draw(st.sampled_from(("low", "high")))}
        if here:
            fields["needs"] = draw(
                st.lists(st.sampled_from(here), max_size=2)
                | st.dictionaries(st.sampled_from(here), st.sampled_from(("final", "each")))
            )
            fields["after"] = draw(st.lists(st.sampled_from(here), max_size=2))
        if depth and draw(st.booleans()):
            inner = draw(trees(depth - 1, here))
            children.append(Supervisor(children=inner, **fields))
        else:
            copies = draw(st.integers(1, 3))
            children.append(Component(poll, copies=copies, fallback=child(), **fields))
    return tuple(children)


@given(trees())
def test_a_right_tree_has_no_problems_and_its_edges_lead_to_elders(children: Any) -> None:
    assert check(Supervisor("shop", children)) == []
    todo = [children]
    while todo:
        siblings = expand(todo.pop())
        order = [name for name, _ in siblings]
        for edges in (edges_of(siblings), orders_of(siblings)):
            for key, found in edges.items():
                for edge in found:
                    target = edge.target if isinstance(edge, Edge) else edge
                    assert order.index(target) < order.index(key.split("/")[0])
        todo += [spec.children for _, spec in siblings if isinstance(spec, Supervisor)]


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from([poll, sync, http, Supervisor("x", []), Backoff(), Stop, object(), Array()]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.dictionaries(st.integers(), inner, max_size=1)
    ),
    max_leaves=4,
)


@given(st.data())
def test_whatever_is_declared_check_answers(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from((Component, Resource, Supervisor)))
    names = data.draw(st.sets(st.sampled_from(kind.__struct_fields__), min_size=1, max_size=4))
    fields = {"run": poll, "factory": client, "name": "a", "children": ()}
    fields = {name: value for name, value in fields.items() if name in kind.__struct_fields__}
    fields |= {name: data.draw(anything, name) for name in sorted(names)}
    found = check(tree(http, kind(**fields), child("z")))
    assert all(isinstance(problem, Problem) and "\n" not in str(problem) for problem in found)


# --- edges -----------------------------------------------------------------------------------------


def test_the_edge_of_a_descendant_is_placed_on_its_ancestor() -> None:
    inner = Supervisor("inner", [child("a"), child("b", needs=["http", "a"], after=["old"])])
    siblings = expand([http, child("old"), inner])
    assert edges_of(siblings) == {"inner": (Edge("http", "final"),)}
    assert orders_of(siblings) == {"inner": ("old",)}
    assert edges_of(expand(inner.children)) == {"b": (Edge("a", "final"),)}


def test_an_argument_binds_at_each_crash_unless_needs_say_otherwise() -> None:
    spec = Component(fetch, args=(http,), name="a")
    loose = Component(fetch, args=(http,), needs=["http"], name="b")
    assert edges_of(expand([http, spec, loose])) == {
        "a": (Edge("http", "each"),),
        "b": (Edge("http", "final"),),
    }


def test_of_two_bindings_below_one_ancestor_the_stricter_counts() -> None:
    strict, loose = child("a", needs={"http": "each"}), child("b", needs=["http"])
    for children in ([strict, loose], [loose, strict]):
        inner = Supervisor("inner", children)
        assert edges_of(expand([http, inner])) == {"inner": (Edge("http", "each"),)}
        assert outer_needs(inner, {}) == {"http": "each"}


def test_the_edges_of_a_fallback_are_its_own() -> None:
    spec = child("a", fallback=child("b", needs=["http"], fallback=child("c", after=["http"])))
    assert edges_of(expand([http, spec])) == {"a/fallback": (Edge("http", "final"),)}
    assert orders_of(expand([http, spec])) == {"a/fallback/fallback": ("http",)}


def test_a_name_stands_for_all_copies() -> None:
    three, user = child("a", copies=3), child("b", needs=["a"], after=["a-2"])
    names = ("a", "a-2", "a-3")
    edges = tuple(Edge(name, "final") for name in names)
    assert edges_of(expand([three, user])) == {"b": edges}
    assert orders_of(expand([three, user])) == {"b": ("a-2",)}
    assert edges_for("b", user, dict.fromkeys(names, three)) == ({"b": edges}, {"b": ("a-2",)})
    assert edges_for("b", user, {"a": three})[0] == {"b": (Edge("a", "final"),)}


def test_what_is_not_found_here_is_looked_for_further_up() -> None:
    user = child("b", needs={"here": "each", "there": "each"}, fallback=child(needs=["far"]))
    assert edges_for("b", user, {"here": child("here")}) == ({"b": (Edge("here", "each"),)}, {})
    assert outer_needs(user, {"here": child("here")}) == {"there": "each", "far": "final"}


@pytest.mark.parametrize(("depth", "problems"), [(DEEPEST, 0), (DEEPEST + 1, 1), (5000, 1)])
def test_a_tree_can_be_deep_but_not_endlessly_so(depth: int, problems: int) -> None:
    tree = Supervisor("s0")
    for level in range(1, depth):
        tree = Supervisor(f"s{level}", [tree])
    assert len(check(tree)) == problems
