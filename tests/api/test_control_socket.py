"""The control socket: the owner's door to the host."""

from __future__ import annotations

import base64
import json
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from microclaw.client import Client
from microclaw.client.request import HostError
from microclaw.events import Answer, Step
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


def test_status_tells_model_devices_and_memory(host: Client, host_facts: dict[str, Any]) -> None:
    status = host.get("/v1/status")
    assert status["pid"] == host_facts["pid"]
    assert "Offline intents answer" in status["model"]
    assert "virtual-1" in [d["name"] for d in status["devices"]]
    assert 10 < status["rss_mb"] < 200


def test_device_is_added_renamed_and_shown(host: Client) -> None:
    added = host.post("/v1/devices", {"name": "desk", "board": "virtual", "transports": ["wasmachine://127.0.0.1:9"]})
    assert added["transports"] == ["wasmachine://127.0.0.1:9"]
    renamed = host.patch("/v1/devices/desk", {"name": "shelf"})
    assert (renamed["name"], renamed["device_id"]) == ("shelf", added["device_id"])
    assert host.get("/v1/devices/shelf")["device_id"] == added["device_id"]


def test_devices_are_told_in_pages(host: Client) -> None:
    for name in ("page-a", "page-b", "page-c"):
        host.devices.add(name, "virtual", [f"virtual:/nowhere/{name}"])
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
    assert told == names == [device["name"] for device in host.devices.list()]
    for name in ("page-a", "page-b", "page-c"):
        host.devices.remove(name)


@pytest.mark.parametrize("limit", ["0", "1001", "all"])
def test_a_page_of_no_size_is_refused(host: Client, refused: Any, limit: str) -> None:
    assert refused(lambda: host.get(f"/v1/devices?limit={limit}")).code == "bad_request"


def test_unknown_device_is_404_with_the_known_names(host: Client, refused: Any) -> None:
    failure = refused(lambda: host.get("/v1/devices/nope"))
    assert failure.code == "unknown_name"
    assert "virtual-1" in (failure.next_step or "")


def test_pin_is_set_read_and_the_setting_undone(host: Client) -> None:
    path = "/v1/devices/virtual-1/call"
    acted = host.post(path, {"method": "gpio.set", "arguments": {"pin": 4, "level": 1}})
    assert acted["result"] == {"pin": 4, "level": 1}
    assert acted["evidence"]["kind"] == "counted"
    assert host.post(path, {"method": "gpio.get", "arguments": {"pin": 4}})["result"]["level"] == 1
    _, end = last(host.stream("/v1/undo", {"change_id": acted["change_id"]}))
    assert isinstance(end, Result)
    assert host.post(path, {"method": "gpio.get", "arguments": {"pin": 4}})["result"]["level"] == 0


@pytest.mark.parametrize(
    ("method", "arguments", "code"),
    [
        ("gpio.fly", {}, "unknown_name"),
        ("gpio.get", {}, "config_error"),
        ("gpio.get", {"pin": "4"}, "config_error"),
        ("gpio.get", {"pin": True}, "config_error"),
        ("gpio.get", {"pin": 4, "level": 1}, "config_error"),
        ("gpio.set", {"pin": 27, "level": 1}, "pin_refused"),
        ("apps.install", {"name": "x", "wasm": ""}, "unknown_name"),
    ],
)
def test_wrong_call_is_refused_by_name(
    host: Client, refused: Any, method: str, arguments: dict[str, Any], code: str
) -> None:
    failure = refused(lambda: host.post("/v1/devices/virtual-1/call", {"method": method, "arguments": arguments}))
    assert failure.code == code
    assert failure.next_step


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
    assert ":1:31:" in end.diagnostics[0]["text"]
    assert host.get("/v1/changes")["changes"] == before


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x"},
        {"name": "x", "source": "a", "wasm": "b"},
        {"name": "", "source": "a"},
        {"name": "x", "source": "a", "heap_bytes": 1},
        {"name": "x", "source": "a", "optimization": "O3; rm -rf /"},
        {"name": "x", "wasm": "not base64!"},
    ],
)
def test_wrong_install_request_is_refused(host: Client, refused: Any, body: dict[str, Any]) -> None:
    failure = refused(lambda: list(host.stream("/v1/devices/virtual-1/apps", body)))
    assert failure.code in ("bad_request", "config_error")


def test_bytes_that_are_no_wasm_are_refused(host: Client) -> None:
    _, end = install(host, "junk", wasm=base64.b64encode(b"this is not wasm").decode())
    assert isinstance(end, Failure)
    assert end.message


def test_chat_answers_with_steps_and_evidence(host: Client) -> None:
    steps, end = last(host.stream("/v1/chat", {"text": "set pin 7 on", "chat_id": "t1", "device": "virtual-1"}))
    assert isinstance(end, Answer)
    assert end.error_code is None
    assert [e.kind for e in end.evidence] == ["counted"]
    assert steps[0].stage == "intent"


def test_sentence_nobody_understands_is_an_answer_with_a_next_step(host: Client) -> None:
    _, end = last(host.stream("/v1/chat", {"text": "please compose a symphony", "chat_id": "t2"}))
    assert isinstance(end, Answer)
    assert end.error_code == "not_understood"
    assert end.next_step


@pytest.mark.parametrize(
    "body",
    [{}, {"text": ""}, {"text": "hi", "chat_id": "../x"}, {"text": "x" * 20_000}, {"text": "hi", "device": "nope"}],
)
def test_wrong_message_is_refused(host: Client, refused: Any, body: dict[str, Any]) -> None:
    assert refused(lambda: list(host.stream("/v1/chat", body))).message


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


def test_cancelling_a_chat_without_a_turn_does_nothing(host: Client) -> None:
    assert host.post("/v1/chat/quiet/cancel") == {"cancelled": 0}


def test_body_over_the_limit_is_refused_here_too(host_facts: dict[str, Any]) -> None:
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(10)
        raw.connect(host_facts["control"])
        raw.sendall(b"POST /v1/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n")
        assert raw.recv(65536).split(b" ")[1] in (b"400", b"413")
