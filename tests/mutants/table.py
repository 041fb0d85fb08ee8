"""All mutants: those of the machine, of the runtime, of permits, of mailboxes, of breakers, of retries,
of guarded calls, and of error records."""

from __future__ import annotations

from tests.mutants.breaker_table import BREAKERS
from tests.mutants.core_table import CORE
from tests.mutants.guard_table import GUARDS
from tests.mutants.letters_table import LETTERS
from tests.mutants.permits_table import PERMITS
from tests.mutants.records_table import RECORDS
from tests.mutants.retry_table import RETRIES
from tests.mutants.runtime_table import RUNTIME

MUTANTS = (*CORE, *RUNTIME, *PERMITS, *LETTERS, *BREAKERS, *RETRIES, *GUARDS, *RECORDS)
