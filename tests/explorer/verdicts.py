"""What follows from the end of a life: a table written from the rules, not from the machine.

The rules are those of OTP's ``supervisor``, as its documentation and its test suite have them, and
what this library says about itself in docs/semantics.md. Nothing of the machine is imported here.
The first row that fits decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

Ending = Literal["returned", "crashed", "cancelled", "foreign", "declined", "process"]


class Case(Struct):
    """One life that has ended, or was declared failed, and what was the case just before."""

    spec: Any  # what was declared for the child
    tree: Any  # what was declared for its supervisor
    outcome: Ending
    index: int = 0
    starting: bool = False  # it had yet to become ready
    up: float = 0.0  # for how long it had been ready
    doomed: bool = False  # it was to go down anyway
    asked: bool = False  # it had been asked to, or declared failed before
    stopped: bool = False  # held by an operator
    stuck: bool = False
    again: bool = False  # an operator wants the next life
    critical: bool = False
    dynamic: bool = False
    trial: bool = False  # somebody is adding it, and waits for its first start
    stand_in: bool = False  # it is a fallback
    primary_gone: bool = False
    attempt: int = 0  # restarts in the series before
    crashes: int = 0  # within the window, before
    probing: bool = False
    times: int = 0  # quarantines in a row before
    aside: int = 0  # siblings set aside
    size: int = 1  # children of the supervisor
    restarts: int = 0  # within the period of the intensity, before
    booting: bool = False
    closing: bool = False
    group: int | None = None  # the first member of the group restart under way
    last: bool = False  # no other significant child is there, or comes back

    def __str__(self) -> str:
        """What is out of the ordinary."""
        told = {name: getattr(self, name) for name in self.__struct_fields__[2:]}
        usual = dict(zip(self.__struct_fields__[3:], self.__struct_defaults__, strict=True))
        return ", ".join(f"{k}={v!r}" for k, v in told.items() if usual.get(k) != v)

    @property
    def failed(self) -> bool:
        return self.outcome in ("crashed", "foreign", "process")


class Answer(Struct):
    """What has to follow. ``none``: it is told, and decides nothing."""

    action: Literal["restart", "quarantine", "escalate", "finish", "forget", "decline", "none"]
    rule: str = ""
    least: float = 0.0  # the delay is between these two, in seconds
    most: float = 0.0
    members: int | None = None  # from this index on all go down, and come back in order
    forgotten: bool = False  # it leaves the tree
    finished: bool = False  # whatever is told of its end
    ends: Literal["", "crashed", "returned"] = ""  # the supervisor, because of it


def concerns_process(error: BaseException | None) -> bool:
    """Whether the error is no failure of a child, but of the process: also if it is in a group."""
    if isinstance(error, ExceptionGroup):
        return any(map(concerns_process, error.exceptions))
    return error is not None and (
        isinstance(error, MemoryError) or not isinstance(error, Exception)
    )


def _finishes(case: Case) -> bool:
    returned = case.outcome == "returned" and not case.stand_in
    return returned and bool(case.spec.restart == "transient")


def _is_temporary(case: Case) -> bool:
    return not case.stand_in and bool(case.spec.restart == "temporary")


def _over_intensity(case: Case) -> bool:
    limit = case.tree.intensity
    return limit is not None and not case.stand_in and case.restarts + 1 > limit.restarts


def _one_too_many(case: Case) -> bool:
    policy = case.spec.quarantine
    if policy is None or not case.failed:
        return False
    return case.probing or case.crashes + 1 >= policy.crashes


def _half_are_aside(case: Case) -> bool:
    most = max(1, case.size // 2)
    return not (case.probing or case.stand_in) and case.aside + 1 > most


def _fails_boot(case: Case) -> bool:
    return case.booting and case.starting and case.tree.boot == "strict" and not case.dynamic


ROWS: tuple[tuple[str, Callable[[Case], bool], str, str], ...] = (
    # why, when, what, by which rule
    ("no supervisor survives it for the process", lambda c: c.outcome == "process", "escalate", "process-level"),
    ("OTP: what ends in a stop or group restart is never restarted for it", lambda c: c.doomed, "none", ""),
    ("OTP: ignore is no failure; the child stays listed", lambda c: c.outcome == "declined", "decline", ""),
    ("OTP: a transient child that ends well is not restarted", _finishes, "finish", "restart type"),
    ("OTP: a temporary child is never restarted", _is_temporary, "forget", "restart type"),
    ("OTP: start_child that fails leaves nothing behind", lambda c: c.trial, "forget", "first start"),
    ("OTP: the boot ends with the first start that fails; here on request", _fails_boot, "escalate", "strict boot"),
    ("OTP: the restart after MaxR within MaxT ends the supervisor", _over_intensity, "escalate", "intensity"),
    ("nothing may hold a critical child", lambda c: _one_too_many(c) and c.critical, "escalate", "critical"),
    ("at most half are set aside", lambda c: _one_too_many(c) and _half_are_aside(c), "restart", "half are quarantined"),
    ("a probe that fails", lambda c: _one_too_many(c) and c.probing, "quarantine", "probe failed"),
    ("too many crashes", _one_too_many, "quarantine", "crashes within window"),
    ("OTP: all others are restarted", lambda c: True, "restart", "restart type"),
)  # fmt: skip


def answer(case: Case) -> Answer:
    """Look it up."""
    action, rule = next((action, rule) for _, when, action, rule in ROWS if when(case))
    found = Answer(action, rule)  # type: ignore[arg-type]
    if action == "restart":
        found.least, found.most = _delay(case, rule)
    elif action == "quarantine":
        found.least, found.most = _open(case)
    if action in ("restart", "quarantine") and not case.stand_in:
        found.members = _members(case)
    found.finished = _ended_by_itself(case, action)
    found.forgotten = _forgotten(case, action, found.finished)
    if action == "escalate" and not case.closing:
        found.ends = "crashed"
    elif _shuts_down(case, found):
        found.ends = "returned"
    return found


def _delay(case: Case, rule: str) -> tuple[float, float]:
    policy = case.spec.backoff
    attempt = 1 if case.up >= policy.reset_after else case.attempt + 1
    if rule == "half are quarantined":
        most = policy.cap
    elif attempt == 1:
        return policy.first, policy.first
    else:
        most = min(policy.cap, policy.base * policy.factor ** min(attempt - 2, 64))
    return most * {"none": 1, "equal": 0.5, "full": 0}[policy.jitter], most


def _open(case: Case) -> tuple[float, float]:
    policy = case.spec.quarantine
    times = 0 if case.up >= policy.within else case.times
    most = min(policy.cap, policy.open * policy.factor ** min(times, 64))
    return 0.8 * most, most


def _members(case: Case) -> int | None:
    """OTP: one_for_all restarts all, rest_for_one those after it; a group restart during a group
    restart merges with it."""
    if case.tree.strategy == "one_for_one":
        return None
    start = 0 if case.tree.strategy == "one_for_all" else case.index
    return start if case.group is None else min(start, case.group)


def _ended_by_itself(case: Case, action: str) -> bool:
    """Whether it is finished: also if it returned just when it was to go down."""
    unasked = case.outcome == "returned" and not (case.asked or case.again or case.stand_in)
    return action == "finish" or (action == "none" and unasked and _finishes(case))


def _forgotten(case: Case, action: str, finished: bool) -> bool:
    """OTP drops temporary and dynamic children that have ended, and keeps all others listed."""
    if case.stand_in:
        return case.primary_gone
    if case.trial and action != "decline":
        return True
    if case.spec.restart == "temporary":
        return not case.again
    return case.dynamic and (finished or action == "decline" or case.stopped or case.stuck)


def _shuts_down(case: Case, found: Answer) -> bool:
    """OTP's automatic shutdown; a significant child that is lost as a bystander counts as ended."""
    mode = case.tree.auto_shutdown
    if mode == "never" or not case.spec.significant or case.closing:
        return False
    by_itself = found.finished or found.action == "forget"
    if mode == "any_significant":
        return by_itself and (not case.failed or bool(case.spec.restart == "temporary"))
    bystander = found.action == "none" and found.forgotten and not case.stopped
    return case.last and (by_itself or bystander)
