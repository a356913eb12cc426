"""The board's identity and its trust: fingerprint, pairing by code and secret, certificate, renewal, token, refusal."""

from __future__ import annotations

import socket
import ssl
import time
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.virtual.conftest import TIMEOUT_S, BoardUnderTest, StartBoard, run_board
from tests.virtual.link.conftest import CODE, DEVICE_ID, ScriptedHost

from microclaw.errors import ConfigError
from microclaw.link_client.identity import LinkAddress
from microclaw.wire import board_control as control
from microclaw.wire import board_replies as replies
from microclaw.wire.link.messages import PairRequest

FINGERPRINT = "ab" * 32
EIGHT_YEARS = timedelta(days=8 * 365)
PORTS = ("--wasmachine", "0", "--serial", "none")


@pytest.fixture
def other_host() -> Iterator[ScriptedHost]:
    scripted = ScriptedHost()
    yield scripted
    scripted.close()


def start(start_board: StartBoard, flash: Path, *options: str) -> BoardUnderTest:
    return start_board("--serial", "none", "--flash", str(flash), *options)


def status_when(board: BoardUnderTest, *states: str) -> replies.LinkStatus:
    bench = board.control()
    deadline_s = time.monotonic() + TIMEOUT_S
    while (status := bench.ask(control.Link())).state not in states:
        assert time.monotonic() < deadline_s, f"still {status}"
    bench.close()
    return status


def test_the_board_shows_the_code_until_somebody_confirms_it(
    start_board: StartBoard, host: ScriptedHost, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    host.confirm = False
    board = start(start_board, tmp_path, "--name", "paper", *host.options)
    host.wait_for(PairRequest)
    bench = board.control()
    deadline_s = time.monotonic() + TIMEOUT_S
    while (status := bench.ask(control.Link())).code is None:
        assert time.monotonic() < deadline_s
    assert (status.state, status.code, status.device_id) == ("pairing", CODE, None)
    while f"link: pairing code {CODE}" not in [line.text for line in bench.ask(control.Log()).lines]:
        assert time.monotonic() < deadline_s
    assert f"microclaw device pair {CODE} --name paper\n" in capfd.readouterr().err
    host.confirm = True
    host.drop_pairing()
    host.wait(lambda: host.is_connected)
    assert bench.ask(control.Link()).code is None


def test_a_certificate_is_kept_over_restarts(start_board: StartBoard, host: ScriptedHost, tmp_path: Path) -> None:
    first = start(start_board, tmp_path, *host.options)
    host.wait(lambda: host.is_connected)
    first.stop()
    host.wait(lambda: not host.is_connected)
    second = start(start_board, tmp_path, *host.options)
    host.wait(lambda: len(host.hellos) == 2)
    assert len([e for e in host.heard if isinstance(e.body, PairRequest)]) == 1
    assert host.certificates[0] is None
    assert host.certificates[1] == host.certificates[2] is not None
    assert status_when(second, "connected").device_id == DEVICE_ID
    keys = [path for path in (tmp_path / "link").iterdir() if path.suffix == ".pem" and path.name != "ca.pem"]
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}


def test_a_token_rotates_and_the_new_one_is_used_next(
    start_board: StartBoard, host: ScriptedHost, tmp_path: Path
) -> None:
    board = start(start_board, tmp_path, *host.options, "--link-credential", "token")
    host.wait(lambda: host.is_connected)
    assert host.wait_for(PairRequest).token_wanted
    assert host.used_tokens == [None, host.tokens[0]]
    host.send(host.new_token())
    assert host.call("device.status").ok  # the answer comes after the token was taken
    host.drop()
    host.wait(lambda: len(host.hellos) == 2)
    assert host.used_tokens[2] == host.tokens[1]
    assert status_when(board, "connected").device_id == DEVICE_ID


def test_a_secret_pairs_without_a_code(start_board: StartBoard, host: ScriptedHost, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("ABCD-EFGH\n")
    start(start_board, tmp_path, *host.options, "--link-secret-file", str(file))
    assert host.wait_for(PairRequest).secret == "ABCD-EFGH"
    host.wait(lambda: host.is_connected)


def test_a_secret_comes_from_a_file_or_stdin_and_never_from_the_command_line(tmp_path: Path) -> None:
    assert run_board(*PORTS, "--link-secret", "ABCD-EFGH").returncode == 2
    assert run_board(*PORTS, "--link-secret-file", str(tmp_path / "none")).returncode == 2
    assert run_board(*PORTS, "--link-secret-file", "-", said='{"secret": null}').returncode == 2


def test_another_fingerprint_is_told_and_nothing_is_said(
    start_board: StartBoard, host: ScriptedHost, tmp_path: Path
) -> None:
    board = start(start_board, tmp_path, *host.options[:3], FINGERPRINT)
    assert status_when(board, "waiting").error is not None
    assert (host.heard, host.certificates) == ([], [])
    assert not (tmp_path / "link" / "ca.pem").exists()


def test_a_host_with_another_authority_is_refused(
    start_board: StartBoard, host: ScriptedHost, other_host: ScriptedHost, tmp_path: Path
) -> None:
    first = start(start_board, tmp_path, *host.options)
    host.wait(lambda: host.is_connected)
    first.stop()
    imposter = start(start_board, tmp_path, "--link", other_host.options[1], *host.options[2:])
    assert status_when(imposter, "waiting").error is not None
    assert (other_host.heard, other_host.certificates) == ([], [])


def test_a_refused_credential_is_kept(start_board: StartBoard, host: ScriptedHost, tmp_path: Path) -> None:
    board = start(start_board, tmp_path, *host.options)
    host.wait(lambda: host.is_connected)
    host.refuse_with = 4403
    host.drop()
    status = status_when(board, "refused")
    assert "4403" in str(status.error)
    assert (tmp_path / "link" / "device.pem").exists()


def test_a_factory_reset_pairs_anew_with_another_key(
    start_board: StartBoard, host: ScriptedHost, tmp_path: Path
) -> None:
    board = start(start_board, tmp_path, *host.options)
    host.wait(lambda: host.is_connected)
    before = host.hellos[0]
    board.control().ask(control.LinkReset())
    host.wait(lambda: len(host.hellos) == 2)
    requests = [e.body.csr for e in host.heard if isinstance(e.body, PairRequest)]
    assert len(requests) == 2
    assert requests[0] != requests[1]
    assert host.hellos[1].tx_epoch != before.tx_epoch


@pytest.mark.parametrize(
    ("url", "fingerprint"),
    [
        ("http://host/link", FINGERPRINT),
        ("wss://host/link", None),
        ("wss://host/link", "ab"),
        ("ws://host/link", None),
        ("ws://127.0.0.1/link", FINGERPRINT),
        ("wss://name:word@host/link", FINGERPRINT),
        ("wss:///link", FINGERPRINT),
    ],
)
def test_an_address_that_cannot_be_trusted_is_refused(url: str, fingerprint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        LinkAddress(url, fingerprint)
    assert caught.value.next_step


def test_a_damaged_flash_keeps_the_board_from_starting(tmp_path: Path, host: ScriptedHost) -> None:
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "state.log").write_bytes(b"not a record, and more than a head of it")
    ended = run_board(*PORTS, "--flash", str(tmp_path), *host.options)
    assert ended.returncode == 1
    assert [line.split(":")[0] for line in ended.stderr.splitlines()] == ["error", "next"]


def test_a_host_with_tls_before_1_2_is_refused(start_board: StartBoard, host: ScriptedHost, tmp_path: Path) -> None:
    board = start_board("--serial", "none", "--flash", str(tmp_path), *host.options)
    host.wait(lambda: host.is_connected)
    host.speak_tls(old=True)
    lenient = ssl.create_default_context()
    lenient.check_hostname, lenient.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        lenient.minimum_version = ssl.TLSVersion.TLSv1
    lenient.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", host.port), 10) as plain, lenient.wrap_socket(plain) as old:
        assert old.version() == "TLSv1.1", "the host does speak it"
    host.drop()
    deadline_s = time.monotonic() + TIMEOUT_S
    bench = board.control()
    while "did not take the link" not in (error := bench.ask(control.Link()).error or ""):
        assert time.monotonic() < deadline_s, error
    assert "protocol" in error.lower()
    assert len(host.hellos) == 1
    host.speak_tls(old=False)
    host.wait(lambda: len(host.hellos) == 2)


def start_aged(start_board: StartBoard, host: ScriptedHost, tmp_path: Path) -> None:
    """The board is paired with a certificate that is eight years old."""
    host.issued_ago = EIGHT_YEARS
    host.on_credential = lambda: setattr(host, "issued_ago", timedelta(0))
    start_board("--serial", "none", "--flash", str(tmp_path), *host.options)


def test_an_old_certificate_is_renewed_and_the_new_one_used(
    start_board: StartBoard, host: ScriptedHost, tmp_path: Path
) -> None:
    start_aged(start_board, host, tmp_path)
    host.wait(lambda: len(host.hellos) == 1)
    paired, renewed, works = host.certificates
    assert paired is None
    assert renewed is not None
    assert works not in (None, renewed)
    requests = [e.body for e in host.heard if isinstance(e.body, PairRequest)]
    assert [(request.csr is not None, request.secret) for request in requests] == [(True, None)] * 2
    assert host.call("device.status").ok


@pytest.mark.parametrize("answers", [True, False])
def test_a_board_that_is_not_given_another_works_with_the_old_one(
    start_board: StartBoard, host: ScriptedHost, tmp_path: Path, answers: bool
) -> None:
    host.renews = False
    if not answers:
        host.drops_renewals = True
    start_aged(start_board, host, tmp_path)
    host.wait(lambda: len(host.hellos) == 1)
    assert host.certificates[1] == host.certificates[2] is not None
    assert host.call("device.status").ok
