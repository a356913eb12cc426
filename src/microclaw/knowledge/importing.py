"""Imports a MimiClaw device's files: conversations, persona, memory, notes, skills, schedules. Overwrites nothing.

Files of this host stay; those of the device are merged in or put beside them. A second import of the same folder
changes nothing. A conversation's file has one of two names: `tg_<chat_id>.jsonl`, whatever its channel, or the newer
`<chat_id>.jsonl`.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from microclaw.errors import ConfigError, MicroclawError
from microclaw.knowledge.knowledge_base import CONFIG, HEARTBEAT, SOUL, USER
from microclaw.knowledge.memory import MEMORY, OWNER_ID, Memory, is_day, person_folder
from microclaw.knowledge.skill_file import SKILL, check_skill
from microclaw.knowledge.text_files import MAX_TEXT_BYTES, read_text, write_text
from microclaw.store.sessions import SessionMessage, Sessions, parse_session, session_name

Outcome: TypeAlias = Literal["taken", "merged", "beside", "same", "left"]

MAX_SESSION_BYTES: Final = 64 << 20
MAX_FILES: Final = 5000
# MimiClaw's channels and ours. A chat id of digits is Telegram's, `ws_...` the gateway's.
CHANNELS: Final = {"telegram": "tg", "websocket": "ws", "cli": "terminal"}
_LATEST_S: Final = 1 << 33  # the year 2242: no later time is taken
_TELEGRAM_ID: Final = re.compile(r"-?\d{3,}")
_SKILL_NAME: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class FileImport:
    """What happened to one file: taken, merged into ours, put beside ours, the same already, or left (and why)."""

    name: str
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DeviceJob:
    """A job of cron.json: every so many seconds, or once at a time (seconds since 1970)."""

    name: str
    message: str
    every_s: int | None
    at_s: int | None
    channel: str
    chat_id: str
    enabled: bool


@dataclass(slots=True)
class ImportReport:
    """What an import did. The jobs are for the schedules."""

    files: list[FileImport] = field(default_factory=list)
    jobs: list[DeviceJob] = field(default_factory=list)


class Importer:
    """`await Importer(...).run(folder)`. The files become the owner's."""

    def __init__(self, *, sessions: Sessions, memory: Memory, skills: Path) -> None:
        self._sessions = sessions
        self._memory = memory
        self._texts = memory.texts
        self._skills = skills

    async def run(self, folder: Path) -> ImportReport:
        """Import a copy of the device's file system. ConfigError when none of its files are in the folder."""
        report = ImportReport()
        found = await asyncio.to_thread(_files, folder)
        if not found:
            raise ConfigError(
                f"there are no files of a MimiClaw device in {folder}",
                next_step="name the folder with config/, memory/ and sessions/ in it",
            )
        for path in found:
            try:
                report.files.append(await self._file(path, report.jobs))
            except (MicroclawError, OSError) as exc:
                why = exc.message if isinstance(exc, MicroclawError) else str(exc.strerror or exc)
                report.files.append(FileImport(str(path.relative_to(folder)), "left", why))
        return report

    async def _file(self, path: Path, jobs: list[DeviceJob]) -> FileImport:
        if path.suffix == ".jsonl":
            return await self._session(path)
        if path.name == "cron.json":
            found, outcome = await asyncio.to_thread(read_jobs, path)
            jobs += found
            return outcome
        if path.name in (SOUL, USER, HEARTBEAT):
            return await self._text(path)
        if path.name == MEMORY or is_day(path.stem):
            return await self._notes(path)
        return await asyncio.to_thread(_skill, path, self._skills)

    async def _session(self, path: Path) -> FileImport:
        channel, chat_id = chat_of(path.stem)
        messages, torn = await asyncio.to_thread(_read_session, path)
        if not messages:
            return FileImport(path.name, "left", "no message in it")
        was_here = bool(await self._sessions.load(channel, chat_id, 1))
        new = await self._sessions.adopt(channel, chat_id, messages)
        detail = f"{new} of {len(messages)} messages into {session_name(channel, chat_id)}.jsonl"
        if torn:
            detail += f"; {torn} torn or foreign lines left out"
        return FileImport(path.name, ("merged" if was_here else "taken") if new else "same", detail)

    async def _notes(self, path: Path) -> FileImport:
        """MEMORY.md or a daily note: the lines that ours does not have are added at its end."""
        theirs = await asyncio.to_thread(read_text, path)
        if not theirs.strip():
            return FileImport(path.name, "left", "it is empty")

        def merged(ours: str) -> tuple[str, FileImport]:
            known = {line.strip() for line in ours.splitlines()}
            new = [line for line in theirs.splitlines() if line.strip() and line.strip() not in known]
            if not new:
                return ours, FileImport(path.name, "same")
            done = FileImport(path.name, "merged" if ours else "taken", f"{len(new)} lines")
            if not ours.strip():
                return theirs if theirs.endswith("\n") else theirs + "\n", done
            return "\n".join([ours.rstrip("\n"), *new, ""]), done

        name = f"{person_folder(OWNER_ID)}/{path.name}"
        return await self._texts.change(name, merged, keep=path.name == MEMORY)

    async def _text(self, path: Path) -> FileImport:
        """SOUL.md, USER.md, HEARTBEAT.md: taken when there is none, else put beside ours."""
        theirs = await asyncio.to_thread(read_text, path)
        if not theirs.strip():
            return FileImport(path.name, "left", "it is empty")

        def taken(here: str) -> tuple[str, FileImport | None]:
            if here == theirs:
                return here, FileImport(path.name, "same")
            return (here, None) if here.strip() else (theirs, FileImport(path.name, "taken"))

        done = await self._texts.change(f"{CONFIG}/{path.name}", taken, keep=False)
        if done is not None:
            return done
        beside = f"{path.stem}.mimiclaw{path.suffix}"
        is_there = await self._texts.change(f"{CONFIG}/{beside}", lambda there: (theirs, there == theirs), keep=False)
        if is_there:
            return FileImport(path.name, "same", f"{beside} is there")
        return FileImport(path.name, "beside", f"yours stays; theirs is {beside}")


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


def read_jobs(path: Path) -> tuple[list[DeviceJob], FileImport]:
    """The jobs of a cron.json, and what to report of the file."""
    try:
        value = json.loads(read_text(path))
    except json.JSONDecodeError as exc:
        return [], FileImport(path.name, "left", f"not JSON from line {exc.lineno}, column {exc.colno} on")
    except (ValueError, RecursionError):
        return [], FileImport(path.name, "left", "not JSON that can be read")
    listed = value.get("jobs") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        return [], FileImport(path.name, "left", "it has no jobs")
    jobs = [job for item in listed if isinstance(item, dict) and (job := _job(item)) is not None]
    unreadable = f", {len(listed) - len(jobs)} unreadable" if len(jobs) < len(listed) else ""
    return jobs, FileImport(path.name, "taken" if jobs else "left", f"{len(jobs)} jobs{unreadable}")


def _files(folder: Path) -> list[Path]:
    """The device's files, by name, at most MAX_FILES; symbolic links are left out."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder", next_step="name the folder with the device's files")

    def below(name: str, pattern: str) -> list[Path]:
        return [*folder.glob(pattern), *(folder / name).glob(pattern)]

    wanted = [
        *below("sessions", "*.jsonl"),
        *(path for name in (SOUL, USER, HEARTBEAT, "cron.json") for path in below("config", name)),
        *(path for path in below("memory", "*.md") if path.name == MEMORY or is_day(path.stem)),
        *(folder / "skills").glob("*.md"),
        *(folder / "skills").glob(f"*/{SKILL}"),
    ]
    found = [path for path in dict.fromkeys(wanted) if path.is_file() and not path.is_symlink()]
    return sorted(found)[:MAX_FILES]


def _read_session(path: Path) -> tuple[tuple[SessionMessage, ...], int]:
    if path.stat().st_size > MAX_SESSION_BYTES:
        raise ConfigError(f"larger than {MAX_SESSION_BYTES >> 20} MB")
    return parse_session(path.read_bytes())


def _skill(path: Path, skills: Path) -> FileImport:
    """`skills/<name>.md` becomes a folder; of a folder only its SKILL.md is taken."""
    shown = f"skills/{path.parent.name}/{SKILL}" if path.name == SKILL else f"skills/{path.name}"
    stem = path.parent.name if path.name == SKILL else path.stem
    name = _SKILL_NAME.sub("-", stem.lower()).strip("-")[:64].strip("-")
    text = read_text(path)
    if not name or not text.strip():
        return FileImport(shown, "left", "it is empty" if name else "its name has no letter")
    if not text.startswith("---"):
        text = _with_front_matter(name, text)
    ours = skills / name / SKILL
    if ours.exists():
        return FileImport(shown, "same" if read_text(ours) == text else "left", f"{name} is there already")
    if len(text.encode()) > MAX_TEXT_BYTES:
        return FileImport(shown, "left", f"larger than {MAX_TEXT_BYTES >> 10} KB")
    write_text(ours, text)
    wrong = next((m for m in check_skill(ours.parent).mistakes if m.severity == "error"), None)
    return FileImport(shown, "taken", f"microclaw skill check {name}: {wrong.message}" if wrong else name)


def _with_front_matter(name: str, text: str) -> str:
    """Add the front matter. The device's form is a heading, then lines up to an empty one that describe the skill."""
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


def _job(item: dict[str, Any]) -> DeviceJob | None:
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
    return DeviceJob(
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
