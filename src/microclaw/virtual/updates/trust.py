"""The public keys that a virtual board is given at its first start, as `microclaw flash` gives them to real ones."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Final, TypedDict

from microclaw.errors import ConfigError
from microclaw.hardware.firmware_modules import ota_check

CHANNEL: Final = "stable"
_MAX_FILE_BYTES: Final = 16_384
_PEM: Final = re.compile(rb"-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+?)-----END PUBLIC KEY-----")
_CHANNEL: Final = re.compile(r"[a-z0-9-]{1,32}")


class Trust(TypedDict):
    """The keys that the board keeps in flash: `keys` has the modulus of each in base64, by its id."""

    channel: str
    serial: int
    keys: dict[str, str]


def read_trust(path: Path, channel: str = CHANNEL) -> Trust:
    """One to four public keys in PEM form, one after the other; ConfigError for anything else."""
    if _CHANNEL.fullmatch(channel) is None:
        raise ConfigError(f"{channel!r} is no channel", next_step="1 to 32 of a-z, 0-9 and -")
    try:
        with path.open("rb") as file:
            blocks = _PEM.findall(file.read(_MAX_FILE_BYTES))
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}", next_step="check the path") from exc
    moduli = [_modulus(block) for block in blocks]
    if not 1 <= len(moduli) <= ota_check.MAX_KEYS or None in moduli:
        text = (
            f"{path} has to hold 1 to {ota_check.MAX_KEYS} public RSA keys of 3,072 bits in PEM form, and nothing else"
        )
        raise ConfigError(text, next_step="give the .pub.pem files that microclaw firmware keygen wrote")
    keys = {ota_check.key_id(m): base64.b64encode(m).decode() for m in moduli if m is not None}
    return Trust(channel=channel, serial=0, keys=keys)


def _modulus(block: bytes) -> bytes | None:
    try:
        der = base64.b64decode(b"".join(block.split()), validate=True)
    except binascii.Error:
        return None
    modulus = der[len(ota_check.SPKI_HEAD) :][: ota_check.MODULUS_BYTES]
    return modulus if der == ota_check.SPKI_HEAD + modulus + ota_check.SPKI_TAIL else None
