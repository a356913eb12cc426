"""Apps as they come to the application manager, and how it reads their urls."""

from __future__ import annotations

import re

from msgspec import Struct


def url_tail(url: str, leading: str) -> str | None:
    """The part of the url after `leading`, without the `/` or `?` between; None when it is another path.

    As WAMR's check_url_start: "/abc" leads "/abc", "/abc/x" and "/abc?x", not "/abcd"; leading slashes are optional.
    """
    bare, lead = url.removeprefix("/"), leading.strip("/")
    if not lead or not bare.startswith(lead):
        return None
    rest = bare[len(lead) :]
    if rest and rest[0] not in "/?":
        return None
    return rest[1:]


def url_value(tail: str, key: str, max_bytes: int) -> str:
    """The value of `key=` between `&`s, cut as the device's buffer cuts it; "" when it is missing."""
    for part in tail.split("&"):
        name, equals, value = part.lstrip(" ").partition("=")
        if equals and name == key:
            return value.encode()[:max_bytes].decode("utf-8", "replace")
    return ""


def url_number(tail: str, key: str, default: int) -> int:
    """The number that atoi makes of the value's first 9 characters; a value that is no number is 0."""
    text = url_value(tail, key, 9)
    if not text:
        return default
    return int(re.split("[^0-9]", text.lstrip(" "), maxsplit=1)[0] or 0)


class AppImage(Struct, frozen=True):
    name: str
    wasm: bytes
    heap_bytes: int
    timers: int
