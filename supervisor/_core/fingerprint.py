"""What an error says, where it comes from, and what it has in common with others like it: as text.

Types, messages and frames are strangers': a text may be long, or no text, and to ask for it may fail.
"""

from __future__ import annotations

import re
from functools import lru_cache
from types import FunctionType, TracebackType
from typing import Final
from zlib import crc32

LONGEST: Final = 500
"""Characters of a message that are kept; an error may well have the answer of a server in its text."""

MOST_LEAVES: Final = 8
"""Leaves of a group that are looked at."""

FILES: Final = 1000
"""Of so many files it is remembered whose they are."""

_VARYING: Final = re.compile(
    r"""(?<!\w)'[^']*+'(?!\w)|(?<!\w)"[^"]*+"(?!\w)|`[^`]*+`"""
    r"""|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"""
    r"""|\b0[xX][0-9a-fA-F]++|\b(?=[a-fA-F]*+\d)[0-9a-fA-F]++\b|\d++"""
)
"""What differs from one error to the next though they are the same: quoted words, uuids, numbers."""


def plain(text: str, longest: int) -> str:
    """A text as it is kept: no more than that, and no object of somebody's own class."""
    if type(text) is not str:
        text = str.__str__(text)
    return text if len(text) <= longest else f"{text[:longest]}..."


def text_of(error: BaseException) -> str:
    """What an error says. That may be anything, and to ask for it may fail."""
    try:
        text = str(error)
    except Exception:
        return "(its text cannot be shown)"
    if type(text) is str and len(text) <= LONGEST:
        return text
    return plain(text, LONGEST)


def type_name(kind: type) -> str:
    """A type's name, with its module's if that is not a builtin or private one."""
    parts = [part for part in str(kind.__module__).split(".") if not part.startswith("_")]
    names = [] if parts == ["builtins"] else parts
    return ".".join([*names, kind.__qualname__])


def is_plain(kind: type) -> bool:
    """Whether errors of a type have no attributes but those that somebody sets from outside."""
    return not (
        issubclass(kind, BaseExceptionGroup)
        or hasattr(kind, "severity")
        or hasattr(kind, "__getattr__")
        or isinstance(kind.__init__, FunctionType)
        or isinstance(kind.__new__, FunctionType)
        or isinstance(kind.__getattribute__, FunctionType)
    )


def leaves_of(group: BaseException) -> list[BaseException]:
    """The first few errors that are in a group, however deep."""
    leaves: list[BaseException] = []
    inside = [group]
    while inside and len(leaves) < MOST_LEAVES:
        error = inside.pop()
        if isinstance(error, BaseExceptionGroup):
            inside += reversed(error.exceptions)
        else:
            leaves.append(error)
    return leaves


def innermost(frames: TracebackType | None) -> TracebackType | None:
    """The innermost frame of the user's own code; where there is none, the innermost of all."""
    if frames is None:
        return None
    last = frames
    while (deeper := last.tb_next) is not None:
        last = deeper
    if is_own(last.tb_frame.f_code.co_filename):  # as most are
        return last
    own = None
    at: TracebackType | None = frames
    while at is not None:
        if is_own(at.tb_frame.f_code.co_filename):
            own = at
        at = at.tb_next
    return own or last


_OURS: Final = __file__.rpartition("_core")[0]
_PYTHONS: Final = (re.__file__ or "").rpartition("re")[0] or "<frozen"


@lru_cache(FILES)
def is_own(file: str) -> bool:
    """Whether a file is neither Python's, nor a library's, nor ours."""
    if file.startswith((_OURS, _PYTHONS, "<frozen")):
        return False
    return "site-packages" not in file and "dist-packages" not in file


def where(frames: TracebackType | None) -> str:
    """``module:function:line``; empty for an error that was never raised."""
    if frames is None:
        return ""
    frame = frames.tb_frame
    module = frame.f_globals.get("__name__", "?")
    return f"{module}:{frame.f_code.co_qualname}:{frames.tb_lineno}"


def normalised(message: str) -> str:
    """A message without what differs from one error to the next."""
    return _VARYING.sub("*", message)


def fingerprint(kind: str, place: str, message: str) -> str:
    """What errors of one type, place and message have in common, from one run to the next."""
    text = f"{kind}\n{place}\n{normalised(message)}"
    return f"{crc32(text.encode(errors='surrogatepass')):08x}"
