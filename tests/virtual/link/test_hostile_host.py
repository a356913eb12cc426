"""A host that breaks the contract: the board says why, closes with the right code, and comes back."""

from __future__ import annotations

from pathlib import Path

import cbor2
import pytest
from tests.virtual.conftest import StartBoard
from tests.virtual.link.conftest import ScriptedHost

from microclaw.wire.link.frame import FrameType, encode_frame
from microclaw.wire.link.messages import ErrorMessage, Notify


def control(payload: bytes) -> bytes:
    return encode_frame(FrameType.CONTROL, payload)


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ("text", 1003, None),
        (control(b"\xff\xff"), 4400, "malformed"),
        (b"\x01" + bytes(1_000_000), 4413, None),
    ],
    ids=["text", "garbage", "huge"],
)
def test_a_breach_ends_the_connection_with_its_code(
    start_board: StartBoard, host: ScriptedHost, tmp_path: Path, message: bytes | str, code: int, reason: str | None
) -> None:
    start_board("--serial", "none", "--flash", str(tmp_path), *host.options)
    host.send_raw(message)
    host.wait(lambda: code in [closed for closed, _ in host.closes])
    if reason is not None:
        assert host.wait_for(ErrorMessage).code == reason
    host.wait(lambda: len(host.hellos) == 2)
    assert host.call("device.status").ok


def test_what_a_later_version_says_is_ignored_and_text_writes_no_lines_of_its_own(
    start_board: StartBoard, host: ScriptedHost, tmp_path: Path
) -> None:
    board = start_board("--serial", "none", "--flash", str(tmp_path), *host.options)
    later = cbor2.dumps({"v": 1, "type": "of_a_later_version", "id": bytes(16), "ts": 0, "body": {"a": [1]}})
    host.send_raw(b"\x7f" + b"later", control(later))
    host.send(Notify("one\ntwo\x1b[2J", speak=False), durable=True)
    host.wait(lambda: host.mail.acked == 1)
    assert board.control().raw(b'{"id":1,"op":"link"}')["notifications"] == ["one two"]
    assert len(host.hellos) == 1
