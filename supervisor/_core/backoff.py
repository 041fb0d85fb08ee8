"""Delays before automatic restarts, and how long a quarantine stays open.

Draws are numbers in [0, 1) that the caller supplies. The cap is applied before the draw, so that
children at the cap stay spread ("full jitter" and "equal jitter" as named by Marc Brooker,
"Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

from supervisor._spec.policy import Backoff, Quarantine


def delay(policy: Backoff, attempt: int, draw: float) -> float:
    """Seconds before the ``attempt``-th restart (from 1) of a series."""
    if attempt <= 1:
        return policy.first
    return _jittered(policy, grown(policy.base, policy.factor, attempt - 2, policy.cap), draw)


def at_cap(policy: Backoff, draw: float) -> float:
    """Seconds before a restart of a child that may not be quarantined."""
    return _jittered(policy, policy.cap, draw)


def open_time(policy: Quarantine, times: int, draw: float) -> float:
    """Seconds that the ``times``-th quarantine in a row (from 1) lasts: up to a fifth less than
    grown, so that siblings set aside together are not probed together."""
    return grown(policy.open, policy.factor, times - 1, policy.cap) * (1 - 0.2 * draw)


def grown(base: float, factor: float, exponent: int, cap: float) -> float:
    """``base * factor**exponent`` without overflow, at most ``cap``."""
    if not base:
        return 0.0
    try:
        return min(cap, base * float(factor) ** exponent)  # an integer would grow for ever
    except OverflowError:
        return cap


def _jittered(policy: Backoff, seconds: float, draw: float) -> float:
    if policy.jitter == "full":
        return seconds * draw
    if policy.jitter == "equal":
        return seconds * (0.5 + 0.5 * draw)
    return seconds
