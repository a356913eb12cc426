"""Calls to one device over its link: those that wait for the device, and those that wait for its answer (64 in all)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from microclaw.devices.device import revoked_error
from microclaw.errors import DeviceMoved, DeviceTimeout, DeviceUnreachable, LinkViolation, OutcomeUnknown, ProtocolError
from microclaw.text import host_called
from microclaw.wire.link.calls import Fate, PendingCalls
from microclaw.wire.link.messages import Call, Result
from microclaw.wire.link.values import ValueMap

if TYPE_CHECKING:
    from microclaw.link_server.device_link import DeviceLink, LinkParts

_LOOK_FIRST: Final = "look at the device, then repeat it if need be"
_FIRMWARE: Final = "its firmware must keep the limits of the link: docs/protocols/link.md"


class LinkCalls:
    """They outlive connections. What ends them, `link` tells."""

    def __init__(self, link: DeviceLink, parts: LinkParts) -> None:
        self._link = link
        self._parts = parts
        self._pending = PendingCalls()
        self._answers: dict[bytes, asyncio.Future[Result]] = {}
        self._due_s: dict[bytes, float] = {}  # on the loop's clock

    async def call(self, method: str, params: ValueMap, *, idempotent: bool, timeout_s: float) -> Result:
        """As DeviceLink.call."""
        if (host := self._link.other_host) is not None:
            raise self._moved_to(host, method)
        message_id = self._parts.new_id()
        call = Call(method, params, idempotent)
        self._pending.add(message_id, call)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Result] = loop.create_future()
        self._answers[message_id] = answer
        self._due_s[message_id] = loop.time() + timeout_s
        try:
            if self._link.online:
                self._send(message_id, call)
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError as exc:
            raise self._unanswered(call, self._pending.give_up(message_id), timeout_s) from exc
        finally:
            self._pending.give_up(message_id)
            self._answers.pop(message_id, None)
            self._due_s.pop(message_id, None)

    def reconnected(self, boot_id: bytes) -> None:
        """Send what waited, and again what this boot had; what another boot had is lost."""
        again, lost = self._pending.reconnected(boot_id)
        for message_id, fate in lost:
            text = f"{self._link.name} restarted while it had the call: {fate.value}"
            self._fail(message_id, OutcomeUnknown(text, next_step=_LOOK_FIRST))
        for message_id, call in again:
            self._send(message_id, call)

    def moved(self, host: str) -> None:
        """The device is connected to another host: what waits for it ends here, and may go on there."""
        free, lost = self._pending.moved()
        for message_id, call in free:
            self._fail(message_id, self._moved_to(host, call.method))
        for message_id, call in lost:
            there = host_called(host)
            text = f"{self._link.name} had {call.method} from this host when it connected to {there}: outcome unknown"
            self._fail(message_id, OutcomeUnknown(text, next_step=_LOOK_FIRST))

    def answered(self, message_id: bytes, result: Result) -> None:
        answer = self._answers.get(message_id)
        if self._pending.answered(message_id) is not None and answer is not None and not answer.done():
            answer.set_result(result)

    def removed(self) -> None:
        """The device was removed."""
        for message_id in list(self._answers):
            self._fail(message_id, DeviceUnreachable(f"{self._link.name} was removed"))

    def revoked(self) -> None:
        """The device's credentials ended: what waits for it fails at once."""
        for message_id in tuple(self._answers):
            if self._pending.give_up(message_id) is Fate.TIMED_OUT:
                text = f"{self._link.name} was revoked before it answered: outcome unknown"
                self._fail(message_id, OutcomeUnknown(text, next_step=_LOOK_FIRST))
            else:
                self._fail(message_id, revoked_error(self._link.name))

    def unreadable(self, violation: LinkViolation) -> None:
        """Sent again, the calls that the device has would end the next connection too: whose answer it was is unknown
        where there are several.
        """
        name, had = self._link.name, self._pending.broken_off()
        for message_id, call in had:
            others = f", or to one of {len(had) - 1} other calls" if len(had) > 1 else ""
            text = f"{name} answered {call.method}{others} with what the link does not allow: {violation.message}"
            if call.idempotent:
                error: Exception = ProtocolError(text, next_step=_FIRMWARE)
            else:
                error = OutcomeUnknown(f"{text}; whether it was carried out is unknown", next_step=_LOOK_FIRST)
            self._fail(message_id, error)

    def _send(self, message_id: bytes, call: Call) -> None:
        connection, boot_id = self._link.connection, self._link.boots.current
        assert connection is not None
        assert boot_id is not None
        left_ms = int(1000 * max(0.0, self._due_s[message_id] - asyncio.get_running_loop().time()))
        try:
            connection.session.send(replace(call, ttl_ms=left_ms), message_id=message_id)
        except ProtocolError as exc:  # it can never be sent
            self._fail(message_id, exc)
            return
        except DeviceUnreachable:
            return  # it waits for the next connection
        self._pending.sent(message_id, boot_id)
        connection.pump()

    def _fail(self, message_id: bytes, error: Exception) -> None:
        answer = self._answers.get(message_id)
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def _moved_to(self, host: str, method: str) -> DeviceMoved:
        return DeviceMoved(
            f"{self._link.name} is connected to the host {host_called(host)}; {method} was not answered here",
            next_step=f"try again (microclaw device show {self._link.name})",
        )

    def _unanswered(self, call: Call, fate: Fate | None, timeout_s: float) -> Exception:
        name = self._link.name
        if fate is Fate.EXPIRED:
            return DeviceUnreachable(
                f"{name} was not connected within {timeout_s:g} s; {call.method} was not sent",
                next_step=f"switch it on, then try again (microclaw device show {name})",
            )
        text = f"{name} did not answer {call.method} within {timeout_s:g} s"
        if call.idempotent:
            return DeviceTimeout(text, next_step="try again; it may be restarting")
        return OutcomeUnknown(f"{text}: outcome unknown", next_step=_LOOK_FIRST)
