"""Payloads on the disk: whole and right, or not at all."""

from __future__ import annotations

import hashlib
import resource
from pathlib import Path

import pytest

from microclaw.devices.ota.payloads import Payloads
from microclaw.errors import ConfigError, StoreError

DATA = bytes(range(256)) * 1_000
CHECKED: list[bytes] = []  # all of it is right
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def payloads(tmp_path: Path) -> Payloads:
    made = Payloads(tmp_path / "firmware")
    made.open(frozenset())
    return made


def names(payloads: Payloads) -> list[str]:
    return sorted(path.name for path in payloads.folder.iterdir())


def test_a_payload_is_there_once_its_hash_is_right(payloads: Payloads) -> None:
    payloads.complete(DIGEST, len(DATA), DATA, CHECKED.append)
    payloads.complete(DIGEST, len(DATA), None, CHECKED.append)
    with pytest.raises(ConfigError):  # of a manifest with a mistake
        payloads.complete(DIGEST, len(DATA) - 1, None, CHECKED.append)
    assert names(payloads) == [DIGEST]
    assert payloads.read(DIGEST, 1_000, 500) == DATA[1_000:1_500]
    assert payloads.read(DIGEST, len(DATA) - 5, 500) == DATA[-5:]
    payloads.path(DIGEST).write_bytes(DATA[:-1])
    with pytest.raises(ConfigError):
        payloads.complete(DIGEST, len(DATA), None, CHECKED.append)
    assert names(payloads) == []


def test_a_payload_of_another_hash_or_size_and_one_on_a_full_disk_leave_nothing(payloads: Payloads) -> None:
    for wrong, size in ((DATA[:-1] + b"x", len(DATA)), (DATA[:-1], len(DATA)), (DATA, len(DATA) - 1)):
        with pytest.raises(ConfigError):
            payloads.complete(DIGEST, size, wrong, CHECKED.append)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # as a full disk does
    try:
        with pytest.raises(StoreError):
            payloads.complete(DIGEST, len(DATA), DATA, CHECKED.append)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(payloads) == []


def test_what_no_release_needs_goes_at_the_next_start(payloads: Payloads) -> None:
    payloads.complete(DIGEST, len(DATA), DATA, CHECKED.append)
    (payloads.folder / ("a" * 64 + ".new")).write_bytes(b"x")  # what a crash left
    payloads.open(frozenset({DIGEST}))
    assert names(payloads) == [DIGEST]
    (payloads.folder / "notes").mkdir()
    payloads.open(frozenset())
    assert names(payloads) == ["notes"]  # nobody's but a person's
