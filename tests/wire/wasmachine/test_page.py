"""docs/protocols/wasmachine.md shows bytes: each example is what this code sends, and reads back to what it was."""

from __future__ import annotations

from tests.wire.conftest import read_page

from microclaw.wire.wasmachine import answers
from microclaw.wire.wasmachine.answers import AppletInfo, encode_applets, encode_error
from microclaw.wire.wasmachine.attributes import AttributeContainer, Generation
from microclaw.wire.wasmachine.frame import Frame, FrameDecoder, FrameType, encode_frame
from microclaw.wire.wasmachine.ioctl import DATA_SEQ_FRAME, DATA_SEQ_HEADER
from microclaw.wire.wasmachine.program_log import KeptLine, ProgramLog, log_request
from microclaw.wire.wasmachine.request import (
    FORMAT_RAW,
    Action,
    Request,
    Response,
    Status,
    app_request,
    install_request,
    query_request,
    uninstall_request,
)

WASM_HEAD = b"\0asm\x01\0\0\0"
ECHO = (AppletInfo("echo", 16384),)
EVENT_BODY = AttributeContainer.of("", {"text": "hello from the app", "n": 1}).encode(Generation.NEW)
LOG = ProgramLog(1200, 9500, 41, 43, (KeptLine(9100, "tick 41", False), KeptLine(9200, "tick 42", False)))
MESSAGES: dict[str, tuple[FrameType, Request | Response]] = {
    "query-all": (FrameType.REQUEST, query_request(0x1003)),
    "query-all-answer-new": (FrameType.RESPONSE, encode_applets(ECHO, 0x1003, Generation.NEW)),
    "query-all-answer-old": (FrameType.RESPONSE, encode_applets(ECHO, 0x1003, Generation.OLD)),
    "install": (
        FrameType.INSTALL,
        install_request(0x1002, "echo", WASM_HEAD, heap_bytes=16384, timers=4, watchdog_ms=60000),
    ),
    "installed": (FrameType.RESPONSE, Response(Status.CREATED, 0x1002)),
    "uninstall": (FrameType.REQUEST, uninstall_request(0x1010, "tiny2")),
    "uninstalled": (FrameType.RESPONSE, Response(Status.DELETED, 0x1010)),
    "error": (FrameType.RESPONSE, encode_error(answers.QUERY_NOT_FOUND, 0x1005, Generation.NEW)),
    "app-request": (FrameType.REQUEST, app_request(0x1006, "echo", "echo")),
    "log-request": (FrameType.REQUEST, log_request(0x1011, "echo", 41)),
    "log-answer": (FrameType.RESPONSE, Response(Status.CONTENT, 0x1011, LOG.encode(), FORMAT_RAW)),
    "register": (FrameType.REQUEST, Request(Action.PUT, "/event/log", 0x1009)),
    "event": (FrameType.REQUEST, Request(Action.EVENT, "log", 1, EVENT_BODY, sender=1)),
}


def test_every_example_of_the_page_is_what_is_sent_and_read_back() -> None:
    shown = {name: bytes.fromhex(text) for name, text in read_page("wasmachine.md", "frame").items()}
    assert set(shown) == {*MESSAGES, "data-seq"}
    for name, (frame_type, message) in MESSAGES.items():
        assert shown[name].hex(" ") == encode_frame(frame_type, message.encode()).hex(" ")
        decoder = FrameDecoder()
        decoder.receive(shown[name])
        frame = decoder.next_frame()
        assert frame == Frame(frame_type, message.encode())
        assert type(message).decode(frame.payload) == message
    flags = DATA_SEQ_FRAME.pack(1, 4, 0x400)  # of a GPIO, four bytes at that address
    assert DATA_SEQ_HEADER.pack(1, 1, 1) + flags == shown["data-seq"]
