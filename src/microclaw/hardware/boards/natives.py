"""The native functions that ESP-WASMachine firmware offers to apps (module `env`), from natives.txt."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from importlib import resources
from typing import Final

from msgspec import Struct

NATIVE_MODULE: Final = "env"


class NativeGroup(StrEnum):
    """A part that a firmware build has or lacks as a whole; a board profile lists the groups of its build."""

    LIBC_BUILTIN = "libc_builtin"
    LIBC_EXT = "libc_ext"
    LIBM = "libm"
    APP_FRAMEWORK = "app_framework"
    MQTT = "mqtt"
    HTTP = "http"
    LVGL = "lvgl"
    WIFI_PROV = "wifi_prov"
    RAINMAKER = "rainmaker"
    PTHREAD = "pthread"


class Native(Struct, frozen=True):
    """One native function; `params` and `results` are wasm value types."""

    name: str
    signature: str
    prototype: str
    group: NativeGroup
    params: tuple[str, ...]
    results: tuple[str, ...]


def _read_table() -> Mapping[str, Native]:
    natives = {}
    group = NativeGroup.LIBC_BUILTIN
    table = resources.files(__package__).joinpath("natives.txt").read_text(encoding="ascii")
    for line in table.splitlines():
        if line.startswith("#"):
            continue
        if line.startswith("["):
            group = NativeGroup(line[1:-1])
            continue
        native = _parse_native(line, group)
        natives[native.name] = native
    return natives


def _parse_native(row: str, group: NativeGroup) -> Native:
    """Parse a row, such as `($*)i | int printf(const char *format, ...)`."""
    signature, prototype = row.split(" | ")
    declared = prototype.partition("(")[0]
    name = declared.split()[-1].lstrip("*")
    params, results = signature[1:].split(")")
    return Native(name, signature, prototype, group, params=_wasm_types(params), results=_wasm_types(results))


def _wasm_types(letters: str) -> tuple[str, ...]:
    return tuple(_TYPES[letter] for letter in letters)


_TYPES: Final = {"i": "i32", "I": "i64", "f": "f32", "F": "f64", "*": "i32", "~": "i32", "$": "i32"}
NATIVES: Final = _read_table()

# The functions that the application manager calls in an app. It finds them by their names. Each with the types of its
# parameters; none has a result.
APP_EXPORTS: Final[Mapping[str, tuple[str, ...]]] = {
    "on_init": (),
    "on_destroy": (),
    "on_request": ("i32", "i32"),
    "on_response": ("i32", "i32"),
    "on_timer_callback": ("i32",),
    "on_mqtt_dispatch_event": ("i32", "i32", "i32"),
    "libc_builtin_set_errno": ("i32",),
}
