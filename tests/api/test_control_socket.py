"""The control socket: the owner's door to the host."""

from __future__ import annotations

import json
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from microclaw.apps import device_operations as devices
from microclaw.cli.many_devices import known_devices
from microclaw.events import Step
from microclaw.operations.client import Client
from microclaw.wire.host_api import Result, StreamEvent

BLINK = """
#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); printf("tick\\n"); }
void on_init(void) { led = gpio_open(PIN, GPIO_OUT); every(400, tick); }
"""


def blink(pin: int) -> str:
    return BLINK.replace("PIN", str(pin))


def last(events: Iterator[StreamEvent]) -> tuple[list[Step], StreamEvent]:
    """The steps of a stream, and its end."""
    seen = list(events)
    return [e for e in seen if isinstance(e, Step)], seen[-1]


def install(client: Client, name: str, **body: Any) -> tuple[list[Step], StreamEvent]:
    return last(client.stream("/v1/devices/virtual-1/apps", {"name": name, **body}))


def change_of(client: Client, summary: str) -> dict[str, Any] | None:
    """The settled change of this summary."""
    found = [c for c in client.get("/v1/changes")["changes"] if c["summary"] == summary and c["state"] != "planned"]
    return found[0] if found else None


def until(look: Callable[[], dict[str, Any] | None], timeout_s: float = 10.0) -> dict[str, Any]:
    """Ask the host again until it has an answer."""
    deadline = time.monotonic() + timeout_s
    while (found := look()) is None:
        assert time.monotonic() < deadline, "it never came"
    return found


def remove(client: Client, name: str) -> StreamEvent:
    return last(client.stream(f"/v1/devices/virtual-1/apps/{name}", method="DELETE"))[1]


def test_socket_and_home_are_the_owners_alone(host_facts: dict[str, Any]) -> None:
    control = Path(host_facts["control"])
    assert stat.S_IMODE(control.stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(host_facts["home"]).stat().st_mode) == 0o700
    assert stat.S_IMODE((Path(host_facts["home"]) / "microclaw.log").stat().st_mode) == 0o600


def test_devices_are_told_in_pages(client: Client) -> None:
    for name in ("page-a", "page-b", "page-c"):
        client.call(devices.add_device, name=name, board="virtual", transports=[f"virtual:/nowhere/{name}"])
    whole = client.get("/v1/devices")
    names = [device["name"] for device in whole["devices"]]
    assert (names, whole["next"]) == (sorted(names), None)
    told: list[str] = []
    after: str | None = ""
    while after is not None:
        page = client.get(f"/v1/devices?limit=2&after={after}")
        told += [device["name"] for device in page["devices"]]
        assert page["next"] == (told[-1] if len(told) < len(names) else None)
        after = page["next"]
    assert told == names == [device.name for device in known_devices(client)]
    for name in ("page-a", "page-b", "page-c"):
        client.call(devices.remove, device=name)


def test_wasm_can_be_installed_as_it_is(client: Client) -> None:
    made = client.post("/api/compile-wasm", {"source": blink(6), "name": "bytes"})
    steps, end = install(client, "bytes", wasm=made["wasm"])
    assert isinstance(end, Result), end
    assert end.value["sha256"] == made["sha256"]
    assert steps[-1].stage == "verify"
    assert isinstance(remove(client, "bytes"), Result)


@pytest.mark.parametrize(("awaits", "installed"), [(b"HTTP/1.1 200", False), (b'"stage":"deploy"', True)])
def test_client_that_leaves_leaves_nothing_half_done(
    client: Client, host_facts: dict[str, Any], awaits: bytes, installed: bool
) -> None:
    """Before the installation began nothing is installed; afterwards it is completed."""
    name = f"left{installed:d}"
    body = json.dumps({"name": name, "source": blink(15) + f"// {name}"}).encode()
    head = b"POST /v1/devices/virtual-1/apps HTTP/1.1\r\nHost: x\r\n"
    head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(10)
        raw.connect(host_facts["control"])
        raw.sendall(head % len(body) + body)
        received = b""
        while awaits not in received:
            received += (part := raw.recv(4096))
            assert part, received
    if installed:
        assert until(lambda: change_of(client, f"deploy {name} on virtual-1"))["state"] == "done"
        assert isinstance(remove(client, name), Result)
        return
    _, end = last(client.stream("/v1/devices/virtual-1/apps", {"name": "after", "source": blink(15)}))
    assert isinstance(end, Result)  # the other one, had it gone on, would have been there first
    assert isinstance(remove(client, "after"), Result)
    assert change_of(client, f"deploy {name} on virtual-1") is None
