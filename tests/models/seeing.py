"""A model that sees: it reads the stripes of a picture from its pixels. Holds no test."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from microclaw.models.protocol import ModelReply, ModelRequest, UserText
from microclaw.models.scripted import say

PIXELS = {
    (220, 20, 20): "red",
    (20, 160, 40): "green",
    (20, 50, 220): "blue",
    (250, 220, 20): "yellow",
    (0, 0, 0): "black",
    (255, 255, 255): "white",
}


def stripes_of(png: bytes) -> list[str]:
    """The colours of its first line, from left to right."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(png):
        size, kind = struct.unpack_from(">I4s", png, at)
        data = png[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", png, at + 8 + size)[0] == zlib.crc32(kind + data)
        chunks[kind] = data
        at += 12 + size
    width, height, depth, colour = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    lines = zlib.decompress(chunks[b"IDAT"])
    assert (depth, colour, len(lines)) == (8, 2, height * (1 + 3 * width))
    row = lines[1 : 1 + 3 * width]
    found = [PIXELS[row[at], row[at + 1], row[at + 2]] for at in range(0, len(row), 3)]
    return [name for at, name in enumerate(found) if at == 0 or found[at - 1] != name]


def image_of(request: ModelRequest) -> bytes:
    [message] = request.messages
    assert isinstance(message, UserText)
    [image] = message.images
    return image.data


def names_stripes(request: ModelRequest, model: str = "") -> ModelReply:
    return ModelReply(", ".join(stripes_of(image_of(request))).capitalize() + ".", model=model)


def sees(text: str) -> tuple[Callable[[ModelRequest], ModelReply], ModelReply]:
    """The replies of a model that is asked about its first picture."""
    return names_stripes, say(text)
