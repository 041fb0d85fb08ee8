"""Cancellation at every suspension of every scenario, on both backends: the laws hold afterwards.

A failure names the scenario, the backend, what was cancelled (the variant) and at which suspension;
these four replay it: ``run_scenario(SCENARIOS["..."], "trio", 7, "block")``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Literal, TypeAlias

import pytest

import tests.injection.guards  # noqa: F401  # its scenarios
from supervisor.testing import no_leaks
from tests.injection.inject import VARIANTS, run_scenario
from tests.injection.laws import broken
from tests.injection.scenarios import SCENARIOS
from tests.injection.sites import Site, all_sites

Backend: TypeAlias = Literal["asyncio", "trio"]

BACKENDS: tuple[Backend, ...] = ("asyncio", "trio")

reached: dict[str, set[Site]] = defaultdict(set)
"""At which awaits a task was suspended when something was cancelled, on each backend."""

done: Counter[str] = Counter()
"""How many runs were cancelled, by variant."""

NEVER_SUSPENDED = {
    "await self._host.__aenter__()": "entering a task group is no checkpoint on either backend",
    "async with create_task_group() as group, create_task_group() as peers (enter)": "nor is it here",
    "async with anyio.create_task_group() as helpers (enter)": "nor is it here",
    "async with anyio.create_task_group() as group (enter)": "nor is it here",
    "await checkpoint_if_cancelled()": "it lets nobody else run unless it raises",
    "await self._permit.__aenter__()": "it awaits nothing; async, to stand in an async with",
    "await self._permit.__aexit__(kind, error, traceback)": "nor does this",
}
"""Awaits at which no task is ever suspended, and why."""

OF_ONE_BACKEND = {
    "await nurseries[-1]._nested_child_finished(None)": "trio",
    "await wait(tasks)": "asyncio",
    "await alarmed.wait()": "asyncio",
    "await bounded.wait()": "trio",
}
"""Awaits that only one backend has."""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_the_laws_hold_wherever_it_is_cancelled(name: str, backend: Backend) -> None:
    scenario = SCENARIOS[name]
    with no_leaks():
        undisturbed = run_scenario(scenario, backend, None, "block")
        assert not broken(undisturbed)
        points = undisturbed.points
        for variant in VARIANTS[backend]:
            for at, point in enumerate(points):
                if not point.offers(variant):
                    continue
                run = run_scenario(scenario, backend, at, variant)
                where = (
                    f"{name}, {backend}, {variant!r} at {at}: {', '.join(map(str, point.sites))}"
                )
                assert run.points[at] == point, f"{where}: not the same run as before"
                assert not broken(run), "\n".join([where, *broken(run)])
                if run.strike is not None:
                    done[variant] += 1
                    reached[backend].update(point.sites)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_await_of_the_runtime_was_cancelled_at(backend: Backend) -> None:
    """A new await needs a scenario that passes through it, or a reason why it cannot suspend."""
    if len(reached) < len(BACKENDS):
        pytest.skip("needs the runs of this whole file, in one process")
    missing = []
    for site in all_sites():
        name = site.text if site.kind == "await" else f"{site.text} ({site.kind})"
        possible = name not in NEVER_SUSPENDED and OF_ONE_BACKEND.get(name, backend) == backend
        if possible != (site in reached[backend]):
            missing.append(f"{site}: {'never' if possible else 'but it was'} cancelled at")
    assert not missing, "\n".join(missing)
