"""All mutants: those of the machine, and those of the runtime."""

from __future__ import annotations

from tests.mutants.core_table import CORE
from tests.mutants.runtime_table import RUNTIME

MUTANTS = (*CORE, *RUNTIME)
