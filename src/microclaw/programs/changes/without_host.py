"""The acts on programs without a host: the same services over a store that is thrown away, with one board in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeVar

from msgspec import UNSET
from msgspec.structs import replace

from microclaw.clock import now_ms
from microclaw.devices.registry.registry import Registry
from microclaw.devices.transports.open import open_transport
from microclaw.hardware.boards import load_board
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.host.auth.gate import Gate
from microclaw.host.config.settings import Settings
from microclaw.host.operations.result import Result
from microclaw.host.store.database import Database
from microclaw.host.store.devices import DeviceRow, DeviceTable
from microclaw.programs.changes.change_log import ChangeLog
from microclaw.programs.changes.deployment import Place
from microclaw.programs.changes.operations import ProgramContext
from microclaw.programs.changes.results import AppAct
from microclaw.programs.changes.services import AppServices
from microclaw.programs.wasm.pin_program import build_pin_program

R = TypeVar("R", bound=Result)
_DEVICE_ID: Final = "d-direct"


@asynccontextmanager
async def programs_at(
    settings: Settings, address: str, board: BoardProfile | None = None
) -> AsyncIterator[ProgramContext]:
    """Give the services with only the board at an address. Each program on it counts as another host's."""
    profile = board or load_board("virtual")
    with TemporaryDirectory(prefix="microclaw-") as folder:
        async with Database.open(Path(folder) / "store.db") as database:
            table = DeviceTable(database)
            await table.put(
                DeviceRow(_DEVICE_ID, address, profile.board_id, transports=(address,), created_ms=now_ms())
            )
            registry = Registry(
                store=table,
                open_transport=partial(
                    open_transport, lock_folder=settings.cache / "locks", build_pin_program=build_pin_program
                ),
                load_board=lambda *_: profile,
                mint_id=lambda: _DEVICE_ID,
                now_ms=now_ms,
            )
            async with registry:
                gate = Gate()
                apps = AppServices(
                    settings,
                    registry,
                    ChangeLog(database),
                    gate,
                    publish=lambda _: None,
                    tell=_tell_nobody,
                    looks_after=lambda _: True,
                )
                yield ProgramContext(apps, gate)


async def _tell_nobody(_place: Place | None, _device: str, _note: str, _alarm: str | None) -> None:
    """Do nothing: without a host no act waits for its device."""


def without_number(result: R) -> R:
    """Return a result without the number of its change, which is lost with its store."""
    if isinstance(result, AppAct):
        return replace(result, change_id=UNSET, undoable=UNSET)
    return result
