"""The manager under anything that may arrive. The captured exchanges are in tests/virtual/test_process.py."""

from __future__ import annotations

import random
import threading

import pytest
from tests.virtual.conftest import CASES, Bench

from microclaw.virtual.firmware.app_manager import QUEUE_DEPTH, AppManager
from microclaw.virtual.firmware.receiver import url_number, url_tail, url_value
from microclaw.wire.wasmachine.frame import MessageType, encode_frame
from microclaw.wire.wasmachine.request import query_request


def test_queue_is_bounded(bench: Bench) -> None:
    manager = AppManager(bench.board, lambda _type, _payload: None)
    for mid in range(QUEUE_DEPTH + 10):
        manager.receive(encode_frame(MessageType.REQUEST, query_request(mid).encode()))
    assert len([one for one in bench.board.log().records if "queue is full" in one.text]) == 10


def test_random_and_mutated_streams_are_no_fault_of_ours(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    rng = random.Random(4)
    frames = [case.to_device for case in CASES if case.to_device is not None]
    for _ in range(100):
        manager = AppManager(bench.board, lambda _type, _payload: None)
        serving = threading.Thread(target=manager.serve, daemon=True)
        serving.start()
        for _ in range(20):
            data = bytearray(rng.choice(frames) if rng.random() < 0.7 else rng.randbytes(rng.randrange(60)))
            for _ in range(rng.randrange(4)):
                if data:
                    data[rng.randrange(len(data))] = rng.randrange(256)
            manager.receive(bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.3 else data))
        manager.close()
        serving.join()
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (url_tail("/applet?name=x", "/applet"), "name=x"),
        (url_tail("applet", "/applet"), ""),
        (url_tail("/applets", "/applet"), None),
        (url_tail("/app/x/y", "/app/"), "x/y"),
        (url_tail("/applet", "/app/"), None),
        (url_value("name=" + "n" * 200, "name", 126), "n" * 126),
        (url_value("xname=1&name=2", "name", 126), "2"),
        (url_number("heap=12kB", "heap", 5), 12),
        (url_number("heap=x", "heap", 5), 0),
        (url_number("", "heap", 5), 5),
    ],
)
def test_urls_are_read_as_the_firmware_does(found: object, expected: object) -> None:
    assert found == expected
