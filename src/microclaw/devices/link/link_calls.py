"""Calls to one device over its link. Its boots decide about lost calls. Up to 64 calls wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from microclaw.devices.link.linked_device import LinkedDevice
from microclaw.devices.registry.call_acts import act_words
from microclaw.devices.registry.device import revoked_error
from microclaw.errors import (
    DeviceMoved,
    DeviceTimeout,
    DeviceUnreachable,
    LinkViolation,
    OutcomeUnknown,
    Overloaded,
    ProtocolError,
)
from microclaw.text import host_called
from microclaw.wire.link.calls import PendingCall
from microclaw.wire.link.messages import Call, Result
from microclaw.wire.link.values import ValueMap

MAX_CALLS: Final = 64
_FIRMWARE: Final = "its firmware must keep the limits of the link: docs/protocols/link.md"


class _WaitingCall(PendingCall):
    answer: asyncio.Future[Result]
    # A time of the loop's clock.
    due_s: float

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class LinkCalls:
    """The waiting calls of a device. They outlive connections; its link reports the events that end them."""

    def __init__(self, device: LinkedDevice) -> None:
        self._device = device
        self._pending: dict[bytes, _WaitingCall] = {}

    async def call(self, method: str, params: ValueMap, *, idempotent: bool, timeout_s: float) -> Result:
        """Send a call, now or when the device is back, and wait for its result for up to `timeout_s`.

        Raises DeviceUnreachable if the device never came back, or at once if it is revoked, OutcomeUnknown if it had
        the call and its outcome is unknown, Overloaded if too many calls wait, DeviceMoved if it is connected to
        another host and may be called there.
        """
        if self._device.is_revoked and not self._device.is_connected_anywhere:
            raise revoked_error(self._device.name)
        host = self._device.other_host
        if host is not None:
            raise self._moved_error(host, method)
        loop = asyncio.get_running_loop()
        message_id = self._device.parts.new_id()
        call = Call(method, params, idempotent)
        waiting = _WaitingCall(call=call, answer=loop.create_future(), due_s=loop.time() + timeout_s)
        if len(self._pending) >= MAX_CALLS:
            raise Overloaded(f"{MAX_CALLS} calls wait for this device", next_step="try again when some are answered")
        self._pending[message_id] = waiting
        try:
            if self._device.online:
                self._send(message_id, waiting)
            async with asyncio.timeout(timeout_s):
                return await waiting.answer
        except TimeoutError as exc:
            raise self._timeout_error(waiting, timeout_s) from exc
        finally:
            self._pending.pop(message_id, None)

    def reconnected(self, boot_id: bytes) -> None:
        """Send the waiting calls, and again the calls that this boot had. Calls that another boot had are lost."""
        for waiting in self._take_matching(lambda pending: pending.is_lost(boot_id)):
            waiting.fail(self._unknown_error(f"{self._device.name} restarted while it had the call"))
        for message_id, waiting in tuple(self._pending.items()):
            self._send(message_id, waiting)

    def end(self, event: str, error: Callable[[str], Exception]) -> None:
        """End all calls after this event, with `error` of the method, or OutcomeUnknown if it must not be repeated."""
        for waiting in self._take_matching(lambda _: True):
            method = waiting.call.method
            if waiting.may_repeat:
                waiting.fail(error(method))
            else:
                text = f"{self._device.name} was asked to {act_words(method)} when it {event}"
                waiting.fail(self._unknown_error(text))

    def moved(self, host: str) -> None:
        """End all calls, because the device is connected to another host. They may be made again there."""
        self.end(f"connected to {host_called(host)}", lambda method: self._moved_error(host, method))

    def resolve(self, message_id: bytes, result: Result) -> None:
        waiting = self._pending.pop(message_id, None)
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_result(result)

    def fail_unreadable(self, violation: LinkViolation) -> None:
        """Fail the calls that the device has, after an answer that cannot be read.

        If they were sent again, they would end the next connection too. Of several calls, any may be the answered one.
        """
        sent_calls = self._take_matching(lambda waiting: waiting.sent_in_boot is not None)
        if len(sent_calls) > 1:
            others = f", or to one of {len(sent_calls) - 1} other calls"
        else:
            others = ""
        for waiting in sent_calls:
            call = waiting.call
            text = f"{self._device.name} answered {call.method}{others} with what the link does not allow"
            text = f"{text}: {violation.message}"
            if call.idempotent:
                waiting.fail(ProtocolError(text, next_step=_FIRMWARE))
            else:
                waiting.fail(self._unknown_error(text))

    def _take_matching(self, matches: Callable[[_WaitingCall], bool]) -> list[_WaitingCall]:
        message_ids = [message_id for message_id, waiting in self._pending.items() if matches(waiting)]
        return [self._pending.pop(message_id) for message_id in message_ids]

    def _send(self, message_id: bytes, waiting: _WaitingCall) -> None:
        connection = self._device.connection
        boot_id = self._device.boots.current
        assert connection is not None
        assert boot_id is not None
        left_ms = int(1000 * max(0.0, waiting.due_s - asyncio.get_running_loop().time()))
        try:
            connection.session.send(replace(waiting.call, ttl_ms=left_ms), message_id=message_id)
        except ProtocolError as exc:
            # A later connection could not send it either.
            waiting.fail(exc)
            return
        except DeviceUnreachable:
            # The call waits for the next connection.
            return
        waiting.sent_in_boot = boot_id
        connection.pump()

    def _moved_error(self, host: str, method: str) -> DeviceMoved:
        name = self._device.name
        text = f"{name} is connected to the host {host_called(host)}; it did not {act_words(method)} for this one"
        return DeviceMoved(text, next_step=f"try again (microclaw device show {name})")

    def _timeout_error(self, waiting: _WaitingCall, timeout_s: float) -> Exception:
        name = self._device.name
        call = waiting.call
        if waiting.sent_in_boot is None:
            return DeviceUnreachable(
                f"{name} was not connected within {timeout_s:g} s; it was not asked to {act_words(call.method)}",
                next_step=f"switch it on, then try again (microclaw device show {name})",
            )
        text = f"{name} did not answer within {timeout_s:g} s when asked to {act_words(call.method)}"
        if call.idempotent:
            return DeviceTimeout(text, next_step="try again; it may be restarting")
        return self._unknown_error(text)

    @staticmethod
    def _unknown_error(text: str) -> OutcomeUnknown:
        return OutcomeUnknown(f"{text}: outcome unknown", next_step="look at the device, then repeat it if need be")
