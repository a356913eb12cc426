"""What the cluster says of its store, under one key of the bucket META: its id and the newest snapshot."""

from __future__ import annotations

from typing import Final

import msgspec
from nats.js.errors import BucketNotFoundError, KeyNotFoundError, NotFoundError

from microclaw.cluster.connection import OUTAGES, Cluster, unreachable
from microclaw.cluster.forms import Count, check_value
from microclaw.errors import ProtocolError, StoreError

META_KEY: Final = "store"


class StoreMeta(msgspec.Struct, frozen=True, omit_defaults=True):
    """`cluster` tells two clusters of one name apart; the snapshot `snapshot` is the store at `seq` of the log.

    `predecessors` are clusters that it was made anew of: a copy of theirs gives way to this one's.
    """

    cluster: str
    snapshot: str
    seq: Count
    sha256: str
    log_made: str  # when the log's stream was made: another one of its name is another log
    sealed: bool = False  # its entries have the seal; those of a cluster of before have none
    form: int = 1
    predecessors: tuple[str, ...] = ()


class MetaUnreadable(StoreError):
    """What the cluster says of its store is nothing that a microclaw wrote: the next snapshot puts it right."""


async def read_meta(cluster: Cluster) -> StoreMeta | None:
    """None for a cluster that is not made yet."""
    try:
        bucket = await cluster.jetstream.key_value(cluster.stream("META"))
        entry = await bucket.get(META_KEY)
    except (BucketNotFoundError, KeyNotFoundError, NotFoundError):
        return None
    except OUTAGES as exc:
        raise unreachable("the cluster's store cannot be found", exc) from exc
    return decode_meta(entry.value)


def decode_meta(value: bytes | None) -> StoreMeta:
    """StoreError for one of a newer microclaw, MetaUnreadable for none."""
    try:
        check_value(value or b"", "what the cluster says of its store")
    except ProtocolError as exc:
        raise StoreError(
            f"what the cluster says of its store cannot be read: {exc}",
            next_step="use the microclaw of the newest host here too: microclaw cluster status shows versions",
        ) from exc
    try:
        return msgspec.json.decode(value or b"", type=StoreMeta)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise MetaUnreadable(
            f"what the cluster says of its store was overwritten by nobody of this cluster: {exc}",
            next_step="a host that runs puts it right within a minute; at one that has its copy: "
            "microclaw cluster snapshot",
        ) from exc
