"""SHOW: the guards and the budgets of a tree, below its picture. Pure, like that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

from rich.table import Table
from rich.text import Text

from supervisor._record.wording import duration, printable
from supervisor._views import BreakerStatus, BudgetStatus, GuardStatus, TreeView

Cells: TypeAlias = tuple[Text, ...]

LONGEST_NAME: Final = 40
MINUTE: Final = 60.0
GUARDS: Final = ("guard", "breaker", "calls/min", "good", "")
BUDGETS: Final = ("budget", "state", "a second", "used", "waiting")
STYLE: Final = {"closed": "green", "half-open": "cyan", "open": "red"}


def tables(view: TreeView, height: int) -> list[Table]:
    """A line for each guard and each budget, in at most ``height`` lines. Where they are too many,
    those that are as they should be are left out first."""
    guards = sorted(view.guards, key=lambda guard: _is_fine(guard.breaker))
    budgets = sorted(
        view.budgets, key=lambda budget: budget.state == "open" and not _waiting(budget)
    )
    wanted = _lines(budgets)
    for_guards = min(_lines(guards), max(height // 2, height - wanted))
    found = (
        _table(GUARDS, [_guard(guard, view.at) for guard in guards], for_guards),
        _table(BUDGETS, [_budget(budget, view.at) for budget in budgets], height - for_guards),
    )
    return [table for table in found if table is not None]


def _lines(rows: Sequence[object]) -> int:
    return len(rows) + 1 if rows else 0


def _table(columns: Sequence[str], rows: list[Cells], height: int) -> Table | None:
    if not rows or height < 2:
        return None
    name, *others, last = columns
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", expand=True)
    table.add_column(name, no_wrap=True, max_width=LONGEST_NAME, overflow="ellipsis")
    for column in others:
        table.add_column(column, no_wrap=True)
    table.add_column(last, no_wrap=True, overflow="ellipsis", ratio=1)
    room = height - 1
    shown = rows if len(rows) <= room else rows[: max(room - 1, 1)]
    for cells in shown:
        table.add_row(*cells)
    if len(shown) < min(len(rows), room):
        table.add_row(Text(f"... and {len(rows) - len(shown)} more", style="dim"))
    return table


def _is_fine(breaker: BreakerStatus | None) -> bool:
    return breaker is None or (breaker.state == "closed" and breaker.forced is None)


def _guard(guard: GuardStatus, now: float) -> Cells:
    minute = next((f for f in guard.figures if f.window == MINUTE), None)
    rate = None if minute is None else minute.success_rate
    return (
        Text(printable(guard.name)),
        _breaker(guard.breaker, now),
        Text("" if minute is None else str(minute.calls)),
        Text("" if rate is None else f"{math.floor(rate * 100)} %"),
        Text(printable(_notes(guard)), style="dim"),
    )


def _breaker(breaker: BreakerStatus | None, now: float) -> Text:
    if breaker is None:
        return Text("none", style="dim")
    if breaker.forced is not None:
        return Text(f"forced {breaker.forced}{_left(breaker.until, now)}", style="yellow")
    left = _left(breaker.retry_at, now) if breaker.state == "open" else ""
    return Text(f"{breaker.state}{left}", style=STYLE[breaker.state])


def _notes(guard: GuardStatus) -> str:
    parts = [f"{guard.under_way} under way"] if guard.under_way else []
    if guard.retrying:
        parts.append(f"{guard.retrying} to be made again")
    breaker = guard.breaker
    if breaker is not None and not _is_fine(breaker):
        parts.append(breaker.reason if breaker.forced is not None else breaker.cause)
    return "; ".join(part for part in parts if part)


def _budget(budget: BudgetStatus, now: float) -> Cells:
    shut = _left(budget.not_before, now) if budget.state == "shut" else ""
    shadow = " (shadow)" if budget.mode == "shadow" else ""
    waiting = _waiting(budget)
    return (
        Text(printable(budget.name)),
        Text(
            f"{budget.state}{shut}{shadow}", style="green" if budget.state == "open" else "yellow"
        ),
        Text(f"{budget.rate:.3g}" if budget.rate < 1000 else f"{budget.rate:.0f}"),
        Text(_used(budget)),
        Text(
            f"{waiting}, the first for {duration(budget.longest_waiting)}" if waiting else "",
            style="yellow",
        ),
    )


def _used(budget: BudgetStatus) -> str:
    if not budget.usage:
        return "none"
    # Of a window, that is its limit; of a smooth limit, its burst.
    whole = round(budget.used / budget.usage)
    per = f" in {duration(budget.per)}" if budget.per is not None and budget.per != 1 else ""
    return f"{round(budget.used)} of {whole}{per}"


def _waiting(budget: BudgetStatus) -> int:
    return sum(budget.waiting.values())


def _left(until: float | None, now: float) -> str:
    if until is None or not math.isfinite(until):
        return ""
    left = math.ceil(until - now)
    return f" {duration(left)}" if left > 0 else ""
