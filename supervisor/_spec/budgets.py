"""What is wrong with a broker's budgets, and which budgets a supervisor can name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from supervisor._spec.calls import Budget, Limit
from supervisor._spec.policy import MOST
from supervisor._spec.scope import Scope
from supervisor._spec.tree import Broker, Supervisor
from supervisor._spec.values import Wrong, field_types, shown, similar, wrong_value

_A_LIMIT: Final = "write Limit(30, per=60) or a Budget (in a file, { n = 30, per = 60 })"


def wrong_budgets(spec: Broker) -> Iterator[tuple[str, Wrong]]:
    """The mistakes in a broker's budgets, each with its place within the broker."""
    budgets: Any = spec.budgets
    if not isinstance(budgets, Mapping):
        yield "budgets", (f"is {shown(budgets)}", "write a table of name = limit")
        return
    if not budgets:
        yield "budgets", ("is empty", "write at least one name = limit")
    for name, budget in budgets.items():
        if type(name) is not str or not name or not name.isprintable():
            yield "budgets", (f"has {shown(name)} as a name", "write a printable string")
        else:
            yield from wrong_budget(f"budgets.{name}", budget)


def wrong_budget(path: str, budget: object) -> Iterator[tuple[str, Wrong]]:
    """The mistakes in one budget."""
    if isinstance(budget, Limit):
        yield from _wrong_limit(path, budget)
    elif not isinstance(budget, Budget):
        yield path, (f"is {shown(budget)}", _A_LIMIT)
    else:
        wrong = list(_wrong_fields(path, budget))
        if budget.limit is None and budget.adapt is None and not wrong:
            wrong.append((path, ("has neither a limit nor adapt", "write one of them, or both")))
        yield from wrong


def _wrong_fields(path: str, budget: Budget) -> Iterator[tuple[str, Wrong]]:
    for field, kind in field_types(Budget).items():
        value = getattr(budget, field)
        if field == "limit" and isinstance(value, Limit):
            yield from _wrong_limit(f"{path}.limit", value)
        else:
            yield from wrong_value(f"{path}.{field}", value, kind)
    adapt = budget.adapt
    if adapt is not None and _are_numbers(adapt.least, adapt.most) and adapt.most < adapt.least:
        what = f"is {adapt.most:g}, less than the least, {adapt.least:g}"
        yield f"{path}.adapt.most", (what, "write more")


def _wrong_limit(path: str, limit: Limit) -> Iterator[tuple[str, Wrong]]:
    window = limit.kind == "window"
    kinds = field_types(Limit)
    burst: object = limit.burst
    wrong = [
        found
        for field, kind in kinds.items()
        if not (field == "burst" and window and burst is limit.n)  # the mistake is of n
        for found in wrong_value(f"{path}.{_as_written(field, limit)}", getattr(limit, field), kind)
    ]
    yield from wrong
    if wrong or not window:
        return
    if limit.n != int(limit.n) or limit.n > MOST:
        what = f"is {limit.n:g}, and what a window holds is counted"
        yield f"{path}.n", (what, f"write a whole number up to {MOST:,}, or Limit.smooth()")
    elif limit.burst > limit.n:
        what = f"is {limit.burst}, but a window holds {limit.n:g}"
        yield f"{path}.burst", (what, f"write at most {limit.n:g}")


def _as_written(field: str, limit: Limit) -> str:
    return "rate" if field == "n" and limit.kind == "smooth" else field


def _are_numbers(*values: object) -> bool:
    return all(isinstance(value, int | float) for value in values)


def wrong_restarts(spec: Supervisor, scopes: Sequence[Scope]) -> Wrong | None:
    """Why the budget that a supervisor's restarts are to take permits from cannot be found, if so."""
    brokers = [child for child in _children(spec) if isinstance(child, Broker)]
    for scope in scopes:
        brokers += [elder for elder in scope.elders.values() if isinstance(elder, Broker)]
    if not brokers:
        what = f"names the budget {spec.restarts!r}, but no broker is here or above"
        return what, "list a Broker that has it, or leave it out"
    names = [str(name) for broker in brokers for name in _names(broker)]
    if spec.restarts in names or any(broker.unknown == "pass" for broker in brokers):
        return None
    advice = similar(spec.restarts, names) or f"; there are {', '.join(dict.fromkeys(names))}"
    return f"names the budget {spec.restarts!r}, which no broker has", f"name another{advice}"


def _children(spec: Supervisor) -> Sequence[object]:
    children: Any = spec.children
    return children if isinstance(children, list | tuple) else ()


def _names(broker: Broker) -> Sequence[object]:
    budgets: Any = broker.budgets
    return list(budgets) if isinstance(budgets, Mapping) else []
