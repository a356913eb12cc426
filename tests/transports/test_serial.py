"""The serial transport: on a real board over TCP and a pty, every dialect, and ports that misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from microclaw.devices.calls import AdcRead, DeviceInfo, DeviceStatus, GpioGet, GpioSet, I2cRead, I2cScan, PwmSet
from microclaw.errors import CallRejected, DeviceLied, DeviceTimeout, DeviceUnreachable, NotSupported, ProtocolError
from microclaw.transports.serial import SerialTimeouts, SerialTransport
from microclaw.virtual_boards.process import VirtualBoardProcess

StartPeer = Callable[..., Awaitable[int]]
Answers = dict[str, list[dict[str, Any]]]

LIMIT_S = 60.0
QUICK = SerialTimeouts(open_s=2.0, reply_s=0.4, quiet_s=0.05, drain_s=0.5)
INFO = {"status": "ok", "device": "d", "firmware": "f", "uptime_ms": 1}


def firmware(answers: Answers, seen: list[dict[str, Any]] | None = None, boot: bytes = b"") -> Callable[..., Any]:
    """A board that answers each action with the next of its replies; none left means silence."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(boot)
        while line := await reader.readline():
            request = json.loads(line)
            if seen is not None:
                seen.append(request)
            for reply in answers.get(request["action"], [])[:1]:
                answers[request["action"]].pop(0)
                writer.write(json.dumps(reply).encode() + b"\n")

    return script


@pytest.fixture
async def connect(start_peer: StartPeer, tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[SerialTransport]]]:
    transports: list[SerialTransport] = []

    async def connect(script: Callable[..., Any]) -> SerialTransport:
        transport = SerialTransport(
            f"serial:tcp://127.0.0.1:{await start_peer(script)}", lock_folder=tmp_path, timeouts=QUICK
        )
        transports.append(transport)
        return transport

    yield connect
    for transport in transports:
        await transport.close()


Connect = Callable[[Callable[..., Any]], Awaitable[SerialTransport]]


async def explore(transport: SerialTransport) -> None:
    """Everything the transport offers, on a virtual board."""
    assert (await transport.call(GpioSet(4, 1), LIMIT_S)).level == 1
    assert (await transport.call(GpioGet(4), LIMIT_S)).level == 1
    assert (await transport.call(AdcRead(1), LIMIT_S)).pin == 1
    pwm = await transport.call(PwmSet(5, 128, 1000), LIMIT_S)
    assert (pwm.duty, pwm.frequency_hz) == (128, 1000)
    climate = await transport.call(I2cRead("bme280"), LIMIT_S)
    assert {"temperature_c", "humidity_pct", "pressure_hpa"} <= climate.values.keys()
    assert (await transport.call(I2cScan(), LIMIT_S)).addresses == (0x40, 0x76)
    assert (await transport.call(DeviceInfo(), LIMIT_S)).values["chip"] == "ESP32-S3"
    assert (await transport.call(DeviceStatus(), LIMIT_S)).values["gpio_4"] == 1
    with pytest.raises(CallRejected) as caught:
        await transport.call(I2cRead("sonar"), LIMIT_S)
    assert caught.value.next_step


async def test_every_method_works_on_a_board_over_tcp(board: VirtualBoardProcess, tmp_path: Path) -> None:
    transport = SerialTransport(f"serial:tcp://127.0.0.1:{board.ready.serial}", lock_folder=tmp_path)
    await explore(transport)
    await transport.close()


async def test_each_request_carries_every_field_in_one_line(connect: Connect) -> None:
    seen: list[dict[str, Any]] = []
    transport = await connect(firmware({"set_pwm": [{"status": "ok", "msg": "PWM set"}]}, seen))
    state = await transport.call(PwmSet(5, 200, 1000), LIMIT_S)
    assert (state.pin, state.duty, state.frequency_hz) == (5, 200, 1000)
    assert seen == [{"action": "set_pwm", "pin": 5, "duty_cycle": 200, "frequency": 1000, "duty": 200, "freq": 1000}]


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ({"status": "ok", "addresses": ["0x76", 64]}, (0x40, 0x76)),
        ({"status": "error", "msg": "Unknown action"}, NotSupported),
        *(({"status": "ok", "addresses": wrong}, ProtocolError) for wrong in (["zz"], [999], [None], "0x76", None)),
    ],
)
async def test_scan_reads_addresses_or_refuses_them(reply: dict[str, Any], found: Any, connect: Connect) -> None:
    transport = await connect(firmware({"custom_i2c_scan": [reply]}))
    if isinstance(found, tuple):
        assert (await transport.call(I2cScan(), LIMIT_S)).addresses == found
        return
    with pytest.raises(found):
        await transport.call(I2cScan(), LIMIT_S)


async def test_answer_about_another_pin_brings_the_transport_back_in_step(connect: Connect) -> None:
    answers: Answers = {
        "read_gpio": [{"status": "ok", "pin": 9, "state": 1}, {"status": "ok", "pin": 4, "state": 1}],
        "get_info": [INFO],
    }
    seen: list[dict[str, Any]] = []
    transport = await connect(firmware(answers, seen))
    with pytest.raises(DeviceLied) as caught:
        await transport.call(GpioGet(4), LIMIT_S)
    assert caught.value.next_step
    assert (await transport.call(GpioGet(4), LIMIT_S)).level == 1
    assert [request["action"] for request in seen] == ["read_gpio", "get_info", "read_gpio"]


async def test_endless_line_is_survived_within_the_time_limit(connect: Connect) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    transport = await connect(script)
    with pytest.raises(DeviceTimeout):
        await transport.call(GpioGet(4), LIMIT_S)


async def test_connection_closed_mid_answer_names_the_port_and_reopens(connect: Connect) -> None:
    connections = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readline()
        writer.write(b'{"status":"ok","pin":4,' if connections == 1 else b'{"status":"ok","pin":4,"state":1}\n')
        if connections > 1:
            await reader.read()

    transport = await connect(script)
    with pytest.raises(DeviceUnreachable) as caught:
        await transport.call(GpioGet(4), LIMIT_S)
    assert caught.value.next_step
    assert (await transport.call(GpioGet(4), LIMIT_S)).level == 1


@pytest.mark.parametrize("what", ["missing", "file"])
async def test_path_that_is_no_port_says_so(what: str, tmp_path: Path) -> None:
    path = tmp_path / "port"
    if what == "file":
        path.write_text("no tty")
    transport = SerialTransport(f"serial:{path}", lock_folder=tmp_path / "locks", timeouts=QUICK)
    with pytest.raises(DeviceUnreachable) as caught:
        await transport.call(DeviceInfo(), LIMIT_S)
    assert caught.value.next_step
