"""Requests between hosts, each with as many answers as there are: `mc.<cluster>.host.<host>.request`, in pieces.

Answers go to `mc.<cluster>.host.<who asks>.reply.<number>`, the last one says that it is the last. Nothing is kept for
a host that is away, and nothing is asked twice. Who asks no more says so, and the work for it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from microclaw import errors
from microclaw.cluster.connection import OUTAGES, Cluster, subscribed
from microclaw.cluster.forms import check_form
from microclaw.cluster.pieces import Pieces, cut
from microclaw.errors import MicroclawError, Overloaded, ProtocolError

if TYPE_CHECKING:
    from nats.aio.msg import Msg

Handler: TypeAlias = Callable[[bytes], AsyncGenerator[bytes, None]]

MAX_SERVED: Final = 1_024  # requests of other hosts at a time
MAX_PARTIAL: Final = 64  # of which pieces are still to come
MAX_WAITING: Final = 4_096  # answers to one request that nobody has read yet
LOOK_S: Final = 0.5
ANSWER_S: Final = 5.0  # a host that has not answered a short request by then counts as away
_LEAVE: Final = "leave"
_VALUE, _ERROR, _END = b"v", b"e", b"z"
_NO_RESPONDERS: Final = "503"  # NATS ADR-4

_log = logging.getLogger(__name__)


class HostGone(Exception):
    """The asked host is not there (any more), or the connection was lost meanwhile: answers may be missing.

    `unsent`: it did not get the request.
    """

    def __init__(self, text: str, *, unsent: bool = False) -> None:
        super().__init__(text)
        self.unsent = unsent


class _Request(msgspec.Struct, frozen=True, array_like=True):
    what: str
    body: bytes
    form: int = 1


class _Error(msgspec.Struct, frozen=True, array_like=True):
    kind: str
    message: str
    next_step: str | None


@dataclass(slots=True)
class _Asked:
    answers: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(MAX_WAITING))
    pieces: Pieces = field(default_factory=Pieces)
    lost: bool = False


class HostRequests:
    """Asks other hosts, and answers theirs by its `handlers`; `is_live` says whether a host's lease is good."""

    def __init__(self, cluster: Cluster, host_id: str, is_live: Callable[[str], bool]) -> None:
        self.host_id = host_id
        self.handlers: dict[str, Handler] = {}
        self._cluster = cluster
        self._is_live = is_live
        self._own = f"{cluster.prefix}.host.{host_id}"
        self._numbers = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        self._partial: dict[str, Pieces] = {}
        self._served: dict[str, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def connected(self) -> bool:
        """Whether NATS can be reached now."""
        return self._cluster.connected

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Inside, others are answered, and their answers are taken."""
        async with asyncio.TaskGroup() as self._tasks:
            try:
                async with (
                    subscribed(self._cluster, f"{self._own}.reply.*", self._took_answer),
                    subscribed(self._cluster, f"{self._own}.request", self._took_request),
                ):
                    yield
            finally:
                for task in self._served.values():
                    task.cancel()

    async def ask(self, host: str, what: str, body: bytes = b"") -> AsyncGenerator[bytes, None]:
        """The answers of `host`. Raises its error; HostGone. Closing it early ends the work there."""
        number, asked, over = next(self._numbers), _Asked(), False
        reconnects = self._cluster.client.stats["reconnects"]
        self._asked[number] = asked
        try:
            await self._send(host, number, _Request(what, body))
            while True:
                data = await self._next(asked, host, reconnects)
                if data[:1] == _VALUE:
                    yield data[1:]
                    continue
                over = True
                if data[:1] == _ERROR:
                    raise _error_of(data[1:])
                return
        except HostGone:
            over = True
            raise
        finally:
            del self._asked[number]
            if not over:
                with contextlib.suppress(HostGone):
                    await self._send(host, number, _Request(_LEAVE, b""))

    async def _send(self, host: str, number: int, request: _Request) -> None:
        subject, reply = f"{self._cluster.prefix}.host.{host}.request", f"{self._own}.reply.{number}"
        for piece in cut(_encoder.encode(request)):
            if not self._cluster.connected:
                raise HostGone("this host has no connection to NATS", unsent=True)
            try:
                await self._cluster.client.publish(subject, piece, reply=reply)
            except OUTAGES as exc:
                raise HostGone(f"NATS does not take it ({exc})") from exc

    async def _next(self, asked: _Asked, host: str, reconnects: int) -> bytes:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    data = await asked.answers.get()
                    if data is None:
                        raise HostGone(f"the host {host} does not run any more", unsent=True)
                    return data
            if asked.lost or self._cluster.client.stats["reconnects"] != reconnects or not self._is_live(host):
                raise HostGone(f"the host {host} is gone, or was for a time")

    async def _took_answer(self, message: Msg) -> None:
        number = message.subject.rpartition(".")[2]
        asked = self._asked.get(int(number)) if number.isdecimal() else None
        if asked is None:
            return
        try:
            if message.headers is not None and message.headers.get("Status") == _NO_RESPONDERS:
                asked.answers.put_nowait(None)
            elif (data := asked.pieces.add(message.data)) is not None:
                asked.pieces = Pieces()
                asked.answers.put_nowait(data)
        except (ProtocolError, asyncio.QueueFull) as exc:
            _log.warning("answers of another host are lost: %s", exc)
            asked.lost = True

    async def _took_request(self, message: Msg) -> None:
        reply = message.reply
        if self._tasks is None or not reply.startswith(f"{self._cluster.prefix}.host."):
            return
        pieces = self._partial.pop(reply, None) or Pieces()
        try:
            data = pieces.add(message.data)
            if data is None:
                if len(self._partial) >= MAX_PARTIAL:
                    del self._partial[next(iter(self._partial))]
                self._partial[reply] = pieces
                return
            request = _requests.decode(data)
        except (ProtocolError, msgspec.DecodeError) as exc:
            _log.warning("a request of another host that cannot be read: %s", exc)
            return
        running = self._served.get(reply)
        if request.what == _LEAVE:
            if running is not None:
                running.cancel()
            return
        if running is None:
            task = self._tasks.create_task(
                self._serve(request, reply), name=f"cluster: {request.what} for another host"
            )
            self._served[reply] = task
            task.add_done_callback(lambda _: self._served.pop(reply, None))

    async def _serve(self, request: _Request, reply: str) -> None:
        try:
            check_form(request, "a request of another host")
            handler = self.handlers.get(request.what)
            if handler is None:
                raise ProtocolError(f"the host {self.host_id} does not know the request {request.what[:40]!r}")
            if len(self._served) > MAX_SERVED:
                raise Overloaded(f"{MAX_SERVED} requests of other hosts run", next_step="try again soon")
            async with contextlib.aclosing(handler(request.body)) as answers:
                async for answer in answers:
                    await self._tell(reply, _VALUE + answer)
            await self._tell(reply, _END)
        except MicroclawError as exc:
            await self._tell(reply, _ERROR + _encoder.encode(_Error(type(exc).__name__, exc.message, exc.next_step)))
        except Exception:  # a fault of this program: who asks must know, and others are served on
            _log.exception("a request of another host failed")
            told = _Error("MicroclawError", f"the host {self.host_id} failed: its log says why", None)
            await self._tell(reply, _ERROR + _encoder.encode(told))

    async def _tell(self, reply: str, answer: bytes) -> None:
        try:
            for piece in cut(answer):
                await self._cluster.client.publish(reply, piece)
        except OUTAGES as exc:
            _log.info("an answer for another host is lost: %s", exc)


async def ask_all(
    requests: HostRequests, hosts: Sequence[str], what: str, body: bytes
) -> tuple[list[tuple[str, bytes]], list[str]]:
    """What these hosts answered, each with its host, and which of them did not in time, or not as they should."""
    found: list[tuple[str, bytes]] = []
    silent: list[str] = []

    async def ask(host: str) -> None:
        try:
            async with asyncio.timeout(ANSWER_S), aclosing(requests.ask(host, what, body)) as answers:
                found.extend([(host, data) async for data in answers])
        except (TimeoutError, HostGone):
            silent.append(host)
        except MicroclawError as exc:  # as of an older host that does not know the request
            _log.warning("the host %s does not answer %r: %s", host, what, exc.message)
            silent.append(host)

    async with asyncio.TaskGroup() as group:
        for host in hosts:
            group.create_task(ask(host), name=f"cluster: {what} at {host}")
    return found, sorted(silent)


async def first_answer(requests: HostRequests, host: str, what: str, body: bytes, timeout_s: float) -> bytes | None:
    """None without one in time. Raises the host's error."""
    try:
        async with asyncio.timeout(timeout_s), aclosing(requests.ask(host, what, body)) as answers:
            return await anext(answers, None)
    except (TimeoutError, HostGone):
        return None


def _error_of(data: bytes) -> MicroclawError:
    """MicroclawError itself for a class that takes other values, or that this version has not."""
    told = msgspec.msgpack.decode(data, type=_Error)
    kind = getattr(errors, told.kind, MicroclawError)
    if not (isinstance(kind, type) and issubclass(kind, MicroclawError)):
        kind = MicroclawError
    try:
        return kind(told.message, next_step=told.next_step)
    except TypeError:
        return MicroclawError(told.message, next_step=told.next_step)


_encoder: Final = msgspec.msgpack.Encoder()
_requests: Final = msgspec.msgpack.Decoder(_Request)
