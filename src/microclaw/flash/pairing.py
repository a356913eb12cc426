"""What a board is told of its host: settings.json over the cable, and the wait until it has connected."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from microclaw.boards.profile import BoardProfile
from microclaw.boards.reader import board_ids, load_board
from microclaw.errors import DeviceTimeout
from microclaw.flash.board_files import CREDENTIALS, SETTINGS_PATH, BoardFile, put
from microclaw.flash.raw_repl import RawRepl

_POLL_S: Final = 0.5
_MAX_NAMES: Final = 1000
_KEY_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another
_KEY_CHARS: Final = 12
_MAX_WHY: Final = 48  # characters of why a pin is reserved; each costs the board memory
BOOT_PINS: Final = {"ESP32": 0, "ESP32-S3": 0, "ESP32-C3": 9, "ESP32-C6": 9}
"""The strapping pin with the BOOT button (each chip's datasheet, strapping pins)."""
_READ: Final = """\
import os
print('credential.json' in os.listdir('/'))
try:print(open('/settings.json').read())
except OSError:print('{}')
"""
_FORGET: Final = """\
import os
for n in NAMES:
    try:os.remove('/'+n)
    except OSError:pass
"""


class HostCalls(Protocol):
    """The calls of host_client.HostClient that pairing makes."""

    def get(self, path: str) -> dict[str, Any]: ...
    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Where boards find the host; `only_local`: it lets in boards of this machine alone."""

    host: str
    port: int
    ca_sha256: str
    only_local: bool


@dataclass(frozen=True, slots=True)
class ToldSettings:
    """What the board was told before; `has_credential`: it was paired."""

    values: dict[str, Any]
    has_credential: bool

    @property
    def passwords(self) -> dict[str, str | None]:
        """The Wi-Fi networks that it knows, by name."""
        found = self.values.get("wifi")
        entries = [e for e in found if isinstance(e, dict) and "ssid" in e] if isinstance(found, list) else []
        return {str(e["ssid"]): None if e.get("password") is None else str(e["password"]) for e in entries}

    @property
    def board_id(self) -> str | None:
        """The profile that it was given."""
        facts = self.values.get("board")
        name = facts.get("name") if isinstance(facts, dict) else None
        return name if name in board_ids() else None

    @property
    def name(self) -> str | None:
        name = self.values.get("name")
        return name if isinstance(name, str) and name else None

    def trusts(self, host: HostFacts) -> bool:
        """Whether it was told of this host's authority: a new address needs no new secret then."""
        return bool(self.values.get("ca_sha256") == host.ca_sha256)

    def where(self, host: HostFacts) -> HostFacts:
        """The host where the board was told that it is."""
        name, port = self.values.get("host"), self.values.get("port")
        return replace(host, host=name, port=port) if isinstance(name, str) and isinstance(port, int) else host


async def read_settings(repl: RawRepl) -> ToldSettings:
    """What /settings.json says; nothing where it is missing or damaged, as it is written anew then."""
    credential, _, text = (await repl.run(_READ)).partition("\n")
    try:
        values = json.loads(text)
    except ValueError:
        values = {}
    return ToldSettings(values if isinstance(values, dict) else {}, credential.strip() == "True")


async def host_facts(calls: HostCalls, name: str, address: str | None) -> HostFacts:
    """Ask the host how boards reach it; makes no secret."""
    body = {"name": name, "board": None, "secret": False, "host": address}
    made = await asyncio.to_thread(calls.post, "/v1/devices/provision", body)
    return HostFacts(made["host"], made["port"], made["ca_sha256"], made["only_local"])


async def known_names(calls: HostCalls) -> frozenset[str]:
    devices = (await asyncio.to_thread(calls.get, "/v1/devices"))["devices"]
    return frozenset(device["name"] for device in devices)


def free_name(taken: frozenset[str], first: str = "board") -> str:
    """board, else board-2, board-3, ..."""
    if first not in taken:
        return first
    return next(name for n in range(2, _MAX_NAMES) if (name := f"{first}-{n}") not in taken)


async def pair(
    repl: RawRepl, calls: HostCalls, told: ToldSettings, name: str, board: str, address: str | None
) -> dict[str, Any]:
    """A new secret for the board; the settings that are to be written. What it had of another host is removed."""
    body = {"name": name, "board": board, "secret": True, "host": address}
    made = await asyncio.to_thread(calls.post, "/v1/devices/provision", body)
    await repl.run(_FORGET.replace("NAMES", repr(CREDENTIALS)))
    keys = ("host", "port", "ca_sha256", "secret")
    facts = board_facts(load_board(board))
    return {**told.values, "name": name, "board": facts, **{key: made[key] for key in keys}}


async def write_settings(repl: RawRepl, values: Mapping[str, Any]) -> None:
    """Whole or not at all, over the cable."""
    await put(repl, BoardFile(SETTINGS_PATH, json.dumps(values).encode()))


def new_access_point_key() -> str:
    """Of the access point that a board opens when it finds no Wi-Fi: to be read from a label, typed on a phone."""
    return "".join(secrets.choice(_KEY_LETTERS) for _ in range(_KEY_CHARS))


def with_network(values: Mapping[str, Any], ssid: str, password: str | None) -> dict[str, Any]:
    """The settings with this Wi-Fi first; the others stay."""
    found = values.get("wifi")
    others = [e for e in found if isinstance(e, dict) and e.get("ssid") != ssid] if isinstance(found, list) else []
    return {**values, "wifi": [{"ssid": ssid, **({"password": password} if password else {})}, *others]}


async def wait_online(calls: HostCalls, name: str, timeout_s: float) -> None:
    """Until the board is connected; DeviceTimeout with what to look at."""
    try:
        async with asyncio.timeout(timeout_s):
            while not await _is_online(calls, name):  # noqa: ASYNC110  the host is another process
                await asyncio.sleep(_POLL_S)
    except TimeoutError as exc:
        raise DeviceTimeout(
            f"{name} has its files and its Wi-Fi, and did not connect within {timeout_s:.0f} s",
            next_step="is port 8443 open in this machine's firewall, and are both in one network? "
            "microclaw flash looks again; microclaw doctor --port PORT shows what the board says",
        ) from exc


async def _is_online(calls: HostCalls, name: str) -> bool:
    devices = (await asyncio.to_thread(calls.get, "/v1/devices"))["devices"]
    link = next((device.get("link") for device in devices if device["name"] == name), None)
    return isinstance(link, dict) and link.get("online") is True


def board_facts(profile: BoardProfile) -> dict[str, Any]:
    """What the board's files ask of its profile: firmware/fw/board.py says which keys."""
    reserved = {str(pin.number): pin.reserved[:_MAX_WHY] for pin in profile.pins.values() if pin.reserved}
    facts: dict[str, Any] = {"name": profile.board_id, "chip": profile.chip, "boot_pin": BOOT_PINS[profile.chip]}
    if reserved:
        facts["reserved"] = reserved
    if profile.i2c is not None:
        facts["i2c"] = [profile.i2c.sda, profile.i2c.scl]
    return facts
