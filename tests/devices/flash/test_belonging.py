"""The owner of a board: what stays of another host's settings, and that a board's word alone takes nobody's place."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec import structs
from tests.devices.flash.conftest import ScriptedPerson, StartBoard
from tests.devices.flash.odd_board import LyingMicroPython, OddBoard
from tests.devices.flash.pty_board import MICROPYTHON, PtyBoard
from tests.forked import Child
from tests.interfaces.cli.conftest import clean_environ, run_in

from microclaw.devices.flash.board_files import BoardFile, put
from microclaw.devices.flash.board_port import BoardPort
from microclaw.devices.flash.board_settings import read_settings
from microclaw.devices.flash.flash_context import FlashContext, FlashOptions
from microclaw.devices.flash.steps import flash_board
from microclaw.errors import DeviceTimeout
from microclaw.host.config.places import control_socket
from microclaw.host.operations.client import Client

pytestmark = pytest.mark.skipif(not MICROPYTHON.exists(), reason="scripts/micropython.sh was not run")
Make = Callable[..., FlashContext]
PATIENCE_S = 60.0
KITCHEN = {"ssid": "kitchen", "password": "correct horse"}
FORMER: dict[str, Any] = {
    "host": "10.0.0.9",
    "port": 8443,
    "ca_sha256": "c" * 64,
    "secret": "former-secret",
    "board": {"name": "esp32-devkitc-v4", "evil": 1},
    "wifi": [KITCHEN, {"ssid": "x" * 33}, {"ssid": "attic", "password": "short"}, "cellar"],
    "ap_key": "label-of-before",
    "ntp": "time.example",
    "ap_after_s": 10**30,
    "audio": {"mic": [1, 2], "speaker": [4, 5, 6]},
    "wifi_trial": {"ssid": "kitchen", "state": "trying", "former": []},
    "ap_open_s": 1,
    "evil": "x" * 100,
}
WISHES = FlashOptions(adopt=True, address="127.0.0.1", keeps_wifi=True, board="esp32-devkitc-v4")


@dataclass
class RealHost:
    """The host of this test, without the question that opens it to the network."""

    calls: Client

    async def open_to_network(self) -> None:
        raise AssertionError("it has an address")


@pytest.fixture
def owner(host: dict[str, Any]) -> RealHost:
    home = Path(host["home"])
    return RealHost(Client(control_socket(home, clean_environ(home))))


async def _told(board: PtyBoard, settings: dict[str, Any], link_id: str | None) -> None:
    """As another host, or somebody with a cable, left the board."""
    async with BoardPort.parse(str(board.port)).repl(10) as repl:
        await put(repl, BoardFile("/settings.json", json.dumps(settings).encode()))
        if link_id is not None:
            await put(repl, BoardFile("/credential.json", json.dumps({"token": f"mc1_{link_id}_key"}).encode()))
            await put(repl, BoardFile("/ca.der", b"former"))


async def _flash(shop: FlashContext, wishes: FlashOptions) -> None:
    """To the end, where the files of these tests never connect."""
    with pytest.raises(DeviceTimeout):
        await flash_board(structs.replace(shop, online_s=0.2), wishes)


async def test_of_another_host_nothing_stays(
    start_board: StartBoard, workshop: Make, person: ScriptedPerson, owner: RealHost
) -> None:
    board = start_board(has_micropython=True)
    await _told(board, FORMER, "former")
    await _flash(workshop(board, owner), WISHES)
    settings = json.loads(board.file("settings.json"))
    assert settings.keys() == {"name", "board", "host", "port", "ca_sha256", "secret", "ap_key"}
    assert settings["ap_key"] != FORMER["ap_key"]
    assert "evil" not in settings["board"]
    assert settings["ca_sha256"] != FORMER["ca_sha256"]
    for gone in ("credential.json", "ca.der"):
        assert not board.has(gone), gone
    assert "former" not in json.dumps(settings)
    assert not any("correct horse" in line or "former-secret" in line for line in person.said + person.asked)


async def test_forget_without_a_host_leaves_what_makes_it_a_board_of_its_host(
    start_board: StartBoard, workshop: Make, person: ScriptedPerson
) -> None:
    board = start_board(has_micropython=True)
    await _told(board, FORMER, "former")
    await flash_board(workshop(board), FlashOptions(adopt=True, forgets=True, ssid="kitchen", password="correct horse"))
    settings = json.loads(board.file("settings.json"))
    assert settings["wifi"] == [KITCHEN]
    assert settings.keys() == {"name", "board", "host", "port", "ca_sha256", "secret", "ap_key", "wifi"} - {"name"}
    assert board.has("credential.json")


@pytest.fixture
def lamp(host: dict[str, Any], owner: RealHost, tmp_path: Path) -> Iterator[str]:
    """A device called lamp that is online; the fingerprint of its host's authority."""
    home = Path(host["home"])
    file = tmp_path / "lamp.json"
    made = json.loads(run_in(home, "--json", "device", "provision", "lamp", "--file", str(file)).out)
    words = ["microclaw.virtual", "--name", "lamp", "--wasmachine", "0", "--serial", "none", "--die-with-parent"]
    words += ["--control", str(tmp_path / "lamp.sock"), "--link", host["link"], "--link-secret-file", str(file)]
    with Child("lamp", [*words, "--link-ca-sha256", made["ca_sha256"]], log=tmp_path / "lamp.stderr") as child:
        child.wait_ready()
        give_up = time.monotonic() + PATIENCE_S
        while not any(one["name"] == "lamp" and (one["link"] or {}).get("online") for one in _devices(owner)):
            assert time.monotonic() < give_up, "lamp does not connect"
        yield made["ca_sha256"]
    assert run_in(home, "device", "remove", "lamp").code == 0


def _devices(owner: RealHost) -> list[dict[str, Any]]:
    devices: list[dict[str, Any]] = owner.calls.get("/v1/devices")["devices"]
    return devices


def _link_id(owner: RealHost, name: str) -> str:
    transports: list[str] = owner.calls.get(f"/v1/devices/{name}")["transports"]
    return next(one.removeprefix("link:") for one in transports if one.startswith("link:"))


def _link(owner: RealHost, name: str) -> dict[str, Any]:
    link: dict[str, Any] = owner.calls.get(f"/v1/devices/{name}")["link"]
    return link


async def test_a_credential_that_is_not_that_of_the_named_device_is_replaced(
    start_board: StartBoard, workshop: Make, owner: RealHost, lamp: str
) -> None:
    """Of a device that was removed and added again, say: the board would be refused forever."""
    board = start_board(has_micropython=True)
    await _told(board, {**FORMER, "ca_sha256": lamp, "name": "lamp"}, "former")
    await _flash(workshop(board, owner), WISHES)
    settings = json.loads(board.file("settings.json"))
    assert settings["name"] == "lamp-2"
    assert settings["secret"] != FORMER["secret"]
    assert not board.has("credential.json")
    assert _link(owner, "lamp")["online"]


async def test_a_board_that_is_refused_is_paired_anew_when_a_person_says_so(
    start_board: StartBoard, workshop: Make, owner: RealHost, lamp: str
) -> None:
    """Its token was revoked, or is forged: what it has looks right, and the true device's link is not taken for it."""
    board = start_board(has_micropython=True)
    told = {**FORMER, "ca_sha256": lamp, "name": "lamp"}
    await _told(board, told, _link_id(owner, "lamp"))
    with pytest.raises(DeviceTimeout):
        await flash_board(structs.replace(workshop(board, owner), online_s=0.2), WISHES)
    assert json.loads(board.file("settings.json"))["secret"] == FORMER["secret"], "no secret was made on its word"
    assert _link(owner, "lamp")["online"]
    await _flash(workshop(board, owner), replace(WISHES, name="lamp", forgets=True))
    settings = json.loads(board.file("settings.json"))
    assert settings["name"] == "lamp"
    assert settings["secret"] != FORMER["secret"]
    assert not board.has("credential.json")


async def test_a_board_whose_tls_handshakes_end_is_not_to_be_paired_anew(
    start_board: StartBoard, workshop: Make, owner: RealHost, host: dict[str, Any]
) -> None:
    shop = structs.replace(workshop(start_board(has_micropython=True), owner), online_s=2)
    flashing = asyncio.create_task(flash_board(shop, WISHES))
    link = urlsplit(host["link"])
    while not flashing.done():
        reader, writer = await asyncio.open_connection(link.hostname, link.port)
        writer.write(b"this is no TLS\r\n")
        await reader.read()
        writer.close()
    with pytest.raises(DeviceTimeout) as late:
        await flashing
    assert "127.0.0.1" in late.value.message
    assert late.value.next_step is not None
    assert "--forget" not in late.value.next_step


async def test_a_known_key_of_another_form_is_left_out() -> None:
    for bad in (
        {"wifi": {"ssid": "kitchen"}, "ap_key": "short", "ap_after_s": True, "ntp": 7},
        {"host": "\u001b[31m", "port": 70_000, "name": "Lamp", "ca_sha256": "0", "secret": 9},
        {"name": "\x1b[31mLamp " + "x" * 9000},
    ):
        text = json.dumps({**bad, "ours": 1}).encode()
        with OddBoard(LyingMicroPython({"settings.json": b"False\n\n" + text})) as board:
            async with BoardPort.parse(board.port).repl(10) as repl:
                told = await read_settings(repl)
        assert (told.values, told.is_mended) == ({"ours": 1}, True)
