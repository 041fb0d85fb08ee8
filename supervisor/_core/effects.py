"""What goes into the machine and what comes out of it.

Effects are performed in order. An :class:`~supervisor._happenings.Event` among them is told.
What names a child is not hidden from the collector: the frame in which an effect was performed may be
part of an error's traceback, and the error be the child's last one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from supervisor._happenings import Event
from supervisor._words import Binding, Outcome, Priority, Reason

if TYPE_CHECKING:
    from supervisor._core.child import ChildState


class Begin(Struct, frozen=True):
    """Start the declared children in order."""


class Exited(Struct, frozen=True):
    """Life number ``life`` has ended completely."""

    child: ChildState
    life: int
    outcome: Outcome


class ReportedReady(Struct, frozen=True):
    child: ChildState
    life: int


class MarkedHealthy(Struct, frozen=True):
    child: ChildState


class TimePassed(Struct, frozen=True):
    """The machine's next deadline has come."""


class BeganToEnd(Struct, frozen=True):
    """A child that is a supervisor has begun to stop of itself, by its own rules."""

    child: ChildState


class OnlyStuckLeft(Struct, frozen=True):
    """A child that is a supervisor has ended but for children of its own that are stuck."""

    child: ChildState


class AddChild(Struct, frozen=True):
    """The child is already in the node's table; it is to be told of, and started."""

    child: ChildState


class Bind(Struct, frozen=True):
    """A child that was added below ``child`` needs one of its elder siblings."""

    child: ChildState
    target: ChildState
    binding: Binding


class Permitted(Struct, frozen=True):
    """The permit that was asked for by this number is there: the child may restart."""

    child: ChildState
    number: int
    permit: object = None


class PermitUnavailable(Struct, frozen=True):
    """There is no such permit to be had: the child restarts without."""

    child: ChildState
    number: int
    why: str


class StartChild(Struct, frozen=True):
    child: ChildState


class StopChild(Struct, frozen=True):
    child: ChildState


class RestartChild(Struct, frozen=True):
    child: ChildState


class ReleaseChild(Struct, frozen=True):
    child: ChildState


class DeleteChild(Struct, frozen=True):
    child: ChildState


class StartNoMore(Struct, frozen=True):
    """A supervisor further up stops: nothing is started any more, until it is our turn to stop."""


class ShutDown(Struct, frozen=True):
    """Stop all children in order, everything by the time ``by``."""

    by: float
    reason: str


class Hurry(Struct, frozen=True):
    """Cancel everything at once; what has not ended by the time ``by`` is stuck."""

    by: float
    reason: str


Input: TypeAlias = (
    Begin
    | Exited
    | ReportedReady
    | MarkedHealthy
    | TimePassed
    | BeganToEnd
    | OnlyStuckLeft
    | AddChild
    | Bind
    | Permitted
    | PermitUnavailable
    | StartChild
    | StopChild
    | RestartChild
    | ReleaseChild
    | DeleteChild
    | StartNoMore
    | ShutDown
    | Hurry
)


class Run(Struct, frozen=True):
    """Begin the child's next life."""

    child: ChildState


class Notify(Struct, frozen=True):
    """Give notice: the life is to end by itself within its grace; for a supervisor, ``by`` then."""

    child: ChildState
    by: float


class Still(Struct, frozen=True):
    """Have nothing more started below a child that is a supervisor; its turn to stop will come."""

    child: ChildState


class Rush(Struct, frozen=True):
    """Have a supervisor cancel all that it has at once, everything by the time ``by``."""

    child: ChildState
    by: float


class Cancel(Struct, frozen=True):
    """Cancel the life."""

    child: ChildState


class AskPermit(Struct, frozen=True):
    """Ask for a permit of the budget; :class:`Permitted` or :class:`PermitUnavailable` answers."""

    child: ChildState
    number: int
    budget: str
    priority: Priority


class GiveUpPermit(Struct, frozen=True):
    """The permit of that number is not wanted any more: stop asking for it, or give it back."""

    child: ChildState
    number: int
    permit: object = None


class TellStuck(Struct, frozen=True):
    """The life did not end by its deadline: find its stack and tell."""

    child: ChildState
    waited: float


class Moved(Struct, frozen=True):
    """A child that somebody watches has changed its state or its holds, or is gone."""

    child: ChildState


class ReasonChanged(Struct, frozen=True):
    """``path`` has this reason not to be healthy, or none any more."""

    path: str
    reason: Reason | None


class AllReady(Struct, frozen=True, gc=False):
    """The boot is over: the supervisor is ready."""


class Finish(Struct, frozen=True):
    """Every child is down: the supervisor's own life ends so."""

    outcome: Outcome


class StuckRemain(Struct, frozen=True, gc=False):
    """The supervisor is to end, and every child is down but for those that are stuck."""


Effect: TypeAlias = (
    Event
    | Run
    | Notify
    | Still
    | Rush
    | Cancel
    | AskPermit
    | GiveUpPermit
    | TellStuck
    | Moved
    | ReasonChanged
    | AllReady
    | Finish
    | StuckRemain
)
