"""`doctor --port`: what is wrong with a board on a cable. It writes nothing, and restarts the board at the end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from microclaw.errors import DeviceTimeout, MicroclawError
from microclaw.flash import wifi
from microclaw.flash.board_files import Survey, our_files, survey
from microclaw.flash.board_port import BoardPort
from microclaw.flash.board_settings import ToldSettings, read_settings
from microclaw.flash.chips import MIN_MICROPYTHON, chip_named
from microclaw.flash.esptool import Esptool
from microclaw.flash.image import IMAGE_MAGIC
from microclaw.flash.raw_repl import RawRepl
from microclaw.text import clean_text

_LOOK_S: Final = 4.0
_SAMPLE_BYTES: Final = 4096
_FLASH_IT: Final = "microclaw flash"


@dataclass(frozen=True, slots=True)
class PortNote:
    """`cause`: why it is no good, in words that name nothing of the person's (flash/report.py); "" where text does."""

    part: str
    ok: bool
    text: str
    next_step: str | None = None
    cause: str = ""


async def diagnose(port: BoardPort, esptool: Esptool, files: Path, *, look_s: float = _LOOK_S) -> list[PortNote]:
    """Every finding in the order in which things are needed; the first that is wrong ends it."""
    notes: list[PortNote] = []
    try:
        async with contextlib.aclosing(_look(port, esptool, files, look_s)) as found:
            async for note in found:
                notes.append(note)
                if not note.ok:
                    break
    except MicroclawError as exc:
        notes.append(PortNote("board", False, exc.message, exc.next_step, exc.code))
    return notes


async def _look(port: BoardPort, esptool: Esptool, files: Path, look_s: float) -> AsyncGenerator[PortNote]:
    answers = False
    try:
        async with port.repl(look_s) as repl:
            await repl.soft_reset()
            answers = True
            found = await survey(repl)
            try:
                async for note in _micropython(repl, found, files):
                    yield note
            finally:
                with contextlib.suppress(MicroclawError):
                    await repl.start("import machine\nmachine.reset()")
        return
    except DeviceTimeout as exc:
        if answers:
            raise
        yield PortNote("port", True, f"it opens; {exc.message}", exc.next_step)
    facts = await esptool.facts()
    chip = chip_named(facts.chip)
    yield PortNote("chip", True, f"{facts.description}, {facts.flash_bytes >> 20} MB flash, MAC {facts.mac}")
    start = await esptool.read(chip.image_start, _SAMPLE_BYTES)
    await esptool.restart()
    if not start.strip(b"\xff"):
        text = "the flash is empty"
        yield PortNote("flash", False, text, _FLASH_IT, text)
    elif start[0] != IMAGE_MAGIC:
        text = f"the flash has no program where an {chip.name} starts one"
        yield PortNote("flash", False, text, _FLASH_IT, text)
    else:
        text = "the flash has a program that does not answer: it is no MicroPython, hangs, or speaks on another socket"
        yield PortNote("flash", False, text, f"try the board's other USB socket, else {_FLASH_IT}", text)


async def _micropython(repl: RawRepl, found: Survey, files: Path) -> AsyncIterator[PortNote]:
    version = ".".join(map(str, found.version))
    machine = clean_text(found.machine, one_line=True)
    is_new = found.version[:2] >= MIN_MICROPYTHON
    oldest = ".".join(map(str, MIN_MICROPYTHON))
    remedy = None if is_new else f"{_FLASH_IT} puts {oldest} or newer on it"
    yield PortNote("firmware", is_new, f"MicroPython {version}, {machine}", remedy, "" if is_new else "too old")
    ours = await our_files(files, with_psram=found.has_psram)
    differ = [file.path for file in ours if found.files.get(file.path) != file.sha256]
    if differ:
        text = f"{len(differ)} of {len(ours)} files are missing or of another version, {differ[0]} among them"
        remedy = f"{_FLASH_IT} copies them; --adopt keeps what else is there"
        yield PortNote("files", False, text, remedy, f"{len(differ)} of {len(ours)} are missing or of another version")
    yield PortNote("files", True, f"all {len(ours)} files are there")
    told = await read_settings(repl)
    host, port = told.values.get("host"), told.values.get("port")  # of the right form, or not there
    if host is None or port is None:
        text = "it was told of no host"
        yield PortNote("host", False, text, f"microclaw up, then {_FLASH_IT}", text)
        return
    state = "paired" if told.has_credential else "not paired yet"
    yield PortNote(
        "host", True, f"{told.name or 'the board'} belongs to {clean_text(host, one_line=True)}:{port}, {state}"
    )
    async for note in _radio(repl, told, host, port):
        yield note


async def _radio(repl: RawRepl, told: ToldSettings, host: str, port: int) -> AsyncIterator[PortNote]:
    known = told.passwords
    if not known:
        text = "it knows no Wi-Fi"
        yield PortNote("wifi", False, text, f"{_FLASH_IT} --wifi SSID", text)
        return
    seen = await wifi.scan(repl)
    ssid = next((network.ssid for network in seen if network.ssid in known), next(iter(known)))
    cause = "the board does not see its Wi-Fi, or cannot join one of that kind"
    try:
        wifi.check_network(ssid, known[ssid], seen)
        cause = "the board does not get into its Wi-Fi: a wrong password, or out of reach"
        address = await wifi.join(repl, ssid, known[ssid])
        rssi = next(network.rssi for network in seen if network.ssid == ssid)
        yield PortNote("wifi", True, f"{clean_text(ssid, one_line=True)}, {rssi} dBm, address {address}")
        cause = "from its Wi-Fi the board does not reach the host"
        await wifi.check_host(repl, host, port)
    except MicroclawError as exc:
        yield PortNote("board", False, exc.message, exc.next_step, cause)
        return
    yield PortNote("link", True, f"from its Wi-Fi the board reaches {clean_text(host, one_line=True)}:{port}")
