"""Budgets as they are declared, in Python and in files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from supervisor import (
    Adapt,
    Broker,
    Budget,
    Component,
    Limit,
    Supervisor,
    TreeInvalid,
    Weights,
    check,
    load,
)


async def idle() -> None: ...


def lines(budgets: Any, **options: Any) -> list[str]:
    return [str(problem) for problem in check(Supervisor("t", [Broker(budgets, **options)]))]


def test_the_burst_of_a_window_is_all_of_it_unless_it_is_given() -> None:
    assert Limit(30, per=60).burst == 30
    assert Limit(30, per=60, burst=10).burst == 10
    assert Limit(30, per=60).rate == 0.5


def test_a_smooth_limit_is_a_rate_and_a_burst() -> None:
    assert (Limit.smooth(0.5, burst=3).rate, Limit.smooth(0.5, burst=3).burst) == (0.5, 3)
    assert Limit.smooth(1, burst=1) != Limit(1, per=1, burst=1)


def test_declarations_of_brokers_can_be_compared_and_hashed() -> None:
    one, other = (Broker({"api": Limit(30, per=60)}) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(TypeError, match="cannot be changed"):
        one.budgets["api"] = Limit(1, per=1)  # type: ignore[index]


@pytest.mark.parametrize(
    "budget",
    [
        Limit(1, per=0.001),
        Limit(1_000_000, per=3600, burst=1),
        Limit.smooth(0.01, burst=1),
        Budget(adapt=Adapt()),
        Budget(Limit(10, per=1), adapt=Adapt(most=5), mode="shadow", max_wait=3, ramp=0),
        Budget(Limit(10, per=1), weights=Weights(low=0.5)),
    ],
)
def test_a_right_budget_is_accepted(budget: Limit | Budget) -> None:
    assert lines({"api": budget}) == []


@pytest.mark.parametrize(
    ("budget", "path"),
    [
        (Limit(-1, per=60), "api.n"),
        (Limit(0, per=60), "api.n"),
        (Limit(math.nan, per=60), "api.n"),
        (Limit(math.inf, per=60), "api.n"),
        (Limit(2.5, per=60), "api.n"),
        (Limit(1_000_001, per=60), "api.n"),
        (Limit("30", per=60), "api.n"),  # type: ignore[arg-type]
        (Limit(30, per=0), "api.per"),
        (Limit(30, per=-1), "api.per"),
        (Limit(30, per=math.inf), "api.per"),
        (Limit(30, per=math.nan), "api.per"),
        (Limit(30, per=60, burst=31), "api.burst"),
        (Limit(30, per=60, burst=-1), "api.burst"),
        (Limit(30, per=60, burst=0.5), "api.burst"),  # type: ignore[arg-type]
        (Limit.smooth(0, burst=1), "api.rate"),
        (Limit.smooth(math.inf, burst=1), "api.rate"),
        (Limit.smooth(1, burst=0), "api.burst"),
        (Budget(), "api"),
        (Budget(Limit(-1, per=60)), "api.limit.n"),
        (Budget(5), "api.limit"),  # type: ignore[arg-type]
        (Budget(adapt=Adapt(start=0)), "api.adapt.start"),
        (Budget(adapt=Adapt(least=2, most=1)), "api.adapt.most"),
        (Budget(Limit(1, per=1), weights=Weights(low=0)), "api.weights.low"),
        (Budget(Limit(1, per=1), weights=Weights(low=1e-320)), "api.weights.low"),
        (Budget(Limit(1, per=1), weights=Weights(high=1e300)), "api.weights.high"),
        (Budget(Limit(1, per=1), max_waiting=0), "api.max_waiting"),
        (Budget(Limit(1, per=1), max_wait=math.nan), "api.max_wait"),
        (Budget(Limit(1, per=1), ramp=-1), "api.ramp"),
        (Budget(Limit(1, per=1), mode="off"), "api.mode"),  # type: ignore[arg-type]
        (30, "api"),
        (None, "api"),
    ],
)
def test_a_wrong_budget_is_refused_with_its_place(budget: Any, path: str) -> None:
    (found,) = lines({"api": budget})
    assert found.startswith(f"t/broker.budgets.{path}: ")


@pytest.mark.parametrize("budgets", [{}, {"": Limit(1, per=1)}, {3: Limit(1, per=1)}, [], None])
def test_budgets_are_a_table_of_names(budgets: Any) -> None:
    (found,) = lines(budgets)
    assert found.startswith("t/broker.budgets: ")


@pytest.mark.parametrize(
    ("field", "value"),
    [("copies", 2), ("fallback", Component(idle)), ("health", print), ("unknown", "ignore")],
)
def test_what_a_broker_cannot_have_is_refused(field: str, value: Any) -> None:
    found = lines({"api": Limit(1, per=1)}, **{field: value})
    assert found[0].startswith(f"t/broker.{field}: ")


def test_restarts_names_a_budget_of_a_broker_here_or_above() -> None:
    broker = Broker({"restarts": Limit(1, per=1)})
    right = Supervisor("in", [], restarts="restarts")
    assert check(Supervisor("t", [broker, right], restarts="restarts")) == []


def test_restarts_that_no_broker_has_is_refused_with_the_names_that_there_are() -> None:
    broker = Broker({"restarts": Limit(1, per=1)})
    found = [
        str(each)
        for each in check(Supervisor("t", [broker, Supervisor("in", [], restarts="restart")]))
    ]
    assert found == [
        "t/in.restarts: names the budget 'restart', which no broker has; "
        "name another; did you mean 'restarts'?"
    ]


def test_restarts_of_a_budget_that_a_younger_broker_has_is_refused() -> None:
    broker = Broker({"restarts": Limit(1, per=1)})
    inner = Supervisor("in", [], restarts="restarts")
    assert len(check(Supervisor("t", [inner, broker]))) == 1


def test_a_broker_that_passes_the_unknown_takes_any_name_of_restarts() -> None:
    broker = Broker({"api": Limit(1, per=1)}, unknown="pass")
    assert check(Supervisor("t", [broker], restarts="restarts")) == []


FILE = """
name = "shop"
[[children]]
broker = { api = { n = 30, per = 60, burst = 10 }, feed = { rate = 2.5, burst = 5 }, hidden = { adapt = { start = 5 } } }
unknown = "pass"
[[children]]
broker = { api = { limit = { n = 3, per = 1 }, weights = { low = 2 }, mode = "shadow" } }
name = "second"
"""


def test_a_file_declares_the_same_broker(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(FILE, encoding="utf-8")
    first, second = load(path).children
    assert first == Broker(
        {
            "api": Limit(30, per=60, burst=10),
            "feed": Limit.smooth(2.5, burst=5),
            "hidden": Budget(adapt=Adapt(start=5)),
        },
        unknown="pass",
    )
    budget = Budget(Limit(3, per=1), weights=Weights(low=2), mode="shadow")
    assert second == Broker({"api": budget}, name="second")


@pytest.mark.parametrize(
    ("budgets", "problem"),
    [
        ("{ api = { n = 30 } }", "shop/broker.broker.api: lacks per; write n, per"),
        ("{ api = { rate = 3 } }", "shop/broker.broker.api: lacks burst; write rate, burst"),
        ("{ api = { n = 30, per = 60, pre = 1 } }", "shop/broker.broker.api.pre: is an unknown"),
        ("{ api = { n = 0, per = 60 } }", "shop/broker.broker.api.n: is 0; write a number"),
        ("{ api = { limits = 3 } }", "shop/broker.broker.api.limits: is an unknown field"),
        ("{ api = { adapt = { strat = 3 } } }", "shop/broker.broker.api.adapt.strat: is an unkn"),
        ("{ api = 30 }", "shop/broker.broker.api: is 30; write Limit(30, per=60)"),
        ("30", "shop/broker.broker: is 30; write a table of name = limit"),
        ("{}", "shop/broker.broker: is empty; write at least one name = limit"),
    ],
)
def test_a_wrong_budget_in_a_file_is_told_in_its_words(
    tmp_path: Path, budgets: str, problem: str
) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(f'name = "shop"\n[[children]]\nbroker = {budgets}\n', encoding="utf-8")
    with pytest.raises(TreeInvalid) as failed:
        load(path)
    assert any(str(each).startswith(problem) for each in failed.value.problems)


def test_a_variable_overrides_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(FILE, encoding="utf-8")
    tree = load(path, environ={"SUPERVISOR__broker__broker__api__n": "12"})
    broker = tree.children[0]
    assert isinstance(broker, Broker)
    assert broker.budgets["api"] == Limit(12, per=60, burst=10)
