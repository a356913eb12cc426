"""When a host gives its copy of the store up: the cluster goes on without what the copy has, or without what it lacks.

A NATS server that loses entries, or replaces them, makes a copy another than the log says. Which of the two counts is
not for one host to say: the log does where the copies of most live hosts follow it. A copy that is given up is kept
aside, and its host fetches the store anew at its next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec
from nats.js.errors import BucketNotFoundError, KeyNotFoundError, NoKeysError

from microclaw.cluster.connection import OUTAGES, Cluster, unreachable
from microclaw.cluster.leases import read_renewal
from microclaw.errors import ProtocolError, StoreError
from microclaw.text import host_called

if TYPE_CHECKING:
    from microclaw.cluster.host_facts import HostFacts
    from microclaw.cluster.hosts import Hosts
    from microclaw.cluster.nats_log import NatsLog
    from microclaw.store.replica import Replica

SURE_S: Final = 30.0  # every host has looked at the log by then, and told the others what it saw
LOOK_S: Final = 1.0
START_AGAIN: Final = "start this host again: it keeps its copy aside, and fetches the store anew"


async def until_left_behind(replica: Replica, log: NatsLog, hosts: Hosts) -> StoreError:
    """Wait until this host is to end; why. Its copy is given up then (`Replica.is_given_up`), or lacks what the log has
    no more."""
    time = asyncio.get_running_loop().time
    since: float | None = None
    while log.cut_off is None:
        await asyncio.sleep(LOOK_S)
        trouble = replica.differs or log.differs
        others = (one.facts for one in hosts.standing() if one.facts.host_id != hosts.host_id and one.is_known)
        if trouble is None or hosts.lost or not follow_in_most(others, log.last):
            since = None
        elif since is None:
            since = time()
        elif time() - since >= SURE_S:
            replica.is_given_up = True
            return StoreError(f"{trouble.message}; most hosts follow the log", next_step=START_AGAIN)
    return log.cut_off


def follow_in_most(others: Iterable[HostFacts], last: int) -> bool:
    """Whether the copies of most hosts, of these and one that does not, follow a log that ends at `last`."""
    found = list(others)
    following = [one for one in found if not one.trouble and one.position <= last]
    return 2 * len(following) > len(found) + 1


async def live_others(cluster: Cluster, host_id: str) -> list[HostFacts]:
    """What the hosts of other names tell now, for one that has not joined."""
    found = []
    try:
        bucket = await cluster.jetstream.key_value(cluster.stream("HOSTS"))
        for key in await bucket.keys():
            try:
                facts = read_renewal(key, (await bucket.get(key)).value or b"").facts
            except (KeyNotFoundError, ProtocolError):  # gone meanwhile; or nobody that this host can count
                continue
            if facts.name != host_called(host_id):
                found.append(facts)
    except (BucketNotFoundError, NoKeysError):
        return []
    except (*OUTAGES, msgspec.DecodeError) as exc:
        raise unreachable("the hosts of the cluster cannot be seen", exc) from exc
    return found
