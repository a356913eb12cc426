"""A request to run code in the sandbox: language, code, files, limits. It checks and shows them.

Also room for it in the queue, its news, and the lines of the security log about it, without code and output.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct, field

from microclaw.agent.tasks.rights import DEVICE
from microclaw.errors import Overloaded, TaskRefused, over_limit
from microclaw.events import TaskChanged
from microclaw.host.audit.event import AuditEvent, AuditKind
from microclaw.host.auth.approved_act import ApprovalOutcome
from microclaw.host.config.settings import TaskSettings
from microclaw.host.sandbox.job import SYSTEM_PATH, SandboxJob, SandboxLimits
from microclaw.host.sandbox.job_files import check_job
from microclaw.host.store.people import person_behind
from microclaw.host.store.tasks import TaskLanguage, TaskRow
from microclaw.text import code_lines, count_text

MAX_CODE_BYTES: Final = 256 * 1024
# For input, and for output.
MAX_FILES: Final = 32
# Up to this size a file that is not source is shown whole in the question.
MAX_SHOWN_BYTES: Final = 4_000
MAX_SHOWN_LINES: Final = 100
MIN_WALL_S: Final = 0.1
MIN_MEMORY_MB: Final = 16
_SOURCES: Final = (".py", ".sh", ".js", ".mjs", ".cjs")
COMMANDS: Final[Mapping[TaskLanguage, tuple[str, ...]]] = {
    "python": ("python3", "-u", "-B", "main.py"),
    "shell": ("sh", "main.sh"),
    "javascript": ("node", "main.js"),
}
"""Each ends with the code's own name in the task's folder."""


def available_languages() -> tuple[str, ...]:
    """Return the languages whose program this machine has in the folders that a task sees."""
    return tuple(
        language for language, command in COMMANDS.items() if shutil.which(command[0], path=SYSTEM_PATH) is not None
    )


class TaskOrder(Struct, frozen=True, kw_only=True):
    """A request to run code.

    `files` go into the task's folder, `keep` are the names that are taken out. `seconds` and `memory_mb` None are the
    limits of the settings. `allow` is the name of its destinations in the allowlist (docs/egress.md); None is no
    network. `asked_by` is the name for people; `approval` is the reason in the log if nobody was asked for approval.
    """

    language: TaskLanguage
    code: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    keep: Sequence[str] = ()
    seconds: float | None = None
    memory_mb: int | None = None
    allow: str | None = None
    person_id: str
    asked_by: str
    approval: str
    device_id: str | None = None
    channel: str = "terminal"
    chat_id: str = "terminal"


def check_job_of(order: TaskOrder, settings: TaskSettings) -> SandboxJob:
    """Return the sandbox job of an order. Raises TaskRefused with the fault of the order."""
    command = COMMANDS[order.language]
    code = order.code.encode(errors="replace")
    names = max(len(order.files), len(order.keep))
    wall_s = order.seconds
    if wall_s is None:
        wall_s = settings.wall_s
    memory_mb = order.memory_mb
    if memory_mb is None:
        memory_mb = settings.memory_mb
    others = f"install it, or use another language: {', '.join(available_languages())}"
    seconds = f"a task has {MIN_WALL_S:g} to {settings.wall_s:g} s, not {wall_s:g}"
    memory = f"a task has {MIN_MEMORY_MB} to {settings.memory_mb} MB of memory, not {memory_mb}"
    for is_wrong, text, step in (
        (order.language not in available_languages(), f"this machine has no {command[0]} in {SYSTEM_PATH}", others),
        (not order.code.strip() or "\0" in order.code, "the code is empty, or has a NUL character", "send text"),
        (len(code) > MAX_CODE_BYTES, over_limit("the code", MAX_CODE_BYTES, "byte", len(code)), "give data as a file"),
        (names > MAX_FILES, over_limit("the task", MAX_FILES, "file", names), "name fewer"),
        (not MIN_WALL_S <= wall_s <= settings.wall_s, seconds, "ask for less, or raise tasks.wall_s"),
        (not MIN_MEMORY_MB <= memory_mb <= settings.memory_mb, memory, "ask for less, or raise tasks.memory_mb"),
    ):
        if is_wrong:
            raise TaskRefused(text, next_step=step)
    job = SandboxJob(
        # The sandbox finds it by its PATH.
        command=command,
        files={command[-1]: code, **order.files},
        keep=tuple(dict.fromkeys(order.keep)),
        limits=SandboxLimits(
            wall_s=wall_s,
            cpu_s=wall_s,
            memory_bytes=memory_mb << 20,
            output_bytes=settings.output_kb << 10,
            disk_bytes=settings.disk_mb << 20,
            processes=settings.processes,
        ),
    )
    check_job(job)
    _check_names(order, command[-1])
    return job


def _check_names(order: TaskOrder, code_name: str) -> None:
    """Raise TaskRefused for files that would replace another file or module."""
    another = "give the file another name"
    all_names = (*order.files, code_name)
    for name in order.files:
        if name == code_name:
            raise TaskRefused(f"{name} is the code's own name", next_step=another)
        module = _module(name)
        if order.language == "python" and module in sys.stdlib_module_names:
            raise TaskRefused(f"the file {name!r} would take the place of Python's module {module}", next_step=another)
    for name in all_names:
        if any(other.startswith(f"{name}/") for other in all_names):
            raise TaskRefused(f"{name!r} is a file, and another one would be in it", next_step=another)


def _module(name: str) -> str | None:
    """Return the module that Python imports from a file before its own: the task's folder comes first."""
    first, _, rest = name.partition("/")
    if rest:
        is_module = rest.startswith("__init__.")
    else:
        is_module = first.endswith((".py", ".pyc", ".so"))
    if is_module:
        return first.partition(".")[0]
    return None


def order_lines(order: TaskOrder, reach: Sequence[str]) -> tuple[str, ...]:
    """Return the text for the approval: the whole code, its files and its destinations."""
    code = code_lines(order.code)
    return (f"code: {count_text(len(code), 'line')}", *_indented(code), *input_lines(order.files, reach))


def input_lines(files: Mapping[str, bytes], reach: Sequence[str]) -> tuple[str, ...]:
    """Return each file's name, size and hash, and the hosts; a source or short text whole. Large files block."""
    lines: list[str] = []
    for name, content in files.items():
        lines.append(f"file {name}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()[:16]}")
        is_source = name.endswith(_SOURCES)
        if is_source or len(content) <= MAX_SHOWN_BYTES:
            with suppress(UnicodeDecodeError):
                errors = "replace" if is_source else "strict"
                content_lines = code_lines(content.decode(errors=errors))
                if is_source or len(content_lines) <= MAX_SHOWN_LINES:
                    lines += _indented(content_lines)
    if reach:
        lines += [f"it may reach: {count_text(len(reach), 'host')}", *_indented(reach)]
    return tuple(lines)


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def check_room(waiting: Iterable[tuple[str, int]], places: int, held_mb: int, person_id: str) -> None:
    """Raise Overloaded if the places of the queue or its memory, or this asker's part of them, are used up.

    One asker has at most half of both, and all devices together three quarters, so that another asker has a place.
    `waiting` are their ids, and the bytes that their files hold.
    """
    asker = person_behind(person_id)
    task_counts = Counter[str]()
    file_bytes = Counter[str]()
    for waiting_id, size_bytes in waiting:
        task_counts[person_behind(waiting_id)] += 1
        file_bytes[person_behind(waiting_id)] += size_bytes
    device_count = 0
    if asker.startswith(DEVICE):
        device_count = sum(count for waiting_id, count in task_counts.items() if waiting_id.startswith(DEVICE))
    for count, limit, what in (
        (task_counts.total(), places, "tasks"),
        (task_counts[asker], (places + 1) // 2, "tasks of the same asker"),
        (device_count, (3 * places + 3) // 4, "tasks of devices"),
        (file_bytes.total() >> 20, held_mb, "MB of tasks' files"),
        (file_bytes[asker] >> 20, (held_mb + 1) // 2, "MB of files of the same asker"),
    ):
        if count >= limit:
            step = "wait for some to end, or cancel one: microclaw task list"
            raise Overloaded(f"{count} {what} wait already, {limit} is the limit", next_step=step)


def changed(row: TaskRow) -> TaskChanged:
    device = row.asked_by if row.device_id else ""
    at_ms = row.ended_ms or row.started_ms or row.created_ms
    return TaskChanged(device, at_ms, row.number, row.state, row.ending, row.language, row.asked_by, row.person_id)


def refused_event(order: TaskOrder, why: str) -> AuditEvent:
    text = f"{order.language} code of {len(order.code):,} characters was not run: {why}"
    about = None if order.device_id is None else order.asked_by
    return AuditEvent(AuditKind.TASK_REFUSED, text, by=order.asked_by, about=about)


def started_event(row: TaskRow, yes: ApprovalOutcome | None, approval: str) -> AuditEvent:
    """Build the event of a started task; `approval` says how it was allowed without a `yes`."""
    memory_mb = int(row.limits["memory_bytes"]) >> 20
    if row.allow is None:
        network = "no network"
    else:
        network = f"network: {row.allow}"
    if yes is None:
        allowed = approval
    else:
        allowed = f"{yes.pending.approval_id}, by {yes.by}"
    text = f"{row.language}, {row.code_bytes:,} bytes, sha256 {row.code_sha256[:16]}, {row.limits['wall_s']:g} s, "
    return _event(AuditKind.TASK_STARTED, f"{text}{memory_mb} MB, {network}, approval: {allowed}", row, yes)


def ended_event(row: TaskRow, yes: ApprovalOutcome | None = None) -> AuditEvent:
    if row.exit_code is None:
        code = ""
    else:
        code = f", exit code {row.exit_code}"
    text = f"{row.ending}{code}, {len(row.files)} files, {row.output_bytes:,} bytes printed"
    return _event(AuditKind.TASK_ENDED, text, row, yes)


def _event(kind: AuditKind, text: str, row: TaskRow, yes: ApprovalOutcome | None) -> AuditEvent:
    return AuditEvent(
        kind,
        f"task {row.number}: {text}",
        about=f"task {row.number}",
        by=row.asked_by,
        known=(row.code_sha256[:16],),
        approval=None if yes is None else yes.pending.approval_id,
        network=row.allow is not None,
    )
