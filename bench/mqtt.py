"""MQTT: messages a second through the store's buffer, QoS 1 and its acknowledgement, beside a plain paho client."""

from __future__ import annotations

import asyncio
import getpass
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

from bench.report import Metric, median
from microclaw.host.config.settings import MqttSettings
from microclaw.host.store.database import Database
from microclaw.host.store.mqtt import MqttBuffer, MqttPublishedTable
from microclaw.interfaces.mqtt.device_view import DeviceView
from microclaw.interfaces.mqtt.feed import MqttFeed
from microclaw.interfaces.mqtt.publisher import MqttPublisher

MESSAGES = 20_000
RUNS = 3
GOAL_A_SECOND = 4_000
LIMIT_S = 120.0
_DATA = {"pin": 0, "pressed": True, "text": "x" * 60}


def measure() -> list[Metric]:
    with tempfile.TemporaryDirectory(prefix="mc-bench-") as folder, _broker(Path(folder)) as port:
        runs = [(asyncio.run(_ours(Path(folder, f"run-{number}"), port)), _plain(port)) for number in range(RUNS)]
    ours = median([a for a, _ in runs])
    plain = median([b for _, b in runs])
    return [
        Metric("messages through the store's buffer", ours, "1/s", GOAL_A_SECOND, at_least=True),
        Metric("plain paho client, QoS 1, in memory", plain, "1/s"),
        Metric("ours / plain paho", median([a / b for a, b in runs]), "x"),
    ]


async def _ours(folder: Path, port: int) -> float:
    """Each event is on the disk before it is sent, and leaves the buffer when the broker has it."""
    settings = MqttSettings(url=f"mqtt://127.0.0.1:{port}", topic="bench")
    async with Database.open(folder / "store.db") as database:
        buffer = MqttBuffer(database)
        await buffer.open()
        feed = MqttFeed(buffer)
        publisher = MqttPublisher(
            settings, "h-bench", devices=_NoDevices(), feed=feed, published=MqttPublishedTable(database)
        )
        working = [asyncio.create_task(feed.run()), asyncio.create_task(publisher.run())]
        await _until(lambda: publisher.status.state == "on")
        began = time.perf_counter()
        for number in range(MESSAGES):
            feed.add_event("desk", "button", {**_DATA, "n": number}, number)
            if feed.waiting >= 1_000:
                await _until(lambda: feed.waiting < 500)
        await _until(lambda: feed.waiting == 0 and buffer.sizes["event"].messages == 0)
        took_s = time.perf_counter() - began
        if feed.lost or buffer.sizes["event"].lost:
            raise RuntimeError("messages were lost")
        for task in working:
            task.cancel()
        await asyncio.wait(working)
    return MESSAGES / took_s


def _plain(port: int) -> float:
    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    done = threading.Event()
    count = 0
    connected = threading.Event()

    def published(*_: object) -> None:
        nonlocal count
        count += 1
        if count == MESSAGES:
            done.set()

    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_publish = published
    client.on_connect = lambda *_: connected.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    connected.wait(LIMIT_S)
    payload = b'{"name":"button","data":{"pin":0,"pressed":true,"text":"' + b"x" * 60 + b'","n":10000},"at_ms":10000}'
    began = time.perf_counter()
    for _ in range(MESSAGES):
        client.publish("bench/plain/desk/event", payload, 1)
    if not done.wait(LIMIT_S):
        raise RuntimeError("the plain client did not end")
    took_s = time.perf_counter() - began
    client.disconnect()
    client.loop_stop()
    return MESSAGES / took_s


class _NoDevices:
    def ids(self) -> tuple[str, ...]:
        return ()

    def id_of(self, name: str) -> str | None:  # noqa: ARG002 - the port's own name
        return None

    async def view(self, device_id: str) -> DeviceView | None:  # noqa: ARG002 - the port's own name
        return None


async def _until(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("it took too long")
        await asyncio.sleep(0.002)


@contextmanager
def _broker(folder: Path) -> Iterator[int]:
    found = which("mosquitto") or which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise RuntimeError("mosquitto is missing: make setup-system")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = folder / "mosquitto.conf"
    config.write_text(f"user {getpass.getuser()}\nlistener {port} 127.0.0.1\nallow_anonymous true\n")
    with subprocess.Popen([found, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + LIMIT_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if time.monotonic() > deadline:
                raise RuntimeError("mosquitto did not start")
            time.sleep(0.02)
        try:
            yield port
        finally:
            process.terminate()
