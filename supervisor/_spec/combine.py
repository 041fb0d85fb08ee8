"""Fields that are right by themselves, and wrong together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from supervisor._spec.policy import Intensity
from supervisor._spec.reach import intensity_is_reachable, quarantine_is_reachable
from supervisor._spec.tree import Component, Spec, Supervisor, reports_readiness
from supervisor._spec.values import Wrong

Level: TypeAlias = Literal["error", "warning"]

_QUICKER: Final = "let the backoff grow less, or write a longer within"


class Combination(Struct, frozen=True):
    """A check of several fields: the ``field`` that is to blame, and the others that it reads."""

    field: str
    others: tuple[str, ...]
    judge: Callable[[Spec], Wrong | None]
    level: Level


def wrong_combinations(spec: Spec, wrong: AbstractSet[str]) -> Iterator[tuple[str, Wrong, Level]]:
    """What is wrong with the child's fields together, less those that are ``wrong`` themselves."""
    for check in COMBINATIONS:
        if wrong.isdisjoint((check.field, *check.others)):
            found = check.judge(spec)
            if found is not None:
                yield check.field, found, check.level


def unreachable_intensity(limit: Intensity, children: Sequence[Spec]) -> Wrong | None:
    """Why the children together can never exceed the intensity of their supervisor, if so."""
    restarted = [child for child in children if child.restart != "temporary"]
    backoffs = ((child.backoff, child.copies) for child in restarted)
    if not restarted or intensity_is_reachable(limit, backoffs):
        return None
    return f"cannot be exceeded: restarts come too slowly for {limit.within:g} s", _QUICKER


def _significant(spec: Spec) -> Wrong | None:
    if spec.significant and spec.restart == "permanent":
        return "is true, but a permanent child never ends", 'write restart = "transient" as well'
    return None


def _auto_shutdown(spec: Spec) -> Wrong | None:
    if not isinstance(spec, Supervisor) or spec.auto_shutdown == "never":
        return None
    if spec.restart != "permanent":
        return None
    what = "ends the supervisor, but it is permanent, so it starts again"
    return what, 'write restart = "transient" as well'


def _quarantine(spec: Spec) -> Wrong | None:
    limit = spec.quarantine
    if limit is None or spec.restart == "temporary":
        return None
    if quarantine_is_reachable(limit, spec.backoff):
        return None
    what = f"cannot be reached: {limit.crashes} crashes take more than {limit.within:g} s"
    return what, _QUICKER


def _fallback(spec: Spec) -> Wrong | None:
    if spec.fallback is None:
        return None
    if spec.priority == "critical":
        return "never runs: a critical child is not quarantined", "leave it out"
    if spec.quarantine is None or spec.restart == "temporary":
        return "never runs: this child is not quarantined", "leave it out"
    return None


def _health(spec: Spec) -> Wrong | None:
    if spec.health is None:
        return None
    return "has no monitor that would call it: this version has none", "leave it out"


def _start_timeout(spec: Spec) -> Wrong | None:
    if spec.start_timeout is None or not isinstance(spec, Component) or not callable(spec.run):
        return None
    if reports_readiness(spec):
        return None
    return "has no effect: without task_status it is ready at once", "let it take task_status"


COMBINATIONS: Final = (
    Combination("significant", ("restart",), _significant, "error"),
    Combination("auto_shutdown", ("restart",), _auto_shutdown, "warning"),
    Combination("quarantine", ("backoff", "restart"), _quarantine, "warning"),
    Combination("fallback", ("priority", "quarantine", "restart"), _fallback, "warning"),
    Combination("health", (), _health, "error"),
    Combination("start_timeout", (), _start_timeout, "warning"),
)
