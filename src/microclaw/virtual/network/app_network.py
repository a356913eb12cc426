"""The open connections of one app, and its board's permission. Knows no protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeVar

from microclaw.text import clean_text
from microclaw.virtual.runtime.memory import BoardCrash
from microclaw.wire.board_replies import NO_NETWORK

if TYPE_CHECKING:
    from microclaw.virtual.network.http_client import HttpClient
    from microclaw.virtual.network.mqtt_client import MqttClient
    from microclaw.virtual.runtime.app import App

MAX_CLIENTS: Final = 4
"""Of each kind; a chip's RAM has room for few more."""
_FIRST_HANDLE: Final = 0x3FCA_0010  # handles are addresses in the chip's RAM
_HANDLE_STEP: Final = 0x400
C = TypeVar("C")


class AppNetwork:
    def __init__(self, app: App) -> None:
        self.app = app
        self.is_allowed = app.manager.has_network
        self.mqtt: dict[int, MqttClient] = {}
        self.http: dict[int, HttpClient] = {}
        self._handles = 0
        self._refused: set[str] = set()

    def say(self, protocol: str, text: str) -> None:
        """A line of the firmware's."""
        shown = clean_text(text, one_line=True, limit=200)
        self.app.board.print_line(f"{self.app.name}: {protocol}: {shown}")

    def new_handle(self) -> int:
        """A number by which the app knows a client: never 0, never used again."""
        self._handles += 1
        return _FIRST_HANDLE + self._handles * _HANDLE_STEP

    def client(self, clients: Mapping[int, C], handle: int) -> C | None:
        """None for a null handle; the firmware follows any other number."""
        client = clients.get(handle)
        if client is None and handle:
            raise BoardCrash(handle)
        return client

    def refuse(self, protocol: str, host: str) -> None:
        """Say, once for each host, that it is not tried."""
        if len(self._refused) < MAX_CLIENTS and f"{protocol} {host}" not in self._refused:
            self._refused.add(f"{protocol} {host}")
            self.say(protocol, f"{clean_text(host, one_line=True, limit=80)} {NO_NETWORK}")

    def interrupt(self) -> None:
        """The app is being ended: what waits for a peer on its thread stops waiting."""
        for client in tuple(self.http.values()):
            client.interrupt()

    def abandon(self) -> None:
        """The app is gone. The firmware would keep its clients; here they end, without a word to their peers."""
        if any(client.is_connected for client in self.mqtt.values()):
            self.say("mqtt", "the program ended without destroying its client; the firmware would stay connected")
        clients: tuple[MqttClient | HttpClient, ...] = (*self.mqtt.values(), *self.http.values())
        for client in clients:
            client.abandon()
        self.mqtt.clear()
        self.http.clear()
