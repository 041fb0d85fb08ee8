"""The broker's actor: it grants permits to those who wait, in the order that the budgets decide.

Who asks while nobody waits takes the permit at once, on the budget's own state: the event loop runs
one task at a time and nothing here awaits in between. Otherwise a request goes through the broker's
memory channel, and is granted by a flag and an event in the request itself, which both sides see:
a permit that was put into a stream would be lost with whoever is cancelled before he takes it.

All state belongs to the child, not to a life of it: a life that crashes loses no waiter, as the
next one goes on with the same requests in the same order.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import anyio
from anyio import current_effective_deadline
from anyio.lowlevel import cancel_shielded_checkpoint, checkpoint, checkpoint_if_cancelled
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from supervisor._core.figures import figures, status
from supervisor._core.permits import BudgetState
from supervisor._core.waiting import RANKS, Request
from supervisor._errors import BrokerClosed, CostTooHigh, Problem, TreeInvalid, UnknownBudget
from supervisor._happenings import BudgetChanged, Event, GateShut, RateCut
from supervisor._runtime.context import current_life
from supervisor._runtime.permit import Acquisition, Permit, Unlimited, Waiting
from supervisor._spec.budgets import wrong_budget
from supervisor._spec.calls import Budget, Limit
from supervisor._spec.tree import Broker
from supervisor._views import BrokerStatistics, BudgetStatus
from supervisor._words import Priority

if TYPE_CHECKING:
    from supervisor._core.child import ChildState
    from supervisor._runtime.life import CurrentChild
    from supervisor._runtime.runtime import Runtime

log = logging.getLogger("supervisor")

PRIORITIES: Final[Mapping[str | None, int]] = {name: rank for rank, name in enumerate(RANKS)}

FAIRNESS: Final = 128
"""So many are granted in one turn of the event loop."""

YIELDING: Final = 4
"""One in so many looks at the bucket yields to the event loop, so that a loop of permits that are
there does not hold it. A look serves up to a millisecond, or 128 permits."""

SHORTEST: Final = 0.001
"""Seconds. uvloop fires up to a millisecond early (uvloop#739), so that a shorter sleep is none."""


@final
class RunningBroker:
    """A broker in a running tree: the start value of its :class:`~supervisor.Broker`.

    ``path`` is that of the child. Permits are asked for by name; ``supervisor.acquire`` finds the
    broker itself.
    """

    path: str
    _tree: Runtime
    _spec: Broker
    _clock: Callable[[], float]
    _make_signal: Callable[[], anyio.Event]
    _budgets: dict[str, BudgetState]
    _busy: dict[BudgetState, None]
    _passed: int
    _in_a_row: int
    _closed: bool
    _serving: bool
    _asleep: bool
    _nap: anyio.CancelScope
    _send: MemoryObjectSendStream[_Asked]
    _receive: MemoryObjectReceiveStream[_Asked]

    def __init__(self) -> None:
        raise TypeError("a running broker is not made by hand; current_broker() finds it")

    @classmethod
    def _of(cls, tree: Runtime, child: ChildState, spec: Broker) -> RunningBroker:
        self = cls.__new__(cls)
        self.path = child.path
        self._tree = tree
        self._spec = spec
        self._clock = tree.now
        self._make_signal = tree.bus.make_signal
        self._budgets = {}
        for name, budget in spec.budgets.items():
            self._add(name, _whole(budget))
        self._passed = 0
        self._in_a_row = 0
        self._closed = False
        # Unbounded, as each budget bounds the requests on their way through it together with those
        # that wait; so a request never waits for the channel.
        self._send, self._receive = anyio.create_memory_object_stream[_Asked](math.inf)
        self._busy = {}
        self._nap = anyio.CancelScope()
        self._serving = self._asleep = False
        return self

    def __repr__(self) -> str:
        return f"<RunningBroker {self.path}: {', '.join(self._budgets)}>"

    # --- permits -----------------------------------------------------------------------------------

    def acquire(
        self, budget: str, *, priority: Priority | None = None, cost: int = 1
    ) -> Acquisition:
        """Ask for a permit: ``await`` it, or ``async with`` it around the call.

        Args:
            budget: its name.
            priority: whose turn it is among those who wait; by default the calling child's own,
                ``medium`` outside of children.
            cost: how many permits it counts for; a whole number up to the budget's burst.

        Raises:
            UnknownBudget: this broker has none of that name.
            ValueError: there is no such priority.
            PermitRefused: when awaited; it cannot be had before the deadline of the scope that the
                caller is in, or within the budget's ``max_wait``; or too many wait.
            BrokerClosed: at once or when awaited; the broker is stopping.
            CostTooHigh: at once or when awaited; the cost is more than the budget ever grants at
                once, or no whole number.
        """
        if cost == 1 and (state := self._budgets.get(budget)) is not None and state.stock:
            clock = self._clock  # self._clock() would look for a method of that name first
            now = clock()
            if now < state.fresh_until and (priority is None or priority in PRIORITIES):
                state.stock -= 1
                state.last = now
                return Permit(state, now)
        return self._ask(budget, priority, cost)

    def try_acquire(
        self, budget: str, *, priority: Priority | None = None, cost: int = 1
    ) -> Permit | None:
        """A permit if it is there and nobody waits for one, otherwise ``None``; see :meth:`acquire`."""
        try:
            state = self._budgets[budget]
        except KeyError:
            return self._let_pass(budget, cost)
        if cost == 1 and state.stock:
            clock = self._clock
            now = clock()
            if now < state.fresh_until and (priority is None or priority in PRIORITIES):
                state.stock -= 1
                state.last = now
                return Permit(state, now)
        _rank(priority)
        return self._take(budget, cost)

    def _take(self, budget: str, cost: int) -> Permit | None:
        state = self._budgets.get(budget)
        if state is None:
            return self._let_pass(budget, cost)
        if cost != 1:
            state.check(cost)
        self._refuse_if_closed()
        now = self._clock()
        return Permit(state, now, cost) if state.take(cost, now) else None

    def _ask(self, budget: str, priority: Priority | None, cost: int) -> Acquisition:
        """The permit, or the wait for one. A loop of permits that are there yields now and then."""
        rank = _rank(priority)
        self._in_a_row += 1
        if self._in_a_row % YIELDING:
            permit = self._take(budget, cost)
            if permit is not None:
                return permit
        self._refuse_unknown(budget)
        return Waiting(self, budget, rank, cost)

    def _refuse_unknown(self, budget: str) -> None:
        if budget not in self._budgets and self._spec.unknown != "pass":
            raise UnknownBudget(budget, tuple(self._budgets))

    def _let_pass(self, budget: str, cost: int) -> Permit:
        self._refuse_unknown(budget)
        _refuse_wrong_cost(budget, cost)
        self._refuse_if_closed()
        self._passed += 1
        return Permit(Unlimited(budget), self._clock(), cost)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise BrokerClosed(self.path)

    async def _wait(self, budget: str, rank: int, cost: int) -> Permit:
        await checkpoint_if_cancelled()
        try:
            asked = self._take(budget, cost) or self._request(budget, rank, cost)
        except Exception:
            await checkpoint()  # or who tries again and again holds up those who could grant it
            raise
        if isinstance(asked, Permit):
            try:
                await cancel_shielded_checkpoint()
            except BaseException:  # asyncio may cancel a task past its shield
                asked.give_back()
                raise
            return asked
        state, request = asked
        try:
            await request.signal.wait()
        except BaseException:
            state.abandon(request, self._clock())
            self._wake()  # it may have been the next, or the last
            raise
        return self._granted(state, request)

    def _request(self, budget: str, rank: int, cost: int) -> tuple[BudgetState, Request]:
        """Have a place among those who wait."""
        state, now = self._budgets[budget], self._clock()
        request = Request(rank, cost, now, current_effective_deadline())
        request.signal = self._make_signal()
        shed = state.ask(request, now)
        if shed is not None:
            shed.signal.set()
        if self._serving:  # a new life finds those who wait by itself
            self._send.send_nowait((state, request))
            self._wake()
        return state, request

    def _granted(self, state: BudgetState, request: Request) -> Permit:
        if request.state == "granted":
            at = request.granted_at
            waited = at - request.asked_at
            return Permit(state, at, request.cost, waited)
        self._refuse_if_closed()
        raise state.why_refused(request, self._clock())

    # --- reports -----------------------------------------------------------------------------------

    def _given_back(self, state: BudgetState, permit: Permit) -> None:
        state.give_back(permit.cost, permit.granted_at, self._clock())
        self._look_again(state)

    def _answered(self, state: BudgetState, permit: Permit) -> None:
        state.answered(permit.granted_at, self._clock())

    def _throttled(self, state: BudgetState, permit: Permit, retry_after: float | None) -> None:
        now = self._clock()
        shut, rate = state.gate.not_before, _learned(state)
        state.throttled(permit.granted_at, retry_after, now)
        if state.gate.not_before > max(shut, now):
            self._tell(GateShut(now, self.path, state.name, state.gate.not_before))
        if _learned(state) < rate:
            self._tell(RateCut(now, self.path, state.name, _learned(state)))
        self._look_again(state)

    def _tell(self, event: Event) -> None:
        self._tree.bus.publish(event)

    # --- budgets -----------------------------------------------------------------------------------

    def configure(self, budget: str, to: Limit | Budget) -> None:
        """Add a budget, or change one: those who wait for it see the new limit at once.

        Raises:
            TreeInvalid: the limit is wrong; nothing has changed.
        """
        if wrong := list(wrong_budget(budget, to)):
            raise TreeInvalid([Problem(f"{self.path}.{where}", *what) for where, what in wrong])
        now = self._clock()
        state = self._budgets.get(budget)
        if state is None:
            self._add(budget, _whole(to))
            self._tree.brokers.forget()
        else:
            for request in state.configure(_whole(to), now):
                request.signal.set()
            self._look_again(state)
        self._tell(BudgetChanged(now, self.path, budget, str(to)))

    def _add(self, name: str, budget: Budget) -> None:
        state = self._budgets[name] = BudgetState(name, budget, self._clock())
        state.owner = self

    def pause(self, budget: str) -> None:
        """Grant nothing of it until :meth:`resume`; those who ask wait."""
        self._state(budget).pause()

    def resume(self, budget: str) -> None:
        """Undo :meth:`pause`."""
        state = self._state(budget)
        state.resume(self._clock())
        self._look_again(state)

    def shut(self, budget: str, seconds: float) -> None:
        """Grant nothing of it for so long, as if the service had asked for it.

        Raises:
            ValueError: the time is negative or not a number.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"a gate is shut for a number of seconds, not {seconds!r}")
        state, now = self._state(budget), self._clock()
        state.shut(now + seconds, now)
        self._tell(GateShut(now, self.path, budget, state.gate.not_before))

    def status(self, budget: str) -> BudgetStatus:
        """How the budget is now: its limit, what is left of it, and who waits."""
        return status(self._state(budget), self._clock())

    def statistics(self) -> BrokerStatistics:
        """What happened to each budget in the last 1, 5 and 15 minutes, and in all."""
        now = self._clock()
        return BrokerStatistics(
            at=now,
            path=self.path,
            budgets={name: figures(state, now) for name, state in self._budgets.items()},
            passed=self._passed,
        )

    def _state(self, budget: str) -> BudgetState:
        state = self._budgets.get(budget)
        if state is None:
            raise UnknownBudget(budget, tuple(self._budgets))
        return state

    # --- the actor ---------------------------------------------------------------------------------

    async def _serve(self, life: CurrentChild) -> None:
        """One life of the broker."""
        self._closed = False
        self._adopt()
        self._serving = True
        life.started(self)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._when_asked_to_stop, life)
                await self._grant_until(life)
                group.cancel_scope.cancel()
        finally:
            self._serving = False
            if self._closed or (life._cancelled and life._is_last):
                self._close()

    def _adopt(self) -> None:
        """Go on with the requests of an earlier life, also with what it had taken out of the channel
        and not put in its place."""
        now = self._clock()
        for state in self._budgets.values():
            for mended in state.adopt(now):
                log.error("%s: %s of budget %s; mended", self.path, mended, state.name)
            if state.waiting.live:
                self._busy[state] = None

    async def _when_asked_to_stop(self, life: CurrentChild) -> None:
        await life.stopping.wait()
        if life._is_last:
            self._closed = True
            for state in self._budgets.values():
                state.recall()
        self._wake()

    async def _grant_until(self, life: CurrentChild) -> None:
        while True:
            self._take_in()
            more, at = self._grant()
            if life.stopping.is_set() and not (self._closed and self._busy):
                return
            if more:
                await checkpoint()
            else:
                await self._rest(at)

    def _take_in(self) -> None:
        now = self._clock()
        while True:
            try:
                state, request = self._receive.receive_nowait()
            except anyio.WouldBlock:
                return
            state.arrive(request, now)
            self._busy[state] = None

    def _grant(self) -> tuple[bool, float]:
        """Grant what is due; whether there is more of it, and when to look again otherwise."""
        more, at = False, math.inf
        for state in tuple(self._busy):
            now = self._clock()
            granted = state.grants(now, FAIRNESS)
            for request in granted:
                request.signal.set()
            more |= len(granted) >= FAIRNESS
            if not state.waiting.live:
                del self._busy[state]
            else:
                at = min(at, state.next_at(now))
        return more, at

    async def _rest(self, until: float) -> None:
        """Sleep until then, or until something has changed.

        A scope's own deadline makes uvloop spin for most of a millisecond, a sleep does not.
        """
        self._asleep = True
        try:
            with anyio.CancelScope() as self._nap:
                if until == math.inf:
                    state, request = await self._receive.receive()
                    state.arrive(request, self._clock())
                    self._busy[state] = None
                else:
                    await anyio.sleep(max(SHORTEST, until - self._clock()))
        finally:
            self._asleep = False

    def _wake(self) -> None:
        if self._asleep:
            self._asleep = False
            self._nap.cancel()

    def _look_again(self, state: BudgetState) -> None:
        if state.waiting.live:
            self._wake()

    def _end(self) -> None:
        """The tree is over. A permit that somebody keeps, in the frame of an error say, leads to its
        budget, and is not to lead on to the tree: the collector does not look into permits."""
        self._close()
        self._send.close()
        self._receive.close()
        for state in self._budgets.values():
            state.owner = OVER

    def _close(self) -> None:
        """Grant nothing any more; whoever waits is told."""
        self._closed = True
        now = self._clock()
        for state in self._budgets.values():
            for request in state.close(now):
                request.signal.set()
        self._busy.clear()


class _Over:
    """In the place of the broker of a budget, once that is gone: nobody hears of answers."""

    def _ignore(self, state: BudgetState, permit: Permit, *_: object) -> None:
        """What is reported too late."""

    _given_back = _answered = _throttled = _ignore


OVER: Final = _Over()

_Asked: TypeAlias = tuple[BudgetState, Request]


def _whole(budget: Limit | Budget) -> Budget:
    return Budget(budget) if isinstance(budget, Limit) else budget


def _learned(state: BudgetState) -> float:
    return math.inf if state.adaptive is None else state.adaptive.rate


def _rank(priority: Priority | None) -> int:
    if priority is None:
        life = current_life.get()
        priority = "medium" if life is None else life._state.spec.priority
    rank = PRIORITIES.get(priority)
    if rank is None:
        raise ValueError(f"priority is one of {', '.join(RANKS)}, not {priority!r}")
    return rank


def _refuse_wrong_cost(budget: str, cost: Any) -> None:
    if type(cost) is not int or cost < 1:
        raise CostTooHigh(budget, cost, math.inf)
