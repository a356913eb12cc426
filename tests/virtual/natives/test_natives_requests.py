"""Requests to apps and what apps send; the captured exchanges are in tests/virtual/test_process.py."""

from __future__ import annotations

from tests.virtual.natives.conftest import CBench

from microclaw.wire.wasmachine.frame import MessageType


def test_request_is_copied_into_the_heap_and_freed_after_and_lost_when_too_large(bench: CBench) -> None:
    app = bench.run(
        """static u8 *last; static int n; void on_init(void) {}
        void on_request(u8 *b, int size) { n++; printf("%d %d %d\\n", size, b[0], last == 0 || last == b); last = b;
        }"""
    )
    for size in (2000, 2000, 20_000, 2000):
        app.deliver("on_request", b"\1" + bytes(size))
    bench.clock.settle()
    lost = "warning: allocate 20001 bytes memory failed"
    assert bench.lines() == ["2001 1 1", "2001 1 1", lost, "2001 1 1"]
    assert app.env.heap.used_bytes == 0


def test_broken_payloads_are_not_sent(bench: CBench) -> None:
    sent: list[tuple[MessageType, bytes]] = []
    bench.runners.send = lambda frame_type, payload: sent.append((frame_type, payload))
    app = bench.run(
        """void wasm_register_resource(const char *); void wasm_sub_event(const char *);
        int wasm_response_send(const void *, int); void wasm_post_request(const void *, int);
        void on_init(void) { u8 b[16] = {9}; printf("%d", wasm_response_send(b, 16)); wasm_post_request(b, 16);
        wasm_register_resource("/a"); wasm_sub_event("alarm/x"); printf(" %d\\n", wasm_response_send(b, 3)); }"""
    )
    assert (bench.lines(), sent) == (["0 0"], [])
    assert (app.env.messages.resources, app.env.messages.subscriptions) == ({"/a"}, {"alarm/x"})


def test_queue_takes_fifty_messages(bench: CBench) -> None:
    app = bench.run("void on_init(void) { sleep(1); } void on_request(u8 *b, int size) {}")
    assert [app.deliver("on_request", b"x") for _ in range(52)] == [True] * 50 + [False] * 2
    bench.clock.advance(1000)
    assert app.deliver("on_request", b"x")
