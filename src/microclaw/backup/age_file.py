"""The file format of age (age-encryption.org/v1): header, then chunks of 64 KiB, each encrypted and authenticated.

It works on streams in constant memory, and gives out no byte that was not checked. Source: c2sp.org/age.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from microclaw.backup.errors import BackupCut, BackupDamaged, BackupNewer, NotABackup
from microclaw.backup.keys import (
    FILE_KEY_BYTES,
    Key,
    Lock,
    RandomBytes,
    Stanza,
    from_base64,
    hkdf,
    to_base64,
)

CHUNK_BYTES: Final = 64 * 1024
TAG_BYTES: Final = 16
NONCE_BYTES: Final = 16
MAC_BYTES: Final = 32
MAX_HEADER_BYTES: Final = 16 * 1024
MAX_STANZAS: Final = 20
FIRST_LINE: Final = b"age-encryption.org/v1\n"
_ANY_VERSION: Final = re.compile(rb"age-encryption\.org/v([1-9][0-9]{0,8})\n")
_ARMOR: Final = b"-----BEGIN AGE ENCRYPTED FILE-----"
_COLUMNS: Final = 64
_SEALED_BYTES: Final = CHUNK_BYTES + TAG_BYTES
_BODY_LINE: Final = re.compile(rb"[A-Za-z0-9+/]{0,64}")
_ARGUMENT: Final = re.compile(r"[!-~]+")

Header: TypeAlias = tuple[list[Stanza], bytes, bytes]
"""The stanzas, the text that is authenticated, and its MAC."""


def encrypted(plain: Iterable[bytes], lock: Lock, random_bytes: RandomBytes) -> Iterator[bytes]:
    """The file's bytes, as `plain` comes."""
    file_key = random_bytes(FILE_KEY_BYTES)
    text = FIRST_LINE + _stanza_text(lock.wrap(file_key, random_bytes)) + b"---"
    nonce = random_bytes(NONCE_BYTES)
    yield b"%s %s\n%s" % (text, to_base64(_mac(file_key, text)).encode(), nonce)
    cipher = _payload_cipher(file_key, nonce)
    number, buffer = 0, bytearray()
    for data in plain:
        buffer += data
        while len(buffer) > CHUNK_BYTES:  # not >=: the last chunk is told apart, and is empty in an empty file alone
            yield cipher.encrypt(_chunk_nonce(number, last=False), bytes(buffer[:CHUNK_BYTES]), None)
            del buffer[:CHUNK_BYTES]
            number += 1
    yield cipher.encrypt(_chunk_nonce(number, last=True), bytes(buffer), None)


def decrypted(file: BinaryIO, key: Key) -> Iterator[bytes]:
    """What the file holds, in chunks. The header is read at once: NotABackup, BackupNewer, BackupCut, BackupLocked,
    BackupDamaged. The chunks raise BackupCut and BackupDamaged; only after the last one is the file known to be whole.
    """
    stanzas, text, mac = _read_header(file)
    file_key = key.unwrap(stanzas)
    if len(file_key) != FILE_KEY_BYTES or not hmac.compare_digest(_mac(file_key, text), mac):
        raise BackupDamaged("its header was changed")
    nonce = file.read(NONCE_BYTES)
    if len(nonce) != NONCE_BYTES:
        raise BackupCut("the backup is cut off after its header")
    return _chunks(file, _payload_cipher(file_key, nonce))


def _chunks(file: BinaryIO, cipher: ChaCha20Poly1305) -> Iterator[bytes]:
    number, sealed = 0, file.read(_SEALED_BYTES)
    while True:
        after = file.read(_SEALED_BYTES) if len(sealed) == _SEALED_BYTES else b""
        plain = _opened(cipher, number, sealed, last=not after)
        if plain is None:
            raise _broken(cipher, number, sealed, last=not after)
        if not after:
            if not plain and number:
                raise BackupDamaged("it ends with an empty chunk, which no backup does")
            yield plain
            return
        yield plain
        number, sealed = number + 1, after


def _opened(cipher: ChaCha20Poly1305, number: int, sealed: bytes, *, last: bool) -> bytes | None:
    try:
        return cipher.decrypt(_chunk_nonce(number, last=last), sealed, None)
    except InvalidTag:
        return None


def _broken(cipher: ChaCha20Poly1305, number: int, sealed: bytes, *, last: bool) -> BackupCut | BackupDamaged:
    """Our own backups have full chunks only, so that a short one at the end is a cut; one that is full and would be
    right in the middle, too. Anything else was changed.
    """
    place = f"at byte {number * CHUNK_BYTES:,} of its content"
    if last and (len(sealed) < _SEALED_BYTES or _opened(cipher, number, sealed, last=False) is not None):
        return BackupCut(f"the backup is cut off: its end is missing {place}")
    return BackupDamaged(f"the backup was changed or is damaged {place}")


def _read_header(file: BinaryIO) -> Header:
    first = file.readline(_COLUMNS)
    if first != FIRST_LINE:
        raise _no_header(first)
    text, stanzas = first, list[Stanza]()
    while True:
        line = _header_line(file, len(text))
        if line.startswith(b"--- "):
            mac = from_base64(_ascii(line[4:-1]), MAC_BYTES)
            if not stanzas:
                raise BackupDamaged("its header has no keys")
            return stanzas, text + b"---", mac
        arguments = _ascii(line[3:-1]).split(" ")
        if not line.startswith(b"-> ") or not all(map(_ARGUMENT.fullmatch, arguments)) or len(stanzas) >= MAX_STANZAS:
            raise BackupDamaged("its header was changed")
        text += line
        body, raw = _read_body(file, len(text))
        text += raw
        stanzas.append(Stanza(tuple(arguments), body))


def _read_body(file: BinaryIO, before: int) -> tuple[bytes, bytes]:
    """The bytes of a stanza, and the lines that they were."""
    raw, encoded = b"", b""
    while True:
        line = _header_line(file, before + len(raw))
        if not _BODY_LINE.fullmatch(line[:-1]):
            raise BackupDamaged("its header was changed")
        raw, encoded = raw + line, encoded + line[:-1]
        if len(line) <= _COLUMNS:
            return from_base64(_ascii(encoded), len(encoded) * 3 // 4), raw


def _header_line(file: BinaryIO, before: int) -> bytes:
    line = file.readline(MAX_HEADER_BYTES - before + 1)
    if before + len(line) > MAX_HEADER_BYTES:
        raise BackupDamaged(f"its header is longer than {MAX_HEADER_BYTES} bytes")
    if not line.endswith(b"\n"):
        raise BackupCut("the backup is cut off in its header")
    return line


def _no_header(first: bytes) -> NotABackup | BackupNewer | BackupCut:
    if _ANY_VERSION.fullmatch(first):
        return BackupNewer(f"the file is of a newer format: {_ascii(first[:-1])}")
    if first and FIRST_LINE.startswith(first):
        return BackupCut("the backup is cut off in its first line")
    if first.startswith(_ARMOR):
        text = "the file is armored, as text for mail"
        return NotABackup(text, next_step="take the armor off: age -d FILE | age -e -p > BACKUP")
    return NotABackup("the file is empty" if not first else "the file is no backup: it does not begin as one")


def _ascii(data: bytes) -> str:
    return data.decode("ascii", "replace")


def _stanza_text(stanza: Stanza) -> bytes:
    """Lines of 64 columns, of which the last one is shorter, and may be empty."""
    body = to_base64(stanza.body)
    lines = [body[at : at + _COLUMNS] for at in range(0, len(body) + 1, _COLUMNS)]
    return "\n".join((f"-> {' '.join(stanza.arguments)}", *lines, "")).encode()


def _mac(file_key: bytes, text: bytes) -> bytes:
    return hmac.digest(hkdf(file_key, b"", b"header"), text, "sha256")


def _payload_cipher(file_key: bytes, nonce: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(hkdf(file_key, nonce, b"payload"))


def _chunk_nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")
