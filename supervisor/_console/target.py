"""SHOW: find the tree that the command line names, and everything that is wrong with it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from supervisor._errors import Problem
from supervisor._record.facts import traceback_text
from supervisor._record.wording import error_line, innermost
from supervisor._spec import load
from supervisor._spec.tree import Supervisor
from supervisor._spec.validate import check

FILES = (".toml", ".json")


class CannotRead(Exception):
    """The target names no tree that could be looked at."""


def read(target: str) -> tuple[Supervisor | None, Sequence[Problem]]:
    """The tree that ``target`` names, if it could be made, and its problems.

    A target is a file (``.toml``, ``.json``), or ``module:attribute`` with the current directory
    first on the path of imports, where the callables named in a file are looked for as well.

    Raises:
        CannotRead: if there is no such file, module or tree.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if Path(target).suffix.lower() in FILES:
        return _file(Path(target))
    module, colon, attribute = target.partition(":")
    if not (module and colon and attribute):
        raise CannotRead(f"{target!r} is neither a {' or '.join(FILES)} file nor module:attribute")
    return _attribute(_module(module), attribute)


def _file(path: Path) -> tuple[Supervisor | None, Sequence[Problem]]:
    if not path.is_file():
        raise CannotRead(f"there is no file {str(path)!r}")
    return load.read(path)


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            why = f"there is no module {error.name!r} here or among the installed"
        else:
            where = innermost(traceback_text(error))
            why = f"importing {name!r} failed: {error_line(error)} in {where}"
            if library := load.missing_library(name, error):
                why += f"; install {library}, which it imports"
        raise CannotRead(why) from error


def _attribute(module: ModuleType, attribute: str) -> tuple[Supervisor, Sequence[Problem]]:
    found: object = module
    for name in attribute.split("."):
        found = getattr(found, name, None)
    if not isinstance(found, Supervisor):
        what = "has no" if found is None else f"has a {type(found).__name__}, not a Supervisor, as"
        raise CannotRead(f"{module.__name__!r} {what} {attribute!r}")
    return found, check(found)
