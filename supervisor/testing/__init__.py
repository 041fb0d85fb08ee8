"""A kit for testing components and trees: a virtual clock, components that fail on cue, leaks.

``_clock`` has the clock (``_trio_clock`` its trio half), ``_deadlock`` what ends a test that would
hang, ``_faults`` the components, ``_leaks`` the check that nothing is left running, from what
``_census`` counts, and ``_chance`` fixes the jitter. ``plugin`` is the pytest plugin; it is active where a ``conftest.py`` says
``pytest_plugins = ["supervisor.testing.plugin"]``. The library's own suite runs on these.
"""

from __future__ import annotations

from supervisor.testing._chance import seeded as seeded
from supervisor.testing._clock import settle as settle
from supervisor.testing._clock import virtual_backend as virtual_backend
from supervisor.testing._deadlock import Deadlocked as Deadlocked
from supervisor.testing._faults import Blocking as Blocking
from supervisor.testing._faults import Boom as Boom
from supervisor.testing._faults import Crashing as Crashing
from supervisor.testing._faults import Cued as Cued
from supervisor.testing._faults import Declining as Declining
from supervisor.testing._faults import FailingDuring as FailingDuring
from supervisor.testing._faults import Fault as Fault
from supervisor.testing._faults import Gated as Gated
from supervisor.testing._faults import Hanging as Hanging
from supervisor.testing._faults import Life as Life
from supervisor.testing._faults import Outage as Outage
from supervisor.testing._faults import Returning as Returning
from supervisor.testing._faults import SlowStarting as SlowStarting
from supervisor.testing._faults import SlowStopping as SlowStopping
from supervisor.testing._faults import Swallowing as Swallowing
from supervisor.testing._leaks import Leaked as Leaked
from supervisor.testing._leaks import no_leaks as no_leaks
