"""DECLARE: the budgets that calls to the outside world share, as frozen values."""

from __future__ import annotations

import math
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from supervisor._spec.policy import Count, Positive, Seconds

Rate: TypeAlias = Annotated[float, Meta(gt=0)]
Weight: TypeAlias = Annotated[float, Meta(ge=0.001, le=1000)]
Mode: TypeAlias = Literal["enforce", "shadow"]
Unknown: TypeAlias = Literal["refuse", "pass"]


class _Limit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    per: Positive
    burst: Count = 0
    kind: Literal["window", "smooth"] = "window"


class Limit(_Limit, frozen=True, forbid_unknown_fields=True):
    """How many permits a budget grants: ``n`` in every window of ``per`` seconds.

    A token bucket of ``burst`` permits (``n`` by default) is refilled at ``n / per`` a second, and
    however the grants fall, no half-open window of ``per`` seconds ever holds more than ``n``.
    Permits that were given back do not count. While somebody waits, up to 50 ms of a late timer are
    made good.

    Args:
        n: permits in a window; a whole number.
        per: seconds.
        burst: permits that may be granted at once after a rest; the dearest permit costs so much.
    """

    n: Rate

    def __post_init__(self) -> None:
        if self.kind == "window" and type(self.burst) is int and self.burst == 0:
            force_setattr(self, "burst", self.n)

    @classmethod
    def smooth(cls, rate: float, *, burst: int) -> Limit:
        """The bucket alone: at most ``burst + rate * w`` permits in any window of ``w`` seconds.

        Args:
            rate: permits a second; need not be a whole number.
            burst: permits that may be granted at once after a rest.
        """
        return cls(rate, per=1.0, burst=burst, kind="smooth")

    @property
    def rate(self) -> float:
        """Permits a second in the long run."""
        return self.n / self.per


class Adapt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rate that is learned from the answers, for a limit that nobody has told.

    It starts at ``start`` permits a second (at the budget's limit where there is one), grows by a
    fifth each second until the first answer that says "too many", and then follows a cubic around
    the rate that was accepted. It needs each permit's answer: use ``async with``, and
    ``permit.throttled()``.

    Args:
        start: permits a second.
        most: permits a second that are never exceeded.
        least: permits a second below which it never falls: a probe each 30 s by default.
        burst: permits at once, where the budget has no limit of its own.
    """

    start: Rate = 10.0
    most: Rate = math.inf
    least: Rate = 1 / 30
    burst: Count = 1


class Weights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What share of a budget each priority has while all of them wait: its weight by the sum.

    So by default critical calls get at least 67.5 %, high 22.5 %, medium 7.5 % and low 2.5 %. What
    a class leaves unused goes to the others in proportion. Weights are from 0.001 to 1,000.
    """

    low: Weight = 1.0
    medium: Weight = 3.0
    high: Weight = 9.0
    critical: Weight = 27.0


class Budget(Struct, frozen=True, forbid_unknown_fields=True):
    """A budget with everything that can be said of it; a ``Limit`` alone stands for ``Budget(limit)``.

    Args:
        limit: how many permits it grants.
        adapt: the rate is learned, below the limit where there is one.
        weights: the shares of the four priorities.
        max_waiting: so many may wait for a permit; beyond, the newest of the lowest class is
            refused.
        max_wait: seconds; who would have to wait longer is refused at once. ``None``: for ever.
        ramp: seconds in which the rate comes back after the service said "too many, retry after".
        mode: ``shadow`` grants everything and counts what would have waited.
    """

    limit: Limit | None = None
    adapt: Adapt | None = None
    weights: Weights = Weights()
    max_waiting: Count = 10_000
    max_wait: Positive | None = None
    ramp: Seconds = 5.0
    mode: Mode = "enforce"
