"""Displays in C: the headers that microclaw.h includes in a program that opens a display by its part's name.

They are screen_NAME.h of the parts' libraries; each has the function screen_NAME, or screen_NAME_pins.
"""

from __future__ import annotations

import re
from typing import Final

from microclaw.programs.wasm.part_libraries import library_headers
from microclaw.programs.wasm.source_text import SourceText

_PREFIX: Final = "screen_"
_FUNCTION: Final = re.compile(r"^int (screen_\w+)\(", re.MULTILINE)
_ENDINGS: Final = ("", "_pins")
PLACES: Final = 8
"""The places for them in microclaw.h: more than there are displays with such a header."""


def screen_headers(text: SourceText) -> tuple[str, ...]:
    """Return the headers of the displays that a program opens without including them."""
    headers = []
    for header in sorted(library_headers()):
        is_screen = header.startswith(_PREFIX) and header not in text.headers
        if is_screen and _is_opened(header.removesuffix(".h"), text):
            headers.append(header)
    return tuple(headers)


def screen_defines(text: SourceText) -> tuple[str, ...]:
    """Return the macros with which microclaw.h includes them."""
    return tuple(f"MICROCLAW_SCREEN_{place}=<{header}>" for place, header in enumerate(screen_headers(text), 1))


def screen_functions() -> tuple[str, ...]:
    """Return the functions that open displays, which microclaw.h has only in programs that call them."""
    functions: list[str] = []
    for header, root in library_headers().items():
        if header.startswith(_PREFIX):
            functions += _FUNCTION.findall((root / header).read_text(encoding="utf-8"))
    return tuple(functions)


def _is_opened(function: str, text: SourceText) -> bool:
    for ending in _ENDINGS:
        name = function + ending
        if text.find_name(name) is not None and text.find_definition(name) is None:
            return True
    return False
