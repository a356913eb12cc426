"""Fuzz target: any bytes as a backup's file, as what follows a sound beginning of its archive, as a member's header.

Whoever has a host's public key can make a file that its owner opens: what is inside is a stranger's, too.
"""

from __future__ import annotations

import io
import tarfile
from typing import Final

from pyrage.x25519 import Identity

from microclaw.errors import BackupError
from microclaw.host.backup.age import decrypting
from microclaw.host.backup.archive import NAME
from microclaw.host.backup.restore import read_archive

KEY: Final = Identity.generate()
FIRST: Final = b"age-encryption.org/v1\n-> X25519 "
CONTENTS: Final = (
    b'{"format":1,"microclaw":"0","made_ms":1,"host":null,"store_version":1,"devices":0,"programs":0,'
    b'"schedules":0,"people":0,"conversations":0,"files":1,"bytes":1}'
)
CHECKSUM: Final = slice(148, 156)  # of a tar header


def fuzz_one(data: bytes) -> None:
    for file in (data, FIRST + data):
        try:
            with decrypting(io.BytesIO(file), KEY) as pieces:
                list(pieces)
        except BackupError:
            continue
    for rest in (data, _header(data) + data):
        try:
            _, found = read_archive([_beginning(), rest, bytes(2 * tarfile.BLOCKSIZE)])
            assert not any(".." in name.split("/") for name, _ in found)
        except BackupError:
            continue


def _beginning() -> bytes:
    info = tarfile.TarInfo(NAME)
    info.size = len(CONTENTS)
    return info.tobuf() + CONTENTS + bytes(-len(CONTENTS) % tarfile.BLOCKSIZE)


def _header(data: bytes) -> bytes:
    """The bytes as a tar header whose checksum is right."""
    info = tarfile.TarInfo("home/x")
    block = bytearray(info.tobuf())
    block[: len(data[: tarfile.BLOCKSIZE])] = data[: tarfile.BLOCKSIZE]
    block[257:265] = tarfile.POSIX_MAGIC
    block[CHECKSUM] = b" " * 8
    block[CHECKSUM] = b"%06o\0 " % sum(block)
    return bytes(block)
