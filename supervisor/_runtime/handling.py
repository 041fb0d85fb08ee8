"""One line to guard any call, without a guard of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from supervisor._runtime.context import current_life, current_tree
from supervisor._runtime.guard import Guard, refuse
from supervisor._spec.guards import wrong_retry
from supervisor._spec.values import shown


async def handle_with_retry(
    func: Callable[[], Any], component: str = "", context: object = "", max_retries: int = 3
) -> Any:
    """Call a function without arguments under the guard named ``component``.

    That is a guard that somebody has used by this name, with its permits, timeout, breaker and
    fallback; or else one with the default breaker and nothing more. An async function is called
    here, any other in a worker thread. What goes wrong is in ``tree.errors()``.

    Args:
        func: ``partial(fetch, url)``, say.
        component: the guard's name; the calling child's path by default.
        context: what the error records are to say of the call: a text, or anything with a repr.
        max_retries: 0 for none.

    Raises:
        Exception: the last real error, with a note of what was tried.
        BreakerOpen: the breaker refuses calls at present.
        NoTree: no tree is open here, or several are.
        TreeInvalid: ``max_retries`` is no number of retries.
    """
    life = current_life.get()
    tree = current_tree()._runtime if life is None else life._node.tree
    name = component or (tree.root.node.path if life is None else life.path)
    live = tree.guards.named(name, _default)
    retry = replace(live.how.retry, retries=max_retries)
    refuse(name, wrong_retry("max_retries", retry))
    text = context if isinstance(context, str) else shown(context)
    how = replace(live.how, retry=retry, context=text)
    return (await live.call(how, func, (), {})).value


def _default(name: str) -> Guard:
    return Guard(name, budget=None)
