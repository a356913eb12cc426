"""Finds the image to write: the one that a person names, one in the cache folder, or the official file, downloaded."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from microclaw.durable import replace_file
from microclaw.egress.destinations import Purpose
from microclaw.errors import ConfigError
from microclaw.flash.chips import STOCK_SHA256, STOCK_SITE, Chip
from microclaw.flash.flash_image import FlashImage, read_image

Fetch: TypeAlias = Callable[[str], bytes]
"""Get an address of the official site; OSError when there is no network or no such file."""

FOLDER: Final = "images"
MAX_BYTES: Final = 8 << 20
_FETCH_S: Final = 60.0
_DATED: Final = re.compile(r"-(20\d{6})-v(\d+)\.(\d+)\.(\d+)\.bin")


def find_image(named: Path | None, chip: Chip, psram_bytes: int, cache: Path, fetch: Fetch) -> FlashImage:
    """The image for this board, its checksum compared where one is known; ConfigError says which file to get."""
    if named is not None:
        return _compared(named)
    if (cached := cached_image(chip, psram_bytes, cache)) is not None:
        return cached
    name = chip.stock_image(psram_bytes)
    folder = cache / FOLDER
    try:
        data = fetch(STOCK_SITE + name)
    except OSError as exc:
        text = f"this board takes the image {name}, and {STOCK_SITE} does not answer"
        raise ConfigError(text, next_step=f"put {STOCK_SITE}{name} into {folder}, or --image FILE") from exc
    if STOCK_SHA256.get(name) not in (None, hashlib.sha256(data).hexdigest()):
        text = f"the download of {name} is not the official file: its SHA-256 is another"
        raise ConfigError(text, next_step="try it again on another network")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(folder / name, data, mode=0o644)
    return read_image(folder / name)


def cached_image(chip: Chip, psram_bytes: int, cache: Path) -> FlashImage | None:
    """The image in the cache folder for this board: the file itself, else the newest of the same build."""
    folder, name = cache / FOLDER, chip.stock_image(psram_bytes)
    if (folder / name).exists():
        return _compared(folder / name)
    build = _DATED.sub("", name)
    same = [path for path in folder.glob("*.bin") if _DATED.sub("", path.name) == build and _DATED.search(path.name)]
    found = max(same, key=lambda path: path.name, default=None)
    return None if found is None else _compared(found)


def download(address: str) -> bytes:
    """By HTTPS, at most 8 MB; OSError when it fails. Blocking."""
    return asyncio.run(_download(address))


async def _download(address: str) -> bytes:
    from httpx2 import HTTPError  # takes 0.1 s to import, and most never download

    from microclaw.egress.http_door import http_client

    client = http_client(Purpose.DOWNLOAD, address, timeout=_FETCH_S, follow_redirects=True, max_redirects=3)
    try:
        async with client, client.stream("GET", address) as answer:
            answer.raise_for_status()
            data = bytearray()
            async for piece in answer.aiter_bytes():
                data += piece
                if len(data) > MAX_BYTES:
                    raise OSError(f"more than {MAX_BYTES} bytes came")
            return bytes(data)
    except HTTPError as exc:
        raise OSError(str(exc)) from exc


def is_known(image: FlashImage) -> bool:
    """Its SHA-256 is that of an official file."""
    return image.sha256 in STOCK_SHA256.values()


def _compared(path: Path) -> FlashImage:
    image = read_image(path)
    if STOCK_SHA256.get(path.name) not in (None, image.sha256):
        text = f"{path} has the name of an official file, and its SHA-256 is another"
        raise ConfigError(text, next_step=f"remove it, and get {STOCK_SITE}{path.name} again")
    return image
