"""Which port the board is on, and what is said when that is not clear."""

from __future__ import annotations

import errno

import pytest
from tests.flash.conftest import ScriptedPerson

from microclaw.cli.flash_command import find_port
from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.flash.board_port import BoardPort, address_of, describe, explain_open, no_board, usb_boards
from microclaw.transports.serial_address import PortInfo, TtyPath, UsbId

ONE = PortInfo("/dev/ttyACM0", UsbId(0x303A, 0x1001, "F4:12:FA:01:02:03"))
TWO = PortInfo("/dev/ttyACM1", UsbId(0x303A, 0x1001, "F4:12:FA:0A:0B:0C"))
CHEAP = PortInfo("/dev/ttyUSB0", UsbId(0x1A86, 0x7523))
MOUSE = PortInfo("/dev/ttyS9", UsbId(0x046D, 0xC077))


def test_only_usb_chips_of_boards_are_taken_for_boards() -> None:
    assert usb_boards([ONE, MOUSE, PortInfo("/dev/ttyS0"), CHEAP]) == (ONE, CHEAP)


def test_a_board_is_held_by_its_usb_serial_number_and_else_by_its_path() -> None:
    assert address_of(ONE, [ONE, TWO]) == ONE.usb
    assert address_of(CHEAP, [CHEAP]) == TtyPath("/dev/ttyUSB0")
    assert describe(TWO) == "/dev/ttyACM1, Espressif, serial number F4:12:FA:0A:0B:0C"
    assert describe(CHEAP).endswith("without a serial number")


async def test_a_board_that_came_back_under_another_path_is_found() -> None:
    assert ONE.usb is not None
    port = BoardPort(ONE.usb, lambda: [PortInfo("/dev/ttyACM7", ONE.usb), TWO])
    assert await port.path() == "/dev/ttyACM7"


async def test_a_board_with_its_own_usb_is_found_again_once_micropython_runs_on_it() -> None:
    assert ONE.usb is not None
    now = PortInfo("/dev/ttyACM2", UsbId(0x303A, 0x4001, "f412fa010203"))
    assert await BoardPort(ONE.usb, lambda: [TWO, now]).path() == "/dev/ttyACM2"
    assert await BoardPort(ONE.usb, lambda: [ONE, TWO, now]).path() == ONE.device
    with pytest.raises(DeviceUnreachable):
        await BoardPort(ONE.usb, lambda: [TWO]).path()


def test_no_board_says_what_is_there_and_speaks_of_the_cable() -> None:
    error = no_board([MOUSE])
    assert "/dev/ttyS9" in error.message
    assert "only charge" in str(error.next_step)


@pytest.mark.parametrize(
    ("exc", "kind", "said"),
    [
        (PermissionError(errno.EACCES, "no"), ConfigError, "may not open"),
        (OSError(errno.EBUSY, "busy"), DeviceUnreachable, "another program"),
        (OSError(errno.ENOENT, "gone"), DeviceUnreachable, "there is no port"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), DeviceUnreachable, "nobody listens"),
        (OSError(errno.EIO, "io"), DeviceUnreachable, "cannot open"),
    ],
)
def test_a_port_that_does_not_open_says_why(exc: OSError, kind: type[Exception], said: str) -> None:
    found = explain_open(exc, "/dev/ttyUSB0")
    assert isinstance(found, kind)
    assert said in found.message
    assert found.next_step


def test_of_two_boards_of_a_kind_the_person_chooses_by_serial_number() -> None:
    person = ScriptedPerson()
    chosen = find_port(person, None, lambda: [ONE, TWO, MOUSE])
    assert "F4:12:FA:01:02:03" in person.asked[0]
    assert "F4:12:FA:0A:0B:0C" in person.asked[0]
    assert chosen.address == ONE.usb


def test_of_two_boards_a_script_must_name_one() -> None:
    with pytest.raises(ConfigError, match="2 boards are on USB") as failed:
        find_port(ScriptedPerson(asks_nothing=True), None, lambda: [ONE, TWO])
    assert "-p PORT" in str(failed.value.next_step)
