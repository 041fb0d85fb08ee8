"""Error records: what went wrong, as text and numbers, and what became of it.

No exception, traceback or frame is kept: a record that held one would hold all that its frames do.
Where an error came from is looked at when it is recorded, and known again by its type and place.
Whether it is resolved follows from later events. What only time brings about (a life that has stayed
up for long enough) is found when somebody asks or the child's next event comes, and dated when it
became true.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, Final

from msgspec import Struct

from supervisor._core.classify import severity
from supervisor._core.fingerprint import (
    LONGEST,
    fingerprint,
    innermost,
    is_plain,
    leaves_of,
    plain,
    text_of,
    type_name,
    where,
)
from supervisor._happenings import (
    AttemptFailed,
    BreakerClosed,
    CallRecovered,
    Crashed,
    Deleted,
    Event,
    FallbackServed,
    Ready,
    Recovered,
    Returned,
    Started,
    StopAsked,
    Stopped,
    StopTimedOut,
)
from supervisor._views import ErrorGroup, ErrorRecord, Resolution
from supervisor._words import Severity

CAPACITY: Final = 1000
"""Records that are kept, and fingerprints, and places where errors come from."""

LONGEST_CONTEXT: Final = 200
"""Characters of what a caller says of its call."""


class Errors:
    """The last errors of a tree, those that are of one kind, and which of them are resolved.

    ``reset_after`` answers for how long a life of the child at a path has to stay ready to have
    proved itself.
    """

    def __init__(
        self,
        capacity: int = CAPACITY,
        *,
        reset_after: Callable[[str], float] = lambda path: math.inf,
    ) -> None:
        self.forgotten = 0
        self.groups_forgotten = 0
        self.total = 0
        self.ring: deque[Record] = deque()
        self.groups: dict[str, _Group] = {}
        self._capacity = capacity
        self._reset_after = reset_after
        self._places: dict[tuple[type, int, int], _Place] = {}
        # What is not resolved, by the path of its child or the number of its call. Each case has
        # records in the ring, which bounds them.
        self._open: dict[str | int, _Case] = {}

    # --- recording -------------------------------------------------------------------------------

    def crashed(self, event: Crashed, time: float) -> Record:
        """A life has crashed."""
        self.total = number = self.total + 1
        error, attempt = event.error, event.verdict.attempt or 1
        case = self._left_ready(event)
        if case is None:
            case = _Case(event.path, self._reset_after(event.path))
            self._open[event.path] = case
        place, message, fingerprint = self._told(error)
        record = Record(
            number,
            event.at,
            time,
            event.path,
            event.life,
            place.type,
            message,
            place.severity_of(error),
            fingerprint,
            place.where,
            "",
            0,
            attempt,
            "",
            case,
        )
        self._keep(record)
        return record

    def attempt_failed(self, event: AttemptFailed, time: float) -> Record:
        """An attempt of a guarded call has failed."""
        self.total = number = self.total + 1
        case = self._open.get(event.call)
        if case is None:
            case = self._open[event.call] = _Case(event.call, math.inf)
        place, message, fingerprint = self._told(event.error)
        context = event.context
        if context:
            context = plain(context, LONGEST_CONTEXT)
        record = Record(
            number,
            event.at,
            time,
            event.path,
            event.life,
            place.type,
            message,
            event.severity,
            fingerprint,
            place.where,
            event.guard,
            event.call,
            event.attempt,
            context,
            case,
        )
        self._keep(record)
        return record

    def _told(self, error: BaseException) -> tuple[_Place, str, str]:
        """Where an error comes from, its message and its fingerprint."""
        if isinstance(error, BaseExceptionGroup):
            leaves = leaves_of(error)
            if len(leaves) > 1 or type(error) not in (ExceptionGroup, BaseExceptionGroup):
                return self._told_of_group(error, leaves)
            error = leaves[0]  # a task group's way of saying it
        place = self._place_of(error)
        message = text_of(error)
        if message != place.message:
            place.message = message
            place.fingerprint = fingerprint(place.type, place.where, message)
        return place, message, place.fingerprint

    def _told_of_group(
        self, group: BaseException, leaves: list[BaseException]
    ) -> tuple[_Place, str, str]:
        # In the order of what they say: within an instant that of tasks is the scheduler's.
        places = [(self._place_of(leaf), text_of(leaf)) for leaf in leaves]
        told = sorted((place.type, place.where, text) for place, text in places)
        types = ", ".join(dict.fromkeys(kind for kind, _, _ in told))
        place = _Place(f"{type_name(type(group))}[{types}]", told[0][1])
        message = "; ".join(f"{kind}: {text}" if text else kind for kind, _, text in told)
        message = plain(message, LONGEST)
        return place, message, fingerprint(place.type, place.where, message)

    def _place_of(self, error: BaseException) -> _Place:
        at = innermost(error.__traceback__)
        kind = type(error)
        code = None if at is None else at.tb_frame.f_code
        # By identity, as it takes long to hash a code; the place keeps it from being another's.
        key = (kind, id(code), at.tb_lasti if at is not None else 0)
        place = self._places.get(key)
        if place is None:
            if len(self._places) >= CAPACITY:
                self._places.clear()
            place = self._places[key] = _Place(type_name(kind), where(at), code)
        return place

    def _keep(self, record: Record) -> None:
        ring = self.ring
        record.case.count += 1  # first, for the one that has to go may be of the same
        if len(ring) >= self._capacity:
            self._forget(ring.popleft().case)
        ring.append(record)
        group = self.groups.get(record.fingerprint)
        if group is None:
            if len(self.groups) >= CAPACITY:
                self._forget_groups()
            group = self.groups[record.fingerprint] = _Group(record)
        group.count += 1
        group.last = record.at

    def _forget_groups(self) -> None:
        """Make room: those that were not seen for longest go, a tenth at a time, so that a storm of
        new ones does not look for the oldest each time."""
        oldest = sorted(self.groups.values(), key=lambda group: group.last)[: CAPACITY // 10 or 1]
        for group in oldest:
            del self.groups[group.record.fingerprint]
        self.groups_forgotten += len(oldest)

    def _forget(self, case: _Case) -> None:
        """The oldest record of a case is gone."""
        self.forgotten += 1
        case.count -= 1
        if not case.count and self._open.get(case.key) is case:
            del self._open[case.key]

    # --- what became of them ---------------------------------------------------------------------

    def note(self, event: Event) -> None:
        """Something that may resolve errors has happened; see :data:`RESOLVING`."""
        handler = RESOLVING.get(type(event))
        if handler is not None:
            handler(self, event)

    def healthy(self, path: str, at: float) -> None:
        """The life of a child works: it says so, or a quarantine ended with it."""
        case = self._open.get(path)
        if case is not None and not self._stayed(case, at):
            self._resolve(case, "restarted", at)

    def settle(self, now: float) -> None:
        """Let time pass: lives that have stayed ready for long enough have proved themselves."""
        for case in tuple(self._open.values()):
            self._stayed(case, now)

    def _started(self, event: Started) -> None:
        case = self._open.get(event.path)
        if case is not None and event.ready:
            case.ready_at = event.at

    def _is_ready(self, event: Ready) -> None:
        case = self._open.get(event.path)
        if case is not None:
            case.ready_at = event.at

    def _left_ready(self, event: Event) -> _Case | None:
        """A life is ready no more. Answers with what is still open of its child's."""
        case = self._open.get(event.path)
        if case is None or self._stayed(case, event.at):
            return None
        case.ready_at = math.inf
        return case

    def _stayed(self, case: _Case, now: float) -> bool:
        """Whether the present life has been ready for long enough by now, which resolves what was
        before it."""
        since = case.ready_at + case.reset_after
        if since > now:
            return False
        self._resolve(case, "restarted", since)
        return True

    def _returned(self, event: Returned) -> None:
        case = self._left_ready(event)
        # A return that is held against the child is no proof that it is well.
        if case is not None and event.verdict.action not in ("quarantine", "escalate"):
            self._resolve(case, "finished", event.at)

    def _recovered(self, event: Recovered) -> None:
        self.healthy(event.path, event.at)

    def _deleted(self, event: Deleted) -> None:
        # Whatever gets its name later is somebody else.
        if self._left_ready(event) is not None:
            del self._open[event.path]

    def _call_recovered(self, event: CallRecovered) -> None:
        if (case := self._open.get(event.call)) is not None:
            self._resolve(case, "retried", event.at)

    def _served(self, event: FallbackServed) -> None:
        if (case := self._open.get(event.call)) is not None:
            self._resolve(case, "fallback", event.at)

    def _breaker_closed(self, event: BreakerClosed) -> None:
        for record in self.ring:
            if record.guard == event.guard and record.case.resolution is None:
                self._resolve(record.case, "breaker closed", event.at)

    def _resolve(self, case: _Case, how: Resolution, at: float) -> None:
        case.resolution, case.resolved_at = how, at
        del self._open[case.key]

    # --- views -------------------------------------------------------------------------------------

    def at(self, path: str = "") -> Iterator[Record]:
        """The records of what is at or below a path, the oldest first."""
        if not path:
            yield from self.ring
            return
        below = f"{path}/"
        for record in self.ring:
            if record.component == path or record.component.startswith(below):
                yield record

    def records(
        self, now: float, path: str = "", *, unresolved: bool = False
    ) -> tuple[ErrorRecord, ...]:
        """The records of what is at or below a path, the oldest first, as they are by now."""
        self.settle(now)
        return tuple(
            record.view()
            for record in self.at(path)
            if not unresolved or record.case.resolution is None
        )

    def kinds(self, path: str = "") -> tuple[ErrorGroup, ...]:
        """Errors by what they have in common, the most frequent first: all of the tree, however long
        ago; of a path those whose records are kept."""
        groups = self.groups
        if path:
            groups = {}
            for record in self.at(path):
                if (group := groups.get(record.fingerprint)) is None:
                    group = groups[record.fingerprint] = _Group(record)
                group.count += 1
                group.last = record.at
        return tuple(sorted((group.view() for group in groups.values()), key=lambda g: -g.count))


RESOLVING: Final[dict[type[Event], Callable[[Errors, Any], object]]] = {
    Started: Errors._started,
    Ready: Errors._is_ready,
    StopAsked: Errors._left_ready,
    Stopped: Errors._left_ready,
    StopTimedOut: Errors._left_ready,
    Returned: Errors._returned,
    Recovered: Errors._recovered,
    Deleted: Errors._deleted,
    CallRecovered: Errors._call_recovered,
    FallbackServed: Errors._served,
    BreakerClosed: Errors._breaker_closed,
}
"""The events that may resolve errors, and what they do."""


class _Case:
    """What is to become of errors that are resolved together: the crashes of a child, or the failed
    attempts of a call. ``key`` says whose; since ``ready_at`` the child's present life is ready."""

    __slots__ = ("count", "key", "ready_at", "reset_after", "resolution", "resolved_at")

    def __init__(self, key: str | int, reset_after: float) -> None:
        self.key = key
        self.count = 0  # records that are kept
        self.ready_at = math.inf  # for not at all
        self.reset_after = reset_after
        self.resolution: Resolution | None = None
        self.resolved_at: float | None = None


class Record(Struct, eq=False, gc=False):
    """An error while it is kept: :class:`~supervisor.ErrorRecord` is what others see of it."""

    id: int
    at: float
    time: float
    component: str
    life: int
    type: str
    message: str
    severity: Severity
    fingerprint: str
    where: str
    guard: str
    call: int
    attempt: int
    context: str
    case: _Case

    def view(self) -> ErrorRecord:
        """What it is by now."""
        case = self.case
        return ErrorRecord(
            **{name: getattr(self, name) for name in self.__struct_fields__ if name != "case"},
            resolved=case.resolution is not None,
            resolution=case.resolution,
            resolved_at=case.resolved_at,
        )


class _Place:
    """Where errors of one type come from, and the last of their messages with its fingerprint."""

    __slots__ = ("code", "fingerprint", "message", "plain", "severity", "type", "where")

    def __init__(self, kind: str, where: str, code: CodeType | None = None) -> None:
        self.type = kind
        self.where = where
        self.code = code
        self.message: str | None = None
        self.fingerprint = ""
        self.plain: bool | None = None
        self.severity: Severity = "low"

    def severity_of(self, error: BaseException) -> Severity:
        """How severe an error from here is. All are alike where the type has nothing of its own that
        may say otherwise; to ask takes several times as long as all the rest."""
        if self.plain and getattr(error, "severity", None) is None:
            return self.severity
        said = severity(error)
        if self.plain is None:
            self.plain = is_plain(type(error)) and getattr(error, "severity", None) is None
            self.severity = said
        return said


class _Group:
    """All errors of one fingerprint."""

    __slots__ = ("count", "last", "record")

    def __init__(self, record: Record) -> None:
        self.record = record  # the first; text and numbers, of which it has its own
        self.count = 0
        self.last = record.at

    def view(self) -> ErrorGroup:
        first = self.record
        return ErrorGroup(
            fingerprint=first.fingerprint,
            type=first.type,
            message=first.message,
            where=first.where,
            count=self.count,
            first=first.at,
            last=self.last,
        )
