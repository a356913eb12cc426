"""What locks and opens an age file: a password, or an X25519 key pair (age-encryption.org/v1). It reads no file.

A key wraps the file's own key in a stanza of the header. Sources: c2sp.org/age, "Native recipient types".
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, Self, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from microclaw.backup.errors import BackupDamaged, BackupLocked
from microclaw.bech32 import decode_bech32, encode_bech32
from microclaw.errors import ConfigError, StoreError

RandomBytes: TypeAlias = Callable[[int], bytes]

FILE_KEY_BYTES: Final = 16
WRAPPED_BYTES: Final = FILE_KEY_BYTES + 16  # with the tag
KEY_BYTES: Final = 32
SALT_BYTES: Final = 16
WORK_FACTOR: Final = 17  # 128 MiB and half a second: OWASP's least for scrypt with r = 8 and p = 1
MAX_WORK_FACTOR: Final = 20  # 1 GiB; age itself writes 18
MIN_PASSWORD_CHARS: Final = 8
MAX_KEYS: Final = 16  # of one file of keys
MAX_KEY_FILE_BYTES: Final = 4096
PUBLIC_PREFIX: Final = "age"
PRIVATE_PREFIX: Final = "age-secret-key-"
_SCRYPT: Final = "scrypt"
_X25519: Final = "X25519"
_SCRYPT_LABEL: Final = b"age-encryption.org/v1/scrypt"
_X25519_LABEL: Final = b"age-encryption.org/v1/X25519"
_NONCE: Final = bytes(12)
_WHOLE: Final = re.compile(r"[1-9][0-9]{0,3}")


@dataclass(frozen=True, slots=True)
class Stanza:
    """One recipient's part of the header: words, then the wrapped key."""

    arguments: tuple[str, ...]
    body: bytes


class Lock(Protocol):
    """What a file is locked with."""

    def wrap(self, file_key: bytes, random_bytes: RandomBytes) -> Stanza: ...


class Key(Protocol):
    """What opens a file. BackupLocked when it is not the one, BackupDamaged for stanzas that are none."""

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Password:
    """Locks and opens. `work_factor` is the base-two logarithm of scrypt's N."""

    text: str = field(repr=False)
    work_factor: int = WORK_FACTOR

    def wrap(self, file_key: bytes, random_bytes: RandomBytes) -> Stanza:
        salt = random_bytes(SALT_BYTES)
        sealed = ChaCha20Poly1305(self._wrap_key(salt, self.work_factor)).encrypt(_NONCE, file_key, None)
        return Stanza((_SCRYPT, to_base64(salt), str(self.work_factor)), sealed)

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes:
        if not any(stanza.arguments[0] == _SCRYPT for stanza in stanzas):
            raise BackupLocked("this backup opens with a key, not with a password", next_step="give --identity FILE")
        if len(stanzas) != 1:
            raise BackupDamaged("its header has a password beside other keys, which no backup has")
        _, salt_text, factor_text = _of_length(stanzas[0], 3)
        salt = from_base64(salt_text, SALT_BYTES)
        if not _WHOLE.fullmatch(factor_text):
            raise BackupDamaged("its header has a work factor that is no number")
        if int(factor_text) > MAX_WORK_FACTOR:
            raise BackupDamaged(f"its password takes more than 1 GiB to try (work factor {factor_text})")
        opened = _open(self._wrap_key(salt, int(factor_text)), stanzas[0])
        if opened is None:
            text = "the password is not the one of this backup (or the first lines of the file were changed)"
            raise BackupLocked(text, next_step="try again; without its password nobody can open a backup")
        return opened

    def _wrap_key(self, salt: bytes, factor: int) -> bytes:
        kdf = Scrypt(salt=_SCRYPT_LABEL + salt, length=KEY_BYTES, n=1 << factor, r=8, p=1)
        try:
            return kdf.derive(self.text.encode())
        except MemoryError as exc:
            text = f"this machine has not the {(1 << factor) * 1024 >> 20} MiB of memory that the password takes to try"
            raise StoreError(text, next_step="end other programs, or do it on another machine") from exc


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Locks; nobody needs to know what opens."""

    raw: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """age1...; ConfigError."""
        try:
            return cls(_decoded(PUBLIC_PREFIX, text))
        except ValueError as exc:
            step = "microclaw backup --new-key KEYFILE makes a key and prints its age1..."
            raise ConfigError(f"{text[:20]!r} is no public key of age (X25519): {exc}", next_step=step) from exc

    def __str__(self) -> str:
        return encode_bech32(PUBLIC_PREFIX, self.raw)

    def wrap(self, file_key: bytes, random_bytes: RandomBytes) -> Stanza:
        ephemeral = X25519PrivateKey.from_private_bytes(random_bytes(KEY_BYTES))
        share = ephemeral.public_key().public_bytes_raw()
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(self.raw))
        sealed = ChaCha20Poly1305(_x25519_wrap_key(shared, share, self.raw)).encrypt(_NONCE, file_key, None)
        return Stanza((_X25519, to_base64(share)), sealed)


@dataclass(frozen=True, slots=True)
class PrivateKeys:
    """Opens what was locked with the public key of any of them."""

    raw: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """A file of keys as age-keygen makes it: lines AGE-SECRET-KEY-1..., comments after #. ConfigError."""
        lines = [line.strip() for line in text.splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        if not 1 <= len(lines) <= MAX_KEYS:
            raise ConfigError(f"the file of keys has {len(lines)} lines with keys, not 1 to {MAX_KEYS}")
        try:
            return cls(tuple(_decoded(PRIVATE_PREFIX, line) for line in lines))
        except ValueError as exc:  # it quotes nothing of the key
            raise ConfigError(f"a line of the file of keys is no AGE-SECRET-KEY-1...: {exc}") from exc

    @property
    def public(self) -> PublicKey:
        """Of the first one."""
        return PublicKey(X25519PrivateKey.from_private_bytes(self.raw[0]).public_key().public_bytes_raw())

    def to_text(self) -> str:
        """The lines of the file."""
        lines = "".join(f"{encode_bech32(PRIVATE_PREFIX, raw).upper()}\n" for raw in self.raw)
        return f"# public key: {self.public}\n{lines}"

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes:
        mine = [stanza for stanza in stanzas if stanza.arguments[0] == _X25519]
        if any(stanza.arguments[0] == _SCRYPT for stanza in stanzas):
            if len(stanzas) != 1:
                raise BackupDamaged("its header has a password beside other keys, which no backup has")
            raise BackupLocked("this backup opens with a password, not with a key", next_step="leave --identity out")
        for stanza in mine:
            share = from_base64(_of_length(stanza, 2)[1], KEY_BYTES)
            for raw in self.raw:
                if (opened := _open_with(raw, share, stanza)) is not None:
                    return opened
        raise BackupLocked("none of these keys opens this backup", next_step="give the --identity FILE of its host")


def new_private_key(random_bytes: RandomBytes) -> PrivateKeys:
    return PrivateKeys((random_bytes(KEY_BYTES),))


def to_base64(data: bytes) -> str:
    """Without padding."""
    return base64.b64encode(data).decode().rstrip("=")


def from_base64(text: str, size_bytes: int) -> bytes:
    """Exactly so many bytes in the one way to write them; BackupDamaged."""
    try:
        data = base64.b64decode(f"{text}{'=' * (-len(text) % 4)}", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != size_bytes or to_base64(data) != text:
        raise BackupDamaged("its header holds base64 text that is wrong")
    return data


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(secret)


def _decoded(prefix: str, text: str) -> bytes:
    raw = decode_bech32(prefix, text)
    if len(raw) != KEY_BYTES:
        raise ValueError(f"it has {len(raw)} bytes, not {KEY_BYTES}")
    return raw


def _of_length(stanza: Stanza, count: int) -> tuple[str, ...]:
    """The arguments; the body's length is checked before anything is tried on it (partitioning oracles)."""
    if len(stanza.arguments) != count or len(stanza.body) != WRAPPED_BYTES:
        raise BackupDamaged(f"its header has a part {stanza.arguments[0]} of a wrong form")
    return stanza.arguments


def _x25519_wrap_key(shared: bytes, share: bytes, public: bytes) -> bytes:
    return hkdf(shared, share + public, _X25519_LABEL)


def _open_with(raw: bytes, share: bytes, stanza: Stanza) -> bytes | None:
    private = X25519PrivateKey.from_private_bytes(raw)
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(share))
    except ValueError as exc:  # all zero: the share is of low order
        raise BackupDamaged("its header has a share that is none") from exc
    return _open(_x25519_wrap_key(shared, share, private.public_key().public_bytes_raw()), stanza)


def _open(wrap_key: bytes, stanza: Stanza) -> bytes | None:
    try:
        return ChaCha20Poly1305(wrap_key).decrypt(_NONCE, stanza.body, None)
    except InvalidTag:
        return None
