"""`doctor --report --port`: what a board on a cable is, for a text that its owner shows to others.

Each value is built from a number, a digest or a checked word. No text of the board or of an error passes, so that no
name of a network, address, token or password can. It writes nothing, and restarts the board at the end.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from microclaw.boards.pins import check_pin
from microclaw.boards.reader import load_board
from microclaw.errors import DeviceTimeout, MicroclawError, PinRefused
from microclaw.flash.board_answers import MAX_BYTES, nonsense, read_rows, short_text, whole
from microclaw.flash.board_files import FOLDER, WHOLE_PATH, Survey, our_files, survey
from microclaw.flash.board_port import BoardPort
from microclaw.flash.board_settings import read_settings
from microclaw.flash.diagnosis import diagnose
from microclaw.flash.esptool import Esptool
from microclaw.flash.raw_repl import RawRepl
from microclaw.text import program_name
from microclaw.validation import read_json

TIMED_CALLS: Final = 5
MAX_PROGRAMS: Final = 32
MAX_SHOWN: Final = 1 << 40
"""The largest number of a board that is shown: more than any has of bytes, or of milliseconds in 30 years."""
_MAX_LEVELS: Final = 4
_MAX_GEN: Final = 1 << 31
_MAX_RECORD_CHARS: Final = 2048
_MAC: Final = re.compile(r"[0-9a-f]{12}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_WORDS: Final = re.compile(r"[A-Za-z0-9 ._+()-]{1,60}")
_MEMORY: Final = """\
import gc,json
gc.collect()
r={'gc_free':gc.mem_free(),'gc_used':gc.mem_alloc()}
try:
    import esp32
    h=esp32.idf_heap_info(esp32.HEAP_DATA)
    r['idf_free']=sum([x[1] for x in h])
    r['idf_largest']=max([x[2] for x in h])
except (ImportError,AttributeError):pass
try:
    import esp
    r['flash']=esp.flash_size()
except ImportError:pass
try:
    import machine
    from binascii import hexlify
    r['mac']=hexlify(machine.unique_id()).decode()
except AttributeError:pass
print(json.dumps(r))
"""
_PROGRAMS: Final = """\
import os,json
def t(p):
    try:
        with open(p) as f:return f.read(2048)
    except OSError:return ''
try:l=os.listdir('/apps')
except OSError:l=[]
for n in l[:40]:
    if n[0]!='=':print(json.dumps([t('/apps/'+n+'/r0'),t('/apps/'+n+'/r1')]))
"""
_TRY_PIN: Final = """\
from machine import Pin
p=Pin(NUMBER,Pin.OUT)
for v in (1,0):
    p.value(v)
    print(p.value())
Pin(NUMBER,Pin.IN)
"""


@dataclass(frozen=True, slots=True)
class Check:
    """`outcome`: ok, problem, or why it was not tried. Only words of ours, and numbers."""

    part: str
    outcome: str


@dataclass(slots=True)
class CableReport:
    """`name` is what the board was told that it is called: to find it at the host, and not for the report."""

    name: str | None = None
    board: dict[str, str] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    programs: list[dict[str, str]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)


async def report_by_cable(
    port: BoardPort, esptool: Esptool, files: Path, *, pin: int | None, look_s: float = 4.0
) -> CableReport:
    """Everything that can be seen by the cable. `pin` is set high and low once; its owner said that it may be."""
    found = CableReport()
    answers = False
    try:
        async with port.repl(look_s) as repl:
            await repl.soft_reset()
            answers = True
            await _look(repl, files, found, pin)
    except DeviceTimeout as exc:
        if answers:
            found.checks.append(Check("cable", f"problem ({exc.code})"))
        else:
            await _ask_chip(esptool, found)
    except MicroclawError as exc:
        found.checks.append(Check("cable", f"problem ({exc.code})"))
    notes = await diagnose(port, esptool, files, look_s=look_s)
    found.checks += [Check(note.part, "ok" if note.ok else f"problem{_why(note.cause)}") for note in notes]
    return found


def masked_mac(mac: str) -> str:
    """Its maker's half alone."""
    return f"{mac[:8]}:xx:xx:xx"


def plain_words(value: object) -> str:
    """A short text of plain words, or a whole number that a board may have; anything else is not shown."""
    number = shown_number(value)
    text = value if isinstance(value, str) else "" if number is None else str(number)
    return text if _WORDS.fullmatch(text) else "(not shown)"


def shown_number(value: object, low: int = 0) -> int | None:
    """A number as a board's memory or clock can have it, whole; None for anything else."""
    if isinstance(value, float) and math.isfinite(value):
        value = round(value)
    try:
        return whole(value, low, MAX_SHOWN)
    except ValueError:
        return None


def timing(taken_s: Sequence[float]) -> str:
    """ "ok, 5 times, 12 ms (7 to 31)": the middle one and both ends."""
    low, middle, high = (round(value * 1000, 1) for value in (min(taken_s), statistics.median(taken_s), max(taken_s)))
    return f"ok, {len(taken_s)} times, {middle:g} ms ({low:g} to {high:g})"


def pin_outcome(levels: Sequence[int]) -> str:
    """What a pin that was set to 1 and 0 was read as."""
    return "ok, set to 1 and 0, read as 1 and 0" if [*levels] == [1, 0] else f"problem: set to 1, 0, read as {levels}"


def _why(cause: str) -> str:
    return f": {cause}" if cause else ""


async def _look(repl: RawRepl, files: Path, found: CableReport, pin: int | None) -> None:
    seen = await survey(repl)
    told = await read_settings(repl)
    found.name = told.name
    found.board = await _firmware_facts(seen, files)
    found.board["profile"] = told.board_id or "unknown"
    facts = _document(await repl.run(_MEMORY))
    flash_bytes = shown_number(facts.get("flash"))
    if flash_bytes is not None:
        found.board["flash"] = f"{flash_bytes >> 20} MB"
    mac = facts.get("mac")
    if isinstance(mac, str) and _MAC.fullmatch(mac):
        found.board["mac"] = masked_mac(":".join(mac[at : at + 2] for at in range(0, 12, 2)))
    names = ("gc_free", "gc_used", "idf_free", "idf_largest")
    found.memory = {name: number for name in names if (number := shown_number(facts.get(name))) is not None}
    found.programs = _programs(await repl.run(_PROGRAMS))
    found.checks.append(Check("call", timing(await _timed(repl))))
    if pin is not None:
        found.checks.append(Check(f"pin {pin}", await _try_pin(repl, told.board_id, pin)))


async def _firmware_facts(seen: Survey, files: Path) -> dict[str, str]:
    ours = await our_files(files, with_psram=seen.has_psram)
    same = sum(seen.files.get(file.path) == file.sha256 for file in ours)
    inside = (path for path in seen.files if path.startswith(f"{FOLDER}/") and path != WHOLE_PATH)
    there = [(path, seen.files[path]) for path in sorted(inside)]
    digest = hashlib.sha256(json.dumps(there).encode()).hexdigest()[:16]
    return {
        "chip": plain_words(seen.machine.rpartition(" with ")[2] or "unknown"),
        "psram": "in use" if seen.has_psram else "none in use",
        "image": f"MicroPython {'.'.join(map(str, seen.version))}, {plain_words(seen.machine)}",
        "files": f"{same} of {len(ours)} are this version's; {len(there)} there, digest {digest}" if there else "none",
    }


async def _ask_chip(esptool: Esptool, found: CableReport) -> None:
    """No MicroPython answers: what the chip's ROM says."""
    try:
        facts = await esptool.facts()
    except MicroclawError as exc:
        found.checks.append(Check("chip", f"problem ({exc.code})"))
        return
    psram = f"{facts.psram_bytes >> 20} MB in the package" if facts.psram_bytes else "none in the package"
    found.board = {
        "chip": plain_words(facts.description),
        "flash": f"{facts.flash_bytes >> 20} MB",
        "psram": psram,
        "mac": masked_mac(facts.mac),
        "image": "no MicroPython answers",
    }


async def _timed(repl: RawRepl) -> list[float]:
    taken: list[float] = []
    for _ in range(TIMED_CALLS):
        began = time.perf_counter()
        await repl.run("print(1)")
        taken.append(time.perf_counter() - began)
    return taken


async def _try_pin(repl: RawRepl, board_id: str | None, pin: int) -> str:
    if board_id is None:
        return "not tried: the board was told of no profile, which knows its pins"
    try:
        check_pin(load_board(board_id), pin, "output")
    except PinRefused:
        return "not tried: the board's profile forbids this pin"
    answer = await repl.run(_TRY_PIN.replace("NUMBER", str(pin)))
    return pin_outcome([int(line) for line in answer.split()[:_MAX_LEVELS] if line in ("0", "1")])


def _programs(answer: str) -> list[dict[str, str]]:
    """Name and digest of the image in use, from the newest record that is whole (firmware/fw/storage.py)."""
    found: list[dict[str, str]] = []
    for line in answer.split("\n")[:MAX_PROGRAMS]:
        if not line.strip():
            continue
        try:
            [texts] = read_rows(line)
            records = [record for text in texts if (record := _record(short_text(text, _MAX_RECORD_CHARS)))]
            if not records:
                found.append({"name": "?", "sha256": "?", "state": "its record is damaged"})
                continue
            newest = max(records, key=lambda record: whole(record["gen"], 0, _MAX_GEN))
            slot = newest["now"]
            if not slot:
                continue  # removed; kept for its undo
            size, sha256 = newest[slot][:2]
            if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
                raise ValueError("no digest")
            name = program_name(short_text(newest["name"], _MAX_RECORD_CHARS))
            found.append({"name": name, "sha256": sha256, "state": f"{whole(size, 0, MAX_BYTES)} bytes"})
        except (ValueError, KeyError, TypeError):
            found.append({"name": "?", "sha256": "?", "state": "its record is of another version"})
    return found


def _record(text: str) -> dict[str, Any] | None:
    body, _, seal = text.partition("\n")
    if hashlib.sha256(body.encode()).hexdigest() != seal:
        return None
    record = read_json(body)
    return record if isinstance(record, dict) else None


def _document(answer: str) -> Mapping[str, Any]:
    try:
        [value] = read_rows(answer)
    except ValueError as exc:
        raise nonsense("its memory", exc) from exc
    return value if isinstance(value, dict) else {}
