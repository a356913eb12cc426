"""The manager with apps that only remember. The captured exchanges are in tests/virtual/test_process.py."""

from __future__ import annotations

import random
from typing import cast

import pytest
from msgspec.structs import replace
from tests.virtual.conftest import Case

from microclaw.boards.reader import load_board
from microclaw.errors import InvalidModule
from microclaw.virtual.board import Board
from microclaw.virtual.firmware.app_manager import QUEUE_DEPTH, AppManager
from microclaw.virtual.firmware.receiver import url_number, url_tail, url_value
from microclaw.virtual.runtime.app import App
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wire.wasmachine.frame import FrameType, encode_frame
from microclaw.wire.wasmachine.request import (
    MIN_HEAP_BYTES,
    Action,
    Request,
    Response,
    install_request,
    query_request,
)

MODULE = b"\0asm\x01\0\0\0" + b"\x01\x04\x01\x60\0\0"


class RecordedApp:
    """An app that takes every request."""

    def __init__(self, name: str, heap_bytes: int) -> None:
        self.name = name
        self.heap_bytes = heap_bytes
        self.resources: set[str] = {"/echo"} if name == "echo" else set()
        self.subscriptions: set[str] = set()
        self.requests: list[bytes] = []
        self.responses: list[bytes] = []

    def start(self) -> None:
        pass

    def request(self, payload: bytes) -> bool:
        self.requests.append(payload)
        return True

    def response(self, payload: bytes) -> bool:
        self.responses.append(payload)
        return True

    def stop(self, timeout_s: float = 2.0) -> bool:
        return True


class Desk(AppManager):
    """A manager, what it sent and what it printed; its apps only remember."""

    def __init__(self) -> None:
        self.loaded: dict[str, RecordedApp] = {}
        self.sent: list[tuple[FrameType, bytes]] = []
        profile = load_board("virtual")
        board = Board(replace(profile, firmware=replace(profile.firmware, max_apps=3)), VirtualClock())
        super().__init__(board, lambda frame_type, payload: self.sent.append((frame_type, payload)))

    def load(self, name: str, wasm: bytes, *, heap_bytes: int = 0, timers: int = 0) -> App:
        if b"bad" in wasm:
            raise InvalidModule("Install WASM app failed: load WASM file failed.")
        self.loaded[name] = RecordedApp(name, max(heap_bytes, MIN_HEAP_BYTES))
        return cast("App", self.loaded[name])

    def answers(self, data: bytes) -> list[bytes]:
        """The frames that come back."""
        self.sent.clear()
        self.receive(data)
        self.work_off()
        return [encode_frame(frame_type, payload) for frame_type, payload in self.sent]

    def app_asks(self, name: str, payload: bytes) -> None:
        self.app_requests(cast("App", self.loaded[name]), payload)

    def work_off(self) -> None:
        """Do as `serve` does with what is queued now."""
        while not self._queue.empty():
            if (request := self._queue.get()) is not None:
                self._handle(request)

    def ask(self, request: Request, frame_type: FrameType = FrameType.REQUEST) -> Response:
        self.answers(encode_frame(frame_type, request.encode()))
        ((sent_type, payload),) = self.sent
        assert sent_type is FrameType.RESPONSE
        return Response.decode(payload)

    def install_over_port(self, name: str, mid: int = 1) -> Response:
        return self.ask(install_request(mid, name, MODULE), FrameType.INSTALL)


def test_url_that_nobody_registered_gets_no_answer() -> None:
    desk = Desk()
    desk.install_over_port("tiny")
    assert desk.answers(encode_frame(FrameType.REQUEST, Request(Action.GET, "/nosuch", 5).encode())) == []
    assert desk.answers(encode_frame(FrameType.REQUEST, Request(Action.GET, "/app/tiny", 5).encode())) == []


def test_event_goes_to_the_host_only_while_it_is_registered() -> None:
    desk = Desk()
    desk.install_over_port("echo")
    event = Request(Action.EVENT, "log", 9, b"x").encode()
    desk.sent.clear()
    desk.app_asks("echo", event)
    assert desk.sent == []
    assert desk.ask(Request(Action.PUT, "/event/log", 2)).status == 69
    desk.sent.clear()
    desk.app_asks("echo", event)
    ((frame_type, payload),) = desk.sent
    assert frame_type is FrameType.REQUEST
    assert Request.decode(payload) == Request(Action.EVENT, "log", 9, b"x", sender=1)
    desk.ask(Request(Action.DELETE, "/event/log", 3))
    desk.sent.clear()
    desk.app_asks("echo", event)
    assert desk.sent == []


def test_response_for_another_app_stays_on_the_board() -> None:
    desk = Desk()
    desk.install_over_port("a")
    desk.sent.clear()
    desk.app_responds(Response(69, 4, receiver=1).encode())
    assert desk.sent == []
    assert len(desk.loaded["a"].responses) == 1
    desk.app_responds(Response(69, 4, receiver=-3).encode())
    assert len(desk.sent) == 1


def test_malformed_packets_of_apps_are_ignored() -> None:
    desk = Desk()
    desk.install_over_port("a")
    desk.sent.clear()
    for payload in (b"", b"\x01", b"\x02" + bytes(30), Response(69, 4).encode() + b"x"):
        desk.app_responds(payload)
        desk.app_asks("a", payload)
    assert desk.sent == []


def test_queue_is_bounded() -> None:
    desk = Desk()
    for mid in range(QUEUE_DEPTH + 10):
        desk.receive(encode_frame(FrameType.REQUEST, query_request(mid).encode()))
    desk.work_off()
    assert len(desk.sent) == QUEUE_DEPTH
    assert len([one for one in desk.board.log().records if "queue is full" in one.text]) == 10


def test_random_and_mutated_streams_never_raise(cases: tuple[Case, ...]) -> None:
    rng = random.Random(4)
    frames = [case.to_device for case in cases if case.to_device is not None]
    desk = Desk()
    for _ in range(3_000):
        data = bytearray(rng.choice(frames) if rng.random() < 0.7 else rng.randbytes(rng.randrange(60)))
        for _ in range(rng.randrange(4)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.1:
            desk = Desk()
        desk.answers(bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.3 else data))


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
