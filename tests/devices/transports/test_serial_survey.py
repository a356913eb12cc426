"""Serial ports are listed without being opened, and asked over a real pty when a person wants it."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from microclaw.devices.transports.serial_ports import PortInfo, UsbId
from microclaw.devices.transports.serial_survey import only_board_port, survey_ports
from microclaw.errors import ConfigError


async def test_a_port_that_is_only_listed_is_not_opened(tmp_path: Path) -> None:
    ports = (PortInfo("/nowhere/ttyACM0", UsbId(0x303A, 0x1001, "F4:12")), PortInfo("/nowhere/ttyS0"))
    usb, plain = await survey_ports(tmp_path, ask=False, ports=lambda: ports)
    assert (usb.name, usb.address) == ("serial:usb-303a:1001:F4:12", "/nowhere/ttyACM0")
    assert usb.facts == {"usb": "usb-303a:1001:F4:12", "looks like": "an ESP32's own USB port"}
    assert (plain.name, plain.facts) == ("serial:/nowhere/ttyS0", {})


@pytest.mark.parametrize(("prompt", "said"), [(b">>> ", "MicroPython"), (b"", "nothing")])
async def test_a_prompt_is_known_and_silence_is_told(prompt: bytes, said: str, tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    heard = bytearray()

    def answer() -> None:
        while True:
            try:
                data = os.read(ours, 4096)
            except OSError:
                return
            heard.extend(data)
            if data and b"\n" in data:
                os.write(ours, b"\r\n" + prompt)

    board = threading.Thread(target=answer, daemon=True)
    board.start()
    path = os.ttyname(theirs)
    [found] = await survey_ports(tmp_path, ask=True, ports=lambda: (PortInfo(path),))
    os.close(theirs)
    await asyncio.to_thread(board.join, 30)
    os.close(ours)
    assert found.facts["answers"].startswith(said)
    assert b"\x03" not in heard
    assert b"\x04" not in heard


def test_auto_is_the_one_port_that_looks_like_a_boards() -> None:
    modem = PortInfo("/dev/ttyS0")
    bridge = PortInfo("/dev/ttyUSB0", UsbId(0x10C4, 0xEA60))
    chip = PortInfo("/dev/ttyACM0", UsbId(0x303A, 0x1001, "F4:12"))
    assert only_board_port(lambda: (modem, bridge)) == "/dev/ttyUSB0"
    assert only_board_port(lambda: (modem, chip)) == "usb-303a:1001:F4:12"
    with pytest.raises(ConfigError):
        only_board_port(lambda: (chip, bridge))
    with pytest.raises(ConfigError):
        only_board_port(lambda: (modem,))
