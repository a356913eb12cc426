"""What a host's lease says, and which hosts ended: with a goodbye, or by the end of their lease.

Who ended is told on with each renewal, so a host that comes later knows it too. Times are the NATS server's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from microclaw.cluster.forms import STRANGER_STEP, Count, HostId, Word, check_value
from microclaw.cluster.host_facts import MAX_REASON, HostFacts, HostStanding
from microclaw.errors import ProtocolError

if TYPE_CHECKING:
    from microclaw.cluster.nats_log import NatsLog
    from microclaw.store.replica import Replica

KEPT_MS: Final = 24 * 3_600_000
TOLD_ON: Final = 12  # in a renewal, the newest: an entry of the bucket has a size
MAX_KEPT: Final = 100


class EndedHost(msgspec.Struct, frozen=True):
    """A host that is no more: `last_ms` is its goodbye, or its last renewal; it had so many `devices` then."""

    host_id: HostId
    name: Word
    devices: Count
    last_ms: Count
    in_order: bool


class Renewal(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a host puts under its id: `beat` grows by one with each."""

    beat: Count
    facts: HostFacts
    form: int = 1
    ended: Annotated[tuple[EndedHost, ...], msgspec.Meta(max_length=TOLD_ON)] = ()


def read_renewal(host_id: str, lease: bytes) -> Renewal:
    """ProtocolError for one of a newer microclaw, and for what is no lease of that host."""
    check_value(lease, "its lease")
    try:
        renewal = msgspec.json.decode(lease, type=Renewal)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ProtocolError(f"it is no lease of a host ({exc})", next_step=STRANGER_STEP) from exc
    if renewal.facts.host_id != host_id:
        raise ProtocolError(f"it is a lease of {renewal.facts.host_id}", next_step=STRANGER_STEP)
    return renewal


def trouble_of(replica: Replica, log: NatsLog) -> tuple[str, str]:
    """Why the copy of the store does not follow, and what to do; empty when it does."""
    error = replica.trouble or log.trouble
    return ("", "") if error is None else (error.message[:MAX_REASON], (error.next_step or "")[:MAX_REASON])


class EndedHosts:
    """Kept for a day, or until a host of that name started later."""

    def __init__(self) -> None:
        self._hosts: dict[str, EndedHost] = {}

    def add(self, ended: EndedHost) -> None:
        self._hosts[ended.host_id] = ended

    def hear(self, others: Iterable[EndedHost]) -> None:
        """What another host tells; what this one saw itself counts first."""
        for one in others:
            self._hosts.setdefault(one.host_id, one)

    def kept(self, now_ms: float, live: Sequence[HostStanding]) -> list[EndedHost]:
        """The newest first, without those that are back."""
        found = [one for one in self._hosts.values() if now_ms - one.last_ms < KEPT_MS and not _is_back(one, live)]
        found = sorted(found, key=lambda one: one.last_ms, reverse=True)[:MAX_KEPT]
        self._hosts = {one.host_id: one for one in found}
        return found


def _is_back(ended: EndedHost, live: Sequence[HostStanding]) -> bool:
    """Also one that was held for dead, and under the id of another start."""
    return any(
        one.facts.host_id == ended.host_id
        or (one.facts.name == ended.name and one.facts.started_ms - one.clock_ahead_s * 1000 >= ended.last_ms)
        for one in live
    )
