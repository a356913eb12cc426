"""Every native that the virtual board can run, by name. What a board's firmware offers of them, its profile decides."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from microclaw.virtual.natives import files, libc, printf, requests, time

HANDLERS: Final = MappingProxyType(
    {
        **printf.HANDLERS,
        **libc.HANDLERS,
        **files.HANDLERS,
        **time.HANDLERS,
        **requests.HANDLERS,
    }
)
