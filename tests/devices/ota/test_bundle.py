"""Bundles: the same bytes for the same files, and what no board would start. Tars with tricks: tests/firmware."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.devices.ota.bundle import PayloadError, check_bundle, own_files, pack, unpack
from microclaw.devices.ota.manifest import Release

MPY = b"M\x06\x00\x1f" + b"code"
ABOUT = json.dumps({"name": "microclaw-micropython", "version": "1.4.0", "security_version": 3}).encode()
FILES = {"start.mpy": MPY, "agent/turn.mpy": MPY * 200, "about.json": ABOUT}


async def test_our_own_files_become_the_same_bundle_each_time(release_of: Callable[..., Release]) -> None:
    wanted: Any = {"name": "microclaw-micropython", "version": "1.4.0", "security_version": 3}
    for board in ("esp32s3", "esp32-small"):
        files = await own_files(board, **wanted)
        data = pack(files)
        assert data == pack(dict(reversed(files.items())))
        assert json.loads(files["about.json"]) == wanted
        assert {"main.mpy", "main.py"}.isdisjoint(files)
        assert ("audio.mpy" in files) == (board == "esp32s3")
        check_bundle(data, release_of(data, board=board))


def test_a_bundle_is_a_tar_that_others_read() -> None:
    with tarfile.open(fileobj=io.BytesIO(pack(FILES))) as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == sorted(FILES)
        assert {(member.mtime, member.uid, member.mode, member.type) for member in members} == {(0, 0, 0o644, b"0")}
        assert all(tar.extractfile(member).read() == FILES[member.name] for member in members)  # type: ignore[union-attr]


@pytest.mark.parametrize("names", [("start.mpy", "START.mpy"), ("agent", "agent/turn.mpy"), ("../main.py",)])
def test_names_that_boards_refuse_are_not_packed(names: tuple[str, ...]) -> None:
    with pytest.raises(PayloadError):
        pack(dict.fromkeys(names, b""))


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7), size=st.integers(0, 10_000))
def test_a_cut_or_flipped_bundle_is_read_or_refused_and_nothing_else(at: int, bit: int, size: int) -> None:
    data = bytearray(pack(FILES))
    with pytest.raises(PayloadError):
        unpack(bytes(data[: size % len(data)]))
    data[at % len(data)] ^= 1 << bit
    with suppress(PayloadError):
        unpack(bytes(data))


@pytest.mark.parametrize(
    ("changes", "is_right"),
    [
        ({"about.json": ABOUT.replace(b"1.4.0", b"1.3.0")}, False), ({"about.json": b"[]"}, False),
        ({"about.json": None}, False), ({"start.mpy": None}, False), ({"whole": b""}, False),
        ({"turn.mpy": b"M"}, True),
    ],
)  # fmt: skip
def test_a_bundle_is_what_the_manifest_says(
    release_of: Callable[..., Release], changes: dict[str, bytes | None], is_right: bool
) -> None:
    data = pack({name: data for name, data in {**FILES, **changes}.items() if data is not None})
    if is_right:
        check_bundle(data, release_of(data))
        return
    with pytest.raises(PayloadError):
        check_bundle(data, release_of(data))
