"""What the model and the real tree are both made from: plain values, nothing of the library."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal


@dataclass(frozen=True)
class Delay:
    """A backoff. Without jitter its delays are exact; with it they lie between 0 and that."""

    first: float = 0.0
    base: float = 1.0
    factor: float = 2.0
    cap: float = 30.0
    reset_after: float = 60.0
    jitter: Literal["none", "full"] = "none"


@dataclass(frozen=True)
class Aside:
    """A quarantine."""

    crashes: int = 3
    within: float = 60.0
    open: float = 60.0
    factor: float = 2.0
    cap: float = 900.0
    probe: float = 10.0


@dataclass(frozen=True)
class Plan:
    """A child. ``reports`` says whether it reports readiness, ``stop_takes`` how long it takes to
    end when it is cancelled, ``stop_raises`` whether it then raises. With ``children`` it is a
    supervisor."""

    name: str
    restart: Literal["permanent", "transient", "temporary"] = "permanent"
    needs: tuple[tuple[str, Literal["final", "each"]], ...] = ()
    after: tuple[str, ...] = ()
    delay: Delay = Delay()
    aside: Aside | None = None
    critical: bool = False
    significant: bool = False
    fallback: Plan | None = None
    reports: bool = False
    start_timeout: float | None = None
    stop_takes: float = 0.0
    stop_raises: bool = False
    deadline: float = 5.0

    children: tuple[Plan, ...] | None = None
    strategy: Literal["one_for_one", "one_for_all", "rest_for_one"] = "one_for_one"
    intensity: tuple[int, float] | None = None
    auto_shutdown: Literal["never", "any_significant", "all_significant"] = "never"
    strict: bool = False
    max_children: int | None = None

    def __str__(self) -> str:
        """What differs from the defaults, on one line for each child."""
        said = [repr(self.name)]
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name not in {"name", "children"} and value != one.default:
                said.append(f"{one.name}={value}")
        lines = [", ".join(said)]
        for child in self.children or ():
            lines += [f"    {line}" for line in str(child).splitlines()]
        return "\n".join(lines)


@dataclass(frozen=True)
class Step:
    """One thing that the test does to the tree: ``name`` it, to ``path``, with ``plan`` if a child
    is added, for ``seconds`` if time passes."""

    name: str
    path: str = ""
    seconds: float = 0.0
    plan: Plan | None = field(default=None)

    def __str__(self) -> str:
        what = f" {self.path}" if self.path else ""
        what += f" {self.seconds:g} s" if self.seconds else ""
        return f"{self.name}{what}" + (f" {self.plan}" if self.plan else "")
