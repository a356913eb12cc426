"""The whole way: a host with its boards and a real broker, and what is left when both are killed."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from tests.telemetry.mqtt.conftest import Broker, Heard, Listener, wait_for

from microclaw.cli.child import Child
from microclaw.operations.client import Client
from microclaw.wire.host_api import Result

BLINK = """
#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(2, GPIO_OUT); every(100, tick); }
"""


def buffered(store: Path) -> bytes:
    """The buffer for the broker, as it is on the disk."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as rows:
        return b"\n".join(payload for (payload,) in rows.execute("SELECT payload FROM mqtt_buffer"))


@contextmanager
def host(home: Path, broker: Broker) -> Iterator[tuple[Client, Child]]:
    environ = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_BASE_URL"))}
    environ["MICROCLAW_MQTT__URL"] = broker.url
    words = ["microclaw", "--json", "--home", str(home), "up", "--port", "0", "--virtual", "1", "--die-with-parent"]
    with Child("host", words, log=home.with_suffix(".stderr"), environ=environ) as child:
        facts, _ = child.wait_ready()
        yield Client(Path(facts["control"])), child


def test_nothing_durable_is_lost_by_kills_of_broker_and_host(
    own_broker: Broker, listen: Callable[..., Listener], tmp_path: Path
) -> None:
    own_broker.start()
    heard = listen(own_broker.port, "microclaw/#")
    home = tmp_path / "home"
    with ExitStack() as stack, host(home, own_broker) as (client, child):
        root = f"microclaw/{client.get('/v1/status')['mqtt']['id']}"
        desk = f"{root}/virtual-1"

        def state_of(topic: str) -> Any:
            last = heard.last(f"{desk}/{topic}")
            return last.body["state"] if last is not None and last.payload else None

        events = list(client.stream("/v1/devices/virtual-1/apps", {"name": "blink", "source": BLINK}))
        assert isinstance(events[-1], Result), events[-1]
        wait_for(lambda: state_of("program/blink") == "ON", "the program's state is not told")
        joined = ["microclaw", "--json", "--home", str(home), "virtual", "--join", "--name", "hall"]
        joined += ["--wasmachine", "0", "--serial", "none"]
        stack.enter_context(Child("board", joined, log=tmp_path / "board.stderr")).wait_ready()
        wait_for(lambda: heard.on(f"{root}/hall/telemetry"), "no telemetry of a board on the link")

        own_broker.kill()
        wait_for(lambda: client.get("/v1/status")["mqtt"]["state"] == "disturbed", "the broker's end is not noticed")
        list(client.stream("/v1/devices/virtual-1/apps/blink/stop", {}))
        once = {"name": "once", "source": "print('once')\n", "language": "python"}
        events = list(client.stream("/v1/devices/hall/apps", once))
        assert isinstance(events[-1], Result), events[-1]
        rows = home / "microclaw.db"
        wait_for(lambda: b"app.exit" in buffered(rows), "the board's own event is not buffered")
        os.kill(child.pid, signal.SIGKILL)
    heard.heard.clear()
    own_broker.start()
    with host(home, own_broker):

        def stops() -> list[Heard]:
            return [one for one in heard.on(f"{desk}/event") if one.body["name"] == "app.ended"]

        wait_for(stops, "what was buffered before the kills does not come")
        assert stops()[0].body["data"] == {"app": "blink", "why": "stopped"}

        def exits() -> list[Heard]:
            return [one for one in heard.on(f"{root}/hall/event") if one.body["name"] == "app.exit"]

        wait_for(exits, "the board's own event does not come")
        assert exits()[0].body["data"]["app"] == "once"
        assert len(exits()[0].body["id"]) == 32
        wait_for(lambda: state_of("program/blink") == "OFF", "the newest state is not told")
