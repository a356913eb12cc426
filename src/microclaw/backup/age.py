"""age, version 1: a password or X25519 keys wrap a file's key, and each chunk of 64 KiB is encrypted with it.

It works on streams in constant memory, and gives out no byte that was not checked. Source: c2sp.org/age.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final, NamedTuple, Self, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from microclaw.bech32 import decode_bech32, encode_bech32
from microclaw.errors import BackupCut, BackupDamaged, BackupLocked, BackupNewer, ConfigError, NotABackup, StoreError
from microclaw.text import count_text

CHUNK_BYTES: Final = 64 * 1024
KEY_BYTES: Final = 32
WORK_FACTOR: Final = 17  # 128 MiB and half a second: OWASP's least for scrypt with r = 8 and p = 1
MAX_WORK_FACTOR: Final = 20  # 1 GiB; age itself writes 18
MIN_PASSWORD_CHARS: Final = 8
MAX_KEYS: Final = 16  # of one file of keys
MAX_KEY_FILE_BYTES: Final = 4096
MAX_HEADER_BYTES: Final = 16 * 1024
PUBLIC_PREFIX: Final = "age"
PRIVATE_PREFIX: Final = "age-secret-key-"
_SHORT_BYTES: Final = 16  # of a file's key, a nonce, a salt, a tag
_SEALED_BYTES: Final = CHUNK_BYTES + _SHORT_BYTES
_FIRST: Final = b"age-encryption.org/v1\n"
_STANZA: Final = rb"-> ([!-~]+(?: [!-~]+)*)\n((?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63}\n)"
_HEADER: Final = re.compile(_FIRST + rb"(?:%s){1,20}--- [A-Za-z0-9+/]{43}\n" % _STANZA)
_LABEL: Final = b"age-encryption.org/v1/"
_CHANGED: Final = "its header was changed"

RandomBytes: TypeAlias = Callable[[int], bytes]


class Stanza(NamedTuple):
    """One recipient's part of the header: words, then the wrapped key."""

    arguments: list[str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Password:
    """Locks and opens. `work_factor` is the base-two logarithm of scrypt's N."""

    text: str = field(repr=False)
    work_factor: int = WORK_FACTOR

    @classmethod
    def parse(cls, content: bytes, place: str, *, least_chars: int = MIN_PASSWORD_CHARS) -> Self:
        """The one line of a file. ConfigError."""
        text = content.decode(errors="replace").strip()
        if not text.isprintable() or len(text) < least_chars:
            characters = count_text(least_chars, "character")
            raise ConfigError(
                f"{place} is not one line with a password of {characters} or more",
                next_step="four or five words by chance make a good one",
            )
        return cls(text)

    def wrap(self, file_key: bytes, random_bytes: RandomBytes) -> Stanza:
        salt = random_bytes(_SHORT_BYTES)
        body = ChaCha20Poly1305(self._key(salt, self.work_factor)).encrypt(bytes(12), file_key, None)
        return Stanza(["scrypt", _to_base64(salt), str(self.work_factor)], body)

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes:
        """The file's key. BackupLocked, BackupDamaged."""
        if not any(stanza.arguments[0] == "scrypt" for stanza in stanzas):
            raise BackupLocked("this backup opens with a key, not with a password", next_step="give --identity FILE")
        arguments, body = stanzas[0]
        if len(stanzas) > 1 or len(arguments) != 3 or not re.fullmatch("[1-9][0-9]{0,3}", arguments[2]):
            raise BackupDamaged(_CHANGED)
        if (factor := int(arguments[2])) > MAX_WORK_FACTOR:
            raise BackupDamaged(f"its password takes more than 1 GiB to try (work factor {factor})")
        opened = _unwrapped(self._key(_from_base64(arguments[1], _SHORT_BYTES), factor), body)
        if opened is None:
            text = "the password is not the one of this backup (or the first lines of the file were changed)"
            raise BackupLocked(text, next_step="try again; without its password nobody can open a backup")
        return opened

    def _key(self, salt: bytes, factor: int) -> bytes:
        try:
            kdf = Scrypt(salt=_LABEL + b"scrypt" + salt, length=KEY_BYTES, n=1 << factor, r=8, p=1)
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
        body = ChaCha20Poly1305(_x25519_key(shared, share + self.raw)).encrypt(bytes(12), file_key, None)
        return Stanza(["X25519", _to_base64(share)], body)


@dataclass(frozen=True, slots=True)
class PrivateKeys:
    """Opens what was locked with the public key of any of them."""

    raw: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """A file of keys as age-keygen makes it: lines AGE-SECRET-KEY-1..., comments after #. ConfigError."""
        lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
        if not 1 <= len(lines) <= MAX_KEYS:
            raise ConfigError(f"the file of keys has {len(lines)} lines with keys, not 1 to {MAX_KEYS}")
        try:
            return cls(tuple(_decoded(PRIVATE_PREFIX, line) for line in lines))
        except ValueError as exc:  # it quotes nothing of the key
            raise ConfigError(f"a line of the file of keys is no AGE-SECRET-KEY-1...: {exc}") from exc

    @classmethod
    def new(cls, random_bytes: RandomBytes) -> Self:
        return cls((random_bytes(KEY_BYTES),))

    @property
    def public(self) -> PublicKey:
        """Of the first one."""
        return PublicKey(X25519PrivateKey.from_private_bytes(self.raw[0]).public_key().public_bytes_raw())

    def to_text(self) -> str:
        """The lines of the file."""
        lines = "".join(f"{encode_bech32(PRIVATE_PREFIX, raw).upper()}\n" for raw in self.raw)
        return f"# public key: {self.public}\n{lines}"

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes:
        """The file's key; stanzas of others are passed over. BackupLocked, BackupDamaged."""
        for arguments, body in stanzas:
            if arguments[0] == "scrypt":
                step = "leave --identity out"
                raise BackupLocked("this backup opens with a password, not with a key", next_step=step)
            if arguments[0] != "X25519":
                continue
            if len(arguments) != 2:
                raise BackupDamaged(_CHANGED)
            share = _from_base64(arguments[1], KEY_BYTES)
            for private in map(X25519PrivateKey.from_private_bytes, self.raw):
                try:
                    shared = private.exchange(X25519PublicKey.from_public_bytes(share))
                except ValueError as exc:  # all zero: the share is of low order
                    raise BackupDamaged(_CHANGED) from exc
                wrap_key = _x25519_key(shared, share + private.public_key().public_bytes_raw())
                if (opened := _unwrapped(wrap_key, body)) is not None:
                    return opened
        raise BackupLocked("none of these keys opens this backup", next_step="give the --identity FILE of its host")


Lock: TypeAlias = Password | PublicKey
Key: TypeAlias = Password | PrivateKeys


def encrypted(plain: Iterable[bytes], lock: Lock, random_bytes: RandomBytes) -> Iterator[bytes]:
    """The file's bytes, as `plain` comes."""
    file_key = random_bytes(_SHORT_BYTES)
    arguments, sealed_key = lock.wrap(file_key, random_bytes)
    text = b"%s-> %s\n%s\n---" % (_FIRST, " ".join(arguments).encode(), _to_base64(sealed_key).encode())
    nonce = random_bytes(_SHORT_BYTES)
    yield b"%s %s\n%s" % (text, _to_base64(_mac(file_key, text)).encode(), nonce)
    cipher = ChaCha20Poly1305(_hkdf(file_key, nonce, b"payload"))
    number, buffer = 0, bytearray()
    for data in plain:
        buffer += data
        while len(buffer) > CHUNK_BYTES:  # not >=: the last chunk is told apart, and is empty in an empty file alone
            yield cipher.encrypt(_nonce(number, last=False), bytes(buffer[:CHUNK_BYTES]), None)
            del buffer[:CHUNK_BYTES]
            number += 1
    yield cipher.encrypt(_nonce(number, last=True), bytes(buffer), None)


def decrypted(file: BinaryIO, key: Key) -> Iterator[bytes]:
    """What the file holds, in chunks. The header is read at once: BackupError. The chunks raise BackupCut and
    BackupDamaged; only after the last one is the file known to be whole.
    """
    header = _read_header(file)
    found = re.findall(_STANZA, header)
    bodies = (body.replace(b"\n", b"").decode() for _, body in found)
    stanzas = [
        Stanza(words.decode().split(" "), _from_base64(body, len(body) * 3 // 4))
        for (words, _), body in zip(found, bodies, strict=True)
    ]
    file_key = key.unwrap(stanzas)
    mac = _from_base64(header[-44:-1].decode(), KEY_BYTES)
    if not hmac.compare_digest(_mac(file_key, header[:-45]), mac):
        raise BackupDamaged(_CHANGED)
    nonce = file.read(_SHORT_BYTES)
    if len(nonce) != _SHORT_BYTES:
        raise BackupCut("the backup is cut off after its header")
    return _chunks(file, ChaCha20Poly1305(_hkdf(file_key, nonce, b"payload")))


def _chunks(file: BinaryIO, cipher: ChaCha20Poly1305) -> Iterator[bytes]:
    """Our own backups have full chunks only, so that a short one at the end is a cut; one that is full and would be
    right in the middle, too. Anything else was changed.
    """
    number, sealed, is_last = 0, file.read(_SEALED_BYTES), False
    while not is_last:
        after = file.read(_SEALED_BYTES)
        is_last = not after
        plain = _opened(cipher, _nonce(number, last=is_last), sealed)
        if plain is None:
            place = f"at byte {number * CHUNK_BYTES:,} of its content"
            is_short = len(sealed) < _SEALED_BYTES
            if is_last and (is_short or _opened(cipher, _nonce(number, last=False), sealed) is not None):
                raise BackupCut(f"the backup is cut off: its end is missing {place}")
            raise BackupDamaged(f"the backup was changed or is damaged {place}")
        if is_last and number and not plain:
            raise BackupDamaged("it ends with an empty chunk, which no backup does")
        yield plain
        number, sealed = number + 1, after


def _read_header(file: BinaryIO) -> bytes:
    header = file.readline(64)
    if header != _FIRST:
        raise _no_header(header)
    line = b""
    while not line.startswith(b"--- "):
        line = file.readline(MAX_HEADER_BYTES + 1 - len(header))
        header += line
        if len(header) > MAX_HEADER_BYTES:
            raise BackupDamaged(f"its header is longer than {MAX_HEADER_BYTES} bytes")
        if not line.endswith(b"\n"):
            raise BackupCut("the backup is cut off in its header")
    if not _HEADER.fullmatch(header):
        raise BackupDamaged(_CHANGED)
    return header


def _no_header(first: bytes) -> Exception:
    if re.fullmatch(rb"age-encryption\.org/v[1-9][0-9]{0,8}\n", first):
        return BackupNewer(f"the file is of a newer format: {first[:-1].decode()}")
    if first and _FIRST.startswith(first):
        return BackupCut("the backup is cut off in its first line")
    return NotABackup("the file is empty" if not first else "the file is no backup: it does not begin as one")


def _opened(cipher: ChaCha20Poly1305, nonce: bytes, sealed: bytes) -> bytes | None:
    try:
        return cipher.decrypt(nonce, sealed, None)
    except InvalidTag:
        return None


def _unwrapped(wrap_key: bytes, body: bytes) -> bytes | None:
    """The body's length is checked before anything is tried on it (partitioning oracles)."""
    if len(body) != 2 * _SHORT_BYTES:
        raise BackupDamaged(_CHANGED)
    return _opened(ChaCha20Poly1305(wrap_key), bytes(12), body)


def _x25519_key(shared: bytes, salt: bytes) -> bytes:
    return _hkdf(shared, salt, _LABEL + b"X25519")


def _hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(secret)


def _mac(file_key: bytes, text: bytes) -> bytes:
    return hmac.digest(_hkdf(file_key, b"", b"header"), text, "sha256")


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


def _from_base64(text: str, size_bytes: int) -> bytes:
    """Exactly so many bytes in the one way to write them; BackupDamaged."""
    try:
        data = base64.b64decode(f"{text}{'=' * (-len(text) % 4)}", validate=True)
    except ValueError:
        data = b""
    if len(data) != size_bytes or _to_base64(data) != text:
        raise BackupDamaged(_CHANGED)
    return data
