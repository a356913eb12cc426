"""The firmware on a board if it differs from the profile's build: as a person describes it, or ours. Asks no board.

A description is a few words: `nodes=-i2c`, `natives=-usleep,-libm`, `max_apps=2`, `plain`. It is kept as these words
and applied to the profile of the board, so that compiler, checks, trial and installation all see one firmware.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import ConfigError
from microclaw.hardware.boards.natives import NATIVES, NativeGroup
from microclaw.hardware.boards.profile import BoardProfile, Firmware, Generation

NODES: Final = frozenset({"gpio", "i2c", "ledc", "spi", "uart"})
"""The device files that builds of ESP-WASMachine can have (esp-iot-solution ext_vfs, ESP-IDF uart_vfs)."""
PLAIN_GROUPS: Final = frozenset({NativeGroup.LIBC_BUILTIN.value, NativeGroup.APP_FRAMEWORK.value})
"""What WAMR with its application manager has without Espressif's extensions."""
STOCK: Final = "stock"
"""The word that takes a description back: the firmware is as the profile says."""
PLAIN: Final = "plain"
MAX_WORDS: Final = 64
MAX_WORD_CHARS: Final = 2_000
MAX_PROGRAMS: Final = 8
"""How many programs run at once (firmware/fw/board.py). They share the memory: without PSRAM fewer may fit."""
MAX_PROGRAM_BYTES: Final = 32_768
"""The largest .mpy; programs/py/compile.py refuses larger ones."""
POWER_CUT: Final = "Programs are in its flash: after a power cut or reset they start again by themselves."
SOURCE: Final = "firmware/fw/board.py, storage.py and runner.py; docs/decisions/0036-micropython-firmware.md"
_GROUPS: Final = frozenset(group.value for group in NativeGroup)
_FUNCTIONS: Final = frozenset(NATIVES) - _GROUPS
_NO_NAMES: Final = "none"
_SIZE: Final = re.compile(r"(\d{1,9})\s*(|b|k|kb|m|mb)", re.IGNORECASE)
_FACTORS: Final = {"": 1, "b": 1, "k": 1024, "m": 1024 * 1024}
_TRIAL_IMAGE_BYTES: Final = 256 << 10


class FirmwareDescription(Struct, frozen=True):
    """The difference of a board's firmware from its profile's build; without any by default.

    `nodes` and `natives` are as they are written, sorted: "gpio" (only the names without a sign; "none": no names),
    "+gpio", "-gpio". `natives` names functions and groups of functions. `heap`, `memory` and `image` are bytes: an
    app's heap at most, its linear memory, its module. `timers` are those of one app. `plain` is WAMR without
    Espressif's extensions.
    """

    plain: bool = False
    nodes: tuple[str, ...] = ()
    natives: tuple[str, ...] = ()
    max_apps: int | None = None
    heap: int | None = None
    memory: int | None = None
    image: int | None = None
    timers: int | None = None
    files: bool | None = None
    attributes: Generation | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The description in its shortest form, which `parse_firmware` reads."""
        words = []
        if self.plain:
            words.append(PLAIN)
        for key in _KEYS:
            text = _format_value(getattr(self, key))
            if text:
                words.append(f"{key}={text}")
        return tuple(words)

    def applied(self, board: BoardProfile) -> BoardProfile:
        """Return the board with the described firmware, or the board itself if nothing is described."""
        if self == FirmwareDescription():
            return board
        firmware = board.firmware
        if self.plain:
            firmware = replace(firmware, native_groups=PLAIN_GROUPS, device_nodes=frozenset(), has_files=False)
        values = {
            "max_apps": self.max_apps,
            "max_memory_bytes": self.memory,
            "max_module_bytes": self.image,
            "has_files": self.files,
            "attribute_generation": self.attributes,
        }
        described = {name: value for name, value in values.items() if value is not None}
        firmware = replace(
            firmware,
            native_groups=_change_names(firmware.groups, self.natives, _GROUPS),
            # Single functions are no part of a group that is named whole.
            natives_added=_change_names(frozenset(), self.natives, _FUNCTIONS),
            natives_lacking=_names_after("-", self.natives) & _FUNCTIONS,
            device_nodes=_change_names(firmware.device_nodes, self.nodes, NODES),
            max_heap_bytes=self.heap,
            max_timers=self.timers,
            described=self.words,
            **described,
        )
        return replace(board, firmware=firmware)


class UpdateFacts(Struct, frozen=True):
    """The facts about updates in a device's `hello`, with its firmware's name and version. It trusts these `keys`."""

    name: str
    version: str
    board: str
    channel: str
    kinds: tuple[str, ...]
    keys: tuple[str, ...]
    security_version: int
    revision: str = ""


def parse_firmware(words: Iterable[str]) -> FirmwareDescription:
    """Parse the words of a description; a key may come again. Raises ConfigError, which lists the valid keys."""
    description = FirmwareDescription()
    texts = [word.strip() for word in words]
    if len(texts) > MAX_WORDS or max(map(len, texts), default=0) > MAX_WORD_CHARS:
        raise ConfigError(f"a description has at most {MAX_WORDS} words", next_step=firmware_help())
    if STOCK in texts:
        if len(texts) > 1:
            raise ConfigError(f"{STOCK} stands alone: it takes a description back", next_step=firmware_help())
        return description
    for word in texts:
        if word == PLAIN:
            description = replace(description, plain=True)
            continue
        key, separator, text = word.partition("=")
        key = key.strip()
        if not separator or key not in _KEYS:
            raise ConfigError(f"{word!r} says nothing of a firmware{_suggest(key, _KEYS)}", next_step=firmware_help())
        read, _ = _KEYS[key]
        value = read(key, text.strip(), getattr(description, key))
        description = replace(description, **{key: value})
    return description


def words_of_toml(text: str, name: str) -> tuple[str, ...]:
    """Return the words of a description's file: the same keys, with lists of names.

    Raises ConfigError, which names the file and the key.
    """
    try:
        data: Mapping[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{name} is no TOML: {exc}", next_step=firmware_help()) from exc
    words: list[str] = []
    for key, value in data.items():
        if key == PLAIN and isinstance(value, bool):
            if value:
                words.append(PLAIN)
            continue
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            value_text = _format_value(value) or _NO_NAMES
        elif isinstance(value, str | int):
            value_text = _format_value(value)
        else:
            raise ConfigError(f"{name}: {key} is a {type(value).__name__}", next_step=firmware_help())
        words.append(f"{key}={value_text}")
    return tuple(words)


def firmware_help() -> str:
    """Return the valid keys with their values, in one line."""
    keys = [f"{key}={values}" for key, (_, values) in _KEYS.items()]
    return "; ".join([*keys, PLAIN, f"or {STOCK} alone"])


def for_trial(board: BoardProfile) -> BoardProfile:
    """Return the board without described limits of image and apps: a trial also installs a build that is larger."""
    firmware = board.firmware
    if not firmware.described:
        return board
    description = replace(parse_firmware(firmware.described), image=None, max_apps=None)
    max_module_bytes = max(firmware.max_module_bytes, _TRIAL_IMAGE_BYTES)
    firmware = replace(firmware, described=description.words, max_module_bytes=max_module_bytes)
    return replace(board, firmware=firmware)


def with_micropython(board: BoardProfile) -> BoardProfile:
    """Return the board with our MicroPython firmware (firmware/): its pins stay, and a described limit of programs."""
    firmware = board.firmware
    max_apps = MAX_PROGRAMS
    if any(word.startswith("max_apps=") for word in firmware.described):
        max_apps = firmware.max_apps
    firmware = replace(
        firmware,
        native_groups=frozenset(),
        natives_added=frozenset(),
        natives_lacking=frozenset(),
        device_nodes=frozenset(),
        max_apps=max_apps,
        max_module_bytes=MAX_PROGRAM_BYTES,
        max_memory_bytes=0,
        max_heap_bytes=None,
        max_timers=None,
        apps_survive_reset=True,
        no_stock_build=None,
        source=SOURCE,
    )
    return replace(board, power_cut=POWER_CUT, firmware=firmware)


def firmware_object(firmware: Firmware) -> dict[str, Any]:
    """Return a firmware as JSON values, described or from the profile."""
    return {
        "described": list(firmware.described),
        "native_groups": sorted(firmware.groups),
        "natives_added": sorted(firmware.natives_added),
        "natives_lacking": sorted(firmware.natives_lacking),
        "nodes": sorted(firmware.device_nodes),
        "files": firmware.has_files,
        "max_apps": firmware.max_apps,
        "max_heap_bytes": firmware.max_heap_bytes,
        "max_memory_bytes": firmware.max_memory_bytes,
        "max_module_bytes": firmware.max_module_bytes,
        "max_timers": firmware.max_timers,
        "attributes": firmware.attribute_generation,
    }


def described_text(words: Iterable[str]) -> str:
    """Return one line for people: "nodes=-i2c max_apps=2", or that nothing is described."""
    return " ".join(words) or "as the board's profile says"


def _format_value(value: object) -> str:
    """Return a key's value as its word has it; empty for None and for no names."""
    if value is None:
        return ""
    if isinstance(value, tuple | list):
        return ",".join(value)
    if value is True:
        return "yes"
    if value is False:
        return "no"
    return str(value)


def _change_names(names: frozenset[str], items: Sequence[str], valid: frozenset[str]) -> frozenset[str]:
    """Return the names as the items change them; items that are not `valid` have no effect."""
    unsigned = frozenset(item for item in items if not _is_signed(item))
    if unsigned:
        names = unsigned & valid
    names |= _names_after("+", items) & valid
    return names - _names_after("-", items)


def _names_after(sign: str, items: Iterable[str]) -> frozenset[str]:
    return frozenset(item[1:] for item in items if item[0] == sign)


def _is_signed(item: str) -> bool:
    return item.startswith(("+", "-"))


def _names(valid: frozenset[str]) -> _Reader:
    """Return a reader of names, which adds them to those that it read before."""

    def read(key: str, text: str, before: tuple[str, ...]) -> tuple[str, ...]:
        items = set(before)
        for part in text.split(","):
            items.add(_parse_item(key, part.strip(), valid))
        present = {item.removeprefix("+") for item in items}
        contradictions = _names_after("-", items) & present
        if contradictions:
            raise _wrong(key, f"{min(contradictions)} is there and not there")
        if not all(map(_is_signed, items - {_NO_NAMES})):
            items.discard(_NO_NAMES)
        return tuple(sorted(items, key=lambda item: ("+-".find(item[0]), item)))

    return read


def _parse_item(key: str, item: str, valid: frozenset[str]) -> str:
    """Return an item, such as "-libc-ext", with underscores. Raises ConfigError if its name is not valid."""
    sign = ""
    name = item
    if _is_signed(item):
        sign = item[0]
        name = item[1:]
    name = name.replace("-", "_")
    if name not in valid and item != _NO_NAMES:
        raise _wrong(key, f"{item!r} is unknown{_suggest(name, valid)}")
    return sign + name


def _number(low: int, high: int) -> _Reader:
    def read(key: str, text: str, _: int | None) -> int:
        size = _parse_size(text)
        if size is None or not low <= size <= high:
            raise _wrong(key, f"{text!r} is not from {low} to {high}")
        return size

    return read


def _parse_size(text: str) -> int | None:
    """Return the bytes of a size such as "8k", or None if it is none."""
    size = _SIZE.fullmatch(text)
    if size is None:
        return None
    unit = size[2].lower()[:1]
    return int(size[1]) * _FACTORS[unit]


def _one_of(values: Mapping[str, Any]) -> _Reader:
    def read(key: str, text: str, _: object) -> Any:
        if text not in values:
            raise _wrong(key, f"{text!r} is not {' or '.join(values)}")
        return values[text]

    return read


def _wrong(key: str, text: str) -> ConfigError:
    _, values = _KEYS[key]
    return ConfigError(f"{key}: {text}", next_step=f"{key}={values}")


def _suggest(word: str, valid: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, tuple(valid), n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return ""


_Reader: TypeAlias = Callable[[str, str, Any], Any]
"""Reads a key's text. Its arguments are the key, the text and the value that it read before."""
_KEYS: Final[Mapping[str, tuple[_Reader, str]]] = {
    "nodes": (_names(NODES), f"NAMES or -NAME,+NAME of {', '.join(sorted(NODES))}"),
    "natives": (
        _names(_GROUPS | _FUNCTIONS),
        f"NAMES or -NAME,+NAME of functions and of the groups {', '.join(sorted(_GROUPS))}",
    ),
    "max_apps": (_number(1, 64), "1 to 64"),
    "heap": (_number(256, 16 << 20), "bytes of an app's heap at most (8k)"),
    "memory": (_number(65_536, 16 << 20), "bytes of an app's memory at most (128k)"),
    "image": (_number(256, 1 << 20), "bytes of a program at most (256k)"),
    "timers": (_number(0, 100), "0 to 100 timers of an app"),
    "files": (_one_of({"yes": True, "no": False}), "yes or no"),
    "attributes": (_one_of({"old": "old", "new": "new"}), "old or new"),
}
