"""Addresses of serial ports: what is understood, and what a USB id stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.boards import load_board
from microclaw.devices.calls import DeviceInfo
from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.transports.open import open_transport
from microclaw.transports.serial import SerialTransport
from microclaw.transports.serial_address import (
    ComName,
    PortInfo,
    TtyPath,
    UsbId,
    find_usb_port,
    list_ports,
    parse_port_address,
    shown_ports,
)

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
        ("serial:com3", ComName("COM3"), "serial:COM3"),
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
    "typed",
    ["serial:ttyUSB0", "serial:COM0", "serial:COM", "serial:usb-303a", "serial:usb-303a:1001:", "serial:usb-x:y"],
)
def test_what_is_no_address_is_refused_with_the_forms(typed: str) -> None:
    with pytest.raises(ConfigError, match="is no serial port") as caught:
        parse_port_address(typed)
    assert caught.value.next_step is not None
    assert "serial:usb-VID:PID:SERIAL" in caught.value.next_step


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


def test_usb_id_of_two_ports_asks_for_the_serial_number() -> None:
    with pytest.raises(DeviceUnreachable, match="2 serial ports have the USB id usb-303a:1001") as caught:
        find_usb_port(UsbId(0x303A, 0x1001), PORTS)
    assert caught.value.next_step is not None
    assert "/dev/ttyACM1 (usb-303a:1001:F4:12:FA:0A:0B:0C)" in caught.value.next_step
    assert "/dev/ttyUSB0" not in caught.value.next_step


def test_usb_id_of_no_port_lists_those_there_are() -> None:
    with pytest.raises(DeviceUnreachable, match="no serial port has the USB id usb-1a86:7523") as caught:
        find_usb_port(UsbId(0x1A86, 0x7523), PORTS)
    assert caught.value.next_step is not None
    assert "/dev/ttyUSB0 (usb-10c4:ea60:0001)" in caught.value.next_step


def test_long_lists_of_ports_are_cut() -> None:
    assert shown_ports(PortInfo(f"/dev/ttyS{n}") for n in range(32)).endswith("/dev/ttyS7 and 24 more")
    assert shown_ports(()) == "this machine shows no serial port"


def test_ports_of_this_machine_are_paths_with_usb_ids_where_they_have_one() -> None:
    for port in list_ports():
        assert port.device
        assert port.usb is None or 0 < port.usb.vid <= 0xFFFF


async def test_unplugged_usb_id_is_told_at_the_call(tmp_path: Path) -> None:
    transport = SerialTransport("serial:usb-303a:1001:F4", lock_folder=tmp_path, list_ports=lambda: (BRIDGE,))
    with pytest.raises(DeviceUnreachable, match="no serial port has the USB id usb-303a:1001:F4"):
        await transport.call(DeviceInfo(), 5.0)
    await transport.close()
