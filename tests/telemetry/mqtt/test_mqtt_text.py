"""The words of `status` and `doctor` about MQTT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from microclaw.config.settings import MqttSettings, Settings
from microclaw.telemetry.mqtt_text import connection_finding, setting_warnings

BUFFER = {"events": 0, "telemetry": 0, "bytes": 0, "lost_events": 0, "lost_telemetry": 0, "lost_unwritten": 0}
ON: dict[str, Any] = {
    "state": "on", "text": None, "next": None, "address": "mqtt://10.0.0.2:1883", "id": "h-1",
    "buffer": BUFFER,
}  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "warnings"),
    [
        (MqttSettings(url="mqtt://192.168.1.5"), 0),
        (MqttSettings(url="mqtts://broker.example.org", commands=True, user="claw"), 0),
        (MqttSettings(url="mqtt://broker.example.org"), 1),
        (MqttSettings(url="mqtt://10.0.0.2", commands=True), 1),
    ],
)
def test_unwise_settings_are_warned_about(settings: MqttSettings, warnings: int) -> None:
    home = Path("home")
    assert len(list(setting_warnings(Settings(home, home, home, mqtt=settings)))) == warnings


def test_what_is_not_right_is_a_finding() -> None:
    waiting = {**ON, "state": "disturbed", "text": "refused", "next": "look", "buffer": {**BUFFER, "events": 3}}
    deaf, lost = {**ON, "text": "Not authorized"}, {**ON, "buffer": {**BUFFER, "lost_telemetry": 9}}
    found = [connection_finding(state) for state in (ON, waiting, deaf, lost)]
    assert [one.verdict for one in found] == ["ok", "problem", "problem", "warning"]
    assert [bool(one.next_step) for one in found[:3]] == [False, True, True]
