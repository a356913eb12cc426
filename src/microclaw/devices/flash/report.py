"""`doctor --port` and `doctor --report --port`: a board on a cable. It writes nothing, and restarts it at the end.

A note's text says what is wrong. Its `cause`, and `board`, are for a text that the owner shows to others: each of their
values is built from a number, a digest or a checked word. Texts of the board or of an error are never in them, so that
no network name, address, token or password can be.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from msgspec import Struct, field

from microclaw.devices.flash import wifi
from microclaw.devices.flash.board_files import BoardFile, Survey, our_files, survey
from microclaw.devices.flash.board_port import BoardPort
from microclaw.devices.flash.board_settings import PreviousSettings, networks_of, read_settings
from microclaw.devices.flash.esptool import Esptool
from microclaw.devices.flash.images import OLDEST, chip_named
from microclaw.devices.flash.raw_repl import RawRepl
from microclaw.errors import DeviceTimeout, MicroclawError
from microclaw.findings import Finding
from microclaw.text import clean_text
from microclaw.wire.esp32_image import IMAGE_MAGIC

MAX_SHOWN: Final = 1 << 40
"""The largest number of a board that is shown: more than any board's bytes, or the milliseconds of 30 years."""
_LOOK_S: Final = 4.0
_SAMPLE_BYTES: Final = 4096
_FLASH_IT: Final = "microclaw flash"
_WORDS: Final = re.compile(r"[A-Za-z0-9 ._+()-]{1,60}")
_MAC: Final = re.compile(r"(?:[0-9a-f]{2}:?){6}")
_MORE: Final = """\
import gc,json
gc.collect()
r={'gc_free':gc.mem_free()}
try:
    import esp32
    h=esp32.idf_heap_info(esp32.HEAP_DATA)
    r['idf_free']=sum([x[1] for x in h])
    r['idf_largest']=max([x[2] for x in h])
except (ImportError,AttributeError):pass
try:
    import machine
    from binascii import hexlify
    r['mac']=hexlify(machine.unique_id()).decode()
except AttributeError:pass
print(json.dumps(r))
"""
Facts: TypeAlias = dict[str, Any]


class PortNote(Finding, frozen=True):
    """A finding at the port. `cause`: why it is a problem, in words without personal data."""

    cause: str = ""


class CableReport(Struct):
    """The report about a board at a cable.

    `notes` are in the order in which a board needs the parts, up to the first problem. `name` is the device name in the
    board's settings: it finds the board at the host, and is not for the report.
    """

    notes: list[PortNote] = field(default_factory=list)
    name: str | None = None
    board: Facts = field(default_factory=dict)


class _Problem(Exception):
    def __init__(self, part: str, text: str, remedy: str = _FLASH_IT, cause: str = "") -> None:
        self.note = PortNote(part, ok=False, text=text, next_step=remedy, cause=cause or text)


async def report_by_cable(port: BoardPort, esptool: Esptool, files: Path, *, look_s: float = _LOOK_S) -> CableReport:
    """Report everything that the cable shows."""
    report = CableReport()
    try:
        await _look(port, esptool, files, look_s, report)
    except _Problem as exc:
        report.notes.append(exc.note)
    except MicroclawError as exc:
        note = PortNote("board", ok=False, text=exc.message, next_step=exc.next_step, cause=exc.code)
        report.notes.append(note)
    return report


def masked_mac(mac: object) -> str:
    """Return only the maker's half of a MAC address."""
    text = str(mac).replace(":", "")
    if _MAC.fullmatch(str(mac)):
        return f"{text[:2]}:{text[2:4]}:{text[4:6]}:xx:xx:xx"
    return "unknown"


def plain_words(value: object) -> str:
    """Return a short text of plain words, or a whole number in range; "(not shown)" for anything else."""
    number = shown_number(value)
    if isinstance(value, str):
        text = value
    elif number is None:
        text = ""
    else:
        text = str(number)
    return text if _WORDS.fullmatch(text) else "(not shown)"


def shown_number(value: object, low: int = 0) -> int | None:
    """Return a whole number in the range of a board's memory or clock; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= MAX_SHOWN:
        # Also NaN: it is in no range.
        return None
    return round(value)


async def _look(port: BoardPort, esptool: Esptool, files: Path, look_s: float, report: CableReport) -> None:
    answers = False
    try:
        async with port.repl(look_s) as repl:
            await repl.soft_reset()
            answers = True
            try:
                on_board = await survey(repl)
                ours = await our_files(files, with_psram=on_board.has_psram)
                settings = await read_settings(repl)
                await _note_facts(repl, on_board, ours, settings, report)
                _note_files(on_board, ours, report.notes)
                await _note_network(repl, settings, report.notes)
            finally:
                with contextlib.suppress(MicroclawError):
                    await repl.start("import machine\nmachine.reset()")
    except DeviceTimeout as exc:
        if answers:
            raise
        note = PortNote("port", ok=True, text=f"it opens; {exc.message}", next_step=exc.next_step)
        report.notes.append(note)
        await _note_chip(esptool, report)


async def _note_chip(esptool: Esptool, report: CableReport) -> None:
    """Note the chip of a board on which no MicroPython answers, then raise the problem."""
    facts = await esptool.facts()
    chip = chip_named(facts.chip)
    psram = "none"
    if facts.psram_bytes:
        psram = f"{facts.psram_bytes >> 20} MB"
    report.board = {
        "chip": plain_words(facts.description),
        "flash": f"{facts.flash_bytes >> 20} MB",
        "psram": f"{psram} in the package",
        "mac": masked_mac(facts.mac),
        "image": "no MicroPython answers",
    }
    text = f"{facts.description}, {facts.flash_bytes >> 20} MB flash, MAC {facts.mac}"
    report.notes.append(PortNote("chip", ok=True, text=text))
    start = await esptool.read(chip.image_start, _SAMPLE_BYTES)
    await esptool.restart()
    if not start.strip(b"\xff"):
        raise _Problem("flash", "the flash is empty")
    if start[:1] != IMAGE_MAGIC:
        raise _Problem("flash", f"the flash has no program at the address where an {chip.name} starts")
    remedy = f"try the board's other USB socket, else {_FLASH_IT}"
    raise _Problem("flash", "the flash has a program that does not answer", remedy)


async def _note_facts(
    repl: RawRepl, on_board: Survey, ours: Sequence[BoardFile], settings: PreviousSettings, report: CableReport
) -> None:
    report.name = settings.name
    report.board = {
        "chip": plain_words(on_board.facts.machine.rpartition(" with ")[2] or "unknown"),
        "psram": "in use" if on_board.has_psram else "none in use",
        "image": f"MicroPython {on_board.micropython}, {plain_words(on_board.facts.machine)}",
        "files": f"{len(ours) - _count_different(on_board, ours)} of {len(ours)} are this version's",
        "profile": settings.board_id or "unknown",
    }
    facts, *_ = await repl.rows(_MORE, Facts, "its memory") or [{}]
    for name in ("gc_free", "idf_free", "idf_largest"):
        if name in facts:
            report.board[name] = plain_words(facts[name])
    report.board["mac"] = masked_mac(facts.get("mac"))


def _count_different(on_board: Survey, ours: Sequence[BoardFile]) -> int:
    """Count our files that the board has not, or has in another version."""
    return sum(on_board.files.get(file.path) != file.sha256 for file in ours)


def _note_files(on_board: Survey, ours: Sequence[BoardFile], notes: list[PortNote]) -> None:
    text = f"MicroPython {on_board.micropython}, {clean_text(on_board.facts.machine, one_line=True)}"
    if on_board.is_too_old:
        raise _Problem("firmware", text, f"{_FLASH_IT} puts {OLDEST} or newer on it", "too old")
    notes.append(PortNote("firmware", ok=True, text=text))
    count = _count_different(on_board, ours)
    if count:
        raise _Problem("files", f"{count} of {len(ours)} are missing or of another version", f"{_FLASH_IT} --adopt")
    notes.append(PortNote("files", ok=True, text=f"all {len(ours)} files are there"))


async def _note_network(repl: RawRepl, settings: PreviousSettings, notes: list[PortNote]) -> None:
    # `read_settings` has checked their form.
    host = settings.values.get("host")
    port = settings.values.get("port")
    if host is None or port is None:
        raise _Problem("host", "its settings name no host", f"microclaw up, then {_FLASH_IT}")
    state = "paired" if settings.has_credential else "not paired yet"
    text = f"{settings.name or 'the board'} belongs to {host}:{port}, {state}"
    notes.append(PortNote("host", ok=True, text=text))
    passwords = networks_of(settings.values)
    if not passwords:
        raise _Problem("wifi", "its settings have no Wi-Fi", f"{_FLASH_IT} --wifi SSID")
    networks = await wifi.scan(repl)
    visible = [ssid for ssid in networks if ssid in passwords]
    ssid = (visible or list(passwords))[0]
    cause = "the board does not see its Wi-Fi, or cannot join one of that kind"
    try:
        wifi.check_network(ssid, passwords[ssid], networks)
        cause = "the board does not get into its Wi-Fi: a wrong password, or out of reach"
        address = await wifi.join(repl, ssid, passwords[ssid])
        text = f"{clean_text(ssid, one_line=True)}, {networks[ssid].dbm} dBm, address {address}"
        notes.append(PortNote("wifi", ok=True, text=text))
        cause = "from its Wi-Fi the board does not reach the host"
        await wifi.check_host(repl, host, port)
    except MicroclawError as exc:
        raise _Problem("board", exc.message, exc.next_step or _FLASH_IT, cause) from exc
    notes.append(PortNote("link", ok=True, text=f"from its Wi-Fi the board reaches {host}:{port}"))
