"""Who signs an update: a key file on this machine, or somebody's own command that never shows its key. No host here."""

from __future__ import annotations

import shlex
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from microclaw.cli.options import GlobalOptions
from microclaw.cli.secret_value import SECRET_METAVAR, secret_value
from microclaw.errors import ConfigError
from microclaw.ota import operations as firmware
from microclaw.ota.keys import SIGNATURE_BYTES, is_locked, public_key, read_public_key, read_signing_key
from microclaw.ota.manifest import ALG, SCHEMA, KeyChange, Release, moment, write_manifest

SIGN_S: Final = 120.0
"""A person may have to touch a token, or type its PIN."""

KeyOption: TypeAlias = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="The private key, on this machine alone.")
]
PasswordOption: TypeAlias = Annotated[
    str | None, typer.Option("--password", metavar=SECRET_METAVAR, help="Of a key that has one; asked for otherwise.")
]
CommandOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--sign-command",
        metavar="CMD",
        help="Signs instead: the manifest on stdin, 384 bytes on stdout (an HSM's tool).",
    ),
]
PublicOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--public-key", metavar="FILE", help="The signing key's public one; none: the only one the host knows."
    ),
]


class Signer:
    """Signs with one key, whose public part is `public`; each signature is verified here."""

    def __init__(
        self, options: GlobalOptions, key: Path | None, password: str | None, command: str | None, public: Path | None
    ) -> None:
        if (key is None) == (command is None):
            raise typer.BadParameter("say who signs: --key FILE, or --sign-command CMD")
        self._command = command
        if key is not None:
            self._key = read_signing_key(key, secret_value("--password", password or "-") if is_locked(key) else None)
            self.public = self._key.public
        elif public is not None:
            self.public = read_public_key(public)
        else:
            known = options.host().call(firmware.list_keys).keys
            if len(known) != 1:
                text = f"the host knows {len(known)} keys, and nobody said which one signs"
                raise ConfigError(text, next_step="give --public-key FILE.pub.pem")
            self.public = public_key(known[0].public.encode())

    def sign(self, manifest: bytes) -> bytes:
        """Raises ConfigError, and BadSignature where the command signed with another key."""
        signature = self._key.sign(manifest) if self._command is None else run_sign_command(self._command, manifest)
        self.public.verify(manifest, signature)
        return signature


def new_manifest(form: type[Release | KeyChange], *, valid_days: int = 90, **facts: Any) -> bytes:
    """What is to be signed, valid from now on; `facts` are the further fields."""
    now_s = time.time()
    expires = moment(now_s + valid_days * 86_400)
    return write_manifest(form(schema=SCHEMA, created=moment(now_s), expires=expires, alg=ALG, **facts))


def run_sign_command(command: str, manifest: bytes, limit_s: float = SIGN_S) -> bytes:
    """What the command answers, within its time; it may ask a person on the terminal. ConfigError otherwise."""
    try:
        process = subprocess.Popen(shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    except (OSError, ValueError, IndexError) as exc:
        raise ConfigError(f"cannot start {command[:80]!r}: {exc}", next_step="check --sign-command") from exc
    end = threading.Timer(limit_s, process.kill)
    end.start()
    try:
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(BrokenPipeError), process.stdin as stdin:  # one that reads nothing signs nothing
                stdin.write(manifest)  # smaller than any pipe
            signature = process.stdout.read(SIGNATURE_BYTES + 1)
    finally:
        end.cancel()
    if process.returncode != 0 or len(signature) != SIGNATURE_BYTES:
        text = f"the command that signs ended with {process.returncode} and gave {len(signature)} bytes"
        step = f"it has {limit_s:g} s to write the raw signature, {SIGNATURE_BYTES} bytes, to stdout and nothing else"
        raise ConfigError(text, next_step=step)
    return signature
