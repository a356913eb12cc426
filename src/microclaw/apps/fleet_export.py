"""The desired state of devices, as a fleet.yaml with the programs beside it. It writes no file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Final

import yaml

from microclaw.apps.building import fit_claim, stored_program
from microclaw.apps.change_log import DesiredApp
from microclaw.apps.run_times import RunTimes, time_word
from microclaw.errors import BuildError, UnknownName
from microclaw.operations.result import Result
from microclaw.wasm.source_language import SUFFIX, Language
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES, DEFAULT_TIMERS, DEFAULT_WATCHDOG_MS

if TYPE_CHECKING:
    from microclaw.apps.parts import Apps
    from microclaw.devices.device import Device

FLEET: Final = "fleet.yaml"
LEVELS: Final = ("O3", "Os", "O2", "O1", "Oz", "O0")
_LANGUAGES: Final[tuple[Language, ...]] = ("c", "c++", "sketch")
_HEAD: Final = "# What this host wanted on its devices; docs/fleet.md has the form.\n"


class FleetExport(Result, frozen=True, kw_only=True):
    """`programs` are the entries of the fleet file; `files` has it and the programs, by their names."""

    document: ClassVar = "fleet_export"

    programs: list[dict[str, Any]]
    files: dict[str, bytes]


async def exported(apps: Apps, chosen: Sequence[Device] | None) -> FleetExport:
    """Of these devices, or of all."""
    known = {one.device_id: one for one in (apps.registry.list() if chosen is None else chosen)}
    built: dict[tuple[str, ...], tuple[str, bytes, int, str]] = {}
    alike: dict[tuple[str, str, bytes, str], tuple[dict[str, Any], list[str]]] = {}
    for app in await apps.change_log.desired():
        if (device := known.get(app.device_id)) is None:
            continue
        which = (app.name, app.version.sha256, device.board.board_id)
        if which not in built:
            built[which] = await _rebuilt(apps, app, device)
        suffix, content, usual_heap_bytes, level = built[which]
        terms = _terms(app, usual_heap_bytes, level)
        alike.setdefault((app.name, suffix, content, str(terms)), (terms, []))[1].append(device.name)
    files: dict[str, bytes] = {}
    programs: list[dict[str, Any]] = []
    for (name, suffix, content, _), (terms, devices) in sorted(alike.items(), key=lambda one: (one[0][0], one[1][1])):
        file, number = f"{name}{suffix}", 2
        while files.setdefault(file, content) != content:
            file, number = f"{name}.{number}{suffix}", number + 1
        programs.append({"file": file, "name": name, "devices": sorted(devices), **terms})
    fleet = {"programs": programs}
    text = yaml.safe_dump(fleet, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)
    return FleetExport(programs=programs, files={**files, FLEET: (_HEAD + str(text)).encode()})


def _terms(app: DesiredApp, usual_heap_bytes: int, level: str) -> dict[str, Any]:
    """The unusual terms of an entry."""
    version, times = app.version, app.version.times or RunTimes()
    values = (
        ("heap_bytes", version.heap_bytes, usual_heap_bytes),
        ("timers", version.timers, DEFAULT_TIMERS),
        ("watchdog_ms", version.watchdog_ms, DEFAULT_WATCHDOG_MS),
        ("optimization", level, LEVELS[0]),
        ("every", times.every_ms and time_word(times.every_ms), None),
        ("stop_after", times.stop_after_ms and time_word(times.stop_after_ms), None),
    )
    return {key: value for key, value, usual in values if value != usual}


async def _rebuilt(apps: Apps, app: DesiredApp, device: Device) -> tuple[str, bytes, int, str]:
    """The file's suffix and content, its usual heap and the level that make these very bytes of it; else the bytes."""
    stored = await apps.change_log.image(app.version.sha256)
    if app.version.kind == "py":
        image = stored_program(stored.code, stored.source, stored.meta)
        return ".py", image.source.encode(), fit_claim(image, DEFAULT_HEAP_BYTES), LEVELS[0]
    for level, language in product(LEVELS, _LANGUAGES) if stored.source is not None else ():
        try:
            made = await apps.compile(stored.source or "", device.board, app.name, level, language, ("wasm",))
        except (BuildError, UnknownName):
            continue
        if made.sha256 == stored.sha256:
            return SUFFIX[language], (stored.source or "").encode(), DEFAULT_HEAP_BYTES, level
    return ".wasm", stored.code, DEFAULT_HEAP_BYTES, LEVELS[0]
