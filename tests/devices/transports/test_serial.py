"""The serial transport: on a virtual board over TCP, and on ptys whose other end speaks each dialect or misbehaves."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.devices.transports.conftest import StartPeer

from microclaw.devices.registry.answer_check import check_answer
from microclaw.devices.registry.calls import (
    AdcRead,
    DeviceInfo,
    DeviceStatusRead,
    GpioGet,
    GpioSet,
    I2cRead,
    I2cScan,
    PwmSet,
)
from microclaw.devices.transports.serial import SerialTimeouts, SerialTransport
from microclaw.devices.transports.serial_ports import PortInfo, UsbId
from microclaw.devices.virtual_boards.process import VirtualBoardProcess
from microclaw.errors import CallRejected, DeviceLied, DeviceTimeout, DeviceUnreachable

LIMIT_S = 60.0
QUICK = SerialTimeouts(open_s=20.0, reply_s=20.0, quiet_s=0.05, ask_again_s=0.25, drain_s=0.5)
GIVES_UP_S = 1.0
INA219 = {"voltage_v": 3.3, "current_ma": 50.0, "power_mw": 165.0}
ROM = (
    b"\xf0\x80\x00ESP-ROM:esp32s3-20210327\r\nBuild:Mar 27 2021\r\n"
    b"rst:0x1 (POWERON_RESET),boot:0x8 (SPI_FAST_FLASH_BOOT)\r\n"
    b"I (24) boot: ESP-IDF v5.3\r\n"
)
BOOT_JSON = (
    b'{"status":"ok","msg":"booting"}\n'
    b'{"status":"ok","msg":"bme280 found","address":118}\n'
    b'{"status":"ok","msg":"ready"}\n'
)

Request: TypeAlias = dict[str, Any]
Reply: TypeAlias = dict[str, Any]
Hear: TypeAlias = Callable[["Board", Request], None]


class Board:
    """The other end of a pty: what it hears goes to `hear`, line by line."""

    def __init__(self, hear: Hear) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._hear = hear
        self._partial = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._master, self._read)

    def say(self, data: bytes) -> None:
        os.write(self._master, data)

    def answer(self, reply: Reply) -> None:
        self.say(json.dumps(reply).encode() + b"\n")

    def unplug(self) -> None:
        self._loop.remove_reader(self._master)
        os.close(self._master)
        self._master = -1

    def close(self) -> None:
        if self._master >= 0:
            self.unplug()
        os.close(self._slave)

    def _read(self) -> None:
        *lines, self._partial = (self._partial + os.read(self._master, 4096)).split(b"\n")
        for line in lines:
            request = json.loads(line)
            self._hear(self, request)
            if self._master < 0:
                return


PlugIn: TypeAlias = Callable[[Hear], Board]
Connect: TypeAlias = Callable[[Hear], SerialTransport]


@pytest.fixture
async def plug_in() -> AsyncIterator[PlugIn]:
    with ExitStack() as stack:
        yield lambda hear: stack.enter_context(closing(Board(hear)))


@pytest.fixture
async def connect(plug_in: PlugIn, tmp_path: Path) -> AsyncIterator[Connect]:
    """A transport to a board that hears so."""
    made: list[SerialTransport] = []

    def connect(hear: Hear) -> SerialTransport:
        made.append(SerialTransport(f"serial:{plug_in(hear).path}", lock_folder=tmp_path, timeouts=QUICK))
        return made[-1]

    yield connect
    for transport in made:
        await transport.close()


def dialect_a(request: Request) -> Reply:
    """The tutorial's firmware; a missing pin is GPIO 0."""
    match request["action"]:
        case "get_info":
            facts = {"uptime_s": 5, "chip": "ESP32-S3", "cpu_freq_mhz": 240, "flash_size_mb": 8, "free_heap_kb": 280}
            return {"status": "ok", "device": "esp32", "firmware": "1.0.0", "uptime_ms": 5000, **facts}
        case "set_gpio":
            return {"status": "ok", "msg": "GPIO set", "pin": request.get("pin", 0), "state": request["state"]}
        case "read_gpio":
            return {"status": "ok", "pin": request.get("pin", 0), "state": 1}
        case "read_adc":
            return {"status": "ok", "pin": request["pin"], "value": 2048, "voltage": 1.65}
        case "set_pwm":
            duty = request["duty_cycle"]
            frequency = request["frequency"]
            return {"status": "ok", "msg": "PWM set", "pin": request["pin"], "duty_cycle": duty, "frequency": frequency}
        case "read_i2c" if request["sensor"] == "ina219":
            return {"status": "ok", "sensor": "ina219", "data": INA219}
        case "read_i2c":
            return {"status": "error", "msg": f"Unknown sensor: {request['sensor']}"}
        case "read_sensors":
            return {"status": "ok", "sensors": {"ina219": INA219, "system": {"uptime_s": 5, "cpu_temp_c": 41.0}}}
        case action:
            return {"status": "error", "msg": f"Unknown action: {action}"}


def dialect_c(request: Request) -> Reply:
    """The dialect of the skill text: set answers say no pin, readings lie flat, PWM by `duty` and `freq`."""
    match request["action"]:
        case "get_info":
            return {"status": "ok", "device": "esp32", "firmware": "1.0.0", "uptime_ms": 5000, "free_heap": 286720}
        case "get_status":
            return {"status": "ok", "connected": True, "sensors_active": ["ina219"], "gpio_states": {"4": 1}}
        case "set_gpio":
            return {"status": "ok", "msg": "GPIO set"}
        case "set_pwm":
            return {"status": "ok", "msg": f"PWM set to {request['duty']} at {request['freq']}"}
        case "read_i2c" if request["sensor"] == "ina219":
            return {"status": "ok", **INA219}
        case _:
            return dialect_a(request)


@pytest.mark.parametrize("dialect", [dialect_a, dialect_c], ids=lambda dialect: dialect.__name__)
async def test_every_call_works_on_every_dialect_after_a_reset_on_open(
    dialect: Callable[[Request], Reply], connect: Connect
) -> None:
    heard: list[Request] = []

    def hear(board: Board, request: Request) -> None:
        heard.append(request)
        # Opening the port reset the board: it boots now, and has heard nothing.
        board.say(ROM + BOOT_JSON) if len(heard) == 1 else board.answer(dialect(request))

    transport = connect(hear)
    assert (await transport.call(GpioSet(4, 1), LIMIT_S)).level == 1
    assert (await transport.call(GpioGet(4), LIMIT_S)).level == 1
    assert (await transport.call(AdcRead(1), LIMIT_S)).volts == 1.65
    pwm = await transport.call(PwmSet(5, 128, 1000), LIMIT_S)
    assert (pwm.pin, pwm.duty, pwm.frequency_hz) == (5, 128, 1000)
    assert dict((await transport.call(I2cRead("ina219"), LIMIT_S)).values) == INA219
    with pytest.raises(CallRejected):
        await transport.call(I2cRead("sonar"), LIMIT_S)
    assert (await transport.call(DeviceInfo(), LIMIT_S)).values["firmware"] == "1.0.0"
    status = (await transport.call(DeviceStatusRead(), LIMIT_S)).values
    assert status["sensors_active"] == "ina219"
    assert (status.get("gpio_4") == 1) == (dialect is dialect_c)
    assert all("pin" in request for request in heard if request["action"].endswith(("gpio", "adc", "pwm")))


async def test_every_method_works_on_a_board_over_tcp(board: VirtualBoardProcess, tmp_path: Path) -> None:
    transport = SerialTransport(f"serial:tcp://127.0.0.1:{board.ready.serial}", lock_folder=tmp_path)
    assert (await transport.call(GpioSet(4, 1), LIMIT_S)).level == 1
    assert (await transport.call(GpioGet(4), LIMIT_S)).level == 1
    assert (await transport.call(AdcRead(1), LIMIT_S)).pin == 1
    climate = await transport.call(I2cRead("bme280"), LIMIT_S)
    assert {"temperature_c", "humidity_pct", "pressure_hpa"} <= climate.values.keys()
    assert (await transport.call(I2cScan(), LIMIT_S)).addresses == (0x40, 0x76)
    assert (await transport.call(DeviceInfo(), LIMIT_S)).values["chip"] == "ESP32-S3"
    await transport.close()


def once(first: Hear, then: Callable[[Request], Reply] = dialect_a) -> Hear:
    """A board that hears the first read or setting of a pin so, and answers all the rest."""
    left = [first]

    def hear(board: Board, request: Request) -> None:
        if left and request["action"] != "get_info":
            left.pop()(board, request)
        else:
            board.answer(then(request))

    return hear


# The first call: how it goes, and its error. A set's answer in dialect C repeats neither pin nor state.
BAD: dict[str, tuple[Any, Hear, type[Exception]]] = {
    "another pin": (GpioGet(4), lambda board, _: board.answer({"status": "ok", "pin": 9, "state": 1}), DeviceLied),
    "the board restarts instead": (GpioGet(4), lambda board, _: board.say(ROM + BOOT_JSON), DeviceUnreachable),
    "it restarts without the ROM's lines": (GpioSet(4, 1), lambda board, _: board.say(BOOT_JSON), DeviceTimeout),
}


@pytest.mark.parametrize("name", BAD)
async def test_after_a_call_that_went_wrong_the_next_one_has_its_own_answer(name: str, connect: Connect) -> None:
    call, bad, error = BAD[name]
    transport = connect(once(bad, dialect_c))
    await transport.call(DeviceInfo(), LIMIT_S)  # in step: the next line that it hears is the call's
    with pytest.raises(error):
        check_answer("lamp", call, await transport.call(call, GIVES_UP_S if error is DeviceTimeout else LIMIT_S))
    assert (await transport.call(GpioGet(4), LIMIT_S)).level == 1


async def test_late_answer_is_dropped_before_the_next_question(connect: Connect) -> None:
    asked = 0

    def hear(board: Board, request: Request) -> None:
        nonlocal asked
        if request["action"] == "get_info":
            if asked == 1:
                board.answer({"status": "ok", "pin": 4, "state": 0})  # of the question that was given up
            board.answer(dialect_a(request))
        else:
            asked += 1
            if asked > 1:
                board.answer(dialect_a(request))

    transport = connect(hear)
    await transport.call(DeviceInfo(), LIMIT_S)
    with pytest.raises(DeviceTimeout):
        await transport.call(GpioGet(4), GIVES_UP_S)
    assert (await transport.call(GpioGet(4), LIMIT_S)).level == 1


async def test_board_unplugged_mid_request_names_port_and_usb_id_and_is_found_again(
    plug_in: PlugIn, tmp_path: Path
) -> None:
    def hear(board: Board, request: Request) -> None:
        if request["action"] == "read_gpio":
            board.unplug()
        else:
            board.answer(dialect_a(request))

    first = plug_in(hear)
    second = plug_in(lambda board, request: board.answer(dialect_a(request)))
    usb = UsbId(0x303A, 0x1001, "F4:12:FA:01:02:03")
    ports = [PortInfo(first.path, usb)]
    transport = SerialTransport(f"serial:{usb}", lock_folder=tmp_path, timeouts=QUICK, list_ports=lambda: tuple(ports))
    with pytest.raises(DeviceUnreachable) as caught:
        await transport.call(GpioGet(4), LIMIT_S)
    assert caught.value.next_step
    ports[:] = [PortInfo(second.path, usb)]  # plugged in again, the system gave it another path
    assert (await transport.call(GpioGet(4), LIMIT_S)).level == 1
    await transport.close()


async def test_endless_line_is_survived_within_the_time_limit(start_peer: StartPeer, tmp_path: Path) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    endpoint = f"serial:tcp://127.0.0.1:{await start_peer(script)}"
    transport = SerialTransport(endpoint, lock_folder=tmp_path, timeouts=QUICK)
    with pytest.raises(DeviceTimeout):
        await transport.call(GpioGet(4), GIVES_UP_S)
    await transport.close()
