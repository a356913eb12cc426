"""Programs on a board at an address, without a host: the host's own stages over a store that is thrown away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec import UNSET, convert
from msgspec.structs import replace

from microclaw.apps import operations as programs
from microclaw.apps.building import cached_compiler
from microclaw.apps.change_log import ChangeLog
from microclaw.apps.changes import ProgramChanges
from microclaw.apps.deployment import ChangeRequest, Deployment
from microclaw.apps.fleet_operations import FleetProgram
from microclaw.apps.installer import Installer
from microclaw.apps.results import Deployed
from microclaw.apps.silence import explain_silence
from microclaw.apps.standing import removal_text
from microclaw.apps.trial import try_image
from microclaw.boards.profile import BoardProfile
from microclaw.builds.cache import BuildCache
from microclaw.cli.call_commands import board_at, check_offered
from microclaw.cli.operation_commands import show
from microclaw.cli.options import GlobalOptions
from microclaw.cli.steps import Stages
from microclaw.clock import now_ms
from microclaw.devices.calls import AppUninstall
from microclaw.devices.registry import Registry
from microclaw.errors import AppNotFound, MicroclawError
from microclaw.store.database import Database
from microclaw.store.devices import DeviceRow, DeviceTable
from microclaw.transports.open import open_transport
from microclaw.wire.host_api import failure_of


def run_directly(options: GlobalOptions, target: str, values: Mapping[str, Any], board: BoardProfile) -> None:
    """Build, check, try, install and verify, as a host does. Every program that is there counts as somebody else's.

    Exit code 1 when the board's evidence contradicts the trial.
    """
    options.only_here(f"a program for {target}")
    fields = {name: values[name] for name in FleetProgram.__struct_fields__ if name in values}
    request = convert({**fields, "devices": []}, FleetProgram).request()
    request = replace(request, device=target, replace=values["replace"], force=values["force"])
    deployment = asyncio.run(_deploy(options, board, request))
    show(options, programs.install, Deployed.of(deployment, change_id=UNSET))  # nobody keeps the change


async def _deploy(options: GlobalOptions, board: BoardProfile, request: ChangeRequest) -> Deployment:
    stages = Stages(options, options.terminal())
    async with _changes(options, request.device, board) as changes:
        try:
            return await changes.deploy(request, stages.show)
        except MicroclawError as exc:
            stages.failed(failure_of(exc))
            raise
        finally:
            stages.flush()


@asynccontextmanager
async def _changes(options: GlobalOptions, target: str, board: BoardProfile) -> AsyncIterator[ProgramChanges]:
    """A host's changes for one board; what it writes down is gone afterwards."""
    settings = options.settings()
    with TemporaryDirectory(prefix="microclaw-") as folder:
        async with Database.open(Path(folder) / "store.db") as database:
            table = DeviceTable(database)
            await table.put(DeviceRow("d-direct", target, board.board_id, transports=(target,), created_ms=now_ms()))
            registry = Registry(
                store=table,
                open_transport=partial(open_transport, lock_folder=settings.cache / "locks"),
                load_board=lambda *_: board,
                mint_id=lambda: "d-direct",
                now_ms=now_ms,
            )
            change_log, cache = ChangeLog(database), BuildCache(settings.cache)
            registry.explain_silence = partial(explain_silence, change_log)
            async with registry:
                yield ProgramChanges(
                    Installer(registry, change_log),
                    compile=cached_compiler(cache),
                    try_image=partial(try_image, cache=cache),
                )


def uninstall_directly(options: GlobalOptions, target: str, name: str) -> None:
    """Take a program off a board. AppNotFound, or DeployRejected when it is still listed."""
    options.only_here(f"a removal from {target}")
    look = f"microclaw exec {target} apps.list"

    async def take_off() -> str:
        async with board_at(target) as device:
            check_offered(device, AppUninstall(name))
            try:
                await device.call(AppUninstall(name), wait=False)
            except AppNotFound as exc:
                raise AppNotFound(exc.message, next_step=look) from exc
            return await removal_text(device, name, asyncio.sleep, next_step=f"restart the board, then {look}")

    options.report("removal", {"name": name, "device": target}, asyncio.run(take_off()))
