"""Pairs a board on a cable: what the host tells of itself, a new secret, and the wait until the board has connected."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from microclaw.boards.profile import BoardProfile
from microclaw.boards.reader import load_board
from microclaw.errors import DeviceTimeout
from microclaw.flash.board_files import AGENT_SETTINGS, CREDENTIALS
from microclaw.flash.raw_repl import RawRepl

_POLL_S: Final = 0.5
_MAX_NAMES: Final = 1000
_MAX_STEM: Final = 28  # of the 32 characters that a name has
_MAX_WHY: Final = 48  # characters of why a pin is reserved; each costs the board memory
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


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Where boards find the host; `only_local`: it lets in boards of this machine alone."""

    host: str
    port: int
    ca_sha256: str
    only_local: bool


async def host_facts(calls: HostCalls, name: str, address: str | None) -> HostFacts:
    """Ask the host how boards reach it; makes no secret."""
    body = {"name": name, "board": None, "secret": False, "host": address}
    made = await asyncio.to_thread(calls.post, "/v1/devices/provision", body)
    return HostFacts(made["host"], made["port"], made["ca_sha256"], made["only_local"])


async def known_devices(calls: HostCalls) -> dict[str, tuple[str, ...]]:
    """The transports of each device of the host, by its name."""
    devices = (await asyncio.to_thread(calls.get, "/v1/devices"))["devices"]
    return {device["name"]: tuple(device["transports"]) for device in devices}


def free_name(taken: frozenset[str], first: str = "board") -> str:
    """board, else board-2, board-3, ..."""
    if first not in taken:
        return first
    stem = first[:_MAX_STEM]
    return next(name for n in range(2, _MAX_NAMES) if (name := f"{stem}-{n}") not in taken)


async def pair(
    repl: RawRepl, calls: HostCalls, name: str, board: str, address: str | None, *, forgets_keys: bool
) -> dict[str, Any]:
    """A new secret for the board, as settings. What it had of a host before is removed, with `forgets_keys` also the
    tokens of the agent on it (as firmware/fw/settings_file.py does when a host lets a board go)."""
    body = {"name": name, "board": board, "secret": True, "host": address}
    made = await asyncio.to_thread(calls.post, "/v1/devices/provision", body)
    names = (*CREDENTIALS, *((AGENT_SETTINGS,) if forgets_keys else ()))
    await repl.run(_FORGET.replace("NAMES", repr(names)))
    keys = ("host", "port", "ca_sha256", "secret")
    return {"name": name, "board": board_facts(load_board(board)), **{key: made[key] for key in keys}}


async def connections(calls: HostCalls, name: str) -> int:
    """How often a device of this name has connected since the host started; 0 for one that never has."""
    link = await _link_of(calls, name)
    return 0 if link is None else int(link["connections"])


async def wait_online(calls: HostCalls, name: str, before: int, timeout_s: float) -> None:
    """Until the board has connected again: `before` is `connections` before its restart, as another board of the name
    may be online all the time. DeviceTimeout with what to look at."""
    try:
        async with asyncio.timeout(timeout_s):
            while not await _is_back(calls, name, before):  # noqa: ASYNC110  the host is another process
                await asyncio.sleep(_POLL_S)
    except TimeoutError as exc:
        raise DeviceTimeout(
            f"{name} has its files and its Wi-Fi, and did not connect within {timeout_s:.0f} s",
            next_step="is port 8443 open in this machine's firewall, and are both in one network? "
            "microclaw flash looks again; microclaw doctor --port PORT shows what the board says; "
            f"if it says that the host refuses it: microclaw flash --name {name} --forget pairs it anew",
        ) from exc


async def _is_back(calls: HostCalls, name: str, before: int) -> bool:
    link = await _link_of(calls, name)
    return link is not None and link.get("online") is True and int(link["connections"]) != before


async def _link_of(calls: HostCalls, name: str) -> dict[str, Any] | None:
    devices = (await asyncio.to_thread(calls.get, "/v1/devices"))["devices"]
    link = next((device.get("link") for device in devices if device["name"] == name), None)
    return link if isinstance(link, dict) else None


def board_facts(profile: BoardProfile) -> dict[str, Any]:
    """What the board's files ask of its profile: firmware/fw/board.py says which keys."""
    reserved = {str(pin.number): pin.reserved[:_MAX_WHY] for pin in profile.pins.values() if pin.reserved}
    facts: dict[str, Any] = {"name": profile.board_id, "chip": profile.chip, "boot_pin": BOOT_PINS[profile.chip]}
    if reserved:
        facts["reserved"] = reserved
    if profile.i2c is not None:
        facts["i2c"] = [profile.i2c.sda, profile.i2c.scl]
    return facts
