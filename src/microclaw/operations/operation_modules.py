"""The nouns with declared operations, and the module of each, which need not be imported to know them."""

from __future__ import annotations

from typing import Final

MODULES: Final = {
    "fleet": "microclaw.apps.fleet_operations",
    "catalog": "microclaw.patterns.operations",
    "device": "microclaw.apps.device_calls",
    "app": "microclaw.apps.operations",
    "program": "microclaw.apps.program_operations",
    "approval": "microclaw.auth.questions",
    "person": "microclaw.auth.operations",
    "usage": "microclaw.models.operations",
    "schedule": "microclaw.schedules.operations",
    "memory": "microclaw.knowledge.operations",
    "session": "microclaw.knowledge.operations",
    "skill": "microclaw.knowledge.operations",
    "host": "microclaw.api.operations",
    "cluster": "microclaw.cluster.operations",
    "telemetry": "microclaw.telemetry.operations",
    "crash": "microclaw.apps.crash_operations",
    "task": "microclaw.tasks.operations",
    "voice": "microclaw.voice.operations",
    "firmware": "microclaw.ota.operations",
    "install": "microclaw.flash.operations",
    "subagent": "microclaw.agent.background.operations",
}
BELOW: Final = {
    "catalog": "app",
    "crash": "device",
    "session": "memory",
    "skill": "memory",
    "subagent": "task",
    "telemetry": "device",
}
"""Nouns whose commands are subcommands of another noun."""
