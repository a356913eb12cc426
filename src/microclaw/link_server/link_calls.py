"""Calls to one device over its link, and its boots, on which they hang. 64 wait for it or for its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from microclaw.devices.device import revoked_error
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

if TYPE_CHECKING:
    from microclaw.link_server.device_link import DeviceLink

MAX_CALLS: Final = 64
_FIRMWARE: Final = "its firmware must keep the limits of the link: docs/protocols/link.md"


class _Waiting(PendingCall):
    answer: asyncio.Future[Result]
    due_s: float  # on the loop's clock

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class LinkCalls:
    """They outlive connections. What ends them, `link` tells."""

    def __init__(self, link: DeviceLink) -> None:
        self._link = link
        self._pending: dict[bytes, _Waiting] = {}

    async def call(self, method: str, params: ValueMap, *, idempotent: bool, timeout_s: float) -> Result:
        """Send a call, now or when the device is back, and wait for its result at most `timeout_s`.

        Raises DeviceUnreachable when it never came back, OutcomeUnknown when it had the call and its outcome
        is unknown, Overloaded when too many wait, DeviceMoved when it is at another host and may be called there. A
        revoked device is not waited for: DeviceUnreachable at once.
        """
        if self._link.is_revoked and not self._link.anywhere:
            raise revoked_error(self._link.name)
        host = self._link.other_host
        if host is not None:
            raise self._moved_to(host, method)
        loop = asyncio.get_running_loop()
        message_id = self._link.parts.new_id()
        call = Call(method, params, idempotent)
        waiting = _Waiting(call=call, answer=loop.create_future(), due_s=loop.time() + timeout_s)
        if len(self._pending) >= MAX_CALLS:
            raise Overloaded(f"{MAX_CALLS} calls wait for this device", next_step="try again when some are answered")
        self._pending[message_id] = waiting
        try:
            if self._link.online:
                self._send(message_id, waiting)
            async with asyncio.timeout(timeout_s):
                return await waiting.answer
        except TimeoutError as exc:
            raise self._unanswered(waiting, timeout_s) from exc
        finally:
            self._pending.pop(message_id, None)

    def reconnected(self, boot_id: bytes) -> None:
        """Send what waited, and again what this boot had; what another boot had is lost."""
        for waiting in self._take_those(lambda pending: pending.is_lost(boot_id)):
            waiting.fail(self._unknown(f"{self._link.name} restarted while it had the call"))
        for message_id, waiting in tuple(self._pending.items()):
            self._send(message_id, waiting)

    def end(self, event: str, error: Callable[[str], Exception]) -> None:
        """Nothing more comes of them here, after this event: `error` of the method, or an unknown outcome."""
        for waiting in self._take_those(lambda _: True):
            method = waiting.call.method
            text = f"{self._link.name} had {method} from this host when it {event}"
            waiting.fail(error(method) if waiting.may_repeat else self._unknown(text))

    def moved(self, host: str) -> None:
        """The device is connected to another host: what waits for it ends here, and may go on there."""
        self.end(f"connected to {host_called(host)}", lambda method: self._moved_to(host, method))

    def answered(self, message_id: bytes, result: Result) -> None:
        waiting = self._pending.pop(message_id, None)
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_result(result)

    def unreadable(self, violation: LinkViolation) -> None:
        """Sent again, the calls that the device has would end the next connection too: whose answer it was is unknown
        where there are several.
        """
        had = self._take_those(lambda waiting: waiting.sent_in_boot is not None)
        for waiting in had:
            call = waiting.call
            if len(had) > 1:
                others = f", or to one of {len(had) - 1} other calls"
            else:
                others = ""
            text = f"{self._link.name} answered {call.method}{others} with what the link does not allow"
            text = f"{text}: {violation.message}"
            waiting.fail(ProtocolError(text, next_step=_FIRMWARE) if call.idempotent else self._unknown(text))

    def _take_those(self, is_over: Callable[[_Waiting], bool]) -> list[_Waiting]:
        over = [message_id for message_id, waiting in self._pending.items() if is_over(waiting)]
        return [self._pending.pop(message_id) for message_id in over]

    def _send(self, message_id: bytes, waiting: _Waiting) -> None:
        connection = self._link.connection
        boot_id = self._link.boots.current
        assert connection is not None
        assert boot_id is not None
        left_ms = int(1000 * max(0.0, waiting.due_s - asyncio.get_running_loop().time()))
        try:
            connection.session.send(replace(waiting.call, ttl_ms=left_ms), message_id=message_id)
        except ProtocolError as exc:  # it can never be sent
            waiting.fail(exc)
            return
        except DeviceUnreachable:
            return  # it waits for the next connection
        waiting.sent_in_boot = boot_id
        connection.pump()

    def _moved_to(self, host: str, method: str) -> DeviceMoved:
        return DeviceMoved(
            f"{self._link.name} is connected to the host {host_called(host)}; {method} was not answered here",
            next_step=f"try again (microclaw device show {self._link.name})",
        )

    def _unanswered(self, waiting: _Waiting, timeout_s: float) -> Exception:
        name = self._link.name
        call = waiting.call
        if waiting.sent_in_boot is None:
            return DeviceUnreachable(
                f"{name} was not connected within {timeout_s:g} s; {call.method} was not sent",
                next_step=f"switch it on, then try again (microclaw device show {name})",
            )
        text = f"{name} did not answer {call.method} within {timeout_s:g} s"
        if call.idempotent:
            return DeviceTimeout(text, next_step="try again; it may be restarting")
        return self._unknown(text)

    @staticmethod
    def _unknown(text: str) -> OutcomeUnknown:
        return OutcomeUnknown(f"{text}: outcome unknown", next_step="look at the device, then repeat it if need be")


class Boots:
    """Of one device, since the host started. `current` is the boot that is connected, `began_ms` when it first was."""

    def __init__(self) -> None:
        self.count = 0
        self.current: bytes | None = None
        self.began_ms = 0.0
        self._last: bytes | None = None
        self._new = asyncio.Event()
        self._moves = 0

    def came(self, boot_id: bytes, now_ms: float) -> None:
        if boot_id != self._last:
            self.count += 1
            self.began_ms = now_ms
            self._new.set()
        self.current = self._last = boot_id

    def left(self) -> bytes | None:
        """The boot that was here until now."""
        was_here = self.current
        self.current = None
        return was_here

    def moved(self) -> None:
        """The device is connected to another host: nobody need wait for it here."""
        self._moves += 1
        self._new.set()

    async def another(self, count: int, timeout_s: float) -> bool:
        """True if one more boot than `count` comes to this host within the time."""
        moves = self._moves
        try:
            async with asyncio.timeout(timeout_s):
                while self.count <= count and self._moves == moves:
                    self._new.clear()
                    await self._new.wait()
        except TimeoutError:
            return False
        return self.count > count
