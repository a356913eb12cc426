"""Programs on a board at an address, without a host: the host's own stages over a store that is thrown away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec import UNSET

from microclaw.apps.act_results import Deployed
from microclaw.apps.building import cached_compiler, program_language
from microclaw.apps.changes import ChangeLog
from microclaw.apps.deploy import Deployer, Deployment, DeployRequest
from microclaw.apps.installer import Installer
from microclaw.apps.listing import ListingDevice, removal_text
from microclaw.apps.silence import SilenceExplainer
from microclaw.apps.trial import try_image
from microclaw.boards.profile import BoardProfile
from microclaw.bus import Bus
from microclaw.cli.call_commands import call_at
from microclaw.cli.options import GlobalOptions
from microclaw.cli.program_files import WASM_MAGIC, read_expectations, read_program, source_text
from microclaw.cli.programs import RunRequest, end_install, refuse_when_back
from microclaw.cli.steps import Stages
from microclaw.clock import now_ms
from microclaw.devices.calls import AppUninstall, Call
from microclaw.devices.registry import Registry
from microclaw.errors import AppNotFound, ConfigError, MicroclawError
from microclaw.events import Step
from microclaw.store.database import Database
from microclaw.store.devices import DeviceRow, DeviceTable
from microclaw.transports.open import open_transport
from microclaw.wasm import BuildCache
from microclaw.wire.host_api import failure_of


def run_directly(options: GlobalOptions, target: str, asked: RunRequest) -> None:
    """Build, check, try, install and verify, as a host does. Every program that is there counts as somebody else's.

    Exit code 1 when the board's evidence contradicts the trial.
    """
    options.only_here(f"a program for {target}")
    refuse_when_back(when_back=asked.when_back)
    if asked.times is not None:
        raise ConfigError(
            "--every and --stop-after need a host: this firmware has no intervals",
            next_step="microclaw up, then the device's name with -d",
        )
    board, content = asked.board(), read_program(asked.file)
    is_wasm = content.startswith(WASM_MAGIC)
    request = DeployRequest(
        device=target,
        name=asked.name,
        source=None if is_wasm else source_text(content, asked.file),
        language=None if is_wasm else program_language(asked.file.name),
        wasm=content if is_wasm else None,
        heap_bytes=asked.heap_bytes,
        optimization=asked.optimization,
        replace=asked.replace,
        force=asked.force,
        expectations=None if asked.expect is None else read_expectations(asked.expect),
    )
    outcome = asyncio.run(_deploy(options, board, request))
    if isinstance(outcome, MicroclawError):
        raise outcome
    made = Deployed.deployment(outcome, change_id=UNSET)  # nobody keeps the change
    end_install(options, made)


async def _deploy(options: GlobalOptions, board: BoardProfile, request: DeployRequest) -> Deployment | MicroclawError:
    """The outcome; an error is returned, as the bus's task group would wrap what is raised through it."""
    stages = Stages(options.terminal())

    def report(step: Step) -> None:
        if not options.json and not options.quiet:
            stages.show(step)

    async with _deployer(options, request.device, board) as deployer:
        try:
            return await deployer.deploy(request, report)
        except MicroclawError as exc:
            stages.failed(failure_of(exc))
            return exc
        finally:
            stages.flush()


@asynccontextmanager
async def _deployer(options: GlobalOptions, target: str, board: BoardProfile) -> AsyncIterator[Deployer]:
    """A host's deployer for one board; what it writes down is gone afterwards."""
    settings = options.settings()
    with TemporaryDirectory(prefix="microclaw-") as folder:
        async with Database.open(Path(folder) / "store.db") as database, Bus() as bus:
            table = DeviceTable(database)
            await table.put(DeviceRow("d-direct", target, board.board_id, transports=(target,), created_ms=now_ms()))
            registry = Registry(
                bus=bus,
                store=table,
                open_transport=partial(open_transport, lock_folder=settings.cache / "locks"),
                load_board=lambda *_: board,
                mint_id=lambda: "d-direct",
            )
            change_log, cache = ChangeLog(database), BuildCache(settings.cache)
            registry.explain_silence = SilenceExplainer(change_log).explain
            async with registry:
                yield Deployer(
                    Installer(registry, change_log, keeps_record=False),
                    compile=cached_compiler(cache),
                    try_image=partial(try_image, cache=cache),
                )


def uninstall_directly(options: GlobalOptions, target: str, name: str, board_id: str) -> None:
    """Take a program off a board."""
    options.only_here(f"a removal from {target}")
    text = asyncio.run(take_off(_BoardAt(target, board_id), name, asyncio.sleep))
    options.report("removal", {"name": name, "device": target}, text)


async def take_off(board: ListingDevice, name: str, sleep: Callable[[float], Awaitable[None]]) -> str:
    """Remove a program; what the board lists without it. AppNotFound, or DeployRejected when it is still listed."""
    look = f"microclaw exec {board.name} apps.list"
    try:
        await board.call(AppUninstall(name))
    except AppNotFound as exc:
        raise AppNotFound(exc.message, next_step=f"see what is: {look}") from exc
    return await removal_text(board, name, sleep, next_step=f"restart the board, then {look}")


@dataclass(frozen=True, slots=True)
class _BoardAt:
    """The board at an address; each call has a connection of its own."""

    name: str
    board_id: str

    async def call(self, call: Call[Any]) -> Any:
        return await call_at(self.name, self.board_id, call)
