"""Answers of xiaozhi's server over HTTP, and how a caller named it. It decides nothing."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from typing import Any, Final

from aiohttp import web
from aiohttp.http import HttpProcessingError

from microclaw.errors import ProtocolError

_PIECE_BYTES: Final = 65_536
_DISCARDED_BYTES: Final = 4 << 20
_DISCARD_S: Final = 2.0


class BodyTooLong(ProtocolError):
    """A request's body of more bytes than its path takes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body has more than {limit:,} bytes")


def json_answer(body: dict[str, Any], status: int = 200) -> web.Response:
    response = web.Response(status=status, text=json.dumps(body, ensure_ascii=False), content_type="application/json")
    response.force_close()
    return response


def words(status: int, text: str) -> web.Response:
    """An answer in words, after which the connection ends."""
    response = web.Response(status=status, text=text + "\n")
    response.force_close()
    return response


async def read_body(request: web.BaseRequest, limit: int) -> bytes:
    """A request's body, of at most `limit` bytes. Raises ProtocolError for a longer one, or one that broke off."""
    body = bytearray()
    try:
        while piece := await request.content.read(_PIECE_BYTES):
            body += piece
            if len(body) > limit:
                raise BodyTooLong(limit)
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError) as exc:
        raise ProtocolError("the body broke off, or cannot be read") from exc
    return bytes(body)


async def discard_body(request: web.BaseRequest) -> None:
    """Read what is left of a refused request's body, within bounds: closed over unread bytes, TCP would reset the
    connection, and who is still sending would lose the answer."""
    left = _DISCARDED_BYTES
    try:
        async with asyncio.timeout(_DISCARD_S):
            while left > 0 and (piece := await request.content.read(_PIECE_BYTES)):
                left -= len(piece)
    except (TimeoutError, web.RequestPayloadError, HttpProcessingError, ConnectionError):
        return  # it sends no more, or nothing that can be read: it gets the answer now


def is_coded(request: web.BaseRequest) -> bool:
    """True if a body comes compressed, which no device's does: a few bytes would be gigabytes."""
    return request.headers.get("Content-Encoding", "identity").strip().lower() != "identity"


def without_port(host: str) -> str:
    """Of a Host header; the firmware writes none, and knows no IPv6."""
    return host.rpartition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
