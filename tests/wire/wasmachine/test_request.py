from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.conftest import CAPTURED

from microclaw.errors import DeployRejected, ProtocolError
from microclaw.wire.wasmachine.frame import HEADER, MessageType, encode_frame
from microclaw.wire.wasmachine.request import (
    FORMAT_RAW,
    CoapCode,
    RequestAction,
    Response,
    WasmachineRequest,
    app_request,
    check_app_name,
    install_request,
    query_request,
    uninstall_request,
)

URLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


def built(case: str, mid: int, wasm: bytes) -> WasmachineRequest | None:
    """The request that the host would send for a captured case."""
    match case:
        case "install with heap, timers, watchdog":
            return install_request(mid, "echo", wasm, heap_bytes=16384, timers=4, watchdog_ms=60000)
        case "query one":
            return query_request(mid, "echo")
        case "query one: unknown app":
            return query_request(mid, "nosuch")
        case "request to an app":
            return app_request(mid, "echo", "/echo")
        case "uninstall" | "uninstall: unknown app":
            return uninstall_request(mid, "tiny1")
        case _ if case.startswith("query all"):
            return query_request(mid)
    return None


def test_captured_payloads_are_read_and_encoded_again_and_are_what_the_builders_make() -> None:
    checked = set()
    for captured in CAPTURED:
        kind = Response if int.from_bytes(captured.raw[2:4], "big") == MessageType.RESPONSE else WasmachineRequest
        payload = captured.raw[HEADER.size :]
        message = kind.decode(payload)
        assert message.encode() == payload, captured
        if captured.direction == ">" and isinstance(message, WasmachineRequest):
            expected = built(captured.case, message.mid, message.body)
            if expected is not None:
                frame_type = MessageType.INSTALL if message.format == FORMAT_RAW else MessageType.REQUEST
                assert encode_frame(frame_type, expected.encode()) == captured.raw
                checked.add(captured.case)
    assert len(checked) >= 10


@given(
    st.sampled_from(RequestAction), URLS, st.integers(0, 2**32 - 1), st.binary(max_size=50), st.integers(0, 0xFFFF),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_request_and_response_survive_the_wire(
    action: RequestAction, url: str, mid: int, body: bytes, form: int, who: int
) -> None:
    request = WasmachineRequest(action, url, mid, body, form, who)
    response = Response(mid % 256, mid, body, form, who - 2**31)
    assert WasmachineRequest.decode(request.encode()) == request
    assert Response.decode(response.encode()) == response


GOOD_REQUEST = query_request(1, "blink").encode()
GOOD_RESPONSE = Response(CoapCode.CONTENT, 1, b"body").encode()


BAD_REQUESTS = (b"\x02" + GOOD_REQUEST[1:], GOOD_REQUEST[:1] + b"\x05" + GOOD_REQUEST[2:])
BAD: tuple[tuple[type[WasmachineRequest | Response], bytes, tuple[bytes, ...]], ...] = (
    (WasmachineRequest, GOOD_REQUEST, BAD_REQUESTS),
    (Response, GOOD_RESPONSE, (b"\x00" + GOOD_RESPONSE[1:],)),
)


def test_what_is_cut_too_long_of_another_version_action_or_url_is_refused() -> None:
    for kind, good, bad in BAD:
        for data in (*bad, good + b"?", *(good[:size] for size in range(len(good)))):
            with pytest.raises(ProtocolError):
                kind.decode(data)
    for url in (b"/applet", b"/app\0let\0", b"/\xff\0"):
        head = bytes.fromhex("01 01 0063 00000001 00000000") + len(url).to_bytes(2, "big") + bytes(4)
        with pytest.raises(ProtocolError):
            WasmachineRequest.decode(head + url)


def test_a_url_or_name_that_would_break_the_message_or_the_device_is_not_sent() -> None:
    for url in ("/a\0b", "/" + "x" * 0xFFFF):
        with pytest.raises(ValueError, match="cannot be sent"):
            WasmachineRequest(RequestAction.GET, url, 1).encode()
    for name in ("", "a/b", "..", ".", "a b", "a&type=aot", "ä", "a\n", "x" * 127):
        with pytest.raises(DeployRejected) as refused:
            check_app_name(name)
        assert refused.value.next_step is not None
