"""What `status` and `doctor` say of MQTT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from microclaw.cli.mqtt_lines import connection_finding, mqtt_line, setting_warnings
from microclaw.config.mqtt_settings import MqttSettings

BUFFER = {"events": 0, "telemetry": 0, "bytes": 0, "lost_events": 0, "lost_telemetry": 0, "lost_unwritten": 0}
ON: dict[str, Any] = {
    "state": "on", "text": None, "next": None, "address": "mqtt://10.0.0.2:1883", "id": "h-1", "others": [],
    "buffer": BUFFER,
}  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (MqttSettings(), []),
        (MqttSettings(url="mqtt://192.168.1.5"), []),
        (MqttSettings(url="mqtt://localhost:1883"), []),
        (MqttSettings(url="mqtts://broker.example.org", commands=True, user="claw"), []),
        (MqttSettings(url="mqtt://broker.example.org"), ["can be read on the way"]),
        (MqttSettings(url="mqtt://8.8.8.8"), ["can be read on the way"]),
        (MqttSettings(url="mqtt://10.0.0.2", commands=True), ["whoever reaches it"]),
        (MqttSettings(url="mqtt://10.0.0.2", password_file="/nowhere/at/all"), ["cannot be read"]),
    ],
)
def test_unwise_settings_are_warned_about(settings: MqttSettings, words: list[str]) -> None:
    warnings = list(setting_warnings(settings))
    assert len(warnings) == len(words)
    assert all(word in text for word, (text, _) in zip(words, warnings, strict=True))


def test_password_that_others_can_read_is_warned_about(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret-5521")
    settings = MqttSettings(url="mqtt://10.0.0.2", password_file=str(file))
    file.chmod(0o644)
    ((text, step),) = setting_warnings(settings)
    assert "read by other users" in text
    assert "secret-5521" not in text + step
    file.chmod(0o600)
    assert not list(setting_warnings(settings))


def test_connection_is_told_with_its_buffer_and_other_hosts() -> None:
    assert connection_finding(ON) == (True, "mqtt://10.0.0.2:1883   as h-1", None, False)
    waiting = {**ON, "state": "disturbed", "text": "refused", "next": "look", "buffer": {**BUFFER, "events": 3}}
    assert mqtt_line(waiting) == "not connected: refused   waiting: 3 events, 0 of telemetry (0 KB)"
    assert connection_finding(waiting) == (False, "not connected: refused", "look", False)
    is_well, text, step, _ = connection_finding({**ON, "others": ["h-2"]})
    assert (is_well, text) == (False, "another host has the same base topic: h-2")
    assert "mqtt.topic" in str(step)
    is_well, text, _, warns = connection_finding({**ON, "buffer": {**BUFFER, "lost_telemetry": 9}})
    assert (is_well, warns) == (True, True)
    assert "9 of telemetry" in text
