"""The objects that the steps of `microclaw flash` share: person, host, options, tools and result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from microclaw.devices.flash.board_port import BoardPort
from microclaw.devices.flash.esptool import Esptool
from microclaw.devices.flash.images import Fetch
from microclaw.devices.flash.pairing import BoardLink, HostCalls


class Operator(Protocol):
    """A person at the terminal, or a test's script."""

    def say(self, text: str) -> None: ...
    def progress(self, what: str, percent: float) -> None: ...
    def confirm(self, question: str, *, default: bool) -> bool: ...
    def choose(self, question: str, choices: tuple[str, ...], default: str) -> str: ...
    def password(self, question: str) -> str: ...
    @property
    def asks_nothing(self) -> bool: ...


class PairingHost(Protocol):
    """The host to which the board will belong. `open_to_network` accepts boards of the LAN and waits for that."""

    @property
    def calls(self) -> HostCalls: ...
    async def open_to_network(self) -> None: ...


@dataclass(frozen=True, slots=True)
class FlashOptions:
    """The options of the command line.

    `update_keys`: id to modulus in base64; if empty, the board keeps its keys, or gets those of the host.
    """

    image: Path | None = None
    adopt: bool = False
    erase: bool = False
    ssid: str | None = None
    password: str | None = field(default=None, repr=False)
    name: str | None = None
    board: str | None = None
    address: str | None = None
    keeps_wifi: bool = False
    forgets: bool = False
    update_keys: Mapping[str, str] = field(default_factory=dict)
    channel: str | None = None
    revision: str | None = None


@dataclass(slots=True)
class FlashResult:
    """The result, for --json and the last lines.

    `revision` is of the board: as the user said, or of its chip. `link` is the link before the board's restart.
    """

    port: str
    chip: str | None = None
    revision: str | None = None
    mac: str | None = None
    image: str | None = None
    micropython: str | None = None
    copied: int = 0
    device: str | None = None
    board: str | None = None
    ssid: str | None = None
    access_point_key: str | None = field(default=None, repr=False)
    link: BoardLink = field(default_factory=BoardLink, repr=False)
    online: bool = False
    say_next: str | None = None


class FlashContext(Struct, frozen=True):
    """Everything that is needed to flash a board. If no host runs, `host` is None and the board is not paired.

    `look_s`: how long MicroPython may take to answer before esptool is used.
    """

    port: BoardPort
    esptool: Esptool
    person: Operator
    host: PairingHost | None
    files: Path
    cache: Path
    fetch: Fetch
    look_s: float = 4.0
    online_s: float = 90.0
