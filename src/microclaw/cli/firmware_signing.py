"""Who signs an update: a key file on this machine, or somebody's own command that never shows its key. No host here."""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

from microclaw.cli.options import GlobalOptions
from microclaw.cli.secret_value import SECRET_METAVAR, secret_value
from microclaw.errors import ConfigError
from microclaw.ota import operations as firmware
from microclaw.ota.keys import (
    SIGNATURE_BYTES,
    PublicKey,
    is_locked,
    public_key,
    read_public_key,
    read_signing_key,
)

SIGN_S: Final = 120.0
"""A person may have to touch a token, or type its PIN."""

key_option = click.option("--key", type=Path, metavar="FILE", help="The private key, on this machine alone.")
name_option = click.option("--name", help="What people call the key. [default: its file's name]")
password_option = click.option("--password", metavar=SECRET_METAVAR, help="Of the key; none: asked at a terminal.")
command_option = click.option(
    "--sign-command", metavar="CMD", help="Signs instead: the manifest on stdin, 384 bytes on stdout (an HSM's tool)."
)
public_option = click.option(
    "--public-key", type=Path, metavar="FILE", help="The signing key's public one; none: the only one the host knows."
)


class Signer:
    """Signs with one key, whose public part is `public`; each signature is verified here."""

    def __init__(
        self, options: GlobalOptions, key: Path | None, password: str | None, command: str | None, public: Path | None
    ) -> None:
        self._command = command
        if (key is None) == (command is None):
            raise click.BadParameter("say who signs: --key FILE, or --sign-command CMD")
        if key is not None:
            self._key = read_signing_key(key, key_password(key, password))
            self.public = self._key.public
        else:
            self.public = signing_public_key(options, public)

    def sign(self, manifest: bytes) -> bytes:
        """Raises ConfigError, and BadSignature where the command signed with another key."""
        signature = self._key.sign(manifest) if self._command is None else run_sign_command(self._command, manifest)
        self.public.verify(manifest, signature)
        return signature


def key_password(path: Path, given: str | None) -> str | None:
    """The password of a key file that has one."""
    if not is_locked(path):
        return None
    if given is not None:
        return secret_value("--password", given)
    if not sys.stdin.isatty():
        raise click.BadParameter("the key has a password, and nobody is at a terminal: --password @FILE")
    return str(click.prompt(f"Password of {path}", hide_input=True, err=True))


def signing_public_key(options: GlobalOptions, path: Path | None) -> PublicKey:
    """The public key of who signs elsewhere: of a file, or the only one that the host knows."""
    if path is not None:
        return read_public_key(path)
    known = options.host().call(firmware.list_keys).keys
    if len(known) != 1:
        text = f"the host knows {len(known)} keys, and nobody said which one signs"
        raise ConfigError(text, next_step="give --public-key FILE.pub.pem")
    return public_key(known[0].public.encode())


def run_sign_command(command: str, manifest: bytes, limit_s: float = SIGN_S) -> bytes:
    """What the command answers, within its time; it may ask a person on the terminal. ConfigError otherwise."""
    try:
        process = subprocess.Popen(shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    except (OSError, ValueError, IndexError) as exc:
        raise ConfigError(f"cannot start {command[:80]!r}: {exc}", next_step="check --sign-command") from exc
    assert process.stdin is not None
    assert process.stdout is not None
    end = threading.Timer(limit_s, process.kill)
    end.start()
    try:
        with suppress(BrokenPipeError), process.stdin as stdin:  # one that reads nothing signs nothing
            stdin.write(manifest)  # smaller than any pipe
        with process.stdout as stdout:
            signature = stdout.read(SIGNATURE_BYTES + 1)
        code = process.wait()
    finally:
        end.cancel()
        process.kill()
        process.wait()
    if code != 0 or len(signature) != SIGNATURE_BYTES:
        text = f"the command that signs ended with {code} and gave {len(signature)} bytes, expected {SIGNATURE_BYTES}"
        step = f"it has {limit_s:g} s to write the raw signature to stdout and nothing else"
        raise ConfigError(text, next_step=step)
    return signature
