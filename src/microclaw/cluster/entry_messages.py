"""An entry of the cluster's log as a message: sealed for its place, then one byte that says how it is packed.

What is in the stream without the seal is nobody's entry. All hosts judge by the same bytes, so all pass over the same.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from typing import Final

from microclaw.errors import StoreError

SEAL_BYTES: Final = 16
MAKE_ANEW: Final = (
    "each host has a copy of the store: stop all hosts, and make the cluster anew from the copy that has most: "
    "microclaw migrate --to nats://... --replace"
)
_PLAIN: Final = b"p"
_PACKED: Final = b"z"
_PACK_FROM: Final = 1024


class EntrySeal:
    """The first bytes of an entry's message: who does not know the cluster's id cannot make them, and they are good at
    one place of that cluster's log alone. The id is in META and in each host's copy.

    They are the same in every version of microclaw: forms have their numbers behind them.
    """

    def __init__(self, cluster_id: str) -> None:
        self._key = hashlib.sha256(b"microclaw: the log of the cluster " + cluster_id.encode()).digest()

    def seal(self, seq: int, data: bytes) -> bytes:
        """The message of the entry `seq`."""
        return self._mark(seq, data) + data

    def open(self, seq: int, message: bytes) -> bytes | None:
        """What was sealed; None for a message of nobody of this cluster."""
        data = message[SEAL_BYTES:]
        return data if hmac.compare_digest(message[:SEAL_BYTES], self._mark(seq, data)) else None

    def _mark(self, seq: int, data: bytes) -> bytes:
        return hmac.digest(self._key, seq.to_bytes(8) + data, "sha256")[:SEAL_BYTES]


def pack(entry: bytes) -> bytes:
    return _PLAIN + entry if len(entry) < _PACK_FROM else _PACKED + zlib.compress(entry, 1)


def unpack(data: bytes) -> bytes:
    """StoreError for what a newer microclaw packed, and for what is damaged: it has the seal, so it is an entry."""
    if data[:1] not in (_PLAIN, _PACKED):
        raise StoreError(
            "it is packed in a form that this host does not know: a newer one wrote it",
            next_step="upgrade this host: use the newer microclaw here too",
        )
    try:
        return data[1:] if data[:1] == _PLAIN else zlib.decompress(data[1:])
    except zlib.error as exc:
        raise StoreError(f"it cannot be unpacked: {exc}", next_step=MAKE_ANEW) from exc
