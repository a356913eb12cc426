"""Pictures and voice notes fetched from Telegram, within limits of size and time. Keeps nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from microclaw.channels.telegram.api import FileTooLarge, TelegramUnreachable
from microclaw.channels.telegram.sender import Caller
from microclaw.channels.telegram.updates import RemoteFile
from microclaw.errors import MicroclawError
from microclaw.events import Attachment

MAX_IMAGE_BYTES: Final = 4 << 20  # models take at most 5 MB a picture
MAX_VOICE_BYTES: Final = 4 << 20
FETCH_S: Final = 60.0
_IMAGES: Final = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"), (b"GIF8", "image/gif"))


def largest(photos: Sequence[RemoteFile]) -> RemoteFile | None:
    """The largest size of a picture that fits; one whose size Telegram does not say is tried last."""
    fitting = [photo for photo in photos if photo.size_bytes <= MAX_IMAGE_BYTES]
    return max(fitting, key=lambda photo: photo.size_bytes, default=None)


async def fetch(api: Caller, file: RemoteFile) -> Attachment:
    """The file as an attachment. FileTooLarge, TelegramError and TelegramUnreachable say why not."""
    limit_bytes = MAX_IMAGE_BYTES if file.kind == "image" else MAX_VOICE_BYTES
    if file.size_bytes > limit_bytes:
        raise FileTooLarge(f"it has {file.size_bytes:,} bytes, at most {limit_bytes:,} are taken")
    try:
        async with asyncio.timeout(FETCH_S):
            found = await api.call("getFile", file_id=file.file_id)
            path = found.get("file_path") if isinstance(found, dict) else None
            if not isinstance(path, str):
                raise TelegramUnreachable("getFile: the answer names no file")
            data = await api.download(path, limit_bytes)
    except TimeoutError:
        raise TelegramUnreachable(f"getFile: it did not come within {FETCH_S:g} s") from None
    return Attachment(file.kind, _media_type(file, data), data)


def _media_type(file: RemoteFile, data: bytes) -> str:
    """What the bytes say they are: a model refuses a picture with the wrong type."""
    if file.kind != "image":
        return file.media_type
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    found = next((kind for start, kind in _IMAGES if data.startswith(start)), None)
    if found is None:
        raise NotAPicture("it is no JPEG, PNG, GIF or WebP")
    return found


class NotAPicture(MicroclawError):
    code = "not_a_picture"
