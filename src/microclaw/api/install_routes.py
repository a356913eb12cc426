"""/v1/firmware/install, manifest and parts: what a browser writes to a new board over USB. Owners alone; no secret.

The manifest has the form of ESP Web Tools (esphome.github.io/esp-web-tools), with sizes and digests besides.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Annotated, Any, Final, NotRequired

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field
from typing_extensions import TypedDict

from microclaw import __version__
from microclaw.api.answers import answers
from microclaw.api.caller import RequestCaller
from microclaw.api.parts import HostParts
from microclaw.boards.reader import load_board
from microclaw.config.edit import LAN, open_link
from microclaw.errors import ConfigError, MicroclawError, UnknownName
from microclaw.firmware_folder import firmware_folder
from microclaw.flash.board_files import BoardFile, our_files
from microclaw.flash.chips import CHIPS, MB, Chip, chip_named
from microclaw.flash.first_image import FirstPiece, first_files, first_pieces
from microclaw.flash.image import MIN_FLASH_BYTES, check_image
from microclaw.flash.stock_images import cached_image, download, find_image, is_known
from microclaw.ota.keys import public_key

MAX_FLASH_BYTES: Final = 32 * MB
MAX_PSRAM_BYTES: Final = 32 * MB
MAX_KEPT_BYTES: Final = 64 * MB
"""Of the parts that manifests named; the oldest go first."""
_MUCH_PSRAM: Final = 8 * MB  # has an image of its own
FlashBytes = Annotated[int, Query(ge=MIN_FLASH_BYTES, le=MAX_FLASH_BYTES, multiple_of=MB, description="Of the board")]
PsramBytes = Annotated[int, Query(ge=0, le=MAX_PSRAM_BYTES, multiple_of=MB, description="In the chip's package")]


class InstallBoard(TypedDict):
    board: str
    title: str


class InstallChip(TypedDict):
    """`image`: a stock image that this host has for it, with PSRAM or without; None: it is fetched for a manifest."""

    chip: str
    boards: list[InstallBoard]
    image: str | None


class InstallChoices(TypedDict):
    """`problem`: why a board that is installed now could not reach this host. `can_open`: a POST opens its link."""

    chips: list[InstallChip]
    problem: NotRequired[str | None]
    next: NotRequired[str | None]
    can_open: NotRequired[bool]


class InstallLink(TypedDict):
    """`link`: where boards of the network reach the host, after its next start."""

    link: str


class InstallPart(TypedDict):
    path: str
    offset: int
    size_bytes: int
    md5: str


class InstallBuild(TypedDict):
    chipFamily: str
    board: str
    image: str
    official: Annotated[bool, Field(description="The image's SHA-256 is that of the official file")]
    parts: list[InstallPart]


class InstallManifest(TypedDict):
    name: str
    version: str
    new_install_prompt_erase: bool
    builds: list[InstallBuild]


class InstallParts:
    """Makes what a manifest names, one at a time, and keeps it until newer parts take its place."""

    def __init__(self, parts: HostParts) -> None:
        self._parts = parts
        self._files: dict[bool, tuple[BoardFile, ...]] = {}  # with and without PSRAM; they take seconds
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._making = asyncio.Lock()

    async def builds(self, chips: Sequence[tuple[Chip, str]], flash_bytes: int, psram_bytes: int) -> list[InstallBuild]:
        """One for each chip and board whose image is here and fits; the first problem is raised where none is."""
        found: list[InstallBuild] = []
        problem: MicroclawError | None = None
        async with self._making:
            for chip, board in chips:
                try:
                    found.append(await self._build(chip, board, flash_bytes, psram_bytes))
                except ConfigError as exc:
                    problem = problem or exc
        if problem is not None and not found:
            raise problem
        return found

    def kept(self, sha256: str) -> bytes:
        data = self._kept.get(sha256)
        if data is None:
            raise UnknownName("the host keeps no such part", next_step="ask for the manifest again; it names the parts")
        return data

    async def _build(self, chip: Chip, board: str, flash_bytes: int, psram_bytes: int) -> InstallBuild:
        image = await asyncio.to_thread(find_image, None, chip, psram_bytes, self._parts.settings.cache, download)
        check_image(image, chip, flash_bytes)
        has_psram = psram_bytes > 0
        if has_psram not in self._files:
            self._files[has_psram] = await our_files(firmware_folder(), with_psram=has_psram)
        files = first_files(self._files[has_psram], board, await self._host(), await self._keys())
        pieces = await asyncio.to_thread(first_pieces, image, flash_bytes, files)
        parts = [self._keep(piece) for piece in pieces]
        return InstallBuild(
            chipFamily=chip.name, board=board, image=image.path.name, official=is_known(image), parts=parts
        )

    def _keep(self, piece: FirstPiece) -> InstallPart:
        name = piece.sha256
        self._kept.pop(name, None)
        self._kept[name] = piece.data
        while sum(map(len, self._kept.values())) > MAX_KEPT_BYTES:
            self._kept.popitem(last=False)
        return InstallPart(path=f"parts/{name}.bin", offset=piece.offset, size_bytes=len(piece.data), md5=piece.md5)

    async def _host(self) -> dict[str, Any]:
        """Where boards find this host. Nobody is let in by it: a board without a secret shows a code."""
        if self._parts.link is None:
            return {}
        made = await self._parts.link.provision("board", with_secret=False)
        return {"host": made.host, "port": made.port, "ca_sha256": made.ca_sha256}

    async def _keys(self) -> dict[str, str]:
        rows = await self._parts.rollouts.publisher.table.keys()
        return {row.key_id: public_key(row.public_der).trusted.n for row in rows}


def install_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/firmware", tags=["firmware"])
    made, gate = InstallParts(parts), parts.admission.gate

    @router.get("/install", summary="The chips and boards that a browser can set up", responses=answers(InstallChoices))
    async def choices(by: RequestCaller) -> InstallChoices:
        gate.check_owner(by.person_id, "set up boards")
        chips = [await asyncio.to_thread(_chip_object, chip, parts) for chip in CHIPS.values()]
        problem, remedy = _closed(parts)
        return InstallChoices(chips=chips, problem=problem, next=remedy, can_open=problem is not None)

    @router.post(
        "/install/link",
        summary="Open the link to the network, from the host's next start on",
        responses=answers(InstallLink),
    )
    async def open_to_network(by: RequestCaller) -> InstallLink:
        gate.check_owner(by.person_id, "open the link to the network")
        await asyncio.to_thread(open_link, parts.settings.home, os.environ)
        return InstallLink(link=LAN)

    @router.get(
        "/manifest",
        summary="What goes where on a board with so much flash, as ESP Web Tools reads it",
        responses=answers(InstallManifest),
    )
    async def manifest(
        by: RequestCaller,
        board: Annotated[
            str | None, Query(max_length=64, description="Its profile; none: one of each chip whose image is here")
        ] = None,
        flash_bytes: FlashBytes = MIN_FLASH_BYTES,
        psram_bytes: PsramBytes = 0,
    ) -> InstallManifest:
        gate.check_owner(by.person_id, "set up boards")
        if board is None:
            here = [chip for chip in CHIPS.values() if cached_image(chip, psram_bytes, parts.settings.cache)]
            chosen = [(chip, profiles[0]) for chip in here if (profiles := chip.profiles())]
        else:
            chip = chip_named(load_board(board).chip)
            if board not in chip.profiles():
                raise UnknownName(
                    f"{board} is no board to flash", next_step=f"name one of {', '.join(chip.profiles())}"
                )
            chosen = [(chip, board)]
        builds = await made.builds(chosen, flash_bytes, psram_bytes)
        return InstallManifest(name="microclaw", version=__version__, new_install_prompt_erase=True, builds=builds)

    @router.get("/parts/{name}", summary="A part that a manifest named, its bytes", response_class=Response)
    async def part(name: str, by: RequestCaller) -> Response:
        gate.check_owner(by.person_id, "set up boards")
        return Response(made.kept(name.removesuffix(".bin")), media_type="application/octet-stream")

    return router


def _chip_object(chip: Chip, parts: HostParts) -> InstallChip:
    boards = [InstallBoard(board=board, title=load_board(board).title) for board in chip.profiles()]
    found = (cached_image(chip, psram_bytes, parts.settings.cache) for psram_bytes in (0, _MUCH_PSRAM))
    image = next((image.path.name for image in found if image is not None), None)
    return InstallChip(chip=chip.name, boards=boards, image=image)


def _closed(parts: HostParts) -> tuple[str | None, str | None]:
    if parts.link is None:
        return "this host lets in no boards: its link is off", f"start it with: microclaw up --link {LAN}"
    if parts.link.is_local:
        return (
            "this host accepts only boards on its own machine: one that is set up now cannot reach it",
            f"first start it with: microclaw up --link {LAN}",
        )
    return None, None
