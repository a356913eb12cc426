"""Manifests of updates: read, checked, written (docs/protocols/ota.md). It verifies no signature.

Their form is checked by the boards' own code (firmware/fw/ota_check.py): the host takes what a board takes.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from msgspec import Struct, to_builtins

from microclaw.conversion import convert
from microclaw.errors import ConfigError
from microclaw.hardware.firmware_modules import ota_check

SCHEMA: Final = 1
ALG: Final = "rsa3072-pss-sha256"
MAX_MANIFEST_BYTES: Final[int] = ota_check.MAX_MANIFEST_BYTES
MAX_PAYLOAD_BYTES: Final[int] = ota_check.MAX_PAYLOAD_BYTES
MAX_KEYS: Final[int] = ota_check.MAX_KEYS
CHIPS: Final = ("esp32", "esp32s2", "esp32s3", "esp32c3", "esp32c6")
SMALL: Final = "-small"
"""Behind the chip of a bundle for boards without PSRAM."""


class ManifestError(ConfigError):
    """A fault of a manifest; `reason` is the contract's code."""

    def __init__(
        self, reason: str, text: str, *, next_step: str = "sign a correct manifest, then publish that"
    ) -> None:
        super().__init__(text, next_step=next_step)
        self.reason = reason


class Release(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A manifest of kind `files` or `image`.

    `device` is the only device that may take it; `revisions` are the revisions of boards that may.
    """

    schema: int
    kind: Literal["files", "image"]
    name: str
    board: str
    revisions: tuple[str, ...] | None = None
    channel: str
    device: str | None = None
    version: str
    security_version: int
    sha256: str
    size: int
    created: str
    expires: str
    key_id: str
    alg: str
    allow_downgrade: bool = False


class TrustedKey(Struct, frozen=True):
    """A public key in a manifest; `n` is its modulus, big-endian, in base64."""

    key_id: str
    n: str


class KeyChange(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A manifest of kind `keys`: the public keys that a device trusts from then on, and the keys to remove."""

    schema: int
    kind: Literal["keys"]
    name: str
    device: str | None = None
    serial: int
    add: tuple[TrustedKey, ...]
    remove: tuple[str, ...]
    created: str
    expires: str
    key_id: str
    alg: str

    @property
    def version(self) -> str:
        """The name in a device's `ota_status`."""
        return f"keys-{self.serial}"


Manifest: TypeAlias = Release | KeyChange


def read_manifest(data: bytes) -> Manifest:
    """Parse a manifest; ManifestError `malformed` or `unsupported_schema` if the contract does not allow it."""
    try:
        values = ota_check.read_manifest(data)
    except ota_check.Refused as exc:
        raise ManifestError(exc.code, f"the manifest is {exc.error()[:300]}") from exc
    if values["kind"] == "keys":
        return convert(values, KeyChange)
    release = convert(values, Release)
    chip = release.board
    if release.kind == "files":
        chip = chip.removesuffix(SMALL)
    if chip not in CHIPS:
        raise ManifestError("malformed", f"the board {release.board} is not valid for the kind {release.kind}")
    return release


def write_manifest(manifest: Manifest) -> bytes:
    """Return the bytes to sign. Raises ManifestError if `read_manifest` would refuse them."""
    data = json.dumps(to_builtins(manifest), separators=(",", ":")).encode()
    read_manifest(data)
    return data


def version_numbers(text: str) -> tuple[int, ...] | None:
    """Return a version as numbers to compare; None for any other text, which devices may report."""
    try:
        numbers: tuple[int, ...] = ota_check.version(text)
    except ValueError:
        return None
    return numbers


def check_version(text: str) -> str:
    """Return the version; raise ConfigError if no manifest may have it."""
    if version_numbers(text) is None:
        raise ConfigError(f"{text[:40]!r} is not a version", next_step="give MAJOR.MINOR.PATCH, each 0 to 65535: 1.4.0")
    return text


def moment(seconds: float) -> str:
    """Format a time in seconds since 1970 as manifests write it."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment_ms(text: str) -> int:
    """Parse the time of a manifest into milliseconds since 1970."""
    return int(ota_check.seconds(text)) * 1000
