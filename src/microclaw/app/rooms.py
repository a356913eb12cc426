"""The rooms of a host that set themselves up. Only this list names them all."""

from __future__ import annotations

from typing import Final

ROOMS: Final = {
    "telemetry": "microclaw.devices.telemetry.setup",
    "tasks": "microclaw.agent.tasks.setup",
    "ota": "microclaw.devices.ota.setup",
    "agent": "microclaw.agent.turn.setup",
    "schedules": "microclaw.agent.schedules.setup",
    "channels": "microclaw.interfaces.channels.setup",
    "voice": "microclaw.interfaces.voice.setup",
    "mqtt": "microclaw.interfaces.mqtt.setup",
}
"""In this order: a room finds only parts of earlier rooms. They open in this order, and close in the opposite one."""
