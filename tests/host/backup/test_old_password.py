"""Backups with a password, as they were made before: they open, and damage is told. This file goes with 0.2."""

from __future__ import annotations

import base64
import io
import os

import pytest
from pyrage import passphrase
from tests.host.backup.conftest import encrypted

from microclaw.errors import BackupCut, BackupDamaged, BackupLocked, NotABackup
from microclaw.host.backup.old_password import CHUNK_BYTES, MAX_HEADER_BYTES, decrypt_old

TEXT = b"a lamp in the kitchen\n"
PASSWORD = "correct horse battery"
# Made by microclaw when it had passwords, and opened by `age -d`.
OF_PASSWORD = base64.b64decode(
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCBBZ0lDQWdJQ0FnSUNBZ0lDQWdJQ0FnIDEwCisxWTc0cU8xVTNEaUZ1UU5wK2Vx"
    "UVhtWk03dDRzYVNpS3Vyemlya01NM0kKLS0tIHBwMjRzUTZtWkRsTTBQaVFwU25kTzNyaDRtTnFNTHprZDdHL2U0bzVic0EKAwMDAwMD"
    "AwMDAwMDAwMDAxeIj86XLUXAOqcE9g1bT0VEBAjpkejSv35yBAvqJFjft9JkAs8H"
)


def opened(data: bytes, password: str = PASSWORD) -> bytes:
    return b"".join(decrypt_old(io.BytesIO(data), password))


def test_an_old_backup_opens_and_one_for_a_key_is_told() -> None:
    assert opened(OF_PASSWORD) == TEXT
    for data, password in ((OF_PASSWORD, "another"), (encrypted([TEXT]), PASSWORD)):
        with pytest.raises(BackupLocked) as error:
            opened(data, password)
        assert error.value.next_step
    for other in (b"", b"SQLite format 3\0"):
        with pytest.raises(NotABackup):
            opened(other)


def test_a_large_one_is_whole_or_told_as_cut_or_damaged() -> None:
    content = os.urandom(2 * CHUNK_BYTES)
    whole = passphrase.encrypt(content, PASSWORD)
    assert opened(whole) == content
    for size in (len(whole) - 1, len(whole) - CHUNK_BYTES - 16):
        with pytest.raises(BackupCut):
            opened(whole[:size])
    with pytest.raises(BackupDamaged):
        opened(whole[:-1] + bytes([whole[-1] ^ 1]))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b" 10\n", b" 010\n"),
        (b" 10\n", b" 21\n"),  # 2 GiB of memory
        (b" 10\n", b" 10 x\n"),
        (b"-> scrypt", b"-> X25519 abc\n\n-> scrypt"),
        (b"+1Y74q", b"+1Y74"),
        (b"---", b"-> x " + b"y" * MAX_HEADER_BYTES + b"\n\n---"),
    ],
)
def test_a_header_of_a_wrong_form_costs_nothing_to_refuse(old: bytes, new: bytes) -> None:
    assert old in OF_PASSWORD
    with pytest.raises(BackupLocked):
        opened(OF_PASSWORD.replace(old, new, 1))


def test_a_header_that_was_changed_is_damaged() -> None:
    at = OF_PASSWORD.index(b"--- ") + 4
    with pytest.raises(BackupDamaged):
        opened(OF_PASSWORD[:at] + b"A" + OF_PASSWORD[at + 1 :])
