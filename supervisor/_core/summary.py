"""How many errors there were, of what kind and where, over the last hour and in all.

Counted in buckets of ten seconds, and of a minute once they are older than a quarter of an hour. A
bucket tells so many kinds of errors apart; what comes beyond is counted under the supervisor's name,
so that no sum is wrong.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from supervisor._core.records import Errors, Record
from supervisor._views import BreakerStatus, ErrorSummary
from supervisor._words import Severity

WINDOWS: Final = (60.0, 300.0, 900.0, 3600.0)
"""Seconds."""

FINE: Final = 10.0
COARSE: Final = 60.0
"""Seconds of a bucket, and so how exact the beginning of a window is."""

KINDS: Final = 128
"""Kinds of errors that a bucket tells apart; as many supervisors may stand for others."""

COMPONENTS: Final = 1000
"""Components whose errors of all time are told apart."""

OTHERS: Final = "*"
LAST: Final = 100
MOST_COMMON: Final = 5

Kind: TypeAlias = tuple[str, str, Severity]
"""Component, type and severity."""


class Tally:
    """Counts errors by kind: over the last hour, and for each component in all."""

    def __init__(self) -> None:
        self.earlier: dict[str, int] = {}  # by component, those quiet for longest first
        self._fine: deque[_Bucket] = deque()
        self._coarse: deque[_Bucket] = deque()
        self._newest = _Bucket(-math.inf)  # nothing is ever counted in it

    def count(self, record: Record) -> None:
        """Count one."""
        bucket = self._newest
        if record.at >= bucket.since + FINE:
            bucket = self._next(record.at)
        kind = (record.component, record.type, record.severity)
        counts = bucket.counts
        number = counts.get(kind)
        if number is None:
            kind = _told_apart(kind, counts)
            number = counts.get(kind, 0)
        counts[kind] = number + 1

    def _next(self, now: float) -> _Bucket:
        self._forget(now)
        self._newest = bucket = _Bucket(now - now % FINE)
        self._fine.append(bucket)
        return bucket

    def _forget(self, now: float) -> None:
        """Put together what is older than a quarter of an hour, leave out what is older than one."""
        fine, coarse = self._fine, self._coarse
        # By a bucket later than that, so that no coarse one is at the beginning of that window.
        while fine and fine[0].since + FINE <= now - WINDOWS[-2] - COARSE:
            old = fine.popleft()
            since = old.since - old.since % COARSE
            if not coarse or coarse[-1].since != since:
                coarse.append(_Bucket(since))
            coarse[-1].take(old)
        while coarse and coarse[0].since + COARSE / 2 <= now - WINDOWS[-1]:
            for (component, *_), number in coarse.popleft().counts.items():
                self._add(component, number)

    def _add(self, component: str, number: int) -> None:
        earlier = self.earlier
        earlier[component] = earlier.pop(component, 0) + number
        while len(earlier) > COMPONENTS:
            # What has been quiet for longest: its errors stay in the sums of all that is above.
            path = next(iter(earlier))
            above, number = _others(path), earlier.pop(path)
            earlier[above] = earlier.pop(above, 0) + number

    def before(self, path: str) -> int:
        """Errors at or below a path that are too long ago for all windows."""
        below = f"{path}/"
        return sum(
            number
            for component, number in self.earlier.items()
            if component == path or component.startswith(below)
        )

    def within(self, path: str, now: float) -> tuple[dict[float, int], Counter[Kind]]:
        """How many errors there were at or below a path in each window, to the nearest bucket, and
        in the longest of them how many of each kind."""
        self._forget(now)
        numbers = dict.fromkeys(WINDOWS, 0)
        kinds: Counter[Kind] = Counter()
        below = f"{path}/"
        for bucket, middle in self._with_middles():
            number = 0
            for kind, times in bucket.counts.items():
                if not path or kind[0] == path or kind[0].startswith(below):
                    kinds[kind] += times
                    number += times
            for window in WINDOWS:
                numbers[window] += number if middle > now - window else 0
        return numbers, kinds

    def _with_middles(self) -> Iterator[tuple[_Bucket, float]]:
        for buckets, width in ((self._fine, FINE), (self._coarse, COARSE)):
            for bucket in buckets:
                yield bucket, bucket.since + width / 2


class _Bucket:
    """The errors from a moment on, by kind."""

    __slots__ = ("counts", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.counts: dict[Kind, int] = {}

    def take(self, other: _Bucket) -> None:
        counts = self.counts
        for kind, number in other.counts.items():
            kept = kind if kind in counts else _told_apart(kind, counts)
            counts[kept] = counts.get(kept, 0) + number


def _told_apart(kind: Kind, counts: dict[Kind, int]) -> Kind:
    """As what a kind that is new to a bucket is counted there."""
    if len(counts) < KINDS:
        return kind
    component, of, severity = kind
    above = kind if of == OTHERS else (_others(component), OTHERS, severity)
    if above in counts or len(counts) < 2 * KINDS:
        return above
    root = component.partition("/")[0]
    return (f"{root}/{OTHERS}", OTHERS, severity)


def _others(path: str) -> str:
    """The name for what is beside a path: ``a/b/c`` is one of ``a/b/*``, that one of ``a/*``."""
    above, _, name = path.rpartition("/")
    if name == OTHERS:
        above = above.rpartition("/")[0] or above
    return f"{above or path}/{OTHERS}"


def summary(
    errors: Errors,
    tally: Tally,
    now: float,
    path: str,
    breakers: Mapping[str, BreakerStatus],
) -> ErrorSummary:
    """The errors of the tree, or of what is at or below a path."""
    errors.settle(now)
    kept = list(errors.at(path))
    within, hour = tally.within(path, now)
    resolved = sum(record.case.resolution is not None for record in kept)
    last = Counter(f"{record.component}:{record.type}" for record in kept[-LAST:])
    breakers = _concerned(breakers, kept, path)
    return ErrorSummary(
        at=now,
        path=path,
        total=tally.before(path) + hour.total() if path else errors.total,
        within=within,
        by_component=_by(hour, 0),
        by_severity=_by(hour, 2),
        by_type=_by(hour, 1),
        most_common=tuple(last.most_common(MOST_COMMON)),
        groups=errors.kinds(path),
        resolved=resolved,
        recovery_rate=resolved / len(kept) if kept else None,
        breakers={name: _word(status) for name, status in breakers.items()},
        trips=sum(status.trips for status in breakers.values()),
        forgotten=errors.forgotten,
        groups_forgotten=errors.groups_forgotten,
    )


def _by(kinds: Counter[Kind], place: int) -> dict[str, int]:
    """The counts by one of component, type and severity, the most frequent first."""
    counts: Counter[str] = Counter()
    for kind, number in kinds.items():
        counts[kind[place]] += number
    return dict(counts.most_common())


def _concerned(
    breakers: Mapping[str, BreakerStatus], kept: list[Record], path: str
) -> Mapping[str, BreakerStatus]:
    """The breakers of a tree; of a path, those that its errors were caught by."""
    if not path:
        return breakers
    guards = {record.guard for record in kept}
    return {name: status for name, status in breakers.items() if name in guards}


def _word(status: BreakerStatus) -> str:
    """What a breaker is in: the state that an operator holds it in, or its own."""
    return status.state if status.forced is None else f"{status.state} (forced: {status.forced})"
