"""What is known of a host of a cluster, and for how long its lease is good. No IO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from microclaw.cluster.forms import Count, HostId, LinkAddress, WebAddress, Word

MAX_REASON: Final = 300  # characters
Reason = Annotated[str, msgspec.Meta(max_length=MAX_REASON)]


class HostFacts(msgspec.Struct, frozen=True):
    """What a host tells the others. `devices` are connected to it, `position` is its place in the log.

    `api` and `link` are its addresses, `wall_ms` its clock when it told this,
    and `home` is the same for one folder of one machine until that starts again.
    `behind` the log's end as it knows it; None of an older host. `trouble` is why its copy of the store does not
    follow, `remedy` what to do.
    """

    host_id: HostId
    name: Word
    version: Word
    schema: Count
    devices: Count
    position: Count
    api: WebAddress | None
    link: LinkAddress | None
    started_ms: Count
    wall_ms: Count
    home: Word = ""
    behind: Count | None = None
    trouble: Reason = ""
    remedy: Reason = ""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Others hold a host for dead after `ttl_s` without a renewal; it stops its duties after `work_s`."""

    renew_s: float = 2.0
    ttl_s: float = 10.0
    work_s: float = 8.0


TIMES: Final = LeaseTimes()


@dataclass(frozen=True, slots=True)
class HostStanding:
    """A host, when its last renewal came here, and how far its clock is ahead of the NATS server's.

    `is_known`: whether that is so now. It is not while this host sees no news of the others; of itself it knows.
    """

    facts: HostFacts
    seen_s: float
    clock_ahead_s: float
    is_known: bool
