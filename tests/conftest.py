"""How every test runs: properties with the same examples each time, so that a red test says something of the change.

`make fuzz` looks for new ones.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "same-each-time", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "new-each-time", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("new-each-time" if os.environ.get("MICROCLAW_FUZZ") else "same-each-time")
