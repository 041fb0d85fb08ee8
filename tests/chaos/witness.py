"""What the components did, seen from between them and the supervisor, who knows nothing of it.

Every call of a component goes through here. What it raises gets a number, which the supervisor has
to tell once and no more.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from itertools import count
from typing import Any, Literal, TypeAlias

import anyio
from anyio import CancelScope, get_cancelled_exc_class, to_thread
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

from supervisor import Decline, current_child
from supervisor._spec.tree import takes
from tests.chaos.record import Began, Line, Over, Serves, Trouble, now

Manner: TypeAlias = Literal["raise", "return", "foreign", "open scope", "open group", "thread"]
Start: TypeAlias = Callable[["Life"], Awaitable[None]]

THREAD = 0.3
"""Seconds for which a life that leaves a thread working does so."""


class Life:
    """One call of a component, and what is to become of it."""

    def __init__(self, path: str, number: int, *, resource: bool, serves: bool) -> None:
        self.path = path
        self.number = number
        self.resource = resource
        self.serves = serves
        self.scope: CancelScope | None = None
        self.foreign = self.open = False
        self.numb = False
        """Gives no heartbeat."""
        self.lingers = 0.0
        """Seconds for which it cleans up when it is cancelled."""
        self.swallows = 0.0
        """Seconds for which it goes on as if it had not been cancelled."""
        self.last_words: BaseException | Literal["return"] | None = None
        """What it raises when it is cancelled, if not the cancellation."""
        self._manner: Manner | None = None
        self._error: BaseException | None = None
        self._kept: Any = None

    def strike(self, error: BaseException, manner: Manner) -> bool:
        """End the life with this error, in this manner; whether it is where that can be done."""
        if self.scope is None or self._manner is not None:
            return False
        self._manner, self._error = manner, error
        self.scope.cancel()
        return True

    async def end(self) -> None:
        """End as it was struck."""
        match self._manner:
            case None | "return":
                return
            case "foreign":
                raise await self._leaked_cancellation()
            case "open scope":
                self.open = True
                CancelScope().__enter__()
                return
            case "open group":
                self.open = True
                self._kept = anyio.create_task_group()
                await self._kept.__aenter__()
                self._kept.start_soon(anyio.sleep_forever)
            case "thread":
                with anyio.move_on_after(0.01):
                    await to_thread.run_sync(time.sleep, THREAD, abandon_on_cancel=True)
        assert self._error is not None
        raise self._error

    async def asked(self) -> bool:
        """Do what it does when it is cancelled; whether it returns as if nothing had been."""
        if self.lingers:
            with CancelScope(shield=True):
                await anyio.sleep(self.lingers)
        until = now() + self.swallows
        while now() < until:
            try:
                await anyio.sleep(0.02)
            except get_cancelled_exc_class():
                # Both backends would spin at full speed.
                time.sleep(0.002)  # noqa: ASYNC251 - to wait is what cannot be done
        if isinstance(self.last_words, BaseException):
            raise self.last_words
        return self.last_words == "return"

    async def _leaked_cancellation(self) -> BaseException:
        """A cancellation that has left the scope to which it belongs."""
        self.foreign = True
        with CancelScope() as scope:
            scope.cancel()
            try:
                await checkpoint()
            except get_cancelled_exc_class() as cancellation:
                return cancellation
        raise AssertionError("a cancelled scope cancels")


class Witness:
    """Wraps components, and knows which lives there are."""

    def __init__(self, write: Callable[[Line], None]) -> None:
        self.alive: dict[str, Life] = {}
        self.start: Callable[[Life], Start | None] = lambda life: None
        """Decides how a life that begins is to start."""
        self._write = write
        self._failures = count(1)

    def component(self, fn: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[None]]:
        """The component, watched."""

        async def reporting(*args: Any, task_status: TaskStatus[Any], **kwargs: Any) -> None:
            self._look_at(args)
            await self._live(partial(fn, *args, **kwargs), task_status)

        async def plain(*args: Any, **kwargs: Any) -> None:
            self._look_at(args)
            await self._live(partial(fn, *args, **kwargs), None)

        watched = reporting if takes(fn, "task_status") else plain
        watched.__name__ = getattr(fn, "__name__", "component")
        return watched

    def resource(
        self, factory: Callable[..., AbstractAsyncContextManager[Any]]
    ) -> Callable[..., AbstractAsyncContextManager[Any]]:
        """The resource, watched."""

        @asynccontextmanager
        async def watched(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            life = self._began(resource=True, serves=False)
            try:
                await self._started(life)
                async with factory(*args, **kwargs) as value:
                    self._serves(life)
                    try:
                        with CancelScope() as life.scope:
                            yield value
                        await life.end()
                    except get_cancelled_exc_class():
                        if not await life.asked():
                            raise
            except BaseException as exc:
                self._over(life, exc)
                raise
            self._over(life, None)

        return watched

    def _look_at(self, args: tuple[Any, ...]) -> None:
        if any(arg is None for arg in args):
            path = current_child().path
            self._write(Trouble(now(), f"{path} was called with None for a start value"))

    async def _live(
        self, call: Callable[..., Awaitable[object]], status: TaskStatus[Any] | None
    ) -> None:
        life = self._began(resource=False, serves=status is None)
        report = {} if status is None else {"task_status": _Reported(status, self, life)}
        try:
            await self._started(life)
            try:
                with CancelScope() as life.scope:
                    await call(**report)
                await life.end()
            except get_cancelled_exc_class():
                if life.foreign or not await life.asked():
                    raise
        except BaseException as exc:
            self._over(life, exc)
            raise
        self._over(life, None)

    async def _started(self, life: Life) -> None:
        start = self.start(life)
        if start is not None:
            await start(life)

    def _began(self, *, resource: bool, serves: bool) -> Life:
        me = current_child()
        life = Life(me.path, me.life, resource=resource, serves=serves)
        self._write(Began(now(), me.path, me.life, serves))
        self.alive[me.path] = life
        return life

    def _serves(self, life: Life) -> None:
        life.serves = True
        self._write(Serves(now(), life.path, life.number))

    def _over(self, life: Life, exc: BaseException | None) -> None:
        if self.alive.get(life.path) is life:
            del self.alive[life.path]
        over = Over(now(), life.path, life.number, _how(exc), foreign=life.foreign, open=life.open)
        if over.how in ("raised", "declined"):
            assert exc is not None
            over.failure, over.error = next(self._failures), type(exc).__name__
            number(exc, over.failure)
        self._write(over)


class _Reported(TaskStatus[Any]):
    """The supervisor's ``task_status``, watched."""

    def __init__(self, status: TaskStatus[Any], witness: Witness, life: Life) -> None:
        self._status = status
        self._witness = witness
        self._life = life

    def started(self, value: Any = None) -> None:
        self._witness._serves(self._life)
        self._status.started(value)


def _how(exc: BaseException | None) -> str:
    if exc is None:
        return "returned"
    if isinstance(exc, get_cancelled_exc_class()):
        return "cancelled"
    if isinstance(exc, BaseExceptionGroup) and exc.split(get_cancelled_exc_class())[1] is None:
        return "cancelled"
    return "declined" if isinstance(exc, Decline) else "raised"


def number(exc: BaseException, failure: int) -> None:
    """Give an exception its number: itself and its leaves, as a group may be told in part."""
    if isinstance(exc, get_cancelled_exc_class()):
        return
    exc.failure = failure  # type: ignore[attr-defined]
    for leaf in exc.exceptions if isinstance(exc, BaseExceptionGroup) else ():
        number(leaf, failure)


def numbers(exc: BaseException) -> set[int]:
    """The numbers of an exception and of its leaves."""
    found = {exc.failure} if hasattr(exc, "failure") else set()
    for leaf in exc.exceptions if isinstance(exc, BaseExceptionGroup) else ():
        found |= numbers(leaf)
    return found
