"""The recordings of a host, one a device: they begin, are shown, and end with lines of expectations."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final

from msgspec import field

from microclaw.devices.registry.device import Device
from microclaw.errors import CallRejected, MicroclawError, UnknownName
from microclaw.host.operations.result import Result
from microclaw.programs.bench.board_recording import BoardRecording
from microclaw.programs.bench.recorded_lines import RecordedLine, RecordedLines, recorded_lines, with_trial
from microclaw.programs.changes.change_log import AppVersion
from microclaw.programs.changes.deployment import ChangeRequest
from microclaw.programs.changes.services import AppServices
from microclaw.programs.proof.expectations import Expectations
from microclaw.programs.proof.framebuf_font import with_framebuf_font
from microclaw.programs.proof.trial_plan import TrialOptions
from microclaw.text import count_text

_RESTS: Final = 10
"""Lines of a running recording are made again after this many times the time that it took."""


class DeviceRecording(Result, frozen=True, kw_only=True):
    """What was recorded on a device until now. `note` says why it ended, or what is missing."""

    document: ClassVar = "recording"

    device: str
    running: bool
    length_ms: float
    rows: list[RecordedLine] = field(name="lines")
    note: str | None = None

    @property
    def is_foreign(self) -> bool:
        # It has what programs printed and showed.
        return True

    def lines(self) -> list[str]:
        lines = [row.text for row in self.rows]
        if self.note is not None:
            lines.append(f"# {self.note}")
        return lines


class _ShownLines:
    """The lines of a running recording as they were shown last; from `next_s` on they are made again."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.lines = RecordedLines((), ())
        self.next_s = 0.0


class Recordings:
    """The recordings of a host. They end with it."""

    def __init__(self, group: asyncio.TaskGroup, apps: AppServices) -> None:
        self._group = group
        self._apps = apps
        self._recordings: dict[str, BoardRecording] = {}
        self._beginning = asyncio.Lock()
        self._shown: dict[BoardRecording, _ShownLines] = {}

    async def begin(self, name: str) -> DeviceRecording:
        """Begin to record. Raises NotSupported for a real board, CallRejected if the device is recorded already."""
        device = self._apps.registry.get(name)
        async with self._beginning:
            before = self._recordings.get(device.device_id)
            if before is not None and before.is_running:
                step = f"end that, and see its lines: microclaw device record {device.name} --end"
                raise CallRejected(f"{device.name} is recorded already", next_step=step)
            recording = BoardRecording(device)
            await recording.begin()
            if before is not None:
                self._shown.pop(before, None)
            self._recordings[device.device_id] = recording
        self._group.create_task(recording.keep_reading(), name=f"record {device.name}")
        return _result(recording, RecordedLines((), ()))

    async def close(self) -> None:
        """End all recordings. Their tasks end, too, also those that never began to read."""
        for recording in tuple(self._recordings.values()):
            await recording.close()

    async def show(self, name: str) -> DeviceRecording:
        """Return the lines until now, which no trial has met yet. Raises UnknownName if nothing is recorded."""
        recording = self._find(name)
        return _result(recording, await self._lines_until_now(recording))

    async def end(self, name: str) -> DeviceRecording:
        """End a recording and return its lines. Raises UnknownName if nothing is recorded."""
        recording = self._find(name)
        try:
            lines = await _lines_of(recording)
        finally:
            # Also if the caller has gone away: nobody else ends it.
            recording.stop()
            self._recordings.pop(recording.device.device_id, None)
            self._shown.pop(recording, None)
        try:
            tried = await with_trial(lines, _Rehearsal(self._apps, recording.device).met_lines)
        except MicroclawError as exc:
            recording.note = recording.note or f"no trial has met these lines: {exc.message}"
            return _result(recording, lines)
        left_out = len(lines.followed) - len(tried.followed)
        if left_out:
            text = f"{count_text(left_out, 'line')} more: true here, but not of a program that begins again"
            recording.note = recording.note or text
        return _result(recording, tried)

    async def _lines_until_now(self, recording: BoardRecording) -> RecordedLines:
        """Return the lines, which may be some seconds old: those who look often must not keep the host busy."""
        shown = self._shown.setdefault(recording, _ShownLines())
        now_s = asyncio.get_running_loop().time
        async with shown.lock:
            began_s = now_s()
            if began_s >= shown.next_s:
                shown.lines = await _lines_of(recording)
                shown.next_s = now_s() + _RESTS * (now_s() - began_s)
        return shown.lines

    def _find(self, name: str) -> BoardRecording:
        device = self._apps.registry.get(name)
        recording = self._recordings.get(device.device_id)
        if recording is None:
            text = f"nothing is recorded on {device.name}"
            raise UnknownName(text, next_step=f"microclaw device record {device.name}")
        return recording


async def _lines_of(recording: BoardRecording) -> RecordedLines:
    """Return the lines of what was recorded until now."""
    await recording.read()
    record, moves = await recording.snapshot()
    if recording.is_python:
        record = await with_framebuf_font(record, None)
    # In a thread: reading displays takes some milliseconds a picture.
    return await asyncio.to_thread(recorded_lines, record, recording.device.wiring, moves)


def _result(recording: BoardRecording, lines: RecordedLines) -> DeviceRecording:
    note = recording.note
    if lines.cut_ms is not None:
        note = note or f"only the first {lines.cut_ms / 1000:.1f} s: expectations have no room for more stimuli"
    return DeviceRecording(
        device=recording.device.name,
        running=recording.is_running,
        length_ms=round(recording.length_ms, 1),
        rows=lines.lines,
        note=note,
    )


class _Rehearsal:
    """Trials of the only program of this host on a device, with recorded lines."""

    def __init__(self, apps: AppServices, device: Device) -> None:
        self._apps = apps
        self._device = device

    async def met_lines(self, expectations: Expectations) -> set[str] | None:
        """Return the texts of the lines that a trial meets; None if the device has no or several programs of ours."""
        device = self._device
        programs = await self._apps.change_log.desired(device.device_id)
        if len(programs) != 1:
            return None
        name = programs[0].name
        version: AppVersion = programs[0].version
        request = ChangeRequest(device=device.device_id, name=name, version=version)
        image = await self._apps.changes.build(device, request, lambda _: None)
        options = TrialOptions(
            expectations=expectations,
            heap_bytes=version.heap_bytes,
            timers=version.timers,
            times=version.times,
            wiring=version.wiring,
            record=device.record,
        )
        trial = await self._apps.try_image(image, device.board, options)
        return {result.asked.text for result in trial.expected if result.trial == "met"}
