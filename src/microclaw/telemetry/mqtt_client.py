"""paho-mqtt's client with what it lacks: a limit on what it reads, and a word when its thread ends by a fault."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from microclaw.egress.destinations import Purpose
from microclaw.egress.outgoing import connect_now
from microclaw.telemetry.mqtt_broker import CONNECT_S, MAX_UNDER_WAY, QOS, BrokerOptions

KEEPALIVE_S: Final = 30
MAX_PACKET_BYTES: Final = 16_384


class GuardedClient(paho.Client):
    """`broken` is called on paho's thread when what the broker sent ends it: the library itself says nothing then."""

    broken: Callable[[Exception], None]

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        try:
            return super().loop_forever(timeout, retry_first_connection)
        except Exception as exc:
            self.broken(exc)
            return MQTTErrorCode.MQTT_ERR_UNKNOWN

    def _create_socket_connection(self) -> socket.socket:
        """To an address that was judged, as every connection of the settings."""
        return connect_now(Purpose.CONFIGURED, self._host, self._port, CONNECT_S)

    def _packet_read(self) -> MQTTErrorCode:
        """The broker was told the largest message (MQTT 5.0, 3.1.2.11.4); one that does not care is left."""
        result = super()._packet_read()
        length = self._in_packet["remaining_length"]
        if length > MAX_PACKET_BYTES:
            raise ValueError(f"a message of {length:,} bytes, {MAX_PACKET_BYTES:,} is the limit")
        return result


def new_client(options: BrokerOptions, *, broken: Callable[[Exception], None]) -> GuardedClient:
    """Not connected yet."""
    client = GuardedClient(
        CallbackAPIVersion.VERSION2,
        options.client_id,
        protocol=MQTTProtocolVersion.MQTTv5,
        reconnect_on_failure=False,
    )
    client.broken = broken
    client.connect_timeout = CONNECT_S
    client.max_inflight_messages_set(MAX_UNDER_WAY)
    client.will_set(options.will_topic, options.will, QOS, retain=True)
    if options.user is not None:
        client.username_pw_set(options.user, options.password)
    if options.tls is not None:
        client.tls_set_context(options.tls)
    return client


def dial(client: GuardedClient, options: BrokerOptions) -> None:
    """Connect, and send the first message; this may take long. Raises OSError, ValueError."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    client.connect(options.host, options.port, KEEPALIVE_S, clean_start=True, properties=properties)
