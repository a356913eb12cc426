"""Calls to devices of other hosts, by NATS request: `DeviceCallServer` does them at the host that has the connection,
or whose machine has the port.

A request goes to `mc.<cluster>.host.<host>.device`, its answer to `mc.<cluster>.host.<who asks>.answer.<number>`, both
in pieces. Time goes with a request as what is left of it. The server does nothing twice and asks no third host.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from microclaw.cluster.call_codec import (
    MAX_LEFT_S,
    call_of,
    encode_error,
    encode_request,
    encode_value,
    read_answer,
    read_request,
)
from microclaw.cluster.connection import OUTAGES, Cluster, subscribed
from microclaw.cluster.pieces import MAX_MESSAGE, Pieces, cut
from microclaw.devices.calls import Call
from microclaw.devices.device import Device, check_call
from microclaw.errors import (
    DeviceError,
    DeviceMoved,
    DeviceTimeout,
    MicroclawError,
    OutcomeUnknown,
    Overloaded,
    ProtocolError,
)
from microclaw.text import host_called

if TYPE_CHECKING:
    from nats.aio.msg import Msg

R = TypeVar("R")
OwnerOf: TypeAlias = Callable[[str], Device | None]

MAX_RUNNING: Final = 256  # requests of other hosts that one host serves at a time
MAX_PARTIAL: Final = 32  # of which pieces are still to come
PARTIAL_S: Final = 10.0
LEAVE_S: Final = 2.0
LOOK_S: Final = 0.5  # how often who waits looks whether the asked host still has the device
LATE_ANSWER_S: Final = 1.0  # for the answer of a host that the device has left
_SOONER_S: Final = 0.1  # the server ends before who asks, so that its better informed error comes in time
_NO_RESPONDERS: Final = "503"  # NATS ADR-4: nobody subscribes to the request's subject
_LOOK_FIRST: Final = "look at the device, then repeat it if need be"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    answer: asyncio.Future[bytes | None]  # None: the asked host is not there
    pieces: Pieces = field(default_factory=Pieces)


class RemoteCalls:
    """Asks other hosts. `host_of` says which live one has a device's connection, `owner_of` whose endpoint it is."""

    def __init__(self, cluster: Cluster, host_id: str, host_of: Callable[[str], str | None], owner_of: OwnerOf) -> None:
        self._cluster = cluster
        self._answers = f"{cluster.prefix}.host.{host_id}.answer"
        self._host_of = host_of
        self._owner_of = owner_of
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Inside, answers are taken."""
        async with subscribed(self._cluster, f"{self._answers}.*", self._took):
            yield

    async def call(
        self,
        host: str,
        link_id: str,
        call: Call[R],
        timeout_s: float,
        *,
        is_there: Callable[[], bool] | None = None,
    ) -> R:
        """As Transport.call, at `host`. DeviceMoved when the call was not carried out there, or may be made again.

        An idempotent call whose host is gone may be made again; of another one the outcome is unknown. `link_id` may
        also be the address of a port; then `is_there` says whether that host lives.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        if timeout_s <= 0:
            raise self._unsent(link_id, call, f"no time was left to ask the host {host_called(host)}")
        number, waiting = next(self._numbers), _Waiting(loop.create_future())
        self._waiting[number] = waiting
        try:
            await self._send(host, number, link_id, call, timeout_s)
            has_it = is_there or (lambda: self._host_of(link_id) == host)
            data = await self._answer(waiting, host, link_id, call, deadline, has_it)
        finally:
            del self._waiting[number]
            waiting.answer.cancel()
        if data is None:
            raise self._unsent(link_id, call, f"the host {host_called(host)}, which had it, does not run any more")
        answer, value = read_answer(data, call)
        _log.debug("%s of %s was done at %s under fence %d", call.method, link_id, answer.host, answer.fence)
        return value

    async def _send(self, host: str, number: int, link_id: str, call: Call[Any], timeout_s: float) -> None:
        """Nothing is kept for later while NATS is away: it would be done when nobody waits for it any more."""
        left_s = min(timeout_s - min(_SOONER_S, timeout_s / 10), MAX_LEFT_S)
        subject, reply = f"{self._cluster.prefix}.host.{host}.device", f"{self._answers}.{number}"
        for piece in cut(encode_request(link_id, call, left_s)):
            if not self._cluster.connected:
                raise self._unsent(link_id, call, "this host has no connection to NATS")
            try:
                await self._cluster.client.publish(subject, piece, reply=reply)
            except OUTAGES as exc:
                raise self._unsent(link_id, call, f"NATS does not take it ({exc})") from exc

    async def _answer(
        self,
        waiting: _Waiting,
        host: str,
        link_id: str,
        call: Call[Any],
        deadline: float,
        has_it: Callable[[], bool],
    ) -> bytes | None:
        loop, stats = asyncio.get_running_loop(), self._cluster.client.stats
        reconnects = stats["reconnects"]
        left_at: float | None = None
        while True:
            await asyncio.wait([waiting.answer], timeout=max(0.0, min(deadline - loop.time(), LOOK_S)))
            if waiting.answer.done():
                return waiting.answer.result()
            now = loop.time()
            if now >= deadline:
                raise self._unanswered(link_id, call, host)
            if call.idempotent and stats["reconnects"] != reconnects:
                raise self._unsent(link_id, call, "the connection to NATS was lost meanwhile")
            if has_it():
                left_at = None
            elif left_at is None:
                left_at = now
            elif now - left_at >= LATE_ANSWER_S:
                raise self._gone(link_id, call, host)

    async def _took(self, message: Msg) -> None:
        number = message.subject.rpartition(".")[2]
        waiting = self._waiting.get(int(number)) if number.isdecimal() else None
        if waiting is None or waiting.answer.done():
            return  # it came too late
        if message.headers is not None and message.headers.get("Status") == _NO_RESPONDERS:
            waiting.answer.set_result(None)
            return
        try:
            data = waiting.pieces.add(message.data)
        except ProtocolError as exc:
            waiting.answer.set_exception(exc)
            return
        if data is not None:
            waiting.answer.set_result(data)

    def _name(self, link_id: str) -> str:
        owner = None if _is_port(link_id) else self._owner_of(_endpoint(link_id))
        return owner.name if owner is not None else link_id

    def _unsent(self, link_id: str, call: Call[Any], why: str) -> DeviceMoved:
        return DeviceMoved(
            f"{self._name(link_id)} cannot be asked for {call.method}: {why}",
            next_step="see whether the cluster is well: microclaw cluster status",
        )

    def _gone(self, link_id: str, call: Call[Any], host: str) -> MicroclawError:
        text = f"the host {host_called(host)} had {call.method} for {self._name(link_id)}, and has the device no more"
        if call.idempotent:
            return DeviceMoved(text, next_step="try again")
        return OutcomeUnknown(f"{text}: outcome unknown", next_step=_LOOK_FIRST)

    def _unanswered(self, link_id: str, call: Call[Any], host: str) -> MicroclawError:
        text = f"{self._name(link_id)} did not answer {call.method} in time, at the host {host_called(host)}"
        if call.idempotent:
            return DeviceTimeout(text, next_step="try again; it may be restarting")
        return OutcomeUnknown(f"{text}: outcome unknown", next_step=_LOOK_FIRST)


@dataclass(slots=True)
class _Partial:
    since: float
    pieces: Pieces = field(default_factory=Pieces)


class DeviceCallServer:
    """Does what other hosts ask of devices here, each behind its device's other calls.

    `fence_of` is that of a device's connection here, 0 without one.
    """

    def __init__(
        self,
        cluster: Cluster,
        host_id: str,
        owner_of: OwnerOf,
        fence_of: Callable[[str], int],
        *,
        max_running: int = MAX_RUNNING,
    ) -> None:
        self._cluster = cluster
        self._host_id = host_id
        self._owner_of = owner_of
        self._fence_of = fence_of
        self._max_running = max_running
        self._partial: dict[str, _Partial] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self.served = 0
        self.refused = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Inside, requests are served. Those that run when it is left have LEAVE_S to end; who asked is told."""
        async with asyncio.TaskGroup() as self._tasks:
            subject = f"{self._cluster.prefix}.host.{self._host_id}.device"
            try:
                async with subscribed(self._cluster, subject, self._took):
                    yield
            finally:
                if self._serving:
                    await asyncio.wait(self._serving, timeout=LEAVE_S)
                for task in self._serving:
                    task.cancel()

    async def _took(self, message: Msg) -> None:
        if self._tasks is None or not message.reply.startswith(f"{self._cluster.prefix}.host."):
            return
        arrived = asyncio.get_running_loop().time()
        try:
            data = self._joined(message.reply, message.data, arrived)
            if data is not None and len(self._serving) >= self._max_running:
                raise _busy(f"{self._max_running} requests of other hosts run")
        except MicroclawError as exc:
            self.refused += 1
            await self._tell(message.reply, encode_error(self._host_id, 0, exc))
            return
        if data is not None:
            serving = self._serve(data, message.reply, arrived)
            task = self._tasks.create_task(serving, name="cluster: call of another host")
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    def _joined(self, reply: str, piece: bytes, now: float) -> bytes | None:
        known = self._partial.pop(reply, None)
        partial = known or _Partial(now)
        data = partial.pieces.add(piece)
        if data is not None:
            return data
        if known is None:
            self._partial = {key: each for key, each in self._partial.items() if now - each.since < PARTIAL_S}
        held = sum(each.pieces.size for each in self._partial.values()) + partial.pieces.size
        if len(self._partial) >= MAX_PARTIAL or held > MAX_PARTIAL * MAX_MESSAGE // 4:
            raise _busy(f"{len(self._partial)} large requests of other hosts are under way")
        self._partial[reply] = partial
        return None

    async def _serve(self, data: bytes, reply: str, arrived: float) -> None:
        link_id, idempotent = "", False
        try:
            request = read_request(data)
            call, link_id = call_of(request), request.link_id
            idempotent, fence = call.idempotent, self._fence(link_id)
            value = await self._done(link_id, call, arrived + request.left_s)
            await self._tell(reply, encode_value(self._host_id, fence, value))
            self.served += 1
        except MicroclawError as exc:
            await self._tell(reply, encode_error(self._host_id, self._fence(link_id), exc))
        except Exception:  # a fault of this program: who asks must know, and others are served on
            _log.exception("a call of another host failed")
            text = f"the host {host_called(self._host_id)} failed while it asked {link_id}: its log says why"
            error = DeviceError(text) if idempotent else OutcomeUnknown(text, next_step=_LOOK_FIRST)
            await self._tell(reply, encode_error(self._host_id, 0, error))
        except asyncio.CancelledError:
            text = f"the host {host_called(self._host_id)} ended while it asked {link_id}"
            gone = DeviceMoved(text) if idempotent else OutcomeUnknown(text, next_step=_LOOK_FIRST)
            await self._tell(reply, encode_error(self._host_id, 0, gone))
            raise

    def _fence(self, link_id: str) -> int:
        return 0 if _is_port(link_id) else self._fence_of(link_id)

    async def _done(self, link_id: str, call: Call[Any], deadline: float) -> Any:
        endpoint = _endpoint(link_id)
        device = self._owner_of(endpoint)
        if device is None:
            raise DeviceMoved(f"the host {host_called(self._host_id)} does not know the device {link_id}")
        check_call(device.board, call)
        return await device.ask_here(endpoint, call, deadline - asyncio.get_running_loop().time())

    async def _tell(self, reply: str, answer: bytes) -> None:
        try:
            pieces = cut(answer)
        except ProtocolError as exc:
            pieces = cut(encode_error(self._host_id, 0, exc))
        try:
            for piece in pieces:
                await self._cluster.client.publish(reply, piece)
        except OUTAGES as exc:
            _log.info("an answer for another host is lost: %s", exc)


def _is_port(link_id: str) -> bool:
    """A port's address has a scheme; no link's id has a colon."""
    return ":" in link_id


def _endpoint(link_id: str) -> str:
    return link_id if _is_port(link_id) else f"link:{link_id}"


def _busy(what: str) -> Overloaded:
    return Overloaded(f"{what} already at the device's host", next_step="try again when some have ended")
