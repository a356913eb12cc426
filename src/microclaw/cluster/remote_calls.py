"""Calls to devices of other hosts: done at the host that has the connection, or whose machine has the port.

Time goes with a request as what is left of it. Nothing is done twice, and no third host is asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final, TypeAlias, TypeVar

from microclaw.cluster.call_codec import (
    MAX_LEFT_S,
    call_of,
    encode_error,
    encode_request,
    encode_value,
    read_answer,
    read_request,
)
from microclaw.cluster.requests import HostGone, HostRequests
from microclaw.devices.calls import Call
from microclaw.devices.device import Device, check_call
from microclaw.errors import DeviceError, DeviceMoved, DeviceTimeout, MicroclawError, OutcomeUnknown, Overloaded
from microclaw.text import host_called

R = TypeVar("R")
OwnerOf: TypeAlias = Callable[[str], Device | None]

MAX_RUNNING: Final = 256  # calls of other hosts that one host serves at a time
LOOK_S: Final = 0.5  # how often who waits looks whether the asked host still has the device
LATE_ANSWER_S: Final = 1.0  # for the answer of a host that the device has left
_SOONER_S: Final = 0.1  # the server ends before who asks, so that its better informed error comes in time
_LOOK_FIRST: Final = "look at the device, then repeat it if need be"

_log = logging.getLogger(__name__)


class RemoteCalls:
    """Asks other hosts. `host_of` says which live one has a device's connection, `owner_of` whose endpoint it is."""

    def __init__(self, requests: HostRequests, host_of: Callable[[str], str | None], owner_of: OwnerOf) -> None:
        self._requests = requests
        self._host_of = host_of
        self._owner_of = owner_of

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
        if timeout_s <= 0:
            raise self._unsent(link_id, call, f"no time was left to ask the host {host_called(host)}")
        left_s = min(timeout_s - min(_SOONER_S, timeout_s / 10), MAX_LEFT_S)
        asking = asyncio.ensure_future(self._asked(host, encode_request(link_id, call, left_s)))
        has_it = is_there or (lambda: self._host_of(link_id) == host)
        try:
            data = await self._answer(asking, host, link_id, call, timeout_s, has_it)
        except HostGone as exc:
            if exc.unsent:
                raise self._unsent(link_id, call, str(exc)) from exc
            raise self._gone(link_id, call, host) from exc
        finally:
            asking.cancel()
        answer, value = read_answer(data, call)
        _log.debug("%s of %s was done at %s under fence %d", call.method, link_id, answer.host, answer.fence)
        return value

    async def _asked(self, host: str, body: bytes) -> bytes:
        async with aclosing(self._requests.ask(host, "device", body)) as answers:
            async for data in answers:
                return data
        raise HostGone(f"the host {host} ended without an answer")

    async def _answer(
        self,
        asking: asyncio.Future[bytes],
        host: str,
        link_id: str,
        call: Call[Any],
        timeout_s: float,
        has_it: Callable[[], bool],
    ) -> bytes:
        time = asyncio.get_running_loop().time
        deadline = time() + timeout_s
        left_at: float | None = None
        while True:
            await asyncio.wait([asking], timeout=max(0.0, min(deadline - time(), LOOK_S)))
            if asking.done():
                return asking.result()
            if (now := time()) >= deadline:
                raise self._unanswered(link_id, call, host)
            if has_it():
                left_at = None
            elif left_at is None:
                left_at = now
            elif now - left_at >= LATE_ANSWER_S:
                raise self._gone(link_id, call, host)

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


class DeviceCalls:
    """Does what other hosts ask of devices here, each behind its device's other calls.

    `fence_of` is that of a device's connection here, 0 without one.
    """

    def __init__(self, requests: HostRequests, owner_of: OwnerOf, fence_of: Callable[[str], int]) -> None:
        self._host_id = requests.host_id
        self._owner_of = owner_of
        self._fence_of = fence_of
        self._running: set[asyncio.Task[bytes]] = set()
        self.served = 0
        self.refused = 0
        requests.handlers["device"] = self._serve

    async def _serve(self, body: bytes) -> AsyncGenerator[bytes, None]:
        arrived = asyncio.get_running_loop().time()
        if len(self._running) >= MAX_RUNNING:
            self.refused += 1
            raise Overloaded(f"{MAX_RUNNING} calls of other hosts run already at the device's host")
        task = asyncio.create_task(self._done(body, arrived), name="cluster: call of another host")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        yield await asyncio.shield(task)  # what has begun ends, though nobody waits for it any more

    async def _done(self, body: bytes, arrived: float) -> bytes:
        link_id, idempotent = "", False
        try:
            request = read_request(body)
            call, link_id = call_of(request), request.link_id
            idempotent, fence = call.idempotent, self._fence(link_id)
            endpoint = _endpoint(link_id)
            device = self._owner_of(endpoint)
            if device is None:
                raise DeviceMoved(f"the host {host_called(self._host_id)} does not know the device {link_id}")
            check_call(device.board, call)
            left_s = arrived + request.left_s - asyncio.get_running_loop().time()
            value = await device.ask_here(endpoint, call, left_s)
            self.served += 1
            return encode_value(self._host_id, fence, value)
        except MicroclawError as exc:
            return encode_error(self._host_id, self._fence(link_id), exc)
        except Exception:  # a fault of this program: who asks must know, and others are served on
            _log.exception("a call of another host failed")
            text = f"the host {host_called(self._host_id)} failed while it asked {link_id}: its log says why"
            error = DeviceError(text) if idempotent else OutcomeUnknown(text, next_step=_LOOK_FIRST)
            return encode_error(self._host_id, 0, error)

    def _fence(self, link_id: str) -> int:
        return 0 if _is_port(link_id) else self._fence_of(link_id)


def _is_port(link_id: str) -> bool:
    """A port's address has a scheme; no link's id has a colon."""
    return ":" in link_id


def _endpoint(link_id: str) -> str:
    return link_id if _is_port(link_id) else f"link:{link_id}"
