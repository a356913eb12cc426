"""The firmware on a board where it differs from the profile's build: as a person describes it; ours. It asks no board.

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
_GROUPS: Final = frozenset(group.value for group in NativeGroup)
_FUNCTIONS: Final = frozenset(NATIVES) - _GROUPS
_SIZE: Final = re.compile(r"(\d{1,9})\s*(|b|k|kb|m|mb)", re.IGNORECASE)
_TRIAL_IMAGE_BYTES: Final = 256 << 10


class FirmwareDescription(Struct, frozen=True):
    """The difference of a board's firmware from its profile's build; all defaults: none.

    `nodes` and `natives` are as they are written, sorted: "gpio" (exactly those that are so named; "none": no name),
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
        if self.plain:
            found = [PLAIN]
        else:
            found = []
        for key in _KEYS:
            value = getattr(self, key)
            if isinstance(value, bool):
                text = {True: "yes", False: "no"}[value]
            else:
                text = str(value)
            if isinstance(value, tuple):
                text = ",".join(value)
            if text and value is not None:
                found += [f"{key}={text}"]
        return tuple(found)

    def applied(self, board: BoardProfile) -> BoardProfile:
        """The board with the firmware that was described; the profile itself where nothing was."""
        if self == FirmwareDescription():
            return board
        firmware = board.firmware
        if self.plain:
            firmware = replace(firmware, native_groups=PLAIN_GROUPS, device_nodes=frozenset(), has_files=False)
        groups = frozenset(group.replace("-", "_") for group in firmware.native_groups)
        firmware = replace(
            firmware,
            native_groups=_changed(groups, self.natives, _GROUPS),
            # single functions stand for themselves, beside the groups that are named whole
            natives_added=_changed(frozenset(), self.natives, _FUNCTIONS),
            natives_lacking=frozenset(one[1:] for one in self.natives if one[0] == "-") & _FUNCTIONS,
            device_nodes=_changed(firmware.device_nodes, self.nodes, NODES),
            max_apps=firmware.max_apps if self.max_apps is None else self.max_apps,
            max_heap_bytes=self.heap,
            max_memory_bytes=firmware.max_memory_bytes if self.memory is None else self.memory,
            max_module_bytes=firmware.max_module_bytes if self.image is None else self.image,
            max_timers=self.timers,
            has_files=firmware.has_files if self.files is None else self.files,
            attribute_generation=self.attributes or firmware.attribute_generation,
            described=self.words,
        )
        return replace(board, firmware=firmware)


def parse_firmware(words: Iterable[str]) -> FirmwareDescription:
    """The description that these words are; a key may come again. ConfigError lists the valid keys and values."""
    found = FirmwareDescription()
    given = [word.strip() for word in words]
    if len(given) > MAX_WORDS or any(len(word) > MAX_WORD_CHARS for word in given):
        raise ConfigError(f"a description has at most {MAX_WORDS} words", next_step=firmware_help())
    if STOCK in given:
        if len(given) > 1:
            raise ConfigError(f"{STOCK} stands alone: it takes a description back", next_step=firmware_help())
        return found
    for word in given:
        key, separator, text = word.partition("=")
        if word == PLAIN:
            found = replace(found, plain=True)
            continue
        key = key.strip()
        if not separator or key not in _KEYS:
            raise ConfigError(f"{word!r} says nothing of a firmware{_meant(key, _KEYS)}", next_step=firmware_help())
        found = replace(found, **{key: _KEYS[key][0](key, text.strip(), getattr(found, key))})
    return found


def words_of_toml(text: str, name: str) -> tuple[str, ...]:
    """The words of a description's file: the same keys, lists for names. ConfigError names the file and the key."""
    try:
        data: Mapping[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{name} is no TOML: {exc}", next_step=firmware_help()) from exc
    words: list[str] = []
    for key, value in data.items():
        if key == PLAIN and isinstance(value, bool):
            if value:
                words += [PLAIN]
        elif isinstance(value, bool):
            words.append(f"{key}={'yes' if value else 'no'}")
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            words.append(f"{key}={','.join(value) or 'none'}")
        elif isinstance(value, str | int):
            words.append(f"{key}={value}")
        else:
            raise ConfigError(f"{name}: {key} is a {type(value).__name__}", next_step=firmware_help())
    return tuple(words)


def firmware_help() -> str:
    """The valid keys with their values, in one line."""
    return "; ".join((*(f"{key}={values}" for key, (_, values) in _KEYS.items()), PLAIN, f"or {STOCK} alone"))


def _changed(names: frozenset[str], items: Sequence[str], among: frozenset[str]) -> frozenset[str]:
    """The names as these items change them; items that are not `among` those are left out."""
    only = frozenset(one for one in items if one[0] not in "+-")
    added, removed = (frozenset(one[1:] for one in items if one[0] == sign) & among for sign in "+-")
    return ((only & among if only else names) | added) - removed


def _names(valid: frozenset[str]) -> _Reader:
    def read(key: str, text: str, before: tuple[str, ...]) -> tuple[str, ...]:
        found = set(before)
        for item in (part.strip() for part in text.split(",")):
            sign, name = (item[0], item[1:]) if item[:1] in ("+", "-") else ("", item)
            name = name.replace("-", "_")
            if name not in valid and item != "none":
                raise _wrong(key, f"{item!r} is unknown{_meant(name, valid)}")
            found.add(sign + name)
        both = {one[1:] for one in found if one[0] == "-"} & {one.removeprefix("+") for one in found}
        if both:
            raise _wrong(key, f"{min(both)} is there and not there")
        if any(one[0] not in "+-" for one in found - {"none"}):
            found.discard("none")
        return tuple(sorted(found, key=lambda one: ("+-".find(one[0]), one)))

    return read


def _number(low: int, high: int) -> _Reader:
    def read(key: str, text: str, _: int | None) -> int:
        found = _SIZE.fullmatch(text)
        if found:
            factor = {"": 1, "b": 1, "k": 1024, "m": 1024 * 1024}[found[2].lower()[:1]]
        else:
            factor = 0
        if found:
            value = int(found[1]) * factor
        else:
            value = -1
        if not low <= value <= high:
            raise _wrong(key, f"{text!r} is not from {low} to {high}")
        return value

    return read


def _one_of(values: Mapping[str, Any]) -> _Reader:
    def read(key: str, text: str, _: object) -> Any:
        if text not in values:
            raise _wrong(key, f"{text!r} is not {' or '.join(values)}")
        return values[text]

    return read


def _wrong(key: str, text: str) -> ConfigError:
    return ConfigError(f"{key}: {text}", next_step=f"{key}={_KEYS[key][1]}")


def _meant(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, tuple(known), n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return ""


_Reader: TypeAlias = Callable[[str, str, Any], Any]
"""Reads a key's text; given the key, the text and what was read before."""
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


def for_trial(board: BoardProfile) -> BoardProfile:
    """The board without described limits of image and apps: a trial also installs a build that is larger."""
    firmware = board.firmware
    if not firmware.described:
        return board
    words = replace(parse_firmware(firmware.described), image=None, max_apps=None).words
    room = max(firmware.max_module_bytes, _TRIAL_IMAGE_BYTES)
    return replace(board, firmware=replace(firmware, described=words, max_module_bytes=room))


MAX_PROGRAMS: Final = 8
"""That run at once: firmware/fw/board.py. They share the memory, so on a board without PSRAM fewer may fit."""
MAX_PROGRAM_BYTES: Final = 32_768
"""Of .mpy: programs/py/compile.py refuses larger ones."""
POWER_CUT: Final = "Programs are in its flash: after a power cut or reset they start again by themselves."
SOURCE: Final = "firmware/fw/board.py, storage.py and runner.py; docs/decisions/0036-micropython-firmware.md"


def with_micropython(board: BoardProfile) -> BoardProfile:
    """The board with our MicroPython firmware (firmware/): its pins stay, and a described limit of programs."""
    firmware = board.firmware
    is_limited = any(word.startswith("max_apps=") for word in firmware.described)
    return replace(
        board,
        power_cut=POWER_CUT,
        firmware=replace(
            firmware,
            native_groups=frozenset(),
            natives_added=frozenset(),
            natives_lacking=frozenset(),
            device_nodes=frozenset(),
            max_apps=firmware.max_apps if is_limited else MAX_PROGRAMS,
            max_module_bytes=MAX_PROGRAM_BYTES,
            max_memory_bytes=0,
            max_heap_bytes=None,
            max_timers=None,
            apps_survive_reset=True,
            no_stock_build=None,
            source=SOURCE,
        ),
    )


def firmware_object(firmware: Firmware) -> dict[str, Any]:
    """A firmware as JSON values: what is known of it, described or from the profile."""
    return {
        "described": list(firmware.described),
        "native_groups": sorted(group.replace("-", "_") for group in firmware.native_groups),
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
    """One line for people: "nodes=-i2c max_apps=2", or that nothing was described."""
    return " ".join(words) or "as the board's profile says"


class UpdateFacts(Struct, frozen=True):
    """A device's `hello` about updates, and its firmware's name and version; `keys` are those it trusts."""

    name: str
    version: str
    board: str
    channel: str
    kinds: tuple[str, ...]
    keys: tuple[str, ...]
    security_version: int
    revision: str = ""
