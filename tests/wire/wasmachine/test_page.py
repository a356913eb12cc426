"""docs/protocols/wasmachine.md shows bytes: each example is what this code sends, and reads back to what it was."""

from __future__ import annotations

from tests.wire.conftest import read_page

from microclaw.wire.wasmachine import answers
from microclaw.wire.wasmachine.answers import AppletInfo, encode_applets, encode_error
from microclaw.wire.wasmachine.attributes import AttributeContainer, Generation
from microclaw.wire.wasmachine.frame import Frame, FrameDecoder, MessageType, encode_frame
from microclaw.wire.wasmachine.ioctl import DATA_SEQ_FRAME, DATA_SEQ_HEADER
from microclaw.wire.wasmachine.program_log import KeptLine, ProgramLog, log_request
from microclaw.wire.wasmachine.request import (
    FORMAT_RAW,
    CoapCode,
    RequestAction,
    Response,
    WasmachineRequest,
    app_request,
    install_request,
    page_request,
    query_request,
    uninstall_request,
)

WASM_HEAD = b"\0asm\x01\0\0\0"
ECHO = (AppletInfo("echo", 16384),)
EVENT_BODY = AttributeContainer.of("", {"text": "hello from the app", "n": 1}).encode(Generation.NEW)
LOG = ProgramLog(1200, 9500, 41, 43, (KeptLine(9100, "tick 41", False), KeptLine(9200, "tick 42", False)))
MESSAGES: dict[str, tuple[MessageType, WasmachineRequest | Response]] = {
    "query-all": (MessageType.REQUEST, query_request(0x1003)),
    "query-all-answer-new": (MessageType.RESPONSE, encode_applets(ECHO, 0x1003, Generation.NEW)),
    "query-all-answer-old": (MessageType.RESPONSE, encode_applets(ECHO, 0x1003, Generation.OLD)),
    "install": (
        MessageType.INSTALL,
        install_request(0x1002, "echo", WASM_HEAD, heap_bytes=16384, timers=4, watchdog_ms=60000),
    ),
    "installed": (MessageType.RESPONSE, Response(CoapCode.CREATED, 0x1002)),
    "uninstall": (MessageType.REQUEST, uninstall_request(0x1010, "tiny2")),
    "uninstalled": (MessageType.RESPONSE, Response(CoapCode.DELETED, 0x1010)),
    "error": (MessageType.RESPONSE, encode_error(answers.QUERY_NOT_FOUND, 0x1005, Generation.NEW)),
    "app-request": (MessageType.REQUEST, app_request(0x1006, "echo", "echo")),
    "page-request": (MessageType.REQUEST, page_request(0x1012, "echo", b"GET / HTTP/1.1\r\n\r\n")),
    "page-answer": (MessageType.RESPONSE, Response(69, 0x1012, b"HTTP/1.1 200 OK\r\n\r\non", FORMAT_RAW)),
    "log-request": (MessageType.REQUEST, log_request(0x1011, "echo", 41)),
    "log-answer": (MessageType.RESPONSE, Response(CoapCode.CONTENT, 0x1011, LOG.encode(), FORMAT_RAW)),
    "register": (MessageType.REQUEST, WasmachineRequest(RequestAction.PUT, "/event/log", 0x1009)),
    "event": (MessageType.REQUEST, WasmachineRequest(RequestAction.EVENT, "log", 1, EVENT_BODY, sender=1)),
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
