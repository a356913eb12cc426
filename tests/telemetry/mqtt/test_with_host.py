"""The whole way: a host with its boards and a real broker, and what is left when both are killed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from tests.stories.conftest import joined_board, running_host, until
from tests.stories.doors import blink
from tests.telemetry.mqtt.conftest import Broker, Listener

from microclaw.wire.host_api import Result


def buffered(store: Path) -> bytes:
    """The buffer for the broker, as it is on the disk."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as rows:
        return b"\n".join(payload for (payload,) in rows.execute("SELECT payload FROM mqtt_buffer"))


def test_nothing_durable_is_lost_by_kills_of_broker_and_host(
    own_broker: Broker, listen: Callable[..., Listener], tmp_path: Path
) -> None:
    own_broker.start()
    heard = listen(own_broker.port, "microclaw/#")
    home = tmp_path / "home"
    home.mkdir(0o700)
    (home / "config.toml").write_text(f'[mqtt]\nurl = "{own_broker.url}"\n')
    with ExitStack() as stack:
        host = stack.enter_context(running_host(home, "--virtual", "1"))
        client = host.client
        root = f"microclaw/{client.get('/v1/status')['mqtt']['id']}"
        desk = f"{root}/virtual-1"

        def state_of(topic: str) -> Any:
            last = heard.last(f"{desk}/{topic}")
            return last.body["state"] if last is not None and last.payload else None

        def ends(board: str, name: str) -> list[Any]:
            bodies = [one.body for one in heard.on(f"{root}/{board}/event")]
            return [body for body in bodies if body["name"] == name]

        events = list(client.stream("/v1/devices/virtual-1/apps", {"name": "blink", "source": blink(2)}))
        assert isinstance(events[-1], Result), events[-1]
        until(lambda: state_of("program/blink") == "ON")
        stack.enter_context(joined_board(host, "hall"))
        until(lambda: heard.on(f"{root}/hall/telemetry"))

        own_broker.kill()
        until(lambda: client.get("/v1/status")["mqtt"]["state"] == "disturbed")
        list(client.stream("/v1/devices/virtual-1/apps/blink/stop", {}))
        once = {"name": "once", "source": "print('once')\n", "language": "python"}
        events = list(client.stream("/v1/devices/hall/apps", once))
        assert isinstance(events[-1], Result), events[-1]
        until(lambda: b"app.exit" in buffered(home / "microclaw.db"))
        host.process.kill()
    heard.heard.clear()
    own_broker.start()
    with running_host(home, "--virtual", "1"):
        assert until(lambda: ends("virtual-1", "app.ended"))[0]["data"] == {"app": "blink", "why": "stopped"}
        exit_of_once = until(lambda: ends("hall", "app.exit"))[0]
        assert exit_of_once["data"]["app"] == "once"
        assert len(exit_of_once["id"]) == 32
        until(lambda: state_of("program/blink") == "OFF")
