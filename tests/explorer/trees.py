"""The small trees that are walked, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from math import prod
from typing import Any, get_args

from anyio.abc import TaskStatus
from msgspec import Struct
from msgspec.structs import replace

from supervisor._spec.calls import Limit
from supervisor._spec.policy import Backoff, Intensity, Quarantine, Stop
from supervisor._spec.tree import Broker, Component, Supervisor
from supervisor._words import RestartType, Strategy
from tests.explorer.world import Tree

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
RESTARTS: tuple[RestartType, ...] = get_args(RestartType)
ASIDE = Quarantine(crashes=2, within=10, open=5, factor=1, cap=5, probe=3)


async def silent() -> None:
    """Ready when it runs."""


async def reporting(*, task_status: TaskStatus[None]) -> None:
    """Ready when it says so."""


def component(name: str, **fields: Any) -> Component:
    """A child whose delays do not depend on how many there were."""
    run = reporting if fields.pop("reports", False) else silent
    given = {
        "backoff": Backoff(first=1, base=1, factor=1, cap=1, jitter="none"),
        "quarantine": None,
        "stop": Stop(deadline=2),
    }
    return Component(run, name=name, **{**given, **fields})


def tree(*children: Any, strategy: Strategy = "one_for_one", **fields: Any) -> Tree:
    options = {name: fields.pop(name) for name in Tree.__struct_fields__[1:] if name in fields}
    return Tree(Supervisor("t", children, strategy=strategy, **fields), **options)


EVERY = ("stop", "start", "restart", "release", "delete")
EDGES = ("", "final", "each")


class Family(Struct, frozen=True):
    """Trees that are walked with the same inputs, to ``less`` than the depth that is asked for."""

    name: str
    what: str
    trees: dict[str, Tree]
    less: int = 0

    def configurations(self, names: Iterable[str]) -> int:
        """For how many trees with nothing left open these stand."""
        return sum(prod(map(len, self.trees[name].open.values())) for name in names)


def shapes(names: str, readiness: Iterable[str], **fields: Any) -> Iterator[tuple[str, Tree]]:
    """Every strategy and every set of needs; restart types and quarantine are left open."""
    pairs = [(of, to) for i, of in enumerate(names) for to in names[:i]]
    for strategy, reports in product(STRATEGIES, readiness):
        for edges in product(EDGES, repeat=len(pairs)):
            needs = {pair: edge for pair, edge in zip(pairs, edges, strict=True) if edge}
            yield shape(names, strategy, needs, reports, **fields)


def shape(
    names: str, strategy: Strategy, needs: dict[Any, Any], reports: str, **fields: Any
) -> tuple[str, Tree]:
    """One such tree, and its name: ``abc rest_for_one b-each-a ready:-``. With ``ways`` the last
    child is not declared, but may be added in these."""
    children = [
        component(
            name,
            quarantine=ASIDE,
            reports=name in reports,
            needs={to: edge for (of, to), edge in needs.items() if of == name},
        )
        for name in names
    ]
    left_open: dict[str, tuple[Any, ...]] = {f"{name} restart": RESTARTS for name in names}
    left_open["quarantine"] = (None, ASIDE)
    added = children.pop() if "ways" in fields else None
    shown = names if added is None else f"{names[:-1]}+{names[-1]}"
    links = " ".join(f"{of}-{edge}-{to}" for (of, to), edge in needs.items()) or "free"
    return (
        f"{shown} {strategy} {links} ready:{reports or '-'}",
        tree(*children, strategy=strategy, added=added, open=left_open, **fields),
    )


def families() -> dict[str, Family]:
    """Everything that is walked."""
    plain: dict[str, Any] = {"commands": ("stop", "start", "delete")}
    full: dict[str, Any] = {"commands": EVERY, "extras": ("shut down", "hurry"), "foreign": True}
    nested = {**full, "extras": (*full["extras"], "start no more")}
    ways = ("soon", "start", "listed")
    found = [
        Family(
            "one",
            "1 child, every input, KeyboardInterrupt among them",
            dict(shapes("a", ("", "a"), interrupt=True, **nested)),
            less=-2,
        ),
        Family(
            "two",
            "2 children, every input",
            dict(shapes("ab", ("", "a", "b", "ab"), interrupt=True, **nested)),
        ),
        Family(
            "one and one",
            "1 child and one that is added in any way, every input",
            dict(shapes("ab", ("", "a", "b", "ab"), ways=ways, **nested)),
        ),
        Family(
            "corners",
            "fallbacks, heartbeats, start deadlines, grace, intensity, strict boots, significant "
            "and critical children, nested supervisors, after, needs that come later",
            dict(specials()),
            less=1,
        ),
        Family(
            "permits",
            "children whose restarts take permits, which come, come late, or do not come",
            dict(metered()),
        ),
        Family(
            "three, every input",
            "3 children, none or all of which report readiness, every input",
            dict(shapes("abc", ("", "abc"), **full)),
            less=1,
        ),
        Family(
            "two and one",
            "2 children and one that is added in any way",
            dict(shapes("abc", ("", "abc"), ways=ways, **plain)),
            less=1,
        ),
        Family(
            "three, some report",
            "3 children, one or two of which report readiness",
            dict(shapes("abc", ("a", "b", "c", "ab", "ac", "bc"), **plain)),
            less=1,
        ),
        Family(
            "three",
            "3 children, none or all of which report readiness",
            dict(shapes("abc", ("", "abc"), **plain)),
        ),
    ]
    return {family.name: family for family in found}


def metered() -> Iterator[tuple[str, Tree]]:
    """Trees whose restarts take permits: with needs, fallbacks, and brokers that go down, too."""
    full: dict[str, Any] = {"commands": EVERY, "extras": ("shut down", "start no more")}
    now = Backoff(first=0, base=1, factor=1, cap=1, jitter="none")
    for strategy in STRATEGIES:
        on = {"strategy": strategy, "restarts": "x", **full}
        for edge in EDGES:
            a = component("a", quarantine=ASIDE, backoff=now)
            b = component("b", needs={"a": edge} if edge else (), reports=True)
            yield f"{strategy} {edge or 'free'}", tree(a, b, **on)
        spare = component("spare", quarantine=ASIDE)
        a = component("a", quarantine=ASIDE, fallback=spare)
        yield f"{strategy} fallback", tree(a, component("b", needs=("a",)), **on)
        late = component("a", reports=True, start_timeout=2, backoff=now, stop=Stop(deadline=1))
        yield f"{strategy} declared failed", tree(late, component("b"), **on)
        brief = component("d", restart="transient", quarantine=ASIDE)
        ways = ("soon", "start")
        yield f"{strategy} added", tree(component("a"), added=brief, ways=ways, **on)
        broker = Broker({"x": Limit(1, per=1)}, name="x", backoff=now, quarantine=None)
        h = component("h")
        needy = replace(broker, needs=("h",))
        yield f"{strategy} broker", tree(h, component("a"), needy, component("b"), **on)


def specials() -> Iterator[tuple[str, Tree]]:
    """Trees for the corners: fallbacks, trials, dynamic children, deadlines, ends."""
    for strategy in STRATEGIES:
        yield from ((f"{name} {strategy}", made) for name, made in _specials(strategy))


def _specials(strategy: Strategy) -> Iterator[tuple[str, Tree]]:
    now = Backoff(first=0, base=1, factor=1, cap=1, jitter="none")
    on = {"strategy": strategy}
    spare = component("spare", stop=Stop(deadline=1), quarantine=ASIDE)
    slow = component("slow", reports=True, fallback=component("last"), quarantine=ASIDE)
    for edge, stand_in in product(("final", "each"), (spare, slow)):
        a = component("a", quarantine=ASIDE, fallback=stand_in, backoff=now)
        b = component("b", needs={"a": edge})
        yield f"fallback {stand_in.name} {edge}", tree(a, b, commands=EVERY, **on)
    x = component("x", reports=True)
    a = component("a", quarantine=ASIDE, fallback=component("spare", needs=("x",)), backoff=now)
    yield "fallback needs", tree(x, a, component("b", needs={"a": "final"}), commands=EVERY, **on)
    yield (
        "delete",
        tree(component("a"), component("b", needs=("a",)), component("c"), commands=EVERY, **on),
    )
    yield (
        "dynamic",
        tree(
            component("a", reports=True, quarantine=ASIDE),
            component("b"),
            added=component("d", restart="transient", needs={"a": "each"}, backoff=now),
            commands=("stop", "start", "restart"),
            extras=("shut down", "hurry"),
            **on,
        ),
    )
    for way, reports in product(("start", "listed"), (True, False)):
        new = component("d", needs=("a",), reports=reports)
        name = f"trial {way}{' reports' if reports else ''}"
        yield name, tree(component("a"), added=new, ways=(way,), **on)
    slow = component("a", reports=True, start_timeout=2, stop=Stop(grace=1, deadline=1))
    beat = component("b", heartbeat=3, needs={"a": "each"}, stop=Stop(grace=1, deadline=1))
    yield "deadlines", tree(slow, beat, component("c"), extras=("shut down", "hurry"), **on)
    late = component("t", restart="temporary", reports=True, start_timeout=2, heartbeat=2)
    yield (
        "temporary",
        tree(component("a"), late, component("c"), commands=("restart", "stop"), **on),
    )
    urgent = component("b", priority="critical", quarantine=ASIDE, heartbeat=4)
    yield "critical", tree(component("a"), urgent, stop_within=9, **on)
    least = Intensity(1, 5)
    yield "intensity", tree(component("a"), component("b", backoff=now), intensity=least, **on)
    strict = (component("a", reports=True), component("b", reports=True, needs=("a",)))
    yield "strict", tree(*strict, boot="strict", **on)
    ending = [component(n, restart="transient", significant=True) for n in "ab"]
    for mode in ("any_significant", "all_significant"):
        yield mode, tree(*ending, component("c"), auto_shutdown=mode, **on)
    brief = component("b", restart="temporary", significant=True)
    yield "bystander", tree(component("a"), brief, auto_shutdown="all_significant", **on)
    inner = Supervisor("s", [component("leaf")], backoff=now, stop=Stop(deadline=3))
    yield "supervisor", tree(component("a"), inner, component("b", needs=("s",)), **on)
    both = [component(n, quarantine=ASIDE, backoff=now) for n in "abc"]
    yield "half", tree(*both, commands=("release", "stop", "start"), **on)
    extras = ("bind each c a", "bind final c b", "shut down")
    bound = [component("a", reports=True), component("b"), component("c", needs={"a": "final"})]
    yield "bind", tree(*bound, extras=extras, **on)
    after = [x, component("a", needs=("x",)), component("b", after=("a",))]
    yield "after", tree(*after, **on)
