"""Joins the apps stage: compiler, trial board, deployment, undo, keeper. Opens no device and no store."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

from microclaw.apps.catalogue import Catalogue
from microclaw.apps.deploy import Deployer
from microclaw.apps.explore import Explorer
from microclaw.apps.keeper import Keeper
from microclaw.apps.ledger import Ledger
from microclaw.apps.placement import Placement
from microclaw.apps.ports import Compile
from microclaw.apps.standby import Standby
from microclaw.apps.trial import try_image
from microclaw.apps.undo import Undo
from microclaw.boards import load_board
from microclaw.bus.events import Step
from microclaw.config import Settings
from microclaw.devices.registry import Registry
from microclaw.errors import ConfigError
from microclaw.policy.gate import Gate
from microclaw.wasm import BuildCache, build_glue, compile_module, find_toolchain, read_module

TRIAL_BOARD = "virtual"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Apps:
    """The parts of the apps stage, joined."""

    ledger: Ledger
    compile: Compile
    standby: Standby
    deployer: Deployer
    explorer: Explorer
    undo: Undo
    catalogue: Catalogue
    keeper: Keeper
    gate: Gate


def build_apps(settings: Settings, devices: Registry, ledger: Ledger, gate: Gate) -> Apps:
    placement = Placement(ledger)
    standby = Standby(load_board(TRIAL_BOARD))
    compile_source = partial(compile_module, cache=BuildCache(settings.cache))
    deployer = Deployer(
        devices=devices,
        ledger=ledger,
        placement=placement,
        compile=compile_source,
        read_module=read_module,
        try_image=partial(try_image, standby=standby),
    )
    explorer = Explorer(devices=devices, ledger=ledger)
    return Apps(
        ledger=ledger,
        compile=compile_source,
        standby=standby,
        deployer=deployer,
        explorer=explorer,
        undo=Undo(devices=devices, ledger=ledger, deployer=deployer, explorer=explorer),
        catalogue=Catalogue(devices=devices, ledger=ledger),
        keeper=Keeper(devices=devices, ledger=ledger, placement=placement, report=_log_step),
        gate=gate,
    )


async def warm_compiler(settings: Settings) -> None:
    """What every program links with, built before the first one asks; a compile reports what is wrong with it."""
    try:
        await build_glue(find_toolchain(), settings.cache)
    except ConfigError as exc:
        _log.warning("the C library is not built: %s", exc.message)


def _log_step(step: Step) -> None:
    _log.info("%s: %s", step.stage, step.text)
