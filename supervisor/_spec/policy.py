"""DECLARE: the policies of a child, as frozen values. All times are in seconds."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from supervisor._words import Jitter

MOST: Final = 1_000_000
"""Above this a count is a slip of the pen: so many copies, or crashes to remember."""

Seconds: TypeAlias = Annotated[float, Meta(ge=0, extra={"unit": "seconds"})]
Positive: TypeAlias = Annotated[float, Meta(gt=0, extra={"unit": "seconds"})]
Factor: TypeAlias = Annotated[float, Meta(ge=1)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=MOST)]


class Backoff(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long every automatic restart of a child waits.

    The first restart waits ``first`` seconds, the n-th after it ``min(cap, base * factor**(n-1))``.
    The jitter is drawn after the cap was applied, so that children at the cap stay spread: ``full``
    draws from 0 to the delay, ``equal`` from half of it, ``none`` takes it as it is. A life that was
    ready for ``reset_after`` seconds, or that called ``mark_healthy()``, begins a new series.
    """

    first: Seconds = 0.0
    base: Seconds = 1.0
    factor: Factor = 2.0
    cap: Seconds = 30.0
    jitter: Jitter = "full"
    reset_after: Seconds = 60.0


class Quarantine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a child that keeps crashing is set aside, for how long, and what ends it.

    ``crashes`` (failed starts among them) within ``within`` seconds open the quarantine for
    ``open`` seconds, ``factor`` times longer each time up to ``cap``, less a jitter of up to a
    fifth. Then one probe is started: it must become ready and stay up for ``probe`` seconds.
    """

    crashes: Count = 5
    within: Positive = 60.0
    open: Positive = 60.0
    factor: Factor = 2.0
    cap: Positive = 900.0
    probe: Seconds = 10.0


class Intensity(Struct, frozen=True, forbid_unknown_fields=True):
    """At most ``restarts`` restarts and failed starts within ``within`` seconds; one more ends the
    supervisor. A group restart counts once. 0 restarts: the first failure ends it."""

    restarts: Annotated[int, Meta(ge=0, le=MOST)]
    within: Positive


class Stop(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a child is stopped.

    With ``grace`` the child's ``stopping`` event is set first, and it has that many seconds to end
    by itself; then, or at once without grace, it is cancelled. What has not ended ``deadline``
    seconds after the cancellation is stuck. Both are clipped to the tree's ``stop_within``.
    """

    grace: Seconds = 0.0
    deadline: Positive = 5.0  # even the quickest needs a turn of the event loop to end
