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
from microclaw.cli.known_devices import known_devices
from microclaw.events import Step
from microclaw.operations.client import Client
from microclaw.operations.connection import HostError
from microclaw.wire.host_api import Failure, Result, StreamEvent

BLINK = """
#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); printf("tick\\n"); }
void on_init(void) { led = gpio_open(PIN, GPIO_OUT); every(400, tick); }
"""


def blink(pin: int) -> str:
    return BLINK.replace("PIN", str(pin))


@pytest.fixture
def refused() -> Callable[[Callable[[], object]], Failure]:
    """The host's failure of a call that must fail."""

    def call(work: Callable[[], object]) -> Failure:
        with pytest.raises(HostError) as caught:
            work()
        return caught.value.failure

    return call


def last(events: Iterator[StreamEvent]) -> tuple[list[Step], StreamEvent]:
    """The steps of a stream, and its end."""
    seen = list(events)
    return [e for e in seen if isinstance(e, Step)], seen[-1]


def install(host: Client, name: str, **body: Any) -> tuple[list[Step], StreamEvent]:
    return last(host.stream("/v1/devices/virtual-1/apps", {"name": name, **body}))


def change_of(host: Client, summary: str) -> dict[str, Any] | None:
    """The settled change of this summary."""
    found = [c for c in host.get("/v1/changes")["changes"] if c["summary"] == summary and c["state"] != "planned"]
    return found[0] if found else None


def until(look: Callable[[], dict[str, Any] | None], timeout_s: float = 10.0) -> dict[str, Any]:
    """Ask the host again until it has an answer."""
    deadline = time.monotonic() + timeout_s
    while (found := look()) is None:
        assert time.monotonic() < deadline, "it never came"
    return found


def remove(host: Client, name: str) -> StreamEvent:
    return last(host.stream(f"/v1/devices/virtual-1/apps/{name}", method="DELETE"))[1]


def test_socket_and_home_are_the_owners_alone(host_facts: dict[str, Any]) -> None:
    control = Path(host_facts["control"])
    assert stat.S_IMODE(control.stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(host_facts["home"]).stat().st_mode) == 0o700
    assert stat.S_IMODE((Path(host_facts["home"]) / "microclaw.log").stat().st_mode) == 0o600


def test_devices_are_told_in_pages(host: Client) -> None:
    for name in ("page-a", "page-b", "page-c"):
        host.call(devices.add_device, name=name, board="virtual", transports=[f"virtual:/nowhere/{name}"])
    whole = host.get("/v1/devices")
    names = [device["name"] for device in whole["devices"]]
    assert (names, whole["next"]) == (sorted(names), None)
    told: list[str] = []
    after: str | None = ""
    while after is not None:
        page = host.get(f"/v1/devices?limit=2&after={after}")
        told += [device["name"] for device in page["devices"]]
        assert page["next"] == (told[-1] if len(told) < len(names) else None)
        after = page["next"]
    assert told == names == [device.name for device in known_devices(host)]
    for name in ("page-a", "page-b", "page-c"):
        host.call(devices.remove, device=name)


def test_install_reports_every_stage_and_the_evidence(host: Client) -> None:
    steps, end = install(host, "stages", source=blink(5))
    done = [s.stage for s in steps if s.state == "done"]
    assert done == ["compile", "check", "try", "deploy", "verify"]
    assert isinstance(end, Result)
    assert end.value["verified"] is True
    assert end.value["evidence"]["kind"] == "counted"
    assert len(end.value["evidence"]["edges"]) >= 2
    listed = {app["name"]: app for app in host.get("/v1/apps")["apps"] if app["device"] == "virtual-1"}
    assert listed["stages"]["condition"] == "running"
    assert host.get("/v1/devices/virtual-1/apps/stages")["source"] == blink(5)
    assert any(line["app"] == "stages" for line in host.get("/v1/devices/virtual-1/logs")["lines"])
    assert isinstance(remove(host, "stages"), Result)
    assert "stages" not in [app["name"] for app in host.get("/v1/apps", {"device": "virtual-1"})["apps"]]


def test_wasm_can_be_installed_as_it_is(host: Client) -> None:
    made = host.post("/api/compile-wasm", {"source": blink(6), "name": "bytes"})
    steps, end = install(host, "bytes", wasm=made["wasm"])
    assert isinstance(end, Result), end
    assert end.value["sha256"] == made["sha256"]
    assert steps[-1].stage == "verify"
    assert isinstance(remove(host, "bytes"), Result)


def test_broken_source_fails_at_compile_and_touches_no_board(host: Client) -> None:
    before = host.get("/v1/changes")["changes"]
    steps, end = install(host, "broken", source="void on_init(void) { int x = 1 }")
    assert [(s.stage, s.state) for s in steps] == [("compile", "failed")]
    assert isinstance(end, Failure)
    assert end.code == "build_error"
    assert host.get("/v1/changes")["changes"] == before


@pytest.mark.parametrize(("awaits", "installed"), [(b"HTTP/1.1 200", False), (b'"stage":"deploy"', True)])
def test_client_that_leaves_leaves_nothing_half_done(
    host: Client, host_facts: dict[str, Any], awaits: bytes, installed: bool
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
        assert until(lambda: change_of(host, f"deploy {name} on virtual-1"))["state"] == "done"
        assert isinstance(remove(host, name), Result)
        return
    _, end = last(host.stream("/v1/devices/virtual-1/apps", {"name": "after", "source": blink(15)}))
    assert isinstance(end, Result)  # the other one, had it gone on, would have been there first
    assert isinstance(remove(host, "after"), Result)
    assert change_of(host, f"deploy {name} on virtual-1") is None
