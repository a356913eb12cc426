"""WebSocket frames of RFC 6455 by hand: what a device sends, whole, in pieces and wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from microclaw.devices.link.websocket import Message, MessageReader, close_code, encode_close, encode_whole
from microclaw.errors import LinkViolation

MOST = 1_000
# RFC 6455, 5.7: "Hello" masked, here as a binary message.
HELLO = bytes.fromhex("82 85 37 fa 21 3d 7f 9f 4d 51 58")
PING = bytes.fromhex("89 85 37 fa 21 3d 7f 9f 4d 51 58")


def masked(first: int, payload: bytes, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    size = len(payload)
    if size < 126:
        length = bytes((0x80 | size,))
    elif size < 65_536:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return bytes((first,)) + length + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def read_all(reader: MessageReader, data: bytes) -> list[Message]:
    reader.receive(data)
    messages = []
    while (message := reader.next_message()) is not None:
        messages.append(message)
    assert not reader.has_more
    return messages


def test_the_vector_of_the_standard_and_messages_in_order_and_in_fragments() -> None:
    assert read_all(MessageReader(MOST), PING) == [(Opcode.PING, b"Hello")]
    reader = MessageReader(MOST)
    hello = (Opcode.BINARY, b"Hello")
    ping = (Opcode.PING, b"Hello")
    assert read_all(reader, HELLO * 50 + PING + HELLO[:4]) == [hello] * 50 + [ping]
    assert read_all(reader, HELLO[4:]) == [hello]
    longest = b"\x82\xff" + (3).to_bytes(8, "big") + bytes(4) + b"abc"  # a length in its longest form
    assert read_all(MessageReader(MOST), longest) == [(Opcode.BINARY, b"abc")]
    data = masked(0x02, b"ab") + masked(0x00, b"") + PING + masked(0x80, b"c")
    counted = [(0, b""), (0, b""), ping, (Opcode.BINARY, b"abc")]  # each fragment counts as a message
    assert read_all(MessageReader(MOST), data) == counted


@given(st.lists(st.binary(max_size=300), max_size=6), st.integers(1, 400))
def test_what_another_library_writes_is_read(payloads: list[bytes], cut: int) -> None:
    data = b"".join(Frame(Opcode.BINARY, payload).serialize(mask=True) for payload in payloads)
    reader = MessageReader(MOST)
    found = [message for at in range(0, len(data), cut) for message in read_all(reader, data[at : at + cut])]
    assert found == [(Opcode.BINARY, payload) for payload in payloads]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x82\x05Hello", 4400),  # no mask
        (masked(0xC2, b"x"), 4400),  # a reserved bit
        (masked(0x83, b"x"), 4400),  # no such opcode
        (masked(0x09, b"x"), 4400),  # a ping in fragments
        (masked(0x89, bytes(126)), 4400),  # a ping that is too long
        (masked(0x80, b"x"), 4400),  # the end of nothing
        (masked(0x02, b"x") + masked(0x82, b"y"), 4400),  # one message inside another
        (masked(0x88, b"\x03"), 4400),  # half a close code
        (masked(0x88, (1006).to_bytes(2, "big")), 4400),  # a code that is never sent
        (b"\x82\xfe" + (MOST + 1).to_bytes(2, "big"), 4413),  # before anything of it is there
        (masked(0x02, bytes(MOST)) + masked(0x80, b"x")[:2], 4413),  # its fragments together
    ],
)
def test_what_breaks_the_standard_is_a_violation(data: bytes, code: int) -> None:
    with pytest.raises(LinkViolation) as caught:
        read_all(MessageReader(MOST), data)
    assert caught.value.close_code == code


FRAMES: dict[bytes, bytes] = {
    encode_whole(Opcode.BINARY, b""): b"\x82\x00",
    encode_whole(Opcode.BINARY, bytes(125)): b"\x82\x7d" + bytes(125),
    encode_whole(Opcode.BINARY, bytes(126)): b"\x82\x7e\x00\x7e" + bytes(126),
    encode_whole(Opcode.BINARY, bytes(65_535)): b"\x82\x7e\xff\xff" + bytes(65_535),
    encode_whole(Opcode.PONG, b"Hello"): b"\x8a\x05Hello",
    encode_close(None): b"\x88\x00",
    encode_close(4409, "gone"): b"\x88\x06\x11\x39gone",
    encode_close(4400, "\u00e4" * 100): b"\x88\x7c\x11\x30" + "\u00e4".encode() * 61,
}


def test_frames_of_the_host_and_the_codes_of_close_frames() -> None:
    for frame, data in FRAMES.items():
        assert frame == data
    for payload, code in ((b"", None), ((1000).to_bytes(2, "big"), 1000), ((4409).to_bytes(2, "big") + b"gone", 4409)):
        ((opcode, read),) = read_all(MessageReader(MOST), masked(0x88, payload))
        assert (opcode, close_code(read)) == (Opcode.CLOSE, code)
