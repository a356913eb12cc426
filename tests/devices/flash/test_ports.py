"""The port that the board is on, and the error when it does not open."""

from __future__ import annotations

import pytest
from tests.devices.flash.conftest import ScriptedPerson

from microclaw.devices.flash.board_port import BoardPort
from microclaw.devices.transports.serial_ports import PortInfo, UsbId
from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.interfaces.cli.flash_command import find_port

ROM = UsbId(0x303A, 0x1001, "F4:12:FA:01:02:03")
ONE = PortInfo("/dev/ttyACM0", ROM)
TWO = PortInfo("/dev/ttyACM1", UsbId(0x303A, 0x1001, "F4:12:FA:0A:0B:0C"))
RUNS = PortInfo("/dev/ttyACM2", UsbId(0x303A, 0x4001, "f412fa010203"))
PICO = PortInfo("/dev/ttyACM3", UsbId(0x2E8A, 0x0005, "E66"))
MOUSE = PortInfo("/dev/ttyS9", UsbId(0x046D, 0xC077))


@pytest.mark.parametrize(
    ("there", "path"),
    [
        ([PortInfo("/dev/ttyACM7", ROM), TWO], "/dev/ttyACM7"),
        ([TWO, RUNS], RUNS.device),
        ([TWO], None),
    ],
)
async def test_a_board_is_found_again_after_each_reset_by_its_serial_number(
    there: list[PortInfo], path: str | None
) -> None:
    """Also once MicroPython runs on it, which makes another USB product of it."""
    port = BoardPort(ROM, lambda: there)
    if path is not None:
        assert await port.path() == path
        return
    with pytest.raises(DeviceUnreachable):
        await port.path()


def test_of_two_boards_the_person_chooses_by_serial_number_and_a_script_names_one() -> None:
    person = ScriptedPerson()
    assert find_port(person, None, lambda: [ONE, TWO, MOUSE]).address == ROM
    assert "F4:12:FA:01:02:03" in person.asked[0]
    with pytest.raises(ConfigError):
        find_port(ScriptedPerson(asks_nothing=True), None, lambda: [ONE, TWO])
    with pytest.raises(DeviceUnreachable):
        find_port(person, None, lambda: [MOUSE, PICO])
