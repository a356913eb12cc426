"""A real broker (mosquitto) on loopback, and another client of it. Holds no test."""

from __future__ import annotations

import getpass
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions
from tests.postgres import free_port

LIMIT_S = 180.0
PASSWORD = "open-sesame-91"


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@dataclass
class Broker:
    """mosquitto on three ports: `port` lets everybody in, `tls_port` by TLS; `password_port` the user microclaw,
    who may do all below mine/ and little below half/.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    password_port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    max_packet_bytes: int | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.pem"

    def prepare(self) -> None:
        """A password, an authority and a certificate for "localhost"."""
        passwords = self.folder / "passwords"
        subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "microclaw", PASSWORD], check=True)
        request = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        request += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        request += ["-keyout", str(self.folder / "key.pem"), "-out", str(self.ca_file)]
        subprocess.run(request, check=True, capture_output=True)

        rules = ("user microclaw", "topic readwrite mine/#", "topic write half/+/status", "topic write half/+/info")
        (self.folder / "acl").write_text("\n".join(rules) + "\n")

    def start(self) -> None:
        found = which("mosquitto") or which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        assert found is not None, "mosquitto is missing: make setup-system"
        rows = [f"user {getpass.getuser()}", "per_listener_settings true"]
        rows += [f"listener {self.port} 127.0.0.1", "allow_anonymous true"]
        rows += ["max_queued_messages 100000"]  # a listener that is slow for a while still hears all
        if self.ca_file.exists():
            rows += [f"listener {self.password_port} 127.0.0.1", f"password_file {self.folder / 'passwords'}"]
            rows += [f"acl_file {self.folder / 'acl'}"]
            rows += [f"listener {self.tls_port} 127.0.0.1", "allow_anonymous true"]
            rows += [f"certfile {self.ca_file}", f"keyfile {self.folder / 'key.pem'}"]
        if self.max_packet_bytes is not None:
            rows.append(f"max_packet_size {self.max_packet_bytes}")
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join(rows) + "\n")
        log = (self.folder / "mosquitto.log").open("wb")
        self.process = subprocess.Popen([found, "-c", str(config)], stdout=log, stderr=log)
        log.close()
        wait_for(self.listens, "mosquitto did not start")

    def listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "mosquitto.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.tls_port if self.ca_file.exists() else self.port)) == 0

    def kill(self) -> None:
        """As a power cut does."""
        self.stop(signal.SIGKILL)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(LIMIT_S)
            self.process = None


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    made = Broker(tmp_path_factory.mktemp("mosquitto"))
    made.prepare()
    made.start()
    yield made
    made.stop()


@dataclass(frozen=True)
class Heard:
    topic: str
    payload: bytes
    retained: bool

    @property
    def body(self) -> Any:
        return json.loads(self.payload)


class Listener:
    """Another client, which hears everything below a filter and may say something."""

    def __init__(self, port: int, *filters: str) -> None:
        self.heard: list[Heard] = []
        self._ready = threading.Event()
        client = self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.reconnect_delay_set(1, 1)
        self._filters = filters
        client.on_connect = self._subscribe
        client.on_subscribe = lambda *_: self._ready.set()
        client.on_message = lambda _client, _data, m: self.heard.append(Heard(m.topic, bytes(m.payload), m.retain))
        client.connect("127.0.0.1", port)
        client.loop_start()
        assert self._ready.wait(LIMIT_S)

    def _subscribe(self, *_: Any) -> None:
        self.client.subscribe([(topic, SubscribeOptions(qos=1, retainAsPublished=False)) for topic in self._filters])

    def say(self, topic: str, payload: str, *, retain: bool = False) -> None:
        self.client.publish(topic, payload, 1, retain).wait_for_publish(LIMIT_S)

    def last(self, topic: str) -> Heard | None:
        return next((one for one in reversed(self.heard) if one.topic == topic), None)

    def on(self, topic: str) -> list[Heard]:
        return [one for one in self.heard if one.topic == topic]

    def held(self) -> list[str]:
        """The topics whose last message is not empty."""
        last = {one.topic: one.payload for one in self.heard}
        return [topic for topic, payload in last.items() if payload]

    def close(self) -> None:
        client = self.client
        client.disconnect()
        client.loop_stop()
        # Only its end closes the sockets that wake its thread: nothing in a circle with it may leave that to chance.
        client.on_connect = client.on_subscribe = client.on_message = None
        del self.client
