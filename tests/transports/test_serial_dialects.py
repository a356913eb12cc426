"""The serial transport on pseudo-terminals whose other end speaks each dialect, and misbehaves as boards do."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from microclaw.devices.calls import AdcRead, DeviceInfo, DeviceStatus, GpioGet, GpioSet, I2cRead, PwmSet
from microclaw.errors import CallRejected, DeviceTimeout, DeviceUnreachable
from microclaw.transports.serial import SerialTimeouts, SerialTransport
from microclaw.transports.serial_address import PortInfo, UsbId

LIMIT_S = 60.0
QUICK = SerialTimeouts(open_s=1.0, reply_s=1.0, quiet_s=0.05, ask_again_s=0.25, drain_s=0.5)
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
        self.heard: list[Request] = []
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
            self.heard.append(request)
            self._hear(self, request)
            if self._master < 0:
                return


@contextmanager
def plugged_in(hear: Hear) -> Iterator[Board]:
    board = Board(hear)
    try:
        yield board
    finally:
        board.close()


@pytest.fixture
def plug_in() -> Iterator[Callable[[Hear], Board]]:
    with ExitStack() as stack:
        yield lambda hear: stack.enter_context(plugged_in(hear))


PlugIn = Callable[[Hear], Board]


def talk_to(board: Board, folder: Path, timeouts: SerialTimeouts = QUICK) -> SerialTransport:
    return SerialTransport(f"serial:{board.path}", lock_folder=folder, timeouts=timeouts)


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
            duty, frequency = request["duty_cycle"], request["frequency"]
            return {"status": "ok", "msg": "PWM set", "pin": request["pin"], "duty_cycle": duty, "frequency": frequency}
        case "read_i2c" if request["sensor"] == "ina219":
            return {"status": "ok", "sensor": "ina219", "data": INA219}
        case "read_i2c":
            return {"status": "error", "msg": f"Unknown sensor: {request['sensor']}"}
        case "read_sensors":
            return {"status": "ok", "sensors": {"ina219": INA219, "system": {"uptime_s": 5, "cpu_temp_c": 41.0}}}
        case action:
            return {"status": "error", "msg": f"Unknown action: {action}"}


def dialect_b(request: Request) -> Reply:
    """The flight controller's: as A, with figures of its own in get_info."""
    reply = dialect_a(request)
    return {**reply, "device": "fc", "armed": False} if request["action"] == "get_info" else reply


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


def dialect_v(request: Request) -> Reply:
    """The project's virtual device: as A, a reading nested and with the uptime of a simulation."""
    reply = dialect_a(request)
    return {**reply, "simulated": True} if request["action"] == "get_info" else reply


DIALECTS = [dialect_a, dialect_b, dialect_c, dialect_v]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.__name__)
async def test_every_call_works_on_every_dialect_after_a_reset_on_open(
    dialect: Callable[[Request], Reply], plug_in: PlugIn, tmp_path: Path
) -> None:
    def hear(board: Board, request: Request) -> None:
        if len(board.heard) == 1:  # opening the port reset the board: it boots now, and has heard nothing
            board.say(ROM + BOOT_JSON)
            return
        board.answer(dialect(request))

    board = plug_in(hear)
    transport = talk_to(board, tmp_path)
    assert (await transport.call(GpioSet(4, 1), LIMIT_S)).level == 1
    assert (await transport.call(GpioGet(4), LIMIT_S)).level == 1
    assert (await transport.call(AdcRead(1), LIMIT_S)).volts == 1.65
    pwm = await transport.call(PwmSet(5, 128, 1000), LIMIT_S)
    assert (pwm.pin, pwm.duty, pwm.frequency_hz) == (5, 128, 1000)
    assert dict((await transport.call(I2cRead("ina219"), LIMIT_S)).values) == INA219
    with pytest.raises(CallRejected):
        await transport.call(I2cRead("sonar"), LIMIT_S)
    assert (await transport.call(DeviceInfo(), LIMIT_S)).values["firmware"] == "1.0.0"
    status = (await transport.call(DeviceStatus(), LIMIT_S)).values
    assert status["sensors_active"] == "ina219"
    assert (status.get("gpio_4") == 1) == (dialect is dialect_c)
    await transport.close()
    assert all("pin" in request for request in board.heard if request["action"].endswith(("gpio", "adc", "pwm")))


async def test_boot_line_is_not_taken_for_gpio_set(plug_in: PlugIn, tmp_path: Path) -> None:
    """A board without ROM output restarts instead of answering, in the dialect that repeats neither pin nor state."""

    def hear(board: Board, request: Request) -> None:
        if request["action"] == "set_gpio":
            board.say(BOOT_JSON)
        else:
            board.answer(dialect_c(request))

    transport = talk_to(plug_in(hear), tmp_path)
    with pytest.raises(DeviceTimeout):
        await transport.call(GpioSet(4, 1), LIMIT_S)
    await transport.close()


async def test_restart_instead_of_an_answer_is_told_at_once_and_the_next_call_works(
    plug_in: PlugIn, tmp_path: Path
) -> None:
    restarted = False

    def hear(board: Board, request: Request) -> None:
        nonlocal restarted
        if request["action"] == "read_gpio" and not restarted:
            restarted = True
            board.say(ROM + BOOT_JSON)
        else:
            board.answer(dialect_a(request))

    board = plug_in(hear)
    transport = talk_to(board, tmp_path)
    with pytest.raises(DeviceUnreachable):
        await transport.call(GpioGet(4), LIMIT_S)
    assert (await transport.call(GpioGet(4), LIMIT_S)).level == 1
    await transport.close()


async def test_boot_loop_is_called_so_with_its_cause(plug_in: PlugIn, tmp_path: Path) -> None:
    crash = b"Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.\r\n" + ROM

    board = plug_in(lambda board, request: board.say(crash))
    transport = talk_to(board, tmp_path)
    with pytest.raises(DeviceTimeout) as caught:
        await transport.call(GpioGet(4), LIMIT_S)
    assert caught.value.next_step
    await transport.close()


async def test_late_answer_is_dropped_before_the_next_question(plug_in: PlugIn, tmp_path: Path) -> None:
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

    transport = talk_to(plug_in(hear), tmp_path)
    with pytest.raises(DeviceTimeout):
        await transport.call(GpioGet(4), LIMIT_S)
    assert (await transport.call(GpioGet(4), LIMIT_S)).level == 1
    await transport.close()


async def test_board_unplugged_mid_request_names_port_and_usb_id_and_is_found_again(
    plug_in: PlugIn, tmp_path: Path
) -> None:
    def hear(board: Board, request: Request) -> None:
        if request["action"] == "read_gpio":
            board.unplug()
        else:
            board.answer(dialect_a(request))

    first, second = plug_in(hear), plug_in(lambda board, request: board.answer(dialect_a(request)))
    usb = UsbId(0x303A, 0x1001, "F4:12:FA:01:02:03")
    ports = [PortInfo(first.path, usb)]
    transport = SerialTransport(f"serial:{usb}", lock_folder=tmp_path, timeouts=QUICK, list_ports=lambda: tuple(ports))
    with pytest.raises(DeviceUnreachable) as caught:
        await transport.call(GpioGet(4), LIMIT_S)
    assert caught.value.next_step
    ports[:] = [PortInfo(second.path, usb)]  # plugged in again, the system gave it another path
    assert (await transport.call(GpioGet(4), LIMIT_S)).level == 1
    await transport.close()
