"""The parts of this room, joined for one host."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import tzinfo
from functools import partial

from microclaw.clock import find_zone, machine_zone, now_ms
from microclaw.devices.registry.registry import Registry
from microclaw.events import Alarm, LiveEvent
from microclaw.host.auth.gate import Gate
from microclaw.host.config.settings import Settings
from microclaw.programs.building import cached_compiler
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.changes.catalogue import Catalogue
from microclaw.programs.changes.change_log import ChangeLog
from microclaw.programs.changes.changes import ProgramChanges
from microclaw.programs.changes.deferring import Deferrals, Tell
from microclaw.programs.changes.direct_io import DirectIo
from microclaw.programs.changes.installer import Installer
from microclaw.programs.changes.pin_cautions import PinCautions
from microclaw.programs.changes.reconciler import Reconciler
from microclaw.programs.changes.source_log import SourceLog
from microclaw.programs.changes.trapped_programs import TrappedPrograms
from microclaw.programs.changes.undo import Undo
from microclaw.programs.changes.unresponsive_boards import explain_silence
from microclaw.programs.proof.trial import Try, try_image

_log = logging.getLogger(__name__)


class AppServices:
    """`looks_after` says which devices, by id, are this host's."""

    def __init__(
        self,
        settings: Settings,
        devices: Registry,
        change_log: ChangeLog,
        gate: Gate,
        *,
        publish: Callable[[LiveEvent], None],
        tell: Tell,
        looks_after: Callable[[str], bool],
    ) -> None:
        self.registry = devices
        self.change_log = change_log
        installer = Installer(devices, change_log)
        cache = BuildCache(settings.cache)
        devices.explain_silence = partial(explain_silence, change_log)
        self.compile = cached_compiler(cache)
        self.zone = local_zone(settings)
        self.try_image: Try = partial(try_image, zone=self.zone, cache=cache)
        self.cautions = PinCautions(change_log.database, change_log.now_ms)
        self.changes = ProgramChanges(
            installer,
            self.cautions,
            compile=self.compile,
            try_image=self.try_image,
            own_ports=settings.own_ports,
        )
        self.direct_io = DirectIo(installer, self.cautions)
        self.deferrals = Deferrals(installer, changes=self.changes, gate=gate, tell=tell)
        self.reconciler = Reconciler(
            installer,
            self.deferrals,
            TrappedPrograms(change_log, publish=publish),
            report=lambda step: _log.info("%s: %s", step.stage, step.text),
            alarm=lambda name, text: publish(Alarm(name, now_ms(), "lost_again", text)),
            looks_after=looks_after,
        )
        self.undo = Undo(installer, changes=self.changes, direct_io=self.direct_io, gate=gate)
        self.catalogue = Catalogue(devices=devices, change_log=change_log)
        self.source_log = SourceLog(change_log)


def local_zone(settings: Settings) -> tzinfo | None:
    """Return the zone of the times that programs get, or None if this machine does not know it."""
    return find_zone(settings.agent.timezone or machine_zone())
