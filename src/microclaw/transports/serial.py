"""The serial transport: exploration by JSON lines (docs/protocols/jsonline.md) over a serial port, a pty or TCP.

It deploys nothing. The protocol has no request ids: after a lost answer the transport listens for silence and asks who
is there, so that a late answer is never taken for the next one's. What a board prints when it starts is no answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from msgspec import Struct
from msgspec.structs import asdict

from microclaw.devices.answer_check import check_answer
from microclaw.devices.calls import (
    AdcRead,
    AdcReading,
    Call,
    DeviceFacts,
    DeviceInfo,
    DeviceStatus,
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
from microclaw.devices.transport import Transport
from microclaw.errors import DeviceLied, DeviceTimeout, DeviceUnreachable, NotSupported, ProtocolError
from microclaw.events import EvidenceKind
from microclaw.transports.address import HostPort
from microclaw.transports.serial_ports import BytePort, ListPorts, PortOpener, list_ports, parse_port_address
from microclaw.transports.serial_replies import BoardRestarted, BootWatch, is_answer, reply_in
from microclaw.wire import jsonline

R = TypeVar("R")

_INFO_FIELDS: Final = {"firmware", "uptime_ms"}


class SerialTimeouts(Struct, frozen=True):
    open_s: float = 3.0
    reply_s: float = 5.0
    quiet_s: float = 0.2  # silence that ends boot lines and late answers
    ask_again_s: float = 1.2
    prints_s: float = 1.0  # so long without an answer, on a line that does not fall quiet
    drain_s: float = 3.0  # a device that never falls silent is asked all the same


class SerialTransport(Transport):
    """One request at a time; the port stays open between calls."""

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
        """An answer about something else than was asked means that we are out of step."""
        try:
            async with asyncio.timeout(timeout_s), self._queue:
                answer = await self._do(call)
                with contextlib.suppress(DeviceLied):  # the device says so
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
            case DeviceStatus():
                return await self._status(call)
            case _:
                raise self.not_offered(call)

    async def _status(self, call: DeviceStatus) -> DeviceFacts:
        """Only dialect C knows get_status; of the others the sensors' `system` entry says as much."""
        try:
            return DeviceFacts(jsonline.info_reply(await self._ask(call, "get_status")))
        except NotSupported:
            readings = jsonline.sensors_reply(await self._ask(call, "read_sensors"))
        system = readings.pop("system", {})
        return DeviceFacts({**system, "sensors_active": ", ".join(readings)})

    async def _ask(self, call: Call[Any], action: str, **fields: int | str) -> Mapping[str, object]:
        """Send one line and take the one reply. Whatever goes wrong, the next request gets back in step first."""
        self._boot = BootWatch()
        try:
            port = await self._get_in_step()
            self._in_step = False
            async with asyncio.timeout(self.timeouts.reply_s):
                await port.write(jsonline.encode_line({"action": action, **fields}))
                while not is_answer(reply := await self._next_reply(port, may_restart=False), action):
                    pass
        except TimeoutError as exc:
            raise self._timed_out(call.method, self.timeouts.reply_s) from exc
        except BoardRestarted as exc:
            raise DeviceUnreachable(
                f"{self._opener.where} restarted during {call.method}{self._boot.why()}",
                next_step="try again: it is asked again once it is up",
                foreign=self._boot.quotes,
            ) from exc
        except (OSError, EOFError) as exc:
            await self.close()
            why = (isinstance(exc, OSError) and exc.strerror) or str(exc)
            raise DeviceUnreachable(
                f"{self._opener.where} went away during {call.method}: {why}",
                next_step="is the cable in and the board powered? It is found again when it is back",
            ) from exc
        self._in_step = True
        return reply

    async def _get_in_step(self) -> BytePort:
        """Open the port and let boot lines pass; after a lost answer, ask until the device answers what was asked."""
        port = self._port
        opened = self._port is None
        if port is not None and self._in_step:
            return port
        if port is None:
            self._port = port = await self._opener.open(self.timeouts.open_s)
            self._lines = jsonline.LineDecoder()
        await self._drain(port)
        if opened and isinstance(self._address, HostPort):
            return port
        try:
            await self._until_info(port)
        except TimeoutError:
            await self.close()  # a board that came back may need a fresh connection
            raise
        return port

    async def _drain(self, port: BytePort) -> None:
        """Throw away what comes until the line is quiet, or brings only what programs print."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeouts.drain_s
        only_prints = loop.time() + self.timeouts.prints_s
        while loop.time() < min(deadline, only_prints):
            try:
                async with asyncio.timeout(self.timeouts.quiet_s):
                    self._lines.receive(await port.read())
            except TimeoutError:
                break
            while (line := self._next_line()) is not None:
                if self._boot.hear(line) or reply_in(line) is not None:
                    only_prints = loop.time() + self.timeouts.prints_s
        self._lines = jsonline.LineDecoder()

    async def _until_info(self, port: BytePort) -> None:
        """Only an answer to get_info has both a firmware and an uptime: older answers before it are dropped.

        Asked more than once: opening a tty can reset the board, which hears nothing while it boots.
        """
        async with asyncio.timeout(self.timeouts.reply_s):
            while True:
                try:
                    async with asyncio.timeout(self.timeouts.ask_again_s):
                        await port.write(jsonline.GET_INFO)
                        while not (await self._next_reply(port, may_restart=True)).keys() >= _INFO_FIELDS:
                            pass
                        break
                except TimeoutError:
                    continue
        await self._drain(port)  # a late answer could have been one to get_info itself

    async def _next_reply(self, port: BytePort, *, may_restart: bool) -> Mapping[str, object]:
        """The next object with a status; console lines and other noise in between are not replies."""
        while True:
            while (line := self._next_line()) is not None:
                reply = reply_in(line)
                if reply is not None:
                    return reply
                if self._boot.hear(line) and not may_restart:
                    raise BoardRestarted
            self._lines.receive(await port.read())

    def _next_line(self) -> bytes | None:
        while True:
            with contextlib.suppress(ProtocolError):  # a line over the limit was thrown away; those after it are good
                return self._lines.next_line()

    def _timed_out(self, method: str, timeout_s: float) -> DeviceTimeout:
        self._in_step = False
        what = f"{self._opener.where} did not answer {method} within {timeout_s:g} s"
        if self._boot.in_download_mode:
            text = f"{what}: it is in download mode and runs no firmware"
            return DeviceTimeout(text, next_step="press its reset button (RST or EN) without the BOOT button")
        if self._boot.restarts > 1:
            return DeviceTimeout(
                f"{what}: it restarts over and over, {self._boot.restarts} times meanwhile{self._boot.why()}",
                next_step="its firmware crashes or its power is weak: another cable or port, or flash it again",
                foreign=self._boot.quotes,
            )
        if self._boot.restarts == 1:
            text = f"{what}: it has just restarted{self._boot.why()}"
            return DeviceTimeout(text, next_step="try again in a moment", foreign=self._boot.quotes)
        return DeviceTimeout(
            what, next_step="is its exploration firmware running? press its reset button and try again"
        )


def _addresses(reply: Mapping[str, object]) -> I2cAddresses:
    """`addresses` or `devices`, as numbers or as "0x76"."""
    jsonline.raise_for_error(reply)
    found = reply.get("addresses", reply.get("devices"))
    if not isinstance(found, list):
        raise ProtocolError("a reply to i2c_scan without a list of addresses")
    try:
        return I2cAddresses(tuple(sorted({int(str(one), 0) for one in found})))
    except ValueError as exc:
        raise ProtocolError(f"an I2C address in {found!r:.60}") from exc
