"""The board's identity and its trust: fingerprint, pairing by code and secret, certificate, renewal, token, refusal."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest
from tests.virtual.conftest import TIMEOUT_S, BoardUnderTest, StartBoard, run_board
from tests.virtual.link.conftest import CODE, ScriptedHost

from microclaw.errors import ConfigError
from microclaw.virtual.link_client.identity import LinkAddress
from microclaw.wire import board_control as control
from microclaw.wire import board_replies as replies
from microclaw.wire.link.messages import PairRequest

FINGERPRINT = "ab" * 32
PORTS = ("--wasmachine", "0", "--serial", "none")


def start(start_board: StartBoard, flash: Path, *options: str) -> BoardUnderTest:
    return start_board("--serial", "none", "--flash", str(flash), *options)


def status_when(board: BoardUnderTest, *states: str) -> replies.BoardLinkStatus:
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
    while f"link: pairing code {CODE}" not in [line.text for line in bench.ask(control.ReadLog()).rows]:
        assert time.monotonic() < deadline_s
    assert f"microclaw device pair {CODE} --name paper\n" in capfd.readouterr().err
    host.confirm = True
    host.drop()
    host.wait(lambda: host.is_connected)
    assert bench.ask(control.Link()).code is None


def test_a_certificate_is_kept_over_restarts_and_refusals_until_a_factory_reset(
    start_board: StartBoard, host: ScriptedHost, tmp_path: Path
) -> None:
    first = start(start_board, tmp_path, *host.options)
    host.wait(lambda: host.is_connected)
    first.stop()
    host.wait(lambda: not host.is_connected)
    board = start(start_board, tmp_path, *host.options)
    host.wait(lambda: len(host.hellos) == 2)
    assert host.certificates[0] is None
    assert host.certificates[1] == host.certificates[2] is not None
    keys = [path for path in (tmp_path / "link").iterdir() if path.suffix == ".pem" and path.name != "ca.pem"]
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}
    host.refuse_with = 4403
    host.drop()
    assert "4403" in str(status_when(board, "refused").error)
    assert (tmp_path / "link" / "device.pem").exists()
    host.refuse_with = None
    board.control().ask(control.LinkReset())
    host.wait(lambda: len(host.hellos) == 3)
    requests = [e.body.csr for e in host.heard if isinstance(e.body, PairRequest)]
    assert len(set(requests)) == len(requests) == 2
    assert host.hellos[2].tx_epoch != host.hellos[1].tx_epoch == host.hellos[0].tx_epoch


def test_a_host_with_another_authority_is_refused(start_board: StartBoard, host: ScriptedHost, tmp_path: Path) -> None:
    first = start(start_board, tmp_path, *host.options)
    host.wait(lambda: host.is_connected)
    first.stop()
    imposter = ScriptedHost()
    try:
        board = start(start_board, tmp_path, "--link", imposter.options[1], *host.options[2:])
        assert status_when(board, "waiting").error is not None
        assert (imposter.heard, imposter.certificates) == ([], [])
    finally:
        imposter.close()


def test_a_secret_buys_a_token_which_rotates_and_the_new_one_is_used_next(
    start_board: StartBoard, host: ScriptedHost, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text("ABCD-EFGH\n")
    start(start_board, tmp_path, *host.options, "--link-credential", "token", "--link-secret-file", str(file))
    host.wait(lambda: host.is_connected)
    request = host.wait_for(PairRequest)
    assert (request.token_wanted, request.secret) == (True, "ABCD-EFGH")
    assert host.used_tokens == [None, host.tokens[0]]
    host.send(host.new_token())
    assert host.call("device.status").ok  # the answer comes after the token was taken
    host.drop()
    host.wait(lambda: len(host.hellos) == 2)
    assert host.used_tokens[2] == host.tokens[1]


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


@pytest.mark.parametrize(
    ("url", "fingerprint"),
    [
        ("http://host/link", FINGERPRINT),
        ("wss://host/link", None),
        ("wss://host/link", "ab"),
        ("ws://127.0.0.1/link", FINGERPRINT),
        ("wss://name:word@host/link", FINGERPRINT),
        ("wss:///link", FINGERPRINT),
    ],
)
def test_an_address_that_cannot_be_trusted_is_refused(url: str, fingerprint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        LinkAddress(url, fingerprint)
    assert caught.value.next_step


def test_a_host_with_tls_before_1_2_is_refused(start_board: StartBoard, host: ScriptedHost, tmp_path: Path) -> None:
    board = start(start_board, tmp_path, *host.options)
    host.wait(lambda: host.is_connected)
    host.speak_tls(old=True)
    host.drop()
    bench = board.control()
    deadline_s = time.monotonic() + TIMEOUT_S
    while "protocol" not in (error := bench.ask(control.Link()).error or "").lower():
        assert time.monotonic() < deadline_s, error
    assert len(host.hellos) == 1
    host.speak_tls(old=False)
    host.wait(lambda: len(host.hellos) == 2)


@pytest.mark.parametrize("host_does", ["renews", "refuses", "drops"])
def test_an_old_certificate_is_renewed_or_works_on(
    start_board: StartBoard, host: ScriptedHost, tmp_path: Path, host_does: str
) -> None:
    host.renews = host_does == "renews"
    host.drops_renewals = host_does == "drops"
    host.issued_ago = timedelta(days=8 * 365)
    host.on_credential = lambda: setattr(host, "issued_ago", timedelta(0))
    start(start_board, tmp_path, *host.options)
    host.wait(lambda: len(host.hellos) == 1)
    paired, old, works = host.certificates
    assert paired is None
    assert (works == old, old is None) == (host_does != "renews", False)
    assert host.call("device.status").ok
