"""Fuzz target: any bytes as an update's manifest, as its bundle of files and as an image for a chip.

A manifest that is read is written the same; a bundle that is unpacked has only names that a board can have.
"""

from __future__ import annotations

from contextlib import suppress

from microclaw.devices.ota.bundle import PayloadError, pack, read_application, unpack
from microclaw.devices.ota.manifest import ManifestError, read_manifest, write_manifest

CHECKSUM = slice(148, 156)  # of a tar header
BLOCK = 512


def fuzz_one(data: bytes) -> None:
    with suppress(ManifestError):
        manifest = read_manifest(data)
        assert read_manifest(write_manifest(manifest)) == manifest
    for bundle in (data, _summed(data)):
        with suppress(PayloadError):
            files = unpack(bundle)
            assert not any(name.startswith("/") or ".." in name.split("/") for name in files)
            assert unpack(pack(files)) == files
    with suppress(PayloadError):
        read_application(data, chip="esp32s3")


def _summed(data: bytes) -> bytes:
    """The bytes with a first header whose checksum is right."""
    head = bytearray(data[:BLOCK])
    if len(head) < BLOCK:
        return data
    head[CHECKSUM] = b" " * 8
    head[CHECKSUM] = b"%06o\0 " % sum(head)
    return bytes(head) + data[BLOCK:]
