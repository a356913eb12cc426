"""The cable without Wi-Fi and without a host: JSON lines and console commands, over the unix port's stdin."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.firmware.conftest import BOOT, MICROPYTHON, PATIENCE_S, ROOT, Firmware


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


def test_json_lines_are_answered_as_the_page_has_it(board: Firmware) -> None:
    found = said(board, *(json.dumps(request) for request, _ in PAGE))
    assert [json.loads(line) for line in found] == [reply for _, reply in PAGE]


def test_a_pin_of_the_flash_is_refused(board: Firmware) -> None:
    board.write("settings.json", json.dumps({"board": {"chip": "ESP32", "reserved": {"6": "the flash"}}}))
    answer = json.loads(said(board, '{"action":"set_gpio","pin":6,"state":1}')[0])
    assert answer["status"] == "error"
    assert "flash" in answer["msg"]


def test_lines_that_are_no_request_get_an_error_and_the_next_is_good(board: Firmware) -> None:
    found = said(board, "nonsense", "{", "x" * 3000, '{"action":"read_gpio","pin":4}')
    assert [json.loads(line)["status"] for line in found] == ["error", "error", "error", "ok"]


def test_wifi_is_set_over_the_cable_and_secrets_are_masked(board: Firmware) -> None:
    board.write("settings.json", json.dumps({"secret": "N5XGY6JN", "wifi": [{"ssid": "old", "password": "abcdefgh"}]}))
    found = "\n".join(said(board, 'set_wifi "my home" pass1234', "config_show", "wifi_status", "help"))
    assert board.read("settings.json")["wifi"] == [
        {"ssid": "my home", "password": "pass1234"},
        {"ssid": "old", "password": "abcdefgh"},
    ]
    assert "my home" in found
    assert "WiFi connected: no" in found
    for secret in ("N5XGY6JN", "pass1234", "abcdefgh"):
        assert secret not in found


def test_what_cannot_be_a_wifi_is_refused_over_the_cable_too(board: Firmware) -> None:
    found = said(
        board, 'set_wifi "" password', f"set_wifi {'x' * 33}", "set_wifi attic short", "set_wifi attic " + "x" * 64
    )
    assert [json.loads(line)["status"] for line in found] == ["error"] * 4
    assert not (board.folder / "settings.json").exists()


def test_the_access_point_is_named_by_wifi_status_alone(
    board: Firmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    air = tmp_path / "air.json"
    air.write_text(json.dumps({"networks": {"home": "old secret"}}))
    monkeypatch.setenv("MICROCLAW_AIR", str(air))
    boot = "tests/firmware/simulated/boot_radio.py"
    board.write("settings.json", json.dumps({"ap_key": "k4mzq7wxdr"}))
    found = said(board, "wifi_status", "wifi_scan", "config_show", boot=boot)
    shown = "Access point: microclaw-ab0c key k4mzq7wxdr, when no known network is found"
    assert [line for line in found if "k4mzq7wxdr" in line] == [shown]
    assert [line.split() for line in found if "dBm" in line] == [["home", "-40", "dBm"]]
    said(board, "config_reset", boot=boot)
    assert board.read("settings.json") == {"ap_key": "k4mzq7wxdr"}
    board.write("settings.json", "{}")
    assert "Access point: none: microclaw flash gives it a key" in said(board, "wifi_status", boot=boot)


def test_names_of_networks_around_steer_no_terminal_and_forge_no_line(
    board: Firmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    air = tmp_path / "air.json"
    air.write_text(json.dumps({"networks": {"\x1b[2J\x9b5m\n{}\x7f": "old secret", "\u202ecafé": None}}))
    monkeypatch.setenv("MICROCLAW_AIR", str(air))
    found = said(board, "wifi_scan", boot="tests/firmware/simulated/boot_radio.py")
    names = sorted(line.rsplit(None, 2)[0].strip() for line in found)
    assert names == ["???café", "?[2J??5m {}?"]
    said(board, 'set_wifi "a\x9b5m" password', "set_wifi b\u202e")
    assert not (board.folder / "settings.json").exists()


def test_config_reset_forgets_the_host_and_keeps_the_board(board: Firmware) -> None:
    board.write("settings.json", json.dumps({"board": {"name": "x"}, "host": "", "secret": "N5XGY6JN"}))
    board.write("credential.json", json.dumps({"token": "mc1_x"}))
    said(board, "config_reset")
    assert board.read("settings.json") == {"board": {"name": "x"}}
    assert not (board.folder / "credential.json").exists()
