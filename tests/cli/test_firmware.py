"""`microclaw firmware`: who signs elsewhere, and the key's file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import run_in
from tests.ota.conftest import vector_key

from microclaw.cli.firmware_signing import run_sign_command
from microclaw.cli.main import main
from microclaw.errors import ConfigError
from microclaw.ota.manifest import Release, read_manifest

SIGNER = "import sys;from pathlib import Path;from tests.ota.conftest import vector_key;"


def test_a_manifest_is_made_and_signed_elsewhere_without_a_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROCLAW_HOME", str(tmp_path / "home"))
    out, public = tmp_path / "release.json", tmp_path / "first.pub.pem"
    key = vector_key("first", tmp_path)
    public.write_bytes(key.public.pem)
    words = ["firmware", "publish", "--version", "1.4.0", "--board", "esp32-small", "--public-key", str(public)]
    assert main([*words, "--manifest-only", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["payload"] == f"{out}.payload"
    manifest = out.read_bytes()
    read = read_manifest(manifest)
    assert isinstance(read, Release)
    assert read.key_id == key.public.key_id
    signature = tmp_path / "signature"
    signature.write_bytes(key.sign(manifest))
    files = ["--manifest", str(out), "--signature", str(signature)]
    publish = ["firmware", "publish", *files]
    assert main(publish) == 3  # all is right, and no host runs


def test_a_sign_command_gets_the_manifest_and_gives_the_signature(tmp_path: Path) -> None:
    key = vector_key("first", tmp_path)
    code = f"{SIGNER}sys.stdout.buffer.write(vector_key('first',Path({str(tmp_path)!r})).sign(sys.stdin.buffer.read()))"
    signature = run_sign_command(f'{sys.executable} -c "{code}"', b"manifest")
    key.public.verify(b"manifest", signature)


def test_openssl_signs_what_boards_verify(tmp_path: Path) -> None:
    key = vector_key("first", tmp_path)
    command = (
        f"openssl dgst -sha256 -sign {tmp_path / 'first.pem'} -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32"
    )
    key.public.verify(b"manifest", run_sign_command(command, b"manifest"))


@pytest.mark.parametrize(
    "command", ["false", "echo signed", "cat /dev/zero", "no-such-signer", "", "unclosed '", "tail -f /dev/null"]
)
def test_a_sign_command_that_does_not_sign_is_refused(command: str) -> None:
    with pytest.raises(ConfigError):
        run_sign_command(command, b"manifest", limit_s=0.5)


def test_a_key_is_locked_and_never_overwritten(tmp_path: Path) -> None:
    home, out, word = tmp_path / "home", tmp_path / "key.pem", tmp_path / "word"
    word.write_text("open sesame\n")
    ran = run_in(home, "firmware", "keygen", "--out", str(out), "--password", f"@{word}")
    assert ran.code == 0, ran
    assert "ENCRYPTED" in out.read_text()
    before = out.read_bytes()
    ran = run_in(home, "firmware", "keygen", "--out", str(out))
    assert (ran.code, out.read_bytes()) == (1, before)
