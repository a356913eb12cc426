"""The age format: vectors that the program `age` 1.1 made or opens, and what becomes of every damage."""

from __future__ import annotations

import base64
import io
import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.backup.conftest import KEYS

from microclaw.backup import age
from microclaw.backup.age import CHUNK_BYTES, Password, PrivateKeys, PublicKey, Stanza, decrypted, encrypted
from microclaw.errors import BackupCut, BackupDamaged, BackupError, BackupLocked, BackupNewer, ConfigError, NotABackup

TEXT = b"a lamp in the kitchen\n"
SPEC = PrivateKeys.parse("AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX")  # c2sp.org/age
PASSWORD = Password("correct horse battery", 10)
# Made by us with random bytes that count on, and opened by `age -d`.
OF_PASSWORD = base64.b64decode(
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCBBZ0lDQWdJQ0FnSUNBZ0lDQWdJQ0FnIDEwCisxWTc0cU8xVTNEaUZ1UU5wK2Vx"
    "UVhtWk03dDRzYVNpS3Vyemlya01NM0kKLS0tIHBwMjRzUTZtWkRsTTBQaVFwU25kTzNyaDRtTnFNTHprZDdHL2U0bzVic0EKAwMDAwMD"
    "AwMDAwMDAwMDAxeIj86XLUXAOqcE9g1bT0VEBAjpkejSv35yBAvqJFjft9JkAs8H"
)
OF_KEY = base64.b64decode(
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBVS1lVQ2JIZDBESmVteGEzQU9jWjZYY3NCd0FMRzlkNGJwQjhaVDBnU1YwCkp4"
    "WnFOSnVSLzZRdE5rTU9qS0xSQkU2Ni9tOGE5NXkvZ1ZzYnl4dWtIaHMKLS0tIDJSN1drZ2JoRitGOWFxaHZNUnR1bTlKZXZURDRSZzNV"
    "ZjF6NzBxQjFHYUUKBgYGBgYGBgYGBgYGBgYGBgDaGApzzrkoOq8Zadqnf8gsNstwNrOlqybL1zEY4nG4/gAppn6M"
)
# Made by `age -r age1zvkyg2...`.
BY_AGE = base64.b64decode(
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBxM2ZtMEN0YTRhRStkdVJJcWpaZVRGVTlLRkVJdlNVTWc2N3N4S29FeEY0CmQ3"
    "bkQ2bUpaRXRtRWhUbE1Rb1J5SWE1V0hQK3ZWc1BSR1Qwa294TVlHODAKLS0tIHNWTjZVRDA3NmJHbGJIZDJsS1Y4aWJySHV6eHJaMW1B"
    "VERSelhFTzFmeHMKmXOXoUDdfqCVMu4+f36L/TwFEX1GXAhq8jw+Tfgz3eUYOfzWgtkpa1NcccmIZIa1Mm2wwC/i"
)
LARGE = b"".join(encrypted([os.urandom(2 * CHUNK_BYTES)], KEYS.public, os.urandom))


def opened(data: bytes, key: age.Key = KEYS) -> bytes:
    return b"".join(decrypted(io.BytesIO(data), key))


@pytest.mark.parametrize(
    ("vector", "lock", "key", "first"), [(OF_PASSWORD, PASSWORD, PASSWORD, 1), (OF_KEY, SPEC.public, SPEC, 4)]
)
def test_vectors_are_written_and_read_byte_for_byte(vector: bytes, lock: age.Lock, key: age.Key, first: int) -> None:
    numbers = itertools.count(first)
    assert b"".join(encrypted([TEXT[:5], TEXT[5:]], lock, lambda size: bytes([next(numbers)]) * size)) == vector
    assert opened(vector, key) == TEXT


def test_a_file_and_a_key_of_the_program_age_are_read() -> None:
    assert opened(BY_AGE, SPEC) == opened(BY_AGE, PrivateKeys((*KEYS.raw, *SPEC.raw))) == TEXT
    assert str(SPEC.public) == "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
    assert PrivateKeys.parse(SPEC.to_text()) == SPEC
    assert PublicKey.parse(str(SPEC.public)) == SPEC.public


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(0, 3), st.integers(-2, 2))
def test_what_is_encrypted_in_any_pieces_is_decrypted(pieces: list[bytes], chunks: int, more: int) -> None:
    plain = [bytes(max(0, chunks * CHUNK_BYTES + more)), *pieces]
    assert opened(b"".join(encrypted(plain, KEYS.public, os.urandom))) == b"".join(plain)


@given(st.integers(0, len(LARGE) - 1))
def test_a_cut_anywhere_is_told_as_a_cut(size: int) -> None:
    with pytest.raises(BackupCut if size else NotABackup) as error:
        opened(LARGE[:size])
    assert error.value.next_step


@given(st.integers(0, len(LARGE) - 1), st.integers(1, 255))
def test_a_changed_byte_anywhere_is_refused_and_nothing_wrong_is_given_out(place: int, change: int) -> None:
    wrong = bytearray(LARGE)
    wrong[place] ^= change
    given_out, whole = b"", opened(LARGE)
    with pytest.raises(BackupError) as error:  # noqa: PT012 - what came before the error is looked at
        for data in decrypted(io.BytesIO(wrong), KEYS):
            given_out += data
    assert whole.startswith(given_out)
    assert place < 200 or isinstance(error.value, BackupDamaged)


@pytest.mark.parametrize("size", [16, CHUNK_BYTES + 16, CHUNK_BYTES + 17])
def test_bytes_after_the_end_and_chunks_in_another_order_are_refused(size: int) -> None:
    for wrong in (LARGE + LARGE[-size:], LARGE[: -2 * size] + LARGE[-size:] + LARGE[-2 * size : -size]):
        with pytest.raises(BackupError):
            opened(wrong)


def test_a_wrong_password_and_a_wrong_key_are_told_as_such() -> None:
    for data, key in ((OF_PASSWORD, Password("correct horse batterx")), (OF_KEY, KEYS), (OF_KEY, PASSWORD)):
        with pytest.raises(BackupLocked):
            opened(data, key)
    with pytest.raises(BackupLocked):
        opened(OF_PASSWORD, SPEC)


def test_another_version_and_other_files_are_told_as_such() -> None:
    with pytest.raises(BackupNewer):
        opened(LARGE.replace(b"/v1", b"/v2", 1))
    armored = b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n"
    for other in (b"", b"PK\x03\x04", b"SQLite format 3\0", b"age-encryption.org/w1\n", b"\n" * 100, armored):
        with pytest.raises(NotABackup):
            opened(other)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b" 10\n", b" 010\n"),
        (b" 10\n", b" +10\n"),
        (b" 10\n", b" 21\n"),
        (b" 10\n", b" 99999\n"),
        (b" 10\n", b" 10 x\n"),
        (b"AgICAgICAgICAgICAgICAg", b"AgICAgICAgICAgICAgICAh"),  # not canonical
        (b"AgICAgICAgICAgICAgICAg", b"AgICAgICAgICAgICAgICAg=="),
        (b"-> scrypt", b"->  scrypt"),
        (b"-> scrypt", b"-> scrypt x\n\n-> scrypt"),
        (b"-> scrypt", b"-> X25519 abc\n\n-> scrypt"),
        (b"+1Y74q", b"+1Y74"),
        (b"---", b"-> x " + b"y" * age.MAX_HEADER_BYTES + b"\n\n---"),
        (b"---", b"-> x\n\n" * 30 + b"---"),
    ],
)
def test_a_header_of_a_wrong_form_is_damaged_and_costs_nothing_to_refuse(old: bytes, new: bytes) -> None:
    assert old in OF_PASSWORD
    with pytest.raises(BackupDamaged):
        opened(OF_PASSWORD.replace(old, new, 1), PASSWORD)


def test_a_share_of_low_order_is_refused() -> None:
    made = b"".join(encrypted([b""], SPEC.public, os.urandom))
    share = made.split(b" ")[2].split(b"\n")[0]
    for wrong, error in ((bytes(32), BackupDamaged), (bytes(range(1, 33)), BackupLocked)):
        with pytest.raises(error):
            opened(made.replace(share, base64.b64encode(wrong).rstrip(b"="), 1), SPEC)


def test_stanzas_of_others_are_passed_over() -> None:
    """As `age` makes them of several recipients, and to keep readers from being strict (grease)."""
    other = PrivateKeys.new(os.urandom)
    stanzas = [Stanza(["x-grease", "a"], b"\x01" * 48), Stanza(["x"], b""), other.public.wrap(b"k" * 16, os.urandom)]
    file_key = KEYS.unwrap([*stanzas, KEYS.public.wrap(b"k" * 16, os.urandom)])
    assert file_key == other.unwrap(stanzas) == b"k" * 16
    with pytest.raises(BackupLocked):
        KEYS.unwrap(stanzas)


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "AGE-SECRET-KEY-1QQQQ", "age1qqq\n", f"{SPEC.public}\n", "x\n" * 17]
)
def test_a_file_without_keys_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        PrivateKeys.parse(text)
    assert "QQQQ" not in error.value.message


def test_secrets_are_in_no_repr() -> None:
    assert "horse" not in repr(PASSWORD)
    assert repr(SPEC) == "PrivateKeys()"
