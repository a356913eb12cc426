"""Surveys the serial ports of this machine: the boards that their USB ids suggest, and the answers of their firmware.

A port is opened only with `ask`. It writes nothing that a board could take for an order: only an empty line, and the
query of the JSON line protocol.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from microclaw.devices.transports.discovery import DiscoveredService
from microclaw.devices.transports.serial_ports import (
    SCHEME,
    BytePort,
    ListPorts,
    PortInfo,
    PortOpener,
    TtyPath,
    describe_ports,
    list_ports,
)
from microclaw.devices.transports.serial_replies import find_reply
from microclaw.errors import ConfigError, MicroclawError
from microclaw.wire import jsonline

_LISTEN_S: Final = 0.6
# A busy board answers with JSON lines late.
_ANSWER_S: Final = 2.5
_MAX_BYTES: Final = 64 << 10
_MAX_PORTS: Final = 32
_SHOWN_CHARS: Final = 60
_PROMPT: Final = re.compile(rb"(?:^|\n)(?:\x1b\[[0-9;]*m)*([A-Za-z][A-Za-z0-9_ -]{0,30}>)(?:\x1b\[[0-9;]*m)*$")
# Makers' ids: github.com/espressif/usb-pids, and the Linux drivers cdc_acm, ch341, cp210x, ftdi_sio.
_CHIPS: Final[Mapping[tuple[int, int | None], str]] = {
    (0x303A, 0x1001): "an ESP32's own USB port",
    (0x303A, 0x4001): "MicroPython on an ESP32's own USB port",
    (0x303A, None): "Espressif",
    (0x10C4, None): "CP210x, as on many ESP32 boards",
    (0x1A86, 0x7523): "CH340, as on many ESP32 boards",
    (0x1A86, None): "a WCH USB-serial chip, as on many ESP32 boards",
    (0x0403, None): "FTDI, as on some ESP32 boards",
    (0x067B, None): "PL2303, as on some ESP32 boards",
    (0x2E8A, None): "Raspberry Pi",
    (0x2341, None): "Arduino",
}


async def survey_ports(lock_folder: Path, *, ask: bool, ports: ListPorts = list_ports) -> list[DiscoveredService]:
    """List the ports with their facts. With `ask` each is opened, one after the other."""
    services: list[DiscoveredService] = []
    all_ports = tuple(await asyncio.to_thread(ports))
    for port in all_ports[:_MAX_PORTS]:
        facts = {}
        if port.usb is not None:
            facts = {"usb": str(port.usb), "looks like": suggestion(port)}
        if ask:
            facts["answers"] = await _ask(port, lock_folder)
        name = SCHEME + port_name(port, all_ports)
        services.append(DiscoveredService("serial", name, port.device, 0, facts))
    return services


def only_board_port(ports: ListPorts = list_ports) -> str:
    """Return the USB id, or else the path, of the only port of a board. Raises ConfigError if there is not just one."""
    all_ports = tuple(ports())
    matches = board_ports(all_ports)
    if len(matches) == 1:
        return port_name(matches[0], all_ports)
    if matches:
        raise ConfigError(f"{len(matches)} boards are on cables here", next_step=f"name one: {describe_ports(matches)}")
    text = "no port here looks like a board's"
    raise ConfigError(text, next_step=f"plug it in, or name its port: {describe_ports(all_ports)}")


def board_ports(ports: Iterable[PortInfo]) -> list[PortInfo]:
    """Return the ports with a USB chip that ESP32 boards have."""
    return [port for port in ports if "ESP" in suggestion(port).upper()]


def port_name(port: PortInfo, ports: Iterable[PortInfo]) -> str:
    """Return the port's USB id if it has a serial number and is unique, else its path."""
    if port.usb is None or not port.usb.serial:
        return port.device
    same_count = sum(other.usb == port.usb for other in ports)
    return str(port.usb) if same_count == 1 else port.device


def suggestion(port: PortInfo) -> str:
    """Return the kind of board or chip that the USB id suggests."""
    if port.usb is None:
        return "unknown"
    ids = (port.usb.vid, port.usb.pid)
    return _CHIPS.get(ids) or _CHIPS.get((ids[0], None)) or "unknown"


async def _ask(port: PortInfo, lock_folder: Path) -> str:
    """Describe the other end in a few words, or say why the port could not be asked."""
    try:
        opened = await PortOpener(TtyPath(port.device), lock_folder).open()
    except MicroclawError as exc:
        return f"not asked: {exc.message}"
    try:
        return await _who(opened)
    except (OSError, EOFError) as exc:
        return f"the port went away: {exc}"
    finally:
        await opened.close()


async def _who(port: BytePort) -> str:
    # Boot lines and the output of programs come first.
    await _listen(port, _LISTEN_S)
    await port.write(b"\r\n")
    output = (await _listen(port, _LISTEN_S)).rstrip()
    if output.endswith(b">>>"):
        return "MicroPython (its prompt)"
    prompt = _PROMPT.search(output)
    if prompt:
        return f"a console with the prompt {prompt[1].decode()!r}"
    await port.write(jsonline.GET_INFO)
    answer = await _listen(port, _ANSWER_S)
    for line in answer.split(b"\n"):
        reply = find_reply(line)
        if reply is not None and isinstance(reply.get("firmware"), str):
            return f"JSON lines, firmware {str(reply['firmware'])[:_SHOWN_CHARS]}"
    return "nothing: it may run a program that does not listen"


async def _listen(port: BytePort, for_s: float) -> bytes:
    """Return the last 64 KB of the bytes that the port sends within the time."""
    received = bytearray()
    try:
        async with asyncio.timeout(for_s):
            while True:
                received += await port.read()
                del received[:-_MAX_BYTES]
    except TimeoutError:
        return bytes(received)
