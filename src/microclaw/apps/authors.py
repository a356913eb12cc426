"""Decides whose words a program prints: those of its own source alone, or also those of others. Reads no log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from microclaw.apps.building import ProgramImage
from microclaw.apps.change_log import ChangeLog, PutApp, chat_of, maker_now
from microclaw.apps.deployment import ChangeRequest
from microclaw.boards.natives import NATIVES, NativeGroup
from microclaw.events import ProgramKind
from microclaw.wasm.wasm_image import Image

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


def has_own_words(request: ChangeRequest, image: ProgramImage) -> bool:
    """Return True if all that the program can print is in its source, and only the person of this request wrote that.

    A kept version stays what it was when it was built.
    """
    from microclaw.patterns.catalog import SHIPPED  # only where programs are installed

    if request.version is not None:
        return request.version.claims.own_words
    if request.source is None or maker_now().is_tainted:
        return False
    if request.origin is not None and request.origin.catalog != SHIPPED:
        return False
    return not _may_read_text(image)


def _may_read_text(image: ProgramImage) -> bool:
    if isinstance(image, Image):
        natives = [NATIVES.get(wanted.name) for wanted in image.imports]
        if any(native is None or native.group not in _SILENT_GROUPS for native in natives):
            return True
        if any(wanted.name in _EVENTS for wanted in image.imports):
            return True
        if any(node.startswith(_BYTE_BUSES) for node in image.nodes):
            return True
    elif not all(_SILENT_MODULE.fullmatch(module) for module in image.imports):
        return True
    return _READERS[image.kind].search(image.source or "") is not None


async def own_programs(change_log: ChangeLog, device_id: str, person_id: str) -> frozenset[str]:
    """Return the programs there of which every version has only words of this person's own.

    What another client of the API or of MCP installed counts in its own conversation alone.
    """
    conversation = chat_of(maker_now().conversation or "")
    is_own: dict[str, bool] = {}
    for change in await change_log.changes(device_id, _LOOK_BACK):
        put = change.forward
        if not isinstance(put, PutApp) or change.kind == "app.restore":
            continue
        place = chat_of(change.conversation or "")
        is_seen = place == conversation or not place.startswith(_CLIENTS)
        is_of_person = change.person == person_id and place != "" and is_seen
        is_own[put.name] = is_own.get(put.name, True) and is_of_person and put.version.claims.own_words
    return frozenset(name for name, own in is_own.items() if own)
