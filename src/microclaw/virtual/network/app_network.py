"""The open connections of one app. Knows no protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeVar

from microclaw.virtual.network.access import NetworkAccess
from microclaw.virtual.runtime.memory import BoardCrash

if TYPE_CHECKING:
    from microclaw.virtual.network.http_client import HttpClient
    from microclaw.virtual.network.mqtt_client import MqttClient

_FIRST_HANDLE: Final = 0x3FCA_0010
"""Handles are addresses in the chip's RAM."""
_HANDLE_STEP: Final = 0x400
C = TypeVar("C")


class AppNetwork:
    """The clients that the app made, by their handles."""

    def __init__(self, access: NetworkAccess) -> None:
        self.access = access
        self.mqtt: dict[int, MqttClient] = {}
        self.http: dict[int, HttpClient] = {}
        self._handle_count = 0

    def new_handle(self) -> int:
        """Return a number by which the app knows a client: never 0, never used again."""
        self._handle_count += 1
        return _FIRST_HANDLE + self._handle_count * _HANDLE_STEP

    def client(self, clients: Mapping[int, C], handle: int) -> C | None:
        """Return the client, None for a null handle; the firmware follows any other number and crashes."""
        client = clients.get(handle)
        if client is None and handle:
            raise BoardCrash(handle)
        return client

    def interrupt(self) -> None:
        """Make clients that wait for a peer on the app's thread stop waiting: the app is being ended."""
        for client in tuple(self.http.values()):
            client.interrupt()

    def abandon(self) -> None:
        """End the clients of an app that is gone, without a word to their peers. The firmware would keep them."""
        if any(client.is_connected for client in self.mqtt.values()):
            text = "the program ended without destroying its client; the firmware would stay connected"
            self.access.say("mqtt", text)
        clients: tuple[MqttClient | HttpClient, ...] = (*self.mqtt.values(), *self.http.values())
        for client in clients:
            client.abandon()
        self.mqtt.clear()
        self.http.clear()
