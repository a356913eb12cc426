"""The log of the cluster's writes as one JetStream stream: a `microclaw.store.replica_writer.SharedLog`.

An entry is a message of the stream; its number is the message's sequence. `Nats-Expected-Last-Sequence` lets in who
has seen all before (error 10071 otherwise), `Nats-Msg-Id` lets an entry in once. Both are JetStream's own
(docs.nats.io, JetStream headers). An entry that is too large for a message is put into the object store first; the
message names it (large_entries.py). What is in the stream without the cluster's seal is nobody's entry: every host
passes it over, and counts it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from nats.errors import MaxPayloadError, NotJSMessageError
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    Header,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from microclaw.audit import AuditEvent, AuditKind, Record
from microclaw.cluster.connection import OUTAGES, Cluster, check_cancelled, unreachable
from microclaw.cluster.entry_messages import EntrySeal, pack, unpack
from microclaw.cluster.large_entries import REFERENCE, LargeEntries
from microclaw.cluster.stream_check import Known, StreamCheck
from microclaw.errors import StoreError
from microclaw.store.replica_writer import UNSURE, LogConflict, NotInLog
from microclaw.text import count_text

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js.client import JetStreamContext

COMMIT_S: Final = 10.0  # a cluster of NATS servers needs some seconds to choose another leader
ANSWER_S: Final = 2.0
LOOK_S: Final = 1.0  # how often the stream is asked whether it goes on without us
MAX_MESSAGE: Final = 900_000  # NATS takes messages of 1 MiB with their headers
_WRONG_LAST_SEQUENCE: Final = 10071
_AGAIN_S: Final = 0.1
_ROOM_S: Final = 0.02
_PENDING_BYTES: Final = 64 << 20  # of messages that the replica has no room for; what is more comes again
STRAYS_S: Final = 60.0  # between two lines of the security log about strays
_IN_THREAD: Final = 128 << 10  # what is larger would hold the event loop for too long
_log = logging.getLogger(__name__)


class NatsLog:
    """Made by `NatsLog.opened`, on a stream that is there (`make_stream`).

    `strays` counts the messages without the cluster's seal that came here since this host's start, `last_stray` is the
    number of the last one; `strayed` is set with each.
    """

    def __init__(self, cluster: Cluster, cluster_id: str) -> None:
        self._cluster = cluster
        self._seal = EntrySeal(cluster_id)
        self._subject = log_subject(cluster)
        self._stream = cluster.stream("LOG")
        self._large = LargeEntries(cluster)
        self._delivered = 0
        self._acknowledged = 0  # the last of this host's own; it may not have come back yet
        self._deliver: Callable[[int, bytes | None], bool] | None = None
        self._is_delivering = False
        self._subscription: JetStreamContext.PushSubscription | None = None
        self._check = StreamCheck(cluster)
        self._tip: Callable[[], tuple[int, str]] = lambda: (0, "")  # of the copy
        self._unreadable: StoreError | None = None
        self.strays = self.last_stray = 0
        self.strayed = asyncio.Event()
        self._failing_since: float | None = None

    @classmethod
    @asynccontextmanager
    async def opened(cls, cluster: Cluster, cluster_id: str) -> AsyncIterator[NatsLog]:
        log = cls(cluster, cluster_id)
        watching = asyncio.create_task(log._watch(), name="cluster: watch the log")
        try:
            yield log
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            await log._unsubscribe()

    @property
    def trouble(self) -> StoreError | None:
        """Why this host does not follow the stream, which is there: it is not the one that its copy is of, or an entry
        cannot be read."""
        return self.differs or self._unreadable

    @property
    def differs(self) -> StoreError | None:
        """That the stream is not the one that this host's copy is of."""
        return self._check.differs

    @property
    def cut_off(self) -> StoreError | None:
        """That this copy lacks what the log has no more."""
        return self._check.cut_off

    @property
    def last(self) -> int:
        """The number of the stream's last entry, when it was last seen."""
        return max(self._check.last, self._delivered)

    @property
    def is_shaken(self) -> bool:
        """As SharedLog.is_shaken."""
        return self._check.is_shaken

    async def read(self, seq: int) -> bytes | None:
        """As SharedLog.read: from the stream's leader."""
        try:
            message = await self._cluster.jetstream.get_msg(self._stream, seq)
        except NotFoundError as exc:
            raise NotInLog from exc
        except OUTAGES as exc:
            self._check.shake()
            raise unreachable("the cluster's log cannot be read", exc) from exc
        data = self._seal.open(seq, message.data or b"")
        return None if data is None else await self._entry(data)

    async def commit(self, entry_id: str, entry: bytes, after: int) -> int:
        """As SharedLog.commit."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        # An outage is waited for once: who writes after that is refused at once, or after one try.
        since = begun if self._failing_since is None else self._failing_since
        deadline = max(since + COMMIT_S, begun + ANSWER_S if self._cluster.connected else begun)
        data: bytes | None = None
        sent = False
        while True:
            if self._check.for_good is not None:
                raise self._check.for_good.with_traceback(None)  # or it would grow each time
            try:
                if not self._cluster.connected:
                    raise ConnectionError("not connected")
                if self._check.is_due:
                    await self._ask()
                if self._check.is_odd:
                    raise ConnectionError("the log lacks entries")
                if data is None:
                    data = await self._message(entry_id, entry, after)
                return await self._publish(entry_id, data, after)
            except OUTAGES as exc:
                self._check.shake()
                sent = sent or (data is not None and self._cluster.connected and not isinstance(exc, APIError))
                if loop.time() >= deadline:
                    self._failing_since = since
                    if sent:
                        raise unreachable("the write may be done or not", exc, next_step=UNSURE) from exc
                    raise unreachable("nothing was written", exc) from exc
            await asyncio.sleep(_AGAIN_S)

    async def _publish(self, entry_id: str, data: bytes, after: int) -> int:
        """Its number; LogConflict, StoreError when the log is not what it was, or one of OUTAGES."""
        headers: dict[str, Any] = {Header.EXPECTED_LAST_SEQUENCE: str(after), Header.MSG_ID: entry_id}
        try:
            answer = await self._cluster.jetstream.publish(
                self._subject, data, timeout=ANSWER_S, stream=self._stream, headers=headers
            )
        except MaxPayloadError as exc:
            raise StoreError(
                f"the NATS server takes no message of {len(data)} bytes",
                next_step="set max_payload in its configuration to 1MB or more",
            ) from exc
        except NoStreamResponseError:
            await self._ask()  # says so where it is gone
            raise
        except APIError as exc:
            if exc.err_code != _WRONG_LAST_SEQUENCE:
                raise
            if await self._ask() <= after:  # a server that has not caught up yet, or one that lost entries
                raise
            raise LogConflict from exc
        self._failing_since = None
        self._acknowledged = answer.seq
        return answer.seq

    async def _message(self, entry_id: str, entry: bytes, after: int) -> bytes:
        """What the stream gets of an entry."""
        data = pack(entry) if len(entry) <= _IN_THREAD else await asyncio.to_thread(pack, entry)
        if len(data) > MAX_MESSAGE:
            await self._large.drop_unused(self._delivered)
            data = await self._large.put(entry_id, data, after)
        return self._seal.seal(after + 1, data)

    async def follow(
        self, after: int, deliver: Callable[[int, bytes | None], bool], tip: Callable[[], tuple[int, str]]
    ) -> None:
        """As SharedLog.follow."""
        self._delivered, self._deliver, self._tip = after, deliver, tip
        last = await self.look()
        await self._subscribe()
        loop = asyncio.get_running_loop()
        seen, at = self._delivered, loop.time()
        while self._delivered < last:
            await asyncio.sleep(0.01)
            if self._delivered > seen:
                seen, at = self._delivered, loop.time()
            elif loop.time() - at > COMMIT_S and not self._is_delivering:
                raise self.trouble or StoreError(
                    f"the cluster's log has {last} entries, and only {seen} of them arrive here",
                    next_step="see whether NATS is well: microclaw cluster status",
                )

    def forget(self, seq: int) -> None:
        """As SharedLog.forget; `_watch` has it sent again."""
        self._delivered = min(self._delivered, seq - 1)

    async def look(self) -> int:
        """The number of the stream's last entry; StoreError when it is gone, is another, or cannot be asked."""
        try:
            return await self._ask()
        except OUTAGES as exc:
            raise unreachable("the cluster's log cannot be read", exc) from exc

    async def _ask(self) -> int:
        known = max(self._delivered, self._acknowledged)
        return await self._check.ask(Known(self._delivered, known, self._tip(), self._deliver is not None))

    async def _watch(self) -> None:
        """Subscribe anew when the stream goes on and nothing comes: after a server died, or a subscription was lost."""
        behind_at: int | None = None
        said = ""
        while True:
            check_cancelled()
            await asyncio.sleep(LOOK_S)
            if self._deliver is None or self._is_delivering or not self._cluster.connected:
                continue
            try:
                last = await self.look()
                if last <= self._delivered:
                    behind_at = None
                elif behind_at == self._delivered:
                    await self._subscribe()
                    behind_at = None
                else:
                    behind_at = self._delivered
                said = ""
            except StoreError as exc:
                if exc.message != said:
                    _log.warning("%s", exc.message)
                    said = exc.message

    async def _subscribe(self) -> None:
        """A plain consumer of its own: what it loses is seen by its number, and read again by `_watch`."""
        await self._unsubscribe()
        start = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._delivered + 1,
            ack_policy=AckPolicy.NONE,
            max_deliver=1,
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=60,
        )
        try:
            self._subscription = await self._cluster.jetstream.subscribe(
                self._subject, stream=self._stream, config=start, cb=self._took, pending_bytes_limit=_PENDING_BYTES
            )
        except OUTAGES as exc:
            raise unreachable("the cluster's log cannot be read", exc) from exc

    async def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with contextlib.suppress(*OUTAGES):
                await subscription.unsubscribe()

    async def _took(self, message: Msg) -> None:
        try:
            seq = message.metadata.sequence.stream
        except NotJSMessageError:  # not of the stream
            return
        if seq != self._delivered + 1:
            return  # had before, or one is missing: `_watch` reads on from there
        self._is_delivering = True
        try:
            data = self._seal.open(seq, message.data)
            entry = None if data is None else await self._entry(data)
            while seq == self._delivered + 1 and self._deliver is not None:
                if self._deliver(seq, entry):
                    self._delivered = seq
                else:
                    await asyncio.sleep(_ROOM_S)
            self._unreadable = None
            if entry is None:
                self._note_stray(seq)
        except StoreError as exc:  # `_watch` has it sent again
            error = StoreError(f"entry {seq} of the cluster's log: {exc.message}", next_step=exc.next_step)
            if self._unreadable is None or self._unreadable.message != error.message:
                _log.warning("%s; next: %s", error.message, error.next_step)
            self._unreadable = error
        finally:
            self._is_delivering = False

    def _note_stray(self, seq: int) -> None:
        if not self.strayed.is_set():  # until somebody has looked
            _log.warning("message %d of the cluster's log is from nobody of this cluster: it is passed over", seq)
        self.strays, self.last_stray = self.strays + 1, seq
        self.strayed.set()

    async def _entry(self, data: bytes) -> bytes:
        if data[:1] == REFERENCE:
            data = await self._large.get(data)
        return unpack(data) if len(data) <= _IN_THREAD else await asyncio.to_thread(unpack, data)


def log_subject(cluster: Cluster) -> str:
    return f"{cluster.prefix}.log"


async def make_stream(cluster: Cluster) -> None:
    """Make the log's stream; nothing where it is there."""
    config = StreamConfig(
        name=cluster.stream("LOG"),
        subjects=[log_subject(cluster)],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        num_replicas=cluster.replicas,
        duplicate_window=120,
        deny_delete=True,
    )
    try:
        await cluster.jetstream.add_stream(config)
    except OUTAGES as exc:
        raise unreachable("the cluster's log cannot be made", exc) from exc


async def note_strays(log: NatsLog, record: Record) -> None:
    """Tell the security log of messages in the cluster's log that are nobody's entries."""
    noted = 0
    while True:
        await log.strayed.wait()
        log.strayed.clear()
        count, noted = log.strays - noted, log.strays
        text = f"{count_text(count, 'message')} from nobody of this cluster, the last at {log.last_stray}"
        record(AuditEvent(AuditKind.CLUSTER_STRAY, f"in the cluster's log: {text}", count=count))
        await asyncio.sleep(STRAYS_S)
