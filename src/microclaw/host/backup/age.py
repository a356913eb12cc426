"""age, version 1: a password or an X25519 key wraps a file's key, and each chunk of 64 KiB is encrypted with that.

It works on streams in constant memory, and returns no byte that was not checked. Source: c2sp.org/age.
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
# OWASP's minimum for scrypt with r = 8 and p = 1; it takes 128 MiB and half a second.
WORK_FACTOR: Final = 17
MIN_PASSWORD_CHARS: Final = 8
MAX_KEY_FILE_BYTES: Final = 4096
MAX_HEADER_BYTES: Final = 16 * 1024
PUBLIC_PREFIX: Final = "age"
PRIVATE_PREFIX: Final = "age-secret-key-"
# The size of a file's key, a nonce, a salt and a tag.
_SHORT_BYTES: Final = 16
_SEALED_BYTES: Final = CHUNK_BYTES + _SHORT_BYTES
_FIRST: Final = b"age-encryption.org/v1\n"
_STANZA: Final = rb"-> ([!-~]+(?: [!-~]+)*)\n((?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63}\n)"
_HEADER: Final = re.compile(rb"(%s(?P<stanzas>(?:%s){1,20})---) (?P<mac>[A-Za-z0-9+/]{43})\n" % (_FIRST, _STANZA))
_LABEL: Final = b"age-encryption.org/v1/"
_CHANGED: Final = "its header was modified, or is not supported"


@dataclass(frozen=True, slots=True)
class Password:
    """A password, which encrypts and decrypts. `work_factor` is the base-two logarithm of scrypt's N."""

    kind: ClassVar = "scrypt"
    noun: ClassVar = "password"
    text: str = field(repr=False)
    work_factor: int = WORK_FACTOR

    @classmethod
    def parse(cls, content: bytes, place: str, *, least_chars: int = MIN_PASSWORD_CHARS) -> Self:
        """Parse the only line of a file; `place` is its name in the ConfigError."""
        text = content.decode(errors="replace").strip()
        if not text.isprintable() or len(text) < least_chars:
            text = f"{place} is not one line with a password of {least_chars} or more characters"
            raise ConfigError(text, next_step="use four or five random words")
        return cls(text)

    def new_stanza(self) -> tuple[list[str], bytes]:
        """Return the words of a header's stanza, and the key that wraps the file's key."""
        salt = os.urandom(_SHORT_BYTES)
        return [_to_base64(salt), str(self.work_factor)], self._derive_key(salt, self.work_factor)

    def wrap_key(self, words: list[str]) -> bytes:
        """Return the key that wraps the file's key, from a stanza's words. Raises ValueError, StoreError."""
        salt, factor = words
        # At most 1 GiB; age itself writes 18.
        if not re.fullmatch("[1-9]|1[0-9]|20", factor):
            raise ValueError(factor)
        return self._derive_key(_from_base64(salt), int(factor))

    def _derive_key(self, salt: bytes, factor: int) -> bytes:
        kdf = Scrypt(salt=_LABEL + b"scrypt" + salt, length=KEY_BYTES, n=1 << factor, r=8, p=1)
        try:
            return kdf.derive(self.text.encode())
        except MemoryError as exc:
            text = f"not enough memory to try the password ({(1 << factor) * 1024 >> 20} MiB)"
            raise StoreError(text, next_step="end other programs, or do it on another machine") from exc


class AgePublicKey(Struct, frozen=True):
    """A public key, which only encrypts: the machine that makes backups need not have the private key."""

    kind: ClassVar = "X25519"
    raw: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse age1.... Raises ConfigError."""
        try:
            return cls(_decode_key(PUBLIC_PREFIX, text))
        except ValueError as exc:
            step = "microclaw backup make --new-key KEYFILE"
            raise ConfigError(f"{text[:20]!r} is not a public key of age (X25519): {exc}", next_step=step) from exc

    def __str__(self) -> str:
        return encode_bech32(PUBLIC_PREFIX, self.raw)

    def new_stanza(self) -> tuple[list[str], bytes]:
        """Return the words of a header's stanza, and the key that wraps the file's key."""
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(self.raw))
        return [_to_base64(share)], _hkdf(shared, share + self.raw, _LABEL + b"X25519")


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key, which decrypts files for its public key. Without `raw` it is a new one."""

    kind: ClassVar = "X25519"
    noun: ClassVar = "key"
    raw: bytes = field(default_factory=lambda: os.urandom(KEY_BYTES), repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a file of age-keygen: the line AGE-SECRET-KEY-1..., comments after #. Raises ConfigError."""
        lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
        try:
            (line,) = lines
            return cls(_decode_key(PRIVATE_PREFIX, line))
        # The error quotes nothing of the key.
        except ValueError as exc:
            raise ConfigError(f"the file of the key is not one line AGE-SECRET-KEY-1...: {exc}") from exc

    @property
    def public(self) -> AgePublicKey:
        return AgePublicKey(X25519PrivateKey.from_private_bytes(self.raw).public_key().public_bytes_raw())

    def to_text(self) -> str:
        """Return the lines of the key's file."""
        return f"# public key: {self.public}\n{encode_bech32(PRIVATE_PREFIX, self.raw).upper()}\n"

    def wrap_key(self, words: list[str]) -> bytes:
        """Return the key that wraps the file's key. Raises ValueError, also for a share of low order."""
        (share,) = map(_from_base64, words)
        shared = X25519PrivateKey.from_private_bytes(self.raw).exchange(X25519PublicKey.from_public_bytes(share))
        return _hkdf(shared, share + self.public.raw, _LABEL + b"X25519")


Lock: TypeAlias = Password | AgePublicKey
Key: TypeAlias = Password | PrivateKey


def encrypt(plain: Iterable[bytes], lock: Lock) -> Iterator[bytes]:
    """Yield the bytes of the encrypted file while `plain` is read."""
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
        # A full buffer waits: it may be the last chunk, which is marked, and which is empty only in an empty file.
        while len(buffer) > CHUNK_BYTES:
            yield cipher.encrypt(_nonce(number, last=False), bytes(buffer[:CHUNK_BYTES]), None)
            del buffer[:CHUNK_BYTES]
            number += 1
    yield cipher.encrypt(_nonce(number, last=True), bytes(buffer), None)


def decrypt(file: BinaryIO, key: Key) -> Iterator[bytes]:
    """Return the file's contents, in chunks. The header is checked at once: raises BackupError.

    The chunks raise BackupCut and BackupDamaged; the file is known to be whole only after the last one.
    """
    head = file.read(MAX_HEADER_BYTES)
    header = _HEADER.match(head)
    if header is None:
        raise _header_error(head)
    file_key = _unwrap_file_key(header["stanzas"], key)
    if not hmac.compare_digest(_mac(file_key, header[1]), header["mac"]):
        raise BackupDamaged(_CHANGED)
    file.seek(header.end())
    nonce = file.read(_SHORT_BYTES)
    return _decrypt_chunks(file, _hkdf(file_key, nonce, b"payload"))


def _decrypt_chunks(file: BinaryIO, key: bytes) -> Iterator[bytes]:
    """Yield the decrypted chunks. Raises BackupCut if the end is missing, BackupDamaged for other faults.

    Our own files have only full chunks: they are cut off if the last one is short, or is a chunk from the middle.
    """
    number = 0
    sealed = file.read(_SEALED_BYTES)
    while sealed or not number:
        following = file.read(_SEALED_BYTES)
        plain = _decrypt(key, _nonce(number, last=not following), sealed)
        if plain is None:
            is_short = len(sealed) < _SEALED_BYTES
            if not following and (is_short or _decrypt(key, _nonce(number, last=False), sealed) is not None):
                raise BackupCut("the backup is cut off: its end is missing")
            raise BackupDamaged(f"the backup was changed or is damaged at byte {number * CHUNK_BYTES:,} of its content")
        yield plain
        number += 1
        sealed = following


def _unwrap_file_key(stanzas: bytes, key: Key) -> bytes:
    """Return the file's key. Raises BackupLocked if this key does not open it, BackupDamaged for a wrong header.

    A file with a password has one stanza; in a file for several keys the stanzas of others are skipped.
    """
    parsed = [(words.decode().split(" "), body) for words, body in re.findall(_STANZA, stanzas)]
    needs_password = any(words[0] == Password.kind for words, _ in parsed)
    if needs_password != isinstance(key, Password):
        step = "leave --identity out" if needs_password else "give --identity FILE"
        raise BackupLocked(f"this backup does not open with a {key.noun}", next_step=step)
    if needs_password and len(parsed) > 1:
        raise BackupDamaged(_CHANGED)
    try:
        for (kind, *words), body in parsed:
            if kind != key.kind:
                continue
            wrapped = _from_base64(body.replace(b"\n", b"").decode())
            # Checked before any key is tried on it, because of partitioning oracles.
            if len(wrapped) != 2 * _SHORT_BYTES:
                raise BackupDamaged(_CHANGED)
            file_key = _decrypt(key.wrap_key(words), bytes(12), wrapped)
            if file_key is not None:
                return file_key
    except ValueError as exc:
        raise BackupDamaged(_CHANGED) from exc
    text = f"the {key.noun} is not the one of this backup (or the first lines of the file were changed)"
    raise BackupLocked(text, next_step="try again")


def _header_error(head: bytes) -> Exception:
    """Return the error for a file whose start is not a valid header."""
    has_first = head.startswith(_FIRST)
    if has_first and (re.search(rb"\n---.*\n", head) or len(head) == MAX_HEADER_BYTES):
        return BackupDamaged(_CHANGED)
    if head and (has_first or _FIRST.startswith(head)):
        return BackupCut("the backup is cut off in its header")
    if head.startswith(_FIRST.partition(b"1")[0]):
        return BackupNewer("the file is of a newer format of age")
    return NotABackup("the file is not a backup: it does not begin as one")


def _decrypt(key: bytes, nonce: bytes, sealed: bytes) -> bytes | None:
    """Return the plain bytes, or None if the key or nonce is wrong or the bytes were changed."""
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, None)
    except InvalidTag:
        return None


def _hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(secret)


def _mac(file_key: bytes, text: bytes) -> bytes:
    """Return the header's code in base64, of which only one form is valid."""
    return _to_base64(hmac.digest(_hkdf(file_key, b"", b"header"), text, "sha256")).encode()


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _decode_key(prefix: str, text: str) -> bytes:
    raw = decode_bech32(prefix, text)
    if len(raw) != KEY_BYTES:
        raise ValueError(f"it has {len(raw)} bytes, not {KEY_BYTES}")
    return raw


def _to_base64(data: bytes) -> str:
    """Encode without padding."""
    return base64.b64encode(data).decode().rstrip("=")


def _from_base64(text: str) -> bytes:
    """Decode text without padding. Raises ValueError."""
    return base64.b64decode(f"{text}{'=' * (-len(text) % 4)}", validate=True)
