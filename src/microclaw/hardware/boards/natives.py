"""The native functions that ESP-WASMachine firmware offers to apps (module `env`), from natives.txt."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from importlib import resources
from typing import Final

from msgspec import Struct

NATIVE_MODULE: Final = "env"


class NativeGroup(StrEnum):
    """A part that a firmware build has or lacks as a whole; a board profile lists its groups."""

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
    for row in (line for line in table.splitlines() if not line.startswith("#")):
        if row.startswith("["):
            group = NativeGroup(row[1:-1])
            continue
        signature, prototype = row.split(" | ")
        name = prototype.partition("(")[0].split()[-1].lstrip("*")
        params, results = (tuple(_TYPES[c] for c in part) for part in signature[1:].split(")"))
        natives[name] = Native(name, signature, prototype, group, params, results)
    return natives


_TYPES: Final = {"i": "i32", "I": "i64", "f": "f32", "F": "f64", "*": "i32", "~": "i32", "$": "i32"}
NATIVES: Final = _read_table()

# What the application manager calls in an app, found by name only: export -> parameter types; none has a result.
APP_EXPORTS: Final[Mapping[str, tuple[str, ...]]] = {
    "on_init": (),
    "on_destroy": (),
    "on_request": ("i32", "i32"),
    "on_response": ("i32", "i32"),
    "on_timer_callback": ("i32",),
    "on_mqtt_dispatch_event": ("i32", "i32", "i32"),
    "libc_builtin_set_errno": ("i32",),
}
