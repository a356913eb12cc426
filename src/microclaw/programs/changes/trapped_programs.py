"""Finds programs that trapped on boards that send no event about it, and stores each trap as a crash, once.

Devices that connect themselves report their crashes (devices/telemetry/reported.py). It restarts and removes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from microclaw.devices.registry.calls import LogLine, LogsRead
from microclaw.devices.registry.device import Device
from microclaw.devices.telemetry.reported import LOG_LINES, Crash, clean_trace, fingerprint, title_of
from microclaw.events import Alarm, AppEnded, Crashed, LiveEvent
from microclaw.host.store.apps import MAX_NUMBER
from microclaw.host.store.crashes import CrashReport, CrashTable, insert_crash
from microclaw.programs.board_list import ask_states
from microclaw.programs.changes.change_log import ChangeLog, DesiredApp, PutApp, StartApp
from microclaw.programs.changes.source_log import SourceLog
from microclaw.programs.proof.verdict import end_of
from microclaw.text import clean_text, one_line
from microclaw.wire.check_lines import LINE_SAID

# A program's lines are read so often at most: stock firmware serves one request at a time.
LINES_APART_S: Final = 60.0
_MAX_LINE_CHARS: Final = 240


class TrappedPrograms:
    """`look` is called at each check of a device. `publish` gets the events that a board's own report would make."""

    def __init__(
        self,
        change_log: ChangeLog,
        *,
        publish: Callable[[LiveEvent], None],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._change_log = change_log
        self._crashes = CrashTable(change_log.database)
        self._source_log = SourceLog(change_log)
        self._publish = publish
        self._monotonic_s = monotonic_s
        # By device: whether a program stood trapped at the last look, by its name and its deployment.
        self._were_trapped: dict[str, dict[tuple[str, int], bool]] = {}
        self._lines_read_s: dict[str, float] = {}

    async def look(self, device: Device) -> None:
        """Store the new traps of this host's programs there. Raises DeviceError if the board does not answer."""
        if any(transport.connects_itself for transport in device.transports):
            return
        wanted = await self._change_log.desired(device.device_id)
        if not wanted:
            return
        errors = await self._errors(device)
        if errors is None:
            return
        before = self._were_trapped.get(device.device_id, {})
        now: dict[tuple[str, int], bool] = {}
        for app in wanted:
            key = (app.name, app.since_ms)
            error = errors.get(app.name)
            now[key] = error is not None
            if error is not None and await self._is_new(app, before.get(key)):
                await self._store(device, app, error)
        self._were_trapped[device.device_id] = now

    async def _errors(self, device: Device) -> dict[str, str] | None:
        """Return why each trapped program trapped, by its name; None if the board is not asked this time."""
        states = await ask_states(device, wait=False)
        if states is not None:
            return {state.name: state.error or "" for state in states if state.has_failed}
        if not device.supports(LogsRead.method):
            return None
        now_s = self._monotonic_s()
        read_s = self._lines_read_s.get(device.device_id)
        if read_s is not None and now_s - read_s < LINES_APART_S:
            return None
        self._lines_read_s[device.device_id] = now_s
        return await trapped_by_lines(self._change_log, device)

    async def _is_new(self, app: DesiredApp, was_trapped: bool | None) -> bool:
        """Return if this trap is not stored yet. At this host's first look, an earlier run of it may have done that."""
        if was_trapped is not None:
            return not was_trapped
        groups = await self._crashes.groups(since_ms=app.since_ms, devices=[app.device_id])
        return all(group.program != app.name for group in groups)

    async def _store(self, device: Device, app: DesiredApp, error: str) -> None:
        at_ms = self._change_log.now_ms()
        version = app.version.sha256
        crash = Crash("program", app.name, clean_trace(error))
        title = title_of(crash)
        report = CrashReport(
            device_id=app.device_id,
            at_ms=at_ms,
            fingerprint=fingerprint(crash, version, title),
            kind=crash.kind,
            program=app.name,
            version=version[:12],
            title=title,
            firmware="",
            trace=crash.trace,
            log=await self._last_lines(device, app.name),
        )
        stored = await self._change_log.database.write(partial(insert_crash, report=report))
        # Its device was removed meanwhile.
        if stored is None:
            return
        name = device.name
        self._publish(AppEnded(name, at_ms, app.name, "trapped"))
        self._publish(Alarm(name, at_ms, "app.crash", f"{app.name}: {title}"))
        self._publish(Crashed(name, at_ms, stored.crash_id, crash.kind, stored.is_new, stored.count, title))

    async def _last_lines(self, device: Device, name: str) -> tuple[str, ...]:
        if not device.supports(LogsRead.method):
            return ()
        lines = await self._source_log.read_kept(device, name)
        return tuple(_shown(line) for line in lines[-LOG_LINES:])


async def trapped_by_lines(change_log: ChangeLog, device: Device) -> dict[str, str]:
    """Return what their own lines say of the programs that trapped, by name. Raises DeviceError.

    Only for boards that report no states: lines are all that a program leaves there. Those that were printed before
    the newest installation do not count.
    """
    lines = await SourceLog(change_log).read_kept(device, None)
    ends: dict[str, str] = {}
    since_ms: dict[str, int] | None = None
    last_lines: dict[str, str] = {}
    for line in lines:
        if line.app is None:
            continue
        before = last_lines.get(line.app, "")
        last_lines[line.app] = line.text
        if end_of([line.text]) != "trapped":
            continue
        if since_ms is None:
            since_ms = await _installed_ms(change_log, device)
        if line.at_ms is not None and line.at_ms < since_ms.get(line.app, 0):
            continue
        ends[line.app] = _shown(line)
        # The program's own check said why just before.
        if LINE_SAID.fullmatch(before):
            ends[line.app] = before
    return ends


async def _installed_ms(change_log: ChangeLog, device: Device) -> dict[str, int]:
    """Return when each program was last put or started on the device, in Unix ms."""
    moments_ms: dict[str, int] = {}
    for change in await change_log.changes(device.device_id, MAX_NUMBER, state="done", kind="app.%"):
        match change.forward:
            case PutApp(name=name) | StartApp(name=name):
                moments_ms.setdefault(name, change.at_ms)
    return moments_ms


def _shown(line: LogLine) -> str:
    return clean_text(one_line(line.text), one_line=True, limit=_MAX_LINE_CHARS)
