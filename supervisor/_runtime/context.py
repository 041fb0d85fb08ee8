"""The running child, and the running tree, found from wherever the caller stands."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING

from anyio import NoEventLoopError
from anyio.lowlevel import RunVar

from supervisor._errors import NoTree

if TYPE_CHECKING:
    from supervisor._runtime.life import CurrentChild
    from supervisor._runtime.tree import Tree

current_life: ContextVar[CurrentChild | None] = ContextVar("supervisor life", default=None)
running_life = current_life.get
"""Bound once, for those who ask all the time: a method of an imported name costs an object a call."""
_open: RunVar[list[Tree]] = RunVar("supervisor trees")


def current_child() -> CurrentChild:
    """The child that the caller runs in, as the child sees itself.

    It is found through the context, so also in tasks and worker threads that the child started.

    Raises:
        NoTree: the caller does not run inside a child.
    """
    life = current_life.get()
    if life is None:
        raise NoTree("not inside a supervised child; pass what you need as an argument")
    return life


def current_tree() -> Tree:
    """The tree that the caller runs in, or else the only tree open in this event loop.

    Raises:
        NoTree: there is none, or there are several.
    """
    life = current_life.get()
    if life is not None:
        return life.tree
    try:
        trees = _open.get([])
    except NoEventLoopError:
        raise NoTree("not in an event loop; call this from a task of the tree's loop") from None
    if len(trees) == 1:
        return trees[0]
    if not trees:
        raise NoTree("no tree is open in this event loop; open one with open_supervisor()")
    raise NoTree(f"{len(trees)} trees are open in this event loop; pass the one that you mean")


def current_path_and_life() -> tuple[str, int] | None:
    """Path and life of the running child, for log records; ``None`` outside one."""
    life = current_life.get()
    return None if life is None else (life.path, life.life)


class ContextFilter(logging.Filter):
    """Gives every log record the ``path`` and ``life`` of the child that logs it.

    Put it on a handler, so that it sees the records of all loggers; before a ``QueueListener`` on
    the ``QueueHandler``, which runs in the child's own context. Outside of children ``path`` is
    empty and ``life`` is 0.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the two, and let the record pass."""
        if not hasattr(record, "path"):
            record.path, record.life = current_path_and_life() or ("", 0)
        return True


def opened(tree: Tree) -> None:
    """Make the tree known in this event loop."""
    trees = _open.get([])
    _open.set([*trees, tree])


def closed(tree: Tree) -> None:
    _open.set([other for other in _open.get([]) if other is not tree])
