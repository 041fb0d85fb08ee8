"""Random trees and random faults.

Every choice is a number below another, and where that comes from is said by the caller: Hypothesis
chooses in the test, a seeded generator in ``python -m tests.model``. In both the smaller number is
the simpler choice.

No two durations of a tree are alike, nor sums of them: of two things that become due at the same
moment the order would be the scheduler's, and the model would have to know it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from tests.model.plan import Aside, Delay, Plan

Choice = tuple[int, int, int]

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
RESTARTS = ("permanent", "permanent", "transient", "temporary")
STEPS = (
    *("nothing", "crash", "wait", "crash", "due", "return", "report", "crash", "due", "wait"),
    *("stop", "start", "restart", "release", "delete", "fail next", "decline next", "wait next"),
    *("add", "start_soon", "start", "crash", "due", "healthy"),
)
SECONDS = (0.0503, 0.3011, 1.0107, 2.5029, 5.0213, 11.0331, 31.0717, 71.0919)
"""How long a step waits."""


class Draw:
    """A source of choices; ``pick(n)`` gives a number from 0 to n - 1."""

    def __init__(self, pick: Callable[[int], int]) -> None:
        self.pick = pick
        self.units: Iterator[int] = count()

    def one(self, *choices: Any) -> Any:
        return choices[self.pick(len(choices))]

    def some(self, share: int) -> bool:
        """True once in so many times."""
        return self.pick(share) == share - 1


def tree(source: Draw) -> Plan:
    """A tree of one to four children, one of which may be a supervisor."""
    return supervisor(source, "root", depth=0)


def steps(source: Draw, number: int) -> list[Choice]:
    """So many steps, as numbers; what they stand for depends on what the tree then is."""
    pick = source.pick
    return [(pick(len(STEPS)), pick(12), pick(len(SECONDS))) for _ in range(number)]


def supervisor(source: Draw, name: str, depth: int) -> Plan:
    strategy = source.one(*STRATEGIES)
    children: list[Plan] = []
    for at in range(source.one(1, 2, 3, 4) if depth == 0 else source.one(1, 2)):
        children.append(child(source, "abcd"[at], children, depth))
    significant = any(one.significant for one in children)
    return Plan(
        name,
        children=tuple(children),
        strategy=strategy,
        intensity=source.one(None, None, (2, 9.07), (0, 5.03), (4, 60.11)),
        auto_shutdown=source.one("any_significant", "all_significant") if significant else "never",
        strict=source.some(6),
        max_children=source.one(None, None, None, len(children) + 1),
    )


def child(source: Draw, name: str, elders: list[Plan], depth: int) -> Plan:
    if depth < 1 and source.some(6):
        inner = supervisor(source, name, depth + 1)
        return common(source, inner, elders)
    made = common(source, leaf(source, name, depth), elders)
    if made.aside is None or not source.some(2):
        return made
    stand_in = _replace(leaf(source, f"{name}2", depth), delay=delay(source), aside=aside(source))
    return _replace(made, fallback=_replace(stand_in, critical=False))


def common(source: Draw, plan: Plan, elders: list[Plan]) -> Plan:
    """What supervisors and components have alike: edges, restart type, backoff, quarantine."""
    names = [elder.name for elder in elders]
    needs = tuple((elder.name, binding(source, elder)) for elder in elders if source.some(3))
    after = tuple(name for name in names if source.some(6))
    restart = source.one(*RESTARTS)
    return _replace(
        plan,
        needs=needs,
        after=after,
        restart=restart,
        delay=delay(source),
        aside=aside(source),
        significant=restart != "permanent" and source.some(5),
    )


def binding(source: Draw, elder: Plan) -> Any:
    """Of a supervisor that ends of itself "each" sees two things in one instant, that it ends and
    that it has ended; which of them its group sees first is the scheduler's."""
    return "final" if elder.children is not None else source.one("final", "each")


def leaf(source: Draw, name: str, depth: int) -> Plan:
    unit = 1 + next(source.units) * 0.0137
    reports = source.some(2)
    takes = source.one(0.0, 0.0, 1.31) * unit
    return Plan(
        name,
        critical=source.some(10),
        reports=reports,
        start_timeout=source.one(None, 3.17 * unit) if reports else None,
        stop_takes=takes,
        stop_raises=source.some(6),
        deadline=source.one(5.0, 5.0, 0.83 * unit) if depth == 0 else 5.0,
    )


def delay(source: Draw) -> Delay:
    unit = 1 + next(source.units) * 0.0137
    return Delay(
        first=source.one(0.0, 0.53) * unit,
        base=source.one(1.09, 0.0) * unit,
        factor=2.0,
        cap=7.03 * unit,
        reset_after=source.one(60.07, 3.43) * unit,
        jitter=source.one("none", "none", "none", "full"),
    )


def aside(source: Draw) -> Aside | None:
    unit = 1 + next(source.units) * 0.0137
    if source.some(2):
        return None
    return Aside(
        crashes=source.one(3, 2, 1),
        within=source.one(60.17, 9.19) * unit,
        open=source.one(10.23, 3.37) * unit,
        factor=2.0,
        cap=25.39 * unit,
        probe=source.one(4.57, 0.0) * unit,
    )


def _replace(plan: Plan, **changes: Any) -> Plan:
    return Plan(**{**vars(plan), **changes})
