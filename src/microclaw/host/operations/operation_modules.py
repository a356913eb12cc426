"""The nouns with declared operations, and the module of each, which need not be imported to know them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

MODULES: Final = {
    "fleet": "microclaw.programs.changes.fleet_operations",
    "catalog": "microclaw.programs.patterns.operations",
    "device": "microclaw.programs.bench.operations",
    "recording": "microclaw.programs.bench.recording_operations",
    "app": "microclaw.programs.changes.operations",
    "pin": "microclaw.programs.changes.pin_operations",
    "part": "microclaw.programs.changes.part_operations",
    "program": "microclaw.programs.changes.program_operations",
    "approval": "microclaw.host.auth.questions",
    "person": "microclaw.host.auth.operations",
    "pages": "microclaw.programs.changes.page_operations",
    "usage": "microclaw.agent.models.operations",
    "schedule": "microclaw.agent.schedules.operations",
    "memory": "microclaw.agent.knowledge.operations",
    "session": "microclaw.agent.knowledge.operations",
    "skill": "microclaw.agent.knowledge.operations",
    "host": "microclaw.interfaces.api.operations",
    "cluster": "microclaw.host.cluster.operations",
    "telemetry": "microclaw.devices.telemetry.operations",
    "crash": "microclaw.programs.changes.crash_operations",
    "task": "microclaw.agent.tasks.operations",
    "voice": "microclaw.interfaces.voice.operations",
    "firmware": "microclaw.devices.ota.operations",
    "install": "microclaw.devices.flash.operations",
    "subagent": "microclaw.agent.turn.background.operations",
}
BELOW: Final = {
    "catalog": "app",
    "crash": "device",
    "pages": "app",
    "recording": "device",
    "session": "memory",
    "skill": "memory",
    "subagent": "task",
    "telemetry": "device",
}
"""Nouns whose commands are subcommands of another noun."""
ROOM_OF: Final = {
    "firmware": "ota",
    "install": "ota",
    "schedule": "schedules",
    "task": "tasks",
    "telemetry": "telemetry",
    "voice": "voice",
}
"""The rooms that serve these nouns; a host may be without such a room."""
SERVING_ROOMS: Final = frozenset(ROOM_OF.values())


def is_served(noun: str, rooms: Collection[str]) -> bool:
    """Return True if a host with these rooms serves the noun, or the noun has no declared operations."""
    room = ROOM_OF.get(noun)
    return room is None or room in rooms
