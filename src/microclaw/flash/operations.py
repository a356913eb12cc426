"""The acts by which a browser sets up a new board over USB, and what it writes. Owners alone; no secret.

The manifest has the form of ESP Web Tools (esphome.github.io/esp-web-tools), with sizes and digests besides.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from msgspec import Meta, Struct

from microclaw import __version__
from microclaw.boards.reader import load_board
from microclaw.config.edit import LAN, write_changes
from microclaw.errors import UnknownName
from microclaw.firmware_folder import firmware_folder
from microclaw.flash.board_files import BoardFile, our_files
from microclaw.flash.first_image import FirstPiece, first_files, first_pieces
from microclaw.flash.images import (
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
from microclaw.operations.operation import Access, OperationCall, Permission, operation
from microclaw.operations.result import Result

if TYPE_CHECKING:
    from pathlib import Path

    from microclaw.config.settings import Settings
    from microclaw.link_server.server import LinkServer

MAX_KEPT_BYTES: Final = 64 * MB
"""Of the parts that manifests named; the oldest go first."""
_MUCH_PSRAM: Final = 8 * MB  # has an image of its own
FlashBytes: TypeAlias = Annotated[int, Meta(ge=MIN_FLASH_BYTES, le=32 * MB, multiple_of=MB, description="Of the board")]
PsramBytes: TypeAlias = Annotated[int, Meta(ge=0, le=32 * MB, multiple_of=MB, description="In the chip's package")]


class InstallBoard(Struct, frozen=True):
    board: str
    title: str


class InstallChip(Struct, frozen=True):
    """`image`: a stock image that this host has for it, with PSRAM or without; None: it is fetched for a manifest."""

    chip: str
    boards: list[InstallBoard]
    image: str | None


class InstallChoices(Result, frozen=True, kw_only=True, rename={"next_step": "next"}):
    """`problem`: why a board that is installed now could not reach this host. `can_open`: a POST opens its link."""

    chips: list[InstallChip]
    problem: str | None
    next_step: str | None
    can_open: bool


class InstallLink(Result, frozen=True, kw_only=True):
    """`link`: where boards of the network reach the host, after its next start."""

    link: str


class InstallPart(Struct, frozen=True):
    path: str
    offset: int
    size_bytes: int
    md5: str


class InstallBuild(Struct, frozen=True, kw_only=True):
    """`official`: the image's SHA-256 is that of the official file."""

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
    """Makes what a manifest names, one at a time, and keeps it until newer parts take its place.

    `keys` are those that sign updates: each modulus by the key's id.
    """

    def __init__(
        self, settings: Settings, link: LinkServer | None, keys: Callable[[], Awaitable[dict[str, str]]]
    ) -> None:
        self.settings = settings
        self.link = link
        self._known = keys
        self._files: dict[bool, tuple[BoardFile, ...]] = {}  # with and without PSRAM; they take seconds
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._making = asyncio.Lock()

    def kept(self, sha256: str) -> bytes:
        data = self._kept.get(sha256)
        if data is None:
            raise UnknownName("the host keeps no such part", next_step="ask for the manifest again; it names the parts")
        return data

    async def build(self, chip: Chip, board: str, flash_bytes: int, psram_bytes: int) -> InstallBuild:
        """Raise ConfigError if the image is not available, or does not fit."""
        async with self._making:
            image = await asyncio.to_thread(find_image, None, chip, psram_bytes, self.settings.cache, download)
            check_image(image, chip, flash_bytes)
            has_psram = psram_bytes > 0
            if has_psram not in self._files:
                self._files[has_psram] = await our_files(firmware_folder(), with_psram=has_psram)
            files = first_files(self._files[has_psram], board, await self._host(), await self._known())
            pieces = await asyncio.to_thread(first_pieces, image, flash_bytes, files)
            parts = [self._keep(piece) for piece in pieces]
            name = image.path.name
            official = is_known(image)
        return InstallBuild(chipFamily=chip.name, board=board, image=name, official=official, parts=parts)

    def _keep(self, piece: FirstPiece) -> InstallPart:
        name = piece.sha256
        self._kept.pop(name, None)
        self._kept[name] = piece.data
        while sum(map(len, self._kept.values())) > MAX_KEPT_BYTES:
            self._kept.popitem(last=False)
        return InstallPart(f"parts/{name}.bin", piece.offset, len(piece.data), piece.md5)

    async def _host(self) -> dict[str, Any]:
        """Return the address of this host for boards. It is no secret: a board without a secret shows a code."""
        if self.link is None:
            return {}
        made = await self.link.provision("board", with_secret=False)
        return {"host": made.host, "port": made.port, "ca_sha256": made.ca_sha256}


@operation("install.choices", http="GET /v1/firmware/install", access=Access.OWN, is_command=False)
async def choices(made: InstallParts, _: OperationCall) -> InstallChoices:
    """List the chips and boards that a browser can set up."""
    chips = [await asyncio.to_thread(_chip, chip, made.settings.cache) for chip in CHIPS.values()]
    problem = None
    step = f"first start it with: microclaw up --link {LAN}"
    if made.link is None:
        problem = "this host lets in no boards: its link is off"
    elif made.link.is_local:
        problem = "this host accepts only boards on its own machine: one that is set up now cannot reach it"
    can_open = problem is not None
    return InstallChoices(chips=chips, problem=problem, next_step=step if can_open else None, can_open=can_open)


@operation(
    "install.open-link",
    http="POST /v1/firmware/install/link",
    permission=Permission.ACT,
    access=Access.OWN,
    is_command=False,
)
async def open_to_network(made: InstallParts, _: OperationCall) -> InstallLink:
    """Open the link to the network, from the host's next start on."""
    await asyncio.to_thread(write_changes, made.settings.home, os.environ, {"host.link": LAN})
    return InstallLink(link=LAN)


@operation("install.manifest", http="GET /v1/firmware/manifest", access=Access.OWN, is_command=False)
async def manifest(
    made: InstallParts,
    _: OperationCall,
    board: Annotated[str, Meta(max_length=64, description="Its profile")],
    flash_bytes: FlashBytes = MIN_FLASH_BYTES,
    psram_bytes: PsramBytes = 0,
) -> InstallManifest:
    """Return the parts of an installation and their places on a board with this flash, for ESP Web Tools."""
    chip = chip_named(load_board(board).chip)
    if board not in chip.profiles():
        raise UnknownName(f"{board} is no board to flash", next_step=f"name one of {', '.join(chip.profiles())}")
    build = await made.build(chip, board, flash_bytes, psram_bytes)
    return InstallManifest(name="microclaw", version=__version__, new_install_prompt_erase=True, builds=[build])


def _chip(chip: Chip, cache: Path) -> InstallChip:
    boards = [InstallBoard(board, load_board(board).title) for board in chip.profiles()]
    found = (cached_image(chip, psram_bytes, cache) for psram_bytes in (0, _MUCH_PSRAM))
    return InstallChip(chip.name, boards, next((image.path.name for image in found if image is not None), None))
