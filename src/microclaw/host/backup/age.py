"""The encryption of backups: age's format with X25519 keys, by pyrage, in constant memory. It knows no passwords.

pyrage has one class for all faults of a file, so its words are read here; docs/backup.md says which ones it confuses.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from io import BufferedIOBase
from typing import BinaryIO, Final, cast

import pyrage
from pyrage.x25519 import Identity, Recipient

from microclaw.errors import BackupCut, BackupDamaged, BackupError, BackupLocked, BackupNewer, ConfigError, NotABackup

MAX_KEY_FILE_BYTES: Final = 4096
PIECE_BYTES: Final = 64 * 1024
_BEGINNING: Final = b"age-encryption.org/"
_CUT_IN_HEADER: Final = (BackupCut, "the backup is cut off in its first lines")
# The first line of pyrage's texts.
_FAULTS: Final[dict[str, tuple[type[BackupError], str]]] = {
    "No matching keys found": (BackupLocked, "the key is not the one of this backup, or its first lines were changed"),
    "Unknown age format.": (BackupNewer, "the file is of a newer format of age, or its first lines were changed"),
    "Incomplete header": _CUT_IN_HEADER,
    "failed to fill whole buffer": _CUT_IN_HEADER,
    "age file is truncated": (BackupCut, "the backup is cut off: its end is missing"),
}
_DAMAGED: Final = (BackupDamaged, "the backup was changed, is damaged or is cut off")


def read_recipient(text: str) -> Recipient:
    """Read a public key, age1.... Raises ConfigError."""
    try:
        return Recipient.from_str(text)
    except pyrage.RecipientError as exc:
        step = "microclaw backup make --new-key KEYFILE"
        raise ConfigError(f"{text[:20]!r} is not a public key of age (X25519): {exc}", next_step=step) from exc


def read_identity(text: str) -> Identity:
    """Read a file of age-keygen: the line AGE-SECRET-KEY-1..., comments after #. Raises ConfigError."""
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    try:
        (line,) = lines
        return Identity.from_str(line)
    # The error quotes nothing of the key.
    except (ValueError, pyrage.IdentityError) as exc:
        step = "name the KEYFILE that --new-key wrote when the backup's key was made"
        raise ConfigError("the file of the key is not one line AGE-SECRET-KEY-1...", next_step=step) from exc


def identity_text(identity: Identity) -> str:
    """Return the lines of the private key's file."""
    return f"# public key: {identity.to_public()}\n{identity}\n"


def encrypt(plain: Iterable[bytes], recipient: Recipient, file: BinaryIO) -> int:
    """Write `plain` to `file`, encrypted, and return the size in bytes. Raises the errors of both as they are."""
    streams = _Streams(plain, file)
    try:
        pyrage.encrypt_io(cast(BufferedIOBase, streams), cast(BufferedIOBase, streams), [recipient])
    except pyrage.EncryptError:
        if streams.error is None:
            raise
    if streams.error is not None:
        raise streams.error
    return streams.size_bytes


@contextmanager
def decrypting(file: BinaryIO, identity: Identity) -> Iterator[Iterator[bytes]]:
    """Give the content of an encrypted file, in checked pieces. Raises BackupError, as its pieces do.

    The file is known to be whole only after the last piece. It is decrypted in a thread, which ends with the block.
    """
    if file.read(len(_BEGINNING)) != _BEGINNING:
        raise NotABackup("the file is not a backup: it does not begin as one")
    file.seek(0)
    reading, writing = os.pipe()
    with ThreadPoolExecutor(1, "decryption") as pool:
        work = pool.submit(_decrypt, file, identity, writing)
        # If the block ends early, the thread cannot write any more, and ends.
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            yield _pieces(pipe, work)


class _Streams:
    """The pieces that pyrage reads, and the file that it writes.

    It keeps their first error: pyrage makes a text of it, and drops one that comes while it writes its last bytes.
    """

    def __init__(self, pieces: Iterable[bytes], file: BinaryIO) -> None:
        self.size_bytes = 0
        self.error: BaseException | None = None
        self._pieces = iter(pieces)
        self._file = file
        self._rest = memoryview(b"")

    def read(self, size_bytes: int) -> bytes:
        while not self._rest:
            try:
                self._rest = memoryview(next(self._pieces))
            except StopIteration:
                return b""
            except BaseException as exc:
                self.error = self.error or exc
                raise
        data = bytes(self._rest[:size_bytes])
        self._rest = self._rest[size_bytes:]
        return data

    def write(self, data: bytes) -> int:
        try:
            self._file.write(data)
        except BaseException as exc:
            self.error = self.error or exc
            raise
        self.size_bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: the file's owner flushes it."""


def _decrypt(file: BinaryIO, identity: Identity, target: int) -> None:
    """Write the content of a file to a pipe, and close the pipe. Raises BackupError, OSError."""
    with os.fdopen(target, "wb") as pipe:
        streams = _Streams(iter(lambda: file.read(PIECE_BYTES), b""), pipe)
        try:
            pyrage.decrypt_io(cast(BufferedIOBase, streams), cast(BufferedIOBase, streams), [identity])
        except (pyrage.DecryptError, OSError) as exc:
            # A fault of the disk, or of a pipe that nobody reads any more.
            if streams.error is not None:
                raise streams.error from exc
            kind, text = _FAULTS.get(str(exc).partition("\n")[0], _DAMAGED)
            raise kind(text) from exc


def _pieces(pipe: BinaryIO, work: Future[None]) -> Iterator[bytes]:
    yield from iter(lambda: pipe.read(PIECE_BYTES), b"")
    work.result()
