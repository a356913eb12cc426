"""Tars with tricks: what the firmware's reader refuses, on CPython and on MicroPython."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Literal

import pytest
from tests.firmware.conftest import micropython

from microclaw.firmware_modules import ota_bad, ota_payload

SCRIPT = """
import ota_bad, ota_payload
from binascii import unhexlify
for line in open(WORDS[0]):
    data = unhexlify(line.strip())
    try:
        tar, at = ota_payload.TarReader(len(data)), 0
        while not tar.over:
            member = tar.member(data[at : at + 512])
            at += 512
            if member:
                at += ota_payload.padded(member[1])
        print(*tar.names.split())
    except ota_bad.BadPayload as refused:
        print(refused.code)
"""


def member(name: str, content: bytes = b"x", **changes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, content


def tar(
    *members: tuple[tarfile.TarInfo, bytes], format: Literal[0, 1, 2] = tarfile.USTAR_FORMAT, end: int = 2
) -> bytes:
    parts = []
    for info, content in members:
        parts += [info.tobuf(format), content, bytes(-len(content) % 512)]
    return b"".join(parts) + bytes(512 * end)


def with_header(change: tuple[int, bytes], *, checksum: bool = True) -> bytes:
    """A member whose header has these bytes at this place."""
    data = bytearray(tar(member("a.mpy")))
    data[change[0] : change[0] + len(change[1])] = change[1]
    if checksum:
        data[148:156] = b"        "
        data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


GOOD = tar(
    member("start.mpy", b"M" * 700), member("agent/turn.mpy"), member("about.json", b"{}"), member("_x-1.Y", b"")
)

PAYLOADS: list[tuple[str, bytes, str]] = [
    ("plain", GOOD, "start.mpy agent/turn.mpy about.json _x-1.Y"),
    ("more zeros at the end", GOOD + bytes(512 * 4), "start.mpy agent/turn.mpy about.json _x-1.Y"),
    ("up", tar(member("../main.py")), "bad_bundle"),
    ("up within", tar(member("agent/../main.py")), "bad_bundle"),
    ("just up", tar(member("..")), "bad_bundle"),
    ("absolute", tar(member("/main.py")), "bad_bundle"),
    ("two folders", tar(member("a/b/c.mpy")), "bad_bundle"),
    ("two slashes", tar(member("a//c.mpy")), "bad_bundle"),
    ("a folder's name", tar(member("a/")), "bad_bundle"),
    ("hidden", tar(member(".netrc")), "bad_bundle"),
    ("an option", tar(member("-rf")), "bad_bundle"),
    ("a backslash", tar(member("a\\b")), "bad_bundle"),
    ("a space", tar(member("a b")), "bad_bundle"),
    ("a line feed", tar(member("a\nb")), "bad_bundle"),
    ("no name", with_header((0, bytes(100))), "bad_bundle"),
    ("not ASCII", with_header((0, "ä".encode())), "bad_bundle"),
    ("something behind the name's end", with_header((20, b"x")), "bad_bundle"),
    ("a huge name", tar(member("x" * 100)), "bad_bundle"),
    ("a name in two parts", tar(member("x" * 90 + "/" + "y" * 90)), "bad_bundle"),
    ("a long name of GNU", tar(member("x" * 300), format=tarfile.GNU_FORMAT), "bad_bundle"),
    ("a long name of pax", tar(member("x" * 300), format=tarfile.PAX_FORMAT), "bad_bundle"),
    ("GNU's magic", tar(member("a.mpy"), format=tarfile.GNU_FORMAT), "bad_bundle"),
    ("a symbolic link", tar(member("a", b"", type=tarfile.SYMTYPE, linkname="/main.py")), "bad_bundle"),
    ("a hard link", tar(member("a", b"", type=tarfile.LNKTYPE, linkname="main.py")), "bad_bundle"),
    ("a plain file with a link's name", tar(member("a", b"", linkname="b")), "bad_bundle"),
    ("a character device", tar(member("a", b"", type=tarfile.CHRTYPE)), "bad_bundle"),
    ("a block device", tar(member("a", b"", type=tarfile.BLKTYPE)), "bad_bundle"),
    ("a fifo", tar(member("a", b"", type=tarfile.FIFOTYPE)), "bad_bundle"),
    ("a folder", tar(member("a", b"", type=tarfile.DIRTYPE)), "bad_bundle"),
    ("a sparse file", with_header((156, b"S")), "bad_bundle"),
    ("twice", tar(member("a.mpy"), member("a.mpy")), "bad_bundle"),
    ("twice in another case", tar(member("a.mpy"), member("A.mpy")), "bad_bundle"),
    ("a file and a folder", tar(member("a"), member("a/b")), "bad_bundle"),
    ("a folder and a file", tar(member("a/b"), member("a")), "bad_bundle"),
    ("257 members", tar(*(member(f"m{n}.mpy", b"") for n in range(257))), "bad_bundle"),
    ("a wrong checksum", with_header((100, b"7"), checksum=False), "bad_bundle"),
    ("a size that is no number", with_header((124, b"9999999999 ")), "bad_bundle"),
    ("a size in base 256", with_header((124, b"\x80" + bytes(10) + b"\x01")), "bad_bundle"),
    ("a negative size", with_header((124, b"-0000000001")), "bad_bundle"),
    ("longer than the bundle", with_header((124, b"77777777777\0")), "wrong_size"),
    ("no end", tar(member("a.mpy"), end=0), "wrong_size"),
    ("half an end", tar(member("a.mpy"), end=1), "wrong_size"),
    ("a block cut short", GOOD[:-1], "wrong_size"),
    ("something behind the end", GOOD + tar(member("b.mpy")), "bad_bundle"),
    ("noise", b"x" * 2048, "bad_bundle"),
]


def read(data: bytes) -> str:
    try:
        reader, file = ota_payload.TarReader(len(data)), io.BytesIO(data)
        while not reader.over:
            found = reader.member(file.read(512))
            if found is not None:
                file.seek(ota_payload.padded(found[1]), io.SEEK_CUR)
        return " ".join(reader.names.split())
    except ota_bad.BadPayload as refused:
        return str(refused.code)


@pytest.mark.parametrize(("data", "answer"), [row[1:] for row in PAYLOADS], ids=[row[0] for row in PAYLOADS])
def test_payload(data: bytes, answer: str) -> None:
    assert read(data) == answer


def test_micropython_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "payloads"
    path.write_text("".join(data.hex() + "\n" for _, data, _ in PAYLOADS))
    assert micropython(SCRIPT, str(path)).splitlines() == [answer for _, _, answer in PAYLOADS]
