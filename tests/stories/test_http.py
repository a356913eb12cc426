"""HTTP by a client that nobody here wrote: programs, strict bodies, who is let in, the compile service, live events."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.stories.conftest import TIMEOUT_S, Host
from tests.stories.doors import Door, blink, door, level, member_of, running

APPS = "/v1/devices/virtual-1/apps"
CALL = "/v1/devices/virtual-1/call"


@pytest.fixture(scope="module")
def owner(host: Host) -> Door:
    return member_of(host, "owner", "owner")


def set_pin(pin: int, to: int = 1) -> dict[str, Any]:
    return {"method": "gpio.set", "arguments": {"pin": pin, "level": to}}


def test_a_program_is_installed_seen_and_taken_back(host: Host, owner: Door) -> None:
    made = owner.post(APPS, {"name": "blink", "source": blink(2)})
    assert (made.status, made.headers["content-type"].split(";")[0]) == (200, "application/x-ndjson")
    assert {"check", "deploy"} <= {line.get("stage") for line in made.lines}
    assert (made.last["type"], made.last["result"]["verified"]) == ("result", True)
    assert [app["name"] for app in owner.get("/v1/apps").json["apps"]] == ["blink"]
    one = owner.get(f"{APPS}/blink").json
    assert (one["pins"], one["source"], one["proof"]["verified"]) == ([2], blink(2), True)
    assert {pin for _, pin, _ in owner.get("/v1/devices/virtual-1/edges").json["edges"]} >= {2}
    undone = owner.post("/v1/undo")
    assert undone.last["type"] == "result"
    assert owner.get("/v1/apps").json["apps"] == []


def test_an_upgrade_is_taken_back_to_the_version_before(host: Host, owner: Door) -> None:
    first = owner.post(APPS, {"name": "beat", "source": blink(4)}).last["result"]
    newer = owner.post(f"{APPS}/beat/upgrade", {"source": blink(4).replace("100", "250")})
    assert newer.last["result"]["verified"]
    before = owner.get(f"{APPS}/beat").json["sha256"]
    assert owner.post("/v1/undo", {"change_id": newer.last["result"]["change_id"]}).last["type"] == "result"
    assert owner.get(f"{APPS}/beat").json["sha256"] != before
    assert owner.get(f"{APPS}/beat").json["source"] == blink(4)
    assert owner.ask("DELETE", f"{APPS}/beat").last["type"] == "result"
    assert first["change_id"] < newer.last["result"]["change_id"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"method": "gpio.set", "arguments": {"pin": "9", "level": 1}}, 400),
        ({"method": "gpio.set", "arguments": {"pin": 9, "level": True}}, 400),
        ({"method": "gpio.set", "arguments": {"pin": 9, "level": 1, "of": 2}}, 400),
        ({**set_pin(9), "wait": "true"}, 422),
        ({**set_pin(9), "pin": 9}, 422),
        ({"arguments": {"pin": 9, "level": 1}}, 422),
        (b"not json", 422),
        (b"\xff\xfe", 422),
    ],
)
def test_a_body_of_another_form_is_refused_and_nothing_is_done(host: Host, owner: Door, body: Any, status: int) -> None:
    refused = owner.post(CALL, body)
    assert refused.status == status
    assert refused.code
    assert level(host, 9) == 0


def test_what_a_request_lacks_is_told_by_its_status(owner: Door) -> None:
    assert owner.post(CALL, set_pin(9), Content_Type="text/plain").status == 415
    assert owner.get("/v1/apps?board=desk").status == 422
    assert (owner.get("/v1/nothing").status, owner.get("/v1/devices/nobody").code) == (404, "unknown_name")
    wrong = owner.ask("DELETE", "/v1/status")
    assert (wrong.status, "GET" in wrong.headers["allow"]) == (405, True)
    head = owner.ask("HEAD", "/v1/status")
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Host": "evil.example:80", "Origin": "null"}],
)
def test_a_page_of_elsewhere_is_refused(host: Host, owner: Door, headers: dict[str, str]) -> None:
    refused = owner.post(CALL, set_pin(9), **headers)
    assert (refused.status, refused.code) == (403, "forbidden")
    assert level(host, 9) == 0


@pytest.mark.parametrize("pin", [26, 99])
def test_a_pin_that_the_board_does_not_give_is_refused(host: Host, owner: Door, pin: int) -> None:
    refused = owner.post(CALL, set_pin(pin))
    assert (refused.status, refused.code) == (422, "pin_refused")


def test_without_a_right_token_nothing_is_told(host: Host) -> None:
    for stranger in (door(host), door(host, "mc_wrong"), door(host, "")):
        refused = stranger.get("/v1/devices")
        assert (refused.status, refused.code) == (401, "unauthorized")
        assert stranger.post(CALL, set_pin(9)).status == 401
    assert door(host).get("/healthz").status == 200
    assert level(host, 9) == 0


@pytest.mark.parametrize("role", ["guest", "read-only"])
def test_who_may_only_look_changes_nothing(host: Host, role: str) -> None:
    someone = member_of(host, f"some-{role}", role)
    assert someone.get("/v1/devices").status == 200
    for path, body in ((APPS, {"name": "x", "source": blink(2)}), ("/v1/undo", {}), ("/v1/schedules", {})):
        refused = someone.post(path, body)
        assert (refused.status, refused.code) == (403, "permission_refused")
    assert someone.post(CALL, set_pin(9)).status == 403
    assert someone.post(CALL, {"method": "gpio.get", "arguments": {"pin": 9}}).status == (
        403 if role == "read-only" else 200
    )
    assert someone.get("/v1/tokens").status == 403
    assert (level(host, 9), running(host)) == (0, [])


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (blink(99), "build_error"),
        (blink(26), "build_error"),
        ("void on_init(void) { oops }", "build_error"),
        ("void on_init(void) { *(volatile int *)0x7fffffff = 1; }", "trial_failed"),
    ],
)
def test_a_program_that_cannot_run_never_reaches_the_board(host: Host, owner: Door, source: str, code: str) -> None:
    refused = owner.post(APPS, {"name": "bad", "source": source})
    assert (refused.status, refused.last["type"], refused.last["error"]["code"]) == (200, "error", code)
    assert running(host) == []


def test_a_pin_that_a_program_drives_is_not_given_twice(host: Host, owner: Door) -> None:
    assert owner.post(APPS, {"name": "first", "source": blink(6)}).last["type"] == "result"
    second = owner.post(APPS, {"name": "second", "source": blink(6)})
    assert second.last["error"]["code"] == "pin_claimed"
    taken = owner.post(CALL, set_pin(6))
    assert (taken.status, taken.code) == (409, "pin_claimed")
    assert running(host) == ["first"]
    assert owner.ask("DELETE", f"{APPS}/first").last["type"] == "result"


def test_a_program_that_does_not_what_is_expected_is_not_installed(host: Host, owner: Door) -> None:
    refused = owner.post(APPS, {"name": "slow", "source": blink(7), "expect": "pin 7: period 1 s"})
    assert refused.last["error"]["code"] == "trial_failed"
    kept = owner.post(APPS, {"name": "right", "source": blink(7), "expect": "pin 7: period 200 ms"})
    assert (kept.last["type"], kept.last["result"]["verified"]) == ("result", True)
    assert running(host) == ["right"]
    assert owner.post("/v1/undo").last["type"] == "result"


def test_the_compile_service_of_the_seed(host: Host) -> None:
    """LLMos's own calls: GET says whether there is a compiler, POST takes `source`, `name`, `optimizationLevel`."""
    anybody = door(host)
    available = anybody.get("/api/compile-wasm").json
    assert available["available"]
    assert available["compiler"] in [
        f"{one['compiler']} {one['version']}" for one in available["compilers"] if one["available"]
    ]
    made = anybody.post("/api/compile-wasm", {"source": blink(2), "name": "blink", "optimizationLevel": "O3"})
    wasm = base64.b64decode(made.json["wasm"])
    assert (made.status, made.json["success"], wasm[:8]) == (200, True, b"\0asm\1\0\0\0")
    assert (made.json["size"], made.json["sha256"]) == (len(wasm), hashlib.sha256(wasm).hexdigest())
    assert made.json["pins"] == [2]
    again = anybody.post("/api/compile-wasm", {"source": blink(2), "name": "blink", "optimizationLevel": "O3"})
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
