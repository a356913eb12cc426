"""Whether an app that its board lost is put back: not after a crash loop, nor against something else that manages it.

It remembers what this process saw: a host that starts again tries again. It installs and removes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, TypeAlias

from microclaw.apps.changes import ChangeLog, DesiredApp, RemoveApp
from microclaw.apps.direct_io import booted_ms
from microclaw.devices.calls import AppEntry, AppList
from microclaw.devices.device import Device, IntermittentTransport
from microclaw.errors import MicroclawError
from microclaw.text import program_name

MAX_PUT_BACKS: Final = 5
PUT_BACK_WINDOW_S: Final = 600.0
"""An app that is lost more often than that in this time may make its board restart: it stays off."""
MAX_UNDONE: Final = 2
UNDONE_WINDOW_S: Final = 300.0
"""An app that is taken off so often after it was put back, while its board stayed up, is not put back any more."""

Key: TypeAlias = tuple[str, str, int]
"""Device, app and deployment: a new deployment starts everything again."""


class PutBacks:
    """One per reconciler. `alarm` is called with a device's name and a text, once for each app that is given up."""

    def __init__(
        self, change_log: ChangeLog, *, monotonic_s: Callable[[], float], alarm: Callable[[str, str], None]
    ) -> None:
        self._change_log = change_log
        self._monotonic_s = monotonic_s
        self._alarm = alarm
        self._seen: dict[str, tuple[float, frozenset[str]]] = {}  # at the last check: when, and which of ours
        self._ours: dict[str, set[str]] = {}  # on the board at the beginning of this check
        self._others: dict[str, set[str]] = {}
        self._losses: dict[Key, list[float]] = {}
        self._put_back: dict[Key, float] = {}
        self._undone: dict[Key, list[float]] = {}
        self._given_up: dict[Key, str] = {}
        self._same_heap: set[Key] = set()  # listed once with the heap that it was installed with
        self._told: dict[str, str] = {}

    async def refusal(self, device: Device, app: DesiredApp) -> str | None:
        """Count one more loss, after `other_manager`. Why the app is not put back; None when it is."""
        key = _key(app)
        if key in self._given_up:
            return self._given_up[key]
        now_s = self._monotonic_s()
        put_back_s = self._put_back.pop(key, None)
        recently = put_back_s is not None and now_s - put_back_s < UNDONE_WINDOW_S
        if recently and await self._stayed_up(device, app):
            times = self._count(self._undone, key, UNDONE_WINDOW_S)
            if times >= MAX_UNDONE:
                what = f"{app.name} was taken off again {times} times within {_WINDOW} without a restart"
                return self._give_up(device, app, f"{_SOMETHING}: {what}")
        if self._count(self._losses, key, PUT_BACK_WINDOW_S) > MAX_PUT_BACKS:
            self._losses[key].pop()
            return self._lost_too_often(device, app)
        return None

    def _lost_too_often(self, device: Device, app: DesiredApp) -> str:
        """Nothing tells whether the board restarts. It is tried again later, unless another's program is there too."""
        what = f"{app.name} was lost {MAX_PUT_BACKS} times in {PUT_BACK_WINDOW_S / 60:.0f} minutes"
        if others := self._others.get(device.device_id):
            there = program_name(min(others))
            return self._give_up(
                device,
                app,
                f"{_SOMETHING}, or it restarts: {what}, and {there}, which this host did not put there, is there",
            )
        return f"{what} and may be what restarts the board, or something else takes it off: left off"

    def _give_up(self, device: Device, app: DesiredApp, why: str) -> str:
        text = (
            f"{why}. It is left off: let one host have the board (microclaw device remove {device.name} on the other), "
            f"or do without the program: microclaw app uninstall {app.name} -d {device.name}"
        )
        self._given_up[_key(app)] = text
        self._alarm(device.name, text)
        return text

    def put_back(self, app: DesiredApp) -> None:
        """It is on the board again, by this host."""
        self._put_back[_key(app)] = self._monotonic_s()

    def seen(self, device: Device, wanted: Sequence[DesiredApp], there: Collection[str]) -> None:
        """What of the wanted apps the board has at the end of a check. Forgets what is not wanted any more."""
        self._seen[device.device_id] = (self._monotonic_s(), frozenset(app.name for app in wanted if app.name in there))
        keys = {_key(app) for app in wanted}
        for noted in (self._losses, self._put_back, self._undone, self._given_up):
            for gone in [key for key in noted if key[0] == device.device_id and key not in keys]:
                del noted[gone]
        self._same_heap -= {key for key in self._same_heap if key[0] == device.device_id and key not in keys}

    async def other_manager(
        self, device: Device, wanted: Sequence[DesiredApp], listed: Iterable[AppEntry]
    ) -> str | None:
        """What the board's list itself shows of something else that manages the board; None when it shows nothing."""
        entries = {entry.name: entry for entry in listed}
        names = {app.name for app in wanted}
        others = entries.keys() - names - device.pin_programs
        self._ours[device.device_id], self._others[device.device_id] = entries.keys() & names, others
        text = self._replaced(device, wanted, entries) or await self._came_back(device, wanted)
        if text is not None and self._told.get(device.device_id) != text:
            self._alarm(device.name, text)
        if text is None:
            self._told.pop(device.device_id, None)
        else:
            self._told[device.device_id] = text
        return text

    def _replaced(self, device: Device, wanted: Sequence[DesiredApp], listed: dict[str, AppEntry]) -> str | None:
        """A board tells a program's name and heap alone: a heap that is another since is another program."""
        for app in wanted:
            key, entry = _key(app), listed.get(app.name)
            if entry is None:
                continue
            if key in self._given_up:
                return f"{_SOMETHING}: {app.name} is there again, and this host did not put it there{_step(device)}"
            if entry.heap_bytes == app.version.heap_bytes:
                self._same_heap.add(key)
            elif key in self._same_heap:
                heap = f"{entry.heap_bytes:,} bytes of heap, this host's has {app.version.heap_bytes:,}"
                return f"{_SOMETHING}: another program is there as {app.name} ({heap}){_step(device)}"
        return None

    async def _came_back(self, device: Device, wanted: Sequence[DesiredApp]) -> str | None:
        """A program of others that was taken off here again and again: it was there again each time."""
        removed = [name for _, name in await self.removed_lately(device.device_id) if name not in device.pin_programs]
        for name in sorted(set(removed) - {app.name for app in wanted}):
            if (times := removed.count(name)) >= MAX_UNDONE:
                what = f"{program_name(name)} was taken off {times} times here within {_WINDOW} and came back"
                return f"{_SOMETHING}: {what}{_step(device)}"
        return None

    async def removed_lately(self, device_id: str | None = None) -> list[tuple[str, str]]:
        """Device and name of each program of others that was taken off within the window, of one device or of all."""
        since_ms = self._change_log.now_ms() - round(UNDONE_WINDOW_S * 1000)
        return [
            (change.device_id, change.forward.name)
            for change in await self._change_log.changes(device_id, _LOOK_BACK)
            if isinstance(change.forward, RemoveApp)
            if change.kind == "app.remove" and change.state == "done" and change.inverse is None
            if change.at_ms >= since_ms
        ]

    async def _stayed_up(self, device: Device, app: DesiredApp) -> bool:
        """Whether the board is known not to have restarted since the last check.

        Firmware that loses programs loses all of them: another one of this host that is still there tells it. So does
        an uptime. Another host's program tells nothing: that host may have put it back before this one looked.
        """
        if (
            isinstance(device.transport_for(AppList.method), IntermittentTransport)
            or device.device_id not in self._seen
        ):
            return False  # a board that is paired has one host
        seen_s, there = self._seen[device.device_id]
        if (there - {app.name}) & self._ours[device.device_id]:
            return True
        try:
            boot_ms = await booted_ms(device, lambda: round(self._monotonic_s() * 1000))
        except MicroclawError:  # another of its transports: it is not known then
            return False
        return boot_ms is not None and boot_ms + _MARGIN_MS <= seen_s * 1000

    def _count(self, noted: dict[Key, list[float]], key: Key, window_s: float) -> int:
        """Note one more; how many there were within the window."""
        now_s = self._monotonic_s()
        noted[key] = [*(at_s for at_s in noted.get(key, ()) if now_s - at_s < window_s), now_s]
        return len(noted[key])


_LOOK_BACK: Final = 50
_MARGIN_MS: Final = 1000  # an uptime comes a moment after it was asked for
_SOMETHING: Final = "something else manages this board"
_WINDOW: Final = f"{UNDONE_WINDOW_S / 60:.0f} min"


def _key(app: DesiredApp) -> Key:
    return app.device_id, app.name, app.since_ms


def _step(device: Device) -> str:
    return f". Let one host have the board: microclaw device remove {device.name} on the other"
