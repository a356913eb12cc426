"""Bad brokers at the address: each ends the connection with words, and the host tries again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.telemetry.mqtt.conftest import publishing, until

from microclaw.config.settings import MqttSettings

CONNACK = bytes.fromhex("20 03 00 00 00")  # MQTT 5.0, 3.2: accepted, no properties


@asynccontextmanager
async def answering(*words: bytes) -> AsyncIterator[str]:
    """A listener that sends this to whoever connects and says something, then holds the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(1_024)
            for word in words:
                writer.write(word)
                await writer.drain()
            while await reader.read(65_536):
                pass
        except ConnectionError:
            return  # the host hung up, as it should
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((CONNACK, b"\x30\xff\xff\xff\x7f", b"x" * 1_000_000), "is the limit"),
        ((CONNACK, b"\x40\x00", b"\x90\x00", b"\x30\x00"), ""),
        ((CONNACK, b"\xf0\x00\xff\xff\xff\xff\xff"), ""),
        ((bytes.fromhex("20 03 00 87 00"),), "Not authorized"),
    ],
    ids=["huge", "malformed", "unknown", "refused"],
)
async def test_what_is_no_broker_is_left_with_words(tmp_path: Path, words: tuple[bytes, ...], reason: str) -> None:
    async with (
        answering(*words) as url,
        publishing(tmp_path, MqttSettings(url=url), watch_s=0.2) as running,
    ):
        running.feed.add_event("desk", "tick", {}, 1)
        await until(lambda: running.publisher.status.state == "disturbed", "nothing is noticed")
        assert reason in str(running.publisher.status.text)
        assert running.buffer.sizes["event"].messages == 1
