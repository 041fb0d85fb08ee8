"""Delays before automatic restarts.

Draws are numbers in [0, 1) that the caller supplies. The cap is applied before the draw, so that
children at the cap stay spread ("full jitter" and "equal jitter" as named by Marc Brooker,
"Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

from supervisor._spec.policy import Backoff


def delay(policy: Backoff, attempt: int, draw: float) -> float:
    """Seconds before the ``attempt``-th restart (from 1) of a series."""
    if attempt <= 1:
        return policy.first
    return _jittered(policy, grown(policy.base, policy.factor, attempt - 2, policy.cap), draw)


def at_cap(policy: Backoff, draw: float) -> float:
    """Seconds before a restart of a child that may not be quarantined."""
    return _jittered(policy, policy.cap, draw)


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
