"""What a child can refer to by name: elder siblings of its own or of any of its ancestors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from msgspec import Struct

from supervisor._spec.tree import Spec
from supervisor._spec.values import Wrong, shown, similar


class Scope(Struct, frozen=True):
    """The children of one supervisor as one of them sees them, or one below it.

    ``elders`` come before it; ``listed``, for the sake of better messages, are the names of all;
    ``owner`` is the name of the supervisor.
    """

    elders: Mapping[str, Spec]
    listed: AbstractSet[str] = frozenset()
    owner: str = ""


def find(name: object, scopes: Sequence[Scope]) -> Spec | None:
    """The child that a name stands for: the nearest that bears it."""
    if isinstance(name, str):
        for scope in scopes:
            if name in scope.elders:
                return scope.elders[name]
    return None


def absent(name: object, own: str, scopes: Sequence[Scope]) -> Wrong:
    """Why nothing is found under a name that the child ``own`` refers to."""
    if not isinstance(name, str):
        return f"is {shown(name)}", "write a name"
    if name == own:
        return f"{shown(name)} is this child itself", "leave it out"
    before = own
    for scope in scopes:
        if name in scope.listed:
            return (
                f"{shown(name)} is not listed before {before!r}",
                "list it before, or leave it out",
            )
        if name == scope.owner:
            return f"{shown(name)} is the supervisor that it is in", "leave it out"
        before = scope.owner
    known = (known for scope in scopes for known in scope.elders)
    advice = "name an elder sibling of it, or of what it is in"
    return f"there is no {shown(name)} to refer to", advice + similar(name, known)
