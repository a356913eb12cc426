"""Manifests of updates: read strictly, checked, written (docs/protocols/ota.md). It verifies no signature."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import Meta, Struct, ValidationError, convert, to_builtins

from microclaw.errors import ConfigError

SCHEMA: Final = 1
ALG: Final = "rsa3072-pss-sha256"
MAX_MANIFEST_BYTES: Final = 4_096
MAX_DEPTH: Final = 4
MAX_PAYLOAD_BYTES: Final = 16 << 20
MAX_KEYS: Final = 4
MODULUS_BYTES: Final = 384
CHIPS: Final = ("esp32", "esp32s2", "esp32s3", "esp32c3", "esp32c6")
SMALL: Final = "-small"
"""Behind the chip of a bundle for boards without PSRAM."""

Kind: TypeAlias = Literal["files", "image", "keys"]
KINDS: Final[tuple[Kind, ...]] = ("files", "image", "keys")

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")]
Channel = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,32}\Z")]
DeviceId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")]
VersionText = Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]{0,4})(\.(0|[1-9][0-9]{0,4})){2}\Z")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Revision = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,32}\Z")]
Revisions = Annotated[tuple[Revision, ...], Meta(min_length=1, max_length=16)]
KeyId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
Size = Annotated[int, Meta(ge=1, le=MAX_PAYLOAD_BYTES)]
Small = Annotated[int, Meta(ge=0, le=65_535)]
Serial = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Moment = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z")]
Modulus = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{512}\Z")]


class ManifestError(ConfigError):
    """A fault of a manifest; `reason` is the contract's code."""

    def __init__(
        self, reason: str, text: str, *, next_step: str = "sign a correct manifest, then publish that"
    ) -> None:
        super().__init__(text, next_step=next_step)
        self.reason = reason


class Release(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A manifest of kind `files` or `image`; `device` is the only one that may take it, `revisions` are those of the
    boards that may."""

    schema: int
    kind: Literal["files", "image"]
    name: Name
    board: str
    revisions: Revisions | None = None
    channel: Channel
    device: DeviceId | None = None
    version: VersionText
    security_version: Small
    sha256: Digest
    size: Size
    created: Moment
    expires: Moment
    key_id: KeyId
    alg: str
    allow_downgrade: bool = False


class TrustedKey(Struct, frozen=True):
    """`n` is the modulus, big-endian, in base64."""

    key_id: KeyId
    n: Modulus

    @property
    def modulus(self) -> int:
        return int.from_bytes(base64.b64decode(self.n), "big")


class KeyChange(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A manifest of kind `keys`: which public keys a device trusts from then on, and which no more."""

    schema: int
    kind: Literal["keys"]
    name: Name
    device: DeviceId | None = None
    serial: Serial
    add: Annotated[tuple[TrustedKey, ...], Meta(max_length=MAX_KEYS)]
    remove: Annotated[tuple[KeyId, ...], Meta(max_length=MAX_KEYS)]
    created: Moment
    expires: Moment
    key_id: KeyId
    alg: str

    @property
    def version(self) -> str:
        """The name in a device's `ota_status`."""
        return f"keys-{self.serial}"


Manifest: TypeAlias = Release | KeyChange


def read_manifest(data: bytes) -> Manifest:
    """ManifestError `malformed` or `unsupported_schema` for anything that the contract does not allow."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise _malformed(f"it has {len(data)} bytes, the limit is {MAX_MANIFEST_BYTES}")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except (ValueError, RecursionError) as exc:
        raise _malformed(f"it is no JSON: {exc}") from exc
    if not isinstance(value, dict) or _depth(value) > MAX_DEPTH:
        raise _malformed(f"it is no JSON object, or one of more than {MAX_DEPTH} levels")
    is_keys = _known_kind(value) == "keys"
    try:
        manifest: Manifest = convert(value, KeyChange) if is_keys else convert(value, Release)
    except ValidationError as exc:
        raise _malformed(str(exc)) from exc
    _check(manifest)
    return manifest


def write_manifest(manifest: Manifest) -> bytes:
    """The bytes that are signed. ManifestError where `read_manifest` would refuse them."""
    data = json.dumps(to_builtins(manifest), separators=(",", ":")).encode()
    read_manifest(data)
    return data


def version_numbers(text: str) -> tuple[int, int, int] | None:
    """A version as numbers to compare; None for another text, which devices may report."""
    if re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,5}){2}", text) is None:
        return None
    major, minor, patch = (int(part) for part in text.split("."))
    return (major, minor, patch) if max(major, minor, patch) <= 65_535 else None


def check_version(text: str) -> str:
    """The version; ConfigError for one that no manifest may have."""
    numbers = version_numbers(text)
    if numbers is None or ".".join(map(str, numbers)) != text:
        raise ConfigError(f"{text[:40]!r} is no version", next_step="give MAJOR.MINOR.PATCH, each 0 to 65535: 1.4.0")
    return text


def moment(seconds: float) -> str:
    """A time in seconds since 1970 as manifests have it."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment_ms(text: str) -> int:
    """ValueError for a day or an hour that there is not."""
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp() * 1000)


def _known_kind(value: dict[str, Any]) -> str:
    for key, known in (("schema", (SCHEMA,)), ("kind", KINDS), ("alg", (ALG,))):
        found = value.get(key)
        if type(found) is not type(known[0]):
            raise _malformed(f"{key} is missing, or of another type")
        if found not in known:
            text = f"the manifest's {key} is {str(found)[:40]!r}, known here: {', '.join(map(str, known))}"
            raise ManifestError("unsupported_schema", text)
    return str(value["kind"])


def _check(manifest: Manifest) -> None:
    """Check what the types do not say."""
    try:
        moment_ms(manifest.created), moment_ms(manifest.expires)
    except ValueError as exc:
        raise _malformed(f"a time that there is not: {exc}") from exc
    if isinstance(manifest, KeyChange):
        _check_keys(manifest)
        return
    if max(version_numbers(manifest.version) or (65_536,)) > 65_535:
        raise _malformed(f"the version {manifest.version} has a part over 65535")
    chip = manifest.board.removesuffix(SMALL) if manifest.kind == "files" else manifest.board
    if chip not in CHIPS:
        raise _malformed(f"the board {manifest.board[:40]!r} is none for the kind {manifest.kind}")


def _check_keys(change: KeyChange) -> None:
    added = [key.key_id for key in change.add]
    named = [*added, *change.remove]
    if not named or len(set(named)) != len(named):
        raise _malformed("it adds and removes no key, or one twice")
    if any(key.modulus.bit_length() != MODULUS_BYTES * 8 or not key.modulus & 1 for key in change.add):
        raise _malformed("a key that is no RSA modulus of 3072 bits")


def _depth(value: object) -> int:
    """Of containers; the parser has ended what is nested without end."""
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _constant(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def _malformed(text: str) -> ManifestError:
    return ManifestError("malformed", f"the manifest is malformed: {text[:300]}")
