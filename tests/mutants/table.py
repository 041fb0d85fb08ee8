"""All mutants: those of the machine, of the runtime, of permits, of mailboxes, and of retries."""

from __future__ import annotations

from tests.mutants.core_table import CORE
from tests.mutants.letters_table import LETTERS
from tests.mutants.permits_table import PERMITS
from tests.mutants.retry_table import RETRIES
from tests.mutants.runtime_table import RUNTIME

MUTANTS = (*CORE, *RUNTIME, *PERMITS, *LETTERS, *RETRIES)
