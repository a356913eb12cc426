"""From a sentence to a board that goes on by itself: the real host and the firmware's own files."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.devices.link.real_host import RealHost
from tests.devices.link.real_host import real_host as real_host
from tests.firmware.conftest import PATIENCE_S, Firmware
from tests.interfaces.cli.conftest import run_in

from microclaw.host.auth.provisioning import Provision

PIN = 4
PULSED_PIN = 5


async def answer(host: RealHost, *words: str) -> Any:
    ran = await asyncio.to_thread(run_in, host.home, "--json", *words)
    assert ran.code == 0, f"{ran.out}\n{ran.err}"
    return json.loads(ran.out)


async def until_online(host: RealHost) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            devices = (await asyncio.to_thread(host.client.get, "/v1/devices"))["devices"]
            if any(device["link"] and device["link"]["online"] for device in devices):
                return
            await asyncio.sleep(0.2)  # the host tells nobody outside


def edges(pins: Path, pin: int = PIN) -> list[str]:
    """Every level that the pin took."""
    return [line.split()[1] for line in pins.read_text().splitlines() if line.startswith(f"{pin} ")]


async def until_edges(pins: Path, more: int) -> None:
    """The pin changed so many more times."""
    before = len(edges(pins))
    async with asyncio.timeout(PATIENCE_S):
        while len(edges(pins)) < before + more:  # noqa: ASYNC110 - the chip tells nobody
            await asyncio.sleep(0.1)


async def until_over(pins: Path, pin: int) -> None:
    """The pulse has set its pin low again: what is begun again after a power cut would do that once more."""
    async with asyncio.timeout(PATIENCE_S):
        while "0" not in edges(pins, pin):  # noqa: ASYNC110 - the chip tells nobody
            await asyncio.sleep(0.1)


async def test_a_sentence_blinks_without_the_host_and_after_a_power_cut_and_is_undone(
    board: Firmware, real_host: RealHost, tmp_path: Path
) -> None:
    host = real_host
    file = tmp_path / "lamp.json"
    pins = tmp_path / "pins"
    words = ["device", "provision", "lamp", "--board", "esp32-devkitc-v4", "--address", "127.0.0.1", "--file"]
    await answer(host, *words, str(file))
    made = json.loads(file.read_text())
    pins.touch()
    board.environ["MICROCLAW_PINS"] = str(pins)
    board.told(Provision(made["host"], made["port"], made["ca_sha256"], made["secret"]))
    async with board.running():
        await until_online(host)
        done = await answer(host, "chat", "--yes", f"blink pin {PIN} twice a second")
        assert [action["tool"] for action in done["actions"]] == ["deploy-wasm-app"]
        await until_edges(pins, 5)
        assert set(edges(pins)) == {"0", "1"}
        (app,) = (await answer(host, "app", "list", "-d", "lamp"))["apps"]
        assert (app["name"], app["condition"], app["pins"]) == ("blink", "running", [PIN])
        await answer(host, "chat", "--yes", f"turn on pin {PULSED_PIN} for 1 second")
        await until_over(pins, PULSED_PIN)
        await asyncio.to_thread(host.kill)
        await until_edges(pins, 4)
        board.kill()
    pulsed = edges(pins, PULSED_PIN)
    async with board.running():
        await until_edges(pins, 4)  # the program starts by itself, with no host to be seen
        await asyncio.to_thread(host.start, "--link", f"127.0.0.1:{made['port']}")
        await until_online(host)
        listed = (await answer(host, "app", "list", "-d", "lamp"))["apps"]
        assert {app["name"]: app["condition"] for app in listed} == {"blink": "running", "pulse": "stopped"}
        assert edges(pins, PULSED_PIN) == pulsed, "the pulse is over"
        for _ in ("pulse", "blink"):
            await answer(host, "app", "undo")
        assert (await answer(host, "app", "list", "-d", "lamp"))["apps"] == []
