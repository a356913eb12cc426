"""Requests to apps and what apps send, with the programs that were captured on live application managers."""

from __future__ import annotations

import json
from pathlib import Path

from tests.virtual.natives.conftest import Bench

from microclaw.wire.wasmachine.attributes import AttributeContainer
from microclaw.wire.wasmachine.request import Action, Request, Response, Status

VECTORS = Path(__file__).parents[2] / "vectors"


def captured_echo() -> bytes:
    """The wasm of echo.c as it was sent to a live manager."""
    cases = json.loads((VECTORS / "wasmachine.json").read_text())["cases"]
    frame = bytes.fromhex(next(c["to_device"] for c in cases if c["case"].startswith("install with heap")))
    return Request.decode(frame[8:]).body


def test_captured_echo_app_answers_requests_and_pushes_events(bench: Bench) -> None:
    responses: list[bytes] = []
    events: list[bytes] = []
    bench.runtime.on_response = lambda app, payload: responses.append(payload)
    bench.runtime.on_event = lambda app, payload: events.append(payload)
    app = bench.runtime.load("echo", captured_echo(), heap_bytes=16384, timers=4)
    app.start()
    bench.clock.advance(1500)
    assert app.resources == {"/echo"}
    assert app.request(Request(Action.GET, "/echo", 0x1006, sender=7).encode())
    bench.clock.settle()
    response = Response.decode(responses[0])
    assert (response.status, response.mid, response.receiver) == (Status.CONTENT, 0x1006, 7)
    answer = AttributeContainer.decode(response.body)
    assert [(a.key, a.value) for a in answer.values] == [("reply", "pong"), ("n", 2)]
    pushed = [Request.decode(payload) for payload in events]
    assert [(p.action, p.url, p.mid) for p in pushed] == [(Action.EVENT, "log", 1), (Action.EVENT, "log", 2)]
    assert bench.lines("echo")[0] == "echo ready"
    assert bench.lines("echo")[-1].startswith("on_request ")
    assert app.stop()


REQUESTS = """
void wasm_register_resource(const char *); void wasm_sub_event(const char *); int wasm_response_send(const void *, int);
void wasm_post_request(const void *, int);
"""


def test_request_is_copied_into_the_heap_and_freed_after(bench: Bench) -> None:
    app = bench.run(
        """static u8 *last; static int n; void on_init(void) {}
        void on_request(u8 *b, int size) { n++; printf("%d %d %d\\n", size, b[0], last == 0 || last == b); last = b;
        }"""
    )
    for _ in range(3):
        app.request(b"\1" + bytes(2000))
    bench.clock.settle()
    assert bench.lines() == ["2001 1 1"] * 3
    assert app.process.heap.used_bytes == 0


def test_request_too_large_for_the_heap_is_lost(bench: Bench) -> None:
    app = bench.run(
        'void on_init(void) {} void on_request(u8 *b, int size) { printf("%d\\n", size); }', heap_bytes=1024
    )
    app.request(bytes(2000))
    app.request(bytes(100))
    bench.clock.settle()
    assert bench.lines() == ["warning: allocate 2000 bytes memory failed", "100"]


def test_broken_payloads_are_not_sent(bench: Bench) -> None:
    sent: list[bytes] = []
    bench.runtime.on_response = bench.runtime.on_event = lambda app, payload: sent.append(payload)
    app = bench.run(
        REQUESTS
        + """void on_init(void) { u8 b[16] = {9}; printf("%d", wasm_response_send(b, 16)); wasm_post_request(b, 16);
        wasm_register_resource("/a"); wasm_sub_event("alarm/x"); printf(" %d\\n", wasm_response_send(b, 3)); }"""
    )
    assert bench.lines() == ["0 0"]
    assert sent == []
    assert (app.resources, app.subscriptions) == ({"/a"}, {"alarm/x"})


def test_queue_takes_fifty_messages(bench: Bench) -> None:
    app = bench.run("void on_init(void) { sleep(1); } void on_request(u8 *b, int size) {}")
    assert [app.request(b"x") for _ in range(52)] == [True] * 50 + [False] * 2
    bench.clock.advance(1000)
    assert app.request(b"x")
