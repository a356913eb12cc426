"""When this host's copy of the store is new enough to say who may come in: a `microclaw.auth.recheck.Freshness`."""

from __future__ import annotations

import asyncio
from typing import Final

from microclaw.cluster.connection import Cluster
from microclaw.cluster.hosts import Hosts
from microclaw.errors import StoreError, StoreUnreachable
from microclaw.store.replica import Replica

WAIT_S: Final = 5.0
_IDENTITY: Final = frozenset({"people", "person_addresses", "person_tokens", "sign_ins"})


class FreshIdentity:
    """Changes wait until the copy has the log's end of that moment. So do reads when the lease was over since the last
    time: the host was cut off, or paused. While NATS is away, reads are of the copy as it is.
    """

    def __init__(self, cluster: Cluster, hosts: Hosts, replica: Replica, *, wait_s: float = WAIT_S) -> None:
        self._cluster = cluster
        self._hosts = hosts
        self._replica = replica
        self._wait_s = wait_s
        self._term = hosts.term  # of the lease, when the copy was last seen to be new enough

    async def __call__(self, *, changes: bool) -> None:
        """Raises StoreUnreachable after `wait_s`."""
        if not changes and self._is_good(self._term):
            return
        if not self._cluster.connected and not changes:
            return
        term = self._hosts.term
        try:
            async with asyncio.timeout(self._wait_s):
                await self._replica.catch_up_with(_IDENTITY)
        except TimeoutError as exc:
            raise _unknown(f"nothing came within {self._wait_s:.0f} s") from exc
        except StoreError as exc:
            raise _unknown(exc.message) from exc
        if self._is_good(term):
            self._term = term

    def _is_good(self, term: int) -> bool:
        """Whether the lease has been good all the time since that term began."""
        return self._hosts.term == term and self._hosts.work_left_s > 0


def _unknown(why: str) -> StoreUnreachable:
    return StoreUnreachable(
        f"this host was away from the cluster and cannot say whether this token or session is still good: {why}",
        next_step="ask another host, or again in a moment; microclaw cluster status",
    )
