"""The files of the serial console: MimiClaw's files and its settings in NVS, with limits. Knows no command.

Layout (MimiClaw's flat file system): memory/MEMORY.md, sessions/<channel>_<chat>.jsonl, skills/<name>.md, config/,
cron.json, HEARTBEAT.md. The settings are a file of their own, as NVS is a partition of its own: no app can read it.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from microclaw.durable import replace_file
from microclaw.errors import CallRejected, StoreError
from microclaw.virtual.storage import Storage

MAX_FILE_BYTES: Final = 16_384
MAX_FILES: Final = 256
MAX_JOBS: Final = 16
MAX_INTERVAL_S: Final = 366 * 86_400
SESSION_PREFIXES: Final = ("tg_", "ws_", "cli_", "")
"""`tg_<chat>.jsonl` is MimiClaw's older name for a session, `<chat>.jsonl` its newer one."""


@dataclass(frozen=True, slots=True)
class CronJob:
    """`at_s` is a time of the epoch, `every_s` an interval; one of the two is 0."""

    name: str
    kind: Literal["every", "at"]
    every_s: float
    at_s: float
    message: str


class ConsoleFiles:
    """One board's files; they outlive a power cut, and the process where `folder` does."""

    def __init__(self, folder: Path) -> None:
        self._storage = Storage(folder / "spiffs")
        self._nvs = folder / "nvs.json"
        self._lock = threading.Lock()

    def read(self, name: str) -> str | None:
        """A file's text, cut at MAX_FILE_BYTES; None when there is none."""
        try:
            with self._place(name).open("rb") as file:
                return file.read(MAX_FILE_BYTES).decode("utf-8", "replace")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except OSError as exc:
            raise StoreError(f"{name} cannot be read: {exc.strerror}") from exc

    def write(self, name: str, text: str) -> None:
        """Replace a file as a whole; StoreError when the partition has no room."""
        data = text.encode()
        if len(data) > min(MAX_FILE_BYTES, self._storage.free_bytes()):
            raise StoreError(f"no room for {len(data)} bytes of {name}")
        with self._lock:
            _replace(self._place(name), data)

    def names(self, folder: str, suffix: str) -> list[tuple[str, int]]:
        """The files of a folder with their sizes, sorted, at most MAX_FILES."""
        place = self._place(folder)
        try:
            found = sorted(path for path in place.iterdir() if path.suffix == suffix and path.is_file())
            return [(path.name, path.stat().st_size) for path in found[:MAX_FILES]]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as exc:
            raise StoreError(f"{folder} cannot be read: {exc.strerror}") from exc

    def clear_session(self, chat: str) -> str | None:
        """Remove a chat's session; its file's name, or None where there is none."""
        for prefix in SESSION_PREFIXES:
            place = self._place(f"sessions/{prefix}{chat}.jsonl")
            try:
                place.unlink()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                continue
            except OSError as exc:
                raise StoreError(f"{place.name} cannot be removed: {exc.strerror}") from exc
            return place.name
        return None

    def settings(self) -> dict[str, str]:
        with self._lock:
            return self._load_settings()

    def change_settings(self, **changes: str | None) -> None:
        """None removes a name."""
        with self._lock:
            kept = {**self._load_settings(), **changes}
            data = {name: value for name, value in kept.items() if value is not None}
            _replace(self._nvs, json.dumps(data).encode())

    def forget_settings(self) -> None:
        with self._lock:
            self._nvs.unlink(missing_ok=True)

    def jobs(self) -> list[CronJob]:
        """The enabled jobs of cron.json. StoreError for a file that is none."""
        text = self.read("cron.json")
        if text is None:
            return []
        try:
            rows = json.loads(text)["jobs"]
            return [_job(row) for row in rows if row.get("enabled", True)][:MAX_JOBS]
        except (ArithmeticError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            raise StoreError("cron.json is no list of jobs") from exc

    def _load_settings(self) -> dict[str, str]:
        """A damaged file counts as empty, as an NVS partition that cannot be read is erased."""
        try:
            found = json.loads(self._nvs.read_bytes())
        except (FileNotFoundError, ValueError, RecursionError):
            return {}
        items = found.items() if isinstance(found, dict) else ()
        return {name: _whole_characters(value) for name, value in items if isinstance(value, str)}

    def _place(self, name: str) -> Path:
        found = self._storage.resolve(f"/storage/{name}")
        if found is None:
            raise CallRejected(f"{name[:64]!r} is no file's name")
        return found


def _job(row: dict[str, Any]) -> CronJob:
    every_s, at_s = float(row.get("interval_s", 0)), float(row.get("at_epoch", 0))
    kind = row["kind"]
    if kind not in ("every", "at") or not isinstance(row["message"], str):
        raise ValueError(f"a job of the kind {kind!r}")
    if (kind == "every" and not 1 <= every_s <= MAX_INTERVAL_S) or (kind == "at" and not 0 < at_s < 1e11):
        raise ValueError("a job without its time")
    name, message = str(row.get("name", row.get("id", "job"))), row["message"]
    return CronJob(_whole_characters(name)[:32], kind, every_s, at_s, _whole_characters(message)[:256])


def _whole_characters(text: str) -> str:
    """JSON can hold half a character, a line of text cannot."""
    return text.encode(errors="replace").decode()


def _replace(target: Path, data: bytes) -> None:
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(target, data)
    except OSError as exc:
        raise StoreError(f"{target.name} cannot be written: {exc.strerror}") from exc
