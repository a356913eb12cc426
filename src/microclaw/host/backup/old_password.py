"""Reads a backup with a password, as microclaw made them before it had keys alone: age with scrypt. It goes with 0.2.

pyrage reads such a file only as a whole, and a backup may be larger than the memory.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from microclaw.errors import BackupCut, BackupDamaged, BackupLocked, NotABackup, StoreError

CHUNK_BYTES: Final = 64 * 1024
MAX_HEADER_BYTES: Final = 1024
# The size of a file's key, a nonce, a salt and a tag.
_SHORT_BYTES: Final = 16
_SEALED_BYTES: Final = CHUNK_BYTES + _SHORT_BYTES
_LABEL: Final = b"age-encryption.org/v1"
# The factor is the base-two logarithm of scrypt's N: 20 takes 1 GiB of memory.
_HEADER: Final = re.compile(
    rb"(age-encryption\.org/v1\n-> scrypt ([A-Za-z0-9+/]{22}) ([1-9]|1[0-9]|20)\n([A-Za-z0-9+/]{43})\n---)"
    rb" ([A-Za-z0-9+/]{43})\n"
)


def decrypt_old(file: BinaryIO, password: str) -> Iterator[bytes]:
    """Yield the content of a backup with a password. Raises BackupError, StoreError.

    The file is known to be whole only after the last piece.
    """
    head = file.read(MAX_HEADER_BYTES)
    header = _HEADER.match(head)
    if header is None:
        if head.startswith(_LABEL):
            text = "this backup does not open with a password, or its first lines were changed"
            raise BackupLocked(text, next_step="give --identity KEYFILE instead of --old")
        raise NotABackup("the file is not a backup: it does not begin as one")
    authenticated, salt, factor, wrapped, mac = header.groups()
    wrap_key = _derive_key(password, _from_base64(salt), int(factor))
    file_key = _decrypt(wrap_key, bytes(12), _from_base64(wrapped))
    if file_key is None:
        text = "the password is not the one of this backup, or its first lines were changed"
        raise BackupLocked(text, next_step="try again")
    expected_mac = hmac.digest(_hkdf(file_key, b"", b"header"), authenticated, "sha256")
    if not hmac.compare_digest(expected_mac, _from_base64(mac)):
        raise BackupDamaged("its first lines were changed")
    file.seek(header.end())
    nonce = file.read(_SHORT_BYTES)
    yield from _decrypt_chunks(file, _hkdf(file_key, nonce, b"payload"))


def _decrypt_chunks(file: BinaryIO, key: bytes) -> Iterator[bytes]:
    """Yield the decrypted chunks. Raises BackupCut if the end is missing, BackupDamaged for other faults."""
    number = 0
    sealed = file.read(_SEALED_BYTES)
    while sealed or not number:
        following = file.read(_SEALED_BYTES)
        plain = _decrypt(key, _nonce(number, is_last=not following), sealed)
        if plain is None:
            # Such a backup has only full chunks.
            is_short = len(sealed) < _SEALED_BYTES
            if not following and (is_short or _decrypt(key, _nonce(number, is_last=False), sealed) is not None):
                raise BackupCut("the backup is cut off: its end is missing")
            raise BackupDamaged(f"the backup was changed or is damaged at byte {number * CHUNK_BYTES:,} of its content")
        yield plain
        number += 1
        sealed = following


def _derive_key(password: str, salt: bytes, factor: int) -> bytes:
    kdf = Scrypt(salt=_LABEL + b"/scrypt" + salt, length=32, n=1 << factor, r=8, p=1)
    try:
        return kdf.derive(password.encode())
    except MemoryError as exc:
        text = f"not enough memory to try the password ({(1 << factor) * 1024 >> 20} MiB)"
        raise StoreError(text, next_step="end other programs, or do it on another machine") from exc


def _decrypt(key: bytes, nonce: bytes, sealed: bytes) -> bytes | None:
    """Return the plain bytes, or None if the key or nonce is wrong or the bytes were changed."""
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, None)
    except InvalidTag:
        return None


def _hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


def _from_base64(text: bytes) -> bytes:
    """Decode text of a file's first lines, which has no padding."""
    return base64.b64decode(text + b"=" * (-len(text) % 4))
