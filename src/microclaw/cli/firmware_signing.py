"""Signs updates: with a key file on this machine, or somebody's own command that never shows its key. No host here."""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from pathlib import Path
from typing import Any, Final

import click

from microclaw.cli.secret_value import SECRET_METAVAR, secret_value
from microclaw.errors import ConfigError
from microclaw.ota.keys import SIGNATURE_BYTES, read_public_key, read_signing_key
from microclaw.ota.manifest import ALG, SCHEMA, KeyChange, Release, moment, write_manifest

SIGN_S: Final = 120.0
"""A person may have to touch a token, or type its PIN."""


class Signer:
    """Signs with one key, whose public part is `public`; each signature is verified here."""

    def __init__(self, key: Path | None, password: str | None, command: str | None, public: Path | None) -> None:
        self._sign: Callable[[bytes], bytes]
        if key is not None:
            private = read_signing_key(key, partial(_password, password))
            self.public, self._sign = private.public, private.sign
        elif command is not None and public is not None:
            self.public, self._sign = read_public_key(public), partial(run_sign_command, command)
        else:
            raise click.BadParameter("say who signs: --key FILE, or --sign-command CMD and --public-key FILE.pub.pem")

    def sign(self, manifest: bytes) -> bytes:
        """Raises ConfigError, and BadSignature where the command signed with another key."""
        signature = self._sign(manifest)
        self.public.verify(manifest, signature)
        return signature


def _password(given: str | None) -> str:
    if given is None and not sys.stdin.isatty():
        raise click.BadParameter("the key has a password, and nobody is at a terminal: --password @FILE")
    return secret_value("--password", given or "-")


def signing_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of who signs. The command gets them as `make_signer`."""

    @click.option("--key", type=Path, metavar="FILE", help="The private key, on this machine alone.")
    @click.option("--password", metavar=SECRET_METAVAR, help="Of a key that has one; asked for otherwise.")
    @click.option(
        "--sign-command",
        metavar="CMD",
        help="Signs instead: the manifest on stdin, 384 bytes on stdout (an HSM's tool).",
    )
    @click.option("--public-key", type=Path, metavar="FILE.pub.pem", help="Of what --sign-command signs with.")
    @wraps(command)
    def run(*given: Any, key: Any, password: Any, sign_command: Any, public_key: Any, **more: Any) -> None:
        command(*given, make_signer=partial(Signer, key, password, sign_command, public_key), **more)

    return run


def new_manifest(form: type[Release | KeyChange], *, valid_days: int = 90, **facts: Any) -> bytes:
    """The bytes to sign, valid from now on; `facts` are the further fields."""
    now_s = time.time()
    expires = moment(now_s + valid_days * 86_400)
    return write_manifest(form(schema=SCHEMA, created=moment(now_s), expires=expires, alg=ALG, **facts))


def run_sign_command(command: str, manifest: bytes, limit_s: float = SIGN_S) -> bytes:
    """Return the command's answer, within its time; it may ask a person on the terminal. ConfigError otherwise."""
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
