"""Routes that are open on loopback: little, and not to web pages."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection
from typing import Any

import pytest


def ask(
    api: tuple[str, int], method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], Any]:
    connection = HTTPConnection(*api, timeout=20)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        content = response.read()
        shown = {key.lower(): value for key, value in response.getheaders()}
        is_json = shown.get("content-type", "").startswith("application/json")
        return response.status, shown, json.loads(content) if is_json else content
    finally:
        connection.close()


def test_health_needs_nothing(api: tuple[str, int]) -> None:
    status, headers, body = ask(api, "GET", "/healthz")
    assert (status, body["ok"]) == (200, True)
    assert "server" not in headers


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "u@127.0.0.1", "a/b"),
        *("localhost#.evil.example", "localhost?.evil.example", "localhost/evil.example", "localhost\\.evil.example"),
        *("localhost:80#x", "localhost:99999", "localhost:80:80", "[::1", "[::1%25eth0]", "localhost,evil.example"),
    ],
)
def test_foreign_host_is_refused(api: tuple[str, int], host: str) -> None:
    status, _, body = ask(api, "GET", "/healthz", headers={"Host": host})
    assert status == 403
    assert body["error"]["code"] == "forbidden"


@pytest.mark.parametrize(
    "origin",
    [
        *("https://evil.example", "null", "http://127.0.0.1.evil.example", "file://"),
        *("http://localhost", "http://localhost:3000", "http://127.0.0.1:{port}", "https://localhost:{port}"),
        *("http://localhost:{port}#.evil.example", "http://localhost:{port}?@evil.example", "http://localhost:{port}/"),
        *("http://evil.example@localhost:{port}", "localhost:{port}", "", "http://localhost:{port}\\.evil.example"),
    ],
)
def test_foreign_origin_is_refused_even_on_loopback(api: tuple[str, int], origin: str) -> None:
    headers = {"Host": f"localhost:{api[1]}", "Origin": origin.format(port=api[1])}
    status, _, body = ask(api, "POST", "/api/compile-wasm", b"{}", headers)
    assert status == 403
    assert body["error"]["code"] == "forbidden"


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
def test_own_names_are_let_in(api: tuple[str, int], name: str) -> None:
    headers = {"Host": f"{name}:{api[1]}", "Origin": f"http://{name}:{api[1]}"}
    assert ask(api, "GET", "/healthz", headers=headers)[0] == 200


def test_a_program_of_several_files_with_the_compiler_of_ones_choice(api: tuple[str, int]) -> None:
    main = '#include "pins.h"\nvoid led_on(void);\nvoid on_init(void) { led_on(); }\n'
    files = {
        "pins.h": "#define LED 4\n",
        "led.c": '#include <microclaw.h>\n#include "pins.h"\nvoid led_on(void) { gpio_open(LED, GPIO_OUT); }\n',
    }
    asked = {"source": f"#include <microclaw.h>\n{main}", "name": "lamp.c", "files": files, "compiler": "clang"}
    headers = {"Content-Type": "application/json"}
    status, _, made = ask(api, "POST", "/api/compile-wasm", json.dumps(asked).encode(), headers)
    assert status == 200, made
    assert (made["compiler"].split()[0], made["pins"]) == ("clang", [4])
    assert {"-O3", "-mcpu=mvp", "-std=gnu17"} <= set(made["flags"])
    assert not [flag for flag in made["flags"] if flag.startswith("/")]
    asked["files"] = {**files, "led.c": "void led_on(void) { oh no }\n"}
    status, _, answer = ask(api, "POST", "/api/compile-wasm", json.dumps(asked).encode(), headers)
    assert (status, answer["error"]["diagnostics"][0]["file"]) == (422, "led.c")
    for files in ({"../a.h": ""}, {"a.h": "#include <../../etc/passwd>"}, {"a.h": '#include "/etc/passwd"'}):
        asked["files"], asked["source"] = files, '#include "a.h"\nvoid on_init(void) {}'
        status, _, answer = ask(api, "POST", "/api/compile-wasm", json.dumps(asked).encode(), headers)
        assert (status, answer["error"]["code"]) == (422, "build_error")
        assert "root:" not in json.dumps(answer)


def test_claimed_length_over_the_limit_is_refused_before_the_body_comes(api: tuple[str, int]) -> None:
    with socket.create_connection(api, timeout=10) as raw:
        raw.sendall(b"POST /api/compile-wasm HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2147483648\r\n\r\n")
        assert raw.recv(65536).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "garbage", [b"\x00" * 4096, b"GET / HTTP/9.9\r\n\r\n", b"\x12\x34\x00\x02\xff\xff\xff\xff", b"\r\n\r\n"]
)
def test_garbage_does_not_bring_the_host_down(api: tuple[str, int], garbage: bytes) -> None:
    with socket.create_connection(api, timeout=10) as raw:
        raw.sendall(garbage)
        raw.shutdown(socket.SHUT_WR)
        while raw.recv(65536):
            pass
    assert ask(api, "GET", "/healthz")[0] == 200


def test_a_request_with_two_ends_is_refused_and_what_follows_is_not_read(api: tuple[str, int]) -> None:
    with socket.create_connection(api, timeout=10) as raw:
        raw.sendall(
            b"POST /api/compile-wasm HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        answer = b""
        while piece := raw.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_wrong_token_is_refused_before_its_body_comes(api: tuple[str, int]) -> None:
    with socket.create_connection(api, timeout=10) as raw:
        raw.sendall(
            b"POST /v1/chat HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer mc_no\r\n"
            b"Content-Length: 8000000\r\n\r\n"
        )
        assert raw.recv(65536).startswith(b"HTTP/1.1 401 ")
