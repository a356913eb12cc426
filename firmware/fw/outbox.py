"""The data that survives a power cut: durable messages to the host and what was taken from it. One file.

A record: CRC-32, length, a CBOR list. Reading stops at the first bad one: a record that was cut is one that nobody was
told of. A file that grew is written again beside the old one and takes its name.

    [0, tx_epoch, acked, last, rx_epoch, rx_seq, ids]   how it stood when the file was begun
    [1, seq, payload, call]                             a message, unnumbered; the durable call that it answers, or None
    [2, rx_epoch, seq, id, call]                        taken from the host; a call is [method, params, idempotent]
    [3, acked]                                          the host has all up to there; else a start would keep them
"""

import binascii
import os
import struct

import cbor
from binding import bound, once
from micropython import const

_MAX_MESSAGES = const(64)
_MAX_BYTES = const(16384)
# Bytes: a message is in memory three times while it is sent.
MAX_MESSAGE = 6656
# A larger one would end every connection.
_PROTOCOL_MAX = const(16384)
_REWRITE_BYTES = const(4096)
# This many at a time.
_NOTE_ACKS = const(8)
_KEPT_IDS = const(256)
_WINDOW = const(64)
# Of an id's 16 bytes: in a UUIDv7 the random ones.
_ID_TAIL = const(8)


class Full(Exception):
    pass


class Outbox:
    """The outbox.

    `sent` is the number sent last on this connection; `calls` are durable calls without an answer, by their id.
    """

    def __init__(self, path):
        self._path = path
        self.tx_epoch = self.rx_epoch = b""
        self.acked = self.last = self.sent = self.rx_seq = 0
        self.calls = {}
        self._ids = b""
        # (offset, size) of the messages after `acked`.
        self._rows = []
        # `acked` as the file has it.
        self._noted = 0
        self._size = 0
        # The next write begins the file again.
        self._torn = not self.load()
        if not self.tx_epoch:
            self.tx_epoch = os.urandom(8)
            self.rewrite()

    def __getattr__(self, name):
        """Load `load`, `rewrite`, `resume` or `too_large` from outbox_file.py when it is needed."""
        return bound(getattr(once("outbox_file"), name), self)

    def append(self, payload, call=None):
        """Keep a message; `call` is answered by it. ValueError, Full, or OSError of a full flash."""
        if len(payload) > MAX_MESSAGE:
            raise ValueError("a message of {} bytes, at most {} are kept".format(len(payload), MAX_MESSAGE))
        if call is None and (len(self._rows) >= _MAX_MESSAGES or self._kept() + len(payload) > _MAX_BYTES):
            raise Full()
        self._write([1, self.last + 1, payload, call])

    def next(self):
        """Return the next message to send, numbered; None if all are sent or 64 wait for an ack."""
        if self.sent >= self.last or self.sent - self.acked >= _WINDOW:
            return None
        self.sent += 1
        return self.message(self.sent)

    def message(self, seq):
        """Return the kept message of this number as it is sent; MemoryError if it is too long for that."""
        end = cbor.dumps(seq, cbor.dumps("seq"))
        with open(self._path, "rb") as file:
            _, at, size = self.find(file, self._rows[seq - self.acked - 1][0])
            if size + len(end) > _PROTOCOL_MAX:
                raise MemoryError("longer than a message may be")
            # Allocate it once, in its final length.
            message = bytearray(1 + size + len(end))
            file.seek(at)
            file.readinto(memoryview(message)[1 : 1 + size])
        message[0] = 1
        # One more key in the map.
        message[1] += 1
        message[1 + size :] = end
        return message

    def ack(self, seq):
        """Handle an ack; return True if it is new."""
        if seq <= self.acked:
            return False
        del self._rows[: seq - self.acked]
        self.acked = seq
        self.sent = max(self.sent, seq)
        try:
            if self._size > _REWRITE_BYTES and not self._rows:
                self.rewrite()
            elif seq - self._noted >= _NOTE_ACKS:
                self._write([3, seq])
        except OSError:
            # With a full flash an acked message is kept once more; the host recognises it.
            pass
        return True

    def start(self, epoch):
        """Begin `epoch`, in which the host counts now."""
        if epoch != self.rx_epoch:
            self.rx_epoch = epoch
            self.rx_seq = 0

    def take(self, seq, id, call=None):
        """Commit the next message of the host.

        Returns False if its id was taken before: then it has no second effect.
        """
        tail = id[-_ID_TAIL:]
        at = self._ids.find(tail)
        while at >= 0 and at % _ID_TAIL:
            at = self._ids.find(tail, at + 1)
        is_new = at < 0
        if not is_new:
            call = None
        self._write([2, self.rx_epoch, seq, id, call])
        return is_new

    def _apply(self, record, offset, size):
        kind = record[0]
        if kind == 0:
            _, self.tx_epoch, self.acked, self.last, self.rx_epoch, self.rx_seq, self._ids = record
            self.sent = self._noted = self.acked
        elif kind == 3:
            del self._rows[: record[1] - self.acked]
            self.acked = self._noted = record[1]
            self.sent = max(self.sent, self.acked)
        elif kind == 1:
            self.last = record[1]
            self._rows.append((offset, size))
            self.calls.pop(record[3], None)
        else:
            _, self.rx_epoch, self.rx_seq, id, call = record
            self._ids = (self._ids + id[-_ID_TAIL:])[-_ID_TAIL * _KEPT_IDS :]
            if call:
                self.calls[id] = call
        self._size = offset + size

    def _write(self, record):
        data = cbor.dumps(record)
        if self._torn or self._size - self._kept() > _MAX_BYTES:
            self.rewrite()
        # Until the record is whole: data after half a record would be lost.
        self._torn = True
        with open(self._path, "ab") as file:
            self.put(file, data)
        self._torn = False
        self._apply(record, self._size + 6, len(data))

    def _kept(self):
        return sum(size for _, size in self._rows)

    def find(self, file, offset):
        """Read a message's record; return its number, the offset of its payload and the payload's size."""
        file.seek(offset)
        head = file.read(24)
        seq, at = cbor._read(head, 2, 1)
        size = head[at] & 31
        at += 1
        if size > 23:
            width = 1 << (size - 24)
            size = int.from_bytes(head[at : at + width], "big")
            at += width
        return seq, offset + at, size

    def put(self, file, data):
        file.write(struct.pack(">IH", binascii.crc32(data), len(data)))
        file.write(data)
        return 6 + len(data)
