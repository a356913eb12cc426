"""The security logs of all hosts in one stream, `MC-<cluster>-AUDIT`: lines go there after they are in a host's files.

The files stay the first place. What the stream has of a host says where it goes on, so nothing is lost while NATS is
away, and nothing is there twice. A stream that was deleted is made and filled again, from the files.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import nats.errors
from nats.js.api import DiscardPolicy, Header, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from microclaw.audit import AuditEvent, AuditKind, Record
from microclaw.audit.chain import hash_of
from microclaw.audit.files import STEMS
from microclaw.audit.shared import SharedAs, lines_after, share_as, shared_as
from microclaw.cluster.connection import OUTAGES, Cluster, check_cancelled, unreachable
from microclaw.errors import StoreError
from microclaw.text import count_text

if TYPE_CHECKING:
    from microclaw.cluster.nats_log import NatsLog

MAX_MESSAGES: Final = 200_000  # of a set of one home: a week's worth of one that is attacked all the time, some 100 MB
STREAM_AGE_S: Final = 90 * 86_400
MAX_MESSAGE: Final = 256 << 10  # and a line more
LOOK_S: Final = 1.0
ASK_S: Final = 30.0  # whether the stream is there, and has what was sent
ANSWER_S: Final = 5.0
STRAYS_S: Final = 60.0  # between two lines about strays
LAST_S: Final = 2.0  # for what is written while the host ends

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Place:
    """What the stream has of a set: its lines up to `n`, and the number of the message with that one."""

    n: int = 0
    seq: int = 0


class AuditSender:
    """Sends the log of `home`, whose host is called `host` in the cluster."""

    def __init__(self, cluster: Cluster, home: Path, host: str) -> None:
        self._cluster = cluster
        self._home = home
        self._host = host
        self._log = ""
        self._places: dict[str, _Place] | None = None  # None: the stream is to be asked
        self._asked_s = 0.0
        self._said = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Inside, what is written is sent; leaving sends what is there then, where NATS answers soon."""
        sending = asyncio.create_task(self._run(), name="cluster: security log")
        try:
            yield
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_S):
                    await self._try()

    async def _run(self) -> None:
        while True:
            check_cancelled()
            await self._try()
            await asyncio.sleep(LOOK_S)

    async def _try(self) -> None:
        """What does not go now goes later."""
        if not self._cluster.connected:
            self._places = None
            return
        try:
            await self.send()
            self._said = ""
        except (*OUTAGES, OSError, StoreError) as exc:
            self._places = None
            if str(exc) != self._said:
                _log.warning("the security log is not sent to the cluster, and is tried again: %s", exc)
                self._said = str(exc)

    async def send(self) -> None:
        """Send what the stream has not yet. One of OUTAGES, OSError, StoreError."""
        now_s = asyncio.get_running_loop().time()
        if self._places is None or now_s - self._asked_s > ASK_S:
            self._places, self._asked_s = await self._begin(), now_s
        for stem, place in self._places.items():
            while lines := await asyncio.to_thread(lines_after, self._home, stem, place.n, most_bytes=MAX_MESSAGE):
                first, last = lines[0][0], lines[-1][0]
                headers = {
                    Header.MSG_ID: f"{self._log}.{stem}.{first}-{last}",
                    Header.EXPECTED_LAST_SUBJECT_SEQUENCE: str(place.seq),
                }
                answer = await self._cluster.jetstream.publish(
                    self._subject(stem),
                    b"".join(line + b"\n" for _, line in lines),
                    timeout=ANSWER_S,
                    stream=self._cluster.stream("AUDIT"),
                    headers=headers,  # type: ignore[arg-type]  # its keys are text
                )
                place.n, place.seq = last, answer.seq

    def _subject(self, stem: str) -> str:
        return f"{self._cluster.prefix}.audit.{self._host}.{self._log}.{stem}"

    async def _begin(self) -> dict[str, _Place]:
        """Where the stream is with this home's log. A home that has other lines than the stream, such as one from a
        backup, is another log from now on."""
        await make_audit_stream(self._cluster)
        known = await asyncio.to_thread(shared_as, self._home)
        if known is not None and known.cluster == self._cluster.name:
            self._log = known.log
            places = {stem: await self._place(stem) for stem in STEMS}
            if None not in places.values():
                return {stem: place for stem, place in places.items() if place is not None}
        self._log = secrets.token_hex(8)
        await asyncio.to_thread(share_as, self._home, SharedAs(self._log, self._cluster.name))
        return {stem: _Place() for stem in STEMS}

    async def _place(self, stem: str) -> _Place | None:
        """None where the stream has another line than the files."""
        try:
            message = await self._cluster.jetstream.get_last_msg(self._cluster.stream("AUDIT"), self._subject(stem))
        except NotFoundError:
            return _Place()
        line = (message.data or b"").rstrip(b"\n").rpartition(b"\n")[2]
        n = _number(message.headers)
        own = await asyncio.to_thread(lines_after, self._home, stem, n - 1, most_bytes=1)
        if not own or own[0][0] < n or (own[0][0] == n and hash_of(own[0][1]) != hash_of(line)):
            return None
        return _Place(n, message.seq or 0)


def _number(headers: dict[str, str] | None) -> int:
    """Of the last line of a message."""
    last = (headers or {}).get(Header.MSG_ID, "").rpartition("-")[2]
    return int(last) if last.isdigit() else 0


async def make_audit_stream(cluster: Cluster) -> None:
    """Make the stream; nothing where it is there. One of OUTAGES."""
    try:
        await cluster.jetstream.stream_info(cluster.stream("AUDIT"))
    except NotFoundError:
        config = StreamConfig(
            name=cluster.stream("AUDIT"),
            subjects=[f"{cluster.prefix}.audit.>"],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_msgs_per_subject=MAX_MESSAGES,  # not bytes, which JetStream would reserve
            max_age=STREAM_AGE_S,
            num_replicas=cluster.replicas,
            duplicate_window=120,
            deny_delete=True,
        )
        await cluster.jetstream.add_stream(config)


@dataclass(frozen=True, slots=True)
class HostLines:
    """Lines of one host, one set, in order. `log` tells homes of one name apart."""

    host: str
    log: str
    stem: str
    lines: tuple[bytes, ...]


@asynccontextmanager
async def audit_lines(cluster: Cluster) -> AsyncIterator[AsyncGenerator[HostLines | None]]:
    """Every host's lines, each host's in order, then None, then what comes. StoreError where NATS does not answer."""
    stream = cluster.stream("AUDIT")
    try:
        count = (await cluster.jetstream.stream_info(stream)).state.messages
        subject = f"{cluster.prefix}.audit.>"
        subscription = await cluster.jetstream.subscribe(subject, stream=stream, ordered_consumer=True)
    except NotFoundError as exc:
        step = "start a host of the cluster: it makes it"
        raise StoreError(f"the stream {stream} is not there", next_step=step) from exc
    except OUTAGES as exc:
        raise unreachable("the cluster's security log cannot be read", exc) from exc

    async def messages() -> AsyncGenerator[HostLines | None]:
        is_behind = count > 0
        if not is_behind:
            yield None
        while True:
            try:
                message = await subscription.next_msg(timeout=ANSWER_S if is_behind else None)
            except OUTAGES as exc:
                raise unreachable("the cluster's security log cannot be read", exc) from exc
            host, log, stem = message.subject.split(".")[-3:]
            yield HostLines(host, log, stem, tuple(message.data.splitlines()))
            if is_behind and message.metadata.num_pending == 0:
                is_behind = False
                yield None

    found = messages()
    try:
        yield found
    finally:
        await found.aclose()
        with contextlib.suppress(nats.errors.Error):
            await subscription.unsubscribe()


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
