"""What came out, for a person and for a machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.chaos.judge import Judge
from tests.chaos.steady import ALIKE, MEMORY, Floors

COUNTED: Final = {
    "faults": "faults",
    "commands": "commands answered",
    "lives": "lives",
    "raised": "lives that raised",
    "crashes told": "crashes told",
    "deadlines missed": "of them deadlines missed",
    "stuck": "lives that were stuck",
    "given up": "supervisors that gave up",
    "events": "events",
}


def progress(judge: Judge) -> str:
    """How it stands, in one line."""
    counts, last = judge.counts, judge.calms[-1] if judge.calms else None
    text = "".join(f"{counts[name]:>8} {name}" for name in ("faults", "lives", "crashes told"))
    if last is not None:
        text += f"{last.rss / 2**20:>8.1f} MiB{last.blocks:>9} blocks{last.descriptors:>4} fds"
    broken = sum(judge.breaches.values())
    return text + (f"   BROKEN {broken} times" if broken else "")


def table(judges: Mapping[str, Judge], found: Mapping[str, Floors | None]) -> str:
    """A column for each loop."""
    rows = [("", *judges)]
    for name, title in COUNTED.items():
        rows.append((title, *(f"{judge.counts[name]:,}" for judge in judges.values())))
    rows.append(("calms", *(str(len(judge.calms)) for judge in judges.values())))
    longest = (max((c.waited for c in judge.calms), default=0) for judge in judges.values())
    rows.append(("longest way to healthy", *(f"{seconds:.1f} s" for seconds in longest)))
    rows += [
        (f"{name}, floor", *(_floor(floors, name) for floors in found.values()))
        for name in (*MEMORY, *ALIKE)
    ]
    rows.append(("broken", *(str(sum(j.breaches.values())) for j in judges.values())))
    return "\n".join(
        "".join([f"{title:<26}", *(f"{cell:>30}" for cell in cells)]) for title, *cells in rows
    )


def _floor(floors: Floors | None, name: str) -> str:
    if floors is None:
        return "too short"
    before, after = floors.before[name], floors.after[name]
    if name == "rss":
        return f"{before / 2**20:.1f} -> {after / 2**20:.1f} MiB {floors.growth(name):+.1%}"
    grown = f" {floors.growth(name):+.1%}" if name in MEMORY else ""
    return f"{before:,} -> {after:,}{grown}"


def as_json(judges: Mapping[str, Judge], found: Mapping[str, Floors | None]) -> dict[str, Any]:
    """All figures by loop."""
    return {
        loop: {
            "counts": dict(judge.counts),
            "faults": dict(judge.faults),
            "floors": floors and {"after the warm-up": floors.before, "at the end": floors.after},
            "calms": [_calm(calm) for calm in judge.calms],
            "broken": dict(judge.breaches),
            "examples": judge.examples,
        }
        for (loop, judge), floors in zip(judges.items(), found.values(), strict=True)
    }


def _calm(calm: Any) -> dict[str, Any]:
    names = (*MEMORY, *ALIKE, "processes", "waited")
    return {name: getattr(calm, name) for name in names}
