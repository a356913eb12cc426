"""Every native that the virtual board can run, by name. What a board's firmware offers of them, its profile decides."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from microclaw.virtual.natives import files, libc, libm, output, requests, time, timers

HANDLERS: Final = MappingProxyType(
    {
        **output.HANDLERS,
        **libc.HANDLERS,
        **libm.HANDLERS,
        **files.HANDLERS,
        **time.HANDLERS,
        **timers.HANDLERS,
        **requests.HANDLERS,
    }
)
