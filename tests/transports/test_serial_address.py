"""Addresses of serial ports: what is understood, and what a USB id stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.boards import load_board
from microclaw.devices.calls import DeviceInfo
from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.transports.open import open_transport
from microclaw.transports.serial import SerialTransport
from microclaw.transports.serial_address import PortInfo, TtyPath, UsbId, find_usb_port, parse_port_address

S3 = PortInfo("/dev/ttyACM0", UsbId(0x303A, 0x1001, "F4:12:FA:01:02:03"))
OTHER_S3 = PortInfo("/dev/ttyACM1", UsbId(0x303A, 0x1001, "F4:12:FA:0A:0B:0C"))
BRIDGE = PortInfo("/dev/ttyUSB0", UsbId(0x10C4, 0xEA60, "0001"))
PLAIN = PortInfo("/dev/ttyS0")
PORTS = (S3, OTHER_S3, BRIDGE, PLAIN)


@pytest.mark.parametrize(
    ("typed", "address", "endpoint"),
    [
        ("serial:/dev/ttyUSB0", TtyPath("/dev/ttyUSB0"), "serial:/dev/ttyUSB0"),
        ("/dev/ttyUSB0", TtyPath("/dev/ttyUSB0"), "serial:/dev/ttyUSB0"),
        ("serial:usb-303A:1001:F4:12:FA:01:02:03", S3.usb, "serial:usb-303a:1001:F4:12:FA:01:02:03"),
        ("serial:usb-10c4:EA60", UsbId(0x10C4, 0xEA60), "serial:usb-10c4:ea60"),
    ],
)
def test_address_is_understood_and_written_in_one_way(
    typed: str, address: object, endpoint: str, tmp_path: Path
) -> None:
    assert parse_port_address(typed) == address
    assert SerialTransport(typed, lock_folder=tmp_path).endpoint == endpoint
    assert open_transport(endpoint, load_board("virtual"), lock_folder=tmp_path).endpoint == endpoint


@pytest.mark.parametrize(
    "typed", ["serial:ttyUSB0", "serial:COM3", "serial:usb-303a", "serial:usb-303a:1001:", "serial:usb-x:y"]
)
def test_what_is_no_address_is_refused_with_the_forms(typed: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_port_address(typed)
    assert caught.value.next_step is not None


@pytest.mark.parametrize(
    ("wanted", "device"),
    [
        (UsbId(0x303A, 0x1001, "F4:12:FA:0A:0B:0C"), "/dev/ttyACM1"),
        (UsbId(0x303A, 0x1001, "f4:12:fa:01:02:03"), "/dev/ttyACM0"),
        (UsbId(0x10C4, 0xEA60), "/dev/ttyUSB0"),
    ],
)
def test_usb_id_finds_its_port(wanted: UsbId, device: str) -> None:
    assert find_usb_port(wanted, PORTS) == device


@pytest.mark.parametrize("wanted", [UsbId(0x303A, 0x1001), UsbId(0x1A86, 0x7523)])
def test_usb_id_of_two_ports_or_none_is_refused_with_those_there_are(wanted: UsbId) -> None:
    with pytest.raises(DeviceUnreachable):
        find_usb_port(wanted, PORTS)


async def test_unplugged_usb_id_is_told_at_the_call(tmp_path: Path) -> None:
    transport = SerialTransport("serial:usb-303a:1001:F4", lock_folder=tmp_path, list_ports=lambda: (BRIDGE,))
    with pytest.raises(DeviceUnreachable):
        await transport.call(DeviceInfo(), 5.0)
    await transport.close()
