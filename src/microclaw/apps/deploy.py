"""Compile, check, try, deploy, verify: the one way a program gets onto a device, each stage reported as a Step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from microclaw.apps.ledger import Ledger
from microclaw.apps.trial import Standby, Trial, TrialInput
from microclaw.boards.profile import BoardProfile
from microclaw.bus.events import Evidence, Report
from microclaw.wasm.image import Image


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """A program for a device: C source or wasm bytes, exactly one of the two.

    `device` is a device's name or id. `replace` allows to take over a name that an app holds which this host did not
    install; an app of this host is upgraded without it.
    """

    device: str
    name: str
    source: str | None = None
    wasm: bytes | None = None
    heap_bytes: int = 8192
    timers: int = 20
    watchdog_ms: int = 180_000
    optimization: str = "O3"
    replace: bool = False
    try_for_ms: float = 10_000
    inputs: tuple[TrialInput, ...] = ()


@dataclass(frozen=True, slots=True)
class Deployment:
    """A program that a device accepted; `verified` says whether the evidence agrees with the trial."""

    device_id: str
    device_name: str
    name: str
    image: Image
    trial: Trial
    evidence: Evidence
    verified: bool
    replaced: bool
    change_id: int


@dataclass(frozen=True, slots=True)
class Removal:
    """A program taken off a device, confirmed by the device's own list."""

    device_id: str
    device_name: str
    name: str
    evidence: Evidence
    change_id: int


class Compile(Protocol):
    """wasm.compile_module with its cache already bound."""

    async def __call__(self, source: str, board: BoardProfile, *, name: str, optimization: str) -> Image: ...


class Deployer:
    """Puts programs onto devices and takes them off, one change a device at a time, every change journaled.

    `Deployer(devices=registry, ledger=Ledger(database), compile=..., standby=standby)`
    """

    def __init__(self, *, devices: Any, ledger: Ledger, compile: Compile, standby: Standby | None = None) -> None: ...

    async def deploy(self, request: DeployRequest, report: Report) -> Deployment:
        """Compile, check, try, deploy, verify.

        Raises BuildError, TrialFailed, PinRefused, DeployRejected and its kinds, DeviceError, UnknownName; before a
        raise the failed stage is reported as a Step with state "failed" and its next step.
        """
        raise NotImplementedError

    async def remove(self, device: str, name: str, report: Report) -> Removal:
        """Take an app off a device and no longer want it there. Raises AppNotFound when neither knows it."""
        raise NotImplementedError

    async def recover(self) -> tuple[str, ...]:
        """Settle the changes that a crash left planned by asking their devices; one sentence for each."""
        raise NotImplementedError
