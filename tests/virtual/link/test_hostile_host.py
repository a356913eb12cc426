"""A host that breaks the contract: the board says why, closes with the right code, and comes back."""

from __future__ import annotations

from pathlib import Path

import cbor2
from tests.virtual.conftest import StartBoard
from tests.virtual.link.conftest import ScriptedHost, start_linked

from microclaw.wire.link.frame import FrameType, encode_frame
from microclaw.wire.link.messages import ErrorMessage, Notify


def control(payload: bytes) -> bytes:
    return encode_frame(FrameType.CONTROL, payload)


BREACHES: tuple[tuple[bytes | str, int], ...] = (
    ("text", 1003),
    (control(b"\xff\xff"), 4400),
    (b"\x01" + bytes(1_000_000), 4413),
)


def test_a_breach_ends_the_connection_with_its_code_and_what_a_later_version_says_is_ignored(
    start_board: StartBoard, host: ScriptedHost, tmp_path: Path
) -> None:
    board = start_linked(start_board, host, tmp_path)
    later = cbor2.dumps({"v": 1, "type": "of_a_later_version", "id": bytes(16), "ts": 0, "body": {"a": [1]}})
    host.send_raw(b"\x7f" + b"later", control(later))
    host.send(Notify("one\ntwo\x1b[2J", speak=False), durable=True)
    host.wait(lambda: host.mail.acked == 1)
    assert board.control().raw(b'{"id":1,"op":"link"}')["notifications"] == ["one two"], (
        "text writes no lines of its own"
    )
    assert len(host.hellos) == 1
    for number, (message, code) in enumerate(BREACHES):
        host.send_raw(message)
        host.wait(lambda code=code: code in [closed for closed, _ in host.closes])  # type: ignore[misc]
        host.wait_hellos(number + 2)
        assert host.call("device.status").ok
    assert host.wait_for(ErrorMessage).code == "malformed"
