"""A real broker on loopback, and a client that keeps what it hears, in order."""

from __future__ import annotations

import getpass
import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from tests.stories.conftest import until


@dataclass
class Recorder:
    """Every message as (topic, payload), in the order in which it came."""

    client: paho.Client
    heard: list[tuple[str, bytes]] = field(default_factory=list)

    def last(self, topic: str) -> Any:
        """The newest document on the topic; None where there is none, or it was removed."""
        found = next((payload for name, payload in reversed(self.heard) if name == topic), b"")
        return json.loads(found) if found else None


@contextmanager
def broker(folder: Path) -> Iterator[int]:
    """mosquitto for everybody on this machine; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    program = which("mosquitto") or which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    assert program is not None, "mosquitto is missing: make setup-system"
    config = folder / "mosquitto.conf"
    config.write_text(f"user {getpass.getuser()}\nlistener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        until(listens)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def recorder(port: int, *topics: str) -> Iterator[Recorder]:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    found = Recorder(client)
    client.on_message = lambda _client, _data, message: found.heard.append((message.topic, bytes(message.payload)))
    client.connect("127.0.0.1", port)
    client.subscribe([(topic, 1) for topic in topics])
    client.loop_start()
    try:
        yield found
    finally:
        client.loop_stop()
        client.disconnect()
