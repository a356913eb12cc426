"""`microclaw link check` as it is typed."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.link_check.test_broken_hosts import FaultyHost
from tests.link_server.real_host import RealHost
from tests.link_server.real_host import real_host as real_host

from microclaw.cli.main import main


@pytest.fixture
def deaf_host() -> Iterator[FaultyHost]:
    host = FaultyHost("no-pong")
    yield host
    host.close()


def fingerprint(host: FaultyHost) -> str:
    return hashlib.sha256(host.authority.certificate.public_bytes(Encoding.DER)).hexdigest()


def test_ones_own_host_is_checked_and_forgets_the_check(
    real_host: RealHost, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--home", str(real_host.home), "link", "check", "--as-device"]
    assert main([*words, "--rule", "L-02", "--rule", "L-50", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["kept"], document["broken"], document["not_tried"]) == (2, 0, 0)
    assert [row["rule"] for row in document["rules"]] == ["L-02", "L-50"]
    assert document["device_id"]
    assert real_host.client.get("/v1/devices")["devices"] == []


def test_another_host_is_checked_by_its_provision_from_stdin(
    real_host: RealHost, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"name": "checked", "board": None, "secret": True, "host": None}
    made = real_host.client.post("/v1/devices/provision", body)
    monkeypatch.setattr("sys.stdin", io.StringIO(made["file"]))
    assert main(["link", "check", "--as-device", "--provision", "-", "--rule", "L-50"]) == 0
    shown = capsys.readouterr().out
    entry = real_host.client.get("/v1/devices")["devices"][0]
    assert f"microclaw device remove {entry['device_id']}" in shown
    real_host.client.delete(f"/v1/devices/{entry['device_id']}")


def test_a_broken_rule_is_shown_with_what_was_sent_and_came_and_ends_with_1(
    deaf_host: FaultyHost, capsys: pytest.CaptureFixture[str]
) -> None:
    place = f"127.0.0.1:{deaf_host.port}"
    words = ["link", "check", place, "--as-device", "--ca-sha256", fingerprint(deaf_host), "--rule", "L-50"]
    assert main(words) == 1
    shown = capsys.readouterr()
    assert "broken     L-50" in shown.out
    assert "sent: ping" in shown.out
    assert "came: no pong within" in shown.out
    assert "0 kept, 1 broken, 0 not tried" in shown.out
    assert "microclaw device pair 123456" in shown.err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--as-device", "--as-host"],
        ["127.0.0.1:1", "--as-device"],
        ["nonsense", "--as-device", "--ca-sha256", "0" * 64],
        ["--as-device", "--rule", "L-00"],
        ["--as-device", "--rule", "L-92"],
        ["--as-host", "--credential", "password"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["link", "check", *words]) == 2
    assert capsys.readouterr().err


def test_what_is_no_provision_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "host.json"
    path.write_text('{"microclaw": 2, "host": "x", "port": 1, "ca_sha256": "0"}')
    assert main(["link", "check", "--as-device", "--provision", str(path)]) == 1
    assert "no provision of this version" in capsys.readouterr().err
