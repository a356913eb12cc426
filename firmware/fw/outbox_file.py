"""Reads and rewrites the outbox's file, and keeps the host's cursor: what happens seldom. Functions of Outbox.

A record may be longer than the memory that is free, so it is read and copied in pieces.
"""

import binascii
import os
import struct

import cbor
from messages import encode
from micropython import const

_PIECE_BYTES = const(256)


def load(box):
    """Load the file; return False if there is none, or if its end is torn."""
    try:
        file = open(box._path, "rb")
    except OSError:
        return False
    with file:
        while True:
            head = file.read(6)
            if len(head) < 6:
                break
            crc, size = struct.unpack(">IH", head)
            at = box._size + 6
            checksum = 0
            for piece in _pieces(file, at, size):
                checksum = binascii.crc32(piece, checksum)
            if file.tell() < at + size or checksum != crc:
                break
            box._apply(_record(box, file, at, size), at, size)
            file.seek(at + size)
    return bool(box.tx_epoch) and not head


def _record(box, file, at, size):
    """Read a record, without the payload of a message.

    A call that does not fit into the memory becomes a call that cannot be done again.
    """
    file.seek(at)
    if file.read(2)[1] == 1:
        seq, start, length = box.find(file, at)
        return [1, seq, None, _answered(file, start + length)]
    try:
        file.seek(at)
        return cbor.loads(file.read(size))
    except MemoryError:
        file.seek(at)
        head = file.read(64)
        values = [2]
        place = 2
        for _ in range(3):
            value, place = cbor._read(head, place, 1)
            values.append(value)
        return values + [["a call too long for the memory", {}, False]]


def _answered(file, at):
    """Return the durable call that a message's record answers: it comes after the payload."""
    file.seek(at)
    end = file.read(17)
    if end[0] == 0xF6:
        return None
    return end[1:]


def rewrite(box):
    start = [0, box.tx_epoch, box.acked, box.acked, box.rx_epoch, box.rx_seq, box._ids]
    rows = []
    with open(box._path + ".new", "wb") as new:
        size = box.put(new, cbor.dumps(start))
        for n, (offset, _) in enumerate(box._rows):
            with open(box._path, "rb") as old:
                length = _copy(box, new, old, offset, box.acked + 1 + n)
            rows.append((size + 6, length))
            size += 6 + length
        for id in box.calls:
            size += box.put(new, cbor.dumps([2, box.rx_epoch, box.rx_seq, id, box.calls[id]]))
    os.rename(box._path + ".new", box._path)
    box._rows = rows
    box._size = size
    box._noted = box.acked
    box._torn = False


def _copy(box, new, old, offset, seq):
    """Copy a message's record under this number; return its length."""
    _, start, size = box.find(old, offset)
    call = _answered(old, start + size)
    head = cbor.dumps(seq, bytearray(b"\x84\x01"))
    cbor._head(head, 2, size)
    end = cbor.dumps(call)
    crc = binascii.crc32(head)
    for piece in _pieces(old, start, size):
        crc = binascii.crc32(piece, crc)
    length = len(head) + size + len(end)
    new.write(struct.pack(">IH", binascii.crc32(end, crc), length))
    new.write(head)
    for piece in _pieces(old, start, size):
        new.write(piece)
    new.write(end)
    return length


def _pieces(file, at, size):
    file.seek(at)
    while size:
        piece = file.read(min(size, _PIECE_BYTES))
        if not piece:
            return
        size -= len(piece)
        yield piece


def too_large(box, seq):
    """Return (bytes, message): the size of a message that does not fit, and a small one with its number."""
    with open(box._path, "rb") as file:
        _, start, size = box.find(file, box._rows[seq - box.acked - 1][0])
        call = _answered(file, start + size)
    if call is None:
        payload = encode("event", {"name": "too_large", "data": {"bytes": size}})
    else:
        text = "the answer of {} bytes does not fit into the board's memory: ask for less".format(size)
        payload = encode("result", {"ok": False, "error": {"code": "too_large", "message": text}}, call)
    payload[0] += 1
    return size, cbor.dumps(seq, cbor.dumps("seq", bytearray(b"\x01") + payload))


def resume(box, epoch, seq):
    """Continue after the host's cursor.

    Returns False if the cursor does not fit: then the epoch is new and the connection must end.
    """
    if epoch != box.tx_epoch:
        seq = 0
    if not box.acked <= seq <= box.last:
        box.tx_epoch = os.urandom(8)
        box.last = len(box._rows)
        box.acked = 0
        box.sent = 0
        rewrite(box)
        return False
    box.ack(seq)
    box.sent = seq
    return True
