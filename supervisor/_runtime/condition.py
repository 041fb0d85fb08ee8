"""The condition of a running tree: what its machines complain of, as one answer."""

from __future__ import annotations

import anyio

from supervisor._core.effects import ReasonChanged
from supervisor._core.node import Node
from supervisor._happenings import ConditionChanged
from supervisor._runtime.bus import Bus
from supervisor._words import Condition, Reason


class TreeCondition:
    """How the tree was when that was last told. ``stale`` says that it is to be told again."""

    __slots__ = ("_bus", "_reasons", "_root", "changed", "now", "stale")

    def __init__(self, root: Node, bus: Bus) -> None:
        self.now = Condition()
        self.changed = anyio.Event()
        self.stale = False
        self._root = root
        self._bus = bus
        self._reasons: dict[str, Reason] = {}

    def note(self, effect: ReasonChanged) -> None:
        if effect.reason is None:
            self._reasons.pop(effect.path, None)
        else:
            self._reasons[effect.path] = effect.reason
        self.stale = True

    def forget_below(self, path: str) -> None:
        """A supervisor has ended, and its children's reasons with it."""
        below = path + "/"
        for owner in [owner for owner in self._reasons if owner.startswith(below)]:
            del self._reasons[owner]
            self.stale = True

    def tell(self) -> None:
        """Publish the condition, and wake who waits for one, if it is another one."""
        self.stale = False
        root = self._root
        reasons = tuple(self._reasons[path] for path in sorted(self._reasons))
        if root.offenders:
            failed = tuple(Reason(child.path, "failed") for child in root.offenders)
            condition = Condition("failed", failed + reasons)
        else:
            condition = Condition("degraded" if reasons else "healthy", reasons)
        if condition != self.now:
            self.now = condition
            self._bus.publish(ConditionChanged(root.now, root.path, condition))
            changed, self.changed = self.changed, anyio.Event()
            changed.set()
