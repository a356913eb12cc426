"""The broker's side, over real connections: states, events, telemetry, and what happens when it goes away."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs
from tests.telemetry.mqtt.conftest import PASSWORD, Boards, Broker, Listener, publishing, until

from microclaw.config.settings import MqttSettings
from microclaw.telemetry.mqtt_device import DeviceView, FirmwareVersions, NamedPin, ProgramState, device_messages
from microclaw.telemetry.mqtt_feed import telemetry_payload
from microclaw.wire.link.messages import Telemetry

Listen = Callable[..., Listener]
DESK = DeviceView(
    "d-01",
    "desk",
    "a board",
    "ESP32-S3",
    True,
    FirmwareVersions("microclaw", "0.1.0"),
    (NamedPin("led", 2, True),),
    (ProgramState("blink", True, "reported", "running"), ProgramState("old", False, "accepted")),
    frozenset({"rssi", "free_heap"}),
)


async def test_states_are_retained_and_the_newest_is_told(broker: Broker, listen: Listen, tmp_path: Path) -> None:
    settings, boards = MqttSettings(url=broker.url, topic="states"), Boards(DESK)
    async with publishing(tmp_path, settings, boards) as running:
        await running.connected()
        early = listen(broker.port, "states/#")
        await until(lambda: early.last("states/h-test/desk/firmware"), "no states")
        boards.views["d-01"] = structs.replace(DESK, pins=(NamedPin("led", 2, False, "blink"),))
        running.publisher.changed("d-01")
        pin = "states/h-test/desk/pin/led"
        await until(lambda: (last := early.last(pin)) and last.body["state"] == "OFF", "the pin is not told")
        late = listen(broker.port, "states/#")
        await until(lambda: late.last("states/h-test/status"), "the host is not there")
        await until(lambda: late.last("states/h-test/desk/state"), "no state")
        found = {heard.topic.removeprefix("states/h-test/"): heard for heard in late.heard}
        assert found["status"].payload == b"online"
        assert found["desk/availability"].payload == b"online"
        assert found["desk/pin/led"].body == {"state": "OFF", "gpio": 2, "program": "blink"}
        assert found["desk/program/blink"].body["state"] == "ON"
        assert found["desk/program/old"].body["evidence"] == "accepted"
        assert found["desk/firmware"].body == {"title": "microclaw", "installed_version": "0.1.0"}
        assert all(heard.retained for heard in found.values())
    await until(lambda: late.last("states/h-test/status").payload == b"offline", "no goodbye")  # type: ignore[union-attr]


def test_the_page_shows_what_is_published() -> None:
    page = (Path(__file__).parents[3] / "docs" / "mqtt.md").read_text()
    rows = page.partition("```topics\n")[2].partition("```")[0].splitlines()
    shown = dict(row.split(" ", 1) for row in rows)
    told = device_messages(
        structs.replace(DESK, programs=(*DESK.programs[:1], ProgramState("old 2", False, "accepted", "stopped")))
    )
    for topic, payload in told.items():
        if not topic.endswith("/state"):
            words = shown.pop(f"microclaw/h-3f9a1c20/{topic}")
            assert (words if words.startswith('{"') else words.strip("{}")) == payload.decode()
    assert [topic.removeprefix("microclaw/h-3f9a1c20/") for topic in shown] == [
        "status",
        "desk/telemetry",
        "desk/event",
    ]
    sent = Telemetry(free_heap=180_000, uptime_s=3_600, apps=(), rssi=-60)
    assert json.loads(shown["microclaw/h-3f9a1c20/desk/telemetry"]) == json.loads(
        telemetry_payload(sent, 1_760_000_000_000)
    )


async def test_device_that_goes_leaves_nothing_at_the_broker(broker: Broker, listen: Listen, tmp_path: Path) -> None:
    settings = MqttSettings(url=broker.url, topic="leaving", home_assistant=True, discovery_prefix="leaving-ha")
    async with publishing(tmp_path, settings, Boards(DESK)) as running:
        await running.connected()
        heard = listen(broker.port, "leaving/#", "leaving-ha/#")
        await until(lambda: heard.last("leaving-ha/device/microclaw_h-test_d-01/config"), "not discovered")
    async with publishing(tmp_path, settings, Boards()) as running:  # it went while the host was off
        await running.connected()
        await until(
            lambda: heard.last("leaving-ha/device/microclaw_h-test_d-01/config").payload == b"",  # type: ignore[union-attr]
            "its entities stay",
        )
        await until(lambda: not [one for one in _held(heard) if "/desk/" in one], "its topics stay")
    late = listen(broker.port, "leaving/#", "leaving-ha/#")
    await until(lambda: late.last("leaving/h-test/status"), "no status")
    assert {one.topic for one in late.heard} == {"leaving/h-test/status", "leaving/h-test/info"}


async def test_renamed_device_has_its_topics_under_the_new_name_alone(
    broker: Broker, listen: Listen, tmp_path: Path
) -> None:
    settings, boards = MqttSettings(url=broker.url, topic="rename"), Boards(DESK)
    async with publishing(tmp_path, settings, boards) as running:
        await running.connected()
        heard = listen(broker.port, "rename/#")
        await until(lambda: heard.last("rename/h-test/desk/state"), "not told")
        boards.views["d-01"] = structs.replace(DESK, name="shelf")
        running.publisher.changed()
        await until(lambda: heard.last("rename/h-test/shelf/state"), "not told again")
        await until(lambda: not [one for one in _held(heard) if "/desk/" in one], "the old topics stay")
        running.feed.take_telemetry("desk", telemetry(1), 1)  # it waited under the old name
        running.feed.take_telemetry("shelf", telemetry(2), 2)
        await until(lambda: heard.last("rename/h-test/shelf/telemetry"), "telemetry is not sent")
        late = listen(broker.port, "rename/#")
        await until(lambda: late.last("rename/h-test/shelf/telemetry"), "the last telemetry is not retained")
        await until(lambda: late.last("rename/h-test/status"), "no status")
        assert not [one.topic for one in late.heard if "/desk/" in one.topic]


async def test_events_and_telemetry_wait_on_disk_for_the_broker(
    own_broker: Broker, listen: Listen, tmp_path: Path
) -> None:
    settings = MqttSettings(url=own_broker.url)
    async with publishing(tmp_path, settings) as running:
        for number in range(300):
            running.feed.add_event("desk", "button", {"n": number, "raw": b"\xff\x00"}, number)
        await until(lambda: running.buffer.sizes["event"].messages == 300, "not buffered")
        assert running.publisher.state.phase != "on"
    async with publishing(tmp_path, settings) as running:  # another run of the host
        assert running.buffer.sizes["event"].messages == 300
        own_broker.start()
        heard = listen(own_broker.port, "microclaw/#")
        await until(lambda: len(heard.on("microclaw/h-test/desk/event")) >= 300, "not sent")
        await until(lambda: running.buffer.sizes["event"].messages == 0, "not taken out")
    bodies = [one.body for one in heard.on("microclaw/h-test/desk/event")]
    assert [body["data"]["n"] for body in bodies] == list(range(300))
    assert bodies[0] == {"name": "button", "data": {"n": 0, "raw": "ff00"}, "at_ms": 0}
    assert running.buffer.sizes["event"].size_bytes == 0


async def test_what_a_killed_broker_did_not_acknowledge_is_sent_again(
    own_broker: Broker, listen: Listen, tmp_path: Path
) -> None:
    own_broker.start()
    settings, may_go_on = MqttSettings(url=own_broker.url), asyncio.Event()
    may_go_on.set()

    async def sleep(_: float) -> None:
        await may_go_on.wait()

    async with publishing(tmp_path, settings, Boards(DESK), sleep=sleep) as running:
        await running.connected()
        for number in range(3_000):
            running.feed.add_event("desk", "tick", {"n": number}, number)
        await until(lambda: running.publisher.state.acknowledged > 200, "nothing goes out")
        may_go_on.clear()
        own_broker.kill()
        await until(lambda: running.publisher.state.phase == "disturbed", "the loss is not noticed")
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
        assert running.publisher.state.connections == 2


async def test_full_buffer_loses_the_oldest_telemetry_first_and_counts(own_broker: Broker, tmp_path: Path) -> None:
    settings = MqttSettings(url=own_broker.url)
    async with publishing(tmp_path, settings, limit_bytes=40_000) as running:
        for number in range(100):
            running.feed.add_event("desk", "e", {"n": number}, number)
        await until(lambda: running.buffer.sizes["event"].messages == 100, "not buffered")
        for number in range(1_000):
            running.feed.take_telemetry("desk", telemetry(number), number)
        await until(lambda: not running.feed.waiting, "not on the disk")
        sizes = running.buffer.sizes
        assert sizes["event"].messages == 100
        assert sizes["event"].lost == 0
        assert sizes["telemetry"].messages + sizes["telemetry"].lost == 1_000
        assert sizes["telemetry"].lost > 0
        assert sum(size.size_bytes for size in sizes.values()) <= 40_000
        rows = await running.buffer.after(0, 10_000)
        assert b'"uptime_s":999' in rows[-1].payload
        for number in range(1_000):
            running.feed.add_event("desk", "e", {"n": number}, number)
        await until(lambda: not running.feed.waiting, "not on the disk")
        sizes = running.buffer.sizes
        assert sizes["telemetry"].messages == 0
        assert sizes["event"].lost > 0
        assert sum(size.size_bytes for size in sizes.values()) <= 40_000


async def test_disk_that_is_full_for_a_while_loses_nothing_and_is_told(broker: Broker, tmp_path: Path) -> None:
    async with publishing(tmp_path, MqttSettings(url=broker.url, topic="disk"), is_supervised=True) as running:
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
        await until(lambda: running.publisher.state.acknowledged >= 200, "not sent")
    assert running.feed.lost == 0


async def test_password_opens_and_a_wrong_one_is_told_and_never_logged(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = tmp_path / "password"
    secret.write_text("wrong-8431\n")
    url = f"mqtt://127.0.0.1:{broker.password_port}"
    settings = MqttSettings(url=url, user="microclaw", password_file=str(secret), topic="mine")
    async with publishing(tmp_path, settings) as running:
        await until(lambda: running.publisher.state.phase == "disturbed", "let in with a wrong password")
        secret.write_text(f"{PASSWORD}\n")
        await running.connected()
    assert caplog.text
    assert PASSWORD not in caplog.text
    assert "wrong-8431" not in caplog.text


@pytest.fixture
def restricted(broker: Broker, tmp_path: Path) -> MqttSettings:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    return MqttSettings(
        url=f"mqtt://127.0.0.1:{broker.password_port}", user="microclaw", password_file=str(secret), topic="mine"
    )


async def test_what_the_broker_refuses_is_told_and_kept(restricted: MqttSettings, tmp_path: Path) -> None:
    async with publishing(tmp_path, dataclasses.replace(restricted, topic="half")) as running:
        await running.connected()
        running.feed.add_event("desk", "tick", {}, 1)
        await until(lambda: running.publisher.state.refused > 0, "the refusal is not counted")
        await until(lambda: running.publisher.state.warning, "the refusal is not told")
        assert running.buffer.sizes["event"].messages == 1
        assert running.publisher.state.phase == "on"


async def test_message_that_the_broker_finds_too_large_does_not_end_the_connection(
    own_broker: Broker, tmp_path: Path
) -> None:
    own_broker.max_packet_bytes = 2_000
    own_broker.start()
    async with publishing(tmp_path, MqttSettings(url=own_broker.url)) as running:
        await running.connected()
        running.feed.add_event("desk", "large", {"text": "x" * 3_000}, 1)
        running.feed.add_event("desk", "small", {}, 2)
        await until(lambda: running.publisher.state.too_large == 1, "it is not left out")
        await until(lambda: running.buffer.sizes["event"].messages == 0, "the next one waits behind it")
        assert running.publisher.state.connections == 1


async def test_tls_is_checked_against_the_authority_of_the_settings(broker: Broker, tmp_path: Path) -> None:
    url = f"mqtts://localhost:{broker.tls_port}"
    async with publishing(tmp_path, MqttSettings(url=url)) as running:
        await until(lambda: running.publisher.state.phase == "disturbed", "a strange certificate is taken")
    async with publishing(tmp_path, MqttSettings(url=url, ca_file=str(broker.ca_file))) as running:
        await running.connected()
    wrong_name = f"mqtts://127.0.0.1:{broker.tls_port}"
    async with publishing(tmp_path, MqttSettings(url=wrong_name, ca_file=str(broker.ca_file))) as running:
        await until(lambda: running.publisher.state.phase == "disturbed", "a certificate of another name is taken")


async def test_missing_password_file_is_told_and_tried_again(broker: Broker, tmp_path: Path) -> None:
    missing = tmp_path / "nothing"
    settings = MqttSettings(url=broker.url, user="microclaw", password_file=str(missing))
    async with publishing(tmp_path, settings) as running:
        await until(lambda: running.publisher.state.phase == "disturbed", "no complaint")
        missing.write_text("anything")
        await running.connected()


async def test_two_hosts_with_one_id_do_not_fight_in_silence(broker: Broker, tmp_path: Path) -> None:
    settings = MqttSettings(url=broker.url, topic="copied")
    async with publishing(tmp_path / "one", settings) as one:
        await one.connected()
        async with publishing(tmp_path / "two", settings) as two:
            await until(
                lambda: any("another host" in str(each.publisher.state.warning) for each in (one, two)),
                "it is not told",
            )


def _held(heard: Listener) -> list[str]:
    """The topics whose last message is not empty."""
    last = {one.topic: one.payload for one in heard.heard}
    return [topic for topic, payload in last.items() if payload]


def telemetry(uptime_s: int) -> Telemetry:
    return Telemetry(free_heap=100_000, uptime_s=uptime_s, apps=())


def json_n(payload: bytes) -> int:
    return int(json.loads(payload)["data"]["n"])
