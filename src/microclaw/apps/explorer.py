"""Finds out what the firmware on a board has, with a program that is there for a moment. Keeps no description.

It needs a place among the board's programs and takes none away. The change log has "the explorer is off" as an open
change before it is installed, so that a host that died takes it off at its next start, as every cut change is mended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from msgspec.structs import asdict, replace

from microclaw.apps.act_results import Explored
from microclaw.apps.building import Compile
from microclaw.apps.change_log import RemoveApp, made_by
from microclaw.apps.explorer_program import (
    FIELD,
    NODES,
    TRIED,
    URL,
    Findings,
    explore_s,
    explorer_source,
    read_findings,
)
from microclaw.apps.firmware_fit import fit_limits
from microclaw.apps.installer import Installer, check_room
from microclaw.boards.firmware import FirmwareDescription, NameChange, parse_firmware
from microclaw.boards.profile import BoardProfile
from microclaw.boards.reader import load_board
from microclaw.devices.calls import AppInstall, AppList, AppRequest, AppUninstall
from microclaw.devices.device import Device
from microclaw.errors import AppNotFound, DeviceTimeout
from microclaw.events import Report, Step
from microclaw.wire.wasmachine.natives import NATIVES, NativeGroup
from microclaw.wire.wasmachine.request import DEFAULT_TIMERS

EXPLORER: Final = "microclaw-explore"
_HEAP_BYTES: Final = 2048
_ASK_S: Final = 3.0
_ASKS: Final = 3
_PAUSE_S: Final = 0.5
_NOT_TRIED: Final = (
    "limits (apps, heap, memory, image, timers): to find them the board would have to be filled",
    "the file system: a file would stay on the board, which has no function to delete one",
)


class Explorer:
    """Explores one device at a time; nobody else changes its programs meanwhile."""

    def __init__(
        self,
        installer: Installer,
        compile: Compile,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._installer, self._devices, self._change_log = installer, installer.devices, installer.change_log
        self._compile = compile
        self._sleep = sleep

    async def explore(self, reference: str, report: Report) -> Explored:
        """Build the explorer, install it, ask it, take it off. Raises TooManyApps, NotSupported, DeviceError."""
        device = self._devices.get(reference)
        for method in (AppInstall.method, AppRequest.method):
            device.transport_for(method)
        board = device.board
        image = await self._compile(explorer_source(), _every_native(board), EXPLORER, "Os")
        report(Step("compile", f"the explorer has {image.size_bytes:,} B"))
        heap_bytes, timers = fit_limits(
            board, min(_HEAP_BYTES, board.firmware.max_heap_bytes or _HEAP_BYTES), DEFAULT_TIMERS
        )
        async with self._installer.holding(device):
            await self._clear_place(device)
            findings = await self._run(device, AppInstall(EXPLORER, image.code, heap_bytes, timers), report)
        words = description_of(findings, board, load_board(board.board_id)).words
        sets: dict[str, Any] = {name: sorted(names) for name, names in asdict(findings).items()}
        return Explored(device=device.name, unknown=unknown_of(findings), firmware=list(words), **sets)

    async def _clear_place(self, device: Device) -> None:
        """Raise TooManyApps unless there is room; an explorer that another host left is taken off."""
        listed, wanted = await device.call(AppList()), await self._change_log.desired(device.device_id)
        if any(app.name == EXPLORER for app in listed):
            await device.call(AppUninstall(EXPLORER))
        check_room(device, EXPLORER, (app.name for app in listed), wanted)

    async def _run(self, device: Device, install: AppInstall, report: Report) -> Findings:
        with made_by(None):  # undo has nothing to undo
            change_id = await self._change_log.plan(
                device.device_id, "app.explore", f"explore {device.name}", RemoveApp(EXPLORER), None
            )
        async with self._change_log.closing(change_id):
            try:
                await device.call(install)
                report(Step("deploy", f"the explorer is on {device.name} for a moment"))
                await self._sleep(explore_s())
                return await self._answer(device)
            finally:
                await asyncio.shield(_take_off(device))
                report(Step("deploy", f"the explorer is off {device.name} again"))

    async def _answer(self, device: Device) -> Findings:
        """Ask until it is done: what a firmware lacks, and its timers, may make it late."""
        for asked in range(_ASKS):
            try:
                reply = await device.call(AppRequest(EXPLORER, URL, {}), _ASK_S)
            except DeviceTimeout:
                if asked == _ASKS - 1:
                    raise
                await self._sleep(_PAUSE_S)
            else:
                return read_findings(reply.values.get(FIELD))
        raise AssertionError("the last question is answered or raises")


async def _take_off(device: Device) -> None:
    """Uninstall it, also where its install failed and nobody knows how far it came."""
    with suppress(AppNotFound):
        await device.call(AppUninstall(EXPLORER))


def _every_native(board: BoardProfile) -> BoardProfile:
    """The board as if its firmware had all functions: the explorer imports what may be missing."""
    groups = frozenset(group.value for group in NativeGroup)
    return replace(board, firmware=replace(board.firmware, native_groups=groups, natives_lacking=frozenset()))


def unknown_of(findings: Findings) -> list[str]:
    """The points that could not be found out, in sentences."""
    known = findings.natives | findings.lacking_natives
    untried = {group for group in NativeGroup if not any(NATIVES[name].group == group for name in TRIED)}
    there = {NATIVES[name].group for name in findings.natives}  # of another group that was tried, all is lacking
    used = ", ".join(sorted(group.value for group in untried))
    single = ", ".join(sorted(name for name, n in NATIVES.items() if n.group in there and name not in known))
    lines = [
        f"the groups {used}: to call them is to use them",
        f"{single}: calling them would end the program, or disturb others",
        *_NOT_TRIED,
    ]
    if nodes := sorted(set(NODES) - findings.nodes - findings.lacking_nodes):
        lines.append(f"device files {', '.join(nodes)}: their drivers gave another error than a wrong number's")
    return lines


def description_of(findings: Findings, now: BoardProfile, stock: BoardProfile) -> FirmwareDescription:
    """The description that the findings make of the stock profile; what was not found out stays as `now` has it."""
    before = parse_firmware(now.firmware.described)
    added, removed = set[str](), set[str]()
    for group in NativeGroup:
        names = {native.name for native in NATIVES.values() if native.group == group}
        tried = names & (findings.natives | findings.lacking_natives)
        there = (tried & findings.natives) | {n for n in names - tried if now.firmware.has_native(n, group.value)}
        in_stock = {n for n in names if stock.firmware.has_native(n, group.value)}
        if tried and not tried & findings.natives:
            removed |= {group.value} if in_stock else set()
        elif not in_stock and there == names:
            added.add(group.value)
        else:
            added |= there - in_stock
            removed |= in_stock - there
    nodes = (now.firmware.device_nodes | findings.nodes) - findings.lacking_nodes
    return replace(
        before,
        plain=False,
        natives=NameChange(added=frozenset(added), removed=frozenset(removed)),
        nodes=NameChange(
            added=frozenset(nodes - stock.firmware.device_nodes), removed=frozenset(stock.firmware.device_nodes - nodes)
        ),
        files=None if now.firmware.has_files == stock.firmware.has_files else now.firmware.has_files,
    )
