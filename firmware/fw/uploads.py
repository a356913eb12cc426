"""Uploads of programs, which resume: what was announced, and its bytes so far. Methods of Slots (slots.py)."""

import os
from binascii import hexlify

import storage
from errors import CallError

MAX_PROGRAMS = 16
MAX_IMAGE = 65_536
MAX_WRITE = 4_096
# Bytes; a folder name on littlefs has at most 255, and each may become three.
MAX_NAME = 80
MAX_HEAP = 1_048_576


def begin(slots, name, kind, size, sha256, heap=0, autostart=True, every_ms=0, stop_after_ms=0, hosts=(), ports=()):
    if kind != "py":
        raise CallError("not_supported", "this board takes programs of kind py, not %s" % str(kind)[:20])
    odd = isinstance(name, str) and any(c in "/&=?" or ord(c) < 32 or 127 <= ord(c) < 160 for c in name)
    if not isinstance(name, str) or not 0 < len(name.encode()) <= MAX_NAME or odd:
        raise CallError("bad_params", "%r cannot be the name of a program" % str(name)[:MAX_NAME])
    is_whole = type(size) is int and type(heap) is int
    if not is_whole or size < 8 or not 0 <= heap <= MAX_HEAP:
        raise CallError("bad_params", "size and heap must be whole numbers of a program")
    if isinstance(sha256, (bytes, bytearray)) and len(sha256) == 32:
        sha256 = hexlify(sha256).decode()
    if not isinstance(sha256, str) or len(sha256) != 64 or sha256.strip("0123456789abcdef"):
        raise CallError("bad_params", "sha256 must be 32 bytes, or 64 hexadecimal digits")
    if type(autostart) is not bool:
        raise CallError("bad_params", "autostart must be true or false")
    if size > MAX_IMAGE:
        raise CallError("too_large", "a program of %d bytes, the board takes %d" % (size, MAX_IMAGE))
    before = storage.read_sealed(slots.upload_path)
    upload = [name, size, sha256, heap, autostart]
    if every_ms != 0 or stop_after_ms != 0:
        upload += __import__("intervals").check(every_ms, stop_after_ms)
    if hosts or ports:
        # Without times their places are 0.
        upload += [0] * (7 - len(upload)) + __import__("net_rules").check_use(hosts, ports)
    if before is None or before[:3] != upload[:3]:
        storage.remove_file(slots.part_path)
        facts = os.statvfs(slots.root)
        free = facts[0] * facts[3]
        if size > free:
            raise CallError("too_large", "a program of %d bytes, the flash has %d left: remove one" % (size, free))
    if before != upload:
        storage.full_is_an_error(lambda: storage.write_sealed(slots.upload_path, upload))
    return storage.offset_of(slots)


def write(slots, offset, data):
    size = storage.announced(slots)[1]
    at = storage.offset_of(slots)
    is_offset = type(offset) is int and offset >= 0
    if not is_offset or not isinstance(data, (bytes, bytearray)) or len(data) > MAX_WRITE:
        raise CallError("bad_params", "offset must be a whole number, data at most %d bytes" % MAX_WRITE)
    if offset + len(data) > size:
        raise CallError("bad_params", "%d bytes at %d go past the announced %d" % (len(data), offset, size))
    if offset > at:
        raise CallError("wrong_offset", "offset %d, the board has %d bytes" % (offset, at))
    # Bytes before `at` are in the file: this may be a repeated call.
    if offset + len(data) > at:
        storage.full_is_an_error(lambda: storage.write_file(slots.part_path, data[at - offset :], "ab"))
    return storage.offset_of(slots)


def check_upload(slots):
    """Return name and claim of the program whose upload is whole.

    It can be imported as UPLOADED; nothing is installed yet.
    """
    name, size, sha256, heap = storage.announced(slots)[:4]
    at = storage.offset_of(slots)
    if at != size:
        raise CallError("wrong_offset", "the board has %d of %d bytes" % (at, size))
    digest = storage.sha256_of(slots.part_path)
    if digest != sha256:
        storage.drop_upload(slots)
        raise CallError("hash_mismatch", "the program's SHA-256 is %s, announced was %s" % (digest, sha256))
    if name not in slots.names() and len(slots.names()) >= MAX_PROGRAMS:
        raise CallError("too_many_apps", "%d programs are installed: remove one" % MAX_PROGRAMS)
    return name, heap
