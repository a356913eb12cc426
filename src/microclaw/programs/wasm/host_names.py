"""The hosts that the texts of a module name, if it has a way to talk to them. A text that it makes is not found."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from microclaw.hardware.boards.natives import NATIVES, NativeGroup
from microclaw.network_use import NO_NETWORK, NetworkUse
from microclaw.programs.host_texts import host_of_text
from microclaw.programs.wasm.inspect import Module
from microclaw.programs.wasm.wasm_image import Import

_CLIENTS: Final = frozenset({NativeGroup.HTTP, NativeGroup.MQTT})
_TEXT: Final = re.compile(rb"(?<![ -~])([!-~]+)\0")
"""A text without a space, from its begin to its end."""


def find_network(module: Module) -> NetworkUse:
    """Return the hosts that its texts name, none for a module without an HTTP or MQTT client."""
    if not has_client(module.imports):
        return NO_NETWORK
    hosts = set()
    for segment in module.data:
        for text in _TEXT.findall(segment.data):
            named = host_of_text(text.decode("ascii"))
            if named is None:
                continue
            if named.port is None:
                hosts.add(named.host)
            else:
                hosts.add(f"{named.host}:{named.port}")
    return NetworkUse(tuple(sorted(hosts)))


def has_client(imports: Iterable[Import]) -> bool:
    """Return True if a module with these imports can talk to servers or brokers."""
    for wanted in imports:
        native = NATIVES.get(wanted.name)
        if native is not None and native.group in _CLIENTS:
            return True
    return False
