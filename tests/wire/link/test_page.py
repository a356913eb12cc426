"""The samples of docs/protocols/link.md beside its vectors: what is said there is what the code takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cbor2
from tests.wire.conftest import read_page

from microclaw.host.auth.certificates import read_csr
from microclaw.host.auth.credentials import Reason, token_device
from microclaw.host.auth.provisioning import Provision
from microclaw.wire.link.codec import decode, encode
from microclaw.wire.link.frame import CloseCode, FrameType, read_frame
from microclaw.wire.link.messages import MESSAGES, PairDone, is_durable
from microclaw.wire.link.values import Sender

PAGE = (Path(__file__).parents[3] / "docs/protocols/link.md").read_text(encoding="utf-8")
FRAMES = read_page("link.md", "frame")


def plain(value: object) -> object:
    """CBOR as the page shows it: bytes as h'..'."""
    if isinstance(value, bytes):
        return f"h'{value.hex()}'"
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    return value


def frame(name: str) -> tuple[Any, bytes]:
    shown, _, rest = FRAMES[name].partition("\n")
    return json.loads(shown), bytes.fromhex("".join(rest.split()))


def test_each_sample_frame_is_what_its_line_says_and_the_codec_takes_and_makes() -> None:
    assert len(FRAMES) == 14
    for name in FRAMES:
        shown, message = frame(name)
        _, who, kind = name.split("-")
        type_, payload = read_frame(message)
        envelope = decode(payload)
        assert (type_, envelope.body.type) == (FrameType.CONTROL, kind)
        assert plain(cbor2.loads(payload)) == shown
        assert encode(envelope) == payload
        assert MESSAGES[kind].sender in (Sender(who), Sender.BOTH)
        assert is_durable(envelope.body) == (envelope.seq is not None)


def test_the_sample_token_request_and_provision_are_of_their_form() -> None:
    done = decode(frame("2-host-pair_done")[1][1:]).body
    assert isinstance(done, PairDone)
    assert done.token is not None
    assert token_device(done.token) == "d-4f2a91c0"
    assert f"Authorization: Bearer {done.token}" in PAGE
    assert read_csr(bytes.fromhex("".join(read_page("link.md", "csr")["example"].split())))
    shown = read_page("link.md", "provision")
    file = json.loads(shown["file"])
    assert file.pop("microclaw") == 1
    made = Provision(**file)
    assert (made.uri, made.to_json().strip(), made.to_text()) == (shown["line"], shown["file"], shown["text"])


def test_every_code_that_the_host_has_is_on_the_page() -> None:
    rows = set(re.findall(r"`([a-z_]+)`", PAGE[PAGE.index("## Error codes") : PAGE.index("## Close codes")]))
    not_told = {Reason.NO_CREDENTIALS}  # such a device may pair
    assert {str(reason) for reason in Reason if reason not in not_told} <= rows
    closes = re.findall(r"^\| (\d{4}) \|", PAGE[PAGE.index("## Close codes") :], re.M)
    assert closes == [str(int(code)) for code in CloseCode]
