"""What devices hear, kept for one's own debugging: never unless an owner wants it for a while, and said aloud before.

A recording ends by itself. It outlives a restart of the host, and is said aloud again after it. Files are private,
their bytes bounded, and removed after `voice.record_days`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from microclaw.audit import AuditEvent, AuditKind, Record
from microclaw.durable import replace_file
from microclaw.errors import ConfigError, Overloaded, UnknownName
from microclaw.text import format_duration
from microclaw.voice.engines.engine import RATE_HZ, Transcript
from microclaw.voice.engines.wav import wav_of
from microclaw.voice.trace import VoiceTrace

MIN_S: Final = 10
MAX_S: Final = 86_400
MAX_DEVICES: Final = 100
MAX_UTTERANCE_BYTES: Final = 60 * RATE_HZ * 2
MAX_TOTAL_BYTES: Final = 200_000_000
"""Of all files; the oldest are removed first."""
MAX_WAITING: Final = 8
"""Utterances that wait for the disk; one more is not kept."""
MAX_OPEN: Final = 5
MAX_LISTED: Final = 1_000
LOOK_S: Final = 600.0
RETRY_S: Final = 5.0
DAY_MS: Final = 86_400_000
ON_FILE: Final = "on.json"
BEGINS: Final = "From now on what you say is recorded, for {}."
ENDED: Final = "What you say is not recorded any more."
_NAME: Final = re.compile(r"[0-9]{8}-[0-9]{9}-[A-Za-z0-9_-]{1,80}")
_log = logging.getLogger(__name__)

Say = Callable[[str, str], Awaitable[bool]]
"""Speaks a text through the device with this id, if it is connected; whether it was spoken."""


@dataclass(frozen=True, slots=True)
class RecordingWindow:
    """One device's, until then. Nothing is kept before the device has said so (`is_told`)."""

    device_id: str
    name: str
    until_ms: int
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class _Heard:
    window: RecordingWindow
    at_ms: int
    pcm: bytes
    transcript: Transcript | None


class Recordings:
    """`await run(say)` keeps and ends them. The other methods do not wait, but for `files` and `remove` (a thread)."""

    def __init__(self, folder: Path, days: int, now_ms: Callable[[], int], record: Record) -> None:
        self.folder = folder
        self.days = days
        self._now_ms = now_ms
        self._record = record
        self._on: dict[str, RecordingWindow] = {}
        self._telling: set[str] = set()
        self._heard: deque[_Heard] = deque()
        self._changed = asyncio.Event()
        self._load()

    # Who is recorded

    def windows(self) -> list[RecordingWindow]:
        return [window for window in self._on.values() if window.until_ms > self._now_ms()]

    def window(self, device_id: str) -> RecordingWindow | None:
        """Of a device that has said aloud that it is recorded; None: nothing of it is kept."""
        found = self._on.get(device_id)
        return found if found is not None and found.is_told and found.until_ms > self._now_ms() else None

    def begin(self, device_id: str, name: str, for_s: int, *, by: str) -> RecordingWindow:
        """A window that is there is replaced: it is said again. Raises ConfigError and Overloaded."""
        if not MIN_S <= for_s <= MAX_S:
            raise ConfigError(f"a recording lasts 10 s to a day, not {for_s} s", next_step="--for 10m")
        if device_id not in self._on and len(self._on) >= MAX_DEVICES:
            raise Overloaded(f"{MAX_DEVICES} devices are recorded", next_step="microclaw voice record list")
        window = RecordingWindow(device_id, name, self._now_ms() + for_s * 1000)
        self._save({**self._on, device_id: window})
        text = f"for {format_duration(for_s * 1000)}; it begins when the device has said so aloud"
        self._record(AuditEvent(AuditKind.RECORDING_WANTED, text, about=name, by=by))
        self._changed.set()
        return window

    def end(self, device_id: str, *, by: str) -> RecordingWindow:
        """Nothing more is kept when this returns. Raises UnknownName."""
        window = self._on.get(device_id)
        if window is None:
            raise UnknownName("this device is not recorded", next_step="microclaw voice record list")
        self._save({key: value for key, value in self._on.items() if key != device_id})
        self._record(AuditEvent(AuditKind.RECORDING_ENDED, f"switched off{_kept(window)}", about=window.name, by=by))
        return window

    def look(self) -> None:
        """A device has connected: it may have to say that it is recorded."""
        self._changed.set()

    def keep(self, window: RecordingWindow, pcm: bytes, transcript: Transcript | None) -> None:
        if len(self._heard) >= MAX_WAITING:
            _log.warning("an utterance was not recorded: %d wait for the disk", MAX_WAITING)
            return
        self._heard.append(_Heard(window, self._now_ms(), pcm, transcript))
        self._changed.set()

    async def run(self, say: Say) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                for window in tuple(self._on.values()):
                    if window.until_ms <= self._now_ms():
                        self._expired(window)
                        tasks.create_task(self.tell_end(window, say), name="voice: recording ended")
                    elif not window.is_told and window.device_id not in self._telling:
                        tasks.create_task(self._tell(window, say), name="voice: recording begins")
                while self._heard:
                    await self._guarded(self._write, self._heard.popleft())
                await self._guarded(self._remove_old)
                next_ms = min((window.until_ms for window in self._on.values()), default=None)
                wait_s = LOOK_S if next_ms is None else min(LOOK_S, max(0.0, (next_ms - self._now_ms()) / 1000))
                try:
                    async with asyncio.timeout(wait_s):
                        await self._changed.wait()
                except TimeoutError:
                    pass

    async def tell_end(self, window: RecordingWindow, say: Say) -> None:
        if window.is_told:  # else it was never recorded
            await say(window.device_id, ENDED)

    # What there is

    async def files(self) -> list[dict[str, Any]]:
        """The newest first: name, device, time, seconds, text, bytes."""
        return await asyncio.to_thread(self._files)

    async def remove(self, name: str | None) -> int:
        """One recording, or all of them; how many there were. Raises UnknownName."""
        if name is not None and not (_NAME.fullmatch(name) and self._wav(name).exists()):
            raise UnknownName(f"there is no recording {name[:100]!r}", next_step="microclaw voice record list")
        return await asyncio.to_thread(self._remove, name)

    def _wav(self, name: str) -> Path:
        return self.folder / f"{name}.wav"

    def _files(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for wav in sorted(self.folder.glob("*.wav"), reverse=True)[:MAX_LISTED]:
            beside = wav.with_suffix(".json")
            try:
                told = json.loads(beside.read_text(encoding="utf-8"))
                size_bytes = wav.stat().st_size
            except (OSError, ValueError):
                continue  # it is being written, or being removed
            found.append({"name": wav.stem, "file": str(wav), "bytes": size_bytes, **told})
        return found

    def _remove(self, name: str | None) -> int:
        wavs = [self._wav(name)] if name is not None else list(self.folder.glob("*.wav"))
        for wav in wavs:
            wav.unlink(missing_ok=True)
            wav.with_suffix(".json").unlink(missing_ok=True)
        return len(wavs)

    def _write(self, heard: _Heard) -> None:
        device = re.sub(r"[^A-Za-z0-9_-]", "_", heard.window.device_id)[:80]
        name = f"{_stamp(heard.at_ms)}-{device}"
        transcript = heard.transcript
        beside = {
            "device": heard.window.name,
            "at_ms": heard.at_ms,
            "seconds": round(len(heard.pcm) / (2 * RATE_HZ), 2),
            "text": transcript.text if transcript is not None else "",
            "confidence": round(transcript.confidence, 2) if transcript is not None else 0.0,
        }
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self._wav(name).with_suffix(".json"), json.dumps(beside, ensure_ascii=False).encode())
        replace_file(self._wav(name), wav_of(heard.pcm, RATE_HZ), sync=False)

    def _remove_old(self) -> None:
        """Those of too many days, and the oldest beyond MAX_TOTAL_BYTES."""
        left_bytes, oldest = MAX_TOTAL_BYTES, _stamp(self._now_ms() - self.days * DAY_MS)
        for wav in sorted(self.folder.glob("*.wav"), reverse=True):
            if not _NAME.fullmatch(wav.stem):
                continue  # not ours
            left_bytes -= wav.stat().st_size
            if left_bytes < 0 or wav.stem < oldest:
                self._remove(wav.stem)

    async def _guarded(self, work: Callable[..., None], *words: object) -> None:
        try:
            await asyncio.to_thread(work, *words)
        except OSError as exc:
            _log.warning("recordings in %s: %s", self.folder, exc.strerror)

    # Windows

    async def _tell(self, window: RecordingWindow, say: Say) -> None:
        self._telling.add(window.device_id)
        try:
            left_ms = max(1_000, window.until_ms - self._now_ms())
            is_told = await say(window.device_id, BEGINS.format(spoken_duration(left_ms)))
            if is_told and self._on.get(window.device_id) == window:  # else it was switched off meanwhile
                left = format_duration(max(1_000, window.until_ms - self._now_ms()))
                event = AuditEvent(
                    AuditKind.RECORDING_BEGUN, f"the device has said so; {left} are left", about=window.name
                )
                self._record(event)  # before anything is kept
                self._on = {**self._on, window.device_id: replace(window, is_told=True)}
            elif not is_told:
                await asyncio.sleep(RETRY_S)  # it is away, or somebody spoke into it
                self._changed.set()
        finally:
            self._telling.discard(window.device_id)

    def _expired(self, window: RecordingWindow) -> None:
        self._save({key: value for key, value in self._on.items() if key != window.device_id})
        self._record(AuditEvent(AuditKind.RECORDING_ENDED, f"its time is over{_kept(window)}", about=window.name))

    def _save(self, on: dict[str, RecordingWindow]) -> None:
        """On the disk first: after a restart it is known who has to be told."""
        path = self.folder / ON_FILE
        try:
            if on:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                rows = [asdict(window) for window in on.values()]
                replace_file(path, json.dumps(rows).encode(), sync=False)  # lost in a power cut, it is off
            else:
                path.unlink(missing_ok=True)
        except OSError as exc:
            if len(on) >= len(self._on):
                text = f"{self.folder} cannot be written: {exc.strerror}"
                raise ConfigError(text, next_step="make room there") from exc
            _log.warning("recordings in %s: %s", self.folder, exc.strerror)  # it ends all the same
        self._on = on

    def _load(self) -> None:
        """What was on before a restart is said again before anything is kept."""
        try:
            rows = json.loads((self.folder / ON_FILE).read_text(encoding="utf-8"))
            windows = [RecordingWindow(str(r["device_id"]), str(r["name"]), int(r["until_ms"])) for r in rows]
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as exc:
            _log.warning("%s is not readable, nothing is recorded: %s", self.folder / ON_FILE, type(exc).__name__)
            return
        self._on = {window.device_id: window for window in windows[:MAX_DEVICES]}


class Tapes:
    """One session's audio while it is recorded; without a window it holds nothing."""

    def __init__(self, recordings: Recordings | None, device_id: Callable[[], str]) -> None:
        self._recordings = recordings
        self._device_id = device_id
        self._open: deque[tuple[VoiceTrace, bytearray]] = deque(maxlen=MAX_OPEN)
        self._is_running = False

    def opened(self, trace: VoiceTrace) -> None:
        """A stream that was opened before its device has said that it is recorded is not."""
        self._is_running = self._recordings is not None and self._recordings.window(self._device_id()) is not None
        if self._is_running:
            self._open.append((trace, bytearray()))

    def hear(self, pcm: bytes) -> None:
        if self._is_running:
            tape = self._open[-1][1]
            tape += pcm[: MAX_UTTERANCE_BYTES - len(tape)]

    def forget(self) -> None:
        """The person takes the newest stream back."""
        if self._is_running:
            self._is_running = False
            self._open.pop()

    def ended(self, trace: VoiceTrace, transcript: Transcript | None) -> None:
        """What was heard in it is kept, if it is still recorded."""
        if self._recordings is None or not any(one is trace for one, _ in self._open):
            return
        if self._open[-1][0] is trace:
            self._is_running = False
        found = [(one, tape) for one, tape in self._open if one is trace]
        for row in found:
            self._open.remove(row)
        window = self._recordings.window(self._device_id())
        if window is not None and found[0][1] and not trace.is_taken_back:
            self._recordings.keep(window, bytes(found[0][1]), transcript)


def _kept(window: RecordingWindow) -> str:
    return "" if window.is_told else "; the device had not said so yet: nothing was recorded"


def _stamp(at_ms: int) -> str:
    """The beginning of a file's name: it sorts by time."""
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y%m%d-%H%M%S}{at_ms % 1000:03}"


def spoken_duration(ms: float) -> str:
    """In words for the ear, rounded: "ten minutes" as "10 minutes"."""
    seconds = round(ms / 1000)
    for unit, size in (("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size or seconds == size:
            count = round(seconds / size)
            return f"{count} {unit}{'s' if count != 1 else ''}"
    return f"{seconds} seconds"
