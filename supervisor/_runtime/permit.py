"""A permit, and the wait for one."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from msgspec import Struct

from supervisor._core.permits import BudgetState
from supervisor._errors import PermitUsed

if TYPE_CHECKING:
    from supervisor._runtime.broker import RunningBroker

FRESH: Final = 0
ENTERED: Final = 1
USED: Final = 2


@final
class Permit(Struct, eq=False, gc=False):
    """The right to make one call, of a ``budget``, at a ``cost``. It serves once.

    ``waited`` is how many seconds it took to be granted, ``granted_at`` when that was, in seconds
    of the tree's clock. As a context manager it reports the call's answer: left without an
    exception, the call was answered; what :meth:`throttled` reported before, stays reported; any
    other exception says nothing about the budget.

    A permit that is only acquired is spent, with nothing more to do. What reports an answer, or
    gives the permit back, does so once: the second time raises PermitUsed.
    """

    _state: BudgetState | Unlimited
    granted_at: float
    cost: int = 1
    waited: float = 0.0
    _stage: int = FRESH

    @property
    def budget(self) -> str:
        """The name of its budget."""
        return self._state.name

    def __await__(self) -> Generator[Any, Any, Permit]:
        yield from ()
        return self

    def give_back(self) -> None:
        """Return it unused: somebody else may have it.

        Raises:
            PermitUsed: it was used or given back before.
        """
        self._use(FRESH)
        if isinstance(self._state, BudgetState):
            self._state.owner._given_back(self._state, self)

    def throttled(self, retry_after: float | None = None) -> None:
        """Report that the service said "too many requests", and when it wants to hear again.

        Nobody gets a permit of this budget for ``retry_after`` seconds; an adaptive rate is cut.

        Raises:
            PermitUsed: its answer was reported before.
            ValueError: ``retry_after`` is negative, infinite or not a number.
        """
        refuse_no_rest(retry_after)
        self._use(ENTERED)
        if isinstance(self._state, BudgetState):
            self._state.owner._throttled(self._state, self, retry_after)

    def answered(self) -> None:
        """Report that the service has answered, so that an adaptive rate may grow.

        Raises:
            PermitUsed: its answer was reported before.
        """
        self._use(ENTERED)
        if isinstance(self._state, BudgetState):
            self._state.owner._answered(self._state, self)

    def _answered_if_new(self) -> None:
        """Report an answer, unless one was reported before or nobody learns from it."""
        if self._stage != USED and self._state.adaptive is not None:
            self.answered()

    def _use(self, latest: int) -> None:
        if self._stage > latest:
            raise PermitUsed(self.budget)
        self._stage = USED

    async def __aenter__(self) -> Permit:
        if self._stage != FRESH:
            raise PermitUsed(self.budget)
        self._stage = ENTERED
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None and self._stage == ENTERED and self._state.adaptive is not None:
            self.answered()
        self._stage = USED


class Unlimited(Struct, frozen=True, gc=False):
    """In the place of a budget that the broker does not have and lets pass."""

    name: str
    adaptive: None = None


@final
class Waiting(Struct, eq=False):
    """A permit that is not there yet: await it, or enter it, once."""

    _broker: RunningBroker
    _budget: str
    _rank: int
    _cost: int
    _permit: Permit | None = None

    def __await__(self) -> Generator[Any, Any, Permit]:
        return self._broker._wait(self._budget, self._rank, self._cost).__await__()

    async def __aenter__(self) -> Permit:
        self._permit = await self
        return await self._permit.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._permit is not None
        await self._permit.__aexit__(kind, error, traceback)


Acquisition: TypeAlias = Permit | Waiting
"""What ``acquire()`` answers with: await it, or enter it. It is the permit itself where that is
there at once, as most are."""


def refuse_no_rest(retry_after: float | None) -> None:
    """Refuse what is no time to rest.

    Raises:
        ValueError: it is negative, infinite or not a number.
    """
    if retry_after is not None and not 0 <= retry_after < float("inf"):
        raise ValueError(f"retry_after is a number of seconds, 0 or more, not {retry_after!r}")
