"""Names and arguments become edges between siblings, as the one rule says."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from supervisor import Component, Resource, Spec, Supervisor, check
from supervisor._spec import scope, values
from supervisor._spec.edges import Edge, edges_for, edges_of, expand, orders_of, outer_needs


async def run(*args: object, **kwargs: object) -> None: ...


def leaf(name: str, **options: Any) -> Component:
    return Component(run, name=name, **options)


def edges(children: Sequence[Spec]) -> dict[str, tuple[tuple[str, str], ...]]:
    return {
        name: tuple((edge.target, edge.binding) for edge in found)
        for name, found in edges_of(expand(children)).items()
    }


def test_a_name_binds_to_the_final_loss() -> None:
    assert edges([leaf("a"), leaf("b", needs=["a"])]) == {"b": (("a", "final"),)}


def test_a_table_says_how_it_binds() -> None:
    children = [leaf("a"), leaf("b"), leaf("c", needs={"a": "each", "b": "final"})]
    assert edges(children) == {"c": (("a", "each"), ("b", "final"))}


@pytest.mark.parametrize("how", ["args", "kwargs"])
def test_an_argument_is_an_edge_that_binds_at_each_loss(how: str) -> None:
    a = leaf("a")
    given = {"args": (a, 1)} if how == "args" else {"kwargs": {"x": a, "y": 1}}
    assert edges([a, leaf("b", **given)]) == {"b": (("a", "each"),)}


def test_needs_may_weaken_what_an_argument_binds() -> None:
    a = leaf("a")
    assert edges([a, leaf("b", args=(a,), needs=["a"])]) == {"b": (("a", "final"),)}


def test_a_name_stands_for_all_copies_and_each_copy_has_the_needs() -> None:
    children = [leaf("a", copies=3), leaf("b", copies=2, needs=["a"])]
    to_all = (("a", "final"), ("a-2", "final"), ("a-3", "final"))
    assert edges(children) == {"b": to_all, "b-2": to_all}


def test_one_copy_can_be_needed_alone() -> None:
    assert edges([leaf("a", copies=3), leaf("b", needs=["a-2"])]) == {"b": (("a-2", "final"),)}


def test_the_edge_to_an_elder_of_an_ancestor_is_placed_on_the_ancestor() -> None:
    http = leaf("http")
    inner = Supervisor("inner", [leaf("x", args=(http,))])
    outer = Supervisor("outer", [leaf("y"), inner])
    assert edges([http, outer]) == {"outer": (("http", "each"),)}
    assert edges(outer.children) == edges(inner.children) == {}


def test_the_nearest_of_a_name_is_meant() -> None:
    inner = Supervisor("inner", [leaf("db"), leaf("x", needs=["db"])])
    assert edges([leaf("db"), inner]) == {}
    assert edges(inner.children) == {"x": (("db", "final"),)}


def test_a_younger_sibling_of_that_name_does_not_stand_in_the_way() -> None:
    inner = Supervisor("inner", [leaf("x", needs=["db"]), leaf("db")])
    assert edges([leaf("db"), inner]) == {"inner": (("db", "final"),)}
    assert edges(inner.children) == {}


def test_of_several_needs_below_the_stricter_binding_remains() -> None:
    inner = Supervisor(
        "inner", [leaf("x", needs={"db": "each"}), leaf("y", needs={"db": "final"})], needs=["db"]
    )
    assert edges([leaf("db"), inner]) == {"inner": (("db", "each"),)}


def test_a_fallback_has_needs_of_its_own() -> None:
    second = leaf("second", needs=["b"])
    first = leaf("first", needs={"a": "each"}, fallback=second)
    children = [leaf("a"), leaf("b"), leaf("main", needs=["b"], fallback=first)]
    assert edges(children) == {
        "main": (("b", "final"),),
        "main/fallback": (("a", "each"),),
        "main/fallback/fallback": (("b", "final"),),
    }


def test_what_a_fallback_below_needs_is_placed_on_the_ancestor() -> None:
    a = leaf("a")
    inner = Supervisor("inner", [leaf("x", fallback=leaf("y", args=(a,)))])
    assert edges([a, inner]) == {"inner": (("a", "each"),)}


def test_after_orders_without_binding() -> None:
    inner = Supervisor("inner", [leaf("x", after=["a"]), leaf("y", after=["x", "b"])])
    named = expand([leaf("a", copies=2), leaf("b"), inner, leaf("z", after=["inner"])])
    assert edges_of(named) == {}
    assert orders_of(named) == {"inner": ("a", "a-2", "b"), "z": ("inner",)}


def test_copies_are_no_elders_of_each_other() -> None:
    db = leaf("db")
    inner = Supervisor("inner", [leaf("db", copies=2, args=(db,), after=["db"])])
    assert edges(inner.children) == {}
    assert orders_of(expand(inner.children)) == {}
    assert edges([db, inner]) == {"inner": (("db", "each"),)}


def test_a_child_that_is_added_finds_the_running_copies() -> None:
    listed = dict(expand([leaf("a", copies=3), leaf("b")]))
    del listed["a-2"]
    found, orders = edges_for("c", leaf("c", needs={"a": "each"}, after=["a-3", "b", "no"]), listed)
    assert found == {"c": (Edge("a", "each"), Edge("a-3", "each"))}
    assert orders == {"c": ("a-3", "b")}


def test_what_an_added_child_needs_further_up() -> None:
    spec = leaf("c", needs=["a", "up"], fallback=leaf("d", needs={"higher": "each"}))
    assert outer_needs(spec, {"a": leaf("a")}) == {"up": "final", "higher": "each"}


# --- against a resolver written from the rule -------------------------------------------------------

NAMES = [f"n{number}" for number in range(9)]


class Naive:
    """Walks every child with the scopes around it, and places each of its edges where it is found."""

    def __init__(self, tree: Supervisor) -> None:
        self.edges: dict[str, dict[str, dict[str, str]]] = {}
        self.walk(tree, "", [])

    def walk(self, spec: Supervisor, path: str, around: list[tuple[str, str, list[Any]]]) -> None:
        elders: list[tuple[str, Spec]] = []
        for child in spec.children:
            copies = [child.name, *(f"{child.name}-{n}" for n in range(2, child.copies + 1))]
            for copy in copies:
                self.place(child, [(path, copy, elders), *around])
                if isinstance(child, Supervisor) and copy == child.name:
                    self.walk(child, f"{path}/{copy}", [(path, copy, elders), *around])
            if isinstance(child, Supervisor):
                for copy in copies[1:]:
                    self.walk(child, f"{path}/{copy}", [(path, copy, elders), *around])
            elders.extend((copy, child) for copy in copies)

    def place(self, spec: Spec, around: list[tuple[str, str, list[Any]]]) -> None:
        key = ""
        one: Spec | None = spec
        while one is not None:
            for needed, binding in self.needs(one):
                for level, (path, copy, elders) in enumerate(around):
                    found = [name for name, other in elders if needed in (name, other.name)]
                    if found:
                        owner = copy + key if level == 0 else copy
                        at = self.edges.setdefault(path, {}).setdefault(owner, {})
                        for name in found:
                            if at.get(name) != "each":
                                at[name] = binding
                        break
            one, key = one.fallback, f"{key}/fallback"

    @staticmethod
    def needs(spec: Spec) -> Iterator[tuple[str, str]]:
        given = spec.needs
        named = dict(given) if isinstance(given, dict) else dict.fromkeys(given, "final")
        if isinstance(spec, Component | Resource):
            for value in (*spec.args, *spec.kwargs.values()):
                if isinstance(value, Component | Resource) and value.name not in named:
                    yield value.name, "each"
        yield from named.items()


def all_edges(spec: Supervisor, path: str = "") -> dict[str, dict[str, dict[str, str]]]:
    found: dict[str, dict[str, dict[str, str]]] = {}
    here = edges_of(expand(spec.children))
    if here:
        found[path] = {
            key: {edge.target: edge.binding for edge in each} for key, each in here.items()
        }
    for name, child in expand(spec.children):
        if isinstance(child, Supervisor):
            found |= all_edges(child, f"{path}/{name}")
    return found


@st.composite
def options(draw: st.DrawFn, known: list[Spec], *, called: bool) -> dict[str, Any]:
    names = sorted({spec.name for spec in known})
    some = st.lists(st.sampled_from(names), max_size=2, unique=True) if names else st.just([])
    needs: Any = draw(some)
    if draw(st.booleans()):
        needs = {name: draw(st.sampled_from(["final", "each"])) for name in needs}
    given = {"needs": needs, "after": draw(some)}
    nearest: dict[str, Spec] = {}
    for spec in known:
        nearest.setdefault(spec.name, spec)
    values = [spec for spec in nearest.values() if isinstance(spec, Component) and spec.copies == 1]
    if called and values:
        given["args"] = tuple(draw(st.lists(st.sampled_from(values) | st.integers(), max_size=2)))
        if draw(st.booleans()):
            given["kwargs"] = {"x": draw(st.sampled_from(values))}
    return given


@st.composite
def supervisors(draw: st.DrawFn, name: str, known: list[Spec], depth: int) -> Supervisor:
    """A random valid one: it names only what stands before it, here or further up."""
    names = draw(st.lists(st.sampled_from(NAMES), max_size=5, unique=True))
    elders: list[Spec] = []
    for each in names:
        around = [*elders, *known]
        spec: Spec
        if depth and draw(st.booleans()):
            spec = draw(supervisors(each, around, depth - 1))
            spec = replace(spec, **draw(options(around, called=False)))
        else:
            given = draw(options(around, called=True))
            if draw(st.integers(0, 3)) == 0:
                given["fallback"] = leaf("other", **draw(options(around, called=True)))
            spec = leaf(each, copies=draw(st.sampled_from([1, 1, 1, 2, 3])), **given)
        elders.append(spec)
    return Supervisor(name, elders)


@given(tree=supervisors("root", [], 3))
@settings(max_examples=80, deadline=None)
def test_a_valid_tree_has_no_errors_and_the_edges_that_the_rule_says(tree: Supervisor) -> None:
    assert check(tree) == []
    assert all_edges(tree) == Naive(tree).edges


def test_each_edge_leads_from_an_elder_to_a_younger_child() -> None:
    tree = Supervisor("t", [leaf("a"), Supervisor("s", [leaf("b", needs=["a"])]), leaf("c")])
    position = {name: index for index, (name, _) in enumerate(expand(tree.children))}
    for name, found in edges_of(expand(tree.children)).items():
        assert all(position[edge.target] < position[name] for edge in found)


# --- work ------------------------------------------------------------------------------------------


def calls(fn: Any, *args: object) -> int:
    """So many functions, built-in ones included, are called by it."""
    count = 0

    def profile(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        fn(*args)
    finally:
        sys.setprofile(None)
    return count


def chained(size: int) -> Supervisor:
    rest = [leaf(f"c{number}", needs=[f"c{number // 2}"]) for number in range(1, size)]
    return Supervisor("t", [leaf("c0"), *rest])


@pytest.mark.parametrize("work", [check, lambda tree: edges_of(expand(tree.children))])
def test_work_grows_with_the_tree_and_not_faster(work: Any) -> None:
    small, large = chained(500), chained(5_000)
    work(small)  # what is computed once
    assert calls(work, large) < 10.5 * calls(work, small)


def test_a_hundred_thousand_children_take_as_much_each_as_a_thousand() -> None:
    thousand = Supervisor("t", [leaf(f"c{number}") for number in range(1_000)])
    check(thousand)
    assert calls(check, thousand) < 1_000 * 60
    assert check(Supervisor("t", [leaf(f"c{number}") for number in range(100_000)])) == []


def test_many_mistakes_are_found_in_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scope, "similar", lambda name, known: "")  # its own part is bounded

    def wrong(size: int) -> Supervisor:
        return Supervisor("t", [leaf(f"child-{n}", needs=[f"chilt-{n}"]) for n in range(size)])

    small, large = calls(check, wrong(500)), calls(check, wrong(5_000))
    assert large < 10.5 * small


def test_not_all_of_a_large_tree_is_looked_through_for_a_similar_name() -> None:
    assert values.similar("name", (f"nam{number}" for number in count()))
