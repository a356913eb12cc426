"""Whether the log's stream is the one that this host's copy is of, by what its leader tells.

A server that has just become the leader may not know its last entries for a moment, and while servers are cut off from
each other even for a minute. nats-server 2.9 may leave a server with an entry that its fellows do not have. So what is
odd must last before it counts, and after each outage or change of leaders it is looked whether the copy's last entry is
the stream's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from nats.js.api import Header
from nats.js.errors import NotFoundError

from microclaw.cluster.connection import OUTAGES, Cluster
from microclaw.cluster.entry_messages import MAKE_ANEW
from microclaw.errors import StoreError

if TYPE_CHECKING:
    from nats.js.api import StreamInfo

SHORT_S: Final = 30.0  # a log that is too short for longer, or another, is told as one that was set back
SHAKEN_S: Final = 60.0  # after an outage, or with another leader


@dataclass(frozen=True, slots=True)
class Known:
    """What this host has of the stream: what was `delivered`, the last number that it surely had (`last`), the last
    entry of the copy. `is_following`: whether it reads on."""

    delivered: int
    last: int
    tip: tuple[int, str]
    is_following: bool


class StreamCheck:
    """Of one stream, in one run of a host. `last` is the stream's end when it was last seen; `cut_off`: this copy lacks
    what the stream has no more."""

    def __init__(self, cluster: Cluster) -> None:
        self.last = 0
        self.cut_off: StoreError | None = None
        self.for_good: StoreError | None = None  # it is another stream than this copy can follow
        self._cluster = cluster
        self._stream = cluster.stream("LOG")
        self._created: datetime | None = None
        self._leader: str | None = None
        self._odd: tuple[int, float] | None = None  # what had been delivered when it was odd first, and when that was
        self._lacks: StoreError | None = None  # said for as long as it is so
        self._is_doubted = False  # whether it has the copy's last entry
        self._other: tuple[StoreError, float] | None = None  # it has another, since then
        self._shaken_at = time.monotonic()

    @property
    def differs(self) -> StoreError | None:
        """That the stream is surely not the one that the copy is of."""
        return self.for_good or self._lacks or self._lasting_other

    @property
    def is_odd(self) -> bool:
        """Whether it lacks what it should have, for now."""
        return self._odd is not None

    @property
    def is_due(self) -> bool:
        """Whether it is to be asked before anything is written."""
        return self.is_odd or self._is_doubted

    @property
    def is_shaken(self) -> bool:
        """Whether servers may have been cut off from each other just now. From any thread."""
        return self._cluster.replicas > 1 and time.monotonic() - self._shaken_at < SHAKEN_S

    def shake(self) -> None:
        """There was an outage."""
        self._is_doubted, self._shaken_at = True, time.monotonic()

    async def ask(self, known: Known) -> int:
        """The number of its last entry. StoreError where the stream is gone or surely another, or one of OUTAGES."""
        try:
            info = await self._cluster.jetstream.stream_info(self._stream)
        except NotFoundError as exc:
            raise stream_gone(self._cluster) from exc
        except OUTAGES:
            self.shake()
            raise
        self.last = info.state.last_seq
        leader = None if info.cluster is None else info.cluster.leader
        if leader != self._leader:
            self._leader = leader
            self.shake()
        self._compare(info, known)
        if self._odd is None and self._is_doubted:
            self._is_doubted = False  # unless there is another outage meanwhile
            try:
                await self._check_tip(info.state.first_seq, known)
            except BaseException:
                self._is_doubted = True
                raise
        return self.last

    def _compare(self, info: StreamInfo, known: Known) -> None:
        """Raise when the stream is not the one that this copy follows, and that has lasted without an entry between."""
        self._created = self._created or info.created
        state, odd, is_cut_off = info.state, None, False
        if info.created != self._created:
            odd = StoreError(
                f"the stream {self._stream} was deleted, and another made under its name", next_step=MAKE_ANEW
            )
        elif state.last_seq < known.last:
            odd = StoreError(
                f"the cluster's log ends at entry {state.last_seq}, this host has {known.last}: NATS lost its disk, or "
                "was set back to a backup",
                next_step=MAKE_ANEW,
            )
        elif state.first_seq > known.delivered + 1 and known.is_following:
            odd = StoreError(
                f"the cluster's log begins at entry {state.first_seq}, this host has {known.delivered}: "
                "it was away too long",
                next_step="start this host again: it fetches the store anew",
            )
            is_cut_off = True
        now = time.monotonic()
        self._is_doubted = self._is_doubted or odd is not None
        if odd is None:
            self._odd = self._lacks = None
        elif self._odd is None or self._odd[0] != known.delivered:
            self._odd = (known.delivered, now)
        elif state.last_seq < known.last and now - self._odd[1] >= SHORT_S:
            self._lacks = odd  # not for good: `_check_tip` sees whether what comes back is what was there
            raise odd
        elif state.last_seq >= known.last:
            self.for_good = odd  # what the log has from now on is not what this copy can follow
            self.cut_off = odd if is_cut_off else None
        if self.for_good is not None:
            raise self.for_good.with_traceback(None)  # or it would grow each time

    async def _check_tip(self, first: int, known: Known) -> None:
        """Who writes on has what the log has."""
        seq, entry_id = known.tip
        if seq < max(first, 1) or await entry_id_at(self._cluster, seq) == entry_id:
            self._other = None
            return
        error = StoreError(
            f"the cluster's log has another entry {seq} than this host: NATS lost its disk, or was set back to a "
            "backup",
            next_step=MAKE_ANEW,
        )
        self._other = self._other or (error, time.monotonic())
        if (lasting := self._lasting_other) is not None:
            raise lasting.with_traceback(None)
        raise ConnectionError(error.message)

    @property
    def _lasting_other(self) -> StoreError | None:
        if self._other is None or time.monotonic() - self._other[1] < SHORT_S:
            return None
        return self._other[0]


async def entry_id_at(cluster: Cluster, seq: int) -> str | None:
    """The id of an entry of the log, by the stream's leader; one of OUTAGES."""
    message = await cluster.jetstream.get_msg(cluster.stream("LOG"), seq)
    return (message.headers or {}).get(Header.MSG_ID)


def stream_gone(cluster: Cluster) -> StoreError:
    return StoreError(
        f"the stream {cluster.stream('LOG')} is gone: somebody deleted the cluster's log", next_step=MAKE_ANEW
    )
