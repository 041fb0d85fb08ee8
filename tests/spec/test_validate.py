"""``check`` finds all that is wrong with a declaration, and nothing else."""

from __future__ import annotations

import copy
import functools
import math
import pickle
import time
from collections import UserList
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from unittest.mock import AsyncMock

import pytest
from anyio.abc import TaskStatus
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import fields

from supervisor import (
    Backoff,
    Component,
    Intensity,
    Quarantine,
    Resource,
    Stop,
    Supervisor,
    check,
)
from supervisor._spec.tree import Table
from supervisor._spec.validate import check_child

POLICIES = {"backoff": Backoff, "quarantine": Quarantine, "intensity": Intensity, "stop": Stop}


async def run() -> None: ...


async def with_one(value: object) -> None: ...


async def with_status(value: object, *, task_status: TaskStatus[int]) -> None: ...


@asynccontextmanager
async def opened() -> AsyncIterator[int]:
    yield 1


def leaf(name: str, **options: Any) -> Component:
    return Component(options.pop("run", run), name=name, **options)


def lines(*children: Any, **options: Any) -> list[str]:
    """All problems, as lines; a warning begins with ``?``."""
    found = check(Supervisor("t", children, **options))
    return [f"{'?' * (problem.level == 'warning')}{problem}" for problem in found]


def only(*children: Any, **options: Any) -> str:
    (line,) = lines(*children, **options)
    return line


# --- what is right ---------------------------------------------------------------------------------


def test_a_plain_tree_is_right() -> None:
    http = Resource(opened, name="http")
    tree = [
        http,
        leaf("a", run=with_one, args=(http,), needs={"http": "final"}, copies=3),
        Supervisor("s", [leaf("b", run=with_one, kwargs={"value": http}, after=["a-2"])]),
    ]
    assert lines(*tree) == []


@pytest.mark.parametrize(
    "options",
    [
        {"heartbeat": 5, "priority": "critical", "restart": "transient"},
        {"backoff": Backoff(first=0, base=0, cap=0, reset_after=math.inf)},
        {"stop": Stop(deadline=math.inf)},
        {"quarantine": None},
        {"quarantine": Quarantine(within=math.inf, probe=0)},
        {"heartbeat": type("Float64", (float,), {})(2.5)},  # as numpy's are
    ],
)
def test_these_values_are_right(options: dict[str, Any]) -> None:
    assert lines(leaf("a", **options)) == []


def test_check_starts_nothing() -> None:
    def never() -> Any:
        raise AssertionError("called")

    assert all(
        problem.level == "warning" for problem in check(Supervisor("t", [leaf("a", run=never)]))
    )
    assert lines(Resource(never, name="a")) == []


# --- the types of fields ---------------------------------------------------------------------------


class Rubbish:
    """Neither compares, nor prints, nor has a truth value, nor a hash: as arrays and bad stubs do."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")

    def __repr__(self) -> str:
        raise ValueError("not printable")


KINDS: dict[str, Any] = {
    "component": lambda **options: Component(**{"run": run, "name": "x", **options}),
    "resource": lambda **options: Resource(**{"factory": opened, "name": "x", **options}),
    "supervisor": lambda **options: Supervisor(**{"name": "x", "children": [], **options}),
}
FIELDS = [
    *[("component", field.name) for field in fields(Component)],
    *[("resource", field.name) for field in fields(Resource)],
    *[("supervisor", field.name) for field in fields(Supervisor)],
]
WRONG = [object(), Rubbish(), 3.5j, {"a": {1}}, [[], {}], b"x", {1, 2}, UserList([Rubbish()])]


@pytest.mark.parametrize(("kind", "field"), FIELDS)
@pytest.mark.parametrize("value", WRONG, ids=lambda value: type(value).__name__)
def test_no_field_takes_just_anything(kind: str, field: str, value: object) -> None:
    if field in ("args", "kwargs") and not isinstance(value, bytes | set | complex | Rubbish):
        pytest.skip("arguments may be anything")
    child = KINDS[kind](**{field: value})
    found = lines(child)
    where = "t.children[0]." if field == "name" else "t/x."
    assert found
    assert all(line.startswith(f"{where}{field}") for line in found)
    assert all(line.isprintable() and "; " in line for line in found)
    assert len(found) == 1 or isinstance(value, list | dict | UserList)


SOME = {
    "function": run, "factory": opened, "builtin": len, "class": int, "rubbish": Rubbish(),
    "policy": Backoff(), "child": leaf("a"), "supervisor": Supervisor("s"),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "field"), FIELDS)
@given(value=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3)
    | st.sampled_from([*SOME]).map(lambda name: SOME[name]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=5,
))  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_whatever_stands_in_a_field_check_answers_in_lines(
    kind: str, field: str, value: Any
) -> None:
    child = KINDS[kind](**{field: value})
    twin = leaf("a", run=with_one, args=(leaf("x"),), needs=["x"])
    for tree in (Supervisor("t", [leaf("a"), child, twin]), child):
        for problem in check(tree):
            assert str(problem).isprintable()
            assert problem.path
            assert problem.what
            assert problem.write
    options = {"name": value} if field == "name" else {}
    if kind != "supervisor":
        check(Supervisor("t", [leaf("p", fallback=child)]))
    assert isinstance(check(Supervisor(children=[child], **{"name": "t", **options})), list)
    assert isinstance(check_child(child, "t/x", {}), list)


@pytest.mark.parametrize("policy", [*POLICIES])
@pytest.mark.parametrize("value", [-1, math.nan, -math.inf, "1", None, True, Rubbish(), 10**400])
def test_every_field_of_a_policy_is_held_against_its_type(policy: str, value: object) -> None:
    kind: Any = POLICIES[policy]
    for field in kind.__struct_fields__:
        needed = {"restarts": 1, "within": 1.0} if kind is Intensity else {}
        found = lines(leaf("a"), **{policy: kind(**{**needed, field: value})})
        assert [line.partition(": ")[0] for line in found] == [f"t.{policy}.{field}"]


def test_a_long_value_is_shortened_and_a_broken_one_is_named() -> None:
    assert len(only(leaf("a", priority="x" * 10_000))) < 150
    assert "an object of type Rubbish" in only(leaf("a", priority=Rubbish()))
    assert "0x" not in only(leaf("a", priority=object()))


@pytest.mark.parametrize("given", [None, run, leaf("a"), "t", [], Rubbish()])
def test_the_top_is_a_supervisor(given: Any) -> None:
    (problem,) = check(given)
    assert str(problem).startswith("tree: is ")
    assert problem.write == "write a Supervisor at the top"


# --- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a/b", "a\nb", "\x1b[31m", "fallback", "/"])
def test_names_that_cannot_be(name: str) -> None:
    assert only(leaf(name)).startswith("t.children[0].name: ")
    assert check(Supervisor(name, []))[0].path == "tree.name"


def test_a_second_child_of_a_name_is_told_once() -> None:
    assert only(leaf("a"), leaf("a")) == (
        "t/a.name: is taken: an elder sibling is called 'a'; give each its own name"
    )
    assert only(leaf("a", copies=9), leaf("a", copies=9)).startswith("t/a.name: ")


def test_copies_take_names_too() -> None:
    assert "called 'a-2'" in only(leaf("a", copies=2), leaf("a-2"))
    assert "called 'a-2'" in only(leaf("a-2"), leaf("a", copies=3))


def test_names_are_unique_among_siblings_only() -> None:
    assert lines(leaf("a"), Supervisor("s", [leaf("a")])) == []


def test_a_value_is_shown_in_words_on_one_line() -> None:
    for value, says in (
        (math.nan, "is nan, which is not a number; write a number of seconds greater than 0"),
        (math.inf, "is inf, which is without end; write a number of seconds greater than 0"),
        (run, "is the function run; "),
        (Poller, "is the class Poller; "),
        ("a\n\x1b[31m", "is 'a\\n\\x1b[31m'; "),
        (10**9, "is 1000000000; "),
    ):
        field = "copies" if value == 10**9 else "heartbeat"
        assert only(leaf("a", **{field: value})).startswith(f"t/a.{field}: {says}")
    assert "a whole number from 1 to 1,000,000" in only(leaf("a", copies=10**9))


# --- who is needed ---------------------------------------------------------------------------------


def test_nobody_needs_itself() -> None:
    assert only(leaf("a", needs=["a"])) == "t/a.needs: 'a' is this child itself; leave it out"
    assert only(leaf("a", fallback=leaf("b", after=["a"]))) == (
        "t/a/fallback.after: 'a' is this child itself; leave it out"
    )


def test_cousins_and_ancestors_cannot_be_named() -> None:
    found = lines(Supervisor("s", [leaf("x")]), Supervisor("r", [leaf("y", needs=["x", "r", "t"])]))
    assert [line.partition(";")[0] for line in found] == [
        "t/r/y.needs: there is no 'x' to refer to",
        "t/r/y.needs: 'r' is the supervisor that it is in",
        "t/r/y.needs: 't' is the supervisor that it is in",
    ]


# --- arguments that stand for start values ---------------------------------------------------------


def using(other: object, **options: Any) -> Component:
    return leaf("u", run=with_one, args=(other,), **options)


def test_an_argument_is_found_here_and_further_up() -> None:
    a = leaf("a")
    assert lines(a, using(a)) == []
    assert lines(a, Supervisor("s", [Supervisor("r", [using(a)])])) == []
    assert lines(a, leaf("b", fallback=leaf("f", run=with_one, kwargs={"value": a}))) == []


def test_an_equal_declaration_will_do() -> None:
    assert lines(leaf("a"), using(leaf("a"))) == []


def test_a_nearer_child_of_the_same_name_hides_the_one_that_is_meant() -> None:
    # Its edge would be placed on the nearer one, its value come from the other.
    a = leaf("a")
    inner = Supervisor("s", [leaf("a", priority="low"), using(a)])
    assert only(a, inner).startswith("t/s/u.args[0]: is not the 'a' that is listed")


def test_which_of_the_copies_would_it_be() -> None:
    a = leaf("a", copies=2)
    assert only(a, using(a)) == (
        "t/u.args[0]: 'a' has copies, so which start value is meant?; list one"
    )


@pytest.mark.parametrize(
    "wrap", [lambda a: [a], lambda a: {"x": a}, lambda a: (1, a)], ids=["list", "table", "tuple"]
)
def test_inside_another_argument_it_would_not_be_replaced(wrap: Any) -> None:
    a = leaf("a")
    assert only(a, using(wrap(a))) == (
        "?t/u.args[0]: 'a' stands inside another argument, so no start value takes its place; "
        "pass a Component or a Resource by itself"
    )
    assert lines(using(wrap(a))) == []  # a declaration to be added later, say


def test_a_supervisor_has_no_start_value() -> None:
    s = Supervisor("s")
    assert only(s, using(s)).startswith("?t/u.args[0]: 's' is a supervisor")


# --- what is called --------------------------------------------------------------------------------


class Poller:
    async def __call__(self) -> None: ...
    async def method(self) -> None: ...
    def plain(self) -> None: ...
    @staticmethod
    async def static() -> None: ...
    @classmethod
    async def of_class(cls) -> None: ...


class Plain:
    def __call__(self) -> None: ...


class Waits:
    def __await__(self) -> Iterator[None]:
        yield


async def yields() -> AsyncIterator[int]:
    yield 1


def promises() -> Awaitable[None]:
    return run()


@functools.wraps(run, assigned=())
def wrapped() -> Any:
    return run()


@pytest.mark.parametrize(
    "fn",
    [
        run, Poller(), Poller().method, Poller.static, Poller().of_class, functools.partial(run),
        functools.partial(functools.partial(with_one, value=1)), lambda: with_one(1), promises, wrapped,
        Waits,
    ],
)  # fmt: skip
def test_these_can_be_run(fn: Any) -> None:
    assert lines(leaf("a", run=fn)) == []


def test_a_coroutine_has_been_called_already() -> None:
    coroutine = run()
    line = only(Component(coroutine))  # type: ignore[arg-type]
    coroutine.close()
    assert line == (
        "t/run.run: is a coroutine: the function has been called already; "
        "write run, and what it takes as args"
    )


def test_a_mock_does_not_hang_it() -> None:
    assert [line[0] for line in lines(leaf("a", run=AsyncMock()))] in ([], ["?"])
    assert Component(AsyncMock()).name == "AsyncMock"


class Manager:
    async def __aenter__(self) -> int:
        return 1

    async def __aexit__(self, *exc: object) -> None: ...


@contextmanager
def not_async() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("factory", [Manager(), opened()], ids=["instance", "made"])
def test_a_context_manager_that_exists_already_cannot_be_entered_again(factory: Any) -> None:
    line = only(Resource(factory, name="a"))
    assert line.startswith("t/a.factory: is a context manager that exists already")


@pytest.mark.parametrize(
    "factory",
    [
        opened,
        Manager,
        lambda: Manager() if math else None,
        functools.partial(opened),
        Poller().plain,
    ],
)
def test_these_can_be_entered(factory: Any) -> None:
    assert lines(Resource(factory, name="a")) == []


def test_the_supervisor_passes_task_status_itself() -> None:
    assert lines(leaf("a", run=with_status, args=(1,))) == []
    assert "'value'" in only(leaf("a", run=with_status))


def test_a_callable_without_signature_is_believed() -> None:
    assert lines(leaf("a", run=with_one, args=[1])) == []
    assert lines(leaf("a", run=max)) == []


# --- what does not go together ---------------------------------------------------------------------


def test_of_a_fallback_there_is_one_and_its_end_means_nothing() -> None:
    fallback = leaf("f", copies=2, significant=True, restart="transient", priority="x")
    assert [line.partition(": ")[0] for line in lines(leaf("a", fallback=fallback))] == [
        "t/a/fallback.priority", "t/a/fallback.copies", "t/a/fallback.significant",
    ]  # fmt: skip


def test_the_fallback_of_a_fallback_is_checked() -> None:
    third = leaf("x", run=7)
    second = leaf("x", needs=["no"], fallback=third)
    found = lines(leaf("a", fallback=leaf("x", heartbeat=0, fallback=second)))
    assert [line.partition(": ")[0] for line in found] == [
        "t/a/fallback.heartbeat", "t/a/fallback/fallback.needs",
        "t/a/fallback/fallback/fallback.run",
    ]  # fmt: skip


def test_a_fallback_needs_no_name() -> None:
    assert lines(leaf("a", fallback=Component(lambda: with_one(1)))) == []


def test_what_is_never_restarted_reaches_no_limit_and_that_is_fine() -> None:
    slow = Backoff(first=60, jitter="none")
    assert lines(leaf("a", backoff=slow, restart="temporary"), intensity=Intensity(2, 60)) == []


def test_a_wrong_policy_is_not_also_unreachable() -> None:
    assert only(leaf("a", backoff=Backoff(first=-1))).startswith("t/a.backoff.first: ")
    assert only(leaf("a"), intensity=Intensity(-1, 5)).startswith("t.intensity.restarts: ")


def test_all_mistakes_of_the_whole_tree_are_found_at_once() -> None:
    deep = Supervisor("d", [leaf("x", heartbeat=-1, fallback=leaf("f", restart="no"))], boot="no")
    found = lines(leaf("a", needs=["no"]), Supervisor("s", [deep], copies="2"), strategy="no")
    assert [line.partition(": ")[0] for line in found] == [
        "t.strategy", "t/a.needs", "t/s.copies", "t/s/d.boot", "t/s/d/x.heartbeat",
        "t/s/d/x/fallback.restart",
    ]  # fmt: skip


# --- a child that is added -------------------------------------------------------------------------


def test_a_child_that_is_added_sees_the_scopes_that_it_is_given() -> None:
    here, above = {"a": leaf("a")}, {"b": leaf("b")}
    spec = leaf("x", run=with_one, args=(leaf("b"),), needs=["a", "c"])
    found = check_child(spec, "t/x", here, scopes=[above])
    assert [str(problem) for problem in found] == [
        "t/x.needs: there is no 'c' to refer to; name an elder sibling of it, or of what it is in"
    ]


def test_an_added_child_is_a_declaration() -> None:
    assert check_child(run, "t/x", {})[0].what == "is the function run"  # type: ignore[arg-type]


# --- frozen values ---------------------------------------------------------------------------------


def test_lists_become_tuples_and_tables_cannot_be_changed() -> None:
    given: dict[str, Any] = {"value": 1}
    spec = leaf("b", run=with_one, args=[1], kwargs=given, needs=["a"], after=["a"])
    given["value"] = 2
    assert (spec.args, spec.kwargs, spec.needs, spec.after) == ((1,), {"value": 1}, ("a",), ("a",))
    assert Supervisor("t", [spec]).children == (spec,)
    kwargs: Any = spec.kwargs
    for change in (
        lambda: kwargs.update(x=1), kwargs.clear, kwargs.popitem, lambda: kwargs.pop("value"),
        lambda: kwargs.setdefault("y", 1), lambda: kwargs.__setitem__("y", 1),
        lambda: kwargs.__delitem__("value"), lambda: kwargs.__ior__({"y": 1}),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="cannot be changed"):
            change()
    assert spec.kwargs == {"value": 1}


@pytest.mark.parametrize("spec", [leaf("a"), Resource(opened), Supervisor("s", [leaf("a")])])
def test_no_field_can_be_set(spec: Any) -> None:
    for field in spec.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(spec, field, None)


def test_equal_declarations_are_equal_hash_alike_and_can_be_copied() -> None:
    def tree() -> Supervisor:
        a = leaf("a", kwargs={"x": 1}, needs={"z": "each"})
        return Supervisor("t", [a, Resource(opened, args=(a, "x"))], intensity=Intensity(1, 2))

    assert tree() == tree()
    assert hash(tree()) == hash(tree())
    assert len({tree(), tree(), Supervisor("t")}) == 2
    assert pickle.loads(pickle.dumps(Table(a=1))) == {"a": 1}
    assert copy.deepcopy(tree()) == tree()
    assert pickle.loads(pickle.dumps(Component(time.sleep))) == Component(time.sleep)


def test_a_declaration_prints_what_it_says() -> None:
    text = repr(leaf("a", args=[1], kwargs={"x": 2}))
    assert text.startswith("Component(run=<function run at")
    assert "name='a'" in text
    assert "args=(1,), kwargs={'x': 2}" in text
    assert repr(Intensity(3, 5)) == "Intensity(restarts=3, within=5)"


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (run, "run"), (functools.partial(with_one, 1), "with_one"), (Poller(), "Poller"),
        (Poller().method, "method"), (lambda: with_one(1), ""),
    ],
)  # fmt: skip
def test_the_name_is_that_of_the_callable(fn: Any, name: str) -> None:
    assert Component(fn).name == name


# --- what has nothing to stand on -------------------------------------------------------------------


def test_a_health_check_without_a_monitor_is_refused_at_any_depth() -> None:
    inner = Supervisor("s", [leaf("b", health=len)], health=len)
    assert [line.partition(":")[0] for line in lines(leaf("a", health=len), inner, health=len)] == [
        "t.health",
        "t/a.health",
        "t/s.health",
        "t/s/b.health",
    ]


def test_a_restart_budget_without_a_broker_is_refused_by_its_name() -> None:
    found = lines(Supervisor("s", [], restarts="inner"), restarts="outer")
    assert found == [
        "t.restarts: names the budget 'outer', but no broker is here or above; "
        "list a Broker that has it, or leave it out",
        "t/s.restarts: names the budget 'inner', but no broker is here or above; "
        "list a Broker that has it, or leave it out",
    ]
