"""What a broker takes at once is kept, and a broker that stands still for a while loses nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.interfaces.mqtt.conftest import publishing, until
from tests.mosquitto import Broker, Listener
from tests.peers import listening

from microclaw.host.config.settings import MqttSettings

WINDOW = 5
MESSAGES = 200
ACKNOWLEDGED_AFTER_S = 0.01
# What fills no window, as the last ones.
LEFT_OVER_AFTER_S = 1.0
# MQTT 5.0, 3.2: accepted, with one property: Receive Maximum (0x21) of two bytes.
CONNACK = bytes.fromhex("20 06 00 00 03 21") + WINDOW.to_bytes(2, "big")
PUBLISH = 3
PUBACK = bytes.fromhex("40 02")
# MQTT 5.0, 3.14: "Receive Maximum exceeded".
DISCONNECT = bytes.fromhex("e0 01 93")


async def read_packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the first byte of a packet and its rest (MQTT 5.0, 2.1)."""
    first = (await reader.readexactly(1))[0]
    size = 0
    shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return first, await reader.readexactly(size)


@asynccontextmanager
async def strict_broker(counts: list[int]) -> AsyncIterator[str]:
    """A broker that acknowledges messages a little after their window is full, and ends a connection with more of them.

    `counts` gets the number of messages under way at each message.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way: set[bytes] = set()

        def acknowledge(message_id: bytes) -> None:
            if message_id not in under_way:
                return
            under_way.remove(message_id)
            writer.write(PUBACK + message_id)

        def acknowledge_later(message_id: bytes, after_s: float) -> None:
            asyncio.get_running_loop().call_later(after_s, acknowledge, message_id)

        await read_packet(reader)
        writer.write(CONNACK)
        while len(under_way) <= WINDOW:
            first, body = await read_packet(reader)
            if first >> 4 == PUBLISH:
                topic_end = 2 + int.from_bytes(body[:2], "big")
                message_id = body[topic_end : topic_end + 2]
                under_way.add(message_id)
                counts.append(len(under_way))
                acknowledge_later(message_id, LEFT_OVER_AFTER_S)
                if len(under_way) == WINDOW:
                    for full_id in under_way:
                        acknowledge_later(full_id, ACKNOWLEDGED_AFTER_S)
        writer.write(DISCONNECT)

    async with listening(serve) as port:
        yield f"mqtt://127.0.0.1:{port}"


async def test_no_more_messages_are_under_way_than_the_broker_takes(tmp_path: Path) -> None:
    counts: list[int] = []
    async with strict_broker(counts) as url, publishing(tmp_path, MqttSettings(url=url)) as running:
        await running.connected()
        for number in range(MESSAGES):
            running.feed.add_event("desk", "tick", {"n": number}, number)
        await until(lambda: running.publisher.status.acknowledged >= MESSAGES, "not all is sent")
        await until(lambda: running.buffer.sizes["event"].messages == 0, "not all is acknowledged")
        assert running.publisher.status.connections == 1
    assert max(counts) == WINDOW


async def test_broker_that_stands_still_for_a_while_gets_each_message_once_and_in_order(
    own_broker: Broker, listen: Callable[..., Listener], tmp_path: Path
) -> None:
    own_broker.start()
    heard = listen(own_broker.port, "microclaw/#")
    async with publishing(tmp_path, MqttSettings(url=own_broker.url)) as running:
        await running.connected()
        assert own_broker.process is not None
        os.kill(own_broker.process.pid, signal.SIGSTOP)
        try:
            for number in range(3_000):
                running.feed.add_event("desk", "tick", {"n": number}, number)
            await until(lambda: not running.feed.waiting, "not on the disk")
            assert running.buffer.sizes["event"].messages == 3_000
        finally:
            os.kill(own_broker.process.pid, signal.SIGCONT)
        topic = "microclaw/h-test/desk/event"
        await until(lambda: running.buffer.sizes["event"].messages == 0, "not all is acknowledged")
        await until(lambda: len(heard.on(topic)) >= 3_000, "not all is sent")
        assert [one.body["data"]["n"] for one in heard.on(topic)] == list(range(3_000))
        assert running.publisher.status.connections == 1
