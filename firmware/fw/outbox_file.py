"""The outbox's file read and written anew, and the host's cursor: what happens seldom. Functions of Outbox."""

import binascii
import os
import struct

import cbor
from outbox import put


def load(box):
    """False when there is none, or its end is torn."""
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
            data = file.read(size)
            if len(data) < size or binascii.crc32(data) != crc:
                break
            box._size += 6
            box._apply(cbor.loads(data), box._size, size)
    return bool(box.tx_epoch) and not head


def rewrite(box):
    rows, calls, ids = box._rows, box.calls, box._ids
    began = [0, box.tx_epoch, box.acked, box.acked, box.rx_epoch, box.rx_seq, ids]
    with open(box._path + ".new", "wb") as new:
        size = put(new, cbor.dumps(began))
        box._rows = []
        for n, (offset, length) in enumerate(rows):
            with open(box._path, "rb") as old:
                old.seek(offset)
                record = cbor.loads(old.read(length))
            record[1], record[3] = box.acked + 1 + n, None
            data = cbor.dumps(record)
            box._rows.append((size + 6, len(data)))
            size += put(new, data)
        for id in calls:
            size += put(new, cbor.dumps([2, box.rx_epoch, box.rx_seq, id, calls[id]]))
    os.rename(box._path + ".new", box._path)
    box._size = size
    box._noted = box.acked
    box._torn = False


def resume(box, epoch, seq):
    """Go on after the host's cursor. False: it does not fit, the epoch is new and the connection must end."""
    seq = seq if epoch == box.tx_epoch else 0
    if not box.acked <= seq <= box.last:
        box.tx_epoch = os.urandom(8)
        box.last, box.acked, box.sent = len(box._rows), 0, 0
        rewrite(box)
        return False
    box.ack(seq)
    box.sent = seq
    return True
