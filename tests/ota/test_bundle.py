"""Bundles: the same bytes for the same files, and what no board would unpack."""

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

from microclaw.ota.bundle import BundleError, check_bundle, own_files, pack, unpack
from microclaw.ota.manifest import Release

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
        assert "main.mpy" not in files
        assert "main.py" not in files
        assert ("audio.mpy" in files) == (board == "esp32s3")
        check_bundle(data, release_of(data, board=board))


def test_a_bundle_is_a_tar_that_others_read() -> None:
    with tarfile.open(fileobj=io.BytesIO(pack(FILES))) as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == sorted(FILES)
        assert {(member.mtime, member.uid, member.mode, member.type) for member in members} == {(0, 0, 0o644, b"0")}
        assert all(tar.extractfile(member).read() == FILES[member.name] for member in members)  # type: ignore[union-attr]


@given(
    files=st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_]{0,9}(/[a-z]{1,9})?\.mpy", fullmatch=True), st.binary(max_size=2_000)
    )
)
def test_what_is_packed_is_unpacked(files: dict[str, bytes]) -> None:
    assert unpack(pack(files)) == files


def foreign(**fields: Any) -> bytes:
    """A tar with one member of another kind or name."""
    info = tarfile.TarInfo(fields.pop("name", "start.mpy"))
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(fields.pop("format", tarfile.USTAR_FORMAT)) + bytes(1_024)


@pytest.mark.parametrize(
    "data",
    [
        foreign(type=tarfile.SYMTYPE, linkname="/main.py"), foreign(type=tarfile.LNKTYPE, linkname="x"),
        foreign(type=tarfile.DIRTYPE), foreign(type=tarfile.FIFOTYPE),
        foreign(name="../main.py"), foreign(name="/main.py"), foreign(name="a/../b"), foreign(name=".hidden"),
        foreign(name="a/b/c"), foreign(name="a//b"), foreign(name="a b"),
        foreign(name="x" * 82), foreign(name="d" * 90 + "/" + "n" * 20), foreign(size=5_000), b"", bytes(512),
        tarfile.TarInfo("start.mpy").tobuf(tarfile.GNU_FORMAT) + bytes(1_024),
        pack(FILES)[:-1_024], pack(FILES)[: -1_024] * 2 + bytes(1_024),
    ],
)  # fmt: skip
def test_a_member_that_is_no_plain_file_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError):
        unpack(data)


@pytest.mark.parametrize(
    "names", [("start.mpy", "START.mpy"), ("agent", "agent/turn.mpy"), ("agent/turn.mpy", "agent")]
)
def test_two_files_of_one_place_are_refused(names: tuple[str, str]) -> None:
    with pytest.raises(BundleError):
        pack(dict.fromkeys(names, b""))
    first, second = (foreign(name=name)[:512] for name in names)
    with pytest.raises(BundleError):
        unpack(first + second + bytes(1_024))


def test_a_cut_bundle_is_refused_at_every_length() -> None:
    data = pack(FILES)
    for size in (*range(0, len(data), 97), len(data) - 1):
        with pytest.raises(BundleError):
            unpack(data[:size])


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_read_or_refused_and_nothing_else(at: int, bit: int) -> None:
    data = bytearray(pack(FILES))
    data[at % len(data)] ^= 1 << bit
    with suppress(BundleError):
        unpack(bytes(data))


@pytest.mark.parametrize(
    "changes",
    [
        {"about.json": ABOUT.replace(b"1.4.0", b"1.3.0")}, {"about.json": b"[]"}, {"about.json": None},
        {"start.mpy": None}, {"whole": b""}, {"turn.mpy": b"M\x05\0\x1f"}, {"turn.mpy": b"M"},
        {"turn.mpy": bytes([77, 6, 11 << 2, 31])},
    ],
)  # fmt: skip
def test_a_bundle_that_is_not_what_the_manifest_says_is_refused(
    release_of: Callable[..., Release], changes: dict[str, bytes | None]
) -> None:
    files = {name: data for name, data in {**FILES, **changes}.items() if data is not None}
    data = pack(files)
    with pytest.raises(BundleError):
        check_bundle(data, release_of(data))


def test_machine_code_for_the_board_s_chip_is_taken(release_of: Callable[..., Release]) -> None:
    data = pack({**FILES, "turn.mpy": bytes([77, 6, 10 << 2, 31])})
    check_bundle(data, release_of(data))
