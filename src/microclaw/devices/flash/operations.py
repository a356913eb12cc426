"""The operations by which a browser sets up a new board over USB. Only for owners; they return no secret.

The manifest has the form of ESP Web Tools (esphome.github.io/esp-web-tools), and also sizes and digests.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from msgspec import Meta, Struct

from microclaw import __version__
from microclaw.devices.flash.board_files import BoardFile, our_files
from microclaw.devices.flash.first_image import FirstPiece, first_files, first_pieces
from microclaw.devices.flash.images import (
    CHIPS,
    MB,
    MIN_FLASH_BYTES,
    Chip,
    cached_image,
    check_image,
    chip_named,
    download,
    find_image,
    is_known,
)
from microclaw.errors import UnknownName
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.firmware_folder import firmware_folder
from microclaw.host.config.edit import LAN, write_changes
from microclaw.host.operations.forms import NO_COMMAND
from microclaw.host.operations.operation import Access, OperationCall, Permission, operation
from microclaw.host.operations.result import Result

if TYPE_CHECKING:
    from pathlib import Path

    from microclaw.devices.link.server import LinkServer
    from microclaw.host.config.settings import Settings

MAX_KEPT_BYTES: Final = 64 * MB
"""How many bytes of manifests' parts are kept; the oldest parts are removed first."""
# It has its own image.
_MUCH_PSRAM: Final = 8 * MB
FlashBytes: TypeAlias = Annotated[int, Meta(ge=MIN_FLASH_BYTES, le=32 * MB, multiple_of=MB, description="Of the board")]
PsramBytes: TypeAlias = Annotated[int, Meta(ge=0, le=32 * MB, multiple_of=MB, description="In the chip's package")]


class InstallBoard(Struct, frozen=True):
    board: str
    title: str


class InstallChip(Struct, frozen=True):
    """A chip that a browser can set up.

    `image`: a stock image for it that this host has, with PSRAM or without; None if a manifest must download it.
    """

    chip: str
    boards: list[InstallBoard]
    image: str | None


class InstallChoices(Result, frozen=True, kw_only=True, rename={"next_step": "next"}):
    """The chips, and if boards can reach this host.

    `problem`: why a board that is installed now could not reach this host; `can_open`: a POST opens its link.
    """

    chips: list[InstallChip]
    problem: str | None
    next_step: str | None
    can_open: bool


class InstallLink(Result, frozen=True, kw_only=True):
    """The link after the host's next start; `link`: the address for boards of the network."""

    link: str


class InstallPart(Struct, frozen=True):
    path: str
    offset: int
    size_bytes: int
    md5: str


class InstallBuild(Struct, frozen=True, kw_only=True):
    """The parts for one chip and board; `official`: the image has the SHA-256 of the official file."""

    chipFamily: str
    board: str
    image: str
    official: bool
    parts: list[InstallPart]


class InstallManifest(Result, frozen=True, kw_only=True):
    name: str
    version: str
    new_install_prompt_erase: bool
    builds: list[InstallBuild]


class InstallParts:
    """Builds the parts that a manifest names, one manifest at a time, and keeps them until newer parts replace them.

    `keys` returns the keys that sign updates: each modulus by the key's id.
    """

    def __init__(
        self, settings: Settings, link: LinkServer | None, keys: Callable[[], Awaitable[dict[str, str]]]
    ) -> None:
        self.settings = settings
        self.link = link
        self._update_keys = keys
        # With and without PSRAM; a build takes seconds.
        self._files: dict[bool, tuple[BoardFile, ...]] = {}
        self._parts: OrderedDict[str, bytes] = OrderedDict()
        self._building = asyncio.Lock()

    def kept(self, sha256: str) -> bytes:
        """Return the part with this SHA-256; UnknownName if the host does not keep it."""
        data = self._parts.get(sha256)
        if data is None:
            raise UnknownName("the host keeps no such part", next_step="ask for the manifest again; it names the parts")
        return data

    async def build(self, chip: Chip, board: str, flash_bytes: int, psram_bytes: int) -> InstallBuild:
        """Build the parts; ConfigError if the image is not available or does not fit."""
        async with self._building:
            image = await asyncio.to_thread(find_image, None, chip, psram_bytes, self.settings.cache, download)
            check_image(image, chip, flash_bytes)
            has_psram = psram_bytes > 0
            if has_psram not in self._files:
                self._files[has_psram] = await our_files(firmware_folder(), with_psram=has_psram)
            files = first_files(self._files[has_psram], board, await self._host(), await self._update_keys())
            pieces = await asyncio.to_thread(first_pieces, image, flash_bytes, files)
            parts = [self._keep(piece) for piece in pieces]
            name = image.path.name
            official = is_known(image)
        return InstallBuild(chipFamily=chip.name, board=board, image=name, official=official, parts=parts)

    def _keep(self, piece: FirstPiece) -> InstallPart:
        name = piece.sha256
        self._parts.pop(name, None)
        self._parts[name] = piece.data
        while sum(map(len, self._parts.values())) > MAX_KEPT_BYTES:
            self._parts.popitem(last=False)
        return InstallPart(f"parts/{name}.bin", piece.offset, len(piece.data), piece.md5)

    async def _host(self) -> dict[str, Any]:
        """Return the address of this host for boards. It is not secret: a board without a secret shows a code."""
        if self.link is None:
            return {}
        settings = await self.link.provision("board", with_secret=False)
        return {"host": settings.host, "port": settings.port, "ca_sha256": settings.ca_sha256}


@operation("install.choices", http="GET /v1/firmware/install", access=Access.OWN, command=NO_COMMAND)
async def choices(parts: InstallParts, _: OperationCall) -> InstallChoices:
    """List the chips and boards that a browser can set up."""
    chips = await asyncio.to_thread(_describe_chips, parts.settings.cache)
    if parts.link is None:
        problem = "this host accepts no boards: its link is off"
    elif parts.link.is_local:
        problem = "this host accepts only boards on its own machine: a new board cannot reach it"
    else:
        return InstallChoices(chips=chips, problem=None, next_step=None, can_open=False)
    step = f"first start it with: microclaw up --link {LAN}"
    return InstallChoices(chips=chips, problem=problem, next_step=step, can_open=True)


@operation(
    "install.open-link",
    http="POST /v1/firmware/install/link",
    permission=Permission.ACT,
    access=Access.OWN,
    command=NO_COMMAND,
)
async def open_to_network(parts: InstallParts, _: OperationCall) -> InstallLink:
    """Open the link to the network, from the host's next start on."""
    await asyncio.to_thread(write_changes, parts.settings.home, os.environ, {"host.link": LAN})
    return InstallLink(link=LAN)


@operation("install.manifest", http="GET /v1/firmware/manifest", access=Access.OWN, command=NO_COMMAND)
async def manifest(
    parts: InstallParts,
    _: OperationCall,
    board: Annotated[str, Meta(max_length=64, description="Its profile")],
    flash_bytes: FlashBytes = MIN_FLASH_BYTES,
    psram_bytes: PsramBytes = 0,
) -> InstallManifest:
    """Return the parts of an installation and their places on a board with this flash, for ESP Web Tools."""
    chip = chip_named(load_board(board).chip)
    if board not in chip.profiles():
        raise UnknownName(f"{board} is not a board to flash", next_step=f"name one of {', '.join(chip.profiles())}")
    build = await parts.build(chip, board, flash_bytes, psram_bytes)
    return InstallManifest(name="microclaw", version=__version__, new_install_prompt_erase=True, builds=[build])


def _describe_chips(cache: Path) -> list[InstallChip]:
    chips = []
    for chip in CHIPS.values():
        boards = [InstallBoard(board, load_board(board).title) for board in chip.profiles()]
        image = cached_image(chip, 0, cache) or cached_image(chip, _MUCH_PSRAM, cache)
        chips.append(InstallChip(chip.name, boards, image.path.name if image else None))
    return chips
