"""xiaozhi's messages: literal vectors of its three framings, and what is refused."""

from __future__ import annotations

import pytest

from microclaw.errors import ProtocolError
from microclaw.wire import xiaozhi
from microclaw.wire.xiaozhi import Abort, Listen, Mcp, XiaozhiHello

PACKET = bytes.fromhex("58abcd")
FRAMES = {1: "58abcd", 2: "0002000000000000000000000000000358abcd", 3: "0000000358abcd"}


def test_a_packet_is_carried_as_the_version_says_and_a_frame_cut_anywhere_is_refused() -> None:
    for version, text in FRAMES.items():
        whole = bytes.fromhex(text)
        assert xiaozhi.write_binary(PACKET, version) == whole
        assert xiaozhi.read_binary(whole, version) == PACKET
        for wrong in (*(whole[:size] for size in range(len(whole))), whole + b"x") if version > 1 else ():
            with pytest.raises(ProtocolError):
                xiaozhi.read_binary(wrong, version)
    for version, no_audio in ((2, "0002000100000000000000000000000358abcd"), (3, "0100000358abcd")):
        assert xiaozhi.read_binary(bytes.fromhex(no_audio), version) is None


MESSAGES: dict[str, object] = {
    '{"type":"hello","version":3,"features":{"mcp":true,"glyph_push":true},"transport":"websocket",'
    '"audio_params":{"format":"opus","sample_rate":16000,"channels":1,"frame_duration":60}}': XiaozhiHello(
        version=3, features=xiaozhi.Features(mcp=True)
    ),
    '{"type":"hello","transport":"websocket"}': XiaozhiHello(),
    '{"session_id":"a","type":"listen","state":"start","mode":"realtime"}': Listen("start", "realtime"),
    '{"session_id":"a","type":"listen","state":"stop"}': Listen("stop"),
    '{"session_id":"","type":"listen","state":"detect","text":"hi"}': Listen("detect", text="hi"),
    '{"type":"abort","reason":"wake_word_detected"}': Abort("wake_word_detected"),
    '{"type":"mcp","payload":{"jsonrpc":"2.0","id":1,"result":{}}}': Mcp({"jsonrpc": "2.0", "id": 1, "result": {}}),
    '{"type":"iot","descriptors":[]}': None,
}
TOO_LONG = '{"type":"abort","reason":"' + "x" * xiaozhi.MAX_TEXT_BYTES + '"}'


def test_the_devices_messages_are_read_and_others_refused() -> None:
    for text, message in MESSAGES.items():
        assert xiaozhi.read_text(text) == message
    for text in ("", "7", "{}", '{"type":7}', '{"type":"listen"}', '{"type":"mcp","payload":[]}', "[" * 9000, TOO_LONG):
        with pytest.raises(ProtocolError):
            xiaozhi.read_text(text)


def test_a_credential_is_of_one_device_whose_mac_is_one() -> None:
    assert xiaozhi.credential_of("aa:bb:cc:dd:ee:ff") == "xiaozhi-aabbccddeeff"
    assert xiaozhi.endpoint_of("xiaozhi-aabbccddeeff") == "xiaozhi:aa:bb:cc:dd:ee:ff"
    digits = ("", "aabbccddee", "AABBCCDDEEFF", "aabbccddeeff00")
    for other in ("d-1234", "aabbccddeeff", *(f"xiaozhi-{wrong}" for wrong in digits)):
        assert xiaozhi.endpoint_of(other) is None
    for mac in (None, "", "kitchen", "aa:bb:cc:dd:ee", "aa-bb-cc-dd-ee-ff", "aa:bb:cc:dd:ee:gg"):
        with pytest.raises(ProtocolError):
            xiaozhi.read_mac(mac)
