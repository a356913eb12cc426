"""`microclaw firmware`: who signs elsewhere, and the key's file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.devices.ota.conftest import vector_key
from tests.interfaces.cli.conftest import Run

from microclaw.errors import ConfigError
from microclaw.interfaces.cli.firmware_commands import run_sign_command

SIGNER = "import sys;from pathlib import Path;from tests.devices.ota.conftest import vector_key;"


def test_a_sign_command_gets_the_manifest_and_gives_the_signature(tmp_path: Path) -> None:
    key = vector_key("first", tmp_path)
    code = f"{SIGNER}sys.stdout.buffer.write(vector_key('first',Path({str(tmp_path)!r})).sign(sys.stdin.buffer.read()))"
    signature = run_sign_command(f'{sys.executable} -c "{code}"', b"manifest")
    key.public.verify(b"manifest", signature)


def test_a_sign_command_that_does_not_sign_is_refused() -> None:
    for command in ("false", "echo signed", "cat /dev/zero", "no-such-signer", "", "unclosed '", "tail -f /dev/null"):
        with pytest.raises(ConfigError):
            run_sign_command(command, b"manifest", limit_s=0.5)


def test_a_key_is_locked_and_never_overwritten(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "key.pem"
    word = tmp_path / "word"
    word.write_text("open sesame\n")
    assert run("firmware", "keygen", "--out", out, "--password", f"@{word}").code == 0
    before = out.read_bytes()
    assert b"ENCRYPTED" in before
    assert (run("firmware", "keygen", "--out", out).code, out.read_bytes()) == (1, before)
