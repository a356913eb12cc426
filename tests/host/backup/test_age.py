"""The age format: vectors that the program `age` 1.1 made or opens, and what becomes of every damage."""

from __future__ import annotations

import base64
import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.host.backup.conftest import KEY

from microclaw.errors import BackupCut, BackupDamaged, BackupError, BackupLocked, BackupNewer, ConfigError, NotABackup
from microclaw.host.backup.age import CHUNK_BYTES, MAX_HEADER_BYTES, AgePublicKey, Key, Password, PrivateKey, decrypt
from microclaw.host.backup.age import encrypt as encrypted_chunks

TEXT = b"a lamp in the kitchen\n"
SPEC = PrivateKey.parse("AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX")  # c2sp.org/age
PASSWORD = Password("correct horse battery", 10)
# Made by us, and opened by `age -d`.
OF_PASSWORD = base64.b64decode(
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCBBZ0lDQWdJQ0FnSUNBZ0lDQWdJQ0FnIDEwCisxWTc0cU8xVTNEaUZ1UU5wK2Vx"
    "UVhtWk03dDRzYVNpS3Vyemlya01NM0kKLS0tIHBwMjRzUTZtWkRsTTBQaVFwU25kTzNyaDRtTnFNTHprZDdHL2U0bzVic0EKAwMDAwMD"
    "AwMDAwMDAwMDAxeIj86XLUXAOqcE9g1bT0VEBAjpkejSv35yBAvqJFjft9JkAs8H"
)
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


def encrypted(plain: list[bytes], lock: Password | AgePublicKey = KEY.public) -> bytes:
    return b"".join(encrypted_chunks(plain, lock))


def opened(data: bytes, key: Key = KEY) -> bytes:
    return b"".join(decrypt(io.BytesIO(data), key))


LARGE = encrypted([os.urandom(2 * CHUNK_BYTES)])


def test_files_and_a_key_of_the_program_age_are_read() -> None:
    assert opened(BY_AGE, SPEC) == opened(WITH_OTHERS, SPEC) == opened(OF_PASSWORD, PASSWORD) == TEXT
    assert str(SPEC.public) == "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
    assert PrivateKey.parse(SPEC.to_text()) == SPEC
    assert AgePublicKey.parse(str(SPEC.public)) == SPEC.public
    assert "horse" not in repr(PASSWORD)
    assert repr(SPEC) == "PrivateKey()"


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(0, 3), st.integers(-2, 2))
def test_what_is_encrypted_in_any_pieces_is_decrypted(pieces: list[bytes], chunks: int, more: int) -> None:
    plain = [bytes(max(0, chunks * CHUNK_BYTES + more)), *pieces]
    assert opened(encrypted(plain)) == b"".join(plain)


@given(st.integers(0, len(LARGE) - 1))
def test_a_cut_anywhere_is_told_as_a_cut(size: int) -> None:
    with pytest.raises(BackupCut if size else NotABackup) as error:
        opened(LARGE[:size])
    assert error.value.next_step


@given(st.integers(0, len(LARGE) - 1), st.integers(1, 255))
def test_a_changed_byte_anywhere_is_refused_and_nothing_wrong_is_given_out(place: int, change: int) -> None:
    wrong = bytearray(LARGE)
    wrong[place] ^= change
    given_out = b""
    whole = opened(LARGE)
    with pytest.raises(BackupError) as error:  # noqa: PT012 - what came before the error is looked at
        for data in decrypt(io.BytesIO(wrong), KEY):
            given_out += data
    assert whole.startswith(given_out)
    assert place < 200 or isinstance(error.value, BackupDamaged)


def test_chunks_in_another_order_and_bytes_after_the_end_are_refused() -> None:
    size = CHUNK_BYTES + 16
    for wrong in (LARGE + LARGE[-16:], LARGE[: -2 * size] + LARGE[-size:] + LARGE[-2 * size : -size]):
        with pytest.raises(BackupDamaged):
            opened(wrong)


def test_a_wrong_password_or_key_another_version_and_other_files_are_told_as_such() -> None:
    wrong_password = Password("correct horse batterx")
    for data, key in ((OF_PASSWORD, wrong_password), (BY_AGE, KEY), (BY_AGE, PASSWORD), (OF_PASSWORD, SPEC)):
        with pytest.raises(BackupLocked):
            opened(data, key)
    with pytest.raises(BackupNewer):
        opened(LARGE.replace(b"/v1", b"/v2", 1))
    armored = b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n"
    for other in (b"", b"PK\x03\x04", b"SQLite format 3\0", b"age-encryption.org/w1\n", b"\n" * 100, armored):
        with pytest.raises(NotABackup):
            opened(other)
    for text in ("", "AGE-SECRET-KEY-1QQQQ", f"{SPEC.public}\n", SPEC.to_text() * 2):
        with pytest.raises(ConfigError) as error:
            PrivateKey.parse(text)
        assert "QQQQ" not in error.value.message


def test_a_header_of_a_wrong_form_is_damaged_and_costs_nothing_to_refuse() -> None:
    for old, new in (
        (b" 10\n", b" 010\n"),
        (b" 10\n", b" 21\n"),
        (b" 10\n", b" 10 x\n"),
        (b"AgICAgICAgICAgICAgICAg", b"AgICAgICAgICAgICAgICAg=="),
        (b"-> scrypt", b"-> X25519 abc\n\n-> scrypt"),
        (b"+1Y74q", b"+1Y74"),
        (b"---", b"-> x " + b"y" * MAX_HEADER_BYTES + b"\n\n---"),
        (b"---", b"-> x\n\n" * 30 + b"---"),
    ):
        assert old in OF_PASSWORD
        with pytest.raises(BackupDamaged):
            opened(OF_PASSWORD.replace(old, new, 1), PASSWORD)
    share = BY_AGE.split(b" ")[2].split(b"\n")[0]  # one of low order
    with pytest.raises(BackupDamaged):
        opened(BY_AGE.replace(share, base64.b64encode(bytes(32)).rstrip(b"="), 1), SPEC)
