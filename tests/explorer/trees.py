"""The small trees that are walked, by name."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, get_args

from anyio.abc import TaskStatus

from supervisor._spec.policy import Backoff, Intensity, Quarantine, Stop
from supervisor._spec.tree import Component, Supervisor
from supervisor._words import RestartType, Strategy
from tests.explorer.world import Tree

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
RESTARTS: tuple[RestartType, ...] = get_args(RestartType)
ASIDE = Quarantine(crashes=2, within=10, open=5, factor=1, cap=5, probe=3)
NEEDS = ("", "final", "each")


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
    options = {
        name: fields.pop(name)
        for name in ("commands", "added", "dynamic", "trial", "stop_within", "extras")
        if name in fields
    }
    return Tree(Supervisor("t", children, strategy=strategy, **fields), **options)


def pairs() -> Iterator[tuple[str, Tree]]:
    """Two children: every strategy, restart types, edge, readiness, with quarantine and without."""
    for strategy, first, second, edge, reports, aside in product(
        STRATEGIES, RESTARTS, RESTARTS, NEEDS, ("", "a", "b", "ab"), (None, ASIDE)
    ):
        a = component("a", restart=first, reports="a" in reports, quarantine=aside)
        needs = {"a": edge} if edge else ()
        b = component("b", restart=second, reports="b" in reports, quarantine=aside, needs=needs)
        name = f"pair {strategy} {first} {second} {edge or 'free'} ready:{reports or '-'}"
        yield name + (" quarantine" if aside else ""), tree(a, b, strategy=strategy)


def triples() -> Iterator[tuple[str, Tree]]:
    """Three children with two edges of any kind among them."""
    for strategy, first, second, aside, reports in product(
        STRATEGIES, NEEDS, ("", "final", "each", "after"), (None, ASIDE), ("", "a", "b", "abc")
    ):
        a = component("a", quarantine=aside, reports="a" in reports)
        b = component("b", needs={"a": first} if first else (), reports="b" in reports)
        edge: dict[str, Any] = {}
        if second == "after":
            edge = {"after": ("b",)}
        elif second:
            edge = {"needs": {"b": second}}
        c = component("c", restart="transient", reports="c" in reports, **edge)
        name = f"triple {strategy} {first or 'free'} {second or 'free'} ready:{reports or '-'}"
        yield name + (" quarantine" if aside else ""), tree(a, b, c, strategy=strategy)


def specials() -> Iterator[tuple[str, Tree]]:
    """Trees for the corners: fallbacks, trials, dynamic children, deadlines, ends."""
    for strategy in STRATEGIES:
        yield from ((f"{name} {strategy}", made) for name, made in _specials(strategy))


def _specials(strategy: Strategy) -> Iterator[tuple[str, Tree]]:
    now = Backoff(first=0, base=1, factor=1, cap=1, jitter="none")
    on = {"strategy": strategy}
    every = ("stop", "start", "restart", "release", "delete")
    spare = component("spare", stop=Stop(deadline=1), quarantine=ASIDE)
    slow = component("slow", reports=True, fallback=component("last"), quarantine=ASIDE)
    for edge, stand_in in product(("final", "each"), (spare, slow)):
        a = component("a", quarantine=ASIDE, fallback=stand_in, backoff=now)
        b = component("b", needs={"a": edge})
        yield f"fallback {stand_in.name} {edge}", tree(a, b, commands=every, **on)
    x = component("x", reports=True)
    a = component("a", quarantine=ASIDE, fallback=component("spare", needs=("x",)), backoff=now)
    yield "fallback needs", tree(x, a, component("b", needs={"a": "final"}), commands=every, **on)
    yield (
        "delete",
        tree(component("a"), component("b", needs=("a",)), component("c"), commands=every, **on),
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
    for dynamic, reports in product((True, False), repeat=2):
        name = f"trial {'dynamic' if dynamic else 'listed'}{' reports' if reports else ''}"
        new = component("d", needs=("a",), reports=reports)
        yield name, tree(component("a"), added=new, dynamic=dynamic, trial=True, **on)
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


def everything() -> dict[str, Tree]:
    return {**dict(specials()), **dict(triples()), **dict(pairs())}
