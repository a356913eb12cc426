"""The whole way: a host with a virtual board, a real broker, and Home Assistant's side of it."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from tests.telemetry.mqtt.conftest import Broker, Heard, Listener, wait_for
from tests.telemetry.mqtt.home_assistant import check_discovery

from microclaw.cli.child import Child
from microclaw.client import Client
from microclaw.wire.host_api import Result

BLINK = """
#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(2, GPIO_OUT); every(100, tick); }
"""


def buffered(store: Path) -> bytes:
    """What waits for the broker, as it is on the disk."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as rows:
        return b"\n".join(payload for (payload,) in rows.execute("SELECT payload FROM mqtt_buffer"))


@contextmanager
def host(home: Path, broker: Broker) -> Iterator[tuple[Client, Child]]:
    environ = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_BASE_URL"))}
    environ |= {
        "MICROCLAW_MQTT__URL": broker.url,
        "MICROCLAW_MQTT__COMMANDS": "true",
        "MICROCLAW_MQTT__HOME_ASSISTANT": "true",
    }
    words = ["microclaw.cli", "--json", "--home", str(home), "up", "--port", "0", "--virtual", "1", "--die-with-parent"]
    with Child("host", words, log=home.with_suffix(".stderr"), environ=environ) as child:
        facts, _ = child.wait_ready()
        yield Client(Path(facts["control"])), child


def test_home_assistant_finds_a_board_switches_it_and_nothing_durable_is_lost(
    own_broker: Broker, listen: Callable[..., Listener], tmp_path: Path
) -> None:
    own_broker.start()
    heard = listen(own_broker.port, "microclaw/#", "homeassistant/#")
    home = tmp_path / "home"
    with ExitStack() as stack, host(home, own_broker) as (client, child):
        status = client.get("/v1/status")["mqtt"]
        root = f"microclaw/{status['id']}"
        desk = f"{root}/virtual-1"

        def entities() -> dict[str, dict[str, Any]]:
            found = next((one for one in reversed(heard.heard) if one.topic.startswith("homeassistant/")), None)
            return {} if found is None else check_discovery(found.topic, found.payload)

        def state_of(topic: str) -> Any:
            last = heard.last(f"{desk}/{topic}")
            return last.body["state"] if last is not None and last.payload else None

        def command(topic: str, payload: str) -> dict[str, Any]:
            """Say it, and give what its answer says."""
            before = len(answers())
            heard.say(f"{desk}/{topic}", payload)
            wait_for(lambda: len(answers()) > before, f"no answer to {topic} {payload}")
            data: dict[str, Any] = answers()[before].body["data"]
            return data

        def answers() -> list[Heard]:
            return [one for one in heard.on(f"{desk}/event") if one.body["name"] == "mqtt.command"]

        wait_for(lambda: "switch_pin_led" in entities(), "the board is not discovered")
        availability = f"{desk}/availability"
        wait_for(lambda: (last := heard.last(availability)) and last.payload == b"online", "nobody asked the board")
        wait_for(lambda: state_of("pin/led") == "OFF", "the led's state is not told")
        done = command("pin/led/set", "ON")
        assert done["outcome"] == "done", done
        assert done["evidence"][0]["kind"] == "counted"
        wait_for(lambda: state_of("pin/led") == "ON", "the led's state is not told")
        assert command("undo", "PRESS")["outcome"] == "done"
        wait_for(lambda: state_of("pin/led") == "OFF", "undone, and its state is not told")

        events = list(client.stream("/v1/devices/virtual-1/apps", {"name": "blink", "source": BLINK}))
        assert isinstance(events[-1], Result), events[-1]
        wait_for(lambda: "switch_program_blink" in entities(), "the program is not discovered")
        wait_for(lambda: state_of("program/blink") == "ON", "the program's state is not told")
        refused = command("pin/led/set", "ON")
        assert refused["outcome"] == "refused", refused  # blink drives it: a person would be asked
        assert "MQTT" in refused["reason"]
        assert command("undo", "PRESS")["outcome"] == "refused"  # the program is somebody else's doing
        assert command("program/blink/set", "OFF")["outcome"] == "done"
        wait_for(lambda: state_of("program/blink") == "OFF", "stopped, and its state is not told")
        assert command("undo", "PRESS")["outcome"] == "done"
        wait_for(lambda: state_of("program/blink") == "ON", "taken back, and its state is not told")
        assert client.get("/v1/status")["mqtt"]["state"] == "on"
        assert client.get("/v1/status")["mqtt"]["commands"]["refused"] == 2

        joined = ["microclaw.cli", "--json", "--home", str(home), "virtual", "--join", "--name", "hall"]
        joined += ["--wasmachine", "0", "--serial", "none"]
        stack.enter_context(Child("board", joined, log=tmp_path / "board.stderr")).wait_ready()
        wait_for(lambda: heard.on(f"{root}/hall/telemetry"), "no telemetry of a board on the link")
        wait_for(lambda: heard.last(f"{root}/hall/state"), "the board on the link is not told")
        hall = heard.on(f"{root}/hall/state")[-1]
        config = f"homeassistant/device/microclaw_{status['id']}_{hall.body['id']}/config"
        wanted = {"sensor_free_heap", "update_firmware", "switch_pin_led"}
        wait_for(
            lambda: (last := heard.last(config)) and wanted <= check_discovery(config, last.payload).keys(),
            "its sensors and its firmware are not discovered",
        )

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
