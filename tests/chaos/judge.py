"""Compares what the components did with what the supervisor told: line by line, in one pass.

Nothing here runs a tree. A law that is broken is written down with the lines that break it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Any, Final

from tests.chaos.record import (
    Answered,
    Asked,
    Began,
    Begun,
    Calm,
    Ended,
    Fault,
    Line,
    Logged,
    Over,
    Serves,
    Told,
    Trouble,
)

ENDS: Final = {"Crashed", "Returned", "Stopped", "Declined"}
"""The events of which each life has one at its end."""

DEADLINES: Final = {"HeartbeatMissed", "StartTimedOut"}
"""What a supervisor says of a life that is still there; its end is told besides."""

INFO, ERROR = 20, 40
NEEDS: Final = "it needs "
STOP_WITHIN: Final = 20.0
"""Seconds that the stop of the process may take."""

EXAMPLES: Final = 20
"""So many breaches of one law are kept; all are counted."""


@dataclass
class Life:
    """What is known of the present life of a path."""

    number: int
    began: bool = False
    asked: bool = False
    leaving: bool = False
    """It is to go down, and may have to wait until it is asked to."""
    missed: int = 0
    escalated: bool = False
    over: Over | None = None


@dataclass
class Judge:
    """Reads the lines of one process, and knows at any time what was wrong so far."""

    breaches: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    calms: list[Calm] = field(default_factory=list)
    ended: Ended | None = None

    _begun: Begun | None = None
    _lives: dict[str, Life] = field(default_factory=dict)
    _running: dict[str, Began] = field(default_factory=dict)
    """The calls that have not returned, by path."""
    _logged: Counter[tuple[object, ...]] = field(default_factory=Counter)
    _asked: float | None = None
    _stopping: bool = False

    def breach(self, law: str, what: str) -> None:
        self.breaches[law] += 1
        if self.breaches[law] <= EXAMPLES:
            self.examples.append(f"{law}: {what}")

    @singledispatchmethod
    def see(self, line: Line) -> None:
        """Take one line in."""
        raise TypeError(line)

    # --- what the components did -------------------------------------------------------------------

    @see.register
    def _(self, line: Begun) -> None:
        self._begun = line

    @see.register
    def _(self, line: Began) -> None:
        self.counts["lives"] += 1
        who = f"{line.path} life {line.life}"
        if line.path in self._running:
            self.breach(ONE_LIFE, f"{who} began beside life {self._running[line.path].life}")
        life = self._lives.get(line.path)
        if life is None or life.number != line.life:
            self.breach(TOLD_ONCE, f"{who} began and was not told")
        else:
            life.began = True
        if self._stopping:
            self.breach(ORDER, f"{who} began after the stop")
        self._running[line.path] = line

    @see.register
    def _(self, line: Serves) -> None:
        if line.path in self._running:
            self._running[line.path].serves = True

    @see.register
    def _(self, line: Over) -> None:
        self._running.pop(line.path, None)
        self.counts[line.how] += 1
        life = self._lives.get(line.path)
        if life is None or life.number != line.life:
            who = f"{line.path} life {line.life}"
            self.breach(ONE_LIFE, f"{who} went on after its end was told ({line.how})")
        else:
            life.over = line

    # --- what was told -----------------------------------------------------------------------------

    @see.register
    def _(self, line: Told) -> None:
        self.counts["events"] += 1
        if line.level >= INFO:
            self._compare_log(line)
        tell = _TOLD.get(line.event)
        if tell is not None:
            tell(self, line)

    @see.register
    def _(self, line: Logged) -> None:
        if line.event:
            self._logged[_key(line)] += 1
        elif line.level >= ERROR:
            self.breach(CLEAN, f"{line.logger} logged an error: {line.text}")

    def _compare_log(self, told: Told) -> None:
        key = _key(told)
        if not self._logged[key]:
            self.breach(LOGGED_ONCE, f"{told.path} life {told.life} {told.event}: not in the log")
        self._logged[key] -= 1

    def _started(self, told: Told) -> None:
        before = self._lives.get(told.path)
        if before is not None:
            self._unended(told.path, before)
        if self._stopping:
            self.breach(ORDER, f"{told.path} life {told.life} was started after the stop")
        for need in self._begun.needs.get(told.path, ()) if self._begun else ():
            if need not in self._running or not self._running[need].serves:
                self.breach(ORDER, f"{told.path} life {told.life} was started without {need}")
        self._lives[told.path] = Life(told.life)

    def _unended(self, path: str, life: Life) -> None:
        if life.over is None and life.began:
            self.breach(ONE_LIFE, f"{path} life {life.number} did not end")
        else:
            how = f"{life.over.how} {life.over.error}" if life.over else "before it began"
            self.breach(TOLD_ONCE, f"{path} life {life.number} ended ({how}) and was not told")

    def _was_asked(self, told: Told) -> None:
        life = self._lives.get(told.path)
        if life is not None:
            life.asked = life.leaving = True
        self._dependents_leave(told.path)
        # It goes because of others, who wait until it has gone.
        parent = told.path.rpartition("/")[0]
        for name in told.why.removeprefix(NEEDS).split(", ") if told.why.startswith(NEEDS) else ():
            self._leaves(f"{parent}/{name}")

    def _held(self, told: Told) -> None:
        if told.why == "operator":
            self._leaves(told.path)

    def _group_restarted(self, told: Told) -> None:
        for path in told.members:
            self._leaves(path)

    def _leaves(self, path: str) -> None:
        life = self._lives.get(path)
        if life is not None:
            life.leaving = True
        self._dependents_leave(path)

    def _dependents_leave(self, path: str) -> None:
        for other, needs in self._begun.needs.items() if self._begun else ():
            if path in needs and other in self._lives:
                self._lives[other].leaving = True

    def _escalated(self, told: Told) -> None:
        self.counts["given up"] += 1
        if self._begun and told.path == self._begun.root:
            self.breach(HEALS, "the tree gave up")
        life = self._lives.get(told.path)
        if life is not None:
            life.escalated = True

    def _timed_out(self, told: Told) -> None:
        self.counts["stuck"] += 1

    def _stop_begun(self, told: Told) -> None:
        for path in self._lives:
            if path.rpartition("/")[0] == told.path:
                self._leaves(path)
        if self._begun and told.path == self._begun.root:
            self._stopping = True
            if self._asked is None:
                self.breach(HEALS, "the tree stopped before it was asked to")

    def _crashed(self, told: Told) -> None:
        self.counts["crashes told"] += 1
        life = self._lives.get(told.path)
        if life is not None and told.error in DEADLINES and not told.failures:
            life.missed += 1
            self.counts["deadlines missed"] += 1
            if life.missed > 1:
                self.breach(TOLD_ONCE, f"{told.path} life {told.life} missed two deadlines")
            self._dependents_leave(told.path)
            return
        self._end(told)

    def _end(self, told: Told) -> None:
        life = self._lives.pop(told.path, None)
        self._dependents_leave(told.path)
        who = f"{told.path} life {told.life}"
        what = f"{told.event} {told.error}".rstrip()
        if life is None or life.number != told.life:
            self.breach(TOLD_ONCE, f"{who} was told as {what} without being alive")
            return
        if self._begun and told.path in self._begun.supervisors:
            wrong = _wrong_end_of_supervisor(life, told)
        else:
            wrong = _wrong_end(life, told)
        if wrong:
            self.breach(TOLD_ONCE, f"{who} was told as {what}, but {wrong}")

    # --- the rest ----------------------------------------------------------------------------------

    @see.register
    def _(self, line: Fault) -> None:
        self.counts["faults"] += 1
        self.faults[line.kind] += 1

    @see.register
    def _(self, line: Answered) -> None:
        self.counts["commands"] += 1
        self.faults[f"{line.command}: {line.answer}"] += 1

    @see.register
    def _(self, line: Calm) -> None:
        self.calms.append(line)
        if not line.healthy:
            self.breach(HEALS, f"after {line.waited:.0f} s without faults {line.unwell}")

    @see.register
    def _(self, line: Trouble) -> None:
        self.breach(CLEAN, line.what)

    @see.register
    def _(self, line: Asked) -> None:
        self._asked = line.at

    @see.register
    def _(self, line: Ended) -> None:
        self.ended = line
        for path, life in self._lives.items():
            self._unended(path, life)
        for key, number in self._logged.items():
            if number > 0:
                self.breach(LOGGED_ONCE, f"{key} was logged {number} times more than told")
        for left in line.left:
            self.breach(NO_ORPHAN, left)
        if line.code:
            self.breach(STOPS, f"exit code {line.code}")
        if self._asked is None or line.at - self._asked > STOP_WITHIN:
            self.breach(STOPS, f"the stop took longer than {STOP_WITHIN:g} s")
        if line.told != self.counts["events"]:
            told = f"the subscription told {line.told} of {self.counts['events']} events"
            self.breach(TOLD_ONCE, told)


def _key(line: Told | Logged) -> tuple[object, ...]:
    return line.event, line.path, line.life, line.failures


def _wrong_end(life: Life, told: Told) -> str:
    """What is wrong with the end that was told of a life; empty if nothing is.

    A life that was to go down, or had missed a deadline, ends without a verdict; but what it raises
    is told all the same.
    """
    over, missed = life.over, bool(life.missed)
    stopped = told.event == "Stopped"
    if over is None:
        return "" if stopped and life.asked and not life.began else "its component has not ended"
    if over.how == "raised":
        right = told.event == "Crashed" and told.failures == (over.failure,)
        return "" if right else f"it raised {over.error} (failure {over.failure})"
    if over.how == "cancelled" and not over.foreign:
        return "" if stopped and (life.asked or missed) else "it was cancelled"
    own, why = _end_of_its_own(over)
    right = f"{told.event} {told.error}".rstrip() == own
    return "" if right or (stopped and (life.leaving or missed)) else why


def _end_of_its_own(over: Over) -> tuple[str, str]:
    """How the end is told of a life that nobody had asked to end, and why so."""
    if over.how == "declined":
        return "Declined", "it declined"
    if over.how == "cancelled":
        return "Crashed ForeignCancellation", "somebody else had cancelled it"
    if over.open:
        return "Crashed ScopesLeftOpen", "it left scopes open"
    return "Returned", "it returned"


def _wrong_end_of_supervisor(life: Life, told: Told) -> str:
    if told.event == "Crashed":
        return "" if life.escalated and told.error == "TreeFailed" else "it had not given up"
    if life.escalated:
        return "it had given up"
    return "" if told.event == "Stopped" and life.asked else "nobody had asked it to end"


NO_ORPHAN: Final = "law 1, no orphan"
NO_LEAK: Final = "law 1 and 15, no leak"
ONE_LIFE: Final = "law 2, one life at a time"
ORDER: Final = "law 3, starts in order"
TOLD_ONCE: Final = "law 7, told once"
LOGGED_ONCE: Final = "law 7, logged once"
STOPS: Final = "law 9, stops in time"
HEALS: Final = "the tree heals"
CLEAN: Final = "nothing else complains"

_TOLD: Final[Mapping[str, Callable[[Judge, Any], None]]] = {
    "Started": Judge._started,
    "StopAsked": Judge._was_asked,
    "Held": Judge._held,
    "GroupRestarted": Judge._group_restarted,
    "Crashed": Judge._crashed,
    "Escalated": Judge._escalated,
    "StopTimedOut": Judge._timed_out,
    "StopBegun": Judge._stop_begun,
    **dict.fromkeys(ENDS - {"Crashed"}, Judge._end),
}
