"""Tars with tricks: what the firmware's reader refuses, on MicroPython."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Literal

from tests.firmware.conftest import micropython

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

NAMES = ["../main.py", "agent/../main.py", "..", "/main.py", "a/b/c.mpy", "a//c.mpy", "a/", ".netrc", "-rf"]
NAMES += ["a\\b", "a b", "a\nb", "x" * 100, "x" * 90 + "/" + "y" * 90]
KINDS = [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
TWICE = [("a.mpy", "a.mpy"), ("a.mpy", "A.mpy"), ("a", "a/b"), ("a/b", "a")]
HEADERS = [
    *((0, bytes(100)), (0, "ä".encode()), (20, b"x"), (156, b"S")),  # no name, no ASCII, more behind it, a sparse file
    *((124, size) for size in (b"9999999999 ", b"\x80" + bytes(10) + b"\x01", b"-0000000001")),
]
BAD = [
    *(tar(member(name)) for name in NAMES),
    *(tar(member("a", b"", type=kind)) for kind in KINDS),
    *(tar(*(member(name) for name in names)) for names in TWICE),
    *(with_header(change) for change in HEADERS),
    *(tar(member("x" * 300), format=long) for long in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)),
    tar(member("a.mpy"), format=tarfile.GNU_FORMAT),
    tar(member("a", b"", type=tarfile.SYMTYPE, linkname="/main.py")),
    tar(member("a", b"", type=tarfile.LNKTYPE, linkname="main.py")),
    tar(member("a", b"", linkname="b")),
    tar(*(member(f"m{n}.mpy", b"") for n in range(257))),
    with_header((100, b"7"), checksum=False),
    GOOD + tar(member("b.mpy")),
    b"x" * 2048,
]
TORN = [with_header((124, b"77777777777\0")), tar(member("a.mpy"), end=0), tar(member("a.mpy"), end=1), GOOD[:-1]]
PAYLOADS = [
    *((data, "start.mpy agent/turn.mpy about.json _x-1.Y") for data in (GOOD, GOOD + bytes(512 * 4))),
    *((data, "bad_bundle") for data in BAD),
    *((data, "wrong_size") for data in TORN),
]


def test_each_payload_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "payloads"
    path.write_text("".join(data.hex() + "\n" for data, _ in PAYLOADS))
    for (data, answer), found in zip(PAYLOADS, micropython(SCRIPT, str(path)).splitlines(), strict=True):
        assert found == answer, data[:600]
