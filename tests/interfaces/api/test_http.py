"""The rights of any HTTP client (RFC 9110, 9112), what is open on loopback, the control socket, bodies."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.interfaces.api.conftest import Answer, answer_of
from tests.stories.conftest import until

from microclaw import errors
from microclaw.host.operations.client import Client
from microclaw.interfaces.api.access import access_of, every_route
from microclaw.interfaces.api.failures import DRAIN_BYTES, STATUS_BY_CODE, AnswersInForm
from microclaw.interfaces.api.request_check import with_body
from microclaw.interfaces.cli.targets import known_devices
from microclaw.programs.changes import device_operations as devices
from microclaw.wire.host_api import StreamEvent, StreamResult

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
Address = tuple[str, int]
OPENAI = "/v1/chat/completions"
IS_JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def tokens(host_facts: dict[str, Any]) -> dict[str, str]:
    """Of the owner, by scope."""
    client = Client(Path(host_facts["control"]))
    return {scope: client.post("/v1/tokens", {"name": scope, "scope": scope})["secret"] for scope in ("all", "read")}


def ask(api: Address, method: str, path: str, headers: Mapping[str, str] | None = None, body: Any = None) -> Answer:
    return answer_of(HTTPConnection(*api, timeout=60), method, path, body, headers)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


# Who is answered without a token


def test_a_foreign_host_is_refused_and_own_names_are_let_in(api: Address) -> None:
    for name in ("localhost", "127.0.0.1", "[::1]"):
        found = ask(api, "GET", "/healthz", {"Host": f"{name}:{api[1]}", "Origin": f"http://{name}:{api[1]}"})
        assert (found.status, found.json["ok"], found.headers["server"]) == (200, True, None)
    for host in (
        *("evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "u@127.0.0.1", "a/b"),
        *("localhost#.evil.example", "localhost?.evil.example", "localhost/evil.example", "localhost\\.evil.example"),
        *("localhost:80#x", "localhost:99999", "localhost:80:80", "[::1", "[::1%25eth0]", "localhost,evil.example"),
    ):
        found = ask(api, "GET", "/healthz", {"Host": host})
        assert (found.status, found.json["error"]["code"]) == (403, "forbidden"), host


def test_foreign_origin_is_refused_even_on_loopback(api: Address) -> None:
    for origin in (
        *("https://evil.example", "null", "http://127.0.0.1.evil.example", "file://"),
        *("http://localhost", "http://localhost:3000", "http://127.0.0.1:{port}", "https://localhost:{port}"),
        *("http://localhost:{port}#.evil.example", "http://localhost:{port}?@evil.example", "http://localhost:{port}/"),
        *("http://evil.example@localhost:{port}", "localhost:{port}", "", "http://localhost:{port}\\.evil.example"),
    ):
        headers = {"Host": f"localhost:{api[1]}", "Origin": origin.format(port=api[1])}
        for path in ("/api/compile-wasm", "/mcp"):
            found = ask(api, "POST", path, headers, b"{}")
            assert (found.status, found.json["error"]["code"]) == (403, "forbidden"), origin


def test_a_page_that_a_proxy_serves_by_https_is_told_which_setting_is_missing(api: Address) -> None:
    headers = {"Host": f"localhost:{api[1]}", "Origin": f"https://localhost:{api[1]}"}
    refused = ask(api, "POST", "/mcp", headers, b"{}").json["error"]
    assert "host.http_tls own" in refused["next"]


def test_a_program_of_several_files_with_the_compiler_of_ones_choice(api: Address) -> None:
    main = '#include "pins.h"\nvoid led_on(void);\nvoid on_init(void) { led_on(); }\n'
    files = {
        "pins.h": "#define LED 4\n",
        "led.c": '#include <microclaw.h>\n#include "pins.h"\nvoid led_on(void) { gpio_open(LED, GPIO_OUT); }\n',
    }
    asked = {"source": f"#include <microclaw.h>\n{main}", "name": "lamp.c", "files": files, "compiler": "clang"}

    def compiled(**changes: Any) -> Answer:
        return ask(api, "POST", "/api/compile-wasm", body={**asked, **changes})

    made = compiled()
    assert (made.status, made.json["compiler"].split()[0], made.json["pins"]) == (200, "clang", [4])
    assert {"-O3", "-mcpu=mvp", "-std=gnu17"} <= set(made.json["flags"])
    assert not [flag for flag in made.json["flags"] if flag.startswith("/")]
    wrong = compiled(files={**files, "led.c": "void led_on(void) { oh no }\n"})
    assert (wrong.status, wrong.json["error"]["diagnostics"][0]["file"]) == (422, "led.c")
    for files in ({"../a.h": ""}, {"a.h": "#include <../../etc/passwd>"}, {"a.h": '#include "/etc/passwd"'}):
        refused = compiled(files=files, source='#include "a.h"\nvoid on_init(void) {}')
        assert (refused.status, refused.json["error"]["code"]) == (422, "build_error")
        assert b"root:" not in refused.body


def raw(api: Address, sent: bytes, *, all_of_it: bool = False) -> bytes:
    """The beginning of the answer, or all of it."""
    with socket.create_connection(api, timeout=60) as connection:
        connection.sendall(sent)
        if all_of_it:
            connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536)
        while all_of_it and (piece := connection.recv(65536)):
            answer += piece
        return answer


def test_what_a_head_says_is_refused_before_its_body_comes_and_garbage_brings_nothing_down(api: Address) -> None:
    head = b"POST /%s HTTP/1.1\r\nHost: localhost\r\n"
    too_long = head % b"api/compile-wasm" + b"Content-Length: 2147483648\r\n\r\n"
    wrong_token = head % b"v1/chat" + b"Authorization: Bearer mc_no\r\nContent-Length: 8000000\r\n\r\n"
    assert raw(api, too_long).startswith(b"HTTP/1.1 413 ")
    assert raw(api, wrong_token).startswith(b"HTTP/1.1 401 ")
    two_ends = head % b"api/compile-wasm" + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    answer = raw(api, two_ends + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", all_of_it=True)
    assert (answer[:13], answer.count(b"HTTP/1.1 ")) == (b"HTTP/1.1 400 ", 1)  # what follows is not read
    for garbage in (b"\x00" * 4096, b"GET / HTTP/9.9\r\n\r\n", b"\x12\x34\x00\x02\xff\xff\xff\xff", b"\r\n\r\n"):
        raw(api, garbage, all_of_it=True)
        assert ask(api, "GET", "/healthz").status == 200


# Methods, kinds of bodies, errors


def test_405_names_every_method_of_the_path(api: Address, tokens: dict[str, str]) -> None:
    known = [route.split(" ") for _, route in every_route()]
    for path in ("/v1/tasks", "/v1/tasks/1", "/v1/schedules", "/v1/memory", "/v1/devices/virtual-1", OPENAI, "/"):
        there = {method for method in METHODS if access_of(method, path) is not None}
        assert there <= {method for method, _ in known}
        for method in {*METHODS, "OPTIONS"} - there:
            found = ask(api, method, path, bearer(tokens["all"]))
            assert (found.status, "error" in found.json) == (405, True)
            assert set(found.headers["allow"].split(", ")) == there | ({"HEAD"} if "GET" in there else set())


@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/signin/password", OPENAI, "/api/compile-wasm"])
def test_a_body_that_does_not_say_that_it_is_json_is_415(api: Address, tokens: dict[str, str], path: str) -> None:
    token = bearer(tokens["all"])
    for kind in ("", "text/plain", "application/x-www-form-urlencoded", "text/json"):
        shown = {**token, **({"Content-Type": kind} if kind else {})}
        assert ask(api, "POST", path, shown, b'{"code":"1"}').status == 415
    taken = {"Content-Type": "application/problem+json; charset=utf-8"}
    assert ask(api, "POST", path, {**token, **taken}, b"{}").status != 415
    assert ask(api, "PATCH", path, token, b"{}").status == 405  # first of all: another body would not help


def test_openai_paths_fail_in_openai_form(api: Address, tokens: dict[str, str]) -> None:
    asked: list[tuple[str, str, str, bytes | None, dict[str, str], int, str, str]] = [
        ("", "GET", "/v1/models", None, {}, 401, "authentication_error", "invalid_api_key"),
        ("read", "GET", "/v1/models", None, {}, 403, "permission_error", "permission_refused"),
        ("all", "PUT", "/v1/models", None, {}, 405, "invalid_request_error", "method_not_allowed"),
        ("all", "POST", OPENAI, b"{}", {}, 415, "invalid_request_error", "unsupported_media_type"),
        ("all", "POST", OPENAI, b"x" * (9 << 20), IS_JSON, 413, "invalid_request_error", "too_large"),
    ]
    for who, method, path, body, headers, status, kind, code in asked:
        found = ask(api, method, path, {**(bearer(tokens[who]) if who else {}), **headers}, body)
        error = found.json["error"]
        assert (found.status, error.get("type"), error["code"]) == (status, kind, code)
    assert ask(api, "GET", "/v1/models?api-version=2024-10-21", bearer(tokens["all"])).status == 200  # Azure's clients
    assert ask(api, "GET", "/v1/me?x", bearer(tokens["all"])).status == 422


def below(root: type[errors.MicroclawError]) -> Iterator[type[errors.MicroclawError]]:
    yield root
    for one in root.__subclasses__():
        yield from below(one)


def test_every_error_of_the_tree_has_its_status() -> None:
    codes = {error.code for error in below(errors.MicroclawError) if error.__module__ == errors.__name__}
    assert codes - {"no_host"} <= set(STATUS_BY_CODE)  # that is the command line's own


# The guard in front of an app: slow bodies and hang-ups


async def echo(_scope: Scope, receive: Receive, send: Send) -> None:
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


def pieces(size: int, count: int, *, ends: bool = True) -> list[Message]:
    return [
        {"type": "http.request", "body": b"x" * size, "more_body": number < count - 1 or not ends}
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("messages", "limit", "time_s", "status", "left"),
    [
        (pieces(3, 2), 10, 5.0, 200, 0),
        (pieces(3, 1, ends=False), 10, 0.02, 408, 0),  # the rest does not come
        ([{"type": "http.disconnect"}], 10, 5.0, 400, 0),
        (pieces(3, 2), 4, 5.0, 413, 0),
        (pieces(65_536, 20), 4, 5.0, 413, 0),  # what is still sent is read before the connection ends
        (pieces(65_536, 2 * DRAIN_BYTES // 65_536), 4, 5.0, 413, int(0.9 * DRAIN_BYTES / 65_536)),  # and not for ever
    ],
)
async def test_a_body_comes_whole_and_in_time_or_not_at_all(
    messages: list[Message], limit: int, time_s: float, status: int, left: int
) -> None:
    waiting = list(messages)
    sent = []

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "headers": []}
    async with asyncio.timeout(60):
        await AnswersInForm(with_body(echo, limit, time_s))(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    assert (sent[0]["status"], len(waiting) >= left, bool(waiting)) == (status, True, left > 0)
    codes = {408: "timeout", 413: "too_large"}
    assert body == b"xxxxxx" if status == 200 else status == 400 or json.loads(body)["error"]["code"] == codes[status]


# The control socket


def last(events: Iterator[StreamEvent]) -> StreamEvent:
    return list(events)[-1]


BLINK = '#include "microclaw.h"\nvoid on_init(void) { gpio_set(gpio_open(15, GPIO_OUT), 1); }\n'
APPS = "/v1/devices/virtual-1/apps"


def test_socket_home_and_log_are_the_owners_alone(host_facts: dict[str, Any]) -> None:
    home = Path(host_facts["home"])
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (home, home / "microclaw.log", Path(host_facts["control"]))]
    assert modes == [0o700, 0o600, 0o600]


def test_devices_are_told_in_pages(client: Client) -> None:
    added = ("page-a", "page-b", "page-c")
    for name in added:
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
    for name in added:
        client.call(devices.remove, device=name)


def test_wasm_can_be_installed_as_it_is(client: Client) -> None:
    made = client.post("/api/compile-wasm", {"source": BLINK, "name": "bytes"})
    end = last(client.stream(APPS, {"name": "bytes", "wasm": made["wasm"]}))
    assert isinstance(end, StreamResult), end
    assert end.value["sha256"] == made["sha256"]
    assert isinstance(last(client.stream(f"{APPS}/bytes", method="DELETE")), StreamResult)


@pytest.mark.parametrize(("awaits", "installed"), [(b"HTTP/1.1 200", False), (b'"stage":"deploy"', True)])
def test_client_that_leaves_leaves_nothing_half_done(
    client: Client, host_facts: dict[str, Any], awaits: bytes, installed: bool
) -> None:
    """Before the installation began nothing is installed; afterwards it is completed."""

    def states(name: str) -> list[str]:
        """The ends of the changes that deploy it."""
        summary = f"deploy {name} on virtual-1"
        found = [one["state"] for one in client.get("/v1/changes")["changes"] if one["summary"] == summary]
        return [state for state in found if state != "planned"]

    name = f"left{installed:d}"
    body = json.dumps({"name": name, "source": f"{BLINK}// {name}"}).encode()
    head = f"POST {APPS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as raw_client:
        raw_client.settimeout(60)
        raw_client.connect(host_facts["control"])
        raw_client.sendall(head.encode() + body)
        received = b""
        while awaits not in received:
            received += (part := raw_client.recv(4096))
            assert part, received
    if installed:
        assert until(lambda: states(name)) == ["done"]
    else:  # the other one, had it gone on, would have been there first
        assert isinstance(last(client.stream(APPS, {"name": "after", "source": BLINK})), StreamResult)
        assert states(name) == []
    assert isinstance(last(client.stream(f"{APPS}/{name if installed else 'after'}", method="DELETE")), StreamResult)
