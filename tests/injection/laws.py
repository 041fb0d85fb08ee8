"""The laws that a run has to have kept, wherever it was cancelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from supervisor import (
    Crashed,
    Declined,
    Deleted,
    Ended,
    Event,
    ForeignCancellation,
    Returned,
    Started,
    StopAsked,
    StopBegun,
    Stopped,
    StopTimedOut,
)
from tests.injection.inject import LIMIT, Run
from tests.injection.stage import CONSEQUENCES

ENDS = Crashed | Declined | Returned | Stopped


def broken(run: Run) -> list[str]:
    """What a run has broken, a line for each; empty if all is well."""
    return [
        *_is_quiet(run),
        *_leaves_nothing(run),
        *_cancels_whom_it_should(run),
        *_tells_of_each_crash_once(run),
        *_pairs_starts_and_ends(run),
        *_starts_nothing_after_a_stop(run),
        *_keeps_deadlines(run),
    ]


def _is_quiet(run: Run) -> Iterator[str]:
    """Nothing is raised but what was to be, and nothing is complained of behind our backs."""
    yield from run.complaints
    if run.error is not None and not (run.strike and _is_consequence(run.error)):
        at = run.error.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        where = "" if at is None else f" in {at.tb_frame.f_code.co_qualname}:{at.tb_lineno}"
        yield f"raised {run.error!r}{where}"
    if run.ended_at >= LIMIT:
        yield "it took for ever"


def _is_consequence(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup) and not isinstance(error, CONSEQUENCES):
        return all(map(_is_consequence, error.exceptions))
    return isinstance(error, CONSEQUENCES)


def _leaves_nothing(run: Run) -> Iterator[str]:
    """Law 1: no task is left, no life goes on, nobody is served any more."""
    yield from (f"left: {line}" for line in run.left)
    for fault in run.stage.faults:
        for life in fault.lives:
            if life.alive:
                yield f"life {life.number} of {fault!r} is still alive"
    for tree in run.stage.trees:
        runtime = tree._runtime
        if not runtime.finished.is_set():
            yield "the tree has not ended"
        if not runtime.root.node.finished:
            yield "the machine has not ended"
        if not runtime.bus.closed:
            yield "the bus is still open"
        if runtime._inbox or runtime._draining:
            yield "a step was left in the middle"
        if runtime.root.watchers:
            yield f"somebody still waits for {[state.path for state in runtime.root.watchers]}"


def _cancels_whom_it_should(run: Run) -> Iterator[str]:
    """Law 8: a cancellation comes out where it was sent, and nowhere else."""
    strike, stage = run.strike, run.stage
    if strike is None:
        if run.caught or run.cancelled:
            yield "cancelled by nobody"
        return
    if strike.variant == "block":
        if not run.caught:
            yield "the cancellation of the block was swallowed"
        elif stage.left_normally and _is_heard_in_the_block(run):
            yield "the block was left as if it had not been cancelled"
    elif strike.variant == "native":
        if strike.task is stage.task and not run.cancelled:
            yield "the native cancellation was swallowed"
    elif run.caught:
        yield "the cancellation of something else came out of the block"
    at_once = strike.variant in {"call", "native"} and strike.own
    if at_once and strike.call is not None and strike.call.how != "cancelled":
        yield f"a cancelled call {strike.call.how}"
    if strike.variant == "call" and not (stage.proved or _stops_anyway(run)):
        yield "the tree was not usable afterwards"


def _is_heard_in_the_block(run: Run) -> bool:
    """Not at its very end, where a task group waits for its tasks all the same: there it comes out
    at the next checkpoint, by trio's own rule, and by anyio's if there is nothing to wait for."""
    strike = run.strike
    assert strike is not None
    return not strike.leaving or (strike.own and strike.point.waits and run.backend == "asyncio")


def _stops_anyway(run: Run) -> bool:
    return any(isinstance(e, StopBegun) and "/" not in e.path for e in run.events)


def _tells_of_each_crash_once(run: Run) -> Iterator[str]:
    """Law 7; and law 8: only a foreign cancellation of a life is a crash."""
    told = Counter(id(e.error) for e in run.events if isinstance(e, Crashed))
    for fault in run.stage.faults:
        for life in fault.lives:
            if life.how == "raised" and told[id(life.error)] != 1:
                yield f"{life.error!r} was told {told[id(life.error)]} times"
    foreign = [e.path for e in run.events if _is_foreign(e)]
    strike = run.strike
    expected = strike is not None and strike.life is not None and not strike.was_asked
    if foreign and not expected:
        yield f"a cancellation was taken for a crash of {foreign}"
    if len(foreign) > 1:
        yield f"one foreign cancellation was told of {foreign}"


def _is_foreign(event: Event) -> bool:
    if not isinstance(event, Crashed):
        return False
    return isinstance(event.error, ForeignCancellation) or not isinstance(event.error, Exception)


def _pairs_starts_and_ends(run: Run) -> Iterator[str]:
    """Law 2: lives of a child follow one another, each told at its beginning and at its end."""
    alive: dict[str, int] = {}
    last: dict[str, int] = {}
    for event in run.events:
        path = event.path
        if isinstance(event, Started):
            if path in alive:
                yield f"life {event.life} of {path} began beside life {alive[path]}"
            if event.life not in {1, last.get(path, 0) + 1}:
                yield f"life {event.life} of {path} came after {last.get(path, 0)}"
            alive[path] = last[path] = event.life
        elif isinstance(event, ENDS):
            if alive.pop(path, None) != event.life:
                yield f"the end of life {event.life} of {path} was told without its beginning"
        elif isinstance(event, Deleted):
            last.pop(path, None)
    yield from (f"the end of life {life} of {path} was never told" for path, life in alive.items())


def _starts_nothing_after_a_stop(run: Run) -> Iterator[str]:
    """Law 3: nothing below a supervisor starts once that has begun to stop, in this life of it."""
    stopping: set[str] = set()
    for event in run.events:
        if isinstance(event, StopBegun):
            stopping.add(event.path)
        elif isinstance(event, Started):
            stopping.discard(event.path)
            over = [path for path in stopping if event.path.startswith(f"{path}/")]
            if over:
                yield f"{event.path} started although {over[0]} stops"


def _keeps_deadlines(run: Run) -> Iterator[str]:
    """Law 9: by its deadline, what was asked to end has ended or is told as stuck."""
    due: dict[str, float] = {}
    by = None
    for event in run.events:
        if isinstance(event, StopBegun) and "/" not in event.path:
            by = event.by if by is None else by
        elif isinstance(event, StopAsked):
            due.setdefault(event.path, event.at + event.grace + event.deadline)
        elif isinstance(event, ENDS | StopTimedOut):
            late = event.at - due.pop(event.path, event.at)
            if late > 1e-6:
                yield f"{event.path} ended {late} s after its deadline, and nobody was told"
    ends = [e for e in run.events if isinstance(e, Ended) and "/" not in e.path]
    roots = len(run.stage.trees)
    if len([e for e in ends if not e.stuck]) != roots:
        yield f"the end of {roots} trees was told {len(ends)} times"
    if by is not None and ends and ends[0].at > by + 1e-6:
        yield f"the tree ended at {ends[0].at}, to be stopped by {by}"
