"""Entries of the log that are too large for a NATS message: their bodies in the object store, named by a message.

A body is named after the entry that it wants to follow, so that a snapshot knows which bodies the log needs no more.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
from typing import BinaryIO, Final

from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import BadObjectMetaError, NotFoundError

from microclaw.cluster.connection import OUTAGES, Cluster, unreachable
from microclaw.errors import StoreError
from microclaw.store.replica_writer import EntryTooLarge

REFERENCE: Final = b"o"  # the first byte of a message: the body's SHA-256 and name follow
MAX_BODY: Final = 256 << 20
MOVE_S: Final = 60.0
_PIECE_S: Final = 10.0
_ACK_EVERY: Final = 64  # pieces of 128 KiB
_PREFIX: Final = "entry-"
_DIGEST: Final = 32


class LargeEntries:
    """The bodies of one cluster. What of them this host put and no entry names is dropped by `drop_unused`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._unused: dict[str, tuple[int, bytes]] = {}  # this host's that did not come by the log yet

    async def put(self, entry_id: str, data: bytes, after: int) -> bytes:
        """The message that stands for `data`. EntryTooLarge; one of OUTAGES."""
        if len(data) > MAX_BODY:
            raise EntryTooLarge(
                f"one write has {len(data)} bytes, the cluster's log takes {MAX_BODY}",
                next_step="make what is to be kept smaller",
            )
        name = f"{_PREFIX}{after}-{entry_id}"
        async with asyncio.timeout(MOVE_S):
            files = await self._cluster.jetstream.object_store(self._cluster.stream("FILES"))
            self._unused[name] = (after, data)
            await files.put(name, data)
        return REFERENCE + hashlib.sha256(data).digest() + name.encode()

    async def get(self, message: bytes) -> bytes:
        """The body that the message names; StoreError when it cannot be had now, or is another."""
        digest, name = message[1 : 1 + _DIGEST], message[1 + _DIGEST :].decode(errors="replace")
        own = self._unused.pop(name, None)
        if own is not None:
            return own[1]
        try:
            async with asyncio.timeout(MOVE_S):
                body = io.BytesIO()
                await read_object(self._cluster, name, body)
                data = body.getvalue()
        except OUTAGES as exc:
            raise unreachable(f"its body {name} cannot be fetched", exc) from exc
        if hashlib.sha256(data).digest() != digest:
            raise StoreError(f"its body {name} is damaged", next_step="start this host again: it fetches the store")
        return data

    async def drop_unused(self, delivered: int) -> None:
        """Delete the bodies of this host's entries that another host's took the place of."""
        for name in [name for name, (after, _) in self._unused.items() if after < delivered]:
            await delete_object(self._cluster, name)
            del self._unused[name]

    async def drop_until(self, seq: int) -> None:
        """Delete the bodies of all entries up to `seq`, which the log has no more."""
        for name in [name for name in await object_names(self._cluster) if name.startswith(_PREFIX)]:
            after = name.removeprefix(_PREFIX).partition("-")[0]
            if after.isdigit() and int(after) < seq:
                await delete_object(self._cluster, name)


async def read_object(cluster: Cluster, name: str, into: BinaryIO) -> None:
    """Write an object's bytes to `into`; one of OUTAGES. The caller compares them.

    NATS' own client takes ten seconds for twenty megabytes: its flow control looks four times a second.
    """
    bucket = cluster.stream("FILES")
    info = await (await cluster.jetstream.object_store(bucket)).get_info(name)
    if not (isinstance(info.nuid, str) and isinstance(info.chunks or 0, int)):
        raise BadObjectMetaError
    subscription = await cluster.jetstream.subscribe(
        f"$O.{bucket}.C.{info.nuid}",
        stream=f"OBJ_{bucket}",
        config=ConsumerConfig(
            ack_policy=AckPolicy.ALL, max_ack_pending=2 * _ACK_EVERY, mem_storage=True, num_replicas=1
        ),
    )
    try:
        for number in range(1, (info.chunks or 0) + 1):
            message = await subscription.next_msg(timeout=_PIECE_S)
            await asyncio.to_thread(into.write, message.data)
            if number % _ACK_EVERY == 0 or number == info.chunks:
                await message.ack()
    finally:
        with contextlib.suppress(*OUTAGES):
            await subscription.unsubscribe()


async def object_names(cluster: Cluster) -> list[str]:
    """Of all objects. They are read from the subjects: what is in a note may be from nobody of this cluster."""
    bucket = cluster.stream("FILES")
    before = f"$O.{bucket}.M."
    info = await cluster.jetstream.stream_info(f"OBJ_{bucket}", subjects_filter=f"{before}>")
    names = []
    for subject in info.state.subjects or ():
        with contextlib.suppress(ValueError):  # no name
            names.append(base64.urlsafe_b64decode(subject.removeprefix(before)).decode())
    return names


async def delete_object(cluster: Cluster, name: str) -> None:
    """Take it out of the object store, and the note that it was there, which NATS' client leaves for ever."""
    bucket = cluster.stream("FILES")
    files = await cluster.jetstream.object_store(bucket)
    with contextlib.suppress(NotFoundError):
        with contextlib.suppress(BadObjectMetaError):  # overwritten by nobody of this cluster
            await files.delete(name)
        note = f"$O.{bucket}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"
        await cluster.jetstream.purge_stream(f"OBJ_{bucket}", subject=note)
