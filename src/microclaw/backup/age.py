"""age, version 1: a password or an X25519 key wraps a file's key, and each chunk of 64 KiB is encrypted with it.

It works on streams in constant memory, and gives out no byte that was not checked. Source: c2sp.org/age.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, ClassVar, Final, Self, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Struct

from microclaw.bech32 import decode_bech32, encode_bech32
from microclaw.errors import BackupCut, BackupDamaged, BackupLocked, BackupNewer, ConfigError, NotABackup, StoreError

CHUNK_BYTES: Final = 64 * 1024
KEY_BYTES: Final = 32
WORK_FACTOR: Final = 17  # 128 MiB and half a second: OWASP's least for scrypt with r = 8 and p = 1
MIN_PASSWORD_CHARS: Final = 8
MAX_KEY_FILE_BYTES: Final = 4096
MAX_HEADER_BYTES: Final = 16 * 1024
PUBLIC_PREFIX: Final = "age"
PRIVATE_PREFIX: Final = "age-secret-key-"
_SHORT_BYTES: Final = 16  # of a file's key, a nonce, a salt, a tag
_SEALED_BYTES: Final = CHUNK_BYTES + _SHORT_BYTES
_FIRST: Final = b"age-encryption.org/v1\n"
_STANZA: Final = rb"-> ([!-~]+(?: [!-~]+)*)\n((?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63}\n)"
_HEADER: Final = re.compile(rb"(%s(?P<stanzas>(?:%s){1,20})---) (?P<mac>[A-Za-z0-9+/]{43})\n" % (_FIRST, _STANZA))
_LABEL: Final = b"age-encryption.org/v1/"
_CHANGED: Final = "its header was changed, or is none that is read here"


@dataclass(frozen=True, slots=True)
class Password:
    """Locks and opens. `work_factor` is the base-two logarithm of scrypt's N."""

    kind: ClassVar = "scrypt"
    noun: ClassVar = "password"
    text: str = field(repr=False)
    work_factor: int = WORK_FACTOR

    @classmethod
    def parse(cls, content: bytes, place: str, *, least_chars: int = MIN_PASSWORD_CHARS) -> Self:
        """The one line of a file. ConfigError."""
        text = content.decode(errors="replace").strip()
        if not text.isprintable() or len(text) < least_chars:
            text = f"{place} is not one line with a password of {least_chars} or more characters"
            raise ConfigError(text, next_step="four or five words by chance make a good one")
        return cls(text)

    def new_stanza(self) -> tuple[list[str], bytes]:
        """The words of a header's stanza, and the key that wraps the file's."""
        salt = os.urandom(_SHORT_BYTES)
        return [_to_base64(salt), str(self.work_factor)], self._key(salt, self.work_factor)

    def wrap_key(self, words: list[str]) -> bytes:
        """The key that wraps the file's, of a stanza's words. BackupDamaged, ValueError."""
        salt, factor = words
        if not re.fullmatch("[1-9]|1[0-9]|20", factor):  # at most 1 GiB; age itself writes 18
            raise ValueError(factor)
        return self._key(_from_base64(salt), int(factor))

    def _key(self, salt: bytes, factor: int) -> bytes:
        kdf = Scrypt(salt=_LABEL + b"scrypt" + salt, length=KEY_BYTES, n=1 << factor, r=8, p=1)
        try:
            return kdf.derive(self.text.encode())
        except MemoryError as exc:
            text = f"this machine has not the {(1 << factor) * 1024 >> 20} MiB that the password takes to try"
            raise StoreError(text, next_step="end other programs, or do it on another machine") from exc


class PublicKey(Struct, frozen=True):
    """Locks; nobody needs to know what opens."""

    kind: ClassVar = "X25519"
    raw: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """age1...; ConfigError."""
        try:
            return cls(_decoded(PUBLIC_PREFIX, text))
        except ValueError as exc:
            step = "microclaw backup make --new-key KEYFILE"
            raise ConfigError(f"{text[:20]!r} is no public key of age (X25519): {exc}", next_step=step) from exc

    def __str__(self) -> str:
        return encode_bech32(PUBLIC_PREFIX, self.raw)

    def new_stanza(self) -> tuple[list[str], bytes]:
        """As Password's."""
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(self.raw))
        return [_to_base64(share)], _hkdf(shared, share + self.raw, _LABEL + b"X25519")


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """Opens what was locked with its public key; a new one without `raw`."""

    kind: ClassVar = "X25519"
    noun: ClassVar = "key"
    raw: bytes = field(default_factory=lambda: os.urandom(KEY_BYTES), repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """A file as age-keygen makes it: the line AGE-SECRET-KEY-1..., comments after #. ConfigError."""
        lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
        try:
            (line,) = lines
            return cls(_decoded(PRIVATE_PREFIX, line))
        except ValueError as exc:  # it quotes nothing of the key
            raise ConfigError(f"the file of the key is not one line AGE-SECRET-KEY-1...: {exc}") from exc

    @property
    def public(self) -> PublicKey:
        return PublicKey(X25519PrivateKey.from_private_bytes(self.raw).public_key().public_bytes_raw())

    def to_text(self) -> str:
        """The lines of the file."""
        return f"# public key: {self.public}\n{encode_bech32(PRIVATE_PREFIX, self.raw).upper()}\n"

    def wrap_key(self, words: list[str]) -> bytes:
        """As Password's. ValueError also for a share of low order."""
        (share,) = map(_from_base64, words)
        shared = X25519PrivateKey.from_private_bytes(self.raw).exchange(X25519PublicKey.from_public_bytes(share))
        return _hkdf(shared, share + self.public.raw, _LABEL + b"X25519")


Lock: TypeAlias = Password | PublicKey
Key: TypeAlias = Password | PrivateKey


def encrypted(plain: Iterable[bytes], lock: Lock) -> Iterator[bytes]:
    """The file's bytes, as `plain` comes."""
    file_key = os.urandom(_SHORT_BYTES)
    nonce = os.urandom(_SHORT_BYTES)
    words, wrap_key = lock.new_stanza()
    wrapped = _to_base64(ChaCha20Poly1305(wrap_key).encrypt(bytes(12), file_key, None))
    text = _FIRST + f"-> {lock.kind} {' '.join(words)}\n{wrapped}\n---".encode()
    yield text + b" " + _mac(file_key, text) + b"\n" + nonce
    cipher = ChaCha20Poly1305(_hkdf(file_key, nonce, b"payload"))
    number = 0
    buffer = bytearray()
    for data in plain:
        buffer += data
        while len(buffer) > CHUNK_BYTES:  # not >=: the last chunk is told apart, and is empty in an empty file alone
            yield cipher.encrypt(_nonce(number, last=False), bytes(buffer[:CHUNK_BYTES]), None)
            del buffer[:CHUNK_BYTES]
            number += 1
    yield cipher.encrypt(_nonce(number, last=True), bytes(buffer), None)


def decrypted(file: BinaryIO, key: Key) -> Iterator[bytes]:
    """Yield the file's contents, in chunks. The header is read at once: BackupError. The chunks raise BackupCut and
    BackupDamaged; only after the last one is the file known to be whole.
    """
    head = file.read(MAX_HEADER_BYTES)
    header = _HEADER.match(head)
    if header is None:
        raise _no_header(head)
    file_key = _file_key(header["stanzas"], key)
    if not hmac.compare_digest(_mac(file_key, header[1]), header["mac"]):
        raise BackupDamaged(_CHANGED)
    file.seek(header.end())
    nonce = file.read(_SHORT_BYTES)
    return _chunks(file, _hkdf(file_key, nonce, b"payload"))


def _chunks(file: BinaryIO, key: bytes) -> Iterator[bytes]:
    """Our own have full chunks only: the last one is cut off if it is short, or would be right in the middle."""
    number = 0
    sealed = file.read(_SEALED_BYTES)
    while sealed or not number:
        after = file.read(_SEALED_BYTES)
        plain = _opened(key, _nonce(number, last=not after), sealed)
        if plain is None:
            is_short = len(sealed) < _SEALED_BYTES
            if not after and (is_short or _opened(key, _nonce(number, last=False), sealed) is not None):
                raise BackupCut("the backup is cut off: its end is missing")
            raise BackupDamaged(f"the backup was changed or is damaged at byte {number * CHUNK_BYTES:,} of its content")
        yield plain
        number = number + 1
        sealed = after


def _file_key(stanzas: bytes, key: Key) -> bytes:
    """A file of a password has one stanza; of several keys', those of others are passed over."""
    found = [(words.decode().split(" "), body) for words, body in re.findall(_STANZA, stanzas)]
    is_of_password = any(words[0] == Password.kind for words, _ in found)
    if is_of_password != isinstance(key, Password):
        step = "leave --identity out" if is_of_password else "give --identity FILE"
        raise BackupLocked(f"this backup does not open with a {key.noun}", next_step=step)
    if is_of_password and len(found) > 1:
        raise BackupDamaged(_CHANGED)
    try:
        for (kind, *words), body in found:
            if kind != key.kind:
                continue
            wrapped = _from_base64(body.replace(b"\n", b"").decode())
            if len(wrapped) != 2 * _SHORT_BYTES:  # before anything is tried on it (partitioning oracles)
                raise BackupDamaged(_CHANGED)
            opened = _opened(key.wrap_key(words), bytes(12), wrapped)
            if opened is not None:
                return opened
    except ValueError as exc:
        raise BackupDamaged(_CHANGED) from exc
    text = f"the {key.noun} is not the one of this backup (or the first lines of the file were changed)"
    raise BackupLocked(text, next_step="try again")


def _no_header(head: bytes) -> Exception:
    if head.startswith(_FIRST) and (re.search(rb"\n---.*\n", head) or len(head) == MAX_HEADER_BYTES):
        return BackupDamaged(_CHANGED)
    if head and (head.startswith(_FIRST) or _FIRST.startswith(head)):
        return BackupCut("the backup is cut off in its header")
    if head.startswith(_FIRST.partition(b"1")[0]):
        return BackupNewer("the file is of a newer format of age")
    return NotABackup("the file is no backup: it does not begin as one")


def _opened(key: bytes, nonce: bytes, sealed: bytes) -> bytes | None:
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, None)
    except InvalidTag:
        return None


def _hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(secret)


def _mac(file_key: bytes, text: bytes) -> bytes:
    """In base64, of which one form alone is right."""
    return _to_base64(hmac.digest(_hkdf(file_key, b"", b"header"), text, "sha256")).encode()


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _decoded(prefix: str, text: str) -> bytes:
    raw = decode_bech32(prefix, text)
    if len(raw) != KEY_BYTES:
        raise ValueError(f"it has {len(raw)} bytes, not {KEY_BYTES}")
    return raw


def _to_base64(data: bytes) -> str:
    """Without padding."""
    return base64.b64encode(data).decode().rstrip("=")


def _from_base64(text: str) -> bytes:
    """ValueError."""
    return base64.b64decode(f"{text}{'=' * (-len(text) % 4)}", validate=True)
