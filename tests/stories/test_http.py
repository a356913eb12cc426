"""HTTP by a client that nobody here wrote: programs, strict bodies, the compile service, live events."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.stories.conftest import TIMEOUT_S, Door, Host, blinking, door, level, running

APPS = "/v1/devices/virtual-1/apps"
CALL = "/v1/devices/virtual-1/call"


def set_pin(pin: int, to: int = 1) -> dict[str, Any]:
    return {"method": "gpio.set", "arguments": {"pin": pin, "level": to}}


def test_a_program_is_installed_seen_and_taken_back(host: Host, owner: Door) -> None:
    made = owner.post(APPS, {"name": "blink", "source": blinking(2)})
    assert (made.status, made.headers["content-type"].split(";")[0]) == (200, "application/x-ndjson")
    assert {"check", "deploy"} <= {line.get("stage") for line in made.lines}
    assert (made.last["type"], made.last["result"]["verified"]) == ("result", True)
    assert [app["name"] for app in owner.get("/v1/apps").json["apps"]] == ["blink"]
    one = owner.get(f"{APPS}/blink").json
    assert (one["pins"], one["source"], one["proof"]["verified"]) == ([2], blinking(2), True)
    assert {pin for _, pin, _ in owner.get("/v1/devices/virtual-1/edges").json["edges"]} >= {2}
    undone = owner.post("/v1/undo")
    assert undone.last["type"] == "result"
    assert owner.get("/v1/apps").json["apps"] == []


def test_a_body_of_another_form_is_refused_and_nothing_is_done(host: Host, owner: Door) -> None:
    for body, status in (
        *(
            ({"method": "gpio.set", "arguments": {"level": 1, **more}}, 400)
            for more in ({"pin": "9"}, {"pin": 9, "x": 2})
        ),
        *(({**set_pin(9), **more}, 422) for more in ({"wait": "true"}, {"pin": 9})),
        *((body, 422) for body in (b"not json", b"\xff\xfe", {"arguments": {"pin": 9, "level": 1}})),
    ):
        refused = owner.post(CALL, body)
        assert (refused.status, bool(refused.code)) == (status, True), body
    assert level(host, 9) == 0


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (blinking(99), "build_error"),
        (blinking(26), "build_error"),
        ("void on_init(void) { oops }", "build_error"),
        ("void on_init(void) { *(volatile int *)0x7fffffff = 1; }", "trial_failed"),
    ],
)
def test_a_program_that_cannot_run_never_reaches_the_board(host: Host, owner: Door, source: str, code: str) -> None:
    refused = owner.post(APPS, {"name": "bad", "source": source})
    assert (refused.status, refused.last["type"], refused.last["error"]["code"]) == (200, "error", code)
    assert running(host) == []


def test_the_compile_service_of_the_seed(host: Host) -> None:
    """LLMos's own calls: GET says whether there is a compiler, POST takes `source`, `name`, `optimizationLevel`."""
    anybody = door(host)
    available = anybody.get("/api/compile-wasm").json
    assert available["available"]
    assert available["compiler"] in [
        f"{one['compiler']} {one['version']}" for one in available["compilers"] if one["available"]
    ]
    made = anybody.post("/api/compile-wasm", {"source": blinking(2), "name": "blink", "optimizationLevel": "O3"})
    wasm = base64.b64decode(made.json["wasm"])
    assert (made.status, made.json["success"], wasm[:8]) == (200, True, b"\0asm\1\0\0\0")
    assert (made.json["size"], made.json["sha256"]) == (len(wasm), hashlib.sha256(wasm).hexdigest())
    assert made.json["pins"] == [2]
    again = anybody.post("/api/compile-wasm", {"source": blinking(2), "name": "blink", "optimizationLevel": "O3"})
    assert (again.json["cached"], again.json["wasm"]) == (True, made.json["wasm"])
    refused = anybody.post("/api/compile-wasm", {"source": "int main(void) {\n  return nothing;\n}\n"})
    assert (refused.status, refused.code) == (422, "build_error")
    assert refused.json["error"]["diagnostics"][0]["line"] == 2


@pytest.fixture
def events(host: Host, owner: Door) -> Iterator[Any]:
    parts = urlsplit(str(host.facts["http"]))
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    connection.request("GET", "/v1/events?edges=virtual-1", headers={"Authorization": f"Bearer {owner.token}"})
    answer = connection.getresponse()
    assert answer.getheader("content-type", "").startswith("text/event-stream")
    yield answer
    connection.close()


def test_edges_come_as_they_are_counted(host: Host, owner: Door, events: Any) -> None:
    assert owner.post(CALL, set_pin(12)).status == 200
    kind = ""
    for line in iter(events.readline, b""):
        name, _, value = line.decode().strip().partition(": ")
        kind = value if name == "event" else kind
        if name == "data" and kind == "edges" and any(row[1] == 12 for row in json.loads(value)["edges"]):
            break
    assert owner.post(CALL, set_pin(12, 0)).status == 200
