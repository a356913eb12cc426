"""Calls to devices of other hosts: they are done at the host that has the connection, or whose machine has the port.

A request has the time that is left for it. Nothing is done twice, and no third host is asked. The classes of
devices/registry/calls.py are the schema: a field that the other host does not know is refused, never left out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Annotated, Any, Final, TypeAlias, TypeVar, cast

import msgspec

from microclaw.conversion import convert
from microclaw.devices.registry.calls import CALLS, AppReply, AppRequest, Call
from microclaw.devices.registry.device import Device, check_call
from microclaw.errors import DeviceMoved, DeviceTimeout, MicroclawError, OutcomeUnknown, Overloaded, ProtocolError
from microclaw.host.cluster.requests import VERSION_STEP, HostGone, HostRequests
from microclaw.text import host_called

R = TypeVar("R")
OwnerOf: TypeAlias = Callable[[str], Device | None]

MAX_LEFT_S: Final = 3600.0
# Calls of other hosts that one host serves at a time.
MAX_RUNNING: Final = 256
# The server ends this much before the caller, so that its better informed error comes in time.
_SOONER_S: Final = 0.1


class CallRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """A call for another host. `left_s` is the time for its answer, from its arrival: the hosts' clocks differ."""

    endpoint: str
    method: str
    left_s: Annotated[float, msgspec.Meta(gt=0, le=MAX_LEFT_S)]
    fields: dict[str, Any]

    def call(self) -> Call[Any]:
        """Return the call. Raises ProtocolError if this host does not know it, or if its fields are different."""
        text = f"another host asks for {self.method:.40}, which this one does not know so"
        kind = CALLS.get(self.method)
        if kind is None or self.fields.keys() - set(kind.__struct_fields__):
            raise ProtocolError(text, next_step=VERSION_STEP)
        try:
            call: Call[Any] = convert(self.fields, kind)
        except msgspec.ValidationError as exc:
            raise ProtocolError(f"{text}: {exc}", next_step=VERSION_STEP) from exc
        return call


class RemoteCalls:
    """Sends calls to other hosts. `owner_of` returns the device of an endpoint."""

    def __init__(self, requests: HostRequests, owner_of: OwnerOf) -> None:
        self._requests = requests
        self._owner_of = owner_of

    async def call(self, host: str, endpoint: str, call: Call[R], timeout_s: float) -> R:
        """Do a call at `host`, as Transport.call does.

        Raises DeviceMoved if the call was not carried out there, or may be made again. An idempotent call whose host is
        gone may be made again; of another call the outcome is unknown.
        """
        owner = self._owner_of(endpoint)
        name = endpoint if owner is None else owner.name
        try:
            value = await self._ask(host, endpoint, call, timeout_s)
        except HostGone as exc:
            if exc.unsent:
                raise DeviceMoved(
                    f"{name} cannot be asked for {call.method}: {exc}",
                    next_step="see whether the cluster is well: microclaw status --cluster",
                ) from exc
            text = f"the host {host_called(host)} had {call.method} for {name}, and has the device no more"
            raise _ended(call, DeviceMoved(text, next_step="try again")) from exc
        except TimeoutError as exc:
            text = f"{name} did not answer {call.method} in time, at the host {host_called(host)}"
            raise _ended(call, DeviceTimeout(text, next_step="try again; it may be restarting")) from exc
        return cast("R", value)

    async def _ask(self, host: str, endpoint: str, call: Call[Any], timeout_s: float) -> Any:
        if timeout_s <= 0:
            raise HostGone(f"no time was left to ask the host {host_called(host)}", unsent=True)
        left_s = min(timeout_s - min(_SOONER_S, timeout_s / 10), MAX_LEFT_S)
        request = (endpoint, call.method, left_s, msgspec.structs.asdict(call))
        kind = _Reply if isinstance(call, AppRequest) else call.answer_type()
        async with asyncio.timeout(timeout_s), aclosing(self._requests.ask(host, "device", request, kind)) as answers:
            value = await anext(answers)
        if isinstance(value, _Reply):
            return AppReply(value.status, value.values)
        return value


class DeviceCalls:
    """Does the calls of other hosts to devices here, each after its device's other calls."""

    def __init__(self, requests: HostRequests, owner_of: OwnerOf, counts: Counter[str]) -> None:
        self._host_id = requests.host_id
        self._owner_of = owner_of
        self._running: set[asyncio.Task[Any]] = set()
        self._counts = counts
        requests.answer("device", CallRequest, self._serve)

    async def _serve(self, request: CallRequest) -> AsyncGenerator[object, None]:
        if len(self._running) >= MAX_RUNNING:
            self._counts["calls_refused"] += 1
            raise Overloaded(f"{MAX_RUNNING} calls of other hosts run already at the device's host")
        task = asyncio.create_task(self._carry_out(request), name="cluster: call of another host")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        # A call that has begun is finished, even if its caller no longer waits.
        yield await asyncio.shield(task)

    async def _carry_out(self, request: CallRequest) -> Any:
        call = request.call()
        device = self._owner_of(request.endpoint)
        if device is None:
            raise DeviceMoved(f"the host {host_called(self._host_id)} does not know the device {request.endpoint}")
        check_call(device.board, call)
        value = await device.ask(request.endpoint, call, request.left_s, here=True)
        self._counts["calls_served"] += 1
        return value


class _Reply(msgspec.Struct, frozen=True):
    """An AppReply for msgspec, which decodes no union of text and bytes."""

    status: int
    values: dict[str, Any]


def _ended(call: Call[Any], error: MicroclawError) -> MicroclawError:
    """Return the error of a call that may have been done: OutcomeUnknown if it must not be done twice."""
    if call.idempotent:
        return error
    step = "look at the device, then repeat it if need be"
    return OutcomeUnknown(f"{error.message}: outcome unknown", next_step=step)
