"""Addresses become transports, a USB id finds its port, and the lock of an address never outlives its holder."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from microclaw.devices.registry.calls import DeviceInfo
from microclaw.devices.transports.address import AddressLock
from microclaw.devices.transports.open import open_transport
from microclaw.devices.transports.serial import SerialTransport
from microclaw.devices.transports.serial_ports import PortInfo, UsbId, find_usb_port
from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.hardware.boards import load_board

S3 = PortInfo("/dev/ttyACM0", UsbId(0x303A, 0x1001, "F4:12:FA:01:02:03"))
OTHER_S3 = PortInfo("/dev/ttyACM1", UsbId(0x303A, 0x1001, "F4:12:FA:0A:0B:0C"))
BRIDGE = PortInfo("/dev/ttyUSB0", UsbId(0x10C4, 0xEA60, "0001"))
PORTS = (S3, OTHER_S3, BRIDGE, PortInfo("/dev/ttyS0"))


ENDPOINTS = {
    "wasmachine://192.168.1.20": "wasmachine://192.168.1.20:8080",
    "192.168.1.20:8888": "wasmachine://192.168.1.20:8888",
    "wasmachine://[fe80::1%eth0]:8080": "wasmachine://[fe80::1%eth0]:8080",
    "serial:/dev/ttyACM0": "serial:/dev/ttyACM0",
    "serial:tcp://127.0.0.1:5000": "serial:tcp://127.0.0.1:5000",
    "serial:usb-303A:1001:F4:12:FA:01:02:03": "serial:usb-303a:1001:F4:12:FA:01:02:03",
    "virtual:/run/c.sock": "virtual:/run/c.sock",
}
NO_ADDRESSES = (
    "", "http://x", "board:port", "a:0", "a:70000", "a b:1", "xiaozhi:11:22", "serial:ttyUSB0", "serial:COM3",
    "serial:usb-303a", "serial:usb-x:y", "224.0.0.251:8080", "255.255.255.255:8080", "0.0.0.0:8080", "[ff02::1]:8080",
    "999.1.1.1:8080", "-board:8080", "a..b:8080", f"{'a' * 64}:8080",
)  # fmt: skip


def test_each_form_of_address_opens_its_transport_and_what_no_board_has_is_refused(tmp_path: Path) -> None:
    board = load_board("virtual")
    for typed, endpoint in ENDPOINTS.items():
        assert open_transport(typed, board, lock_folder=tmp_path).endpoint == endpoint
    for typed in NO_ADDRESSES:
        with pytest.raises(ConfigError) as caught:
            open_transport(typed, board, lock_folder=tmp_path)
        assert caught.value.next_step, typed


async def test_a_usb_id_finds_its_port_and_that_of_two_ports_or_none_is_refused(tmp_path: Path) -> None:
    assert find_usb_port(UsbId(0x303A, 0x1001, "F4:12:FA:0A:0B:0C"), PORTS) == "/dev/ttyACM1"
    assert find_usb_port(UsbId(0x303A, 0x1001, "f4:12:fa:01:02:03"), PORTS) == "/dev/ttyACM0"
    assert find_usb_port(UsbId(0x10C4, 0xEA60), PORTS) == "/dev/ttyUSB0"
    for wanted in ("usb-303a:1001", "usb-1a86:7523"):
        transport = SerialTransport(f"serial:{wanted}", lock_folder=tmp_path, list_ports=lambda: PORTS)
        with pytest.raises(DeviceUnreachable):
            await transport.call(DeviceInfo(), 5.0)
        await transport.close()


HOLD = """
import asyncio, sys, pathlib
from microclaw.devices.transports.address import AddressLock
lock = AddressLock(pathlib.Path(sys.argv[1]), "wasmachine://h:1")
asyncio.run(lock.acquire(5))
print("held", flush=True)
sys.stdin.read()
"""


async def test_lock_of_another_process_holds_until_that_process_ends(tmp_path: Path) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, str(tmp_path), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    async with asyncio.timeout(60):
        assert await holder.stdout.readline() == b"held\n"
    lock = AddressLock(tmp_path, "wasmachine://h:1")
    with pytest.raises(DeviceUnreachable) as caught:
        await lock.acquire(0.05)
    assert caught.value.next_step
    elsewhere = AddressLock(tmp_path, "wasmachine://h:2")
    await elsewhere.acquire(0.05)
    elsewhere.release()
    holder.kill()
    await holder.wait()
    await lock.acquire(5)
    lock.release()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError):  # a folder that cannot be written is the operator's business
        await AddressLock(tmp_path / "file" / "locks", "a").acquire(0.05)
