"""Who a host is to a NATS server: name and password, a token, or a key of NATS (nkey), alone or with a JWT.

The files are read at each connection, so that what is in them can be changed while the host runs. A key signs the
server's nonce; the forms of seeds, keys and .creds files are those of NATS (docs.nats.io, "NKeys").
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
import stat
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from microclaw.cluster.nats_client import Refusal
from microclaw.config.cluster_settings import ClusterSettings

MAX_BYTES: Final = 65_536
_SEED_PREFIX: Final = 18 << 3  # "S"
_USER_PREFIX: Final = 20 << 3  # "U"
_RAW_BYTES: Final = 32
_SECTION: Final = r"-----BEGIN {}-----\s+(\S+)\s+-+END {}-+"
_JWT: Final = re.compile(_SECTION.format("NATS USER JWT", "NATS USER JWT"))
_SEED: Final = re.compile(_SECTION.format("USER NKEY SEED", "USER NKEY SEED"))
_CREDENTIALS_STEP: Final = "it is the .creds file that NATS made for this user, or the seed of its key (SU...)"

_log = logging.getLogger(__name__)


def sign_on_options(settings: ClusterSettings) -> dict[str, Any]:
    """For `Client.connect`. Raises Refusal for a file that is of no use, now and at later connections."""
    options: dict[str, Any] = {}
    if settings.password_file is not None:
        file = settings.password_file
        _read_password(file)
        _warn_of_others(file)
        word = "token" if settings.user is None else "password"
        options[word] = lambda: _read_password(file)
    if settings.user is not None:
        options["user"] = settings.user
    if settings.credentials_file is not None:
        credentials = settings.credentials_file
        jwt, _ = _read_credentials(credentials)
        _warn_of_others(credentials)
        options["signature_cb"] = lambda nonce: _signature(_read_credentials(credentials)[1], nonce)
        if jwt is not None:
            options["user_jwt_cb"] = lambda: bytearray((_read_credentials(credentials)[0] or "").encode())
    return options


def public_key(settings: ClusterSettings) -> str | None:
    """What a server knows the key of `cluster.credentials_file` by; None without a key, or where a JWT says it."""
    if settings.credentials_file is None:
        return None
    jwt, key = _read_credentials(settings.credentials_file)
    if jwt is not None:
        return None
    body = bytes([_USER_PREFIX]) + key.public_key().public_bytes_raw()
    return base64.b32encode(body + _check_bytes(body)).decode().rstrip("=")


def _read_password(file: str) -> str:
    password = _text(file, "password_file", "a file with the password alone").strip()
    if not password or not password.isprintable():
        raise Refusal(
            f"cluster.password_file {file} does not hold a password of one line", "write the password alone into it"
        )
    return password


def _read_credentials(file: str) -> tuple[str | None, Ed25519PrivateKey]:
    text = _text(file, "credentials_file", _CREDENTIALS_STEP)
    jwt, seed = _JWT.search(text), _SEED.search(text)
    if (jwt is None) != (seed is None):
        raise Refusal(f"cluster.credentials_file {file} has a JWT or a key, and not both", _CREDENTIALS_STEP)
    key = _key(text.strip() if seed is None else seed[1])
    if key is None:
        raise Refusal(f"cluster.credentials_file {file} holds no key of a user of NATS", _CREDENTIALS_STEP)
    return None if jwt is None else jwt[1], key


def _key(seed: str) -> Ed25519PrivateKey | None:
    """Of the seed of a user; None for anything else."""
    try:
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    except binascii.Error:
        return None
    body, check = raw[:-2], raw[-2:]
    if len(body) != 2 + _RAW_BYTES or check != _check_bytes(body):
        return None
    if body[0] & 0xF8 != _SEED_PREFIX or (body[0] & 7) << 5 | body[1] >> 3 != _USER_PREFIX:
        return None
    return Ed25519PrivateKey.from_private_bytes(body[2:])


def _check_bytes(body: bytes) -> bytes:
    return binascii.crc_hqx(body, 0).to_bytes(2, "little")


def _signature(key: Ed25519PrivateKey, nonce: str) -> bytes:
    return base64.b64encode(key.sign(nonce.encode()))


def _text(file: str, setting: str, step: str) -> str:
    try:
        with Path(file).expanduser().open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise Refusal(f"cluster.{setting} {file} has more than {MAX_BYTES} bytes", step)
        return data.decode()
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise Refusal(f"cluster.{setting} {file} cannot be read: {why}", step) from exc


def _warn_of_others(file: str) -> None:
    """Container engines mount secrets as they like, so it is no error."""
    mode = stat.S_IMODE(Path(file).expanduser().stat().st_mode)
    if mode & 0o007:
        _log.warning("%s is open to every user of this machine (mode %03o); next: chmod 600 %s", file, mode, file)
