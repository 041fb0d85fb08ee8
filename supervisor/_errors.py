"""The exceptions, each saying who is at fault and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct


class Problem(Struct, frozen=True):
    """One mistake in a declaration: where it is, what is wrong, and what to write instead.

    ``level`` is ``warning`` for what can run but will not do what it says.
    """

    path: str
    what: str
    write: str = ""
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.path}: {self.what}" + (f"; {self.write}" if self.write else "")


class TreeInvalid(ValueError):
    """The declaration is wrong, so nothing was started. ``problems`` has all of its mistakes."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class TreeFailed(ExceptionGroup[Exception]):
    """A supervisor could not keep its children up: one leaf, with notes, for each offender.

    The fault lies with the children named in the leaves' notes. The group is flat however deep the
    offenders sat in the tree.
    """

    def derive(self, excs: Sequence[Exception]) -> TreeFailed:  # type: ignore[override]
        """Keep the type when ``except*`` takes the group apart."""
        return TreeFailed(self.message, excs)


class Decline(Exception):
    """Raised by a component before it is ready: it is not to run, and that is no failure.

    The others go on; the child is listed as declined until somebody starts it again.
    """

    def __init__(self, reason: str = "") -> None:
        self.reason: str = reason
        super().__init__(reason)


class StartTimedOut(TimeoutError):
    """The life was not ready within its ``start_timeout``: too slow, or it waits for something."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not ready within {seconds:g} s; raise start_timeout if that is normal")


class HeartbeatMissed(TimeoutError):
    """The life gave no sign of life within its ``heartbeat``: it is stuck, or beats too rarely."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"no heartbeat for {seconds:g} s; call current_child().heartbeat() more often"
        )


class ForeignCancellation(RuntimeError):
    """The life was cancelled, but not by its supervisor: code within it let a cancellation out."""

    def __init__(self) -> None:
        super().__init__(
            "cancelled from outside the supervisor; keep cancel scopes inside the child"
        )


class ScopesLeftOpen(RuntimeError):
    """The life ended inside cancel scopes or task groups that it had entered: an async generator
    was abandoned in the middle of one, say, or one was entered without ``async with``."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"the child left cancel scopes or task groups open ({count} of them); close its async "
            "generators (contextlib.aclosing) and enter groups by `async with` only"
        )


class UnexpectedReturn(RuntimeError):
    """A permanent child returned again and again, although it is to run for ever."""

    def __init__(self, path: str) -> None:
        super().__init__(f'{path} returned; declare it restart="transient" if that is normal')


class Stuck(TimeoutError):
    """The child did not end by its stop deadline. The fault is the child's: it swallows
    cancellation, blocks in a thread, or shields itself; ``explain(path)`` has its stack."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} did not end by its stop deadline and gets no further life")


class Refused(RuntimeError):
    """The tree cannot do what the caller asked for in the state it is in. ``path`` says where."""

    def __init__(self, path: str, why: str) -> None:
        self.path: str = path
        super().__init__(f"{path}: {why}")


class AlreadyRunning(Refused):
    """The child has a life; use ``restart()`` to replace it."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "is already running")


class AlreadyPresent(Refused):
    """A child of that name exists but does not run; ``start()`` it, or ``delete()`` it first."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "is already present and not running; start() or delete() it")


class Restarting(Refused):
    """The child waits for its automatic restart; ``stop()`` it first, or ``release()`` it."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "is restarting; stop() it first")


class TooManyChildren(Refused):
    """The supervisor holds ``max_children`` children, those that are restarting among them."""

    def __init__(self, path: str, limit: int) -> None:
        super().__init__(path, f"holds max_children={limit} children")


class Closing(Refused):
    """The tree, or this supervisor, is stopping or has stopped; nothing is started any more."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "is stopping or has stopped")


class NotFound(LookupError):
    """No child of that path is in the tree: it was never added, was deleted, or was forgotten."""

    def __init__(self, path: str) -> None:
        self.path: str = path
        super().__init__(f"no child {path!r} in the tree")

    def __str__(self) -> str:
        return str(self.args[0])


class NoTree(LookupError):
    """The call needs a running tree, or a running child, and there is none here, or several."""


class UnknownBudget(LookupError):
    """No broker here or above has a budget of that name: a slip of the pen, or a broker that is
    missing from the tree."""

    def __init__(self, budget: str, known: Sequence[str]) -> None:
        self.budget: str = budget
        there = f"there are {', '.join(known)}" if known else "no broker is here or above"
        super().__init__(f'no budget {budget!r}: {there}; name another, or add unknown="pass"')

    def __str__(self) -> str:
        return str(self.args[0])


class CostTooHigh(ValueError):
    """The permit asked for costs more than its budget grants at once, or no whole number."""

    def __init__(self, budget: str, cost: object, burst: float) -> None:
        self.budget: str = budget
        super().__init__(
            f"a permit of {budget!r} costs from 1 to its burst of {burst:g}, not {cost!r}; "
            "ask for less at a time, or declare a larger burst"
        )


class PermitRefused(RuntimeError):
    """The permit cannot be had in time: the budget is spent, its queue is full, or who asked was
    shed for somebody more important. ``retry_at`` is when to ask again, in seconds of the tree's
    clock; infinity for not before the budget is changed."""

    def __init__(self, budget: str, why: str, retry_at: float) -> None:
        self.budget: str = budget
        self.why: str = why
        self.retry_at: float = retry_at
        super().__init__(f"no permit of {budget!r}: {why}")


class BrokerClosed(RuntimeError):
    """The broker has stopped, or is stopping: it grants nothing any more."""

    def __init__(self, path: str) -> None:
        self.path: str = path
        super().__init__(f"{path} is stopping or has stopped and grants no permits")


class PermitUsed(RuntimeError):
    """A permit serves for one call: it was entered, given back or reported before."""

    def __init__(self, budget: str) -> None:
        self.budget: str = budget
        super().__init__(f"this permit of {budget!r} was used before; acquire one for each call")


class MailboxFull(RuntimeError):
    """There is no room for the letter, and it was not to wait: its reader is too slow, or does not
    run. Cast with ``overflow="wait"``, or drop letters by declaration."""

    def __init__(self, mailbox: str, capacity: int, why: str = "") -> None:
        self.mailbox: str = mailbox
        super().__init__(
            f"mailbox {mailbox!r} holds capacity={capacity} letters" + (f": {why}" if why else "")
        )


class MailboxClosed(RuntimeError):
    """The mailbox takes nothing in any more: it was closed, or the tree or its reader stops."""

    def __init__(self, mailbox: str, why: str) -> None:
        self.mailbox: str = mailbox
        super().__init__(f"mailbox {mailbox!r} is closed: {why}")


class MailboxTaken(RuntimeError):
    """Somebody else reads the mailbox already; it has one reader. Give each reader its own mailbox."""

    def __init__(self, mailbox: str, reader: str) -> None:
        self.mailbox: str = mailbox
        super().__init__(f"mailbox {mailbox!r} is read by {reader} already; give each its own")


class MailboxDiffers(ValueError):
    """The tree has a mailbox of that name which is declared otherwise. Declare it once, in a module
    that both sides import, or give it another name."""

    def __init__(self, mailbox: str, field: str, here: object, there: object) -> None:
        self.mailbox: str = mailbox
        super().__init__(
            f"mailbox {mailbox!r} is declared twice, with {field}={here!r} and {field}={there!r}; "
            "declare it once, or rename one"
        )


class CallFailed(RuntimeError):
    """The call was not answered, and will not be: the life that had it ended, or nobody reads the
    mailbox. ``cause`` says why. What was asked for may have been done or not."""

    def __init__(self, mailbox: str, cause: str) -> None:
        self.mailbox: str = mailbox
        self.cause: str = cause
        super().__init__(f"call to mailbox {mailbox!r} failed: {cause}")


class CallToSelf(RuntimeError):
    """The task that reads the mailbox calls it, and would wait for itself; or it calls another whose
    reader waits for it, be it ``through`` more of them. Call the function that handles the message
    instead, or cast."""

    def __init__(self, mailbox: str, through: Sequence[str] = ()) -> None:
        self.mailbox: str = mailbox
        self.through: tuple[str, ...] = tuple(through)
        others = ", ".join(map(repr, self.through))
        super().__init__(
            f"the reader of mailbox {mailbox!r} calls it {f'through {others} ' if others else ''}"
            "and would wait for itself; cast instead, or call what handles the message"
        )


class NotHandled(RuntimeError):
    """The reader went on to its next letter, or returned, without an answer to this call. The fault
    is the reader's: it has to ``reply()`` to each call, or ``fail()`` it."""

    def __init__(self, mailbox: str) -> None:
        self.mailbox: str = mailbox
        super().__init__(
            f"the reader of mailbox {mailbox!r} went on without an answer; "
            "it has to reply() to each call, or fail() it"
        )


class BreakerOpen(RuntimeError):
    """The call was not made: the calls of its guard fail, and its breaker refuses them for a while.

    The fault is the service's, or an operator has said so. ``retry_at`` is when to ask again, in
    seconds of the tree's clock; infinity while an operator holds it open without an end. ``cause``
    is the failure that it opened for, as text.
    """

    def __init__(self, guard: str, retry_at: float, seconds: float, cause: str) -> None:
        self.guard: str = guard
        self.retry_at: float = retry_at
        self.cause: str = cause
        again = (
            f"ask again in {seconds:.3g} s" if seconds < float("inf") else "until it is released"
        )
        super().__init__(f"the breaker of {guard!r} is open, {again}: {cause}")


class NonRetryable(Exception):
    """A base for errors of one's own that no guard is to retry, whatever it retries else: what was
    asked for is wrong, and will be. Any error says so by ``retryable = False``."""

    retryable: bool = False


class FallbackFailed(RuntimeError):
    """A call failed, and so did all that was to serve in its place. The call's own error is its
    ``__cause__``; the fallbacks' are in its notes."""

    def __init__(self, guard: str) -> None:
        self.guard: str = guard
        super().__init__(f"the call of {guard!r} failed, and its fallbacks did, too")


class GuardDiffers(ValueError):
    """The tree has a guard of that name which is declared otherwise. Declare it once, in a module
    that both sides import, or give it another name."""

    def __init__(self, guard: str, field: str, here: object, there: object) -> None:
        self.guard: str = guard
        super().__init__(
            f"guard {guard!r} is declared twice, with {field}={here!r} and {field}={there!r}; "
            "declare it once, or rename one"
        )


class BadResult(RuntimeError):
    """A guarded call answered with what its guard's ``bad_result`` calls a failure. Who calls does
    not see this: he gets the result itself, once it is not asked for again."""

    def __init__(self, guard: str, value: object) -> None:
        self.guard: str = guard
        self.value: object = value
        try:
            text = repr(value)
        except Exception:  # somebody's own __repr__
            text = f"a {type(value).__name__}"
        super().__init__(f"a bad result of {guard!r}: {text[:100]}")
