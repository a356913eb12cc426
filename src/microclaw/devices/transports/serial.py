"""The serial transport: exploration by JSON lines (docs/protocols/jsonline.md) over a serial port, a pty or TCP.

It deploys nothing. The protocol has no request ids: after a lost answer the transport waits for silence and sends
get_info, so that a late answer is never taken for the answer of the next request. Boot lines are not answers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from msgspec import Struct
from msgspec.structs import asdict

from microclaw.devices.registry.answer_check import check_answer
from microclaw.devices.registry.call_acts import act_words
from microclaw.devices.registry.calls import (
    AdcRead,
    AdcReading,
    Call,
    DeviceFacts,
    DeviceInfo,
    DeviceStatusRead,
    GpioGet,
    GpioSet,
    I2cAddresses,
    I2cRead,
    I2cScan,
    PinLevel,
    PwmSet,
    PwmState,
    SensorReading,
)
from microclaw.devices.registry.transport import Transport
from microclaw.devices.transports.address import HostPort
from microclaw.devices.transports.serial_ports import BytePort, ListPorts, PortOpener, list_ports, parse_port_address
from microclaw.devices.transports.serial_replies import BootWatch, RestartedBeforeReply, find_reply, is_answer
from microclaw.errors import DeviceLied, DeviceTimeout, DeviceUnreachable, NotSupported, ProtocolError
from microclaw.events import EvidenceKind
from microclaw.wire import jsonline

R = TypeVar("R")

_INFO_FIELDS: Final = {"firmware", "uptime_ms"}


class SerialTimeouts(Struct, frozen=True):
    open_s: float = 3.0
    reply_s: float = 5.0
    # Boot lines and late answers end with this silence.
    quiet_s: float = 0.2
    ask_again_s: float = 1.2
    # If a board prints all the time, this time without an answer is enough.
    prints_s: float = 1.0
    # After this time the request is sent, also if the board is never silent.
    drain_s: float = 3.0


class SerialTransport(Transport):
    """The transport of one port: one request at a time; the port stays open between calls."""

    capabilities: Final = frozenset(
        {"gpio.set", "gpio.get", "adc.read", "pwm.set", "i2c.read", "i2c.scan", "device.info", "device.status"}
    )
    evidence: Final[EvidenceKind] = "reported"

    def __init__(
        self,
        address: str,
        *,
        lock_folder: Path,
        timeouts: SerialTimeouts | None = None,
        list_ports: ListPorts = list_ports,
    ) -> None:
        self._address = parse_port_address(address)
        step = "is the board on, and is this its JSON line port?"
        self._opener = PortOpener(self._address, lock_folder, list_ports=list_ports, tcp_step=step)
        self.endpoint = self._opener.endpoint
        self._boot = BootWatch()
        self.timeouts = timeouts or SerialTimeouts()
        self._queue = asyncio.Lock()
        self._port: BytePort | None = None
        self._lines = jsonline.LineDecoder()
        self._in_step = False

    async def call(self, call: Call[R], timeout_s: float) -> R:
        """Call the board. An answer about another pin or sensor means that answers and requests are out of step."""
        try:
            async with asyncio.timeout(timeout_s), self._queue:
                answer = await self._do(call)
                # The device class checks the answer again, and raises.
                with contextlib.suppress(DeviceLied):
                    self._in_step = False
                    check_answer(self.endpoint, call, answer)
                    self._in_step = True
                return cast("R", answer)
        except TimeoutError as exc:
            raise self._timed_out(call.method, timeout_s) from exc
        except ProtocolError as exc:
            self._in_step = False
            step = "try again; is this the board's JSON line port?"
            raise ProtocolError(f"{self.endpoint}: {exc.message}", next_step=step) from exc

    async def close(self) -> None:
        port = self._port
        self._port = None
        self._in_step = False
        if port is not None:
            await port.close()

    async def _do(self, call: Call[Any]) -> Any:
        match call:
            case GpioSet(pin=pin, level=level):
                reply = await self._ask(call, "set_gpio", pin=pin, state=level)
                return jsonline.values_reply(reply, asdict(call), PinLevel)
            case GpioGet(pin=pin):
                return jsonline.values_reply(await self._ask(call, "read_gpio", pin=pin), asdict(call), PinLevel)
            case AdcRead(pin=pin):
                return jsonline.values_reply(await self._ask(call, "read_adc", pin=pin), asdict(call), AdcReading)
            case PwmSet(pin=pin, duty=duty, frequency_hz=hz):
                reply = await self._ask(call, "set_pwm", **jsonline.pwm_fields(pin, duty, hz))
                return jsonline.values_reply(reply, asdict(call), PwmState)
            case I2cRead(sensor=sensor):
                reply = await self._ask(call, "read_i2c", sensor=sensor)
                return SensorReading(str(reply.get("sensor", sensor)), jsonline.sensor_reply(reply))
            case I2cScan():
                return _addresses(await self._ask(call, "custom_i2c_scan"))
            case DeviceInfo():
                return DeviceFacts(jsonline.info_reply(await self._ask(call, "get_info")))
            case DeviceStatusRead():
                return await self._status(call)
            case _:
                raise self.not_offered(call)

    async def _status(self, call: DeviceStatusRead) -> DeviceFacts:
        """Read the status: only dialect C has get_status, the others have it in the sensors' `system` entry."""
        try:
            return DeviceFacts(jsonline.info_reply(await self._ask(call, "get_status")))
        except NotSupported:
            readings = jsonline.sensors_reply(await self._ask(call, "read_sensors"))
        system = readings.pop("system", {})
        return DeviceFacts({**system, "sensors_active": ", ".join(readings)})

    async def _ask(self, call: Call[Any], action: str, **fields: int | str) -> Mapping[str, object]:
        """Send one line and return its reply. After any error, the next request gets in step first."""
        self._boot = BootWatch()
        try:
            port = await self._get_in_step()
            self._in_step = False
            async with asyncio.timeout(self.timeouts.reply_s):
                await port.write(jsonline.encode_line({"action": action, **fields}))
                reply = await self._next_reply(port, may_restart=False)
                while not is_answer(reply, action):
                    reply = await self._next_reply(port, may_restart=False)
        except TimeoutError as exc:
            raise self._timed_out(call.method, self.timeouts.reply_s) from exc
        except RestartedBeforeReply as exc:
            raise DeviceUnreachable(
                f"{self._opener.where} restarted during {call.method}{self._boot.why()}",
                next_step="try again: it is asked again once it is up",
                foreign=self._boot.quotes,
            ) from exc
        except (OSError, EOFError) as exc:
            await self.close()
            reason = getattr(exc, "strerror", None) or str(exc)
            raise DeviceUnreachable(
                f"{self._opener.where} went away during {call.method}: {reason}",
                next_step="is the cable in and the board powered? It is found again when it is back",
            ) from exc
        self._in_step = True
        return reply

    async def _get_in_step(self) -> BytePort:
        """Open the port and skip boot lines. After a lost answer, send get_info until its answer is received."""
        port = self._port
        is_new = port is None
        if port is not None and self._in_step:
            return port
        if port is None:
            port = await self._opener.open(self.timeouts.open_s)
            self._port = port
            self._lines = jsonline.LineDecoder()
        await self._drain(port)
        if is_new and isinstance(self._address, HostPort):
            return port
        try:
            await self._wait_for_info(port)
        except TimeoutError:
            # A board that came back may need a fresh connection.
            await self.close()
            raise
        return port

    async def _drain(self, port: BytePort) -> None:
        """Discard all bytes until the line is quiet, or has only the output of programs."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeouts.drain_s
        prints_deadline = loop.time() + self.timeouts.prints_s
        while loop.time() < min(deadline, prints_deadline):
            try:
                async with asyncio.timeout(self.timeouts.quiet_s):
                    self._lines.receive(await port.read())
            except TimeoutError:
                break
            while (line := self._next_line()) is not None:
                if self._boot.hear(line) or find_reply(line) is not None:
                    prints_deadline = loop.time() + self.timeouts.prints_s
        self._lines = jsonline.LineDecoder()

    async def _wait_for_info(self, port: BytePort) -> None:
        """Send get_info until its answer comes, and drop older answers: only this one has a firmware and an uptime.

        It is sent again, because opening a tty can reset the board, which receives nothing while it boots.
        """
        async with asyncio.timeout(self.timeouts.reply_s):
            while True:
                try:
                    async with asyncio.timeout(self.timeouts.ask_again_s):
                        await port.write(jsonline.GET_INFO)
                        reply = await self._next_reply(port, may_restart=True)
                        while not reply.keys() >= _INFO_FIELDS:
                            reply = await self._next_reply(port, may_restart=True)
                        break
                except TimeoutError:
                    continue
        # A late answer could also be an answer to get_info.
        await self._drain(port)

    async def _next_reply(self, port: BytePort, *, may_restart: bool) -> Mapping[str, object]:
        """Return the next object with a status. Console lines and other noise are not replies.

        Raises RestartedBeforeReply if the board restarts, unless `may_restart`.
        """
        while True:
            while (line := self._next_line()) is not None:
                reply = find_reply(line)
                if reply is not None:
                    return reply
                if self._boot.hear(line) and not may_restart:
                    raise RestartedBeforeReply
            self._lines.receive(await port.read())

    def _next_line(self) -> bytes | None:
        while True:
            # A line over the limit was discarded; the next lines are valid.
            with contextlib.suppress(ProtocolError):
                return self._lines.next_line()

    def _timed_out(self, method: str, timeout_s: float) -> DeviceTimeout:
        self._in_step = False
        text = f"{self._opener.where} did not answer within {timeout_s:g} s when asked to {act_words(method)}"
        if self._boot.in_download_mode:
            text += ": it is in download mode and runs no firmware"
            return DeviceTimeout(text, next_step="press its reset button (RST or EN) without the BOOT button")
        if self._boot.restarts > 1:
            return DeviceTimeout(
                f"{text}: it restarts over and over, {self._boot.restarts} times meanwhile{self._boot.why()}",
                next_step="its firmware crashes or its power is weak: another cable or port, or flash it again",
                foreign=self._boot.quotes,
            )
        if self._boot.restarts == 1:
            text += f": it has just restarted{self._boot.why()}"
            return DeviceTimeout(text, next_step="try again in a moment", foreign=self._boot.quotes)
        step = "is its exploration firmware running? press its reset button and try again"
        return DeviceTimeout(text, next_step=step)


def _addresses(reply: Mapping[str, object]) -> I2cAddresses:
    """Read `addresses` or `devices`, which are numbers or texts such as "0x76"."""
    jsonline.raise_for_error(reply)
    values = reply.get("addresses", reply.get("devices"))
    if not isinstance(values, list):
        raise ProtocolError("a reply to i2c_scan without a list of addresses")
    try:
        addresses = {int(str(value), 0) for value in values}
    except ValueError as exc:
        raise ProtocolError(f"an I2C address in {values!r:.60}") from exc
    return I2cAddresses(tuple(sorted(addresses)))
