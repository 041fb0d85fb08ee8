"""SHOW: a tree at one moment as a picture for the terminal. Pure: it renders what it is given."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from supervisor._console import calls
from supervisor._record.wording import duration, error_line, listed, printable
from supervisor._views import ChildView, TreeView
from supervisor._words import Hold, HoldOwner, Outcome, State, Status

STATUS: Final[dict[Status, str]] = {"healthy": "green", "degraded": "yellow", "failed": "bold red"}
STATE: Final[dict[State, str]] = {
    "ready": "green",
    "starting": "cyan",
    "stopping": "yellow",
    "stuck": "bold red",
    "down": "yellow",
}
AT_REST: Final[frozenset[HoldOwner]] = frozenset({"operator", "finished", "declined", "standby"})
"""Holds under which being down is as it should be."""

LONGEST_NAME: Final = 40

HEAD: Final = 3
"""Lines above the rows: two of the headline, one of the columns' names."""


class Row(NamedTuple):
    """A line of the picture: a child at its depth, or so many ready leaves folded into one."""

    depth: int
    child: ChildView | None
    folded: int = 0


def draw(view: TreeView, *, height: int = 50) -> RenderableType:
    """The tree, its guards and its budgets in at most ``height`` lines: where the tree is taller,
    ready leaves are folded first."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", expand=True)
    table.add_column("child", no_wrap=True, max_width=LONGEST_NAME, overflow="ellipsis")
    table.add_column("state", no_wrap=True)
    table.add_column("life", justify="right", no_wrap=True)
    table.add_column("for", justify="right", no_wrap=True)
    table.add_column("why", no_wrap=True, overflow="ellipsis", ratio=1)
    room = max(height - HEAD, 1)
    children = sum(1 for _ in view.root.walk())
    below = calls.tables(view, max(room // 2, room - children)) if room > 1 else []
    room -= sum(table.row_count + 1 for table in below)
    for row in fitting(view.root, room):
        table.add_row(*_cells(row, view.at))
    return Group(*_headline(view), table, *below)


def fitting(root: ChildView, height: int) -> list[Row]:
    """The rows of the tree, folded and then cut so that there are at most ``height``."""
    rows = list(_rows(root, 0, fold=False))
    if len(rows) > height:
        rows = list(_rows(root, 0, fold=True))
    if len(rows) > height:
        cut = sum(row.folded or 1 for row in rows[height - 1 :])
        rows = [*rows[: height - 1], Row(0, None, -cut)]
    return rows


def _rows(child: ChildView, depth: int, *, fold: bool) -> Iterator[Row]:
    yield Row(depth, child)
    if child.fallback is not None and child.fallback.state != "down":
        yield from _rows(child.fallback, depth + 1, fold=fold)
    folded = 0
    for below in child.children:
        if fold and below.state == "ready" and below.kind != "supervisor" and not below.holds:
            folded += 1
        else:
            yield from _rows(below, depth + 1, fold=fold)
    if folded:
        yield Row(depth + 1, None, folded)


def _headline(view: TreeView) -> tuple[Text, Text]:
    condition = view.condition
    leaves = list(_leaves(view.root))
    ready = sum(leaf.state == "ready" for leaf in leaves)
    first = Text.assemble(
        (_name(view.root), "bold"),
        "  ",
        (condition.status, STATUS[condition.status]),
        (f"  {ready} of {len(leaves)} ready", "dim"),
    )
    reasons = listed(f"{reason.path} {reason.what}" for reason in condition.reasons)
    return first, Text(printable(reasons), no_wrap=True, overflow="ellipsis")


def _leaves(child: ChildView) -> Iterator[ChildView]:
    if child.kind != "supervisor":
        yield child
    for below in child.children:
        yield from _leaves(below)


def _cells(row: Row, now: float) -> tuple[Text, ...]:
    indent = "  " * row.depth
    child = row.child
    if child is None:
        text = f"{row.folded} ready" if row.folded > 0 else f"... and {-row.folded} more"
        return (Text(f"{indent}{text}", style="dim"),)
    return (
        Text(f"{indent}{_name(child)}"),
        Text(_state(child), style=_style(child)),
        Text(str(child.life or "")),
        Text(_whole(now - child.since) if child.life else "", style="dim"),
        _why(child, now),
    )


def _name(child: ChildView) -> str:
    return printable(child.name or child.path or "the tree")


def _state(child: ChildView) -> str:
    on_probation = child.probe and child.state != "down"
    return f"{child.state} (probe)" if on_probation else child.state


def _style(child: ChildView) -> str:
    if child.state != "down":
        return STATE[child.state]
    owners = {hold.owner for hold in child.holds}
    if "quarantine" in owners or "stuck" in owners:
        return "red"
    return "dim" if owners & AT_REST else STATE["down"]


def _why(child: ChildView, now: float) -> Text:
    """What keeps it down, with what is left of it, and how its last life ended, if by itself."""
    parts = [_hold(hold, now) for hold in child.holds]
    if child.waits_for:
        parts.append(f"waits for {listed(child.waits_for)}")
    text = Text(printable("; ".join(parts)))
    if child.outcome is not None and child.outcome.kind != "cancelled":
        said = f"{'  ' if parts else ''}{_ended(child.outcome)}"
        text.append(printable(said), style="dim")
    return text


def _hold(hold: Hold, now: float) -> str:
    if hold.until is None:
        return f"{hold.owner}: {hold.reason}" if hold.reason else hold.owner
    left = math.ceil(hold.until - now) if math.isfinite(hold.until) else hold.until
    return f"{hold.owner} {duration(left)}" if left > 0 else f"{hold.owner} is due"


def _ended(outcome: Outcome) -> str:
    why = error_line(outcome.error) if outcome.error is not None else outcome.reason
    return f"{outcome.kind}: {why}" if why else outcome.kind


def _whole(seconds: float) -> str:
    return duration(math.floor(seconds)) if seconds >= 1 else "now"
