"""A virtual board's process takes an update over its link, through a lost connection and a power cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.firmware.ota_offers import signer
from tests.virtual.conftest import StartBoard
from tests.virtual.link.conftest import DEVICE_ID, ScriptedHost
from tests.virtual.updates.bench import PIECE_BYTES, release

from microclaw import __version__
from microclaw.errors import ConfigError
from microclaw.virtual.updates.trust import read_trust
from microclaw.wire import board_control as control
from microclaw.wire.link.messages import BlobRead, OtaFacts, OtaOffer, OtaStatus
from microclaw.wire.link.session import LinkSession

ALWAYS = {"created": "2020-01-01T00:00:00Z", "expires": "2099-01-01T00:00:00Z"}


def keys_file(folder: Path, *numbers: int) -> Path:
    form = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path = folder / "keys.pem"
    path.write_bytes(b"".join(signer(number).key.public_key().public_bytes(*form) for number in numbers))
    return path


def test_an_update_comes_through_a_lost_connection_and_a_power_cut(
    start_board: StartBoard, host: ScriptedHost, tmp_path: Path
) -> None:
    offered = release("1.2.0", size=60_000, device=DEVICE_ID, **ALWAYS)
    asked: list[int] = []
    cut: list[bool] = []

    def serve(read: BlobRead, session: LinkSession) -> None:
        asked.append(read.offset)
        assert read.sha256 == offered.sha256
        ends = len(asked) == 2 or (len(asked) == 4 and not cut)
        data = offered.payload[read.offset : read.offset + read.length]
        for at in range(0, len(data) // 2 if ends else len(data), PIECE_BYTES):
            session.send_blob(read.sha256, read.offset + at, data[at : at + PIECE_BYTES])
        if len(asked) == 2:
            host.drop()
        elif ends:
            cut.append(True)

    host.on_blob_read = serve
    keys = ("--update-keys", str(keys_file(tmp_path, 0)))
    board = start_board("--serial", "none", "--flash", str(tmp_path / "flash"), *keys, *host.options)
    host.wait(lambda: host.is_connected)
    assert host.hellos[0].firmware.version == __version__
    assert host.hellos[0].ota == OtaFacts("esp32s3", "stable", ("files",), (signer().key_id,), 0)
    host.send(OtaOffer(offered.manifest, offered.signature), durable=True)
    host.wait(lambda: bool(cut))
    bench = board.control()
    bench.ask(control.Power("cut"))
    bench.ask(control.Power("on"))
    host.wait_for(OtaStatus, lambda status: status.state == "healthy")
    assert asked == [0, 16_384, 16_384, 32_768, 32_768, 49_152]
    assert [(hello.firmware.name, hello.firmware.version) for hello in host.hellos][-1] == (
        "microclaw-virtual",
        "1.2.0",
    )
    assert host.hellos[-1].reset_reason == "software"
    bench.close()
    states = [e.body.state for e in host.heard if isinstance(e.body, OtaStatus)]
    assert list(dict.fromkeys(states)) == [
        *("offered", "downloading", "verifying", "staged", "rebooting", "trial", "healthy"),
    ]


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n", b"{}"])
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys.pem").write_bytes(content)
    with pytest.raises(ConfigError):
        read_trust(tmp_path / "keys.pem")
    with pytest.raises(ConfigError):
        read_trust(tmp_path / "keys.pem", "Beta")
