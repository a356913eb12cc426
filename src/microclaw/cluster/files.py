"""Payloads of updates in the cluster's object store, so that every host can hand them to its devices."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Final

from nats.js.errors import BadObjectMetaError, NotFoundError

from microclaw.cluster.connection import OUTAGES, Cluster, unreachable
from microclaw.cluster.large_entries import delete_object
from microclaw.durable import replace_file
from microclaw.errors import StoreError

TRANSFER_S: Final = 120.0


class ClusterFiles:
    """An `ota.payloads.SharedPayloads`. A file's name is its SHA-256."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def put(self, sha256: str, path: Path) -> None:
        """Durable in the object store when this returns; StoreError while NATS cannot be reached."""
        try:
            async with asyncio.timeout(TRANSFER_S):
                files = await self._cluster.jetstream.object_store(self._cluster.stream("FILES"))
                try:
                    await files.get_info(_name(sha256))
                except (NotFoundError, BadObjectMetaError) as exc:
                    if isinstance(exc, BadObjectMetaError):  # overwritten by nobody of this cluster
                        await delete_object(self._cluster, _name(sha256))
                    await files.put(_name(sha256), await asyncio.to_thread(path.read_bytes))
        except OUTAGES as exc:
            raise unreachable("the payload is not with the other hosts", exc) from exc

    async def fetch(self, sha256: str, path: Path) -> None:
        """Bring a payload that another host took to `path`; StoreError when that cannot be."""
        try:
            async with asyncio.timeout(TRANSFER_S):
                files = await self._cluster.jetstream.object_store(self._cluster.stream("FILES"))
                found = await files.get(_name(sha256))
        except (NotFoundError, BadObjectMetaError) as exc:
            raise StoreError(
                f"the payload {sha256[:12]} is at no host of the cluster", next_step="publish it again"
            ) from exc
        except OUTAGES as exc:
            raise unreachable("the payload cannot be fetched", exc) from exc
        data = found.data or b""
        if hashlib.sha256(data).hexdigest() != sha256:
            raise StoreError(f"the payload {sha256[:12]} is damaged in the cluster", next_step="publish it again")
        await asyncio.to_thread(replace_file, path, data)


def _name(sha256: str) -> str:
    return f"payload-{sha256}"
