"""paho's client with connections that the board makes: its programs reach no more by MQTT than by HTTP."""

from __future__ import annotations

import socket
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from microclaw.virtual.network.reach import Connect


class CheckedClient(paho.Client):
    """`connect` opens each connection, also those that paho makes again by itself."""

    def __init__(self, connect: Connect, client_id: str, **options: Any) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id, **options)
        self._connect_checked = connect

    def _create_socket_connection(self) -> socket.socket:
        return self._connect_checked(self.host, self.port, self.connect_timeout)
