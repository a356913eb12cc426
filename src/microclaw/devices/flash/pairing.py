"""Pairs a board on a cable: gets the host's facts and a new secret, and waits until the board has connected."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

from msgspec import Struct

from microclaw.conversion import convert
from microclaw.devices.flash.board_files import CREDENTIALS
from microclaw.devices.flash.raw_repl import RawRepl
from microclaw.devices.link.meter import HandshakeEnd
from microclaw.errors import ConfigError, DeviceTimeout
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.boards.reader import load_board

CHANNEL: Final = "stable"
"""The default channel of updates."""
MAX_KEYS: Final = 4
_POLL_S: Final = 0.5
_MAX_NAMES: Final = 1000
# A name has up to 32 characters: four are left for the number.
_MAX_STEM: Final = 28
# Characters of the reason why a pin is reserved; each takes memory of the board.
_MAX_REASON: Final = 48
BOOT_PINS: Final = {"ESP32": 0, "ESP32-S3": 0, "ESP32-C3": 9, "ESP32-C6": 9}
"""The strapping pin with the BOOT button (each chip's datasheet, strapping pins)."""
_FORGET: Final = """\
import os
for n in NAMES:
    try:os.remove('/'+n)
    except OSError:pass
"""


class HostCalls(Protocol):
    """The calls of client.Client that pairing makes."""

    def get(self, path: str, /) -> dict[str, Any]: ...
    def post(self, path: str, body: Mapping[str, Any], /) -> dict[str, Any]: ...


class PairingAddress(Struct, frozen=True):
    """The address where boards find the host; `only_local`: it accepts only boards of this machine."""

    host: str
    port: int
    ca_sha256: str
    only_local: bool


class BoardLink(Struct, frozen=True):
    """A device's link as the host shows it; `connections` are counted since the host started.

    `handshake_end`: the last connection of any device that ended in its TLS handshake.
    """

    online: bool = False
    connections: int = 0
    handshake_end: HandshakeEnd | None = None


async def host_facts(calls: HostCalls, name: str, address: str | None) -> PairingAddress:
    """Ask the host how boards reach it, without a new secret."""
    body = {"name": name, "board": None, "secret": False, "host": address}
    return convert(await asyncio.to_thread(calls.post, "/v1/devices/provision", body), PairingAddress)


async def known_devices(calls: HostCalls) -> dict[str, dict[str, Any]]:
    """Return the devices of the host, by their names."""
    return _by_name(await _device_list(calls))


def free_name(taken: frozenset[str], first: str = "board") -> str:
    """Return the first name that is free: board, board-2, board-3, ..."""
    if first not in taken:
        return first
    stem = first[:_MAX_STEM]
    names = (f"{stem}-{number}" for number in range(2, _MAX_NAMES))
    return next(name for name in names if name not in taken)


async def pair(repl: RawRepl, calls: HostCalls, name: str, board: str, address: str | None) -> dict[str, Any]:
    """Return a new secret for the board, as settings, and remove the secrets of its former host."""
    body = {"name": name, "board": board, "secret": True, "host": address}
    answer = await asyncio.to_thread(calls.post, "/v1/devices/provision", body)
    await repl.run(_FORGET.replace("NAMES", repr(CREDENTIALS)))
    settings = {"name": name, "board": board_facts(load_board(board))}
    for key in ("host", "port", "ca_sha256", "secret"):
        settings[key] = answer[key]
    return settings


async def link_of(calls: HostCalls, name: str) -> BoardLink:
    """Return the link of the device of this name."""
    answer = await _device_list(calls)
    link = _by_name(answer).get(name, {}).get("link") or {}
    return convert({**link, "handshake_end": answer["handshake_end"]}, BoardLink)


async def wait_online(calls: HostCalls, name: str, before: BoardLink, timeout_s: float) -> None:
    """Wait until the board has connected again.

    `before` is its link before its restart, as another board of the name may be online all the time. Raises
    DeviceTimeout with what to look at.
    """
    link = before
    try:
        async with asyncio.timeout(timeout_s):
            while not link.online or link.connections == before.connections:
                link = await link_of(calls, name)
                await asyncio.sleep(_POLL_S)
    except TimeoutError as exc:
        raise _not_online(name, before, link, timeout_s) from exc


async def _device_list(calls: HostCalls) -> dict[str, Any]:
    return await asyncio.to_thread(calls.get, "/v1/devices")


def _by_name(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {device["name"]: device for device in answer["devices"]}


def _not_online(name: str, before: BoardLink, link: BoardLink, timeout_s: float) -> DeviceTimeout:
    """Build the error for a board that did not connect; `link` is its link now."""
    end = link.handshake_end
    if end is None or end == before.handshake_end:
        text = f"{name} has its files and its Wi-Fi, and did not connect within {timeout_s:.0f} s"
        step = f"microclaw doctor --port PORT; if the host refuses it: microclaw flash --name {name} --forget"
    else:
        text = f"{name} did not connect: TLS with {end.address} ended ({end.why})"
        step = "move a slow board nearer to its access point, then: microclaw device list"
    return DeviceTimeout(text, next_step=step)


def board_facts(profile: BoardProfile) -> dict[str, Any]:
    """Return the part of a profile that the board's files need: firmware/fw/board.py has the keys."""
    reserved = {str(pin.number): pin.reserved[:_MAX_REASON] for pin in profile.pins.values() if pin.reserved}
    facts: dict[str, Any] = {"name": profile.board_id, "chip": profile.chip, "boot_pin": BOOT_PINS[profile.chip]}
    if reserved:
        facts["reserved"] = reserved
    if profile.i2c is not None:
        facts["i2c"] = [profile.i2c.sda, profile.i2c.scl]
    return facts


def sealed_keys(keys: Mapping[str, str], channel: str) -> bytes:
    """Return /keys.json: JSON, and its SHA-256 in the second line. `keys`: id to modulus in base64.

    Raises ConfigError for more keys than a board has room for.
    """
    if len(keys) > MAX_KEYS:
        text = f"a board accepts at most {MAX_KEYS} update keys, not {len(keys)}"
        raise ConfigError(text, next_step="microclaw flash --update-key FILE names the keys to trust")
    text = json.dumps({"keys": dict(keys), "channel": channel, "serial": 0})
    return f"{text}\n{hashlib.sha256(text.encode()).hexdigest()}".encode()
