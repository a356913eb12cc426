"""The ends of the canned network's connections that go wrong: refused ones, and requests that are too large."""

from __future__ import annotations

import pytest

from microclaw.virtual.clock import Clock, Task
from microclaw.virtual.network.canned import CannedNetwork
from microclaw.virtual.network.canned_stream import CannedStream
from microclaw.virtual.network.http_peers import MAX_BODY_BYTES
from microclaw.virtual.runtime.program_time import ProgramTime
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wire.canned_lines import HttpAnswer


def test_a_refused_connection_leaves_no_socket_open() -> None:
    clock = Clock()
    network = CannedNetwork(clock)
    network.add([HttpAnswer("GET", "off.example", "/", kind="refused")])
    time = ProgramTime(clock, Task("app"))
    for _ in range(40):
        with pytest.raises(OSError, match="refused"):
            CannedStream(network, time, "off.example", 80, 100)


def test_a_body_that_is_too_large_is_refused_once() -> None:
    clock = VirtualClock()
    network = CannedNetwork(clock)
    network.add([HttpAnswer("POST", "api.example", "/")])
    handle = network.connect(network.look_up("api.example"), 80)
    size = MAX_BODY_BYTES + 1
    head = f"POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: {size}\r\n\r\n"
    network.send(handle, head.encode() + b"x" * size)
    clock.advance(1000)
    answer = network.receive(handle, 1000)
    assert answer is not None
    assert answer.startswith(b"HTTP/1.1 413")
