"""Wi-Fi changed over the link, with a real host: the new network is tried, and the former one counts when it fails."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.firmware.conftest import PATIENCE_S, Firmware, Plane, linked, micropython, provisioned

from microclaw.devices.link.device_link import DeviceLink
from microclaw.events import DeviceConnected

HOME = {"ssid": "home", "password": "old secret"}
NEW = {"ssid": "new", "password": "new secret"}
TOLD: dict[str, Any] = {"wifi": [HOME], "wifi_trial_s": 20}
SHORT: dict[str, Any] = {**TOLD, "wifi_trial_s": 10}


@pytest.fixture
def radio(board: Firmware, tmp_path: Path) -> Firmware:
    """A board with a radio, which hears `home` and `new`; from `cellar` it does not reach its host."""
    air = tmp_path / "air.json"
    networks = {"home": "old secret", "new": "new secret", "cellar": None}
    air.write_text(json.dumps({"networks": networks, "deaf": ["cellar"]}))
    board.boot = "tests/firmware/simulated/boot_radio.py"
    board.environ["MICROCLAW_AIR"] = str(air)
    return board


async def ask(device: DeviceLink, method: str, **params: Any) -> Any:
    result = await device.calls.call(method, params, idempotent=method == "wifi.list", timeout_s=60)
    assert result.ok, result
    return result.value


async def refusal(device: DeviceLink, method: str, **params: Any) -> tuple[str, str]:
    result = await device.calls.call(method, params, idempotent=False, timeout_s=60)
    assert result.error is not None
    return result.error.code, result.error.message


async def ended(plane: Plane) -> Any:
    """The board's report of its networks once the trial is over."""
    while True:
        await plane.published.until(DeviceConnected)
        while plane.links.online:
            value = await ask(plane.links.online[0], "wifi.list")
            if value["trial"]["state"] != "trying":
                return value
            await asyncio.sleep(0.1)  # the board says nothing when it is over: only asking tells


async def test_a_new_network_that_brings_the_link_back_is_kept(plane: Plane, radio: Firmware) -> None:
    await provisioned(plane, radio, **TOLD)
    async with linked(plane, radio) as device:
        assert {"wifi.list", "wifi.set", "wifi.forget"} <= set(device.capabilities)
        assert await ask(device, "wifi.list") == {"networks": ["home"], "ssid": "home"}
        assert await ask(device, "wifi.set", **NEW) == {"ssid": "new", "state": "trying", "seconds": 60}
        value = await ended(plane)
        assert value == {"networks": ["new", "home"], "ssid": "new", "trial": {"ssid": "new", "state": "kept"}}
        assert radio.read("settings.json")["wifi"] == [NEW, HOME]
        assert (await refusal(plane.links.online[0], "wifi.forget", ssid="new"))[0] == "failed"
        await ask(plane.links.online[0], "wifi.forget", ssid="home")
    assert radio.read("settings.json")["wifi"] == [NEW]
    assert "former" not in radio.read("settings.json")["wifi_trial"]


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"ssid": "home", "password": "wrong secret"}, "the password is wrong"),
        ({"ssid": "cellar"}, "the host was not reached"),
    ],
)
async def test_a_network_without_the_host_is_given_up_and_the_former_one_counts_again(
    plane: Plane, radio: Firmware, wanted: dict[str, str], why: str
) -> None:
    await provisioned(plane, radio, **SHORT)
    async with linked(plane, radio) as device:
        await ask(device, "wifi.set", **wanted)
        assert radio.read("settings.json")["wifi_trial"]["former"] == [HOME], "both are in flash at once"
        value = await ended(plane)
    assert (value["networks"], value["ssid"], value["trial"]["state"]) == (["home"], "home", "failed")
    assert why in value["trial"]["why"]
    assert radio.read("settings.json")["wifi"] == [HOME]
    assert not any("secret" in line for line in radio.lines)


async def test_a_power_cut_in_the_trial_ends_with_the_network_that_reaches_the_host(
    plane: Plane, radio: Firmware
) -> None:
    trial = {"ssid": "cellar", "state": "trying", "former": [HOME]}
    await provisioned(plane, radio, **SHORT | {"wifi": [{"ssid": "cellar"}, HOME], "wifi_trial": trial})
    async with radio.running(), asyncio.timeout(PATIENCE_S):
        assert (await ended(plane))["trial"]["state"] == "failed"
    assert radio.read("settings.json")["wifi"] == [HOME]


WRONG: tuple[tuple[str, str, dict[str, Any]], ...] = (
    *(("bad_params", "wifi.set", {"ssid": ssid}) for ssid in ("", "é" * 17, "two\nlines", 7)),
    *(("bad_params", "wifi.set", {**NEW, "password": wrong}) for wrong in ("short", "x" * 64, "tab\tin it!")),
    ("bad_params", "wifi.forget", {"ssid": "nobody"}),
    ("failed", "wifi.forget", {"ssid": "home"}),
)


async def test_what_cannot_be_a_network_is_refused_and_nothing_changes(plane: Plane, radio: Firmware) -> None:
    await provisioned(plane, radio, **TOLD)
    before = radio.read("settings.json")
    async with linked(plane, radio) as device:
        for code, method, params in WRONG:
            assert (await refusal(device, method, **params))[0] == code, params
        assert radio.read("settings.json") == before
        for number in range(7):
            await ask(device, "wifi.set", ssid=f"later {number}", later=True)
        assert "8 networks" in (await refusal(device, "wifi.set", **NEW))[1]
        assert not any("radio: tries later" in line for line in radio.lines)
        assert (await ask(device, "wifi.list"))["networks"][0] == "home"


def test_a_second_change_waits_for_the_end_of_the_first(radio: Firmware) -> None:
    trial = {"ssid": "new", "state": "trying", "former": [HOME]}
    radio.write("settings.json", json.dumps({"wifi": [NEW, HOME], "wifi_trial": trial}))
    script = """
import networks, settings, wifi
class Calls:
    settings, wifi = settings.Settings(WORDS[0]), wifi.Wifi(None, [])
for function, params in ((networks.wifi_set, {"ssid": "x"}), (networks.wifi_forget, {"ssid": "home"})):
    try:
        function(Calls, params)
    except networks.CallError as exc:
        print(exc)
"""
    assert micropython(script, f"{radio.folder}/") == "another network is being tried: wait a minute\n" * 2
    assert radio.read("settings.json")["wifi"] == [NEW, HOME]
