"""The broker's side, over real connections: states, events, telemetry, what happens when it goes away or is none."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import structs
from tests.interfaces.mqtt.conftest import Boards, publishing, until
from tests.mosquitto import PASSWORD, Broker, Listener
from tests.peers import listening

from microclaw.host.config.settings import MqttSettings
from microclaw.interfaces.mqtt.device_view import DeviceView, FirmwareVersions, MqttPin, MqttProgram, device_messages
from microclaw.wire.link.messages import Telemetry

Listen = Callable[..., Listener]
DESK = DeviceView(
    "d-01",
    "desk",
    "a board",
    "ESP32-S3",
    True,
    FirmwareVersions("microclaw", "0.1.0"),
    (MqttPin("led", 2, True),),
    (MqttProgram("blink", True, "reported", "running"), MqttProgram("old", False, "accepted")),
    frozenset({"rssi", "free_heap"}),
)


async def test_states_are_retained_and_a_renamed_device_has_them_under_the_new_name_alone(
    broker: Broker, listen: Listen, tmp_path: Path
) -> None:
    settings = MqttSettings(url=broker.url, topic="rename")
    boards = Boards(DESK)
    async with publishing(tmp_path, settings, boards) as running:
        await running.connected()
        heard = listen(broker.port, "rename/#")
        await until(lambda: heard.last("rename/h-test/desk/state"), "not told")
        boards.views["d-01"] = structs.replace(DESK, name="shelf")
        running.publisher.changed()
        await until(lambda: heard.last("rename/h-test/shelf/state"), "not told again")
        await until(lambda: not [one for one in heard.held() if "/desk/" in one], "the old topics stay")
        running.feed.take_telemetry("desk", telemetry(1), 1)  # it waited under the old name
        running.feed.take_telemetry("shelf", telemetry(2), 2)
        await until(lambda: heard.last("rename/h-test/shelf/telemetry"), "telemetry is not sent")
        late = listen(broker.port, "rename/#")
        wanted = {*device_messages(boards.views["d-01"]), "shelf/telemetry", "status", "info"}
        await until(lambda: len(late.heard) >= len(wanted), "not all is retained")
        assert {one.topic.removeprefix("rename/h-test/") for one in late.heard} == wanted
        assert all(one.retained for one in late.heard)
    await until(lambda: late.heard[-1].payload == b"offline", "no goodbye")


async def test_what_a_killed_broker_did_not_acknowledge_is_sent_again_also_by_the_next_host(
    own_broker: Broker, listen: Listen, tmp_path: Path
) -> None:
    own_broker.start()
    settings = MqttSettings(url=own_broker.url)
    may_go_on = asyncio.Event()
    may_go_on.set()

    async def sleep(_: float) -> None:
        await may_go_on.wait()

    async with publishing(tmp_path, settings, Boards(DESK), sleep=sleep) as running:
        await running.connected()
        for number in range(3_000):
            running.feed.add_event("desk", "tick", {"n": number}, number)
        await until(lambda: running.publisher.status.acknowledged > 200, "nothing goes out")
        may_go_on.clear()
        own_broker.kill()
        await until(lambda: running.publisher.status.state == "disturbed", "the loss is not noticed")
        running.feed.add_event("desk", "tick", {"n": 3_000}, 3_000)
        await until(lambda: not running.feed.waiting, "not on the disk")
        left = {json_n(message.payload) for message in await running.buffer.after(0, 10_000)}
        assert 3_000 in left
        own_broker.start()
        heard = listen(own_broker.port, "microclaw/#")
        may_go_on.set()
        await until(lambda: heard.last("microclaw/h-test/desk/availability"), "the state is not told again")
        await until(lambda: len(heard.on("microclaw/h-test/desk/event")) >= len(left), "not all is sent again")
        await until(lambda: running.buffer.sizes["event"].messages == 0, "not all is acknowledged")
        assert [one.body["data"]["n"] for one in heard.on("microclaw/h-test/desk/event")] == sorted(left)
        assert running.publisher.status.connections == 2
        own_broker.kill()
        running.feed.add_event("desk", "tick", {"n": 3_001}, 3_001)
        await until(lambda: not running.feed.waiting, "not on the disk")
    own_broker.start()
    heard = listen(own_broker.port, "microclaw/#")
    async with publishing(tmp_path, settings, Boards(DESK)):  # the host begins again
        await until(lambda: heard.last("microclaw/h-test/desk/event"), "it is lost")
    assert [one.body["data"]["n"] for one in heard.on("microclaw/h-test/desk/event")] == [3_001]


async def test_disk_that_is_full_for_a_while_loses_nothing_and_is_told(broker: Broker, tmp_path: Path) -> None:
    async with publishing(tmp_path, MqttSettings(url=broker.url, topic="disk")) as running:
        await running.connected()
        await running.database.write(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchone())
        for number in range(200):
            running.feed.add_event("desk", "tick", {"n": number, "text": "x" * 500}, number)
        await until(lambda: running.failures, "the full disk is not noticed")
        assert running.feed.waiting == 200
        await running.database.write(
            lambda connection: connection.execute("PRAGMA max_page_count = 1000000").fetchone()
        )
        await until(lambda: not running.feed.waiting, "not written once there is room")
        await until(lambda: running.publisher.status.acknowledged >= 200, "not sent")
    assert running.feed.lost == 0


async def test_password_opens_a_wrong_one_and_what_it_does_not_open_are_told_and_none_is_logged(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = tmp_path / "password"
    async with publishing(tmp_path, restricted(broker, secret)) as running:
        await until(lambda: "password" in str(running.publisher.status.text), "the missing file is not told")
        secret.write_text("wrong-8431\n")
        await until(lambda: "Not authorized" in str(running.publisher.status.text), "a wrong password is let in")
        secret.write_text(f"{PASSWORD}\n")
        await running.connected()
    async with publishing(tmp_path, dataclasses.replace(restricted(broker, secret), topic="half")) as running:
        await running.connected()
        running.feed.add_event("desk", "tick", {}, 1)
        await until(lambda: running.publisher.status.text, "what the broker refuses is not told")
        assert (running.publisher.status.state, running.buffer.sizes["event"].messages) == ("on", 1)
    assert caplog.text
    assert PASSWORD not in caplog.text
    assert "wrong-8431" not in caplog.text


def restricted(broker: Broker, secret: Path) -> MqttSettings:
    """The user who may do all below mine/, and little below half/."""
    url = f"mqtt://127.0.0.1:{broker.password_port}"
    return MqttSettings(url=url, user="microclaw", password_file=str(secret), topic="mine")


async def test_message_that_the_broker_finds_too_large_does_not_end_the_connection(
    own_broker: Broker, tmp_path: Path
) -> None:
    own_broker.max_packet_bytes = 2_000
    own_broker.start()
    async with publishing(tmp_path, MqttSettings(url=own_broker.url)) as running:
        await running.connected()
        running.feed.add_event("desk", "large", {"text": "x" * 3_000}, 1)
        running.feed.add_event("desk", "small", {}, 2)
        await until(lambda: running.publisher.status.too_large == 1, "it is not left out")
        await until(lambda: running.buffer.sizes["event"].messages == 0, "the next one waits behind it")
        assert running.publisher.status.connections == 1


async def test_tls_is_checked_against_the_authority_of_the_settings(broker: Broker, tmp_path: Path) -> None:
    url = f"mqtts://localhost:{broker.tls_port}"
    async with publishing(tmp_path, MqttSettings(url=url)) as running:
        await until(lambda: running.publisher.status.state == "disturbed", "a strange certificate is taken")
    async with publishing(tmp_path, MqttSettings(url=url, ca_file=str(broker.ca_file))) as running:
        await running.connected()
    wrong_name = f"mqtts://127.0.0.1:{broker.tls_port}"
    async with publishing(tmp_path, MqttSettings(url=wrong_name, ca_file=str(broker.ca_file))) as running:
        await until(lambda: running.publisher.status.state == "disturbed", "a certificate of another name is taken")


def telemetry(uptime_s: int) -> Telemetry:
    return Telemetry(free_heap=100_000, uptime_s=uptime_s, apps=())


def json_n(payload: bytes) -> int:
    return int(json.loads(payload)["data"]["n"])


CONNACK = bytes.fromhex("20 03 00 00 00")  # MQTT 5.0, 3.2: accepted, no properties


@asynccontextmanager
async def answering(*words: bytes) -> AsyncIterator[str]:
    """A listener that sends this to whoever connects and says something, then holds the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_024)
        for word in words:
            writer.write(word)
            await writer.drain()
        while await reader.read(65_536):
            pass

    async with listening(serve) as port:
        yield f"mqtt://127.0.0.1:{port}"


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
    async with answering(*words) as url, publishing(tmp_path, MqttSettings(url=url), watch_s=0.2) as running:
        running.feed.add_event("desk", "tick", {}, 1)
        await until(lambda: running.publisher.status.state == "disturbed", "nothing is noticed")
        assert reason in str(running.publisher.status.text)
        await until(lambda: running.buffer.sizes["event"].messages == 1, "it is not kept")
