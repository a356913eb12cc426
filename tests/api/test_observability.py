"""/metrics and the live events of a running host."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from tests.api.unix_http import UnixConnection

from microclaw.cli.child import Child
from microclaw.operations.client import Client
from microclaw.wire.host_api import Result

TIMEOUT_S = 30
BLINK = """
#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(4, GPIO_OUT); every(400, tick); }
"""
# A sample of the text format 0.0.4: name, labels, value.
SAMPLE = re.compile(r'[a-z_]+(\{([a-z_]+="([^"\\\n]|\\[\\"n])*",?)+\})? (-?[0-9.]+(e[+-]?[0-9]+)?|[+-]Inf|NaN)')


class EventStream:
    """Reads Server-Sent Events as a browser would."""

    def __init__(self, response: HTTPResponse) -> None:
        self._response = response

    def block(self) -> dict[str, str]:
        """The fields up to the next empty line; empty at the end of the stream."""
        fields: dict[str, str] = {}
        while (line := self._response.readline().decode()) and line != "\n":
            key, _, value = line.rstrip("\n").partition(": ")
            fields[key] = value
        return fields

    def event(self) -> dict[str, str]:
        while not (block := self.block()).get("event"):
            assert block, "the stream ended"
        return block


@contextmanager
def listening(control: str, query: str = "", last_event_id: str | None = None) -> Iterator[EventStream]:
    """An open stream; the host has said that it hears us."""
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    with closing(UnixConnection(Path(control), TIMEOUT_S)) as connection:
        connection.request("GET", f"/v1/events{query}", headers=headers)
        response = connection.getresponse()
        assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
        stream = EventStream(response)
        assert stream.block() == {"retry": "2000"}
        yield stream


def come_and_go(host: Client, name: str) -> None:
    """A program is deployed and removed: two events."""
    steps = list(host.stream("/v1/devices/virtual-1/apps", {"name": name, "source": BLINK}))
    assert isinstance(steps[-1], Result), steps
    assert isinstance(list(host.stream(f"/v1/devices/virtual-1/apps/{name}", method="DELETE"))[-1], Result)


def test_deployed_and_removed_programs_are_live_events(host: Client, host_facts: dict[str, Any]) -> None:
    with listening(host_facts["control"], "?device=virtual-1") as stream:
        come_and_go(host, "seen")
        events = [stream.event(), stream.event()]
    facts = [json.loads(event["data"]) for event in events]
    assert [event["event"] for event in events] == ["app.deployed", "app.ended"]
    assert [(f["device"], f["app"], f.get("why")) for f in facts] == [
        ("virtual-1", "seen", None),
        ("virtual-1", "seen", "removed"),
    ]


def test_metrics_are_prometheus_text(api: tuple[str, int]) -> None:
    with closing(HTTPConnection(*api, timeout=TIMEOUT_S)) as connection:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        page = response.read().decode()
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert page.endswith("\n")
    samples = [line for line in page.splitlines() if not line.startswith("# ")]
    assert all(SAMPLE.fullmatch(line) for line in samples), samples
    assert "microclaw_devices 1.0" in samples
    assert any(line.startswith('microclaw_info{version="') for line in samples)


def test_host_that_stops_ends_its_streams(tmp_path: Path) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_BASE_URL"))}
    words = ["microclaw.cli", "--json", "--home", str(tmp_path), "up", "--port", "0", "--die-with-parent"]
    with Child("host", words, log=tmp_path / "stderr", environ=environ) as child:
        facts, _ = child.wait_ready()
        with listening(facts["control"]) as stream:
            child.stop()
            assert stream.block() == {}
    assert "Traceback" not in (tmp_path / "stderr").read_text() + (tmp_path / "microclaw.log").read_text()
