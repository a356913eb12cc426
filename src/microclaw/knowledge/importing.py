"""A MimiClaw device's files taken over: conversations, persona, memory, notes, skills, schedules. Overwrites nothing.

What is here already stays; what the device has besides is put beside it or merged in, and a second import of the same
folder changes nothing. Both of the device's names for a conversation are known: `tg_<chat_id>.jsonl`, whatever its
channel, and the newer `<chat_id>.jsonl`.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from microclaw.errors import ConfigError, MicroclawError
from microclaw.knowledge.knowledge_base import SOUL, USER
from microclaw.knowledge.memory import MEMORY, OWNER_ID, Memory, is_day
from microclaw.knowledge.skill_file import SKILL, check_skill
from microclaw.knowledge.text_files import MAX_TEXT_BYTES, read_text, read_whole, write_text
from microclaw.store.sessions import SessionFiles, parse_session

Outcome: TypeAlias = Literal["taken", "merged", "beside", "same", "left"]

HEARTBEAT: Final = "HEARTBEAT.md"
MAX_SESSION_BYTES: Final = 64 << 20
MAX_FILES: Final = 5000
# MimiClaw's channels by ours; a chat id of digits alone is Telegram's, `ws_...` the gateway's.
CHANNELS: Final = {"telegram": "tg", "websocket": "ws", "cli": "terminal"}
_LATEST_S: Final = 1 << 33  # the year 2242; beyond it no calendar of ours goes
_TELEGRAM_ID: Final = re.compile(r"-?\d{3,}")
_SKILL_NAME: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """What became of one file: taken, merged into what was here, put beside it, the same already, or left (why)."""

    name: str
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ImportedJob:
    """A job of cron.json: every so many seconds, or once at a time (seconds since 1970)."""

    name: str
    message: str
    every_s: int | None
    at_s: int | None
    channel: str
    chat_id: str
    enabled: bool


@dataclass(slots=True)
class Imported:
    """The report of an import; `jobs` are for the schedules."""

    files: list[ImportedFile] = field(default_factory=list)
    jobs: list[ImportedJob] = field(default_factory=list)


class Importer:
    """`await Importer(...).run(folder)`. The files become the owner's."""

    def __init__(self, *, sessions: SessionFiles, memory: Memory, config: Path, skills: Path) -> None:
        self._sessions = sessions
        self._memory = memory
        self._config = config
        self._skills = skills

    async def run(self, folder: Path) -> Imported:
        """Take over what is in a copy of the device's file system; ConfigError when there is nothing of it."""
        report = Imported()
        found = await asyncio.to_thread(_files, folder)
        if not found:
            raise ConfigError(
                f"there are no files of a MimiClaw device in {folder}",
                next_step="name the folder with config/, memory/ and sessions/ in it",
            )
        for path in found:
            try:
                await self._file(path, report)
            except (MicroclawError, OSError) as exc:
                why = exc.message if isinstance(exc, MicroclawError) else str(exc.strerror or exc)
                report.files.append(ImportedFile(str(path.relative_to(folder)), "left", why))
        return report

    async def _file(self, path: Path, report: Imported) -> None:
        name = path.name
        if path.suffix == ".jsonl":
            report.files.append(await self._session(path))
        elif name == "cron.json":
            report.files.append(await asyncio.to_thread(_jobs, path, report.jobs))
        elif name in (SOUL, USER, HEARTBEAT):
            report.files.append(await asyncio.to_thread(_text, path, self._config / name))
        elif name == MEMORY or is_day(path.stem):
            report.files.append(await self._notes(path))
        else:
            report.files.append(await asyncio.to_thread(_skill, path, self._skills))

    async def _session(self, path: Path) -> ImportedFile:
        channel, chat_id = chat_of(path.stem)
        data = await asyncio.to_thread(_bounded, path)
        if data is None:
            return ImportedFile(path.name, "left", f"larger than {MAX_SESSION_BYTES >> 20} MB")
        messages, torn = parse_session(data)
        if not messages:
            return ImportedFile(path.name, "left", "no message in it")
        was_here = self._sessions.path(channel, chat_id).exists()
        new = await self._sessions.adopt(channel, chat_id, messages)
        detail = f"{new} of {len(messages)} messages into {self._sessions.path(channel, chat_id).name}"
        if torn:
            detail += f"; {torn} torn or foreign lines left out"
        return ImportedFile(path.name, ("merged" if was_here else "taken") if new else "same", detail)

    async def _notes(self, path: Path) -> ImportedFile:
        """MEMORY.md or a daily note: lines that are not here are added below."""
        theirs = await asyncio.to_thread(read_text, path)
        ours_path = self._memory.root / path.name
        ours = await asyncio.to_thread(read_whole, ours_path)
        if not theirs.strip():
            return ImportedFile(path.name, "left", "it is empty")
        merged, new = _merged(ours, theirs)
        if not new:
            return ImportedFile(path.name, "same")
        if path.name == MEMORY:
            await self._memory.write(OWNER_ID, merged)
        else:
            await asyncio.to_thread(write_text, ours_path, merged)
        return ImportedFile(path.name, "merged" if ours else "taken", f"{new} lines")


def chat_of(stem: str) -> tuple[str, str]:
    """Our channel and chat id for the stem of a session file, by either of MimiClaw's namings."""
    chat_id = stem.removeprefix("tg_")
    if _TELEGRAM_ID.fullmatch(chat_id):
        return CHANNELS["telegram"], chat_id
    if chat_id.startswith("ws_") and len(chat_id) > 3:
        return CHANNELS["websocket"], chat_id.removeprefix("ws_")
    if chat_id in ("cli", "terminal", ""):
        return CHANNELS["cli"], CHANNELS["cli"]
    return "mimiclaw", chat_id


def read_jobs(path: Path) -> tuple[tuple[ImportedJob, ...], ImportedFile]:
    """The jobs of a cron.json, and what is to be said of the file."""
    jobs: list[ImportedJob] = []
    found = _jobs(path, jobs)
    return tuple(jobs), found


def _files(folder: Path) -> list[Path]:
    """The device's files, by name, at most MAX_FILES; links are not followed."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder", next_step="name the folder with the device's files")
    wanted = [
        *(path for place in ("", "sessions") for path in (folder / place).glob("*.jsonl")),
        *(folder / place / name for place in ("", "config") for name in (SOUL, USER, HEARTBEAT, "cron.json")),
        *(path for place in ("", "memory") for path in (folder / place).glob("*.md") if is_day(path.stem)),
        *(folder / place / MEMORY for place in ("", "memory")),
        *(folder / "skills").glob("*.md"),
        *(folder / "skills").glob(f"*/{SKILL}"),
    ]
    found = [path for path in dict.fromkeys(wanted) if path.is_file() and not path.is_symlink()]
    return sorted(found)[:MAX_FILES]


def _bounded(path: Path) -> bytes | None:
    return None if path.stat().st_size > MAX_SESSION_BYTES else path.read_bytes()


def _text(path: Path, ours: Path) -> ImportedFile:
    """SOUL.md, USER.md, HEARTBEAT.md: taken where there is none, else kept beside the one that is here."""
    theirs = read_text(path)
    if not theirs.strip():
        return ImportedFile(path.name, "left", "it is empty")
    here = read_text(ours)
    if here == theirs:
        return ImportedFile(path.name, "same")
    if not here.strip():
        write_text(ours, theirs)
        return ImportedFile(path.name, "taken")
    beside = ours.with_name(f"{ours.stem}.mimiclaw{ours.suffix}")
    if read_text(beside) == theirs:
        return ImportedFile(path.name, "same", f"{beside.name} is there")
    write_text(beside, theirs)
    return ImportedFile(path.name, "beside", f"yours stays; theirs is {beside.name}")


def _merged(ours: str, theirs: str) -> tuple[str, int]:
    known = {line.strip() for line in ours.splitlines()}
    new = [line for line in theirs.splitlines() if line.strip() and line.strip() not in known]
    if not ours.strip():
        return theirs if theirs.endswith("\n") else theirs + "\n", len(new)
    return ours.rstrip("\n") + "\n" + "".join(f"{line}\n" for line in new), len(new)


def _skill(path: Path, skills: Path) -> ImportedFile:
    """A flat `skills/<name>.md` becomes a folder; one that is a folder already is taken with its SKILL.md alone."""
    shown = f"skills/{path.parent.name}/{SKILL}" if path.name == SKILL else f"skills/{path.name}"
    stem = path.parent.name if path.name == SKILL else path.stem
    name = _SKILL_NAME.sub("-", stem.lower()).strip("-")[:64].strip("-")
    text = read_text(path)
    if not name or not text.strip():
        return ImportedFile(shown, "left", "it is empty" if name else "its name has no letter")
    if not text.startswith("---"):
        text = _with_front_matter(name, text)
    ours = skills / name / SKILL
    if ours.exists():
        return ImportedFile(shown, "same" if read_text(ours) == text else "left", f"{name} is there already")
    if len(text.encode()) > MAX_TEXT_BYTES:
        return ImportedFile(shown, "left", f"larger than {MAX_TEXT_BYTES >> 10} KB")
    write_text(ours, text)
    wrong = next((m for m in check_skill(ours.parent).mistakes if m.severity == "error"), None)
    return ImportedFile(shown, "taken", f"microclaw skill check {name}: {wrong.message}" if wrong else name)


def _with_front_matter(name: str, text: str) -> str:
    """The device's own form: a heading, then a line or more that say what it is for, up to an empty line."""
    lines = text.strip().splitlines()
    about: list[str] = []
    for line in lines[1:] if lines[0].startswith("# ") else lines:
        if about and (not line.strip() or line.startswith("#")):
            break
        if line.strip() and not line.startswith("#"):
            about.append(line.strip())
    title = lines[0].removeprefix("# ").strip()
    description = (" ".join(about) or title)[:1024]
    head = f"name: {name}\ndescription: {json.dumps(description, ensure_ascii=False)}\nmetadata:\n  from: mimiclaw\n"
    return f"---\n{head}---\n\n{text.strip()}\n"


def _jobs(path: Path, jobs: list[ImportedJob]) -> ImportedFile:
    try:
        value = json.loads(read_text(path))
    except json.JSONDecodeError as exc:
        return ImportedFile(path.name, "left", f"not JSON from line {exc.lineno}, column {exc.colno} on")
    except (ValueError, RecursionError):
        return ImportedFile(path.name, "left", "not JSON that can be read")
    listed = value.get("jobs") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        return ImportedFile(path.name, "left", "it has no jobs")
    found = [job for item in listed if isinstance(item, dict) and (job := _job(item)) is not None]
    jobs += found
    left = len(listed) - len(found)
    return ImportedFile(
        path.name, "taken" if found else "left", f"{len(found)} jobs{f', {left} unreadable' * bool(left)}"
    )


def _job(item: dict[str, Any]) -> ImportedJob | None:
    name, message, kind = item.get("name"), item.get("message"), item.get("kind")
    if not isinstance(message, str) or not message.strip():
        return None
    every_s = _seconds(item.get("interval_s")) if kind == "every" else None
    at_s = _seconds(item.get("at_epoch")) if kind == "at" else None
    if every_s is None and at_s is None:
        return None
    channel, chat_id = str(item.get("channel") or ""), str(item.get("chat_id") or "")
    ours = CHANNELS.get(channel, CHANNELS["cli"])
    if channel == "websocket":
        chat_id = chat_id.removeprefix("ws_")
    return ImportedJob(
        name=name if isinstance(name, str) and name else "imported",
        message=message,
        every_s=every_s,
        at_s=at_s,
        channel=ours,
        chat_id=chat_id if channel in CHANNELS and chat_id else CHANNELS["cli"],
        enabled=item.get("enabled", True) is not False,
    )


def _seconds(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 < value < _LATEST_S else None
