"""The import of the mutated module in the place of the real one, in this interpreter."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

from msgspec import json

from tests.mutants.fault import Mutant, mutated

PLANTED = "SUPERVISOR_MUTANT"
"""The environment variable that holds the mutant, as JSON."""

REPORT = "SUPERVISOR_MUTANT_REPORT"
"""The environment variable that holds the path of what the plugin writes down."""


class _Mutated(SourceFileLoader):
    """Compiles the mutated source in memory; the cache of bytecode is neither read nor written."""

    mutant: Mutant

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path).decode()
        return compile(mutated(self.mutant, source), self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.mutant.module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = loader = _Mutated(fullname, spec.origin)
        loader.mutant = self.mutant
        return spec


def plant() -> None:
    """Have the mutant of the environment imported, if there is one."""
    if text := os.environ.get(PLANTED):
        mutant = json.decode(text, type=Mutant)
        assert mutant.module not in sys.modules, "the real module was imported first"
        sys.meta_path.insert(0, _Finder(mutant))
