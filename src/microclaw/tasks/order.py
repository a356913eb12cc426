"""A request to run code in the sandbox: language, code, files, limits. It checks and shows them."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from microclaw.config.settings import TaskSettings
from microclaw.egress.allowlist import TASK_NAME, TASK_NAME_RULE
from microclaw.errors import TaskRefused, over_limit
from microclaw.sandbox.job import SandboxLimits
from microclaw.text import code_lines, count_text, without_marks

MAX_CODE_BYTES: Final = 256 * 1024
MAX_FILES: Final = 32  # in, and out
MAX_NAME_BYTES: Final = 200
MAX_DEPTH: Final = 4
MAX_SHOWN_BYTES: Final = 4_000  # of a file that is shown whole to who is asked, and is no source
MAX_SHOWN_LINES: Final = 100
MIN_WALL_S: Final = 0.1
MIN_MEMORY_MB: Final = 16
PLOT: Final = Path(__file__).with_name("plot.py")
SYSTEM_PATH: Final = "/usr/local/bin:/usr/bin:/bin"  # what a task sees of this machine
_SOURCES: Final = (".py", ".sh", ".js", ".mjs", ".cjs")
MAX_PART_CHARS: Final = 100
_SHOWN_CHARS: Final = 40
_PART: Final = re.compile(r"[^\W.][\w .()+@=,-]*")


class Language(Struct, frozen=True):
    """`file` is the code's own name in the task's folder, `program` what runs it, `needs` where it comes from."""

    name: str
    file: str
    program: str
    arguments: tuple[str, ...]
    needs: str

    def besides(self) -> dict[str, bytes]:
        """The files beside the code that nobody asked for; a file of that name takes its place."""
        return {PLOT.name: PLOT.read_bytes()} if self.name == "python" else {}

    def command(self) -> tuple[str, ...]:
        """Raises TaskRefused when its program is not on this machine."""
        if self.name not in available():
            raise TaskRefused(
                f"{self.name} code needs {self.program}, and this machine has none in {SYSTEM_PATH}",
                next_step=f"install {self.needs}, or use another language: {', '.join(available())}",
            )
        return (self.program, *self.arguments, self.file)  # found there by its PATH


LANGUAGES: Final[Mapping[str, Language]] = {
    "python": Language("python", "main.py", "python3", ("-u", "-B"), "python3"),
    "shell": Language("shell", "main.sh", "sh", (), "a POSIX shell"),
    "javascript": Language("javascript", "main.js", "node", (), "Node.js"),
}
_OTHER_NAMES: Final = {"py": "python", "python3": "python", "sh": "shell", "js": "javascript", "node": "javascript"}


def language_named(name: str) -> Language:
    """By its name here, or as people type it. Raises TaskRefused, which says what is right."""
    typed = name.strip().lower()
    language = LANGUAGES.get(_OTHER_NAMES.get(typed, typed))
    if language is not None:
        return language
    if typed == "bash":  # taken as shell, arrays and [[ would fail in the middle of the code
        raise TaskRefused("bash is not run here: shell code is run by sh", next_step="write it for sh, and use shell")
    names = f"use one of {', '.join(LANGUAGES)} (or py, sh, js)"
    raise TaskRefused(f"there is no language {name[:40]!r}", next_step=names)


def available() -> tuple[str, ...]:
    """Those whose program the sandbox has. Python is always there: this host's own, where the system has none."""
    return tuple(
        one.name
        for one in LANGUAGES.values()
        if one.name == "python" or shutil.which(one.program, path=SYSTEM_PATH) is not None
    )


class TaskLimits(Struct, frozen=True, kw_only=True):
    """The limits that a task asks for; None is as much as the settings give."""

    wall_s: float | None = None
    memory_mb: int | None = None


class TaskOrder(Struct, frozen=True, kw_only=True):
    """`files` go into the task's folder, `keep` are the names that are taken out. `allow` is the name under which the
    allowlist (docs/egress.md) says what it may reach; None is no network. `asked_by` is the name that people read;
    `approval` says for the log how it was allowed where nobody was asked.
    """

    language: str
    code: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    keep: Sequence[str] = ()
    limits: TaskLimits = field(default_factory=TaskLimits)
    allow: str | None = None
    person_id: str
    asked_by: str
    approval: str
    device_id: str | None = None
    device: str = ""
    channel: str = "terminal"
    chat_id: str = "terminal"


def check_order(order: TaskOrder, settings: TaskSettings) -> tuple[Language, SandboxLimits]:
    """The way it runs. Raises TaskRefused, which says what is wrong with it."""
    language = language_named(order.language)
    size = len(order.code.encode(errors="replace"))
    if not order.code.strip():
        raise TaskRefused("the code is empty", next_step="send some")
    if size > MAX_CODE_BYTES:
        raise TaskRefused(
            over_limit("the code", MAX_CODE_BYTES, "byte", size),
            next_step="give the data as a file beside the code",
        )
    if "\0" in order.code:
        raise TaskRefused("the code has a NUL character", next_step="send text")
    if order.allow is not None:
        check_network_name(order.allow)
    for names, what in ((tuple(order.files), "file in"), (tuple(order.keep), "file out")):
        if len(names) > MAX_FILES:
            raise TaskRefused(over_limit("the task", MAX_FILES, what, len(names)), next_step="name fewer")
        for name in names:
            check_name(name)
    if language.name == "python":
        _check_imports(order.files)
    _check_folders((*order.files, language.file))
    if language.file in order.files:
        raise TaskRefused(f"{language.file} is the code's own name", next_step="give the file another name")
    given = size + sum(map(len, order.files.values()))
    if given > settings.disk_mb << 20:
        raise TaskRefused(
            over_limit("the code with its files", settings.disk_mb << 20, "byte", given),
            next_step="give it less, or raise tasks.disk_mb",
        )
    return language, _limits(order.limits, settings)


def _check_folders(names: Sequence[str]) -> None:
    """Raise TaskRefused where one file would be in another one."""
    for name in names:
        inside = next((other for other in names if other.startswith(f"{name}/")), None)
        if inside is not None:
            raise TaskRefused(
                f"{name!r} is a file, and {inside!r} would be in it", next_step="give one of them another name"
            )


def _check_imports(names: Iterable[str]) -> None:
    """Raise TaskRefused for what Python would import in place of a module of its own: this folder comes first."""
    for name in names:
        first, _, rest = name.partition("/")
        module = first.partition(".")[0]
        taken = rest.startswith("__init__.") if rest else first.endswith((".py", ".pyc", ".so"))
        if taken and module in sys.stdlib_module_names:
            raise TaskRefused(
                f"the file {name!r} would take the place of Python's own module {module}",
                next_step="give the file another name",
            )


def check_network_name(name: str) -> None:
    """Raise TaskRefused unless the allowlist could have it."""
    if not TASK_NAME.fullmatch(name):
        raise TaskRefused(
            f"{name[:40]!r} is no name for the allowlist: {TASK_NAME_RULE}",
            next_step="see the names: microclaw task egress",
        )


def check_name(name: str) -> None:
    """Raise TaskRefused unless it is a plain relative name, as `plot.png` or `out/plot.png`."""
    parts = name.split("/")
    longest, size = max(map(len, parts)), len(name.encode(errors="replace"))
    shown = repr(name if len(name) <= _SHOWN_CHARS else f"{name[:_SHOWN_CHARS]}…")
    too_long = None
    if size > MAX_NAME_BYTES:
        too_long = over_limit(f"the file's name {shown}", MAX_NAME_BYTES, "byte", size)
    elif longest > MAX_PART_CHARS:
        too_long = over_limit(f"a part of the file's name {shown}", MAX_PART_CHARS, "character", longest)
    elif len(parts) > MAX_DEPTH:
        too_long = over_limit(f"the file's name {shown}", MAX_DEPTH, "part", len(parts))
    if too_long is not None:
        raise TaskRefused(too_long, next_step="give the file a shorter name")
    if not all(_PART.fullmatch(without_marks(part)) for part in parts):
        raise TaskRefused(
            f"{shown} is no name of a task's file",
            next_step="letters, digits, spaces and ._-()+@= , parts with / between, none beginning with a dot",
        )


def order_lines(order: TaskOrder, reach: Sequence[str]) -> tuple[str, ...]:
    """The text for somebody who is asked for it: the whole code, its files, and what it may reach."""
    code = code_lines(order.code)
    return (f"code: {count_text(len(code), 'line')}", *_indented(code), *file_lines(order.files), *reach_lines(reach))


def file_lines(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Each file's name, size and hash; whole where it is source or a short text. It blocks for large ones."""
    lines: list[str] = []
    for name, content in files.items():
        lines.append(f"file {name}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()[:16]}")
        lines += _indented(_shown(name, content))
    return tuple(lines)


def reach_lines(reach: Sequence[str]) -> tuple[str, ...]:
    return (f"it may reach: {count_text(len(reach), 'host')}", *_indented(reach)) if reach else ()


def _shown(name: str, content: bytes) -> Sequence[str]:
    if name.endswith(_SOURCES):
        return code_lines(content.decode(errors="replace"))
    try:
        lines = code_lines(content.decode()) if len(content) <= MAX_SHOWN_BYTES else []
    except UnicodeDecodeError:
        return ()
    return lines if len(lines) <= MAX_SHOWN_LINES else ()


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _limits(asked: TaskLimits, settings: TaskSettings) -> SandboxLimits:
    wall_s = settings.wall_s if asked.wall_s is None else asked.wall_s
    memory_mb = settings.memory_mb if asked.memory_mb is None else asked.memory_mb
    if not MIN_WALL_S <= wall_s <= settings.wall_s:
        raise TaskRefused(
            f"a task has {MIN_WALL_S:g} to {settings.wall_s:g} s, not {wall_s:g}",
            next_step="ask for less, or raise tasks.wall_s",
        )
    if not MIN_MEMORY_MB <= memory_mb <= settings.memory_mb:
        raise TaskRefused(
            f"a task has {MIN_MEMORY_MB} to {settings.memory_mb} MB of memory, not {memory_mb}",
            next_step="ask for less, or raise tasks.memory_mb",
        )
    return SandboxLimits(
        wall_s=wall_s,
        cpu_s=wall_s,
        memory_bytes=memory_mb << 20,
        output_bytes=settings.output_kb << 10,
        disk_bytes=settings.disk_mb << 20,
        processes=settings.processes,
    )
