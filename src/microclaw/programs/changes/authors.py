"""Decides whose words a program prints: those of its own source alone, or also those of others. Reads no log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.devices.registry.calls import LogLine
from microclaw.devices.registry.device import Device
from microclaw.devices.transports import virtual_board
from microclaw.events import ProgramKind
from microclaw.hardware.boards.natives import NATIVES, NativeGroup
from microclaw.programs.building import ProgramImage
from microclaw.programs.changes.change_log import ChangeLog, Claims, PutApp, chat_of, current_origin
from microclaw.programs.changes.deployment import ChangeRequest
from microclaw.programs.wasm.wasm_image import WasmImage

_LOOK_BACK: Final = 500
_CLIENTS: Final = ("api:", "mcp:")
"""Conversations of programs that write by themselves: the host does not know what they have read."""
_SILENT_GROUPS: Final = frozenset(
    {NativeGroup.LIBC_BUILTIN, NativeGroup.LIBC_EXT, NativeGroup.LIBM, NativeGroup.APP_FRAMEWORK, NativeGroup.PTHREAD}
)
_EVENTS: Final = frozenset({"wasm_register_resource", "wasm_sub_event"})
_BYTE_BUSES: Final = ("spi/", "uart/")
_SILENT_MODULE: Final = re.compile(
    "apa106|array|asyncio|binascii|cmath|collections|deflate|dht|ds18x20|errno|framebuf|gc|hashlib|heapq|json|machine|math"
    "|microclaw|micropython|neopixel|onewire|platform|random|re|struct|sys|time"
)
_READERS: Final[Mapping[ProgramKind, re.Pattern[str]]] = {
    "wasm": re.compile(
        r"\b(?:p?read|open|ioctl|fcntl)\s*[(,;)]|i2c_read_reg|\b(?:Wire|EEPROM|Preferences)\b|/dev/|/storage"
    ),
    "py": re.compile(
        r"\b(?:I2C|SoftI2C|I2CTarget|i2c|SPI|SoftSPI|UART|I2S|SDCard|RTC|mem8|mem16|mem32|stdin|open_connection"
        r"|start_server|StreamReader|getattr)\b"
    ),
}
"""The calls by which a source reads bytes of a bus, a file or memory. The numbers of a sensor, a pin or a clock are no
text."""


class OwnPrograms(Struct, frozen=True):
    """Names of programs of which the person wrote every source, and of those that also print no words of others."""

    sources: frozenset[str]
    words: frozenset[str]

    def wrote_all(self, device: Device, lines: Iterable[LogLine]) -> bool:
        """Return True if nobody else wrote the lines. The firmware of a virtual board is this host's."""
        is_virtual = any(endpoint.startswith(virtual_board.SCHEME) for endpoint in device.endpoints)
        for line in lines:
            if line.app is None:
                is_own = is_virtual
            else:
                is_own = line.app in self.words
            if not is_own:
                return False
        return True


def with_author(claims: Claims, request: ChangeRequest, image: ProgramImage) -> Claims:
    """Return the claims with who wrote the source, and whether all that the program can print stands in it.

    A kept version stays what it was when it was built.
    """
    if request.version is not None:
        kept = request.version.claims
        return replace(claims, own_source=kept.own_source, own_words=kept.own_words)
    has_own_source = _has_own_source(request)
    return replace(claims, own_source=has_own_source, own_words=has_own_source and not _may_read_text(image))


def _has_own_source(request: ChangeRequest) -> bool:
    from microclaw.programs.patterns.catalog import SHIPPED  # only where programs are installed

    if request.source is None or current_origin().is_tainted:
        return False
    return request.origin is None or request.origin.catalog == SHIPPED


def _may_read_text(image: ProgramImage) -> bool:
    if isinstance(image, WasmImage):
        may_import_text = _may_import_text(image)
    else:
        may_import_text = not all(map(_SILENT_MODULE.fullmatch, image.imports))
    return may_import_text or _READERS[image.kind].search(image.source or "") is not None


def _may_import_text(image: WasmImage) -> bool:
    """Return True if a native function, an event or a bus may give the module bytes."""
    for wanted in image.imports:
        native = NATIVES.get(wanted.name)
        if native is None or native.group not in _SILENT_GROUPS or wanted.name in _EVENTS:
            return True
    return any(node.startswith(_BYTE_BUSES) for node in image.nodes)


async def own_programs(change_log: ChangeLog, device_id: str, person_id: str) -> OwnPrograms:
    """Return the programs there of which every version is of this person.

    What another client of the API or of MCP installed counts in its own conversation alone.
    """
    conversation = chat_of(current_origin().conversation or "")
    names: set[str] = set()
    foreign_sources: set[str] = set()
    foreign_words: set[str] = set()
    for change in await change_log.changes(device_id, _LOOK_BACK):
        put = change.forward
        if not isinstance(put, PutApp) or change.kind == "app.restore":
            continue
        place = chat_of(change.conversation or "")
        is_seen = place == conversation or not place.startswith(_CLIENTS)
        is_of_person = change.person == person_id and place != "" and is_seen
        claims = put.version.claims
        names.add(put.name)
        if not (is_of_person and claims.own_source):
            foreign_sources.add(put.name)
        if not (is_of_person and claims.own_words):
            foreign_words.add(put.name)
    return OwnPrograms(frozenset(names - foreign_sources), frozenset(names - foreign_words))
