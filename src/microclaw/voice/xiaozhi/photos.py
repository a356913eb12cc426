"""The photos that one device is asked for: its upload's token, and the one photo that is expected now. It keeps none.

The token is of one connection and dies with it. What nobody asked for just now is refused, and no picture is logged.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from microclaw.errors import ProtocolError, ToolFailed
from microclaw.link_server.limits import RateLimit
from microclaw.voice.xiaozhi.http_answers import read_body

MAX_PHOTO_BYTES: Final = 2 << 20
MAX_PIXELS: Final = 4_096
"""Of a side."""
MIN_PIXELS: Final = 16
MAX_PARTS: Final = 4
UPLOAD_S: Final = 20.0
PHOTOS_A_SECOND: Final = 0.1
PHOTOS_AT_ONCE: Final = 6.0
MAX_FORM_BYTES: Final = MAX_PHOTO_BYTES + 8_192
"""The photo, the question and the parts' heads."""
_MAX_HEAD_BYTES: Final = 2_048
_FORM: Final = re.compile(
    r"multipart/form-data[ \t]*;[ \t]*boundary="
    r"(?:\"(?P<quoted>[0-9A-Za-z'()+_,./:=?-]{1,70})\"|(?P<plain>[0-9A-Za-z'+_.-]{1,70}))[ \t]*",
    re.IGNORECASE,
)
_NAME: Final = re.compile(rb"(?im)^Content-Disposition:[ \t]*form-data[ \t]*;[ \t]*name=\"([^\"\r\n]{1,64})\"")
_FILE: Final = b"file"
_BEARER: Final = "Bearer "
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length: TEM, RST0 to RST7
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF; not the tables DHT, JPG and DAC


class Photos:
    """`with expected() as photo` opens the door for one upload, which `upload` reads."""

    def __init__(self, url: str, now_s: Callable[[], float]) -> None:
        self.url = url
        self.token = secrets.token_urlsafe(32)
        self.problem: str | None = None
        """Why the last upload was refused."""
        self._now_s = now_s
        self._rate = RateLimit(PHOTOS_A_SECOND, PHOTOS_AT_ONCE, now_s())
        self._expected: asyncio.Future[bytes] | None = None
        self._is_coming = False

    def vision(self) -> dict[str, str]:
        """What the device is told: where a photo goes, and with what."""
        return {"url": self.url, "token": self.token}

    def opens(self, authorization: str | None) -> bool:
        """Whether it is this connection's token, in constant time."""
        given = (authorization or "").encode("utf-8", "replace")
        return hmac.compare_digest(given, f"{_BEARER}{self.token}".encode())

    @contextmanager
    def expected(self) -> Iterator[asyncio.Future[bytes]]:
        """Until its end one photo is taken in. Raises ToolFailed while another one is, or after too many."""
        if self._expected is not None:
            raise ToolFailed("this device is just asked for a photo", next_step="wait for that one")
        if not self._rate.allows(self._now_s()):
            raise ToolFailed("too many photos of this device", next_step="wait ten seconds")
        self.problem, self._is_coming = None, False
        self._expected = asyncio.get_running_loop().create_future()
        try:
            yield self._expected
        finally:
            self._expected.cancel()
            self._expected = None

    async def upload(self, request: web.BaseRequest) -> str | None:
        """Take the photo in; why it is refused, or None. Its sender has shown the token."""
        expected = self._expected
        if expected is None or expected.done() or self._is_coming:
            return "nobody asked for a photo"
        self._is_coming = True
        try:
            async with asyncio.timeout(UPLOAD_S):
                form = await read_body(request, MAX_FORM_BYTES)
            photo = photo_in(request.headers.get("Content-Type", ""), form)
            check_jpeg(photo)
        except TimeoutError:
            self.problem = f"the photo took more than {UPLOAD_S:g} s"
        except ProtocolError as exc:
            self.problem = exc.message
        else:
            if expected.done():
                return "the photo comes too late"
            expected.set_result(photo)
        return self.problem


def photo_in(content_type: str, body: bytes) -> bytes:
    """The part `file` of a form (RFC 7578) that begins with its boundary. Other parts are skipped.

    Raises ProtocolError. Not aiohttp's reader: that goes line by line through what stands before the first boundary,
    and lets nobody else run.
    """
    found = _FORM.fullmatch(content_type)
    if found is None:
        raise ProtocolError("a photo comes as multipart/form-data with a boundary")
    boundary = b"--" + (found["quoted"] or found["plain"]).encode()
    before, *parts = (b"\r\n" + body).split(b"\r\n" + boundary, MAX_PARTS)
    if before or not parts:
        raise ProtocolError("the photo's form cannot be read: it does not begin with its boundary")
    if len(parts) == MAX_PARTS and not _is_end(parts[-1]):
        raise ProtocolError(f"a form of more than {MAX_PARTS - 1} parts")
    if not _is_end(parts[-1]):
        raise ProtocolError("the photo's form cannot be read, or broke off")
    photos = [data for name, data in map(_named, parts[:-1]) if name == _FILE]
    if len(photos) > 1:
        raise ProtocolError("two photos where one was asked for")
    if not photos:
        raise ProtocolError("the form has no photo")
    if len(photos[0]) > MAX_PHOTO_BYTES:
        raise ProtocolError(f"the photo has more than {MAX_PHOTO_BYTES:,} bytes")
    return photos[0]


def _is_end(part: bytes) -> bool:
    """Whether this stands behind the last boundary, and nothing behind that."""
    return part in (b"--", b"--\r\n")


def _named(part: bytes) -> tuple[bytes, bytes]:
    """A part's name and its data. Raises ProtocolError."""
    head, separator, data = part.partition(b"\r\n\r\n")
    names = _NAME.findall(head) if len(head) <= _MAX_HEAD_BYTES else []
    if not separator or not head.startswith(b"\r\n") or len(names) != 1:
        raise ProtocolError("the photo's form cannot be read: a part has no name, or more than one")
    return names[0], data


def check_jpeg(data: bytes) -> tuple[int, int]:
    """Its width and height (ITU-T T.81, annex B). Raises ProtocolError for what is none, or has a size of no camera."""
    if data[:3] != b"\xff\xd8\xff" or not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise ProtocolError("the photo is no JPEG, or not a whole one")
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        (size,) = struct.unpack_from(">H", data, at + 2)
        if marker in _FRAMES and size >= 8 and at + 9 <= len(data):
            height, width = struct.unpack_from(">HH", data, at + 5)
            if not MIN_PIXELS <= width <= MAX_PIXELS or not MIN_PIXELS <= height <= MAX_PIXELS:
                raise ProtocolError(f"the photo says {width} x {height} pixels, {MIN_PIXELS} to {MAX_PIXELS} are taken")
            return width, height
        if marker in _FRAMES or marker in (0xD9, 0xDA) or size < 2:
            break
        at += 2 + size
    raise ProtocolError("the photo's JPEG has no header of a picture")
