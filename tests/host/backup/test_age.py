"""Encryption of backups: files that the program `age` 1.1 made, and what becomes of every damage."""

from __future__ import annotations

import base64
import errno
import io
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrage import passphrase
from tests.host.backup.conftest import KEY, decrypted, encrypted

from microclaw.errors import BackupCut, BackupDamaged, BackupError, BackupLocked, BackupNewer, ConfigError, NotABackup
from microclaw.host.backup.age import (
    PIECE_BYTES,
    decrypting,
    encrypt,
    identity_text,
    read_identity,
    read_recipient,
)

TEXT = b"a lamp in the kitchen\n"
# The key of c2sp.org/age.
SPEC_WORD = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
SPEC = read_identity(SPEC_WORD)
# Made by `age -r age1zvkyg2...`.
BY_AGE = base64.b64decode(
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBxM2ZtMEN0YTRhRStkdVJJcWpaZVRGVTlLRkVJdlNVTWc2N3N4S29FeEY0CmQ3"
    "bkQ2bUpaRXRtRWhUbE1Rb1J5SWE1V0hQK3ZWc1BSR1Qwa294TVlHODAKLS0tIHNWTjZVRDA3NmJHbGJIZDJsS1Y4aWJySHV6eHJaMW1B"
    "VERSelhFTzFmeHMKmXOXoUDdfqCVMu4+f36L/TwFEX1GXAhq8jw+Tfgz3eUYOfzWgtkpa1NcccmIZIa1Mm2wwC/i"
)
# As `age` makes them of several recipients, and to keep readers from being strict (grease).
WITH_OTHERS = base64.b64decode(
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHgtZ3JlYXNlIGEKCi0+IFgyNTUxOSAzcWVxc3NBcU5Nb2tMV211dEhKVEk0bEk2ejNod2FI"
    "QTRNTE92Qnd6RXdRCm1vRDZWa2EraCt2czZoNmIvMjVhL1lCUDd1Vy9WWUVBU09iNURuMEhoWEUKLT4gWDI1NTE5IHZMQ2NEWloxU2Nx"
    "aGRBdVgvbCtVQ0VaZmdySWtHMStSUm44bGJKVkFWQjgKRFhWMkJhcEw0SzVrTU80aXNiaUJyMDBWbmlPZkp4bjhGYW9qR1BCYTNlbwot"
    "LS0gQmFvVFlaTE5UZFk4cko1RkhUbFFwSnUyTnNTTllKOXBnUENUNThtSmxMNApubm5ubm5ubm5ubm5ubm5uNFqOjEddA5DOi+cGAxpw"
    "1+9Nq+WnucRvISlzQ5UBC2BEVuFkXhk="
)
SEALED_BYTES = 64 * 1024 + 16
CONTENT = os.urandom(3 * 64 * 1024)
LARGE = encrypted([CONTENT])
HEADER_BYTES = len(LARGE) - 3 * SEALED_BYTES


def test_files_and_a_key_of_the_program_age_are_read() -> None:
    assert decrypted(BY_AGE, SPEC) == decrypted(WITH_OTHERS, SPEC) == TEXT
    assert str(SPEC.to_public()) == "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
    assert str(read_identity(identity_text(SPEC))) == SPEC_WORD
    assert str(read_recipient(str(SPEC.to_public()))) == str(SPEC.to_public())
    assert SPEC_WORD not in repr(SPEC)


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(0, 3), st.integers(-2, 2))
def test_what_is_encrypted_in_any_pieces_is_decrypted(pieces: list[bytes], chunks: int, more: int) -> None:
    plain = [bytes(max(0, chunks * PIECE_BYTES + more)), *pieces]
    assert decrypted(encrypted(plain)) == b"".join(plain)


@given(st.integers(0, len(LARGE) - 1))
def test_a_cut_anywhere_is_refused(size: int) -> None:
    """Between two chunks, and in the first lines, it is told as a cut."""
    is_between = size >= HEADER_BYTES and (size - HEADER_BYTES) % SEALED_BYTES == 0
    kind: type[BackupError] = BackupDamaged
    if size < len("age-encryption.org/"):
        kind = NotABackup
    elif size < HEADER_BYTES or is_between:
        kind = BackupCut
    with pytest.raises(kind) as error:
        decrypted(LARGE[:size])
    assert error.value.next_step


@given(st.integers(0, len(LARGE) - 1), st.integers(1, 255))
def test_a_changed_byte_anywhere_is_refused_and_nothing_wrong_is_given_out(place: int, change: int) -> None:
    wrong = bytearray(LARGE)
    wrong[place] ^= change
    given_out = b""
    with pytest.raises(BackupError) as error, decrypting(io.BytesIO(wrong), KEY) as pieces:  # noqa: PT012
        for data in pieces:
            given_out += data
    assert CONTENT.startswith(given_out)
    assert place < HEADER_BYTES or isinstance(error.value, BackupDamaged)
    assert error.value.next_step


def test_chunks_in_another_order_and_bytes_after_the_end_are_refused() -> None:
    for wrong in (
        LARGE + LARGE[-16:],
        LARGE[: -2 * SEALED_BYTES] + LARGE[-SEALED_BYTES:] + LARGE[-2 * SEALED_BYTES : -SEALED_BYTES],
    ):
        with pytest.raises(BackupDamaged):
            decrypted(wrong)


def test_a_wrong_key_a_password_another_version_and_other_files_are_told_as_such() -> None:
    for data in (BY_AGE, passphrase.encrypt(TEXT, "correct horse battery")):
        with pytest.raises(BackupLocked):
            decrypted(data)
    with pytest.raises(BackupNewer):
        decrypted(LARGE.replace(b"/v1", b"/v2", 1))
    for other in (b"", b"PK\x03\x04", b"SQLite format 3\0" * 100, b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n"):
        with pytest.raises(NotABackup):
            decrypted(other)
    for text in ("", "AGE-SECRET-KEY-1QQQQ", f"{SPEC.to_public()}\n", identity_text(SPEC) * 2):
        with pytest.raises(ConfigError) as error:
            read_identity(text)
        assert "QQQQ" not in error.value.message
    for text in ("", "age1qqqq", SPEC_WORD):
        with pytest.raises(ConfigError):
            read_recipient(text)


class FullDisk(io.BytesIO):
    """A file that takes `size_bytes`, and no byte more."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__()
        self._size_bytes = size_bytes

    def write(self, data: object) -> int:
        assert isinstance(data, bytes)
        self._size_bytes -= len(data)
        if self._size_bytes < 0:
            raise OSError(errno.ENOSPC, "the disk is full")
        return len(data)


class BrokenDisk(io.BytesIO):
    """A file that cannot be read from `broken_at` on."""

    def __init__(self, content: bytes, broken_at: int) -> None:
        super().__init__(content)
        self._broken_at = broken_at

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= self._broken_at:
            raise OSError(errno.EIO, "the disk is broken")
        return super().read(size)


@pytest.mark.parametrize(("content_bytes", "disk_bytes"), [(10, 0), (200_000, 0), (200_000, 150_000)])
def test_a_full_disk_is_an_error_wherever_it_happens(content_bytes: int, disk_bytes: int) -> None:
    """Also if it is full only for the last bytes, of whose error pyrage says nothing."""
    content = bytes(content_bytes)
    assert encrypt([content], KEY.to_public(), FullDisk(2 * len(content) + 1000)) > len(content)
    with pytest.raises(OSError, match="full"):
        encrypt([content], KEY.to_public(), FullDisk(disk_bytes))


def test_errors_of_what_is_encrypted_and_of_the_file_that_is_read_stay_as_they_are() -> None:
    def pieces() -> Iterator[bytes]:
        yield TEXT
        raise ConfigError("a file of the home is gone", next_step="do it again")

    with pytest.raises(ConfigError):
        encrypt(pieces(), KEY.to_public(), io.BytesIO())

    for broken_at in (0, 1):
        with pytest.raises(OSError, match="broken"), decrypting(BrokenDisk(LARGE, broken_at), KEY) as content:
            list(content)


def test_a_reader_that_ends_early_ends_the_decryption() -> None:
    file = io.BytesIO(encrypted([bytes(100 * PIECE_BYTES)]))
    with decrypting(file, KEY) as pieces:
        assert next(pieces)
    assert file.tell() < len(file.getvalue())
