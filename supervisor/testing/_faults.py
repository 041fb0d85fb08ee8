"""Components that misbehave when a test says so, and keep a record of their lives.

Each is a callable to declare or start like any component: ``Component(Crashing(times=3))``. What
happened to it is in ``lives``, with the times of ``anyio.current_time()``; the arguments that a
life was given are there too. Those that could keep a failing test from ending give in by
themselves after a while.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import anyio
from anyio import TASK_STATUS_IGNORED, current_time, get_cancelled_exc_class, to_thread
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

from supervisor._errors import Decline

Status: TypeAlias = TaskStatus[Any]


class Boom(Exception):
    """What the components of this module raise unless they are told what to raise."""


@dataclass(eq=False)
class Life:
    """One run of a fault component; all times are in seconds of the event loop's clock.

    ``ready`` is when it called ``task_status.started()``, where it does. ``asked`` is when the
    first cancellation reached it. ``how`` and ``ended`` are ``None`` while it is alive.
    """

    number: int
    args: tuple[object, ...]
    began: float
    ready: float | None = None
    asked: float | None = None
    ended: float | None = None
    how: Literal["returned", "raised", "cancelled", "declined"] | None = None
    error: BaseException | None = None

    @property
    def alive(self) -> bool:
        return self.ended is None


class Fault:
    """What all fault components have: a record of their lives.

    Make a new one for each test. It may have several lives at once, if it has ``copies`` or was
    declared more than once.
    """

    def __init__(self) -> None:
        self.lives: list[Life] = []
        self._changed = anyio.Event()

    def __repr__(self) -> str:
        alive = sum(life.alive for life in self.lives)
        return f"<{type(self).__name__} lives={len(self.lives)} alive={alive}>"

    @property
    def alive(self) -> bool:
        """Whether it has a life now."""
        return any(life.alive for life in self.lives)

    @property
    def starts(self) -> list[float]:
        """When its lives began."""
        return [life.began for life in self.lives]

    async def wait_began(self, number: int = 1) -> Life:
        """Wait until life ``number`` (from 1) has begun."""
        while len(self.lives) < number:
            await self._changed.wait()
        return self.lives[number - 1]

    async def wait_ended(self, number: int = 1) -> Life:
        """Wait until life ``number`` (from 1) has ended."""
        life = await self.wait_began(number)
        while life.alive:
            await self._changed.wait()
        return life

    @contextmanager
    def _life(self, args: tuple[object, ...]) -> Iterator[Life]:
        life = Life(len(self.lives) + 1, args, current_time())
        self.lives.append(life)
        self._tell()
        try:
            yield life
        except BaseException as error:
            life.error = error
            life.how = _how(error)
            if life.how == "cancelled" and life.asked is None:
                life.asked = current_time()
            raise
        else:
            life.how = "returned"
        finally:
            life.ended = current_time()
            self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


def _how(error: BaseException) -> Literal["raised", "cancelled", "declined"]:
    if isinstance(error, get_cancelled_exc_class()):
        return "cancelled"
    return "declined" if isinstance(error, Decline) else "raised"


def _started(life: Life, task_status: Status, value: object) -> None:
    life.ready = current_time()
    task_status.started(value)


class Hanging(Fault):
    """Waits for ever and ends when it is cancelled: the component that does nothing wrong."""

    async def __call__(self, *args: object) -> None:
        with self._life(args):
            await anyio.sleep_forever()


class Returning(Fault):
    """Returns ``value`` after ``after`` seconds; at 0 at once, without ever awaiting."""

    def __init__(self, value: object = None, *, after: float = 0.0) -> None:
        super().__init__()
        self.value = value
        self.after = after

    async def __call__(self, *args: object) -> object:
        with self._life(args):
            if self.after:
                await anyio.sleep(self.after)
            return self.value


class Crashing(Fault):
    """Crashes in its first ``times`` lives, ``None`` for all of them; the next ones wait for ever.

    Args:
        times: how many lives crash.
        after: seconds from the beginning of a life to its crash; at 0 it never awaits.
        error: what it raises, or makes it, once for each life: any exception, ``SystemExit`` and
            exception groups among them.
    """

    def __init__(
        self,
        times: int | None = None,
        *,
        after: float = 0.0,
        error: Callable[[], BaseException] | BaseException = Boom,
    ) -> None:
        super().__init__()
        self.times = times
        self.after = after
        self.error = error

    async def __call__(self, *args: object) -> None:
        with self._life(args) as life:
            if self.times is not None and life.number > self.times:
                await anyio.sleep_forever()
            if self.after:
                await anyio.sleep(self.after)
            raise self.error if isinstance(self.error, BaseException) else self.error()


class Declining(Fault):
    """Declines to run: the first ``times`` lives, ``None`` for all; the next ones wait for ever."""

    def __init__(self, reason: str = "not today", *, times: int | None = None) -> None:
        super().__init__()
        self.reason = reason
        self.times = times

    async def __call__(self, *args: object, task_status: Status = TASK_STATUS_IGNORED) -> None:
        with self._life(args) as life:
            if self.times is None or life.number <= self.times:
                raise Decline(self.reason)
            _started(life, task_status, None)
            await anyio.sleep_forever()


class Cued(Fault):
    """Runs until the test says how it is to end: :meth:`crash` or :meth:`finish`."""

    def __init__(self) -> None:
        super().__init__()
        self._cues: dict[Life, _Cue] = {}

    async def __call__(self, *args: object) -> object:
        with self._life(args) as life:
            return await self._wait_cue(life)

    def crash(self, error: BaseException | None = None) -> None:
        """Let the youngest life that is alive raise ``error`` (:class:`Boom` by default).

        Raises:
            RuntimeError: none is alive, or it has had its cue.
        """
        self._cue().give(error=Boom() if error is None else error)

    def finish(self, value: object = None) -> None:
        """Let the youngest life that is alive return ``value``; raises as :meth:`crash` does."""
        self._cue().give(value=value)

    def _cue(self) -> _Cue:
        if not self._cues:
            raise RuntimeError(f"{self!r} waits for no cue: it has no life, or is not ready")
        return self._cues[next(reversed(self._cues))]

    async def _wait_cue(self, life: Life) -> object:
        cue = self._cues[life] = _Cue()
        try:
            return await cue.wait()
        finally:
            del self._cues[life]


class _Cue:
    def __init__(self) -> None:
        self._given = anyio.Event()
        self._value: object = None
        self._error: BaseException | None = None

    def give(self, *, value: object = None, error: BaseException | None = None) -> None:
        if self._given.is_set():
            raise RuntimeError("the life has had its cue")
        self._value, self._error = value, error
        self._given.set()

    async def wait(self) -> object:
        await self._given.wait()
        if self._error is not None:
            raise self._error
        return self._value


class Gated(Cued):
    """Asks the test at every start: :meth:`open`, :meth:`decline` or :meth:`fail`.

    Each start takes one answer, the first one given, and waits while there is none: it is not
    ready. So answers can be given beforehand, or be held back for a start that takes for ever.
    Once open it is a :class:`Cued`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._answers: deque[BaseException | _Open] = deque()
        self._answered = anyio.Event()

    async def __call__(self, *args: object, task_status: Status = TASK_STATUS_IGNORED) -> object:
        with self._life(args) as life:
            answer = await self._take()
            if isinstance(answer, BaseException):
                raise answer
            _started(life, task_status, answer.value)
            return await self._wait_cue(life)

    def open(self, value: object = None) -> None:
        """Let a start become ready, with ``value`` as its start value."""
        self._answer(_Open(value))

    def decline(self, reason: str = "not today") -> None:
        """Let a start decline."""
        self._answer(Decline(reason))

    def fail(self, error: BaseException | None = None) -> None:
        """Let a start raise ``error`` (:class:`Boom` by default) before it is ready."""
        self._answer(Boom() if error is None else error)

    def _answer(self, answer: BaseException | _Open) -> None:
        self._answers.append(answer)
        self._answered.set()

    async def _take(self) -> BaseException | _Open:
        while not self._answers:
            if self._answered.is_set():
                self._answered = anyio.Event()
            await self._answered.wait()
        return self._answers.popleft()


@dataclass
class _Open:
    value: object


class Outage:
    """A switch that several :class:`FailingDuring` share, like the server that they all need."""

    def __init__(self, *, on: bool = False) -> None:
        self.on: bool = on

    def begin(self) -> None:
        """Let starts fail from now on; what is ready stays so."""
        self.on = True

    def end(self) -> None:
        """Let starts succeed again."""
        self.on = False


class FailingDuring(Fault):
    """Fails its start while the outage is on; when ready it waits for ever, outage or not."""

    def __init__(self, outage: Outage, *, value: object = None) -> None:
        super().__init__()
        self.outage = outage
        self.value = value

    async def __call__(self, *args: object, task_status: Status = TASK_STATUS_IGNORED) -> None:
        with self._life(args) as life:
            if self.outage.on:
                raise Boom("outage")
            _started(life, task_status, self.value)
            await anyio.sleep_forever()


class SlowStarting(Fault):
    """Is ready after ``seconds``, with ``value`` as its start value; then waits for ever."""

    def __init__(self, seconds: float, *, value: object = None) -> None:
        super().__init__()
        self.seconds = seconds
        self.value = value

    async def __call__(self, *args: object, task_status: Status = TASK_STATUS_IGNORED) -> None:
        with self._life(args) as life:
            await anyio.sleep(self.seconds)
            _started(life, task_status, self.value)
            await anyio.sleep_forever()


class SlowStopping(Fault):
    """Takes ``seconds`` to clean up, shielded, when it is cancelled.

    ``error`` is what it raises when the clean-up is done; by default it ends as cancelled.
    """

    def __init__(self, seconds: float, *, error: BaseException | None = None) -> None:
        super().__init__()
        self.seconds = seconds
        self.error = error

    async def __call__(self, *args: object) -> None:
        with self._life(args) as life:
            try:
                await anyio.sleep_forever()
            finally:
                life.asked = current_time()
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(self.seconds)
                if self.error is not None:
                    raise self.error


class Swallowing(Fault):
    """Swallows every cancellation and goes on, until the test lets it go.

    While it is cancelled it makes both backends spin. After ``limit`` swallowed cancellations it
    gives in, so that a test that fails before :meth:`let_go` ends.
    """

    def __init__(self, *, limit: int = 100_000) -> None:
        super().__init__()
        self.limit = limit
        self.swallowed: int = 0
        self._free = False
        self._nudge = anyio.Event()

    async def __call__(self, *args: object) -> None:
        with self._life(args) as life:
            while not self._free:
                try:
                    await self._nudge.wait()
                except get_cancelled_exc_class():
                    if not self._swallows(life):
                        raise
            # The cancellation that it held out against must end it now.
            await checkpoint()

    def let_go(self) -> None:
        """Let it, and its later lives, end at once."""
        self._free = True
        self._nudge.set()

    def _swallows(self, life: Life) -> bool:
        if life.asked is None:
            life.asked = current_time()
        self.swallowed += 1
        return self.swallowed < self.limit


class Blocking(Fault):
    """Sits in a worker thread that knows no cancellation, until the test lets it go.

    After ``limit`` real seconds it gives in. On the virtual clock time passes meanwhile; see the
    ``threshold`` of :func:`~supervisor.testing.virtual_backend`.
    """

    def __init__(self, *, limit: float = 30.0) -> None:
        super().__init__()
        self.limit = limit
        self._free = threading.Event()

    async def __call__(self, *args: object) -> None:
        with self._life(args):
            await to_thread.run_sync(self._free.wait, self.limit)

    def let_go(self) -> None:
        """Let it, and its later lives, end at once."""
        self._free.set()
