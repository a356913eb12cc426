"""The cable without Wi-Fi and without a host: JSON lines and console commands, over the unix port's stdin."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.firmware.conftest import BOOT, MICROPYTHON, PATIENCE_S, ROOT, Firmware

RADIO = "tests/firmware/simulated/boot_radio.py"


def said(board: Firmware, *lines: str, boot: str = BOOT) -> list[str]:
    """The console's output for these lines, until it restarts."""
    board.folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [MICROPYTHON, boot, f"{board.folder}/", "firmware/fw"],
        input="".join(line + "\n" for line in (*lines, "restart")),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 3, done.stderr  # machine.reset()
    return done.stdout.splitlines()


PAGE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"action": "set_gpio", "pin": 2, "state": 1}, {"status": "ok", "msg": "GPIO set", "pin": 2, "state": 1}),
    ({"action": "read_gpio", "pin": 4}, {"status": "ok", "pin": 4, "state": 0}),
    ({"action": "read_adc", "pin": 34}, {"status": "ok", "pin": 34, "value": 32768, "voltage": 1.65}),
    (
        {"action": "set_pwm", "pin": 5, "duty_cycle": 128, "frequency": 5000, "duty": 128, "freq": 5000},
        {"status": "ok", "msg": "PWM set", "pin": 5, "duty_cycle": 128, "frequency": 5000},
    ),
    ({"action": "read_gpio", "pin": 99}, {"status": "error", "msg": "Invalid pin number"}),
    ({"action": "set_gpio", "pin": 2, "state": 1.0}, {"status": "ok", "msg": "GPIO set", "pin": 2, "state": 1}),
    ({"action": "set_gpio", "pin": 1 << 80, "state": 1}, {"status": "error", "msg": "Invalid pin number"}),
    ({"action": "set_pwm", "pin": 5, "duty": 1, "freq": 1 << 80}, {"status": "error", "msg": "Invalid frequency"}),
    ({"action": "set_gpio", "pin": 2, "state": 7}, {"status": "error", "msg": "State must be 0 or 1"}),
    ({"action": "custom_x"}, {"status": "error", "msg": "Unknown action: custom_x"}),
    ({}, {"status": "error", "msg": "Missing action"}),
]


def test_json_lines_are_answered_as_the_page_has_it_and_what_is_no_request_gets_an_error(board: Firmware) -> None:
    board.write("settings.json", json.dumps({"board": {"chip": "ESP32", "reserved": {"6": "the flash"}}}))
    wrong = ["nonsense", "{", "x" * 3000, '{"action":"set_gpio","pin":6,"state":1}']
    found = [json.loads(line) for line in said(board, *wrong, *(json.dumps(request) for request, _ in PAGE))]
    assert [answer["status"] for answer in found[:4]] == ["error"] * 4
    assert "flash" in found[3]["msg"]
    assert found[4:] == [reply for _, reply in PAGE]


def test_wifi_is_set_over_the_cable_secrets_are_masked_and_a_reset_keeps_the_board(board: Firmware) -> None:
    known = {"ssid": "old", "password": "abcdefgh"}
    board.write("settings.json", json.dumps({"board": {"name": "x"}, "secret": "N5XGY6JN", "wifi": [known]}))
    board.write("credential.json", json.dumps({"token": "mc1_x"}))
    found = "\n".join(said(board, 'set_wifi "my home" pass1234', "config_show", "wifi_status", "help"))
    assert board.read("settings.json")["wifi"] == [{"ssid": "my home", "password": "pass1234"}, known]
    assert "my home" in found
    assert "WiFi connected: no" in found
    for secret in ("N5XGY6JN", "pass1234", "abcdefgh"):
        assert secret not in found
    said(board, "config_reset")
    assert board.read("settings.json") == {"board": {"name": "x"}}
    assert not (board.folder / "credential.json").exists()


def test_what_cannot_be_a_wifi_is_refused_and_names_around_steer_no_terminal_and_forge_no_line(
    board: Firmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    air = tmp_path / "air.json"
    air.write_text(json.dumps({"networks": {"\x1b[2J\x9b5m\n{}\x7f": "old secret", "\u202ecafé": None}}))
    monkeypatch.setenv("MICROCLAW_AIR", str(air))
    wrong = ['"" password', "x" * 33, "attic short", "attic " + "x" * 64, '"a\x9b5m" password', "b\u202e"]
    found = said(board, *(f"set_wifi {words}" for words in wrong), "wifi_scan", boot=RADIO)
    assert [json.loads(line)["status"] for line in found[: len(wrong)]] == ["error"] * len(wrong)
    assert not (board.folder / "settings.json").exists()
    names = sorted(line.rsplit(None, 2)[0].strip() for line in found[len(wrong) :])
    assert names == ["???café", "?[2J??5m {}?"]
